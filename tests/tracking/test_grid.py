"""Several episodes in one picture."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from touchline.errors import TouchlineError
from touchline.tracking.frames import Episode
from touchline.tracking.grid import Grid, tile


def plain(length: int, value: int, height: int = 4, width: int = 6) -> np.ndarray:
    """An episode of one grey."""
    return np.full((length, height, width, 3), value, np.uint8)


def test_a_finished_episode_keeps_its_last_frame_dimmed() -> None:
    short, long = plain(2, 100), plain(4, 200)
    short[1] = 140
    grid = np.asarray(tile([short, long], columns=2, dim=0.5))
    assert grid.shape == (4, 4, 12, 3)
    assert [frame[0, 0, 0] for frame in grid] == [100, 140, 70, 70]
    assert [frame[0, 6, 0] for frame in grid] == [200] * 4


def test_cells_are_filled_row_by_row_and_an_empty_one_is_black() -> None:
    (frame,) = tile([plain(1, value) for value in (10, 20, 30)], columns=2)
    assert frame.shape == (8, 12, 3)
    assert [frame[0, 0, 0], frame[0, 6, 0], frame[4, 0, 0], frame[4, 6, 0]] == [10, 20, 30, 0]


@pytest.mark.parametrize(
    ("count", "columns", "cells"),
    [(1, None, (1, 1)), (2, None, (1, 2)), (3, None, (2, 2)), (9, None, (3, 3)), (10, None, (3, 4)), (3, 9, (1, 3)),
     (5, 1, (5, 1))],
)  # fmt: skip
def test_the_grid_is_square_unless_told_otherwise(count: int, columns: int | None, cells: tuple[int, int]) -> None:
    assert tile([plain(1, 9)] * count, columns).shape == (1, cells[0] * 4, cells[1] * 6, 3)


@given(lengths=st.lists(st.integers(1, 8), min_size=1, max_size=7), columns=st.none() | st.integers(1, 9))
def test_every_episode_is_shown_whole_at_its_place(lengths: list[int], columns: int | None) -> None:
    episodes = [
        np.arange(length, dtype=np.uint8)[:, None, None, None] * np.ones((1, 2, 2, 3), np.uint8) + 10 * place
        for place, length in enumerate(lengths)
    ]
    grid = tile(episodes, columns, dim=1.0)
    whole = np.asarray(grid)
    assert whole.shape == grid.shape
    assert len(whole) == max(lengths) == len(grid)
    across = grid.shape[2] // 2
    for place, episode in enumerate(episodes):
        top, left = place // across * 2, place % across * 2
        shown = whole[:, top : top + 2, left : left + 2]
        assert np.array_equal(shown[: len(episode)], episode)
        assert np.all(shown[len(episode) :] == episode[-1])


def test_floats_channel_first_and_lists_of_frames_are_tiled_alike() -> None:
    torch: Any = pytest.importorskip("torch")
    episode = np.random.default_rng(0).integers(0, 256, (3, 4, 6, 3), dtype=np.uint8)
    forms = [
        episode,
        episode / 255,
        episode.transpose(0, 3, 1, 2),
        list(episode),
        torch.from_numpy(episode.transpose(0, 3, 1, 2) / np.float32(255)).to(torch.float64),
    ]
    whole = np.asarray(tile(forms, columns=5))
    for place in range(5):
        assert np.array_equal(whole[:, :, 6 * place : 6 * place + 6], episode)


def test_smaller_episodes_stand_in_the_middle_of_their_cell() -> None:
    (frame,) = tile([plain(1, 100, 4, 6), plain(1, 200, 2, 2)])
    assert np.all(frame[1:3, 8:10] == 200)
    assert frame[:, 6:].sum() == 200 * 2 * 2 * 3


def test_frames_that_were_yielded_do_not_change_later() -> None:
    first, second = tile([plain(1, 100), plain(2, 50)])
    assert first[0, 0, 0] == 100
    assert second[0, 0, 0] == 35


def test_the_whole_grid_is_never_in_memory() -> None:
    episode = np.broadcast_to(np.uint8(7), (200, 90, 160, 3))
    grid = tile([episode] * 16)
    tracemalloc.start()
    for _ in grid:
        pass
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    frame = 4 * 90 * 4 * 160 * 3
    assert peak < 6 * frame


@pytest.mark.parametrize(
    ("episodes", "columns", "dim", "said"),
    [
        ([], None, 0.3, "made of frames"),
        ("films", None, 0.3, "made of frames"),
        ([plain(1, 1), np.zeros((3, 3))], None, 0.3, r"shape \(3, 3\)"),
        ([plain(1, 1)], 0, 0.3, "0 columns"),
        ([plain(1, 1)], None, 1.5, "dimmed to 1.5"),
    ],
)
def test_what_cannot_be_tiled_is_refused(episodes: Any, columns: int | None, dim: float, said: str) -> None:
    with pytest.raises(TouchlineError, match=said):
        tile(episodes, columns, dim)


def test_the_last_picture_is_held_dimmed() -> None:
    white = np.full((2, 4, 4, 3), 255, np.uint8)
    frames = np.asarray(Grid([Episode(white), Episode(white[:1])], 2, 0.5, hold=2))
    assert frames.shape == (4, 4, 8, 3)
    assert frames[1].tolist() == [[[255] * 3] * 4 + [[127] * 3] * 4] * 4
    assert (frames[2] == 127).all() and (frames[3] == 127).all()
