"""The clouds that take machines back, and what their metadata services say about the one this process runs on."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol

from touchline.checkpoint.metadata_server import TIMEOUT_SECONDS, MetadataServer, NoAnswer, text_of

LINK_LOCAL = "http://169.254.169.254"


@dataclass(frozen=True)
class Notice:
    """What a metadata service announced."""

    sentence: str
    """Who announced what, and how long is left."""
    takes_machine: bool
    """Whether the machine goes away; False is information, and the training goes on."""


class Cloud(Protocol):
    """One provider: how its machines are recognised, and how its metadata service is asked."""

    name: str
    """As people write it."""
    seconds: float
    """Between two questions, as the provider's documentation recommends."""
    server: MetadataServer

    def __init__(self, endpoint: str | None = None) -> None:
        """``endpoint`` as ``http://host:port``; None is the cloud's variable, or its own address."""

    def ask(self) -> Iterable[Notice]:
        """What is announced now, nothing on most calls. Raises NoAnswer."""

    @staticmethod
    def recognises(dmi: Callable[[str], str]) -> bool:
        """Whether the firmware's strings (``dmi("product_name")``, "" where there is none) are this cloud's."""


class Gcp:
    """Compute Engine: ``instance/preempted`` and ``instance/maintenance-event``.

    Sources: Compute Engine's "Create and use Spot VMs" (the value TRUE; the machine is then off within about 30 s),
    "Query metadata server for maintenance event notices" and "Handle GPU host maintenance events" (60 s ahead, an
    hour for machines with GPUs); "google.auth.environment_vars module" for GCE_METADATA_HOST, and
    "Google::Cloud::Env::ComputeSMBIOS" for the product's name.
    """

    name = "GCP"
    seconds = 5.0

    def __init__(self, endpoint: str | None = None) -> None:
        host = os.environ.get("GCE_METADATA_HOST") or "metadata.google.internal"
        self.server = MetadataServer(endpoint or f"http://{host}")

    def ask(self) -> Iterable[Notice]:
        """Ask for both values. Raises NoAnswer."""
        preempted = self._get("preempted")
        if preempted not in ("TRUE", "FALSE"):
            raise NoAnswer(f"it says {preempted!r:.80} where TRUE or FALSE is documented")
        if preempted == "TRUE":
            yield Notice(f"{_announced(self)} that this machine is preempted; about 30 s are left.", True)
        maintenance = self._get("maintenance-event")
        if maintenance == "TERMINATE_ON_HOST_MAINTENANCE":
            left = "a minute is left, or up to an hour with GPUs"
            yield Notice(f"{_announced(self)} that this machine stops for maintenance of its host; {left}.", True)
        elif maintenance == "MIGRATE_ON_HOST_MAINTENANCE":
            yield Notice(f"{_announced(self)} that this machine moves to another host while it runs.", False)

    def _get(self, item: str) -> str | None:
        text = self.server.get(f"/computeMetadata/v1/instance/{item}", {"Metadata-Flavor": "Google"})
        return None if text is None else text.strip()

    @staticmethod
    def recognises(dmi: Callable[[str], str]) -> bool:
        """By the product's name: Google's laptops have the vendor Google too."""
        return dmi("product_name") in ("Google", "Google Compute Engine")


class Aws:
    """EC2: ``spot/instance-action``, and ``events/recommendations/rebalance`` as information; IMDSv2 alone.

    Sources: the Amazon EC2 User Guide's "Spot Instance interruption notices" (two minutes ahead, to be asked every
    5 s, 404 while there is none), "EC2 instance rebalance recommendations", "Detect whether a host is an EC2
    instance"; "IMDS credential provider" of the AWS SDKs for AWS_EC2_METADATA_SERVICE_ENDPOINT.
    """

    name = "AWS"
    seconds = 5.0
    token_seconds = 21_600
    """Life of a session token, the longest that the service grants."""

    def __init__(self, endpoint: str | None = None) -> None:
        self.server = MetadataServer(endpoint or os.environ.get("AWS_EC2_METADATA_SERVICE_ENDPOINT") or LINK_LOCAL)
        self._token = ""
        self._renew_at = 0.0

    def ask(self) -> Iterable[Notice]:
        """Ask for both items. Raises NoAnswer."""
        action = self._get("spot/instance-action")
        if action is not None:
            yield self._interruption(action)
        rebalance = self._get("events/recommendations/rebalance")
        if rebalance is not None:
            when = _json_object(rebalance).get("noticeTime")
            yield Notice(
                f"{_announced(self)} at {when} that this machine is at elevated risk of interruption.", False
            )

    def _interruption(self, text: str) -> Notice:
        told = _json_object(text)
        action, at = told.get("action"), told.get("time")
        if not isinstance(action, str):
            raise NoAnswer(f"it says {text!r:.80} where an action is documented")
        left = f"for {at}; {_left(at, datetime.fromisoformat)}" if at else "at once"  # hibernation has no time
        return Notice(f"{_announced(self)} the action {action!r} {left}.", True)

    def _get(self, item: str) -> str | None:
        path = f"/latest/meta-data/{item}"
        if time.monotonic() >= self._renew_at:
            self._renew()
        status, text = self.server.request("GET", path, {"X-aws-ec2-metadata-token": self._token})
        if status == 401:
            self._renew()
            status, text = self.server.request("GET", path, {"X-aws-ec2-metadata-token": self._token})
        return text_of(status, text, path)

    def _renew(self) -> None:
        life = {"X-aws-ec2-metadata-token-ttl-seconds": str(self.token_seconds)}
        status, text = self.server.request("PUT", "/latest/api/token", life)
        token = text.strip()
        if status != 200 or not (token and token.isascii() and token.isprintable()):
            raise NoAnswer(f"HTTP {status} and no token when a session is asked for")
        self._token, self._renew_at = token, time.monotonic() + self.token_seconds / 2

    @staticmethod
    def recognises(dmi: Callable[[str], str]) -> bool:
        """By the vendor on Nitro, by the firmware's version on Xen."""
        return dmi("sys_vendor") == "Amazon EC2" or "amazon" in dmi("bios_version").lower()


class Azure:
    """Scheduled events of the types Preempt and Terminate; Reboot, Redeploy and Freeze as information.

    Sources: Azure's "Scheduled Events for Linux VMs in Azure" (30 s ahead, to be asked every second; the first answer
    takes up to two minutes; events of a whole scale set are told to each of its machines), "Azure Instance Metadata
    Service" (proxies must be bypassed; ``compute/name``), "Troubleshoot Linux update agent issues" (the asset tag).
    """

    name = "Azure"
    seconds = 1.0
    first_timeout_seconds = 130.0

    def __init__(self, endpoint: str | None = None) -> None:
        self.server = MetadataServer(endpoint or LINK_LOCAL)
        self._timeout = self.first_timeout_seconds
        self._machine: str | None = None

    def ask(self) -> Iterable[Notice]:
        """Ask for the events. Raises NoAnswer."""
        path = "/metadata/scheduledevents?api-version=2020-07-01"
        text = self.server.get(path, {"Metadata": "true"}, self._timeout)
        self._timeout = TIMEOUT_SECONDS
        events = _json_object(text or "").get("Events")
        if not isinstance(events, list) or not all(isinstance(event, dict) for event in events):
            raise NoAnswer("it gives no list of events")
        return [self._notice(event) for event in events if self._is_ours(event)]

    def _notice(self, event: dict[str, Any]) -> Notice:
        kind, begins = event.get("EventType"), event.get("NotBefore")
        what = f"{_announced(self)} the event {kind} for this machine"
        if kind not in ("Preempt", "Terminate"):
            return Notice(f"{what}, {f'not before {begins}' if begins else 'which has begun'}.", False)
        return Notice(f"{what}; {_left(begins, parsedate_to_datetime) if begins else 'it has begun'}.", True)

    def _is_ours(self, event: dict[str, Any]) -> bool:
        """Whether the event is this machine's; an unknown name counts as ours: a stop too many loses no work."""
        machines = event.get("Resources")
        if not isinstance(machines, list):
            return True
        name = self._name()
        return name is None or name.casefold() in [str(machine).casefold() for machine in machines]

    def _name(self) -> str | None:
        if self._machine is None:
            path = "/metadata/instance/compute/name?api-version=2021-02-01&format=text"
            try:
                self._machine = (self.server.get(path, {"Metadata": "true"}) or "").strip() or None
            except NoAnswer:
                return None
        return self._machine

    @staticmethod
    def recognises(dmi: Callable[[str], str]) -> bool:
        """By the chassis' tag: other Hyper-V machines have Microsoft's vendor and product too."""
        return dmi("chassis_asset_tag") == "7783-7084-3265-9085-8269-3286-77"


CLOUDS: Mapping[str, type[Cloud]] = MappingProxyType({"gcp": Gcp, "aws": Aws, "azure": Azure})


def detect(directory: Path) -> type[Cloud] | None:
    """The cloud whose machine this is, from the kernel's directory of DMI strings; None on any other machine."""

    def dmi(name: str) -> str:
        try:
            return (directory / name).read_text(encoding="utf-8", errors="replace").strip()
        except OSError:
            return ""

    return next((cloud for cloud in CLOUDS.values() if cloud.recognises(dmi)), None)


def _announced(cloud: Cloud) -> str:
    return f"The {cloud.name} metadata service announced"


def _left(at: Any, parse: Callable[[str], datetime]) -> str:
    try:
        seconds = (parse(at) - datetime.now(UTC)).total_seconds()
    except (AttributeError, TypeError, ValueError):
        return f"it is for {at}"
    return f"about {seconds:.0f} s are left" if seconds > 0 else "no time is left"


def _json_object(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise NoAnswer(f"it says {text!r:.80}, which is not JSON") from error
    if not isinstance(value, dict):
        raise NoAnswer(f"it says {text!r:.80} where an object is documented")
    return value
