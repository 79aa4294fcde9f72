"""The best policy of a training so far, by evaluation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from touchline.learning.policy import Policy


class Selection:
    """Keeps the policy with the highest score; a checkpoint carries it."""

    def __init__(self, *, newer_wins_ties: bool) -> None:
        """``newer_wins_ties``: of two with the same score the one of the later step is the best."""
        self._newer_wins_ties = newer_wins_ties
        self.policy: Policy | None = None
        self.first_score = self.score = -float("inf")
        """Of the first policy offered, and of the best one."""
        self.step = 0
        """Policy transitions after which it was taken."""

    def offer(self, policy: Policy, score: float, step: int) -> None:
        """Compare a policy with the best one."""
        if self.policy is None:
            self.first_score = score
        if self.policy is None or score > self.score or (self._newer_wins_ties and score == self.score):
            self.policy, self.score, self.step = policy, score, step

    @property
    def best(self) -> Policy:
        """The best policy; ValueError before the first was offered."""
        if self.policy is None:
            raise ValueError("No policy was evaluated yet; offer the untrained one first.")
        return self.policy

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {"policy": self.policy, "first_score": self.first_score, "score": self.score, "step": self.step}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from ``state_dict()`` after a round trip through a checkpoint."""
        self.policy = None if state["policy"] is None else Policy(**state["policy"])
        self.first_score, self.score, self.step = state["first_score"], state["score"], state["step"]
