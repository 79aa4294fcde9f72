"""The W&B stand-in as a process: answers questions about what arrived, one JSON line each."""

from __future__ import annotations

import json
import sys

from touchline.testing.wandb_backend import API_KEY, wandb_backend


def main() -> None:
    """Serve until standard input closes."""
    with wandb_backend() as backend:
        for line in sys.stdin:
            question = json.loads(line)
            answer: object
            if question["ask"] == "address":
                answer = {"url": backend.url, "key": API_KEY}
            elif question["ask"] == "rows":
                answer = {name: len(run.history_lines) for name, run in list(backend.runs.items())}
            elif question["ask"] == "points":
                names = ("global_step", "_")
                answer = {
                    name: sum(sum(not key.startswith(names) for key in row) for row in run.history)
                    for name, run in list(backend.runs.items())
                }
            elif question["ask"] == "streamed":
                answer = {
                    name: {
                        "requests": len(run.arrivals),
                        "questions": len(backend.operations),
                        "rows": len(run.history_lines),
                        "row_bytes": sum(map(len, run.history_lines)),
                    }
                    for name, run in list(backend.runs.items())
                }
            elif question["ask"] == "fail":
                backend.fail_with = question["status"]
                answer = {}
            print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
