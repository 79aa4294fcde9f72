"""Vector environments that can be saved go on where they stood, in one process or over several."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from typing import Any

import gymnasium
import numpy as np
import psutil
import pytest

from tests.learning.toy import Steer, resumable_steer
from touchline.errors import TouchlineError, UsageError
from touchline.learning.vector import ParallelVectorEnv, ResumableVectorEnv

ACTIONS = np.random.default_rng(0).uniform(-1, 1, (40, 3, 1)).astype(np.float32)


class Talkative(Steer):
    """Tells much in ``info``; one that starts right of the centre tells more. Action -1 fails, +1 kills."""

    def step(self, action):
        if action[0] == -1:
            raise ZeroDivisionError("no weights")
        if action[0] == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        observation, reward, terminated, truncated, _ = super().step(action)
        info = {"steps": self.steps, "terms": {"cost": self.x**2}, "place": observation.copy(), "note": "a word"}
        if self.x > 0:
            info |= {"right": True, "terms": {"cost": self.x**2, "side": self.x}}
        return observation, reward, terminated, truncated, info


@pytest.fixture(scope="module")
def parallel() -> Iterator[ParallelVectorEnv]:
    envs = ParallelVectorEnv([Talkative] * 3, processes=2)
    yield envs
    envs.close()


def essence(thing: Any) -> Any:
    """Everything that a step returns as plain values that compare to the last bit, types included."""
    if isinstance(thing, dict):
        return {key: essence(value) for key, value in sorted(thing.items())}
    if isinstance(thing, tuple):
        return [essence(part) for part in thing]
    return [thing.dtype.str, thing.shape, [essence(x) for x in thing] if thing.dtype == object else thing.tobytes()] \
        if isinstance(thing, np.ndarray) else thing  # fmt: skip


def test_it_goes_on_where_it_stood_across_the_next_episodes():
    first, second = resumable_steer(3), resumable_steer(3)
    first.reset(seed=1)
    for action in ACTIONS[:13]:
        first.step(action)
    second.reset(seed=9)
    second.load_state_dict(first.state_dict())
    for action in ACTIONS[13:]:
        assert essence(first.step(action)) == essence(second.step(action))


def test_two_processes_show_what_one_shows_to_the_last_bit(parallel):
    serial = ResumableVectorEnv([Talkative] * 3)
    assert essence(parallel.reset(seed=1)) == essence(serial.reset(seed=1))
    for action in ACTIONS:
        assert essence(parallel.step(action)) == essence(serial.step(action))
    assert parallel.single_observation_space == serial.single_observation_space
    assert parallel.action_space == serial.action_space
    assert parallel.metadata == serial.metadata


def test_a_saved_state_fits_any_number_of_processes(parallel):
    serial = ResumableVectorEnv([Talkative] * 3)
    parallel.reset(seed=2)
    for action in ACTIONS[:13]:
        parallel.step(action)
    serial.load_state_dict(parallel.state_dict())
    expected = [essence(serial.step(action)) for action in ACTIONS[13:]]
    serial.reset(seed=2)
    for action in ACTIONS[:13]:
        serial.step(action)
    parallel.load_state_dict(serial.state_dict())
    assert [essence(parallel.step(action)) for action in ACTIONS[13:]] == expected


def test_another_number_of_environments_is_refused(parallel):
    envs = resumable_steer(2)
    envs.reset(seed=0)
    for mine in (resumable_steer(3), parallel):
        with pytest.raises(UsageError, match="of 2 environments and these are 3"):
            mine.load_state_dict(envs.state_dict())


def test_actions_of_another_number_are_refused_before_anything_is_stepped(parallel):
    for envs in (resumable_steer(3), parallel):
        envs.reset(seed=0)
        with pytest.raises(UsageError, match=r"and shape \(3, "):
            envs.step(ACTIONS[0][:2])
        envs.step(ACTIONS[0])


class Wrapped(gymnasium.wrappers.TimeLimit):
    def __init__(self):
        super().__init__(Steer(), 5)


def test_a_wrapper_that_would_forget_its_own_state_is_refused():
    with pytest.raises(UsageError, match="Wrapped has no state_dict"):
        ResumableVectorEnv([Wrapped])
    with pytest.raises(UsageError, match="Wrapped has no state_dict"):
        ParallelVectorEnv([Wrapped])


@pytest.mark.parametrize(
    ("action", "told"), [(-1.0, "ZeroDivisionError: no weights"), (1.0, r"died \(exit code -9\)")]
)
def test_an_environment_that_fails_and_a_process_that_dies_are_errors(action, told):
    before = psutil.Process().children()
    envs = ParallelVectorEnv([Talkative] * 2, processes=2)
    started = [child for child in psutil.Process().children() if child not in before]
    assert len(started) >= 2
    envs.reset(seed=0)
    with pytest.raises(TouchlineError, match=told):
        envs.step(np.array([[0.0], [action]], np.float32))
    with pytest.raises(TouchlineError, match="make new ones"):
        envs.step(np.zeros((2, 1), np.float32))
    envs.close()
    assert not psutil.wait_procs(started, timeout=0)[1]


def test_what_cannot_travel_is_refused_before_anything_starts():
    with pytest.raises(TouchlineError, match="top level of a module"):
        ParallelVectorEnv([lambda: Steer()])
    with pytest.raises(UsageError, match="0 environments cannot be stepped"):
        ParallelVectorEnv([])


SLOW = """
    import time
    import numpy as np
    from tests.learning.toy import Steer
    from touchline.learning.vector import ParallelVectorEnv

    class Slow(Steer):
        def step(self, action):
            print("stepping", flush=True)
            time.sleep(60)

    if __name__ == "__main__":
        envs = ParallelVectorEnv([Slow, Slow], processes=2)
        envs.reset(seed=0)
        envs.step(np.zeros((2, 1), np.float32))
"""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_processes_do_not_outlive_a_parent_that_is_killed_or_interrupted(tmp_path, how):
    script = tmp_path / "slow.py"
    script.write_text(textwrap.dedent(SLOW))
    parent = subprocess.Popen(
        [sys.executable, str(script)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert parent.stdout is not None
    assert parent.stdout.readline().startswith("stepping")  # both processes say it, at once perhaps
    children = psutil.Process(parent.pid).children(recursive=True)
    assert len(children) >= 2
    parent.send_signal(how)
    parent.wait(timeout=20)
    assert not psutil.wait_procs(children, timeout=10)[1]
