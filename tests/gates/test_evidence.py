import json
from types import MappingProxyType

import numpy as np

from touchline.gates import Evaluation, evidence, gate3, tags

OURS = Evaluation(
    "version 2",
    {"kick": np.array([0.5, 0.75, 1.0], np.float32)},
    survival=MappingProxyType({"kick": [900, 1000, 1100]}),
    seeds={"kick": (7, 8, 9)},
)
THEIRS = Evaluation("the untrained policy", {"kick": [0.0, 0.5, 0.0]}, seeds={"kick": (7, 8, 9)})


def test_evidence_is_strict_json_and_holds_all_that_the_verdict_rests_on():
    found = evidence(gate3(OURS, None, THEIRS, seed=5), OURS, None, THEIRS)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert found["evaluations"][0]["scores"] == {"kick": [0.5, 0.75, 1.0]}
    assert found["evaluations"][1]["seeds"] == {"kick": [7, 8, 9]}
    assert found["method"]["seed"] == 5
    assert found["verdict"]["checks"][0]["interval"]["low"] > 0


def test_the_verdict_can_be_computed_again_from_its_evidence():
    found = json.loads(json.dumps(evidence(gate3(OURS, None, THEIRS, seed=5), OURS, THEIRS)))
    again = gate3(
        *(None if e is None else Evaluation(**e) for e in (found["evaluations"][0], None, found["evaluations"][1])),
        seed=5,
    )
    assert evidence(again)["verdict"] == found["verdict"]


def test_a_bound_that_does_not_exist_is_null():
    ours, theirs = Evaluation("a", {"kick": [1.0]}), Evaluation("b", {"kick": [0.0]})
    found = evidence(gate3(ours, None, theirs), ours, theirs)
    assert found["verdict"]["checks"][0]["interval"]["low"] is None
    assert not found["verdict"]["passed"]


def test_tags_are_short_text():
    found = tags(gate3(OURS, None, THEIRS))
    assert found["passed"] == "true"
    assert found["provisional"] == "true"
    assert found["pairs"] == "kick 3"
    assert float(found["low"]) > 0
    assert all(isinstance(value, str) for value in found.values())
