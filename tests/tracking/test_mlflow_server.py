"""Delivery through a real MLflow server that fails in the middle."""

from __future__ import annotations

import http.client
import os
import socket
import subprocess
import sys
import threading
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

import touchline
from touchline.config import Settings
from touchline.tracking.mlflow_store import connect

from .conftest import couriers_of, kill_couriers, until


@pytest.fixture
def server(tmp_path: Path) -> Iterator[int]:
    """Port of an MLflow server on loopback that keeps the artifacts itself."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    store = tmp_path / "server"
    store.mkdir()
    options = ["--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    options += [
        "--backend-store-uri",
        f"sqlite:///{store}/mlflow.db",
        "--artifacts-destination",
        str(store / "files"),
    ]
    environment = {**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true"}
    process = subprocess.Popen(
        [sys.executable, "-m", "mlflow", "server", *options],
        env=environment,
        cwd=store,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )

    def answers() -> bool:
        with suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=2) as answer:
            return bool(answer.status == 200)
        assert process.poll() is None, "the MLflow server ended"
        return False

    try:
        until(answers, 120)
        yield port
    finally:
        os.killpg(process.pid, 9)
        process.wait()


class Proxy:
    """Stands before a server, counts the uploads and refuses those after ``limit``."""

    def __init__(self, port: int) -> None:
        self.uploads: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self.limit: int | None = None
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_any(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                if self.command == "PUT":
                    name = self.path.rsplit("/", 1)[-1]
                    if proxy.limit is not None and sum(proxy.uploads.values()) >= proxy.limit:
                        proxy.refused[name] += 1
                        self.close_connection = True  # as a server does that dies
                        return
                    proxy.uploads[name] += 1
                connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
                headers = {key: value for key, value in self.headers.items() if key.lower() != "host"}
                connection.request(self.command, self.path, body, {**headers, "Host": f"127.0.0.1:{port}"})
                answer = connection.getresponse()
                data = answer.read()
                self.send_response(answer.status)
                self.send_header("Content-Type", answer.headers.get("Content-Type", "application/json"))
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)
                connection.close()

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = handle_any

            def log_message(self, *arguments: Any) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *arguments: Any) -> None:
                pass

        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def proxy(server: int) -> Iterator[Proxy]:
    between = Proxy(server)
    yield between
    between.stop()


@pytest.mark.slow
def test_an_upload_that_was_interrupted_goes_on_with_the_file_that_is_missing(
    home: Path, proxy: Proxy, tmp_path: Path
) -> None:
    folder = tmp_path / "results"
    (folder / "deep").mkdir(parents=True)
    for number in range(10):
        (folder / ("deep" if number % 2 else ".") / f"file{number}.bin").write_bytes(bytes([number]) * 1_000)
    settings = Settings(home=home, sinks=("mlflow",), mlflow_tracking_uri=proxy.url, capture=())
    proxy.limit = 6
    run = touchline.start_run("train", settings=settings)
    run.log({"x": 1.0}, 1)
    run.log_artifact(folder, "results")
    run.log({"x": 2.0}, 2)
    until(lambda: proxy.refused, 120)
    until(lambda: run.delivery()["mlflow"].state == "waiting", 60)
    assert sum(proxy.uploads.values()) == 6
    kill_couriers(home)
    proxy.limit = None
    run._start_couriers(run.settings.sinks)
    delivery = run.finish(timeout=300)
    assert delivery.complete, delivery.sentences()
    assert proxy.uploads == {f"file{number}.bin": 1 for number in range(10)}
    assert len(proxy.refused) == 1

    client = connect(settings)
    listed = [
        item for folder in ("results", "results/deep") for item in client.list_artifacts(run.mlflow_run_id, folder)
    ]
    assert sorted((item.path, item.file_size) for item in listed if not item.is_dir) == sorted(
        (f"results/{'deep/' if number % 2 else ''}file{number}.bin", 1_000) for number in range(10)
    )
    history = client.get_metric_history(str(run.mlflow_run_id), "x")
    assert [(metric.step, metric.value) for metric in history] == [(1, 1.0), (2, 2.0)]
    assert "127.0.0.1" in delivery["mlflow"].url
    until(lambda: not couriers_of(home))
