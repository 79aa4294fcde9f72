"""A study that survives its workers: trials asked for, put back, failed, retried, by one process at a time."""

from __future__ import annotations

import contextlib
import hashlib
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import optuna
from optuna.trial import FrozenTrial, TrialState

from touchline.errors import TouchlineError, UsageError, unknown
from touchline.tracking.process import ProcessIdentity
from touchline.tuning import pruners, sampler
from touchline.tuning.failures import FAILURE, LOST, Failure
from touchline.tuning.space import Space, distributions, parse_space, texts
from touchline.tuning.storage import StudyStorage

RETRIES = 2
"""Times that a trial goes on after it was killed."""
OWNERS = "owners"
"""Attribute of a trial: the processes that answer for it, its supervisor and its own."""
RUN = "run"
"""Attribute of a trial: id of its run."""
SETUP = "touchline.setup"
"""Attribute of a study: what all its processes must agree on."""
SEEDS = "touchline.seeds"
"""Attribute of a study: the sampler's seed of each opening."""
FINALIST = "touchline.finalist."
"""Attribute of a study, followed by a trial's number: its value on other seeds."""
WINNER = "touchline.winner"
"""Attribute of a study: number of the trial that was best on those."""
TARGET = "touchline.target"
"""Attribute of a study: how many finished ``trials`` were asked for last, by how many ``workers``."""
Direction = Literal["maximize", "minimize"]
FINISHED = (TrialState.COMPLETE, TrialState.PRUNED)


@dataclass(frozen=True)
class Setup:
    """What makes a study this one: all its processes agree on it."""

    space: Space
    direction: Direction = "maximize"
    pruner: str = pruners.DEFAULT
    sampler: str = "tpe"
    report_every: int = 1
    """Values are compared at multiples of so many steps."""
    about: Mapping[str, Any] = field(default_factory=dict)
    """JSON: what is tuned, such as the job and its base configuration."""

    def __post_init__(self) -> None:
        for kind, name, names in (
            ("pruner", self.pruner, pruners.NAMES),
            ("sampler", self.sampler, sampler.NAMES),
            ("direction", self.direction, ("maximize", "minimize")),
        ):
            if name not in names:
                raise unknown(kind, name, names)

    def plain(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "space": texts(self.space),
            "direction": self.direction,
            "pruner": self.pruner,
            "sampler": self.sampler,
            "report_every": self.report_every,
            "about": dict(self.about),
        }

    @classmethod
    def from_plain(cls, values: Mapping[str, Any]) -> Setup:
        """Read back what ``plain`` gave."""
        space = parse_space(f"{name}={text}" for name, text in values["space"].items())
        return cls(**{**values, "space": space})


class Study:
    """One study in one storage; made by ``open_study`` and ``find_study``.

    What changes a trial's state goes through here, under the storage's lock: Optuna's own ``ask`` gives one waiting
    trial to two processes of an SQLite file that come at the same moment.
    """

    def __init__(self, storage: StudyStorage, study: optuna.Study, setup: Setup, seed: int | None) -> None:
        self.storage, self.optuna, self.setup = storage, study, setup
        self.name = study.study_name
        self.seed = seed
        """Of this process's sampler; None where the study was only opened to look at it."""
        self._backend: Any = study._storage
        self._lock_name = f"study-{hashlib.sha256(self.name.encode()).hexdigest()[:12]}"

    def trials(self) -> list[FrozenTrial]:
        """All trials as the storage has them now, in the order of their numbers; not to be changed."""
        return self.optuna.get_trials(deepcopy=False)

    def counts(self) -> Counter[TrialState]:
        """How many trials are in each state."""
        return Counter(trial.state for trial in self.trials())

    def finished(self) -> int:
        """How many configurations have a value: complete or pruned."""
        counts = self.counts()
        return sum(counts[state] for state in FINISHED)

    def ask(self, limit: int) -> optuna.Trial | None:
        """The next trial, with all its values: one to be retried, else a new point.

        None when ``limit`` trials are finished or on their way. Raises SpaceExhausted when no new point is left.
        """
        with self.locked():
            trials = self.trials()
            if sum(trial.state in (*FINISHED, TrialState.RUNNING) for trial in trials) >= limit:
                return None
            waiting = [trial for trial in trials if trial.state == TrialState.WAITING]
            if not waiting and sampler.points_left(self.setup.space, trials) == 0:
                raise sampler.SpaceExhausted(
                    f"Every point of the space of the study {self.name} has a trial. Be content with these, or begin "
                    "a study with a wider space."
                )
            for trial in waiting:
                # Else one that was put back an hour ago would be taken for dead before its process begins.
                self.beat(trial._trial_id)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # that the heartbeat is for optimize(): we beat ourselves
                asked = self.optuna.ask()
            self.beat(asked._trial_id)
            asked.set_user_attr(OWNERS, [ProcessIdentity.current().to_mapping()])
            try:
                for name, distribution in distributions(self.setup.space).items():
                    asked._suggest(name, distribution)
            except sampler.SpaceExhausted as error:  # of a range so narrow that its numbers can be counted after all
                self._fail(self._frozen(asked.number), Failure("space exhausted", str(error)), retried=False)
                raise
            return asked

    def beat(self, trial_id: int) -> None:
        """Give a sign of life of a trial."""
        self._rdb.record_heartbeat(trial_id)

    def trial(self, number: int) -> optuna.Trial:
        """The running trial of this number, to report to. Raises TouchlineError when it is not running."""
        frozen = self._frozen(number)
        if frozen.state != TrialState.RUNNING:
            raise TouchlineError(f"The trial {number} of {self.name} is {frozen.state.name}, and not running.")
        return optuna.Trial(self.optuna, frozen._trial_id)

    def complete(self, number: int, value: float, attributes: Mapping[str, Any]) -> bool:
        """Record a trial's value and attributes; False where the trial does not run any more."""
        with self.locked():
            return self._tell(number, attributes, values=value)

    def prune(self, number: int, attributes: Mapping[str, Any]) -> bool:
        """Record that a trial was given up, its last reported value being its value; False where it does not run."""
        with self.locked():
            return self._tell(number, attributes, state=TrialState.PRUNED)

    def put_back(self, number: int, attributes: Mapping[str, Any] | None = None) -> bool:
        """Let another process go on with a trial that was asked to stop; it counts as no failure."""
        with self.locked():
            frozen = self._frozen(number)
            if frozen.state != TrialState.RUNNING:
                return False
            self._annotate(frozen, attributes or {})
            self._backend.set_trial_state_values(frozen._trial_id, state=TrialState.WAITING)
            return True

    def fail(self, number: int, failure: Failure, attributes: Mapping[str, Any] | None = None) -> str | None:
        """Record a failure, and after an accident queue the trial again, twice at most.

        Returns ``retried`` or ``failed``, and None where the trial does not run any more.
        """
        with self.locked():
            frozen = self._frozen(number)
            if frozen.state != TrialState.RUNNING:
                return None
            retried = failure.is_accident and len(_history(frozen)) < RETRIES
            self._fail(frozen, failure, retried=retried, attributes=attributes)
            return "retried" if retried else "failed"

    def orphans(self) -> list[int]:
        """Numbers of the trials that run on this machine although their supervisor is gone."""
        return [
            trial.number
            for trial in self.trials()
            if trial.state == TrialState.RUNNING
            and len(owners := owners_of(trial)) == 2
            and not owners[0].is_alive()
            and owners[1].is_alive()
        ]

    def reap(self) -> list[tuple[FrozenTrial, Failure]]:
        """Fail, and queue again, the trials whose process is gone; returns them as they were.

        Of processes of this machine that is known at once, of others after a minute without a sign of life.
        """
        with self.locked():
            running = {trial._trial_id: trial for trial in self.trials() if trial.state == TrialState.RUNNING}
            stale = set(self._rdb._get_stale_trial_ids(self.optuna._study_id))
            reaped = []
            for trial_id, trial in running.items():
                owners = owners_of(trial)
                if owners and all(owner.is_local() for owner in owners):
                    is_alive = any(owner.is_alive() for owner in owners)
                    failure = None if is_alive else Failure("killed", "It was killed with its supervisor.")
                else:
                    failure = LOST if trial_id in stale else None
                if failure is not None:
                    retried = len(_history(trial)) < RETRIES
                    self._fail(trial, failure, retried=retried)
                    reaped.append((trial, failure))
                elif not self._has_heartbeat(trial_id):
                    # Whoever asked for it died at that moment: from now on it can become stale.
                    self.beat(trial_id)
            return reaped

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        from touchline.tuning.progress import card_of

        return card_of(self)

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keep every other process from changing the states of this study's trials."""
        with self.storage.lock(self._lock_name):
            yield

    def _tell(self, number: int, attributes: Mapping[str, Any], **told: Any) -> bool:
        frozen = self._frozen(number)
        if frozen.state != TrialState.RUNNING:
            return False
        self._annotate(frozen, attributes)
        self.optuna.tell(number, **told)
        return True

    def _fail(
        self, frozen: FrozenTrial, failure: Failure, *, retried: bool, attributes: Mapping[str, Any] | None = None
    ) -> None:
        told = {"kind": failure.kind, "reason": failure.reason, "retried": retried}
        self._annotate(frozen, {**(attributes or {}), FAILURE: told})
        if retried and failure.is_accident:
            # Before it is failed: killed in between, there is one too many, which the next reaping sees as a retry.
            self._queue_again(frozen)
        self._backend.set_trial_state_values(frozen._trial_id, state=TrialState.FAIL)

    def _queue_again(self, frozen: FrozenTrial) -> None:
        """With the attributes by which Optuna's own retries are known, and what was reported so far."""
        history = [*_history(frozen), frozen.number]
        if any(_history(other) == history for other in self.trials()):
            return
        self.optuna.add_trial(
            optuna.create_trial(
                state=TrialState.WAITING,
                params=frozen.params,
                distributions=frozen.distributions,
                user_attrs={
                    name: value for name, value in frozen.user_attrs.items() if name not in (FAILURE, OWNERS)
                },
                system_attrs={**frozen.system_attrs, "failed_trial": history[0], "retry_history": history},
                intermediate_values=frozen.intermediate_values,
            )
        )

    def _annotate(self, frozen: FrozenTrial, attributes: Mapping[str, Any]) -> None:
        for name, value in attributes.items():
            self._backend.set_trial_user_attr(frozen._trial_id, name, value)

    def _frozen(self, number: int) -> FrozenTrial:
        trial_id = self._backend.get_trial_id_from_study_id_trial_number(self.optuna._study_id, number)
        frozen: FrozenTrial = self._rdb.get_trial(trial_id)
        return frozen

    @property
    def _rdb(self) -> Any:
        """The storage below Optuna's cache, which knows the heartbeats."""
        return self._backend._backend

    def _has_heartbeat(self, trial_id: int) -> bool:
        from optuna.storages._rdb import models

        with self._rdb.scoped_session() as session:
            return models.TrialHeartbeatModel.where_trial_id(trial_id, session) is not None


def owners_of(trial: FrozenTrial) -> list[ProcessIdentity]:
    """The processes that answer for a trial: its supervisor and, once it has begun, its own."""
    return [ProcessIdentity.from_mapping(owner) for owner in trial.user_attrs.get(OWNERS, [])]


def _history(trial: FrozenTrial) -> list[int]:
    return list(trial.system_attrs.get("retry_history", []))


def open_study(storage: StudyStorage, name: str, setup: Setup) -> tuple[Study, bool]:
    """Open the study to work on it, or create it; returns whether it is new.

    Any number of processes may do so at once. Raises UsageError when the study there is another one.
    """
    pruner = pruners.named(setup.pruner, setup.report_every)
    backend = storage.open()
    with storage.lock("studies"), _silent():
        names = optuna.get_all_study_names(backend)
        if name in names:
            _refuse_foreign(optuna.load_study(study_name=name, storage=backend), setup)
        study = optuna.create_study(
            storage=backend, study_name=name, direction=setup.direction, pruner=pruner, load_if_exists=True
        )
        attributes = study.user_attrs
        if SETUP in attributes:
            _refuse_another(name, attributes[SETUP], setup.plain())
        else:
            study.set_user_attr(SETUP, setup.plain())
        seeds = [*attributes.get(SEEDS, [])]
        seed = sampler.seed_of(name, len(seeds) + 1)
        study.set_user_attr(SEEDS, [*seeds, seed])
    study.sampler = sampler.NewPoints(sampler.named(setup.sampler, seed), setup.space, seed)
    return Study(storage, study, setup, seed), name not in names


def find_study(storage: StudyStorage, name: str) -> Study:
    """Open an existing study: to look at it, or for a trial of it. Raises UsageError when there is none."""
    backend = storage.open()
    try:
        study = optuna.load_study(study_name=name, storage=backend)
    except KeyError as error:
        raise unknown("study", name, optuna.get_all_study_names(backend)) from error
    told = study.user_attrs.get(SETUP)
    if told is None:
        raise UsageError(f"The study {name} was not made by touchline tune. Look at it with: touchline ui")
    setup = Setup.from_plain(told)
    study.pruner = pruners.named(setup.pruner, setup.report_every)
    return Study(storage, study, setup, None)


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """Without Optuna's word on every study: ours is enough."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(before)


def _refuse_foreign(study: optuna.Study, setup: Setup) -> None:
    """Refuse what somebody else's program has begun; whoever was killed as it began one of ours left it empty."""
    has_begun = (
        study.user_attrs or study.get_trials(deepcopy=False) or study.direction.name.lower() != setup.direction
    )
    if SETUP not in study.user_attrs and has_begun:
        raise UsageError(
            f"The study {study.study_name} was not made by touchline tune. Name another one with --study; look at "
            "that one with: touchline ui"
        )


def _refuse_another(name: str, theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> None:
    other = [key for key in ours if theirs.get(key) != ours[key]]
    if other:
        told = "; ".join(f"{key} {theirs.get(key)!r} there, {ours[key]!r} here" for key in other)[:600]
        raise UsageError(
            f"The study {name} is another one ({told}). Repeat the command that began it, or name a new study with "
            "--study."
        )
