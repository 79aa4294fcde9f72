"""The preprocessor that goes into the competition's package; this file is shipped as it stands.

The competition executes it with only ``np`` and ``env`` in scope and one class, so it repeats the layout of
``touchline.soccer.layout`` on its own; a test keeps the two equal.
"""

import numpy as np


class Preprocessor:
    """Raw observations (b, k) or (k,) and the official info → float32 (b, 89)."""

    def modify_state(self, obs, info):
        """Return the observation of the policy; ``task_index`` is the competition's one-hot of three tasks."""
        obs = np.atleast_2d(np.asarray(obs))
        x, y, z, w = (np.atleast_2d(info["robot_quat"])[:, i] for i in range(4))
        gravity = np.stack([-2 * (x * z - w * y), -2 * (y * z + w * x), -(1 - 2 * (x * x + y * y))], axis=-1)
        names = (
            "robot_gyro",
            "robot_accelerometer",
            "robot_velocimeter",
            "goal_team_0_rel_robot",
            "goal_team_1_rel_robot",
            "goal_team_0_rel_ball",
            "goal_team_1_rel_ball",
            "ball_xpos_rel_robot",
            "ball_velp_rel_robot",
            "ball_velr_rel_robot",
            "player_team",
            "goalkeeper_team_0_xpos_rel_robot",
            "goalkeeper_team_0_velp_rel_robot",
            "goalkeeper_team_1_xpos_rel_robot",
            "goalkeeper_team_1_velp_rel_robot",
            "target_xpos_rel_robot",
            "target_velp_rel_robot",
            "defender_xpos",
            "task_index",
        )
        parts = [obs[:, :12], obs[:, 12:24], gravity, *(np.atleast_2d(info[name]) for name in names)]
        return np.concatenate(parts, axis=-1).astype(np.float32)
