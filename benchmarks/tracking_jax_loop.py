"""A jitted JAX training step that logs its loss each step: how much of its speed it keeps.

Goal: at least 97 %. Beside it the same loop with ``float(loss)``, which waits for the device at each step. The three
take turns in one process. Usage: python benchmarks/tracking_jax_loop.py [--quick]
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from harness import Part, kept_share, scratch, table

from touchline.config import Settings
from touchline.tracking.start import start_run

WIDTHS = {"128 wide": (128, 64), "512 wide": (512, 128)}
"""Width of the two hidden layers, and examples a step."""
BLOCK_SECONDS = 0.3
"""Short, so that what else happens on the machine meets all three alike."""


def trainer(width: int, batch: int) -> tuple[Callable[..., Any], tuple[Any, ...]]:
    """Return a jitted step (state, key) → (state, key, loss) and its first arguments."""
    import jax
    import jax.numpy as jnp

    sizes = (64, width, width, 8)
    keys = jax.random.split(jax.random.key(0), len(sizes))
    weights = [jax.random.normal(k, (a, b)) / a**0.5 for k, a, b in zip(keys, sizes, sizes[1:], strict=False)]

    def loss_of(weights: list[Any], inputs: Any) -> Any:
        hidden = inputs
        for weight in weights[:-1]:
            hidden = jax.nn.relu(hidden @ weight)
        return jnp.mean((hidden @ weights[-1] - inputs[:, :8]) ** 2)

    def step(weights: list[Any], key: Any) -> tuple[list[Any], Any, Any]:
        key, now = jax.random.split(key)
        loss, slope = jax.value_and_grad(loss_of)(weights, jax.random.normal(now, (batch, 64)))
        return [weight - 1e-3 * change for weight, change in zip(weights, slope, strict=True)], key, loss

    return jax.jit(step, donate_argnums=0), (weights, keys[-1])


def compare(part: Part, width: int, batch: int) -> dict[str, Any]:
    """Time blocks of equal work, the three loops in a random order each round."""
    import jax

    step, (weights, key) = trainer(width, batch)
    done = 0
    with scratch() as home:
        run = start_run("benchmark", settings=Settings(home=home, sinks=(), capture=()))
        written = [0.0]
        uses: dict[str, Callable[[Any], object]] = {
            "bare": lambda loss: None,
            "run.log": lambda loss: run.log({"loss": loss}, done),
            "float(loss)": lambda loss: written.__setitem__(0, float(loss)),
        }
        weights, key, loss = jax.block_until_ready(step(weights, key))
        began = time.perf_counter()
        for _ in range(200):
            weights, key, loss = step(weights, key)
        jax.block_until_ready(loss)
        steps = max(20, int(BLOCK_SECONDS * 200 / (time.perf_counter() - began)))
        seconds: dict[str, list[float]] = {name: [] for name in uses}
        order = list(uses)
        for _ in range(part.size(60, 8)):
            random.Random(done).shuffle(order)
            for name in order:
                use = uses[name]
                began = time.perf_counter()
                for _ in range(steps):
                    weights, key, loss = step(weights, key)
                    done += 1
                    use(loss)
                jax.block_until_ready(loss)
                seconds[name].append(time.perf_counter() - began)
        run.finish(timeout=60.0)
    shares = {name: kept_share(seconds["bare"], seconds[name]) for name in uses if name != "bare"}
    step_us = round(sorted(seconds["bare"])[len(seconds["bare"]) // 2] / steps * 1e6, 1)
    return {"step_us": step_us, "steps_a_block": steps, **shares, "seconds": seconds}


def main() -> None:
    """Measure, keep and print."""
    part = Part("jax_loop", __doc__)
    rows = []
    for name, (width, batch) in WIDTHS.items():
        found = part.measure(name, partial(compare, part, width, batch))
        for use in ("run.log", "float(loss)"):
            share = found[use]
            rows.append([name, found["step_us"], use, share["kept_percent"], share["kept_percent_at_least"]])
    table(["MLP", "bare step µs", "each step", "speed kept %", "at least (95 %)"], rows)


if __name__ == "__main__":
    main()
