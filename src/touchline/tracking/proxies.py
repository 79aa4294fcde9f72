"""Which proxy the W&B SDK takes for a URL: its Go part reads the environment otherwise than Python does."""

from __future__ import annotations

import ipaddress
import os
import urllib.parse

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def proxy_of(url: str) -> str | None:
    """The proxy that the W&B SDK takes for ``url`` from HTTPS_PROXY, HTTP_PROXY and NO_PROXY; None goes straight.

    As its Go part reads them: this machine itself is never proxied, and NO_PROXY may hold ``*``, host names (their
    subdomains too), ``host:port``, addresses and networks.
    """
    parts = urllib.parse.urlsplit(url)
    host, port = (parts.hostname or "").lower(), parts.port or {"https": 443, "http": 80}.get(parts.scheme)
    proxy = _variable(f"{parts.scheme}_proxy")
    address = _address(host)
    if not proxy or host == "localhost" or (address is not None and address.is_loopback):
        return None
    for entry in _variable("no_proxy").lower().split(","):
        if (entry := entry.strip()) and (entry == "*" or _matches(entry, host, port, address)):
            return None
    return proxy if "://" in proxy else f"http://{proxy}"


def _matches(entry: str, host: str, port: int | None, address: Address | None) -> bool:
    name, colon, number = entry.rpartition(":")
    if colon and number.isdigit() and "]" not in number and name.count(":") == 0:
        if int(number) != port:
            return False
        entry = name
    if address is not None:
        try:
            return address in ipaddress.ip_network(entry, strict=False)
        except ValueError:
            return False
    entry = entry.removeprefix("*")
    return host.endswith(entry) if entry.startswith(".") else host == entry or host.endswith(f".{entry}")


def _variable(name: str) -> str:
    return os.environ.get(name.upper()) or os.environ.get(name) or ""


def _address(host: str) -> Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None
