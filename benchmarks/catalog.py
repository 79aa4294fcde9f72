"""The catalog: racing promotions and rollbacks lose nothing, and a rollback takes less than a second.

Eight processes promote and roll back at once, on one SQLite store and on an MLflow server with PostgreSQL, each with
a home of its own, as machines have. Each promotes a version of its own against the champion that it finds; one that
finds the champion changed is refused. Afterwards the ledger is replayed: every move must follow on the one before it,
every decision that a process was told of must be in it, and the alias must be where the last one put it.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from harness import Part, environment, scratch, table

from touchline.catalog import Catalog, ChampionChanged, claim_attempt, promote, rollback
from touchline.catalog.ledger import MOVES, history, read
from touchline.catalog.store import create_version, ensure_model
from touchline.catalog.version import DIGEST_TAG
from touchline.config import Settings
from touchline.errors import TouchlineError, UsageError
from touchline.testing.mlflow_server import lack, mlflow_server

MODEL, ALIAS, PROCESSES = "ddpg_finetuned", "Champion", 8
EVIDENCE = {
    "passed": "true",
    "reason": "It is better.",
    "evidence": "runs:/0/evidence.json",
    "evidence_digest": "0" * 64,
}


def main() -> None:
    """Race on each store, time rollbacks, print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--stores", nargs="+", default=["sqlite", "server"], choices=["sqlite", "server"])
    parser.add_argument("--turns", type=int, default=100, help="decisions that each process takes")
    parser.add_argument("--child", nargs=4, metavar=("URI", "HOME", "NUMBER", "TURNS"), help=argparse.SUPPRESS)
    given, _ = parser.parse_known_args()
    if given.child:
        uri, home, number, turns = given.child
        print(json.dumps(race(catalog_of(uri, Path(home)), int(number), int(turns))))
        return
    part = Part("", __doc__, "catalog", parser)
    turns = part.size(given.turns, 5)
    rows = []
    for store in given.stores:
        if store == "server" and lack():
            print(f"Left out: {lack()}.")
            continue
        for name, key in (("race", f"{store}/race of {PROCESSES} × {turns}"), ("rollback", f"{store}/rollback")):
            part.measure(key, lambda store=store, name=name: MEASURES[name](store, turns))
        raced, timed = part.results[f"{store}/race of {PROCESSES} × {turns}"], part.results[f"{store}/rollback"]
        told = raced["told"]
        rows.append(
            (store, told.get("promoted", 0), told.get("rolled back", 0), told.get("champion changed", 0))
            + (
                raced["lost"],
                raced["missing"],
                f"{raced['seconds']:.0f}",
                f"{timed['median']:.2f} ({timed['worst']:.2f})",
            )
        )
    table(
        (
            "store",
            "promoted",
            "rolled back",
            "refused",
            "lost updates",
            "missing entries",
            "seconds",
            "rollback, s (worst)",
        ),
        rows,
    )


@contextmanager
def served(store: str, place: Path) -> Iterator[str]:
    """Address of a fresh store."""
    with ExitStack() as stack:
        yield f"sqlite:///{place / 'mlflow.db'}" if store == "sqlite" else stack.enter_context(mlflow_server(place))


def catalog_of(uri: str, home: Path) -> Catalog:
    """A catalog as a machine with this home has it; the versions of the race have no files to look at."""
    catalog = Catalog.of(replace(Settings(), home=home, mlflow_tracking_uri=uri, catalog_prefix="club.models"))
    catalog.check_files = lambda source: None  # type: ignore[method-assign]
    return catalog


def race(catalog: Catalog, number: int, turns: int) -> dict[str, Any]:
    """Decide ``turns`` times, every fourth time by a rollback; returns what this process was told."""
    told: list[tuple[str, int]] = []
    seconds = []
    for turn in range(turns):
        began = time.monotonic()
        try:
            if (turn + number) % 4 == 0:
                told.append(
                    ("rolled back", rollback(catalog, MODEL, reason="race", run_id=f"{number}-{turn}").entry.number)
                )
            else:
                candidate = version(catalog, f"{number:032d}{turn:032d}")
                attempt = claim_attempt(catalog, candidate, run_id=f"{number}-{turn}")
                told.append(("promoted", promote(catalog, attempt, EVIDENCE).entry.number))
        except ChampionChanged:
            told.append(("champion changed", 0))
        except UsageError:  # the only champion that there is, or none
            told.append(("nothing to roll back", 0))
        except TouchlineError as error:
            told.append((f"failed: {error}", 0))
        seconds.append(time.monotonic() - began)
    return {"told": told, "seconds": seconds}


def version(catalog: Catalog, digest: str) -> Any:
    """A version without files: the race is about what is written down."""
    name = catalog.full_name(MODEL)
    made = create_version(catalog.client, name, "touchline:/none", None, tags={DIGEST_TAG: digest})
    return catalog.get(name, int(made.version))


def measure_race(store: str, turns: int) -> dict[str, Any]:
    """Let the processes race, and replay the ledger."""
    with scratch() as place, served(store, place) as uri:
        catalog = catalog_of(uri, place / "judge")
        ensure_model(catalog.client, catalog.full_name(MODEL))
        promote(catalog, claim_attempt(catalog, version(catalog, "a" * 64), run_id="first"), EVIDENCE)
        began = time.monotonic()
        children = [
            subprocess.Popen(
                [sys.executable, __file__, "--child", uri, str(place / f"home{number}"), str(number), str(turns)],
                stdout=subprocess.PIPE,
                text=True,
                env=environment(),
            )
            for number in range(PROCESSES)
        ]
        answers = [json.loads(child.communicate()[0].splitlines()[-1]) for child in children]
        seconds = time.monotonic() - began
        entries = history(catalog, MODEL, ALIAS)
        moves = [entry for entry in entries if entry.kind in MOVES]
        present = catalog.resolve(MODEL, ALIAS)
        told = [tuple(one) for answer in answers for one in answer["told"]]
        known = {(entry.kind, entry.number) for entry in entries}
        decided = [one for one in told if one[1]]
        durations = [one for answer in answers for one in answer["seconds"]]
        assert [entry.number for entry in read(catalog, MODEL)] == [entry.number for entry in entries]
        return {
            "seconds": round(seconds, 1),
            "told": dict(Counter(kind for kind, _ in told)),
            "moves": len(moves),
            # A move that was told as done and did not take effect, or a champion that the ledger does not explain.
            "lost": sum(not entry.effective for entry in moves)
            + (present is None or present.version != moves[-1].version),
            "missing": sum(one not in known for one in decided) + (len(moves) - 1 - len(decided)),
            "median_seconds": round(statistics.median(durations), 3),
            "worst_seconds": round(max(durations), 3),
        }


def measure_rollback(store: str, _: int) -> dict[str, float]:
    """Time rollbacks in a process that has imported and opened the store."""
    with scratch() as place, served(store, place) as uri:
        catalog = catalog_of(uri, place / "home")
        ensure_model(catalog.client, catalog.full_name(MODEL))
        for number in range(11):
            promote(catalog, claim_attempt(catalog, version(catalog, f"{number:064d}"), run_id=str(number)), EVIDENCE)
        seconds = []
        for number in range(10):
            began = time.monotonic()
            rollback(catalog, MODEL, reason="timed", run_id=f"r{number}")
            seconds.append(time.monotonic() - began)
        return {"median": statistics.median(seconds), "worst": max(seconds)}


MEASURES = {"race": measure_race, "rollback": measure_rollback}

if __name__ == "__main__":
    main()
