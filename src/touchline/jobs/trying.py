"""Code that may hang or crash is tried in a process of its own, for a bounded time."""

from __future__ import annotations

import contextlib
import re
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from typing import IO

from touchline import leash

_trials: set[subprocess.Popen[bytes]] = set()
_changing = threading.Lock()
_given_up = threading.Event()

_SILENCE = "no answer within"
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

    It is killed after ``seconds`` with all that it started, and also when this process ends before. Where it failed
    because of the time, ``is_silence`` says so of the reason.
    """
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        process = leash.start(
            [sys.executable, "-c", code],
            errors.fileno(),
            dict(environment),
            output=output.fileno(),
            told=told.encode(),
        )
        with _changing:
            _trials.add(process)
        try:
            process.wait(0.0 if _given_up.is_set() else seconds)
        except subprocess.TimeoutExpired:
            return "", f"{_SILENCE} {seconds:.0f} s"
        finally:
            leash.end(process)
            with _changing:
                _trials.discard(process)
        if process.returncode == 0:
            return _text(output), None
        lines = _text(errors).strip().splitlines()
        return "", lines[-1] if lines else f"ended with exit code {process.returncode}"


def is_silence(complaint: str | None) -> bool:
    """Whether code failed because it gave no answer in time."""
    return complaint is not None and complaint.startswith(_SILENCE)


@contextlib.contextmanager
def given_up_with() -> Iterator[None]:
    """End what is being tried, and try nothing more, when the context is left by an exception.

    Of a Ctrl-C above all, which the processes of a session of their own do not hear.
    """
    _given_up.clear()
    try:
        yield
    except BaseException:
        with _changing:
            _given_up.set()
            for process in _trials:
                if process.stdin is not None:
                    process.stdin.close()
        raise


def _text(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode(errors="replace")


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
