"""Makes an empty MLflow store, so that no measurement pays for its tables. Usage: make_store.py DIRECTORY"""

from __future__ import annotations

import sys
from pathlib import Path


def main() -> None:
    """Create ``mlflow.db`` with the experiment of the benchmarks."""
    import mlflow

    directory = Path(sys.argv[1])
    mlflow.set_tracking_uri(f"sqlite:///{directory / 'mlflow.db'}")
    mlflow.create_experiment("benchmark", artifact_location=(directory / "artifacts").as_uri())
    print("{}")


if __name__ == "__main__":
    main()
