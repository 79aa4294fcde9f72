"""``touchline ui``: pipelines and runs in a browser, live."""

from __future__ import annotations

from dataclasses import dataclass

from touchline.commands.options import Home, parse, settings_of
from touchline.config import Settings


@dataclass(frozen=True)
class UiOptions:
    """Open one page with the pipelines and runs of the home, live; Ctrl-C closes it.

    Beside it MLflow, TensorBoard and the Optuna dashboard are started, as far as they are installed.
    """

    port: int | None = None
    """Port of the page; the others take the following ones. Without it free ports are found."""
    page_only: bool = False
    """The page alone, without MLflow, TensorBoard and the Optuna dashboard, which ask nobody for a token."""
    home: Home = None


def ui(arguments: list[str]) -> int:
    """``touchline ui``."""
    options = parse(UiOptions, arguments, "ui")
    from touchline.ui.serve import serve

    # Where none is named, the page may be opened before the first training has made the home.
    settings = Settings.load(home=None) if options.home is None else settings_of(options.home)
    serve(settings, options.port, alone=options.page_only, tell=lambda text: print(text, flush=True))
    return 0
