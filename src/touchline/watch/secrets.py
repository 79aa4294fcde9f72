"""Environment variables fit to be kept: what looks like a secret is hidden."""

from __future__ import annotations

import re
from collections.abc import Mapping

HIDDEN = "(hidden)"
_SECRET_WORDS = (
    r"keys?|apikey|tokens?|secrets?|pass|passwd|password|passphrase|pwd|pat|credentials?|creds?|auth|authorization|"
    r"cookies?|private|signature|sig|bearer|jwt|dsn|netrc|sas|license"
)
_SECRET_NAME = re.compile(rf"(?:^|[_.\-])(?:{_SECRET_WORDS})(?:$|[_.\-\d])", re.IGNORECASE)
_SECRET_INSIDE = re.compile(r"password|passwd|secret|token|apikey|credential|privatekey|accesskey", re.IGNORECASE)
_NO_SECRETS = frozenset({"PWD", "OLDPWD", "SSH_AUTH_SOCK", "XAUTHORITY", "TOKENIZERS_PARALLELISM"})

_URL_LOGIN = re.compile(r"(?<=://)[^/\s@]+(?=@)")
_ASSIGNMENT = re.compile(
    rf"(?P<name>[\w.\-]*?(?:{_SECRET_INSIDE.pattern}|\b(?:{_SECRET_WORDS})))(?P<is>=|:\s?)(?P<value>[^\s&;,]+)",
    re.IGNORECASE,
)
_FORMS = re.compile(
    r"""
    \b(?:gh[pousr]_|github_pat_|glpat-|hf_|sk-|pk-|rk_live_|sk_live_|xox[abposr]-|pypi-|npm_|dop_v1_|wandb_v1_)[\w\-]{12,}
    | \b(?:AKIA|ASIA)[A-Z0-9]{16}\b                   # Amazon
    | \bAIza[\w\-]{30,}                               # Google
    | \beyJ[\w\-]+\.[\w\-]+\.[\w\-]*                  # JSON web tokens
    | \b[0-9a-f]{40}\b                                # W&B's older keys
    | -----BEGIN[ A-Z]*PRIVATE\ KEY-----[\s\S]*       # PEM
    """,
    re.VERBOSE,
)


def without_secrets(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables in order of their names, with ``(hidden)`` in the place of what looks like a secret.

    A value is hidden whole where the variable's name says key, token, secret, password and the like; in any other
    value a URL's login, an assignment to such a name, and text of the form of a known kind of key are. A commit's
    SHA-1 has the form of an older W&B key and is hidden too: better once too often.
    """
    return {
        name: HIDDEN if is_secret(name) and environment[name] else _masked(environment[name])
        for name in sorted(environment)
    }


def is_secret(name: str) -> bool:
    """Whether a variable of that name is likely to hold a secret."""
    return name not in _NO_SECRETS and bool(_SECRET_NAME.search(name) or _SECRET_INSIDE.search(name))


def _masked(value: str) -> str:
    value = _URL_LOGIN.sub(HIDDEN, value)
    value = _ASSIGNMENT.sub(lambda found: f"{found['name']}{found['is']}{HIDDEN}", value)
    return _FORMS.sub(HIDDEN, value)
