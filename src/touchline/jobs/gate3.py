"""Job *gate3*: is the candidate really better? Paired evaluation, a verdict with evidence, the Champion alias."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from touchline.errors import at_least
from touchline.filesystem import write_private
from touchline.jobs.base import SLOW_DELIVERY_SECONDS, JobResult, raise_if_stopped, stop_requested
from touchline.soccer.perturbation import Perturbation

if TYPE_CHECKING:
    from touchline.catalog import Attempt
    from touchline.gates import Evaluation
    from touchline.jobs.judge import Judged
    from touchline.learning.policy import Policy
    from touchline.simulation.scenario import Scenario
    from touchline.simulation.world import World
    from touchline.tracking.run import Run


@dataclass(frozen=True)
class Gate3Config:
    """Configuration of *gate3*."""

    world: str = "soccer"
    """The world of the pipeline, see *pretrain*."""
    scenarios: int = 8
    """Scenarios a task that decide, drawn afresh for every attempt; below 200 the verdict is called provisional."""
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

    An attempt is claimed in the ledger before anything is played. Every player meets the same scenarios: the
    candidate, the champion if there is one, "stand still" (action 0 under stiff ankles) and the untrained policy that
    the present ``mjx_sac@Candidate-Pretrain`` began as.
    """
    from touchline.catalog import Catalog, claim_attempt
    from touchline.jobs.models import milestone
    from touchline.jobs.worlds import load_world

    world = load_world(config.world)
    catalog = Catalog.of(run.settings)
    candidate = milestone(catalog, "ddpg_finetuned", "Candidate-Finetuned")
    champion = catalog.resolve("ddpg_finetuned", "Champion")
    if champion is not None and champion.version == candidate.version:
        return JobResult(
            {"verdict": f"{candidate} is the champion already.", "champion": str(champion)},
            (f"{candidate} is the champion already, so there is nothing to judge.",),
        )
    attempt = claim_attempt(catalog, candidate, run_id=run.id)
    players = _players(run, world, attempt)
    decisive = _scenarios(world, attempt, config)
    evaluations, official = _play(config, run, world, attempt, players, decisive)
    return _decide(run, world, attempt, evaluations, official, players, decisive)


def _players(run: Run, world: World, attempt: Attempt) -> dict[str, Policy]:
    """Load everybody, the candidate first."""
    from touchline.jobs.deployment import deployed
    from touchline.jobs.models import load_untrained, load_version
    from touchline.jobs.worlds import refuse_another_world
    from touchline.learning.policy import zero_policy

    players = {"candidate": load_version(run, attempt.candidate, "Candidate-Finetuned").policy}
    if attempt.champion is not None:
        players["champion"] = load_version(run, attempt.champion, "Champion").policy
    for name, policy in players.items():
        version = attempt.candidate if name == "candidate" else attempt.champion
        refuse_another_world(world, policy, f"The {name}, {version},")
    at_rest = world.at_rest()
    metadata = {**at_rest.metadata(), "world": world.name}
    players["stand still"] = zero_policy(world.observation_size, world.action_size, metadata)
    players["untrained"] = load_untrained(run)
    return {name: deployed(policy) for name, policy in players.items()}


def _scenarios(world: World, attempt: Attempt, config: Gate3Config) -> list[Scenario]:
    """Those of this attempt, task by task: the same on every machine, and nobody can choose them."""
    from touchline.gates import scenario_seeds

    return [
        scenario
        for task in world.tasks
        for scenario in world.scenarios(
            scenario_seeds(attempt.reign, attempt.number, task, config.scenarios), config.perturbation
        )
        if scenario.task == task
    ]


def _play(
    config: Gate3Config,
    run: Run,
    world: World,
    attempt: Attempt,
    players: Mapping[str, Policy],
    decisive: Sequence[Scenario],
) -> tuple[dict[str, Evaluation], dict[str, Judged]]:
    """Let everybody play everything; returns what the gate judges, and the unperturbed episodes beside it."""
    from touchline.gates import Evaluation
    from touchline.jobs.judge import Judge, outcomes_of
    from touchline.jobs.progress import progress

    names = {
        "candidate": str(attempt.candidate),
        "champion": f"the champion, {attempt.champion}",
        "untrained": "the untrained policy",
    }
    digests = {task: tuple(one.digest for one in decisive if one.task == task) for task in world.tasks}
    unperturbed = world.scenarios(range(config.official_episodes))
    evaluations: dict[str, Evaluation] = {}
    official: dict[str, Judged] = {}
    each = len(decisive) + len(unperturbed)
    with (
        progress(run.job, len(players) * each, "episodes", headline="score") as bar,
        Judge(config.processes, config.world) as judge,
    ):
        for count, (name, policy) in enumerate(players.items(), start=1):
            raise_if_stopped(f"before judging {name}")
            judged = judge.evaluate(policy, decisive, raise_if_stopped)
            official[name] = judge.evaluate(policy, unperturbed, raise_if_stopped)
            evaluations[name] = Evaluation(
                names.get(name, name),
                judged.scores,
                judged.returns,
                judged.physics_steps,
                {
                    task: tuple(bool(outcomes_of(episode)["fall"]) for episode in episodes)
                    for task, episodes in judged.episodes.items()
                },
                digests,
                official[name].scores,
            )
            run.log(
                {
                    **{f"official/{name}/{task}": float(s.mean()) for task, s in official[name].scores.items()},
                    **{f"gate3/{name}/{task}": float(s.mean()) for task, s in judged.scores.items()},
                    f"gate3/{name}/physics_steps": judged.mean_physics_steps,
                },
                count * each,
            )
            bar.update(count * each, score=official[name].mean_score)
    return evaluations, official


def _decide(
    run: Run,
    world: World,
    attempt: Attempt,
    evaluations: Mapping[str, Evaluation],
    official: Mapping[str, Judged],
    players: Mapping[str, Policy],
    decisive: Sequence[Scenario],
) -> JobResult:
    """Judge, keep the evidence where everybody can check it, and promote or refuse, the alias last."""
    from touchline import gates
    from touchline.catalog import Catalog, decide
    from touchline.jobs.cards import update_card
    from touchline.jobs.deployment import DeployedPolicy
    from touchline.jobs.models import DELIVERY_SECONDS

    contest = gates.Contest(
        evaluations["candidate"],
        evaluations["stand still"],
        evaluations.get("champion"),
        (evaluations["untrained"],),
        attempt=attempt.number,
    )
    verdict = gates.gate3(contest)
    files = {name: policy.digest for name, policy in players.items() if isinstance(policy, DeployedPolicy)}
    told = gates.tags(verdict, contest) | _keep_evidence(run, gates.evidence(verdict, contest), files, decisive)
    if "candidate" in files:
        told["file"] = files["candidate"]
    run.set_tags({f"gate3.{key}": value for key, value in told.items()})
    run.wait_delivered("mlflow", DELIVERY_SECONDS, SLOW_DELIVERY_SECONDS, stop_requested)
    raise_if_stopped("before the decision")
    told["evidence"] = f"runs:/{run.mlflow_run_id}/{EVIDENCE}"
    catalog = Catalog.of(run.settings)
    champion = decide(run, catalog, attempt, told)
    if verdict.passed and champion is not None:
        update_card(catalog, champion)
    scores: dict[str, dict[str, Any]] = {
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
            "attempt": attempt.number,
            "champion": None if champion is None else str(champion),
        },
        (verdict.reason,),
    )


EVIDENCE = "evidence.json"
"""Artifact of the Run: everything that the verdict rests on."""


def _keep_evidence(
    run: Run, evidence: dict[str, Any], files: Mapping[str, str], decisive: Sequence[Scenario]
) -> dict[str, str]:
    """Write the evidence as an artifact; returns its digest as a tag."""
    import hashlib
    import json

    document = {**evidence, "files": dict(files), "scenarios": [scenario.to_dict() for scenario in decisive]}
    path = run.directory / EVIDENCE
    write_private(path, json.dumps(document, indent=2, allow_nan=False) + "\n")
    run.log_artifact(path)
    return {"evidence_digest": hashlib.sha256(path.read_bytes()).hexdigest()}
