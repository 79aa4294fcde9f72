"""What a telling name or a known form gives away as a secret is masked, and credentials leave URIs."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Mapping

MASK = "***"
_WORDS = (
    r"keys?|apikey|tokens?|secrets?|pass|passwd|password|passphrase|pwd|pat|credentials?|creds?|auth|authorization|"
    r"cookies?|private|signature|sig|bearer|jwt|dsn|netrc|sas|license"
)
_TELLING_NAME = re.compile(rf"(?:^|[_.\-])(?:{_WORDS})(?:$|[_.\-\d])", re.IGNORECASE)
_TELLING_PART = re.compile(
    r"passw(?:or)?d|secret|token(?!iz)|credential|(?:api|access|private)key|(?<!mon)(?<!don)(?<!tur)(?<!hot)key$",
    re.IGNORECASE,
)
_NUMBER = re.compile(r"[\d.]{1,5}|none|true|false", re.IGNORECASE)
"""A value that is no secret whatever its name: ``token: 5``."""
_SHORTEST_KEY = 16
_NO_SECRETS = frozenset({"PWD", "OLDPWD", "SSH_AUTH_SOCK", "XAUTHORITY"})

_LOGIN = re.compile(r"(?<=://)[^/\s@]+@")
_LOGIN_IN_TEXT = re.compile(r"(?<=://)[^/\s\"'<>]+@")
"""The same in prose and in JSON; a password may itself hold an ``@`` that nobody has encoded."""
_ASSIGNMENT = re.compile(
    rf"(?P<name>[\w.\-]*?(?:passw(?:or)?d|secret|token|credential|(?:api|access|private)key|\b(?:{_WORDS})))"
    r"(?P<is>=|:\s?)(?P<value>[^\s&;,]+)",
    re.IGNORECASE,
)
_FORMS = re.compile(
    r"""
    \b(?:gh[pousr]_|github_pat_|glpat-|hf_|sk-|pk-|rk_live_|sk_live_|xox[abposr]-|pypi-|npm_|dop_v1_|wandb_v1_)[\w\-]{12,}
    | \bdap[is][0-9a-f]{32}\b                          # Databricks
    | \b(?:AKIA|ASIA)[A-Z0-9]{16}\b                   # Amazon
    | \bAIza[\w\-]{30,}                               # Google
    | \beyJ[\w\-]+\.[\w\-]+\.[\w\-]*                  # JSON web tokens
    | -----BEGIN[ A-Z]*PRIVATE\ KEY-----(?:[\s\S]*?-----END[ A-Z]*PRIVATE\ KEY-----|[\s\S]*)  # PEM
    """,
    re.VERBOSE,
)
_OLD_WANDB_KEY = re.compile(r"\b[0-9a-f]{40}\b")
_HEADER = re.compile(r"\b(?P<scheme>bearer|basic)\s+(?=\S*[\d+/=])[\w+/=.~\-]{16,}", re.IGNORECASE)
_SETTING = re.compile(
    r"(?:^|_)(?:passwords?|passwds?|passphrases?|pwds?|(?:db|ftp|mysql|smtp|user)_?pass|secrets?|credentials?|authorization|apikeys?|"
    r"(?:api|access|account|auth|encryption|hmac|license|master|private|secret|shared|signing|ssh|storage|wandb)_keys?|"
    r"(?:access|api|auth|bearer|refresh|session)_?tokens?|token|connection_string)$"
)
_LANGUAGE = re.compile(
    r"(?:^|_)(?:pad|eos|bos|unk|sep|cls|mask|stop|start|begin|end|special|image|audio|video|first|last|next|new|"
    r"prefix|suffix|separator|control|word|per|by)_token$"
)
"""What language models call tokens; these are no secrets."""
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_WORDS_OF_SETTINGS = ("pass", "pwd", "secret", "token", "key", "credential", "authorization", "connection_string")
_GIVEN = re.compile(r"(?P<rest>\w{0,12})[\"']?\]?\s{0,2}[=:]\s?[\"']?(?P<value>[^\s&;,\"'<>]+)")
"""What follows such a word where it is given a value."""
_LONGEST_NAME = 64
_HINTS_OF_FORMS = (
    "ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_", "glpat-", "hf_", "sk-", "pk-", "k_live_", "xox", "pypi-",
    "npm_", "dop_v1_", "wandb_v1_", "dapi", "AKIA", "ASIA", "AIza", "eyJ", "PRIVATE KEY-----",
)  # fmt: skip
"""Most texts hold none of them, which is found out much sooner than that no expression matches."""
_LITERAL = re.compile(
    r"""((?:api_?key|access_?key|secret|token|passwd|password|credential)\w*["']?\]?\s*(?:[=:]|,)\s*[rbf]?)"""
    r"""(["'])(?!\s*\2)[^"'\n]+\2(?!\s*:)""",
    re.IGNORECASE,
)
"""A literal given to a name that tells of a secret; ``key`` alone is left, since jax.random and dicts have keys.

What a colon follows is the next name of a dict.
"""
_IN_LITERAL = re.compile(r"""(["'][^"'\n]*?\b(?:passw(?:or)?d|pwd)=)[^\s"'&;{]+""", re.IGNORECASE)
"""A password in a connection's text, such as ``"host=db password=…"``."""
_SHELL = re.compile(
    r"^(?=\s*[+-]?\s*[%!])(.*?\w*(?:key|token|passw|secret)\w*[=\s]\s*)([^\s\"'-][^\s\"']*)",
    re.IGNORECASE | re.MULTILINE,
)
"""The same in a notebook's ``%env NAME=value`` or ``!export NAME=value``."""


def is_secret(name: str) -> bool:
    """Whether a variable or an option of that name is likely to hold a secret."""
    return name not in _NO_SECRETS and bool(_TELLING_NAME.search(name) or _TELLING_PART.search(name))


@functools.lru_cache(4096)
def is_secret_setting(name: str) -> bool:
    """Whether a configuration's value of that name, such as ``wandb.api_key`` or ``accessToken``, is a secret.

    Stricter than ``is_secret``, because a configuration also has keys, tokens and licenses that are none:
    ``tokenizer``, ``eos_token``, ``sort_key``.
    """
    for part in name.split("."):
        plain = re.sub(r"[\s\-]+", "_", _CAMEL.sub("_", part)).lower()
        if _SETTING.search(plain) and not _LANGUAGE.search(plain):
            return True
    return False


def mask_text(text: str) -> str:
    """Mask what prose, output and configuration give away: logins of URIs, ``password=…``, keys of a known form."""
    if "://" in text and "@" in text:
        text = _LOGIN_IN_TEXT.sub(f"{MASK}@", text)
    if any(hint in text for hint in _HINTS_OF_FORMS):
        text = _FORMS.sub(_mask_form, text)
    lowered = text.lower()
    if "bearer" in lowered or "basic" in lowered:
        text = _HEADER.sub(lambda found: f"{found['scheme']} {MASK}", text)
        lowered = text.lower()
    if len(lowered) != len(text):  # some capitals have no single small letter
        lowered = "".join(letter.lower()[0] for letter in text)
    return _mask_settings(text, lowered)


def without_credentials(text: str) -> str:
    """Strip ``user:password@`` from every URI in a text, which leaves URIs that work."""
    return _LOGIN.sub("", text)


def mask_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables in order of their names, with ``***`` in the place of what looks like a secret.

    A value is masked whole where ``is_secret`` says so of the variable's name; in any other value a URI's login, an
    assignment to such a name, and text of the form of a known kind of key are. A commit's SHA-1 has the form of an
    older W&B key and is masked too: better once too often.
    """
    return {
        name: MASK if is_secret(name) and environment[name] else _mask_value(environment[name])
        for name in sorted(environment)
    }


def mask_arguments(arguments: Iterable[str]) -> list[str]:
    """Mask the values of arguments of a name that ``is_secret``, and keys of a known form; credentials leave URIs.

    Known forms: ``--api-key=…``, ``--api-key …``, ``-api_key …`` and ``API_KEY=…``.
    """
    masked: list[str] = []
    telling = False
    for argument in map(str, arguments):
        name, equals, value = argument.partition("=")
        is_option = argument.startswith("-") and len(argument) > 1
        if telling and not is_option:
            masked.append(MASK)
        elif equals and value and is_secret(name):
            masked.append(f"{name}={MASK}")
        else:
            masked.append(_FORMS.sub(MASK, without_credentials(argument)))
        telling = is_option and not equals and is_secret(argument)
    return masked


def mask_source(text: str) -> str:
    """Mask what source code gives away: literals of names such as api_key, token, password or secret, known forms."""
    text = _LITERAL.sub(rf"\1\2{MASK}\2", without_credentials(text))
    text = _SHELL.sub(rf"\1{MASK}", _IN_LITERAL.sub(rf"\1{MASK}", text))
    return _HEADER.sub(lambda found: f"{found['scheme']} {MASK}", _FORMS.sub(_mask_form, text))


def _mask_value(value: str) -> str:
    value = _LOGIN.sub(f"{MASK}@", value)
    value = _ASSIGNMENT.sub(lambda found: f"{found['name']}{found['is']}{MASK}", value)
    return _OLD_WANDB_KEY.sub(MASK, _FORMS.sub(MASK, value))


def _mask_form(found: re.Match[str]) -> str:
    """A word with a key's beginning, such as ``hf_tiny_model``, is made of short parts; a key is not."""
    words = re.split(r"[_\-]+", found[0])
    return MASK if any(len(word) >= _SHORTEST_KEY for word in words) or not found[0][0].islower() else found[0]


def _mask_settings(text: str, lowered: str) -> str:
    """Mask the values that a text gives to names of secrets; ``lowered`` is the text in small letters."""
    spans = []
    for word in _WORDS_OF_SETTINGS:
        at = lowered.find(word)
        while at >= 0:
            end = at + len(word)
            if (found := _GIVEN.match(text, end)) and _gives_secret(text, at, found):
                spans.append(found.span("value"))
            at = lowered.find(word, end)
    parts, upto = [], 0
    for start, end in sorted(spans):
        if start >= upto:  # a value may itself look like an assignment
            parts += [text[upto:start], MASK]
            upto = end
    return "".join([*parts, text[upto:]])


def _gives_secret(text: str, at: int, found: re.Match[str]) -> bool:
    """Whether the name around the word at ``at`` is that of a secret, and its value may be one."""
    start = at
    while start > max(at - _LONGEST_NAME, 0) and (text[start - 1].isalnum() or text[start - 1] in "_-"):
        start -= 1
    return is_secret_setting(text[start : found.end("rest")]) and not _NUMBER.fullmatch(found["value"])
