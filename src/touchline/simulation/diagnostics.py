"""MuJoCo's warnings go to the log, not to a file in the working directory."""

from __future__ import annotations

import logging

logger = logging.getLogger("touchline.mujoco")


def log_mujoco_warnings() -> None:
    """Send MuJoCo's warnings to ``logging`` unless somebody handles them already; for the whole process.

    MuJoCo's default appends them to ``MUJOCO_LOG.TXT`` wherever the process was started.
    """
    import mujoco

    if mujoco.get_mju_user_warning() is None:
        mujoco.set_mju_user_warning(logger.warning)
