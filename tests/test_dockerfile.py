"""The image is made of the lock and of files that are there, and nothing in it runs as root."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[1]
TEXT = re.sub(r"\\\n\s*", "", (ROOT / "Dockerfile").read_text())
LINES = [line for line in TEXT.splitlines() if line and not line.startswith("#")]


def test_what_is_copied_is_there_and_not_ignored() -> None:
    copied = {word for line in LINES if re.match(r"COPY (?!--from)", line) for word in line.split()[1:-1]}
    assert copied == {"constraints.txt", "LICENSE", "pyproject.toml", "README.md", "src"}
    assert all((ROOT / name).exists() for name in copied)
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert ignored[0] == "*"
    assert {line.removeprefix("!") for line in ignored if line.startswith("!")} == copied


def test_every_package_comes_from_the_lock() -> None:
    installs = [line for line in LINES if "pip install" in line]
    assert all("-c constraints.txt" in line or "--no-deps" in line for line in installs)
    assert "'.[all]'" in installs[0]


def test_the_build_argument_chooses_the_part_of_jax() -> None:
    word = re.search(r'"(jax\$\{JAX[^"]*)"', TEXT)
    assert word is not None
    made = {
        name: subprocess.run(["sh", "-c", f'echo "{word[1]}"'], env={"JAX": name}, capture_output=True, text=True)
        for name in ("", "cuda12")
    }
    assert {name: done.stdout.strip() for name, done in made.items()} == {"": "jax", "cuda12": "jax[cuda12]"}


def test_the_last_stage_runs_as_a_user_behind_a_first_process_that_reaps() -> None:
    last = LINES[max(i for i, line in enumerate(LINES) if line.startswith("FROM")) :]
    assert "USER touchline" in last
    assert 'ENTRYPOINT ["tini", "--", "touchline"]' in last
