"""Search spaces: what can be written, what is refused, and how values come into a frozen configuration."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.tuning.hill import Gear, HillConfig
from touchline.errors import UsageError
from touchline.jobs.finetune import FinetuneConfig
from touchline.jobs.pretrain import PretrainConfig
from touchline.jobs.tunable import default_space
from touchline.tuning.space import (
    Between,
    Choice,
    check_space,
    configured,
    parse_range,
    parse_space,
    read_space,
    texts,
)


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("log:1e-5:1e-3", Between(1e-5, 1e-3, log=True)),
        ("0.95:0.999", Between(0.95, 0.999)),
        ("-1:1", Between(-1.0, 1.0)),
        ("int:1:8", Between(1, 8, whole=True)),
        ("log:int:16:1024", Between(16, 1024, log=True, whole=True)),
        ("128,256,512", Choice((128, 256, 512))),
        ("0.5, relu, true", Choice((0.5, "relu", True))),
    ],
)
def test_a_range_reads_as_written_and_back(text: str, meant: object) -> None:
    assert parse_range(text) == meant
    assert parse_range(str(meant)) == meant


@given(st.floats(1e-9, 1e9), st.floats(1.001, 1e6), st.booleans())
def test_every_range_survives_the_text_that_is_stored(low: float, ratio: float, log: bool) -> None:
    range_ = Between(low, low * ratio, log)
    assert parse_range(str(range_)) == range_


@pytest.mark.parametrize(
    "text",
    ["", "7", "1:0", "1:1", "log:0:1", "log:-1:1", "int:1.5:3", "fast:1:2", "a:b", "1,1", "1:2:3", "nan:1", "0:inf"],
)
def test_what_is_no_range_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(UsageError):
        parse_range(text)


def test_a_file_nests_and_a_command_line_does_not_have_to(tmp_path: Path) -> None:
    file = tmp_path / "space.toml"
    file.write_text('x = "-1:1"\n[gear]\nrope = [true, false]\n"weight" = "log:1:10"\n')
    lines = ["x=-1:1", "gear.rope=true,false", "gear.weight=log:1:10"]
    assert (
        read_space(file) == parse_space(lines) == parse_space(f"{n}={t}" for n, t in texts(read_space(file)).items())
    )


def test_values_come_into_the_configuration_also_several_fields_together() -> None:
    config = configured(HillConfig(), {"gear.weight": 2.5, "x+y": 0.5})
    assert config == replace(HillConfig(), x=0.5, y=0.5, gear=Gear(weight=2.5))


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("gear.wieght=1:2", "Did you mean 'gear.weight'"),
        ("stesp=int:1:2", "Did you mean 'steps'"),
        ("x.y=1:2", "x holds a single value"),
        ("steps=0.5:1.5", "should be int"),
        ("recording.checkpoint_every=int:0:5", "RecordingConfig.checkpoint_every is 0"),
        ("x=-1:1 x+y=0:1", "tunes x twice"),
    ],
)
def test_a_space_that_does_not_fit_is_refused_before_anything_starts(line: str, told: str) -> None:
    with pytest.raises(UsageError) as refused:
        check_space(parse_space(line.split()), HillConfig())
    assert told in str(refused.value)


def test_the_default_space_is_the_specified_one_where_the_job_has_its_fields() -> None:
    assert texts(default_space(PretrainConfig())) == {
        "sac.actor_lr+sac.critic_lr": "log:1e-05:0.001",
        "sac.batch_size": "128,256,512,1024",
        "sac.tau": "0.001:0.01",
        "sac.gamma": "0.95:0.999",
    }
    assert "ddpg.gamma" in default_space(FinetuneConfig())
    assert default_space(HillConfig()) == {}
    check_space(default_space(PretrainConfig()), PretrainConfig())
