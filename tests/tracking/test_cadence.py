"""A cadence is crossed, not hit."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from touchline.tracking.cadence import Cadence, WallClockCadence

moves = st.lists(st.integers(1, 5_000), max_size=200)


@given(every=st.integers(1, 3_000), strides=moves)
def test_it_is_due_exactly_when_a_multiple_was_crossed(every: int, strides: list[int]) -> None:
    cadence, step = Cadence(every), 0
    for stride in strides:
        crossed = (step + stride) // every > step // every
        step += stride
        assert cadence.due(step) is crossed


@given(every=st.integers(1, 3_000), strides=moves)
def test_it_is_due_once_a_step(every: int, strides: list[int]) -> None:
    cadence, step = Cadence(every), 0
    for stride in strides:
        step += stride
        cadence.due(step)
        assert not cadence.due(step)


@given(strides=st.lists(st.tuples(st.integers(1, 5_000), st.floats(0.001, 2.0)), max_size=200))
def test_it_is_never_due_sooner_than_its_minimum_interval(strides: list[tuple[int, float]]) -> None:
    now, fired, step = 0.0, [], 0
    cadence = Cadence(1_000, minimum_seconds=1.0, clock=lambda: now)
    for stride, seconds in strides:
        step, now = step + stride, now + seconds
        if cadence.due(step):
            fired.append(now)
    assert all(later - earlier >= 1.0 for earlier, later in itertools.pairwise(fired))


def test_a_multiple_that_was_crossed_too_soon_stays_due() -> None:
    now = 0.0
    cadence = Cadence(1_000, minimum_seconds=1.0, clock=lambda: now)
    assert cadence.due(1_000)
    assert not cadence.due(2_000)
    now = 1.0
    assert cadence.due(2_001)


def test_after_a_rewind_it_counts_from_there() -> None:
    cadence = Cadence(1_000)
    assert cadence.due(5_500)
    assert not cadence.due(3_200)
    assert cadence.due(4_000)


def test_wall_clock_is_due_once_an_interval() -> None:
    now = 0.0
    cadence = WallClockCadence(300.0, clock=lambda: now)
    assert not cadence.due()
    now = 301.0
    assert cadence.due()
    assert not cadence.due()


@pytest.mark.parametrize("every", [0, -5])
def test_a_cadence_without_steps_is_refused(every: int) -> None:
    with pytest.raises(ValueError, match=str(every)):
        Cadence(every)
