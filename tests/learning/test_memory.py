"""The replay memory draws transitions over one step or several, as a plain loop over the episode would make them."""

import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from touchline.learning.memory import Memory, Transition, n_step_returns


def by_hand(reward, terminated, truncated, gamma):
    """Reward, discount and last step of the transition that begins at step 0."""
    total, count = 0.0, 0
    for i in range(len(reward)):
        total, count = total + gamma**i * reward[i], i + 1
        if terminated[i] or truncated[i]:
            break
    return total, gamma**count * (not terminated[count - 1]), count - 1


steps = st.lists(
    st.tuples(st.floats(-5, 5, width=32), st.sampled_from(["runs", "runs", "ends", "time"])), min_size=1, max_size=6
)


@settings(max_examples=60)
@given(steps, st.floats(0.5, 1.0))
def test_several_steps_make_the_transition_that_a_loop_over_them_makes(played, gamma):
    n = len(played)
    reward = np.array([one for one, _ in played], np.float32)
    terminated = np.array([how == "ends" for _, how in played], np.float32)
    truncated = np.array([how == "time" for _, how in played], np.float32)
    number = np.arange(n, dtype=np.float32)
    parts = (number[:, None], number[:, None], reward, 10 + number[:, None], terminated, truncated, np.ones(n))
    batch = n_step_returns(Transition(*(jnp.asarray(part)[None] for part in parts)), gamma)
    total, discount, last = by_hand(reward, terminated, truncated, gamma)
    assert np.allclose(batch.reward[0], total, atol=1e-4)
    assert np.allclose(batch.discount[0], discount, atol=1e-5)
    assert batch.observation[0, 0] == 0
    assert batch.next_observation[0, 0] == 10 + last


def filled(memory, count):
    """A buffer of ``count`` steps: environment e shows 100 e + t at time t."""
    state, add = memory.init(1, 1), jax.jit(memory.add)
    envs = 100.0 * np.arange(memory.num_envs)
    zeros, ones = np.zeros(memory.num_envs), np.ones(memory.num_envs)
    for t in range(count):
        now = (envs + t)[:, None]
        state = add(state, Transition(now, now, envs + t, now + 1, zeros, zeros, ones))
    return state


def test_draws_come_from_every_environment_and_never_from_what_was_overwritten():
    memory = Memory(num_envs=3, capacity=30, n_step=4, batch_size=500, gamma=0.5)
    batch = memory.draw(filled(memory, 25), jax.random.key(0), batches=2)
    assert batch.observation.shape == (2, 500, 1)
    shown = np.asarray(batch.observation).ravel()
    assert set(shown // 100) == {0, 1, 2}
    # 10 steps an environment are kept, 15 to 24, and four of them make a transition.
    assert set(shown % 100) == set(range(15, 22))
    assert np.allclose(batch.next_observation[..., 0], batch.observation[..., 0] + 4)
    assert np.allclose(batch.discount, 0.5**4)


def test_a_step_that_only_began_an_episode_has_no_weight():
    memory = Memory(num_envs=1, capacity=10, n_step=1, batch_size=64, gamma=0.9)
    state = memory.init(1, 1)
    for valid in (1.0, 0.0):
        one, row = np.ones(1), np.full((1, 1), valid)
        state = memory.add(state, Transition(row, row, one, row, 0 * one, 0 * one, np.array([valid])))
    batch = memory.draw(state, jax.random.key(1), batches=1)
    assert {0.0, 1.0} == set(np.asarray(batch.weight).ravel())
    assert np.array_equal(batch.weight, batch.observation[..., 0])
