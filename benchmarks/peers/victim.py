"""Logs at a fixed rate until it is killed, and notes the moment of each call that returned.

Usage: victim.py NAME HERTZ DIRECTORY. The note ``DIRECTORY/moments`` is a shared mapping, which a kill leaves whole:
the number of calls that returned, then the moment of each, as doubles.
"""

from __future__ import annotations

import mmap
import struct
import sys
import time
from pathlib import Path

from loggers import open_logger

MOST_CALLS = 40_000
NAME = "victim/value"


def main() -> None:
    """Log until the end of time."""
    name, hertz, place = sys.argv[1], float(sys.argv[2]), Path(sys.argv[3])
    with (place / "moments").open("w+b") as file:
        file.truncate(8 * (MOST_CALLS + 1))
        moments = mmap.mmap(file.fileno(), 0)
    logger = open_logger(name, place)
    (place / "file").write_text(str(logger.file or ""))
    metrics = {NAME: 0.5, **{f"victim/other_{place}": 0.5 for place in range(9)}}
    due = time.perf_counter()
    for step in range(MOST_CALLS):
        logger.log(metrics, step)
        struct.pack_into("d", moments, 8 * (step + 1), time.perf_counter())
        struct.pack_into("d", moments, 0, float(step + 1))
        due = max(due + 1.0 / hertz, time.perf_counter() - 0.1)
        time.sleep(max(0.0, due - time.perf_counter()))


if __name__ == "__main__":
    main()
