"""A cadence is crossed, not hit."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from touchline.cadence import Cadence, WallClockCadence
from touchline.jobs.recording import RecordingConfig

strides = st.lists(st.one_of(st.integers(1, 5_000), st.integers(1, 10**12)), max_size=200)
timed_moves = st.lists(
    st.tuples(st.integers(-20_000, 20_000) | st.integers(1, 10**12), st.floats(0.0, 2.0)), max_size=200
)


@given(every=st.integers(1, 3_000), strides=strides)
def test_it_is_due_exactly_when_a_multiple_was_crossed(every: int, strides: list[int]) -> None:
    cadence, step = Cadence(every, minimum_seconds=0.0), 0
    for stride in strides:
        crossed = (step + stride) // every > step // every
        step += stride
        assert cadence.due(step) is crossed


@given(every=st.integers(1, 3_000), strides=strides)
def test_it_is_due_once_a_step(every: int, strides: list[int]) -> None:
    cadence, step = Cadence(every, minimum_seconds=0.0), 0
    for stride in strides:
        step += stride
        cadence.due(step)
        assert not cadence.due(step)


@given(moves=timed_moves, interval=st.floats(0.0, 5.0))
def test_it_is_never_due_sooner_than_its_minimum_interval(moves: list[tuple[int, float]], interval: float) -> None:
    now, fired, step = 0.0, [], 0
    cadence = Cadence(1_000, minimum_seconds=interval, clock=lambda: now)
    for stride, seconds in moves:
        step, now = max(step + stride, 0), now + seconds
        if cadence.due(step):
            fired.append(now)
    assert all(later - earlier >= interval for earlier, later in itertools.pairwise(fired))


@given(every=st.integers(1, 3_000), moves=timed_moves, interval=st.floats(0.0, 5.0))
def test_a_crossed_multiple_is_never_lost_for_good(
    every: int, moves: list[tuple[int, float]], interval: float
) -> None:
    """Whenever the steps since the last firing, or since they went back, hold a multiple, waiting makes it due."""
    now, step, base = 0.0, 0, 0
    cadence = Cadence(every, minimum_seconds=interval, clock=lambda: now)
    for stride, seconds in moves:
        step, now = max(step + stride, 0), now + seconds
        if cadence.due(step):
            base = step
        base = min(base, step)
    now += interval + 0.001  # more than rounding can take away
    assert cadence.due(step) is (step // every > base // every)


def test_a_multiple_that_was_crossed_too_soon_stays_due_and_the_newest_step_wins() -> None:
    now = 0.0
    cadence = Cadence(1_000, clock=lambda: now)
    assert cadence.due(1_000)
    assert not cadence.due(2_000)
    assert not cadence.due(3_000)
    now = 1.0
    assert cadence.due(3_001)
    now = 2.0
    assert not cadence.due(3_999)


def test_after_a_rewind_it_counts_from_there() -> None:
    cadence = Cadence(1_000, minimum_seconds=0.0)
    assert cadence.due(5_500)
    assert not cadence.due(3_200)
    assert cadence.due(4_000)


def test_a_training_that_goes_on_counts_from_its_checkpoint() -> None:
    cadence = Cadence(1_000, start=5_500)
    assert not cadence.due(5_600)
    assert cadence.due(6_000)


def test_metrics_come_at_most_once_a_second_and_checkpoints_once_a_minute_by_default() -> None:
    assert Cadence(1_000).minimum_seconds == 1.0
    assert RecordingConfig().log_minimum_seconds == 1.0
    assert RecordingConfig().checkpoint_minimum_seconds == 60.0
    assert RecordingConfig().video_seconds == 300.0


def test_wall_clock_is_due_once_an_interval() -> None:
    now = 0.0
    cadence = WallClockCadence(300.0, clock=lambda: now)
    assert not cadence.due()
    now = 301.0
    assert cadence.due()
    assert not cadence.due()


@given(every=st.integers(1, 3_000), before=strides, after=strides)
def test_a_restored_cadence_is_due_when_the_first_one_would_have_been(
    every: int, before: list[int], after: list[int]
) -> None:
    first, second, step = Cadence(every, minimum_seconds=0.0), Cadence(every, minimum_seconds=0.0), 0
    for stride in before:
        step += stride
        first.due(step)
    second.load_state_dict(first.state_dict())
    for stride in after:
        step += stride
        assert second.due(step) is first.due(step)


def test_a_multiple_that_was_too_soon_when_saved_is_due_after_the_restore() -> None:
    now = 0.0
    cadence, restored = Cadence(1_000, clock=lambda: now), Cadence(1_000, clock=lambda: now)
    assert cadence.due(1_000)
    assert not cadence.due(2_000)
    restored.load_state_dict(cadence.state_dict())
    assert restored.due(2_000)


def test_a_cadence_restored_with_another_interval_counts_from_the_step_it_served() -> None:
    cadence, restored = Cadence(1_000, minimum_seconds=0.0), Cadence(300, minimum_seconds=0.0)
    assert cadence.due(5_000)
    restored.load_state_dict(cadence.state_dict())
    assert not restored.due(5_099)
    assert restored.due(5_100)


def test_a_restored_wall_clock_begins_a_new_interval() -> None:
    now = 0.0
    cadence, restored = (WallClockCadence(300.0, clock=lambda: now) for _ in range(2))
    now = 299.0
    restored.load_state_dict(cadence.state_dict())
    now = 598.0
    assert not restored.due()
    now = 599.0
    assert restored.due()


@pytest.mark.parametrize("every", [0, -5, 0.5, 2.5, float("nan"), float("inf")])
def test_a_cadence_without_whole_steps_is_refused(every: float) -> None:
    with pytest.raises(ValueError, match=f"every is {every}. Give at least 1"):
        Cadence(every)


def test_steps_may_be_written_as_a_whole_float() -> None:
    assert Cadence(1e5).every == 100_000


def test_a_negative_step_is_refused_and_step_0_is_due_for_nothing() -> None:
    cadence = Cadence(10)
    assert not cadence.due(0)
    with pytest.raises(ValueError, match="step -3 is negative"):
        cadence.due(-3)


@pytest.mark.parametrize("seconds", [-1.0, float("nan")])
def test_an_impossible_interval_is_refused(seconds: float) -> None:
    with pytest.raises(ValueError, match="minimum interval"):
        Cadence(10, minimum_seconds=seconds)
    with pytest.raises(ValueError, match="more than 0 seconds"):
        WallClockCadence(seconds)
