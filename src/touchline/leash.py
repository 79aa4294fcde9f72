"""``python -m touchline.leash BYTES COMMAND…``: a command and all its children that end when their owner does.

The owner holds the other end of standard input, whose first BYTES are for the command. When it closes, even because
the owner was killed, the whole process group is ended. Servers that start workers of their own, and questions to a
driver that hangs, would otherwise outlive a killed owner.
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


def start(
    command: list[str],
    log: int,
    environment: dict[str, str] | None = None,
    *,
    output: int | None = None,
    told: bytes = b"",
) -> subprocess.Popen[bytes]:
    """Start ``command`` on a leash, which reads ``told`` from its standard input.

    Its output goes into the file descriptor ``log``, and its stdout into ``output`` where that is given.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", "touchline.leash", str(len(told)), *command],
        stdin=subprocess.PIPE,
        stdout=log if output is None else output,
        stderr=log,
        env=environment,
        start_new_session=True,
    )
    if process.stdin is not None and told:
        with contextlib.suppress(BrokenPipeError):  # it ended before it could listen, which its exit code tells
            process.stdin.write(told)
            process.stdin.flush()
    return process


def end(process: subprocess.Popen[bytes]) -> None:
    """End a leashed command with everything it started, and wait for it."""
    if process.stdin is not None:
        process.stdin.close()
    process.wait()


def main() -> int:
    """Run the command of the arguments until it or its owner ends; return its exit code."""
    length, *command = sys.argv[1:]
    child = subprocess.Popen(command, stdin=subprocess.PIPE)
    # After the child's start, which would inherit it: the group's SIGTERM is for the others.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    threading.Thread(target=_pass_on_and_end_with_owner, args=(child, int(length)), daemon=True).start()
    code = child.wait()
    _end_group()
    return code


def _pass_on_and_end_with_owner(child: subprocess.Popen[bytes], length: int) -> None:
    with contextlib.suppress(BrokenPipeError), child.stdin or contextlib.nullcontext() as listening:
        while length and listening is not None and (part := os.read(0, min(length, 65_536))):
            listening.write(part)
            length -= len(part)
    while os.read(0, 1024):
        pass
    _end_group()
    # Not by the end of the child, which may hang in the kernel where no signal reaches it.
    os._exit(128 + signal.SIGTERM)


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
