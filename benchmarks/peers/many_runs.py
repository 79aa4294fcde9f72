"""Several runs of one process, each logging from a thread of its own. Prints JSON last.

Usage: many_runs.py HOME WANDB_URL RUNS EVENTS HERTZ
"""

from __future__ import annotations

import json
import logging
import sys
import threading
import time
from pathlib import Path

from touchline.config import Settings
from touchline.tracking.run import Run
from touchline.tracking.start import start_run

NAMES = [f"train/metric_{place}" for place in range(5)]


def main() -> None:
    """Log, end the runs without waiting, and say which they were and what was complained of."""
    import psutil

    home, url = Path(sys.argv[1]), sys.argv[2]
    count, events, hertz = int(sys.argv[3]), int(sys.argv[4]), float(sys.argv[5])
    complaints: list[str] = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: complaints.append(record.getMessage())  # type: ignore[method-assign]
    logging.getLogger("touchline").addHandler(handler)
    settings = Settings(home=home, sinks=("mlflow", "wandb"), wandb_base_url=url, capture=())
    runs = [start_run("many", settings=settings) for _ in range(count)]

    def train(run: Run) -> None:
        due = time.perf_counter()
        for step in range(events):
            run.log(dict.fromkeys(NAMES, float(step)), step)
            due += 1.0 / hertz
            time.sleep(max(0.0, due - time.perf_counter()))

    threads = [threading.Thread(target=train, args=(run,)) for run in runs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for run in runs:
        run.finish(timeout=0.0)
    peak = psutil.Process().memory_info().rss / 1e6
    print(json.dumps({"runs": [run.id for run in runs], "complaints": complaints, "mb": round(peak, 1)}))


if __name__ == "__main__":
    main()
