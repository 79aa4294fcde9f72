"""A stand-in for NVIDIA's driver, built with gcc, so that the watch can be tested where there is no GPU."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from touchline.errors import TouchlineError

SCENARIO_VARIABLE = "TOUCHLINE_NVML_SCENARIO"


def build_driver(directory: Path) -> Path:
    """Build ``libnvidia-ml.so.1`` in ``directory`` and return it; raises TouchlineError without gcc.

    A process finds it through ``LD_LIBRARY_PATH`` and its figures through the file that ``TOUCHLINE_NVML_SCENARIO``
    names; see ``write_scenario``.
    """
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        raise TouchlineError("The stand-in for the NVIDIA driver needs a C compiler. Install one: apt install gcc")
    library = directory / "libnvidia-ml.so.1"
    source = Path(__file__).with_name("nvml_shim.c")
    command = [compiler, "-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o", str(library), str(source)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise TouchlineError(
            f"{source} does not compile with {compiler}: {done.stderr.strip()[:500]} "
            "Install the C headers: apt install gcc libc6-dev"
        )
    return library


def write_scenario(path: Path, figures: Mapping[str, int]) -> None:
    """Say what the driver answers from now on; the keys are explained in ``nvml_shim.c``."""
    aside = path.with_suffix(".next")
    aside.write_text("".join(f"{key} {value}\n" for key, value in figures.items()))
    aside.replace(path)
