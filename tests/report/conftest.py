"""A home with what a report can be about: a pipeline with a gate, runs that differ in their seed, a study."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import touchline
from touchline import gates
from touchline.config import Settings
from touchline.report.subject import PIPELINE_TAG
from touchline.tracking.run import Run

PIPELINE = "20260101-000000-cafe"
JOBS = ("setup", "pretrain", "gate3", "submit")


def begin(home: Path, run_id: str, job: str = "train", **options: Any) -> Run:
    """Start a run that nothing delivers."""
    settings = Settings(home=home, sinks=(), capture=())
    return touchline.start_run(job, settings=settings, run_id=run_id, **options)


def evidence(better: float = 0.2, scenarios: int = 30) -> dict[str, Any]:
    """What gate 3 writes down of a challenger that scores so much more than the champion."""
    rng = np.random.default_rng(0)
    champion = {task: tuple(rng.normal(0.0, 0.2, scenarios).tolist()) for task in ("goalie", "kick")}
    candidate = {
        task: tuple((np.array(scores) + rng.normal(better, 0.1, scenarios)).tolist())
        for task, scores in champion.items()
    }
    still = dict.fromkeys(champion, (-1.0,) * scenarios)
    contest = gates.Contest(
        gates.Evaluation("version 2", candidate),
        gates.Evaluation("stand still", still),
        gates.Evaluation("the champion, version 1", champion),
    )
    return gates.evidence(gates.gate3(contest), contest)


def film(path: Path) -> Path:
    """A real video of four frames, as a browser plays it."""
    imageio = pytest.importorskip("imageio.v2", reason="imageio writes the video")
    pytest.importorskip("imageio_ffmpeg", reason="imageio-ffmpeg writes the video")
    frames = [np.full((64, 96, 3), shade, np.uint8) for shade in (40, 90, 140, 190)]
    imageio.mimwrite(path, frames, fps=4, macro_block_size=16)
    return path


def pretrain(home: Path, tmp: Path) -> None:
    """A run with a peak, values that are not finite, a GPU, an alert and a film."""
    config = {"seed": 0, "net": {"width": 64}, "note": "<script>alert(1)</script>"}
    with begin(home, "p-pretrain", "pretrain", config=config, tags={PIPELINE_TAG: PIPELINE}, group=PIPELINE) as run:
        run.define_metric("eval/return", "maximize")
        steps = np.arange(5_000)
        values = 100 * (1 - np.exp(-steps / 1_000)) + np.random.default_rng(1).normal(0, 4, steps.size)
        values[2_500] = 500.0
        run.log_curve("eval/return", steps * 10, values)
        for step in range(50):
            loss = math.nan if step == 20 else 1.0 / (step + 1)
            run.log(
                {"train/loss": loss, "gpu/utilization_percent": 50.0 + step, "cost/usd": step / 100}, step * 1_000
            )
        run.log({"parity/worst": 1e-6}, 50_000)
        run.alert("GPU utilisation below 60 %: input", "The loop waits for its environments.", "warn")
        run.log_video(film(tmp / "film.mp4"), "rollout", 50_000, "at the end")
        run.set_tags({"touchline.result": json.dumps({"sentences": ["Evaluation return 99 [90, 108]."]})})


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The home; made once, and only read."""
    tmp = tmp_path_factory.mktemp("report")
    place = tmp / "home"
    place.mkdir()
    tags = {PIPELINE_TAG: PIPELINE}
    begin(place, "p-setup", "setup", tags=tags, group=PIPELINE).finish(timeout=5)
    pretrain(place, tmp)
    document = evidence()
    with begin(place, "p-gate3", "gate3", tags=tags, group=PIPELINE) as run:
        path = tmp / "evidence.json"
        path.write_text(json.dumps(document), encoding="utf-8")
        run.log_artifact(path)
        run.log_decision(
            "promoted", model="club.policies", alias="Champion", version=2, previous=1,
            reason=document["verdict"]["reason"],
        )  # fmt: skip
    for seed in range(3):
        with begin(place, f"seed-{seed}", config={"seed": seed, "lr": 0.1}, group="seeds") as run:
            for step in range(40):
                run.log({"objective": step + 5.0 * seed, "train/loss": 1.0 / (step + 1)}, step)
    yield place
