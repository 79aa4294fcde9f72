"""Old runs of the real W&B, MLflow and TensorBoard: what arrives equals what was logged, value by value."""

from __future__ import annotations

import contextlib
import io
import json
import math
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from touchline.cli import main
from touchline.config import Settings
from touchline.tracking.export import points
from touchline.tracking.journal import JournalReader
from touchline.tracking.status import read_status
from touchline.tracking.sync import run_ids

from ..tracking.conftest import kill_couriers
from . import sources

PAGE = Path(__file__).parents[2] / "docs" / "migration.md"


@dataclass(frozen=True)
class World:
    """Sources, and a home into which the commands of the page have brought them."""

    directory: Path
    settings: Settings
    codes: tuple[int, ...]
    printed: tuple[str, ...]
    mlflow_ids: dict[str, str]

    def directory_of(self, name: str) -> Path:
        """The directory of the imported run of that name."""
        found = [self.settings.run_directory(run_id) for run_id in run_ids(self.settings)]
        return next(path for path in found if read_status(path, ()).name == name)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, fresh_store: Path) -> Iterator[World]:
    directory = tmp_path_factory.mktemp("migration")
    home = directory / "home"
    home.mkdir()
    shutil.copyfile(fresh_store, home / "mlflow.db")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("WANDB_PROJECT", "MLFLOW_TRACKING_URI"):
            patch.delenv(name, raising=False)
        patch.setenv("WANDB_DATA_DIR", str(directory / "staging"))
        patch.setenv("TOUCHLINE_HOME", str(home))
        patch.setenv("TOUCHLINE_SINKS", "")
        patch.chdir(directory)
        sources.wandb_runs(directory)
        ids = sources.mlflow_store(directory / "old", fresh_store)
        sources.event_files(directory / "runs")
        codes, printed = [], []
        for command in re.findall(r"^\$ touchline (import .*)$", PAGE.read_text(encoding="utf-8"), re.MULTILINE):
            text = io.StringIO()
            with contextlib.redirect_stdout(text):
                codes.append(main(command.split()))
            printed.append(text.getvalue())
        patch.setenv("TOUCHLINE_SINKS", "mlflow")
        with contextlib.redirect_stdout(io.StringIO()) as text:
            codes.append(main(["sync"]))  # one courier for all of them
        printed.append(text.getvalue())
        yield World(directory, Settings.load(), tuple(codes), tuple(printed), ids)
    kill_couriers(home)


def values_of(directory: Path) -> dict[str, list[tuple[int | None, float]]]:
    found: dict[str, list[tuple[int | None, float]]] = {}
    with JournalReader(directory / "journal.db") as journal:
        for point in points(journal):
            found.setdefault(point.metric, []).append((point.step, float(point.value)))
    return found


def same(one: Any, other: Any) -> bool:
    """Equal, NaN to NaN too, in whatever order."""
    return sorted(map(repr, one)) == sorted(map(repr, other))


def delivered(world: World, name: str) -> tuple[Any, dict[str, list[Any]]]:
    """The run in the home's MLflow, and its metrics."""
    from mlflow.tracking import MlflowClient

    client = MlflowClient(world.settings.tracking_uri)
    everywhere = [experiment.experiment_id for experiment in client.search_experiments()]
    query = f"tags.`touchline.run_id` = '{world.directory_of(name).name}'"
    (run,) = client.search_runs(everywhere, query)
    return run, {metric: client.get_metric_history(run.info.run_id, metric) for metric in run.data.metrics}


def test_every_command_of_the_page_finds_the_counts_equal(world: World) -> None:
    assert world.codes == (0,) * 6, world.printed
    assert "Nothing was imported: --dry-run." in world.printed[0]
    assert not any("differs" in text for text in world.printed)
    assert not any("has not received" in text for text in world.printed), world.printed


def test_a_wandb_run_arrives_value_by_value(world: World) -> None:
    truth = sources.logged(world.directory, "whole")
    found = values_of(world.directory_of("whole"))
    system = {name for name in found if name.startswith("system/")}
    assert system and found.keys() - system == truth.keys()
    assert all(same(found[name], truth[name]) for name in truth)
    run, metrics = delivered(world, "whole")
    far = {name: [(one.step, one.value) for one in history] for name, history in metrics.items()}
    largest = sys.float_info.max  # by which MLflow stores an infinity
    truth["loss"] = [(step, math.copysign(largest, v) if math.isinf(v) else v) for step, v in truth["loss"]]
    assert all(same(far[name], truth[name]) for name in truth)
    assert far.keys() == found.keys()
    assert run.data.params == {"lr": "0.0003", "net.sizes": "[64, 64]", "late": "True"}
    assert run.data.tags["mlflow.note.content"] == "on grass" and "rough" in run.data.tags
    assert run.data.tags["touchline.imported_from"] == "wandb"
    assert run.data.tags["touchline.summary.best"] == "0.75"


def test_media_and_files_of_a_wandb_run_arrive(world: World) -> None:
    directory = world.directory_of("whole")
    with JournalReader(directory / "journal.db") as journal:
        events = {event.payload["name"]: event for event in journal.of_kind(["image", "video", "histogram", "table"])}
        files = {event.payload["name"]: directory / event.payload["path"] for event in journal.of_kind(["artifact"])}
        text = "".join(event.payload["text"] for event in journal.of_kind(["console"]))
        (alert,) = journal.of_kind(["alert"])
    assert set(events) == {"picture", "film", "weights", "table"}
    assert {event.step for event in events.values()} == {6}
    assert events["picture"].payload["caption"] == "grey"
    assert events["weights"].payload["counts"] == [1, 2, 3]
    assert events["table"].payload["rows"] == [[1, "a"], [2, "b"]]
    film = directory / events["film"].payload["path"]
    assert film.read_bytes() == (world.directory / "film.gif").read_bytes()
    assert files["files/notes.txt"].read_text() == files["artifacts/policy/notes.txt"].read_text() == "saved"
    (other,) = map(json.loads, files["imported/values.jsonl"].read_text().splitlines())
    assert (other["name"], other["step"], other["value"]) == ("text", 6, "stumbled")
    assert "it fell" in text and alert.payload["title"] == "Falls"


def test_a_step_metric_that_stands_still_is_told_and_loses_no_value(world: World) -> None:
    assert values_of(world.directory_of("whole"))["epoch/loss"] == [(i, i / 7) for i in range(sources.STEPS)]
    assert re.search(r"epoch as the step.*: it is no whole number that grows", world.printed[1])


def test_a_killed_wandb_run_is_read_as_far_as_it_goes(world: World) -> None:
    directory = world.directory_of("killed")
    assert read_status(directory, ()).state == "killed"
    truth, found = sources.logged(world.directory, "killed"), values_of(directory)
    rows = len(found["frames"])
    assert 50 < rows < 250
    assert same(found["train/return"], truth["train/return"][:rows])
    assert re.search(r"a part of run-run-killed.wandb: \d+ of its", world.printed[1])


def test_an_mlflow_store_arrives_value_by_value(world: World) -> None:
    from mlflow.tracking import MlflowClient

    old = MlflowClient(f"sqlite:///{world.directory / 'old' / 'mlflow.db'}")
    for name, status in (("parent", "FINISHED"), ("child", "FINISHED"), ("broken", "FAILED")):
        before = old.get_run(world.mlflow_ids[name])
        after, metrics = delivered(world, name)
        for metric in before.data.metrics:
            history = old.get_metric_history(before.info.run_id, metric)
            expected = [(one.step, one.timestamp, one.value) for one in history]
            assert same([(one.step, one.timestamp, one.value) for one in metrics[metric]], expected)
        assert metrics.keys() == before.data.metrics.keys()
        assert after.data.params == before.data.params
        assert after.info.status == before.info.status == status
        assert (after.info.start_time, after.info.end_time) == (before.info.start_time, before.info.end_time)
    parent, _ = delivered(world, "parent")
    child, _ = delivered(world, "child")
    assert child.data.tags["mlflow.parentRunId"] == parent.info.run_id
    assert parent.data.tags["team"] == "red" and "touchline.dataset.falls" in parent.data.tags
    new = MlflowClient(world.settings.tracking_uri)
    path = new.download_artifacts(parent.info.run_id, "deep/about.txt", str(world.directory))
    assert Path(path).read_text() == "about"
    assert any("The registered models stay in sqlite:" in text and ": walker." in text for text in world.printed)


def test_event_files_arrive_value_by_value(world: World) -> None:
    import numpy as np

    for seed in (1, 2):
        directory = world.directory_of(f"seed{seed}")
        with JournalReader(directory / "journal.db") as journal:
            found = [(p.metric, p.step, p.time, p.value) for p in points(journal)]
            kinds = [event.kind for event in journal.of_kind(["image", "histogram", "artifact"])]
        expected = [
            (name, step, 1e9 + step / 8, float(np.float32(value)))
            for step in range(sources.STEPS)
            for name, value in (("loss", seed / (step + 3)), ("return", step / 7))
        ]
        assert same(found, [*expected, ("loss", sources.STEPS, 1e9 + 100, math.nan)])
        assert sorted(kinds) == ["artifact", "histogram", "image"]
    assert "pr_curves curve (2 times): a run has nothing like it" in world.printed[3]


@pytest.mark.parametrize("version", [1, 2])
def test_what_a_restart_superseded_is_left_out_as_tensorboard_does(
    version: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    monkeypatch.setenv("TOUCHLINE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TOUCHLINE_SINKS", "")
    logs = tmp_path / "logs"
    if version == 1:
        parts = ("loss", range(20)), ("return", range(20, 30)), ("loss", range(12, 18))
        events = [event for tag, steps in parts for event in sources.scalars(tag, steps)]
        sources.event_file(logs / "events.out.tfevents.1", events)
    else:
        sources.restarted_event_files(logs)
    assert main(["import", "tensorboard", str(logs)]) == 0
    told = capsys.readouterr().out
    (run_id,) = run_ids(Settings.load())
    directory = tmp_path / "home" / "runs" / run_id
    shown = EventAccumulator(str(logs), size_guidance={"scalars": 0, "images": 0, "histograms": 0, "tensors": 0})
    shown.Reload()
    tags = shown.Tags()
    found = values_of(directory)
    assert len(found["loss"]) == (18 if version == 1 else 150)
    for tag in tags["scalars"]:
        assert same(found.pop(tag), [(one.step, one.value) for one in shown.Scalars(tag)])
    if version == 1:
        assert "values of an earlier attempt (8 times): the run went on from step 12 again" in told
        return
    # Of a tensor it keeps every attempt; as the next class of TensorBoard's does not, we make no difference.
    attempts = [(step, 0 if step < 60 else 1 if step < 80 else 2) for step in range(150)]
    assert found == {"return": [(step, step - attempt / 4) for step, attempt in attempts]}
    with JournalReader(directory / "journal.db") as journal:
        kept = {kind: [event.step for event in journal.of_kind([kind])] for kind in ("image", "histogram")}
        (file,) = journal.of_kind(["artifact"])
    assert kept["image"] == [one.step for one in shown.Images("picture")]
    assert kept["histogram"] == [one.step for one in shown.Histograms("weights")]
    texts = (directory / file.payload["path"]).read_text().splitlines()
    assert [json.loads(text)["step"] for text in texts] == [30, 110]
    assert all(
        f"values of an earlier attempt (80 times): the run went on from step {step}" in told for step in (60, 80)
    )
    assert "histograms of an earlier attempt: the run" in told and "texts of an earlier attempt: the run" in told


@pytest.mark.parametrize("into_record", [0, 20], ids=["length", "data"])
def test_a_damaged_event_file_tells_where_reading_stops(
    into_record: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from tensorboard.compat.proto.event_pb2 import Event

    monkeypatch.setenv("TOUCHLINE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TOUCHLINE_SINKS", "")
    file = tmp_path / "logs" / "events.out.tfevents.1"
    graph = Event(file_version="brain.Event:2"), Event(graph_def=b"graph")  # of which the reader makes two events
    before = sources.event_file(file, [*graph, *sources.scalars("loss", range(250))])
    size = sources.event_file(file, [*graph, *sources.scalars("loss", range(500))])
    assert main(["import", "tensorboard", str(file.parent), "--dry-run"]) == 0
    assert "a part of" not in capsys.readouterr().out
    data = bytearray(file.read_bytes())
    data[before + into_record : before + into_record + 10] = b"\xa5" * 10
    file.write_bytes(data)
    assert main(["import", "tensorboard", str(file.parent)]) == 0
    told = capsys.readouterr().out
    assert "250 values" in told
    assert f"after 252 that are read: the last {size - before:,} of its {size:,} bytes, this record and" in told


def test_a_sink_that_a_run_came_from_gets_it_only_where_it_is_named(world: World) -> None:
    whole = {sink.sink: sink for sink in read_status(world.directory_of("whole")).sinks}
    assert whole["wandb"].destination == "where the run came from" and not whole["wandb"].waiting
    events = world.directory_of("seed1") / "tensorboard"
    assert list(events.glob("*tfevents*")), "the last command of the page names it"


def test_an_interrupted_import_leaves_nothing_half_written(world: World, tmp_path: Path) -> None:
    script = (
        "import os, signal, sys\n"
        "from touchline.migration import importing\n"
        "write = importing.Journal.append\n"
        "def killed(*arguments):\n    write(*arguments)\n    os.kill(os.getpid(), signal.SIGKILL)\n"
        "importing.Journal.append = killed\n"
        "from touchline.cli import main\n"
        "main(['import', 'tensorboard', 'runs', '--home', sys.argv[1]])\n"
    )
    home = tmp_path / "home"
    done = subprocess.run([sys.executable, "-c", script, str(home)], cwd=world.directory)
    assert done.returncode == -signal.SIGKILL
    settings = Settings(home=home)
    assert run_ids(settings) == [] and len(list((home / "imports").iterdir())) == 2
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TOUCHLINE_SINKS", "")
        patch.chdir(world.directory)
        assert main(["import", "tensorboard", "runs", "--home", str(home)]) == 0
    assert len(run_ids(settings)) == 2 and [path.name for path in (home / "imports").iterdir()] == ["lock"]


def test_a_source_that_has_changed_since_is_told(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TOUCHLINE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TOUCHLINE_SINKS", "")
    logs = tmp_path / "logs" / "seed1"
    shutil.copytree(world.directory / "runs" / "seed1", logs)
    assert main(["import", "tensorboard", str(logs.parent)]) == 0
    (file,) = logs.iterdir()
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 3])
    assert main(["import", "tensorboard", str(logs.parent)]) == 1
    printed = capsys.readouterr().out
    assert re.search(r"a part of events.*: [\d,]+ bytes at its end are torn", printed)
    assert "differs" in printed and "is not the same as its source now" in printed


@pytest.fixture(scope="module")
def sessions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sessions of one run of W&B, in the directories ``0``, ``1`` and ``2``, and together in ``all``."""
    directory = tmp_path_factory.mktemp("sessions")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WANDB_DATA_DIR", str(directory / "staging"))
        sources.wandb_sessions(directory)
    for folder in directory.glob("[0-2]/wandb/offline-run-*"):
        shutil.copytree(folder, directory / "all" / folder.name)
    return directory


def test_sessions_that_come_one_by_one_do_not_become_several_runs(
    sessions: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TOUCHLINE_HOME", str(tmp_path))
    monkeypatch.setenv("TOUCHLINE_SINKS", "")
    settings = Settings.load()
    assert main(["import", "wandb", str(sessions / "1")]) == 0
    (part,) = run_ids(settings)
    for other in ("0", "2", "all"):
        capsys.readouterr()
        assert main(["import", "wandb", str(sessions / other)]) == 1
        told = capsys.readouterr()
        assert "imported before from other folders than these" in told.out and part in told.out
        assert run_ids(settings) == [part]
    assert main(["import", "wandb", str(sessions / "1")]) == 0
    shutil.rmtree(settings.run_directory(part))  # which is what it says
    assert main(["import", "wandb", str(sessions / "all")]) == main(["import", "wandb", str(sessions / "all")]) == 0
    (whole,) = run_ids(settings)
    assert [step for step, _ in values_of(settings.run_directory(whole))["loss"]] == list(range(30))


def test_parts_that_an_older_touchline_imported_as_runs_are_all_named(
    sessions: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TOUCHLINE_SINKS", "")
    parts = []
    for session in ("0", "1", "2"):
        settings = Settings.load(home=tmp_path / session)
        assert main(["import", "wandb", str(sessions / session), "--home", str(settings.home)]) == 0
        (part,) = settings.runs.iterdir()
        parts.append(part.name)
        if session != "0":
            part.rename(tmp_path / "0" / "runs" / part.name)
    capsys.readouterr()
    for source in ("0", "all"):
        assert main(["import", "wandb", str(sessions / source), "--home", str(tmp_path / "0")]) == 1
        told = capsys.readouterr().out
        assert "were imported before, as 3 runs" in told and all(part in told for part in parts)


def test_a_copied_folder_is_read_once_and_told(
    sessions: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TOUCHLINE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TOUCHLINE_SINKS", "")
    for folder in (sessions / "all").iterdir():
        shutil.copytree(folder, tmp_path / "all" / folder.name)
        shutil.copytree(folder, tmp_path / "all" / f"{folder.name} copied early")
        (early,) = (tmp_path / "all" / f"{folder.name} copied early").glob("*.wandb")
        os.truncate(early, early.stat().st_size - 20)
    shutil.copytree(folder, tmp_path / "all" / "x")
    assert main(["import", "wandb", str(tmp_path / "all")]) == 0
    told = capsys.readouterr().out
    assert told.count("it is a copy of") == 4 and f"the folder {tmp_path / 'all' / 'x'}" in told
    (run_id,) = run_ids(Settings.load())
    assert [step for step, _ in values_of(tmp_path / "home" / "runs" / run_id)["loss"]] == list(range(30))


def test_a_run_that_may_be_going_on_is_left_out(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TOUCHLINE_HOME", str(tmp_path / "home"))
    (folder,) = (world.directory / "wandb").glob("*killed")
    copy = tmp_path / folder.name
    shutil.copytree(folder, copy)
    for file in copy.glob("*.wandb"):
        file.touch()
    assert main(["import", "wandb", str(copy)]) == 1
    assert "may be going on" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("command", "told"),
    [
        ("wandb nowhere", "There is no nowhere"),
        ("wandb .", "There is no W&B run in"),
        ("tensorboard .", "There are no event files in"),
        ("mlflow sqlite:///nowhere.db", "There is no MLflow store"),
        ("mlflow nowhere", "There is no MLflow store nowhere"),
        ("tensorboard . --experiment x", "--experiment x is for mlflow"),
        ("wandb . --to wendb", "Did you mean 'wandb'?"),
    ],
)
def test_what_is_not_there_is_told_with_a_remedy(
    command: str, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["import", *command.split()]) == 2
    assert told in capsys.readouterr().err
    assert not (tmp_path / ".touchline").exists()


def test_a_server_that_does_not_answer_is_told_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["import", "mlflow", "http://127.0.0.1:9"]) == 1
    assert "cannot be reached (Connection refused)" in capsys.readouterr().err


def test_names_that_become_one_are_told_and_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from touchline.migration.importing import Order, import_runs
    from touchline.migration.wandb import find_runs

    code = (
        "import wandb\n"
        "run = wandb.init(project='p', config={'lr.warm': 1, 'lr': {'warm': 2}})\n"
        "run.log({'a.b': 1.0, 'a': {'b': 2.0}})\n"
        "run.finish()"
    )
    environment = {**os.environ, "WANDB_MODE": "offline", "WANDB_SILENT": "true"}
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, check=True)
    monkeypatch.setenv("TOUCHLINE_HOME", str(tmp_path / "home"))
    (run,) = import_runs(Order(Settings.load(), ()), find_runs(tmp_path / "wandb")).runs
    told = {omission.what for omission in run.omissions}
    assert {"'a.b' of values", "'lr.warm' of parameters"} <= told
    assert not run.is_equal


def test_a_file_that_is_none_of_wandbs_costs_only_itself(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TOUCHLINE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TOUCHLINE_SINKS", "")
    (folder,) = (world.directory / "wandb").glob("*killed")
    shutil.copytree(folder, tmp_path / "wandb" / folder.name)
    (tmp_path / "wandb" / "run-empty").mkdir()
    (tmp_path / "wandb" / "run-empty" / "run-empty.wandb").touch()
    assert main(["import", "wandb", str(tmp_path / "wandb")]) == 1
    assert "run-empty.wandb is no W&B run file of a known format" in capsys.readouterr().out
    assert len(run_ids(Settings.load())) == 1


def test_a_damaged_block_costs_only_itself(world: World, tmp_path: Path) -> None:
    from touchline.migration.wandb_file import WandbFile

    (file,) = (world.directory / "wandb").glob("*killed/*.wandb")
    data = bytearray(file.read_bytes())
    data[40_000:40_010] = bytes(10)
    damaged = tmp_path / file.name
    damaged.write_bytes(data)
    whole, rest = WandbFile(file), WandbFile(damaged)
    numbers = [record.num for record in whole.records()]
    left = [record.num for record in rest.records()]
    assert set(left) < set(numbers) and left[-1] == numbers[-1]
    assert 0 < rest.lost_bytes - whole.lost_bytes < 2 * 32_768


def test_milliseconds_survive_the_way_through_seconds() -> None:
    from touchline.migration.mlflow import seconds

    now = int(time.time() * 1000)
    assert all(int(seconds(moment) * 1000) == moment for moment in range(now, now + 20_000))
