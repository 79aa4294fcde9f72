"""HTTP to the metadata service of a cloud's machine."""

from __future__ import annotations

import http.client
import urllib.parse
from collections.abc import Mapping

from touchline.errors import UsageError

TIMEOUT_SECONDS = 2.0
LARGEST_ANSWER = 1 << 20


class NoAnswer(Exception):
    """A metadata service could not be asked, or said what its documentation does not know."""


class MetadataServer:
    """HTTP to a link-local address: never through a proxy, following no redirect."""

    def __init__(self, url: str) -> None:
        """Raises UsageError when ``url`` is not ``http://host[:port]``."""
        self.url = url.rstrip("/")
        try:
            parts = urllib.parse.urlsplit(self.url)
            host, port = parts.hostname, parts.port
            if parts.scheme != "http" or not host:
                raise ValueError(url)
        except ValueError as error:
            remedy = "Give it as http://host:port."
            raise UsageError(f"The metadata service has the address {url!r}. {remedy}") from error
        self._host, self._port, self._prefix = host, port, parts.path

    def request(
        self, method: str, path: str, headers: Mapping[str, str], timeout: float = TIMEOUT_SECONDS
    ) -> tuple[int, str]:
        """Status and text of the answer; ``timeout`` in seconds is for each wait. Raises NoAnswer."""
        connection = http.client.HTTPConnection(self._host, self._port, timeout=timeout)
        try:
            connection.request(method, self._prefix + path, headers=dict(headers))
            answer = connection.getresponse()
            return answer.status, answer.read(LARGEST_ANSWER).decode("utf-8", "replace")
        except (OSError, http.client.HTTPException) as error:
            raise NoAnswer(str(error) or type(error).__name__) from error
        finally:
            connection.close()

    def get(self, path: str, headers: Mapping[str, str], timeout: float = TIMEOUT_SECONDS) -> str | None:
        """Text of the answer, or None where there is no such item (404). Raises NoAnswer."""
        return text_of(*self.request("GET", path, headers, timeout), path)


def text_of(status: int, text: str, path: str) -> str | None:
    """The text of an answer, or None for 404. Raises NoAnswer for any other status than 200."""
    if status not in (200, 404):
        raise NoAnswer(f"HTTP {status} for {path}")
    return text if status == 200 else None
