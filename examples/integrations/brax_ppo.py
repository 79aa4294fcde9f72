"""Brax's PPO, recorded and saved; given again, it goes on with the networks that it had.

    python examples/integrations/brax_ppo.py --steps 1000000

What was added to a call as in Brax's notebook ends in ``# touchline``. ``--small`` is for trying it out.
"""

import argparse
import functools

from touchline.integrations.training import Training  # touchline
from touchline.jax_guard import guard_jax  # touchline

guard_jax()  # touchline
from brax import envs  # noqa: E402
from brax.training.agents.ppo import networks, train  # noqa: E402

from touchline.integrations.brax import BraxCallbacks  # noqa: E402  # touchline

parser = argparse.ArgumentParser()
parser.add_argument("--steps", type=int, default=1_000_000, help="policy transitions over all environments")
parser.add_argument("--small", action="store_true", help="few environments and small networks")
args = parser.parse_args()

hidden = (8,) if args.small else (32,) * 4
network = functools.partial(
    networks.make_ppo_networks, policy_hidden_layer_sizes=hidden, value_hidden_layer_sizes=hidden
)
size = {"num_envs": 4, "batch_size": 4, "num_minibatches": 1} if args.small else {"num_envs": 512, "batch_size": 256}
if args.small:
    size |= {"unroll_length": 4, "num_updates_per_batch": 1, "num_eval_envs": 2, "episode_length": 16}

with Training("brax-ppo", every=max(args.steps // 10, 1), minimum_seconds=0.0) as training:  # touchline
    callbacks = BraxCallbacks(training)  # touchline
    train.train(
        envs.get_environment("fast"),
        num_timesteps=max(args.steps - training.start, 1),  # touchline
        normalize_observations=True,
        network_factory=network,
        num_evals=3,
        **{"episode_length": 200, **size},
        progress_fn=callbacks.progress,  # touchline
        policy_params_fn=callbacks.policy_params,  # touchline
        restore_params=callbacks.restore(),  # touchline
    )
