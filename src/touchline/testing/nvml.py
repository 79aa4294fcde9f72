"""A stand-in for NVIDIA's driver, built with gcc, so that what watches GPUs can be tested where there is none.

``build_driver`` makes a ``libnvidia-ml.so.1`` that every reader of NVML loads in place of the driver's, and that
answers what a scenario says::

    library = build_driver(directory)
    scenario = write_scenario(directory / "scenario.ini", packaged_scenario("lost"))
    subprocess.run([sys.executable, "train.py"], env=os.environ | stand_in_environment(library, scenario))

A scenario is a text file of sections; it is read anew when it changes. A figure that it does not give is one that the
device does not support::

    # An L4 whose memory fills within two minutes, and which is gone for half a minute after that.
    [driver]
    version = 570.86.15                        # and cuda = 12080
    fault nvmlInit = DRIVER_NOT_LOADED until 5s

    [gpu 0]                                    # then [gpu 1] …; up to 16
    name = NVIDIA L4                           # and uuid = GPU-…
    memory_total = 24e9
    memory_used = 4e9 @ 0s, 23.5e9 @ 120s      # straight lines between keyframes; two at one time are a jump
    utilization = 92
    throttle thermal = from 30s until 60s      # thermal, power, hardware or idle
    lost = from 130s until 160s
    xid = 31 @ 100s, 79 @ 130s                 # each is told once, when its time has come
    fault nvmlDeviceGetPowerUsage = UNKNOWN from 10s until 11s, NOT_SUPPORTED from 90s
    hang * = 3s from 20s until 21s             # what begins in these seconds takes 3 s; * is every function

    [mig 0.0]                                  # MIG device 0 of GPU 0, which is in MIG mode by that; up to 8
    name = NVIDIA L4 MIG 1g.6gb
    instance = 7                               # the GPU instance

Figures: ``utilization`` and ``sm`` (percent; ``sm`` makes the device one with GPM, as Hopper is), ``memory_total``,
``memory_used``, ``memory_reserved`` (bytes), ``temperature`` (°C), ``power``, ``power_limit`` (W), ``clock_sm``,
``clock_sm_max``, ``clock_memory``, ``clock_memory_max`` (MHz), ``energy`` (J; without it the integral of ``power``).
``processes = 4321:3e9`` are compute processes with their bytes. A fault's error is NVML's without ``NVML_ERROR_``,
and a function's name is NVML's without ``_v2`` or ``_v3``; under ``[driver]`` faults and hangs concern every device.

Time is the number of seconds in the clock file where ``TOUCHLINE_NVML_CLOCK`` names one (``write_clock``), so that a
test decides what time it is; otherwise it counts from the process's first call. A line that is not understood is told
on stderr, and every call fails with NVML_ERROR_UNKNOWN.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from touchline.errors import TouchlineError, unknown

SCENARIO_VARIABLE = "TOUCHLINE_NVML_SCENARIO"
CLOCK_VARIABLE = "TOUCHLINE_NVML_CLOCK"
_HERE = Path(__file__).parent


def build_driver(directory: Path) -> Path:
    """Build ``libnvidia-ml.so.1`` in ``directory`` and return it; raises TouchlineError without a C compiler."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        raise TouchlineError("The stand-in for the NVIDIA driver needs a C compiler. Install one: apt install gcc")
    library = directory / "libnvidia-ml.so.1"
    sources = [str(source) for source in sorted(_HERE.glob("nvml_*.c"))]
    command = [compiler, "-shared", "-fPIC", "-O1", "-pthread", "-Wall", "-Wextra", "-Werror", "-o", str(library)]
    done = subprocess.run([*command, *sources], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise TouchlineError(
            f"The stand-in for the NVIDIA driver does not compile with {compiler}: {done.stderr.strip()[:500]} "
            "Install the C headers: apt install gcc libc6-dev"
        )
    return library


def stand_in_environment(library: Path, scenario: Path, clock: Path | None = None) -> dict[str, str]:
    """Return the environment variables by which a new process finds the stand-in and its scenario."""
    found = {"LD_LIBRARY_PATH": str(library.parent), SCENARIO_VARIABLE: str(scenario)}
    return found if clock is None else {**found, CLOCK_VARIABLE: str(clock)}


def packaged_scenarios() -> tuple[str, ...]:
    """Return the names of the scenarios that come with Touchline; each file begins with what happens in it."""
    return tuple(sorted(path.stem for path in (_HERE / "scenarios").glob("*.ini")))


def packaged_scenario(name: str) -> str:
    """Return the text of a scenario that comes with Touchline; raises UsageError for one that does not exist.

    More lines may be appended: a later line replaces an earlier one of its section.
    """
    if name not in packaged_scenarios():
        raise unknown("scenario", name, packaged_scenarios())
    return (_HERE / "scenarios" / f"{name}.ini").read_text(encoding="utf-8")


def write_scenario(path: Path, text: str) -> Path:
    """Say what the driver answers from now on, in one piece; returns ``path``."""
    return _replace(path, text)


def write_clock(path: Path, seconds: float) -> Path:
    """Say what time it is in the scenario; returns ``path``."""
    return _replace(path, f"{seconds}\n")


def _replace(path: Path, text: str) -> Path:
    aside = path.with_name(f"{path.name}.next")
    aside.write_text(text, encoding="utf-8")
    return aside.replace(path)
