from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from touchline.errors import UsageError
from touchline.gates import Evaluation, gate3

TASKS = ("goalie", "kick", "obstacle")


def evaluation(name="version 2", seed=0, pairs=20, shift=0.0, **parts):
    rng = np.random.default_rng(seed)
    scores = {task: rng.normal(size=pairs) + shift for task in TASKS}
    seeds = {task: tuple(range(pairs)) for task in TASKS}
    return Evaluation(name, scores, seeds=seeds, **parts)


def everywhere(value, pairs=20):
    return {task: np.full(pairs, float(value)) for task in TASKS}


UNTRAINED = evaluation("the untrained policy", seed=9)
STANDING = evaluation("stand still", seed=8)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 1000), st.integers(1, 30))
def test_a_policy_equal_to_the_champion_never_passes(seed, pairs):
    one = evaluation(seed=seed, pairs=pairs)
    verdict = gate3(one, replace(one, name="version 1"), one, one)
    assert not verdict.passed


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 1000), st.integers(2, 30), st.floats(100, 1e6))
def test_a_policy_better_by_far_passes(seed, pairs, shift):
    champion = evaluation("version 1", seed=seed, pairs=pairs)
    candidate = evaluation(seed=seed + 1, pairs=pairs, shift=shift)
    assert gate3(candidate, champion, champion).passed
    assert not gate3(champion, candidate, champion).passed


@settings(max_examples=10, deadline=None)
@given(st.permutations(TASKS))
def test_the_order_of_tasks_does_not_matter(order):
    candidate = evaluation(shift=0.3)
    shuffled = replace(candidate, scores={task: candidate.scores[task] for task in order})
    assert gate3(shuffled, None, UNTRAINED, STANDING) == gate3(candidate, None, UNTRAINED, STANDING)


def test_the_champion_is_the_one_to_beat_where_there_is_one():
    champion = evaluation("version 1", seed=1, shift=5)
    verdict = gate3(evaluation(shift=3), champion, UNTRAINED, STANDING)
    assert not verdict.passed
    assert verdict.opponent == "version 1"
    assert verdict.check("better than the untrained policy").passed
    assert "minus that of version 1" in verdict.reason


def test_without_a_champion_the_untrained_policy_is_the_one_to_beat_and_the_reason_says_so():
    verdict = gate3(evaluation(shift=3), None, UNTRAINED, STANDING)
    assert verdict.passed
    assert "no champion yet, so the untrained policy was the one to beat" in verdict.reason


def test_standing_still_being_better_is_told_for_each_task_and_decides_nothing():
    candidate = evaluation(seed=1, shift=3)
    scores = {task: candidate.scores[task] + (1 if task == "goalie" else -1) for task in TASKS}
    verdict = gate3(candidate, None, UNTRAINED, replace(STANDING, scores=scores))
    assert verdict.passed
    assert verdict.worse_than_standing == ("goalie",)
    assert verdict.reason.endswith("Stand still scores higher on goalie (by 1).")
    assert not verdict.check("better than stand still").required


def test_fewer_than_200_scenarios_a_task_make_a_provisional_verdict():
    few = gate3(evaluation(pairs=8, shift=3), None, evaluation(pairs=8, seed=1))
    assert few.provisional
    assert few.reason.startswith("Provisionally passed")
    assert "8 scenarios a task were played, and a final one takes 200" in few.reason
    enough = gate3(evaluation(pairs=200, shift=3), None, evaluation(pairs=200, seed=1))
    assert not enough.provisional
    assert "rovisional" not in enough.reason


def test_copies_of_one_episode_are_never_final():
    ours, theirs = Evaluation("ours", everywhere(1, 200)), Evaluation("theirs", everywhere(0, 200))
    verdict = gate3(ours, None, theirs)
    assert verdict.provisional
    assert "do not vary" in verdict.reason


@pytest.mark.parametrize(
    ("parts", "name"),
    [
        ({"survival": everywhere(100)}, "mean survival"),
        ({"returns": everywhere(-100)}, "mean return"),
    ],
)
def test_a_threshold_of_the_specification_that_is_only_reached_fails(parts, name):
    verdict = gate3(evaluation(shift=3, **parts), None, UNTRAINED)
    assert not verdict.passed
    assert not verdict.check(name).passed


def test_the_spread_of_returns_is_reported_and_decides_nothing():
    wild = {task: np.array([-30.0, 40.0] * 10) for task in TASKS}
    verdict = gate3(evaluation(shift=3, returns=wild), None, UNTRAINED)
    spread = verdict.check("spread of returns")
    assert (verdict.passed, spread.passed, spread.required) == (True, False, False)
    assert "misbehaves near a mean of 0" in spread.sentence


def test_different_scenarios_are_not_paired():
    other = replace(UNTRAINED, seeds={task: tuple(range(1, 21)) for task in TASKS})
    with pytest.raises(UsageError, match="different scenarios of task 'goalie'"):
        gate3(evaluation(), None, other)


def test_twins_are_told_to_be_twins():
    candidate = evaluation(shift=1)
    verdict = gate3(candidate, replace(candidate, name="version 1"), UNTRAINED)
    assert not verdict.passed and verdict.provisional
    assert "the two score the same in every scenario" in verdict.reason
