"""The normaliser equals the statistics of everything it saw, with a floor."""

import jax.numpy as jnp
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from touchline.learning import normaliser as norm


@settings(max_examples=25)
@given(st.lists(st.integers(1, 40), min_size=1, max_size=6), st.integers(0, 1000))
def test_batches_add_up_to_the_whole(sizes, seed):
    rng = np.random.default_rng(seed)
    batches = [rng.normal(5, 2, size=(size, 3)).astype(np.float32) for size in sizes]
    state = norm.init(3)
    for batch in batches:
        state = norm.update(state, jnp.asarray(batch))
    whole = np.concatenate(batches)
    assert np.allclose(state.mean, whole.mean(axis=0), atol=1e-3)
    assert np.allclose(norm.std(state), np.maximum(whole.std(axis=0), norm.MINIMUM_STD), atol=1e-3)


def test_a_constant_feature_stays_harmless_when_it_moves():
    state = norm.update(norm.init(1), jnp.ones((1000, 1)))
    assert float(norm.apply(state, jnp.asarray([1.05]))[0]) <= 0.51
    assert float(norm.apply(state, jnp.asarray([1e6]))[0]) == norm.CLIP


def test_before_any_observation_nothing_changes():
    assert float(norm.apply(norm.init(1), jnp.asarray([0.7]))[0]) == np.float32(0.7)
