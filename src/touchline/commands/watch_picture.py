"""What ``touchline watch`` draws: the local GPUs above, the runs of the home below."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from touchline.commands.tables import STYLES
from touchline.commands.watch_gpus import Gpu, gpus, why_none
from touchline.quantities import duration
from touchline.tracking.narrate import clean
from touchline.tracking.watched import RunView
from touchline.watch.snapshot import Snapshot

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table
    from rich.text import Text

FULL_PERCENT = 95.0
"""Memory above this is shown in red: the next allocation may fail."""
HOT_CELSIUS = 85.0
"""Temperature above this is shown in red: devices begin to slow down a little higher."""
NARROW = 120
"""Characters of a line below which the tables are narrow."""
_NOTHING = "–"
_LEVELS = {"info": "cyan", "warn": "yellow", "error": "red"}
_FIGURES: Mapping[str, Callable[[float], str]] = {
    "gpu/utilization_percent": lambda value: f"GPU {value:.0f} %",
    "gpu/memory_percent": lambda value: f"memory {value:.0f} %",
    "gpu/temperature": lambda value: f"{value:.0f} °C",
    "gpu/power_watts": lambda value: f"{value:.0f} W",
    "cost/energy_wh": lambda value: f"{value:,.1f} Wh",
    "cost/usd": lambda value: f"{value:,.2f} USD",
    "cost/usd_wasted": lambda value: f"of which wasted {value:,.2f} USD",
}
"""Figures of a run in words, in this order."""


def picture(
    seen: Snapshot, names: Sequence[str], runs: Sequence[RunView], sentences: Sequence[str], width: int
) -> RenderableType:
    """Draw one view: ``seen`` and the models ``names`` of the GPUs, the ``runs``, and ``sentences`` about them.

    ``width``: characters a line; on a narrow one the tables leave out what is dispensable or say it below.
    """
    from rich.console import Group
    from rich.text import Text

    narrow = width < NARROW
    machine, home = _machine(seen, names, narrow), _home(runs, narrow)
    return Group(*machine, Text(), *home, *(_text(sentence) for sentence in sentences))


def _machine(seen: Snapshot, names: Sequence[str], narrow: bool) -> list[RenderableType]:
    devices = gpus(seen, names)
    host = [
        f"{what} {seen.values[f'host/{name}_percent']:.0f} %"
        for what, name in (("CPU", "cpu"), ("memory", "memory"), ("disk", "disk"))
        if f"host/{name}_percent" in seen.values
    ]
    if not devices:
        drawn: list[RenderableType] = [_text(f"No GPU: {why_none(seen)}")]
    elif narrow:
        drawn = [_table_of_gpus(devices, narrow)]
        drawn += [_text(f"GPU {device.index} is: {device.name}", "dim") for device in devices if device.name]
    else:
        drawn = [_table_of_gpus(devices, narrow)]
    drawn += [_text(sentence, "yellow") for device in devices for sentence in device.sentences]
    return [*drawn, _text(f"Host: {', '.join(host)}")] if host else drawn


def _table_of_gpus(devices: Sequence[Gpu], narrow: bool) -> Table:
    columns: dict[str, tuple[str, Callable[[Gpu], Text]]] = {
        "GPU": ("left", lambda gpu: _text(f"{gpu.index} {'' if narrow else gpu.name}".rstrip())),
        "utilisation": ("right", lambda gpu: _figure(gpu.values, "utilization_percent", "{:.0f} %")),
        "SM active": ("right", lambda gpu: _figure(gpu.values, "sm_percent", "{:.0f} %")),
        "memory": ("right", lambda gpu: _memory(gpu.values)),
        "temperature": ("right", lambda gpu: _figure(gpu.values, "temperature", "{:.0f} °C", above=HOT_CELSIUS)),
        "power": ("right", lambda gpu: _of(gpu.values, "power_watts", "power_limit_watts", "W", narrow)),
        "clock": ("right", lambda gpu: _of(gpu.values, "clock_sm_mhz", "clock_sm_max_mhz", "MHz", narrow)),
        "throttled": ("left", lambda gpu: _throttled(gpu.throttled)),
    }
    if narrow:
        del columns["clock"]
    # The share of time in which the cores themselves worked, which only some devices tell.
    if not any("sm_percent" in gpu.values for gpu in devices):
        del columns["SM active"]
    table = _table([(name, side) for name, (side, _) in columns.items()])
    for gpu in devices:
        table.add_row(*(cell(gpu) for _, cell in columns.values()))
    return table


def _home(runs: Sequence[RunView], narrow: bool) -> list[RenderableType]:
    if not runs:
        return [_text("No run is going on.")]
    columns = [("run", "left"), ("state", "left"), ("step", "right"), ("steps/s", "right"), ("last value", "left")]
    table = _table(columns if narrow else [*columns, ("sinks", "left")])
    for run in runs:
        cells = [
            _text(run.id),
            _text(run.state, STYLES.get(run.state, "")),
            _text(_NOTHING if run.step is None else f"{run.step:,}"),
            _text(_NOTHING if run.speed is None else _pace(run.speed)),
            _text(_NOTHING if run.logged is None else _ago(run.logged)),
        ]
        table.add_row(*(cells if narrow else [*cells, _sinks(run)]))
    return [table, *(line for run in runs for line in _words(run, narrow))]


def _words(run: RunView, narrow: bool) -> list[Text]:
    """The lines under the table that a run fills: its figures, its alerts, why it ended and why a sink waits."""
    who = run.id if run.name in ("", run.id) else f"{run.id} ({run.name})"
    figures = ", ".join(tell(run.figures[name]) for name, tell in _FIGURES.items() if name in run.figures)
    lines = [_text(f"{who}: {figures or 'no figures of a GPU'}", "dim")] if figures or who != run.id else []
    lines += [_text(f"{run.id}: ") + _sinks(run)] if narrow else []
    lines += [
        _text(
            f"{run.id}: alert ({event.payload.get('level', 'warn')}) {_ago(event.time)}: {event.payload['title']} "
            f"{event.payload.get('text', '')}".rstrip(),
            _LEVELS.get(str(event.payload.get("level")), "yellow"),
        )
        for event in run.alerts
    ]
    if run.reason:
        lines.append(_text(f"{run.id} is {run.state}: {run.reason}"))
    lines += [_text(f"{run.id}: {sink.name}: {sink.reason}", "yellow") for sink in run.sinks if sink.reason]
    return lines


def _sinks(run: RunView) -> Text:
    from rich.text import Text

    parts = [
        _text(
            f"{sink.name} {sink.state}" + (f", {sink.waiting:,} to send" if sink.waiting else ""),
            STYLES.get(sink.state, ""),
        )
        for sink in run.sinks
    ]
    return Text("; ").join(parts) if parts else _text("no sinks")


def _memory(values: Mapping[str, float]) -> Text:
    percent = values.get("memory_percent")
    shown = [f"{values['memory_used_gb']:.1f} GB"] if "memory_used_gb" in values else []
    shown += [f"{percent:.0f} %"] if percent is not None else []
    full = percent is not None and percent > FULL_PERCENT
    return _text("  ".join(shown) or _NOTHING, "bold red" if full else "")


def _figure(values: Mapping[str, float], name: str, form: str, above: float = float("inf")) -> Text:
    """The figure in words, in red ``above`` a bound."""
    value = values.get(name)
    return _text(_NOTHING) if value is None else _text(form.format(value), "bold red" if value > above else "")


def _of(values: Mapping[str, float], name: str, limit: str, unit: str, narrow: bool) -> Text:
    """A figure and, where it is known and there is room, its limit."""
    if name not in values:
        return _text(_NOTHING)
    most = f" of {values[limit]:,.0f}" if limit in values and not narrow else ""
    return _text(f"{values[name]:,.0f}{most} {unit}")


def _throttled(causes: Sequence[str] | None) -> Text:
    if causes is None:
        return _text(_NOTHING)
    return _text(", ".join(causes), "bold red") if causes else _text("no", "green")


def _pace(steps: float) -> str:
    return f"{steps:,.0f}" if steps >= 100 else f"{steps:.3g}"


def _ago(moment: float) -> str:
    seconds = time.time() - moment
    return "just now" if seconds < 1.0 else f"{duration(seconds)} ago"


def _table(columns: Sequence[tuple[str, str]]) -> Table:
    from rich.table import Table

    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold", pad_edge=False)
    for name, side in columns:
        table.add_column(name, justify="right" if side == "right" else "left", overflow="fold")
    return table


def _text(text: str, style: str = "") -> Text:
    """The text without what could change the terminal."""
    from rich.text import Text

    return Text(clean(text), style)
