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
_SIGNED = re.compile(
    r"(?P<name>(?:[?&;]|\\u0026)(?:sig|signature|x-(?:amz|goog)-(?:signature|credential|security-token))=)[^\s&\"'<>\\]+",
    re.IGNORECASE,
)
"""What lets whoever has a signed address in: of Azure, Amazon and Google, also as it stands in JSON."""
_HINTS_OF_SIGNED = ("sig=", "signature=", "x-amz-", "x-goog-")
_FORMS = re.compile(
    r"""
    \b(?P<worded>(?:gh[pousr]_|github_pat_|glpat-|hf_|sk-|pk-|[rs]k_(?:live|test)_|xox[abposr]-|pypi-|npm_|dop_v1_|
        wandb_v1_)[\w\-]{12,})
    | \bdap[is][0-9a-f]{32}\b                          # Databricks
    | \b(?:AKIA|ASIA)[A-Z0-9]{16}\b                   # Amazon
    | \bAIza[\w\-]{30,} | \bya29\.[\w\-]{16,}          # Google
    | (?<=hooks\.slack\.com/services/)[\w/]+          # Slack: who knows the address may write
    | \beyJ[\w\-]+\.[\w\-]+\.[\w\-]*                  # JSON web tokens
    | -----BEGIN[ A-Z]*PRIVATE\ KEY-----(?:[\s\S]*?-----END[ A-Z]*PRIVATE\ KEY-----|[\s\S]*)  # PEM
    """,
    re.VERBOSE,
)
_OLD_WANDB_KEY = re.compile(r"\b[0-9a-f]{40}\b")
_HEADER = re.compile(r"\b(?P<scheme>bearer|basic)\s+(?=\S*[\d+/=])[\w+/=.~\-]{16,}", re.IGNORECASE)
KINDS_OF_KEYS = (
    "api|access|account|auth|encryption|hmac|license|master|private|secret|shared|signing|ssh|storage|wandb"
)
"""What stands before the ``key`` of a secret; ``sort_key`` is none."""
_SETTING = re.compile(
    r"(?:^|_)(?:pass_?words?|passwds?|pass_?phrases?|pwds?|(?:db|ftp|mysql|smtp|user)_?pass|secrets?|credentials?|"
    rf"authorization|apikeys?|(?:{KINDS_OF_KEYS})_keys?|"
    r"(?:access|api|auth|bearer|refresh|session)_?tokens?|token|connection_string|cookies?)$"
)
_LANGUAGE = re.compile(
    r"(?:^|_)(?:pad|eos|bos|unk|sep|cls|mask|stop|start|begin|end|special|image|audio|video|first|last|next|new|"
    r"prefix|suffix|separator|control|word|per|by)_token$"
)
"""What language models call tokens; these are no secrets."""
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_WORDS_OF_SETTINGS = (
    "pass",
    "pwd",
    "secret",
    "token",
    "key",
    "credential",
    "authorization",
    "connection_string",
    "cookie",
)
_GIVEN = re.compile(r"(?P<rest>\w{0,12})[\"']?\]?\s{0,2}[=:]\s?[\"']?(?P<value>[^\s&;,\"'<>]+)")
"""What follows such a word where it is given a value."""
_LONGEST_NAME = 64
_QUOTES = "\"'"
_HINTS_OF_FORMS = (
    "ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_", "glpat-", "hf_", "sk-", "pk-", "k_live_", "xox", "pypi-",
    "npm_", "dop_v1_", "wandb_v1_", "dapi", "AKIA", "ASIA", "AIza", "eyJ", "PRIVATE KEY-----", "k_test_", "ya29.",
    "hooks.slack.com/",
)  # fmt: skip
"""Most texts hold none of them, which is found out much sooner than that no expression matches."""
_LITERAL = re.compile(
    r"""(?<![\w\-])(?P<name>[\w\-]{1,64}+)(?P<is>["']?\]?\s*+(?::\s*[\w.]{1,24}(?:\s?\|\s?\w{1,24})?\s?=|[=:,])\s*[rbf]{0,2})"""
    r"""(?P<quote>["']{3}|["'])(?!\s*(?P=quote))(?P<value>(?:(?!(?P=quote))[^\n\\]|\\[^\n])+)(?P=quote)(?!\s*:)""",
    re.IGNORECASE,
)
"""A literal given to a name, also to one with a type; what a colon follows is the next name of a dict."""
_NAME_IN_SOURCE = re.compile(r"api_?key|access_?key|secret|token(?!iz)|passwd|password|credential", re.IGNORECASE)
"""Parts of names that tell of a secret in source, where one masked too often costs a reader less than a setting."""
_QUOTED = re.compile(r"""#[^\n]*|"(?:[^"\\\n]|\\[^\n])*"|'(?:[^'\\\n]|\\[^\n])*'""")
"""A comment, in which a quote may stand alone, or a literal: only in these may what is assigned be told from code."""
_SHELL = re.compile(
    r"^(?=\s*[+-]?\s*[%!])(.*?\w*(?:key|token|passw|_pass(?=[=\s])|pwd|secret|credential|connection_string)\w*[=\s]\s*)"
    r"([^\s\"'-][^\s\"']*)",
    re.IGNORECASE | re.MULTILINE,
)
"""The same in a notebook's ``%env NAME=value`` or ``!export NAME=value``."""


def is_secret(name: str) -> bool:
    """Whether a variable or an option of that name is likely to hold a secret."""
    return name not in _NO_SECRETS and bool(_TELLING_NAME.search(name) or _TELLING_PART.search(name))


@functools.lru_cache(4096)
def is_secret_setting(name: str) -> bool:
    """Whether a configuration's text of that name, such as ``wandb.api_key`` or ``accessToken``, is a secret.

    Stricter than ``is_secret``, because a configuration also has keys, tokens and licenses that are none:
    ``tokenizer``, ``eos_token``, ``sort_key``. So has soccer its passes: ``pass`` is a secret where nothing stands
    around it but what it belongs to, as in ``db.pass``.
    """
    for part in name.split("."):
        plain = re.sub(r"[\s\-]+", "_", _CAMEL.sub("_", part)).lower()
        if _SETTING.search(plain) and not _LANGUAGE.search(plain):
            return True
    return _is_bare_pass(name.rpartition(".")[2])


def mask_text(text: str) -> str:
    """Mask what prose, output and configuration give away: logins of URIs, ``password=…``, keys of a known form."""
    if "://" in text and "@" in text:
        text = _LOGIN_IN_TEXT.sub(f"{MASK}@", text)
    if any(hint in text for hint in _HINTS_OF_FORMS):
        text = _FORMS.sub(_mask_form, text)
    lowered = text.lower()
    if any(hint in lowered for hint in _HINTS_OF_SIGNED):
        text = _mask_signed(text)
        lowered = text.lower()
    if "bearer" in lowered or "basic" in lowered:
        text = _HEADER.sub(lambda found: f"{found['scheme']} {MASK}", text)
        lowered = text.lower()
    return _mask_settings(text, lowered if len(lowered) == len(text) else _lowered(text))


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
            masked.append(_FORMS.sub(MASK, _mask_signed(without_credentials(argument))))
        telling = is_option and not equals and is_secret(argument)
    return masked


def mask_source(text: str) -> str:
    """Mask what source code gives away: literals of names that tell of a secret, what literals say, known forms."""
    text = _LITERAL.sub(_mask_literal, without_credentials(text))
    text = _SHELL.sub(rf"\1{MASK}", _QUOTED.sub(_mask_quoted, text))
    text = _mask_signed(text)
    return _HEADER.sub(lambda found: f"{found['scheme']} {MASK}", _FORMS.sub(_mask_form, text))


def _mask_literal(found: re.Match[str]) -> str:
    name, is_listed = found["name"], "," in found["is"]
    # In a list, what follows a word may be a word like it: ["pass", "dribble"], ["password", "token"].
    if is_listed and (_is_bare_pass(name) or is_secret(found["value"])):
        return found[0]
    is_telling = _NAME_IN_SOURCE.search(name) or is_secret_setting(name)
    return f"{name}{found['is']}{found['quote']}{MASK}{found['quote']}" if is_telling else found[0]


def _mask_quoted(found: re.Match[str]) -> str:
    """Mask what a literal assigns, such as ``"host=db password=…"``; ``{word}`` and ``%s`` are none."""
    literal = found[0]
    return literal if literal.startswith("#") else _mask_settings(literal, _lowered(literal), spared=("{", "%"))


def _mask_signed(text: str) -> str:
    return _SIGNED.sub(rf"\g<name>{MASK}", text)


def _mask_value(value: str) -> str:
    value = _LOGIN.sub(f"{MASK}@", value)
    value = _ASSIGNMENT.sub(lambda found: f"{found['name']}{found['is']}{MASK}", value)
    return _OLD_WANDB_KEY.sub(MASK, _FORMS.sub(MASK, value))


def _mask_form(found: re.Match[str]) -> str:
    """A word with a key's beginning, such as ``hf_tiny_model``, is made of short parts; a key is not."""
    words = re.split(r"[_\-]+", found["worded"] or "")
    return found[0] if found["worded"] and all(len(word) < _SHORTEST_KEY for word in words) else MASK


def _is_bare_pass(name: str) -> bool:
    return name.lower() == "pass"


def _lowered(text: str) -> str:
    """In small letters and as long; some capitals have no single small letter."""
    return "".join(letter.lower()[0] for letter in text)


def _mask_settings(text: str, lowered: str, spared: tuple[str, ...] = ()) -> str:
    """Mask the values that a text gives to names of secrets, except what begins with ``spared``.

    ``lowered`` is the text in small letters.
    """
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
        if start >= upto and not text.startswith(spared, start):  # a value may look like an assignment
            parts += [text[upto:start], MASK]
            upto = end
    return "".join([*parts, text[upto:]])


def _gives_secret(text: str, at: int, found: re.Match[str]) -> bool:
    """Whether the name around the word at ``at`` is that of a secret, and its value may be one."""
    start = at
    while start > max(at - _LONGEST_NAME, 0) and (text[start - 1].isalnum() or text[start - 1] in "_-"):
        start -= 1
    name = text[start : found.end("rest")]
    is_quoted = start > 0 and text[start - 1] in _QUOTES and text[found.start("value") - 1] in _QUOTES
    if _is_bare_pass(name) and not is_quoted:
        return False  # of a table or a verdict, "pass: 0.8333"; in JSON it is a setting's name again
    return is_secret_setting(name) and not _NUMBER.fullmatch(found["value"])
