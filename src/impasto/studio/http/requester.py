"""``Requester``: who sent a request."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from fastapi import Request
from starlette.types import Scope

from impasto.studio.queue.people import Person
from impasto.studio.queue.studio_job import StudioJob

__all__ = ["Requester", "client_address", "get_requester"]


@dataclass(frozen=True)
class Requester:
    """Who sent a request.

    Attributes:
        address: where it came from.
        person: who signed in; None where the studio has one token for all, or none.
        credential: what has to be valid for as long as the requester is sent anything; None: nothing.
    """

    address: str
    person: Person | None = None
    credential: str | None = None

    @property
    def client(self) -> str:
        """The name for which limits are counted."""
        return self.address if self.person is None else self.person.client

    @property
    def person_id(self) -> int | None:
        """The person's number, which the jobs of that person have."""
        return None if self.person is None else self.person.id

    def owns(self, job: StudioJob) -> bool:
        """Whether the requester may know of a job."""
        return job.person == self.person_id


def get_requester(request: Request) -> Requester:
    """Who sent a request, as ``RequestGuard`` found out."""
    requester: Requester = request.state.requester
    return requester


def client_address(scope: Scope) -> str:
    """The address for which requests are counted: IPv4, or the /64 network of an IPv6 address."""
    host = (scope.get("client") or ("unknown", 0))[0]
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return str(host)
    address = getattr(address, "ipv4_mapped", None) or address  # as sockets for both versions write IPv4
    if address.version == 6:
        return str(ipaddress.ip_network((address, 64), strict=False))
    return str(address)
