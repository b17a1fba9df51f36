"""What a person may use of the studio: jobs and painting seconds a day, and space."""

from __future__ import annotations

from impasto.files import readable_size
from impasto.studio.errors import RefusedError
from impasto.studio.intake.client_limits import RateLimit
from impasto.studio.queue.jobs import JobStore
from impasto.studio.queue.people import Person
from impasto.studio.queue.storage import files_of
from impasto.studio.queue.usage import Usage, usage_of
from impasto.studio.settings import StudioSettings

__all__ = ["QuotaCheck"]

_DAY = 86400
_LATER = "come back tomorrow; days are those of UTC"


class QuotaCheck:
    """Compares what people have used with their quotas."""

    def __init__(self, settings: StudioSettings, store: JobStore) -> None:
        self._settings, self._store = settings, store

    def _usage(self, person: Person) -> Usage:
        return usage_of(self._store.database.connection(), person.id)

    def require_today(self, person: Person, reserved: int) -> None:
        """Refuse a job beyond today's quotas.

        Args:
            reserved: jobs of the person that are being accepted now.

        Raises:
            RefusedError: status 429 until the next day.
        """
        usage = self._usage(person)
        if person.daily_jobs is not None and usage.jobs + reserved >= person.daily_jobs:
            raise RefusedError(
                f"all {person.daily_jobs} of your jobs of today were sent", remedy=_LATER, status=429,
                retry_after=usage.renewal, policy="daily-jobs",
            )  # fmt: skip
        if person.daily_seconds is not None and usage.seconds >= person.daily_seconds:
            raise RefusedError(
                f"your {person.daily_seconds:g} s of painting of today are used up", remedy=_LATER,
                status=429, retry_after=usage.renewal, policy="daily-seconds",
            )  # fmt: skip

    def require_space(self, person: Person, more: int) -> None:
        """Refuse ``more`` bytes beyond the person's space; raises ``RefusedError`` with status 507."""
        if person.bytes is None or self._usage(person).bytes + more <= person.bytes:
            return
        # That sum counts files which several jobs share several times.
        taken = self._bytes_on_disk(person)
        if taken + more > person.bytes:
            got = (
                f"your pictures take {readable_size(taken)} of {readable_size(person.bytes)}, "
                f"and this needs {readable_size(more)}"
            )
            raise RefusedError(got, remedy="delete some of them", status=507, policy="bytes")

    def _bytes_on_disk(self, person: Person) -> int:
        """Bytes of a person's files, shared ones once, and what unfinished jobs may still take."""
        jobs = self._store.jobs_of(person.id)
        files = {file for job in jobs for file in files_of(self._settings.job_folder(job.id))}
        reserved = sum(job.reserved for job in jobs if job.state in ("queued", "running"))
        return sum(file.bytes for file in files) + reserved

    def rate_limits(self, person: Person) -> list[RateLimit]:
        """What is left of today's quotas."""
        usage, limits = self._usage(person), []
        for name, limit, used in (
            ("daily-jobs", person.daily_jobs, usage.jobs),
            ("daily-seconds", person.daily_seconds, usage.seconds),
        ):
            if limit is not None:
                limits.append(RateLimit(name, int(limit), _DAY, max(0, int(limit - used)), usage.renewal))
        return limits
