"""The card of a version: what a person should know before using it, as Markdown that MLflow's pages show."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

from touchline.catalog.about import About
from touchline.catalog.version import INPUTS_TAG, JOB_TAG, OUTPUTS_TAG

LONGEST = 4_900
"""Characters; MLflow's own stores keep 5,000 of a version's description."""
LONGEST_CELL = 80
MOST_ROWS = 14
NOTABLE = (
    "numpy", "mujoco", "mujoco-mjx", "gymnasium", "sai-mujoco", "jax", "jaxlib", "flax", "optax", "torch", "mlflow",
)  # fmt: skip
"""Packages that decide what a training does; the whole list is an artifact of the Run."""


def card(about: About, changes: Mapping[str, str]) -> str:
    """Return the card; ``changes`` is what the configuration has otherwise than its job's defaults.

    Aliases are not in it: they move, and MLflow shows them beside it.
    """
    sections = (_head, _use, _verdict, _figures, lambda about: _configuration(about, changes), _origin, _environment)
    text = "\n".join(line for section in sections for line in (*section(about), ""))
    return text.rstrip() + "\n" if len(text) <= LONGEST else f"{text[: LONGEST - 2].rpartition(chr(10))[0]}\n…\n"


def _head(about: About) -> Iterator[str]:
    version = about.version
    run = f", made by the {version.tag(JOB_TAG) or 'training'} Run `{version.run_id}`"
    step = "" if about.step is None else f", after {about.step:,} policy transitions"
    yield f"**{_plain(str(version))}**{run if version.run_id else ''}{step}."
    yield ""
    yield f"sha256 of its files: `{version.digest}`" if version.digest else "It carries no digest."


def _use(about: About) -> Iterator[str]:
    takes, gives = (_shape(about.version.tag(tag)) for tag in (INPUTS_TAG, OUTPUTS_TAG))
    yield "```python"
    if takes:
        yield "import numpy as np"
    yield "import touchline"
    yield ""
    yield f'model = touchline.load_model("{about.version.name}/{about.version.version}")'
    if takes:
        result = f"  # shape {gives}" if gives else ""
        yield f"actions = model.predict(np.zeros({takes}, np.float32)){result}"
    else:
        yield "actions = model.predict(observations)"
    yield "```"


def _shape(text: str) -> str:
    """A shape for one row, as Python; empty when it is not known."""
    return str(tuple(1 if size < 0 else size for size in json.loads(text))) if text else ""


def _verdict(about: About) -> Iterator[str]:
    version = about.version
    if reason := version.tag("gate3.reason"):
        word = "provisional verdict" if version.tag("gate3.provisional") == "true" else "verdict"
        yield f"**Gate 3, {word}.** {_plain(reason, 600)}"
    if (film := about.film) is not None:
        link = f"[{film.path}]({film.address})" if film.address else f"`{film.path}`"
        other = "" if about.step in (None, film.step) else ", of another step of the same training"
        yield f"**Film:** {link}, an artifact of its Run{other}."


def _figures(about: About) -> Iterator[str]:
    rows = {name: f"{value:.4g}" for name, value in about.metrics.items()}
    where = "as last logged" if about.step is None else f"at step {about.step:,}"
    yield from _table(f"**Figures** {where}", ("metric", "value"), rows)


def _configuration(about: About, changes: Mapping[str, str]) -> Iterator[str]:
    recipe = f" (recipe {_plain(told)})" if (told := about.tags.get("touchline.recipe")) else ""
    yield from _table(f"**Configuration** other than the defaults{recipe}", ("option", "value"), changes)


def _origin(about: About) -> Iterator[str]:
    if about.parents:
        yield "**Made from**, nearest first:"
        yield from (f"- {_plain(parent)}" for parent in about.parents[:MOST_ROWS])
        if len(about.parents) > MOST_ROWS:
            yield f"- and {len(about.parents) - MOST_ROWS} more: touchline lineage {about.version.uri[8:]}"


def _environment(about: About) -> Iterator[str]:
    packages = [f"{name} {about.packages[name]}" for name in NOTABLE if name in about.packages]
    python = [f"Python {about.tags['system.python']}"] if "system.python" in about.tags else []
    system = [about.tags["system.os"]] if "system.os" in about.tags else []
    if told := [*([about.code] if about.code else []), *python, *packages, *system]:
        yield f"**Environment:** {_plain(', '.join(told), 600)}."


def _table(title: str, columns: tuple[str, str], rows: Mapping[str, str]) -> Iterator[str]:
    if not rows:
        return
    yield from (title, "", f"| {columns[0]} | {columns[1]} |", "|---|---|")
    for key, text in list(rows.items())[:MOST_ROWS]:
        yield f"| {_plain(key)} | {_plain(text)} |"
    if len(rows) > MOST_ROWS:
        yield f"| and {len(rows) - MOST_ROWS} more in its Run | |"


def _plain(text: str, longest: int = LONGEST_CELL) -> str:
    """Text that no Markdown changes, in one line."""
    short = text if len(text) <= longest else f"{text[: longest - 1]}…"
    return "".join(f"\\{char}" if char in "\\`*_|<>[]#" else char for char in " ".join(short.split()))
