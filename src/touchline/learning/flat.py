"""A network's parameters as one vector, so that an optimiser, a norm or an average is one operation and not many."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils import parameters_to_vector, vector_to_parameters


class FlatParameters:
    """The parameters of a module in one vector that they are views of, shape (k,), with their gradient.

    Small networks spend their time between operations: for 24-12-6 units one Adam step over 8 tensors takes longer
    than the forward pass. The module keeps its own names, shapes and ``state_dict``; loading one fills the vector.
    Moving the module to another device, or copying it, parts the two.
    """

    def __init__(self, module: nn.Module) -> None:
        self.parameters = list(module.parameters())
        """The module's own, for ``Tensor.backward(inputs=...)``."""
        self.vector = nn.Parameter(parameters_to_vector(self.parameters).detach())
        vector_to_parameters(self.vector.data, self.parameters)
        self._gradient = torch.zeros_like(self.vector)
        self.vector.grad = self._gradient
        parts = self._gradient.split([one.numel() for one in self.parameters])
        for one, part in zip(self.parameters, parts, strict=True):
            one.grad = part.view_as(one)

    def descend(self, loss: Tensor, optimiser: torch.optim.Optimizer, largest_norm: float) -> None:
        """Make one step of ``optimiser``, which has ``vector``, along the gradient of ``loss``; see ``step``.

        Nothing but this module gets a gradient.
        """
        self._gradient.zero_()
        loss.backward(inputs=self.parameters)  # type: ignore[no-untyped-call]
        self.step(optimiser, largest_norm)

    @torch.no_grad()
    def step(self, optimiser: torch.optim.Optimizer, largest_norm: float) -> None:
        """Make one step along the gradient that the parameters have, cut to ``largest_norm``."""
        norm = torch.linalg.vector_norm(self._gradient)
        self._gradient.mul_((largest_norm / (norm + 1e-6)).clamp_(max=1.0))
        optimiser.step()

    @torch.no_grad()
    def follow(self, other: FlatParameters, share: float) -> None:
        """Move by ``share`` of the way towards ``other``."""
        self.vector.lerp_(other.vector, share)
