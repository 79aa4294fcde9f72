"""``python -m touchline.leash COMMAND…``: a command and all its children that end when their owner does.

The owner holds the other end of standard input. When that closes, even because the owner was killed, the
whole process group is ended. Servers that start workers of their own would otherwise outlive a killed owner.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time

import psutil

GRACE_SECONDS = 3.0


def start(command: list[str], log: int, environment: dict[str, str] | None = None) -> subprocess.Popen[bytes]:
    """Start ``command`` on a leash, its output in the file descriptor ``log``."""
    return subprocess.Popen(
        [sys.executable, "-m", "touchline.leash", *command],
        stdin=subprocess.PIPE,
        stdout=log,
        stderr=log,
        env=environment,
        start_new_session=True,
    )


def end(process: subprocess.Popen[bytes]) -> None:
    """End a leashed command with everything it started, and wait for it."""
    if process.stdin is not None:
        process.stdin.close()
    process.wait()


def main() -> int:
    """Run the command of the arguments until it or its owner ends; return its exit code."""
    child = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL)
    # After the child's start, which would inherit it: the group's SIGTERM is for the others.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    threading.Thread(target=_end_group_with_owner, daemon=True).start()
    code = child.wait()
    _end_group()
    return code


def _end_group_with_owner() -> None:
    while os.read(0, 1024):
        pass
    _end_group()


def _end_group() -> None:
    """Ask every other process of the group to end, and make those that do not."""
    deadline = time.monotonic() + GRACE_SECONDS
    os.killpg(0, signal.SIGTERM)
    while (others := _others()) and time.monotonic() < deadline:
        time.sleep(0.05)
    for pid in others:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _others() -> list[int]:
    """The living processes of this group besides this one."""
    mine, found = os.getpgid(0), []
    for process in psutil.process_iter(["status"]):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            is_other = process.pid != os.getpid() and os.getpgid(process.pid) == mine
            if is_other and process.info["status"] != psutil.STATUS_ZOMBIE:
                found.append(process.pid)
    return found


if __name__ == "__main__":
    sys.exit(main())
