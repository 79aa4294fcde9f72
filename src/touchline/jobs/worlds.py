"""Where jobs meet worlds: found by name or in a file, and made into vector environments."""

from __future__ import annotations

import functools
import importlib.util
import inspect
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from touchline.errors import TouchlineError, UsageError, unknown
from touchline.simulation.world import World
from touchline.soccer.control import Controller
from touchline.soccer.perturbation import NONE, Perturbation

if TYPE_CHECKING:
    import gymnasium

    from touchline.learning.policy import Policy
    from touchline.learning.vector import MakeEnv, ParallelVectorEnv, ResumableVectorEnv

Backend = Literal["native", "mjx"]


def load_world(reference: str) -> World:
    """Return the world called ``reference``: ``soccer``, or ``FILE.py`` or ``FILE.py:NAME`` for one of your own.

    NAME is a subclass of ``World`` that needs no arguments, or an instance; without it the file's only such class
    is taken. Raises UsageError when there is none, or when the file cannot be imported.
    """
    if reference == "soccer":
        from touchline.soccer.world import SoccerWorld

        return SoccerWorld()
    file, _, name = reference.partition(":")
    if not file.endswith(".py"):
        raise unknown("world", reference, ("soccer", "FILE.py", "FILE.py:NAME"))
    found = _worlds_in(Path(file))
    if not name and len(found) != 1:
        raise UsageError(
            f"{file} has {len(found)} worlds ({', '.join(found) or 'no subclass of World'}). "
            f"Name the one you mean: {file}:NAME."
        )
    if name and name not in found:
        raise unknown(f"world in {file}", name, tuple(found))
    chosen = found[name] if name else next(iter(found.values()))
    return chosen if isinstance(chosen, World) else chosen()


def _worlds_in(file: Path) -> dict[str, World | type[World]]:
    if not file.is_file():
        raise UsageError(f"There is no file {file}. Give the path of the file that defines your world.")
    spec = importlib.util.spec_from_file_location(f"touchline_world_{file.stem}", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise UsageError(
            f"{file} cannot be imported: {type(error).__name__}: {error}. Mend it and try again."
        ) from error
    return {
        name: thing
        for name, thing in vars(module).items()
        if isinstance(thing, World)
        or (inspect.isclass(thing) and issubclass(thing, World) and thing.__module__ == module.__name__)
    }


def target_environment(
    reference: str, task: str, metadata: Mapping[str, Any] | None = None, perturbation: Any = None
) -> gymnasium.Env[Any, Any]:
    """Return the target environment of one task of the world called ``reference``: what processes can be sent.

    With the metadata of a policy it is the one in which that policy acts.
    """
    world = load_world(reference)
    world = world if metadata is None else world.acting_as(metadata)
    return world.target_environment(task, perturbation)


def side_by_side(makes: Sequence[MakeEnv], processes: int) -> ParallelVectorEnv | ResumableVectorEnv:
    """Return environments stepped together, over processes or, with 0, in this one; they can be saved.

    An episode that ends is followed by the next in the same step.
    """
    from touchline.learning.vector import ParallelVectorEnv, ResumableVectorEnv

    return ResumableVectorEnv(makes) if processes == 0 else ParallelVectorEnv(makes, processes)


def official_soccer(
    tasks: Sequence[str], controller: Controller, *, perturbation: Perturbation = NONE, processes: int = 2
) -> ParallelVectorEnv | ResumableVectorEnv:
    """Return one official environment a task given, as many as ``tasks`` names, stepped together.

    Each is an ``OfficialEnv``, so bit-equal to repeated ``env.step``. Raises UsageError for an unknown task.
    """
    from touchline.soccer.official import OfficialEnv

    makes = [functools.partial(OfficialEnv, task, controller, perturbation=perturbation) for task in tasks]
    return side_by_side(makes, processes)


def refuse_another_world(world: World, policy: Policy, what: object) -> None:
    """Raise TouchlineError when ``policy``, told as ``what``, was made for another world."""
    theirs = policy.metadata.get("world", "soccer")
    if theirs != world.name:
        raise TouchlineError(
            f"{what} is a policy of the world {theirs}, and this job's world is {world.name}. "
            "Name its world with --world, or give each world a home of its own with --home."
        )
