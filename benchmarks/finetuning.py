"""Is fine-tuning faster than the competition's own loop, and does it learn as well?

Speed: physics steps of 2 ms a second in the official goalie task, updates included, at the competition's network
sizes (24-12-6) and at 256×3. The competition's loop, restated in `peers/official_ddpg.py`, and `ddpg_train` take
turns in one process tree; ratios are of medians. The competition updates every four physics steps with a batch of 64.
Ours does so at both readings of that: every four *physics steps* (2.5 updates a policy transition of 10 physics
steps: the same updates for the same simulated time), and every four *policy transitions* (the same updates for the
same number of decisions). Ours steps its environments in a second process, and other work may take the processors: so
steps a processor-second of the whole tree are told too.

Learning: Pendulum, 10,000 transitions, five seeds, the same networks and hyper-parameters; return of 30 episodes
without noise, on seeds that training did not see. The competition's algorithm is there as it stands, and mended.

Usage: python benchmarks/finetuning.py [--part speed|learning] [--quick] [--fresh]; goes on where it stopped.
Writes results/finetuning-speed.json and results/finetuning-learning.json.
"""

from __future__ import annotations

import argparse
import contextlib
import random
import statistics
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import gymnasium
import numpy as np
import psutil
import torch
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from harness import Part, table
from peers.official_ddpg import Ddpg, preprocess, train

from touchline.jobs.worlds import official_soccer
from touchline.learning import ddpg_train
from touchline.learning.convert import policy_of
from touchline.learning.ddpg import Mlp
from touchline.learning.ddpg_config import DdpgConfig
from touchline.learning.policy import Policy, zero_policy
from touchline.soccer.control import soft_ankles
from touchline.soccer.observation import OBSERVATION_SIZE
from touchline.soccer.tasks import task_named

TASK = "goalie_penalty_kick"
ENVIRONMENTS, PROCESSES = 6, 1
DECIMATION = soft_ankles().decimation
SIZES = {"24-12-6": (24, 12, 6), "256×3": (256, 256, 256)}
RATES = {"a physics step": 0.25 * DECIMATION, "a policy transition": 0.25}
"""Updates a policy transition, where the competition makes one every four …"""


def start_policy(inputs: int, actions: int, hidden: tuple[int, ...], seed: int) -> Policy:
    """An actor as PyTorch initialises it, on observations as they are."""
    torch.manual_seed(seed)
    like = zero_policy(inputs, actions)
    return policy_of(Mlp(inputs, hidden, actions, squash=True), Policy(**{**vars(like), "clip": 100.0}))


class Racer:
    """A loop that is asked for so many physics steps at a time."""

    def __init__(self, steps: Iterator[int], physics_steps_each: int, close: Callable[[], None]) -> None:
        self._steps, self._each, self.close = steps, physics_steps_each, close

    def run(self, physics_steps: int) -> dict[str, float]:
        """Physics steps a second, and a processor-second of this process and its children."""
        processor, began = processor_seconds(), time.perf_counter()
        for _ in range(physics_steps // self._each):
            next(self._steps)
        seconds, used = time.perf_counter() - began, processor_seconds() - processor
        done = physics_steps // self._each * self._each
        return {"a_second": done / seconds, "a_processor_second": done / used}


def processor_seconds() -> float:
    """Of this process and its living children."""
    processes = [psutil.Process(), *psutil.Process().children(recursive=True)]
    return sum(sum(one.cpu_times()[:2]) for one in processes)


def competition(hidden: tuple[int, ...]) -> Racer:
    """The competition's loop as it stands."""
    import sai_mujoco  # noqa: F401 (registers the environments)

    env = gymnasium.make(task_named(TASK).official_id, disable_env_checker=True)
    model = Ddpg(86, 12, hidden, 1e-4, 1e-3)
    return Racer(train(env, model, preprocess, mended=False), 1, env.close)


def ours(hidden: tuple[int, ...], updates_per_transition: float) -> Racer:
    """Fine-tuning over a batch of official environments."""
    config = DdpgConfig(
        critic_hidden=hidden, actor_lr=1e-4, critic_lr=1e-4, batch_size=64, tau=1e-3,
        updates_per_transition=updates_per_transition, warmup_steps=64, critic_warmup_updates=0,
        score_from=0, score_until=0, score_share=0.5,
    )  # fmt: skip
    envs = official_soccer((TASK,) * ENVIRONMENTS, soft_ankles(), processes=PROCESSES)
    start = start_policy(OBSERVATION_SIZE, 12, hidden, seed=0)
    steps = (one.step for one in ddpg_train.train(envs, start, config, total_steps=10**9, seed=0))
    return Racer(steps, ENVIRONMENTS * DECIMATION, envs.close)


@contextlib.contextmanager
def racers_of(hidden: tuple[int, ...]) -> Iterator[dict[str, Racer]]:
    """All that race at one size, warmed up."""
    racers = {"competition": competition(hidden)} | {name: ours(hidden, rate) for name, rate in RATES.items()}
    try:
        for racer in racers.values():
            racer.run(1_200)
        yield racers
    finally:
        for racer in racers.values():
            racer.close()


def one_round(racers: dict[str, Racer], physics_steps: int) -> dict[str, dict[str, float]]:
    """Each in turn."""
    return {name: racer.run(physics_steps) for name, racer in racers.items()}


def speed() -> None:
    """Race at every size, and print the table."""
    part = Part("speed", __doc__, subject="finetuning")
    part.put("environments", ENVIRONMENTS)
    part.put("environment_processes", PROCESSES)
    physics_steps, rows = part.size(1_200, 600), []
    for name, hidden in SIZES.items():
        keys = [f"{name} round {i}" for i in range(part.size(7, 2))]
        if any(key not in part.results for key in keys):
            with racers_of(hidden) as racers:
                for key in keys:
                    part.measure(key, partial(one_round, racers, physics_steps))
        for unit in ("a_second", "a_processor_second"):
            middle = {
                who: statistics.median(part.results[key][who][unit] for key in keys)
                for who in ("competition", *RATES)
            }
            part.put(f"{name} {unit}", {who: round(value, 1) for who, value in middle.items()})
            told = [f"{middle[who]:,.0f} ({middle[who] / middle['competition']:.1f}×)" for who in RATES]
            rows.append([name, unit.replace("_", " "), round(middle["competition"]), *told])
    head = ["networks", "physics steps", "competition", *(f"ours, an update every four: {name}" for name in RATES)]
    table(head, rows)


class Scaled(gymnasium.RewardWrapper):
    """A tenth of the reward, so that values are of a size that networks like; for all alike."""

    def reward(self, reward: Any) -> float:
        return 0.1 * float(reward)


def pendulum(*, unit_actions: bool = False) -> gymnasium.Env[Any, Any]:
    """The task, with actions in its own range or in [-1, 1]."""
    env: gymnasium.Env[Any, Any] = Scaled(gymnasium.make("Pendulum-v1"))
    if unit_actions:
        env = gymnasium.wrappers.RescaleAction(env, np.float32(-1.0), np.float32(1.0))
    return env


HIDDEN, RATE, TAU = (64, 64), 1e-3, 5e-3
TRANSITIONS = 10_000


def learn_theirs(seed: int, mended: bool, transitions: int) -> float:
    """Train the competition's algorithm and return its mean return."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
    model = Ddpg(3, 1, HIDDEN, RATE, TAU)
    options = {"mended": mended, "update_every": 1, "seed": seed}
    for step in train(pendulum(), model, lambda observation, info: observation, **options):
        if step >= transitions:
            break

    def act(observation: Any) -> Any:
        with torch.inference_mode():
            return model.actor(torch.from_numpy(observation)).numpy()

    return mean_return(act)


def learn_ours(seed: int, transitions: int) -> float:
    """Train ours with the same networks and hyper-parameters."""
    config = DdpgConfig(
        critic_hidden=HIDDEN, actor_lr=RATE, critic_lr=RATE, tau=TAU, gamma=0.99, batch_size=64,
        updates_per_transition=1.0, warmup_steps=64, critic_warmup_updates=0, noise=0.1, anchor=0.0,
        reward_scale=1.0, score_share=0.0,
    )  # fmt: skip
    start = start_policy(3, 1, HIDDEN, seed)
    envs = SyncVectorEnv([lambda: pendulum(unit_actions=True)], autoreset_mode=AutoresetMode.SAME_STEP)
    *_, last = ddpg_train.train(envs, start, config, total_steps=transitions, seed=seed)
    return mean_return(policy_of(last.state.actor, start))


def mean_return(act: Callable[[Any], Any], episodes: int = 30) -> float:
    """Return of the task as it is, with actions over their whole range and no noise."""
    env, returns = gymnasium.make("Pendulum-v1"), []
    for seed in range(10_000, 10_000 + episodes):
        observation, _ = env.reset(seed=seed)
        total, over = 0.0, False
        while not over:
            observation, reward, _, over, _ = env.step(2.0 * np.clip(act(observation), -1.0, 1.0))
            total += float(reward)
        returns.append(total)
    return float(np.mean(returns))


def learning() -> None:
    """Train with every seed, and print the table."""
    part = Part("learning", __doc__, subject="finetuning")
    seeds, transitions = range(part.size(5, 2)), part.size(TRANSITIONS, 600)
    how: dict[str, Callable[[int], float]] = {
        "ours": lambda seed: learn_ours(seed, transitions),
        "competition, mended": lambda seed: learn_theirs(seed, True, transitions),
        "competition": lambda seed: learn_theirs(seed, False, transitions),
    }
    returns: dict[str, list[float]] = {name: [] for name in how}
    for seed in seeds:  # every method in turn, so that what is there of an interrupted benchmark can be compared
        for name, learn in how.items():
            returns[name].append(part.measure(f"{name} {seed}", partial(learn, seed)))
    rows = [
        [name, round(statistics.mean(r)), round(statistics.median(r)), *map(round, r)] for name, r in returns.items()
    ]
    table(["Pendulum, mean return", "mean", "median", *(f"seed {seed}" for seed in seeds)], rows)


def main() -> None:
    """Run the part that is asked for, or both."""
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--part", choices=("speed", "learning"))
    chosen, sys.argv[1:] = parser.parse_known_args()
    for name, part in {"speed": speed, "learning": learning}.items():
        if chosen.part in (None, name):
            part()


if __name__ == "__main__":
    main()
