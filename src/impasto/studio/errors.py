"""``RefusedError``: a request that the studio does not accept."""

from __future__ import annotations

from impasto.errors import ImpastoError

__all__ = ["RefusedError"]


class RefusedError(ImpastoError):
    """What a client sent cannot be used.

    Attributes:
        status: HTTP status of the response.
        field: the form part or the setting that the message is about.
        retry_after: seconds after which the same request may be accepted; None if time changes nothing.
        policy: name of the limit that was reached, see ``intake.limits``.
    """

    def __init__(
        self,
        got: str,
        expected: str = "",
        remedy: str = "",
        *,
        status: int = 422,
        field: str | None = None,
        retry_after: int | None = None,
        policy: str | None = None,
    ) -> None:
        super().__init__(got, expected, remedy)
        self.status, self.field, self.policy = status, field, policy
        self.retry_after = 30 if retry_after is None and status == 429 else retry_after

    @classmethod
    def from_error(cls, error: ImpastoError, field: str | None, status: int = 422) -> RefusedError:
        """The same message as ``error``, with the field that it is about."""
        return cls(error.got, error.expected, error.remedy, status=status, field=field)
