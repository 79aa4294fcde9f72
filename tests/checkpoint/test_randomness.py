"""What is drawn from the global generators after a restart is what would have been drawn without one."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from touchline.checkpoint import CheckpointStore
from touchline.checkpoint.randomness import capture
from touchline.checkpoint.tree import Mismatch


def draw() -> list[float]:
    return [random.random(), random.gauss(0, 1), np.random.normal(), np.random.rand(), torch.rand(1).item()]


def test_the_global_generators_go_on_where_they_were(tmp_path: Path) -> None:
    random.seed(1), np.random.seed(2), torch.manual_seed(3)
    draw()
    CheckpointStore(tmp_path).save(1, {})
    expected = [draw() for _ in range(3)]
    random.seed(7), np.random.seed(7), torch.manual_seed(7)
    CheckpointStore(tmp_path).restore_or({})
    assert [draw() for _ in range(3)] == expected


def test_a_refused_checkpoint_leaves_them_as_they_are(tmp_path: Path) -> None:
    CheckpointStore(tmp_path).save(1, {"a": 1})
    random.seed(7), np.random.seed(7), torch.manual_seed(7)
    with pytest.raises(Mismatch):
        CheckpointStore(tmp_path).restore_or({"b": 1})
    after = draw()
    random.seed(7), np.random.seed(7), torch.manual_seed(7)
    assert after == draw()


def test_a_library_that_is_not_loaded_has_no_generator() -> None:
    code = "import touchline.checkpoint.randomness as r; print(sorted(r.capture()))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['numpy', 'python']"
    assert "torch" in capture()


RESTORING = """
import random, sys
import numpy as np
from touchline.checkpoint import CheckpointStore
CheckpointStore(sys.argv[1]).restore_or({})
print(random.random(), np.random.rand(), "torch" in sys.modules)
"""


def test_a_process_without_torch_takes_the_others(tmp_path: Path) -> None:
    random.seed(1), np.random.seed(2)
    CheckpointStore(tmp_path).save(1, {})
    done = subprocess.run(
        [sys.executable, "-c", RESTORING, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == [str(random.random()), str(np.random.rand()), "False"]
