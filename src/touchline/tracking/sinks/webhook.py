"""Decisions, alerts and untimely ends as signed HTTP requests, to a chat or to whatever else listens.

The requests are those of Standard Webhooks 1.0.0 (standardwebhooks.com): the headers ``webhook-id``,
``webhook-timestamp`` and ``webhook-signature``, a body with ``type``, ``timestamp`` and ``data``. Its field ``text``,
a sentence, is what Slack's and Mattermost's incoming webhooks show. The address may hold a secret of its own, so both
it and the secret that signs are read from the environment only.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.client
import json
import os
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from touchline.config import WEBHOOK_SECRET, WEBHOOK_URL, Settings
from touchline.tracking.decisions import headline_of_decision
from touchline.tracking.journal import Event
from touchline.tracking.narrate import headline
from touchline.tracking.sinks.base import RunInfo, SetAside, SinkUnavailable

TIMEOUT_SECONDS = 10.0
ALERTED = ("warn", "error")
"""Levels of the alerts that are sent."""
UNTIMELY = ("failed", "killed", "preempted")
"""Ends of a run that are sent."""
_SECRET_PREFIX = "whsec_"
_REFUSED = (400, 413, 415, 422)
"""Answers that blame what was sent: the same would be refused again."""


class WebhookSink:
    """Sends to the address in ``TOUCHLINE_WEBHOOK_URL``, signed if ``TOUCHLINE_WEBHOOK_SECRET`` is set."""

    name = "webhook"
    append_only = True

    def __init__(self, settings: Settings) -> None:
        """Read the address and the secret."""
        self._url = os.environ.get(WEBHOOK_URL, "")
        self._key = _key(os.environ.get(WEBHOOK_SECRET, ""))

    @staticmethod
    def destination(settings: Settings) -> str:
        """Name the host, and the rest of the address by its digest: it may be secret."""
        url = os.environ.get(WEBHOOK_URL, "")
        return f"{urllib.parse.urlsplit(url).hostname or 'nowhere'} {hashlib.sha256(url.encode()).hexdigest()[:12]}"

    def check(self) -> None:
        """See whether there is an address; whether it answers shows when something is sent, and not before."""
        parts = urllib.parse.urlsplit(self._url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            what = "is not set" if not self._url else "is no http:// or https:// address"
            raise SinkUnavailable(
                f"{WEBHOOK_URL} {what}. Set it, or take webhook out of the sinks; then: touchline sync",
                permanent=True,
            )

    def open(self, run: RunInfo, delivered: int, sent: int) -> WebhookSession:
        """Go on after what was delivered; a receiver knows what it gets twice by ``webhook-id``."""
        self.check()
        return WebhookSession(self._url, self._key, run, delivered)


class WebhookSession:
    """One run's requests, one at a time and in order."""

    url = ""

    def __init__(self, url: str, key: bytes | None, run: RunInfo, delivered: int) -> None:
        self.remote_id = run.id
        self.resume_from = delivered
        self._url, self._key, self._run = url, key, run
        self._done = delivered

    def send(self, events: Sequence[Event]) -> list[SetAside]:
        """Send those that are told; all others have arrived by being passed over."""
        refused = []
        for event in events:
            if event.seq > self._done:
                if (told := _told(event)) is not None and (reason := self._post(str(event.seq), event.time, *told)):
                    refused.append(SetAside(event.seq, f"{event.kind}: {reason}"))
                self._done = event.seq
        return refused

    def acknowledged(self) -> int:
        """Newest event that was answered, or passed over."""
        return self._done

    def high_water(self) -> Mapping[str, int]:
        """No metric is sent."""
        return {}

    def close(self, status: str, reason: str, alert: bool) -> None:
        """Tell of an untimely end."""
        if status in UNTIMELY:
            text = f"{self._run.name} ({self._run.job}) {status}" + (f": {reason}" if reason else "")
            self._post(status, time.time(), f"run.{status}", text, {"reason": reason})

    def release(self) -> None:
        """Nothing is held."""

    def _post(self, which: str, moment: float, kind: str, text: str, details: Mapping[str, Any]) -> str:
        """Send one message; returns why the receiver refused it, or an empty text. Raises SinkUnavailable."""
        run = self._run
        body = {
            "type": kind,
            "timestamp": datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds"),
            "text": text,
            "data": {"run": {"id": run.id, "name": run.name, "job": run.job, "project": run.project}, **details},
        }
        content = json.dumps(body, separators=(",", ":")).encode()
        headers = signed(f"{run.id}.{which}", int(time.time()), content, self._key)
        request = urllib.request.Request(self._url, content, headers, method="POST")
        host = urllib.parse.urlsplit(self._url).hostname
        try:
            with _OPENER.open(request, timeout=TIMEOUT_SECONDS):
                return ""
        except urllib.error.HTTPError as error:
            with error:
                if error.code in _REFUSED:
                    return f"{host} refuses it with HTTP {error.code}: {error.read(200).decode(errors='replace')}"
                gone = error.code < 500 and error.code not in (408, 425, 429)
                remedy = f"Mend {WEBHOOK_URL} or {WEBHOOK_SECRET}, then: touchline sync" if gone else "Tried again."
                raise SinkUnavailable(f"{host} answers HTTP {error.code}. {remedy}", permanent=gone) from error
        except (OSError, http.client.HTTPException) as error:
            # The text of the error may hold the address, and with it a secret.
            cause = getattr(error, "reason", error)
            raise SinkUnavailable(
                f"{host} cannot be reached ({type(cause).__name__}). Check the network and {WEBHOOK_URL}."
            ) from error


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect would send a signed message to somebody else."""

    def redirect_request(self, *arguments: Any) -> None:
        """Follow none."""


_OPENER = urllib.request.build_opener(_NoRedirect)


def signed(message_id: str, timestamp: int, content: bytes, key: bytes | None) -> dict[str, str]:
    """Return the headers of Standard Webhooks: HMAC-SHA256 over ``id.timestamp.content``, in base64.

    ``timestamp``: seconds since the epoch, of this attempt. Without a ``key`` there is no signature.
    """
    headers = {
        "content-type": "application/json",
        "user-agent": "touchline",
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
    }
    if key is not None:
        digest = hmac.digest(key, b".".join((message_id.encode(), str(timestamp).encode(), content)), "sha256")
        headers["webhook-signature"] = f"v1,{base64.b64encode(digest).decode()}"
    return headers


def _key(secret: str) -> bytes | None:
    """The key of a secret: ``whsec_`` and base64, as the standard writes it, or any other text as it is."""
    if not secret:
        return None
    if secret.startswith(_SECRET_PREFIX):
        try:
            return base64.b64decode(secret.removeprefix(_SECRET_PREFIX), validate=True)
        except ValueError as error:
            raise SinkUnavailable(
                f"{WEBHOOK_SECRET} begins with {_SECRET_PREFIX}, but base64 does not follow. Copy it again.",
                permanent=True,
            ) from error
    return secret.encode()


def _told(event: Event) -> tuple[str, str, Mapping[str, Any]] | None:
    """The type, the sentence and the details of an event that is sent; None for any other."""
    if event.kind == "decision":
        kind = event.payload["decision"].replace(" ", "-")
        return f"decision.{kind}", headline_of_decision(event.payload), event.payload
    if event.kind == "alert" and event.payload.get("level") in ALERTED:
        return f"alert.{event.payload['level']}", headline(event), event.payload
    return None
