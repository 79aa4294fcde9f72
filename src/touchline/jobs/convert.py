"""Job *convert*: the JAX actor becomes PyTorch, with the proof that they are equal; never registers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from touchline.errors import TouchlineError, at_least
from touchline.jobs.base import JobResult

if TYPE_CHECKING:
    from touchline.catalog import LoggedModel, ModelVersion
    from touchline.gates import Verdict
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

    Every file is read again and compared with the JAX actor before it is kept. A policy that returns clearly less
    without its noise than with it is converted all the same, and a warning says so.

    Raises:
        TouchlineError: an actor or a file differs from the JAX actor by more than the tolerance.
    """
    from touchline.jax_guard import guard_jax

    guard_jax(run.settings)
    import hashlib
    import json
    import tempfile
    from pathlib import Path

    import numpy as np

    from touchline import gates
    from touchline.jobs.deployment import FILE_NAME, DeployedPolicy, deployed
    from touchline.jobs.models import load_policy, log_policy
    from touchline.jobs.worlds import load_world, refuse_another_world
    from touchline.learning import convert as conversion
    from touchline.learning import export

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

    observations = np.stack(recorded)
    digest = hashlib.sha256(observations.tobytes()).hexdigest()
    run.log_dataset("recorded observations", digest=digest, source=config.world, context="parity")

    warning = doubt_of(loaded.source)
    if warning:
        run.alert("The policy may lose by acting without noise", warning, level="warn")
    module = conversion.NormalisedActor(policy).eval()
    converted = conversion.policy_of(module.actor, policy, {**policy.metadata, "job": "convert", "run": run.id})
    sets, reference = conversion.observation_sets(observations, config.seed), conversion.jax_functions(policy)
    parity = conversion.parity(reference, conversion.torch_functions(module), sets)
    metrics = {f"parity/{what}_{name}": value for name, row in parity.worst.items() for what, value in row.items()}
    run.log({**metrics, "parity/worst": parity.largest}, 0)
    verdict = gates.gate2(parity)
    _refuse(verdict, "The converted actor")
    with tempfile.TemporaryDirectory(dir=run.directory) as directory:
        path = Path(directory) / "converted"
        path.mkdir()
        files: dict[str, gates.Agreement] = {}
        for name, form in export.FORMATS.items():
            form.write(converted, path / name)
            files[name] = conversion.parity(reference, form.read(path / name), sets)
        ready = deployed(converted)
        if isinstance(ready, DeployedPolicy):
            (path / FILE_NAME).write_bytes(ready.file)
            files[FILE_NAME] = conversion.parity(reference, (ready.logits, ready), sets)
        run.log({f"parity/file_{name}": found.largest for name, found in files.items()}, 0)
        verdicts = {name: gates.gate2(found) for name, found in files.items()}
        for name, judged in verdicts.items():
            _refuse(judged, f"The file {name}")
        evidence = {
            "actor": gates.evidence(verdict, parity),
            "files": {name: gates.evidence(verdicts[name], found) for name, found in files.items()},
        }
        (path / "parity.json").write_text(json.dumps(evidence, indent=2, allow_nan=False) + "\n")
        run.log_artifact(path)
    log_policy(run, ready)
    worst = max(parity.largest, *(found.largest for found in files.values()))
    count = sum(parity.observations.values())
    run.set_tags({"parity.worst": f"{worst:.2e}", "convert.deterministic": "doubtful" if warning else "good"})
    figures = {name: found.largest for name, found in files.items()}
    return JobResult(
        {"parity": {"worst": worst, "observations": count, "actor": parity.largest, "files": figures}},
        (
            f"PyTorch, JAX and the files {', '.join(files)} agree to {worst:.1e} on {count:,} "
            f"observations (tolerance {conversion.TOLERANCE:.0e}).",
            *([warning] if warning else []),
        ),
    )


def doubt_of(source: ModelVersion | LoggedModel) -> str:
    """Why to doubt that a policy is as good without noise as with it, or nothing."""
    from touchline.catalog.version import tag_key
    from touchline.learning.convert import keeps_return

    told = [source.tags.get(tag_key(name)) for name in ("eval.return", "eval.stochastic_return")]
    if None in told:
        return f"{source} does not tell its returns with and without noise, so they could not be compared."
    deterministic, stochastic = (float(value) for value in told if value is not None)
    if keeps_return(deterministic, stochastic):
        return ""
    return (
        f"Without noise {source} returns {deterministic:.1f} and with it {stochastic:.1f} on the same episodes: only "
        "the policy without noise is converted, and it has lost more than 5 %. Train longer, or with less entropy."
    )


def _refuse(verdict: Verdict, what: str) -> None:
    """Raise TouchlineError unless ``what`` acts as the JAX actor does."""
    if not verdict.passed:
        raise TouchlineError(f"{what} does not act as the JAX actor does. {verdict.reason} Nothing was kept.")
