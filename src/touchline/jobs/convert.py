"""Job *convert*: the JAX actor becomes PyTorch, with the proof that they are equal; never registers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from touchline.errors import TouchlineError, at_least
from touchline.jobs.base import JobResult

if TYPE_CHECKING:
    from touchline.tracking.run import Run


@dataclass(frozen=True)
class ConvertConfig:
    """Configuration of *convert*."""

    world: str = "soccer"
    """The world of the pipeline, see *pretrain*."""
    seed: int = 0
    """Seed of the recorded episodes and of the noise observations."""
    observations: int = 1_020
    """Observations recorded in the target environments for the parity check, as many on each task."""

    def __post_init__(self) -> None:
        at_least(1_000, self, "observations")


def convert(config: ConvertConfig, run: Run) -> JobResult:
    """Convert ``mjx_sac@Candidate-Pretrain``, check parity, and keep the result as the Run's artifact.

    Raises:
        TouchlineError: the two actors differ by more than the tolerance.
    """
    from touchline.jax_guard import guard_jax

    guard_jax(run.settings)
    import json
    import tempfile
    from pathlib import Path

    import numpy as np
    import torch

    from touchline.jobs.models import load_policy, log_policy
    from touchline.jobs.worlds import load_world, refuse_another_world
    from touchline.learning import convert as conversion

    loaded = load_policy(run, "mjx_sac", "Candidate-Pretrain")
    policy, world = loaded.policy, load_world(config.world)
    refuse_another_world(world, policy, loaded.source)
    world = world.acting_as(policy.metadata)
    recorded: list[np.ndarray] = []
    each = -(-config.observations // len(world.tasks))
    for task in world.tasks:
        env = world.target_environment(task)
        observation, _ = env.reset(seed=config.seed)
        for i in range(each):
            recorded.append(observation)
            observation, _, terminated, truncated, _ = env.step(policy(observation))
            if terminated or truncated:
                observation, _ = env.reset(seed=config.seed + i + 1)
        env.close()

    module = conversion.NormalisedActor(policy).eval()
    sets = conversion.observation_sets(np.stack(recorded), config.seed)
    parity = conversion.parity(conversion.jax_functions(policy), conversion.torch_functions(module), sets)
    run.log(
        {
            **{f"parity/logits_{name}": value for name, value in parity.logits.items()},
            **{f"parity/actions_{name}": value for name, value in parity.actions.items()},
            "parity/worst": parity.worst,
        },
        0,
    )
    if not parity.passed:
        raise TouchlineError(
            f"The converted actor differs from the JAX actor by {parity.worst:.1e}, more than "
            f"{conversion.TOLERANCE:.0e} (logits {dict(parity.logits)}). Compare layer by layer: nothing was kept."
        )
    with tempfile.TemporaryDirectory(dir=run.directory) as directory:
        path = Path(directory) / "converted"
        path.mkdir()
        (path / "parity.json").write_text(json.dumps(parity.to_dict(), indent=2) + "\n")
        example = torch.from_numpy(np.stack(recorded[:2]))
        batch = torch.export.Dim("batch")
        torch.export.save(torch.export.export(module, (example,), dynamic_shapes=({0: batch},)), path / "actor.pt2")
        run.log_artifact(path)
    log_policy(run, conversion.policy_of(module.actor, policy, {**policy.metadata, "job": "convert", "run": run.id}))
    run.set_tags({"parity.worst": f"{parity.worst:.2e}"})
    return JobResult(
        {"parity": parity.to_dict()},
        (
            f"PyTorch and JAX agree to {parity.worst:.1e} on {parity.observations:,} observations "
            f"(tolerance {conversion.TOLERANCE:.0e}).",
        ),
    )
