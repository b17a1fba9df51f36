"""``impasto studio``: start the server, print its address and serve until Ctrl-C."""

from __future__ import annotations

import gc
import io
import ipaddress
import os
import signal
import socket
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Group, Parameter

from impasto.cli.flags import typed
from impasto.cli.studio_jobs import backup, jobs_app, restore
from impasto.cli.studio_users import users_app
from impasto.errors import RecipeError, require_extra
from impasto.studio.certificates import Certificate, current_certificate, keep_current, lan_host
from impasto.studio.settings import StudioSettings, installed_site

if TYPE_CHECKING:
    from fastapi import FastAPI

__all__ = ["studio", "studio_app"]

_REQUIRED_MODULES = ("fastapi", "uvicorn", "python_multipart", "prometheus_client", "av", "cv2")
_TRACES_MODULES = ("opentelemetry.sdk.trace", "opentelemetry.exporter.otlp.proto.http.trace_exporter")
_HTTPS_MODULES = ("cryptography", "segno")
studio_app = App(name="studio", default_parameter=Parameter(negative=()))
studio_app.command(jobs_app)
studio_app.command(backup)
studio_app.command(restore)
studio_app.command(users_app)
#: Connections at once, event streams and silent ones included; what comes beyond is answered with 503.
_MAX_CONNECTIONS = 4000
_OTHER_FILES = 1000  # that the server has open
#: After so many seconds a thread that computes has to let the event loop go on. Python's 0.005 add up,
#: because the loop has to wait anew after each reading and writing.
_SWITCH_SECONDS = 0.0005
SERVER = Group("Server", help="Address, limits, and how long results are kept.", sort_key=1)


@studio_app.default
def studio(
    *,
    open_page: Annotated[bool | None, Parameter(name="--open", negative="--no-open")] = None,
    verbose: bool = False,
    settings: Annotated[StudioSettings | None, Parameter(name="*", group=SERVER)] = None,
) -> int:
    """Start the studio: a web page for painting pictures and clips, and its HTTP API.

    The studio listens on 127.0.0.1 only, unless --host is given. Jobs survive a stop or a crash of the
    studio: they are resumed at the next start with the same --data.

    Parameters
    ----------
    open_page
        Open the page in a browser. Default: only on a desktop.
    verbose
        Log one line per request to stderr, without the contents of requests.

    Examples
    --------
    impasto studio
    impasto studio --port 8080 --no-open --data jobs
    impasto studio --workers ray://head:10001
    impasto studio --https --host 0.0.0.0 --token "a secret for guests"
    """
    require_extra("studio", _REQUIRED_MODULES, "the studio", RecipeError)
    from impasto.studio.logs import configure_logs
    from impasto.studio.queue.people import has_people

    options = _with_installed_site(_with_token_from_environment(settings))
    options.require_safe(people=has_people(options.data / "studio.db"))
    options.require_site()
    options.require_cluster()
    if options.serves_https:
        require_extra("https", _HTTPS_MODULES, "HTTPS", RecipeError)
    if options.traces is not None:
        require_extra("traces", _TRACES_MODULES, "--traces", RecipeError)
    if options.certificate is not None:
        current_certificate(options)  # refused before anything is started
    configure_logs(options.log_format, verbose=verbose)
    listener = _listen(options.host, options.port)
    _allow_open_files()

    from impasto.studio.app import create_app
    from impasto.studio.sandbox.isolation import start_forkserver

    application = create_app(options)
    application.state.studio.supervisor.lock_data_folder()
    # Uploads are spooled in the folder for temporary files, and the usual one, /tmp, may be kept in memory.
    # The fork server has to start before that folder is changed, because its socket needs a short path.
    start_forkserver()
    tempfile.tempdir = str(options.data / "incoming")
    if options.insecure and not options.loopback and options.token is None:
        print("impasto: anyone who reaches this address may paint here (--insecure)", file=sys.stderr)
    certificate = current_certificate(options) if options.serves_https else None
    address = _address(listener, options)
    print(f"Impasto's studio is at {address} (Ctrl-C ends it)", flush=True)
    if certificate is not None:
        print(f"SHA-256 of its certificate: {certificate.fingerprint}", flush=True)
        if not options.loopback:
            _print_qr_code(address)
    if open_page or (open_page is None and options.loopback and _has_desktop()):
        import webbrowser

        webbrowser.open(address)
    # Then what systemd and Docker send ends in the same way as Ctrl-C, with 0 once everything is saved.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    _serve(application, options, listener, certificate)
    # Not 0, so that a service manager starts it again even if it does so only after a failure.
    return 1 if application.state.studio.supervisor.lost else 0


def _serve(
    application: FastAPI, options: StudioSettings, listener: socket.socket, certificate: Certificate | None
) -> None:
    """Answer requests until Ctrl-C."""
    import uvicorn

    from impasto.studio.http.protocol import ImpatientProtocol

    config = uvicorn.Config(
        application, http=ImpatientProtocol, ws="none", access_log=False, log_level="warning",
        server_header=False,
        forwarded_allow_ips=_as_seen(options.forwarded_allow),
        timeout_graceful_shutdown=3, timeout_keep_alive=30, limit_concurrency=_MAX_CONNECTIONS,
        ssl_certfile=certificate.path if certificate else None,
        ssl_keyfile=certificate.key if certificate else None,
    )  # fmt: skip
    sys.setswitchinterval(_SWITCH_SECONDS)
    config.load()
    # A collection keeps everybody waiting: those of young objects for some hundredths of a second, a full one
    # for a third under load. So the 240,000 objects that are here, nearly all PyTorch's, are not looked at
    # again, and a full collection comes about once in minutes instead of seconds.
    gc.collect()
    gc.freeze()
    gc.set_threshold(2_000, 10, 100)
    if certificate is not None and config.ssl is not None:
        keep_current(config.ssl, certificate, partial(current_certificate, options))
    with suppress(KeyboardInterrupt):  # raised once everything has ended: uvicorn passes the signal on
        uvicorn.Server(config).run(sockets=[listener])


def _as_seen(proxies: Sequence[str]) -> list[str]:
    """Trusted proxies also as ``::ffff:127.0.0.1``, which is how ``--host ::`` sees IPv4 addresses."""
    seen = list(proxies)
    for proxy in proxies:
        with suppress(ValueError):  # a name, or *
            network = ipaddress.IPv4Network(proxy)
            seen.append(f"::ffff:{network.network_address}/{96 + network.prefixlen}")
    return seen


def _allow_open_files() -> None:
    """Let this process have a file open for each connection; many systems allow 1024 unless asked."""
    with suppress(ImportError, OSError, ValueError):  # Windows has no such limit
        import resource

        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = _MAX_CONNECTIONS + _OTHER_FILES
        wanted = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        if soft != resource.RLIM_INFINITY and soft < wanted:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _print_qr_code(text: str) -> None:
    """A QR code of half blocks, where the output can show them."""
    import segno

    code = io.StringIO()
    segno.make(text, micro=False, error="l").terminal(code, border=2, compact=True)
    with suppress(UnicodeEncodeError):
        print(code.getvalue(), flush=True)


def _with_token_from_environment(settings: StudioSettings | None) -> StudioSettings:
    """The settings, with the tokens from the environment unless there are flags for them.

    Every user of the machine can see a command line, but not the environment. The variables are
    removed, so that no child process inherits the secrets.
    """
    flags = typed(settings)
    for name in sorted(StudioSettings.secret):
        secret = os.environ.pop(f"IMPASTO_STUDIO_{name.upper()}", "")
        if secret and not flags.get(name):
            flags[name] = secret
    return StudioSettings(**flags)


def _with_installed_site(settings: StudioSettings) -> StudioSettings:
    """The settings, with the site that is installed unless there is a flag for another."""
    return settings.model_copy(update={"web": settings.web or installed_site()})


def _has_desktop() -> bool:
    """Whether a browser window can be opened: not by a service, nor in a terminal without a desktop."""
    has_display = sys.platform != "linux" or "DISPLAY" in os.environ or "WAYLAND_DISPLAY" in os.environ
    return sys.stdout.isatty() and has_display


def _listen(host: str, port: int) -> socket.socket:
    """A listening socket; raises ``RecipeError`` if the address cannot be used."""
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


def _address(listener: socket.socket, options: StudioSettings) -> str:
    """The URL to open; the port is the socket's, as ``--port 0`` lets the system choose one.

    A certificate that was given is for names, rarely for addresses.
    """
    named = options.certificate is not None and options.public_name and not options.loopback
    host = options.public_name[0] if named else lan_host(options.host)
    name = f"[{host}]" if ":" in host else host
    return f"http{'s' if options.serves_https else ''}://{name}:{listener.getsockname()[1]}/"
