"""``impasto studio``: flags from ``StudioSettings``; prints its address and serves until it is stopped."""

from __future__ import annotations

import logging
import os
import socket
import sys
import tempfile
from typing import Annotated

from cyclopts import App, Group, Parameter

from impasto.errors import RecipeError, require_extra
from impasto.studio.settings import StudioSettings

__all__ = ["register", "studio"]

_REQUIRED_MODULES = ("fastapi", "uvicorn", "python_multipart", "prometheus_client", "av", "cv2")
SERVER = Group("Server", help="Where it listens, what it accepts, what it keeps.", sort_key=1)


def register(app: App) -> None:
    """Add the command to the program."""
    app.command(studio)


def studio(
    *,
    open_page: Annotated[bool | None, Parameter(name="--open", negative="--no-open")] = None,
    verbose: bool = False,
    settings: Annotated[StudioSettings | None, Parameter(name="*", group=SERVER)] = None,
) -> int:
    """Open the studio: a page for pictures and clips, and an HTTP API behind it.

    It listens on 127.0.0.1 only, unless told otherwise. Accepted jobs are painted even if the studio is
    stopped
    or killed in between: they resume at the next start with the same --data.

    Parameters
    ----------
    open_page
        Open the page in the browser; default: only on a desktop.
    verbose
        Log one line per request to stderr; never what was sent.
    """
    require_extra("studio", _REQUIRED_MODULES, "the studio", RecipeError)
    options = _with_token_from_environment(settings)
    options.require_safe()
    logging.basicConfig(level=logging.INFO if verbose else logging.WARNING, format="%(asctime)s %(message)s")
    for name in ("httpx", "multipart", "python_multipart", "PIL", "filelock"):
        logging.getLogger(name).setLevel(logging.WARNING)
    listener = _listen(options.host, options.port)
    address = _address(listener, options.host)
    import uvicorn

    from impasto.studio.app import create_app
    from impasto.studio.sandbox.isolation import start_forkserver

    application = create_app(options)
    application.state.studio.supervisor.lock_data_folder()
    # The fork server's socket needs a short path, so it has to start before the folder for temporary files
    # is changed. Uploads are spooled in that folder; the usual one, /tmp, may be kept in memory.
    start_forkserver()
    tempfile.tempdir = str(options.data / "incoming")
    config = uvicorn.Config(
        application, http="h11", ws="none", access_log=False, log_level="warning", server_header=False,
        forwarded_allow_ips=list(options.forwarded_allow),
        timeout_graceful_shutdown=3, timeout_keep_alive=30, limit_concurrency=1000,
    )  # fmt: skip
    if options.insecure and not options.loopback and options.token is None:
        print("impasto: anyone who reaches this address may paint here (--insecure)", file=sys.stderr)
    print(f"Impasto's studio is at {address} (Ctrl-C ends it)", flush=True)
    if open_page or (open_page is None and options.loopback and _has_desktop()):
        import webbrowser

        webbrowser.open(address)
    uvicorn.Server(config).run(sockets=[listener])
    return 0


def _with_token_from_environment(settings: StudioSettings | None) -> StudioSettings:
    """The flags, and the token from the environment: a command line is seen by every user of the machine.

    The variable is removed, so that no child process inherits the secret.
    """
    flags = settings.model_dump(exclude_unset=True) if settings else {}
    token = os.environ.pop("IMPASTO_STUDIO_TOKEN", "")
    if token and not flags.get("token"):
        flags["token"] = token
    return StudioSettings(**flags)


def _has_desktop() -> bool:
    """Whether a browser window can be opened: this is no service, and no terminal without a desktop."""
    windows = sys.platform != "linux" or "DISPLAY" in os.environ or "WAYLAND_DISPLAY" in os.environ
    return sys.stdout.isatty() and windows


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(1024)
    except OSError as error:
        got = f"nothing can listen at {host}:{port}: {error.strerror or error}"
        raise RecipeError(got, remedy="stop the other program, or choose another --port") from None
    return listener


def _address(listener: socket.socket, host: str) -> str:
    name = f"[{host}]" if ":" in host else host
    return f"http://{name}:{listener.getsockname()[1]}/"
