"""A run records where it comes from: git, packages, script and cells; and no secret with it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import touchline
from touchline.config import Settings
from touchline.errors import UsageError
from touchline.tracking.journal import Event, JournalReader


def git(directory: Path, *arguments: str) -> str:
    identity = ("-c", "user.email=a@example.com", "-c", "user.name=a")
    done = subprocess.run(["git", "-C", directory, *identity, *arguments], check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with one commit, one change and one untracked file; its remote holds a password."""
    path = tmp_path / "project"
    path.mkdir()
    git(path, "init", "-q", "-b", "topic")
    git(path, "remote", "add", "origin", "https://me:hunter2@example.com/project.git")
    (path / "model.py").write_text("layers = 2\n")
    git(path, "add", ".")
    git(path, "commit", "-qm", "first")
    (path / "model.py").write_text('layers = 3\napi_key = "abc123"\n')
    (path / "notes.txt").write_text("mine")
    return path


BODY = """
import sys, touchline
from pathlib import Path
settings = touchline.Settings(home=Path(sys.argv[1]), sinks=())
with touchline.start_run("train", settings=settings, run_id="r1") as run:
    run.log({"x": 1.0}, 1)
"""


def record(script: Path, home: Path, *arguments: str) -> list[Event]:
    """Run a training script to its end and return what its journal has."""
    command = [sys.executable, str(script), str(home), *arguments]
    subprocess.run(command, check=True, cwd=script.parent, timeout=300)
    with JournalReader(home / "runs" / "r1" / "journal.db") as journal:
        return list(journal.all())


def tags(events: list[Event]) -> dict[str, str]:
    return {name: value for event in events if event.kind == "tags" for name, value in event.payload.items()}


def artifacts(events: list[Event], home: Path) -> dict[str, str]:
    """Text of each delivered file, by name."""
    found = {event.payload["name"]: event.payload["path"] for event in events if event.kind == "artifact"}
    return {name: (home / "runs" / "r1" / path).read_text() for name, path in found.items()}


def test_a_run_records_the_commit_the_branch_and_the_remote_without_its_password(
    repository: Path, home: Path
) -> None:
    (repository / "train.py").write_text(BODY)
    found = tags(record(repository / "train.py", home))
    assert found["git.commit"] == found["mlflow.source.git.commit"] == git(repository, "rev-parse", "HEAD")
    assert found["git.branch"] == found["mlflow.source.git.branch"] == "topic"
    assert found["git.remote"] == found["mlflow.source.git.repoURL"] == "https://example.com/project.git"
    assert found["git.dirty"] == "true"
    assert found["mlflow.source.name"] == str(repository / "train.py")
    assert found["mlflow.source.type"] == "LOCAL"
    assert found["system.python"] == ".".join(map(str, sys.version_info[:3]))


def test_a_run_keeps_the_difference_to_the_commit_and_names_untracked_files(repository: Path, home: Path) -> None:
    (repository / "train.py").write_text(BODY)
    files = artifacts(record(repository / "train.py", home), home)
    assert "+layers = 3" in files["source/diff.patch"]
    assert "abc123" not in files["source/diff.patch"]
    assert files["source/untracked.txt"].splitlines() == ["notes.txt", "train.py"]
    assert files["source/train.py"] == BODY


def test_a_script_that_git_has_is_not_copied_and_a_clean_tree_has_no_difference(repository: Path, home: Path) -> None:
    (repository / "train.py").write_text(BODY)
    git(repository, "add", ".")
    git(repository, "commit", "-qm", "second")
    events = record(repository / "train.py", home)
    assert set(artifacts(events, home)) == {"source/packages.txt"}
    assert tags(events)["git.dirty"] == "false"


def test_a_long_difference_is_cut_and_said_to_be(repository: Path, home: Path) -> None:
    (repository / "train.py").write_text(BODY)
    (repository / "model.py").write_text("weights = 0.123456789\n" * 400_000)
    events = record(repository / "train.py", home)
    patch = artifacts(events, home)["source/diff.patch"]
    assert len(patch) < 5_001_000
    assert patch.splitlines()[-1].startswith("touchline: the difference is cut here")
    assert "cut" in tags(events)["git.diff"]


def test_an_installed_command_counts_as_the_project_it_runs_in(
    repository: Path, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(environment)], check=True, timeout=300)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(entry for entry in sys.path if entry))
    command = environment / "bin" / "train"
    command.write_text(BODY)
    subprocess.run([environment / "bin" / "python", command, home], check=True, cwd=repository, timeout=300)
    with JournalReader(home / "runs" / "r1" / "journal.db") as journal:
        events = list(journal.all())
    assert tags(events)["git.commit"] == git(repository, "rev-parse", "HEAD")
    assert tags(events)["source.name"] == str(command)
    assert "source/train" not in artifacts(events, home)


def test_outside_of_git_the_script_itself_is_kept(tmp_path: Path, home: Path) -> None:
    script = tmp_path / "alone.py"
    script.write_text(BODY)
    events = record(script, home)
    assert artifacts(events, home)["source/alone.py"] == BODY
    assert "git.commit" not in tags(events)


def test_the_installed_packages_are_listed_with_their_versions(tmp_path: Path, home: Path) -> None:
    import numpy

    script = tmp_path / "alone.py"
    script.write_text(BODY)
    lines = artifacts(record(script, home), home)["source/packages.txt"].splitlines()
    assert f"numpy=={numpy.__version__}" in lines
    names = [line.partition("==")[0].lower() for line in lines]
    assert names == sorted(names)


def test_a_repository_without_a_commit_and_a_hanging_git_stop_nothing(
    tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = tmp_path / "empty"
    project.mkdir()
    git(project, "init", "-q")
    (project / "train.py").write_text(BODY)
    assert "git.commit" not in tags(record(project / "train.py", home))
    hanging = tmp_path / "bin" / "git"
    hanging.parent.mkdir()
    hanging.write_text("#!/bin/sh\nexec sleep 60\n")
    hanging.chmod(0o755)
    monkeypatch.setenv("PATH", str(hanging.parent), prepend=":")
    events = record(project / "train.py", home)
    assert [event.kind for event in events].count("end") == 2


def test_secrets_of_the_command_line_never_reach_the_journal(tmp_path: Path, home: Path) -> None:
    script = tmp_path / "alone.py"
    script.write_text(BODY)
    secret = "s3cr3t"
    given = (
        f"--api-key={secret}",
        "--password",
        secret,
        f"WANDB_TOKEN={secret}",
        f"--uri=https://me:{secret}@host/x",
    )
    events = record(script, home, *given, "--lr=0.1")
    assert secret not in "".join(str(event.payload) for event in events)
    start = next(event for event in events if event.kind == "start")
    assert start.payload["command"][2:] == [
        "--api-key=***",
        "--password",
        "***",
        "WANDB_TOKEN=***",
        "--uri=https://host/x",
        "--lr=0.1",
    ]


def test_an_unknown_part_to_capture_is_refused_with_the_nearest_name(home: Path) -> None:
    with pytest.raises(UsageError, match="Did you mean 'packages'"):
        touchline.start_run("train", settings=Settings(home=home, sinks=(), capture=("package",)))


def test_what_is_not_asked_for_is_not_captured(home: Path) -> None:
    with touchline.start_run("train", settings=Settings(home=home, sinks=(), capture=())) as run:
        print("unheard")
    with JournalReader(run.directory / "journal.db") as journal:
        assert [event.kind for event in journal.all()] == ["start", "end"]


NOTEBOOK = """
import sys
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
shell.run_cell("import touchline\\nfrom pathlib import Path", store_history=True)
shell.run_cell("lr = 0.1  # first", store_history=True)
shell.run_cell(f"settings = touchline.Settings(home=Path({sys.argv[1]!r}), sinks=())", store_history=True)
shell.run_cell("run = touchline.start_run('train', settings=settings, run_id='r1')", store_history=True)
shell.run_cell("print('from a cell')", store_history=True)
shell.run_cell("run.finish()", store_history=True)
"""


def test_in_a_notebook_the_executed_cells_are_kept(tmp_path: Path, home: Path) -> None:
    pytest.importorskip("IPython")
    script = tmp_path / "kernel.py"
    script.write_text(NOTEBOOK)
    events = record(script, home)
    cells = artifacts(events, home)["source/notebook.py"]
    assert "# In [2]\nlr = 0.1  # first" in cells
    assert tags(events)["mlflow.source.type"] == "NOTEBOOK"
    assert any("from a cell" in event.payload["text"] for event in events if event.kind == "console")
