"""A second value for a (metric, step) is noticed, in whatever order steps come."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from touchline.tracking.steps import Logged, StepIndex

EVENTS = st.lists(st.tuples(st.sets(st.sampled_from("abc"), min_size=1), st.integers(0, 12)), max_size=40)


@given(EVENTS)
def test_each_pair_is_new_exactly_once(events: list[tuple[set[str], int]]) -> None:
    index, seen = StepIndex(), set()
    for names, step in events:
        known = set(index.add(sorted(names), step))
        assert known == {name for name in names if (name, step) in seen}
        seen |= {(name, step) for name in names}


@given(EVENTS, EVENTS)
def test_what_an_earlier_process_logged_counts(before: list[tuple[set[str], int]], after: EVENTS) -> None:  # type: ignore[valid-type]
    seen = {(name, step) for names, step in before for name in names}
    logged = [(tuple(sorted(names)), step) for names, step in before]
    index = StepIndex(max((step for _, step in logged), default=None), lambda: logged)
    for names, step in after:
        assert set(index.add(sorted(names), step)) == {name for name in names if (name, step) in seen}
        seen |= {(name, step) for name in names}


def test_the_journal_is_read_only_when_an_old_step_comes() -> None:
    reads = 0

    def load() -> Iterable[Logged]:
        nonlocal reads
        reads += 1
        yield ("x",), 5

    index = StepIndex(5, load)
    assert index.add(["x"], 6) == []
    assert reads == 0
    assert index.add(["x"], 5) == ["x"]
    assert index.add(["x"], 4) == []
    assert reads == 1


@pytest.mark.parametrize("count", [10_000])
def test_growing_steps_take_eight_bytes_an_event(count: int) -> None:
    index = StepIndex()
    for step in range(count):
        index.add(["a", "b", "c"], step)
    assert sum(len(steps) for steps in index._steps.values()) == count
