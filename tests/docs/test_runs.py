"""Every command that a page shows is run, on a home that has what the pages speak of.

What takes long gets small sizes at its end. A training is a process, killed once its first run has begun: how it goes
on from there is the matter of the tests of its job.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pytest

import touchline
from tests.catalog.conftest import plain_version
from tests.commands.conftest import TOUCHLINE, call
from tests.docs.pages import ROOT
from tests.docs.test_commands import calls
from tests.tracking.conftest import kill_couriers
from touchline.catalog import Catalog, Milestone, ModelVersion, claim_attempt, promote
from touchline.catalog.lineage import PIPELINE_TAG
from touchline.checkpoint import CheckpointStore
from touchline.config import Settings
from touchline.deploy.lock import wheel_name
from touchline.learning.policy import zero_policy
from touchline.soccer.control import stand_still
from touchline.tracking.journal import FILE_NAME, JournalReader

pytestmark = pytest.mark.slow

PIPELINE = "20261127-174941-94ba"
"""As docs/report.md names one."""
METRICS = (
    "objective", "eval/return", "gpu/memory_percent", "gpu/utilization_percent", "cost/usd_wasted", "jax/bytes",
    "torch/bytes", "host/memory_percent", "speed/transitions_per_second", "checkpoint/seconds",
)  # fmt: skip
MILESTONES = {
    "gate3": Milestone("gate3", "ddpg_finetuned", "Champion", may_promote=True),
    "judge": Milestone("judge", "cartpole", "Champion", may_promote=True),
}
TRAINING = """
from dataclasses import dataclass

@dataclass(frozen=True)
class TrainConfig:
    learning_rate: float = 1e-3
    lr: float = 1e-3
    gamma: float = 0.9
    seed: int = 0

def train(config: TrainConfig, run) -> float:
    run.report(config.gamma, 1)
    return config.gamma
"""
SPACE = '"sac.actor_lr" = "log:1e-5:1e-3"\n'

SMALLER = {
    "evaluate": ["--episodes", "2", "--task", "goalie", "--processes", "1"],
    "film": ["--seconds", "0.2", "--size", "160x90", "--episodes", "1", "--overwrite"],
    "tune train:train": ["--trials", "2", "--workers", "2"],
}
"""Beginning of a command → what is added to it; of an option that is given twice the last one counts."""
ELSEWHERE = {
    "import": ("migration/test_imports.py", "test_every_command_of_the_page_finds_the_counts_equal"),
    "run pretrain --resume last --allow-changes": (
        "jobs/test_checkpoints.py",
        "test_another_configuration_starts_anew_and_is_refused_where_the_run_is_named",
    ),
    "run gate3": ("jobs/test_gate3.py", "test_the_champion_is_crowned_kept_and_packed"),
    "tune pretrain --storage postgresql:": (
        "tuning/test_storage.py",
        "test_workers_that_start_together_all_survive_on_postgresql",
    ),
    "ui": ("ui/test_command.py", "test_the_pages_answer_and_leave_no_process_behind"),
    "watch": ("commands/test_watch.py", "test_the_live_view_follows_the_driver"),
    "evaluate last --world": ("commands/test_evaluate.py", "test_a_world_of_ones_own_is_scored_by_its_return"),
}
"""Beginning of a command that needs something of its own → file and name of the test that runs such a one."""
ENDINGS = {"doctor": {0, 1}, "sync --sink wandb": {1}}
"""Beginning of a command → its exit codes where it may have others than 0."""
ORDER = ("", "rollback", "tune train:train --space learning_rate=log:1e-4:1e-2", "tune", "tune train:train")
"""Beginnings of commands: what begins runs comes after the rest, whose last run is the one that is recorded here, and
what is asked of a study while there is one."""


def beginning(words: list[str], keys: Iterable[str]) -> str:
    """The longest key that the command begins with, or nothing."""
    text = " ".join(words)
    found = [key for key in keys if text == key or text.startswith(key if key.endswith(":") else f"{key} ")]
    return max(found, key=len, default="")


def shown() -> Iterator[list[str]]:
    """Every command once."""
    distinct = {tuple(call.values[0]): None for call in calls()}
    for words in sorted(map(list, distinct), key=lambda words: ORDER.index(beginning(words, ORDER))):
        if not beginning(words, ELSEWHERE):
            yield words


def is_training(words: list[str]) -> bool:
    return (words[0] == "run" and "--help" not in words) or words[:2] == ["tune", "pretrain"]


def named(words: list[str], names: dict[str, str]) -> list[str]:
    """The command with what its placeholders stand for."""
    for placeholder, value in names.items():
        words = [word.replace(placeholder, value) if placeholder in word else word for word in words]
    return words


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, fresh_store: Path) -> Iterator[Path]:
    """Registered policies, two champions, a run with curves, checkpoints and a model; beside it a training."""
    place = tmp_path_factory.mktemp("commands")
    (home := place / "home").mkdir()
    shutil.copy(fresh_store, home)
    (place / "train.py").write_text(TRAINING)
    (place / "club" / "dist").mkdir(parents=True)
    (place / "club" / "dist" / wheel_name()).touch()
    standing = zero_policy(89, 12, {"controller": stand_still().to_dict()}).save(place / "standing")
    register(Settings(home=home), standing)
    record(Settings(home=home, sinks=("mlflow",), capture=()), standing)
    yield home
    kill_couriers(home)


def register(settings: Settings, policy: Path) -> None:
    catalog = Catalog.of(settings, milestones=MILESTONES)
    pretrained = [plain_version(catalog, f"sac{number}", "mjx_sac", policy) for number in range(3)]
    point(catalog, pretrained[-1], "Candidate-Pretrain")
    for number in range(2):
        candidate = plain_version(catalog, f"ddpg{number}", "ddpg_finetuned", policy)
        crown(catalog, candidate, "gate3")
        point(catalog, candidate, "Candidate-Finetuned")
    crown(catalog, plain_version(catalog, "cartpole", "cartpole"), "judge")


def point(catalog: Catalog, version: ModelVersion, alias: str) -> None:
    catalog.client.set_registered_model_alias(version.name, alias, str(version.version))


def crown(catalog: Catalog, version: ModelVersion, job: str) -> None:
    attempt = claim_attempt(catalog, version, run_id=f"{job}{version.version}", job=job)
    promote(catalog, attempt, {"passed": "true", "provisional": "true", "reason": "It is better."})


def record(settings: Settings, policy: Path) -> None:
    tags = {PIPELINE_TAG: PIPELINE, "touchline.job": "pretrain"}
    with touchline.start_run("pretrain", config={"seed": 0}, tags=tags, settings=settings) as run:
        for step in range(3):
            run.log(dict.fromkeys(METRICS, step + 0.5), step)
        store = CheckpointStore(run.directory / "checkpoints", every=1, run=run)
        for step in (1, 2):
            store.save(step, {"weights": np.zeros(4)})
        run.log_model(policy, name="model", code=ROOT / "src" / "touchline" / "learning" / "serve.py")


def test_every_command_that_is_no_training_runs(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(home.parent)
    monkeypatch.syspath_prepend(home.parent)
    monkeypatch.setenv("TOUCHLINE_HOME", str(home))
    monkeypatch.setenv("TOUCHLINE_SINKS", "")
    monkeypatch.setenv("TOUCHLINE_CAPTURE", "")
    monkeypatch.setenv("MUJOCO_GL", "disable")
    (run,) = (path.name for path in (home / "runs").iterdir())
    names = {"RUN": run, "/path/to/.touchline": str(home), "YOUR-WORKSPACE": "1.gcp.databricks.com"}
    failed = {}
    for words in shown():
        if is_training(words):
            continue
        for page in home.parent.glob("*.html"):  # which is not replaced unasked
            page.unlink()
        small = SMALLER.get(beginning(words, SMALLER), [])
        code = call(*named(words, names), *small)
        told = capsys.readouterr()
        if code not in ENDINGS.get(beginning(words, ENDINGS), {0}):
            failed[" ".join(words)] = f"{code}: {' '.join((told.err or told.out).split())[-400:]}"
    assert not failed, "\n".join(f"touchline {words} -> {said}" for words, said in failed.items())


TRAININGS = [pytest.param(words, id=" ".join(words)) for words in shown() if is_training(words)]


@pytest.mark.parametrize("words", TRAININGS)
def test_every_training_begins(words: list[str], tmp_path: Path) -> None:
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    (winner := tmp_path / ".touchline" / "studies" / "…" / "winner.toml").parent.mkdir(parents=True)
    winner.write_text("[pretrain]\ntotal_steps = 64000\n")
    (tmp_path / "space.toml").write_text(SPACE)
    environment = {**os.environ, "TOUCHLINE_SINKS": "", "TOUCHLINE_CAPTURE": "", "MUJOCO_GL": "disable"}
    with (tmp_path / "said").open("w") as said:
        process = subprocess.Popen(
            [TOUCHLINE, *words], cwd=tmp_path, env=environment, stdout=said, stderr=said, start_new_session=True
        )
    try:
        deadline = time.monotonic() + 300
        while not (begun := jobs_of(tmp_path)):
            assert process.poll() is None, (tmp_path / "said").read_text()
            assert time.monotonic() < deadline, (tmp_path / "said").read_text()
            time.sleep(0.1)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert begun <= {"setup", *words}


def jobs_of(place: Path) -> set[str]:
    """Jobs of the runs that have begun in a home below ``place``."""
    found = set()
    for journal in place.glob(f".*/runs/*/{FILE_NAME}"):
        with JournalReader(journal) as reader:
            start = reader.newest("start")
        if start is not None:
            found.add(str(start.payload["job"]))
    return found


@pytest.mark.parametrize("key", [*SMALLER, *ELSEWHERE, *ENDINGS])
def test_no_exception_is_left_behind(key: str) -> None:
    commands = [list(call.values[0]) for call in calls()]
    assert any(beginning(words, (key,)) for words in commands), f"no page has a command like {key!r}"
    if key in ELSEWHERE:
        file, test = ELSEWHERE[key]
        assert re.search(rf"^def {test}\b", (ROOT / "tests" / file).read_text(), re.MULTILINE), (file, test)
