"""Errors carry their remedy: the nearest name, the value and what is allowed."""

import re

import pytest

from touchline.errors import UsageError, at_least, between, nearest, unknown
from touchline.jobs.finetune import FinetuneConfig
from touchline.jobs.gate3 import Gate3Config
from touchline.jobs.pretrain import PretrainConfig
from touchline.jobs.recording import RecordingConfig
from touchline.learning.ddpg_config import DdpgConfig
from touchline.learning.sac_config import SacConfig


def test_the_nearest_name_ignores_case_and_may_be_none():
    assert nearest("LAPTOB", ["laptop", "smoke"]) == "laptop"
    assert nearest("zzz", ["laptop", "smoke"]) is None


def test_an_unknown_name_is_answered_with_all_names():
    assert str(unknown("recipe", "laptob", ["smoke", "laptop"])) == (
        "There is no recipe 'laptob'. Did you mean 'laptop'? Known: laptop, smoke."
    )


def test_a_nan_is_below_every_minimum():
    with pytest.raises(UsageError, match="nan"):
        at_least(0.0, type("Options", (), {"rate": float("nan")})(), "rate")


@pytest.mark.parametrize("value", [None, "5", [5], True])
def test_what_is_no_number_is_refused_and_shown(value):
    with pytest.raises(UsageError, match=re.escape(f"rate is {value!r}. Give at least 0.")):
        at_least(0.0, type("Options", (), {"rate": value})(), "rate")


@pytest.mark.parametrize("value", [-1, 950])
def test_a_value_outside_its_range_is_refused_with_the_range(value):
    with pytest.raises(UsageError, match=f"percent is {value}. Give 0 to 100."):
        between(0.0, 100.0, type("Options", (), {"percent": value})(), "percent")


@pytest.mark.parametrize(
    ("make", "field"),
    [
        (lambda: PretrainConfig(total_steps=-5), "total_steps is -5"),
        (lambda: PretrainConfig(num_envs=0), "num_envs is 0"),
        (lambda: FinetuneConfig(selection_episodes=0), "selection_episodes is 0"),
        (lambda: Gate3Config(scenarios=1), "scenarios is 1"),
        (lambda: RecordingConfig(log_every=0), "log_every is 0"),
        (lambda: SacConfig(batch_size=0), "batch_size is 0"),
        (lambda: DdpgConfig(noise=-0.1), "noise is -0.1"),
    ],
)
def test_a_configuration_that_cannot_work_is_refused_when_it_is_made(make, field):
    with pytest.raises(UsageError, match=field):
        make()
