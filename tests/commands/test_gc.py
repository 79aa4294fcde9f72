"""``touchline gc``: only what every far side has is removed, after asking, whole or not at all."""

from __future__ import annotations

import os
import pty
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

import touchline
from touchline.config import Settings
from touchline.errors import TouchlineError
from touchline.tracking.delivery import Refusal
from touchline.tracking.gc import candidates, remove
from touchline.tracking.launch import ensure_courier
from touchline.tracking.status import read_status

from ..tracking.conftest import couriers_of, until
from .conftest import TOUCHLINE, begin, call, deliver, environment, killed

SINKS = ("mlflow", "wandb")


class Archive:
    """An MLflow that has the runs and files it is made with."""

    def __init__(self, runs: tuple[str, ...] = ("m1",), files: Mapping[str, int] | None = None) -> None:
        self._runs = runs
        self._files = files or {}

    def has_run(self, remote_id: str) -> bool:
        return remote_id in self._runs

    def files(self, remote_id: str, root: str) -> Mapping[str, int]:
        return {name: size for name, size in self._files.items() if name.startswith(root)}


class Silent(Archive):
    """An MLflow that does not answer."""

    def has_run(self, remote_id: str) -> bool:
        raise TouchlineError("It does not answer.")


@pytest.fixture
def settings(home: Path) -> Settings:
    return Settings(home=home, sinks=SINKS, capture=())


def ended(home: Path, run_id: str, monkeypatch: pytest.MonkeyPatch, sinks: tuple[str, ...] = SINKS) -> Path:
    """A run that ended and was meant for ``sinks``, without their couriers."""
    with monkeypatch.context() as patch:
        patch.setattr("touchline.tracking.run.ensure_courier", lambda *arguments, **options: None)
        run = begin(home, run_id, sinks)
        run.log({"loss": 1.0}, 1)
        run.finish(timeout=0)
    return run.directory


def kept(settings: Settings, archive: Archive | None = None, days: float = 0.0) -> dict[str, str]:
    found = candidates(settings, days * 86_400, archive or Archive())
    return {candidate.status.id: candidate.kept_because for candidate in found}


def test_what_every_sink_has_may_go(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = ended(settings.home, "r1", monkeypatch)
    for sink in SINKS:
        deliver(directory, sink)
    assert kept(settings) == {"r1": ""}


def test_a_young_run_and_a_running_one_are_no_candidates(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = ended(settings.home, "r1", monkeypatch)
    for sink in SINKS:
        deliver(directory, sink)
    with begin(settings.home, "r2"):
        assert kept(settings, days=1) == {}
        assert list(kept(settings)) == ["r1"]


def test_a_killed_run_may_go_once_its_end_was_told(settings: Settings) -> None:
    directory = killed(settings.home, "r1", "run.log({'loss': 1.0}, 1)")
    assert "no far side outside its directory has run r1" in kept(settings)["r1"]
    assert directory.is_dir()


@pytest.mark.parametrize(
    ("sink", "changes", "why"),
    [
        ("wandb", {"upto": 2}, "wandb lacks 1 event of run r1: number 3."),
        ("wandb", {"state": "live", "closed": ""}, "does not know how it ended"),
        ("wandb", {"state": "refused", "reason": "It was deleted there."}, "It was deleted there."),
        ("mlflow", {"set_aside": (Refusal(2, "a bad name"),)}, "--set-aside"),
        ("mlflow", {"remote_id": "gone"}, "does not have it any more"),
    ],
)
def test_what_is_not_delivered_stays(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, sink: str, changes: dict[str, object], why: str
) -> None:
    directory = ended(settings.home, "r1", monkeypatch)
    for name in SINKS:
        deliver(directory, name, **(changes if name == sink else {}))  # type: ignore[arg-type]
    assert why in kept(settings)["r1"]


def test_a_sink_that_the_settings_gave_up_does_not_count_unless_none_is_left(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = ended(settings.home, "r1", monkeypatch, ("mlflow", "wandb"))
    deliver(directory, "mlflow")
    assert kept(Settings(home=settings.home, sinks=("mlflow",))) == {"r1": ""}
    assert "no far side" in kept(Settings(home=settings.home, sinks=("tensorboard",)))["r1"]


def test_a_far_side_inside_the_directory_is_none(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = ended(settings.home, "r1", monkeypatch, ("tensorboard",))
    deliver(directory, "tensorboard")
    assert "no far side" in kept(Settings(home=settings.home, sinks=("tensorboard",)))["r1"]


def test_a_silent_mlflow_keeps_everything(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = ended(settings.home, "r1", monkeypatch)
    for sink in SINKS:
        deliver(directory, sink)
    assert "MLflow cannot tell what it has of run r1. It does not answer." in kept(settings, Silent())["r1"]


def test_checkpoints_that_mlflow_does_not_have_whole_stay(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = ended(settings.home, "r1", monkeypatch)
    for sink in SINKS:
        deliver(directory, sink)
    checkpoint = directory / "checkpoints" / "step-7"
    checkpoint.mkdir(parents=True)
    (checkpoint / "arrays").write_bytes(b"x" * 10)
    assert "holds the only copy of the checkpoint checkpoints/step-7" in kept(settings)["r1"]
    assert "only copy" in kept(settings, Archive(files={"checkpoints/step-7/arrays": 9}))["r1"]
    assert kept(settings, Archive(files={"checkpoints/step-7/arrays": 10})) == {"r1": ""}


def test_checkpoints_elsewhere_in_the_directory_count_too(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = ended(settings.home, "r1", monkeypatch)
    with monkeypatch.context() as patch:
        patch.setattr("touchline.tracking.run.ensure_courier", lambda *arguments, **options: None)
        run = begin(settings.home, "r1", SINKS)
        (directory / "mine" / "last").mkdir(parents=True)
        run.save_journal(directory / "mine" / "last", 1)
        run.finish(timeout=0)
    for sink in SINKS:
        deliver(directory, sink)
    assert "holds the only copy of the checkpoint mine/last" in kept(settings)["r1"]


def test_an_offline_run_of_wandb_stays_until_it_is_synced(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = ended(settings.home, "r1", monkeypatch)
    for sink in SINKS:
        deliver(directory, sink)
    file = directory / "wandb" / "offline-run-20260101_000000-r1" / "run-r1.wandb"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"x")
    assert "wandb sync" in kept(settings)["r1"]
    file.with_name("run-r1.wandb.synced").touch()
    assert kept(settings) == {"r1": ""}


def test_a_run_that_goes_on_in_the_last_moment_stays_whole(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = ended(settings.home, "r1", monkeypatch, ())
    before = read_status(directory)
    with begin(settings.home, "r1") as run, pytest.raises(TouchlineError, match="written to a moment ago"):
        remove(settings, before)
    run.finish()
    assert read_status(directory).state == "finished"
    assert [path.name for path in settings.home.iterdir() if path.name.startswith(".trash")] == []


def test_without_a_terminal_it_wants_yes(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    done = subprocess.run([TOUCHLINE, "gc"], env=environment(), input="y\n", capture_output=True, text=True)
    assert done.returncode == 2
    assert "Use --yes, or look with --dry-run." in done.stderr
    assert call("gc", "--days", "-1", "--yes") == 2
    assert call("gc", "--dry-run") == 0


def test_a_delivered_run_is_removed_after_asking_and_its_mlflow_run_stays(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOUCHLINE_SINKS", "mlflow,tensorboard")
    settings = Settings.load()
    with touchline.start_run("train", settings=settings, run_id="old") as run:
        checkpoint = run.directory / "checkpoints" / "step-1"
        checkpoint.mkdir(parents=True)
        (checkpoint / "arrays").write_bytes(b"x" * 1000)
        run.log_artifact(checkpoint, "checkpoints/step-1")
    assert touchline.sync(settings, timeout=300).complete
    remote = run.mlflow_run_id
    assert remote is not None
    (run.directory / "checkpoints" / "step-2").mkdir()
    (run.directory / "checkpoints" / "step-2" / "arrays").write_bytes(b"y")
    command = ["gc", "--days", "0"]
    shown = answered("yes", *command)
    assert "old stays: " in shown and "the checkpoint checkpoints/step-2" in shown
    (run.directory / "checkpoints" / "step-2" / "arrays").unlink()
    assert "Nothing was removed." in answered("no", *command)
    assert run.directory.is_dir()
    assert "Removed 1 run" in answered("y", *command)
    assert not run.directory.exists()
    assert not list(home.glob(".trash*"))

    from touchline.tracking.mlflow_archive import MlflowArchive

    archive = MlflowArchive(settings)
    assert archive.has_run(remote) and not archive.has_run("0" * 32)
    assert archive.files(remote, "checkpoints") == {"checkpoints/step-1/arrays": 1000}


def test_a_courier_that_serves_another_run_survives_the_removal(home: Path) -> None:
    settings = Settings(home=home, sinks=("mlflow",), capture=())
    with touchline.start_run("train", settings=settings, run_id="old") as run:
        run.log({"loss": 1.0}, 1)
    assert touchline.sync(settings, timeout=300).complete
    with touchline.start_run("train", settings=settings, run_id="new") as other:
        ensure_courier(settings, "mlflow")
        other.log({"loss": 1.0}, 1)
        assert other.wait_delivered("mlflow", timeout=300)
        before = couriers_of(home, "mlflow")
        assert len(before) == 1
        remove(settings, read_status(run.directory))
        time.sleep(1.0)  # the courier looks at every run several times
        other.log({"loss": 0.5}, 2)
        until(lambda: other.delivery()["mlflow"].pending == 0, 60)
        assert [process.pid for process in couriers_of(home, "mlflow")] == [before[0].pid]


def answered(answer: str, *arguments: str) -> str:
    """What a command prints on a terminal on which a person answers its question."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.execve(TOUCHLINE, [str(TOUCHLINE), *arguments], environment() | {"TERM": "dumb", "COLUMNS": "300"})
    os.write(terminal, f"{answer}\n".encode())
    shown = b""
    try:
        while part := os.read(terminal, 65_536):
            shown += part
    except OSError:  # how a terminal says that the process has gone
        pass
    os.waitpid(pid, 0)
    os.close(terminal)
    return shown.decode().replace("\r\n", "\n")
