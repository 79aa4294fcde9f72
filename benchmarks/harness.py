"""What the benchmarks share: resumable results, child processes, the W&B stand-in, statistics, tables."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

HERE = Path(__file__).parent
PEERS = HERE / "peers"
PEERS_PYTHON = HERE.parent / "build" / "peers" / "bin" / "python"
INSTALL = "python3 -m venv build/peers && build/peers/bin/pip install -r benchmarks/requirements.txt"
_PACKAGES = ("touchline", "mlflow", "wandb", "tensorboard", "torch", "jax", "numpy")
_POLL_SECONDS = 0.1
_SEARCH_SECONDS = 1.0


class Part:
    """One benchmark's results: each measurement is written when it is made, and not made again."""

    def __init__(
        self,
        name: str,
        description: str | None,
        subject: str = "tracking",
        parser: argparse.ArgumentParser | None = None,
    ) -> None:
        """``parser`` has the options of the script itself; ``options`` holds what was given."""
        parser = parser or argparse.ArgumentParser()
        parser.description = description
        parser.add_argument("--quick", action="store_true", help="small sizes, to see that it works; kept in build/")
        parser.add_argument("--fresh", action="store_true", help="begin anew instead of going on")
        self.options = options = parser.parse_args()
        self.name = name
        self.quick: bool = options.quick
        directory = HERE.parent / "build" / "benchmarks" if self.quick else HERE / "results"
        directory.mkdir(parents=True, exist_ok=True)
        self.path = directory / f"{'-'.join(filter(None, (subject, name)))}.json"
        if (self.quick or options.fresh) and self.path.exists():
            self.path.unlink()
        self.results: dict[str, Any] = json.loads(self.path.read_text()) if self.path.exists() else {}
        self.results.setdefault("machine", machine())

    def size(self, full: int, quick: int) -> int:
        """The size of a measurement."""
        return quick if self.quick else full

    def measure(self, key: str, what: Callable[[], Any]) -> Any:
        """Return the result called ``key``, measuring it now if it is not there yet."""
        if key not in self.results:
            began, load = time.monotonic(), os.getloadavg()[0]
            self.results[key] = what()
            self.results.setdefault("took_seconds", {})[key] = round(time.monotonic() - began, 1)
            self.results.setdefault("load_before", {})[key] = round(load, 2)
            self.save()
        return self.results[key]

    def forget(self, part: str) -> None:
        """Drop the results whose key, names with / between, holds ``part`` as whole names."""
        for key in [k for k in self.results if part and f"/{part}/" in f"/{k}/"]:
            del self.results[key]

    def put(self, key: str, value: Any) -> None:
        """Keep what follows from the measurements, made anew each time."""
        self.results[key] = value
        self.save()

    def save(self) -> None:
        """Replace the result file as a whole."""
        partial = self.path.with_suffix(".partial")
        partial.write_text(json.dumps(self.results, indent=1) + "\n")
        partial.replace(self.path)


def machine() -> dict[str, Any]:
    """Where and with what the figures were made."""
    versions = {}
    for package in _PACKAGES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            versions[package] = metadata.version(package)
    return {
        "processors": os.cpu_count(),
        "python": platform.python_version(),
        "system": platform.platform(),
        "versions": versions,
        "date": time.strftime("%Y-%m-%d"),
    }


@contextlib.contextmanager
def scratch() -> Iterator[Path]:
    """A directory for one measurement, gone after it whatever couriers still do in there."""
    path = Path(tempfile.mkdtemp(prefix="touchline-benchmark-"))
    try:
        yield path
    finally:
        for process in couriers_of(path):
            process.kill()
        shutil.rmtree(path, ignore_errors=True)


def child(
    script: str, *arguments: object, python: Path | str = sys.executable, timeout: float = 400.0, **more: str
) -> Any:
    """Run a script of ``peers/`` and return the JSON of its last line; raises RuntimeError when it fails."""
    command = [str(python), str(PEERS / script), *map(str, arguments)]
    with scratch() as cwd:  # some peers leave files where they run
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=timeout, env=environment(**more), cwd=cwd, check=False
        )
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}: {done.stderr[-2_000:]}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def environment(**more: str) -> dict[str, str]:
    """The environment of a child, without the account, server or settings of whoever runs this."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("WANDB_", "MLFLOW_", "TOUCHLINE_", "NEPTUNE_"))}
    quiet = {
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "GIT_PYTHON_REFRESH": "quiet",
        "NETRC": "/nonexistent",
        "WANDB_SILENT": "true",
        "WANDB_ERROR_REPORTING": "false",
        "HF_HUB_OFFLINE": "1",
    }
    return {**kept, **quiet, **more}


def peers_python() -> Path | None:
    """The interpreter that has the peers which are no dependency, or None."""
    if PEERS_PYTHON.exists():
        return PEERS_PYTHON
    print(f"trackio and neptune-scale are left out. To have them: {INSTALL}")
    return None


class StandIn:
    """The W&B stand-in, in a process of its own."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        first = self.ask({"ask": "address"})
        self.url, self.key = first["url"], first["key"]

    def ask(self, question: dict[str, Any]) -> Any:
        """Put a question to the process; see ``peers/wandb_stand_in.py``."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps(question) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def signal(self, how: signal.Signals) -> None:
        """Kill or stop it."""
        self._process.send_signal(how)

    def rows(self) -> dict[str, int]:
        """History rows by run."""
        counts: dict[str, int] = self.ask({"ask": "rows"})
        return counts


@contextlib.contextmanager
def stand_in() -> Iterator[StandIn]:
    """Serve the W&B stand-in; this process and its children are pointed at it."""
    command = [sys.executable, str(PEERS / "wandb_stand_in.py")]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment())
    try:
        yield StandIn(process)
    finally:
        process.kill()
        process.wait()


def couriers_of(home: Path) -> list[Any]:
    """The living courier processes whose home is ``home`` or lies in it."""
    import psutil

    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if "touchline.tracking.courier" in process.cmdline() and Path(process.cwd()).is_relative_to(home):
                found.append(process)
    return found


class CourierWatch:
    """Follows the memory and the CPU seconds of a home's couriers; ``look`` is called again and again."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._looked = self._searched = 0.0
        self._found: list[Any] = []
        self._courier: dict[tuple[str, int], dict[str, float]] = {}

    def look(self) -> None:
        """Note what the couriers take now, at most every 0.1 s."""
        import psutil

        if time.monotonic() - self._looked < _POLL_SECONDS:
            return
        self._looked = time.monotonic()
        if self._looked - self._searched > _SEARCH_SECONDS:
            self._searched, self._found = self._looked, couriers_of(self._home)
        for process in self._found:
            with contextlib.suppress(psutil.Error, OSError):
                sink = Path(f"/proc/{process.pid}/fd/2").readlink().stem
                self._note(sink, process)
                for helper in process.children(recursive=True):
                    self._note(f"{sink} helper", helper)

    def _note(self, name: str, process: Any) -> None:
        used = process.cpu_times()
        noted = self._courier.setdefault((name, process.pid), {"peak_mb": 0.0})
        noted["peak_mb"] = max(noted["peak_mb"], process.memory_info().rss / 1e6)
        noted["cpu_seconds"] = used.user + used.system

    def cpu_seconds(self) -> float:
        """CPU seconds of all couriers so far, looked up now."""
        self._looked = self._searched = 0.0
        self.look()
        return sum(noted.get("cpu_seconds", 0.0) for noted in self._courier.values())

    def figures(self) -> dict[str, dict[str, float]]:
        """Peak resident MB of one process and CPU seconds of all, by sink; ``… helper`` is the SDK's own process."""
        result: dict[str, dict[str, float]] = {}
        for (name, _), noted in self._courier.items():
            sums = result.setdefault(name, {"peak_mb": 0.0, "cpu_seconds": 0.0, "processes": 0})
            sums["peak_mb"] = round(max(sums["peak_mb"], noted["peak_mb"]), 1)
            sums["cpu_seconds"] = round(sums["cpu_seconds"] + noted.get("cpu_seconds", 0.0), 2)
            sums["processes"] += 1
        return result


def quantiles(seconds: Sequence[float]) -> dict[str, float]:
    """Median, 99th percentile and maximum in microseconds."""
    microseconds = np.asarray(seconds) * 1e6
    return {
        "median_us": round(float(np.median(microseconds)), 2),
        "p99_us": round(float(np.percentile(microseconds, 99)), 2),
        "max_us": round(float(microseconds.max()), 1),
    }


def median_of(rounds: Sequence[dict[str, Any]], *path: str) -> float:
    """Median over rounds of a number that lies at ``path`` in each."""
    found = []
    for one in rounds:
        value: Any = one
        for key in path:
            value = value[key]
        found.append(float(value))
    return statistics.median(found)


def kept_share(bare: Sequence[float], loaded: Sequence[float]) -> dict[str, float | None]:
    """Share of the speed that stays, from paired durations of equal work: median and one-sided 95 % lower bound.

    The bound is exact, an order statistic by the sign test; it needs 5 pairs, with fewer it is None.
    """
    ratios = np.sort(np.asarray(bare) / np.asarray(loaded))
    middle = float(np.median(ratios))
    allowed = np.flatnonzero(stats.binom.cdf(np.arange(len(ratios)), len(ratios), 0.5) <= 0.05)
    lower = float(ratios[allowed[-1]]) if allowed.size else None
    return {
        "pairs": len(ratios),
        "kept_percent": round(100 * middle, 2),
        "kept_percent_at_least": None if lower is None else round(100 * lower, 2),
        "loss_percent_at_most": None if lower is None else round(100 - 100 * lower, 2),
    }


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a Markdown table."""
    print()
    print("| " + " | ".join(head) + " |")
    print("|" + "---|" * len(head))
    for row in rows:
        print("| " + " | ".join(_cell(value) for value in row) + " |")
    print(flush=True)


def _cell(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1_000 else f"{value:.3g}"
    if value is None:
        return "–"
    return f"{value:,}" if isinstance(value, int) else str(value)
