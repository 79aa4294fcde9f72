import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as some

from touchline.watch.latch import Latch, Patience, step

PATIENCE = Patience(hold_seconds=5.0, clear_seconds=20.0, repeat_seconds=1_000.0)


def changes(conditions, patience=PATIENCE):
    """What is told, with the time, of conditions that stand for a number of seconds each."""
    latch, at, told = Latch(), 0.0, []
    for is_bad, seconds in conditions:
        for _ in range(seconds):
            latch, change = step(latch, at, is_bad, patience)
            if change is not None:
                told.append((at, change))
            at += 1.0
    return told


def test_what_lasts_is_told_once_and_so_is_its_end():
    assert changes([(False, 10), (True, 100), (False, 100)]) == [(15.0, "told"), (130.0, "recovered")]


def test_it_lasted_from_where_it_began_to_where_it_was_well_however_late_it_was_looked_at():
    latch = Latch()
    for at, is_bad, since in [(10.0, True, 4.0), (20.0, True, 4.0), (30.0, False, 28.0), (60.0, False, 28.0)]:
        latch, change = step(latch, at, is_bad, PATIENCE, since)
    assert (change, latch.lasted) == ("recovered", 24.0)


def test_what_is_over_at_once_is_not_told():
    assert changes([(False, 10), (True, 5), (False, 10)] * 20) == []


def test_between_its_limits_a_condition_neither_begins_nor_ends():
    assert changes([(None, 100)]) == []
    assert changes([(True, 10), (None, 500)]) == [(5.0, "told")]
    assert changes([(True, 10), (False, 15), (None, 1), (False, 15)]) == [(5.0, "told")]


def test_a_condition_that_flickers_into_the_band_between_its_limits_is_told():
    assert changes([(True, 1), (None, 1)] * 10) == [(6.0, "told")]


def test_what_comes_back_soon_is_not_told_again():
    assert changes([(True, 10), (False, 30), (True, 10), (False, 100)]) == [(5.0, "told"), (30.0, "recovered")]


def test_what_comes_back_after_long_is_told_again():
    told = changes([(True, 10), (False, 2_000), (True, 10), (False, 100)])
    assert [change for _, change in told] == ["told", "recovered"] * 2


def test_what_came_back_and_stays_is_told_again_when_that_may_be():
    told = changes([(True, 10), (False, 30), (True, 2_000)])
    assert told == [(5.0, "told"), (30.0, "recovered"), (1_005.0, "told")]


@pytest.mark.parametrize("seconds", [1, 6, 19, 21, 60, 300])
def test_a_thousand_flaps_are_at_most_two_alerts_within_the_time_in_which_one_may_be_repeated(seconds):
    patience = Patience(hold_seconds=5.0, clear_seconds=20.0, repeat_seconds=1_000_000.0)
    told = changes([(True, seconds), (False, seconds)] * 1_000, patience)
    assert len(told) <= 2


@given(some.lists(some.tuples(some.sampled_from([True, False, None]), some.integers(1, 400)), max_size=30))
def test_alerts_and_recoveries_take_turns_and_keep_their_distance(conditions):
    told = changes(conditions)
    assert [change for _, change in told] == ["told", "recovered"] * (len(told) // 2) + ["told"] * (len(told) % 2)
    alerts = [at for at, change in told if change == "told"]
    assert all(later - earlier >= 1_000.0 for earlier, later in itertools.pairwise(alerts))
