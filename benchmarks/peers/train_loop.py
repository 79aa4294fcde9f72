"""A small PyTorch training in blocks, with everything on and with no tracking at all, in turns. Prints JSON last.

Usage: train_loop.py DIRECTORY WANDB_URL THREADS PAIRS BLOCK_SECONDS
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))
from harness import CourierWatch

from touchline.config import Settings
from touchline.tracking.run import Run
from touchline.tracking.start import start_run
from touchline.watch import GpuWatch

SINKS = ("mlflow", "wandb", "tensorboard")
WARM_SECONDS = 1.0
FRAMES, HEIGHT, WIDTH, FPS = 200, 240, 320, 20.0


def trainer(threads: int) -> Callable[[], dict[str, Any]]:
    """Return one training step of a few milliseconds, which gives its metrics (the loss as a tensor)."""
    import torch

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    model = torch.nn.Sequential(
        *(torch.nn.Linear(64, 384), torch.nn.ReLU()),
        *(torch.nn.Linear(384, 384), torch.nn.ReLU()),
        torch.nn.Linear(384, 8),
    )
    optimiser = torch.optim.Adam(model.parameters())

    def step() -> dict[str, Any]:
        inputs = torch.randn(128, 64)
        optimiser.zero_grad()
        loss = ((model(inputs) - inputs[:, :8]) ** 2).mean()
        loss.backward()
        optimiser.step()
        return {"loss": loss}

    return step


class Tracking:
    """Everything on: numbers each step, the watch and a printed line each second, a video at the beginning."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._watch = GpuWatch()
        self._second = 0.0

    def begin(self, step: int) -> None:
        """Start the watch, and film once."""
        import numpy as np

        self._watch.start()
        ramp = np.arange(HEIGHT * WIDTH * 3, dtype=np.int64).reshape(HEIGHT, WIDTH, 3) // 97
        frames = np.stack([(ramp + 3 * frame).astype(np.uint8) for frame in range(FRAMES)])
        self._run.log_video(frames, "film", step, fps=FPS)

    def after(self, step: int, metrics: dict[str, Any]) -> None:
        """What a loop does after its step."""
        self._run.log({**metrics, "lr": 1e-3, "epoch": step // 1_000, "grad_norm": 0.5}, step)
        now = time.monotonic()
        if now - self._second >= 1.0:
            self._second = now
            self._run.log(self._watch.metrics(), step)
            print(f"step {step}: all is well")

    def end(self) -> None:
        """Wait until all of it has arrived everywhere, so that the bare block has the machine for itself."""
        self._watch.stop()
        for sink in SINKS:
            if not self._run.wait_delivered(sink, 60.0):
                raise RuntimeError(f"{sink} did not get everything within 60 s.")


def block(
    step: Callable[[], dict[str, Any]], after: Callable[[int, dict[str, Any]], None], done: int, seconds: float
) -> tuple[int, float]:
    """Train for so long; steps made and steps a second."""
    began = time.perf_counter()
    made = 0
    while (took := time.perf_counter() - began) < seconds:
        after(done + made, step())
        made += 1
    return made, made / took


def main() -> None:
    """Take turns and print."""
    home, url, threads, pairs, seconds = Path(sys.argv[1]), sys.argv[2], *map(int, sys.argv[3:6])
    step = trainer(threads)
    began = time.perf_counter()
    run = start_run("benchmark", settings=Settings(home=home, sinks=SINKS, wandb_base_url=url))
    start_seconds = time.perf_counter() - began
    tracking, watch = Tracking(run), CourierWatch(home)
    done, _ = block(step, tracking.after, 0, 3.0)
    tracking.end()
    speeds: dict[str, list[float]] = {"tracked": [], "bare": []}
    on_seconds = 0.0
    before = watch.cpu_seconds()
    for pair in range(pairs):
        for way in ("tracked", "bare") if pair % 2 == 0 else ("bare", "tracked"):
            if way == "tracked":
                tracking.begin(done)
                done += block(step, tracking.after, done, WARM_SECONDS)[0]
                made, speed = block(step, tracking.after, done, float(seconds))
                done += made
                on_seconds += WARM_SECONDS + seconds
                tracking.end()
            else:
                block(step, lambda number, metrics: None, 0, WARM_SECONDS)
                _, speed = block(step, lambda number, metrics: None, 0, float(seconds))
            speeds[way].append(speed)
    used = watch.cpu_seconds() - before
    began = time.perf_counter()
    delivery = run.finish()
    answer = {
        "speeds": speeds,
        "start_seconds": round(start_seconds, 3),
        "finish_seconds": round(time.perf_counter() - began, 2),
        "complete": delivery.complete,
        "courier_cpu_seconds": round(used, 1),
        "courier_cpu_percent_of_a_processor": round(100 * used / on_seconds, 1),
        "steps_logged": done,
        "couriers": watch.figures(),
    }
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
