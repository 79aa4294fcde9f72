"""The servers beside the page: what is said of them, and that nothing of them stays."""

from __future__ import annotations

import socket
import sys
from pathlib import Path

from touchline.config import Settings
from touchline.ui.servers import Servers, ServerState, Viewer, absent

from ..processes import of_this_home, wait_until


def state(servers: Servers, name: str) -> ServerState:
    return next(one for one in servers.states() if one.name == name)


PAGE = """
import http.server, sys
http.server.HTTPServer(("127.0.0.1", int(sys.argv[2])), http.server.SimpleHTTPRequestHandler).serve_forever()
"""
BROKEN = "import sys; print('starting'); sys.exit('The database is locked.')"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def test_the_page_says_how_far_each_server_has_come(tmp_path: Path) -> None:
    port = free_port()
    up = Viewer("MLflow", (sys.executable, "-c", PAGE, str(tmp_path), str(port)), port)
    broken = Viewer("TensorBoard", (sys.executable, "-c", BROKEN, str(tmp_path)), free_port())
    servers = Servers(Settings(home=tmp_path), (up, broken))
    servers.start()
    try:
        assert {one.state for one in servers.states()} <= {"starting", "failed", "up"}
        wait_until(lambda: state(servers, "MLflow").state == "up")
        assert state(servers, "MLflow").url == f"http://127.0.0.1:{port}"
        wait_until(lambda: state(servers, "TensorBoard").state == "failed")
        assert "The database is locked" in state(servers, "TensorBoard").reason
        assert "tensorboard.log" in state(servers, "TensorBoard").reason
    finally:
        servers.close()
    assert of_this_home(tmp_path) == []
    assert state(servers, "MLflow").state == "failed"


def test_an_mlflow_elsewhere_is_led_to_without_its_password(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, mlflow_tracking_uri="https://ann:secret@mlflow.example/team")
    (found,) = [one for one in absent(settings) if one.name == "MLflow"]
    assert (found.state, found.url) == ("elsewhere", "https://mlflow.example/team")
    assert "secret" not in str(absent(settings))


def test_a_home_without_a_study_says_how_to_start_one(tmp_path: Path) -> None:
    (found,) = [one for one in absent(Settings(home=tmp_path)) if one.name == "Optuna"]
    assert found.state == "absent" and "touchline tune" in found.reason
