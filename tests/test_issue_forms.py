"""Issue forms are what GitHub takes: it shows none whose fields it cannot read."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

TEMPLATES = Path(__file__).parents[1] / ".github/ISSUE_TEMPLATE"


@pytest.mark.parametrize("name", ["bug", "feature", "question"])
def test_an_issue_form_has_a_name_and_fields_that_tell_what_they_ask(name: str) -> None:
    form = yaml.safe_load((TEMPLATES / f"{name}.yml").read_text())
    assert form["name"] and form["description"]
    fields = [field for field in form["body"] if field["type"] != "markdown"]
    assert {field["type"] for field in fields} <= {"input", "textarea"}
    assert all(field["attributes"]["label"] for field in fields)
    assert len({field["id"] for field in fields}) == len(fields) > 0
