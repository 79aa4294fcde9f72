"""Simulated worlds: any MuJoCo robot and task, stepped thousands at a time by MuJoCo in C or by MJX.

A world says in array functions what is simulated (``world.World``); ``native.NativeWorld`` and ``mjx.MjxWorld`` step
it as Gymnasium vector environments. Nothing here knows of soccer.
"""
