"""The examples of the pages on Databricks and on clusters, as far as they run without either."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest
import yaml
from databricks.bundles.core import Bundle, Resources

from touchline.deploy.config import DatabricksConfig
from touchline.deploy.databricks import resources
from touchline.recipes import find_recipe

DOCS = Path(__file__).parents[2] / "docs"


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", (DOCS / page).read_text(), re.DOTALL)


def test_resources_can_be_changed_as_the_page_says() -> None:
    (code,) = blocks("databricks.md", "python")
    names = {"Bundle": Bundle, "Resources": Resources, "resources": resources, "CONFIG": DatabricksConfig()}
    exec(code, names)
    job = names["load_resources"](Bundle(target="main")).jobs["touchline"]  # type: ignore[operator]
    assert job.tags["cost-centre"] == "robots"


@pytest.mark.parametrize("page", ["databricks.md", "clusters.md"])
def test_every_shell_example_is_one(page: str) -> None:
    for script in blocks(page, "bash"):
        subprocess.run(["bash", "-n"], input=script, text=True, check=True)


@pytest.mark.parametrize(("ends_with", "requeued"), [(0, ""), (1, ""), (143, "requeue 7\n")])
def test_a_job_of_slurm_that_was_stopped_is_queued_again(tmp_path: Path, ends_with: int, requeued: str) -> None:
    (script,) = (block for block in blocks("clusters.md", "bash") if "#SBATCH" in block)
    for name, does in (("srun", f'echo "$@"; exit {ends_with}'), ("scontrol", 'echo "$@" >> asked')):
        (tmp_path / name).write_text(f"#!/bin/sh\n{does}\n")
        (tmp_path / name).chmod(0o755)
    (tmp_path / "asked").touch()
    path = f"{tmp_path}:{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=tmp_path,
        env={"PATH": path, "HOME": str(tmp_path), "SLURM_JOB_ID": "7"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, (tmp_path / "asked").read_text()) == (ends_with, requeued)
    words = done.stdout.split()
    assert words[:3] == ["touchline", "run", "pipeline"]
    assert find_recipe(words[words.index("--recipe") + 1])


def test_the_task_of_skypilot_keeps_what_outlives_a_machine_off_it() -> None:
    (text,) = blocks("clusters.md", "yaml")
    task = yaml.safe_load(text)
    assert task["resources"]["use_spot"]
    assert task["envs"]["TOUCHLINE_CHECKPOINTS"] in task["file_mounts"]
    assert task["secrets"] == {"WANDB_API_KEY": None}
