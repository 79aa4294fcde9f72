"""OpenGL is asked for in a subprocess, so a driver that crashes or hangs costs a sentence, not the training."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from touchline.soccer import gl


@pytest.fixture(autouse=True)
def asked_anew(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv("MUJOCO_GL", raising=False)
    gl.usable_gl.cache_clear()
    yield
    gl.usable_gl.cache_clear()


def test_a_machine_has_a_backend_or_a_remedy() -> None:
    found = gl.usable_gl()
    assert (found.backend in gl.BACKENDS and found.reason == "") or "apt-get install" in found.reason


def test_it_is_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gl, "_PROBE", "pass")
    first = gl.usable_gl()
    monkeypatch.setattr(gl, "_PROBE", "raise SystemExit(1)")
    assert gl.usable_gl() is first


def test_switched_off_is_obeyed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MUJOCO_GL", "disable")
    found = gl.usable_gl()
    assert found.backend is None
    assert "unset it" in found.reason


def test_the_wish_in_the_environment_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gl, "_PROBE", "pass")
    monkeypatch.setenv("MUJOCO_GL", "osmesa")
    assert gl.usable_gl().backend == "osmesa"


@pytest.mark.parametrize(
    ("probe", "words"),
    [
        ("raise ImportError('libEGL.so.1: cannot open shared object file')", "libEGL.so.1: cannot open"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "killed by signal 11"),
        ("import time; time.sleep(60)", "no frame within 1 s"),
    ],
)
def test_what_cannot_render_says_why_and_names_the_packages(
    monkeypatch: pytest.MonkeyPatch, probe: str, words: str
) -> None:
    monkeypatch.setattr(gl, "_PROBE", probe)
    found = gl.usable_gl(timeout=1.0)
    assert found.backend is None
    assert words in found.reason
    assert "apt-get install" in found.reason


def test_only_what_is_missing_is_to_be_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gl, "_loads", lambda library: library != "libOpenGL.so.0")
    monkeypatch.setattr(gl, "_PROBE", "raise SystemExit(1)")
    assert "libopengl0" in gl.usable_gl().reason
    assert "libegl1" not in gl.usable_gl().reason
