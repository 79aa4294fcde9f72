"""``touchline evaluate``: official scores of a policy with intervals, against standing still and the champion."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from touchline.commands.options import Home, Json, Model, Tasks, parse, refuse_output
from touchline.config import Settings
from touchline.errors import UsageError, between
from touchline.filesystem import whole_file
from touchline.soccer.perturbation import Perturbation

if TYPE_CHECKING:
    from touchline.jobs.evaluation import Contestant, Findings, Series
    from touchline.simulation.scenario import Scenario
    from touchline.simulation.world import World

MOST_EPISODES = 10_000
CHAMPION = "ddpg_finetuned@Champion"


@dataclass(frozen=True)
class EvaluateOptions:
    """Say what a policy is worth: the competition's scores with 95 % intervals, falls, touches, goals, and where the
    score comes from; on declared perturbed scenarios and on unperturbed resets, each compared with standing still
    and with the champion on the very same scenarios.

    Example: touchline evaluate ddpg_finetuned@Candidate-Finetuned --episodes 200 -o evaluation.json
    """

    model: Model = ""
    task: Tasks = ("all",)
    episodes: Annotated[int, tyro.conf.arg(metavar="N", help="Perturbed scenarios a task; 0 leaves them out.")] = 100
    nominal: Annotated[
        int,
        tyro.conf.arg(
            metavar="N",
            help="Unperturbed official resets a task; 0 leaves them out. The goalie's are all alike: one is played.",
        ),
    ] = 20
    against: Annotated[
        tuple[str, ...] | None,
        tyro.conf.arg(
            metavar="MODEL ...",
            help="Whom to compare with: stand-still, champion, any MODEL, or none.",
            help_behavior_hint="(default: stand-still, and the champion if there is one)",
        ),
    ] = None
    seed: int = 0
    """The first scenario, the others follow; also the bootstrap's."""
    perturbation: Perturbation = field(default_factory=Perturbation)
    """Of soccer: what makes scenarios differ; pushes and noise on what is observed are off."""
    processes: Annotated[
        int | None,
        tyro.conf.arg(metavar="N", help="Processes that play.", help_behavior_hint="(default: one a processor)"),
    ] = None
    world: str = "soccer"
    """The model's world: soccer, or FILE.py or FILE.py:NAME for one of your own, whose score is the return."""
    output: Annotated[
        Path | None,
        tyro.conf.arg(aliases=["-o"], metavar="FILE", help="Write all of it, every episode too, as JSON."),
    ] = None
    overwrite: bool = False
    """Replace the file if there is one."""
    json: Json = False
    track: bool = False
    """Record it as a run of its own, which the sinks of the home receive."""
    home: Home = None


def evaluate(arguments: list[str]) -> int:
    """``touchline evaluate MODEL``."""
    options = parse(EvaluateOptions, arguments, "evaluate")
    from touchline.jobs.worlds import load_world

    world = load_world(options.world)
    tasks = _checked(options, world.tasks)
    settings = Settings.load(home=options.home)
    contestants = _contestants(options, settings, world)
    scenarios = _scenarios(options, world, tasks)
    found = _played(options, settings, contestants, scenarios)
    from touchline.jobs.evaluation import document

    told = {"perturbation": asdict(options.perturbation)} if options.world == "soccer" else {}
    whole = document(contestants, found, seed=options.seed, world=options.world, options=told)
    text = json.dumps(whole, indent=None if options.json else 1, allow_nan=False)
    if options.json:
        print(text)
    else:
        from touchline.commands.evaluate_picture import show

        show(found, is_soccer=options.world == "soccer")
    if options.output is not None:
        with whole_file(options.output) as file:
            file.write(f"{text}\n".encode())
        if not options.json:
            print(f"Every episode is in {options.output}.")
    if options.track:
        _track(settings, contestants, found, text)
    return 0


def _checked(options: EvaluateOptions, known: tuple[str, ...]) -> tuple[str, ...]:
    """The tasks; raises UsageError for what cannot be evaluated, before anything is loaded."""
    from touchline.soccer.tasks import tasks_meant

    if not options.model:
        raise UsageError(
            "Whom to evaluate? Try: touchline evaluate stand-still. Models are told by: touchline evaluate --help"
        )
    meant = {task for word in options.task for task in tasks_meant(word, known)}
    if not meant:
        raise UsageError(f"--task needs a task: {', '.join(known)}, several of them, or all.")
    between(0, MOST_EPISODES, options, "episodes", "nominal")
    between(0, 2**31 - 1 - MOST_EPISODES, options, "seed")
    if options.processes is not None:
        between(1, 1_024, options, "processes")
    if options.world != "soccer" and options.perturbation != Perturbation():
        raise UsageError("--perturbation is of soccer: other worlds draw their starts from the seed. Leave it out.")
    if not options.episodes and not (options.nominal and options.world == "soccer"):
        raise UsageError("There is nothing to play: give --episodes N, or in soccer --nominal N.")
    if options.output is not None:
        refuse_output(options.output, options.overwrite, "file", "evaluation.json")
    return tuple(task for task in known if task in meant)


def _contestants(options: EvaluateOptions, settings: Settings, world: World) -> list[Contestant]:
    """The model and whom it is compared with, each once."""
    from touchline.jobs.players import find_player

    def contestant(word: str, name: str = "") -> Contestant:
        from touchline.catalog import directory_digest
        from touchline.jobs.evaluation import Contestant

        player = find_player(settings, word, world)
        with tempfile.TemporaryDirectory(prefix="touchline-") as place:
            digest = directory_digest(player.policy.save(Path(place) / "policy"))
        return Contestant(name.format(player.name) or player.name, player.policy, digest, player.source)

    found = [contestant(options.model)]
    for word in _opponents(options, settings):
        is_champion = word.casefold() == "champion"
        try:
            other = contestant(CHAMPION if is_champion else word, "the champion, {}" if is_champion else "")
        except UsageError as error:
            if options.against is not None:
                raise
            print(f"There is no comparison with the champion. {error}", file=sys.stderr)
            continue
        if other.digest not in {one.digest for one in found}:
            namesake = other.name in {one.name for one in found}
            found.append(replace(other, name=f"{other.name} ({other.digest[:8]})") if namesake else other)
        elif options.against is not None or is_champion:
            same = next(one.name for one in found if one.digest == other.digest)
            print(f"{other.name} has the digest of {same}, so it is not played again.", file=sys.stderr)
    return found


def _opponents(options: EvaluateOptions, settings: Settings) -> Iterator[str]:
    if options.against is None:
        yield "stand-still"
        if _has_champion(settings):
            yield "champion"
        return
    if "none" in (word.casefold() for word in options.against):
        if len(options.against) > 1:
            raise UsageError(f"--against is {' '.join(options.against)}. Give none alone, or leave it out.")
        return
    for word in options.against:
        if word.casefold() == "champion" and not _has_champion(settings):
            raise UsageError(
                f"{settings.home} has no champion. Crown one with: touchline run pipeline, or leave it out."
            )
        yield word


def _has_champion(settings: Settings) -> bool:
    if not settings.has_store:
        return False  # and a question is not to create a store
    from touchline.catalog import Catalog

    name, _, alias = CHAMPION.partition("@")
    return Catalog.of(settings).resolve(name, alias) is not None


def _scenarios(options: EvaluateOptions, world: World, tasks: Sequence[str]) -> dict[str, list[Scenario]]:
    """The scenarios by kind, task by task."""
    seeds = range(options.seed, options.seed + options.episodes)
    if options.world != "soccer":
        return {"seeded": [one for one in world.scenarios(seeds) if one.task in tasks]}
    found = {}
    if options.episodes:
        found["perturbed"] = [one for one in world.scenarios(seeds, options.perturbation) if one.task in tasks]
    if options.nominal:
        nominal = world.scenarios(range(options.seed, options.seed + options.nominal))
        found["nominal"] = [
            one
            for one in nominal
            if one.task in tasks and (one.task not in world.starts_alike or one.seed == options.seed)
        ]
    return found


def _played(
    options: EvaluateOptions,
    settings: Settings,
    contestants: Sequence[Contestant],
    scenarios: Mapping[str, Sequence[Scenario]],
) -> list[tuple[Series, Findings]]:
    from touchline.jobs.evaluation import find, play
    from touchline.jobs.progress import progress
    from touchline.jobs.run import stoppable

    total = len(contestants) * sum(map(len, scenarios.values()))
    processes = min(options.processes or len(os.sched_getaffinity(0)), total)
    # With JSON on stdout, the display goes where it disturbs nobody.
    with (
        stoppable(settings),
        progress("evaluate", total, "episodes", headline="score", to=sys.stderr if options.json else None) as bar,
    ):
        series = play(
            contestants,
            scenarios,
            world=options.world,
            processes=processes,
            on_episode=lambda count, episode: bar.update(count, score=episode.info["score"]),
        )
    return [(one, find(one, options.seed)) for one in series]


def _track(
    settings: Settings, contestants: Sequence[Contestant], found: Sequence[tuple[Series, Findings]], text: str
) -> None:
    """Record the evaluation as a run: its milestones, what a training logs of its evaluations, and the whole."""
    from touchline.jobs.models import tell_input
    from touchline.tracking.start import start_run

    metrics: dict[str, Any] = {
        f"{series.kind}/{name}": value
        for series, _ in found
        for name, value in next(iter(series.judged.values())).metrics.items()
    }
    for series, findings in found:
        mean = next(iter(findings.standings.values())).mean_score
        metrics |= {f"{series.kind}/score_low": mean.low, f"{series.kind}/score_high": mean.high}
    settings.ensure_home()
    tags = {"evaluate.model": contestants[0].name, "evaluate.digest": contestants[0].digest}
    with start_run("evaluate", settings=settings, tags=tags) as run:
        for number, one in enumerate(contestants):
            if one.source is not None:
                tell_input(run, one.source, f"compared_{number}" if number else "evaluated")
        run.log(metrics, 0)
        path = run.directory / "evaluation.json"
        path.write_text(text + "\n", encoding="utf-8")
        run.log_artifact(path)
    print(f"Recorded as the run {run.id}.", file=sys.stderr)
