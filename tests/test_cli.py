"""The command line as a person meets it: a process, its exit code, what it prints where."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

TOUCHLINE = Path(sys.executable).with_name("touchline")
HOPPER = Path(__file__).parents[1] / "examples" / "hopper.py"


def touchline(*arguments: str, at: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("TOUCHLINE_", "MLFLOW_"))}
    return subprocess.run(
        [str(TOUCHLINE), *arguments], cwd=at, env=kept | variables, capture_output=True, text=True, timeout=300
    )


NEEDS_HOME = ("runs", "show", "tail", "status", "sync", "export", "gc")


@pytest.mark.parametrize(
    "arguments",
    [
        ("--help",),
        ("run", "--help"),
        ("run", "pretrain", "--help"),
        ("ui", "-h"),
        *((name, "-h") for name in NEEDS_HOME),
    ],
)
def test_help_goes_to_stdout_and_writes_nothing(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    done = touchline(*arguments, at=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "usage: touchline" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_the_package_is_the_program_too(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "touchline", "--version"], cwd=tmp_path, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (0, touchline("--version", at=tmp_path).stdout)


def test_the_help_names_every_command(tmp_path: Path) -> None:
    text = touchline("--help", at=tmp_path).stdout
    assert all(f"\n  {name} " in text for name in (*NEEDS_HOME, "run", "tune", "ui", "doctor", "lineage", "recipes"))


@pytest.mark.parametrize(
    "command", ["runs", "status", "sync", "gc --dry-run", "show last", "tail --last", "export x"]
)
def test_without_a_home_there_is_a_sentence_and_still_no_home(tmp_path: Path, command: str) -> None:
    done = touchline(*command.split(), at=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith(f"touchline: The home {tmp_path / '.touchline'} is not there.")
    assert list(tmp_path.iterdir()) == []


def test_the_help_of_a_job_shows_its_options_with_the_recipes_defaults(tmp_path: Path) -> None:
    text = touchline("run", "pretrain", "--recipe", "smoke", "--help", at=tmp_path).stdout
    assert "--pretrain.total-steps INT" in text
    assert "--finetune" not in text


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("rnu",), "There is no command 'rnu'. Did you mean 'run'?"),
        (("run", "pretrian"), "There is no job 'pretrian'. Did you mean 'pretrain'?"),
        (("run", "pipeline", "--recipe", "labtop"), "There is no recipe 'labtop'. Did you mean 'laptop'?"),
        (("run", "pretrain", "--pretrain.total-stpes", "5"), "--pretrain.total-steps"),
        (("run", "pretrain", "--pretrain.seed", "many"), "--pretrain.seed"),
        (("run", "--recipe", "laptop"), "The job comes before its options"),
        (("run", "pretrain", "--config", "absent.toml"), "There is no configuration file absent.toml"),
        (("run", "pipeline", "--resume", "last"), "--resume last does not go with the pipeline"),
        (("run", "pretrain", "--resume", "last", "--fresh"), "--resume last does not go with --fresh"),
        (("run", "pretrain", "--resume", "last"), "is not there"),
        (("ui", "--prot", "5000"), "--port"),
    ],
)
def test_wrong_usage_exits_with_2_and_names_the_nearest(
    tmp_path: Path, arguments: tuple[str, ...], said: str
) -> None:
    done = touchline(*arguments, at=tmp_path)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / ".touchline").exists()


def test_a_config_file_with_a_typo_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text("[pretrain]\ntotal_stpes = 5\n")
    done = touchline("run", "pretrain", "--config", "mine.toml", at=tmp_path)
    assert done.returncode == 2
    assert "mine.toml [pretrain] key 'total_stpes'. Did you mean 'total_steps'" in done.stderr


def test_a_config_file_lies_over_the_recipe_and_under_the_options(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text("[pretrain]\ntotal_steps = 5555\nnum_envs = 7777\n")
    text = touchline(
        "run", "pretrain", "--config=mine.toml", "--pretrain.num-envs", "12", "--help", at=tmp_path
    ).stdout
    assert "(default: 5555)" in text


def test_a_home_that_cannot_be_written_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = touchline("run", "pipeline", "--home", str(tmp_path / "file" / "home"), at=tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("touchline: The home ")
    assert "TOUCHLINE_HOME" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "command", [("run", "pipeline"), ("ui",), ("doctor",), ("lineage", "ddpg_finetuned@Champion")]
)
def test_a_damaged_store_is_a_sentence_for_every_command(tmp_path: Path, command: tuple[str, ...]) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "mlflow.db").write_bytes(b"scrambled" * 1000)
    done = touchline(*command, at=tmp_path, TOUCHLINE_HOME=str(home))
    assert done.returncode == 1
    assert "mlflow.db is damaged" in done.stderr
    assert "Traceback" not in done.stderr
    assert [path.name for path in home.iterdir()] == ["mlflow.db"]


def test_lineage_of_a_model_that_is_not_there_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / ".touchline").mkdir()
    done = touchline("lineage", "ddpg_finetuned@Champion", at=tmp_path)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert f"No model is registered in {tmp_path / '.touchline'}" in done.stderr


@pytest.mark.parametrize(
    "package, extra, command",
    [
        ("torch", "learning", "evaluate walker"),
        ("mujoco", "soccer", "film walker"),
        ("mlflow", "mlflow", "lineage ddpg_finetuned@Champion"),
        ("jax", "learning", "run pretrain --recipe smoke"),
        ("markupsafe", "report", "report --last"),
    ],
)
def test_a_package_that_is_not_installed_is_told_with_its_extra(
    tmp_path: Path, package: str, extra: str, command: str
) -> None:
    without = (
        f"import sys; sys.modules[{package!r}] = None; from touchline.cli import main; sys.exit(main(sys.argv[1:]))"
    )
    (tmp_path / ".touchline").mkdir()
    (tmp_path / ".touchline" / "mlflow.db").touch()
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("TOUCHLINE_", "MLFLOW_"))}
    done = subprocess.run(
        [sys.executable, "-c", without, *command.split()],
        cwd=tmp_path,
        env=kept | {"TOUCHLINE_SINKS": "tensorboard"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 1
    assert f"pip install 'touchline[{extra}]'" in done.stderr
    assert "Traceback" not in done.stderr


def test_sync_of_an_unknown_run_is_refused(tmp_path: Path) -> None:
    (tmp_path / ".touchline").mkdir()
    done = touchline("sync", "no-such-run", at=tmp_path)
    assert done.returncode == 2
    assert "no-such-run" in done.stderr


def test_recipes_are_listed_with_what_they_are_for(tmp_path: Path) -> None:
    lines = touchline("recipes", at=tmp_path).stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["laptop", "stand", "walker", "workstation", "l4", "h100", "smoke"]
    assert all(len(line.split()) > 3 for line in lines)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--pretrain.sac.horizon-seconds", "0.01"], "horizon_seconds is 0.01"),
        (["--world", str(HOPPER), "--pretrain.demonstrations.transitions", "100"], "has no teacher"),
        (["--world", str(HOPPER), "--pretrain.controller", "walk"], "options of the soccer world"),
        (["--pretrain.devices", "64"], "64 devices were asked for, and jax has"),
    ],
)
def test_what_does_not_fit_the_world_or_the_machine_is_refused_before_there_is_a_run(
    options: list[str], told: str, tmp_path: Path
) -> None:
    done = touchline("run", "pretrain", "--recipe", "smoke", *options, at=tmp_path)
    assert done.returncode == 2, done.stderr
    assert told in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / ".touchline").exists()
