"""Behaviour cloning with Accelerate, recorded in a run.

    accelerate launch examples/integrations/accelerate_clone.py --epochs 20

What was added to an Accelerate script ends in ``# touchline``.
"""

import argparse

import torch
from accelerate import Accelerator
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import touchline  # touchline
from touchline.integrations.accelerate import TouchlineTracker  # touchline

parser = argparse.ArgumentParser()
parser.add_argument("--epochs", type=int, default=20, help="over 4,096 demonstrations")
epochs = parser.parse_args().epochs

run = touchline.start_run("accelerate-clone")  # touchline
accelerator = Accelerator(log_with=TouchlineTracker(run))  # touchline
accelerator.init_trackers("clone", config={"rate": 1e-2, "epochs": epochs})
observations = torch.randn(4096, 8)
demonstrations = TensorDataset(observations, observations @ torch.randn(8, 2))
policy = nn.Sequential(nn.Linear(8, 32), nn.Tanh(), nn.Linear(32, 2))
policy, optimizer, loader = accelerator.prepare(
    policy, torch.optim.Adam(policy.parameters(), lr=1e-2), DataLoader(demonstrations, batch_size=256, shuffle=True)
)
step = 0
for _ in range(epochs):
    for inputs, actions in loader:
        loss = nn.functional.mse_loss(policy(inputs), actions)
        optimizer.zero_grad()
        accelerator.backward(loss)
        optimizer.step()
        step += 1
        accelerator.log({"train/loss": loss.detach()}, step=step)
accelerator.end_training()
run.finish()  # touchline
