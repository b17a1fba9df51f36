"""Tells clients when a job has ended: signed requests to hosts that the operator allowed, until heard.

The headers are those of Standard Webhooks 1.0: ``webhook-id``, ``webhook-timestamp`` and
``webhook-signature``, which is ``v1,`` and the base64 of HMAC-SHA256 over ``id.timestamp.body``.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import logging
import threading
import time
from urllib.parse import urlsplit

import httpx

from impasto.studio.errors import RefusedError
from impasto.studio.queue.attempts import backoff_seconds
from impasto.studio.queue.database import Database
from impasto.studio.queue.guarded import GuardedStep
from impasto.studio.queue.webhooks import Deliveries, Delivery
from impasto.studio.settings import LOOPBACK_HOSTS, StudioSettings

__all__ = ["WebhookSender", "allowed_webhook", "webhook_headers"]

_POLL_SECONDS = 1.0
_TIMEOUT = 10.0  # seconds of each step of a request
_LONGEST_PAUSE, _MAX_ATTEMPTS = 6 * 3600.0, 12  # seconds; about a day in all
_GONE = 410  # the receiver wants no more
_MAX_URL = 2000

log = logging.getLogger("impasto.studio")


def allowed_webhook(url: str, hosts: tuple[str, ...]) -> str:
    """``url``, if it is one that may be told.

    Args:
        hosts: that the operator allowed: ``name``, for HTTPS at its usual port, or ``name:port``.

    Raises:
        RefusedError: anything else; in plain HTTP only this machine is told.
    """
    try:
        parts = urlsplit(url)
        host, port = (parts.hostname or "").lower(), parts.port
        same = httpx.URL(url).host == host.strip("[]")  # as the library that sends reads it
    except (ValueError, httpx.InvalidURL):
        parts, host, port, same = urlsplit(""), "", None, False
    place = host if port is None else f"{host}:{port}"
    clean = url.isascii() and url.isprintable() and " " not in url and "\\" not in url
    usable = (
        clean and len(url) <= _MAX_URL and not parts.username and not parts.password and not parts.fragment
    )
    secure = parts.scheme == "https" or (parts.scheme == "http" and host in LOOPBACK_HOSTS)
    if not (usable and secure and same and place in {allowed.lower() for allowed in hosts}):
        possible = (
            f"an https address at {', '.join(hosts)}" if hosts else "none: the operator allowed no host"
        )
        raise RefusedError(f"the webhook '{url[:80]}'", possible, field="webhook")
    return url


def webhook_headers(delivery_id: str, body: bytes, secret: str, now: float) -> dict[str, str]:
    """The headers that say who sent a body, and when."""
    timestamp = str(int(now))
    signed = b".".join((delivery_id.encode(), timestamp.encode(), body))
    signature = base64.b64encode(hmac.new(secret.encode(), signed, hashlib.sha256).digest()).decode()
    return {
        "content-type": "application/json",
        "webhook-id": delivery_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": f"v1,{signature}",
    }


class WebhookSender:
    """A thread that sends what waits; does nothing where no host is allowed.

    Args:
        transport: instead of the network, for tests.
    """

    def __init__(
        self, settings: StudioSettings, database: Database, transport: httpx.BaseTransport | None = None
    ) -> None:
        self._settings, self._deliveries, self._transport = settings, Deliveries(database), transport
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="webhooks", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        if self._settings.webhook_host:
            self._thread.start()

    def stop(self) -> None:
        """End the thread; what was not sent is sent after the next start."""
        self._stopping.set()
        if self._thread.ident is not None:
            self._thread.join(_TIMEOUT)

    def _run(self) -> None:
        step = GuardedStep("webhooks", self.send_due)
        while not self._stopping.wait(_POLL_SECONDS):
            step.run()

    def send_due(self) -> int:
        """Send what is due; returns how many arrived."""
        due = self._deliveries.due()  # all: many may be those of a host that is down
        if not due:
            return 0
        # No proxy of the environment, and no redirects: both would lead to other hosts.
        with httpx.Client(
            timeout=_TIMEOUT, trust_env=False, follow_redirects=False, transport=self._transport
        ) as http:
            return self._send_all(http, due)

    def _send_all(self, http: httpx.Client, due: list[Delivery]) -> int:
        arrived, silent = 0, set()
        for delivery in due:
            host = urlsplit(delivery.url).netloc
            if self._stopping.is_set() or host in silent:  # others should not wait for a host that is down
                continue
            try:
                url = allowed_webhook(delivery.url, self._settings.webhook_host)
            except RefusedError:  # it was allowed when the job was sent
                self._give_up(delivery, "its host is not allowed any more")
                continue
            if self._send(http, url, delivery):
                arrived += 1
            else:
                silent.add(host)
        return arrived

    def _send(self, http: httpx.Client, url: str, delivery: Delivery) -> bool:
        data = {"id": delivery.job, "state": delivery.state}
        event = {"type": f"job.{delivery.state}", "timestamp": delivery.created, "data": data}
        body = json.dumps(event).encode()
        headers = webhook_headers(delivery.id, body, self._settings.webhook_secret or "", time.time())
        try:
            with http.stream("POST", url, content=body, headers=headers) as response:
                status = response.status_code  # the body is not read: it could be endless
        except httpx.HTTPError as error:
            self._failed(delivery, type(error).__name__)
            return False
        if 200 <= status < 300:
            self._deliveries.remove(delivery)
            return True
        if status == _GONE:
            self._give_up(delivery, "the receiver wants no more")
        else:
            self._failed(delivery, f"status {status}")
        return False

    def _failed(self, delivery: Delivery, reason: str) -> None:
        if delivery.attempts + 1 >= _MAX_ATTEMPTS:
            self._give_up(delivery, reason)
            return
        pause = backoff_seconds(delivery.attempts + 1, longest=_LONGEST_PAUSE, factor=3.0)
        self._deliveries.postpone(delivery, pause)
        log.warning("webhook of job %s…: %s; again in about %.0f s", delivery.job[:6], reason, pause)

    def _give_up(self, delivery: Delivery, reason: str) -> None:
        self._deliveries.remove(delivery)
        log.warning("webhook of job %s…: given up: %s", delivery.job[:6], reason)
