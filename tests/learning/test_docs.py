"""What docs/learning.md shows works as it is shown."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np

DOCS = (Path(__file__).parents[2] / "docs" / "learning.md").read_text(encoding="utf-8")


def test_the_page_runs_from_top_to_bottom(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    trained = []
    for example in re.findall(r"```python\n(.*?)```", DOCS, re.DOTALL):
        exec(compile(example, "learning.md", "exec"), names)
        trained.append(names["progress"])
    # Of every 201 steps of the first pendulum one only begins the next episode; an episode is 200 long all the same.
    for progress in trained:
        assert progress.step == 1_200
        assert progress.episodes.summary()["episode_length"] == 200
    assert np.abs(names["policy"](np.zeros((2, 3), np.float32))).max() <= 1
    assert (tmp_path / "pendulum-policy" / "policy.safetensors").is_file()
    assert list((tmp_path / "pendulum-checkpoints").glob("step-000000001200*"))
