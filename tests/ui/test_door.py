"""Who is let in, and to what."""

from __future__ import annotations

import http.client
import json
import logging
import socket
from urllib.parse import urlsplit

import pytest

from touchline.ui.door import Door

from .conftest import Visitor


def test_nobody_sees_anything_without_the_token(stranger: Visitor) -> None:
    for path in ("/", "/runs/p-pretrain", "/api/home", "/static/style.css", "/report/p-pretrain", "/nowhere"):
        refused = stranger.ask(path)
        assert refused.status == 403
        assert "Open the address that touchline ui printed" in refused.text


def test_the_token_is_changed_for_a_cookie_and_leaves_the_address(door: Door, stranger: Visitor) -> None:
    parts = urlsplit(door.url)
    answer = stranger.ask(f"/?{parts.query}")
    assert (answer.status, answer.headers["Location"]) == (303, "/")
    cookie = answer.headers["Set-Cookie"]
    assert "HttpOnly" in cookie and "SameSite=Strict" in cookie
    assert parts.query.partition("=")[2] not in cookie
    assert Visitor(door, cookie.partition(";")[0]).ask("/").status == 200


@pytest.mark.parametrize("cookie", ["", "touchline-{port}=", "touchline-{port}=ü", "touchline-1={visit}", "; =;;"])
def test_another_cookie_is_none(door: Door, cookie: str) -> None:
    text = cookie.format(port=door.server_port, visit=door.visit)
    assert Visitor(door, text.encode().decode("latin-1")).ask("/").status == 403


def test_a_wrong_token_is_refused_even_with_the_cookie(guest: Visitor) -> None:
    assert guest.ask("/?token=wrong").status == 403
    assert guest.ask("/?token=%C3%BC").status == 403


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "", "localhost@evil"])
def test_a_page_whose_name_was_turned_to_loopback_is_refused(guest: Visitor, host: str) -> None:
    assert guest.ask("/", Host=host).status == 421


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:9", "LOCALHOST:8080", "[::1]:8080"])
def test_loopback_through_a_tunnel_is_welcome(guest: Visitor, host: str) -> None:
    assert guest.ask("/", Host=host).status == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "FOO"])
def test_nothing_can_be_changed(guest: Visitor, method: str) -> None:
    refused = guest.ask("/", method)
    assert (refused.status, refused.headers["Allow"]) == (405, "GET, HEAD")
    assert "for looking, not for changing" in refused.text


def test_what_is_no_proper_request_is_refused_in_a_sentence(guest: Visitor) -> None:
    refused = guest.ask("/", **{"X-Long": "x" * 70_000})
    assert refused.status == 431 and refused.text.startswith("Refused: ")
    assert refused.headers["Content-Type"].startswith("text/plain")


def test_what_is_no_http_is_refused_too(door: Door) -> None:
    with socket.create_connection(("127.0.0.1", door.server_port), timeout=20) as connection:
        connection.sendall(b"no such thing as this\r\n\r\n")
        assert b"Refused: " in connection.makefile("rb").read()


def test_a_very_long_name_is_only_one_that_is_not_there(guest: Visitor) -> None:
    for path in ("/runs/", "/report/", "/api/runs/", "/static/"):
        assert guest.ask(path + "x" * 20_000).status == 404


def test_a_head_is_a_get_without_its_body(guest: Visitor) -> None:
    answer = guest.ask("/static/style.css", "HEAD")
    assert (answer.status, answer.text) == (200, "") and int(answer.headers["Content-Length"]) > 1_000


@pytest.mark.parametrize("path", ["/", "/runs/p-pretrain", "/api/home", "/api/runs/p-pretrain", "/nowhere"])
def test_every_answer_says_what_it_may_load_and_that_nobody_keeps_it(guest: Visitor, path: str) -> None:
    headers = guest.ask(path).headers
    assert headers["Content-Security-Policy"].startswith("default-src 'none'; script-src 'self';")
    assert headers["Cache-Control"] == "no-store"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert "Python" not in headers["Server"]


@pytest.mark.parametrize(
    "path",
    [
        "/runs/..", "/runs/../../etc/passwd", "/runs/..%2F..%2Fetc%2Fpasswd", "/runs/%2Fetc", "/runs/p-pretrain%2F..",
        "/runs/p-pretrain%00", "/api/runs/..%2Fruns%2Fp-pretrain", "/static/../door.py", "/static/%2e%2e%2fdoor.py",
        "/static//etc/passwd", "/report/..%2Fp-pretrain", "//etc/passwd", "/runs/", "/report/",
    ],
)  # fmt: skip
def test_no_path_leads_out_of_the_home(guest: Visitor, path: str) -> None:
    assert guest.ask(path).status == 404


def test_a_damaged_run_is_a_row_and_a_sentence(guest: Visitor) -> None:
    page = guest.ask("/").text
    assert "unreadable" in page and "runs/damaged/journal.db cannot be read" in page
    shown = guest.ask("/api/runs/damaged")
    assert shown.status == 200 and "cannot be read" in json.loads(shown.text)["trouble"]
    told = guest.ask("/report/damaged")
    assert told.status == 404 and "cannot be read" in told.text


def test_what_a_run_says_is_text_and_no_markup(guest: Visitor) -> None:
    shown = json.loads(guest.ask("/api/runs/p-pretrain").text)["parts"]["configuration"]
    assert "&lt;script&gt;bad()" in shown and "<script>bad()" not in shown


def test_the_token_is_in_no_log(door: Door, stranger: Visitor, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        parts = urlsplit(door.url)
        stranger.ask(f"/?{parts.query}")
        connection = http.client.HTTPConnection("127.0.0.1", door.server_port)
        connection.request("GET", f"/?{parts.query}")
        connection.close()
    assert parts.query.partition("=")[2] not in caplog.text
