"""The summary at the end: everything a person asks, and nothing that is not true."""

from __future__ import annotations

import dataclasses
import io
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

import touchline
from touchline.config import Settings
from touchline.jobs.base import JobResult
from touchline.jobs.execute import JobOutcome
from touchline.jobs.summary import honest_sentences, print_summary

SCORES = {
    "goalie_penalty_kick": {"candidate": -1.2, "champion": None, "stand still": -0.993, "untrained": -2.4},
    "kick_to_target": {"candidate": -0.25, "champion": None, "stand still": -0.26, "untrained": -0.264},
}
JUDGED = {
    "scores": SCORES,
    "verdict": "Passed, provisionally: 8 episodes a task.",
    "champion": "ddpg_finetuned version 1",
}


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings.load(home=tmp_path / "home", sinks=("tensorboard",))


def summary(settings: Settings, *results: tuple[str, dict[str, Any]], run_id: str = "gone") -> str:
    outcomes = [JobOutcome(job, run_id, 75.0, JobResult(figures), {}) for job, figures in results]
    stream = io.StringIO()
    print_summary(outcomes, settings, Console(file=stream, width=200))
    return stream.getvalue()


def test_it_tells_durations_scores_champion_and_commands(settings: Settings) -> None:
    text = summary(settings, ("pretrain", {}), ("gate3", JUDGED))
    assert "pretrain" in text
    assert "1:15" in text
    assert "2:30" in text
    assert "−0.993" in text
    assert "ddpg_finetuned version 1" in text
    assert "Passed, provisionally: 8 episodes a task." in text
    assert f"touchline ui --home {settings.home}" in text
    assert "touchline lineage ddpg_finetuned@Champion" in text
    assert "touchline report" not in text, "its runs lie in another machine's home"


def test_it_offers_the_report_of_what_lies_in_this_home(settings: Settings) -> None:
    with touchline.start_run("pretrain", settings=dataclasses.replace(settings, sinks=(), capture=())) as run:
        run.log({"loss": 1.0}, 0)
    text = summary(settings, ("pretrain", {}), run_id=run.id)
    assert f"touchline report --last --home {settings.home}" in text


def test_what_the_jobs_cost_on_their_gpus_is_summed(settings: Settings) -> None:
    cost = {"cost/usd": 1.5, "cost/usd_wasted": 0.25, "cost/energy_wh": 100.0}
    text = summary(settings, ("pretrain", {"cost": cost}), ("convert", {}), ("finetune", {"cost": cost}))
    assert "GPU    3.00 USD, 0.50 USD of it while idle; 200 Wh" in text
    assert "GPU " not in summary(settings, ("pretrain", {"cost": {}}), ("convert", {}))


def test_it_says_where_standing_still_is_better() -> None:
    assert list(honest_sentences(SCORES)) == [
        "On goalie_penalty_kick standing still is better than the candidate, by 0.207."
    ]


def test_a_difference_that_the_table_cannot_show_is_none() -> None:
    assert list(honest_sentences({"kick_to_target": {"candidate": -0.278, "stand still": -0.278 + 4e-9}})) == [
        "On kick_to_target the candidate scores what standing still scores, and no more."
    ]


def test_the_newest_video_can_be_opened(settings: Settings) -> None:
    video = settings.run_directory("gone") / "media" / "videos" / "ab12" / "rollout-5.mp4"
    video.parent.mkdir(parents=True)
    video.touch()
    assert f"xdg-open {video}" in summary(settings, ("pretrain", {}))


def test_without_a_champion_there_is_no_lineage_to_look_at(settings: Settings) -> None:
    text = summary(settings, ("gate3", JUDGED | {"champion": None, "verdict": "Not better than the champion."}))
    assert "none yet" in text
    assert "lineage" not in text


def test_a_single_job_has_a_summary_without_scores(settings: Settings) -> None:
    text = summary(settings, ("convert", {"error": 1e-6}))
    assert "convert" in text
    assert "Scores, higher" not in text


def test_the_delivery_is_the_one_of_now(settings: Settings) -> None:
    with touchline.start_run(job="pretrain", settings=settings) as run:
        run.log({"train/loss": 1.0}, 1)
    assert run.wait_delivered("tensorboard", 300)
    assert "tensorboard has everything." in summary(settings, ("pretrain", {}), run_id=run.id)


def test_what_a_track_lacks_comes_with_its_command(tmp_path: Path) -> None:
    settings = Settings.load(home=tmp_path / "home", sinks=("wandb",), wandb_mode="disabled")
    with touchline.start_run(job="pretrain", settings=settings) as run:
        run.log({"train/loss": 1.0}, 1)
    text = summary(settings, ("pretrain", {}), run_id=run.id)
    assert "wandb has yet to receive" in text
    assert "touchline sync" in text


def test_submit_alone_and_a_gate_without_games_have_a_summary_too(settings: Settings) -> None:
    text = summary(settings, ("submit", {"scores": {"kick_to_target": -0.3}, "model": "ddpg_finetuned version 1"}))
    assert "submit" in text
    text = summary(settings, ("gate3", {"verdict": "It is the champion already.", "champion": "version 1"}))
    assert "It is the champion already." in text
