"""Nodes that are registered with JAX: flax structs, optimiser states, whatever a user registered."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any


def registered_children(node: Any) -> list[tuple[str, Any]] | None:
    """The children of a node that JAX knows, by the name of their place; None for any other object."""
    # Where nobody imported JAX, nothing can be registered with it, and importing it takes seconds.
    jax = sys.modules.get("jax")
    if jax is None:
        return None
    below, structure = jax.tree_util.tree_flatten_with_path(node, is_leaf=lambda part: part is not node)
    if jax.tree_util.treedef_is_leaf(structure):
        return None
    return [(jax.tree_util.keystr(path, simple=True, separator="/"), child) for path, child in below]


def rebuild_registered(like: Any, children: Sequence[Any]) -> Any:
    """The node ``like`` with other children, given in the order of ``registered_children``."""
    import jax

    structure = jax.tree_util.tree_structure(like, is_leaf=lambda part: part is not like)
    return jax.tree_util.tree_unflatten(structure, children)
