"""Whole scripts with one import line changed, as processes of their own, and what the far sides have of them."""

from __future__ import annotations

import signal
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.tracking.conftest import until
from touchline.testing.wandb_backend import BackendRun, WandbBackend
from touchline.tracking.delivery import read_delivery

from .conftest import done, events, only_run, points, process, script

if TYPE_CHECKING:
    from mlflow.entities import Run
    from mlflow.tracking import MlflowClient

EXAMPLES = Path(__file__).parents[2] / "examples"


def environment(home: Path, backend: WandbBackend | None = None, **more: str) -> dict[str, str]:
    """Both tracks where there is a backend, else none."""
    sinks = {"TOUCHLINE_SINKS": "mlflow,wandb", "WANDB_BASE_URL": backend.url} if backend else {"TOUCHLINE_SINKS": ""}
    return {"TOUCHLINE_HOME": str(home), **sinks, **more}


def delivered(directory: Path, *sinks: str) -> None:
    """Wait until the far sides have a whole run: a script waits a bounded time only."""
    until(lambda: read_delivery(directory, sinks or ("mlflow", "wandb")).complete, 120.0)


def mlflow_run(uri: str, experiment: str) -> tuple[MlflowClient, Run]:
    """The one run of an experiment."""
    from mlflow.tracking import MlflowClient

    client = MlflowClient(uri)
    found = client.get_experiment_by_name(experiment)
    assert found is not None
    (run,) = client.search_runs([found.experiment_id])
    return client, run


def mlflow_points(client: MlflowClient, run: Run) -> set[tuple[str, int, float]]:
    return {
        (name, metric.step, metric.value)
        for name in run.data.metrics
        for metric in client.get_metric_history(run.info.run_id, name)
    }


def mlflow_files(client: MlflowClient, run: Run, folder: str | None = None) -> set[str]:
    found: set[str] = set()
    for file in client.list_artifacts(run.info.run_id, folder):
        found |= mlflow_files(client, run, file.path) if file.is_dir else {file.path}
    return found


def wandb_points(run: BackendRun, axis: str) -> set[tuple[str, int, float]]:
    """(metric, step, value) of the server's rows, nested ones by their dotted names."""
    found: set[tuple[str, int, float]] = set()

    def add(name: str, value: Any, step: int) -> None:
        if isinstance(value, dict):
            for inner, part in value.items():
                add(f"{name}.{inner}", part, step)
        elif isinstance(value, int | float):
            found.add((name, step, float(value)))

    for row in run.history:
        for name, value in row.items():
            if not name.startswith("_") and name != "global_step":
                add(name, value, row[axis])
    return found


def test_a_script_of_imitation_learning_arrives_on_both_tracks(
    home: Path, backend: WandbBackend, tmp_path: Path
) -> None:
    arguments = (str(EXAMPLES / "compat_wandb_imitation.py"), "--steps", "600", "--log_interval", "200")
    running = process(tmp_path, *arguments, "--save_interval", "600", **environment(home, backend))
    _, warned = done(running)
    assert warned.count("no effect here") == 1
    directory = only_run(home / "runs")
    delivered(directory)
    expected = points(directory)
    assert {(name, step) for name, step, _ in expected} == {
        (name, step)
        for name in ("training/actor_loss", "training/gradient_norm", "time/epoch_time", "time/total_time")
        for step in (200, 400, 600)
    }

    far = backend.runs[directory.name]
    assert (far.project, far.exit_code, far.tags) == ("booster", 0, ["Debug"])
    assert far.display_name.startswith("bc_000_")
    assert far.config["steps"]["value"] == 600
    assert wandb_points(far, "global_step") == expected

    client, run = mlflow_run(f"sqlite:///{home / 'mlflow.db'}", "booster")
    assert (run.info.status, run.data.params["steps"]) == ("FINISHED", "600")
    assert "Debug" in run.data.tags
    assert mlflow_points(client, run) == expected
    assert mlflow_files(client, run) == {"params_600.npy"}
    assert list(tmp_path.glob("exp/booster/Debug/*/params_600.npy"))


@pytest.mark.slow
def test_a_ddpg_script_arrives_on_both_tracks(home: Path, backend: WandbBackend, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    pytest.importorskip("gymnasium")
    example = str(EXAMPLES / "compat_mlflow_ddpg.py")
    done(process(tmp_path, example, "--timesteps", "210", **environment(home, backend)))
    directory = only_run(home / "runs")
    delivered(directory)
    expected = points(directory)
    assert {(name, step) for name, step, _ in expected} == {
        *((name, step) for name in ("episode_reward", "critic_loss", "actor_loss") for step in (200, 210)),
        *(("episode_length", episode) for episode in range(2)),
    }

    client, run = mlflow_run(f"sqlite:///{home / 'mlflow.db'}", "booster-ddpg")
    assert (run.info.status, run.info.run_name, run.data.tags["episodes"]) == ("FINISHED", "ddpg", "2")
    assert mlflow_points(client, run) == expected
    assert mlflow_files(client, run) == {"model/ddpg.pt"}

    far = backend.runs[directory.name]
    assert (far.project, far.exit_code) == ("booster-ddpg", 0)
    assert wandb_points(far, "global_step") == expected
    assert [artifact["state"] for artifact in far.artifacts if "ddpg.pt" in artifact["files"]] == ["COMMITTED"]


WANDB_SCRIPT = """
import numpy as np
import wandb

run = wandb.init(project="same", id="same", config={"rate": 0.1, "net": {"width": 64}})
wandb.log({"counted": 1.0})
wandb.log({"counted": 2.0})
wandb.log({"jumped": 3.0}, step=5)
wandb.log({"joined": 4.0})
wandb.log({"after": 5.0})
wandb.log({"waits": 1.0, "other": 2.0}, commit=False)
wandb.log({"waits": 6.0}, commit=False)
wandb.log({"closes": 7.0})
wandb.log({"next": 8.0})
wandb.log({"explicit": 9.0}, step=20, commit=True)
wandb.log({"following": 10.0})
wandb.log({"held": 1.0}, step=30, commit=False)
wandb.log({"held": 11.0}, step=30, commit=False)
wandb.log({"opens": 12.0}, step=31)
wandb.log({"same_row": 13.0}, step=31)
wandb.log({"train": {"loss": 14.0, "q": {"mean": 15}}, "numpy": np.float64(0.1), "yes": True})
wandb.log({"last": 16.0}, commit=False)
print("step", run.step, wandb.run.summary["counted"] == 2.0, wandb.config.rate)
wandb.finish()
"""


def test_wandb_itself_and_the_drop_in_record_the_same_history(
    home: Path, backend: WandbBackend, tmp_path: Path
) -> None:
    settings = {"WANDB_SILENT": "true", "WANDB_CONSOLE": "off", "WANDB_BASE_URL": backend.url}
    real, _ = done(script(tmp_path, WANDB_SCRIPT, **settings))
    wanted = wandb_points(backend.runs.pop("same"), "_step")
    changed = WANDB_SCRIPT.replace("import wandb\n", "import touchline.compat.wandb as wandb\n")
    ours, _ = done(script(tmp_path, changed, **environment(home, backend)))
    assert ours == real
    delivered(home / "runs" / "same")
    assert wandb_points(backend.runs["same"], "global_step") == wanted
    client, run = mlflow_run(f"sqlite:///{home / 'mlflow.db'}", "same")
    assert mlflow_points(client, run) == wanted
    assert len(wanted) == 19


MLFLOW_SCRIPT = """
import pathlib
import mlflow

mlflow.set_tracking_uri(TRACKING_URI)
mlflow.set_experiment("same")
with mlflow.start_run(run_name="first", tags={"team": "red"}) as outer:
    mlflow.log_param("rate", 0.1)
    mlflow.log_params({"width": 64, "name": "t1"})
    for step in range(0, 50, 10):
        mlflow.log_metric("loss", 1 / (1 + step), step=step)
        mlflow.log_metrics({"reward": step * 2.0, "length": step}, step=step)
    mlflow.log_metric("loss", 7.0, step=5)
    mlflow.log_metric("final", 0.25)
    mlflow.set_tags({"night": True})
    pathlib.Path("out/deep").mkdir(parents=True, exist_ok=True)
    pathlib.Path("out/a.txt").write_text("a")
    pathlib.Path("out/deep/b.txt").write_text("b")
    mlflow.log_artifact("out/a.txt")
    mlflow.log_artifact("out/a.txt", "one")
    mlflow.log_artifacts("out", "all")
    mlflow.log_artifacts("out")
    mlflow.log_text("hello", "notes/hello.txt")
    mlflow.log_dict({"a": 1}, "config.json")
print(mlflow.active_run(), outer.info.run_name)
"""


@pytest.mark.slow
def test_mlflow_itself_and_the_drop_in_record_the_same_history(home: Path, tmp_path: Path) -> None:
    found = []
    drop_in = MLFLOW_SCRIPT.replace("import mlflow\n", "import touchline.compat.mlflow as mlflow\n")
    for name, text in (("real", MLFLOW_SCRIPT), ("ours", drop_in)):
        folder = tmp_path / name
        folder.mkdir()
        uri = f"sqlite:///{folder / 'mlflow.db'}"
        variables = environment(home, TOUCHLINE_SINKS="mlflow") if name == "ours" else {}
        out, _ = done(script(folder, text.replace("TRACKING_URI", repr(uri)), **variables))
        if name == "ours":
            delivered(only_run(home / "runs"), "mlflow")
        client, run = mlflow_run(uri, "same")
        tags = {key: value for key, value in run.data.tags.items() if not key.startswith(("mlflow.", "touchline."))}
        found.append(
            (
                out,
                run.info.run_name,
                run.info.status,
                run.data.params,
                tags,
                mlflow_points(client, run),
                mlflow_files(client, run),
            )
        )
    assert found[0] == found[1]
    assert len(found[0][5]) == 17


ENDINGS = """
import os, signal, sys
import touchline.compat.wandb as wandb

wandb.init(project="p")
wandb.log({"loss": 1.0})
wandb.log({"open": 2.0}, commit=False)
print("ready", flush=True)
"""


@pytest.mark.parametrize(
    ("ending", "code", "status"),
    [
        ("", 0, "finished"),
        ("raise ValueError('boom')", 1, "failed"),
        ("signal.raise_signal(signal.SIGINT)", -signal.SIGINT, "killed"),
        ("try:\n    raise ValueError('boom')\nfinally:\n    wandb.finish()", 1, "failed"),
        ("with wandb.run:\n    raise ValueError('boom')", 1, "failed"),
    ],
    ids=["end of the script", "exception", "ctrl-c", "finish on the way out", "with block"],
)
def test_a_script_that_does_not_finish_ends_truly(
    ending: str, code: int, status: str, home: Path, tmp_path: Path
) -> None:
    done(script(tmp_path, ENDINGS + ending, **environment(home)), code)
    directory = only_run(home / "runs")
    assert events(directory, "end")[0][2]["status"] == status
    assert points(directory) == {("loss", 0, 1.0), ("open", 1, 2.0)}


def test_an_mlflow_script_that_raises_ends_as_failed(home: Path, tmp_path: Path) -> None:
    body = """
    import touchline.compat.mlflow as mlflow
    mlflow.log_metric("loss", 1.0)
    raise ValueError("boom")
    """
    done(script(tmp_path, body, **environment(home)), 1)
    assert events(only_run(home / "runs"), "end")[0][2] == {"status": "failed", "reason": "ValueError: boom"}


def test_a_server_that_never_answers_holds_nothing_up(home: Path, tmp_path: Path) -> None:
    body = """
    import time
    import touchline.compat.mlflow as mlflow
    import touchline.compat.wandb as wandb

    began = time.monotonic()
    wandb.init(project="p", id="w")
    mlflow.start_run()
    for step in range(1000):
        wandb.log({"loss": step})
        mlflow.log_metric("loss", step)
    print(time.monotonic() - began)
    wandb.finish()
    mlflow.end_run()
    """
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        variables = {"WANDB_BASE_URL": url, "MLFLOW_TRACKING_URI": url, "WANDB_API_KEY": "0" * 40}
        out, _ = done(script(tmp_path, body, **environment(home, TOUCHLINE_SINKS="mlflow,wandb", **variables)))
    # wandb alone takes 90 s on such a port, MLflow 1,207 s.
    assert float(out) < 20
    assert {path.name: len(points(path)) for path in (home / "runs").iterdir()} == {
        path.name: 1000 for path in (home / "runs").iterdir()
    }
    assert len(list((home / "runs").iterdir())) == 2
