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

MODULES = ("fastapi", "uvicorn", "python_multipart", "prometheus_client", "av", "cv2")
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

    It listens at 127.0.0.1 alone unless told otherwise. What was accepted is painted even if it is stopped or
    killed in between: it goes on at the next start with the same --data.

    Parameters
    ----------
    open_page
        Open the page in the browser; default: where there is a desktop.
    verbose
        A line for each request on stderr; never what was sent.
    """
    require_extra("studio", MODULES, "the studio", RecipeError)
    chosen = _chosen(settings)
    chosen.require_safe()
    logging.basicConfig(level=logging.INFO if verbose else logging.WARNING, format="%(asctime)s %(message)s")
    for name in ("httpx", "multipart", "python_multipart", "PIL", "filelock"):
        logging.getLogger(name).setLevel(logging.WARNING)
    listening = _listen(chosen.host, chosen.port)
    address = _address(listening, chosen.host)
    import uvicorn

    from impasto.studio.http.app import create_app
    from impasto.studio.sandbox import isolation

    application = create_app(chosen)
    application.state.studio.supervisor.take()
    isolation.start()  # it keeps a socket in the folder for temporary files, whose path must be short
    tempfile.tempdir = str(chosen.data / "incoming")  # uploads on their way; /tmp may be memory
    config = uvicorn.Config(
        application, http="h11", ws="none", access_log=False, log_level="warning", server_header=False,
        forwarded_allow_ips=list(chosen.forwarded_allow),
        timeout_graceful_shutdown=3, timeout_keep_alive=30, limit_concurrency=1000,
    )  # fmt: skip
    if chosen.insecure and not chosen.loopback and chosen.token is None:
        print("impasto: anyone who reaches this address may paint here (--insecure)", file=sys.stderr)
    print(f"Impasto's studio is at {address} (Ctrl-C ends it)", flush=True)
    if open_page or (open_page is None and chosen.loopback and _at_a_desktop()):
        import webbrowser

        webbrowser.open(address)
    server = uvicorn.Server(config)
    server.run(sockets=[listening])
    return 0


def _chosen(settings: StudioSettings | None) -> StudioSettings:
    """A command line is seen by every user of the machine, so a token may come from the environment."""
    given = {name: getattr(settings, name) for name in (settings.model_fields_set if settings else ())}
    secret = os.environ.pop("IMPASTO_STUDIO_TOKEN", "")
    return StudioSettings(**({"token": secret} if secret and not given.get("token") else {}) | given)


def _at_a_desktop() -> bool:
    """Somebody sits here: not a service, and no terminal that a browser of text would take over."""
    windows = sys.platform != "linux" or "DISPLAY" in os.environ or "WAYLAND_DISPLAY" in os.environ
    return sys.stdout.isatty() and windows


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listening = socket.socket(family, kind, protocol)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(1024)
    except OSError as error:
        got = f"nothing can listen at {host}:{port}: {error.strerror or error}"
        raise RecipeError(got, remedy="stop the other program, or choose another --port") from None
    return listening


def _address(listening: socket.socket, host: str) -> str:
    name = f"[{host}]" if ":" in host else host
    return f"http://{name}:{listening.getsockname()[1]}/"
