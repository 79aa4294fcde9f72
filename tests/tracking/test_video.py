"""Frames, in whatever form they come, become a playable file."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import imageio_ffmpeg
import numpy as np
import psutil
import pytest

import touchline
from tests.tracking.conftest import until
from touchline.errors import TouchlineError
from touchline.tracking.encoder import Encoder
from touchline.tracking.video import Video, encode_video


def read(path: Path) -> tuple[dict[str, Any], np.ndarray]:
    """Properties and frames (T, H, W, 3) of a video file."""
    reader = imageio_ffmpeg.read_frames(str(path))
    properties = next(reader)
    width, height = properties["size"]
    return properties, np.stack([np.frombuffer(image, np.uint8).reshape(height, width, 3) for image in reader])


def gradient(length: int = 6, height: int = 48, width: int = 64) -> np.ndarray:
    """Frames with a red that grows to the right, a green that grows downwards and a blue that grows with time."""
    frames = np.zeros((length, height, width, 3), np.uint8)
    frames[..., 0] = np.linspace(20, 230, width)
    frames[..., 1] = np.linspace(20, 230, height)[:, None]
    frames[..., 2] = np.linspace(20, 230, length)[:, None, None]
    return frames


def assert_alike(path: Path, frames: np.ndarray) -> None:
    shown = read(path)[1]
    assert shown.shape == frames.shape
    # H.264 halves the resolution of the colours, so single pixels may be further off.
    assert np.abs(shown.astype(int) - frames).mean() < 4


def test_a_video_can_be_read_back_in_its_colours(tmp_path: Path) -> None:
    frames = gradient()
    path = encode_video(frames, tmp_path / "videos" / "a.mp4", fps=25)
    properties, _ = read(path)
    assert (properties["size"], properties["fps"], properties["codec"]) == ((64, 48), 25.0, "h264")
    assert properties["pix_fmt"].startswith("yuv420p")
    assert_alike(path, frames)
    assert [file.name for file in path.parent.iterdir()] == ["a.mp4"]


def test_a_browser_can_begin_to_play_before_it_has_the_whole_file(tmp_path: Path) -> None:
    content = encode_video(gradient(), tmp_path / "a.mp4", fps=25).read_bytes()
    assert 0 < content.index(b"moov") < content.index(b"mdat")


@pytest.mark.parametrize("height, width", [(33, 65), (3, 64), (48, 2)])
def test_odd_sizes_lose_their_last_row_and_column(height: int, width: int, tmp_path: Path) -> None:
    path = encode_video(gradient(3, height, width), tmp_path / "a.mp4", fps=10)
    assert read(path)[0]["size"] == (width // 2 * 2, height // 2 * 2)


def test_a_picture_too_large_for_players_is_scaled_down(tmp_path: Path) -> None:
    path = encode_video(np.zeros((1, 20, 5_000, 3), np.uint8), tmp_path / "a.mp4", fps=10)
    assert read(path)[0]["size"] == (4_096, 16)


def as_torch(frames: np.ndarray) -> Any:
    return pytest.importorskip("torch").from_numpy(frames / np.float32(255)).permute(0, 3, 1, 2)


def as_jax(frames: np.ndarray) -> Any:
    return pytest.importorskip("jax.numpy").asarray(frames)


@pytest.mark.parametrize(
    "form",
    [
        lambda frames: list(frames),
        lambda frames: iter(list(frames)),
        lambda frames: frames / 255.0,
        lambda frames: (frames / 255.0).astype(np.float16),
        lambda frames: frames.astype(np.int64),
        lambda frames: frames.transpose(0, 3, 1, 2),
        lambda frames: [frame.transpose(2, 0, 1) / 255.0 for frame in frames],
        lambda frames: np.concatenate([frames, frames[..., :1]], axis=-1),
        lambda frames: frames[:, ::-1][:, ::-1],
        lambda frames: touchline.tile([frames]),
        as_torch,
        as_jax,
    ],
    ids=[
        "list", "iterator", "float", "float16", "int64", "channel-first", "channel-first floats", "rgba", "view",
        "grid", "torch", "jax",
    ],
)  # fmt: skip
def test_every_usual_form_of_frames_gives_the_same_picture(form: Any, tmp_path: Path) -> None:
    frames = gradient()
    assert_alike(encode_video(form(frames), tmp_path / "a.mp4", fps=10), frames)


def test_grey_frames_become_grey_pictures(tmp_path: Path) -> None:
    frames = gradient()[..., :1]
    assert_alike(encode_video(frames, tmp_path / "a.mp4", fps=10), frames.repeat(3, axis=-1))


@pytest.mark.parametrize(
    ("frames", "said"),
    [
        (np.zeros((3, 32, 32), np.uint8), r"shape \(3, 32, 32\)"),
        (np.zeros((0, 8, 8, 3), np.uint8), r"shape \(0, 8, 8, 3\)"),
        (np.full((3, 8, 8, 3), 255.0), "values from 255.0 to 255.0"),
        (np.full((3, 8, 8, 3), np.nan), "values from nan"),
        (np.full((3, 8, 8, 3), 300), "values from 300"),
        (np.zeros((3, 8, 8, 3), complex), "complex128"),
        ([np.zeros((8, 8, 3), np.uint8), np.zeros((9, 8, 3), np.uint8)], "8x9 pixels, and its first one has 8x8"),
        ([], r"shape \(0\)"),
    ],
)
def test_what_is_no_video_is_refused_with_what_it_is(frames: Any, said: str, tmp_path: Path) -> None:
    with pytest.raises(TouchlineError, match=said):
        encode_video(frames, tmp_path / "a.mp4", fps=10)
    assert list(tmp_path.iterdir()) == []


def test_frames_a_second_that_cannot_be_are_refused_where_they_are_given() -> None:
    with pytest.raises(TouchlineError, match="'15' frames a second"):
        touchline.get_wandb_video([gradient()], fps="15")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("frames", "fps", "said"),
    [
        (iter([np.zeros((8, 8, 3), np.uint8), np.zeros((8, 10, 3), np.uint8)]), 10, "have one size"),
        (iter([]), 10, "at least one frame"),
        (gradient(), 0, "0 frames a second"),
        (gradient(), "15", "'15' frames a second"),
        (np.zeros((2, 1, 9, 3), np.uint8), 10, "9x1 pixels is too small"),
    ],
)
def test_a_video_that_cannot_be_is_refused(frames: Any, fps: Any, said: str, tmp_path: Path) -> None:
    with pytest.raises(TouchlineError, match=said):
        encode_video(frames, tmp_path / "a.mp4", fps=fps)
    assert list(tmp_path.iterdir()) == []


def test_a_killed_encoder_is_an_error_that_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(TouchlineError, match="killed by signal 9"):
        encode_video(gradient(), tmp_path / "a.mp4", fps=10, started=Encoder.kill)
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_refuses_is_told_in_the_encoders_words(tmp_path: Path) -> None:
    (tmp_path / ".a.partial.mp4").symlink_to("/dev/full")
    with pytest.raises(TouchlineError, match=r"encoder of .*a.* failed: .*: No space left on device. Check"):
        encode_video(gradient(), tmp_path / "a.mp4", fps=10)


def test_without_the_encoder_it_is_said_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    with pytest.raises(TouchlineError, match="pip install imageio-ffmpeg"):
        encode_video(gradient(), tmp_path / "a.mp4", fps=10)


def test_in_the_background_the_encoder_yields_the_processor(tmp_path: Path) -> None:
    seen: list[int] = []

    def look(encoder: Encoder) -> None:
        pid = encoder._process.pid
        assert os.getsid(pid) == os.getsid(0)  # elsewhere niceness is not weighed against the training
        assert os.getpgid(pid) != os.getpgid(0)  # and in its group Ctrl-C would end it
        seen.append(os.getpriority(os.PRIO_PROCESS, pid))

    encode_video(gradient(), tmp_path / "a.mp4", fps=10, background=True, started=look)
    encode_video(gradient(), tmp_path / "a.mp4", fps=10, started=look)
    assert seen[0] > seen[1] == os.getpriority(os.PRIO_PROCESS, 0)


OWNER = """
import os, sys, time
import numpy as np
from pathlib import Path
from touchline.tracking.encoder import Encoder
encoder = Encoder(Path(sys.argv[1]), 48, 64, 25)
encoder.write([np.zeros((48, 64, 3), np.uint8)])
child = os.fork()
if child == 0:
    time.sleep(60)
    os._exit(0)
print(encoder._process.pid, child, flush=True)
time.sleep(60)
"""


def test_the_encoder_ends_with_its_owner_although_a_forked_child_lives_on(tmp_path: Path) -> None:
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER, str(tmp_path / "a.mp4")], stdout=subprocess.PIPE, text=True
    )
    assert owner.stdout is not None
    encoder, child = (int(word) for word in owner.stdout.readline().split())
    try:
        owner.kill()
        owner.wait()
        until(lambda: not psutil.pid_exists(encoder) or psutil.Process(encoder).status() == psutil.STATUS_ZOMBIE)
        assert psutil.pid_exists(child)
    finally:
        psutil.Process(child).kill()
        owner.stdout.close()


def test_a_video_is_of_frames_or_of_a_file() -> None:
    with pytest.raises(TouchlineError, match="one of the two"):
        Video()
    with pytest.raises(TouchlineError, match="one of the two"):
        Video(gradient(), Path("a.mp4"))
