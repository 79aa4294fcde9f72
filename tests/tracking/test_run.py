"""A run starts at once, ends truly, and says what is wrong."""

from __future__ import annotations

import dataclasses
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import touchline
from touchline.config import Settings
from touchline.errors import TouchlineError, UsageError
from touchline.tracking.events import slug
from touchline.tracking.journal import Event, JournalReader

from .conftest import couriers_of, start_script, trainer, until


@pytest.fixture
def alone(home: Path) -> Settings:
    """No sink at all: the journal only."""
    return Settings(home=home, sinks=())


def events(run: touchline.Run, *kinds: str) -> list[Event]:
    with JournalReader(run.directory / "journal.db") as journal:
        return journal.of_kind(kinds)


def test_importing_touchline_is_quick_and_loads_nothing_heavy() -> None:
    code = "import sys, touchline; print(*sys.modules)"
    began = time.monotonic()
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert time.monotonic() - began < 1.0
    assert not {"numpy", "mlflow", "wandb", "torch", "jax", "sqlite3"} & set(loaded)


def test_without_a_key_a_run_starts_within_a_second_and_waits_for_nothing(home: Path) -> None:
    began = time.monotonic()
    run = touchline.start_run("train", settings=Settings(home=home, sinks=("wandb",)))
    assert time.monotonic() - began < 1.0
    run.log({"loss": 0.5}, 1)
    delivery = run.finish()
    assert time.monotonic() - began < 5.0
    assert delivery["wandb"].state == "waiting"
    assert "WANDB_API_KEY" in delivery["wandb"].reason
    assert "touchline sync" in delivery.sentences()[0]
    assert [event.metrics for event in events(run, "metrics")] == [{"loss": 0.5}]


def test_a_configuration_becomes_flat_parameters(alone: Settings) -> None:
    @dataclasses.dataclass(frozen=True)
    class Inner:
        rate: float = 1e-3

    @dataclasses.dataclass(frozen=True)
    class Config:
        inner: Inner = Inner()
        sizes: tuple[int, ...] = (2, 3)

    run = touchline.start_run("train", config=Config(), tags={"a": 1}, settings=alone)
    run.finish()
    assert events(run, "params")[0].payload == {"inner.rate": 1e-3, "sizes": [2, 3]}
    assert events(run, "tags")[0].payload == {"a": "1"}


def test_of_two_values_under_one_name_the_first_stays_and_the_other_is_told(
    alone: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    run = touchline.start_run("train", config={"a.b": 1, "a": {"b": 2, "c": 3}, 7: "x", "7": "y"}, settings=alone)
    run.log({1: 0.5, "1": 0.25}, 3)  # type: ignore[dict-item]
    run.finish()
    assert events(run, "params")[0].payload == {"a.b": 1, "a.c": 3, "7": "x"}
    assert "'a.b': 1 stays, 2 is left out" in caplog.text
    assert "'7': 'x' stays" in caplog.text
    assert [event.metrics for event in events(run, "metrics")] == [{"1": 0.5}]
    assert [event.payload for event in events(run, "duplicate")] == [{"1": 0.25}]
    assert "'1' at step 3 is set aside" in caplog.text


def test_no_step_is_the_last_step(alone: Settings) -> None:
    run = touchline.start_run("train", settings=alone)
    for place, step in enumerate((None, 7, None, 8.0)):
        run.log({f"x{place}": 1}, step)  # type: ignore[arg-type]
    run.finish()
    assert [event.step for event in events(run, "metrics")] == [0, 7, 7, 8]


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (None, "finished"),
        (ValueError("no"), "failed"),
        (KeyboardInterrupt(), "killed"),
        (SystemExit(0), "finished"),
        (SystemExit(1), "failed"),
        (SystemExit(130), "killed"),
        (SystemExit(143), "preempted"),
    ],
)
def test_the_end_of_the_block_is_the_status(alone: Settings, error: BaseException | None, status: str) -> None:
    try:
        with touchline.start_run("train", settings=alone) as run:
            if error is not None:
                raise error
    except BaseException as raised:
        assert raised is error
    assert events(run, "end")[0].payload["status"] == status


def test_a_process_that_forgets_to_finish_ends_its_run_truly(home: Path, tmp_path: Path) -> None:
    process = trainer(home, "run.log({'x': 1}, 1)\nraise ValueError('boom')", tmp_path, sinks=())
    process.wait(30)
    with JournalReader(home / "runs" / "r1" / "journal.db") as journal:
        end = journal.newest("end")
    assert end is not None
    assert (end.payload["status"], end.payload["reason"]) == ("failed", "ValueError: boom")


@pytest.mark.parametrize(
    ("ending", "status"),
    [("sys.exit(3)", "failed"), ("sys.exit(0)", "finished"), ("sys.exit('no')", "failed"), ("", "finished")],
)
def test_a_script_that_exits_without_finish_is_judged_by_its_exit_code(
    ending: str, status: str, home: Path, tmp_path: Path
) -> None:
    trainer(home, ending, tmp_path, sinks=()).wait(30)
    with JournalReader(home / "runs" / "r1" / "journal.db") as journal:
        end = journal.newest("end")
    assert end is not None
    assert end.payload["status"] == status


def test_the_exit_code_is_known_where_main_is_called_within_sys_exit(home: Path, tmp_path: Path) -> None:
    start_script(
        "import sys\nfrom pathlib import Path\nfrom touchline import Settings, start_run\n"
        f"def main():\n    start_run('train', settings=Settings(home=Path({str(home)!r}), sinks=()), run_id='r1')\n"
        "    return 3\nsys.exit(main())",
        tmp_path,
    ).wait(30)
    with JournalReader(home / "runs" / "r1" / "journal.db") as journal:
        end = journal.newest("end")
    assert end is not None
    assert end.payload["status"] == "failed"


def test_a_finish_that_is_interrupted_ends_the_run_as_it_was_told(home: Path, tmp_path: Path) -> None:
    process = trainer(
        home,
        """
        def interrupted(timeout):
            raise KeyboardInterrupt

        run._videos.close = interrupted  # as Ctrl-C does while the last video is waited for
        run.finish("preempted", reason="the machine was taken")
        """,
        tmp_path,
        sinks=(),
    )
    assert process.wait(30) != 0
    with JournalReader(home / "runs" / "r1" / "journal.db") as journal:
        end = journal.newest("end")
    assert end is not None
    assert end.payload == {"status": "preempted", "reason": "the machine was taken"}


def test_finishing_without_waiting_loses_nothing(alone: Settings) -> None:
    for _ in range(20):
        run = touchline.start_run("quick", settings=alone)
        run.log({"loss": 1.0}, 1)
        run.finish(timeout=0.0)
        assert [event.kind for event in events(run, "metrics", "end")] == ["metrics", "end"]


def test_what_is_logged_as_a_file_may_be_deleted_at_once(alone: Settings, tmp_path: Path) -> None:
    file = tmp_path / "report.txt"
    file.write_text("hello")
    run = touchline.start_run("train", settings=alone)
    run.log_artifact(file, "reports/final.txt")
    file.unlink()
    run.finish()
    payload = events(run, "artifact")[0].payload
    assert payload["name"] == "reports/final.txt"
    assert (run.directory / payload["path"]).read_text() == "hello"


def test_a_missing_file_is_named(alone: Settings, tmp_path: Path) -> None:
    with touchline.start_run("train", settings=alone) as run, pytest.raises(TouchlineError, match="absent.txt"):
        run.log_artifact(tmp_path / "absent.txt")
    assert not any((run.directory / "media").rglob("absent*"))


def test_a_home_that_cannot_be_a_directory_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(TouchlineError, match="TOUCHLINE_HOME"):
        touchline.start_run("train", settings=Settings(home=tmp_path / "file", sinks=()))


def test_two_living_writers_of_one_run_are_refused(alone: Settings) -> None:
    with (
        touchline.start_run("train", settings=alone, run_id="same"),
        pytest.raises(TouchlineError, match="being written by process"),
    ):
        touchline.start_run("train", settings=alone, run_id="same")


def test_a_finished_run_can_be_continued_under_its_id(alone: Settings) -> None:
    for step in (1, 2):
        with touchline.start_run("train", settings=alone, run_id="same") as run:
            run.log({"x": step}, step)
    assert [event.step for event in events(run, "metrics")] == [1, 2]
    assert [event.payload["resumed"] for event in events(run, "start")] == [False, True]


def test_unknown_names_are_answered_with_the_known_ones(alone: Settings, home: Path) -> None:
    with pytest.raises(UsageError, match="mlflow"):
        touchline.start_run("train", settings=Settings(home=home, sinks=("mlfow",)))
    with touchline.start_run("train", settings=alone) as run:
        with pytest.raises(UsageError, match="no sink 'mlflow'"):
            run.wait_delivered("mlflow")
        with pytest.raises(UsageError, match="info, warn, error"):
            run.alert("t", level="fatal")  # type: ignore[arg-type]
        with pytest.raises(UsageError, match="finished, failed"):
            run.finish("done")  # type: ignore[arg-type]


@pytest.fixture
def blackhole() -> socket.socket:
    """A port that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as server:
        yield server


@pytest.mark.parametrize("kind", ["closed", "blackhole"])
def test_dead_far_sides_hold_up_nothing(
    kind: str, home: Path, blackhole: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    port = blackhole.getsockname()[1]
    if kind == "closed":
        blackhole.close()
    url = f"http://127.0.0.1:{port}"
    settings = Settings(home=home, sinks=("mlflow", "wandb"), mlflow_tracking_uri=url, wandb_base_url=url)
    began = time.monotonic()
    run = touchline.start_run("train", settings=settings)
    started = time.monotonic()
    for step in range(1_000):
        run.log({"loss": 1.0}, step)
    logged = time.monotonic()
    delivery = run.finish()
    finished = time.monotonic()
    assert started - began < 1.0
    assert logged - started < 1.0
    assert finished - logged < 10.0
    for state in delivery.values():
        assert state.state == "waiting"
        assert "127.0.0.1" in state.reason
    assert len(events(run, "metrics")) == 1_000
    until(lambda: not couriers_of(home))  # nobody is left to be told of, so they leave


@pytest.mark.parametrize("image", [np.full((4, 3), 0.5), np.full((4, 3, 3), 128, np.int64), np.ones((4, 3, 1), bool)])
def test_an_image_may_hold_what_a_frame_of_a_video_may(alone: Settings, image: np.ndarray) -> None:
    run = touchline.start_run("train", settings=alone)
    run.log_image(image, "camera", step=1)
    run.finish()
    (event,) = events(run, "image")
    with Image.open(run.directory / event.payload["path"]) as kept:
        assert kept.size == (3, 4)
        assert set(np.asarray(kept).ravel().tolist()) <= {128, 255}


@pytest.mark.parametrize("image", [np.zeros((0, 3)), np.zeros((2, 2, 7)), np.full((2, 2), 7.5), np.zeros(3)])
def test_what_is_no_image_is_refused_with_what_it_is(alone: Settings, image: np.ndarray) -> None:
    run = touchline.start_run("train", settings=alone)
    with pytest.raises(TouchlineError, match=r"\(0, 3\)|\(2, 2, 7\)|7\.5|\(3,\)"):
        run.log_image(image)
    run.finish()


def test_a_step_that_is_no_whole_number_is_told(alone: Settings, caplog: pytest.LogCaptureFixture) -> None:
    run = touchline.start_run("train", settings=alone)
    run.log({"a": 1}, 7.5)  # type: ignore[arg-type]
    run.log({"b": 1}, "x")  # type: ignore[arg-type]
    run.log({"c": 1}, 2**63)
    run.finish()
    assert [event.step for event in events(run, "metrics")] == [7, 7, 7]
    assert "7.5 is no whole number; 7 is used" in caplog.text
    assert "'x' is not an integer" in caplog.text
    assert "9223372036854775808 is not an integer of 64 bits" in caplog.text


@pytest.mark.parametrize(("level", "severity"), [("warn", "WARNING"), ("error", "ERROR"), ("info", "INFO")])
def test_an_alert_is_told_where_the_training_runs(
    alone: Settings, caplog: pytest.LogCaptureFixture, level: Any, severity: str
) -> None:
    caplog.set_level("INFO", "touchline")
    with touchline.start_run("train", settings=alone) as run:
        run.alert("GPU is hot", "It is at\n91 \x1b[31m°C.", level)
    (record,) = [record for record in caplog.records if "hot" in record.getMessage()]
    assert (record.levelname, record.getMessage()) == (severity, "Alert: GPU is hot. It is at 91 \\x1b[31m°C.")


@pytest.mark.parametrize("sinks", [(), ("console",)])
def test_a_terminal_gets_an_alert_once_with_and_without_the_console_sink(home: Path, sinks: tuple[str, ...]) -> None:
    code = (
        "import pathlib, sys, touchline\n"
        "settings = touchline.Settings(home=pathlib.Path(sys.argv[1]), sinks=tuple(sys.argv[2:]))\n"
        "with touchline.start_run('train', settings=settings) as run:\n"
        "    run.alert('GPU is hot', 'It is at 91 degrees.')\n"
    )
    command = [sys.executable, "-c", code, str(home), *sinks]
    told = subprocess.run(command, capture_output=True, text=True, check=True, cwd=home.parent)
    assert told.stderr.count("GPU is hot. It is at 91 degrees.") == 1
    assert "hot" not in told.stdout


def test_a_wait_for_a_silent_sink_can_be_given_up_and_a_long_one_is_told(
    home: Path, blackhole: socket.socket, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("touchline.tracking.run._SILENT_SECONDS", 0.2)
    url = f"http://127.0.0.1:{blackhole.getsockname()[1]}"
    run = touchline.start_run("train", settings=Settings(home=home, sinks=("mlflow",), mlflow_tracking_uri=url))
    began = time.monotonic()
    assert not run.wait_delivered("mlflow", 60.0, 1_800.0, give_up=lambda: time.monotonic() - began > 1.0)
    assert time.monotonic() - began < 30.0
    told = [record.message for record in caplog.records if "to take what run" in record.message]
    assert told == [f"Waiting up to 1,800 s for mlflow to take what run {run.id} has logged."]
    run.finish(timeout=0.0)


def test_names_beyond_ascii_become_file_names_of_their_own() -> None:
    names = ["走路", "射門", "walk", "walk 走路", "walk 射門", "run", "\ud800"]
    files = [slug(name) for name in names]
    assert len(set(files)) == len(files)
    assert all(file.isascii() and slug(file) == file for file in files)
    assert slug("walk") == "walk" and slug("a/b c") == "a-b-c"
