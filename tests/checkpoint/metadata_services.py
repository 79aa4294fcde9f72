"""Loopback servers that play the metadata services of the clouds, strict about what their documentation requires."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

GCP_ITEMS = {"preempted": "FALSE", "maintenance-event": "NONE"}


class Service:
    """One machine's metadata: ``items`` by path, which a test changes while it is asked."""

    def __init__(self) -> None:
        self.items: dict[str, str] = {}
        self.status = 200
        """HTTP status of the items."""
        self.requests: list[tuple[str, str]] = []
        """(method, path) of each request."""
        self.hanging = threading.Event()
        """While set, requests are taken and not answered until the server goes."""
        self.going = threading.Event()
        self._asked = threading.Condition()

    def answer(self, method: str, path: str, headers: Any) -> tuple[int, str]:
        """Status and text."""
        return (self.status, self.items[path]) if path in self.items else (404, "Not Found")

    def note(self, method: str, path: str) -> None:
        """Remember a request that arrived."""
        with self._asked:
            self.requests.append((method, path))
            self._asked.notify_all()

    def wait_asked(self, times: int, seconds: float = 10.0) -> None:
        """Wait until so many requests have come in all."""
        with self._asked:
            assert self._asked.wait_for(lambda: len(self.requests) >= times, seconds), self.requests

    def wait_asked_again(self, times: int) -> None:
        """Wait for so many requests from now on."""
        self.wait_asked(len(self.requests) + times)


class GcpService(Service):
    """Refuses what has no ``Metadata-Flavor: Google``."""

    def __init__(self) -> None:
        super().__init__()
        for item, value in GCP_ITEMS.items():
            self.say(item, value)

    def say(self, item: str, value: str) -> None:
        """Set a value below ``instance/``."""
        self.items[f"/computeMetadata/v1/instance/{item}"] = value

    def answer(self, method: str, path: str, headers: Any) -> tuple[int, str]:
        if headers.get("Metadata-Flavor") != "Google":
            return 403, "Missing Metadata-Flavor:Google header."
        return super().answer(method, path, headers)


class AwsService(Service):
    """IMDSv2: gives tokens to PUT, refuses a GET without the newest one."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens: list[str] = []

    def say(self, item: str, value: object) -> None:
        """Set a value below ``meta-data/``."""
        self.items[f"/latest/meta-data/{item}"] = json.dumps(value)

    def expire(self) -> None:
        """Make every token so far invalid."""
        self.tokens.append("known to nobody")

    def answer(self, method: str, path: str, headers: Any) -> tuple[int, str]:
        if method == "PUT":
            life = int(headers.get("X-aws-ec2-metadata-token-ttl-seconds") or 0)
            if path != "/latest/api/token" or not 1 <= life <= 21_600:
                return 400, "Bad Request"
            self.tokens.append(f"token-{len(self.tokens)}")
            return 200, self.tokens[-1]
        if not self.tokens or headers.get("X-aws-ec2-metadata-token") != self.tokens[-1]:
            return 401, "Unauthorized"
        return super().answer(method, path, headers)


class AzureService(Service):
    """Scheduled events of a machine called ``Striker_0``; refuses what has no ``Metadata: true`` or version."""

    def __init__(self) -> None:
        super().__init__()
        self.items["/metadata/instance/compute/name?api-version=2021-02-01&format=text"] = "Striker_0"
        self.say([])

    def say(self, events: object) -> None:
        """Set the events."""
        document = json.dumps({"DocumentIncarnation": 1, "Events": events})
        self.items["/metadata/scheduledevents?api-version=2020-07-01"] = document

    def answer(self, method: str, path: str, headers: Any) -> tuple[int, str]:
        if headers.get("Metadata") != "true":
            return 400, "Bad Request"
        return super().answer(method, path, headers)


@contextlib.contextmanager
def serving(service: Service) -> Iterator[str]:
    """Serve on a free loopback port while the context lasts; yields ``host:port``."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            service.note(self.command, self.path)
            if service.hanging.is_set():
                service.going.wait(30)
            status, text = service.answer(self.command, self.path, self.headers)
            with contextlib.suppress(OSError):  # who asked may have given up
                self.send_response(status)
                self.end_headers()
                self.wfile.write(text.encode())

        do_PUT = do_GET

        def log_message(self, format: str, *arguments: object) -> None:
            """Print nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        service.going.set()
        server.shutdown()
        thread.join()
        server.server_close()
