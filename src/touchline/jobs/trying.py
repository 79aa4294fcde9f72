"""Code that may hang or crash is tried in a process of its own, for a bounded time."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Mapping

PACKAGE_OF_LIBRARY = {
    "libGL.so.1": "libgl1",
    "libEGL.so.1": "libegl1",
    "libOpenGL.so.0": "libopengl0",
    "libOSMesa.so.8": "libosmesa6",
    "libgthread-2.0.so.0": "libglib2.0-0",
    "libglib-2.0.so.0": "libglib2.0-0",
    "libxcb.so.1": "libxcb1",
    "libX11.so.6": "libx11-6",
    "libSM.so.6": "libsm6",
    "libXext.so.6": "libxext6",
    "libgomp.so.1": "libgomp1",
    "libstdc++.so.6": "libstdc++6",
}


def try_code(code: str, seconds: float, environment: Mapping[str, str], told: str = "") -> tuple[str, str | None]:
    """Run Python code in a process that reads ``told``: its output, and why it failed or None.

    It is killed after ``seconds``.
    """
    try:
        done = subprocess.run(
            [sys.executable, "-c", code],
            env=dict(environment),
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
            input=told,
        )
    except subprocess.TimeoutExpired:
        return "", f"no answer within {seconds:.0f} s"
    if done.returncode == 0:
        return done.stdout, None
    lines = done.stderr.strip().splitlines()
    return "", lines[-1] if lines else f"ended with exit code {done.returncode}"


def remedy_for(complaint: str) -> str:
    """Name the Debian package of a shared library that a message misses, or the pip extra of a module."""
    library = re.search(r"(lib[\w+.-]+\.so[.\d]*)", complaint)
    if library and (package := PACKAGE_OF_LIBRARY.get(library[1])):
        return f"On Debian or Ubuntu: apt-get install {package}"
    if library:
        return f"Find the Debian package of {library[1]} with: apt-file search {library[1]}"
    if "No module named" in complaint:
        return "Install it with: pip install 'touchline[all]' -c constraints.txt"
    return "Try it by hand to see the whole message."
