"""The competition's training scripts on Touchline, for scripts that change their import lines.

``from touchline.compat.competition import DDPG_FF, training_loop``: called as those of its ``training_scripts``; what
they do differs where the originals were wrong (docs/compat.md).
``get_wandb_video`` of its ``imitation_learning`` is ``touchline.get_wandb_video``.
"""

from touchline.compat.competition._ddpg import DDPG_FF
from touchline.compat.competition._loop import training_loop
from touchline.tracking.video import get_wandb_video

__all__ = ["DDPG_FF", "get_wandb_video", "training_loop"]
