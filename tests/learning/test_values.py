"""Critics that tell a distribution over values learn the same targets as those that tell a value."""

import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from touchline.learning.values import Values, project

GRID = Values(atoms=21, low=-2.0, high=3.0)


@settings(max_examples=50)
@given(st.lists(st.floats(-2, 3, width=32), min_size=1, max_size=5), st.integers(0, 1000))
def test_projection_keeps_probability_and_mean_inside_the_grid(values, seed):
    weights = np.random.default_rng(seed).dirichlet(np.ones(len(values))).astype(np.float32)
    shared = project(jnp.asarray([values]), jnp.asarray([weights]), GRID)
    assert np.isclose(shared.sum(), 1.0, atol=1e-5)
    assert np.isclose(shared[0] @ GRID.grid, np.dot(weights, values), atol=1e-4)


def test_what_lies_outside_the_grid_counts_as_its_end():
    shared = project(jnp.asarray([[-50.0, 50.0]]), jnp.asarray([[0.25, 0.75]]), GRID)
    assert np.isclose(shared[0, 0], 0.25)
    assert np.isclose(shared[0, -1], 0.75)


def test_the_critic_with_the_lower_mean_is_believed():
    # Logits that put all weight on one value of the grid: 1.0, 0.5 and their neighbours.
    outputs = jnp.stack([jax.nn.one_hot(jnp.asarray([12, 4]), 21), jax.nn.one_hot(jnp.asarray([10, 8]), 21)]) * 100.0
    zero, one = jnp.zeros(2), jnp.ones(2)
    plain = Values(1, 0.0, 0.0).target(GRID.mean(outputs)[..., None], zero + 0.3, one * 0.9, zero)
    spread = GRID.target(outputs, zero + 0.3, one * 0.9, zero)
    assert np.allclose(spread @ GRID.grid, plain, atol=1e-4)
    assert np.allclose(plain, 0.3 + 0.9 * np.array([0.5, -1.0]), atol=1e-4)


def test_the_loss_is_least_where_the_outputs_are_the_target():
    target = jax.nn.softmax(jnp.linspace(-1.0, 1.0, 21))[None]
    right, wrong = jnp.log(target)[None], jnp.zeros((1, 1, 21))
    assert GRID.loss(right, target)[0, 0] < GRID.loss(wrong, target)[0, 0]
