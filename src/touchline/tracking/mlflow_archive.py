"""What the MLflow store of the settings has of a run, asked before a run's own files are removed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from touchline.config import Settings
from touchline.errors import TouchlineError

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient


class MlflowArchive:
    """Opens the store with the first question; raises TouchlineError when it does not answer."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._opened: MlflowClient | None = None

    def has_run(self, remote_id: str) -> bool:
        """True when the run is there and is not deleted."""
        from mlflow.exceptions import MlflowException

        with _told():
            try:
                return bool(self._client().get_run(remote_id).info.lifecycle_stage == "active")
            except MlflowException as error:
                if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                    return False
                raise

    def files(self, remote_id: str, root: str) -> Mapping[str, int]:
        """Size in bytes of each artifact below the directory ``root``, by its whole path."""
        with _told():
            return dict(self._below(remote_id, root))

    def _below(self, remote_id: str, path: str) -> Iterator[tuple[str, int]]:
        for entry in self._client().list_artifacts(remote_id, path):
            if entry.is_dir:
                yield from self._below(remote_id, entry.path)
            else:
                yield entry.path, int(entry.file_size or 0)

    def _client(self) -> MlflowClient:
        if self._opened is None:
            from touchline.tracking.mlflow_store import check_store, connect

            check_store(self._settings)
            self._opened = connect(self._settings)
        return self._opened


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except ImportError as error:
        raise TouchlineError(
            "MLflow is not installed here; install it with: pip install 'touchline[mlflow]'."
        ) from error
    except Exception as error:
        raise TouchlineError(f"{type(error).__name__}: {' '.join(str(error).split())[:300]}") from error
