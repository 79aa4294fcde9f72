"""Errors that say what happened, show the value that caused it, and name the remedy."""

from __future__ import annotations

import difflib
import math
import numbers
from collections.abc import Iterable


class TouchlineError(Exception):
    """Base of every error a user may meet; ``str(error)`` is one or two complete sentences."""


class UsageError(TouchlineError):
    """The caller asked for something that does not exist or is malformed; the command line exits with 2."""


def nearest(name: str, choices: Iterable[str]) -> str | None:
    """Return the choice most like ``name`` (case-insensitively), or None when nothing is close."""
    by_folded = {choice.casefold(): choice for choice in choices}
    matches = difflib.get_close_matches(name.casefold(), by_folded, n=1, cutoff=0.5)
    return by_folded[matches[0]] if matches else None


def unknown(kind: str, name: str, choices: Iterable[str]) -> UsageError:
    """Build the error for an unknown recipe, job, option or key, with the nearest name and all names."""
    names = sorted(choices)
    guess = nearest(name, names)
    hint = f" Did you mean {guess!r}?" if guess else ""
    return UsageError(f"There is no {kind} {name!r}.{hint} Known: {', '.join(names)}.")


EXTRAS = {
    "mlflow": "mlflow",
    "scipy": "mlflow",
    "wandb": "wandb",
    "tensorboard": "tensorboard",
    "mujoco": "soccer",
    "sai_mujoco": "soccer",
    "gymnasium": "soccer",
    "imageio": "soccer",
    "imageio_ffmpeg": "soccer",
    "PIL": "soccer",
    "jax": "learning",
    "flax": "learning",
    "optax": "learning",
    "flashbax": "learning",
    "torch": "learning",
    "onnx": "learning",
    "onnxruntime": "learning",
    "optuna": "tuning",
    "plotly": "report",
    "jinja2": "report",
    "markupsafe": "report",
    "psycopg2": "tuning",
    "fsspec": "checkpoint",
    "stable_baselines3": "sb3",
    "sbx": "sbx",
    "brax": "brax",
    "lightning": "lightning",
    "accelerate": "accelerate",
    "databricks": "databricks",
    "packaging": "databricks",
    "yaml": "databricks",
}
"""Module → the extra of ours that brings it."""


def missing_package(error: ModuleNotFoundError) -> str | None:
    """Return a sentence with the remedy for a module of one of our extras; None for any other."""
    module = (error.name or "").partition(".")[0]
    if module not in EXTRAS:
        return None
    extra = EXTRAS[module]
    return f"The package {module} is not installed here; install it with: pip install 'touchline[{extra}]'"


def is_number(value: object) -> bool:
    """Whether a value can be compared with numbers, as those of NumPy can; text and None cannot."""
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


def at_least(minimum: float, owner: object, *names: str) -> None:
    """Refuse fields of ``owner`` below ``minimum``; for ``__post_init__`` of configurations.

    Raises:
        UsageError: names the option, its value and what is allowed.
    """
    between(minimum, math.inf, owner, *names)


def above(minimum: float, owner: object, *names: str) -> None:
    """Refuse fields of ``owner`` that are not above ``minimum`` and finite, as ``at_least`` does."""
    for name in names:
        value = getattr(owner, name)
        if not is_number(value) or not minimum < value < math.inf:
            raise _refused(owner, name, f"a number above {minimum:g}")


def below_one(owner: object, *names: str) -> None:
    """Refuse fields of ``owner`` outside 0 to 1, and 1 itself: discounts that have a horizon."""
    for name in names:
        value = getattr(owner, name)
        if not is_number(value) or not 0.0 <= value < 1.0:
            raise _refused(owner, name, "at least 0 and below 1")


def whole(minimum: int, owner: object, *names: str) -> None:
    """Refuse fields of ``owner`` that are no whole numbers of at least ``minimum``, nor tuples of such."""
    for name in names:
        value = getattr(owner, name)
        for part in value if isinstance(value, tuple) else (value,):
            if not isinstance(part, numbers.Integral) or isinstance(part, bool) or part < minimum:
                raise _refused(owner, name, f"whole numbers of at least {minimum:,}")


def between(minimum: float, maximum: float, owner: object, *names: str) -> None:
    """Refuse fields of ``owner`` outside ``minimum`` to ``maximum``, and what is no number.

    Raises:
        UsageError: names the option, its value and what is allowed.
    """
    allowed = f"at least {minimum:g}" if maximum == math.inf else f"{minimum:g} to {maximum:g}"
    for name in names:
        value = getattr(owner, name)
        if not is_number(value) or not minimum <= value <= maximum:
            raise _refused(owner, name, allowed)


def _refused(owner: object, name: str, allowed: str) -> UsageError:
    value = getattr(owner, name)
    shown = value if is_number(value) else repr(value)
    kind = type(owner).__name__
    # The options of a command are known to who types them by another name than a configuration's fields.
    field = f"--{name.replace('_', '-')}" if kind.endswith("Options") else f"{kind}.{name}"
    return UsageError(f"{field} is {shown}. Give {allowed}.")
