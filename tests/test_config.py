"""Settings: where they come from, what is refused, and what a bad home says."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from touchline.config import Settings
from touchline.errors import TouchlineError, UsageError
from touchline.overlay import digest, overlay


@pytest.fixture(autouse=True)
def empty_surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("TOUCHLINE_HOME", "MLFLOW_TRACKING_URI", "WANDB_PROJECT", "WANDB_MODE", "WANDB_BASE_URL"):
        monkeypatch.delenv(name, raising=False)


def test_the_default_home_is_in_the_working_directory(tmp_path: Path) -> None:
    settings = Settings.load()
    assert settings.home == tmp_path / ".touchline"
    assert settings.tracking_uri == f"sqlite:///{tmp_path}/.touchline/mlflow.db"


def test_each_source_wins_over_the_one_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("touchline.toml").write_text('project = "file"\ncatalog_prefix = "file.models"\nwandb_mode = "offline"\n')
    monkeypatch.setenv("WANDB_PROJECT", "native")
    monkeypatch.setenv("WANDB_MODE", "online")
    assert Settings.load().project == "native"
    monkeypatch.setenv("TOUCHLINE_PROJECT", "ours")
    assert Settings.load().project == "ours"
    settings = Settings.load(project="argument", wandb_mode=None)
    assert (settings.project, settings.catalog_prefix, settings.wandb_mode) == (
        "argument",
        "file.models",
        "online",
    )


def test_a_list_in_the_environment_is_separated_by_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOUCHLINE_SINKS", "mlflow, tensorboard")
    assert Settings.load().sinks == ("mlflow", "tensorboard")


def test_an_unknown_key_in_the_file_is_refused_with_the_nearest_name() -> None:
    Path("touchline.toml").write_text('projct = "x"\n')
    with pytest.raises(UsageError, match=r"touchline\.toml key 'projct'.*Did you mean 'project'"):
        Settings.load()


def test_an_unknown_variable_is_refused_with_the_nearest_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOUCHLINE_HOEM", "/tmp")
    with pytest.raises(UsageError, match="TOUCHLINE_HOEM.*Did you mean 'TOUCHLINE_HOME'"):
        Settings.load()


def test_a_secret_in_the_file_is_refused_and_not_repeated() -> None:
    Path("touchline.toml").write_text('wandb_api_key = "abcdef123"\n')
    with pytest.raises(UsageError, match="looks like a secret") as caught:
        Settings.load()
    assert "abcdef123" not in str(caught.value)


def test_a_broken_file_names_itself_and_the_line() -> None:
    Path("touchline.toml").write_text('project = "open\n')
    with pytest.raises(UsageError, match=r"touchline\.toml is not valid TOML.*line 1"):
        Settings.load()


def test_a_value_of_the_wrong_type_is_refused() -> None:
    Path("touchline.toml").write_text("project = 3\n")
    with pytest.raises(UsageError, match="'project' has the value 3; it should be str"):
        Settings.load()


def test_a_home_that_is_a_file_says_how_to_choose_another(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    with pytest.raises(TouchlineError, match="cannot be written.*TOUCHLINE_HOME"):
        Settings.load(home=tmp_path / "taken" / "home").ensure_home()


def test_a_disk_without_room_is_told_in_figures(tmp_path: Path) -> None:
    with pytest.raises(TouchlineError, match="MiB free.*TOUCHLINE_HOME"):
        Settings.load(home=tmp_path / "home").ensure_home(minimum_free_bytes=2**62)


@pytest.mark.parametrize("content", [b"not a database at all" * 400, b"SQLite format 3\0" + b"\xff" * 8000])
def test_a_damaged_mlflow_store_is_named_with_a_way_out(tmp_path: Path, content: bytes) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "mlflow.db").write_bytes(content)
    with pytest.raises(TouchlineError, match=r"mlflow\.db is damaged.*mv "):
        Settings.load(home=home).ensure_home()
    assert [path.name for path in home.iterdir()] == ["mlflow.db"]


def test_a_good_home_is_left_clean(tmp_path: Path) -> None:
    home = Settings.load(home=tmp_path / "deep" / "home").ensure_home()
    assert list(home.iterdir()) == []


def test_the_cloud_to_ask_for_preemption_is_one_of_those_we_know(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Settings.load().preemption == "auto"
    monkeypatch.setenv("TOUCHLINE_PREEMPTION", "aws")
    assert Settings.load().preemption == "aws"
    monkeypatch.setenv("TOUCHLINE_PREEMPTION", "ec2")
    with pytest.raises(UsageError, match="'preemption' has the value 'ec2'; it should be one of auto, off, gcp, aws"):
        Settings.load()


@dataclass(frozen=True)
class Inner:
    rate: float = 0.1
    layers: tuple[int, ...] = (256, 256)


@dataclass(frozen=True)
class Outer:
    seed: int = 0
    inner: Inner = field(default_factory=Inner)
    device: str | None = None


def test_nested_values_reach_nested_dataclasses() -> None:
    made = overlay(Outer(), {"seed": 2, "inner": {"rate": 1, "layers": [64]}}, where="file")
    assert made == Outer(seed=2, inner=Inner(rate=1.0, layers=(64,)))


def test_a_nested_typo_names_its_table() -> None:
    with pytest.raises(UsageError, match=r"file \[inner\] key 'rte'.*Did you mean 'rate'"):
        overlay(Outer(), {"inner": {"rte": 1}}, where="file")


@pytest.mark.parametrize("values", [{"seed": "many"}, {"seed": 1.5}, {"seed": True}, {"inner": 3}])
def test_ill_typed_values_are_refused(values: dict[str, object]) -> None:
    with pytest.raises(UsageError, match="has the value"):
        overlay(Outer(), values, where="file")


def test_the_digest_depends_on_every_value_and_on_nothing_else() -> None:
    assert digest(Outer()) == digest(Outer(inner=Inner()))
    assert digest(Outer()) != digest(Outer(inner=Inner(rate=0.2)))
