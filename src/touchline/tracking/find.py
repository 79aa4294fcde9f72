"""Finding runs in a home that must be there already: by id, by a unique beginning of it, or the last one."""

from __future__ import annotations

from collections.abc import Sequence

from touchline.config import Settings
from touchline.errors import TouchlineError, UsageError, nearest
from touchline.tracking.journal import FILE_NAME, JournalReader
from touchline.tracking.sync import run_ids

LAST = "last"


def existing_home(settings: Settings) -> None:
    """Raise UsageError when the home is not there, so that a mistyped one is not created."""
    if not settings.home.is_dir():
        what = "is no directory" if settings.home.exists() else "is not there"
        raise UsageError(
            f"The home {settings.home} {what}. Name the one that holds the runs with --home DIR or TOUCHLINE_HOME; "
            "the first training creates it."
        )


def find_run(settings: Settings, word: str) -> str:
    """Id of the run that ``word`` means: an id, the beginning of exactly one, or "last".

    Raises UsageError when there is none, with the nearest id, or more than one.
    """
    existing_home(settings)
    known = run_ids(settings)
    if word in known:
        return word
    if not known:
        raise UsageError(f"There is no run {word!r}: the home {settings.home} has no runs yet.")
    if word == LAST:
        return last_of(settings, known)
    matches = [run_id for run_id in known if word and run_id.startswith(word)]
    if len(matches) == 1:
        return matches[0]
    if matches:
        some = ", ".join(matches[:5]) + (f" and {len(matches) - 5} more" if len(matches) > 5 else "")
        raise UsageError(f"The run {word!r} is not unique: it may be {some}. Write more of it.")
    guess = nearest(word, known)
    hint = f" Did you mean {guess!r}?" if guess else ""
    raise UsageError(f"There is no run {word!r} in {settings.home}.{hint} List them with: touchline runs")


def last_of(settings: Settings, run_ids: Sequence[str]) -> str:
    """The one of these runs that was started or resumed last."""
    return max(run_ids, key=lambda run_id: _last_start(settings, run_id))


def _last_start(settings: Settings, run_id: str) -> float:
    """When the run was started or resumed last, in seconds since the epoch; 0 when it cannot be read."""
    try:
        with JournalReader(settings.run_directory(run_id) / FILE_NAME) as journal:
            start = journal.newest("start")
    except TouchlineError:
        return 0.0
    return start.time if start else 0.0
