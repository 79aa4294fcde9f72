"""The table of milestones: which job may put what into the catalog, and under which alias."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from touchline.errors import TouchlineError, unknown


@dataclass(frozen=True)
class Milestone:
    """What one job may do in the catalog."""

    job: str
    """Name of the job."""
    model: str | None = None
    """Last level of the registered model's name; None: the job has nothing in the catalog."""
    alias: str | None = None
    """Alias that the job sets."""
    may_register: bool = False
    """Whether the job may create versions."""
    may_promote: bool = False
    """Whether the job (or the command of this name) may move its alias to a version that another job registered."""


MILESTONES: Mapping[str, Milestone] = MappingProxyType(
    {
        row.job: row
        for row in (
            Milestone("setup"),
            Milestone("pretrain", "mjx_sac", "Candidate-Pretrain", may_register=True),
            Milestone("convert"),
            Milestone("finetune", "ddpg_finetuned", "Candidate-Finetuned", may_register=True),
            Milestone("gate3", "ddpg_finetuned", "Champion", may_promote=True),
            Milestone("submit"),
            Milestone("promote", "ddpg_finetuned", "Champion", may_promote=True),
            Milestone("rollback", "ddpg_finetuned", "Champion", may_promote=True),
        )
    }
)


def milestone(job: str, milestones: Mapping[str, Milestone] = MILESTONES) -> Milestone:
    """Return the job's row; raises UsageError with the nearest name when there is none."""
    if job not in milestones:
        raise unknown("milestone of a job called", job, milestones)
    return milestones[job]


def registering(job: str, milestones: Mapping[str, Milestone] = MILESTONES) -> tuple[str, str]:
    """Return (model, alias) of a job that may register; raises TouchlineError when it may not."""
    row = milestone(job, milestones)
    if not row.may_register or row.model is None or row.alias is None:
        allowed = ", ".join(name for name, other in milestones.items() if other.may_register)
        raise TouchlineError(
            f"The job {job!r} may not register a model. Log it to the job's run with run.log_model(...); "
            f"the jobs that register are: {allowed}."
        )
    return row.model, row.alias


def promoting(job: str, milestones: Mapping[str, Milestone] = MILESTONES) -> tuple[str, str]:
    """Return (model, alias) of a job that may promote; raises TouchlineError when it may not."""
    row = milestone(job, milestones)
    if not row.may_promote or row.model is None or row.alias is None:
        allowed = ", ".join(name for name, other in milestones.items() if other.may_promote)
        raise TouchlineError(f"The job {job!r} may not promote a model. The jobs that promote are: {allowed}.")
    return row.model, row.alias
