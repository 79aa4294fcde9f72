"""The door: an HTTP server on loopback that lets in whoever has the token, and only to look.

The address that the command prints carries the token; the answer to it is a cookie, and a way on to the address
without it. Every other request needs that cookie. A request whose Host is another name than loopback's comes from a
page elsewhere that had its name resolved to here, and is refused.
"""

from __future__ import annotations

import hmac
import logging
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from http.cookies import CookieError, SimpleCookie
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

from touchline.errors import TouchlineError

HOST = "127.0.0.1"
NAMES = frozenset((HOST, "localhost", "[::1]"))
"""Hosts that a request may be for; the port may be another one, as through an SSH tunnel."""
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""What a page may load; Plotly writes a style sheet of its own into the page."""
IDLE_SECONDS = 60.0
_HEADERS = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}
logger = logging.getLogger("touchline")


@dataclass(frozen=True)
class Answer:
    """What a request gets."""

    body: bytes
    kind: str = "text/html; charset=utf-8"
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    """Beside those of every answer, or in the place of one of them."""


def sentence(status: int, text: str) -> Answer:
    """A refusal in plain text."""
    return Answer(f"{text}\n".encode(), "text/plain; charset=utf-8", status)


Site = Callable[[str, Mapping[str, str]], Answer]
"""What is at a path, with the query's values; raises TouchlineError where that cannot be read."""


class Door(ThreadingHTTPServer):
    """Serves ``site`` on loopback; ``url`` is the address with the token."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def __init__(self, site: Site, port: int = 0) -> None:
        """Listen at once. Raises OSError when the port is taken."""
        super().__init__((HOST, port), _Handler)
        self.site = site
        self._token, self.visit = secrets.token_urlsafe(32), secrets.token_urlsafe(32)
        """The visit is what the cookie holds: browsers send it to every port of this host, so not the token."""
        self.cookie = f"touchline-{self.server_port}"

    @property
    def url(self) -> str:
        """The address that lets in."""
        return f"http://{HOST}:{self.server_port}/?token={self._token}"

    def opens(self, token: str) -> bool:
        """Whether this is the token."""
        return hmac.compare_digest(token.encode(), self._token.encode())

    def knows(self, cookies: str) -> bool:
        """Whether a request with these cookies has been let in before."""
        try:
            found = SimpleCookie(cookies).get(self.cookie)
        except CookieError:
            return False
        return found is not None and hmac.compare_digest(found.value.encode(), self.visit.encode())

    def handle_error(self, request: object, client_address: object) -> None:
        """A browser that closes a page cuts its requests off; that is nothing to tell."""
        logger.debug("a request to the page was cut off", exc_info=True)


class _Handler(BaseHTTPRequestHandler):
    server: Door
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "Touchline", ""
    timeout = IDLE_SECONDS

    def do_GET(self) -> None:
        self._send(self._answer())

    do_HEAD = do_GET

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Refuse what is no proper request in a sentence; a method that is not served comes here too."""
        # The rest of such a request is left unread, so the connection cannot serve another.
        self.close_connection = True
        headers = {"Connection": "close"}
        if code == HTTPStatus.NOT_IMPLEMENTED:
            refusal = sentence(405, f"{self.command} is refused: this page is for looking, not for changing.")
            headers["Allow"] = "GET, HEAD"
        else:
            refusal = sentence(code, f"Refused: {message or HTTPStatus(code).phrase}.")
        self._send(replace(refusal, headers=headers))

    def _answer(self) -> Answer:
        host = self.headers.get("Host", "").lower()
        if host.rpartition(":")[0] not in NAMES and host not in NAMES:
            return sentence(421, "Refused: this page answers under 127.0.0.1 and localhost only.")
        parts = urlsplit(self.path)
        query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        if "token" in query:
            return self._let_in(query["token"])
        if not self.server.knows(self.headers.get("Cookie", "")):
            return sentence(
                403, "This page needs its token. Open the address that touchline ui printed in its terminal."
            )
        path = unquote(parts.path)
        try:
            return self.server.site(path, query)
        except TouchlineError as error:
            return sentence(404, str(error))
        except Exception:
            logger.exception("The page %s could not be made.", path)
            return sentence(500, "This page could not be made; the terminal of touchline ui says why.")

    def _let_in(self, token: str) -> Answer:
        if not self.server.opens(token):
            return sentence(
                403, "This token is not the one of this touchline ui. Open the address that its terminal shows now."
            )
        cookie = f"{self.server.cookie}={self.server.visit}; HttpOnly; SameSite=Strict; Path=/"
        return Answer(b"", status=303, headers={"Location": "/", "Set-Cookie": cookie})

    def _send(self, answer: Answer) -> None:
        self.send_response(answer.status)
        headers = {**_HEADERS, "Content-Security-Policy": POLICY, "Content-Type": answer.kind, **answer.headers}
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body)

    def log_message(self, format: str, *arguments: object) -> None:
        """Nothing: an address may carry the token."""
