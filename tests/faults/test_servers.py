"""A team's server, with TLS and passwords, killed three times while two trainers log: nothing lost, nothing twice."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy

from touchline.testing.mlflow_server import SecuredServer, lack, secured_mlflow_server

DELIVERED = "Nothing is missing"
TRAINER = """
import sys, time, touchline
from pathlib import Path

home, name = Path(sys.argv[1]), sys.argv[2]
settings = touchline.Settings.load(home=home / name)
with touchline.start_run("train", run_id=f"{name}-{sys.argv[3]}", config={"lr": 3e-4}, settings=settings) as run:
    (home / "report.txt").write_text("what became of it")
    step = 0
    while step < 600 or not (home / "enough").exists():
        run.log({"train/loss": 1.0 / (step + 1), "train/return": float(step)}, step)
        step += 1
        time.sleep(0.01)
    run.log_artifact(home / "report.txt")
(home / f"{name}.steps").write_text(str(step))
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredServer]:
    """Anna and Ben know each other's experiments by permission alone."""
    if told := lack():
        pytest.skip(told)
    pytest.importorskip("flask_wtf")
    with secured_mlflow_server(tmp_path_factory.mktemp("server")) as server:
        server.add_user("anna")
        server.add_user("ben")
        yield server


def trainer(server: SecuredServer, user: str, home: Path, *, project: str, **changes: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW_", "WANDB_"))}
    told = {"TOUCHLINE_SINKS": "mlflow", "TOUCHLINE_PROJECT": project, "TOUCHLINE_CAPTURE": ""}
    return {**kept, **server.environment(user), **told, "TOUCHLINE_HOME": str(home / user), **changes}


def begin(environment: dict[str, str], user: str, home: Path, *, test: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", TRAINER, str(home), user, test]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def sync(environment: dict[str, str], until: str) -> str:
    """Send what is missing until the command says so; a busy machine may need it more than once."""
    command = [sys.executable, "-m", "touchline", "sync", "--timeout", "60"]
    told = ""
    deadline = time.monotonic() + 300.0
    while until not in told:
        assert time.monotonic() < deadline, told
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
        told = done.stdout + done.stderr
        assert done.returncode == (0 if DELIVERED in told else 1), told
    return told


def held(server: SecuredServer, run: str) -> tuple[dict[str, list[int]], str]:
    """The steps of each metric that the server has of a run, every row, and the run's status."""
    engine = sqlalchemy.create_engine(server.database)
    steps: dict[str, list[int]] = {}
    with engine.connect() as connection:
        uuid, status = connection.execute(
            sqlalchemy.text(
                "SELECT r.run_uuid, r.status FROM runs r JOIN tags t ON t.run_uuid = r.run_uuid "
                "WHERE t.key = 'touchline.run_id' AND t.value = :run"
            ),
            {"run": run},
        ).one()
        rows = connection.execute(
            sqlalchemy.text("SELECT key, step FROM metrics WHERE run_uuid = :uuid AND key LIKE 'train/%'"),
            {"uuid": uuid},
        )
        for key, step in rows:
            steps.setdefault(key, []).append(step)
    engine.dispose()
    return {key: sorted(found) for key, found in steps.items()}, status


@pytest.mark.slow
def test_a_server_killed_three_times_has_every_value_of_two_trainers_once(
    server: SecuredServer, tmp_path: Path
) -> None:
    environments = {user: trainer(server, user, tmp_path, project=f"{user}s") for user in ("anna", "ben")}
    processes = {
        user: begin(environment, user, tmp_path, test="killed") for user, environment in environments.items()
    }
    for _ in range(3):
        time.sleep(2.0)
        server.kill()
        time.sleep(1.0)
        server.start()
    (tmp_path / "enough").touch()
    for user, process in processes.items():
        output, _ = process.communicate(timeout=200)
        assert process.returncode == 0, output
        output += sync(environments[user], DELIVERED)
        count = int((tmp_path / f"{user}.steps").read_text())
        steps, status = held(server, f"{user}-killed")
        assert steps == {name: list(range(count)) for name in ("train/loss", "train/return")}
        assert status == "FINISHED"
        assert_no_secret(server, tmp_path / user, output)


def assert_no_secret(server: SecuredServer, home: Path, output: str) -> None:
    written = [path.read_bytes() for path in home.rglob("*") if path.is_file()] + [server.log.read_bytes()]
    for password in server.passwords.values():
        assert password not in output
        assert not any(password.encode() in text for text in written)


@pytest.mark.slow
def test_a_wrong_password_and_a_missing_permission_are_told_and_lose_nothing(
    server: SecuredServer, tmp_path: Path
) -> None:
    (tmp_path / "enough").touch()
    experiment = server.ask("experiments/create", user="anna", name="secret")["experiment_id"]
    environment = trainer(server, "ben", tmp_path, project="secret", MLFLOW_TRACKING_PASSWORD="not-bens")
    process = begin(environment, "ben", tmp_path, test="refused")
    output, _ = process.communicate(timeout=200)
    assert process.returncode == 0, output
    sync(environment, "MLFLOW_TRACKING_PASSWORD")
    environment["MLFLOW_TRACKING_PASSWORD"] = server.passwords["ben"]
    sync(environment, "denies this user the permission")
    server.permit("ben", experiment)
    sync(environment, DELIVERED)
    steps, status = held(server, "ben-refused")
    assert steps["train/loss"] == list(range(600))
    assert status == "FINISHED"
