"""Runs recorded with the real W&B, MLflow and TensorBoard, and what was logged, noted by the one who logged it."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tensorboard.compat.proto.event_pb2 import Event

STEPS = 40
_WANDB = """
import json, math, os, sys, time
import numpy as np
import wandb
from PIL import Image

killed = sys.argv[1] == "killed"
run = wandb.init(project="walking", id=f"run-{sys.argv[1]}", name=sys.argv[1], group="seeds", job_type="train",
                 tags=["rough"], notes="on grass", config={"lr": 3e-4, "net": {"sizes": [64, 64]}},
                 settings=wandb.Settings(x_stats_sampling_interval=0.2))
run.define_metric("frames")
run.define_metric("train/*", step_metric="frames")
run.define_metric("epoch/*", step_metric="epoch")
truth = []
for i in range(250 if killed else STEPS_OF_WHOLE):
    row = {"loss": 1 / (i + 3), "frames": 128 * i, "train/return": 2.5 * i, "nested": {"deep": {"er": i}},
           "flag": i % 2 == 0, "epoch": i // 10, "epoch/loss": i / 7}
    if i in (3, 4, 5):
        row["loss"] = (math.nan, math.inf, -math.inf)[i - 3]
    truth.append(dict(row))
    if i == 6 and not killed:
        Image.fromarray(np.full((8, 8, 3), 200, np.uint8)).save("film.gif")
        row |= {"text": "stumbled", "picture": wandb.Image(np.full((8, 8, 3), 50, np.uint8), caption="grey"),
                "film": wandb.Video("film.gif", format="gif"),
                "weights": wandb.Histogram(np_histogram=([1, 2, 3], [0.0, 1.0, 2.0, 3.0])),
                "table": wandb.Table(columns=["x", "y"], data=[[1, "a"], [2, "b"]])}
    run.log(row)
    if i == 2:
        time.sleep(0.6)
if killed:
    time.sleep(1)
    json.dump(truth, open("killed.json", "w"))
    os.kill(os.getpid(), 9)
json.dump(truth, open("whole.json", "w"))
print("it fell")
run.summary["best"] = 0.75
run.config.update({"late": True})
open("notes.txt", "w").write("saved")
run.save("notes.txt")
artifact = wandb.Artifact("policy", type="model")
artifact.add_file("notes.txt")
run.log_artifact(artifact)
run.alert("Falls", "It falls.", level="WARN")
run.finish()
""".replace("STEPS_OF_WHOLE", str(STEPS))


def wandb_runs(directory: Path) -> None:
    """A run that finished and one that was killed, below ``wandb``; what was logged is in JSON files."""
    environment = {
        **os.environ,
        "WANDB_MODE": "offline",
        "WANDB_SILENT": "true",
        "WANDB_DATA_DIR": str(directory / "staging"),
    }
    for name, code in (("whole", 0), ("killed", -9)):
        done = subprocess.run(
            [sys.executable, "-c", _WANDB, name], cwd=directory, env=environment, capture_output=True, text=True
        )
        assert done.returncode == code, done.stderr
    for file in directory.glob("wandb/*killed/*.wandb"):
        os.truncate(file, file.stat().st_size - 20)  # what was written last is torn for sure
        os.utime(file, (0, 0))  # long ago


def wandb_sessions(directory: Path) -> None:
    """Three sessions of one run, as long as each other, each in a directory of its own: ``0``, ``1`` and ``2``."""
    code = (
        "import sys, wandb\n"
        "session = int(sys.argv[1])\n"
        "run = wandb.init(project='walking', id='resumed', resume='allow', dir=sys.argv[1])\n"
        "for step in range(10 * session, 10 * session + 10):\n    run.log({'loss': step / 7}, step=step)\n"
        "run.finish()\n"
    )
    environment = {**os.environ, "WANDB_MODE": "offline", "WANDB_SILENT": "true"}
    for session in ("0", "1", "2"):
        (directory / session).mkdir(parents=True)
        subprocess.run([sys.executable, "-c", code, session], cwd=directory, env=environment, check=True)


def mlflow_store(directory: Path, empty: Path) -> dict[str, str]:
    """A store on SQLite with a parent, its child and a failed run; returns their ids by name."""
    import shutil

    import mlflow
    import numpy as np

    directory.mkdir()
    shutil.copyfile(empty, directory / "mlflow.db")
    mlflow.set_tracking_uri(f"sqlite:///{directory / 'mlflow.db'}")
    mlflow.set_experiment(experiment_id=mlflow.create_experiment("walking", str(directory / "artifacts")))
    with mlflow.start_run(run_name="parent", tags={"team": "red"}) as parent:
        mlflow.log_params({"lr": 1e-3, "net": "small"})
        for step in range(STEPS):
            mlflow.log_metrics({"loss": 1 / (step + 3), "fall rate": step / 7}, step=step)
        for value in (1.0, 2.0, 4.0):
            mlflow.log_metric("without a step", value)
        mlflow.log_metric("odd", math.nan, step=1)
        mlflow.log_text("about", "deep/about.txt")
        mlflow.log_input(mlflow.data.from_numpy(np.zeros(3), name="falls"))
        with mlflow.start_run(run_name="child", nested=True) as child:
            mlflow.log_metric("loss", 0.5, step=7)
    with mlflow.start_run(run_name="broken") as broken:
        mlflow.log_metric("loss", 0.25, step=1)
        mlflow.end_run("FAILED")
    mlflow.MlflowClient().create_registered_model("walker")
    mlflow.set_tracking_uri(None)  # which it had put into the environment
    os.environ.pop("MLFLOW_TRACKING_URI", None)
    return {"parent": parent.info.run_id, "child": child.info.run_id, "broken": broken.info.run_id}


def event_files(directory: Path) -> None:
    """Event files of two runs, scalars in both encodings, by torch's writer."""
    import numpy as np
    from torch.utils.tensorboard import SummaryWriter

    for seed in (1, 2):
        with SummaryWriter(str(directory / f"seed{seed}")) as writer:
            for step in range(STEPS):
                writer.add_scalar("loss", seed / (step + 3), step, walltime=1e9 + step / 8)
                writer.add_scalar("return", step / 7, step, walltime=1e9 + step / 8, new_style=True)
            writer.add_scalar("loss", math.nan, STEPS, walltime=1e9 + 100)
            writer.add_text("note", "fell", 3)
            writer.add_image("picture", np.full((3, 8, 8), 50, np.uint8), 5)
            writer.add_histogram("weights", np.arange(10.0), 7)
            writer.add_pr_curve("curve", np.array([0, 1]), np.array([0.1, 0.9]), 1)


def restarted_event_files(directory: Path) -> None:
    """A run that was begun again twice with a ``purge_step``, each writer in its file; values of the three differ."""
    import numpy as np
    from torch.utils.tensorboard import SummaryWriter

    for attempt, (first, last) in enumerate(((0, 100), (60, 120), (80, 150))):
        suffix, purge = f".{attempt}", first if attempt else None
        with SummaryWriter(str(directory), purge_step=purge, filename_suffix=suffix) as writer:
            for step in range(first, last):
                writer.add_scalar("loss", step + attempt / 4, step)
                writer.add_scalar("return", step - attempt / 4, step, new_style=True)
            writer.add_image("picture", np.full((3, 8, 8), 50, np.uint8), first + 5)
            writer.add_histogram("weights", np.arange(10.0), first + 25)
            writer.add_text("note", "fell", first + 30)


def event_file(file: Path, events: Iterable[Event]) -> int:
    """Write just these events, which need not begin with a version; returns the size of the file."""
    from tensorboard.summary.writer.record_writer import RecordWriter

    file.parent.mkdir(exist_ok=True)
    with file.open("wb") as stream:
        writer = RecordWriter(stream)
        for event in events:
            writer.write(event.SerializeToString())
    return file.stat().st_size


def scalars(tag: str, steps: Iterable[int]) -> Iterator[Event]:
    """Events with a value of ``tag`` at each step."""
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary

    for step in steps:
        value = Summary.Value(tag=tag, simple_value=step / 2)
        yield Event(wall_time=1e9, step=step, summary=Summary(value=[value]))


def logged(directory: Path, name: str) -> dict[str, list[tuple[int, float]]]:
    """(step, value) pairs by metric that a W&B run was given, at the steps that an import gives them."""
    points: dict[str, list[tuple[int, float]]] = {}
    for place, row in enumerate(json.loads((directory / f"{name}.json").read_text())):
        deep = row.pop("nested")["deep"]["er"]
        for metric, value in {**row, "nested.deep.er": deep}.items():
            step = row["frames"] if metric.startswith("train/") else place
            points.setdefault(metric, []).append((step, float(value)))
    return points
