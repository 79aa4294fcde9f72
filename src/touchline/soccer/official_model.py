"""The official environments as a source of episodes: made once a task, and stepped in lean copies of their model.

Most of an official model is there to be looked at: meshes and textures, 68 MB. They cost time too, because MuJoCo
clears a flag for every node of every mesh's bounding volumes at each collision pass, 432,167 of them. The lean copy
lacks what can neither collide nor be sensed, and steps to the same bits in four fifths of the time.
"""

from __future__ import annotations

import copy
import functools
import logging
from typing import Any

import gymnasium
import mujoco
import numpy as np
from numpy.typing import NDArray

from touchline.errors import TouchlineError
from touchline.soccer.tasks import task_named

logger = logging.getLogger("touchline")

_INTEGRATION = mujoco.mjtState.mjSTATE_INTEGRATION
_MOVED = ("body_pos", "body_quat", "site_pos", "site_quat")
_MOVED_GEOMS = ("geom_pos", "geom_quat", "geom_friction")
"""What an official reset may change of a model: places of targets and defenders, the grass."""
_UNSEEN = ("geom_", "mesh_", "tex_", "mat_", "name_", "bvh_", "text_")
"""Prefixes of a model's arrays that a lean copy may have otherwise; the geoms that collide are compared apart."""
_UNSEEN_FIELDS = (
    "_sizes",
    "names",
    "names_map",
    "paths",
    "body_geomadr",
    "body_geomnum",
    "body_bvhadr",
    "body_bvhnum",
)
_GEOM_FIELDS = (
    "geom_type", "geom_contype", "geom_conaffinity", "geom_condim", "geom_bodyid", "geom_priority", "geom_solmix",
    "geom_solref", "geom_solimp", "geom_size", "geom_aabb", "geom_rbound", "geom_pos", "geom_quat", "geom_friction",
    "geom_margin", "geom_gap", "geom_fluid", "geom_sameframe",
)  # fmt: skip


def make_official(task: str) -> Any:
    """Return the unwrapped ``sai-mujoco`` environment of ``task``; TouchlineError when it cannot be made."""
    official_id = task_named(task).official_id
    try:
        import sai_mujoco  # noqa: F401 (registers the environments)

        return gymnasium.make(official_id, disable_env_checker=True).unwrapped
    except Exception as error:
        raise TouchlineError(
            f"{official_id} cannot be made with mujoco {mujoco.__version__}: {error}. "
            "It needs mujoco 3.3.x and sai-mujoco; install both with: pip install 'touchline[soccer]'."
        ) from error


class OfficialModel:
    """An official environment that starts episodes for any number of simulations of its task."""

    def __init__(self, task: str) -> None:
        self.official = make_official(task)
        self.visual: mujoco.MjModel = self.official.sim.model._model
        """The whole model, to be looked at."""
        self.data: mujoco.MjData = self.official.sim.data._data
        """Where the last reset stands, of the whole model."""
        colliding = (self.visual.geom_contype != 0) | (self.visual.geom_conaffinity != 0)
        self._lean, self._kept = _lean_copy(self.official, np.flatnonzero(colliding))

    def simulation(self) -> tuple[mujoco.MjModel, mujoco.MjData]:
        """Return a model and a simulation of it that share nothing with others."""
        model = copy.copy(self._lean)
        return model, mujoco.MjData(model)

    def start(self, model: mujoco.MjModel, data: mujoco.MjData) -> None:
        """Bring a simulation to where ``self.data`` stands, derived quantities and solver state included."""
        for name in _MOVED:
            getattr(model, name)[:] = getattr(self.visual, name)
        for name in _MOVED_GEOMS:
            getattr(model, name)[:] = getattr(self.visual, name)[self._kept]
        state = np.zeros(mujoco.mj_stateSize(self.visual, _INTEGRATION))
        mujoco.mj_getState(self.visual, self.data, state, _INTEGRATION)
        mujoco.mj_resetData(model, data)
        mujoco.mj_setState(model, data, state, _INTEGRATION)
        mujoco.mj_forward(model, data)
        # That solved for the acceleration once more, from the solution: a few bits on.
        data.qacc_warmstart[:] = self.data.qacc_warmstart
        data.sensordata[:] = self.data.sensordata


@functools.cache
def official_model(task: str) -> OfficialModel:
    """Return this process's one ``OfficialModel`` of ``task``: it takes 190 MB and up to a second to make."""
    return OfficialModel(task)


def _lean_copy(official: Any, colliding: NDArray[np.intp]) -> tuple[mujoco.MjModel, NDArray[np.intp]]:
    """Return a model without what only is seen, and which geoms it has; the whole model if that is unsure."""
    whole: mujoco.MjModel = official.sim.model._model
    try:
        lean = _compiled_lean(official.mjcf_model.copy())
        lean.opt.timestep = whole.opt.timestep
        differing = _differences(whole, lean, colliding)
    except Exception as error:  # of MjSpec, whose errors are ValueErrors of many kinds; another version may lack it
        differing = [f"{type(error).__name__}: {error}"]
    if not differing:
        return lean, colliding
    logger.warning(
        "The model of %s cannot be made lean in this version of sai-mujoco and mujoco, so it steps as it is, about "
        "a fifth slower: %s",
        type(official).__name__, ", ".join(differing),
    )  # fmt: skip
    return whole, np.arange(whole.ngeom)


def _compiled_lean(spec: Any) -> mujoco.MjModel:
    for geom in list(spec.geoms):
        if geom.contype == 0 and geom.conaffinity == 0:
            spec.delete(geom)
    used = {geom.meshname for geom in spec.geoms if geom.meshname}
    for mesh in list(spec.meshes):
        if mesh.name not in used:
            spec.delete(mesh)
    for number, texture in enumerate(spec.textures):
        # A texture cannot go while a material names it, so one pixel of each stays.
        texture.name = texture.name or f"texture_{number}"
        texture.file, texture.data, texture.content_type = "", b"", ""
        texture.type, texture.builtin = mujoco.mjtTexture.mjTEXTURE_2D, int(mujoco.mjtBuiltin.mjBUILTIN_FLAT)
        texture.width = texture.height = 1
    return spec.compile()


def _differences(whole: mujoco.MjModel, lean: mujoco.MjModel, colliding: NDArray[np.intp]) -> list[str]:
    """Return the names of what a simulation could notice."""
    moved = {*_MOVED, *_MOVED_GEOMS}
    names = [name for name in dir(whole) if isinstance(getattr(whole, name), np.ndarray)]
    names = [n for n in names if n not in moved and n not in _UNSEEN_FIELDS and not n.startswith(_UNSEEN)]
    found = [name for name in names if not _same(getattr(whole, name), getattr(lean, name))]
    if lean.ngeom != len(colliding):
        return [*found, "the number of geoms"]
    geoms = [name for name in _GEOM_FIELDS if name not in moved]
    found += [name for name in geoms if not _same(getattr(whole, name)[colliding], getattr(lean, name))]
    if whole.stat.meaninertia != lean.stat.meaninertia:  # by which the solver's tolerance is scaled
        found.append("stat.meaninertia")
    return found + (["opt"] if str(whole.opt) != str(lean.opt) else [])


def _same(one: NDArray[Any], other: NDArray[Any]) -> bool:
    return one.shape == other.shape and one.tobytes() == other.tobytes()
