"""Every tile says its task, its time and its score; what has ended says how, and the dense return is no score."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from touchline.soccer import captions
from touchline.soccer.captions import Captions, Words


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is written, in order."""
    texts: list[str] = []

    def label(text: str, size: int, color: str = "white") -> object:
        texts.append(text)
        return real(text, size, color)

    real = captions._label
    monkeypatch.setattr(captions, "_label", label)
    return texts


def written(episodes: Sequence[Words], frames: int, columns: int = 1, **options: str) -> list[NDArray[np.uint8]]:
    rows = -(-len(episodes) // columns)
    black = np.zeros((rows * 180, columns * 320, 3), np.uint8)
    return list(Captions(episodes, columns, 320, 180, 25.0, **options).write([black] * frames))


def test_task_time_and_score_so_far(said: list[str]) -> None:
    written([Words("goalie penalty kick", 3, [-0.5, -0.99, -0.99], "")], 3)
    assert said[:3] == ["0.0 s", "goalie penalty kick", "score so far -0.50"]
    assert "0.1 s" in said and "score so far -0.99" in said
    assert not any(text.startswith("score -") for text in said)


def test_an_episode_that_has_ended_tells_its_score_and_how(said: list[str]) -> None:
    written([Words("kick to target", 2, [-0.3, 1.7], "on target")], 4)
    assert said.count("score so far -0.30") == 1
    assert said.count("score 1.70") == said.count("on target") == 3  # its last frame, and those after it
    assert "0.2 s" not in said  # its clock has stopped


def test_where_nothing_is_scored_no_score_is_told(said: list[str]) -> None:
    written([Words("training scene", 2, None, "fallen")], 3)
    assert not any("score" in text for text in said)
    assert "fallen" in said


def test_the_film_says_whose_it_is_in_the_empty_cell() -> None:
    without = written([Words("", 1, None, "")] * 3, 1, columns=2)[0]
    with_it = written([Words("", 1, None, "")] * 3, 1, columns=2, caption="mjx_sac version 3")[0]
    where = np.argwhere((without != with_it).any(axis=-1))
    assert where.min(axis=0)[0] > 180 and where.min(axis=0)[1] > 320


def test_what_is_too_long_for_a_tile_is_shortened(said: list[str]) -> None:
    frame = written([Words("a very long name of a task " * 4, 1, None, ""), Words("", 1, None, "")], 1, columns=2)[0]
    assert any(text.endswith("…") for text in said)
    assert frame[:, 330:600].max() == 0  # nothing in its neighbour but the clock


def test_the_frames_given_stay_as_they_are() -> None:
    black = np.zeros((180, 320, 3), np.uint8)
    frames = list(Captions([Words("goalie", 1, [0.0], "")], 1, 320, 180, 25.0).write([black]))
    assert frames[0].any() and not black.any()


@pytest.mark.parametrize("text", ["score so far -2.47", "goalie penalty kick · seed 7", "a…", "mjx_sac@Champion/3"])
def test_the_font_has_every_letter(text: str) -> None:
    from PIL import ImageFont

    font = ImageFont.load_default(20)
    absent = bytes(font.getmask(chr(0xFFFE)))
    assert all(bytes(font.getmask(letter)) != absent for letter in text)
