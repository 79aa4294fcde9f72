"""Our own sinks pass the suite that we ship."""

from __future__ import annotations

import io
import socket
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from touchline.config import Settings
from touchline.testing.sinks import FarSide, SinkConformance
from touchline.testing.wandb_backend import WandbBackend
from touchline.tracking.mlflow_store import connect
from touchline.tracking.sinks import load_sink
from touchline.tracking.sinks.base import RunInfo, Sink
from touchline.tracking.sinks.console import ConsoleSession, ConsoleSink


def closed_port() -> str:
    """A URL at which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"http://127.0.0.1:{server.getsockname()[1]}"


class MlflowFarSide(FarSide):
    def __init__(self, home: Path) -> None:
        self.settings = Settings(home=home)

    def sink(self) -> Sink:
        return load_sink("mlflow", self.settings)

    def _run(self, run_id: str) -> object:
        client = connect(self.settings)
        experiments = [item.experiment_id for item in client.search_experiments()]
        (found,) = client.search_runs(experiments, f"tags.`touchline.run_id` = '{run_id}'")
        return found

    def values(self, run_id: str) -> Mapping[tuple[str, int], Sequence[float]]:
        client, run = connect(self.settings), self._run(run_id)
        values: dict[tuple[str, int], list[float]] = {}
        for name in run.data.metrics:  # type: ignore[attr-defined]
            for metric in client.get_metric_history(run.info.run_id, name):  # type: ignore[attr-defined]
                values.setdefault((name, metric.step), []).append(metric.value)
        return values

    def status(self, run_id: str) -> str | None:
        run = self._run(run_id)
        assert run.info.status == {"finished": "FINISHED", "failed": "FAILED"}.get(  # type: ignore[attr-defined]
            run.data.tags["touchline.status"],  # type: ignore[attr-defined]
            "KILLED",
        )
        return str(run.data.tags["touchline.status"])  # type: ignore[attr-defined]

    def unreachable(self) -> Sink:
        return load_sink("mlflow", Settings(home=self.settings.home, mlflow_tracking_uri=closed_port()))


@pytest.fixture(scope="module")
def mlflow_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One store for all: a fresh one takes seconds."""
    return tmp_path_factory.mktemp("mlflow")


class TestMlflow(SinkConformance):
    @pytest.fixture
    def far_side(self, mlflow_home: Path) -> FarSide:
        return MlflowFarSide(mlflow_home)


class TensorboardFarSide(FarSide):
    def __init__(self, home: Path) -> None:
        self.home = home

    def sink(self) -> Sink:
        return load_sink("tensorboard", Settings(home=self.home))

    def values(self, run_id: str) -> Mapping[tuple[str, int], Sequence[float]]:
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

        directory = str(self.home / "runs" / run_id / "tensorboard")
        # Without its purging: what an older attempt left in the file would be seen here.
        events = EventAccumulator(directory, size_guidance={"scalars": 0}, purge_orphaned_data=False).Reload()
        values: dict[tuple[str, int], list[float]] = {}
        for tag in events.Tags()["scalars"]:
            for event in events.Scalars(tag):
                values.setdefault((tag, event.step), []).append(event.value)
        return values

    def status(self, run_id: str) -> str | None:
        return None


class TestTensorboard(SinkConformance):
    @pytest.fixture
    def far_side(self, tmp_path: Path) -> FarSide:
        return TensorboardFarSide(tmp_path)


class ConsoleFarSide(FarSide):
    keeps_history = False

    def __init__(self, tmp_path: Path) -> None:
        self.settings = Settings(home=tmp_path)
        self.stream = io.StringIO()
        self.sessions: list[ConsoleSession] = []

    def sink(self) -> Sink:
        class Remembered(ConsoleSink):
            def open(sink, run: RunInfo, delivered: int, sent: int) -> ConsoleSession:
                self.sessions.append(super().open(run, delivered, sent))
                return self.sessions[-1]

        return Remembered(self.settings, self.stream)

    def values(self, run_id: str) -> Mapping[tuple[str, int], Sequence[float]]:
        return {(name, step): [value] for name, (step, value) in self.sessions[-1].values.items()}

    def status(self, run_id: str) -> str | None:
        shown = [line.split()[1] for line in self.stream.getvalue().splitlines() if line.startswith(run_id)]
        return shown[-1]


class TestConsole(SinkConformance):
    @pytest.fixture
    def far_side(self, tmp_path: Path) -> FarSide:
        return ConsoleFarSide(tmp_path)


class WandbFarSide(FarSide):
    def __init__(self, home: Path, backend: WandbBackend) -> None:
        self.settings = Settings(home=home, wandb_base_url=backend.url)
        self.backend = backend

    def sink(self) -> Sink:
        return load_sink("wandb", self.settings)

    def values(self, run_id: str) -> Mapping[tuple[str, int], Sequence[float]]:
        values: dict[tuple[str, int], list[float]] = {}
        for row in self.backend.runs[run_id].history:
            for name, value in row.items():
                if not name.startswith("_") and name != "global_step" and isinstance(value, int | float | str):
                    values.setdefault((name, row["global_step"]), []).append(float(value))
        return values

    def status(self, run_id: str) -> str | None:
        return str(self.backend.runs[run_id].summary["touchline/status"])

    def unreachable(self) -> Sink:
        return load_sink("wandb", Settings(home=self.settings.home, wandb_base_url=closed_port()))


class TestWandb(SinkConformance):
    @pytest.fixture
    def far_side(self, tmp_path: Path, backend: WandbBackend) -> Iterator[FarSide]:
        (tmp_path / "couriers").mkdir()
        yield WandbFarSide(tmp_path, backend)
