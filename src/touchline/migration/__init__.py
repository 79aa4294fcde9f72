"""Runs that other trackers recorded, brought into the home: each becomes a run with a journal of its own.

A reader (``wandb``, ``mlflow``, ``tensorboard``) yields a run's events and counts what it reads; ``importing`` writes
them, whole or not at all, and compares that count with what the journal then holds.
"""
