"""A board between those who work on pieces and who asked for the work: news one way, answers the other.

On a cluster it is an actor, which Ray starts again if its machine is lost. What was on it is lost then: the
next news replace it, and the answers are put up again with every look at it.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from threading import Lock
from typing import Any, Protocol

from impasto.pieces.connection import ray

__all__ = ["Board", "ClusterBoard", "LocalBoard", "start_board"]


class Board(Protocol):
    """What both ends see of it. Picklable where it is on a cluster."""

    def tell(self, key: str, news: Mapping[str, Any]) -> Any:
        """Put up news; returns the answer for the same key, None while there is none.

        Args:
            news: replace older ones of the same names that nobody has taken yet.
        """

    def exchange(self, answers: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
        """Put up these answers and no others; returns and takes down the news of all keys."""


class LocalBoard:
    """A board in one process, for several threads."""

    def __init__(self) -> None:
        self._news: dict[str, dict[str, Any]] = {}
        self._answers: Mapping[str, Any] = {}
        self._lock = Lock()

    def tell(self, key: str, news: Mapping[str, Any]) -> Any:
        """See :class:`Board`."""
        with self._lock:
            self._news[key] = self._news.get(key, {}) | dict(news)
            return self._answers.get(key)

    def exchange(self, answers: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
        """See :class:`Board`."""
        with self._lock:
            self._answers = answers
            news, self._news = self._news, {}
            return news


@dataclass(frozen=True)
class ClusterBoard:
    """A board that any machine of the cluster reaches.

    Attributes:
        actor: Ray's handle of a :class:`LocalBoard`.
    """

    actor: Any

    def tell(self, key: str, news: Mapping[str, Any]) -> Any:
        """See :class:`Board`. None where the board cannot be reached: work is worth more than news of it."""
        with suppress(ray().exceptions.RayError):
            return ray().get(self.actor.tell.remote(key, news))
        return None

    def exchange(self, answers: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
        """See :class:`Board`. No news while Ray starts it again."""
        with suppress(ray().exceptions.RayActorError, ray().exceptions.GetTimeoutError):
            news: dict[str, dict[str, Any]] = ray().get(self.actor.exchange.remote(answers), timeout=30.0)
            return news
        return {}


def start_board() -> ClusterBoard:
    """A board on the connected cluster, which ends with the connection."""
    options = {"num_cpus": 0, "max_restarts": -1}
    return ClusterBoard(ray().remote(LocalBoard).options(**options).remote())
