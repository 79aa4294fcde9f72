"""The table of metrics in docs/metrics.md is what real trainings log: no name more, no name less."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.learning.resuming import SAC
from tests.learning.test_policy import random_policy
from touchline.config import Settings
from touchline.jobs.judge import Judge
from touchline.jobs.recorder import Hooks, TrainingRecorder
from touchline.jobs.recording import RecordingConfig
from touchline.jobs.worlds import official_soccer
from touchline.learning.ddpg_config import DdpgConfig
from touchline.learning.evaluate_vector import evaluate_vector
from touchline.learning.policy import zero_policy
from touchline.learning.progress import EpisodeStatistics, Progress, against_stochastic
from touchline.learning.sac_config import SacConfig
from touchline.simulation.native import NativeWorld
from touchline.soccer.control import soft_ankles
from touchline.soccer.rewards import RewardWeights
from touchline.soccer.tasks import TASKS
from touchline.soccer.world import SoccerWorld
from touchline.tracking.start import start_run

TABLE = Path(__file__).parents[2] / "docs" / "metrics.md"
STEPS = 450
SMALL: dict[str, Any] = {"critic_hidden": (16, 16), "batch_size": 16, "replay_size": 2_000, "warmup_steps": 60}
FALLING = zero_policy(89, 12, SoccerWorld().metadata())


@dataclass(frozen=True)
class Config:
    """What a recorder knows of a job's configuration."""

    recording: RecordingConfig


def recorded(run: Any, training: Iterator[Progress[Any]]) -> EpisodeStatistics:
    """Let the recorder have a training, without videos, and return what its episodes came to."""
    recording = RecordingConfig(log_every=1, log_minimum_seconds=0.0, video_seconds=1e9)
    hooks = Hooks(trajectories=lambda state: [])
    with TrainingRecorder(run, Config(recording), hooks, total_steps=STEPS, decimation=10) as recorder:
        recorder._filmed = True
        for progress in training:
            recorder(progress)
    return progress.episodes


def pretrain(run: Any) -> None:
    """SAC in the training scene, and its evaluation."""
    from touchline.learning import sac_train

    envs = NativeWorld(SoccerWorld(episode_steps=25), 4)
    training = sac_train.train(envs, SacConfig(**SAC), total_steps=STEPS, seed=0)  # sizes that are compiled already
    episodes = recorded(run, training)
    envs.close()
    envs = NativeWorld(SoccerWorld(episode_steps=5), 12)
    outcome = evaluate_vector(envs, FALLING, seed=1)
    envs.close()
    compared = against_stochastic(outcome.figures["return"], episodes)
    run.log({f"eval/{name}": value for name, value in (outcome.metrics | compared).items()}, STEPS)


def finetune(run: Any) -> None:
    """DDPG in the official environments, and its evaluation."""
    import torch

    from touchline.learning import ddpg_train

    torch.set_num_threads(1)
    envs = official_soccer(TASKS, soft_ankles(), processes=1)
    config = DdpgConfig(critic_warmup_updates=2, **SMALL)
    start = random_policy(0, (89, 16, 16, 12))
    episodes = recorded(run, ddpg_train.train(envs, start, config, total_steps=210, seed=0))  # until all have fallen
    envs.close()
    with Judge(1) as judge:
        judged = judge.evaluate(FALLING, SoccerWorld().scenarios([0]))
    compared = against_stochastic(judged.mean_return, episodes)
    run.log({f"eval/{name}": value for name, value in (judged.metrics | compared).items()}, STEPS)


def documented(job: str) -> dict[str, bool]:
    """The names in the column of ``job``, placeholders filled in, each with whether it always comes."""
    found = {}
    for line in TABLE.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) != 4 or not cells[0].startswith("`"):
            continue
        says = cells[1 if job == "pretrain" else 2]
        for name in re.findall(r"`([^`]+)`", cells[0]) if says in ("yes", "sometimes") else ():
            fillings = [("TASK", task) for task in TASKS] if "TASK" in name else [("", "")]
            fillings = [("TERM", term) for term in TERMS[job]] if "TERM" in name else fillings
            found |= {name.replace(*filling) if filling[0] else name: says == "yes" for filling in fillings}
    return found


TERMS = {
    "pretrain": tuple(RewardWeights.__dataclass_fields__),
    "finetune": (
        *("robot_distance_ball", "ball_vel_twd_goal", "offside", "ball_hits", "robot_fallen", "goal_scored"),
        *("ball_blocked", "ball_distance_target", "success", "distance"),
    ),
}


@pytest.mark.parametrize("job", [pretrain, finetune])
def test_a_training_logs_what_the_table_says_and_nothing_else(job: Any, tmp_path: Path) -> None:
    with start_run(job.__name__, settings=Settings(home=tmp_path / "home", sinks=())) as run:
        job(run)
    with sqlite3.connect(run.directory / "journal.db") as journal:
        rows = journal.execute("SELECT payload FROM events WHERE kind = 'metrics'").fetchall()
    logged = {name for (payload,) in rows for name in json.loads(payload)}
    logged = {name for name in logged if not name.startswith(("gpu/", "jax/", "torch/", "cost/"))}  # docs/watch.md
    said = documented(job.__name__)
    assert sorted(logged - said.keys()) == []
    assert sorted(name for name, always in said.items() if always and name not in logged) == []
