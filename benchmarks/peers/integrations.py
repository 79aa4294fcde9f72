"""Short trainings, with an integration of Touchline and without, in turn: ``integrations.py NAME AMOUNT PAIRS``.

Both are in one process, where a run is open and its threads work all the time. Prints as JSON of each training the
wall seconds and the processor seconds of the thread that trains, and the processor seconds of Touchline's threads
meanwhile; what is imported, opened and compiled before does not count.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Callable
from itertools import count, islice
from typing import Any

from touchline.integrations.training import Training

Work = Callable[[], Any]
WHICH = ("bare", "recorded")


def stable_baselines3(amount: int, training: Training | None) -> Work:
    """PPO on Pendulum."""
    from stable_baselines3 import PPO

    from touchline.integrations.stable_baselines3 import TouchlineCallback

    model = PPO("MlpPolicy", "Pendulum-v1", n_steps=1024, seed=0, device="cpu")
    callback = None if training is None else _without_last_save(TouchlineCallback)(training)
    return lambda: model.learn(amount, callback, reset_num_timesteps=False)


def sbx(amount: int, training: Training | None) -> Work:
    """SAC on Pendulum."""
    from sbx import SAC

    from touchline.integrations.sbx import TouchlineCallback

    model = SAC("MlpPolicy", "Pendulum-v1", seed=0, buffer_size=50_000)
    model.learn(200)  # compiles
    callback = None if training is None else _without_last_save(TouchlineCallback)(training)
    return lambda: model.learn(amount, callback, reset_num_timesteps=False)


def _without_last_save(callback: Any) -> Any:
    """The callback, which saves when that is due, but not as ``learn`` ends: here that is every few seconds."""

    class Unsaved(callback):  # type: ignore[misc]
        def _on_training_end(self) -> None:
            training, self._training = self._training, None
            super()._on_training_end()
            self._training = training

    return Unsaved


def gymnasium(amount: int, training: Training | None) -> Work:
    """Random actions in eight environments, whose episodes are counted either way."""
    import gymnasium
    from gymnasium.wrappers.vector import RecordEpisodeStatistics

    from touchline.integrations.gymnasium import VectorRecordEpisodes

    envs = gymnasium.make_vec("Pendulum-v1", num_envs=8, vectorization_mode="sync")
    envs = RecordEpisodeStatistics(envs) if training is None else VectorRecordEpisodes(envs, training.run)

    def work() -> None:
        envs.reset(seed=0)
        for _ in range(amount // 8):
            envs.step(envs.action_space.sample())

    return work


def tensorboard(amount: int, training: Training | None) -> Work:
    """A gradient step and four scalars, to TensorBoard's own writer or to ours."""
    if training is None:
        from torch.utils.tensorboard import SummaryWriter
    else:
        from touchline.compat.tensorboard import SummaryWriter  # type: ignore[assignment]

    step, writer, steps = _gradient_step(), SummaryWriter("runs/x"), count(1)

    def work() -> None:
        for number in islice(steps, amount):
            loss = step()
            for name in ("losses/value", "losses/policy", "charts/SPS", "charts/episodic_return"):
                writer.add_scalar(name, loss, number)

    return work


def lightning(amount: int, training: Training | None) -> Work:
    """Batches of 64 through a small network."""
    import logging

    import lightning as library
    import torch

    from touchline.integrations.lightning import TouchlineLogger

    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)

    class Clone(library.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.policy = torch.nn.Linear(8, 2)

        def training_step(self, batch: Any, _: int) -> Any:
            loss = (self.policy(batch[0]) ** 2).mean()
            self.log("train/loss", loss)
            return loss

        def configure_optimizers(self) -> Any:
            return torch.optim.Adam(self.parameters())

    data = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(torch.randn(64 * amount, 8)), batch_size=64)
    trainer = library.Trainer(
        max_epochs=1,
        accelerator="cpu",
        logger=False if training is None else TouchlineLogger(training.run),
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    model = Clone()

    def work() -> None:
        trainer.fit(model, data)
        assert trainer.fit_loop.max_epochs is not None
        trainer.fit_loop.max_epochs += 1  # the next one goes on

    return work


def accelerate(amount: int, training: Training | None) -> Work:
    """A gradient step and one call of ``log``."""
    from accelerate import Accelerator

    from touchline.integrations.accelerate import TouchlineTracker

    accelerator = Accelerator(cpu=True, log_with=None if training is None else TouchlineTracker(training.run))
    accelerator.init_trackers("x")
    step, steps = _gradient_step(), count(1)

    def work() -> None:
        for number in islice(steps, amount):
            accelerator.log({"train/loss": step()}, step=number)

    return work


def pytorch(amount: int, training: Training | None) -> Work:
    """A gradient step, recorded each time."""
    step, steps = _gradient_step(), count(1)

    def work() -> None:
        for number in islice(steps, amount):
            loss = step()
            if training is not None:
                training.run.log({"train/loss": loss}, number)

    return work


def jax(amount: int, training: Training | None) -> Work:
    """A compiled gradient step, recorded each time."""
    import jax as library

    @library.jit
    def update(weights: Any, inputs: Any) -> tuple[Any, Any]:
        loss, gradient = library.value_and_grad(lambda w: ((inputs @ w) ** 2).mean())(weights)
        return weights - 0.01 * gradient, loss

    keys = library.random.split(library.random.key(0))
    inputs, start = library.random.normal(keys[0], (256, 256)), library.random.normal(keys[1], (256, 256))
    library.block_until_ready(update(start, inputs))
    steps = count(1)

    def work() -> None:
        weights = start
        for number in islice(steps, amount):
            weights, loss = update(weights, inputs)
            if training is not None:
                training.run.log({"train/loss": loss}, number)
        library.block_until_ready(weights)

    return work


def optuna(amount: int, training: Training | None) -> Work:
    """Trials of 100 ms each."""
    import optuna as library

    from touchline.integrations.optuna import TouchlineCallback

    library.logging.set_verbosity(library.logging.WARNING)

    def objective(trial: Any) -> float:
        x, until = float(trial.suggest_float("x", -10, 10)), time.perf_counter() + 0.1
        while time.perf_counter() < until:
            x = (x - 2.0) / 1.001 + 2.0
        return (x - 2) ** 2

    study = library.create_study(sampler=library.samplers.RandomSampler(0))
    callbacks = [] if training is None else [TouchlineCallback(training.run)]
    return lambda: study.optimize(objective, amount, callbacks=callbacks)


def brax(amount: int, training: Training | None) -> Work:
    """PPO in Brax's fastest environment; compilation is in both."""
    import jax as library
    from brax import envs
    from brax.training.agents.ppo import train

    from touchline.integrations.brax import BraxCallbacks

    # Brax 0.14.2 calls it, and jax 0.10 has removed it; here there is one device.
    library.device_put_replicated = lambda tree, _: library.tree.map(
        lambda leaf: library.numpy.asarray(leaf)[None], tree
    )
    ours = None if training is None else BraxCallbacks(training)
    callbacks = {} if ours is None else {"progress_fn": ours.progress, "policy_params_fn": ours.policy_params}
    sizes = {"num_envs": 64, "batch_size": 32, "num_minibatches": 2, "unroll_length": 10, "num_eval_envs": 16}
    environment = envs.get_environment("fast")
    return lambda: train.train(environment, amount, episode_length=100, num_evals=5, **sizes, **callbacks)


def _gradient_step() -> Callable[[], Any]:
    import torch

    torch.manual_seed(0)
    policy = torch.nn.Sequential(torch.nn.Linear(64, 256), torch.nn.Tanh(), torch.nn.Linear(256, 8))
    optimizer, inputs = torch.optim.Adam(policy.parameters()), torch.randn(256, 64)

    def step() -> Any:
        loss = (policy(inputs) ** 2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.detach()

    return step


class ThreadsClock:
    """Processor seconds of Touchline's own threads, those that have ended too."""

    def __init__(self) -> None:
        self._ended = 0.0
        run = threading.Thread.run

        def timed(thread: threading.Thread) -> None:
            try:
                run(thread)
            finally:
                if thread.name.startswith("touchline"):
                    self._ended += time.thread_time()

        threading.Thread.run = timed  # type: ignore[method-assign]

    def seconds(self) -> float:
        """Until now."""
        living = [thread for thread in threading.enumerate() if thread.name.startswith("touchline") and thread.ident]
        return self._ended + sum(time.clock_gettime(time.pthread_getcpuclockid(each.ident)) for each in living)


def main() -> None:
    """Alternate them, the order turned around each time."""
    name, amount, pairs = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    if name in ("sbx", "jax", "brax"):
        from touchline.jax_guard import guard_jax

        guard_jax()
    clock = ThreadsClock()
    with Training(name) as training:
        works = {which: globals()[name](amount, training if which == "recorded" else None) for which in WHICH}
        for work in works.values():
            work()  # compiles, and fills what is filled once
        taken: dict[str, list[float]] = {f"{which}{clocked}": [] for which in WHICH for clocked in ("", "/processor")}
        before = clock.seconds()
        for number in range(pairs):
            for which in WHICH if number % 2 else reversed(WHICH):
                began, worked = time.perf_counter(), time.thread_time()
                works[which]()
                taken[which].append(time.perf_counter() - began)
                taken[f"{which}/processor"].append(time.thread_time() - worked)
        print(json.dumps({**taken, "threads": clock.seconds() - before}))


if __name__ == "__main__":
    main()
