"""In a distributed training one process records, and a process that only looks like one of many is not silenced."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from touchline.tracking.journal import JournalReader
from touchline.tracking.ranks import launch_of, rank_of

from .conftest import couriers_of

EVERYTHING = """
import json, sys, touchline, numpy as np
from pathlib import Path
home = Path(sys.argv[1])
work = Path(sys.argv[2]); work.mkdir(exist_ok=True)
(work / "file.txt").write_text("x"); (work / "clip.mp4").write_bytes(b"x"); (work / "m").mkdir(exist_ok=True)
settings = touchline.Settings(home=home, sinks=("mlflow", "tensorboard"))
with touchline.start_run("train", settings=settings, run_id="r1", config={"a": 1}, tags={"b": 2}) as run:
    run.log({"loss": 1.0}, 1)
    run.log_curve("curve", [1, 2], [0.1, 0.2])
    run.log_params({"c": 3})
    run.set_tags({"d": 4})
    run.set_summary({"e": 5})
    run.define_metric("loss", "minimize")
    run.log_artifact(work / "file.txt")
    run.log_video(work / "clip.mp4")
    run.log_image(np.zeros((2, 2, 3), np.uint8))
    run.log_histogram("h", np.arange(5))
    run.log_table("t", ["a"], [[1]])
    run.log_model(work / "m", code=work / "file.txt")
    run.log_milestone(work / "m", name="m", version=1, aliases=["a"], digest="0")
    run.log_input("models:/soccer@Champion")
    run.log_dataset("d", digest="0", source="here")
    run.alert("title")
    saved = run.save_journal(work)
    arrived = run.wait_delivered("mlflow", timeout=300)
    delivery = run.finish(timeout=300)
print(json.dumps([run.id, str(saved), arrived, sorted(delivery), delivery.complete, run.mlflow_run_id is None,
                  delivery.sentences()]))
"""


def start(home: Path, work: Path, body: str = EVERYTHING, **variables: str) -> subprocess.Popen[str]:
    environment = {name: value for name, value in os.environ.items() if "RANK" not in name and "SLURM" not in name}
    return subprocess.Popen(
        [sys.executable, "-c", body, str(home), str(work)],
        env=environment | variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_rank_1_records_nothing_and_every_method_answers_like_rank_0s(home: Path, tmp_path: Path) -> None:
    silent = start(home, tmp_path / "work", RANK="1", WORLD_SIZE="2", LOCAL_RANK="1")
    out, err = silent.communicate(timeout=300)
    assert silent.returncode == 0, err
    _, saved, arrived, sinks, complete, without_id, sentences = json.loads(out)
    assert (saved, arrived, sinks, complete, without_id, sentences) == (
        str(tmp_path / "work" / "journal.db"), True, [], True, True, []
    )  # fmt: skip
    assert err.count("is rank 1 of a distributed training") == 1
    assert "TOUCHLINE_ALL_RANKS=true" in err
    assert err.count("Alert of rank 1: title") == 1
    assert not [path for path in home.rglob("*") if path.is_file()]
    assert not couriers_of(home)


@pytest.mark.slow
def test_rank_0_of_the_same_launch_records_all(home: Path, tmp_path: Path) -> None:
    body = EVERYTHING.replace(
        '    run.log_model(work / "m", code=work / "file.txt")\n', ""
    )  # no script MLflow could run
    loud = start(home, tmp_path / "work", body, RANK="0", WORLD_SIZE="2")
    out, err = loud.communicate(timeout=300)
    assert loud.returncode == 0, err
    run_id, _, arrived, sinks, _, without_id, _ = json.loads(out)
    assert (run_id, arrived, sinks, without_id) == ("r1", True, ["mlflow", "tensorboard"], False)
    with JournalReader(home / "runs" / "r1" / "journal.db") as journal:
        assert {"start", "metrics", "params", "milestone", "end"} <= {event.kind for event in journal.all()}


LOGS = """
import sys, touchline
from pathlib import Path
settings = touchline.Settings(home=Path(sys.argv[1]), sinks=(), capture=(), all_ranks=True)
run_id = None if sys.argv[2] == "-" else sys.argv[2]
with touchline.start_run("train", settings=settings, run_id=run_id) as run:
    run.log({"x": 1.0}, 1)
print(run.id)
"""


@pytest.mark.parametrize("run_id", ["r1", "-"])
def test_with_all_ranks_each_records_a_run_of_its_own_and_they_share_a_group(home: Path, run_id: str) -> None:
    torchrun = {"WORLD_SIZE": "4", "TORCHELASTIC_RUN_ID": "abc", "MASTER_ADDR": "localhost"}
    processes = [start(home, Path(run_id), LOGS, RANK=str(rank), **torchrun) for rank in range(4)]
    ids = [process.communicate(timeout=300)[0].strip() for process in processes]
    assert len(set(ids)) == 4
    assert [name.rpartition("rank")[2].partition("-")[0] for name in ids] == ["0", "1", "2", "3"]
    groups = set()
    for name in ids:
        with JournalReader(home / "runs" / name / "journal.db") as journal:
            start_event = journal.newest("start")
            assert start_event is not None
            groups.add(start_event.payload["group"])
            assert len(journal.of_kind(["metrics"])) == 1
    assert groups == {"r1" if run_id == "r1" else "launch-abc"}


@pytest.mark.parametrize(
    ("environment", "rank"),
    [
        ({}, None),
        ({"RANK": "0", "WORLD_SIZE": "8"}, 0),
        ({"RANK": "7", "WORLD_SIZE": "8"}, 7),
        ({"SLURM_PROCID": "3", "SLURM_STEP_NUM_TASKS": "4", "SLURM_NTASKS": "4"}, 3),
        ({"OMPI_COMM_WORLD_RANK": "1", "OMPI_COMM_WORLD_SIZE": "2"}, 1),
        ({"JAX_PROCESS_ID": "1", "JAX_NUM_PROCESSES": "2"}, 1),
        # One Slurm task a node, each running torchrun: the inner launcher knows better.
        ({"RANK": "0", "WORLD_SIZE": "16", "SLURM_PROCID": "1", "SLURM_STEP_NUM_TASKS": "2"}, 0),
        # The rank of an adapter, a leftover, an interactive shell, a batch script: none is one of many.
        ({"RANK": "16"}, None),
        ({"RANK": "1", "WORLD_SIZE": "1"}, None),
        ({"RANK": "16", "WORLD_SIZE": "8"}, None),
        ({"SLURM_PROCID": "0", "SLURM_STEP_NUM_TASKS": "1", "SLURM_NTASKS": "8"}, None),
        ({"SLURM_PROCID": "1", "SLURM_NTASKS": "8"}, None),
        ({"RANK": "first", "WORLD_SIZE": "2"}, None),
    ],
)
def test_a_rank_counts_only_among_several_processes(environment: dict[str, str], rank: int | None) -> None:
    assert rank_of(environment) == rank


def test_a_launch_has_one_name_for_all_its_processes() -> None:
    assert launch_of({"TORCHELASTIC_RUN_ID": "none", "SLURM_JOB_ID": "77", "SLURM_STEP_ID": "2"}) == "launch-77-2"
    assert launch_of({}) == ""
