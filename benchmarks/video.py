"""What a video costs the loop: handing over, encoding, tiling, and a busy loop beside the encoder.

Usage: python benchmarks/video.py; writes results/video.json. Frames are 640x360, moving blocks and a little noise.
"""

from __future__ import annotations

import json
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

import touchline
from touchline.config import Settings
from touchline.tracking.run import Run

RESULTS = Path(__file__).parent / "results" / "video.json"


def episode(length: int, seed: int) -> np.ndarray:
    """Return frames (length, 360, 640, 3) of uint8."""
    rng = np.random.default_rng(seed)
    picture = np.kron(rng.integers(0, 250, (9, 16, 3), dtype=np.uint8), np.ones((40, 40, 1), np.uint8))
    noise = rng.integers(0, 6, picture.shape, dtype=np.uint8)
    return np.stack([np.roll(picture, 3 * index, axis=1) + noise for index in range(length)])


def drained(run: Run) -> None:
    """Wait until the run's encoder has nothing left."""
    while run._videos._memory:
        time.sleep(0.01)


def handing_over(run: Run, video: Any) -> dict[str, float]:
    """Time ``run.log_video``, each call with an idle encoder."""
    durations = []
    for step in range(11):
        began = time.perf_counter()
        run.log_video(video, step=step)
        durations.append((time.perf_counter() - began) * 1e6)
        drained(run)
    return {"median_us": round(statistics.median(durations), 1), "worst_us": round(max(durations), 1)}


def frames_per_second(video: Any, path: Path) -> float:
    """Return the frames encoded a second, the encoder's start included."""
    began = time.perf_counter()
    touchline.encode_video(video, path, 25)
    return round(len(video) / (time.perf_counter() - began), 1)


def turns(seconds: float) -> float:
    """Return the turns a second of a loop that is busy in Python and NumPy."""
    matrix, count, end = np.full((60, 60), 0.01), 0, time.perf_counter() + seconds
    while time.perf_counter() < end:
        matrix = np.tanh(matrix @ matrix)
        count += 1
    return count / seconds


def beside_the_encoder(run: Run, video: Any, rounds: int = 8) -> dict[str, float]:
    """Compare pairs of one second each, without and with an encoder at work."""
    losses = []
    for step in range(rounds):
        alone = turns(1.0)
        run.log_video(video, step=step)
        time.sleep(0.1)
        beside = turns(1.0)
        assert run._videos._memory, "the encoder was done too early; make the video longer"
        drained(run)
        losses.append(100 * (1 - beside / alone))
    return {"median_loss_percent": round(statistics.median(losses), 1), "worst_loss_percent": round(max(losses), 1)}


def main() -> None:
    """Measure, print and keep."""
    array = episode(64, 0)
    several = [episode(64 - 4 * seed, seed) for seed in range(9)]
    grid = touchline.tile(several)
    with tempfile.TemporaryDirectory() as place:
        run = touchline.start_run("video", settings=Settings(home=Path(place), sinks=()))
        began = time.perf_counter()
        tiled = sum(1 for _ in grid)
        tiling = tiled / (time.perf_counter() - began)
        results = {
            "load_before": os.getloadavg()[0],
            "hand_over_64_frames_as_array": handing_over(run, array),
            "hand_over_64_frames_as_list": handing_over(run, list(array)),
            "hand_over_9_episodes": handing_over(run, several),
            "encoded_frames_per_second_640x360": frames_per_second(array, Path(place) / "a.mp4"),
            "encoded_frames_per_second_grid_of_9": frames_per_second(grid, Path(place) / "b.mp4"),
            "tiled_frames_per_second_grid_of_9": round(tiling, 1),
            "busy_loop_beside_the_encoder": beside_the_encoder(run, [np.concatenate([array] * 8)]),
            "load_after": os.getloadavg()[0],
        }
        run.finish(timeout=0)
    print(json.dumps(results, indent=2))
    RESULTS.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
