"""A training on a GPU that costs money: the recorder logs it, keeps a picture of the system, and stops in time."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from touchline.checkpoint import CheckpointStore
from touchline.testing.nvml import build_driver, packaged_scenario, stand_in_environment, write_scenario
from touchline.tracking.journal import JournalReader

TRAINING = """
import sys, time
import numpy as np
from pathlib import Path
from tests.jobs.test_recorder import Config, hooks
from touchline.cli import guarded
from touchline.config import Settings
from touchline.jobs.recorder import TrainingRecorder
from touchline.jobs.recording import RecordingConfig
from touchline.learning.progress import EpisodeStatistics, Progress
from touchline.tracking.start import start_run

def train():
    settings = Settings(home=Path(sys.argv[1]), sinks=())
    # At 3,600 USD an hour a second costs a dollar.
    config = RecordingConfig(
        log_minimum_seconds=0.0, checkpoint_every=10_000, checkpoint_minimum_seconds=0.0, video_seconds=1e9,
        prices=("NVIDIA L4=3600",), budget_usd=3.0,
    )
    with start_run("pretrain", settings=settings, run_id="r1") as run:
        with TrainingRecorder(run, Config(config), hooks(), total_steps=10**9, decimation=10) as recorder:
            for step in range(1_000, 10**9, 1_000):
                with recorder.section("environment"):
                    time.sleep(0.02)
                episodes, loop = EpisodeStatistics(2), {"weights": np.full(3, float(step))}
                recorder(Progress(step, step, step, {"critic_loss": 0.5}, episodes, {}, float(step), loop=loop))
    return 0

sys.exit(guarded(train))
"""


def test_a_budget_that_is_spent_stops_the_training_at_a_boundary_with_everything_saved(tmp_path: Path) -> None:
    library = build_driver(tmp_path)
    stand_in = stand_in_environment(library, write_scenario(tmp_path / "scenario.ini", packaged_scenario("l4")))
    secret = {"SOME_API_KEY": "it-is-a-secret"}
    done = subprocess.run(
        [sys.executable, "-c", TRAINING, tmp_path / "home"],
        env={**os.environ, **stand_in, **secret},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 1, done.stderr
    assert "of 3.00 USD are spent" in done.stderr
    directory = tmp_path / "home" / "runs" / "r1"
    with JournalReader(directory / "journal.db") as journal:
        kinds = ["metrics", "alert", "artifact", "end"]
        events = {kind: [event.payload for event in journal.of_kind([kind])] for kind in kinds}
        last_step = journal.of_kind(["metrics"])[-1].step
    # Between two samples of a busy machine the cost may pass the warning by.
    levels = [alert["level"] for alert in events["alert"] if alert["title"] == "Budget of 3.00 USD"]
    assert levels in (["warn", "error"], ["error"])
    assert events["end"][0]["status"] == "failed"
    detailed = [values for values in events["metrics"] if "gpu/temperature" in values]
    assert {"gpu/power_watts", "cost/usd", "cost/usd_wasted"} <= set(detailed[-1])
    newest = CheckpointStore(directory / "checkpoints").latest()
    assert newest is not None
    assert newest.step == last_step
    pictures = [artifact for artifact in events["artifact"] if artifact["name"].startswith("system/")]
    told = json.loads((directory / pictures[0]["path"]).read_text())
    assert told["driver"]["devices"][0]["name"] == "NVIDIA L4"
    assert "it-is-a-secret" not in json.dumps(told)
