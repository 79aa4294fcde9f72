"""Tracking: a journal in the training process, couriers outside it.

``run.py`` is what a training loop sees, ``journal.py`` the truth on disk, ``courier.py`` the delivery and
``sinks/`` the far sides. Nothing is imported here, so that each process loads only what it needs.
"""
