"""A training's state as a tree: taken apart into arrays and a JSON description, and put together again.

A tree is made of mappings, lists, tuples, named tuples, dataclasses and, where JAX is loaded, the nodes registered
with it. Its leaves are arrays (NumPy, JAX, PyTorch), plain values (numbers, text, None) and objects that keep their
own state: PyTorch modules and optimisers, NumPy generators, Stable-Baselines3 models, and everything with
``state_dict`` and ``load_state_dict``. Nothing of it is pickled.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from numpy.typing import NDArray

from touchline.checkpoint import arrays as libraries
from touchline.checkpoint.objects import Adapter, adapter_for
from touchline.checkpoint.pytree import rebuild_registered, registered_children
from touchline.errors import TouchlineError, UsageError

Description = dict[str, Any]
"""JSON: what a node is, and where its children or its array are."""
Arrays = dict[str, NDArray[Any]]
DIFFERENCES_SHOWN = 8
_RESERVED = "__metadata__"  # of the file format
_NUMBERS = (bool, int, float)
_ALTERNATIVES = {
    **dict.fromkeys(_NUMBERS, (*_NUMBERS, type(None))),
    str: (str, type(None)),
    # A best score or a name that was not known yet when this was saved.
    type(None): (type(None), *_NUMBERS, str),
}
"""A saved value's type → those of the values it may take the place of."""


class Mismatch(TouchlineError):
    """A checkpoint holds another kind of state than the one it was to be loaded into."""


class Encoded(NamedTuple):
    """A tree taken apart."""

    description: Description
    arrays: Arrays
    """By path; a view of the tree's own memory where that is possible, so copy it before the training goes on."""


def encode(tree: Any) -> Encoded:
    """Take ``tree`` apart. Raises UsageError, with the path, at what no checkpoint can hold."""
    arrays: Arrays = {}
    try:
        return Encoded(_encode(tree, "", arrays), arrays)
    except RecursionError:
        raise UsageError(
            "The state holds itself, or is nested a thousand levels deep. Save the arrays and values it is made of."
        ) from None


def decode(encoded: Encoded, like: Any) -> Any:
    """Return the tree that was taken apart, with the types, devices and objects of ``like``.

    Objects that keep their own state are loaded in place. Raises Mismatch, with what differs, before anything is
    loaded, when ``like`` is of another shape.
    """
    differences: list[str] = []
    loads: list[Callable[[], None]] = []
    tree = _decode(encoded.description, encoded.arrays, like, "", differences, loads)
    if differences:
        shown = "; ".join(differences[:DIFFERENCES_SHOWN])
        if (more := len(differences) - DIFFERENCES_SHOWN) > 0:
            shown += f"; and {more} more"
        raise Mismatch(
            f"The checkpoint holds another state than this training has: {shown}. "
            "Build the same networks and buffers as the one that saved it, or start over in an empty directory."
        )
    for load in loads:
        load()
    return tree


def decode_plain(encoded: Encoded) -> Any:
    """Return the tree as mappings, lists, tuples and arrays, without the objects it came from."""
    return _plain(encoded.description, encoded.arrays)


def _encode(node: Any, path: str, arrays: Arrays) -> Description:
    if node is None or type(node) in (bool, int, str):
        return {"value": node}
    if type(node) is float:
        return {"value": node if math.isfinite(node) else {"float": repr(node)}}
    if (adapter := adapter_for(node)) is not None:
        return {"object": adapter.name, "state": _encode(adapter.get(node), path, arrays)}
    if (array := _host(node, path)) is not None:
        name = free_name(path or "state", arrays)
        arrays[name] = array.values
        return {"array": name, **array.describe()}
    if (children := _children(node, path)) is not None:
        kind, items = children
        described = [[key, _encode(child, _below(path, key), arrays)] for key, child in items]
        return {"node": kind, "children": described}
    return _unknown(node, path)


def _host(node: Any, path: str) -> libraries.Host | None:
    try:
        return libraries.host(node)
    except UsageError as error:
        raise UsageError(f"{path or 'The state'} cannot be saved: {error}") from error


def free_name(path: str, arrays: Mapping[str, Any]) -> str:
    """A name that no other array has: the keys "a/b" and "a" with "b" below it make the same path."""
    name = path.encode("utf-8", "backslashreplace").decode()
    taken = name in arrays or name == _RESERVED
    return next(free for i in itertools.count(2) if (free := f"{name}#{i}") not in arrays) if taken else name


def _unknown(node: Any, path: str) -> Description:
    raise UsageError(
        f"{path or 'The state'} is a {type(node).__module__}.{type(node).__qualname__}, which a checkpoint cannot "
        "hold. Save arrays, numbers, text, or an object with state_dict() and load_state_dict()."
    )


def _children(node: Any, path: str) -> tuple[str, list[tuple[Any, Any]]] | None:
    """Kind of an inner node and its children by key; None for a leaf."""
    if isinstance(node, Mapping):
        for key in node:
            if not isinstance(key, str | int) or isinstance(key, bool):
                raise UsageError(f"{path or 'The state'} has the key {key!r}. Keys are text or whole numbers.")
        return "dict", list(node.items())
    if isinstance(node, tuple) and hasattr(node, "_fields"):
        return "named", [(name, getattr(node, name)) for name in node._fields]
    if isinstance(node, tuple):
        return "tuple", list(enumerate(node))
    if isinstance(node, list):
        return "list", list(enumerate(node))
    if (children := registered_children(node)) is not None:
        return "registered", children
    if dataclasses.is_dataclass(node) and not isinstance(node, type):
        return "dataclass", [(part.name, getattr(node, part.name)) for part in dataclasses.fields(node) if part.init]
    return None


def _decode(
    description: Description,
    arrays: Arrays,
    like: Any,
    path: str,
    differences: list[str],
    loads: list[Callable[[], None]],
) -> Any:
    def differ(here: str) -> None:
        differences.append(f"{path or 'the state'} was {_told(description)} and is {here}")

    if like is None and "object" not in description:
        # None, as an empty container below, says nothing of what it will hold: a best policy, a history.
        return _plain(description, arrays)
    if "object" in description:
        adapter = adapter_for(like)
        if adapter is None or adapter.name != description["object"]:
            return differ(type(like).__name__)
        return _load_object(adapter, description, arrays, like, path, differences, loads)
    if "array" in description:
        array = libraries.Host.of(description, arrays[description["array"]])
        if array.shape == () and type(like) in (bool, int, float):
            return libraries.to_numpy(array).item()
        if (expected := libraries.form(like)) is None:
            return differ(type(like).__name__)
        if (expected.shape, expected.dtype) != (array.shape, array.dtype):
            return differ(f"{expected.dtype}{list(expected.shape)}")
        if libraries.is_trained(like):
            # An optimiser holds this very tensor: another one in its place would never be trained.
            loads.append(lambda: libraries.load(array, like))
            return like
        return libraries.like(array, like)
    if "value" in description:
        value = _value(description)
        if type(like) not in _ALTERNATIVES.get(type(value), ()):
            return differ(type(like).__name__)
        return value
    children = _children(like, path)
    if children is None or children[0] != description["node"]:
        return differ(type(like).__name__)
    saved = dict(description["children"])
    mine = dict(children[1])
    if description["node"] in ("list", "dict") and not mine:
        return _rebuilt(like, description["node"], [(key, _plain(child, arrays)) for key, child in saved.items()])
    if set(saved) != set(mine):
        missing, new = sorted(map(str, set(saved) - set(mine))), sorted(map(str, set(mine) - set(saved)))
        told = [f"only the checkpoint has {', '.join(missing)}"] if missing else []
        told += [f"only this training has {', '.join(new)}"] if new else []
        differences.append(f"under {path or 'the state'} {' and '.join(told)}")
        return None
    found = [
        (key, _decode(saved[key], arrays, child, _below(path, key), differences, loads))
        for key, child in mine.items()
    ]
    return None if differences else _rebuilt(like, children[0], found)


def _load_object(
    adapter: Adapter,
    description: Description,
    arrays: Arrays,
    like: Any,
    path: str,
    differences: list[str],
    loads: list[Callable[[], None]],
) -> Any:
    state = _plain(description["state"], arrays)
    differences += [f"{path or 'the state'}: {told}" for told in adapter.compare(like, state)]
    loads.append(lambda: adapter.set(like, state))
    return like


def _rebuilt(like: Any, kind: str, items: Sequence[tuple[Any, Any]]) -> Any:
    values = [value for _, value in items]
    if kind == "named":
        return type(like)(*values)
    if kind == "tuple":
        return tuple(values)
    if kind == "list":
        return values
    if kind == "dataclass":
        return dataclasses.replace(like, **dict(items))
    if kind == "registered":
        return rebuild_registered(like, values)
    try:
        return type(like)(dict(items))
    except TypeError:  # a mapping with another constructor, such as defaultdict
        copied = like.copy()
        copied.update(items)
        return copied


def _plain(description: Description, arrays: Arrays) -> Any:
    if "object" in description:
        return _plain(description["state"], arrays)
    if "array" in description:
        return libraries.Host.of(description, arrays[description["array"]]).native()
    if "value" in description:
        return _value(description)
    items = [(key, _plain(child, arrays)) for key, child in description["children"]]
    if description["node"] == "list":
        return [value for _, value in items]
    if description["node"] == "tuple":
        return tuple(value for _, value in items)
    return dict(items)


def _value(description: Description) -> Any:
    value = description["value"]
    return float(value["float"]) if isinstance(value, dict) else value


def _told(description: Description) -> str:
    if "array" in description:
        return f"{description['dtype']}{description['shape']}"
    if "value" in description:
        return type(_value(description)).__name__
    return str(description.get("object") or description["node"])


def _below(path: str, key: Any) -> str:
    return f"{path}/{key}" if path else str(key)
