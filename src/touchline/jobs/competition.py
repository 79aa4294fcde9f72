"""A package played by the competition's own code: ``sai_rl`` loads model and preprocessor, and benchmarks them.

``sai_rl`` forks its environments, changes how this process starts others, and writes into the home directory when it
is imported; so it gets a process and a home of its own. Nothing is uploaded, and no login is needed.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gymnasium

from touchline import leash
from touchline.errors import TouchlineError
from touchline.soccer.score import official_score
from touchline.soccer.tasks import PHYSICS_TIMESTEP, TASKS, task_named

if TYPE_CHECKING:
    from collections.abc import Sequence

TIMEOUT_SECONDS = 1_800.0
"""How long a benchmark may take; an episode of 5,000 physics steps takes about 10 s."""


@dataclass(frozen=True)
class Benchmarked:
    """What ``sai_rl`` found in its episodes of one task."""

    task: str
    seeds: tuple[int, ...]
    """Of the official resets, as ``sai_rl`` derived them from the master seed."""
    scores: tuple[float, ...]
    """The competition's score of each."""
    physics_steps: tuple[int, ...]
    """How long each lasted."""


def is_installed() -> bool:
    """Whether ``sai_rl`` can be imported."""
    return importlib.util.find_spec("sai_rl") is not None


def benchmark(package: Path, tasks: Sequence[str], seed: int, episodes: int = 1) -> tuple[Benchmarked, ...]:
    """Let ``sai_rl`` play ``episodes`` unperturbed official episodes of each task with the package's two files.

    Raises:
        TouchlineError: ``sai_rl`` is not installed, refuses the package, or does not come to an end.
    """
    if not is_installed():
        raise TouchlineError("sai_rl is not installed. Install it with: pip install 'touchline[competition]'")
    with tempfile.TemporaryDirectory(prefix="touchline-") as home:
        answer = Path(home) / "answer.json"
        command = [sys.executable, "-m", __name__, str(package), str(answer), str(seed), str(episodes), *tasks]
        environment = {**os.environ, "HOME": home, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
        said = Path(home) / "said.txt"
        with said.open("wb") as log:
            process = leash.start(command, log.fileno(), environment)  # it must not outlive a job that is killed
        try:
            code = process.wait(TIMEOUT_SECONDS)
        except subprocess.TimeoutExpired as error:
            raise TouchlineError(f"sai_rl did not finish {package} within {TIMEOUT_SECONDS:.0f} s.") from error
        finally:
            leash.end(process)
        if code or not answer.is_file():
            raise TouchlineError(f"sai_rl could not play {package}:\n{said.read_text(errors='replace')[-2_000:]}")
        found = json.loads(answer.read_text())
    return tuple(
        Benchmarked(one["task"], tuple(one["seeds"]), tuple(one["scores"]), tuple(one["physics_steps"]))
        for one in found
    )


class ScoredEpisode(gymnasium.Wrapper[Any, Any, Any, Any]):
    """An official environment that pays the competition's score when the episode ends, and nothing before."""

    def __init__(self, env: gymnasium.Env[Any, Any], task: str) -> None:
        super().__init__(env)
        self.task = task

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Make one physics step."""
        observation, _, terminated, truncated, info = self.env.step(action)
        score = official_score(self.task, info["reward_terms"]) if terminated or truncated else 0.0
        return observation, score, terminated, truncated, info


def _play(package: Path, task: str, seed: int, episodes: int) -> Benchmarked:
    import sai_mujoco  # noqa: F401 (registers the environments)
    from sai_rl.benchmark import run_benchmark
    from sai_rl.env import make_env_factory
    from sai_rl.model.model_manager import ModelManager
    from sai_rl.types import TaskType

    official_id = task_named(task).official_id
    described = {
        "environment": {
            "id": official_id,
            "name": official_id,
            "gymId": official_id,
            "type": "gymnasium",
            "actionType": "continuous",
            "package": {"id": "sai-mujoco", "name": "sai-mujoco", "version": ""},
        },
        "index": TASKS.index(task),
        "totalTaskCount": len(TASKS),
    }
    official = make_env_factory(TaskType.model_validate(described), use_custom_eval=False)

    def create(index: int = 0) -> gymnasium.Env[Any, Any]:
        # sai_rl hands the number of the environment on to it, where only other robots read it
        return ScoredEpisode(official(index), task)

    env = create()
    manager = ModelManager(
        env, str(package / "model.pt"), model_type="pytorch", preprocessor_class=str(package / "preprocessor.py")
    )
    env.close()
    results, _, seeds = run_benchmark(create, manager.get_action, num_envs=episodes, seed=seed)
    return Benchmarked(
        task,
        tuple(seeds or ()),
        tuple(float(result["score"]) for result in results),
        # sai_rl counts the steps after which an environment still is alive
        tuple(round(result["duration"] / PHYSICS_TIMESTEP) + 1 for result in results),
    )


def main() -> None:
    """Play what the command line names, and write the answer as JSON."""
    package, answer, seed, episodes, *tasks = sys.argv[1:]
    found = [_play(Path(package), task, int(seed), int(episodes)) for task in tasks]
    Path(answer).write_text(json.dumps([vars(one) for one in found]))


if __name__ == "__main__":
    main()
