"""A careless training, its deliveries and what is shown of it: every file searched for the secrets it had."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
import pytest

from tests.tracking.conftest import couriers_of
from touchline.checkpoint import CheckpointStore
from touchline.cli import main
from touchline.masking import MASK
from touchline.tracking.delivery import read_delivery
from touchline.tracking.journal import FILE_NAME, JournalReader

TRAINING = Path(__file__).with_name("training.py")
LITERAL = "LITERAL-OF-THE-SCRIPT"
ENVIRONMENT = {
    "WANDB_API_KEY": "PLANTED-wandb-key-1/2+3",
    "MLFLOW_TRACKING_PASSWORD": "PLANTED-mlflow-password-1",
    "AWS_SECRET_ACCESS_KEY": "PLANTED/aws+secret/2",
    "SOME_SERVICE_TOKEN": "PLANTED-service-token-3",
    "MLFLOW_REGISTRY_URI": "http://ann:PLANTED-uri-password-4@127.0.0.1:9",
}
CONFIG = "PLANTED-in-the-config"
ADDRESS = "https://ann:PLANTED-address-password@mlflow.example/x"
SINKS = ("mlflow", "wandb", "tensorboard")
DELIVERY_SECONDS = 300.0
MARKS = (b"PLANTED", LITERAL.encode())


@dataclass(frozen=True)
class Trained:
    """What the training left."""

    home: Path
    place: Path
    code: int
    command_lines: frozenset[str]
    """Of every process that there was meanwhile."""


@pytest.fixture
def careless(no_account: None, trained: Trained, monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal with the same variables, in the same place."""
    for name, value in {**ENVIRONMENT, "TOUCHLINE_HOME": str(trained.home)}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(trained.place)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trained]:
    """Train, with every kind of far side that needs no server, and report."""
    place = tmp_path_factory.mktemp("careless")
    home = place / "home"
    variables = {**ENVIRONMENT, "TOUCHLINE_HOME": str(home), "WANDB_MODE": "offline", "NETRC": str(place / "none")}
    script = place / "training.py"
    script.write_text(TRAINING.read_text())
    planted = {
        "environment": " ".join(ENVIRONMENT.values()),
        "quoted": urllib.parse.quote(ENVIRONMENT["AWS_SECRET_ACCESS_KEY"], safe=""),
        "config": CONFIG,
        "address": ADDRESS,
    }
    command_lines: set[str] = set()
    with (place / "said.txt").open("wb") as said:
        process = subprocess.Popen(
            [sys.executable, str(script)],
            stdin=subprocess.PIPE,
            stdout=said,
            stderr=said,
            cwd=place,
            env={**os.environ, **variables},
        )
        assert process.stdin is not None
        process.stdin.write(json.dumps(planted).encode())
        process.stdin.close()
        deadline = time.monotonic() + DELIVERY_SECONDS
        while process.poll() is None or not _is_delivered(home):
            assert time.monotonic() < deadline, (place / "said.txt").read_text()
            command_lines |= set(_command_lines())
            time.sleep(0.1)
    yield Trained(home, place, process.returncode, frozenset(command_lines))
    for courier in couriers_of(home):
        with contextlib.suppress(psutil.Error):
            courier.kill()


def _is_delivered(home: Path) -> bool:
    return all(
        state.state == "done"
        for run in ("whole", "failed")
        for state in read_delivery(home / "runs" / run, SINKS).values()
    )


def _command_lines() -> Iterator[str]:
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            yield file.read_bytes().replace(b"\0", b" ").decode(errors="replace")


def _told(found: bytes) -> str:
    at = min(found.find(mark) for mark in MARKS if mark in found)
    return repr(found[max(at - 60, 0) : at + 60])


def test_no_file_of_the_home_holds_a_planted_secret(trained: Trained) -> None:
    assert trained.code == 1, (trained.place / "said.txt").read_text()
    files = [path for path in (*trained.home.rglob("*"), *(trained.place / "elsewhere").rglob("*")) if path.is_file()]
    kinds = {"journal.db", "mlflow.db", "mlflow.log", "console.log", "training.py", "manifest.json"}
    assert kinds <= {path.name for path in files}
    assert any(path.suffix == ".wandb" for path in files) and any("tfevents" in path.name for path in files)
    held = {str(path.relative_to(trained.place)): path.read_bytes() for path in files}
    assert {name: _told(data) for name, data in held.items() if any(mark in data for mark in MARKS)} == {}
    names = {str(path) for path in trained.home.rglob("*")}
    assert [name for name in names if "PLANTED" in name] == []


def test_what_is_no_secret_is_recorded_as_it_was_logged(trained: Trained) -> None:
    with JournalReader(trained.home / "runs" / "whole" / FILE_NAME) as journal:
        params = {name: value for event in journal.of_kind(["params"]) for name, value in event.payload.items()}
        (checkpoint,) = journal.of_kind(["checkpoint"])[-1:]
    assert params["lr"] == 3e-4 and params["max_tokens"] == 512 and params["seed"] == 1
    assert params["api_key"] == params["nested.password"] == MASK
    assert params["tracker"] == f"https://{MASK}@mlflow.example/x"
    assert checkpoint.payload["directory"] == str(trained.place / "elsewhere")


def test_no_process_had_a_planted_secret_on_its_command_line(trained: Trained) -> None:
    assert any("touchline.tracking.courier" in line for line in trained.command_lines)
    assert [line for line in trained.command_lines if "PLANTED" in line] == []


@pytest.mark.usefixtures("careless")
def test_no_report_and_no_command_shows_a_planted_secret(
    trained: Trained, capsys: pytest.CaptureFixture[str]
) -> None:
    pages = []
    for run in ("whole", "failed"):
        pages.append(trained.place / f"{run}.html")
        assert main(["report", run, "--output", str(pages[-1]), "--file-only"]) == 0
        assert main(["show", run]) == 0
        assert main(["tail", run]) == 0
        assert main(["export", run, "--format", "jsonl", "--output", str(trained.place / f"{run}.jsonl")]) == 0
        pages.append(trained.place / f"{run}.jsonl")
    assert main(["runs"]) == 0
    assert main(["status"]) in (0, 1)
    shown = capsys.readouterr()
    texts = {path.name: path.read_bytes() for path in pages} | {"terminal": (shown.out + shown.err).encode()}
    assert {name: _told(text) for name, text in texts.items() if any(mark in text for mark in MARKS)} == {}
    assert MASK in shown.out


@pytest.mark.usefixtures("careless")
def test_an_error_at_the_command_line_shows_no_planted_secret(
    trained: Trained, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["show", ENVIRONMENT["SOME_SERVICE_TOKEN"]]) == 2
    assert "PLANTED" not in capsys.readouterr().err


@pytest.mark.usefixtures("careless")
def test_everything_that_a_run_leaves_is_the_users_alone_whatever_the_umask(trained: Trained) -> None:
    open_ = {
        str(path.relative_to(trained.place)): oct(path.stat().st_mode & 0o777)
        for path in (trained.home, *trained.home.rglob("*"))
        if not path.is_symlink() and path.stat().st_mode & 0o077
    }
    assert open_ == {}
    main(["report", "whole", "--output", str(trained.place / "private.html"), "--file-only"])
    assert (trained.place / "private.html").stat().st_mode & 0o777 == 0o600


def test_a_checkpoint_goes_on_although_its_configuration_was_masked(trained: Trained) -> None:
    store = CheckpointStore(trained.home / "runs" / "whole" / "checkpoints", config={"secret": CONFIG})
    assert store.restore_or({"weights": np.ones(3)}) is not None and store.step == 5
