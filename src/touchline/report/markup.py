"""Where pages come from: templates, whose texts are escaped, and data for their scripts."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from touchline.quantities import duration, moment
from touchline.report import pictures

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup


def environment(*packages: str) -> Environment:
    """The templates of these packages, the first one's first."""
    import jinja2

    made = jinja2.Environment(
        loader=jinja2.ChoiceLoader([jinja2.PackageLoader(package) for package in packages]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {"duration": duration, "moment": moment, "word": pictures.word, "count": "{:,}".format}
    return made


def script_data(value: Any) -> Markup:
    """JSON that may stand in a script of a page, whatever texts are in it."""
    from markupsafe import Markup

    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    return Markup(text.replace("<", "\\u003c"))
