"""A plain loop of PyTorch that is recorded, watched and saved; given again, it goes on where it was killed.

    python examples/integrations/pytorch_clone.py --steps 20000

What was added to the loop ends in ``# touchline``.
"""

import argparse

import torch
from torch import nn

from touchline.integrations.training import Training  # touchline

parser = argparse.ArgumentParser()
parser.add_argument("--steps", type=int, default=20_000, help="gradient steps")
steps = parser.parse_args().steps

generator = torch.Generator().manual_seed(0)
teacher = torch.randn(8, 2, generator=generator)
policy = nn.Sequential(nn.Linear(8, 32), nn.Tanh(), nn.Linear(32, 2))
optimizer = torch.optim.Adam(policy.parameters(), lr=1e-2)

with Training("pytorch-clone", every=1_000, minimum_seconds=0.0) as training:  # touchline
    state = training.restore_or({"policy": policy, "optimizer": optimizer, "generator": generator})  # touchline
    for step in range(training.start, steps):  # touchline
        observations = torch.randn(64, 8, generator=generator)
        loss = nn.functional.mse_loss(policy(observations), observations @ teacher)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        training.run.log({"train/loss": loss.detach()}, step + 1)  # touchline
        training.store.maybe_save(step + 1, state)  # touchline
