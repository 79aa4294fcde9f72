"""Whom a command is to let play: a registered model, a run's model, a directory, or a baseline that is built in."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from touchline.config import Settings
from touchline.errors import TouchlineError, UsageError, nearest
from touchline.learning.policy import Policy, zero_policy
from touchline.simulation.world import World
from touchline.soccer import models
from touchline.soccer.world import SoccerWorld
from touchline.tracking.media import kept

if TYPE_CHECKING:
    from touchline.catalog.version import ModelVersion

BASELINES: Mapping[str, Callable[[World], World]] = {
    "stand-still": lambda world: world.at_rest(),
    "soft-ankles": lambda world: world,
}
"""Worlds by word whose action 0 plays; in soccer the first stands, the second falls after about 1.2 s."""

MODELS = Path(models.__file__).parent
PACKAGED: Mapping[str, Path] = {name: MODELS / name for name in ("walker", "walker-steady")}
"""Trained policies by word, which come with the package; each directory holds a card, README.md."""


@dataclass(frozen=True)
class Player:
    """A policy that can play, and what it is called."""

    policy: Policy
    """With a controller in its metadata."""
    name: str
    """For people, such as "ddpg_finetuned version 3"."""
    source: ModelVersion | None = None
    """The catalog's version that it is; None for what is no milestone."""


def find_player(settings: Settings, word: str, world: World | None = None) -> Player:
    """Return what ``word`` means; everything that has a digest is held against it.

    The policy must be one of ``world``, which is soccer unless another is given.

    ``word`` is a baseline, a packaged model, a directory with policy.json, NAME@ALIAS or NAME/VERSION of the catalog,
    or a run: its id, a unique beginning of it, or ``last``.

    Raises:
        UsageError: nothing is called so, or what is called so is no policy of this robot.
        TouchlineError: the files are not those that were registered.
    """
    world = world or SoccerWorld()
    return _fit_to_play(_named(settings, word.strip(), world), world)


def _named(settings: Settings, name: str, world: World) -> Player:
    baseline = BASELINES.get(name.casefold().replace("_", "-"))
    if baseline is not None:
        metadata = {**baseline(world).metadata(), "world": world.name}
        return Player(zero_policy(world.observation_size, world.action_size, metadata), name.casefold())
    packaged = PACKAGED.get(name.casefold().replace("_", "-"))
    if packaged is not None:
        return Player(_read(packaged), name.casefold())
    if Path(name).is_dir() and name:
        return Player(_read(Path(name)), Path(name).resolve().name)
    model, slash, version = name.rpartition("/")
    if "@" in name or (slash and model and version.isdecimal()):
        return _registered(settings, name)
    if slash:
        raise UsageError(
            f"There is no directory {name}, and it names no version either. Give the directory that holds "
            "policy.json, or NAME/VERSION."
        )
    return _of_run(settings, name)


def _registered(settings: Settings, reference: str) -> Player:
    from touchline.catalog import Catalog
    from touchline.catalog.store import existing_store

    existing_store(settings)
    catalog = Catalog.of(settings)
    version = catalog.find(reference)
    with tempfile.TemporaryDirectory(prefix="touchline-") as place:
        policy = _read(catalog.download(version, Path(place) / "model"))
    return Player(policy, f"{version.name.rpartition('.')[2]} version {version.version}", version)


def _of_run(settings: Settings, word: str) -> Player:
    from touchline.catalog import directory_digest
    from touchline.catalog.version import DIGEST_TAG
    from touchline.tracking.find import find_run
    from touchline.tracking.journal import FILE_NAME, JournalReader

    try:
        run_id = find_run(settings, word)
    except UsageError as error:
        guess = nearest(word, (*BASELINES, *PACKAGED))
        hint = f" Did you mean {guess!r}?" if guess else ""
        raise UsageError(
            f"{word!r} is no model.{hint} Give NAME@ALIAS or NAME/VERSION of the catalog, a run, a directory with "
            f"policy.json, or one of {', '.join((*BASELINES, *PACKAGED))}. As a run: {error}"
        ) from error
    directory = settings.run_directory(run_id)
    with JournalReader(directory / FILE_NAME) as journal:
        logged = {event.payload["name"]: event.payload for event in journal.of_kind(["model"])}
    if not logged:
        raise UsageError(f"The run {run_id} has logged no model. Jobs that log one: pretrain, convert, finetune.")
    payload = logged.get("model") or next(reversed(logged.values()))
    path = kept(directory, payload["path"])
    expected = payload["metadata"].get(DIGEST_TAG)
    found = directory_digest(path) if path.is_dir() else "of nothing"
    if expected is not None and found != expected:
        raise TouchlineError(
            f"The model of run {run_id} in {path} is not what was logged: it has the digest {found}, and {expected} "
            "was expected. Do not use it; the catalog or MLflow may have an intact copy."
        )
    return Player(_read(path), f"run {run_id}")


def _read(directory: Path) -> Policy:
    """The policy in ``directory``. Raises UsageError when it holds none or none that can be read."""
    if not (directory / "policy.json").is_file():
        raise UsageError(f"{directory} holds no policy: policy.json is missing. Give the directory of a policy.")
    from touchline.jobs.deployment import load_deployed

    try:
        return load_deployed(directory)
    except (OSError, KeyError, TypeError, ValueError, json.JSONDecodeError) as error:
        raise UsageError(
            f"The policy in {directory} cannot be read ({type(error).__name__}: {error}). Give one that Policy.save "
            "wrote."
        ) from error
    except TouchlineError as error:
        raise UsageError(str(error)) from error


def _fit_to_play(player: Player, world: World) -> Player:
    policy = player.policy
    theirs = policy.metadata.get("world", "soccer")
    if theirs != world.name:
        raise UsageError(
            f"{player.name} is a policy of the world {theirs}, and not of {world.name}. Name its world with --world."
        )
    sizes = len(policy.mean), len(policy.biases[-1])
    if sizes != (world.observation_size, world.action_size):
        raise UsageError(
            f"{player.name} maps {sizes[0]} observations to {sizes[1]} actions, and this robot has "
            f"{world.observation_size} and {world.action_size}. Give a policy that was trained for it."
        )
    try:
        world.acting_as(policy.metadata)
    except (KeyError, TypeError, AttributeError) as error:
        raise UsageError(
            f"{player.name} does not say under which controller it acts (metadata.controller in policy.json), "
            "without which the same weights are another robot. Log it through a job."
        ) from error
    return player
