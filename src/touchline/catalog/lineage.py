"""Where a model comes from: versions and runs, back to the first, read from the runs' own tags."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from touchline.catalog.store import is_absent, telling
from touchline.catalog.version import JOB_TAG, RUN_TAG, ModelVersion

if TYPE_CHECKING:
    from touchline.catalog.models import Catalog

INPUT_TAG = "touchline.input."
"""Run tags with this prefix name the models that the run read, as ``run.log_input`` writes them."""


@dataclass(frozen=True)
class Node:
    """One version or run, and what it was made from."""

    kind: str
    """``version``, ``run`` or ``missing``."""
    title: str
    detail: str = ""
    parents: tuple[Node, ...] = ()

    def walk(self) -> Iterator[Node]:
        """Yield this node and all it comes from, nearest first."""
        yield self
        for parent in self.parents:
            yield from parent.walk()


def lineage(catalog: Catalog, reference: str) -> Node:
    """Return the tree behind ``NAME@ALIAS`` or ``NAME/VERSION``; raises UsageError when there is no such version.

    A run or a version that was deleted since appears as ``missing``.
    """
    return _from_version(catalog, catalog.find(reference), frozenset())


def render(node: Node) -> str:
    """Draw the tree as text, one node a line, what it was made from below it."""
    return "\n".join(_lines(node, "", ""))


def _lines(node: Node, first: str, rest: str) -> Iterator[str]:
    yield f"{first}{node.title}" + (f"  {node.detail}" if node.detail else "")
    for i, parent in enumerate(node.parents):
        last = i == len(node.parents) - 1
        yield from _lines(parent, rest + ("└─ " if last else "├─ "), rest + ("   " if last else "│  "))


def _from_version(catalog: Catalog, version: ModelVersion, seen: frozenset[str]) -> Node:
    aliases = "".join(f" @{alias}" for alias in version.aliases)
    digest = f"sha256 {version.digest[:12]}" if version.digest else "no digest"
    parents = (_from_run(catalog, version.mlflow_run_id, seen),) if version.mlflow_run_id else ()
    return Node("version", f"{version}{aliases}", digest, parents)


def _from_run(catalog: Catalog, mlflow_run_id: str, seen: frozenset[str]) -> Node:
    from mlflow.exceptions import MlflowException

    if mlflow_run_id in seen:
        return Node("missing", f"run {mlflow_run_id}", "already above: its tags name each other in a circle")
    with telling(catalog.settings, f"read run {mlflow_run_id}"):
        try:
            run = catalog.client.get_run(mlflow_run_id)
        except MlflowException as error:
            if is_absent(error):
                return Node("missing", f"run {mlflow_run_id}", "deleted")
            raise
    tags = run.data.tags
    seen = seen | {mlflow_run_id}
    parents = [
        _from_input(catalog, key.removeprefix(INPUT_TAG), value, seen)
        for key, value in sorted(tags.items())
        if key.startswith(INPUT_TAG)
    ]
    title = f"{tags.get(JOB_TAG, 'run')} {tags.get(RUN_TAG, mlflow_run_id)}"
    return Node("run", title, _started(run), tuple(parents))


def _from_input(catalog: Catalog, context: str, uri: str, seen: frozenset[str]) -> Node:
    from mlflow.exceptions import MlflowException

    from touchline.errors import UsageError

    reference = uri.removeprefix("models:/")
    try:
        if "/" not in reference and "@" not in reference:
            with telling(catalog.settings, f"read {uri}"):
                try:
                    logged = catalog.client.get_logged_model(reference)
                except MlflowException as error:
                    if is_absent(error):
                        return Node("missing", uri, f"{context}: deleted")
                    raise
            return _from_run(catalog, logged.source_run_id, seen)
        return _from_version(catalog, catalog.find(reference), seen)
    except UsageError:
        return Node("missing", uri, f"{context}: deleted")


def _started(run: Any) -> str:
    from datetime import UTC, datetime

    moment = datetime.fromtimestamp(run.info.start_time / 1000, UTC)
    return f"{moment:%Y-%m-%d %H:%M} UTC, {run.data.tags.get('touchline.status', run.info.status.lower())}"
