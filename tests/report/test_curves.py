"""Curves are thinned as they are read, and lose no peak."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from touchline.report.curves import MOST_BUCKETS, MOST_GAPS, Buckets, Curve, read_curves, together
from touchline.tracking.journal import JournalReader

from .conftest import begin


def taken(values: Sequence[float], most: int, block: int) -> Curve:
    buckets = Buckets()
    array = np.array(values, dtype=np.float64)
    steps = np.arange(array.size, dtype=np.float64)
    for start in range(0, array.size, block):
        part = slice(start, start + block)
        buckets.add(steps[part], steps[part], array[part])
    return buckets.curve("x", most)


@settings(max_examples=60)
@given(
    st.lists(st.floats(-1e6, 1e6) | st.sampled_from([math.nan, math.inf, 1.7e308, 5e-324]), min_size=1, max_size=400),
    st.integers(2, 40).map(lambda number: 2 * number),
    st.integers(1, 100),
)
def test_extremes_and_counts_survive_any_thinning(values: list[float], most: int, block: int) -> None:
    curve = taken(values, most, block)
    finite = [value for value in values if math.isfinite(value)]
    assert curve.points == len(values) and curve.not_finite == len(values) - len(finite)
    assert curve.steps.size <= most and bool((np.diff(curve.steps) > 0).all())
    if finite:
        assert (curve.lowest, curve.highest) == (min(finite), max(finite))
        assert (np.nanmin(curve.low), np.nanmax(curve.high)) == (min(finite), max(finite))
        known = ~np.isnan(curve.mean)
        assert bool((known == ~np.isnan(curve.low)).all())
        assert bool((curve.mean[known] >= curve.low[known] - 1e-6).all())
        assert bool((curve.mean[known] <= curve.high[known] + 1e-6).all())


def test_the_mean_of_many_of_the_largest_numbers_is_one_of_them() -> None:
    curve = taken([1.7e308] * 5_000, 100, 700)
    assert curve.mean == pytest.approx(np.full(curve.mean.size, 1.7e308))


@settings(max_examples=60)
@given(st.lists(st.booleans(), min_size=1, max_size=600), st.integers(1, 100))
def test_all_that_is_not_finite_lies_in_a_bounded_number_of_stretches(finite: list[bool], block: int) -> None:
    curve = taken([1.0 if one else math.inf for one in finite], 100, block)
    assert curve.gaps.shape[0] <= MOST_GAPS
    inside = np.zeros(len(finite), dtype=bool)
    for first, last, _, _ in curve.gaps.astype(int).tolist():
        assert not finite[first] and not finite[last] and not inside[first : last + 1].any()
        inside[first : last + 1] = True
    assert bool(inside[~np.array(finite)].all())
    if curve.gaps.shape[0] < MOST_GAPS:
        assert bool((inside == ~np.array(finite)).all())


def test_of_too_many_stretches_the_nearest_become_one() -> None:
    values = np.zeros(10_000)
    values[:6_000:2] = math.nan
    values[9_000:] = math.nan
    gaps = taken(values.tolist(), 100, 77).gaps
    assert gaps.shape[0] == MOST_GAPS and gaps[-1].tolist() == [9_000, 9_999, 9_000, 9_999]
    assert gaps[0, 0] == 0 and gaps[-2, 1] == 5_998


def test_a_curve_of_few_values_is_the_values() -> None:
    curve = taken([1.0, 3.0, 2.0], 100, 2)
    assert not curve.thinned and curve.mean.tolist() == [1.0, 3.0, 2.0] and curve.last == 2.0


def test_the_mean_of_a_bucket_is_that_of_its_values() -> None:
    curve = taken(np.arange(10 * MOST_BUCKETS).tolist(), MOST_BUCKETS, 777)
    width = curve.points / curve.steps.size
    assert curve.thinned and abs(curve.mean[0] - (width - 1) / 2) < 1.0


def test_only_the_newest_attempt_is_read(tmp_path: Path) -> None:
    with begin(tmp_path, "r1") as run:
        run.log_curve("loss", range(10), [100.0] * 10)
    with begin(tmp_path, "r1", resume=4) as run:
        run.log_curve("loss", range(5, 8), [1.0] * 3)
        run.log({"other": 2.0}, 8)
    with JournalReader(tmp_path / "runs" / "r1" / "journal.db") as journal:
        curves = read_curves(journal)
        assert curves["loss"].mean.tolist() == [100.0] * 5 + [1.0] * 3
        assert list(read_curves(journal, {"other"})) == ["other"]


def test_many_metrics_share_the_room_of_a_page(tmp_path: Path) -> None:
    with begin(tmp_path, "r1") as run:
        for step in range(300):
            run.log({f"m{number}": 1.0 for number in range(400)}, step)
    with JournalReader(tmp_path / "runs" / "r1" / "journal.db") as journal:
        curves = read_curves(journal)
    assert sum(curve.steps.size for curve in curves.values()) <= 60_000
    assert together([curves["m0"], curves["m1"]]).points == 600
