"""What a fleet of runs asks of a journal, an MLflow server on PostgreSQL and W&B, and where the server saturates.

Measured: bytes a value in the journal; deliveries to a real server by the courier's own sink, with more and more
couriers, workers and values a request; more and more runs at their own pace; and the same deliveries while the table
grows to the hour of 1,000 runs with ten metrics at 1 Hz, 36 million values. Each figure is kept when it is made.
docs/scale.md tells of it.
Usage: nice -n 15 python benchmarks/scale.py [--quick] [--part NAME …]
"""

from __future__ import annotations

import argparse
import math
import os
import shutil
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import sqlalchemy
from harness import Part, scratch, stand_in, table
from scale_server import METRICS, Server, server

from touchline.config import Settings
from touchline.testing.mlflow_server import lack
from touchline.tracking.journal import FILE_NAME
from touchline.tracking.start import start_run

RUNS, HERTZ, SECONDS = 1_000, 1.0, 3_600
LOOKS = (1, 4, 12, 36)
"""After so many hundred seconds of the hour, a million values each, the server is looked at."""
DELIVERED_RUNS = 40
"""Runs that couriers deliver to; PostgreSQL writes the rows of the others itself, in the same order of time."""
STORE = Path(tempfile.gettempdir()) / "touchline-scale"
"""Holds the hour's database until all of it is measured."""
PARTS = ("journal", "wandb", "couriers", "settings", "live", "hour")


def journal(part: Part) -> dict[str, float]:
    """Bytes and CPU time of ten metrics a call, with values that use all their digits."""
    count = part.size(20_000, 2_000)
    with scratch() as home:
        run = start_run("benchmark", settings=Settings(home=home, sinks=(), capture=()))
        before, began = time.process_time(), time.perf_counter()
        for step in range(count):
            run.log({f"train/metric_{place}": math.sin(step / (7.0 + place)) for place in range(METRICS)}, step)
        run.finish(timeout=120.0)
        seconds, used = time.perf_counter() - began, time.process_time() - before
        size = sum(path.stat().st_size for path in run.directory.glob(f"{FILE_NAME}*"))
    return {
        "bytes_an_event": round(size / count, 1),
        "bytes_a_value": round(size / count / METRICS, 2),
        "cpu_us_an_event": round(1e6 * used / count, 1),
        "values_per_second": round(count * METRICS / seconds),
    }


def request_bytes(values: int) -> float:
    """Bytes a value in the body of a request, as MLflow's client writes it."""
    from mlflow.entities import Metric
    from mlflow.protos.service_pb2 import LogBatch
    from mlflow.utils.proto_json_utils import message_to_json

    steps = range(values // METRICS)
    metrics = [
        Metric(f"train/metric_{place}", math.sin(step / (7.0 + place)), 1_800_000_000_000 + step, step).to_proto()
        for step in steps
        for place in range(METRICS)
    ]
    return round(len(message_to_json(LogBatch(run_id="0" * 32, metrics=metrics))) / values, 1)


def wandb(part: Part) -> dict[str, Any]:
    """Requests and bytes of the real SDK at the stand-in, from one run at 1 Hz."""
    seconds = part.size(180, 20)
    with scratch() as home, stand_in() as far:
        os.environ["WANDB_API_KEY"] = far.key
        settings = Settings(home=home, sinks=("wandb",), capture=(), wandb_base_url=far.url)
        run = start_run("benchmark", settings=settings)
        begun: dict[str, Any] = {}
        for step in range(seconds):
            run.log({f"train/metric_{place}": math.sin(step / (7.0 + place)) for place in range(METRICS)}, step)
            time.sleep(1.0)
            if step == 9:  # its start is over
                begun = far.ask({"ask": "streamed"})
        live = far.ask({"ask": "streamed"})
        run.finish(timeout=60.0)
    (first,), (last,) = begun.values(), live.values()
    grown = {name: last[name] - first[name] for name in first}
    return {
        "rows": grown["rows"],
        "requests_with_rows_per_second": round(grown["requests"] / (seconds - 10), 2),
        "questions_per_second": round(grown["questions"] / (seconds - 10), 2),
        "bytes_a_row": round(grown["row_bytes"] / grown["rows"], 1),
    }


def couriers(part: Part) -> None:
    """Saturation: workers of the server, couriers, values a request."""
    seconds = part.size(15, 3)
    plan = {2: [(count, events) for count in (1, 2, 4, 8) for events in (1, 10, 100)]}
    plan |= {workers: [(4, events) for events in (1, 100)] for workers in (1, 4)}
    if part.quick:
        plan = {2: [(2, events) for events in (1, 10, 100)]}
    for workers, cells in plan.items():
        keys = {
            f"couriers/{workers} workers/{count} couriers/{METRICS * events} values a request": (count, events)
            for count, events in cells
        }
        if all(key in part.results for key in keys):
            continue
        with server(8, 64, workers=workers) as far:
            far.deliver(events=1, seconds=1.0)
            for key, (count, events) in keys.items():
                part.measure(key, partial(far.deliver, couriers=count, events=events, seconds=seconds))


AUTH = "[mlflow]\ndefault_permission = READ\ndatabase_uri = {database}\nadmin_username = admin\n"
LOGIN = {"MLFLOW_TRACKING_USERNAME": "admin", "MLFLOW_TRACKING_PASSWORD": "a long password"}
SECURED = {"MLFLOW_AUTH_ADMIN_PASSWORD": "a long password", "MLFLOW_FLASK_SERVER_SECRET_KEY": "of a benchmark"}
VARIANTS: dict[str, dict[str, Any]] = {
    "as it comes": {},
    "synchronous_commit off": {"postgres": {"synchronous_commit": "off"}},
    "shared_buffers 2 GB, WAL 4 GB": {"postgres": {"shared_buffers": "2GB", "max_wal_size": "4GB"}},
    "passwords, hashed each time": {
        "arguments": ("--app-name", "basic-auth"),
        "variables": {"auth.ini": AUTH, **SECURED},
        "login": LOGIN,
    },
    "passwords, kept for 60 s": {
        "arguments": ("--app-name", "basic-auth"),
        "variables": {"auth.ini": AUTH + "auth_cache_ttl_seconds = 60\n", **SECURED},
        "login": LOGIN,
    },
}


def settings(part: Part) -> None:
    """What PostgreSQL's settings and passwords change, for small and for full requests."""
    store = STORE.with_name(f"{STORE.name}-settings")
    for place, (name, changes) in enumerate(VARIANTS.items()):
        keys = {f"settings/{name}/{METRICS * events} values a request": events for events in (1, 100)}
        if all(key in part.results for key in keys):
            continue
        with server(2, 16, store=store, **changes) as far:
            # Beyond what was delivered before: what is there already takes another way, and twice the time.
            far.deliver(events=1, seconds=1.0, step=1_000_000 * place)
            for key, events in keys.items():
                part.measure(key, partial(far.deliver, events=events, seconds=part.size(15, 3)))
    shutil.rmtree(store, ignore_errors=True)


def live(part: Part) -> None:
    """Runs at their own pace, 1 Hz: how old a value is when the server has it, and how requests grow."""
    processes = 4
    fleet = [(8, 0)] if part.quick else [(20, 0), (80, 0), (160, 0), (80, 30), (160, 30)]
    keys = {
        f"live/{runs} runs{f', gathered for {gather} s' if gather else ''}": (runs, gather) for runs, gather in fleet
    }
    if all(key in part.results for key in keys):
        return
    enough = {"MLFLOW_SQLALCHEMYSTORE_MAX_OVERFLOW": "80"}
    most = max(runs for runs, _ in fleet)
    with server(processes, most, variables=enough, postgres={"max_connections": "300"}) as far:
        for key, (runs, gather) in keys.items():
            share = runs // processes
            order = {"hertz": HERTZ, "seconds": part.size(60, 5), "runs": share, "threads": min(share, 20)}
            part.measure(key, partial(far.deliver, gather=gather, **order))


def hour(part: Part) -> None:
    """Deliveries and reading while the table grows; the database stays between calls until all of it is measured."""
    looks, runs, delivered, store = LOOKS, RUNS, DELIVERED_RUNS, STORE
    if part.quick:
        looks, runs, delivered, store = (1, 2), 20, 4, STORE.with_name(f"{STORE.name}-quick")
    keys = {f"hour/{look * 100:04} s": look for look in looks}
    known = [key for key in keys if key in part.results]
    if len(known) == len(keys):
        return
    if not known or not store.exists():  # without its rows, what was measured of them cannot be gone on with
        shutil.rmtree(store, ignore_errors=True)
        for key in known:
            del part.results[key]
        known = []
    with server(2, delivered, postgres={"shared_buffers": "1GB", "max_wal_size": "4GB"}, store=store) as far:
        if not known:
            others(far, runs - delivered)
        before = 0
        for key, look in keys.items():
            part.measure(key, partial(grown, far, 100 * before, 100 * look, part.size(10, 1)))
            before = look
    shutil.rmtree(store, ignore_errors=True)


def grown(far: Server, first: int, last: int, seconds: float) -> dict[str, Any]:
    """Let the hour go on from one second to another, the last hundred through couriers; then look at it."""
    figures = {"filling": fill(far, first, last)}
    figures["full"] = far.deliver(events=100, rounds=1, step=last - 100)
    figures["small"] = far.deliver(events=1, seconds=seconds, step=last)
    with far.engine.begin() as connection:  # so that the hour has each value once
        connection.execute(sqlalchemy.text("DELETE FROM metrics WHERE step >= :last"), {"last": last})
    return {**figures, **measured(far), "reading_ms": reading(far)}


def others(far: Server, count: int) -> None:
    """The runs to which no courier delivers: copies of one to which one does."""
    copy = "SELECT (json_populate_record(one, json_build_object('run_uuid', f.run_uuid))).* FROM"
    first = "filled f WHERE one.run_uuid = (SELECT min(run_uuid) FROM runs"
    with far.engine.begin() as connection:
        for text in (
            f"CREATE TABLE filled AS SELECT md5(i::text) AS run_uuid FROM generate_series(1, {count}) i",
            f"INSERT INTO runs {copy} runs one, {first})",
            f"INSERT INTO tags {copy} tags one, {first} WHERE run_uuid NOT IN (SELECT run_uuid FROM filled))",
        ):
            connection.execute(sqlalchemy.text(text))


_METRIC = "'train/metric_' || m, sin(s / (7.0 + m)), 1800000000000 + s * 1000::bigint, s, run_uuid, false"
_COLUMNS = "(key, value, timestamp, step, run_uuid, is_nan)"
_INDEXES = {
    "index_metrics_run_uuid": "(run_uuid)",
    "index_metrics_run_uuid_key_step": "(run_uuid, key, step)",
}
_KEY = "PRIMARY KEY (key, timestamp, step, run_uuid, value, is_nan)"


def fill(far: Server, first: int, last: int) -> dict[str, Any]:
    """Write what couriers do not deliver: all runs and metrics of a second, then those of the next.

    The indexes are built anew afterwards, and foreign keys are not checked: row by row it takes hours.
    """
    began = time.perf_counter()
    rows = (
        f"INSERT INTO metrics {_COLUMNS} SELECT {_METRIC} FROM generate_series({first}, {last - 1}) s, "
        f"(SELECT run_uuid FROM runs) r, generate_series(0, {METRICS - 1}) m "
        f"WHERE s < {last - 100} OR run_uuid IN (SELECT run_uuid FROM filled)"
    )
    newest = (
        f"INSERT INTO latest_metrics {_COLUMNS} SELECT {_METRIC} FROM (SELECT {last - 1} AS s) s, filled, "
        f"generate_series(0, {METRICS - 1}) m ON CONFLICT (key, run_uuid) "
        "DO UPDATE SET value = excluded.value, timestamp = excluded.timestamp, step = excluded.step"
    )
    with far.engine.begin() as connection:

        def do(text: str) -> int:
            return connection.execute(sqlalchemy.text(text)).rowcount

        do("SET LOCAL session_replication_role = replica")
        do("SET LOCAL maintenance_work_mem = '1GB'")
        do("ALTER TABLE metrics DROP CONSTRAINT metric_pk")
        do(f"DROP INDEX {', '.join(_INDEXES)}")
        written = do(rows)
        do(newest)
        do(f"ALTER TABLE metrics ADD CONSTRAINT metric_pk {_KEY}")
        for name, columns in _INDEXES.items():
            do(f"CREATE INDEX {name} ON metrics {columns}")
    return {"values": written, "seconds": round(time.perf_counter() - began)}


def measured(far: Server) -> dict[str, Any]:
    """How large the database is."""
    with far.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(sqlalchemy.text("ANALYZE metrics"))
    rows = far.ask("SELECT count(*) FROM metrics")
    heap, everything = (far.ask(f"SELECT pg_{what}_size('metrics')") for what in ("table", "total_relation"))
    return {
        "rows": rows,
        "bytes_a_row": round(heap / rows, 1),
        "bytes_a_row_with_indexes": round(everything / rows, 1),
    }


def reading(far: Server) -> dict[str, float]:
    """Median milliseconds of what pages ask for, five times each."""
    from mlflow.tracking import MlflowClient

    client = MlflowClient(far.url)
    experiment = client.get_experiment_by_name("scale")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id], max_results=20)
    ids = [run.info.run_id for run in runs]
    bulk = (
        f"{far.url}/ajax-api/2.0/mlflow/metrics/get-history-bulk-interval?metric_key=train/metric_3&max_results=320"
    )
    bulk += "".join(f"&run_ids={one}" for one in ids)

    def history() -> None:
        client.get_metric_history(ids[0], "train/metric_3")

    def chart() -> None:
        import requests

        requests.get(bulk, timeout=120.0).raise_for_status()

    def listing() -> None:
        client.search_runs([experiment.experiment_id], order_by=["metrics.`train/metric_3` DESC"], max_results=100)

    def median(what: Any) -> float:
        took = []
        for _ in range(5):
            began = time.perf_counter()
            what()
            took.append(time.perf_counter() - began)
        return round(1e3 * float(np.median(took)), 1)

    return {"one curve": median(history), "a chart of 20 runs": median(chart), "100 of all runs": median(listing)}


def main() -> None:
    """Measure what is asked for, keep and print."""
    if told := lack():
        raise SystemExit(told)
    parser = argparse.ArgumentParser()
    parser.add_argument("--part", nargs="+", choices=PARTS, default=PARTS)
    part = Part("", __doc__, "scale", parser)
    if "journal" in part.options.part:
        part.measure("journal", lambda: journal(part))
        part.measure("request bytes a value", lambda: request_bytes(1_000))
    if "wandb" in part.options.part:
        part.measure("wandb", lambda: wandb(part))
    for name, measure in (("couriers", couriers), ("settings", settings), ("live", live), ("hour", hour)):
        if name in part.options.part:
            measure(part)
    report(part)


def model(part: Part) -> dict[str, Any]:
    """CPU milliseconds a request and a value, by least squares through the medians of each size of request."""
    told = [one for key, one in part.results.items() if key.startswith("couriers/")]
    sizes = sorted({one["values_a_request"] for one in told})
    fitted: dict[str, Any] = {}
    for kind in ("server", "postgresql", "courier"):
        medians = [
            float(np.median([one["cpu_ms_a_request"][kind] for one in told if one["values_a_request"] == size]))
            for size in sizes
        ]
        # Relative errors, so that the small request counts as much as the full one.
        weights = 1.0 / np.asarray(medians)
        value, request = np.polyfit(sizes, medians, 1, w=weights)
        fitted[kind] = {"ms_a_request": round(float(request), 1), "ms_a_value": round(float(value), 3)}
    return fitted


def cores(fitted: dict[str, Any], runs: int, metrics: int, hertz: float, gather: float) -> tuple[float, float]:
    """Requests a second, and processors that the server and PostgreSQL take for them."""
    between = max(gather, 1.0 / hertz)
    values = metrics * hertz * between
    requests = runs / between * math.ceil(values / 1_000)
    kinds = [fitted[kind] for kind in ("server", "postgresql")]
    busy = sum(requests * kind["ms_a_request"] + runs * metrics * hertz * kind["ms_a_value"] for kind in kinds)
    return requests, busy / 1e3


def report_model(fitted: dict[str, Any]) -> None:
    """Print what fleets need."""
    rows = []
    for runs, metrics, hertz in ((10, 10, 1.0), (100, 10, 1.0), (1_000, 10, 1.0), (1_000, 10, 0.1), (1_000, 50, 1.0)):
        row: list[object] = [f"{runs:,} × {metrics} × {hertz:g} Hz", round(runs * metrics * hertz)]
        for gather in (0.0, 10.0, 60.0):
            requests, busy = cores(fitted, runs, metrics, hertz, gather)
            row += [round(requests, 1), round(busy, 2)]
        rows.append(row)
    head = [f"{what} ({how})" for how in ("at once", "10 s", "60 s") for what in ("requests/s", "processors")]
    table(["runs × metrics × rate", "values/s", *head], rows)


def report(part: Part) -> None:
    """Print the tables of docs/scale.md."""
    keys = ("values_per_second", "requests_per_second", "values_a_request", "request_median_ms", "request_p99_ms")
    for what in ("couriers", "settings", "live", "hour"):
        found = {key.removeprefix(f"{what}/"): one for key, one in part.results.items() if key.startswith(f"{what}/")}
        rows = []
        for key, one in found.items():
            for size in ("full", "small") if what == "hour" else ("",):
                told = one[size] if size else one
                cpu = told["cpu_ms_a_request"]
                more = [
                    one.get("rows"),
                    one.get("bytes_a_row_with_indexes"),
                    *told.get("age_second_half_s", {}).values(),
                ]
                rows.append([f"{key} {size}", *map(told.get, keys), *cpu.values(), told["load"], *more])
        if rows:
            kinds = [f"{kind}: CPU ms a request" for kind in cpu]
            more = ["rows", "bytes a row", "age median", "age p99"][: len(rows[0]) - len(keys) - len(kinds) - 2]
            table([what, *keys, *kinds, "load", *more], rows)
    if any(key.startswith("couriers/") for key in part.results):
        part.put("model", model(part))
        report_model(part.results["model"])


if __name__ == "__main__":
    main()
