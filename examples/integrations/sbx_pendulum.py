"""SBX's first example, recorded, filmed and saved with its replay buffer; given again, it goes on.

    python examples/integrations/sbx_pendulum.py --steps 20000

What was added to the example of SBX's page ends in ``# touchline``.
"""

import argparse

import gymnasium as gym

from touchline.integrations.sbx import TouchlineCallback, Training  # touchline
from touchline.jax_guard import guard_jax  # touchline

guard_jax()  # touchline
from sbx import SAC  # noqa: E402

parser = argparse.ArgumentParser()
parser.add_argument("--steps", type=int, default=20_000, help="policy transitions")
parser.add_argument("--width", type=int, default=256, help="of the two hidden layers")
steps, width = vars(parser.parse_args()).values()

with Training("sbx-pendulum", every=5_000) as training:  # touchline
    film = gym.make("Pendulum-v1", render_mode="rgb_array")  # touchline
    callback = TouchlineCallback(training, video_env=film, video_every=10_000)  # touchline
    model = SAC("MlpPolicy", "Pendulum-v1", policy_kwargs={"net_arch": [width, width]})  # touchline: indented
    model = training.restore_or(model)  # touchline
    model.learn(steps - model.num_timesteps, callback, log_interval=1, reset_num_timesteps=False)  # touchline
