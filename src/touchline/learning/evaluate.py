"""Evaluate a policy over seeds, in parallel, on any Gymnasium environment.

Workers are spawned processes that keep their environment and outlive one evaluation, so judging many policies
on many tasks pays the start-up once. This module imports nothing heavy: a worker loads what its environment
and policy need, after its thread limits are set.
"""

from __future__ import annotations

import functools
import multiprocessing
import numbers
import pickle
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from touchline.errors import TouchlineError, UsageError
from touchline.learning.workers import leaving_signals_to_the_parent, packed, prepare_worker

MakeEnv = Callable[[], Any]
"""A picklable factory of a Gymnasium environment: a class, or a ``functools.partial`` of one."""
Policy = Callable[[Any], Any]
"""A picklable pure function: observation to action."""


@dataclass(frozen=True)
class Episode:
    """One evaluated episode."""

    seed: int
    """Seed given to ``reset``: the scenario."""
    return_: float
    """Undiscounted sum of rewards."""
    length: int
    """Policy steps."""
    terminated: bool
    """Whether the environment ended it; False when the time ran out."""
    info: Mapping[str, float]
    """The scalars of the last step's ``info``, such as ``score``; booleans stay what they are, and what stands in a
    mapping is named as a path is: ``outcomes/touches``."""
    outcome: str = ""
    """How it ended in words, where ``info["outcome"]`` says so."""


class Evaluator:
    """A pool of evaluation processes, started on first use; a context manager that stops them."""

    def __init__(self, processes: int = 2) -> None:
        if processes < 1:
            raise UsageError(f"An evaluation needs at least 1 process, not {processes}; use processes=1.")
        self._processes = processes
        self._pool: ProcessPoolExecutor | None = None

    def evaluate(
        self,
        make_env: MakeEnv,
        policy: Policy,
        seeds: Iterable[int],
        *,
        options: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None,
        on_episode: Callable[[Episode], None] | None = None,
    ) -> list[Episode]:
        """Run one episode a seed; returns them in the order of ``seeds``, whichever finished first.

        ``options`` (picklable) go to every ``env.reset``, or a sequence of them to one each: what varies there costs
        no new environment.
        ``on_episode`` is told of each episode, in the same order. With one process everything runs in this
        one. Raises TouchlineError when something cannot be pickled, an episode fails or a worker dies.
        """
        seeds, episodes = list(seeds), []
        each = list(options) if isinstance(options, Sequence) else [options] * len(seeds)
        pairs = list(zip(seeds, each, strict=True))
        if self._processes == 1:
            env = make_env()
            results: Iterable[Episode] = (_run(env, policy, seed, one) for seed, one in pairs)
        else:
            sent = [(seed, packed(one)) for seed, one in pairs]
            env, results = None, self._spread(packed(make_env), packed(policy), sent)
        try:
            for episode in results:
                episodes.append(episode)
                if on_episode is not None:
                    on_episode(episode)
        finally:
            if env is not None:
                env.close()
        return episodes

    def close(self) -> None:
        """Stop the processes; an episode that is running is waited for, those that are queued are dropped."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
            self._pool = None

    def __enter__(self) -> Evaluator:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _spread(self, make_env: bytes, policy: bytes, episodes: list[tuple[int, bytes]]) -> Iterable[Episode]:
        if self._pool is None:
            context = multiprocessing.get_context("spawn")
            self._pool = ProcessPoolExecutor(self._processes, mp_context=context, initializer=prepare_worker)
        futures: list[Future[Episode]] = []
        try:
            with leaving_signals_to_the_parent():
                futures = [self._pool.submit(_work, make_env, policy, options, seed) for seed, options in episodes]
            for future in futures:
                yield future.result()
        except BrokenProcessPool as error:
            self._pool = None
            raise TouchlineError(
                f"An evaluation process died in the middle of {len(episodes)} episodes. If memory ran out, use "
                "fewer processes; processes=1 runs in this one and shows the cause."
            ) from error
        except BaseException:
            for future in futures:
                future.cancel()
            raise


def evaluate(make_env: MakeEnv, policy: Policy, seeds: Iterable[int], processes: int = 2) -> list[Episode]:
    """Run one episode a seed in a pool of its own; see ``Evaluator.evaluate``."""
    seeds = list(seeds)
    with Evaluator(min(processes, max(1, len(seeds)))) as evaluator:
        return evaluator.evaluate(make_env, policy, seeds)


def _run(env: Any, policy: Policy, seed: int, options: Mapping[str, Any] | None) -> Episode:
    try:
        observation, info = env.reset(seed=seed, options=options)
        total, length, terminated, truncated = 0.0, 0, False, False
        while not (terminated or truncated):
            observation, reward, terminated, truncated, info = env.step(policy(observation))
            total, length = total + float(reward), length + 1
    except Exception as error:
        raise TouchlineError(
            f"The evaluation episode with seed {seed} failed: {type(error).__name__}: {error}. "
            "Run it alone with processes=1 to see where."
        ) from error
    return Episode(seed, total, length, bool(terminated), dict(_scalars(info)), str(info.get("outcome", "")))


def _scalars(info: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, float]]:
    for key, value in info.items():
        plain = value.item() if getattr(value, "ndim", None) == 0 else value
        if isinstance(plain, Mapping):
            yield from _scalars(plain, f"{path}{key}/")
        elif isinstance(plain, numbers.Real):
            yield f"{path}{key}", plain if isinstance(plain, bool) else float(plain)


@functools.lru_cache(maxsize=4)
def _env_of(make_env: bytes) -> Any:
    return pickle.loads(make_env)()


@functools.lru_cache(maxsize=2)
def _policy_of(policy: bytes) -> Policy:
    loaded: Policy = pickle.loads(policy)
    return loaded


def _work(make_env: bytes, policy: bytes, options: bytes, seed: int) -> Episode:
    return _run(_env_of(make_env), _policy_of(policy), seed, pickle.loads(options))
