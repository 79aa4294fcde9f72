"""What the page says first: what happened, in a sentence or two, and the figures that matter most."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from touchline.quantities import duration
from touchline.report.charts import figure
from touchline.report.facts import Facts
from touchline.report.pictures import Stage, word
from touchline.report.subject import Subject
from touchline.tracking.events import OBJECTIVE
from touchline.watch.cost import ENERGY_WH, USD, USD_WASTED, total


@dataclass(frozen=True)
class Head:
    """The top of the page."""

    title: str
    state: str
    sentence: str
    """What happened."""
    verdict: str
    """Whether there is a new champion, and why; empty where nothing was judged."""
    reason: str
    """The gate's own words."""


def head(subject: Subject, runs: Sequence[Facts], stages: Sequence[Stage]) -> Head:
    """Say what happened."""
    newest = {facts.job: facts for facts in runs}
    state = _state([facts.status.state for facts in newest.values()], stages)
    seconds = sum(facts.status.seconds for facts in runs)
    took = duration(seconds) or "no time"
    if subject.kind == "run":
        run = runs[0]
        at = "" if run.status.last_step is None else f" at step {run.status.last_step:,}"
        verb = "has been running for" if state == "running" else f"{_ended(state)} after"
        name = "" if run.status.name in ("", run.id) else f" {run.status.name}"
        sentence = f"The run{name} of {run.job} {verb} {took}{at}."
        sentence += f" {run.status.reason.rstrip('.')}." if run.status.reason else ""
    elif stages:
        done = sum(stage.state == "finished" for stage in stages)
        sentence = f"{done} of {len(stages)} jobs finished, in {took} of work."
        if left := [stage for stage in stages if stage.state != "finished"]:
            sentence = f"{sentence[:-1]}; {', '.join(f'{one.job} is {word(one.state)}' for one in left)}."
    else:
        done = sum(facts.status.state == "finished" for facts in runs)
        sentence = f"{done} of {len(runs)} runs finished, in {took} of work."
    decision = next((facts.decision for facts in reversed(runs) if facts.decision), None)
    titles = {"run": "Run", "pipeline": "Pipeline", "group": "Group"}
    verdict, reason = _verdict(decision)
    return Head(f"{titles[subject.kind]} {subject.name}", state, sentence, verdict, reason)


def tiles(runs: Sequence[Facts], last: Mapping[str, Mapping[str, float]]) -> tuple[tuple[str, str, str], ...]:
    """Figures as (what, figure, remark); ``last`` has the newest value of each metric by run id."""
    found = [("duration", duration(sum(facts.status.seconds for facts in runs)) or "–", _pauses(runs))]
    cost = total(last.values())
    if USD in cost:
        idle = f"{cost[USD_WASTED]:.2f} USD of it while idle" if cost.get(USD_WASTED) else ""
        found.append(("cost", f"{cost[USD]:.2f} USD", idle))
    if ENERGY_WH in cost:
        found.append(("energy", f"{cost[ENERGY_WH]:,.0f} Wh", ""))
    for facts in reversed(runs):
        if best := _best(facts, last.get(facts.id, {})):
            found.append(best)
            break
    if len(runs) == 1 and (step := runs[0].status.last_step) is not None:
        found.append(("step", f"{step:,}", ""))
    alerts = sum(mark.level != "info" for facts in runs for mark in facts.alerts)
    found.append(("alerts", str(alerts) if alerts else "none", ""))
    return tuple(found)


def _best(facts: Facts, last: Mapping[str, float]) -> tuple[str, str, str] | None:
    for name in facts.goals:
        if (value := facts.summary.get(f"best/{name}")) is not None:
            step = facts.summary.get(f"best/{name}/step")
            return f"best {name}", figure(value), f"at step {step:,}" if isinstance(step, int) else ""
    if OBJECTIVE in last and math.isfinite(last[OBJECTIVE]):
        return OBJECTIVE, figure(last[OBJECTIVE]), f"of {facts.job}"
    return None


def _pauses(runs: Sequence[Facts]) -> str:
    resumed = sum(facts.status.attempts - 1 for facts in runs)
    return "" if not resumed else "gone on once" if resumed == 1 else f"gone on {resumed} times"


def _state(states: Sequence[str], stages: Sequence[Stage]) -> str:
    for one in ("running", "failed", "killed", "killed-cause-unknown", "preempted"):
        if one in states:
            return one
    if any(stage.state == "planned" for stage in stages):
        return "unfinished"
    return "finished" if all(state == "finished" for state in states) else states[-1]


def _ended(state: str) -> str:
    told = {"finished": "finished", "failed": "failed", "pruned": "was given up by its study"}
    return told.get(state, f"was {word(state)}")


def _verdict(decision: Mapping[str, Any] | None) -> tuple[str, str]:
    if decision is None:
        return "", ""
    name = f"{str(decision['model']).rpartition('.')[2]} version {decision['version']}"
    alias = str(decision["alias"]).lower()
    told = {
        "promoted": f"{name} is the new {alias}.",
        "refused": f"{name} did not become {alias}.",
        "rolled back": f"{name} is {alias} again.",
    }.get(str(decision["decision"]), f"{name}: {decision['decision']}.")
    previous = decision.get("previous")
    if previous is not None:
        stays = "stays" if decision["decision"] == "refused" else "was before"
        told += f" Version {previous} {stays} {alias}." if stays == "stays" else f" Version {previous} was it before."
    return told, str(decision.get("reason") or "")
