"""Job *gate3*: is the candidate really better? Paired evaluation, a verdict with evidence, the Champion alias."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from touchline.errors import at_least
from touchline.jobs.base import JobResult, raise_if_stopped
from touchline.soccer.perturbation import Perturbation

if TYPE_CHECKING:
    from touchline.tracking.run import Run


@dataclass(frozen=True)
class Gate3Config:
    """Configuration of *gate3*."""

    world: str = "soccer"
    """The world of the pipeline, see *pretrain*."""
    seed: int = 0
    """Seed of the bootstrap; the scenarios are drawn afresh for every attempt."""
    scenarios: int = 8
    """Scenarios a task that decide; below 200 the verdict is called provisional."""
    official_episodes: int = 8
    """Episodes a task, on unperturbed official resets, for the table of official scores."""
    perturbation: Perturbation = field(default_factory=Perturbation)
    """What makes the scenarios differ: the goalie task resets to one state for every seed."""
    processes: int = 2
    """Processes that evaluate."""

    def __post_init__(self) -> None:
        at_least(2, self, "scenarios")
        at_least(1, self, "official_episodes", "processes")


def gate3(config: Gate3Config, run: Run) -> JobResult:
    """Judge ``ddpg_finetuned@Candidate-Finetuned`` and set ``@Champion`` when the gate is passed.

    Every player meets the same scenarios: the candidate, the champion if there is one, "stand still" (action 0
    under stiff ankles) and the untrained policy that the present ``mjx_sac@Candidate-Pretrain`` began as.
    """
    import hashlib
    import json

    import numpy as np

    from touchline import gates
    from touchline.catalog import Catalog, claim_attempt, promote, refuse
    from touchline.jobs.decisions import tell_decision
    from touchline.jobs.deployment import DeployedPolicy, deployed
    from touchline.jobs.judge import Judge, Judged
    from touchline.jobs.models import DELIVERY_SECONDS, load_policy, load_untrained, milestone, tell_milestone
    from touchline.jobs.progress import progress
    from touchline.jobs.worlds import load_world, refuse_another_world
    from touchline.learning.policy import Policy, zero_policy

    world = load_world(config.world)
    catalog = Catalog.of(run.settings)
    version = milestone(catalog, "ddpg_finetuned", "Candidate-Finetuned")
    champion = catalog.resolve("ddpg_finetuned", "Champion")
    if champion is not None and champion.version == version.version:
        return JobResult(
            {"verdict": f"{version} is the champion already.", "champion": str(champion)},
            (f"{version} is the champion already, so there is nothing to judge.",),
        )

    claimed = claim_attempt(catalog, version, run_id=run.id)
    champion = claimed.champion
    players: dict[str, Policy] = {"candidate": load_policy(run, "ddpg_finetuned", "Candidate-Finetuned").policy}
    if champion is not None:
        players["champion"] = load_policy(run, "ddpg_finetuned", "Champion").policy
    for name, policy in players.items():
        refuse_another_world(world, policy, f"The {name}, {version if name == 'candidate' else champion},")
    at_rest = world.at_rest()
    metadata = {**at_rest.metadata(), "world": world.name}
    players["stand still"] = zero_policy(world.observation_size, world.action_size, metadata)
    players["untrained"] = load_untrained(run)
    players = {name: deployed(policy) for name, policy in players.items()}
    files = {name: policy.digest for name, policy in players.items() if isinstance(policy, DeployedPolicy)}
    names = {"candidate": str(version), "champion": f"the champion, {champion}", "untrained": "the untrained policy"}

    draws = np.random.default_rng(list(hashlib.sha256(f"{claimed.reign} {claimed.number}".encode()).digest()))
    seeds = [int(seed) for seed in draws.choice(2**31, config.scenarios, replace=False)]
    decisive = world.scenarios(seeds, config.perturbation)
    unperturbed = world.scenarios(range(config.official_episodes))
    evaluations: dict[str, gates.Evaluation] = {}
    official: dict[str, Judged] = {}
    total = len(players) * (len(decisive) + len(unperturbed))
    with (
        progress(run.job, total, "episodes", headline="score") as bar,
        Judge(config.processes, config.world) as judge,
    ):
        played = 0
        for name, policy in players.items():
            raise_if_stopped(f"before judging {name}")
            judged = judge.evaluate(policy, decisive, raise_if_stopped)
            evaluations[name] = gates.Evaluation(
                names.get(name, name),
                judged.scores,
                judged.returns,
                judged.physics_steps,
                dict.fromkeys(world.tasks, tuple(seeds)),
            )
            official[name] = judge.evaluate(policy, unperturbed, raise_if_stopped)
            played += len(decisive) + len(unperturbed)
            run.log(
                {
                    **{f"official/{name}/{task}": float(s.mean()) for task, s in official[name].scores.items()},
                    **{f"gate3/{name}/{task}": float(s.mean()) for task, s in judged.scores.items()},
                    f"gate3/{name}/physics_steps": judged.mean_physics_steps,
                },
                played,
            )
            bar.update(played, score=official[name].mean_score)

    verdict = gates.gate3(
        evaluations["candidate"],
        evaluations.get("champion"),
        evaluations["untrained"],
        evaluations["stand still"],
        seed=config.seed,
    )
    evidence = gates.evidence(verdict, *evaluations.values())
    evidence["files"] = files
    evidence["scenarios"] = [scenario.to_dict() for scenario in decisive]
    path = run.directory / "evidence.json"
    path.write_text(json.dumps(evidence, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    run.log_artifact(path)
    told = gates.tags(verdict) | {"evidence_digest": hashlib.sha256(path.read_bytes()).hexdigest()}
    if "candidate" in files:
        told["file"] = files["candidate"]
    run.set_tags({f"gate3.{key}": value for key, value in told.items()})
    # evidence first, alias last: what is crowned can always be checked
    run.wait_delivered("mlflow", DELIVERY_SECONDS)
    told["evidence"] = f"runs:/{run.mlflow_run_id}/{path.name}"
    if verdict.passed:
        promotion = promote(catalog, claimed, told)
        champion = promotion.champion
        tell_milestone(run, players["candidate"], champion)
        tell_decision(run, promotion.entry, champion)
    else:
        tell_decision(run, refuse(catalog, claimed, told), version)
    scores = {
        task: {name: float(judged.scores[task].mean()) for name, judged in official.items()} for task in world.tasks
    }
    if verdict.passed:
        for row in scores.values():
            row["champion"] = row["candidate"]
    return JobResult(
        {
            "scores": scores,
            "verdict": verdict.reason,
            "passed": verdict.passed,
            "provisional": verdict.provisional,
            "champion": None if champion is None else str(champion),
        },
        (verdict.reason,),
    )
