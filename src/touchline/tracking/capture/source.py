"""What the run is made of: started beside the training, put into the journal when it is known."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import secrets
import subprocess
import sys
import sysconfig
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from touchline.filesystem import make_private, write_private
from touchline.masking import mask_source
from touchline.redaction import redact_values
from touchline.tracking.capture.notebook import executed_cells, shell

logger = logging.getLogger("touchline")

COLLECT_SECONDS = 60.0
_DELAY_SECONDS = 0.1
NOTEBOOK_BYTES = 5_000_000
Put = Callable[[str, Mapping[str, Any]], None]


class SourceCapture:
    """Waits, in a daemon thread, for the process of ``collect.py``; costs the trainer no interpreter time."""

    def __init__(self, put: Put, directory: Path, capture: Sequence[str]) -> None:
        """``put`` takes an event's kind and payload; ``directory`` is the run's."""
        self._put = put
        self._directory = directory
        self._capture = tuple(capture)
        self._process: subprocess.Popen[bytes] | None = None
        self._thread = threading.Thread(target=self._collect, name="touchline-capture", daemon=True)
        self._abandoned = False
        self._hurry = threading.Event()
        # The script and the directory are those of the start; a training may change both.
        self._order = {
            "capture": self._capture,
            "script": (script := _script()),
            "installed": _is_installed(script),
            "working_directory": str(Path.cwd()),
            "notebook": shell() is not None,
            "path": [entry or str(Path.cwd()) for entry in sys.path],
        }
        self._thread.start()

    def stop(self, timeout: float) -> None:
        """Wait at most ``timeout`` seconds for what is still being found out, then add the notebook's cells."""
        self._hurry.set()
        self._thread.join(timeout)
        if self._thread.is_alive():
            self._abandoned = True
            logger.info("The run ended before its source could be recorded; it was too short for that.")
            with contextlib.suppress(OSError, AttributeError):
                self._process.kill()  # type: ignore[union-attr]
        if "source" in self._capture and (cells := executed_cells()):
            relative = self._folder()
            with contextlib.suppress(OSError):
                make_private(self._directory / relative)
                text = redact_values(mask_source(cells))[:NOTEBOOK_BYTES]
                write_private(self._directory / relative / "notebook.py", text)
                self._put("artifact", {"name": "source/notebook.py", "path": str(relative / "notebook.py")})

    def _folder(self) -> Path:
        return Path("media") / "artifacts" / secrets.token_hex(4)

    def _collect(self) -> None:
        # Starting a process stops all threads of this one for milliseconds, which start_run should not wait for.
        self._hurry.wait(_DELAY_SECONDS)
        relative = self._folder()
        order = {**self._order, "directory": str(self._directory / relative)}
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "touchline.tracking.capture.collect"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env={**os.environ, "CUDA_VISIBLE_DEVICES": ""},
                start_new_session=True,  # Ctrl-C is for the training
            )
            answer, _ = self._process.communicate(json.dumps(order).encode(), timeout=COLLECT_SECONDS)
            findings = json.loads(answer)
        except (OSError, ValueError, subprocess.TimeoutExpired) as error:
            with contextlib.suppress(OSError, AttributeError):
                self._process.kill()  # type: ignore[union-attr]
            if not self._abandoned:
                logger.info("The run's source could not be recorded (%s).", error)
            return
        if self._abandoned:
            return
        if findings["tags"]:
            self._put("tags", findings["tags"])
        for name in findings["files"]:
            self._put("artifact", {"name": f"source/{name}", "path": str(relative / name)})


def _script() -> str:
    """Absolute path of the script that runs, empty in a notebook, an interactive session or for ``-c``."""
    if shell() is not None:
        return ""
    path = getattr(sys.modules.get("__main__"), "__file__", None) or ""
    return str(Path(path).absolute()) if path and Path(path).is_file() else ""


def _is_installed(script: str) -> bool:
    """True for a command or module of an installed package, whose directory says nothing of the project."""
    places = [sysconfig.get_path(name) for name in ("scripts", "purelib", "platlib", "stdlib")]
    directory = Path(script).parent.resolve()
    return bool(script) and any(directory.is_relative_to(Path(place).resolve()) for place in places)
