"""``touchline film``: a policy's episodes as an mp4, or the worst of many."""

from __future__ import annotations

import re
import shlex
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from touchline.commands.options import Home, Model, Tasks, parse, refuse_output
from touchline.config import Settings
from touchline.errors import UsageError, between

if TYPE_CHECKING:
    from touchline.jobs.players import Player
    from touchline.simulation.world import World
    from touchline.soccer.film import FilmConfig
    from touchline.soccer.render import Rendered
    from touchline.soccer.trajectory import Trajectory

MOST_TILES = 25
MOST_EPISODES = 1_000
WORST_OF = 16
"""Episodes a task among which the worst is looked for, unless a number is given."""
_RENDER_SECONDS = 3_600.0
_TERMINATED = 128 + signal.SIGTERM


@dataclass(frozen=True)
class FilmOptions:
    """Film a policy: on every frame task, score and time, several episodes as tiles of one picture.

    Rendered where OpenGL works, in software too; drawn where it does not. Example:
    touchline film ddpg_finetuned@Champion --task goalie --worst -o worst.mp4
    """

    model: Model = ""
    task: Tasks = ("all",)
    output: Annotated[
        Path | None,
        tyro.conf.arg(
            aliases=["-o"],
            metavar="FILE",
            help="The mp4 file.",
            help_behavior_hint="(default: film-MODEL-TASK.mp4 in the working directory)",
        ),
    ] = None
    seed: int = 0
    """The scenario; with several episodes the first, the others follow."""
    episodes: Annotated[
        int | None,
        tyro.conf.arg(
            metavar="N",
            help="Episodes a task.",
            help_behavior_hint=f"(default: 1; with --worst {WORST_OF}, of which one a task is filmed)",
        ),
    ] = None
    worst: bool = False
    """Play all the episodes and film the one with the lowest score of the competition."""
    perturb: bool = False
    """Perturb the starts as evaluations do; several episodes always are, since goalie starts are all alike."""
    world: str = "soccer"
    """The model's world: soccer, or FILE.py or FILE.py:NAME for one of your own."""
    scene: bool = False
    """Film in the training scene, which scores nothing, instead of the official environments."""
    seconds: float = 10.0
    """The longest an episode is shown; official ones end after 10 s."""
    size: Annotated[str, tyro.conf.arg(metavar="WxH", help="Pixels of the picture, which the tiles share.")] = (
        "640x360"
    )
    fps: float = 25.0
    """Frames a second, at most 50."""
    overwrite: bool = False
    """Replace the file if there is one."""
    home: Home = None


def film(arguments: list[str]) -> int:
    """``touchline film MODEL``."""
    options = parse(FilmOptions, arguments, "film")
    from touchline.jobs.worlds import load_world

    world = load_world(options.world)
    tasks, width, height = _checked(options, world.tasks)
    if options.output is not None:
        _refuse_output(options.output, options.overwrite)
    from touchline.jobs.players import find_player

    player = find_player(Settings.load(home=options.home), options.model, world)
    target = options.output or Path(_default_name(player, tasks, world, options))
    _refuse_output(target, options.overwrite)
    from touchline.soccer.film import FilmConfig

    shown = _play_scene(options, player, world, tasks) if options.scene else _play(options, player, world, tasks)
    config = FilmConfig(width, height, fps=options.fps, caption=player.name)
    # The renderer and its directory are cleared away on the way out.
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(_TERMINATED))
    try:
        rendered = _render(shown, target, config)
    finally:
        signal.signal(signal.SIGTERM, before)
    how = "drawn" if rendered.renderer == "drawn" else f"rendered with {rendered.renderer}"
    ends = ", ".join(_ending(trajectory) for trajectory in shown[:4]) + (", …" if len(shown) > 4 else "")
    print(f"{target} shows {player.name} ({how}): {ends}.")
    if rendered.note:
        print(rendered.note)
    return 0


def _checked(options: FilmOptions, known: tuple[str, ...]) -> tuple[tuple[str, ...], int, int]:
    """Tasks, width and height; raises UsageError for what cannot be filmed, before anything is loaded."""
    from touchline.soccer.tasks import tasks_meant

    if not options.model:
        raise UsageError("Whom to film? Try: touchline film stand-still. Models are told by: touchline film --help")
    tasks = tuple(dict.fromkeys(task for word in options.task for task in tasks_meant(word, known)))
    if not tasks:
        raise UsageError(f"--task needs a task: {', '.join(known)}, several of them, or all.")
    between(0.1, 60.0, options, "seconds")
    between(1, 50, options, "fps")
    between(0, 2**31 - 1 - MOST_EPISODES, options, "seed")
    if options.scene and (options.worst or options.perturb):
        named = "--worst" if options.worst else "--perturb"
        raise UsageError(
            f"{named} is for the official environments: the training scene has no score of the competition, and its "
            "starts vary with the seed. Leave out --scene."
        )
    if options.perturb and options.world != "soccer":
        raise UsageError("--perturb is of soccer: other worlds draw their starts from the seed. Leave it out.")
    if options.episodes is not None:
        between(1, MOST_EPISODES, options, "episodes")
    tiles = len(tasks) * (1 if options.worst else options.episodes or 1)
    if tiles > MOST_TILES:
        raise UsageError(
            f"{len(tasks)} tasks of {options.episodes} episodes make {tiles} tiles, and a picture has room for "
            f"{MOST_TILES}. Film fewer, or the worst of them with --worst."
        )
    found = re.fullmatch(r"(\d+)x(\d+)", options.size.casefold())
    width, height = (int(side) for side in found.groups()) if found else (0, 0)
    if width % 2 or height % 2 or not (128 <= width <= 4_096 and 72 <= height <= 4_096):
        raise UsageError(
            f"--size {options.size} cannot be filmed. Give WIDTHxHEIGHT in pixels, even numbers from 128x72 to "
            "4096x4096, such as 640x360."
        )
    return tasks, width, height


def _refuse_output(target: Path, overwrite: bool) -> None:
    if target.suffix.casefold() != ".mp4":
        raise UsageError(f"The film is an mp4, and {target} is called otherwise. Name a file that ends in .mp4.")
    refuse_output(target, overwrite, "film", "film.mp4")


def _default_name(player: Player, tasks: Sequence[str], world: World, options: FilmOptions) -> str:
    where = "all" if tasks == world.tasks else "-".join(task.partition("_")[0] for task in tasks)
    who = re.sub(r"[^A-Za-z0-9._]+", "-", player.name.replace(" version ", "-"))
    ending = f"-seed{options.seed}" * bool(options.seed) + "-worst" * options.worst + "-scene" * options.scene
    return f"film-{who}-{where}{ending}.mp4"


def _play(options: FilmOptions, player: Player, world: World, tasks: Sequence[str]) -> list[Trajectory]:
    """Play in the official environments, and return what is to be shown."""
    from touchline.jobs.films import Stage, beginning_of, spoken, worst_of
    from touchline.jobs.progress import progress
    from touchline.soccer.perturbation import NONE, Perturbation

    episodes = options.episodes or (WORST_OF if options.worst else 1)
    perturbed = options.perturb or episodes > 1
    seeds = range(options.seed, options.seed + episodes)
    everything: dict[str, list[Trajectory]] = {}
    with progress("playing", len(tasks) * episodes, "episodes", headline="score") as bar:
        for task in tasks:
            with Stage(task, world) as stage:
                played = everything.setdefault(task, [])
                for seed in seeds:
                    title = f"{spoken(task)} · seed {seed}"
                    perturbation = Perturbation() if perturbed else NONE
                    seconds = 10.0 if options.worst else options.seconds
                    played.append(
                        stage.play(
                            player.policy,
                            seed,
                            perturbation=perturbation,
                            seconds=seconds,
                            fps=options.fps,
                            title=title,
                        )
                    )
                    bar.update(sum(map(len, everything.values())))
    if not options.worst:
        return [trajectory for played in everything.values() for trajectory in played]
    shown = []
    for task, played in everything.items():
        worst = worst_of(played)
        _tell_scores(options, task, seeds, played, worst)
        shown.append(beginning_of(played[worst], round(options.seconds * options.fps) + 1))
    return shown


def _play_scene(options: FilmOptions, player: Player, world: World, tasks: Sequence[str]) -> list[Trajectory]:
    from touchline.jobs.films import play_scene

    return play_scene(
        player.policy,
        world.acting_as(player.policy.metadata),
        seconds=options.seconds,
        seed=options.seed,
        episodes=len(tasks) * (options.episodes or 1),
        tasks=tasks,
        fps=options.fps,
    )


def _tell_scores(
    options: FilmOptions, task: str, seeds: Sequence[int], played: Sequence[Trajectory], worst: int
) -> None:
    from touchline.commands.tables import aligned, title
    from touchline.jobs.films import spoken

    order = sorted(range(len(played)), key=lambda i: (played[i].score or 0.0, len(played[i]), i))
    rows = [
        (str(seeds[i]), f"{played[i].score:.3f}", played[i].outcome, "filmed" if i == worst else "") for i in order
    ]
    title(f"{spoken(task)}, worst first")
    print("\n".join(aligned((">seed", ">score", "end", ""), rows)))
    again = ["touchline", "film", options.model, "--task", task.partition("_")[0], "--seed", str(seeds[worst])]
    again += ["--perturb"] if options.world == "soccer" else ["--world", options.world]
    again += ["--home", str(options.home)] if options.home is not None else []
    print(f"The same episode again: {shlex.join(again)}", flush=True)


def _render(shown: Sequence[Trajectory], target: Path, config: FilmConfig) -> Rendered:
    from touchline.jobs.progress import progress
    from touchline.soccer.render import render_trajectories

    held = config.held((len(trajectory), trajectory.outcome) for trajectory in shown)
    total = max(map(len, shown)) + held
    with progress("filming", total, "frames") as bar:
        rendered = render_trajectories(shown, target, config, timeout=_RENDER_SECONDS, on_frames=bar.update)
        bar.update(total)
    return rendered


def _ending(trajectory: Trajectory) -> str:
    score = "" if trajectory.score is None else f", score {trajectory.score:.2f}"
    return f"{trajectory.title}: {trajectory.outcome or 'cut off'}{score}"
