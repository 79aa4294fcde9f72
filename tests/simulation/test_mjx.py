"""The MJX backend steps the same worlds as the native one; in processes of its own, guarded and under a time-out."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from touchline.jax_guard import prepare

AGREEMENT = """
import json, numpy as np
from touchline.simulation.mjx import MjxWorld
from touchline.simulation.native import NativeWorld
from touchline.soccer.control import stand_still
from touchline.soccer.observation import LAYOUT
from touchline.soccer.world import SoccerWorld

world, n = SoccerWorld(controller=stand_still(), episode_steps=51), 6
rng, tasks = np.random.default_rng(0), np.arange(n) % 3
options = {"start": world.start(rng.random((n, world.uniforms)), tasks, np), "tasks": tasks}
device, host = MjxWorld(world, n, iterations=30, ls_iterations=30), NativeWorld(world, n)
seen = [(host.reset(seed=1, options=options)[0], device.reset(seed=1, options=options)[0])]
terms, ended = {}, 0
for _ in range(50):
    action = rng.uniform(-0.2, 0.2, (n, 12)).astype(np.float32)
    a, ra, ta, _, mine = host.step(action)
    b, rb, tb, _, other = device.step(action)
    ended += int((ta | tb).sum())
    seen.append((a, b))
    for name, value in mine["terms"].items():
        terms[name] = max(terms.get(name, 0.0), float(np.abs(value - other["terms"][name]).max()))
told = [env.step(np.zeros((n, 12), np.float32))[-1]["final_info"] for env in (host, device)]
assert told[0]["task"].tolist() == told[1]["task"].tolist() == [world.tasks[task] for task in tasks]
outcomes = {name: (value.tolist(), told[1]["outcomes"][name].tolist()) for name, value in told[0]["outcomes"].items()}
apart = np.abs(np.array([a - b for a, b in seen]))
fields = {name: float(apart[:, :, where].max()) for name, where in LAYOUT.items()}
for _ in range(60):
    observation, _, terminated, *_ = device.step(np.full((n, 12), -1.0, np.float32))
    ended += int(terminated.sum())
finite = bool(np.isfinite(observation).all())
print(json.dumps({"fields": fields, "terms": terms, "ended": ended, "finite": finite, "outcomes": outcomes}))
"""

TOLERANCES = {"joint_velocity": 1e-2, "gyro": 1e-2, "ball_velr_rel_robot": 1e-2, "accelerometer": 0.1}
"""Of quantities over 50 policy steps, in their units; whatever is not here agrees within 1e-3."""

POLE = """
import json, numpy as np
from tests.simulation.pole import Goal, Pole
from touchline.errors import UsageError
from touchline.simulation.mjx import MjxWorld
from touchline.simulation.native import NativeWorld
from touchline.simulation.randomisation import Randomisation
from touchline.simulation.world import Start

world = Pole().varied(randomisation=Randomisation(mass=0.4, damping=0.4, noise=1.0, push_speed=0.5, variants=4))
first, second = MjxWorld(world, 6), MjxWorld(world, 6)
second.functions = first.functions  # compiled once
actions = np.random.default_rng(0).uniform(-1, 1, (60, 6, 1)).astype(np.float32)
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
    MjxWorld(world, 3).load_state_dict(state)
except UsageError as error:
    refused = str(error)

# Each variant of the model moves in MJX as it moves in MuJoCo.
quiet = Pole().varied(randomisation=Randomisation(mass=0.4, damping=0.4, variants=4))
start = Start(np.zeros((6, 9)), np.zeros((6, 8)), Goal(np.zeros((6, 1))))
start.qpos[:, 1], start.qpos[:, 4], start.qpos[:, 5] = 0.1, 0.1, 1.0
options = {"start": start, "tasks": np.zeros(6, dtype=int)}
device, host = MjxWorld(quiet, 6), NativeWorld(quiet, 6)
device.reset(seed=1, options=options)
host.reset(seed=1, options=options)
host._episodes.variant[:] = device.state_dict()["batch"]["episodes"]["variant"]
for _ in range(10):
    device.step(np.full((6, 1), 0.1, np.float32))
    host.step(np.full((6, 1), 0.1, np.float32))
print(json.dumps({
    "same": all(same), "ended": ended, "refused": refused,
    "variants": len(np.unique(host.qpos[:, 0].round(6))), "apart": float(np.abs(device.qpos - host.qpos).max()),
}))
"""


def said_by(code: str, directory: Path) -> dict[str, Any]:
    environment = {**os.environ, "PYTHONPATH": f"{Path(__file__).parents[2]}:{os.environ.get('PYTHONPATH', '')}"}
    prepare(environment, directory / "jax-cache")
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.slow
def test_it_agrees_with_mujoco_over_50_policy_steps_and_restarts_fallen_robots(tmp_path: Path):
    said = said_by(AGREEMENT, tmp_path)
    too_far = {name: apart for name, apart in said["fields"].items() if not apart <= TOLERANCES.get(name, 1e-3)}
    assert too_far == {}, said
    assert max(said["terms"].values()) < 0.01, said
    assert said["ended"] >= 6
    assert said["finite"]
    assert set(said["outcomes"]) == {"fall", "touch", "goal", "distance"}
    for mine, other in said["outcomes"].values():
        assert mine == pytest.approx(other, abs=1e-3)


@pytest.mark.slow
def test_a_restored_world_goes_on_to_the_same_bits_and_variants_move_as_in_mujoco(tmp_path: Path):
    said = said_by(POLE, tmp_path)
    assert said["same"]
    assert said["ended"] >= 2
    assert "6 scenes and this is of 3" in said["refused"]
    assert said["variants"] >= 2
    assert said["apart"] < 1e-3
