"""SBX, Stable-Baselines3 in JAX: the same callback, the same checkpoints.

jaxlib can deadlock on machines with few cores; what prevents it comes before the first import of jax::

    from touchline.jax_guard import guard_jax

    guard_jax()
    from sbx import SAC
"""

from touchline.integrations.stable_baselines3 import TouchlineCallback, hyperparameters
from touchline.integrations.training import Training

__all__ = ["TouchlineCallback", "Training", "hyperparameters"]
