"""Which official scores are on record of versions: from gates and evaluations, else from the Run that registered."""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from touchline import gates
from touchline.catalog import Catalog, ModelVersion
from touchline.catalog.about import About
from touchline.catalog.lineage import INPUT_TAG
from touchline.catalog.store import telling
from touchline.catalog.version import JOB_TAG, RUN_TAG
from touchline.gates import Interval

BOUND = 0.975
"""Confidence of each bound: the two of an interval hold 95 %."""
NEWEST = 20
"""Runs of each kind that are looked at."""
EVALUATED_TAG = "evaluate.digest"
Episodes = Mapping[str, Sequence[float]]
"""Task → the score of each episode; the same index is the same scenario for whoever played in the same Run."""


@dataclass(frozen=True)
class Played:
    """One Run in which versions played."""

    run_id: str
    what: str
    """``gate 3`` or ``evaluation``, and whether it is provisional."""
    episodes: Mapping[str, Episodes]
    """By digest of the version."""

    @property
    def sentence(self) -> str:
        """Where the scores come from."""
        counts = sorted({len(scores) for each in self.episodes.values() for scores in each.values()})
        return f"{self.what}, {' or '.join(map(str, counts))} scenarios a task, Run {self.run_id}"


@dataclass(frozen=True)
class Scores:
    """The competition's scores of one version, with 95 % intervals."""

    source: str
    mean: Interval
    """Mean over tasks."""
    tasks: Mapping[str, Interval]


def recorded(catalog: Catalog, versions: Sequence[About]) -> tuple[list[Scores | None], list[Played]]:
    """Return the scores of each version, None where it never played, and the Runs that they are from.

    A Run in which more of the versions played comes first, since only there they met the same scenarios; then one
    with more scenarios, then the newer one.
    """
    played = list(_played(catalog, versions))
    used: list[Played] = []
    found: list[Scores | None] = []
    for one in versions:
        digest = one.version.digest or ""
        best = max((each for each in played if digest in each.episodes), key=_worth, default=None)
        if best is None:
            found.append(_of_own_run(one))
            continue
        used += [best] if best not in used else []
        found.append(_scores(best.sentence, best.episodes[digest]))
    return found, used


def difference(run: Played, ours: str, theirs: str) -> Interval | None:
    """Mean over tasks of the paired difference between two digests that played in one Run; None if they did not."""
    if ours == theirs or not {ours, theirs} <= set(run.episodes):
        return None
    return gates.paired_bootstrap(gates.differences(run.episodes[ours], run.episodes[theirs]), BOUND)


def _worth(run: Played) -> tuple[int, int, str]:
    episodes = sum(len(scores) for scores in next(iter(run.episodes.values())).values())
    return len(run.episodes), episodes, run.run_id


def _scores(source: str, episodes: Episodes) -> Scores:
    tasks = {task: gates.paired_bootstrap(scores, BOUND) for task, scores in episodes.items()}
    return Scores(source, gates.paired_bootstrap(episodes, BOUND), tasks)


def _of_own_run(one: About) -> Scores | None:
    """What the selection of the Run that registered a version says, which is without interval."""
    score = one.metrics.get("eval/score", one.version.tag("eval.score"))
    if score == "":
        return None
    alone = Interval(float(score), -math.inf, math.inf, BOUND, 1, "none")
    return Scores("the selection of its own Run, without interval", alone, {})


def _played(catalog: Catalog, versions: Sequence[About]) -> Iterator[Played]:
    digests = {str(one.version): one.version.digest for one in versions if one.version.digest}
    seen = set()
    for one in versions:
        for context in ("Candidate-Finetuned", "Champion"):
            where = f"tags.`{JOB_TAG}` = 'gate3' and tags.`{INPUT_TAG}{context}` = '{one.version.uri}'"
            for run in _runs(catalog, one.version, where):
                if run.info.run_id not in seen and (told := _artifact(catalog, run, "evidence.json")):
                    seen.add(run.info.run_id)
                    yield from _of_gate(_name(run), told, digests)
        for run in _runs(catalog, one.version, f"tags.`{EVALUATED_TAG}` = '{one.version.digest}'"):
            if run.info.run_id not in seen and (told := _artifact(catalog, run, "evaluation.json")):
                seen.add(run.info.run_id)
                yield from _of_evaluation(_name(run), told, digests)


def _runs(catalog: Catalog, version: ModelVersion, where: str) -> list[Any]:
    if not version.mlflow_run_id or not version.digest:
        return []
    with telling(catalog.settings, f"look for Runs that played {version}"):
        experiment = catalog.client.get_run(version.mlflow_run_id).info.experiment_id
        newest = ["attributes.start_time DESC"]
        return list(catalog.client.search_runs([experiment], where, order_by=newest, max_results=NEWEST))


def _name(run: Any) -> str:
    return str(run.data.tags.get(RUN_TAG, run.info.run_id))


def _artifact(catalog: Catalog, run: Any, name: str) -> dict[str, Any]:
    """A JSON artifact of a Run; empty when there is none."""
    from mlflow.exceptions import MlflowException

    with tempfile.TemporaryDirectory(prefix="touchline-") as place:
        try:
            text = Path(catalog.client.download_artifacts(run.info.run_id, name, place)).read_text("utf-8")
            return dict(json.loads(text))
        except (MlflowException, OSError, ValueError):
            return {}


def _of_gate(run_id: str, evidence: Mapping[str, Any], digests: Mapping[str, str]) -> Iterator[Played]:
    """``digests``: those of the compared versions, by what a gate calls them."""
    players = {one["name"].removeprefix("the champion, "): one for one in _players(evidence)}
    episodes = {digest: players[name]["scores"] for name, digest in digests.items() if name in players}
    if episodes:
        provisional = " (provisional)" if evidence["verdict"]["provisional"] else ""
        yield Played(run_id, f"gate 3{provisional}", episodes)


def _players(evidence: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The policies that a gate judged, of either format of its evidence."""
    if "given" in evidence:
        given = evidence["given"]
        return [one for one in (given["candidate"], given["champion"], given["baseline"], *given["others"]) if one]
    return list(evidence["evaluations"])


def _of_evaluation(run_id: str, document: Mapping[str, Any], digests: Mapping[str, str]) -> Iterator[Played]:
    wanted = set(digests.values())
    names = {one["name"]: one["digest"] for one in document["players"] if one["digest"] in wanted}
    for kind, series in document["series"].items():
        episodes: dict[str, dict[str, list[float]]] = {}
        for name, digest in names.items():
            for row in series["players"][name]["episodes"]:
                episodes.setdefault(digest, {}).setdefault(row["task"], []).append(row["score"])
        if episodes and kind != "nominal":
            yield Played(run_id, "evaluation", episodes)
