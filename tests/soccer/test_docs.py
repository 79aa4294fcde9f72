"""What docs/soccer.md shows works as it is shown, from top to bottom."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

DOCS = (Path(__file__).parents[2] / "docs" / "soccer.md").read_text(encoding="utf-8")


def test_the_page_runs_from_top_to_bottom(tmp_path: Path) -> None:
    examples = re.findall(r"```python\n(.*?)```", DOCS, re.DOTALL)
    assert len(examples) >= 5
    # jax must not be loaded yet where the page guards it, so the page has a process of its own.
    # 24 environments take half a minute to make and show no more than three.
    page = "\n".join(examples).replace("TASKS * 8", "TASKS").replace("np.zeros((24, 12)", "np.zeros((3, 12)")
    (tmp_path / "page.py").write_text(page)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "page.py"],
        cwd=tmp_path,
        env={**os.environ, "TOUCHLINE_HOME": str(tmp_path / "home")},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.splitlines()[-1].startswith("400 ")
