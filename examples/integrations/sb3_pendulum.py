"""Stable-Baselines3's first example, recorded, filmed and saved; given again, it goes on where it was killed.

    python examples/integrations/sb3_pendulum.py --steps 20000

What was added to the example of Stable-Baselines3's page ends in ``# touchline``. Its own callbacks combine with
ours: here training stops once ten evaluations in a row brought nothing better.
"""

import argparse

import gymnasium as gym
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import EvalCallback, StopTrainingOnNoModelImprovement
from stable_baselines3.common.monitor import Monitor

from touchline.integrations.stable_baselines3 import TouchlineCallback  # touchline
from touchline.integrations.training import Training  # touchline

parser = argparse.ArgumentParser()
parser.add_argument("--steps", type=int, default=100_000, help="policy transitions")
parser.add_argument("--rollout", type=int, default=1024, help="policy transitions between two updates")
steps, rollout = vars(parser.parse_args()).values()

patience = StopTrainingOnNoModelImprovement(max_no_improvement_evals=10)
evaluation_env = Monitor(gym.make("Pendulum-v1"))
evaluation = EvalCallback(evaluation_env, callback_after_eval=patience, eval_freq=max(steps // 50, 250), verbose=0)

with Training("sb3-pendulum", every=10_000) as training:  # touchline
    film = gym.make("Pendulum-v1", render_mode="rgb_array")  # touchline
    callback = TouchlineCallback(training, video_env=film, video_every=max(steps // 4, 1))  # touchline
    model = PPO("MlpPolicy", "Pendulum-v1", n_steps=rollout, gamma=0.9, learning_rate=1e-3)  # touchline: indented
    model = training.restore_or(model)  # touchline
    model.learn(steps - model.num_timesteps, [callback, evaluation], reset_num_timesteps=False)  # touchline
