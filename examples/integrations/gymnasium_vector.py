"""A vector environment of Gymnasium whose episodes and films go into a run.

    python examples/integrations/gymnasium_vector.py --steps 20000

What was added to a loop as in Gymnasium's documentation ends in ``# touchline``.
"""

import argparse

import gymnasium as gym

import touchline  # touchline
from touchline.integrations.gymnasium import VectorRecordEpisodes, VectorRecordVideo  # touchline

parser = argparse.ArgumentParser()
parser.add_argument("--steps", type=int, default=20_000, help="policy transitions, over all environments")
steps = parser.parse_args().steps

run = touchline.start_run("gymnasium-vector")  # touchline
envs = gym.make_vec("Pendulum-v1", num_envs=4, vectorization_mode="sync", render_mode="rgb_array")
envs = VectorRecordVideo(VectorRecordEpisodes(envs, run), run, every=10_000, frames=50)  # touchline
envs.reset(seed=0)
for _ in range(steps // envs.num_envs):
    envs.step(envs.action_space.sample())
envs.close()
run.finish()  # touchline
