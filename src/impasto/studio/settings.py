"""``StudioSettings``: every setting and limit of the server once; the command line's flags come from it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field, field_validator

from impasto.errors import RecipeError
from impasto.validation import Validated

__all__ = ["LOOPBACK", "StudioSettings"]

LOOPBACK = ("127.0.0.1", "localhost", "::1")

Count = Annotated[int, Field(ge=1)]


class StudioSettings(Validated):
    """Settings of one server; those out of range raise ``RecipeError``."""

    secret = frozenset({"token"})

    # -- where ------------------------------------------------------------------------------------------
    data: Path = Field(
        Path.home() / ".local" / "share" / "impasto" / "studio",
        description="Folder for jobs, uploads and results.",
    )
    host: str = Field("127.0.0.1", description="Address to listen at.")
    port: int = Field(7860, ge=0, le=65535, description="Port to listen at; 0: any that is free.")
    token: str | None = Field(
        None,
        min_length=8,
        description="Secret that clients must show; better IMPASTO_STUDIO_TOKEN in the environment.",
    )
    insecure: bool = Field(
        False, description="Listen at an address that others can reach, without a token: anyone may paint."
    )
    public_name: tuple[str, ...] = Field(
        (), description="Host names that clients use, as behind a reverse proxy: studio.example.org."
    )
    forwarded_allow: tuple[str, ...] = Field(
        ("127.0.0.1",), description="Reverse proxies whose word on a client's address is taken; *: any."
    )
    device: tuple[str, ...] = Field(
        ("auto",), min_length=1, description="One worker process for each: auto, cpu, cuda:0, cuda:1, mps."
    )
    threads: int = Field(0, ge=0, description="Processor threads of a worker; 0: as PyTorch chooses.")

    # -- what is accepted -------------------------------------------------------------------------------
    upload_bytes: Count = Field(256_000_000, description="Largest request: all files of a job together.")
    upload_seconds: Count = Field(600, description="Longest time that a request may take to arrive.")
    pixels: Count = Field(64_000_000, description="Largest picture, width × height.")
    seconds: float = Field(60.0, gt=0.0, description="Longest clip.")
    frames: Count = Field(1800, description="Most frames of a clip.")
    frame_pixels: Count = Field(9_000_000, description="Largest frame of a clip, width × height.")
    files: Count = Field(16, description="Most styles and masks of a job, each.")
    result_side: Count = Field(4096, description="Longest side of a result in pixels.")
    decode_bytes: Count = Field(4_000_000_000, description="Memory that decoding an upload may take.")
    decode_seconds: Count = Field(60, description="Processor time that decoding a request's files may take.")
    clip_seconds: Count = Field(1800, description="Processor time that decoding a whole clip may take.")
    queue: Count = Field(200, description="Most jobs waiting; more are answered with 429.")
    client_jobs: Count = Field(20, description="Most jobs of one client (address) waiting or running.")
    job_seconds: Count = Field(6 * 3600, description="Longest painting of one job; then the best so far.")
    stall_seconds: Count = Field(
        3600, description="Time without any progress after which a painting worker is ended as hanging."
    )
    attempts: Count = Field(3, description="Times that a job may end its worker before it is given up.")

    # -- how long it is kept ----------------------------------------------------------------------------
    keep_days: float = Field(7.0, gt=0.0, description="Finished jobs older than this are deleted.")
    keep_bytes: Count = Field(20_000_000_000, description="Oldest finished jobs go when all take more.")

    @field_validator("data")
    @classmethod
    def _absolute(cls, value: Path) -> Path:
        """Workers change into the folders of their jobs."""
        return value.expanduser().absolute()

    @property
    def loopback(self) -> bool:
        """Only this machine can reach the server."""
        return self.host in LOOPBACK

    def require_safe(self) -> None:
        """Raise ``RecipeError`` where strangers could use the server and nobody said that they may."""
        open_to = "" if self.loopback else f"listening at {self.host}"
        open_to = open_to or (f"serving {', '.join(self.public_name)}" if self.public_name else "")
        if open_to and self.token is None and not self.insecure:
            raise RecipeError(
                f"{open_to} without a token",
                "a secret that only you and your guests know",
                "add --token SECRET, or --insecure if everyone may paint",
            )

    def folder(self, job: str) -> Path:
        """Where a job's files are."""
        return self.data / "jobs" / job
