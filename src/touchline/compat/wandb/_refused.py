"""What W&B's interface has and this one has not, each with its remedy."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from touchline.compat.told import no_attribute, refusal, tell

_REAL = "use W&B's own package for it: import wandb as real_wandb"
_CATALOG = "load models by alias with touchline.load_model('name@Alias')"
_TUNING = "tune with touchline's own studies, or start the agent with W&B's own package"

RAISED = {
    "Api": f"wandb.Api reads from W&B, which this interface does not; {_REAL}.",
    "PublicApi": f"wandb.PublicApi reads from W&B, which this interface does not; {_REAL}.",
    "sweep": f"wandb.sweep is not supported; {_TUNING}.",
    "agent": f"wandb.agent is not supported; {_TUNING}.",
    "controller": f"wandb.controller is not supported; {_TUNING}.",
    "use_artifact": f"wandb.use_artifact waits for W&B, which this interface never does; {_CATALOG}, or {_REAL}.",
    "use_model": f"wandb.use_model waits for W&B, which this interface never does; {_CATALOG}, or {_REAL}.",
    "restore": "wandb.restore waits for W&B, which this interface never does; files of earlier runs are in "
    f"TOUCHLINE_HOME/runs, or {_REAL}.",
    "attach": f"wandb.attach hands out a native run, and there is none in this process; {_REAL}.",
    "fork_from": "wandb.init(fork_from=…) is not supported; start_run(resume=checkpoint) goes on from a checkpoint, "
    'and resume_from="id?_step=N" goes back in the same run.',
}
"""Calling one of these raises TouchlineError."""

TOLD = {
    "watch": "wandb.watch records no gradients here. Log what matters with wandb.log, a distribution with "
    "wandb.Histogram(parameter.grad).",
    "log_code": "wandb.log_code keeps nothing: the commit and its difference are recorded with every run.",
    "link_artifact": f"wandb.link_artifact has no effect: versions and aliases are the catalog's; {_CATALOG}.",
    "link_model": f"wandb.link_model has no effect: versions and aliases are the catalog's; {_CATALOG}.",
    "upsert_artifact": "wandb.upsert_artifact has no effect; each process logs an artifact of its own.",
    "finish_artifact": "wandb.finish_artifact has no effect; each process logs an artifact of its own.",
    "pin_config_keys": "wandb.run.pin_config_keys has no effect; it arranges W&B's page.",
    "display": "wandb.run.display shows nothing here; the run's page is wandb.run.url once it is delivered.",
    "to_html": "wandb.run.to_html shows nothing here; the run's page is wandb.run.url once it is delivered.",
    "write_logs": "wandb.run.write_logs has no effect; what is printed is recorded.",
}
"""Calling one of these warns once and does nothing."""


def told(name: str) -> None:
    """Warn once that ``name`` has no effect."""
    tell(f"wandb.{name}", TOLD[name])


def attribute(owner: str, name: str, known: Iterable[str]) -> Any:
    """What stands for a name that is not offered; raises AttributeError for one that W&B has not either."""
    if name in RAISED:
        return refusal(RAISED[name])
    if name in TOLD:
        return lambda *arguments, **named: told(name)
    raise no_attribute(owner, name, known)
