"""``touchline compare``: what is shown of versions, and that it fits a terminal of 80 columns."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from touchline.catalog import ModelVersion
from touchline.catalog.about import About
from touchline.catalog.version import DIGEST_TAG, MADE_BY_RUN_TAG
from touchline.cli import main
from touchline.commands import compare
from touchline.commands.compare import Compared, document
from touchline.gates import Interval
from touchline.jobs.scores import Played, Scores

NAME = "booster_soccer.rl_models.ddpg_finetuned"
EPISODES = {"goalie_penalty_kick": (-1.0, -0.9, -0.8), "kick_to_target": (0.1, 0.2, 0.3)}
WORSE = {task: tuple(score - 1.5 + i / 100 for i, score in enumerate(scores)) for task, scores in EPISODES.items()}


def interval(mean: float) -> Interval:
    return Interval(mean, mean - 0.2, mean + 0.2, 0.975, 6, "BCa")


def version(number: int, mean: float, *aliases: str, **params: str) -> About:
    tags = {DIGEST_TAG: f"{number}" * 64, MADE_BY_RUN_TAG: f"20261127-031556-finetune-847{number}"}
    return About(
        ModelVersion(NAME, number, "f" * 32, "", tags, aliases),
        1_500 * number,
        {"eval/score": mean},
        {"seed": "0", "ddpg.learning_rate": f"{number}e-4", **params},
        {"touchline.recipe": "smoke", "code.commit": "0123456789ab", "code.changes": "none"},
        parents=("finetune x", "converted m-7407a72b8a654371b77e76c9d1534fef", f"{NAME[:-14]}mjx_sac version 1"),
    )


@pytest.fixture
def found() -> Compared:
    first, second = version(1, -0.4, "Champion"), version(2, -1.9, "Candidate-Finetuned", extra="1")
    played = Played("gate", "gate 3", {"1" * 64: EPISODES, "2" * 64: WORSE})
    scores = [
        Scores(played.sentence, interval(mean), dict.fromkeys(EPISODES, interval(mean))) for mean in (-0.4, -1.9)
    ]
    return Compared((first, second), tuple(scores), (played,))


def shown(found: Compared, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(compare, "PLAIN_WIDTH", 80)
    compare._show(found)
    text = capsys.readouterr().out
    assert max(map(len, text.splitlines())) <= 80
    return text


def test_two_versions_stand_side_by_side_in_80_columns(
    found: Compared, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    text = shown(found, capsys, monkeypatch)
    assert next(line.split() for line in text.splitlines() if "champion " in line) == ["champion", "yes", "no"]
    assert "−0.400 [−0.600, −0.200]" in text
    assert "ddpg_finetuned/1 minus ddpg_finetuned/2: +1.490" in " ".join(text.split())
    assert "more than chance explains" in " ".join(text.split())
    assert "ddpg_finetuned/1 is champion." in text
    assert "ddpg.learning_rate" in text
    assert "seed" not in text, "what is alike is left out"
    assert "1 options that not all of their jobs have" in text
    assert "converted m-7407a7…" in text


def test_a_mean_over_fewer_tasks_is_not_put_beside_one_over_all(
    found: Compared, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, part = found.scores
    assert whole and part
    fewer = replace(part, tasks={"kick_to_target": interval(0.2)})
    text = shown(replace(found, scores=(whole, fewer)), capsys, monkeypatch)
    (row,) = (line for line in text.splitlines() if "mean of tasks" in line)
    assert row.rstrip().endswith("not of all tasks")


def test_what_has_no_scores_and_what_is_no_pair_is_said(
    found: Compared, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = found.scores
    text = shown(Compared(found.versions, (first, None), ()), capsys, monkeypatch)
    assert "ddpg_finetuned/2 has no official score" in text
    alike = Played("gate", "gate 3", {"1" * 64: EPISODES, "2" * 64: EPISODES})
    same = " ".join(shown(Compared(found.versions, (first, second), (alike,)), capsys, monkeypatch).split())
    assert "ddpg_finetuned/1 and ddpg_finetuned/2 score the same in every scenario." in same
    apart = " ".join(shown(Compared(found.versions, (first, second), ()), capsys, monkeypatch).split())
    assert "did not meet the same scenarios" in apart


def test_the_json_has_all_of_it_and_no_number_that_json_lacks(found: Compared) -> None:
    endless = Scores("alone", Interval(-1.0, float("-inf"), float("inf"), 0.975, 1, "none"), {})
    told: dict[str, Any] = document(Compared(found.versions, (endless, found.scores[1]), found.played))
    json.dumps(told, allow_nan=False)
    assert [one["champion"] for one in told["versions"]] == [True, False]
    assert told["versions"][0]["scores"]["mean"]["low"] is None
    assert told["differences"][0]["of"] == "ddpg_finetuned/1"


def test_fewer_than_two_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", "ddpg_finetuned@Champion"]) == 2
    assert "Two versions or more" in capsys.readouterr().err
