"""The webhook sink: real requests to a receiver on loopback, which checks their signatures."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from touchline import start_run
from touchline.config import Settings
from touchline.tracking.journal import Event
from touchline.tracking.sinks import load_sink
from touchline.tracking.sinks.base import RunInfo, SinkUnavailable
from touchline.tracking.sinks.webhook import signed

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
RUN = RunInfo("r-1", "gate3", "bold-fox", "soccer", Path(), 0.0)
DECISION = {
    "decision": "promoted",
    "model": "a.b.c",
    "alias": "Champion",
    "version": 4,
    "previous": 3,
    "reason": "Passed.",
    "provisional": True,
    "details": {},
}


class Receiver(ThreadingHTTPServer):
    """Keeps what it gets, answers what it is told to."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.got: list[tuple[dict[str, str], bytes]] = []
        self.answers: list[int] = []
        """Statuses of the next requests; 200 after that."""
        self.url = f"http://127.0.0.1:{self.server_port}/hook/very-secret-path"

    def bodies(self) -> list[dict[str, Any]]:
        return [json.loads(content) for _, content in self.got]


class _Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        content = self.rfile.read(int(self.headers["content-length"]))
        status = self.server.answers.pop(0) if self.server.answers else 200
        if status == 200:
            self.server.got.append(({k.lower(): v for k, v in self.headers.items()}, content))
        self.send_response(status)
        self.send_header("location", "/elsewhere")
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *arguments: Any) -> None:
        pass


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    with Receiver() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("TOUCHLINE_WEBHOOK_URL", server.url)
        monkeypatch.setenv("TOUCHLINE_WEBHOOK_SECRET", SECRET)
        yield server
        server.shutdown()


def event(seq: int, kind: str, payload: dict[str, Any]) -> Event:
    return Event(seq=seq, kind=kind, step=0, time=1_700_000_000.0, payload=payload)


def session(delivered: int = 0) -> Any:
    return load_sink("webhook", Settings()).open(RUN, delivered, delivered)


def test_the_signature_is_the_one_of_the_standards_own_example() -> None:
    content = b'{"test": 2432232314}'
    key = base64.b64decode(SECRET.removeprefix("whsec_"))
    headers = signed("msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, content, key)
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_a_decision_arrives_signed_and_with_a_sentence(receiver: Receiver) -> None:
    open_session = session()
    assert open_session.send([event(7, "decision", DECISION)]) == []
    ((headers, content),) = receiver.got
    body = json.loads(content)
    assert body["type"] == "decision.promoted"
    assert body["text"] == "a.b.c version 4 promoted to @Champion, provisionally (version before: 3): Passed."
    assert body["data"]["run"]["id"] == "r-1"
    assert body["data"]["version"] == 4
    assert headers["webhook-id"] == "r-1.7"
    message = b".".join((headers["webhook-id"].encode(), headers["webhook-timestamp"].encode(), content))
    key = base64.b64decode(SECRET.removeprefix("whsec_"))
    expected = base64.b64encode(hmac.new(key, message, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{expected}"
    assert open_session.acknowledged() == 7


def test_only_what_people_should_hear_is_sent(receiver: Receiver) -> None:
    open_session = session()
    quiet = [event(1, "metrics", {"loss": 1.0}), event(2, "alert", {"title": "hi", "text": "", "level": "info"})]
    loud = event(3, "alert", {"title": "Memory", "text": "nearly full", "level": "warn"})
    open_session.send([*quiet, loud])
    open_session.close("finished", "", alert=False)
    open_session.close("killed", "unknown", alert=True)
    assert [body["type"] for body in receiver.bodies()] == ["alert.warn", "run.killed"]
    assert receiver.bodies()[0]["text"] == "Memory. nearly full"


def test_a_message_is_repeated_under_its_id_until_it_is_taken(receiver: Receiver) -> None:
    receiver.answers = [503, 429]
    open_session = session()
    for _ in range(2):
        with pytest.raises(SinkUnavailable) as raised:
            open_session.send([event(7, "decision", DECISION)])
        assert not raised.value.permanent
        assert open_session.acknowledged() == 0
    open_session.send([event(7, "decision", DECISION)])
    open_session.send([event(7, "decision", DECISION)])
    assert [headers["webhook-id"] for headers, _ in receiver.got] == ["r-1.7"]


def test_what_the_receiver_refuses_for_good_blocks_nothing(receiver: Receiver) -> None:
    receiver.answers = [422]
    open_session = session()
    refused = open_session.send([event(7, "decision", DECISION), event(8, "decision", DECISION)])
    assert [one.seq for one in refused] == [7]
    assert [headers["webhook-id"] for headers, _ in receiver.got] == ["r-1.8"]


@pytest.mark.parametrize("status", [301, 307, 401, 404, 410])
def test_an_address_that_is_wrong_waits_for_a_person(receiver: Receiver, status: int) -> None:
    receiver.answers = [status]
    with pytest.raises(SinkUnavailable, match=f"HTTP {status}") as raised:
        session().send([event(7, "decision", DECISION)])
    assert raised.value.permanent
    assert not receiver.got, "a redirect must not be followed"


def test_no_message_gives_the_address_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOUCHLINE_WEBHOOK_URL", "http://user:hunter2@127.0.0.1:9/very-secret-path")
    sink = load_sink("webhook", Settings())
    with pytest.raises(SinkUnavailable) as raised:
        sink.open(RUN, 0, 0).send([event(7, "decision", DECISION)])
    told = str(raised.value) + type(sink).destination(Settings())  # type: ignore[attr-defined]
    assert "hunter2" not in told and "very-secret-path" not in told


@pytest.mark.parametrize("url", ["", "ftp://somewhere", "nonsense"])
def test_an_address_that_is_none_is_told(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("TOUCHLINE_WEBHOOK_URL", url)
    with pytest.raises(SinkUnavailable, match="TOUCHLINE_WEBHOOK_URL"):
        load_sink("webhook", Settings()).check()


def test_a_run_tells_its_decision_through_a_courier(
    tmp_path: Path, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOUCHLINE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TOUCHLINE_SINKS", "webhook")
    receiver.answers = [503]
    with start_run("gate3") as run:
        run.log_decision(
            "rolled back", model="a.b.c", alias="Champion", version=3, previous=4, reason="It falls in the rain."
        )
        assert run.wait_delivered("webhook", 300)
    texts = [body["text"] for body in receiver.bodies()]
    assert texts == ["a.b.c rolled back to version 3 as @Champion (version before: 4): It falls in the rain."]
    journal = (tmp_path / "home").rglob("*")
    assert not any(b"very-secret-path" in path.read_bytes() for path in journal if path.is_file())
