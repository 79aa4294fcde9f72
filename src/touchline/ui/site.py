"""What is at which address of the page."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from touchline.config import Settings
from touchline.errors import TouchlineError
from touchline.jobs.base import JOBS
from touchline.jobs.summary import command
from touchline.report import pictures
from touchline.report.markup import environment
from touchline.tracking.status import RUNNING
from touchline.ui import reports
from touchline.ui.door import Answer, sentence
from touchline.ui.home import Home, List, pipelines, seconds
from touchline.ui.run import Pages, Seen, WatchedPage, pace
from touchline.ui.servers import ServerState

if TYPE_CHECKING:
    from jinja2 import Environment

SHOWN_PIPELINES = 3
"""The others are folded."""
_SCRIPT, _STYLE = "text/javascript; charset=utf-8", "text/css; charset=utf-8"
_STATIC = {
    "style.css": ("touchline.report", "templates/style.css", _STYLE),
    "theme.js": ("touchline.report", "templates/theme.js", _SCRIPT),
    "charts.js": ("touchline.report", "templates/charts.js", _SCRIPT),
    "ui.css": ("touchline.ui", "static/ui.css", _STYLE),
    "live.js": ("touchline.ui", "static/live.js", _SCRIPT),
    "home.js": ("touchline.ui", "static/home.js", _SCRIPT),
    "run.js": ("touchline.ui", "static/run.js", _SCRIPT),
}
"""Name → package, place in it, kind."""


class Site:
    """Every page of one home; called with a path and the query's values, from any thread."""

    def __init__(self, settings: Settings, servers: Callable[[], tuple[ServerState, ...]]) -> None:
        """``servers`` tells the states of what is started beside the page."""
        self._settings = settings
        self._servers = servers
        self._home = Home(settings)
        self._pages = Pages(settings)
        self._reports = reports.Reports(settings)
        self._templates: Environment = environment("touchline.ui", "touchline.report")
        self._templates.filters["pace"] = pace
        self._templates.globals |= {
            "home": str(settings.home),
            "pictures": pictures,
            "seconds": seconds,
            "has_plotly": plotly_script() is not None,
        }

    def __call__(self, path: str, query: Mapping[str, str]) -> Answer:
        """Answer a request that was let in. Raises TouchlineError where what it is about cannot be read."""
        place, _, name = path.removeprefix("/").partition("/")
        if place == "static":
            return self._static(name)
        if place == "report" and name:
            return self._report(name)
        if place == "runs" and name:
            return self._run(name)
        if path == "/":
            return self._list()
        if path == "/api/home":
            return self._list_changes(_number(query, "after"))
        if path.startswith("/api/runs/"):
            return self._run_changes(path.removeprefix("/api/runs/"), query)
        return sentence(404, f"There is nothing at {path}. Begin at /")

    def _list(self) -> Answer:
        seen = self._home.look()
        return self._page("home.html", seen=seen, servers=self._servers(), **self._around(seen))

    def _list_changes(self, after: int) -> Answer:
        seen = self._home.look()
        around = self._around(seen)
        macros = self._macros("list.html")
        changed = [row for row in seen.rows if row.version > after or (row.view and row.view.state == RUNNING)]
        return _json(
            {
                "version": seen.version,
                "unread": seen.unread,
                "ids": [row.id for row in seen.rows] if seen.version > after else None,
                "rows": {row.id: str(macros.row(row)) for row in changed},
                "parts": {
                    "count": str(macros.count(seen)),
                    "pipelines": str(macros.pipelines(around["shown"], around["folded"])),
                    "servers": self._server_list(),
                },
            }
        )

    def _around(self, seen: List) -> dict[str, Any]:
        found = pipelines(seen.rows, tuple(JOBS))
        return {"shown": found[:SHOWN_PIPELINES], "folded": found[SHOWN_PIPELINES:]}

    def _server_list(self) -> str:
        return str(self._macros("list.html").servers(self._servers()))

    def _run(self, run_id: str) -> Answer:
        page = self._pages.of(run_id)
        seen, trouble = None, ""
        try:
            seen = page.look()
        except TouchlineError as error:
            trouble = str(error)
        commands = [
            (command(*words, settings=self._settings), does)
            for words, does in (
                (("show", run_id), "its curves and parameters on a terminal"),
                (("tail", run_id, "-f"), "its events as they come"),
                (("report", run_id), "its report as a file, also kept with the run"),
                (("export", run_id), "all that it logged, as a table"),
                (("sync", run_id), "sends what a track lacks"),
            )
        ]
        return self._page(
            "run.html", id=run_id, seen=seen, trouble=trouble, servers=self._servers(), commands=commands
        )

    def _run_changes(self, run_id: str, query: Mapping[str, str]) -> Answer:
        page = self._pages.of(run_id)
        try:
            since = _number(query, "after")
            seen, found = self._changes(page, since) if since >= 0 else self._all_charts(page)
            if since >= 0 and query.get("layout") != seen.layout:
                seen, found = self._all_charts(page)
        except TouchlineError as error:
            return _json({"trouble": str(error)})
        macros = self._macros("parts_of_run.html")
        found |= {
            "cursor": seen.cursor,
            "layout": seen.layout,
            "whole": seen.is_whole,
            "state": seen.head.state,
            "parts": {
                "summary": str(macros.summary(seen)),
                "alerts": str(macros.alerts(seen)),
                "delivery": str(macros.delivery(seen)),
                "configuration": str(macros.configuration(seen)),
                "servers": self._server_list(),
            },
        }
        return _json(found)

    def _changes(self, page: WatchedPage, since: int) -> tuple[Seen, dict[str, Any]]:
        seen, lines, marks = page.changes(since)
        return seen, {"lines": lines, "marks": marks}

    def _all_charts(self, page: WatchedPage) -> tuple[Seen, dict[str, Any]]:
        seen, learning, machine = page.charts()
        macros = self._macros("parts_of_run.html")
        both = [*learning, *machine]
        return seen, {
            "charts": {chart.id: chart.data for chart in both},
            "metrics": {chart.id: chart.metrics for chart in both},
            "learning": str(macros.charts(learning, seen)),
            "machine": str(macros.charts(machine, None)),
        }

    def _report(self, word: str) -> Answer:
        made = self._reports.of(word)
        if made is None:
            return replace(self._page("waiting.html", word=word), headers={"Refresh": "1"})
        return Answer(made, headers={"Content-Security-Policy": reports.POLICY})

    def _macros(self, template: str) -> Any:
        return self._templates.get_template(template).module

    def _page(self, template: str, **values: Any) -> Answer:
        return Answer(self._templates.get_template(template).render(**values).encode())

    def _static(self, name: str) -> Answer:
        if name == "plotly.js" and (script := plotly_script()) is not None:
            # Megabytes that never change under this address, and that everybody has: a browser may keep them.
            return Answer(script.read_bytes(), _SCRIPT, headers={"Cache-Control": "private, max-age=3600"})
        if name not in _STATIC:
            return sentence(404, f"There is nothing at /static/{name}. Begin at /")
        package, place, kind = _STATIC[name]
        return Answer(resources.files(package).joinpath(place).read_bytes(), kind)


def plotly_script() -> Path | None:
    """Plotly's script in its Python package, which is found and not imported: that takes most of a second."""
    found = importlib.util.find_spec("plotly")
    for place in (found.submodule_search_locations or ()) if found is not None else ():
        script = Path(place) / "package_data" / "plotly.min.js"
        if script.is_file():
            return script
    return None


def _number(query: Mapping[str, str], name: str) -> int:
    try:
        return int(query.get(name, "-1"))
    except ValueError:
        return -1


def _json(value: Any) -> Answer:
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    return Answer(text.encode(), "application/json; charset=utf-8")
