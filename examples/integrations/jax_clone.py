"""A plain loop of JAX that is recorded, watched and saved; given again, it goes on where it was killed.

    python examples/integrations/jax_clone.py --steps 20000

What was added to the loop ends in ``# touchline``.
"""

import argparse

from touchline.integrations.training import Training  # touchline
from touchline.jax_guard import guard_jax  # touchline

guard_jax()  # touchline
import jax  # noqa: E402
import optax  # noqa: E402

parser = argparse.ArgumentParser()
parser.add_argument("--steps", type=int, default=20_000, help="gradient steps")
steps = parser.parse_args().steps

key = jax.random.key(0)
teacher = jax.random.normal(key, (8, 2))
optimiser = optax.adam(1e-2)


@jax.jit
def update(state: dict[str, object]) -> tuple[dict[str, object], jax.Array]:
    """One gradient step on a fresh batch."""
    key, drawn = jax.random.split(state["key"])
    observations = jax.random.normal(drawn, (64, 8))

    def error(policy: jax.Array) -> jax.Array:
        return ((observations @ policy - observations @ teacher) ** 2).mean()

    loss, gradient = jax.value_and_grad(error)(state["policy"])
    changes, moments = optimiser.update(gradient, state["moments"])
    return {"policy": optax.apply_updates(state["policy"], changes), "moments": moments, "key": key}, loss


policy = jax.numpy.zeros((8, 2))
state = {"policy": policy, "moments": optimiser.init(policy), "key": key}
with Training("jax-clone", every=1_000, minimum_seconds=0.0) as training:  # touchline
    state = training.restore_or(state)  # touchline
    for step in range(training.start, steps):  # touchline
        state, loss = update(state)
        training.run.log({"train/loss": loss}, step + 1)  # touchline
        training.store.maybe_save(step + 1, state)  # touchline
