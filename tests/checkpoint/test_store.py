"""A training is saved beside its loop, and goes on from the newest checkpoint that is whole."""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import random
import resource
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from touchline.checkpoint import CheckpointStore, Damaged, StopSignal
from touchline.checkpoint.manifest import AnotherFormat
from touchline.checkpoint.origin import Refused
from touchline.checkpoint.storage import LocalDisk
from touchline.checkpoint.tree import Mismatch
from touchline.config import digest
from touchline.errors import TouchlineError, UsageError


def state(step: int) -> dict[str, Any]:
    """A state that is recognised whole: every number in it is the step."""
    return {"weights": np.full((64, 8), step, np.float32), "key": np.full(2, step, np.uint64), "count": step}


def is_whole(checkpoint: Any) -> bool:
    restored = checkpoint.restore(state(0))
    return bool((restored["weights"] == checkpoint.step).all() and (restored["key"] == checkpoint.step).all())


@pytest.fixture
def store(tmp_path: Path) -> CheckpointStore:
    return CheckpointStore(tmp_path / "checkpoints", minimum_seconds=0)


def directory_of(store: CheckpointStore, step: int) -> Path:
    return Path(store.load(step).path)


class Recorder:
    """What the store uses of a run; its journal waits until it may be written."""

    id = "r1"

    def __init__(self, may_write: bool = True) -> None:
        self.may_write = threading.Event()
        self.alerts: list[tuple[str, str, str]] = []
        if may_write:
            self.may_write.set()

    def save_journal(self, directory: Path | str, step: int | None = None) -> Path:
        assert self.may_write.wait(30)
        path = Path(directory, "journal.db")
        path.write_text(f"history up to {step}")
        return path

    def alert(self, title: str, text: str = "", level: Any = "warn") -> None:
        self.alerts.append((title, text, level))


def test_three_lines_let_a_loop_go_on_where_it_was(tmp_path: Path) -> None:
    def loop(total: int) -> tuple[int, list[int]]:
        store = CheckpointStore(tmp_path, every=10, minimum_seconds=0)
        values, made = {"sum": np.zeros(1)}, []
        values = store.restore_or(values)
        for step in range(store.step, total):
            values["sum"] += step
            made.append(step)
            store.maybe_save(step + 1, values)
            store.wait()
        return int(values["sum"][0]), made

    assert loop(25)[0] == sum(range(25))
    total, made = loop(40)
    assert total == sum(range(40))
    assert made == list(range(20, 40))


def test_an_empty_store_gives_the_state_back(store: CheckpointStore) -> None:
    mine = state(0)
    assert store.restore_or(mine) is mine
    assert (store.latest(), store.steps(), store.step, store.saved) == (None, (), 0, "")


def test_a_state_that_cannot_be_saved_is_told_at_the_start_not_hours_later(store: CheckpointStore) -> None:
    with pytest.raises(UsageError, match="environment is a .*object"):
        store.restore_or({"environment": object()})


def test_the_newest_step_is_the_latest_and_two_are_kept(store: CheckpointStore) -> None:
    for step in (200_000, 1_000_000, 400_000_000_000_000):
        store.save(step, state(step))
    assert store.steps() == (1_000_000, 400_000_000_000_000)
    latest = store.latest()
    assert latest is not None and latest.skipped == ()
    assert is_whole(latest)
    assert is_whole(store.load(1_000_000))
    assert store.saved == latest.path


@settings(max_examples=30)
@given(
    metadata=st.dictionaries(
        st.text(),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
            lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
            max_leaves=10,
        ),
    )
)
def test_metadata_comes_back(tmp_path_factory: pytest.TempPathFactory, metadata: dict[str, Any]) -> None:
    store = CheckpointStore(tmp_path_factory.mktemp("store"))
    store.save(1, {}, metadata=metadata, metrics={"return": 1e-5})
    latest = store.latest()
    assert latest is not None
    assert latest.metadata == metadata
    assert latest.manifest.about["metrics"] == {"return": 1e-5}


@pytest.mark.parametrize("value", [Path(), np.zeros(1), {1, 2}])
def test_metadata_that_is_no_json_is_refused(store: CheckpointStore, value: Any) -> None:
    with pytest.raises(UsageError, match="must be plain JSON"):
        store.save(1, {}, metadata={"value": value})


def test_saving_a_step_again_replaces_it(store: CheckpointStore) -> None:
    for value in (1, 2, 5):
        store.save(5, state(value))
    latest = store.latest()
    assert latest is not None and is_whole(latest)
    assert len(list(Path(store.location).iterdir())) == 1


def test_a_negative_step_is_refused(store: CheckpointStore) -> None:
    with pytest.raises(UsageError, match="at least 0, and this is -1"):
        store.save(-1, {})


def test_what_is_saved_is_the_state_at_the_call(store: CheckpointStore, monkeypatch: pytest.MonkeyPatch) -> None:
    may_write, stage = threading.Event(), LocalDisk.stage

    def wait(disk: LocalDisk) -> Path:
        assert may_write.wait(30)
        return stage(disk)

    monkeypatch.setattr(LocalDisk, "stage", wait)
    mine, rng = state(1), np.random.default_rng(0)
    before = rng.bit_generator.state
    store.save(1, {**mine, "rng": rng}, wait=False)
    for value in (mine["weights"], mine["key"]):
        value[...] = 99
    mine["count"] = 99
    rng.normal(size=5)
    may_write.set()
    assert store.wait(30)
    latest = store.latest()
    assert latest is not None
    other = np.random.default_rng(1)
    restored = latest.restore({**state(0), "rng": other})
    assert (restored["weights"] == 1).all() and restored["count"] == 1
    assert other.bit_generator.state == before


def test_while_a_save_is_under_way_the_next_stays_due(tmp_path: Path) -> None:
    run = Recorder(may_write=False)
    store = CheckpointStore(tmp_path, every=10, minimum_seconds=0, run=run)
    assert not store.maybe_save(9, state(9))
    assert store.maybe_save(10, state(10))
    assert store.is_writing
    assert not store.maybe_save(20, state(20))
    assert not store.wait(0)
    run.may_write.set()
    assert store.wait(30)
    assert store.maybe_save(21, state(21))
    assert not store.maybe_save(22, state(22))
    assert store.wait(30)
    assert store.steps() == (10, 21)


def test_the_history_of_the_run_goes_along(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path, run=Recorder())
    store.save(7, state(7))
    latest = store.latest()
    assert latest is not None
    assert latest.manifest.about["run"] == "r1"
    with store.files_of(latest) as files:
        assert (files / "journal.db").read_text() == "history up to 7"


def test_without_a_run_the_log_tells_a_save_that_fails(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "place").write_text("in the way")
    store = CheckpointStore(tmp_path / "place", every=1, minimum_seconds=0)
    assert store.maybe_save(1, state(1))
    store.wait()
    assert "step 1 could not be written" in caplog.text


def test_a_save_that_fails_is_told_and_the_training_goes_on(tmp_path: Path) -> None:
    (tmp_path / "place").write_text("in the way")
    run = Recorder()
    store = CheckpointStore(tmp_path / "place", every=1, minimum_seconds=0, run=run)
    assert store.maybe_save(1, state(1))
    store.wait()
    ((title, text, level),) = run.alerts
    assert (title, level) == ("Checkpoint not saved", "error")
    assert "step 1 could not be written" in text and "the training goes on" in text
    (tmp_path / "place").unlink()
    assert store.maybe_save(2, state(2))
    store.wait()
    assert store.steps() == (2,)


def test_a_save_that_is_waited_for_raises_what_it_failed_with(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(TouchlineError, match="step 1 could not be written.*Make it writable"):
        CheckpointStore(tmp_path / "file").save(1, {})


def test_a_failure_that_nobody_foresaw_is_told_too(store: CheckpointStore, monkeypatch: pytest.MonkeyPatch) -> None:
    store.save(1, state(1))
    with monkeypatch.context() as patch:
        patch.setattr(LocalDisk, "publish", lambda *arguments: 1 // 0)
        with pytest.raises(TouchlineError, match="ZeroDivisionError.*the earlier ones are as they were"):
            store.save(2, state(2))
    store.save(3, state(3))
    assert store.steps() == (1, 3)


def test_a_file_size_limit_leaves_the_checkpoint_before(store: CheckpointStore) -> None:
    store.save(1, state(1))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(TouchlineError, match=r"step 2 could not be written.*Free some space"):
            store.save(2, {"large": np.zeros(10_000)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert [path.name for path in Path(store.location).iterdir()] == ["step-000000000001"]
    latest = store.latest()
    assert latest is not None and is_whole(latest)


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CheckpointStore]:
    """A store with two small checkpoints, with all the files that one may have."""
    store = CheckpointStore(tmp_path_factory.mktemp("two"), run=Recorder())
    for step in (1, 2):
        store.save(step, state(step), metadata={"step": step}, metrics={"return": 1e-5})
    yield store


@pytest.mark.parametrize("damage", ["one flipped bit", "truncation"])
def test_of_500_damages_none_is_loaded_and_each_falls_back(two: CheckpointStore, damage: str) -> None:
    rng, whole = random.Random(damage), 0
    files = sorted(directory_of(two, 2).iterdir())
    assert [path.name for path in files] == ["journal.db", "manifest.json", "state.json", "state.safetensors"]
    for _ in range(500):
        file = rng.choice(files)
        content = file.read_bytes()
        if damage == "truncation":
            file.write_bytes(content[: rng.randrange(len(content))])
        else:
            flipped = bytearray(content)
            flipped[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
            file.write_bytes(flipped)
        latest = two.latest()
        assert latest is not None
        assert [skipped.path for skipped in latest.skipped] == [str(file.parent)]
        whole += latest.step == 1 and is_whole(latest)
        file.write_bytes(content)
    assert whole == 500
    latest = two.latest()
    assert latest is not None and latest.step == 2


@pytest.mark.parametrize("name", ["state.safetensors", "state.json", "manifest.json"])
def test_a_missing_file_is_named(store: CheckpointStore, name: str) -> None:
    for step in (1, 2):
        store.save(step, state(step))
    (directory_of(store, 2) / name).unlink()
    latest = store.latest()
    assert latest is not None and latest.step == 1
    assert ("no manifest" if name == "manifest.json" else name) in str(latest.skipped[0])


def test_going_on_says_what_was_skipped_and_why(store: CheckpointStore, caplog: pytest.LogCaptureFixture) -> None:
    for step in (1, 2):
        store.save(step, state(step))
    damaged = directory_of(store, 2)
    (damaged / "state.json").write_text("{}")
    again = CheckpointStore(store.location)
    with caplog.at_level(logging.WARNING, "touchline"):
        restored = again.restore_or(state(0))
    assert again.step == restored["count"] == 1
    assert f"The checkpoint {damaged} was skipped: state.json has 2 bytes instead of" in caplog.text
    again.save(2, state(2))
    assert again.steps() == (1, 2)
    assert not damaged.exists()


def test_damage_is_told_with_the_file_and_both_digests(store: CheckpointStore) -> None:
    store.save(1, state(1))
    weights = directory_of(store, 1) / "state.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\xff")
    with pytest.raises(Damaged, match=r"state\.safetensors has the sha256 digest \w{12}… instead of \w{12}…"):
        store.load(1)


def test_when_all_are_damaged_nothing_starts_over_by_itself(store: CheckpointStore) -> None:
    for step in (1, 2):
        store.save(step, state(step))
    for file in Path(store.location).glob("*/state.json"):
        file.write_bytes(b"")
    with pytest.raises(TouchlineError, match="None of the 2 checkpoints.*Restore them"):
        store.restore_or(state(0))


def test_a_step_that_is_not_there_is_told_which_are(store: CheckpointStore) -> None:
    store.save(1_000, state(1))
    with pytest.raises(TouchlineError, match=r"no checkpoint of step 5\. Its steps: 1,000"):
        store.load(5)


def test_a_checkpoint_of_another_version_is_neither_loaded_nor_removed(
    store: CheckpointStore, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("touchline.checkpoint.manifest.FORMAT", 9)
        store.save(1, state(1))
    with pytest.raises(AnotherFormat, match="its format is 9, and this version of Touchline reads 2"):
        store.latest()
    again = CheckpointStore(store.location, keep_last=1)
    for step in (2, 3):
        again.save(step, state(step))
    assert again.steps() == (1, 3)
    assert "It is left alone" in caplog.text


def test_an_earlier_checkpoint_that_is_gone_on_from_replaces_the_later_ones(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path, keep_last=5)
    for step in (1, 2, 3):
        store.save(step, state(step))
    again = CheckpointStore(tmp_path, keep_last=5)
    again.restore(again.load(1), state(0))
    assert again.steps() == (1, 2, 3)
    again.save(2, state(2))
    assert again.steps() == (1, 2)


def test_a_new_training_in_the_directory_of_an_old_one_is_told(
    store: CheckpointStore, caplog: pytest.LogCaptureFixture
) -> None:
    for step in (100, 200, 300):
        store.save(step, state(step))
    other = CheckpointStore(store.location)
    other.save(1, state(1))
    assert other.steps() == (1, 200, 300)
    assert "has checkpoints of later steps (200, 300)" in caplog.text
    assert "restore_or(state)" in caplog.text


def test_retention_counts_intact_checkpoints_only(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path, keep_last=2)
    for step in (1, 2, 3):
        store.save(step, state(step))
    (directory_of(store, 3) / "state.safetensors").write_bytes(b"")
    again = CheckpointStore(tmp_path, keep_last=2)
    again.save(4, state(4))
    assert again.steps() == (2, 4)


def test_the_best_by_a_metric_and_one_of_so_many_stay(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path, keep_last=1, keep_every=100, best_metric="return")
    for step, value in ((50, 1.0), (90, 9.0), (110, 2.0), (130, 3.0), (160, float("nan"))):
        store.save(step, state(step), metrics={"return": value})
    assert store.steps() == (50, 90, 110, 160)


@dataclasses.dataclass(frozen=True)
class Config:
    rate: float = 1e-3
    sizes: tuple[int, ...] = (256, 256)


def test_a_checkpoint_of_another_configuration_is_refused_with_the_difference(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    CheckpointStore(tmp_path, config=Config()).save(1, state(1))
    assert CheckpointStore(tmp_path, config=Config()).restore_or(state(0))["count"] == 1
    other = Config(rate=3e-4, sizes=(256, 128))
    with pytest.raises(Refused, match=r"rate: 0.001 → 0.0003; sizes: \[256, 256\] → \[256, 128\].*allow_changes"):
        CheckpointStore(tmp_path, config=other).restore_or(state(0))
    allowed = CheckpointStore(tmp_path, config=other, allow_changes=True)
    assert allowed.restore_or(state(0))["count"] == 1
    assert "[256, 128]. It is used all the same, as allowed." in caplog.text


def test_another_state_is_refused_and_the_store_stays_at_its_beginning(store: CheckpointStore) -> None:
    store.save(5, state(5))
    again = CheckpointStore(store.location)
    with pytest.raises(Mismatch, match=r"weights was float32\[64, 8\] and is float32\[2\]"):
        again.restore_or({**state(0), "weights": np.zeros(2, np.float32)})
    assert again.step == 0


def test_a_checkpoint_may_be_restored_again_after_the_training_changed_what_it_got(store: CheckpointStore) -> None:
    store.save(5, state(5))
    checkpoint = store.load(5)
    checkpoint.restore(state(0))["weights"][...] = 99
    assert is_whole(checkpoint)


def test_others_may_read_a_checkpoint_as_the_umask_says_where_its_directory_lets_them(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    for umask, expected in ((0o022, (0o755, 0o644)), (0o027, (0o750, 0o640))):
        before = os.umask(umask)
        try:
            store = CheckpointStore(tmp_path / f"{umask:o}")
            store.save(1, state(1))
        finally:
            os.umask(before)
        made = directory_of(store, 1)
        modes = {stat.S_IMODE(path.stat().st_mode) for path in made.iterdir()}
        assert (stat.S_IMODE(made.stat().st_mode), modes) == (expected[0], {expected[1]})


def test_a_requested_stop_saves_and_ends_the_process_with_its_code(tmp_path: Path) -> None:
    for reason, code in (("preempted", 143), ("interrupted", 130)):
        with StopSignal() as stop:
            store = CheckpointStore(tmp_path / reason, stop=stop)
            assert not store.maybe_save(3, state(3))
            stop.request(reason)  # type: ignore[arg-type]
            with pytest.raises(SystemExit) as raised:
                store.maybe_save(4, state(4))
        assert raised.value.code == code
        assert store.steps() == (4,)


def test_a_stop_whose_save_fails_ends_the_process_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "place").write_text("in the way")
    run = Recorder()
    with StopSignal() as stop:
        stop.request("preempted")
        with pytest.raises(SystemExit, match="143"):
            CheckpointStore(tmp_path / "place", stop=stop, run=run).maybe_save(4, state(4))
    assert run.alerts


STOPPING = """
import sys, time
from tests.checkpoint.test_store import state
from touchline.checkpoint import CheckpointStore, StopSignal
with StopSignal() as stop:
    store = CheckpointStore(sys.argv[1], stop=stop)
    step = 0
    while True:
        step += 1
        print(step, flush=True)
        store.maybe_save(step, state(step))
"""


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)], ids=["sigterm", "ctrl-c"])
def test_a_process_that_is_told_to_go_leaves_a_durable_checkpoint(tmp_path: Path, number: int, code: int) -> None:
    process = start(STOPPING, tmp_path / "checkpoints")
    first = process.stdout.readline()
    process.send_signal(number)
    last = int((first + process.stdout.read()).split()[-1])
    assert process.wait() == code
    latest = CheckpointStore(tmp_path / "checkpoints").latest()
    assert latest is not None and is_whole(latest)
    assert latest.step == last


SAVING = """
import sys
from tests.checkpoint.test_store import state
from touchline.checkpoint import CheckpointStore
store = CheckpointStore(sys.argv[1])
store.restore_or(state(0))
step = store.step
while True:
    step += 1
    store.save(step, state(step))
    print(step, flush=True)
"""


def start(script: str, *arguments: Path) -> Any:
    environment = {**os.environ, "PYTHONPATH": f"{os.environ.get('PYTHONPATH', '')}:{Path(__file__).parents[2]}"}
    return subprocess.Popen(
        [sys.executable, "-c", script, *map(str, arguments)], stdout=subprocess.PIPE, text=True, env=environment
    )


def test_a_process_killed_in_the_middle_of_saving_loses_no_durable_checkpoint(tmp_path: Path) -> None:
    store, rng = CheckpointStore(tmp_path / "checkpoints"), random.Random(0)
    for _ in range(6):
        process = start(SAVING, tmp_path / "checkpoints")
        told = [int(process.stdout.readline())]
        # The instant of the kill is what is random here; there is no event to wait for.
        threading.Event().wait(rng.uniform(0, 0.05))
        process.kill()
        told += [int(line) for line in process.stdout.read().splitlines()]
        process.wait()
        latest = store.latest()
        assert latest is not None and is_whole(latest)
        assert latest.step >= told[-1]
        assert latest.skipped == ()
    store.restore_or(state(0))
    store.save(store.step + 1, state(store.step + 1))
    assert not list(Path(store.location).glob(".partial-*"))


def test_the_description_is_for_people_too(store: CheckpointStore) -> None:
    store.save(3, state(3), metadata={"note": "before the change"})
    described = json.loads((directory_of(store, 3) / "state.json").read_text())
    assert (described["step"], described["metadata"]) == (3, {"note": "before the change"})


def test_the_manifest_tells_which_configuration_made_it(tmp_path: Path) -> None:
    for config in ({"rate": 1.0}, {"rate": 2.0}):
        CheckpointStore(tmp_path, config=config).save(int(config["rate"]), {"x": np.zeros(1)})
    digests = [
        json.loads(path.read_text())["about"]["config_digest"] for path in sorted(tmp_path.glob("*/manifest.json"))
    ]
    assert digests == [digest({"rate": 1.0}), digest({"rate": 2.0})]


def test_a_step_may_be_numpys_and_must_be_whole(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path, every=1, minimum_seconds=0.0)
    assert store.maybe_save(np.int64(7), {"x": np.zeros(1)})
    store.wait()
    assert store.steps() == (7,)
    for step in (1.0, "1", True, None):
        with pytest.raises(UsageError, match="a whole number, at least 0, and this is"):
            store.save(step, {"x": np.zeros(1)})  # type: ignore[arg-type]


def test_what_is_given_wrongly_is_told_before_anything_is_written(tmp_path: Path) -> None:
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(UsageError, match="holds itself"):
        CheckpointStore(tmp_path / "a").restore_or({"x": endless})
    with pytest.raises(UsageError, match="A configuration is a dataclass or a mapping, and this is 5"):
        CheckpointStore(tmp_path / "a", config=5).restore_or({})
    with pytest.raises(UsageError, match="are numbers by name"):
        CheckpointStore(tmp_path / "a").save(1, {}, metrics={"return": "high"})  # type: ignore[dict-item]
    (tmp_path / "file").touch()
    with pytest.raises(TouchlineError, match="cannot be read now"):
        CheckpointStore(tmp_path / "file").restore_or({})
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_tilde_is_the_home_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    CheckpointStore("~/mine").save(1, {})
    assert (tmp_path / "mine").is_dir()
