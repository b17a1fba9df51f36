"""A slot is the name of a worker; whoever works under that name holds the slot's lock file."""

from __future__ import annotations

from filelock import FileLock

from impasto.studio.settings import StudioSettings

__all__ = ["slot_lock"]


def slot_lock(settings: StudioSettings, slot: str) -> FileLock:
    """The lock of a slot; the operating system releases it however the worker's process ends."""
    folder = settings.data / "slots"
    folder.mkdir(parents=True, exist_ok=True)
    return FileLock(folder / f"{slot.replace(':', '-')}.lock", thread_local=False)
