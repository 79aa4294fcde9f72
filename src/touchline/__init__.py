"""Touchline: the MLOps loop beside a reinforcement-learning training loop."""
