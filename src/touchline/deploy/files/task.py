"""A task of the bundle: the command ``touchline`` with this file's arguments, as a process of its own.

Databricks runs this file in a kernel, where neither a return value nor an exit code fails a task, ``__file__`` is not
defined, and no signal can be handled. The process has none of that, and an exception here fails the task, whose next
attempt goes on from the newest checkpoint.
"""

import os
import signal
import subprocess
import sys
import threading


def main(arguments: list[str]) -> None:
    """Run the command, show what it says, and raise RuntimeError unless it ends well."""
    os.chdir(os.environ.get("BUNDLE_FILES", "."))
    # The libraries of the cluster are on this kernel's path only.
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(
        [sys.executable, "-m", "touchline", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=environment,
        text=True,
        errors="replace",
    )
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, lambda *_: process.terminate())
    last = ""
    for line in process.stdout or ():
        print(line, end="", flush=True)
        last = line.strip() or last
    if code := process.wait():
        raise RuntimeError(f"touchline {' '.join(arguments)} ended with {code}. {last}")


if __name__ == "__main__":
    main(sys.argv[1:])
