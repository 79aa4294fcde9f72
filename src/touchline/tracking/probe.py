"""Does a far side answer? One real, bounded request to the endpoint that is configured, never to a default one.

Used by couriers only; a training process never waits for a network.
"""

from __future__ import annotations

import base64
import json
import netrc
import os
import queue
import socket
import ssl
import threading
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from touchline.config import Settings
from touchline.tracking.launch import WANDB_DEFAULT_URL, without_credentials
from touchline.tracking.proxies import proxy_of

TIMEOUT_SECONDS = 3.0
T = TypeVar("T")
_VIEWER = "query Viewer { viewer { id entity username } }"


@dataclass(frozen=True)
class Reachable:
    """The result of a probe: usable, or a sentence why not."""

    usable: bool
    reason: str = ""
    permanent: bool = False
    """True when trying again changes nothing until a person acts."""


def wandb_base_url(settings: Settings) -> str:
    """The W&B server the settings point at, without a trailing slash."""
    return (settings.wandb_base_url or WANDB_DEFAULT_URL).rstrip("/")


def wandb_key(base_url: str) -> str | None:
    """The API key from WANDB_API_KEY, or from the netrc entry of the server's host; never logged or stored."""
    if key := os.environ.get("WANDB_API_KEY"):
        return key
    host = urllib.parse.urlsplit(base_url).hostname or ""
    try:
        entry = netrc.netrc(os.environ.get("NETRC")).authenticators(host)
    except (OSError, netrc.NetrcParseError):
        return None
    return entry[2] if entry else None


def probe_wandb(settings: Settings, timeout: float = TIMEOUT_SECONDS) -> Reachable:
    """Tell whether runs can go to W&B now: not switched off, a key exists, the server takes it."""
    base_url = wandb_base_url(settings)
    if settings.wandb_mode in ("offline", "disabled"):
        return Reachable(False, f"W&B is switched off by WANDB_MODE={settings.wandb_mode}.", permanent=True)
    key = wandb_key(base_url)
    if key is None:
        return Reachable(
            False, f"There is no W&B key for {base_url}; set WANDB_API_KEY or run: wandb login", permanent=True
        )
    proxy = proxy_of(base_url)
    through = f" through the proxy {without_credentials(proxy)}" if proxy else ""
    try:
        answer = graphql(base_url, key, _VIEWER, {}, timeout)
    except urllib.error.HTTPError as error:
        return _refused(base_url, error.code, through)
    except TimeoutError:
        what = "the proxy or the port behind it" if proxy else "the port"
        return Reachable(
            False, f"{base_url} does not answer within {timeout:g} s{through}; check whether {what} is blocked."
        )
    except json.JSONDecodeError:
        return Reachable(False, f"{base_url} answers{through}, but not as W&B does; check WANDB_BASE_URL.")
    except (OSError, ValueError) as error:
        return _unreachable(base_url, error, proxy)
    if not isinstance(answer, dict) or not ({"data", "errors"} & set(answer)):
        return Reachable(False, f"{base_url} answers{through}, but not as W&B does; check WANDB_BASE_URL.")
    if not (answer.get("data") or {}).get("viewer"):
        return Reachable(False, f"{base_url} does not know the W&B key; check WANDB_API_KEY.", permanent=True)
    return Reachable(True)


def _refused(base_url: str, status: int, through: str) -> Reachable:
    if status == 407:
        return Reachable(False, f"W&B cannot be reached{through}: it wants a user name and password (HTTP 407).")
    if status in (401, 403):
        return Reachable(
            False, f"{base_url} refuses the W&B key (HTTP {status}{through}); check WANDB_API_KEY.", permanent=True
        )
    if status >= 500:
        return Reachable(False, f"{base_url} answers HTTP {status}{through}; the server has trouble of its own.")
    remedy = "check WANDB_BASE_URL"
    return Reachable(False, f"{base_url} answers HTTP {status}{through} instead of W&B's interface; {remedy}.")


def _unreachable(base_url: str, error: Exception, proxy: str | None) -> Reachable:
    cause = _cause(error)
    if proxy:
        shown = without_credentials(proxy)
        return Reachable(
            False,
            f"{base_url} cannot be reached through the proxy {shown} ({cause}); check HTTPS_PROXY and NO_PROXY.",
        )
    reason = getattr(error, "reason", error)
    if isinstance(reason, ssl.SSLError):
        return Reachable(False, f"{base_url} does not speak TLS as it should ({cause}); check its certificate.")
    if isinstance(reason, socket.gaierror):
        return Reachable(
            False, f"The host of {base_url} is not known ({cause}); check the network and WANDB_BASE_URL."
        )
    return Reachable(False, f"{base_url} cannot be reached ({cause}); check the network and WANDB_BASE_URL.")


def probe_http(
    url: str, timeout: float = TIMEOUT_SECONDS, *, tls: ssl.SSLContext | None = None, trust: str = "its certificate"
) -> Reachable:
    """Tell whether an HTTP server answers at ``url`` with anything but a server error.

    ``tls`` says whom to trust, and ``trust`` what to check where that fails.
    """
    shown = without_credentials(url)

    def request() -> int:
        with urllib.request.urlopen(_bare(url), timeout=timeout, context=tls) as response:
            return int(response.status)

    try:
        bounded(request, timeout)
    except urllib.error.HTTPError as error:
        if error.code >= 500:
            return Reachable(False, f"{shown} answers HTTP {error.code}; look at the server's log.")
    except TimeoutError:
        return Reachable(False, f"{shown} does not answer within {timeout:g} s; check whether the port is blocked.")
    except (OSError, ValueError) as error:
        if isinstance(getattr(error, "reason", error), ssl.SSLError):
            return Reachable(False, f"{shown} is not trusted ({_cause(error)}); check {trust}.")
        return Reachable(False, f"{shown} cannot be reached ({_cause(error)}); check whether the server is running.")
    return Reachable(True)


def graphql(base_url: str, key: str, query: str, variables: dict[str, Any], timeout: float) -> dict[str, Any]:
    """Ask W&B's GraphQL interface. Raises HTTPError, TimeoutError, OSError, or ValueError on other answers."""
    token = base64.b64encode(f"api:{key}".encode()).decode()
    request = urllib.request.Request(
        f"{base_url}/graphql",
        data=json.dumps({"query": query, "variables": variables}).encode(),
        headers={"Content-Type": "application/json", "Authorization": f"Basic {token}"},
    )

    proxy = proxy_of(base_url)
    # Its own choice of a proxy differs from the SDK's.
    proxies = {"http": proxy, "https": proxy} if proxy else {}
    opener = urllib.request.build_opener(urllib.request.ProxyHandler(proxies))

    def ask() -> dict[str, Any]:
        with opener.open(request, timeout=timeout) as response:
            answer: dict[str, Any] = json.load(response)
            return answer

    return bounded(ask, timeout)


def bounded(call: Callable[[], T], timeout: float) -> T:
    """Run ``call`` for at most ``timeout`` seconds in all; a socket's own time-out counts each packet anew."""
    results: queue.SimpleQueue[tuple[T | None, BaseException | None]] = queue.SimpleQueue()

    def work() -> None:
        try:
            results.put((call(), None))
        except BaseException as error:
            results.put((None, error))

    threading.Thread(target=work, daemon=True).start()
    try:
        value, error = results.get(timeout=timeout)
    except queue.Empty:
        raise TimeoutError from None
    if error is not None:
        if isinstance(error, urllib.error.URLError) and isinstance(error.reason, TimeoutError):
            raise TimeoutError from error
        raise error
    return value  # type: ignore[return-value]


def _bare(url: str) -> urllib.request.Request:
    parts = urllib.parse.urlsplit(url)
    request = urllib.request.Request(without_credentials(url))
    if parts.username:
        pair = f"{urllib.parse.unquote(parts.username)}:{urllib.parse.unquote(parts.password or '')}"
        request.add_header("Authorization", "Basic " + base64.b64encode(pair.encode()).decode())
    return request


def _cause(error: Exception) -> str:
    reason = getattr(error, "reason", None) or error
    return getattr(reason, "strerror", None) or str(reason)
