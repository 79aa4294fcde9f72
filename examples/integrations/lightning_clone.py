"""Behaviour cloning with Lightning, recorded in a run.

    python examples/integrations/lightning_clone.py --epochs 20

What was added to a Lightning script ends in ``# touchline``.
"""

import argparse

import lightning
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import touchline  # touchline
from touchline.integrations.lightning import TouchlineLogger  # touchline

parser = argparse.ArgumentParser()
parser.add_argument("--epochs", type=int, default=20, help="over 4,096 demonstrations")
epochs = parser.parse_args().epochs


class Clone(lightning.LightningModule):
    """A policy that imitates a linear teacher."""

    def __init__(self, rate: float = 1e-2) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.policy = nn.Sequential(nn.Linear(8, 32), nn.Tanh(), nn.Linear(32, 2))

    def training_step(self, batch: list[torch.Tensor], _: int) -> torch.Tensor:
        """Squared error of the actions."""
        observations, actions = batch
        loss = nn.functional.mse_loss(self.policy(observations), actions)
        self.log("train/loss", loss)
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Adam."""
        return torch.optim.Adam(self.parameters(), lr=self.hparams["rate"])


observations = torch.randn(4096, 8)
demonstrations = TensorDataset(observations, observations @ torch.randn(8, 2))
run = touchline.start_run("lightning-clone")  # touchline
logger = TouchlineLogger(run, log_checkpoints=True)  # touchline
trainer = lightning.Trainer(max_epochs=epochs, accelerator="cpu", logger=logger)  # touchline
trainer.fit(Clone(), DataLoader(demonstrations, batch_size=256, shuffle=True))
run.finish()  # touchline
