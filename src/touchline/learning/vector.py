"""A vector environment that can be saved in the middle of its episodes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import gymnasium
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from touchline.errors import UsageError


class ResumableVectorEnv(SyncVectorEnv):
    """Gymnasium's serial vector environment with same-step auto-reset, ``state_dict`` and ``load_state_dict``.

    In that mode it keeps nothing of its own between two steps (Gymnasium 1.x, ``SyncVectorEnv.step``), random
    generators included, so its state is that of its environments. Each of them must have both methods itself.
    """

    def __init__(self, env_fns: Sequence[Callable[[], gymnasium.Env[Any, Any]]]) -> None:
        """Raises UsageError when an environment cannot be saved, such as a wrapper that forgets its own state."""
        super().__init__(env_fns, autoreset_mode=AutoresetMode.SAME_STEP)
        for env in self.envs:
            for method in ("state_dict", "load_state_dict"):
                if not hasattr(type(env), method):
                    raise UsageError(
                        f"{type(env).__qualname__} has no {method}(), so it cannot be saved in the middle of an "
                        "episode. Give it state_dict() and load_state_dict(), or use Gymnasium's SyncVectorEnv "
                        "for a training that is never resumed."
                    )

    def state_dict(self) -> dict[str, Any]:
        """Return the state of every environment, in their order."""
        return {"environments": [env.state_dict() for env in self.envs]}  # type: ignore[attr-defined]

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from ``state_dict()``. Raises UsageError when it is of another number of environments."""
        saved = state["environments"]
        if len(saved) != self.num_envs:
            raise UsageError(
                f"The saved state is of {len(saved)} environments and these are {self.num_envs}. "
                f"Go on with {len(saved)} environments, or start over."
            )
        for env, one in zip(self.envs, saved, strict=True):
            env.load_state_dict(one)  # type: ignore[attr-defined]
