"""A world of a few lines that is no soccer: a pole on a cart, and a loose ball beside it."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any, NamedTuple

import mujoco
import numpy as np

from touchline.simulation.world import Start, World

XML = """
<mujoco>
  <option timestep="0.002" integrator="Euler"/>
  <worldbody>
    <geom name="ground" type="plane" size="0 0 1" contype="1" conaffinity="0"/>
    <body name="cart" pos="0 0 1">
      <joint name="slide" type="slide" axis="1 0 0" damping="0.1"/>
      <geom type="box" size="0.1 0.1 0.05" mass="1" contype="0" conaffinity="0"/>
      <body name="pole">
        <joint name="hinge" type="hinge" axis="0 1 0" damping="0.01"/>
        <geom type="capsule" fromto="0 0 0 0 0 0.6" size="0.03" mass="0.2" contype="0" conaffinity="0"/>
      </body>
    </body>
    <body name="ball" pos="0 1 0.1">
      <freejoint/>
      <geom type="sphere" size="0.1" mass="0.3" contype="0" conaffinity="1"/>
    </body>
  </worldbody>
  <actuator><position joint="slide" kp="20" kv="2" ctrlrange="-2 2"/></actuator>
  <sensor><jointpos name="angle" joint="hinge"/></sensor>
</mujoco>
"""


class Goal(NamedTuple):
    """Where the cart should be, metres, shape (n, 1)."""

    place: Any


class Pole(World):
    """Keep the pole up and the cart at its goal; the second task begins with a tilted pole."""

    name = "pole"
    tasks = ("upright", "tilted")
    decimation = 5
    episode_steps = 40
    uniforms = 4
    observation_size = 5
    weights = MappingProxyType({"upright": 1.0, "near": 0.1})
    noise = np.array([0.01, 0.02, 0.0, 0.0, 0.0])
    pushed = (0, 1)

    def spec(self, *, visual=False):
        return mujoco.MjSpec.from_string(XML)

    def start(self, uniform, task, xp):
        n = uniform.shape[0]
        tilt = 0.02 * (uniform[:, :1] - 0.5) + 0.1 * task[:, None]
        zero = xp.zeros((n, 1))
        ball = xp.tile(xp.asarray([0.0, 1.0, 0.1, 1.0, 0.0, 0.0, 0.0]), (n, 1))
        return Start(xp.concatenate([zero, tilt, ball], -1), xp.zeros((n, 8)), Goal(uniform[:, 1:2] - 0.5))

    def observe(self, physics, episode, xp):
        return xp.concatenate([physics.qpos[:, :2], physics.qvel[:, :2], episode.place], -1).astype(np.float32)

    def terms(self, physics, episode, moves, xp):
        angle = physics.sensors[:, self.sensor["angle"]][:, 0]
        return {"upright": xp.cos(angle), "near": -((physics.qpos[:, 0] - episode.place[:, 0]) ** 2)}

    def terminated(self, physics, xp):
        return xp.abs(physics.sensors[..., self.sensor["angle"]][..., 0]) > 0.5
