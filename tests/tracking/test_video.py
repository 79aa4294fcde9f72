"""Frames become a playable file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from touchline.errors import TouchlineError
from touchline.tracking.video import encode_video


def test_a_video_can_be_read_back(tmp_path: Path) -> None:
    import imageio_ffmpeg

    frames = np.zeros((12, 48, 64, 3), np.uint8)
    frames[6:] = 200
    path = encode_video(frames, tmp_path / "videos" / "a.mp4", fps=25)
    reader = imageio_ffmpeg.read_frames(str(path))
    properties = next(reader)
    images = [np.frombuffer(image, np.uint8) for image in reader]
    assert (properties["size"], properties["fps"], properties["codec"]) == ((64, 48), 25.0, "h264")
    assert len(images) == 12
    assert images[0].mean() < 20 < 150 < images[-1].mean()
    assert [file.name for file in path.parent.iterdir()] == ["a.mp4"]


def test_odd_sizes_lose_their_last_row_and_column(tmp_path: Path) -> None:
    import imageio_ffmpeg

    path = encode_video(np.zeros((3, 33, 65, 3), np.uint8), tmp_path / "a.mp4", fps=10)
    assert next(imageio_ffmpeg.read_frames(str(path)))["size"] == (64, 32)


@pytest.mark.parametrize(
    "frames", [np.zeros((3, 32, 32), np.uint8), np.zeros((3, 32, 32, 3)), np.zeros((0, 8, 8, 3))]
)
def test_other_arrays_are_refused_with_their_shape(frames: np.ndarray, tmp_path: Path) -> None:
    with pytest.raises(TouchlineError, match="uint8"):
        encode_video(frames, tmp_path / "a.mp4", fps=10)
