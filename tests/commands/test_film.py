"""``touchline film``: whom it can film, what it plays, and what it refuses before anything is played."""

from __future__ import annotations

import re
from pathlib import Path

import imageio_ffmpeg
import pytest

from touchline.catalog import directory_digest
from touchline.catalog.version import DIGEST_TAG
from touchline.cli import main
from touchline.commands import film as command
from touchline.config import Settings
from touchline.errors import TouchlineError, UsageError
from touchline.jobs.players import find_player
from touchline.learning.policy import zero_policy
from touchline.soccer.control import soft_ankles, stand_still

from .conftest import begin

SERVE = Path(command.__file__).parent.parent / "learning" / "serve.py"


@pytest.fixture(autouse=True)
def drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawn films are made in a fraction of the time, and on machines without OpenGL too."""
    monkeypatch.setenv("MUJOCO_GL", "disable")


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    return zero_policy(89, 12, {"controller": soft_ankles().to_dict()}).save(tmp_path / "falls")


def log_model(home: Path, run_id: str, policy: Path, name: str = "model") -> Path:
    with begin(home, run_id) as run:
        digest = {DIGEST_TAG: directory_digest(policy)}
        run.log_model(policy, name=name, code=SERVE, signature={}, metadata=digest)
        return run.directory


def call(*arguments: str) -> int:
    try:
        return main(["film", *arguments])
    except SystemExit as error:
        return int(error.code or 0)


def frames_of(path: Path) -> tuple[int, tuple[int, int]]:
    frames = imageio_ffmpeg.read_frames(str(path))
    size = next(frames)["size"]
    return sum(1 for _ in frames), size


def test_without_any_training_every_task_is_filmed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert call("stand-still", "--seconds", "0.2", "--size", "322x182") == 0
    (made,) = tmp_path.iterdir()
    assert made.name == "film-stand-still-all.mp4"
    assert frames_of(made) == (6, (322, 182))
    told = capsys.readouterr().out
    assert "shows stand-still (drawn)" in told and "MUJOCO_GL=disable" in told
    assert told.count("cut off") == 3


def test_the_worst_of_several_is_filmed_and_all_scores_are_told(
    home: Path, policy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ("--task", "g", "--worst", "--episodes", "3", "--seed", "5", "--fps", "10")
    assert call(str(policy), *options, "-o", "worst.mp4") == 0
    told = capsys.readouterr().out
    rows = re.findall(r"^ *(\d+) +(-\d\.\d+) +fallen( +filmed)?$", told, re.MULTILINE)
    assert sorted(int(seed) for seed, *_ in rows) == [5, 6, 7]
    assert [bool(filmed) for *_, filmed in rows] == [True, False, False]
    assert float(rows[0][1]) == min(float(score) for _, score, _ in rows)
    assert f"--task goalie --seed {rows[0][0]} --perturb" in told
    count, size = frames_of(Path("worst.mp4"))
    assert size == (640, 360)
    assert 10 + 15 <= count <= 15 + 15  # it falls after 1.2 s, and its score stays for 1.5 s

    again = ("--task", "goalie", "--seed", rows[0][0], "--perturb")
    assert call(str(policy), *again, "-o", "again.mp4", "--size", "160x90", "--fps", "5") == 0
    assert f"score {float(rows[0][1]):.2f}" in capsys.readouterr().out  # the same episode


def test_the_training_scene_is_filmed_too(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("stand-still", "--scene", "--task", "kick", "--episodes", "2", "--seconds", "0.1", "-o", "s.mp4") == 0
    assert frames_of(Path("s.mp4")) == (4, (640, 360))
    assert "score" not in capsys.readouterr().out


def test_a_run_plays_its_model(home: Path, policy: Path) -> None:
    log_model(home, "train-1", policy)
    player = find_player(Settings.load(), "train")
    assert player.name == "run train-1"
    assert player.policy.metadata["controller"] == soft_ankles().to_dict()


def test_a_run_that_logged_an_untrained_model_too_plays_the_trained_one(home: Path, tmp_path: Path) -> None:
    trained = zero_policy(89, 12, {"controller": stand_still().to_dict(), "job": "trained"}).save(tmp_path / "b")
    untrained = zero_policy(89, 12, {"controller": stand_still().to_dict()}).save(tmp_path / "a")
    with begin(home, "r1") as run:
        run.log_model(trained, name="model", code=SERVE)
        run.log_model(untrained, name="untrained", code=SERVE)
    assert find_player(Settings.load(), "r1").policy.metadata["job"] == "trained"


def test_a_model_that_was_changed_after_it_was_logged_does_not_play(home: Path, policy: Path) -> None:
    directory = log_model(home, "r1", policy)
    (weights,) = directory.rglob("policy.safetensors")
    weights.write_bytes(weights.read_bytes()[:-4] + b"\0\0\0\x40")
    with pytest.raises(TouchlineError, match="is not what was logged"):
        find_player(Settings.load(), "r1")


def test_what_is_no_policy_of_this_robot_is_refused(home: Path, tmp_path: Path) -> None:
    settings = Settings.load()
    small = zero_policy(5, 12, {"controller": stand_still().to_dict()}).save(tmp_path / "small")
    mute = zero_policy(89, 12).save(tmp_path / "mute")
    torn = zero_policy(89, 12).save(tmp_path / "torn")
    (torn / "policy.json").write_text("{")
    for directory, words in ((small, "maps 5 observations"), (mute, "which controller"), (torn, "cannot be read")):
        with pytest.raises(UsageError, match=words):
            find_player(settings, str(directory))
    with begin(home, "bare"):
        pass
    with pytest.raises(UsageError, match="has logged no model"):
        find_player(settings, "bare")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "Try: touchline film stand-still"),
        (["stand-stil"], "Did you mean 'stand-still'?"),
        (["nobody/here"], "There is no directory nobody/here"),
        (["stand-still", "--task", "golie"], "Did you mean 'goalie'?"),
        (["stand-still", "--task", ""], "Known: all, goalie, kick, obstacle"),
        (["stand-still", "--size", "640"], "such as 640x360"),
        (["stand-still", "--size", "641x360"], "even numbers"),
        (["stand-still", "--fps", "nan"], "1 to 50"),
        (["stand-still", "--seconds", "-1"], "0.1 to 60"),
        (["stand-still", "--episodes", "9"], "27 tiles"),
        (["stand-still", "--scene", "--worst"], "Leave out --scene"),
        (["stand-still", "-o", "film.avi"], "ends in .mp4"),
        (["stand-still", "-o", "absent/film.mp4"], "There is no directory"),
        (["stand-still", "-o", "there.mp4"], "--overwrite"),
    ],
)
def test_what_cannot_be_filmed_is_one_sentence_and_leaves_nothing(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    (tmp_path / "there.mp4").write_text("mine")
    assert call(*arguments) == 2
    said = capsys.readouterr()
    assert words in said.err and said.out == ""
    assert (tmp_path / "there.mp4").read_text() == "mine"
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["home", "there.mp4"]


def test_an_encoder_that_fails_leaves_the_old_film(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "there.mp4").write_text("mine")
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", "/bin/false")
    options = ("--task", "kick", "--seconds", "0.1", "-o", "there.mp4", "--overwrite")
    assert call("stand-still", *options) == 1
    assert "could not be made" in capsys.readouterr().err
    assert (tmp_path / "there.mp4").read_text() == "mine"
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["home", "there.mp4"]
