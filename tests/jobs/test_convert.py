"""Conversion tells when a policy loses by acting without the noise it was trained with."""

import pytest

from touchline.catalog.version import ModelVersion, tag_key
from touchline.jobs.convert import doubt_of


def version(**tags):
    """With the tags under the names that the catalog gives them."""
    told = {tag_key(name.replace("_", ".", 1)): value for name, value in tags.items()}
    return ModelVersion("mjx_sac", 3, "run", "models:/m-1", told)


def test_a_policy_that_keeps_its_return_is_not_doubted():
    assert doubt_of(version(eval_return="96.0", eval_stochastic_return="100.0")) == ""


@pytest.mark.parametrize(("without", "with_noise"), [("94.0", "100.0"), ("-106.0", "-100.0")])
def test_a_policy_that_loses_by_acting_without_noise_is_told_with_both_returns(without, with_noise):
    told = doubt_of(version(eval_return=without, eval_stochastic_return=with_noise))
    assert "mjx_sac version 3" in told and without in told and with_noise in told


def test_a_version_that_tells_no_returns_cannot_be_compared():
    assert "could not be compared" in doubt_of(version(eval_return="94.0"))
