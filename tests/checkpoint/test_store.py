import os
import resource
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays, from_dtype

from touchline.checkpoint import CheckpointStore, Damaged
from touchline.errors import TouchlineError, UsageError

TYPES = [np.dtype(kind) for kind in ("?", "i1", "i4", "i8", "u1", "u4", "u8", "f2", "f4", "f8", "c8", ">f4", ">i8")]
any_array = st.sampled_from(TYPES).flatmap(
    lambda kind: arrays(kind, array_shapes(min_dims=0, min_side=0), elements=from_dtype(kind))
)
plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@pytest.fixture
def store(tmp_path: Path) -> CheckpointStore:
    return CheckpointStore(tmp_path / "checkpoints")


def state(step: int) -> dict[str, np.ndarray]:
    """A state that is recognised whole: every number in it is the step."""
    return {"weights": np.full((64, 8), step, np.float32), "key": np.full(2, step, np.uint64)}


def is_whole(checkpoint) -> bool:
    expected = state(checkpoint.step)
    same = all(np.array_equal(checkpoint.arrays[name], expected[name]) for name in expected)
    return same and checkpoint.metadata == {"step": checkpoint.step}


@settings(max_examples=60, deadline=None)
@given(saved=st.dictionaries(st.text(min_size=1).filter(lambda name: name != "__metadata__"), any_array, max_size=4))
def test_arrays_come_back_bit_for_bit(tmp_path_factory, saved):
    store = CheckpointStore(tmp_path_factory.mktemp("store"))
    store.save(7, saved)
    loaded = store.latest().arrays
    assert set(loaded) == set(saved)
    for name, array in saved.items():
        assert loaded[name].shape == array.shape
        assert loaded[name].dtype == array.dtype.newbyteorder("=")
        assert loaded[name].tobytes() == array.astype(array.dtype.newbyteorder("=")).tobytes()


@settings(max_examples=30, deadline=None)
@given(metadata=st.dictionaries(st.text(), plain))
def test_metadata_comes_back(tmp_path_factory, metadata):
    store = CheckpointStore(tmp_path_factory.mktemp("store"))
    store.save(1, {}, metadata)
    assert store.latest().metadata == metadata


def test_a_strided_view_is_saved_as_it_looks(store):
    grid = np.arange(12.0).reshape(3, 4)
    store.save(1, {"transposed": grid.T, "every_other": grid[:, ::2]})
    loaded = store.latest().arrays
    np.testing.assert_array_equal(loaded["transposed"], grid.T)
    np.testing.assert_array_equal(loaded["every_other"], grid[:, ::2])


def test_an_empty_store_has_no_latest(store):
    assert store.latest() is None
    assert store.steps() == ()


def test_the_newest_step_is_the_latest_and_two_are_kept(store):
    for step in (200_000, 1_000_000, 400_000_000_000_000):
        store.save(step, state(step), {"step": step})
    assert store.steps() == (1_000_000, 400_000_000_000_000)
    assert is_whole(store.latest())
    assert store.latest().skipped == ()
    assert is_whole(store.load(1_000_000))


def test_saving_a_step_again_replaces_it(store):
    store.save(5, state(1))
    store.save(5, state(2))
    store.save(5, state(5), {"step": 5})
    assert is_whole(store.latest())
    assert len(list(store.directory.iterdir())) == 1


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_one_flipped_bit_anywhere_falls_back_to_the_step_before(tmp_path_factory, data):
    store = CheckpointStore(tmp_path_factory.mktemp("store"))
    for step in (1, 2):
        path = store.save(step, state(step), {"step": step})
    file = data.draw(st.sampled_from(sorted(path.iterdir())))
    content = bytearray(file.read_bytes())
    content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    file.write_bytes(content)
    latest = store.latest()
    assert latest.step == 1
    assert is_whole(latest)
    (skipped,) = latest.skipped
    assert skipped.path == path


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_a_truncated_file_falls_back_to_the_step_before(tmp_path_factory, data):
    store = CheckpointStore(tmp_path_factory.mktemp("store"))
    for step in (1, 2):
        path = store.save(step, state(step), {"step": step})
    file = data.draw(st.sampled_from(sorted(path.iterdir())))
    os.truncate(file, data.draw(st.integers(0, file.stat().st_size - 1)))
    assert is_whole(store.latest())
    assert store.latest().step == 1


@pytest.mark.parametrize("name", ["arrays.safetensors", "metadata.json", "manifest.json"])
def test_a_missing_file_is_named(store, name):
    store.save(1, state(1), {"step": 1})
    (store.save(2, state(2)) / name).unlink()
    latest = store.latest()
    assert latest.step == 1
    assert ("manifest" if name == "manifest.json" else name) in str(latest.skipped[0])


def test_damage_is_told_with_the_file_and_both_digests(store):
    path = store.save(1, state(1))
    weights = path / "arrays.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\xff")
    with pytest.raises(Damaged, match=r"arrays\.safetensors has the sha256 digest \w{12}… instead of \w{12}…"):
        store.load(1)


def test_when_all_are_damaged_nothing_starts_over_by_itself(store):
    for step in (1, 2):
        (store.save(step, state(step)) / "arrays.safetensors").write_bytes(b"")
    with pytest.raises(TouchlineError, match="None of the 2 checkpoints.*Restore them"):
        store.latest()


def test_a_step_that_is_not_there_is_told_which_are(store):
    store.save(1_000, state(1))
    with pytest.raises(TouchlineError, match=r"no checkpoint of step 5\. Its steps: 1,000"):
        store.load(5)


def test_retention_counts_intact_checkpoints_only(tmp_path):
    store = CheckpointStore(tmp_path, keep_last=2)
    for step in (1, 2, 3):
        path = store.save(step, state(step), {"step": step})
    (path / "arrays.safetensors").write_bytes(b"")
    again = CheckpointStore(tmp_path, keep_last=2)
    again.save(4, state(4), {"step": 4})
    assert again.steps() == (2, 3, 4)
    assert again.latest().step == 4


def test_a_full_disk_leaves_the_checkpoint_before_and_names_the_remedy(store):
    before = store.save(1, state(1), {"step": 1})
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(TouchlineError, match=r"step 2 could not be written.*the earlier ones are as they were"):
            store.save(2, {"large": np.zeros(10_000)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert list(store.directory.iterdir()) == [before]
    assert is_whole(store.latest())


def test_a_directory_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(TouchlineError, match="could not be written"):
        CheckpointStore(tmp_path / "file").save(1, {})


@pytest.mark.parametrize(
    ("arrays", "metadata", "message"),
    [
        ({"name": np.array(["text"])}, {}, "'name' has the type <U4"),
        ({"object": np.array([object()])}, {}, "'object' has the type object"),
        ({"__metadata__": np.zeros(1)}, {}, "cannot be called"),
        ({}, {"path": Path()}, "must be plain JSON"),
    ],
)
def test_what_cannot_be_kept_is_refused_before_anything_is_written(store, arrays, metadata, message):
    with pytest.raises(UsageError, match=message):
        store.save(1, arrays, metadata)
    assert store.steps() == ()
    assert not list(store.directory.glob("*"))


def test_a_store_that_keeps_nothing_is_refused(tmp_path):
    with pytest.raises(UsageError, match="at least 1"):
        CheckpointStore(tmp_path, keep_last=0)


SAVING = """
import sys
from touchline.checkpoint import CheckpointStore
from tests.checkpoint.test_store import state
store = CheckpointStore(sys.argv[1])
step = int(sys.argv[2])
while True:
    step += 1
    store.save(step, state(step), {"step": step})
    print(step, flush=True)
"""


def test_a_process_killed_in_the_middle_of_saving_leaves_a_whole_checkpoint(tmp_path):
    store, rng, newest = CheckpointStore(tmp_path / "checkpoints"), np.random.default_rng(0), 0
    for _ in range(8):
        process = subprocess.Popen(
            [sys.executable, "-c", SAVING, str(store.directory), str(newest)],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.getcwd()},
        )
        first = int(process.stdout.readline())
        # The instant of the kill is what is random here; there is no event to wait for.
        threading.Event().wait(rng.uniform(0, 0.05))
        process.kill()
        told = [int(line) for line in process.stdout.read().split() if line]
        process.wait()
        latest = store.latest()
        assert is_whole(latest)
        assert latest.step >= (told[-1] if told else first)
        assert latest.skipped == ()
        newest = latest.step
    store.save(newest + 1, state(newest + 1))
    assert not list(store.directory.glob(".partial-*"))
