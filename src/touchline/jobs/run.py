"""``touchline run``: the pipeline or one job of it, with Ctrl-C handled and the summary at the end."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

from touchline.checkpoint.preemption import StopSignal
from touchline.config import Settings
from touchline.jobs.base import find_job, stopping_with
from touchline.jobs.checkpoints import Resume
from touchline.jobs.execute import execute, saying_how_to_go_on
from touchline.jobs.history import RECIPE, catch_up
from touchline.jobs.pipeline import job_config, run_pipeline
from touchline.jobs.progress import terminal
from touchline.jobs.summary import print_summary
from touchline.tuning.recipe import lineage_tags

GRACE_SECONDS = 1.0


def run_named(
    name: str,
    config: Any,
    settings: Settings,
    recipe: str,
    command: str,
    resume: Resume,
    tags: Mapping[str, Mapping[str, str]] = MappingProxyType({}),
) -> None:
    """Run the job called ``name``, or the pipeline; ``command`` is what a person types to go on.

    ``tags`` has, by job, tags of its Run: where its configuration comes from.

    Raises JobFailed and Interrupted, when the one or the other has happened.
    """
    console = terminal()
    with stoppable(settings):
        if name == "pipeline":
            outcomes = run_pipeline(config, settings, recipe=recipe, command=command, resume=resume, tags=tags).jobs
        else:
            if not resume.fresh:
                catch_up(settings)
            with saying_how_to_go_on(command):
                mine = {RECIPE: recipe, **tags.get(name, {})}
                outcomes = (execute(find_job(name), job_config(config, name), settings, mine, resume),)
            for sentence in outcomes[0].result.sentences:
                console.print(sentence, markup=False)
    print_summary(outcomes, settings, console)


def found_by(lineage: Mapping[str, Mapping[str, str]]) -> dict[str, dict[str, str]]:
    """By job, the tags of a configuration that a study has found, as its recipe tells."""
    return {job: lineage_tags(told) for job, told in lineage.items()}


@contextlib.contextmanager
def stoppable(settings: Settings) -> Iterator[None]:
    """Let the first Ctrl-C, SIGTERM or cloud's notice of preemption stop jobs at their next boundary.

    A second Ctrl-C ends them at once. Raises UsageError where the cloud's variable holds no address.
    """
    with StopSignal(settings.preemption) as stop, stopping_with(stop), _second_interrupt_ends():
        yield


@contextlib.contextmanager
def _second_interrupt_ends() -> Iterator[None]:
    """End the process a second after a second SIGINT, whatever it does.

    Python's handlers wait until a compiler or a simulator in C gives the main thread back, which can take half a
    minute; a thread that the kernel's side of the handler wakes does not. The couriers mark the run as killed.
    """
    left = threading.Event()
    reader, writer = socket.socketpair()
    writer.setblocking(False)

    def watch() -> None:
        interrupts = 0
        while interrupts < 2:
            if not (number := reader.recv(1)):
                return
            interrupts += number[0] == signal.SIGINT
            if interrupts < 2:
                print("Stopping at the next boundary; Ctrl-C ends it at once.", file=sys.stderr, flush=True)
        if not left.wait(GRACE_SECONDS):
            os._exit(128 + signal.SIGINT)

    thread = threading.Thread(target=watch, name="second-interrupt", daemon=True)
    before = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
    thread.start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
        left.set()
        writer.close()
        thread.join()
        reader.close()
