"""What the browser draws: which curves make one chart, and the numbers of each."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from markupsafe import Markup

from touchline.report import pictures
from touchline.report.curves import Curve, together
from touchline.report.facts import Facts, Mark
from touchline.report.siblings import band
from touchline.tracking.curves import is_of_machine
from touchline.tracking.events import OBJECTIVE
from touchline.tracking.narrate import number

MOST_HEADLINES = 6
LONGEST_MARK = 160
"""Characters of what is told beside the pointer; the list of alerts has all of it."""
_TELLING = re.compile(r"(?:^|[/_])(?:return|reward|score|success)(?:s|_mean|_rate|_share)?$", re.IGNORECASE)
_MACHINE_HEADLINES = (
    r"gpu/(\d+/)?utilization_percent", r"gpu/(\d+/)?memory_percent", r"cost/usd", r"cost/energy_wh",
    r"gpu/(\d+/)?power_watts", r"host/cpu_percent", r"host/memory_percent", r"speed/.*transitions_per_second",
)  # fmt: skip
_ALONE = "other metrics"
_BETTER = {"maximize": ", higher is better", "minimize": ", lower is better"}


@dataclass(frozen=True)
class Chart:
    """One chart."""

    id: str
    """In the page, unique."""
    title: str
    summary: str
    """What it shows, in words."""
    data: Mapping[str, Any]
    """For the page's script, as JSON."""
    metrics: tuple[str, ...]
    """Whose lines are in front, in their order."""

    @property
    def sketch(self) -> Markup:
        """Its lines alone, for the eyes of whoever waits for the script."""
        return pictures.sketch(self.data)


@dataclass(frozen=True)
class Charts:
    """The charts of one part of the page: some to be seen at once, the others by section, folded."""

    shown: tuple[Chart, ...] = ()
    folded: Mapping[str, tuple[Chart, ...]] = field(default_factory=dict)
    single: tuple[tuple[str, str, int], ...] = ()
    """Name, value and step of each metric that was logged once: nothing to draw."""

    def __bool__(self) -> bool:
        return bool(self.shown or self.folded or self.single)

    def __iter__(self) -> Iterator[Chart]:
        yield from self.shown
        for charts in self.folded.values():
            yield from charts


def headlines(curves: Mapping[str, Curve], goals: Iterable[str]) -> list[str]:
    """The metrics to be seen at once: those with a goal, the objective, then returns, rewards and scores."""
    names = [name for name, curve in curves.items() if curve.points > 1 and not is_of_machine(name)]
    first = [name for name in goals if name in names] + [name for name in names if name == OBJECTIVE]
    telling = sorted((name for name in names if _TELLING.search(name)), key=lambda name: name.count("/"))
    return list(dict.fromkeys([*first, *telling]))[:MOST_HEADLINES] or names[:2]


def learning(
    prefix: str,
    curves: Mapping[str, Mapping[str, Curve]],
    facts: Facts,
    marks: Sequence[Mark] = (),
) -> Charts:
    """The charts of the run ``facts``, or of a group whose newest run it is.

    ``curves`` has the curves by run id; those of the other runs are drawn behind, with the band of all.
    """
    mine = curves.get(facts.id, {})
    others = {run: theirs for run, theirs in curves.items() if run != facts.id}
    began = facts.status.started
    shown_names = headlines(mine, facts.goals)

    def chart(place: int, name: str) -> Chart:
        same = {run: theirs[name] for run, theirs in others.items() if name in theirs}
        lines = [line_of(facts.id, mine[name], began)]
        lines += [line_of(run, curve, float(curve.times[0])) | {"behind": True} for run, curve in same.items()]
        all_of_them = band([mine[name], *same.values()]) if same else None
        data: dict[str, Any] = {"lines": lines, "marks": marks_of(marks, began)}
        if all_of_them is not None:
            data["band"] = {
                "x": _figures(all_of_them.steps),
                "low": _figures(all_of_them.low),
                "high": _figures(all_of_them.high),
                "y": _figures(all_of_them.mean),
                "runs": all_of_them.runs,
            }
        beside = f" Behind it {len(same)} other run{'s' * (len(same) > 1)} and the band of all." if same else ""
        better = _BETTER.get(facts.goals.get(name, ""), "")
        return Chart(f"{prefix}-{place}", f"{name}{better}", describe(mine[name]) + beside, data, (name,))

    names = [name for name in mine if not is_of_machine(name)]
    charts = {name: chart(place, name) for place, name in enumerate(names) if mine[name].points > 1}
    once = [mine[name] for name in names if mine[name].points == 1]
    return _sorted(charts, shown_names, [(curve.name, figure(curve.last), curve.last_step) for curve in once])


def machine(runs: Sequence[Facts], curves: Mapping[str, Mapping[str, Curve]]) -> Charts:
    """GPU, cost and pace of all runs on one axis of time, with their alerts; one chart for all GPUs of a figure."""
    began = min((facts.status.started for facts in runs), default=0.0)
    marks = marks_of([mark for facts in runs for mark in facts.alerts], began)
    families: dict[str, dict[str, list[Curve]]] = {}
    for facts in runs:
        for name, curve in curves.get(facts.id, {}).items():
            if is_of_machine(name):
                family = re.sub(r"^gpu/\d+/", "gpu/", name)
                families.setdefault(family, {}).setdefault(name, []).append(curve)
    charts = {}
    for place, (family, members) in enumerate(families.items()):
        lines = [_joined(name, parts, began) for name, parts in members.items()]
        said = {name: describe(together(parts)) for name, parts in members.items()}
        told = [f"{name}: {text}" if len(members) > 1 else text for name, text in said.items()]
        data = {"lines": lines, "marks": marks, "axis": "time"}
        charts[family] = Chart(f"machine-{place}", family, " ".join(told), data, tuple(members))
    shown = [name for pattern in _MACHINE_HEADLINES for name in charts if re.fullmatch(pattern, name)]
    return _sorted(charts, shown[:MOST_HEADLINES])


def describe(curve: Curve) -> str:
    """A curve in a sentence: the text in place of its picture."""
    points = f"{curve.points:,} point{'s' * (curve.points != 1)}"
    if np.isnan(curve.lowest):
        return f"{points}, none of them finite."
    found = f"{points}, last {figure(curve.last)} at step {curve.last_step:,}, lowest {figure(curve.lowest)}"
    found += f", highest {figure(curve.highest)}"
    return f"{found}; {curve.not_finite:,} not finite." if curve.not_finite else f"{found}."


def figure(value: float) -> str:
    """A number in few characters, with a minus sign that is one."""
    return number(value).replace("-", "−")


def _sorted(charts: Mapping[str, Chart], shown: Sequence[str], single: Sequence[tuple[str, str, int]] = ()) -> Charts:
    folded: dict[str, list[Chart]] = {}
    for name, chart in charts.items():
        if name not in shown:
            folded.setdefault(name.partition("/")[0] if "/" in name else _ALONE, []).append(chart)
    return Charts(
        tuple(charts[name] for name in shown),
        {name: tuple(each) for name, each in sorted(folded.items())},
        tuple(single),
    )


def line_of(run: str, curve: Curve, began: float) -> dict[str, Any]:
    """A curve for the page's script; its times count from ``began``, in seconds since the epoch."""
    line: dict[str, Any] = {
        "name": run,
        "x": _figures(curve.steps),
        "t": _figures(curve.times - began),
        "y": _figures(curve.mean),
    }
    if curve.thinned:
        line |= {"low": _figures(curve.low), "high": _figures(curve.high)}
    if curve.gaps.size:
        line["gaps"] = {"x": [_figures(gap) for gap in curve.gaps[:, :2]]}
        line["gaps"]["t"] = [_figures(gap) for gap in curve.gaps[:, 2:] - began]
    return line


def _joined(name: str, parts: Sequence[Curve], began: float) -> dict[str, Any]:
    """The same metric of several runs as one line, with a gap between two runs."""
    line: dict[str, Any] = {"name": name, "x": [], "t": [], "y": [], "low": [], "high": []}
    for curve in parts:
        if line["x"]:
            line["t"].append(line["t"][-1])
            for key in ("x", "y", "low", "high"):
                line[key].append(None)
        part = line_of(name, curve, began)
        for key, instead in (("x", "x"), ("t", "t"), ("y", "y"), ("low", "y"), ("high", "y")):
            line[key] += part.get(key, part[instead])
        if "gaps" in part:
            gaps = line.setdefault("gaps", {"x": [], "t": []})
            for key in gaps:
                gaps[key] += part["gaps"][key]
    if not any(curve.thinned for curve in parts):
        del line["low"], line["high"]
    return line


def marks_of(marks: Iterable[Mark], began: float) -> list[dict[str, Any]]:
    """Alerts for the page's script, as ``line_of``."""
    return [
        {
            "x": mark.step,
            "t": round(mark.time - began, 1),
            "level": mark.level,
            "text": f"{mark.title} {mark.text}"[:LONGEST_MARK],
        }
        for mark in marks
    ]


def _figures(values: Any) -> list[float | int | None]:
    """Numbers with six digits, whole ones without a point, None for what is not finite."""
    found: list[float | int | None] = []
    for value in np.asarray(values, dtype=np.float64).tolist():
        if value != value or value in (float("inf"), float("-inf")):
            found.append(None)
        elif value == int(value) and abs(value) < 1e15:
            found.append(int(value))
        else:
            found.append(float(f"{value:.6g}"))
    return found
