"""One MLflow run with one value for each (metric, step), whatever dies and wherever the run goes on."""

from __future__ import annotations

import random
import shutil
import signal
import sqlite3
from pathlib import Path

import pytest

import touchline
from touchline.config import Settings
from touchline.tracking.delivery import read_cursor
from touchline.tracking.journal import JournalReader
from touchline.tracking.mlflow_store import connect
from touchline.tracking.sinks import load_sink
from touchline.tracking.sinks.base import RunInfo

from .conftest import couriers_of, kill_couriers, trainer, until


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """A store that outlives the home."""
    (tmp_path / "far").mkdir()
    return tmp_path / "far" / "mlflow.db"


def rows(store: Path, name: str = "x") -> list[tuple[int, float]]:
    with sqlite3.connect(f"file:{store}?mode=ro", uri=True) as connection:
        return connection.execute("SELECT step, value FROM metrics WHERE key = ? ORDER BY step", (name,)).fetchall()


def tags(store: Path) -> dict[str, str]:
    with sqlite3.connect(f"file:{store}?mode=ro", uri=True) as connection:
        assert connection.execute("SELECT count(*) FROM runs").fetchone() == (1,)
        return dict(connection.execute("SELECT key, value FROM tags").fetchall())


def test_a_run_restored_on_another_machine_goes_on_as_the_same_mlflow_run(
    home: Path, elsewhere: Path, tmp_path: Path
) -> None:
    far = {"sinks": ("mlflow",), "mlflow_tracking_uri": f"sqlite:///{elsewhere}"}
    body = f"""
    for step in range(6):
        run.log({{"x": step, "y": step}}, step)
    checkpoint = Path({str(tmp_path / "checkpoint")!r})
    checkpoint.mkdir()
    run.save_journal(checkpoint)
    run.log_table("t", ["a"], [[1]], step=8)
    for step in range(6, 10):
        run.log({{"x": step}}, step)
    assert run.wait_delivered("mlflow", 300)
    os.kill(os.getpid(), 9)
    """
    assert trainer(home, body, tmp_path, **far).wait(90) == -signal.SIGKILL
    kill_couriers(home)
    shutil.rmtree(home)
    assert rows(elsewhere) == [(step, step) for step in range(10)]
    first_mark = int(tags(elsewhere)["touchline.delivered"])

    settings = Settings(home=tmp_path / "fresh", **far)  # type: ignore[arg-type]
    run = touchline.start_run("train", settings=settings, resume=tmp_path / "checkpoint")
    run.log_table("t", ["a"], [[2]], step=8)
    for step in range(6, 14):
        run.log({"x": 100 + step, "y": 100 + step}, step)
    assert run.wait_delivered("mlflow", 300)
    kill_couriers(settings.home)
    run.log({"x": 114}, 14)
    delivery = run.finish(timeout=300)
    assert delivery.complete, delivery.sentences()

    assert run.id == "r1"
    assert rows(elsewhere) == [*((s, s) for s in range(10)), *((s, 100 + s) for s in range(10, 15))]
    assert rows(elsewhere, "y") == [*((s, s) for s in range(6)), *((s, 100 + s) for s in range(6, 14))]
    after = tags(elsewhere)
    assert after["touchline.rewinds"] == "5"
    assert int(after["touchline.delivered"]) > 2**32 > first_mark
    assert after["touchline.status"] == "finished"
    kill_couriers(settings.home)


def test_a_rewind_on_one_machine_drops_what_was_not_delivered_and_repeats_nothing(
    settings: Settings, tmp_path: Path
) -> None:
    store = settings.home / "mlflow.db"
    run = touchline.start_run("train", settings=settings, run_id="r1")
    for step in range(10):
        run.log({"x": step}, step)
    assert run.wait_delivered("mlflow", 300)
    kill_couriers(settings.home)
    store.rename(store.with_suffix(".away"))  # what follows stays undelivered
    store.write_bytes(b"not a database" * 500)
    for step in range(10, 20):
        run.log({"x": step}, step)
    run.finish("failed", timeout=0)
    kill_couriers(settings.home)
    store.unlink()
    store.with_suffix(".away").rename(store)

    run = touchline.start_run("train", settings=settings, run_id="r1", resume=6)
    for step in range(7, 15):
        run.log({"x": 100 + step}, step)
    kill_couriers(settings.home)
    for step in range(15, 18):
        run.log({"x": 100 + step}, step)
    delivery = run.finish(timeout=300)
    assert delivery.complete, delivery.sentences()
    assert rows(store) == [*((s, s) for s in range(10)), *((s, 100 + s) for s in range(10, 18))]
    assert tags(store)["touchline.rewinds"] == "6"


@pytest.mark.slow
def test_kills_at_any_moment_of_many_rewinds_leave_one_value_a_step(home: Path, tmp_path: Path) -> None:
    chance = random.Random(3)
    settings = Settings(home=home, sinks=("mlflow",))
    rewound = []
    for attempt in range(5):
        resume = None if attempt == 0 else chance.randrange(0, 400)
        rewound += [] if resume is None else [resume]
        run = touchline.start_run("train", settings=settings, run_id="r1", resume=resume)
        first = 0 if resume is None else resume + 1
        for step in range(first, first + 700):
            run.log({"x": 1_000 * attempt + step, "y": step}, step)
            if step % 100 == 0 and chance.random() < 0.5:
                kill_couriers(home)
                run._start_couriers(run.settings.sinks)
                until(lambda: couriers_of(home))
        if chance.random() < 0.5:
            run.wait_delivered("mlflow", 300)
        last = first + 700
        run.finish("failed" if attempt < 4 else "finished", timeout=0 if attempt < 4 else 90)
    assert run.delivery().complete, run.delivery().sentences()
    found = rows(home / "mlflow.db")
    steps = [step for step, _ in found]
    assert steps == sorted(set(steps))
    assert set(range(last)) <= set(steps)
    with JournalReader(run.directory / "journal.db") as journal:
        logged = {(event.step, event.metrics["x"]) for event in journal.of_kind(["metrics"])}
    assert set(found) <= logged
    assert tags(home / "mlflow.db")["touchline.rewinds"] == ",".join(map(str, rewound))


def test_the_high_water_is_what_mlflow_has_of_each_metric(settings: Settings) -> None:
    run = touchline.start_run("train", settings=settings)
    run.log({"x": 1.0, "y": 2.0}, 7)
    run.log({"x": 1.0}, 3)
    run.log_table("a/b", ["c"], [[1]], step=12)
    assert run.finish(timeout=300).complete
    with JournalReader(run.directory / "journal.db") as journal:
        start = journal.newest("start")
    assert start is not None
    info = RunInfo.from_start(start, run.directory)
    session = load_sink("mlflow", settings).open(info, 0, 0)
    assert session.high_water() == {"x": 7, "y": 7, "a/b": 12}
    delivered = read_cursor(run.directory, "mlflow").delivered
    assert session.resume_from == delivered  # this machine knows nothing, so the run there is believed
    assert load_sink("mlflow", settings).open(info, 3, delivered).resume_from == 3
    assert load_sink("mlflow", settings).open(info, delivered + 5, delivered + 5).resume_from == delivered

    client = connect(settings)
    client.delete_tag(session.remote_id, "touchline.delivered")  # as an earlier version left it
    assert load_sink("mlflow", settings).open(info, 3, 5).resume_from == 3
