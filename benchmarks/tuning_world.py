"""The task of the tuning benchmarks: a pole swung up by a motor too weak to lift it; it learns in seconds."""

from __future__ import annotations

from types import MappingProxyType, ModuleType
from typing import Any

import mujoco
import numpy as np

from touchline.simulation.world import Start, World

XML = """
<mujoco>
  <option timestep="0.01" integrator="implicitfast"/>
  <worldbody>
    <body name="pole" pos="0 0 2">
      <joint name="hinge" axis="0 1 0" damping="0.02"/>
      <geom type="capsule" fromto="0 0 0 0 0 1" size="0.04" mass="1" contype="0" conaffinity="0"/>
    </body>
  </worldbody>
  <actuator><motor joint="hinge" gear="3.2" ctrlrange="-1 1"/></actuator>
</mujoco>
"""


class SwingUp(World):
    """Swing the pole up and hold it there; it hangs down at the start, more or less."""

    name = "swing-up"
    decimation = 4
    episode_steps = 100
    uniforms = 2
    observation_size = 3
    weights = MappingProxyType({"height": 1.0, "speed": -0.01, "effort": -0.02})

    def spec(self, *, visual: bool = False) -> mujoco.MjSpec:
        return mujoco.MjSpec.from_string(XML)

    def start(self, uniform: Any, task: Any, xp: ModuleType) -> Start:
        return Start(np.pi * (2.0 * uniform[:, :1] - 1.0), 2.0 * uniform[:, 1:] - 1.0, ())

    def observe(self, physics: Any, episode: Any, xp: ModuleType) -> Any:
        angle = physics.qpos
        return xp.concatenate([xp.cos(angle), xp.sin(angle), physics.qvel], axis=-1).astype(np.float32)

    def terms(self, physics: Any, episode: Any, moves: Any, xp: ModuleType) -> dict[str, Any]:
        return {
            "height": (1.0 + xp.cos(physics.qpos[:, 0])) / 2.0,
            "speed": physics.qvel[:, 0] ** 2,
            "effort": (moves.action**2).mean(-1),
        }
