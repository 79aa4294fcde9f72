"""A short process beside the training that finds out what the run is made of: git, packages, system.

Started by ``source.py`` with its order as JSON on standard input; writes files into the order's directory and prints
JSON {"tags", "files"}. A process of its own, because reading the metadata of some hundred packages in the trainer
would hold its interpreter lock for tenths of a second.
"""

from __future__ import annotations

import contextlib
import getpass
import importlib.metadata
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from touchline.filesystem import make_private, write_private
from touchline.masking import mask_source, without_credentials
from touchline.redaction import redact_file_name, redact_text, redact_values

GIT_SECONDS = 10.0
DIFF_BYTES = 5_000_000
SCRIPT_BYTES = 1_000_000
_UNTRACKED = 1_000


@dataclass
class Findings:
    """What was found: tags, and files by their name in the directory."""

    directory: Path
    tags: dict[str, str] = field(default_factory=dict)
    files: list[str] = field(default_factory=list)

    def write(self, name: str, text: str) -> None:
        """Add a file; one that the disk refuses is left out."""
        with contextlib.suppress(OSError):
            make_private(self.directory)
            write_private(self.directory / name, text)
            self.files.append(name)


def system(findings: Findings) -> None:
    """Python, operating system, host and user."""
    facts = {"python": platform.python_version(), "os": platform.platform(), "host": platform.node()}
    findings.tags |= {f"system.{key}": value for key, value in facts.items()}
    with contextlib.suppress(KeyError, OSError):  # a container's user may have no name
        findings.tags["system.user"] = findings.tags["mlflow.user"] = getpass.getuser()


def source(findings: Findings, script: str, installed: bool, working_directory: str, notebook: bool) -> None:
    """The git state around the script, and the script itself where git has it not.

    The working directory counts instead when there is no script, or when it is an ``installed`` command.
    """
    name = script or ("notebook" if notebook else "interactive")
    findings.tags["source.name"] = findings.tags["mlflow.source.name"] = name
    findings.tags["mlflow.source.type"] = "NOTEBOOK" if notebook else "LOCAL"
    script = "" if installed else script
    place = Path(script).parent if script else Path(working_directory)
    tracked = _repository(findings, place, script) if shutil.which("git") else False
    if script and not tracked:
        path = Path(script)
        with contextlib.suppress(OSError):
            if path.stat().st_size <= SCRIPT_BYTES:
                findings.write(
                    redact_file_name(path.name), _masked(path.read_text(encoding="utf-8", errors="replace"))
                )


def _masked(text: str) -> str:
    """Source code without the secrets written into it."""
    return redact_values(mask_source(text))


def _repository(findings: Findings, place: Path, script: str) -> bool:
    """Describe the repository at ``place``; True when it has the script."""
    top = _git(place, "rev-parse", "--show-toplevel").strip()
    if not top:
        return False
    commit = _git(place, "rev-parse", "--verify", "HEAD").strip()
    branch = _git(place, "symbolic-ref", "--quiet", "--short", "HEAD").strip()
    remote = without_credentials(_git(place, "remote", "get-url", "origin").strip())
    status = [entry for entry in _git(Path(top), "status", "--porcelain=v1", "-z").split("\0") if entry]
    untracked = [entry[3:] for entry in status if entry.startswith("??")]
    dirty = len(status) > len(untracked)
    facts = {"commit": commit, "branch": branch, "remote": remote, "dirty": str(dirty).lower()}
    findings.tags |= {f"git.{key}": value for key, value in facts.items() if value}
    native = {"commit": commit, "branch": branch, "repoURL": remote, "dirty": str(dirty).lower()}
    findings.tags |= {f"mlflow.source.git.{key}": value for key, value in native.items() if value}
    if commit and dirty:
        diff = _git(Path(top), "diff", "--no-ext-diff", "--no-textconv", "--no-color", "HEAD", limit=DIFF_BYTES + 1)
        if len(diff.encode("utf-8", "replace")) > DIFF_BYTES:
            findings.tags["git.diff"] = f"cut at {DIFF_BYTES:,} bytes"
            diff = diff[: diff.rfind("\n") + 1] + f"touchline: the difference is cut here, at {DIFF_BYTES:,} bytes\n"
        findings.write("diff.patch", _masked(diff))
    if untracked:
        more = [f"… and {len(untracked) - _UNTRACKED:,} more"] if len(untracked) > _UNTRACKED else []
        findings.write("untracked.txt", redact_text("\n".join([*untracked[:_UNTRACKED], *more]) + "\n"))
    return bool(script and _git(place, "ls-files", "--", script).strip())


def _git(directory: Path, *arguments: str, limit: int = DIFF_BYTES) -> str:
    """Output of a git command, cut at ``limit`` bytes; empty when it fails or takes too long."""
    # Nothing asks a question, writes to the index or runs a program that the repository names.
    environment = {**os.environ, "GIT_TERMINAL_PROMPT": "0", "GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C"}
    command = ["git", "-c", "core.fsmonitor=false", "-C", str(directory), *arguments]
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=output, env=environment
        )
        timer = _kill_after(process, GIT_SECONDS)
        assert process.stdout is not None
        data = process.stdout.read(limit)
        process.stdout.close()  # a longer output ends git by SIGPIPE
        code = process.wait()
        timer.cancel()
    return data.decode("utf-8", "replace") if code == 0 or len(data) == limit else ""


def _kill_after(process: subprocess.Popen[bytes], seconds: float) -> Any:
    import threading

    timer = threading.Timer(seconds, process.kill)
    timer.daemon = True
    timer.start()
    return timer


def packages(findings: Findings, path: Iterable[str]) -> None:
    """Every installed distribution on the trainer's path as ``name==version``."""
    found: dict[str, str] = {}
    for distribution in importlib.metadata.distributions(path=list(path)):
        with contextlib.suppress(Exception):  # one broken distribution hides no other
            text = distribution.read_text("METADATA") or distribution.read_text("PKG-INFO") or ""
            head = text.partition("\n\n")[0]  # the long description after it makes a full parse slow
            name = re.search(r"^Name:\s*(.+)$", head, re.MULTILINE)
            version = re.search(r"^Version:\s*(.+)$", head, re.MULTILINE)
            if name and version:
                found.setdefault(name[1].strip(), version[1].strip())
    lines = [f"{name}=={version}" for name, version in sorted(found.items(), key=lambda item: item[0].lower())]
    findings.write("packages.txt", "".join(f"{line}\n" for line in lines))


def main() -> None:
    """Read the order, collect, print the findings."""
    with contextlib.suppress(OSError):
        os.nice(10)
    order = json.load(sys.stdin)
    findings = Findings(Path(order["directory"]))
    if "source" in order["capture"]:
        system(findings)
        source(findings, order["script"], order["installed"], order["working_directory"], order["notebook"])
    if "packages" in order["capture"]:
        packages(findings, order["path"])
    print(json.dumps({"tags": findings.tags, "files": findings.files}))


if __name__ == "__main__":
    main()
