"""Gates 1 and 2 judge a table of differences, and nothing slips through them."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from touchline.gates import Agreement, gate1, gate2

tiny = st.floats(0.0, 9.9e-7)


def official(gyro=0.0, velocimeter=0.0, count=104, **more):
    return Agreement(
        {"kick": {"gyro": gyro, "velocimeter": 0.0}, "goalie": {"gyro": 0.0, "velocimeter": velocimeter}},
        {"kick": count, "goalie": count},
        1e-6,
        **more,
    )


def actors(logits=0.0, sets=("recorded", "unit"), count=500):
    return Agreement({name: {"logits": logits, "actions": 0.0} for name in sets}, dict.fromkeys(sets, count), 1e-5)


@given(tiny, tiny)
def test_observations_that_agree_pass_gate_1(gyro, velocimeter):
    verdict = gate1(official(gyro, velocimeter))
    assert verdict.passed and not verdict.provisional
    assert verdict.check("observations agree").value == max(gyro, velocimeter)


@given(st.floats(1e-6, 1e6) | st.just(math.nan) | st.just(math.inf))
def test_one_field_of_one_task_that_differs_is_named(difference):
    verdict = gate1(official(velocimeter=difference))
    assert not verdict.passed
    assert "velocimeter by" in verdict.reason and "gyro" not in verdict.reason


def test_a_field_that_is_left_out_does_not_count_and_is_told():
    verdict = gate1(official(gyro=1.0, ignored=("gyro",)))
    assert verdict.passed
    assert "gyro left out" in verdict.reason


def test_too_few_official_observations_do_not_pass():
    assert gate1(official(count=50)).passed
    verdict = gate1(official(count=49))
    assert not verdict.passed
    assert "98 observations were compared (kick 49, goalie 49); 100 are wanted" in verdict.reason


@pytest.mark.parametrize("empty", [Agreement({}, {}, 1e-6), official(ignored=("gyro", "velocimeter"))])
def test_nothing_compared_is_no_agreement(empty):
    assert not empty.passed
    assert "nothing was compared" in gate1(empty).reason


@given(st.floats(0.0, 9.9e-6))
def test_actors_that_agree_pass_gate_2(difference):
    assert gate2(actors(difference)).passed


@pytest.mark.parametrize(
    ("agreement", "why"),
    [
        (actors(1e-5), "logits by 1.0e-05"),
        (actors(math.nan), "logits by nan"),
        (actors(count=499), "998 observations"),
        (actors(sets=("recorded",), count=2_000), "recorded and random observations are wanted"),
        (actors(sets=("unit", "small"), count=2_000), "recorded and random observations are wanted"),
    ],
)
def test_actors_that_differ_or_were_hardly_compared_do_not_pass(agreement, why):
    verdict = gate2(agreement)
    assert not verdict.passed
    assert why in verdict.reason
