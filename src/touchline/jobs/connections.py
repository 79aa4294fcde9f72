"""The looks of *setup* at what lies beyond a network: W&B, MLflow with its registry and storage, and the clock."""

from __future__ import annotations

import contextlib
import ctypes
import dataclasses
import email.utils
import json
import os
import sqlite3
import sys
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any

from touchline.config import Settings, plain
from touchline.jobs.setup import Check
from touchline.jobs.trying import try_code

SKEW_SECONDS = 5.0
"""A clock that is further off puts the curves of two machines visibly apart; storage refuses at 15 min."""
_NOT_SYNCHRONISED = 5
"""What adjtimex(2) returns (TIME_ERROR) where nothing keeps the kernel's clock right."""
_STARTS = (
    "A training starts all the same: its history waits in the journal until MLflow answers (then: touchline sync). "
    "But the pipeline does not run before: its jobs register models there, and convert, finetune, gate3 and submit "
    "begin with one."
)
_TRIAL = "from touchline.jobs.trial import main; main()"
_KEEP_RIGHT = "Let the machine keep it right: timedatectl set-ntp true (of a container: that of its host)"
_QUICK = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_TIMEOUT": "10"}
"""MLflow's own patience is 7 tries of 120 s each."""


def wandb(settings: Settings, seconds: float) -> Check:
    """Ask the configured W&B server with the key of the environment."""
    name = "wandb server"
    if "wandb" not in settings.sinks:
        return Check(name, "ok", "not among the sinks")
    if find_spec("wandb") is None:
        return Check(name, "degraded", "wandb is not installed; the journals keep everything")
    from touchline.tracking.probe import probe_wandb, wandb_base_url

    began = time.perf_counter()
    answer = probe_wandb(settings, timeout=seconds)
    took = time.perf_counter() - began
    if answer.usable:
        return Check(
            name, "ok", f"{wandb_base_url(settings)} knows the key, {_round_trip(took)}", figures=_trip(took)
        )
    return Check(
        name, "degraded", f"{answer.reason.rstrip('.')}; the journals keep everything",
        "Once it can be reached, send what waits with: touchline sync",
    )  # fmt: skip


def mlflow(settings: Settings, seconds: float) -> tuple[Check, ...]:
    """Open the MLflow store, and try its registry and its storage for at most ``seconds``."""
    store = mlflow_store(settings)
    if store.level != "ok":
        why = "not tried, because the MLflow store cannot be used"
        return store, Check("registry", store.level, why), Check("storage", store.level, why)
    if not settings.has_store:
        begins = f"the first training begins {settings.home / 'mlflow.db'}"
        return store, Check("registry", "ok", begins), Check("storage", "ok", f"{begins}, with its files beside it")
    return store, *try_out(settings, seconds)


def mlflow_store(settings: Settings) -> Check:
    """Open the MLflow store; an SQLite file is read through."""
    name = "mlflow store"
    if find_spec("mlflow") is None:
        return Check(name, "missing", "mlflow is not installed", "Install it with: pip install 'touchline[mlflow]'")
    from touchline.tracking.launch import without_credentials
    from touchline.tracking.mlflow_store import ASKED, check_store
    from touchline.tracking.sinks.base import SinkUnavailable

    began = time.perf_counter()
    try:
        check_store(settings)
    except SinkUnavailable as error:
        if settings.tracking_uri.startswith("sqlite:"):
            return Check(name, "missing", str(error))
        return Check(name, "degraded", str(error), _STARTS)
    took = time.perf_counter() - began
    store = settings.home / "mlflow.db"
    if settings.mlflow_tracking_uri is None and store.exists():
        with contextlib.closing(sqlite3.connect(f"file:{store}?mode=rw", uri=True)) as connection:
            (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        if verdict != "ok":
            remedy = f"Put a backup in its place, or begin a new one with: mv {store} {store}.damaged"
            return Check(name, "missing", f"{store} is damaged ({verdict})", remedy)
    where = without_credentials(settings.tracking_uri)
    if not settings.tracking_uri.startswith(ASKED):
        return Check(name, "ok", where)
    return Check(name, "ok", f"{where}, {_round_trip(took)}", figures=_trip(took))


def try_out(settings: Settings, seconds: float) -> tuple[Check, Check]:
    """Register a model and store a file, and remove both; see ``jobs/trial.py``."""
    name = f"touchline_doctor_{uuid.uuid4().hex[:12]}"
    order = json.dumps({"settings": plain(settings), "name": name})
    # Through a pipe: a tracking URI may hold a password, and arguments are public.
    output, complaint = try_code(_TRIAL, seconds, {**os.environ, **_QUICK}, order)
    if complaint is not None:
        remedy = f"Look into the server's log. Should {name} be in MLflow, delete it. {_STARTS}"
        return Check("registry", "degraded", complaint, remedy), Check("storage", "degraded", complaint)
    outcome = json.loads(output.splitlines()[-1])
    registry = _trial(
        "registry", outcome["registry"], f"a model below {settings.catalog_prefix} was registered and removed",
        f"Ask for the right to create models below {settings.catalog_prefix}, or choose TOUCHLINE_CATALOG_PREFIX. "
        f"{_STARTS}",
    )  # fmt: skip
    return registry, judge_storage(settings, outcome.get("storage"))


def judge_storage(settings: Settings, outcome: Mapping[str, Any] | None) -> Check:
    """Judge what the trial of the storage told; None: it could not be tried."""
    if outcome is None:
        return Check("storage", "ok", "not tried, because only a run may write there")
    check = _trial(
        "storage", outcome, "a file was stored, read back and removed",
        "Ask for the right to write there, or look into the server's artifact settings.",
    )  # fmt: skip
    is_here = str(outcome.get("place", "")).startswith("file:")
    if check.level != "ok" or not is_here or not settings.tracking_uri.startswith(("http://", "https://")):
        return check
    # MLflow gives the path of its own disk, and each client writes to that path on its own.
    return dataclasses.replace(
        check,
        level="degraded",
        found=f"the server leaves artifacts to {outcome['place']} of whatever machine writes them",
        remedy="Unless the server shares that disk, start it with --serve-artifacts and --artifacts-destination.",
    )


def _trial(name: str, outcome: Mapping[str, Any], done: str, remedy: str) -> Check:
    if "error" in outcome:
        return Check(name, "degraded", str(outcome["error"]), remedy)
    took = float(outcome["seconds"])
    return Check(name, "ok", f"{done} in {1e3 * took:.0f} ms", figures=_trip(took))


def clock(settings: Settings, seconds: float) -> Check:
    """Compare the clock with the tracking servers' HTTP Date; where none answers, ask the kernel about it."""
    for url in _servers(settings):
        try:
            skew, uncertain = skew_against(url, seconds)
        except (OSError, ValueError):
            continue
        return judge_clock(skew, uncertain, url)
    return judge_kernel(kernel_is_synchronised())


def judge_kernel(is_synchronised: bool | None) -> Check:
    """Judge a clock that no server was held against; None: the kernel does not tell of it."""
    alone = "no tracking server to compare with"
    if is_synchronised is None:
        return Check("clock", "ok", f"{alone}; the kernel does not tell either")
    if is_synchronised:
        return Check("clock", "ok", f"{alone}; the kernel holds its clock for synchronised")
    return Check("clock", "degraded", f"{alone}; the kernel's clock is not synchronised", _KEEP_RIGHT)


def judge_clock(skew: float, uncertain: float, url: str) -> Check:
    """Judge a clock that is ``skew`` seconds ahead of the server's, give or take ``uncertain``."""
    from touchline.tracking.launch import without_credentials

    direction = "ahead of" if skew > 0.0 else "behind"
    found = f"{abs(skew):.1f} s {direction} {without_credentials(url)}, give or take {uncertain:.1f} s (HTTP Date)"
    figures = {"skew_seconds": skew, "uncertainty_seconds": uncertain}
    if abs(skew) - uncertain <= SKEW_SECONDS:
        return Check("clock", "ok", found, figures=figures)
    return Check("clock", "degraded", found, _KEEP_RIGHT, figures)


def skew_against(url: str, seconds: float) -> tuple[float, float]:
    """Return how many seconds this clock is ahead of the server's, and how uncertain that is.

    The Date header (RFC 9110, 6.6.1) has whole seconds and was written between question and answer. Raises OSError
    when the server does not answer in time, ValueError when it tells no date.
    """
    from touchline.tracking.launch import without_credentials
    from touchline.tracking.probe import bounded
    from touchline.tracking.proxies import proxy_of

    proxy = proxy_of(url)
    proxies = {"http": proxy, "https": proxy} if proxy else {}
    opener = urllib.request.build_opener(urllib.request.ProxyHandler(proxies))
    request = urllib.request.Request(without_credentials(url), method="HEAD")

    def ask() -> str | None:
        try:
            with opener.open(request, timeout=seconds) as response:
                date: str | None = response.headers.get("Date")
        except urllib.error.HTTPError as error:  # a refusal is dated too
            date = error.headers.get("Date")
        return date

    before = time.time()
    date = bounded(ask, seconds)
    after = time.time()
    if date is None:
        raise ValueError(f"{without_credentials(url)} does not tell its time")
    theirs = email.utils.parsedate_to_datetime(date).timestamp() + 0.5
    return (before + after) / 2 - theirs, 0.5 + (after - before) / 2


def _servers(settings: Settings) -> tuple[str, ...]:
    from touchline.tracking.probe import wandb_base_url

    uses_wandb = "wandb" in settings.sinks and settings.wandb_mode not in ("offline", "disabled")
    mine = (settings.tracking_uri, *((wandb_base_url(settings),) if uses_wandb else ()))
    return tuple(url for url in mine if url.startswith(("http://", "https://")))


def kernel_is_synchronised() -> bool | None:
    """What Linux says of its clock, None elsewhere; asking needs no right and no network."""
    if not sys.platform.startswith("linux"):
        return None
    # An empty ``struct timex`` (208 bytes) asks and sets nothing.
    state = ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(512))
    return None if state < 0 else bool(state != _NOT_SYNCHRONISED)


def _round_trip(seconds: float) -> str:
    return f"round trip {1e3 * seconds:.1f} ms"


def _trip(seconds: float) -> dict[str, float]:
    return {"round_trip_seconds": seconds}
