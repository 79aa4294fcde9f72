"""Learning: SAC in JAX, conversion to PyTorch, DDPG fine-tuning and evaluation, on any Gymnasium environment."""
