"""Each way of not reaching W&B has its own sentence, and a proxy is used as the SDK uses it."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import touchline
from touchline.config import Settings
from touchline.testing.wandb_backend import API_KEY, WandbBackend, silent_port
from touchline.tracking.probe import probe_wandb
from touchline.tracking.proxies import proxy_of

ELSEWHERE = "http://wandb.touchline.invalid"


@pytest.fixture(autouse=True)
def key_and_no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_API_KEY", API_KEY)
    for name in ("http_proxy", "https_proxy", "no_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def other_server() -> Iterator[str]:
    """A web server that is not W&B and answers everything with a page."""

    class Page(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"<html>welcome</html>")

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def reason(base_url: str, home: Path) -> tuple[str, bool]:
    """(sentence, only a person can change it) of a probe that fails."""
    probe = probe_wandb(Settings(home=home, wandb_base_url=base_url), timeout=2.0)
    assert not probe.usable
    return probe.reason, probe.permanent


def test_a_port_that_never_answers_is_told_apart_from_a_closed_one(tmp_path: Path) -> None:
    with silent_port() as url:
        sentence, permanent = reason(url, tmp_path)
        assert "does not answer within 2 s; check whether the port is blocked." in sentence
        assert not permanent
    sentence, permanent = reason(url, tmp_path)
    assert f"{url} cannot be reached (Connection refused)" in sentence
    assert not permanent


def test_a_server_that_is_not_wandb_and_an_unknown_host_point_at_the_base_url(
    other_server: str, tmp_path: Path
) -> None:
    sentence, permanent = reason(other_server, tmp_path)
    assert sentence == f"{other_server} answers, but not as W&B does; check WANDB_BASE_URL."
    assert not permanent
    sentence, permanent = reason(ELSEWHERE, tmp_path)
    assert "is not known" in sentence
    assert "WANDB_BASE_URL" in sentence
    assert not permanent


def test_a_server_with_trouble_and_a_bad_key_differ(
    backend: WandbBackend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend.fail_with = 500
    assert reason(backend.url, tmp_path) == (
        f"{backend.url} answers HTTP 500; the server has trouble of its own.",
        False,
    )
    backend.fail_with = 404
    sentence, permanent = reason(backend.url, tmp_path)
    assert "HTTP 404 instead of W&B's interface; check WANDB_BASE_URL" in sentence
    assert not permanent
    backend.fail_with = None
    monkeypatch.setenv("WANDB_API_KEY", "f" * 40)
    sentence, permanent = reason(backend.url, tmp_path)
    assert "refuses the W&B key" in sentence
    assert permanent


def test_a_proxy_that_refuses_or_wants_a_password_is_named_without_its_credentials(
    backend: WandbBackend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with silent_port() as closed:
        monkeypatch.setenv("HTTP_PROXY", closed.replace("http://", "http://user:secret@"))
        sentence, _ = reason(ELSEWHERE, tmp_path)
        assert f"does not answer within 2 s through the proxy {closed}" in sentence
    sentence, permanent = reason(ELSEWHERE, tmp_path)
    assert f"through the proxy {closed} (Connection refused); check HTTPS_PROXY and NO_PROXY" in sentence
    assert "secret" not in sentence
    assert not permanent
    monkeypatch.setenv("HTTP_PROXY", backend.url)
    backend.fail_with = 407
    sentence, _ = reason(ELSEWHERE, tmp_path)
    assert f"through the proxy {backend.url}: it wants a user name and password" in sentence


def test_a_run_is_delivered_through_a_proxy(
    home: Path, backend: WandbBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", backend.url)
    settings = Settings(home=home, sinks=("wandb",), wandb_base_url=ELSEWHERE, capture=())
    with touchline.start_run("train", settings=settings) as run:
        run.log({"x": 1}, 1)
        delivery = run.finish(timeout=300)
    assert delivery.complete, delivery.sentences()
    assert [row["x"] for row in backend.runs[run.id].history] == [1]


@pytest.mark.parametrize(
    ("url", "no_proxy", "expected"),
    [
        ("https://api.wandb.ai", "", "http://proxy:3128"),
        ("https://api.wandb.ai", "*", None),
        ("https://api.wandb.ai", "wandb.ai", None),
        ("https://api.wandb.ai", ".wandb.ai, other", None),
        ("https://api.wandb.ai", "andb.ai", "http://proxy:3128"),
        ("https://api.wandb.ai", "api.wandb.ai:443", None),
        ("https://api.wandb.ai", "api.wandb.ai:8443", "http://proxy:3128"),
        ("https://10.1.2.3", "10.0.0.0/8", None),
        ("https://11.1.2.3", "10.0.0.0/8", "http://proxy:3128"),
        ("https://127.0.0.1:9", "", None),
        ("https://localhost", "", None),
        ("http://api.wandb.ai", "", None),
    ],
)
def test_no_proxy_is_read_as_the_sdk_reads_it(
    url: str, no_proxy: str, expected: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "proxy:3128")
    monkeypatch.setenv("NO_PROXY", no_proxy)
    assert proxy_of(url) == expected
