"""Soccer worlds: the T1 robot, its observation, rewards and control, and the backends that step it.

The toolkit's first user: nothing outside ``touchline.soccer`` and the soccer jobs depends on it.
"""
