"""A home with a pipeline, a run with curves, an alert and a GPU, and a damaged one; and the page's server."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest

import touchline
from touchline.catalog.lineage import PIPELINE_TAG
from touchline.config import Settings
from touchline.tracking.run import Run
from touchline.ui.door import Door
from touchline.ui.servers import ServerState
from touchline.ui.site import Site

PIPELINE = "20260101-000000-cafe"
STATES = (
    ServerState("MLflow", "starting", "", ""),
    ServerState("TensorBoard", "up", "http://127.0.0.1:6006", ""),
    ServerState("Optuna", "failed", "", "It ended: no such table. Its log is /tmp/optuna.log."),
)


def begin(home: Path, run_id: str, job: str = "train", **options: Any) -> Run:
    """Start a run that nothing delivers."""
    settings = Settings(home=home, sinks=(), capture=())
    return touchline.start_run(job, settings=settings, run_id=run_id, **options)


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Made once, and only read."""
    place = tmp_path_factory.mktemp("ui") / "home"
    place.mkdir()
    tags = {PIPELINE_TAG: PIPELINE}
    begin(place, "p-setup", "setup", tags=tags).finish(timeout=5)
    with begin(
        place, "p-pretrain", "pretrain", tags=tags, config={"seed": 0, "note": "<script>bad()</script>"}
    ) as run:
        run.define_metric("eval/return", "maximize")
        steps = np.arange(5_000)
        run.log_curve("eval/return", steps * 10, 100 * (1 - np.exp(-steps / 1_000)))
        for step in range(50):
            run.log({"train/loss": 1.0 / (step + 1), "gpu/utilization_percent": 50.0 + step}, step * 1_000)
        run.log({"parity/worst": 1e-6}, 50_000)
        run.alert("GPU utilisation below 60 %: input", "The loop waits for its environments.", "warn")
    damaged = place / "runs" / "damaged"
    damaged.mkdir()
    (damaged / "journal.db").write_bytes(b"SQLite format 3\0" + b"\xff" * 8000)
    return place


@dataclass(frozen=True)
class Asked:
    """What came back."""

    status: int
    headers: dict[str, str]
    text: str


@dataclass(frozen=True)
class Visitor:
    """Asks a door for what it is told to, with the cookie where it has one."""

    door: Door
    cookie: str = ""

    def ask(self, path: str, method: str = "GET", **headers: str) -> Asked:
        connection = http.client.HTTPConnection("127.0.0.1", self.door.server_port, timeout=20)
        try:
            connection.request(method, path, headers={"Cookie": self.cookie, **headers})
            answer = connection.getresponse()
            return Asked(answer.status, dict(answer.getheaders()), answer.read().decode())
        finally:
            connection.close()


@pytest.fixture(scope="session")
def door(home: Path) -> Iterator[Door]:
    """The page, served from this process."""
    opened = Door(Site(Settings(home=home, sinks=()), lambda: STATES))
    threading.Thread(target=opened.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    yield opened
    opened.shutdown()
    opened.server_close()


@pytest.fixture
def stranger(door: Door) -> Visitor:
    return Visitor(door)


@pytest.fixture
def guest(door: Door, stranger: Visitor) -> Visitor:
    """Somebody who has opened the address that the terminal shows."""
    parts = urlsplit(door.url)
    let_in = stranger.ask(f"{parts.path}?{parts.query}")
    return Visitor(door, let_in.headers["Set-Cookie"].partition(";")[0])
