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
from touchline.checkpoint.objects import adapter_for
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

    Objects that keep their own state are loaded in place, at the end. Raises Mismatch, with what differs, before
    anything is loaded, when ``like`` is of another shape, as far as that can be seen from outside: an object with
    ``load_state_dict`` of its own may still refuse its part when it is loaded.
    """
    decoding = _Decoding(encoded.arrays)
    tree = decoding.node(encoded.description, like, "")
    if decoding.differences:
        shown = "; ".join(decoding.differences[:DIFFERENCES_SHOWN])
        if (more := len(decoding.differences) - DIFFERENCES_SHOWN) > 0:
            shown += f"; and {more} more"
        raise Mismatch(
            f"The checkpoint holds another state than this training has: {shown}. "
            "Build the same networks and buffers as the one that saved it, or start over in an empty directory."
        )
    for load in decoding.loads:
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


class _Decoding:
    """Puts one tree together; what it collects says whether, and then how, the objects in it are loaded."""

    def __init__(self, arrays: Arrays) -> None:
        self._arrays = arrays
        self.differences: list[str] = []
        self.loads: list[Callable[[], None]] = []

    def node(self, description: Description, like: Any, path: str) -> Any:
        """The node described, in the form of ``like``; None after a difference."""
        if like is None and "object" not in description:
            # None, as an empty container below, says nothing of what it will hold: a best policy, a history.
            return _plain(description, self._arrays)
        if "object" in description:
            return self._object(description, like, path)
        if "array" in description:
            return self._array(description, like, path)
        if "value" in description:
            value = _value(description)
            fits = type(like) in _ALTERNATIVES.get(type(value), ())
            return value if fits else self._differ(description, path, type(like).__name__)
        return self._container(description, like, path)

    def _differ(self, description: Description, path: str, here: str) -> None:
        self.differences.append(f"{path or 'the state'} was {_told(description)} and is {here}")

    def _object(self, description: Description, like: Any, path: str) -> Any:
        adapter = adapter_for(like)
        if adapter is None or adapter.name != description["object"]:
            return self._differ(description, path, type(like).__name__)
        found, state = adapter, _plain(description["state"], self._arrays)
        self.differences += [f"{path or 'the state'}: {told}" for told in found.compare(like, state)]
        self.loads.append(lambda: found.set(like, state))
        return like

    def _array(self, description: Description, like: Any, path: str) -> Any:
        array = libraries.Host.of(description, self._arrays[description["array"]])
        if array.shape == () and type(like) in _NUMBERS:
            return libraries.to_numpy(array).item()
        expected = libraries.form(like)
        if expected is None:
            return self._differ(description, path, type(like).__name__)
        if (expected.shape, expected.dtype) != (array.shape, array.dtype):
            return self._differ(description, path, f"{expected.dtype}{list(expected.shape)}")
        if libraries.is_trained(like):
            # An optimiser holds this very tensor: another one in its place would never be trained.
            self.loads.append(lambda: libraries.load(array, like))
            return like
        return libraries.like(array, like)

    def _container(self, description: Description, like: Any, path: str) -> Any:
        children = _children(like, path)
        if children is None or children[0] != description["node"]:
            return self._differ(description, path, type(like).__name__)
        kind, saved, mine = children[0], dict(description["children"]), dict(children[1])
        if kind in ("list", "dict") and not mine:
            return _rebuilt(like, kind, [(key, _plain(child, self._arrays)) for key, child in saved.items()])
        if set(saved) != set(mine):
            missing, new = sorted(map(str, set(saved) - set(mine))), sorted(map(str, set(mine) - set(saved)))
            told = [f"only the checkpoint has {', '.join(missing)}"] if missing else []
            told += [f"only this training has {', '.join(new)}"] if new else []
            self.differences.append(f"under {path or 'the state'} {' and '.join(told)}")
            return None
        found = [(key, self.node(saved[key], child, _below(path, key))) for key, child in mine.items()]
        return None if self.differences else _rebuilt(like, kind, found)


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
