"""A training spread over several local devices: environments and batches are cut in rows, the learner lies on each.

What is computed stays the same: XLA divides one program, so the draws of random numbers, the batches and the updates
are those of one device, apart from the order of sums. Source: Xu et al. (2021), "GSPMD: General and Scalable
Parallelization for ML Computation Graphs" (arXiv 2105.04663).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from touchline.errors import UsageError

_AXIS = "rows"


@dataclass(frozen=True)
class Devices:
    """Where the arrays of a training lie; with one device its methods change nothing."""

    mesh: Mesh | None
    num_envs: int

    @classmethod
    def of(cls, count: int, num_envs: int, batch_size: int) -> Devices:
        """Take the first ``count`` local devices, all of them for 0.

        Raises UsageError when there are fewer, or when environments or batches cannot be cut in as many equal parts.
        """
        found = jax.local_devices()
        if count > len(found):
            raise UsageError(
                f"{count} devices were asked for, and jax has {len(found)} here ({found[0].platform}). Ask for "
                f"{len(found)}, or for 0 to take all."
            )
        count = count or len(found)
        for name, size in (("num_envs", num_envs), ("batch_size", batch_size)):
            if size % count:
                near = " or ".join(str(count * parts) for parts in (size // count, size // count + 1) if parts)
                raise UsageError(f"{name} is {size}, which {count} devices cannot share evenly. Give {near}.")
        return cls(Mesh(np.array(found[:count]), (_AXIS,)) if count > 1 else None, num_envs)

    def everywhere(self, tree: Any) -> Any:
        """Put every array of ``tree`` on each device, whole."""
        return self._put(tree, lambda leaf: PartitionSpec())

    def rows(self, tree: Any) -> Any:
        """Cut the arrays that have a row for each environment, and put the others on each device."""
        return self._put(
            tree,
            lambda leaf: PartitionSpec(_AXIS) if leaf.shape[:1] == (self.num_envs,) else PartitionSpec(),
        )

    def batches(self, tree: Any) -> Any:
        """Cut batches, arrays of shape (k, b, …), along b."""
        return self._put(tree, lambda leaf: PartitionSpec(None, _AXIS))

    def _put(self, tree: Any, layout: Any) -> Any:
        mesh = self.mesh
        if mesh is None:
            return tree
        # Not device_put, which is no constraint where a program is compiled: batches would lie whole on each device.
        return jax.tree.map(
            lambda leaf: jax.lax.with_sharding_constraint(leaf, NamedSharding(mesh, layout(leaf))), tree
        )
