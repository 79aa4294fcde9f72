"""Models of Stable-Baselines3 and SBX: parameters, optimisers, counters and replay buffer, without their pickles.

A training goes on from its newest checkpoint with::

    class Checkpoints(BaseCallback):
        def _on_step(self) -> bool:
            store.maybe_save(self.num_timesteps, self.model)
            return True

    store = CheckpointStore("checkpoints", every=50_000)
    model = store.restore_or(SAC("MlpPolicy", "Pendulum-v1"))
    model.learn(1_000_000 - model.num_timesteps, Checkpoints(), reset_num_timesteps=False)

Without ``reset_num_timesteps=False`` Stable-Baselines3 counts from 0 again. What goes on inside an environment is not
in the model: a restored one begins a new episode, with other seeds than the first one's, and fresh action noise. A
rollout that PPO or A2C had half collected is collected anew.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Mapping
from typing import Any

import numpy as np

from touchline.checkpoint.arrays import form
from touchline.checkpoint.objects import Adapter, compare_optimiser, compare_tensors
from touchline.errors import UsageError

COUNTERS = (
    "num_timesteps",
    "_total_timesteps",
    "_num_timesteps_at_start",
    "_episode_num",
    "_n_updates",
    "_n_calls",  # of DQN
    "_current_progress_remaining",
    "exploration_rate",  # of DQN
    "reset_idx",  # of SBX
)
"""What a model counts, as far as it has it."""
WINDOWS = ("ep_info_buffer", "ep_success_buffer")
_SEEDS = 2**32


def adapter(node: Any) -> Adapter:
    """How a model, a replay buffer or a VecNormalize is saved. Raises UsageError for any other object of theirs."""
    from stable_baselines3.common.base_class import BaseAlgorithm
    from stable_baselines3.common.buffers import ReplayBuffer
    from stable_baselines3.common.vec_env import VecNormalize

    if isinstance(node, BaseAlgorithm):
        return MODEL
    if isinstance(node, ReplayBuffer):
        return REPLAY_BUFFER
    if isinstance(node, VecNormalize):
        return VEC_NORMALIZE
    raise UsageError(
        f"A {type(node).__module__}.{type(node).__qualname__} cannot be saved. Save the model itself, which carries "
        "its networks, its optimisers, its replay buffer and the statistics of VecNormalize."
    )


def _get_model(model: Any) -> dict[str, Any]:
    buffer, normalize = getattr(model, "replay_buffer", None), model.get_vec_normalize_env()
    return {
        **_kind_of_model(model),
        "parameters": model.get_parameters(),
        "variables": _get_variables(model),
        "jax": {name: dict(_jax_leaves(node)) for name, node in _jax_nodes(model).items()},
        "counters": {name: getattr(model, name) for name in COUNTERS if hasattr(model, name)},
        "windows": {name: _listed(getattr(model, name)) for name in WINDOWS},
        "action_space_generator": model.action_space.np_random,
        "replay_buffer": None if buffer is None else _get_buffer(buffer),
        "vec_normalize": None if normalize is None else _get_normalize(normalize),
    }


def _set_model(model: Any, state: Mapping[str, Any]) -> None:
    import torch

    model.set_parameters(state["parameters"])
    with torch.no_grad():
        for name, value in state["variables"].items():
            _at(model, name).copy_(value)  # in place: an optimiser holds it
    for name, leaves in state.get("jax", {}).items():
        _set_jax(model, name, leaves)
    for name, value in state["counters"].items():
        setattr(model, name, value)
    for name, values in state["windows"].items():
        window = None if values is None else deque(values, maxlen=model._stats_window_size)
        setattr(model, name, window)
    model.action_space.np_random.bit_generator.state = state["action_space_generator"]
    if state["replay_buffer"] is not None:
        _set_buffer(model.replay_buffer, state["replay_buffer"])
    if state["vec_normalize"] is not None:
        _set_normalize(model.get_vec_normalize_env(), state["vec_normalize"])
    _begin_episode(model)


def _begin_episode(model: Any) -> None:
    model._last_obs = None  # learn() resets the environment then
    if model.env is not None and model.seed is not None:
        model.env.seed((model.seed + model.num_timesteps) % _SEEDS)


def _compare_model(model: Any, state: Mapping[str, Any]) -> list[str]:
    if told := _unequal(state, _kind_of_model(model), "the"):
        return told
    parameters = model.get_parameters()
    told = _only(state["parameters"], parameters) + _only(state["variables"], _get_variables(model))
    told += _compare_jax(_jax_nodes(model), state.get("jax", {}))
    for name in (name for name in parameters if name in state["parameters"]):
        told += [f"{name}: {one}" for one in _compare_parameters(_at(model, name), state["parameters"][name])]
    for name, compare, own in (
        ("replay_buffer", _compare_buffer, getattr(model, "replay_buffer", None)),
        ("vec_normalize", _compare_normalize, model.get_vec_normalize_env()),
    ):
        if (own is None) != (state[name] is None):
            told.append(f"only {'the checkpoint' if own is None else 'this training'} has a {name.replace('_', ' ')}")
        elif own is not None:
            told += compare(own, state[name])
    return told


def _kind_of_model(model: Any) -> dict[str, Any]:
    return {
        "algorithm": type(model).__name__,
        "observation_space": str(model.observation_space),
        "action_space": str(model.action_space),
        "number_of_environments": model.n_envs,
    }


def _get_variables(model: Any) -> dict[str, Any]:
    return {name: _at(model, name) for name in model._get_torch_save_params()[1]}


def _compare_parameters(node: Any, state: Mapping[str, Any]) -> list[str]:
    if hasattr(node, "param_groups"):
        return compare_optimiser(node, {"kind": type(node).__name__, **state})
    return compare_tensors(getattr(node, "_orig_mod", node).state_dict(), state)


def _jax_nodes(model: Any) -> dict[str, Any]:
    """What a model of SBX trains, and its keys, by attribute; nothing for one of PyTorch, which has none of it."""
    if "sbx" not in sys.modules:
        return {}
    import jax
    from flax.training.train_state import TrainState

    kinds = (TrainState, jax.Array)
    found = {name: value for name, value in vars(model).items() if isinstance(value, kinds)}
    below = {f"policy.{name}": value for name, value in vars(model.policy).items() if isinstance(value, kinds)}
    rate = getattr(getattr(model, "adaptive_lr", None), "current_adaptive_lr", None)
    return {**found, **below, **({} if rate is None else {"adaptive_lr.current_adaptive_lr": rate})}


def _jax_leaves(node: Any) -> list[tuple[str, Any]]:
    from jax.tree_util import keystr, tree_flatten_with_path

    return [(keystr(path), leaf) for path, leaf in tree_flatten_with_path(node)[0]]


def _set_jax(model: Any, name: str, leaves: Mapping[str, Any]) -> None:
    from jax.tree_util import tree_structure, tree_unflatten

    owner, _, attribute = name.rpartition(".")
    target = _at(model, owner) if owner else model
    now = getattr(target, attribute)
    # A rate that is a number of NumPy stays one: SBX changes it in place.
    ordered = [float(leaves[path]) if isinstance(leaf, float) else leaves[path] for path, leaf in _jax_leaves(now)]
    setattr(target, attribute, tree_unflatten(tree_structure(now), ordered))


def _compare_jax(mine: Mapping[str, Any], saved: Mapping[str, Any]) -> list[str]:
    told = _only(saved, mine)
    for name in (name for name in mine if name in saved):
        leaves = dict(_jax_leaves(mine[name]))
        told += [f"{name}: {one}" for one in _only(saved[name], leaves)]
        for path in (path for path in leaves if path in saved[name]):
            before, now = form(saved[name][path]), form(leaves[path])
            if before is not None and now is not None and before.shape != now.shape:
                told.append(f"{name}{path} was {list(before.shape)} and is {list(now.shape)}")
    return told


def _get_buffer(buffer: Any) -> dict[str, Any]:
    rows = _filled(buffer)
    return {
        **_kind_of_buffer(buffer),
        "pos": buffer.pos,
        "full": buffer.full,
        "rows": {name: array[:rows] for name, array in _arrays(buffer).items() if _has_row_each(buffer, array)},
        "others": {name: array for name, array in _arrays(buffer).items() if not _has_row_each(buffer, array)},
    }


def _set_buffer(buffer: Any, state: Mapping[str, Any]) -> None:
    buffer.pos, buffer.full = state["pos"], state["full"]
    arrays = _arrays(buffer)
    for name, rows in state["rows"].items():
        arrays[name][: len(rows)] = rows
    for name, values in state["others"].items():
        arrays[name][...] = values
    if hasattr(buffer, "truncate_last_trajectory"):
        buffer.truncate_last_trajectory()  # of hindsight replay, whose current episode does not go on


def _compare_buffer(buffer: Any, state: Mapping[str, Any]) -> list[str]:
    arrays, saved = _arrays(buffer), {**state["rows"], **state["others"]}
    if told := _unequal(state, _kind_of_buffer(buffer), "the replay buffer's") or _only(saved, arrays):
        return told
    for name, values in saved.items():
        before, now = (f"{array.dtype}{list(array.shape[1:])}" for array in (values, arrays[name]))
        if before != now:
            told.append(f"the replay buffer's {name} was {before} and is {now}")
    return told


def _kind_of_buffer(buffer: Any) -> dict[str, Any]:
    return {"kind": type(buffer).__name__, "size": buffer.buffer_size}


def _filled(buffer: Any) -> int:
    # With optimize_memory_usage the row after the newest one holds its next observation.
    size: int = buffer.buffer_size
    return size if buffer.full else min(buffer.pos + bool(getattr(buffer, "optimize_memory_usage", False)), size)


def _arrays(buffer: Any) -> dict[str, Any]:
    """The buffer's arrays by name; those of an observation that is a mapping as ``observations.NAME``."""
    found = {}
    for name, value in vars(buffer).items():
        if isinstance(value, np.ndarray):
            # Hindsight replay has an array of empty mappings where it was not told to keep what environments say.
            if not value.dtype.hasobject or getattr(buffer, "copy_info_dict", False):
                found[name] = value
        elif isinstance(value, dict) and value and all(isinstance(part, np.ndarray) for part in value.values()):
            found |= {f"{name}.{key}": part for key, part in value.items()}
    return found


def _has_row_each(buffer: Any, array: Any) -> bool:
    return bool(array.ndim > 0 and len(array) == buffer.buffer_size)


def _get_normalize(normalize: Any) -> dict[str, Any]:
    return {name: _moments(one) for name, one in _statistics(normalize).items()}


def _set_normalize(normalize: Any, state: Mapping[str, Any]) -> None:
    for name, one in _statistics(normalize).items():
        one.mean, one.var, one.count = (state[name][part] for part in ("mean", "var", "count"))


def _compare_normalize(normalize: Any, state: Mapping[str, Any]) -> list[str]:
    mine = _get_normalize(normalize)
    told = _only(state, mine)
    for name in (name for name in state if name in mine):
        before, now = np.shape(state[name]["mean"]), np.shape(mine[name]["mean"])
        if before != now:
            told.append(f"the statistics of {name} were of shape {list(before)} and are of {list(now)}")
    return told


def _statistics(normalize: Any) -> dict[str, Any]:
    found = {"returns": normalize.ret_rms}
    observations = getattr(normalize, "obs_rms", None)  # which it lacks when it leaves observations as they are
    if isinstance(observations, Mapping):
        return found | {f"observations.{key}": one for key, one in observations.items()}
    return found if observations is None else {**found, "observations": observations}


def _moments(statistics: Any) -> dict[str, Any]:
    return {"mean": np.asarray(statistics.mean), "var": np.asarray(statistics.var), "count": float(statistics.count)}


def _listed(window: Any) -> list[Any] | None:
    return None if window is None else list(window)


def _unequal(saved: Mapping[str, Any], mine: Mapping[str, Any], whose: str) -> list[str]:
    return [
        f"{whose} {name.replace('_', ' ')} was {saved[name]} and is {value}"
        for name, value in mine.items()
        if saved[name] != value
    ]


def _only(saved: Mapping[str, Any], mine: Mapping[str, Any]) -> list[str]:
    told = [f"only the checkpoint has {name}" for name in saved if name not in mine]
    return told + [f"only this training has {name}" for name in mine if name not in saved]


def _at(model: Any, path: str) -> Any:
    for name in path.split("."):
        model = getattr(model, name)
    return model


MODEL = Adapter("stable_baselines3 model", _get_model, _set_model, _compare_model)
REPLAY_BUFFER = Adapter("stable_baselines3 replay buffer", _get_buffer, _set_buffer, _compare_buffer)
VEC_NORMALIZE = Adapter("stable_baselines3 VecNormalize", _get_normalize, _set_normalize, _compare_normalize)
