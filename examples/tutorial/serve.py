"""How MLflow loads the policy of train.py: as this code, with NumPy alone."""

from pathlib import Path

import mlflow
import numpy as np


class Balance(mlflow.pyfunc.PythonModel):
    def load_context(self, context):
        self.weights = dict(np.load(Path(context.artifacts["policy"]) / "policy.npz"))

    def predict(self, context, model_input, params=None):
        """Observations (b, 4) to the preference for each of the two pushes (b, 2)."""
        hidden = np.asarray(model_input, np.float32)
        for layer in ("policy_net.0", "policy_net.2"):
            hidden = np.tanh(self.layer(layer, hidden))
        return self.layer("action_net", hidden)

    def layer(self, name, values):
        return values @ self.weights[f"{name}.weight"].T + self.weights[f"{name}.bias"]


mlflow.models.set_model(Balance())
