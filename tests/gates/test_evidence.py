"""What is written down about a verdict is strict JSON, and anyone can judge it again."""

import copy
import json
import math
from types import MappingProxyType

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from touchline.errors import TouchlineError
from touchline.gates import Agreement, Contest, Evaluation, confirm, evidence, gate1, gate2, gate3, rejudge, tags

OURS = Evaluation(
    "version 2",
    {"kick": np.array([0.5, 0.75, 1.0, 0.8], np.float32)},
    survival=MappingProxyType({"kick": [900, 1000, 1100, 1000]}),
    falls={"kick": (False, np.bool_(True), False, False)},
    scenarios={"kick": ("a", "b", "c", "d")},
    nominal={"kick": np.array([0.5])},
)
THEIRS = Evaluation("stand still", {"kick": [0.0, 0.5, 0.0, 0.1]}, scenarios={"kick": ("a", "b", "c", "d")})
CONTEST = Contest(OURS, THEIRS, attempt=3)
AGREEMENT = Agreement({"recorded": {"gyro": 1e-7}, "unit": {"gyro": math.nan}}, {"recorded": 600, "unit": 600}, 1e-6)


def written(verdict, given):
    """What is read of a verdict that was written to a file."""
    return json.loads(json.dumps(evidence(verdict, given), allow_nan=False))


def test_evidence_is_strict_json_and_holds_all_that_the_verdict_rests_on():
    found = evidence(gate3(CONTEST), CONTEST)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert found["given"]["candidate"]["scores"] == {"kick": pytest.approx([0.5, 0.75, 1.0, 0.8])}
    assert found["given"]["baseline"]["scenarios"] == {"kick": ["a", "b", "c", "d"]}
    assert found["given"]["attempt"] == 3


@pytest.mark.parametrize(
    ("judge", "given"),
    [(gate1, AGREEMENT), (gate2, AGREEMENT), (gate3, CONTEST), (gate3, Contest(OURS, THEIRS, THEIRS, (THEIRS,)))],
)
def test_the_verdict_can_be_reckoned_again_from_its_evidence(judge, given):
    verdict = judge(given)
    document = written(verdict, given)
    again = confirm(document)
    assert written(again, given) == document


@settings(max_examples=20)
@given(st.integers(0, 1000), st.floats(-1, 2), st.integers(1, 40), st.booleans())
def test_any_contest_survives_the_file(seed, shift, count, first):
    random = np.random.default_rng(seed)
    ours, theirs = (Evaluation(name, {"a": random.normal(size=count), "b": random.random(count)}) for name in "xy")
    contest = Contest(
        Evaluation("x", {t: s + shift for t, s in ours.scores.items()}), theirs, None if first else theirs
    )
    document = written(gate3(contest), contest)
    assert written(confirm(document), contest) == document


def test_a_bound_that_does_not_exist_is_null():
    ours, theirs = Evaluation("a", {"kick": [1.0]}), Evaluation("b", {"kick": [0.0]})
    contest = Contest(ours, theirs)
    found = evidence(gate3(contest), contest)
    assert found["verdict"]["checks"][0]["intervals"]["kick"]["low"] is None
    assert not found["verdict"]["passed"]


@pytest.mark.parametrize(
    "forge",
    [
        lambda document: document["verdict"].update(passed=not document["verdict"]["passed"]),
        lambda document: document["verdict"].update(provisional=False),
        lambda document: document["verdict"]["checks"].pop(),
        lambda document: document["verdict"]["checks"][0].update(
            passed=not document["verdict"]["checks"][0]["passed"]
        ),
        lambda document: document["given"]["candidate"]["scores"].update(kick=[-9.0, -8.0, -9.5, -9.0]),
        lambda document: document.pop("verdict"),
        lambda document: document["given"]["candidate"].update(
            scores={task: [one + 1.0 for one in scores] for task, scores in OURS.scores.items()}
        ),
        lambda document: document["verdict"]["checks"][0].update(value=99.0),
    ],
)
def test_evidence_that_does_not_support_its_verdict_is_refused(forge):
    document = written(gate3(contest := Contest(OURS, THEIRS)), contest)
    assert confirm(copy.deepcopy(document)).passed
    forge(document)
    with pytest.raises(TouchlineError, match="another verdict than it supports"):
        confirm(document)


@pytest.mark.parametrize("broken", [{}, {"format": 1, "gate": "gate3"}, {"format": 2, "gate": "gate9"}])
def test_what_is_no_evidence_is_refused(broken):
    with pytest.raises(TouchlineError, match="no evidence that Touchline"):
        rejudge(broken)


def test_evidence_that_lacks_something_is_refused():
    document = written(gate3(CONTEST), CONTEST)
    del document["given"]["baseline"]
    with pytest.raises(TouchlineError, match="cannot be read"):
        rejudge(document)


def test_tags_are_short_text_and_call_a_provisional_verdict_so():
    found = tags(gate3(contest := Contest(OURS, THEIRS)), contest)
    assert found["verdict"] == "provisionally passed"
    assert (found["passed"], found["provisional"]) == ("true", "true")
    assert found["scenarios"] == "kick 4"
    assert (found["opponent"], found["attempt"], found["error"]) == ("stand still", "1", "0.025")
    assert float(found["low"]) > 0
    assert all(isinstance(value, str) for value in found.values())
