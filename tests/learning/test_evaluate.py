"""Evaluation: the same episodes whatever the number of processes, and clear words when something breaks."""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np
import psutil
import pytest

from touchline.errors import TouchlineError, UsageError
from touchline.learning.evaluate import Episode, Evaluator, evaluate


class Walk(gymnasium.Env[np.ndarray, np.ndarray]):
    """Walks from a random start; ends past 3, times out after ``limit`` steps."""

    def __init__(self, limit: int = 50) -> None:
        self.limit = limit

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        self.position, self.steps = self.np_random.uniform(-1, 1, 2), 0
        return self.position.copy(), {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        self.position, self.steps = self.position + action, self.steps + 1
        terminated = bool(self.position[0] > 3)
        info = {
            "score": np.float64(self.position[1]),
            "success": terminated,
            "process": os.getpid(),
            "threads": int(os.environ.get("OMP_NUM_THREADS", 0)),
            "heavy": int(any(name in sys.modules for name in ("jax", "torch"))),
            "path": [1, 2],
        }
        return self.position.copy(), float(action.sum()), terminated, self.steps >= self.limit, info


@dataclass(frozen=True)
class Push:
    """A policy with NumPy weights."""

    weights: np.ndarray

    def __call__(self, observation: np.ndarray) -> np.ndarray:
        return self.weights + 0.01 * observation


def die(observation: np.ndarray) -> np.ndarray:
    os.kill(os.getpid(), signal.SIGKILL)
    return observation


def divide(observation: np.ndarray) -> np.ndarray:
    raise ZeroDivisionError("no weights")


FORWARD = Push(np.array([0.2, 0.1]))
STUCK = Push(np.array([0.0, 0.0]))


@pytest.fixture(scope="module")
def pool() -> Iterator[Evaluator]:
    with Evaluator(processes=2) as evaluator:
        yield evaluator


def essence(episodes: list[Episode]) -> list[tuple[Any, ...]]:
    return [(e.seed, e.return_, e.length, e.terminated, e.info["score"]) for e in episodes]


def test_two_processes_give_the_episodes_of_one_in_the_order_of_the_seeds(pool: Evaluator) -> None:
    seeds = [5, 3, 11, 3, 8]
    alone = evaluate(Walk, FORWARD, seeds, processes=1)
    assert [episode.seed for episode in alone] == seeds
    assert essence(pool.evaluate(Walk, FORWARD, seeds)) == essence(alone)


def test_an_episode_tells_its_end_and_the_scalars_of_its_last_info() -> None:
    ended, timed_out = evaluate(Walk, FORWARD, [0], processes=1) + evaluate(Walk, STUCK, [0], processes=1)
    assert ended.terminated
    assert ended.info["success"] == 1.0
    assert not timed_out.terminated
    assert timed_out.length == 50
    assert "path" not in ended.info


def test_workers_have_one_thread_and_load_neither_jax_nor_torch(pool: Evaluator) -> None:
    for episode in pool.evaluate(Walk, FORWARD, range(4)):
        assert episode.info["threads"] == 1
        assert episode.info["heavy"] == 0
        assert episode.info["process"] != os.getpid()


def test_workers_serve_several_environments_and_policies(pool: Evaluator) -> None:
    short = pool.evaluate(functools.partial(Walk, limit=7), STUCK, range(3))
    assert [episode.length for episode in short] == [7, 7, 7]
    assert [episode.length for episode in pool.evaluate(Walk, STUCK, range(3))] == [50, 50, 50]


def test_episodes_are_told_as_they_come(pool: Evaluator) -> None:
    told: list[int] = []
    pool.evaluate(Walk, FORWARD, [4, 2, 9], on_episode=lambda episode: told.append(episode.seed))
    assert told == [4, 2, 9]


def test_no_seeds_make_no_episodes() -> None:
    assert evaluate(Walk, FORWARD, []) == []


def test_a_worker_that_dies_is_an_error_and_the_next_evaluation_works() -> None:
    with Evaluator(processes=2) as evaluator:
        with pytest.raises(TouchlineError, match=r"process died.*processes=1"):
            evaluator.evaluate(Walk, die, range(3))
        assert len(evaluator.evaluate(Walk, FORWARD, range(3))) == 3


@pytest.mark.parametrize("processes", [1, 2])
def test_an_episode_that_fails_names_its_seed(pool: Evaluator, processes: int) -> None:
    evaluator = pool if processes == 2 else Evaluator(processes=1)
    with pytest.raises(TouchlineError, match="seed 6 failed: ZeroDivisionError: no weights"):
        evaluator.evaluate(Walk, divide, [6])


def test_a_policy_that_cannot_travel_is_refused_before_anything_starts() -> None:
    with pytest.raises(TouchlineError, match="top level of a module"):
        Evaluator(processes=2).evaluate(Walk, lambda observation: observation, [1])


def test_zero_processes_are_refused() -> None:
    with pytest.raises(UsageError, match="at least 1 process, not 0"):
        evaluate(Walk, FORWARD, [1], processes=0)


SLEEPER = """
    import time
    import gymnasium
    from touchline.learning.evaluate import evaluate

    class Slow(gymnasium.Env):
        def reset(self, *, seed=None, options=None):
            print("started", flush=True)
            time.sleep(60)

    def policy(observation):
        return observation

    if __name__ == "__main__":
        evaluate(Slow, policy, [1, 2], processes=2)
"""


def test_workers_do_not_outlive_a_killed_parent(tmp_path: Any) -> None:
    script = tmp_path / "sleeper.py"
    script.write_text(textwrap.dedent(SLEEPER))
    parent = subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    assert parent.stdout.readline() == "started\n"
    children = psutil.Process(parent.pid).children(recursive=True)
    assert children
    parent.kill()
    parent.wait()
    deadline = time.monotonic() + 10
    gone, alive = psutil.wait_procs(children, timeout=10)
    assert not alive, f"still alive after {10 - (deadline - time.monotonic()):.1f} s: {alive}"
    assert len(gone) == len(children)


STOPPED = """
    import sys, time
    from functools import partial
    from pathlib import Path
    import gymnasium
    from touchline.cli import guarded
    from touchline.config import Settings
    from touchline.jobs.base import raise_if_stopped
    from touchline.jobs.run import stoppable
    from touchline.learning.evaluate import Evaluator
    from touchline.learning.vector import ParallelVectorEnv
    from tests.learning.toy import Steer

    class Slow(gymnasium.Env):
        def reset(self, *, seed=None, options=None):
            print("playing", flush=True)
            return 0.0, {}

        def step(self, action):
            time.sleep(0.3)
            return 0.0, 0.0, True, False, {}

    def policy(observation):
        return observation

    def job():
        with stoppable(Settings(home=Path(sys.argv[1]), preemption="off")), Evaluator(2) as evaluator:
            print("starting", flush=True)
            envs = ParallelVectorEnv([Steer, Steer], processes=2)
            try:
                envs.reset(seed=0)
                evaluator.evaluate(
                    Slow, policy, range(200), on_episode=lambda episode: raise_if_stopped(f"after {episode.seed}")
                )
            finally:
                envs.step(envs.action_space.sample())  # what ends in order may step once more
                envs.close()
        return 0

    if __name__ == "__main__":
        sys.exit(guarded(job))
"""


@pytest.mark.parametrize("moment", ["starting", "playing"])
def test_a_sigterm_to_the_whole_group_stops_the_parent_in_order_and_its_workers_with_it(
    tmp_path: Any, moment: str
) -> None:
    script = tmp_path / "stopped.py"
    script.write_text(textwrap.dedent(STOPPED))
    parent = subprocess.Popen(
        [sys.executable, str(script), str(tmp_path / "home")],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert parent.stdout is not None
    while parent.stdout.readline() != f"{moment}\n":
        assert parent.poll() is None
    os.killpg(parent.pid, signal.SIGTERM)
    _, told = parent.communicate(timeout=300)
    assert (parent.returncode, "as asked" in told, "died" in told) == (143, True, False), told
    deadline = time.monotonic() + 10
    while left := alive_in(parent.pid):
        assert time.monotonic() < deadline, left
        time.sleep(0.05)


def alive_in(session: int) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(ProcessLookupError, psutil.NoSuchProcess):
            if os.getsid(process.pid) == session and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found
