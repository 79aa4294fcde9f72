"""A study's plots, by ``optuna.visualization``, on one page that needs no network."""

from __future__ import annotations

import html
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import optuna
from optuna.trial import TrialState

from touchline.errors import TouchlineError
from touchline.tuning.failures import FAILURE
from touchline.tuning.study import Study

_HEAD = """<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>
<style>body{{font:15px/1.5 system-ui,sans-serif;max-width:1100px;margin:2em auto;padding:0 1em}}
table{{border-collapse:collapse;font-variant-numeric:tabular-nums}}td,th{{padding:.2em .8em;
border-bottom:1px solid #ddd;text-align:right}}
td:first-child,th:first-child{{text-align:left}}</style><h1>{title}</h1>"""


def page(study: Study) -> str:
    """The page's HTML. Raises TouchlineError where plotly is missing or no trial has a value yet."""
    if not optuna.visualization.is_available():
        raise TouchlineError("The plots need plotly; install it with: pip install 'touchline[tuning]'")
    if not _complete(study):
        raise TouchlineError(f"The study {study.name} has no complete trial yet, and so nothing to plot.")
    parts = [_HEAD.format(title=html.escape(study.name))]
    for number, (name, figure) in enumerate(figures(study)):
        parts.append(f"<h2>{name}</h2>")
        parts.append(figure.to_html(full_html=False, include_plotlyjs=number == 0))
    return "\n".join([*parts, _table(study), "</html>"])


def figures(study: Study) -> Iterator[tuple[str, Any]]:
    """Yield the title and Plotly's figure of each plot that can be drawn; none without a complete trial."""
    complete = _complete(study)
    if not complete:
        return
    plots = optuna.visualization
    wanted: list[tuple[str, Callable[[], Any]]] = [
        ("Best value so far", lambda: plots.plot_optimization_history(study.optuna)),
        ("What trials reported", lambda: plots.plot_intermediate_values(study.optuna)),
        ("Each field by itself", lambda: plots.plot_slice(study.optuna)),
    ]
    if complete > 1:
        evaluator = optuna.importance.PedAnovaImportanceEvaluator
        wanted.append(("Importance", lambda: plots.plot_param_importances(study.optuna, evaluator=evaluator())))
        wanted.append(("All fields together", lambda: plots.plot_parallel_coordinate(study.optuna)))
    wanted.append(("Timeline", lambda: plots.plot_timeline(study.optuna)))
    for name, plot in wanted:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                yield name, plot()
            except (ValueError, RuntimeError):  # too few trials, or all of one value
                continue


def _complete(study: Study) -> int:
    return sum(trial.state == TrialState.COMPLETE for trial in study.trials())


def _table(study: Study) -> str:
    names = list(study.setup.space)
    head = "".join(f"<th>{html.escape(name)}</th>" for name in ("trial", "state", "value", *names, "remark"))
    rows = []
    for trial in study.trials():
        told = trial.user_attrs.get(FAILURE, {}).get("reason", trial.user_attrs.get("reason", ""))
        value = "" if trial.value is None else f"{trial.value:g}"
        values = [f"{v:.4g}" if isinstance(v := trial.params.get(name, ""), float) else str(v) for name in names]
        cells = (str(trial.number), trial.state.name.lower(), value, *values, str(told)[:200])
        rows.append("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in cells) + "</tr>")
    return f"<h2>Trials</h2><table><tr>{head}</tr>{''.join(rows)}</table>"
