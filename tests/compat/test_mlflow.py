"""What a script that speaks to MLflow puts into the journal."""

from __future__ import annotations

import threading
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import touchline.compat.mlflow as mlflow
from touchline.errors import TouchlineError, UsageError

from .conftest import events, only_run, points

pytestmark = pytest.mark.usefixtures("journal_only")


def directory() -> Path:
    """The active run's directory."""
    run = mlflow.active_run()
    assert run is not None
    return run.touchline.directory


def test_metrics_without_a_step_count_up_by_name() -> None:
    with mlflow.start_run():
        for value in (1.0, 2.0, 3.0):
            mlflow.log_metric("loss", value)
        mlflow.log_metrics({"loss": 4.0, "reward": 5.0})
        path = directory()
    assert points(path) == {
        ("loss", 0, 1.0),
        ("loss", 1, 2.0),
        ("loss", 2, 3.0),
        ("loss", 3, 4.0),
        ("reward", 0, 5.0),
    }
    assert events(path, "duplicate") == []


def test_metrics_without_a_step_go_on_after_those_with_one() -> None:
    with mlflow.start_run():
        mlflow.log_metric("loss", 1.0, step=10)
        mlflow.log_metric("loss", 2.0)
        mlflow.log_metric("late", 3.0, 4)
        path = directory()
    assert points(path) == {("loss", 10, 1.0), ("loss", 11, 2.0), ("late", 4, 3.0)}


def test_metrics_without_a_step_go_on_where_the_run_stopped() -> None:
    with mlflow.start_run() as run:
        mlflow.log_metric("loss", 1.0)
        mlflow.log_metric("loss", 2.0)
        path = directory()
    with mlflow.start_run(run_id=run.info.run_id):
        mlflow.log_metric("loss", 3.0)
    assert points(path) == {("loss", 0, 1.0), ("loss", 1, 2.0), ("loss", 2, 3.0)}


def test_logging_without_a_run_begins_one(journal_only: Path) -> None:
    mlflow.log_param("rate", 0.1)
    mlflow.log_metric("loss", 1.0)
    mlflow.end_run()
    path = only_run(journal_only)
    assert points(path) == {("loss", 0, 1.0)}
    assert events(path, "params", "end") == [
        ("params", None, {"rate": 0.1}),
        ("end", None, {"status": "finished", "reason": ""}),
    ]


def test_a_parameter_stays_as_it_was_logged_first(caplog: pytest.LogCaptureFixture) -> None:
    with mlflow.start_run():
        assert mlflow.log_param("rate", 0.1) == 0.1
        mlflow.log_params({"rate": 0.1, "net": {"width": 256}})
        mlflow.log_param("rate", 0.2)
        path = directory()
    assert [payload for _, _, payload in events(path, "params")] == [{"rate": 0.1}, {"net": "{'width': 256}"}]
    assert "'rate' is '0.1' and cannot become '0.2'" in caplog.text


def test_a_run_has_the_experiment_name_tags_and_description_it_was_given() -> None:
    assert mlflow.set_experiment("soccer").experiment_id == "soccer"
    with mlflow.start_run(run_name="first", tags={"team": "red"}, description="why") as run:
        mlflow.set_tag("night", True)
        assert mlflow.active_run() is run
        assert (run.info.run_name, run.info.experiment_id, run.info.status) == ("first", "soccer", "RUNNING")
        assert run.info.run_id == run.touchline.id
        mlflow.log_metric("loss", np.float32(0.5))
        path = directory()
    start = events(path, "start")[0][2]
    assert (start["name"], start["project"]) == ("first", "soccer")
    tags = {name: value for _, _, payload in events(path, "tags") for name, value in payload.items()}
    assert tags == {"team": "red", "mlflow.note.content": "why", "night": "True"}
    assert mlflow.active_run() is None
    last = mlflow.last_active_run()
    assert last is run and last.info.status == "FINISHED" and last.data.metrics == {"loss": 0.5}


def test_a_nested_run_knows_its_parent() -> None:
    with mlflow.start_run() as outer:
        with pytest.raises(UsageError, match=r"is active. End it with mlflow.end_run"):
            mlflow.start_run()
        with mlflow.start_run(nested=True) as inner:
            mlflow.log_metric("loss", 1.0)
            assert mlflow.get_parent_run(inner.info.run_id) is outer
        mlflow.log_metric("loss", 2.0)
    assert events(inner.touchline.directory, "start")[0][2]["parent"] == outer.info.run_id
    assert points(inner.touchline.directory) == {("loss", 0, 1.0)}
    assert points(outer.touchline.directory) == {("loss", 0, 2.0)}


def test_each_thread_has_an_active_run_of_its_own() -> None:
    seen = []

    def train() -> None:
        with mlflow.start_run() as run:
            mlflow.log_metric("loss", 2.0)
            seen.append(run)

    with mlflow.start_run() as mine:
        thread = threading.Thread(target=train)
        thread.start()
        thread.join()
        mlflow.log_metric("loss", 1.0)
    assert points(mine.touchline.directory) == {("loss", 0, 1.0)}
    assert points(seen[0].touchline.directory) == {("loss", 0, 2.0)}


@pytest.mark.parametrize(("status", "ours"), [("FINISHED", "finished"), ("FAILED", "failed"), ("KILLED", "killed")])
def test_a_run_ends_as_it_is_told(status: str, ours: str) -> None:
    run = mlflow.start_run()
    mlflow.end_run(status)
    assert events(run.touchline.directory, "end")[0][2]["status"] == ours
    assert run.info.status == status


def test_an_exception_ends_a_run_truly() -> None:
    with pytest.raises(ValueError, match="boom"), mlflow.start_run() as run:
        raise ValueError("boom")
    with pytest.raises(ValueError, match="later"):
        try:
            second = mlflow.start_run()
            raise ValueError("later")
        finally:
            mlflow.end_run()
    assert events(run.touchline.directory, "end")[0][2] == {"status": "failed", "reason": "ValueError: boom"}
    assert (run.info.status, second.info.status) == ("FAILED", "FAILED")


def test_a_link_that_leads_out_of_a_logged_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "many").mkdir()
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "many" / "a.txt").symlink_to("../secret")
    with mlflow.start_run():
        for below in ("all", None):
            with pytest.raises(TouchlineError, match=r"symbolic link a\.txt to \.\./secret, which leads out"):
                mlflow.log_artifacts(tmp_path / "many", below)
        path = directory()
    assert events(path, "artifact") == []


def test_of_a_directory_with_a_link_between_its_parts_nothing_is_kept_half(tmp_path: Path) -> None:
    for part in ("a", "b"):
        (tmp_path / "many" / part).mkdir(parents=True)
        (tmp_path / "many" / part / "own.txt").write_text(part)
    (tmp_path / "many" / "b" / "other.txt").symlink_to("../a/own.txt")
    with mlflow.start_run():
        with pytest.raises(TouchlineError, match=r"symbolic link other\.txt to \.\./a/own\.txt, which leads out"):
            mlflow.log_artifacts(tmp_path / "many")
        mlflow.log_artifacts(tmp_path / "many", "all")
        path = directory()
    assert [payload["name"] for _, _, payload in events(path, "artifact")] == ["all"]


def test_files_arrive_where_the_script_puts_them(tmp_path: Path) -> None:
    (tmp_path / "many" / "deep").mkdir(parents=True)
    (tmp_path / "many" / "a.txt").write_text("a")
    (tmp_path / "many" / "deep" / "b.txt").write_text("b")
    with mlflow.start_run():
        mlflow.log_artifact(str(tmp_path / "many" / "a.txt"))
        mlflow.log_artifact(tmp_path / "many" / "a.txt", "models")
        mlflow.log_artifacts(tmp_path / "many", "all")
        mlflow.log_artifacts(str(tmp_path / "many"))
        mlflow.log_text("hello", "notes/hello.txt")
        mlflow.log_dict({"rate": 0.1}, "config.json")
        mlflow.log_dict({"rate": 0.1}, "config.yaml")
        with pytest.raises(UsageError, match="takes a directory"):
            mlflow.log_artifacts(tmp_path / "nothing")
        path = directory()
    kept = [(payload["name"], path / payload["path"]) for _, _, payload in events(path, "artifact")]
    assert [name for name, _ in kept] == [
        "a.txt",
        "models/a.txt",
        "all",
        "a.txt",
        "deep",
        "notes/hello.txt",
        "config.json",
        "config.yaml",
    ]
    by_name = dict(kept)
    assert (by_name["all"] / "deep" / "b.txt").read_text() == "b"
    assert (by_name["deep"] / "b.txt").read_text() == "b"
    assert by_name["notes/hello.txt"].read_text() == "hello"
    assert by_name["config.json"].read_text() == '{\n  "rate": 0.1\n}'
    assert by_name["config.yaml"].read_text() == "rate: 0.1\n"


def test_figures_images_and_tables_are_kept() -> None:
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    from matplotlib import pyplot
    from PIL import Image

    with mlflow.start_run():
        figure, axes = pyplot.subplots()
        axes.plot([1, 2])
        mlflow.log_figure(figure, "plots/curve.png")
        mlflow.log_image(np.full((3, 4, 3), 0.5), "frames/one.png")
        mlflow.log_image(np.zeros((3, 4), np.uint8), key="frame", step=7)
        mlflow.log_table({"task": ["kick", "pass"], "score": [0.5, 0.6]}, "scores.json")
        mlflow.log_table({"task": "goal", "score": 0.7}, "scores.json")
        with pytest.raises(UsageError, match="either artifact_file, or key"):
            mlflow.log_image(np.zeros((3, 4), np.uint8))
        path = directory()
    kept = {payload["name"]: path / payload["path"] for _, _, payload in events(path, "artifact")}
    assert Image.open(kept["plots/curve.png"]).size[0] > 100
    assert np.asarray(Image.open(kept["frames/one.png"])).max() == 128
    ((_, step, image),) = events(path, "image")
    assert (step, image["name"]) == (7, "frame")
    tables = [payload for _, _, payload in events(path, "table")]
    assert [table["name"] for table in tables] == ["scores", "scores"]
    assert tables[-1]["rows"] == [["kick", 0.5], ["pass", 0.6], ["goal", 0.7]]


def test_a_dataset_is_recorded_by_name_digest_and_source() -> None:
    dataset = SimpleNamespace(name="demonstrations", digest="abc", source=SimpleNamespace(uri="s3://bucket/demo.npz"))
    with mlflow.start_run():
        mlflow.log_input(dataset, context="imitation")
        mlflow.log_input(model="models:/m-0123")
        path = directory()
    assert events(path, "dataset")[0][2] == {
        "name": "demonstrations",
        "digest": "abc",
        "source": "s3://bucket/demo.npz",
        "context": "imitation",
    }
    assert events(path, "input")[0][2]["model"] == "models:/m-0123"


def test_the_tracking_uri_is_the_scripts_or_the_environments(monkeypatch: pytest.MonkeyPatch) -> None:
    assert mlflow.get_tracking_uri().startswith("sqlite:///") and not mlflow.is_tracking_uri_set()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://from-variable:5000")
    assert mlflow.get_tracking_uri() == "http://from-variable:5000"
    mlflow.set_tracking_uri("http://from-script:5000")
    with mlflow.start_run() as run:
        assert run.touchline.settings.tracking_uri == "http://from-script:5000"


def test_only_runs_and_experiments_that_are_known_here_are_taken() -> None:
    with pytest.raises(UsageError, match="MLflow's own ids are known to the server only"):
        mlflow.start_run(run_id="0123456789abcdef0123456789abcdef")
    with pytest.raises(UsageError, match="is a number, which is known to the server only"):
        mlflow.start_run(experiment_id="1")
    with pytest.raises(UsageError, match="was not begun by this process"):
        mlflow.get_run("nobody")
    assert mlflow.create_experiment("soccer") == "soccer"
    with mlflow.start_run(experiment_id="soccer") as run:
        assert run.touchline.settings.project == "soccer"


def test_what_is_not_supported_names_its_remedy(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(TouchlineError, match="import mlflow as real_mlflow"):
        mlflow.autolog()
    with pytest.raises(TouchlineError, match=r"mlflow\.pytorch is not supported.*mlflow\.log_artifact.*log_model"):
        mlflow.pytorch.log_model(object(), "model")
    with pytest.raises(TouchlineError, match="never waits for"):
        mlflow.MlflowClient()
    for _ in range(2):
        mlflow.set_registry_uri("sqlite:///x.db")
    assert caplog.text.count("mlflow.set_registry_uri has no effect") == 1
    mlflow.flush_async_logging()
    with pytest.raises(AttributeError, match=r"'log_metrix'\. Did you mean 'log_metric'\?"):
        _ = mlflow.log_metrix


def test_only_rank_0_records(journal_only: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with mlflow.start_run(run_id="of-rank-0"):
        mlflow.log_metric("loss", 1.0)
        with mlflow.start_run(nested=True):
            mlflow.log_metric("loss", 1.0)
    assert not journal_only.exists()


def test_a_timestamp_is_told_to_have_no_effect(caplog: pytest.LogCaptureFixture) -> None:
    with mlflow.start_run():
        mlflow.log_metric("loss", 1.0, step=1, timestamp=123)
        path = directory()
    assert points(path) == {("loss", 1, 1.0)}
    assert "timestamp has no effect" in caplog.text
