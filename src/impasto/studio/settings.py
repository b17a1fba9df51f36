"""``StudioSettings``: every setting and limit of the server; the command line's flags are derived from it."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from platformdirs import user_data_path
from pydantic import Field, field_validator, model_validator

from impasto import __version__
from impasto.errors import RecipeError
from impasto.validation import Validated, add_ranges_to_descriptions

__all__ = ["LOOPBACK_HOSTS", "StudioSettings"]

LOOPBACK_HOSTS = ("127.0.0.1", "localhost", "::1")

Count = Annotated[int, Field(ge=1)]


class StudioSettings(Validated):
    """Settings of one server; values out of range raise ``RecipeError``."""

    secret = frozenset({"token", "metrics_token", "webhook_secret"})

    # -- where it runs ----------------------------------------------------------------------------------
    data: Path = Field(
        Path.home() / ".local" / "share" / "impasto" / "studio",
        description="Folder for jobs, uploads and results.",
    )
    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(7860, ge=0, le=65535, description="Port to listen on; 0 picks a free one.")
    token: str | None = Field(
        None,
        min_length=16,
        description="Secret that clients must send; safer in the environment variable IMPASTO_STUDIO_TOKEN.",
    )
    metrics_token: str | None = Field(
        None,
        min_length=16,
        description="Secret for /metrics alone, or the variable IMPASTO_STUDIO_METRICS_TOKEN.",
    )
    insecure: bool = Field(
        False, description="Allow a reachable address without a token: anyone who reaches it may paint."
    )
    session_days: float = Field(
        30.0,
        gt=0.0,
        description="Days after which a browser that a person signed in with has to sign in again.",
    )
    webhook_host: tuple[str, ...] = Field(
        (), description="Hosts that may be told when a job ends: hooks.example.org, or host:port."
    )
    webhook_secret: str | None = Field(
        None,
        min_length=16,
        description="Secret that signs webhooks, or the variable IMPASTO_STUDIO_WEBHOOK_SECRET.",
    )
    log_format: Literal["text", "json"] = Field(
        "text", description="Lines of the log: text, or JSON objects."
    )
    traces: str | None = Field(
        None,
        description="OpenTelemetry collector that traces are sent to, by OTLP over HTTP: "
        "http://127.0.0.1:4318; none unless it is given.",
    )
    https: bool = Field(
        False,
        description="Serve HTTPS, with a certificate of the studio's own unless there is --certificate.",
    )
    certificate: Path | None = Field(
        None, description="PEM file with the certificate, and those between it and its authority."
    )
    key: Path | None = Field(
        None, description="PEM file with the certificate's key; default: the file of --certificate."
    )
    public_name: tuple[str, ...] = Field(
        (), description="Host names that clients use, such as a reverse proxy's: studio.example.org."
    )
    forwarded_allow: tuple[str, ...] = Field(
        ("127.0.0.1",), description="Reverse proxies trusted to report a client's address; * trusts any."
    )
    web: Path | None = Field(
        None,
        description="Folder that `make web` has built: the site is then at /web/, and browsers faster "
        "than the studio paint first looks themselves. Unset: what `make web-install` has installed.",
    )
    device: tuple[str, ...] = Field(
        ("auto",), min_length=1, description="One worker process per device: auto, cpu, cuda:0, cuda:1, mps."
    )
    threads: int = Field(
        0, ge=0, description="Processor threads per worker; 0 lets PyTorch choose, and is 1 on a cluster."
    )
    workers: str = Field(
        "local",
        description="Where jobs are painted: local, ray (the Ray cluster of this machine, or one that is "
        "started), or ray://HOST:PORT. The queue stays here.",
    )
    gpus_per_job: float = Field(
        0.0, ge=0.0, description="GPUs that a job takes on a cluster; 0.5 shares one."
    )

    # -- what is accepted -------------------------------------------------------------------------------
    upload_bytes: Count = Field(
        256_000_000, description="Largest request in bytes: all files of a job together."
    )
    upload_seconds: Count = Field(600, description="Longest time that a request may take to arrive.")
    pixels: Count = Field(64_000_000, description="Largest picture, width × height.")
    seconds: float = Field(60.0, gt=0.0, description="Longest clip.")
    frames: Count = Field(1800, description="Most frames of a clip.")
    frame_pixels: Count = Field(9_000_000, description="Largest frame of a clip, width × height.")
    files: Count = Field(16, description="Most styles, most masks and most key frames of one job.")
    result_side: Count = Field(4096, description="Longest side of a result in pixels.")
    decode_bytes: Count = Field(4_000_000_000, description="Memory that decoding an upload may take.")
    decode_seconds: Count = Field(
        60, description="Processor time that decoding the files of a request may take."
    )
    clip_seconds: Count = Field(1800, description="Processor time that decoding a whole clip may take.")
    queue: Count = Field(200, description="Most waiting jobs; further ones are answered with 429.")
    client_jobs: Count = Field(20, description="Most waiting or running jobs of one client address.")
    accept_seconds: float = Field(
        2.5,
        gt=0.0,
        description="Longest expected wait of an upload for its turn to be checked; others are answered with "
        "429 before they are read.",
    )
    instant_minute: int = Field(
        240, ge=0, description="Most instant pictures of one client address in a minute; 0 turns them off."
    )
    client_hourly: Count = Field(
        600, description="Most jobs that one client address may send in an hour, finished ones included."
    )
    client_views: Count = Field(
        8, description="Most views of uploads and exports of results at once for one client address."
    )
    client_streams: Count = Field(50, description="Most event streams of one client address.")
    job_seconds: Count = Field(
        6 * 3600, description="Longest painting time of one job; then the best picture so far is kept."
    )
    stall_seconds: Count = Field(
        3600, description="Time without progress after which a painting worker is ended as hanging."
    )
    attempts: Count = Field(3, description="Failed attempts at a job after which it is set aside.")
    worker_jobs: Count = Field(200, description="Jobs after which a worker is replaced by a fresh process.")

    # -- how long results are kept ----------------------------------------------------------------------
    keep_days: float = Field(7.0, gt=0.0, description="Days after which a finished job is deleted.")
    keep_bytes: Count = Field(
        20_000_000_000,
        description="Space for finished jobs; beyond it the oldest of the client with most are deleted.",
    )
    audit_days: float = Field(90.0, gt=0.0, description="Days that the audit log is kept, to the month.")
    free_bytes: int = Field(
        200_000_000,
        ge=0,
        description="Space to leave free on the disk: with less, the queue pauses and new jobs are refused.",
    )

    @field_validator("data", "certificate", "key", "web")
    @classmethod
    def _absolute(cls, value: Path | None) -> Path | None:
        """Workers change into the folders of their jobs, so a relative path would change its meaning."""
        return value and value.expanduser().absolute()

    @field_validator("device")
    @classmethod
    def _known_device(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for device in value:
            if not re.fullmatch(r"auto|cpu|mps|(cuda|xpu)(:\d+)?", device):
                raise ValueError(f"--device {device}: possible are auto, cpu, cuda:0, xpu:0 and mps")
        return value

    @field_validator("workers")
    @classmethod
    def _known_place(cls, value: str) -> str:
        if value not in ("local", "ray") and not value.startswith("ray://"):
            raise ValueError(f"--workers {value}: possible are local, ray and ray://HOST:PORT")
        return value

    @model_validator(mode="after")
    def _check_cluster(self) -> StudioSettings:
        if self.on_cluster and self.device != ("auto",):
            raise ValueError("--device is for workers of this machine; leave it out with --workers ray")
        if self.gpus_per_job and not self.on_cluster:
            raise ValueError("--gpus-per-job is for a cluster; add --workers ray")
        return self

    @field_validator("traces")
    @classmethod
    def _collector(cls, value: str | None) -> str | None:
        if value is not None:
            parts = urlsplit(value)
            named = parts.hostname and parts.port != 0  # reading the port checks it
            if parts.scheme not in ("http", "https") or not named or parts.query or parts.fragment:
                raise ValueError("it should be an http or https address")
            if parts.username is not None:
                raise ValueError("it should have no password: other users of this machine could see it")
        return value

    @model_validator(mode="after")
    def _check_certificate(self) -> StudioSettings:
        if self.key and not self.certificate:
            raise ValueError("--key needs --certificate, the file that the key belongs to")
        return self

    @property
    def on_cluster(self) -> bool:
        """Whether jobs are painted on a cluster."""
        return self.workers != "local"

    @property
    def cluster_device(self) -> str:
        """What a job is painted on, on a machine of the cluster."""
        return "auto" if self.gpus_per_job else "cpu"

    @property
    def serves_https(self) -> bool:
        """Whether the server itself speaks TLS."""
        return self.https or self.certificate is not None

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach the server."""
        return self.host in LOOPBACK_HOSTS

    def require_safe(self, *, people: bool = False) -> None:
        """Raise ``RecipeError`` if strangers could use the server and it is not ``insecure``.

        Args:
            people: whether there are people, who have to sign in each.
        """
        if self.webhook_host and self.webhook_secret is None:
            raise RecipeError(
                "--webhook-host without a secret",
                "a secret that signs webhooks",
                "set the variable IMPASTO_STUDIO_WEBHOOK_SECRET",
            )
        exposure = "" if self.loopback else f"listening at {self.host}"
        exposure = exposure or (f"serving {', '.join(self.public_name)}" if self.public_name else "")
        if exposure and self.token is None and not people and not self.insecure:
            raise RecipeError(
                f"{exposure} without a token",
                "a secret that only you and your guests know, or people who sign in",
                "add --token SECRET, or people (`impasto studio users add NAME`), "
                "or --insecure if everyone may paint",
            )

    def require_site(self) -> None:
        """Raise ``RecipeError`` if ``web`` is not a folder with the static site."""
        if self.web is not None and not (self.web / "site.json").is_file():
            raise RecipeError(
                f"'{self.web}' has no built site", "a folder with a site.json", "build it with `make web`"
            )

    def require_cluster(self) -> None:
        """Raise ``ImpastoError`` if jobs are to be painted on a cluster that cannot be used."""
        if self.on_cluster:
            from impasto.pieces.connection import require_ray

            require_ray()  # before PyTorch is loaded
            from impasto.pieces.piece import Needs
            from impasto.pieces.places import check_cluster

            check_cluster(self.workers, Needs(self.threads or 1, 0.0, self.gpus_per_job))

    def job_folder(self, job_id: str) -> Path:
        """The folder with a job's files."""
        return self.data / "jobs" / job_id

    def without_token(self) -> StudioSettings:
        """A copy for child processes, which have no use for the secrets."""
        return self.model_copy(update=dict.fromkeys(self.secret))


def site_folder() -> Path:
    """Where `make web-install` puts the static site: ``~/.local/share/impasto/web`` on Linux."""
    return user_data_path("impasto", appauthor=False) / "web"


def installed_site() -> Path | None:
    """The site in :func:`site_folder`; None if there is none, or one of another version of Impasto."""
    with suppress(OSError, ValueError, AttributeError):
        facts = json.loads((site_folder() / "site.json").read_text(encoding="utf-8"))
        if facts.get("version") == __version__:
            return site_folder()
    return None


add_ranges_to_descriptions(StudioSettings)
