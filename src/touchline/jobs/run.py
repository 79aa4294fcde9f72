"""``touchline run``: the pipeline or one job of it, with Ctrl-C handled and the summary at the end."""

from __future__ import annotations

from typing import Any

from touchline.checkpoint.preemption import StopSignal
from touchline.config import Settings
from touchline.jobs.base import find_job, stopping_with
from touchline.jobs.execute import execute
from touchline.jobs.history import RECIPE
from touchline.jobs.pipeline import job_config, run_pipeline
from touchline.jobs.progress import terminal
from touchline.jobs.summary import print_summary


def run_named(name: str, config: Any, settings: Settings, recipe: str, command: str) -> None:
    """Run the job called ``name``, or the pipeline; ``command`` is what a person types to go on.

    Raises JobFailed and Interrupted, when the one or the other has happened.
    """
    console = terminal()
    with StopSignal() as stop, stopping_with(stop):
        if name == "pipeline":
            outcomes = run_pipeline(config, settings, recipe=recipe, command=command).jobs
        else:
            outcomes = (execute(find_job(name), job_config(config, name), settings, {RECIPE: recipe}),)
            for sentence in outcomes[0].result.sentences:
                console.print(sentence, markup=False)
    print_summary(outcomes, settings, console)
