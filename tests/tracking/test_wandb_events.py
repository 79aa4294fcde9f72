"""What each kind of event shows as at W&B, with the real SDK against the loopback backend."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import touchline
from touchline.config import Settings
from touchline.testing.wandb_backend import WandbBackend
from touchline.tracking.launch import ensure_courier
from touchline.tracking.sync import sync

from .conftest import kill_couriers


@pytest.fixture
def settings(home: Path, backend: WandbBackend) -> Settings:
    return Settings(home=home, sinks=("wandb",), wandb_base_url=backend.url, capture=())


def test_every_kind_of_event_arrives(settings: Settings, backend: WandbBackend, tmp_path: Path) -> None:
    (tmp_path / "policy").mkdir()
    (tmp_path / "policy" / "weights.bin").write_bytes(b"weights")
    run = touchline.start_run("train", group="pipeline-7", config={"net": {"width": 8}}, settings=settings)
    run.log({"loss": 1.0}, 5)
    run.log_image(np.zeros((4, 6, 3), np.uint8), "frame", step=6, caption="kick-off")
    run.log_histogram("weights", np.array([0.0, 0.5, 1.0, np.inf]), step=7, bins=2)
    run.log_table("games", ["opponent", "goals"], [["home", 3], [None, 1.5]], step=8)
    run.set_tags({"team": "red"})
    run.set_tags({"team": "blue"})
    run.set_summary({"verdict": "passed", "score": 0.5, "worst": float("-inf")})
    run.log_input("models:/player@Champion")
    run.log_dataset("demos", digest="sha256:1", source="/data/demos")
    milestone = {"name": "prefix.player", "version": 3, "aliases": ["Candidate-Pretrain"], "digest": "sha256:2"}
    run.log_milestone(tmp_path / "policy", **milestone)
    delivery = run.finish(timeout=300)
    assert delivery.complete, delivery.sentences()
    assert delivery["wandb"].set_aside == ()

    far = backend.runs[run.id]
    rows = {row["global_step"]: row for row in far.history}
    assert sorted(rows) == [5, 6, 7, 8]
    assert (rows[6]["frame"]["caption"], rows[6]["frame"]["width"]) == ("kick-off", 6)
    assert rows[6]["frame"]["path"] in far.files
    assert rows[7]["weights"] == {"_type": "histogram", "values": [1, 2], "bins": [0, 0.5, 1]}
    assert rows[7]["weights/non_finite"] == 1
    assert (rows[8]["games"]["nrows"], rows[8]["games"]["ncols"]) == (2, 2)
    assert (far.group, far.job_type, far.tags) == ("pipeline-7", "train", ["team=blue"])
    assert far.config["net.width"]["value"] == 8
    assert far.config["input.model"]["value"] == "models:/player@Champion"
    assert far.config["dataset.training"]["value"] == {"name": "demos", "digest": "sha256:1", "source": "/data/demos"}
    assert (far.summary["verdict"], far.summary["score"], far.summary["worst"]) == ("passed", 0.5, float("-inf"))
    model = next(artifact for artifact in far.artifacts if artifact["type"] == "model")
    assert (model["name"], model["state"]) == ("prefix.player", "COMMITTED")
    assert set(model["aliases"]) == {"latest", "Candidate-Pretrain"}
    assert model["metadata"] == {"name": "prefix.player", "version": 3, "digest": "sha256:2"}
    assert model["files"]["weights.bin"] == b"weights"


def test_the_best_value_survives_a_courier_and_the_last_one_is_shown_beside_it(
    settings: Settings, backend: WandbBackend
) -> None:
    run = touchline.start_run("train", settings=settings)
    run.define_metric("reward", "maximize")
    run.log({"reward": 1.0}, 1)
    run.log({"reward": 9.0}, 2)
    assert run.wait_delivered("wandb", 300)
    assert kill_couriers(settings.home)
    ensure_courier(settings, "wandb")
    run.log({"reward": 4.0}, 3)
    assert run.wait_delivered("wandb", 300)
    assert run.finish(timeout=300).complete
    summary = backend.runs[run.id].summary
    assert (summary["best/reward"], summary["best/reward/step"], summary["reward"]) == (9.0, 2, 4.0)
    metrics = {entry.get("1"): entry for entry in backend.runs[run.id].config["_wandb"]["value"]["m"]}
    assert "reward" in metrics


def test_what_holds_for_the_run_is_said_again_when_a_killed_courier_had_not_sent_it(
    settings: Settings, backend: WandbBackend
) -> None:
    run = touchline.start_run("train", settings=settings)
    run.log({"x": 0}, 0)
    assert run.wait_delivered("wandb", 300)
    backend.fail_operations = {"UpsertBucket": 503}  # the SDK sends rows, and keeps the settings for later
    run.log_params({"late": 1})
    run.set_tags({"late": "yes"})
    run.log({"x": 1}, 1)
    assert run.wait_delivered("wandb", 300)
    assert "late" not in backend.runs[run.id].config
    assert kill_couriers(settings.home)
    backend.fail_operations = {}
    run.log({"x": 2}, 2)
    assert run.finish(timeout=300).complete
    assert backend.runs[run.id].config["late"]["value"] == 1
    assert backend.runs[run.id].tags == ["late=yes"]


def test_console_lines_arrive_once_although_the_courier_was_killed(settings: Settings, backend: WandbBackend) -> None:
    run = touchline.start_run("train", settings=settings)

    def say(text: str) -> None:
        run._writer.put("console", {"stream": "stdout", "text": text})

    say("first\n\nthird\n")
    say("10 %\r50 %\r100 %\n")
    run.log({"x": 0}, 0)
    assert run.wait_delivered("wandb", 300)
    assert kill_couriers(settings.home)
    say("last\n")
    assert run.finish(timeout=300).complete
    lines = [line.partition(" ")[2] for line in backend.runs[run.id].log_lines]
    assert lines == ["first", "", "third", "100 %", "last"]


def test_a_rewind_is_noted_in_the_config_and_shows_each_point_once(settings: Settings, backend: WandbBackend) -> None:
    with touchline.start_run("train", settings=settings, run_id="r1") as run:
        for step in range(10):
            run.log({"x": step}, step)
    with touchline.start_run("train", settings=settings, run_id="r1", resume=4) as run:
        for step in range(5, 15):
            run.log({"x": 100 + step}, step)
    assert sync(settings, timeout=300).complete
    far = backend.runs["r1"]
    assert [row["global_step"] for row in far.history if "x" in row] == list(range(15))
    assert [row["x"] for row in far.history] == [*range(10), 110, 111, 112, 113, 114]
    assert far.config["touchline.rewinds"]["value"] == [4]


def test_an_artifact_that_cannot_be_uploaded_blocks_nothing_and_is_set_aside(
    settings: Settings, backend: WandbBackend
) -> None:
    backend.fail_operations = {"CreateArtifact": 400}
    run = touchline.start_run("train", settings=settings)
    run.log_artifact(Path(__file__), "code/test.py")
    run.log({"x": 0}, 0)
    delivery = run.finish(timeout=300)
    assert delivery.complete, delivery.sentences()
    assert [row["x"] for row in backend.runs[run.id].history] == [0]
    refusal, *others = delivery["wandb"].set_aside
    assert "played failure" in refusal.reason
    assert not others
