"""The MLflow model of every policy, as code: no pickle, and neither JAX nor PyTorch is needed to act."""

from pathlib import Path
from typing import Any

import mlflow
import numpy as np

from touchline.learning.policy import Policy


class PolicyModel(mlflow.pyfunc.PythonModel):  # type: ignore[misc, name-defined]
    """Observations, float32 of shape (b, n) → actions in [-1, 1], float32 of shape (b, m)."""

    def load_context(self, context: Any) -> None:
        """Read the canonical policy from the model's artifacts."""
        self.policy = Policy.load(Path(context.artifacts["policy"]))

    def predict(self, context, model_input, params=None):  # type: ignore[no-untyped-def]  # hints would be a schema
        """Act; ``model_input`` may be an array or a DataFrame of observations."""
        return self.policy(np.asarray(model_input, dtype=np.float32))


mlflow.models.set_model(PolicyModel())
