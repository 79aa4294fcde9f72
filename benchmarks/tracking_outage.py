"""Both far sides closed, silent, or answering 500: how long start and finish take, and what the loop meets.

Goals: start at most 3 s, finish at most 5 s, no exception in the loop. wandb and MLflow with their defaults stand
beside it, given up after two minutes. Usage: python benchmarks/tracking_outage.py [--quick]
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, TextIO

from harness import PEERS, Part, environment, scratch, stand_in, table

WHO = ("touchline", "wandb", "mlflow")


@contextlib.contextmanager
def closed() -> Iterator[str]:
    """A port that nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{free.getsockname()[1]}"


@contextlib.contextmanager
def silent() -> Iterator[str]:
    """A port that accepts and never answers."""
    held: list[socket.socket] = []

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                held.append(server.accept()[0])

    with socket.create_server(("127.0.0.1", 0), backlog=128) as server:
        threading.Thread(target=accept, daemon=True).start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
    for connection in held:
        connection.close()


class _Failing(BaseHTTPRequestHandler):
    def _fail(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.send_error(500)

    do_GET = do_POST = do_PUT = do_PATCH = _fail

    def log_message(self, format: str, *args: object) -> None:
        """Stay silent."""


@contextlib.contextmanager
def failing() -> Iterator[str]:
    """A server whose every answer is 500."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Failing)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


OUTAGES: dict[str, Callable[[], contextlib.AbstractContextManager[str]]] = {
    "closed port": closed,
    "accepts, never answers": silent,
    "answers 500": failing,
}


MIDWAY = {"killed in the middle": signal.SIGKILL, "stopped in the middle": signal.SIGSTOP}
"""What happens to both servers while a run is open; a stopped one accepts and never answers."""


def through(part: Part, who: str, outage: str) -> dict[str, Any]:
    """Run one training through one outage; the slowest of each figure, until the process ends."""
    patience = part.size(120, 20) + (60 if who == "touchline" else 0)
    with OUTAGES[outage]() as url, scratch() as home:
        command = [sys.executable, str(PEERS / "outage.py"), who, url, url, str(home)]
        began = time.perf_counter()
        with (home / "said").open("w+") as said:
            process = subprocess.Popen(command, stdout=said, stderr=subprocess.DEVNULL, env=environment(), cwd=home)
            try:
                process.wait(patience)
                ended = True
            except subprocess.TimeoutExpired:
                ended = False
                process.kill()
                process.wait()
            return figures_in(said, began, ended)


@contextlib.contextmanager
def mlflow_server(home: Path) -> Iterator[tuple[str, int]]:
    """A real MLflow server; its address and its process group."""
    with closed() as url:
        port = url.rpartition(":")[2]
    store = f"sqlite:///{home / 'server.db'}"
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", store, "--port", port]
    process = subprocess.Popen(
        [*command, "--workers", "1", "--artifacts-destination", str(home / "served")],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=environment(),
        cwd=home,
        start_new_session=True,
    )
    try:
        until(lambda: answers(f"{url}/health"), 180.0)
        yield url, process.pid
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def answers(url: str) -> bool:
    """True when a server is there."""
    try:
        with urllib.request.urlopen(url, timeout=1.0):
            return True
    except OSError:
        return False


def until(condition: Callable[[], bool], seconds: float) -> None:
    """Wait until it is so; raises TimeoutError when it is not in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"What was awaited did not happen within {seconds:g} s.")
        time.sleep(0.05)


def midway(how: signal.Signals) -> dict[str, Any]:
    """Ours, when a real MLflow server and the W&B stand-in are killed or stopped in the middle of a run."""
    with scratch() as home, mlflow_server(home) as (url, group), stand_in() as server:
        (home / "midway").touch()
        command = [sys.executable, str(PEERS / "outage.py"), "touchline", url, server.url, str(home)]
        began = time.perf_counter()
        with (home / "said").open("w+") as said:
            process = subprocess.Popen(command, stdout=said, stderr=subprocess.DEVNULL, env=environment(), cwd=home)
            try:
                until(lambda: not (home / "midway").exists() or process.poll() is not None, 120.0)
                os.killpg(group, how)
                server.signal(how)
                (home / "out").touch()
                process.wait(120.0)
            finally:
                process.kill()
                process.wait()
            return figures_in(said, began, ended=True)


def figures_in(said: TextIO, began: float, ended: bool) -> dict[str, Any]:
    """What a child told, the slowest of each figure."""
    figures: dict[str, Any] = {"process_seconds": round(time.perf_counter() - began, 1), "ended": ended}
    said.seek(0)
    for line in said:
        if line.startswith("{"):
            for name, value in json.loads(line).items():
                figures[name] = value if isinstance(value, str) else round(max(value, figures.get(name, 0.0)), 3)
    return figures


def main() -> None:
    """Measure ours outage by outage, the peers at once (they only wait), keep and print."""
    part = Part("outage", __doc__)
    for outage in OUTAGES:
        part.measure(f"touchline, {outage}", partial(through, part, "touchline", outage))
    for name, how in MIDWAY.items():
        part.measure(f"touchline, {name}", partial(midway, how))
    cases = [(who, outage) for who in WHO[1:] for outage in OUTAGES]
    missing = [case for case in cases if ", ".join(case) not in part.results]
    with ThreadPoolExecutor(len(cases)) as pool:
        for case, found in zip(missing, pool.map(lambda case: through(part, *case), missing), strict=True):
            part.measure(", ".join(case), partial(dict, found))
    rows = []
    for outage in (*OUTAGES, *MIDWAY):
        for who in WHO if outage in OUTAGES else WHO[:1]:
            found = part.results[f"{who}, {outage}"]
            limit = "" if found["ended"] else f"> {found['process_seconds']:.0f} s, given up"
            rows.append(
                [
                    f"{who}, {outage}",
                    found.get("start", limit),
                    found.get("start raised", "")[:60].replace("|", "/"),
                    found.get("slowest log", ""),
                    found.get("exceptions", ""),
                    found.get("finish", "" if "start raised" in found or "start" not in found else limit),
                    found.get("finish, 5 s", ""),
                    found.get("finish, 0 s", ""),
                    found["process_seconds"],
                ]
            )
    head = [
        "seconds",
        "start",
        "which raised",
        "slowest log",
        "exceptions",
        "finish",
        "finish(5)",
        "finish(0)",
        "all",
    ]
    table(head, rows)


if __name__ == "__main__":
    main()
