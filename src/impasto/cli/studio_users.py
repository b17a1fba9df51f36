"""``impasto studio users``: who may sign in, whether the studio runs or not."""

from __future__ import annotations

import time
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlsplit

from cyclopts import App, Parameter

from impasto.cli.studio_jobs import DEFAULT_DATA, Data, open_store
from impasto.errors import RecipeError
from impasto.files import readable_size
from impasto.studio.settings import StudioSettings

if TYPE_CHECKING:
    from impasto.studio.queue.people import People, Person, Quotas
    from impasto.studio.queue.usage import Usage

__all__ = ["users_app"]

DailyJobs = Annotated[
    int | None,
    Parameter(help="Jobs that they may send a day, which begins at 0:00 UTC; none: as many as they like."),
]
DailySeconds = Annotated[float | None, Parameter(help="Seconds that may be painted for them a day, or none.")]
Bytes = Annotated[int | None, Parameter(help="Space for their uploads and results, or none.")]
_MAX_DAYS = 36500  # a later year could not be shown
_JOBS, _SECONDS, _BYTES = 200, 21600.0, 5_000_000_000

users_app = App(
    name="users",
    help="Let people into the studio, each with a token, pictures and quotas of their own.",
    default_parameter=Parameter(negative=()),
)


def _people(data: Path) -> People:
    from impasto.studio.queue.people import People

    return People(open_store(data).database)


def _record(data: Path, act: str, name: str) -> None:
    from impasto.studio.queue.audit import AuditLog

    AuditLog(data).write(act, person=name)


@users_app.command
def add(
    name: str,
    /,
    *,
    daily_jobs: DailyJobs = _JOBS,
    daily_seconds: DailySeconds = _SECONDS,
    bytes: Bytes = _BYTES,
    days: float | None = None,
    adopt: bool = False,
    address: str | None = None,
    data: Data = DEFAULT_DATA,
) -> int:
    """Let somebody in, and print their token, which is shown only now.

    From the first person on everybody has to sign in. Somebody who was revoked gets a new token and finds
    their pictures again.

    Parameters
    ----------
    name
        Their name: letters, digits and . _ @ + -
    days
        Days after which they have to be added again. Default: never.
    adopt
        Give them all pictures that belong to nobody, such as those from before there were people.
    address
        The studio's address as guests type it, to print a sign-in link as well.

    Examples
    --------
    impasto studio users add anna
    impasto studio users add ben --daily-jobs 20 --days 30 --address https://studio.example.org
    """
    from impasto.studio.queue.data_folder import open_data_folder
    from impasto.studio.queue.people import People

    link = None if address is None else _sign_in_address(address)
    if days is not None and not 0 < days <= _MAX_DAYS:
        raise RecipeError(f"--days {days:g}", f"more than 0, at most {_MAX_DAYS}")
    quotas = _quotas(daily_jobs, daily_seconds, bytes)
    people = People(open_data_folder(StudioSettings(data=data)).database)
    expires = None if days is None else time.time() + days * 86400
    token = people.add(name, quotas, expires=expires, adopt=adopt)
    _record(data, "add person", name)
    print(f"{name} signs in with this token, which is shown only now:\n\n    {token}\n")
    if link is not None:
        print(f"or with this link, which is as secret:\n\n    {link}{token}\n")
    return 0


def _quotas(jobs: int | None, seconds: float | None, bytes: int | None) -> Quotas:
    from impasto.studio.queue.people import Quotas

    if any(limit is not None and limit < 0 for limit in (jobs, seconds, bytes)):
        raise RecipeError("a quota below 0", "0 or more, or none")
    return Quotas(jobs, seconds, bytes)


def _sign_in_address(address: str) -> str:
    """The link to a studio that a token is put behind: as a fragment, which browsers send to no server."""
    parts = urlsplit(address)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.path.strip("/"):
        raise RecipeError(f"--address '{address}'", "an address such as https://studio.example.org")
    return f"{parts.scheme}://{parts.netloc}/#token="


@users_app.command(name="list")
def list_users(*, data: Data = DEFAULT_DATA) -> int:
    """List people: name, whether they may sign in, what they used today of what they may, and their space.

    Examples
    --------
    impasto studio users list
    """
    for person, usage in _people(data).all():
        print(_line(person, usage))
    return 0


def _line(person: Person, usage: Usage) -> str:
    state = "may sign in"
    if person.revoked is not None:
        state = "revoked"
    elif person.expires is not None:
        until = datetime.fromtimestamp(person.expires).strftime("%Y-%m-%d %H:%M")
        state = f"until {until}" if person.expires > time.time() else f"expired {until}"
    jobs = f"{usage.jobs} of {'any' if person.daily_jobs is None else person.daily_jobs} jobs"
    allowed = "any" if person.daily_seconds is None else f"{person.daily_seconds:g}"
    space = "any" if person.bytes is None else readable_size(person.bytes)
    columns = [
        f"{person.name:<20}", f"{state:<24}", jobs, f"{usage.seconds:.0f} of {allowed} s",
        f"{readable_size(usage.bytes)} of {space}",
    ]  # fmt: skip
    return "  ".join(columns)


@users_app.command
def revoke(name: str, /, *, data: Data = DEFAULT_DATA) -> int:
    """Shut somebody out at once: their token and sessions end, what is not finished is cancelled.

    Their pictures stay for as long as those of others, where only the operator can reach them.

    Examples
    --------
    impasto studio users revoke ben
    impasto studio jobs purge --person ben --state done
    """
    cancelled = _people(data).revoke(name)
    _record(data, "revoke person", name)
    print(f"{name} is shut out; {cancelled} unfinished jobs are cancelled")
    return 0


@users_app.command
def limit(
    name: str,
    /,
    *,
    daily_jobs: DailyJobs = _JOBS,
    daily_seconds: DailySeconds = _SECONDS,
    bytes: Bytes = _BYTES,
    data: Data = DEFAULT_DATA,
) -> int:
    """Replace somebody's quotas; those that are not given become the usual ones.

    Examples
    --------
    impasto studio users limit anna --daily-jobs none --bytes 20000000000
    """
    _people(data).set_quotas(name, _quotas(daily_jobs, daily_seconds, bytes))
    _record(data, "limit person", name)
    print(f"{name} has new quotas")
    return 0
