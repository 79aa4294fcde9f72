"""A training that is careless with its secrets; run as a script, by ``test_planted_secrets``."""

import json
import logging
import os
import sys
from pathlib import Path

import numpy as np

import touchline
from touchline.checkpoint import CheckpointStore

os.umask(0)  # nothing that Touchline writes may depend on it
logging.basicConfig(stream=sys.stdout)
planted = json.load(sys.stdin)
api_key = "LITERAL-OF-THE-SCRIPT"
place = Path.cwd()
notes = place / "notes.txt"
notes.write_text("nothing secret")
settings = touchline.Settings.load(sinks=("mlflow", "wandb", "tensorboard"))


def careless(run: touchline.Run) -> None:
    """Log secrets by every way that takes text."""
    config = {"api_key": planted["config"], "tracker": planted["address"], "lr": 3e-4, "max_tokens": 512}
    run.log_params({**config, "nested": {"password": planted["config"]}, "said": f"key {planted['environment']}"})
    run.set_tags({"note": planted["environment"], "token": planted["config"], planted["environment"]: "name"})
    run.set_summary({"best": f"by {planted['environment']}"})
    run.alert(f"Alert {planted['environment']}", f"see {planted['address']}", level="info")
    run.log_artifact(notes, f"{planted['environment']}.txt")
    run.log_image(np.zeros((4, 4, 3), np.uint8), f"picture {planted['environment']}", caption=planted["environment"])
    run.log_table("table", ["text", planted["environment"]], [[planted["environment"], planted["address"]]])
    run.log_dataset("data", digest="d", source=planted["address"])
    run.log_histogram("weights", [1.0, 2.0, 3.0])
    print("stdout", planted["environment"], planted["address"])
    print("stderr", planted["quoted"], file=sys.stderr)
    for step in range(5):
        run.log({"loss": 1.0 / (step + 1)}, step)


with touchline.start_run("train", config={"seed": 1}, settings=settings, run_id="whole") as run:
    careless(run)
    store = CheckpointStore(run.directory / "checkpoints", config={"secret": planted["config"]}, run=run)
    store.save(5, {"weights": np.zeros(3)})
    store.wait()
    run.save_journal(place / "elsewhere")

with touchline.start_run("train", settings=settings, run_id="failed", group=planted["environment"]) as run:
    careless(run)
    raise ConnectionError(f"{planted['address']} refused the key {planted['environment']}")
