"""The matrix of supported versions: ``nox -l`` lists it, CONTRIBUTING.md says what of it was tried and where."""

from __future__ import annotations

import nox
from packaging.requirements import Requirement

nox.needs_version = ">=2025.2"
nox.options.default_venv_backend = "venv"
nox.options.error_on_missing_interpreters = True
nox.options.sessions = ("lint", "core")

PROJECT = nox.project.load_toml("pyproject.toml")
PYTHONS = nox.project.python_versions(PROJECT)
PINNED = ("-c", "constraints.txt")
CORE = ""
TRACKS = "mlflow,wandb,tensorboard"
CORE_TESTS = (
    *(f"tests/test_{part}.py" for part in ("cadence", "config", "errors", "masking")),
    *(f"tests/tracking/test_{part}.py" for part in ("journal", "steps", "ranks")),
    *(f"tests/checkpoint/test_{part}.py" for part in ("manifest", "store", "retention")),
    *(f"tests/watch/test_{part}.py" for part in ("alerts", "diagnosis")),
)
TRACK_TESTS = (
    *CORE_TESTS,
    *(f"tests/tracking/test_{part}.py" for part in ("courier", "mlflow_exact", "tensorboard", "wandb_offline")),
)
TESTS_OF = {CORE: CORE_TESTS, TRACKS: TRACK_TESTS}
TOOLS_OF = {CORE: ("pytest", "hypothesis"), TRACKS: ("pytest", "hypothesis", "imageio-ffmpeg", "pillow")}


@nox.session(python=PYTHONS)
def core(session: nox.Session) -> None:
    """The core alone, as pinned: it imports, shows its help, and passes the tests that need nothing else."""
    session.install(".", *TOOLS_OF[CORE], *PINNED)
    try_out(session, CORE)


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """Everything, as pinned: every test that takes less than 20 s (after --: other arguments for pytest)."""
    session.install(".[all,dev,integrations]", *PINNED)
    session.run("pytest", *session.posargs)


@nox.session(python=PYTHONS[0])
@nox.parametrize("extras", [nox.param(CORE, id="core"), nox.param(TRACKS, id="tracks")])
def lowest(session: nox.Session, extras: str) -> None:
    """The lowest series that pyproject.toml allows, on the oldest Python."""
    session.install(f".[{extras}]" if extras else ".", *lowest_series(extras), *TOOLS_OF[extras])
    try_out(session, extras)


@nox.session(python=PYTHONS[-1])
@nox.parametrize("extras", [nox.param(CORE, id="core"), nox.param(TRACKS, id="tracks")])
def newest(session: nox.Session, extras: str) -> None:
    """The newest versions that pyproject.toml allows, on the newest Python."""
    wanted = f".[{extras}]" if extras else "."
    session.install("--upgrade", "--upgrade-strategy", "eager", wanted, *TOOLS_OF[extras])
    try_out(session, extras)


@nox.session
def lint(session: nox.Session) -> None:
    """Ruff and mypy, as `make lint` runs them in .venv."""
    session.install(".[tuning,report]", "pytest", "ruff", "mypy", *PINNED)  # mypy reads the types of these packages
    checked = ("src", "tests", "benchmarks", "examples", "noxfile.py", "mkdocs_hooks.py", ".ci/release")
    session.run("ruff", "check", *checked)
    session.run("ruff", "format", "--check", *checked)
    session.run("mypy")


@nox.session
def audit(session: nox.Session) -> None:
    """Known vulnerabilities of the pinned dependencies, asked of PyPI (after --: --vulnerability-service osv)."""
    session.install("pip-audit")
    # Strict, because what cannot be looked up would pass otherwise.
    given = ("--strict", "--no-deps", "--disable-pip", "--requirement", "constraints.txt")
    session.run("pip-audit", *given, *session.posargs)


def try_out(session: nox.Session, extras: str) -> None:
    """Import what was installed, show its help, and run the tests that need no more than that."""
    session.run("python", "-c", "import touchline; print(touchline.__version__, touchline.__file__)")
    session.run("touchline", "--help", silent=True)
    session.run("pip", "freeze", "--all")
    session.run("pytest", *TESTS_OF[extras])


def lowest_series(extras: str) -> list[str]:
    """Each requirement at the lowest series it allows: ``numpy>=2.0,<3`` becomes ``numpy==2.0.*``."""
    project = PROJECT["project"]
    groups = [
        project["dependencies"],
        *(project["optional-dependencies"][name] for name in extras.split(",") if name),
    ]
    wanted = []
    for requirement in (Requirement(text) for group in groups for text in group):
        (low,) = (bound.version for bound in requirement.specifier if bound.operator in (">=", "=="))
        wanted.append(f"{requirement.name}=={low.removesuffix('.*')}.*")
    return wanted
