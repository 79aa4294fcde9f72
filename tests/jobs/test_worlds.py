"""A pre-training on a scene that shows other things than the official environments does not start."""

import pytest

from touchline.errors import TouchlineError
from touchline.jobs.worlds import check_observation
from touchline.soccer import observation
from touchline.soccer.control import soft_ankles


@pytest.mark.parametrize("backend", ["native", "mjx"])
def test_gate_1_passes_with_the_arrays_of_each_backend(backend: str) -> None:
    assert check_observation(backend, soft_ankles()).passed


def test_a_field_that_differs_stops_the_job_and_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(observation, "to_world", lambda quaternion, vector, xp: vector)
    with pytest.raises(TouchlineError, match=r"ball_velr_rel_robot by .*Nothing was trained"):
        check_observation("native", soft_ankles())
