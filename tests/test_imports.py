"""Imports point one way, siblings do not know each other, and heavy packages are loaded by whom they serve."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "src" / "touchline"
LAYERS = (
    {
        "errors",
        "overlay",
        "config",
        "cadence",
        "cards",
        "filesystem",
        "jax_guard",
        "leash",
        "masking",
        "quantities",
        "redaction",
        "__init__",
    },
    {"checkpoint", "gates", "watch", "tracking"},
    {"learning", "simulation", "soccer", "tuning", "catalog", "migration"},
    {"jobs", "testing", "integrations", "compat", "report"},
    {"recipes", "deploy", "ui", "commands", "cli"},
    {"__main__"},
)
LAYER_OF = {name: level for level, names in enumerate(LAYERS) for name in names}
ONE_WAY_WITHIN_A_LAYER = {
    ("config", "errors"),
    ("config", "filesystem"),
    ("config", "overlay"),
    ("filesystem", "errors"),
    ("overlay", "errors"),
    ("overlay", "masking"),
    ("redaction", "config"),
    ("redaction", "masking"),
    ("jax_guard", "config"),
    ("jax_guard", "errors"),
    ("soccer", "simulation"),
    ("cli", "commands"),
    ("commands", "recipes"),
    ("commands", "deploy"),
    ("deploy", "recipes"),
    ("cli", "recipes"),
    ("commands", "ui"),
}
HEAVY = {
    "jax",
    "torch",
    "wandb",
    "mlflow",
    "mujoco",
    "gymnasium",
    "scipy",
    "tensorboard",
    "pandas",
    "flax",
    "matplotlib",
    "optuna",
    "sqlalchemy",
    "plotly",
    "jinja2",
}


def part_of(module: str) -> str:
    """The name below ``touchline`` of a dotted module name: a package or a top-level module."""
    return (module.split(".") + ["__init__"])[1]


def imports(file: Path) -> Iterator[tuple[str, int]]:
    """Every touchline module that a file imports, lazily or not, with the line; type-checking imports too."""
    own = ("touchline", *file.relative_to(PACKAGE).with_suffix("").parts)
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names if alias.name.split(".")[0] == "touchline")
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(own[: -node.level]) if node.level else ""
            module = ".".join(filter(None, (base, node.module)))
            if module == "touchline":
                yield from ((f"touchline.{alias.name}", node.lineno) for alias in node.names)
            elif module.startswith("touchline."):
                yield module, node.lineno


FILES = sorted(PACKAGE.rglob("*.py"))


def test_every_part_has_a_layer() -> None:
    parts = {part_of("touchline." + ".".join(file.relative_to(PACKAGE).with_suffix("").parts)) for file in FILES}
    assert parts - set(LAYER_OF) == set()


@pytest.mark.parametrize("file", [pytest.param(file, id=str(file.relative_to(PACKAGE))) for file in FILES])
def test_imports_point_down(file: Path) -> None:
    mine = part_of("touchline." + ".".join(file.relative_to(PACKAGE).with_suffix("").parts))
    if mine == "__init__":
        return  # its public names are loaded on first use
    wrong = []
    for module, line in imports(file):
        theirs = part_of(module)
        theirs = theirs if theirs in LAYER_OF else "__init__"
        is_down = LAYER_OF[theirs] < LAYER_OF[mine]
        if not (is_down or theirs == mine or theirs == "__init__" or (mine, theirs) in ONE_WAY_WITHIN_A_LAYER):
            wrong.append(f"line {line}: {mine} imports {module}")
    assert wrong == []


@pytest.mark.parametrize(
    "code",
    [
        "import touchline",
        "from touchline.cli import main; main(['--help'])",
        "from touchline.cli import main; main(['run', '--help'])",
        "from touchline.cli import main; main(['run', 'pretrain', '--help'])",
        "from touchline.cli import main; main(['recipes'])",
        "from touchline.cli import main; main(['show', '--help'])",
        "from touchline.cli import main; main(['sync', '--help'])",
        "from touchline.cli import main; main(['film', '--help'])",
        "from touchline.cli import main; main(['import', '--help'])",
        "from touchline.cli import main; main(['status', '--home', '/'])",
        "import touchline; touchline.start_run, touchline.Cadence",
        "from touchline.cli import main; main(['tune', '--help'])",
        "from touchline.cli import main; main(['report', '--help'])",
        "import touchline.tuning, touchline.tuning.space, touchline.tuning.recipe",
        "import touchline.compat.wandb, touchline.compat.mlflow, touchline.compat.tensorboard",
        "import touchline.integrations.training",
    ],
)
def test_heavy_packages_stay_home(code: str) -> None:
    script = (
        "import contextlib, io, json, sys\n"
        "with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):\n"
        f"    {code}\n"
        "print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert set(json.loads(done.stdout)) & HEAVY == set()
