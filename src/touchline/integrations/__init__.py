"""Other people's training loops: a file for each library, which needs that library and nobody else's.

``training.Training`` opens what a loop of any kind needs to go on after a kill: its run, checkpoints, watch and stop.
"""
