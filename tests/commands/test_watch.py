"""``touchline watch``: what a person sees of the GPUs and of the runs, and that watching disturbs nothing."""

from __future__ import annotations

import contextlib
import fcntl
import io
import os
import pty
import select
import signal
import sqlite3
import struct
import subprocess
import termios
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from touchline.commands.watch_gpus import gpus, which
from touchline.commands.watch_picture import picture
from touchline.config import Settings
from touchline.testing.nvml import build_driver, packaged_scenario, stand_in_environment, write_scenario
from touchline.tracking.encoding import encode
from touchline.tracking.journal import RESTORE_GAP, Journal
from touchline.tracking.process import ProcessIdentity
from touchline.tracking.watched import RunView, SinkView, WatchedHome, WatchedRun, speed
from touchline.watch.snapshot import Snapshot

from .conftest import TOUCHLINE, begin, call, deliver, environment, killed, record

BUSY = {
    "gpu/utilization_percent": 93.0, "gpu/memory_percent": 72.0, "gpu/memory_used_gb": 17.2, "gpu/temperature": 66.0,
    "gpu/power_watts": 58.4, "gpu/power_limit_watts": 72.0, "gpu/clock_sm_mhz": 1890.0,
    "gpu/clock_sm_max_mhz": 2040.0, "gpu/throttle_thermal": 0.0, "gpu/throttle_power": 0.0,
}  # fmt: skip


def drawn(seen: Snapshot, names: Sequence[str] = (), runs: Sequence[RunView] = (), width: int = 300) -> str:
    text = io.StringIO()
    Console(file=text, width=width, highlight=False).print(picture(seen, names, runs, (), width))
    return text.getvalue()


def cells(text: str, first: str) -> str:
    """The line that begins with ``first``, its gaps reduced to one blank."""
    return next(" ".join(line.split()) for line in text.splitlines() if line.startswith(first))


def look(home: Path) -> tuple[RunView, ...]:
    return WatchedHome(Settings(home=home)).look()[0]


def journal_of(home: Path, run_id: str, *events: tuple[str, int | None, float, Any]) -> Journal:
    """The journal of a run of this process, with events at chosen times; the caller closes it."""
    directory = home / "runs" / run_id
    directory.mkdir(parents=True)
    journal = Journal(directory / "journal.db")
    start = {"job": "train", "name": run_id, "project": "p", "process": ProcessIdentity.current().to_mapping()}
    first = ("start", None, events[0][2] if events else time.time(), {**start, "sinks": {"mlflow": "far"}})
    journal.append([(kind, step, at, encode(kind, payload)) for kind, step, at, payload in (first, *events)])
    return journal


def test_a_device_is_one_line_with_its_limits() -> None:
    assert cells(drawn(Snapshot(0.0, BUSY), ["NVIDIA L4"]), "0 ") == (
        "0 NVIDIA L4 93 % 17.2 GB 72 % 66 °C 58 of 72 W 1,890 of 2,040 MHz no"
    )


def test_several_devices_have_a_line_each_and_their_aggregate_none() -> None:
    values = {**BUSY, "gpu/0/utilization_percent": 90.0, "gpu/1/utilization_percent": 96.0}
    text = drawn(Snapshot(0.0, values), ["NVIDIA L4", "NVIDIA L4"])
    assert "0 NVIDIA L4 90 % – – – – –" in cells(text, "0 ")
    assert "1 NVIDIA L4 96 % – – – – –" in cells(text, "1 ")
    assert "93 %" not in text


def test_what_throttles_is_named() -> None:
    text = drawn(Snapshot(0.0, {**BUSY, "gpu/throttle_thermal": 0.4, "gpu/throttle_power": 1.0}))
    assert cells(text, "0 ").endswith("thermal, power")


def test_sm_activity_and_an_xid_error_are_shown_where_they_are() -> None:
    text = drawn(Snapshot(0.0, {**BUSY, "gpu/sm_percent": 31.0, "gpu/xid": 79.0}))
    assert "SM active" in text and "93 % 31 % 17.2 GB" in cells(text, "0 ")
    assert "GPU 0 reported XID error 79." in text
    assert "SM active" not in drawn(Snapshot(0.0, BUSY))


def test_peaks_of_a_window_are_no_figures_of_a_device() -> None:
    (gpu,) = gpus(Snapshot(0.0, {"gpu/temperature": 60.0, "gpu/temperature/max": 70.0}), ())
    assert gpu.values == {"temperature": 60.0}


def test_a_figure_that_cannot_be_had_is_a_dash_and_a_reason() -> None:
    reasons = dict.fromkeys(("gpu/utilization_percent", "gpu/power_watts"), "MIG devices have none (A100 MIG)")
    text = drawn(Snapshot(0.0, {"gpu/memory_percent": 75.0}, {**reasons, "gpu/sm_percent": "the device has no GPM"}))
    assert cells(text, "0 ") == "0 – 75 % – – – –"
    assert "GPU 0 has no utilization, power: MIG devices have none (A100 MIG)" in text
    assert "GPM" not in text


def test_a_lost_gpu_among_two_is_named() -> None:
    lost = {f"gpu/1/{name}": "GPU is lost" for name in ("utilization_percent", "temperature")}
    text = drawn(Snapshot(0.0, {"gpu/0/utilization_percent": 50.0}, lost), ["NVIDIA L4", "NVIDIA L4"])
    assert "GPU 1 has no figures: GPU is lost" in text
    assert "50 %" in cells(text, "0 ")


def test_the_only_gpu_is_shown_as_lost_even_before_its_model_was_known() -> None:
    text = drawn(Snapshot(0.0, {}, {"gpu/temperature": "GPU is lost", "gpu/power_watts": "GPU is lost"}))
    assert cells(text, "0 ") == "0 – – – – – –"
    assert "GPU 0 has no figures: GPU is lost" in text


def test_without_a_gpu_the_reason_is_told_once_and_the_host_is_shown() -> None:
    reasons = dict.fromkeys(("gpu/temperature", "gpu/power_watts"), "no NVIDIA driver on this machine")
    text = drawn(Snapshot(0.0, {"host/cpu_percent": 12.0, "host/disk_percent": 77.0}, reasons))
    assert text.splitlines()[:2] == ["No GPU: no NVIDIA driver on this machine", "Host: CPU 12 %, disk 77 %"]


def test_gpus_that_a_variable_chooses_and_numbers_are_told_as_such() -> None:
    (sentence,) = which(["NVIDIA L4"], {"CUDA_VISIBLE_DEVICES": "1"})
    assert sentence.startswith("CUDA_VISIBLE_DEVICES='1' chooses and numbers the GPUs here: GPU 0 is the first")
    assert which(["NVIDIA L4"], {}) == ()
    assert which([], {"CUDA_VISIBLE_DEVICES": "1"}) == ()


def test_a_mig_device_is_told_to_be_one_of_several() -> None:
    (sentence,) = which(["NVIDIA H100 80GB HBM3 MIG 3g.40gb"], {})
    assert sentence.startswith("GPU 0 is one MIG device, a part of a GPU: a process sees no other")


def test_eighty_characters_are_enough() -> None:
    names = ["NVIDIA H100 80GB HBM3"] * 2
    all_of_both = {f"gpu/{index}/{name[4:]}": value for index in (0, 1) for name, value in BUSY.items()}
    sinks = (SinkView("mlflow", "live", 0, ""), SinkView("wandb", "waiting", 1_234_567, ""))
    run = RunView(
        "20261124-134318-train-dac2",
        "walk",
        "train",
        "running",
        "",
        98_765_432,
        123_456.0,
        time.time(),
        {},
        (),
        sinks,
        started=0.0,
        last_start=0.0,
        ended=None,
        tags={},
        warnings=0,
    )
    text = drawn(Snapshot(0.0, all_of_both), names, [run], width=80)
    assert cells(text, "1 ") == "1 93 % 17.2 GB 72 % 66 °C 58 W no"
    assert "GPU 1 is: NVIDIA H100 80GB HBM3" in text
    assert cells(text, f"{run.id} ") == f"{run.id} running 98,765,432 123,456 just now"
    assert f"{run.id}: mlflow live; wandb waiting, 1,234,567 to send" in text


def test_a_running_run_is_shown_with_what_its_journal_has(home: Path) -> None:
    now = time.time()
    points = [("metrics", 1_000 * k, now - 5 + k, {"loss": 0.5}) for k in range(5)]
    figures = ("metrics", 4_000, now - 1, {"gpu/utilization_percent": 61.0, "cost/usd": 0.25})
    alert = ("alert", 4_000, now - 7_200, {"title": "Memory is full", "text": "96 %", "level": "error"})
    with contextlib.closing(journal_of(home, "r1", *points, figures, alert)):
        deliver(home / "runs" / "r1", "mlflow", upto=3, state="waiting", reason="The server is away.")
        (run,) = look(home)
        text = drawn(Snapshot(0.0, {}), (), [run])
    assert (run.state, run.step, run.speed) == ("running", 4_000, 1_000.0)
    line = cells(text, "r1 ")
    assert line.startswith("r1 running 4,000 1,000 ") and line.endswith(" ago mlflow waiting, 5 to send")
    assert "r1: GPU 61 %, 0.25 USD" in text
    assert "r1: alert (error) 2 h 00 min ago: Memory is full 96 %" in text
    assert "r1: mlflow: The server is away." in text


def test_only_what_is_new_is_read_and_old_figures_stay(home: Path) -> None:
    now = time.time()
    with contextlib.closing(journal_of(home, "r1", ("metrics", 1, now, {"gpu/temperature": 50.0}))) as journal:
        run = WatchedRun(home / "runs" / "r1")
        run.look()
        journal.append([("metrics", 2 + k, now + k / 1e4, '{"loss": 1.0}') for k in range(5_000)])
        view = run.look()
    assert view is not None
    assert (view.step, view.figures) == (5_001, {"gpu/temperature": 50.0})
    assert view.speed == pytest.approx(1e4, rel=0.01)


def test_an_old_alert_is_shown_by_the_first_look_already(home: Path) -> None:
    now = time.time()
    alert = ("alert", 0, now - 900, {"title": "Hot", "text": "", "level": "warn"})
    points = [("metrics", k, now, {"loss": 1.0}) for k in range(2_000)]
    with contextlib.closing(journal_of(home, "r1", alert, *points)):
        assert [event.payload["title"] for event in look(home)[0].alerts] == ["Hot"]


def test_events_wait_by_their_count_across_the_gap_of_a_restored_copy(home: Path) -> None:
    with contextlib.closing(journal_of(home, "r1", ("metrics", 1, 0.0, {"loss": 1.0}))) as journal:
        deliver(home / "runs" / "r1", "mlflow", upto=1, state="live")
        journal.skip(RESTORE_GAP)
        journal.append([("metrics", 2, 0.0, '{"loss": 1.0}')])
        assert look(home)[0].sinks[0].waiting == 2


def test_a_run_that_went_back_has_the_step_and_no_speed_of_before(home: Path) -> None:
    record(home, "r1", points=10)
    with begin(home, "r1", resume=4):
        (run,) = look(home)
    assert (run.step, run.speed) == (4, None)


def test_a_run_that_is_over_is_not_shown_but_one_that_ends_meanwhile_is(home: Path) -> None:
    record(home, "before")
    killed(home, "dead", "run.log({'loss': 1.0}, 7)")
    watched = WatchedHome(Settings(home=home))
    run = begin(home, "r1")
    assert [view.id for view in watched.look()[0]] == ["r1"]
    run.finish("preempted", timeout=5, reason="The spot machine goes.")
    for _ in range(2):
        assert [(v.id, v.state, v.reason) for v in watched.look()[0]] == [
            ("r1", "preempted", "The spot machine goes.")
        ]
    with begin(home, "before"):
        assert {view.id: view.state for view in watched.look()[0]} == {"before": "running", "r1": "preempted"}


def test_watching_holds_no_transaction(home: Path) -> None:
    watched = WatchedHome(Settings(home=home))
    with begin(home, "r1") as run:
        run.log({"loss": 1.0}, 1)
        assert run._writer.flush(10)
        watched.look()
        with contextlib.closing(sqlite3.connect(run.directory / "journal.db")) as other:
            busy, *_ = other.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    assert busy == 0


def test_a_damaged_journal_is_a_sentence_and_hides_no_other_run(home: Path) -> None:
    (record(home, "bad") / "journal.db").write_bytes(b"scrambled" * 1000)
    with begin(home, "good"):
        views, sentences = WatchedHome(Settings(home=home)).look()
    assert [view.id for view in views] == ["good"]
    assert len(sentences) == 1 and "bad" in sentences[0] and "cannot be read" in sentences[0]


@pytest.mark.parametrize(
    ("points", "now", "expected"),
    [
        ([], 0.0, None),
        ([(0.0, 0)], 0.0, None),
        ([(0.0, 0), (2.0, 500)], 3.0, 250.0),
        ([(0.0, 0), (0.0, 500)], 1.0, None),
        ([(0.0, 500), (2.0, 500)], 2.0, None),
        ([(0.0, 0), (60.0, 600)], 200.0, 10.0),
        ([(0.0, 0), (60.0, 600)], 300.0, None),
    ],
    ids=["nothing", "one", "two", "one moment", "no progress", "a slow logger", "a silent run"],
)
def test_the_speed_is_what_the_points_say(
    points: list[tuple[float, int]], now: float, expected: float | None
) -> None:
    assert speed(points, now) == expected


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_driver(tmp_path_factory.mktemp("driver"))


def variables(driver: Path, scenario: Path) -> dict[str, str]:
    """The environment of a machine with the stand-in driver and an L4."""
    clean = {name: value for name, value in environment().items() if name != "CUDA_VISIBLE_DEVICES"}
    stand_in = stand_in_environment(driver, write_scenario(scenario, packaged_scenario("l4")))
    return {**clean, **stand_in, "TERM": "xterm-256color"}


def test_one_view_is_printed_with_the_gpu_that_the_driver_has(home: Path, driver: Path, tmp_path: Path) -> None:
    with begin(home, "r1", name="walk") as run:
        run.log({"loss": 0.5}, 12)
        assert run._writer.flush(10)
        done = subprocess.run(
            [TOUCHLINE, "watch", "--once"],
            env=variables(driver, tmp_path / "scenario"),
            capture_output=True,
            text=True,
            timeout=300,
        )
    assert (done.returncode, done.stderr) == (0, "")
    assert cells(done.stdout, "0 ") == "0 NVIDIA L4 80 % 18.0 GB 75 % 61 °C 56 of 72 W 1,785 of 2,040 MHz no"
    assert cells(done.stdout, "r1 ").startswith("r1 running 12")
    assert "r1 (walk): " in done.stdout
    assert "\x1b" not in done.stdout


def test_without_a_home_the_machine_is_watched_and_no_home_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TOUCHLINE_HOME", str(tmp_path / "hmoe"))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert call("watch", "--once") == 0
    shown = capsys.readouterr().out
    assert "No GPU: " in shown and "Host: " in shown
    assert f"The home {tmp_path / 'hmoe'} is not there" in shown
    assert not (tmp_path / "hmoe").exists()


def test_a_home_that_is_named_wrongly_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("watch", "--once", "--home", str(tmp_path / "hmoe")) == 2
    assert "hmoe is not there" in capsys.readouterr().err


def test_a_live_view_wants_a_terminal(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("watch") == 2
    assert "touchline watch --once" in capsys.readouterr().err


class Terminal:
    """A terminal on which a command runs."""

    def __init__(self, command: Sequence[str | Path], environment: dict[str, str]) -> None:
        self._ours, self.theirs = pty.openpty()
        fcntl.ioctl(self.theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 200, 0, 0))
        self.before = termios.tcgetattr(self.theirs)
        streams = dict.fromkeys(("stdin", "stdout", "stderr"), self.theirs)
        self.process = subprocess.Popen(command, env=environment, **streams)  # type: ignore[call-overload]
        self.text = ""

    def read_until(self, wanted: str) -> None:
        deadline = time.monotonic() + 300
        while wanted not in self.text:
            assert time.monotonic() < deadline, self.text
            if select.select([self._ours], [], [], 0.5)[0]:
                self.text += os.read(self._ours, 65_536).decode(errors="replace")

    def press(self, key: str) -> None:
        os.write(self._ours, key.encode())

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._ours)
        os.close(self.theirs)


@pytest.fixture
def live(home: Path, driver: Path, tmp_path: Path) -> Iterator[Terminal]:
    """A live view with a GPU and the running run r1, drawn at least once."""
    shown = {name: value for name, value in variables(driver, tmp_path / "scenario").items() if name != "NO_COLOR"}
    with begin(home, "r1") as run:
        run.log({"loss": 0.5}, 12)
        assert run._writer.flush(10)
        terminal = Terminal([TOUCHLINE, "watch"], shown)
        try:
            terminal.read_until("r1")
            yield terminal
        finally:
            terminal.close()


def test_the_live_view_follows_the_driver(live: Terminal, tmp_path: Path) -> None:
    live.read_until("61 °C")
    write_scenario(tmp_path / "scenario", packaged_scenario("l4") + "temperature = 83\n")
    live.read_until("83 °C")


@pytest.mark.parametrize("key", ["q", "Q"])
def test_q_ends_the_live_view_and_gives_the_terminal_back(live: Terminal, key: str) -> None:
    live.press(key)
    assert live.process.wait(10) == 0
    live.read_until("\x1b[?1049l")
    assert termios.tcgetattr(live.theirs) == live.before


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 0), (signal.SIGTERM, 143)], ids=["Ctrl-C", "SIGTERM"])
def test_a_signal_ends_the_live_view_and_gives_the_terminal_back(live: Terminal, sent: int, code: int) -> None:
    live.process.send_signal(sent)
    assert live.process.wait(10) == code
    live.read_until("\x1b[?1049l")
    assert "Traceback" not in live.text
    assert termios.tcgetattr(live.theirs) == live.before
