"""What docs/worlds.md and the example of a world of one's own show works as it is shown."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np

from touchline.jobs.worlds import load_world
from touchline.simulation.backends import make_envs
from touchline.simulation.randomisation import LEVELS

ROOT = Path(__file__).parents[2]
DOCS = (ROOT / "docs" / "worlds.md").read_text(encoding="utf-8")


def test_the_page_runs_from_top_to_bottom() -> None:
    names: dict[str, Any] = {"__name__": "page"}
    for example in re.findall(r"```python\n(.*?)```", DOCS, re.DOTALL):
        exec(compile(example, "worlds.md", "exec"), names)
    assert names["observation"].shape == (8, 3)
    assert names["info"]["terms"]["near"].shape == (8,)


def test_the_table_of_levels_is_true() -> None:
    for name in ("mild", "medium", "strong", "pushes"):
        (row,) = re.findall(rf"^\| `{name}` \|.*$", DOCS, re.MULTILINE)
        level = LEVELS[name]
        sizes = [
            f"±{size:.0%}".replace("%", " %") for size in (level.mass, level.friction, level.damping, level.objects)
        ]
        push = f"up to {level.push_speed:g} m/s every {level.push_seconds:g} s"
        assert row.split(" | ")[1:] == [*sizes, f"{level.noise:g}", f"{push} |"]


def test_the_hopper_falls_on_its_own_and_every_task_is_paid_for_another_speed() -> None:
    envs = make_envs(
        load_world(str(ROOT / "examples" / "hopper.py")).varied(randomisation=LEVELS["strong"]), "native", 8
    )
    observation, _ = envs.reset(seed=0, options={"tasks": np.arange(8) % 2})
    assert observation[:, -1].tolist() == [0, 1] * 4
    fallen = np.zeros(8, bool)
    for _ in range(150):
        _, _, terminated, _, info = envs.step(np.zeros((8, 3)))
        fallen |= terminated
    assert fallen.all()
    assert set(info["terms"]) == set(envs.world.weights)
    envs.close()
