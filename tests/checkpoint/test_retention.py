"""Which checkpoints stay: the newest, one in so many steps, the best; and never none."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from touchline.checkpoint.retention import Entry, Retention, best, kept
from touchline.errors import UsageError


def entries(*steps: int, returns: tuple[float, ...] = ()) -> list[Entry]:
    values = returns or (0.0,) * len(steps)
    return [Entry(f"step-{step}", step, {"return": value}) for step, value in zip(steps, values, strict=True)]


def steps(rule: Retention, found: list[Entry]) -> dict[int, str]:
    return {int(name.removeprefix("step-")): why for name, why in kept(rule, found).items()}


def test_the_newest_stay() -> None:
    assert steps(Retention(keep_last=2), entries(1, 2, 3)) == {2: "newest", 3: "newest"}


def test_the_first_of_each_so_many_steps_stays() -> None:
    rule = Retention(keep_last=1, keep_every=100)
    assert steps(rule, entries(10, 90, 130, 170, 350, 360)) == {
        10: "every",
        130: "every",
        350: "every",
        360: "newest",
    }


def test_the_best_stay_and_the_newer_of_equal_ones() -> None:
    found = entries(1, 2, 3, 4, returns=(5.0, 7.0, 7.0, 1.0))
    assert steps(Retention(1, None, "return"), found) == {3: "best", 4: "newest"}
    assert steps(Retention(1, None, "return", "min"), found) == {4: "best"}
    assert steps(Retention(1, None, "return", keep_best=2), found) == {3: "best", 2: "best", 4: "newest"}


def test_a_checkpoint_without_the_metric_or_without_a_number_is_not_the_best() -> None:
    found = [Entry("a", 1, {}), *entries(2, 3, returns=(math.nan, math.inf)), Entry("d", 4, {"return": -1.0})]
    assert [entry.name for entry in best(Retention(1, None, "return"), found)] == ["d"]


@given(
    names=st.lists(st.integers(0, 1000), unique=True).map(sorted),
    keep_last=st.integers(1, 4),
    keep_every=st.none() | st.integers(1, 300),
    metric=st.sampled_from([None, "return", "absent"]),
)
def test_what_stays_is_never_none_and_holds_the_newest(
    names: list[int], keep_last: int, keep_every: int | None, metric: str | None
) -> None:
    found = entries(*names)
    stays = kept(Retention(keep_last, keep_every, metric), found)
    assert set(stays) <= {entry.name for entry in found}
    assert {entry.name for entry in found[-keep_last:]} <= set(stays)


@given(names=st.lists(st.integers(0, 1000), unique=True, min_size=1).map(sorted), keep_every=st.integers(1, 300))
def test_what_stays_once_stays_when_newer_ones_come(names: list[int], keep_every: int) -> None:
    rule, lying = Retention(1, keep_every), []
    for entry in entries(*names):
        lying = [one for one in [*lying, entry] if one.name in kept(rule, [*lying, entry])]
    assert {entry.name for entry in lying} == set(kept(rule, entries(*names)))


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"keep_last": 0}, "at least 1 checkpoint, not 0"),
        ({"keep_every": 0}, "keep_every is 0"),
        ({"best_goal": "high"}, "best_goal is 'high'"),
        ({"keep_best": 0}, "keep_best is 0"),
    ],
)
def test_a_rule_that_cannot_be_meant_is_refused(options: dict[str, Any], told: str) -> None:
    with pytest.raises(UsageError, match=told):
        Retention(**options)
