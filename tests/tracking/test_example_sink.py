"""The example of a sink of one's own, installed as a package, passes the suite and is used by a real courier."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

import touchline
from touchline.config import Settings
from touchline.testing.sinks import FarSide, SinkConformance
from touchline.tracking.sinks import destination_of, find_sinks, load_sink
from touchline.tracking.sinks.base import Sink

from .conftest import kill_couriers

EXAMPLE = Path(__file__).parents[2] / "examples" / "jsonl_sink"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory into which pip has installed the example."""
    target = tmp_path_factory.mktemp("site")
    source = shutil.copytree(EXAMPLE, tmp_path_factory.mktemp("source") / "jsonl_sink")  # building leaves files there
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "--no-deps", "--no-build-isolation", "--target", target, source], check=True)
    return target


@pytest.fixture(autouse=True)
def installed(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The example can be imported here and in couriers."""
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(site), os.environ.get("PYTHONPATH", "")]))


def lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_courier_finds_the_sink_by_its_entry_point_and_delivers_every_event_once(home: Path) -> None:
    assert find_sinks()["jsonl"] == "touchline_jsonl:JsonlSink"
    settings = Settings(home=home, sinks=("jsonl",))
    run = touchline.start_run("train", settings=settings)
    for step in range(100):
        run.log({"x": step}, step)
    assert run.wait_delivered("jsonl", 300)
    assert kill_couriers(home)
    file = home / "jsonl" / f"{run.id}.jsonl"
    with file.open("ab") as torn:
        torn.write(b'{"seq": 99999, "ki')
    run.log({"x": 100}, 100)
    delivery = run.finish(timeout=300)
    assert delivery.complete, delivery.sentences()
    metrics = [line for line in lines(file) if line.get("kind") == "metrics"]
    assert [line["step"] for line in metrics] == list(range(101))
    assert lines(file)[-1] == {"status": "finished", "reason": ""}


def test_its_destination_is_asked_for_so_that_two_places_have_two_couriers(
    home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    settings = Settings(home=home, sinks=("jsonl",))
    assert destination_of("jsonl", settings) == str(home / "jsonl")
    monkeypatch.setenv("JSONL_SINK_DIRECTORY", str(tmp_path / "elsewhere"))
    with touchline.start_run("train", settings=settings) as run:
        run.log({"x": 1}, 1)
    assert (tmp_path / "elsewhere" / f"{run.id}.jsonl").is_file()


class JsonlFarSide(FarSide):
    def __init__(self, home: Path) -> None:
        self.settings = Settings(home=home)

    def sink(self) -> Sink:
        return load_sink("jsonl", self.settings)

    def values(self, run_id: str) -> Mapping[tuple[str, int], Sequence[float]]:
        values: dict[tuple[str, int], list[float]] = {}
        for line in lines(self.settings.home / "jsonl" / f"{run_id}.jsonl"):
            if line.get("kind") == "metrics":
                for name, value in line["payload"].items():  # type: ignore[attr-defined]
                    values.setdefault((name, int(str(line["step"]))), []).append(float(value))
        return values

    def status(self, run_id: str) -> str | None:
        ends = [
            line["status"] for line in lines(self.settings.home / "jsonl" / f"{run_id}.jsonl") if "status" in line
        ]
        return str(ends[-1])

    def unreachable(self) -> Sink:
        file = self.settings.home / "a file"
        file.write_text("")
        return load_sink("jsonl", Settings(home=file))


class TestJsonl(SinkConformance):
    @pytest.fixture
    def far_side(self, tmp_path: Path) -> FarSide:
        return JsonlFarSide(tmp_path)
