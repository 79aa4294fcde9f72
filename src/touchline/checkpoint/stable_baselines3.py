"""Models of Stable-Baselines3: parameters, optimisers, counters and replay buffer, without their pickles."""
