"""The MJX backend steps the same scene as the native one; in a process of its own, guarded and under a time-out."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from touchline.jax_guard import prepare

PARITY = """
import json, numpy as np
from touchline.soccer.mjx import MjxSoccer, MjxWorld
from touchline.soccer.native import NativeSoccer

device, host = MjxSoccer(4), NativeSoccer(4)
device.world = MjxWorld(iterations=10, ls_iterations=20)  # converged, so that only precision differs
device.reset(seed=1)
host.reset(seed=0)
state = device._state
host._episode = type(host._episode)(*(np.array(part) for part in state.episode))
nq, nv = host.model.nq, host.model.nv
host._state[:] = 0
host._state[:, 1:1 + nq], host._state[:, 1 + nq:1 + nq + nv] = state.qpos, state.qvel
rng = np.random.default_rng(0)
differences, rewards = [], []
for _ in range(2):
    action = rng.uniform(-1, 1, (4, 12)).astype(np.float32)
    (a, ra, *_), (b, rb, *_) = device.step(action), host.step(action)
    difference = np.abs(a - b)
    difference[:, 30:33] = 0  # the accelerometer reads contact forces of the last iteration
    differences.append(float(difference.max()))
    rewards.append(float(np.abs(ra - rb).max()))
falls = 0
for _ in range(70):
    observation, reward, terminated, truncated, info = device.step(np.zeros((4, 12), np.float32))
    falls += int(terminated.sum())
print(json.dumps({"observation": differences, "reward": rewards, "falls": falls,
                  "finite": bool(np.isfinite(observation).all())}))
"""

RESUME = """
import json, numpy as np
from touchline.errors import UsageError
from touchline.soccer.mjx import MjxSoccer
from touchline.soccer.world import WorldConfig

config = WorldConfig(episode_steps=6)
first, second = MjxSoccer(2, config), MjxSoccer(2, config)
second.world = first.world  # compiled once
actions = np.random.default_rng(0).uniform(-1, 1, (12, 2, 12)).astype(np.float32)
first.reset(seed=1)
second.reset(seed=2)
for action in actions[:4]:
    first.step(action)
state = first.state_dict()
second.load_state_dict(state)
same, ended = [], 0
for action in actions[4:]:
    mine, other = first.step(action)[:4], second.step(action)[:4]
    same.append(all(np.array_equal(a, b) for a, b in zip(mine, other)))
    ended += int((mine[2] | mine[3]).sum())
same.append(bool(np.array_equal(first.reset()[0], second.reset()[0])))
try:
    MjxSoccer(3).load_state_dict(state)
except UsageError as error:
    refused = str(error)
print(json.dumps({"same": all(same), "ended": ended, "refused": refused}))
"""


def said_by(code: str, directory: Path) -> dict[str, Any]:
    environment = dict(os.environ)
    prepare(environment, directory / "jax-cache")
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.slow
def test_a_restored_world_goes_on_to_the_same_bits(tmp_path: Path):
    said = said_by(RESUME, tmp_path)
    assert said["same"]
    assert said["ended"] >= 2
    assert "2 scenes and this is of 3" in said["refused"]


@pytest.mark.slow
def test_mjx_agrees_with_native_and_restarts_fallen_robots(tmp_path: Path):
    said = said_by(PARITY, tmp_path)
    assert max(said["observation"]) < 1e-3, said
    assert max(said["reward"]) < 1e-3, said
    assert said["falls"] >= 4
    assert said["finite"]
