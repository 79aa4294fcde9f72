"""Updates of Touchline's SAC alone. Arguments: widths, updates a block, blocks."""

from __future__ import annotations

import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
import sac_settings as common
import synthetic

from touchline.learning.sac import Batch, Sac
from touchline.learning.sac_config import SacConfig


def main(hidden: str, updates: str, blocks: str) -> None:
    """Print the milliseconds an update of every block takes, the first left out: it compiles."""
    widths = common.widths(hidden)
    config = SacConfig(actor_hidden=widths, critic_hidden=widths, batch_size=common.BATCH)
    sac = Sac(synthetic.OBSERVATIONS, synthetic.ACTIONS, config)
    state, rng = sac.init(0), np.random.default_rng(0)
    shape = (int(updates), common.BATCH)

    def normal(*more: int) -> jax.Array:
        return jnp.asarray(rng.normal(size=(*shape, *more)), jnp.float32)

    batches = Batch(
        observation=normal(synthetic.OBSERVATIONS),
        action=jnp.tanh(normal(synthetic.ACTIONS)),
        reward=normal(),
        next_observation=normal(synthetic.OBSERVATIONS),
        discount=jnp.full(shape, common.GAMMA),
        weight=jnp.ones(shape),
    )
    took = []
    for _ in range(int(blocks) + 1):
        began = time.perf_counter()
        state, metrics = sac.update(state, batches)
        jax.block_until_ready((state, metrics))
        took.append(1e3 * (time.perf_counter() - began) / int(updates))
    common.say({"milliseconds": took[1:]})


if __name__ == "__main__":
    main(*sys.argv[1:])
