"""Simulated worlds: any MuJoCo robot and task, stepped thousands at a time by MuJoCo in C or by MJX.

A world says in array functions what is simulated (``World``); ``native.NativeWorld`` and ``mjx.MjxWorld`` step it as
Gymnasium vector environments, ``single.SingleWorld`` is one episode of it. Nothing here knows of soccer.
"""

from touchline.simulation.randomisation import LEVELS, NONE, Randomisation
from touchline.simulation.world import Moves, Physics, Start, World

__all__ = ["LEVELS", "NONE", "Moves", "Physics", "Randomisation", "Start", "World"]
