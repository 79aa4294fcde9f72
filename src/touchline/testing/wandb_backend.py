"""A W&B server on loopback, good enough for the real SDK: for tests without a network and without an account.

It keeps what arrives in memory: history rows, summaries, configs, alerts, files, artifacts, final states. It
deduplicates nothing by itself: it reports a run's tail and line count, from which the SDK drops older steps and
counts its lines, and writes lines where it is told to. It can play outages, slowness and answers that lag behind.
"""

from __future__ import annotations

import base64
import json
import re
import socket
import threading
import time
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, ClassVar

from touchline.testing.loopback import LoopbackHandler, LoopbackServer
from touchline.testing.wandb_answers import ANSWERS, ENTITY, find_artifact

__all__ = ["API_KEY", "ENTITY", "BackendRun", "WandbBackend", "silent_port", "wandb_backend"]

API_KEY = "0123456789abcdef0123456789abcdef01234567"
"""A key of the right form; the backend takes it and refuses every other."""


@dataclass
class BackendRun:
    """What the server knows of one run."""

    name: str
    project: str = ""
    display_name: str = ""
    job_type: str = ""
    group: str = ""
    config: dict[str, Any] = field(default_factory=dict)
    tags: list[str] = field(default_factory=list)
    summary: dict[str, Any] = field(default_factory=dict)
    history_lines: list[str] = field(default_factory=list)
    event_lines: list[str] = field(default_factory=list)
    log_lines: list[str] = field(default_factory=list)
    files: dict[str, bytes] = field(default_factory=dict)
    alerts: list[dict[str, Any]] = field(default_factory=list)
    artifacts: list[dict[str, Any]] = field(default_factory=list)
    arrivals: list[tuple[float, int]] = field(default_factory=list)
    """(monotonic seconds, number of history lines after it) of each request that brought some."""
    exit_code: int | None = None
    complete: bool = False

    @property
    def history(self) -> list[dict[str, Any]]:
        """The history rows, decoded, in the order of arrival."""
        return [json.loads(line) for line in self.history_lines]


class WandbBackend(LoopbackServer):
    """The server; ``url`` goes to WANDB_BASE_URL and ``API_KEY`` to WANDB_API_KEY."""

    def __init__(self) -> None:
        """Bind a free port; ``start`` begins to answer."""
        self.runs: dict[str, BackendRun] = {}
        self.operations: list[str] = []
        self.fail_with: int | None = None
        """An HTTP status that every request gets instead of an answer, to play an outage."""
        self.fail_operations: dict[str, int] = {}
        """HTTP statuses that single GraphQL operations get instead of an answer."""
        self.fail_stream: int | None = None
        """An HTTP status that every file-stream request gets instead of an answer."""
        self.hang_stream: set[str] = set()
        """Runs whose file-stream requests are taken and not answered for as long as they are named here."""
        self.stale_seconds = 0.0
        """The tail and line count that are answered are so many seconds old."""
        self.stale_rows = 0
        """The tail and line count that are answered lack so many of the newest rows."""
        self.delay_seconds = 0.0
        """Every answer takes so long."""
        self._lock = threading.RLock()
        super().__init__(type("Handler", (_Handler,), {"backend": self}))

    def run(self, name: str) -> BackendRun:
        """The run with the id ``name``, created when it is not known."""
        with self._lock:
            return self.runs.setdefault(name, BackendRun(name))

    def graphql(self, query: str, variables: dict[str, Any]) -> dict[str, Any]:
        """Answer one GraphQL request."""
        operation = _operation(query)
        with self._lock:
            self.operations.append(operation)
            answer = ANSWERS.get(operation)
            return answer(self, variables) if answer else {}

    def visible_rows(self, run: BackendRun) -> int:
        """History lines of a run that are told of: fewer than there are while answers lag behind."""
        known = len(run.history_lines)
        if self.stale_seconds:
            before = time.monotonic() - self.stale_seconds
            known = max((count for moment, count in run.arrivals if moment <= before), default=0)
        return max(known - self.stale_rows, 0)

    def stream(self, name: str, body: dict[str, Any]) -> None:
        """Take a file-stream request: lines written at an offset, as the real service does."""
        with self._lock:
            run = self.run(name)
            for file, chunk in (body.get("files") or {}).items():
                lines = {
                    "wandb-history.jsonl": run.history_lines,
                    "wandb-events.jsonl": run.event_lines,
                    "output.log": run.log_lines,
                }.get(file)
                if lines is not None:
                    offset = chunk["offset"]
                    lines[offset : offset + len(chunk["content"])] = chunk["content"]
                    if lines is run.history_lines:
                        run.arrivals.append((time.monotonic(), len(lines)))
                elif file == "wandb-summary.json" and chunk["content"]:
                    run.summary = json.loads(chunk["content"][-1])
            if body.get("complete") is not None:
                run.complete = bool(body["complete"])
            if body.get("exitcode") is not None:
                run.exit_code = int(body["exitcode"])


def _operation(query: str) -> str:
    match = re.search(r"(?:query|mutation)\s+(\w+)", query)
    return match.group(1) if match else ""


@contextmanager
def wandb_backend() -> Iterator[WandbBackend]:
    """Serve a backend for the duration of a ``with`` block."""
    backend = WandbBackend()
    backend.start()
    try:
        yield backend
    finally:
        backend.stop()


@contextmanager
def silent_port() -> Iterator[str]:
    """Base URL of a port that takes connections and never answers, as one behind a firewall may."""
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


class _Handler(LoopbackHandler):
    backend: ClassVar[WandbBackend]

    def do_POST(self) -> None:
        body = self._body()
        # A client that takes this server for its proxy names the whole URL.
        path = urllib.parse.urlsplit(self.path).path
        if self._refused(path == "/graphql"):
            return
        if path == "/graphql":
            request = json.loads(body)
            status = self.backend.fail_operations.get(_operation(request["query"]))
            if status is not None:
                self._answer({"errors": [{"message": "played failure"}]}, status)
                return
            self._answer({"data": self.backend.graphql(request["query"], request.get("variables") or {})})
        elif match := re.fullmatch(r"/files/[^/]+/[^/]+/([^/]+)/file_stream", path):
            if self.backend.fail_stream is not None:
                self._answer({"error": "played failure"}, self.backend.fail_stream)
                return
            while match.group(1) in self.backend.hang_stream:
                time.sleep(0.05)
            self.backend.stream(match.group(1), json.loads(body))
            self._answer({"exitcode": None, "limits": {}})
        else:
            self._answer({}, 404)

    def do_PUT(self) -> None:
        body = self._body()
        if self._refused(False):
            return
        kind, _, rest = urllib.parse.urlsplit(self.path).path.removeprefix("/").partition("/")
        owner, _, name = rest.partition("/")
        if kind == "upload":
            self.backend.run(owner).files[name] = body
        elif kind == "artifact":
            find_artifact(self.backend, owner)["files"][name] = body
        self._answer({})

    def do_GET(self) -> None:
        if not self._refused(False):
            self._answer({})

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _refused(self, wants_key: bool) -> bool:
        time.sleep(self.backend.delay_seconds)
        if self.backend.fail_with is not None:
            self._answer({"error": "played outage"}, self.backend.fail_with)
            return True
        expected = "Basic " + base64.b64encode(f"api:{API_KEY}".encode()).decode()
        if wants_key and self.headers.get("Authorization") != expected:
            self._answer({"error": "bad key"}, 401)
            return True
        return False

    def _answer(self, body: dict[str, Any], status: int = 200) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:
        """Stay silent."""
