"""Notices of preemption: each cloud's own words, a network that answers anything, and machines of no cloud."""

from __future__ import annotations

import contextlib
import json
import logging
import socket
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest

from tests.checkpoint.metadata_services import AwsService, AzureService, GcpService, Service, serving
from touchline.checkpoint import PreemptionNotices, StopSignal
from touchline.errors import UsageError

PACE = 0.01
SERVICES: dict[str, type[Service]] = {"gcp": GcpService, "aws": AwsService, "azure": AzureService}


def ahead(seconds: float) -> datetime:
    return datetime.now(UTC) + timedelta(seconds=seconds)


def threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "preemption-notices"]


@pytest.fixture(autouse=True)
def nothing_is_left_running(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("GCE_METADATA_HOST", "AWS_EC2_METADATA_SERVICE_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    yield
    for thread in threads():
        thread.join(10)
        assert not thread.is_alive()


@contextlib.contextmanager
def asking(service: Service, source: str) -> Iterator[StopSignal]:
    """A stop signal that asks ``service``."""
    with (
        serving(service) as address,
        StopSignal(PreemptionNotices(source, seconds=PACE, endpoint=f"http://{address}")) as stop,
    ):
        yield stop


class Ear(logging.Handler):
    """Hears what Touchline logs, and can wait for it."""

    def __init__(self) -> None:
        super().__init__()
        self._said: list[tuple[int, str]] = []
        self._spoken = threading.Condition()

    def emit(self, record: logging.LogRecord) -> None:
        with self._spoken:
            self._said.append((record.levelno, record.getMessage()))
            self._spoken.notify_all()

    def heard(self, level: int) -> list[str]:
        """The sentences of one level."""
        return [sentence for its_level, sentence in self._said if its_level == level]

    def wait_for(self, words: str) -> None:
        """Wait for a sentence with these words."""
        with self._spoken:
            assert self._spoken.wait_for(lambda: any(words in said for _, said in self._said), 10), self._said


@pytest.fixture
def ear(caplog: pytest.LogCaptureFixture) -> Iterator[Ear]:
    caplog.set_level(logging.INFO, "touchline")
    ear = Ear()
    logging.getLogger("touchline").addHandler(ear)
    yield ear
    logging.getLogger("touchline").removeHandler(ear)


def gcp_preempts(service: GcpService) -> None:
    service.say("preempted", "TRUE")


def gcp_maintains(service: GcpService) -> None:
    service.say("maintenance-event", "TERMINATE_ON_HOST_MAINTENANCE")


def aws_terminates(service: AwsService) -> None:
    service.say("spot/instance-action", {"action": "terminate", "time": ahead(120).strftime("%Y-%m-%dT%H:%M:%SZ")})


def azure_preempts(service: AzureService) -> None:
    service.say([azure_event("Preempt", format_datetime(ahead(30), usegmt=True))])


def azure_event(kind: str, not_before: str = "", *machines: str) -> dict[str, object]:
    resources = list(machines or ("striker_0",))
    return {"EventType": kind, "Resources": resources, "NotBefore": not_before, "EventStatus": "Scheduled"}


@pytest.mark.parametrize(
    ("source", "announce", "words"),
    [
        ("gcp", gcp_preempts, ("The GCP metadata service", "preempted", "about 30 s are left")),
        ("gcp", gcp_maintains, ("The GCP metadata service", "maintenance of its host", "a minute is left")),
        ("aws", aws_terminates, ("The AWS metadata service", "'terminate'", "about 1")),
        ("azure", azure_preempts, ("The Azure metadata service", "the event Preempt", "about ")),
    ],
)
def test_a_notice_stops_the_training_and_says_who_told_it_and_what_is_left(
    ear: Ear,
    source: str,
    announce: Callable[[Service], None],
    words: tuple[str, ...],
) -> None:
    service = SERVICES[source]()
    with asking(service, source) as stop:
        service.wait_asked(4)
        assert (stop.requested, stop.told) == (False, None)
        announce(service)
        assert stop.wait(10)
        assert stop.reason == "preempted"
        assert all(word in str(stop.told) for word in words), stop.told
    assert ear.heard(logging.WARNING) == [f"{stop.told} The training stops at its next boundary."]


def test_nobody_is_asked_after_a_notice() -> None:
    service = GcpService()
    gcp_preempts(service)
    with asking(service, "gcp") as stop:
        assert stop.wait(10)
        for thread in threads():
            thread.join(10)
        assert threads() == []
        assert service.requests == [("GET", "/computeMetadata/v1/instance/preempted")]


def test_one_line_is_enough_for_a_loop_of_ones_own(monkeypatch: pytest.MonkeyPatch) -> None:
    service = GcpService()
    gcp_preempts(service)
    with serving(service) as address:
        monkeypatch.setenv("GCE_METADATA_HOST", address)
        with StopSignal(notices="gcp") as stop:
            assert stop.wait(10)
    assert stop.reason == "preempted"


def test_aws_is_found_where_its_variable_says(monkeypatch: pytest.MonkeyPatch) -> None:
    service = AwsService()
    aws_terminates(service)
    with serving(service) as address:
        monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", f"http://{address}/")
        with StopSignal(notices="aws") as stop:
            assert stop.wait(10)


def test_a_session_token_serves_many_questions_and_is_renewed_when_refused() -> None:
    service = AwsService()
    with asking(service, "aws") as stop:
        service.wait_asked(9)
        assert [method for method, _ in service.requests].count("PUT") == 1
        service.expire()
        service.wait_asked_again(9)
        assert [method for method, _ in service.requests].count("PUT") == 2
        aws_terminates(service)
        assert stop.wait(10)


def test_a_notice_whose_time_has_come_or_is_unreadable_still_stops() -> None:
    for when, words in ((ahead(-60).strftime("%Y-%m-%dT%H:%M:%SZ"), "no time is left"), ("soon", "it is for soon")):
        service = AwsService()
        service.say("spot/instance-action", {"action": "stop", "time": when})
        with asking(service, "aws") as stop:
            assert stop.wait(10)
            assert words in str(stop.told)


def test_a_hibernation_has_no_time_and_stops_too() -> None:
    service = AwsService()
    service.say("spot/instance-action", {"action": "hibernate"})
    with asking(service, "aws") as stop:
        assert stop.wait(10)
        assert str(stop.told).endswith("the action 'hibernate' at once.")


def test_an_event_nobody_understands_hides_no_preemption() -> None:
    service = AzureService()
    service.say([{}, azure_event("Preempt")])
    with asking(service, "azure") as stop:
        assert stop.wait(10)
        assert "Preempt" in str(stop.told)


def test_an_event_that_has_begun_stops_too() -> None:
    service = AzureService()
    service.say([azure_event("Terminate")])
    with asking(service, "azure") as stop:
        assert stop.wait(10)
        assert str(stop.told).endswith("the event Terminate for this machine; it has begun.")


def test_the_preemption_of_another_machine_of_the_scale_set_stops_nothing() -> None:
    service = AzureService()
    service.say([azure_event("Preempt", "", "keeper_1")])
    with asking(service, "azure") as stop:
        service.wait_asked(6)
        assert not stop.requested
        service.say([azure_event("Preempt", "", "keeper_1"), azure_event("Preempt", "", "STRIKER_0")])
        assert stop.wait(10)


def test_a_machine_that_cannot_learn_its_name_takes_every_preemption_as_its_own() -> None:
    service = AzureService()
    service.items = {path: text for path, text in service.items.items() if "name" not in path}
    service.say([azure_event("Preempt", "", "keeper_1")])
    with asking(service, "azure") as stop:
        assert stop.wait(10)


@pytest.mark.parametrize(
    ("source", "announce", "words"),
    [
        ("gcp", lambda service: service.say("maintenance-event", "MIGRATE_ON_HOST_MAINTENANCE"), "moves to another"),
        (
            "aws",
            lambda service: service.say("events/recommendations/rebalance", {"noticeTime": "2026-11-24T08:22:00Z"}),
            "at 2026-11-24T08:22:00Z that this machine is at elevated risk",
        ),
        (
            "azure",
            lambda service: service.say([azure_event("Reboot", "Mon, 19 Sep 2026 18:29:47 GMT")]),
            "the event Reboot for this machine, not before Mon, 19 Sep 2026 18:29:47 GMT",
        ),
    ],
)
def test_what_does_not_take_the_machine_away_is_told_once_and_stops_nothing(
    ear: Ear,
    source: str,
    announce: Callable[[Service], None],
    words: str,
) -> None:
    service = SERVICES[source]()
    announce(service)
    with asking(service, source) as stop:
        ear.wait_for(words)
        service.wait_asked_again(6)
        assert not stop.requested
    assert [words in sentence for sentence in ear.heard(logging.INFO)] == [True]


def garbage(text: str) -> Callable[[Service], None]:
    def say(service: Service) -> None:
        service.items = dict.fromkeys(service.items, text)
        service.items["/latest/meta-data/spot/instance-action"] = text

    return say


@pytest.mark.parametrize("source", SERVICES)
@pytest.mark.parametrize("text", ["", "<html>Sign in to the hotel</html>", "[1]", '{"Events": [1]}', "[" * 100_000])
def test_garbage_stops_nothing_and_is_told_once(ear: Ear, source: str, text: str) -> None:
    service = SERVICES[source]()
    garbage(text)(service)
    with asking(service, source) as stop:
        ear.wait_for("does not answer as it should")
        service.wait_asked_again(3)
        assert not stop.requested
    assert len(ear.heard(logging.INFO)) == 1
    assert ear.heard(logging.WARNING) == []


def test_an_error_page_that_looks_like_a_notice_stops_nothing(ear: Ear) -> None:
    service = GcpService()
    gcp_preempts(service)
    service.status = 503
    with asking(service, "gcp") as stop:
        ear.wait_for("HTTP 503 for /computeMetadata/v1/instance/preempted")
        assert not stop.requested


def test_a_service_that_was_away_is_heard_when_it_is_back(ear: Ear) -> None:
    service = GcpService()
    present, service.items = service.items, {}
    with asking(service, "gcp") as stop:
        ear.wait_for("it says None where TRUE or FALSE is documented")
        service.items = present
        gcp_preempts(service)
        assert stop.wait(10)


@pytest.mark.parametrize("source", SERVICES)
def test_a_dead_service_is_told_once_with_the_way_to_turn_it_off(ear: Ear, source: str) -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))  # taken, and nobody listens
        address = f"http://127.0.0.1:{bound.getsockname()[1]}"
        with StopSignal(PreemptionNotices(source, seconds=PACE, endpoint=address)) as stop:
            ear.wait_for("refused")
            assert not stop.requested
    (told,) = ear.heard(logging.INFO)
    assert address in told
    assert "TOUCHLINE_PREEMPTION=off" in told


def test_a_service_that_does_not_answer_is_given_up_and_asked_again(ear: Ear) -> None:
    service = GcpService()
    gcp_preempts(service)
    service.hanging.set()
    with asking(service, "gcp") as stop:
        ear.wait_for("timed out")
        service.hanging.clear()
        assert stop.wait(10)


def test_leaving_does_not_wait_for_a_question_under_way_and_its_answer_is_left_unsaid(
    ear: Ear,
) -> None:
    service = AzureService()  # its first answer may take two minutes
    azure_preempts(service)
    service.hanging.set()
    with asking(service, "azure") as stop:
        service.wait_asked(1)
    for thread in threads():
        thread.join(10)
    assert not stop.requested
    assert ear.heard(logging.WARNING) == []


def test_a_long_pause_ends_at_once_when_the_training_does() -> None:
    service = GcpService()
    with serving(service) as address:
        with StopSignal(PreemptionNotices("gcp", seconds=3600.0, endpoint=f"http://{address}")):
            service.wait_asked(2)
            (thread,) = threads()
        thread.join(10)
        assert not thread.is_alive()


def test_a_proxy_in_the_environment_is_never_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    proxy, service = Service(), GcpService()
    gcp_preempts(service)
    with serving(proxy) as proxy_address:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://{proxy_address}")
        for name in ("no_proxy", "NO_PROXY"):
            monkeypatch.delenv(name, raising=False)
        with asking(service, "gcp") as stop:
            assert stop.wait(10)
        assert proxy.requests == []


def test_the_second_use_of_a_signal_asks_again() -> None:
    service = GcpService()
    with serving(service) as address:
        notices = PreemptionNotices("gcp", seconds=PACE, endpoint=f"http://{address}")
        with StopSignal(notices):
            service.wait_asked(2)
        gcp_preempts(service)
        with StopSignal(notices) as stop:
            assert stop.wait(10)


FIRMWARE = {
    "GCP": {"sys_vendor": "Google", "product_name": "Google Compute Engine"},
    "AWS": {"sys_vendor": "Amazon EC2", "product_name": "g5.xlarge", "board_asset_tag": "i-0af01c0123456789a"},
    "Azure": {
        "sys_vendor": "Microsoft Corporation",
        "product_name": "Virtual Machine",
        "chassis_asset_tag": "7783-7084-3265-9085-8269-3286-77",
    },
}


def write_firmware(directory: Path, strings: dict[str, str]) -> Path:
    for name, text in strings.items():
        (directory / name).write_text(f"{text}\n")
    return directory


@pytest.mark.parametrize("cloud", FIRMWARE)
def test_a_cloud_is_recognised_by_its_machines_firmware(tmp_path: Path, cloud: str) -> None:
    assert PreemptionNotices("auto", dmi=write_firmware(tmp_path, FIRMWARE[cloud])).cloud == cloud


def test_an_older_ec2_machine_on_xen_is_recognised(tmp_path: Path) -> None:
    strings = {"sys_vendor": "Xen", "product_name": "HVM domU", "bios_version": "4.11.amazon"}
    assert PreemptionNotices("auto", dmi=write_firmware(tmp_path, strings)).cloud == "AWS"


@pytest.mark.parametrize(
    "strings",
    [
        {},
        {"sys_vendor": "LENOVO", "product_name": "20XW", "chassis_asset_tag": "No Asset Information"},
        {"sys_vendor": "Google", "product_name": "Eve"},
        {"sys_vendor": "Microsoft Corporation", "product_name": "Virtual Machine", "chassis_asset_tag": "0000-0000"},
        {"sys_vendor": "QEMU", "product_name": "Standard PC (Q35 + ICH9, 2009)"},
    ],
    ids=["no firmware", "laptop", "chromebook", "hyper-v", "qemu"],
)
def test_a_machine_of_no_cloud_asks_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, strings: dict[str, str]
) -> None:
    service = GcpService()
    with serving(service) as address:
        monkeypatch.setenv("GCE_METADATA_HOST", address)
        notices = PreemptionNotices("auto", seconds=PACE, dmi=write_firmware(tmp_path, strings))
        with StopSignal(notices):
            assert threads() == []
        assert notices.cloud is None


@pytest.mark.parametrize("notices", [[], ["off"]], ids=["by default", "turned off"])
def test_no_cloud_is_asked_unless_wanted(notices: list[str]) -> None:
    with StopSignal(*notices):
        assert threads() == []


def test_an_unknown_cloud_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(UsageError, match=r"no source of preemption notices 'gpc'\. Did you mean 'gcp'"):
        StopSignal("gpc")


@pytest.mark.parametrize(
    "address", ["metadata:80", "https://169.254.169.254", "http://", "http://x:port", "http://[x"]
)
def test_an_address_that_is_none_is_refused(address: str) -> None:
    with pytest.raises(UsageError, match="Give it as http://host:port"):
        PreemptionNotices("gcp", endpoint=address)


@pytest.mark.parametrize("seconds", [0.0, -1.0, float("nan"), float("inf")])
def test_a_pace_that_is_none_is_refused(seconds: float) -> None:
    with pytest.raises(UsageError, match="finite pause above 0"):
        PreemptionNotices("gcp", seconds=seconds)


def test_the_first_request_keeps_its_sentence() -> None:
    with StopSignal() as stop:
        stop.request("preempted", "The fourth official holds up the board.")
        stop.request("interrupted", "The keeper shouts.")
    assert (stop.reason, stop.told) == ("preempted", "The fourth official holds up the board.")


def test_an_event_document_reads_as_azure_writes_it() -> None:
    service = AzureService()
    document = {
        "DocumentIncarnation": 2,
        "Events": [
            {
                "EventId": "C7061BAC-AFDC-4513-B24B-AA5F13A16123",
                "EventStatus": "Scheduled",
                "EventType": "Preempt",
                "ResourceType": "VirtualMachine",
                "Resources": ["striker_0"],
                "NotBefore": format_datetime(ahead(3600), usegmt=True),
                "Description": "",
                "EventSource": "Platform",
                "DurationInSeconds": -1,
            }
        ],
    }
    service.items["/metadata/scheduledevents?api-version=2020-07-01"] = json.dumps(document)
    with asking(service, "azure") as stop:
        assert stop.wait(10)
        seconds = int(str(stop.told).partition("about ")[2].split()[0])
        assert 3500 < seconds <= 3600
