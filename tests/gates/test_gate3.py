"""Gate 3: who may become champion, on made-up scores and on recorded official episodes."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from touchline.errors import UsageError
from touchline.gates import Contest, Evaluation, gate3
from touchline.gates.table import TABLE, decision, lines_of

TASKS = ("goalie", "kick", "obstacle")


def evaluation(name="version 2", seed=0, count=20, shift=0.0, **parts):
    random = np.random.default_rng(seed)
    scores = {task: random.normal(size=count) + shift for task in TASKS}
    return Evaluation(name, scores, **{"scenarios": scenarios(count), **parts})


def scenarios(count):
    return {task: tuple(f"{task} {i}" for i in range(count)) for task in TASKS}


def everywhere(value, count=20):
    return {task: np.full(count, float(value)) for task in TASKS}


def moved(one, name, **by):
    """The same scores, moved by a little noise around so much."""
    random = np.random.default_rng(11)
    scores = {task: one.scores[task] + by.get(task, 0.0) + random.normal(0, 0.01, 20) for task in TASKS}
    return replace(one, name=name, scores=scores)


STANDING = evaluation("stand still", seed=8)
CHAMPION = evaluation("version 1", seed=1)


@settings(max_examples=30)
@given(st.integers(0, 1000), st.integers(1, 30), st.integers(1, 20))
def test_a_policy_equal_to_the_champion_or_to_standing_still_never_passes(seed, count, attempt):
    one = evaluation(seed=seed, count=count)
    twin = replace(one, name="twin")
    assert not decision(Contest(one, twin, twin, attempt=attempt))
    assert not decision(Contest(one, twin, attempt=attempt))


@settings(max_examples=30)
@given(st.integers(0, 1000), st.integers(5, 30), st.floats(100, 1e6), st.booleans())
def test_a_policy_better_by_far_passes_and_the_other_way_round_does_not(seed, count, shift, first):
    worse, better = evaluation(seed=seed, count=count), evaluation(seed=seed + 1, count=count, shift=shift)
    assert decision(Contest(better, worse, None if first else worse))
    assert not decision(Contest(worse, better, None if first else better))


@settings(max_examples=20)
@given(st.integers(0, 1000), st.floats(0.0, 2.0), st.integers(1, 19))
def test_what_passes_at_a_later_attempt_passes_at_an_earlier_one(seed, shift, attempt):
    one = Contest(evaluation(seed=seed, shift=shift), STANDING, CHAMPION, attempt=attempt)
    assert decision(one) or not decision(replace(one, attempt=attempt + 1))


@settings(max_examples=10)
@given(st.permutations(TASKS))
def test_the_order_of_tasks_does_not_matter(order):
    candidate = evaluation(shift=0.3)
    shuffled = replace(candidate, scores={task: candidate.scores[task] for task in order})
    assert gate3(Contest(shuffled, STANDING)) == gate3(Contest(candidate, STANDING))


def test_a_challenger_must_beat_the_champion_whatever_else_it_beats():
    verdict = gate3(Contest(evaluation(shift=3), STANDING, evaluation("version 1", seed=1, shift=5)))
    assert not verdict.passed
    assert "minus that of version 1" in verdict.reason
    assert verdict.check("advantages").intervals["stand still"].low > 0


def test_a_real_advantage_below_the_margin_is_not_worth_a_promotion():
    by = dict.fromkeys(TASKS, 0.03)
    one = Contest(moved(CHAMPION, "version 2", **by), STANDING, CHAMPION)
    check = gate3(one).check("better than the champion")
    assert check.intervals["mean of the tasks"].low > 0
    assert not check.passed
    assert decision(replace(one, margin=0.02))


def test_an_advantage_on_average_does_not_buy_a_task_that_is_worse():
    candidate = moved(CHAMPION, "version 2", goalie=1.0, kick=-0.1)
    verdict = gate3(Contest(candidate, STANDING, CHAMPION))
    assert verdict.check("better than the champion").passed
    assert not verdict.passed
    assert "may be worse than version 1 by more than 0.05 on kick (-0.1" in verdict.reason


def test_the_first_champion_needs_one_task_and_must_not_lose_another():
    passes = gate3(Contest(moved(STANDING, "version 1", kick=0.2), STANDING))
    assert passes.passed
    assert "beats stand still on kick (by +0." in passes.reason
    assert "no champion yet, so stand still was the one to beat" in passes.reason
    loses = gate3(Contest(moved(STANDING, "version 1", kick=0.2, goalie=-0.1), STANDING))
    assert not loses.passed
    assert [check.name for check in loses.failed] == ["no task inferior"]


def test_a_first_champion_that_is_no_worse_but_no_better_does_not_pass():
    verdict = gate3(Contest(moved(STANDING, "version 1"), STANDING))
    assert [check.name for check in verdict.failed] == ["better on some task"]


def test_the_error_is_divided_by_the_number_of_tasks_that_may_be_won():
    one = Contest(evaluation(shift=3), STANDING)
    check = gate3(one).check("better on some task")
    assert {interval.confidence for interval in check.intervals.values()} == {1 - one.error / 3}


def test_a_task_on_which_both_score_the_same_is_not_worse():
    candidate = moved(CHAMPION, "version 2", goalie=1.0, kick=1.0)
    candidate = replace(candidate, scores={**candidate.scores, "obstacle": CHAMPION.scores["obstacle"]})
    assert decision(Contest(candidate, CHAMPION, CHAMPION))
    assert decision(Contest(candidate, CHAMPION))


@pytest.mark.parametrize("first", [True, False])
def test_copies_of_one_episode_are_no_evidence(first):
    candidate, opponent = Evaluation("ours", everywhere(1, 200)), Evaluation("theirs", everywhere(0, 200))
    verdict = gate3(Contest(candidate, opponent, None if first else opponent))
    assert not verdict.passed
    assert "there is no interval" in verdict.reason
    one_task = {**evaluation(shift=9).scores, "goalie": np.full(20, 1.0)}
    copied = {**evaluation(seed=1).scores, "goalie": np.full(20, 1.0)}
    opponent = Evaluation("theirs", copied)
    assert not decision(Contest(Evaluation("ours", one_task), opponent, None if first else opponent))


def test_a_scenario_played_twice_is_refused():
    twice = {**scenarios(20), "kick": ("kick 1",) * 2 + tuple(f"kick {i}" for i in range(2, 20))}
    with pytest.raises(UsageError, match="1 of the 20 scenarios of task 'kick' are copies"):
        Contest(evaluation(scenarios=twice), replace(STANDING, scenarios=twice))


def test_different_scenarios_are_not_paired():
    other = {task: digests[::-1] for task, digests in scenarios(20).items()}
    with pytest.raises(UsageError, match="different scenarios of task 'goalie'"):
        Contest(evaluation(), replace(STANDING, scenarios=other))


@pytest.mark.parametrize("column", ["returns", "survival", "falls"])
def test_a_column_of_another_length_is_refused(column):
    with pytest.raises(UsageError, match=f"version 2 has {column} of"):
        Contest(evaluation(**{column: everywhere(0, 19)}), STANDING)


@pytest.mark.parametrize(
    ("options", "match"), [({"attempt": 0}, "count from 1"), ({"margin": -0.1}, "margin is -0.1")]
)
def test_what_cannot_be_judged_is_refused(options, match):
    with pytest.raises(UsageError, match=match):
        Contest(evaluation(), STANDING, **options)


def test_fewer_than_200_scenarios_make_a_provisional_verdict_in_every_word():
    few = gate3(Contest(evaluation(count=8, shift=9), evaluation("stand still", count=8, seed=1)))
    assert few.provisional and few.word == "provisionally passed"
    assert few.reason.startswith("Provisionally passed: ")
    assert "8 scenarios a task were played, and a final one takes 200" in few.reason
    enough = gate3(Contest(evaluation(count=200, shift=9), evaluation("stand still", count=200, seed=1)))
    assert enough.word == "passed"
    assert "rovisional" not in enough.reason


def test_unperturbed_episodes_are_reported_apart_and_decide_nothing():
    one = Contest(evaluation(nominal={"goalie": [9.0]}), replace(STANDING, nominal={"goalie": [-0.993]}))
    verdict = gate3(one)
    told = verdict.check("unperturbed episodes")
    assert "goalie: version 2 9.000, stand still -0.993" in told.sentence
    assert not told.decides
    assert verdict.passed == gate3(replace(one, candidate=evaluation())).passed


def test_falls_are_told_with_exact_bounds():
    fell = dict.fromkeys(TASKS, (True,) * 2 + (False,) * 18)
    check = gate3(Contest(evaluation(falls=fell), STANDING)).check("falls")
    assert "version 2 10%" in check.sentence
    assert check.intervals["version 2, kick"].method == "exact"
    assert check.intervals["version 2, kick"].low == pytest.approx(0.0123, abs=1e-4)


def test_checks_of_a_gate_have_names_of_their_own_and_only_four_decide_gate_3():
    for gate in ("gate1", "gate2", "gate3"):
        names = [line.name for line in lines_of(gate)]
        assert len(set(names)) == len(names) > 1
    assert [line.name for line in lines_of("gate3") if line.decides] == [
        "better than the champion",
        "no task worse",
        "better on some task",
        "no task inferior",
    ]
    assert all(line.find.__doc__ for line in TABLE)


@pytest.fixture(scope="module")
def recorded():
    """25 official scenarios a task, perturbed, as benchmarks/gates_episodes.py played them."""
    played = json.loads((Path(__file__).parent / "episodes.json").read_text())

    def column(name, of):
        return {task: of_task[name] for task, of_task in of.items()}

    return {
        name: Evaluation(
            name, column("score", of), column("dense_return", of), column("physics_steps", of), column("fall", of)
        )
        for name, of in played.items()
    }


def test_zero_torque_passes_what_the_specification_asks_and_is_refused(recorded):
    verdict = gate3(Contest(recorded["zero torque"], recorded["stand still"]))
    for name in ("survival", "dense mean", "dense spread"):
        assert verdict.check(name).passed and not verdict.check(name).decides
    assert verdict.check("survival").value < 300  # fallen within 0.6 s
    assert not verdict.passed
    assert "beats stand still on no task" in verdict.reason


def test_a_walker_may_be_first_and_falling_does_not_challenge_it(recorded):
    assert gate3(Contest(recorded["walker"], recorded["stand still"])).check("better on some task").passed
    verdict = gate3(Contest(recorded["zero torque"], recorded["stand still"], recorded["walker"]))
    assert {check.name for check in verdict.failed} == {"better than the champion", "no task worse"}


def test_the_recorded_fall_is_what_the_official_environment_plays(recorded):
    from touchline.soccer.control import stand_still
    from touchline.soccer.official import OfficialEnv
    from touchline.soccer.perturbation import Perturbation
    from touchline.soccer.scenario import Scenario

    task = "goalie_penalty_kick"
    limp = replace(stand_still(), stiffness=(0.0,) * 12, damping=(0.0,) * 12)
    env = OfficialEnv(task, limp)
    env.reset(options={"scenario": Scenario(task, 9_000_011, Perturbation())})
    total, ended = 0.0, False
    while not ended:
        _, reward, terminated, truncated, info = env.step(np.zeros(12, np.float32))
        total, ended = total + reward, terminated or truncated
    env.close()
    fall = recorded["zero torque"]
    assert info["score"] == pytest.approx(fall.scores[task][0], abs=1e-4)
    assert total == pytest.approx(fall.returns[task][0], abs=0.5)
    assert info["physics_steps"] == fall.survival[task][0]


def test_a_quick_gate_judges_tasks_by_their_means_and_a_full_one_by_their_bounds():
    random = np.random.default_rng(3)
    noise = {task: random.normal(0, 0.5, 20) for task in TASKS}
    better = {
        task: STANDING.scores[task] + noise[task] - noise[task].mean() + 1.0 * (task == "goalie") for task in TASKS
    }
    quick = Contest(replace(STANDING, name="version 2", scores=better), STANDING)
    assert decision(quick)
    assert gate3(quick).word == "provisionally passed"
    assert not decision(replace(quick, full_scenarios=20))
