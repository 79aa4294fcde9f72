"""What a process prints reaches the journal as a person would read it, and the streams stay what they were."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import touchline
from touchline.config import Settings
from touchline.tracking.capture.lines import REDRAW_SECONDS, SNAPSHOT_SECONDS, Lines
from touchline.tracking.journal import JournalReader


@pytest.fixture
def heard(home: Path) -> Settings:
    """The console alone, delivered nowhere."""
    return Settings(home=home, sinks=(), capture=("console",))


def console(run: touchline.Run, stream: str = "stdout") -> str:
    with JournalReader(run.directory / "journal.db") as journal:
        return "".join(
            event.payload["text"] for event in journal.of_kind(["console"]) if event.payload["stream"] == stream
        )


def printed(home: Path, body: str, **settings: object) -> tuple[dict[str, str], subprocess.CompletedProcess[str]]:
    """Run a script with an open run; returns what the journal has of each stream, and the finished process."""
    fields = "".join(f", {name}={value!r}" for name, value in settings.items())
    script = (
        "import sys, os, time, touchline\nfrom pathlib import Path\n"
        f"settings = touchline.Settings(home=Path({str(home)!r}), sinks=(), capture=('console',){fields})\n"
        f"run = touchline.start_run('train', settings=settings, run_id='r1')\n{body}"
    )
    raw = subprocess.run([sys.executable, "-c", script], capture_output=True, timeout=300)
    # Not text=True, which turns carriage returns into newlines.
    done = subprocess.CompletedProcess(raw.args, raw.returncode, raw.stdout.decode(), raw.stderr.decode())
    texts = {"stdout": "", "stderr": ""}
    with JournalReader(home / "runs" / "r1" / "journal.db") as journal:
        for event in journal.of_kind(["console"]):
            texts[event.payload["stream"]] += event.payload["text"]
    return texts, done


def test_print_logging_and_raw_bytes_are_kept_in_order(home: Path) -> None:
    texts, done = printed(
        home,
        "import logging; logging.basicConfig(level='INFO')\n"
        "print('one'); sys.stdout.flush(); sys.stdout.buffer.write('zwei é\\n'.encode()); sys.stdout.buffer.flush()\n"
        "print('three', flush=True); sys.stdout.writelines(['four\\n']); logging.info('a log line')\n",
    )
    assert texts["stdout"] == done.stdout == "one\nzwei é\nthree\nfour\n"
    assert texts["stderr"] == done.stderr == "INFO:root:a log line\n"


def test_a_handler_that_took_the_stream_before_the_run_is_heard(
    heard: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    handler = logging.StreamHandler(sys.stderr)
    with touchline.start_run("train", settings=heard) as run:
        handler.emit(logging.makeLogRecord({"msg": "heard"}))
    assert console(run, "stderr") == "heard\n"
    assert capsys.readouterr().err == "heard\n"


def test_the_streams_are_the_same_objects_and_are_restored(
    heard: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    before, buffer = sys.stdout, sys.stdout.buffer
    own = dict(vars(before))
    with touchline.start_run("train", settings=heard):
        assert sys.stdout is before
        assert sys.stdout.buffer is buffer
        assert sys.stdout.isatty() is False
    assert vars(before) == own
    assert "write" not in vars(buffer)


def test_nested_runs_hear_what_is_printed_while_they_live(
    heard: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    with touchline.start_run("outer", settings=heard) as outer:
        print("a")
        with touchline.start_run("inner", settings=heard) as inner:
            print("b")
        print("c")
    print("d")
    assert console(outer) == "a\nb\nc\n"
    assert console(inner) == "b\n"
    assert capsys.readouterr().out == "a\nb\nc\nd\n"


def test_a_stream_that_others_replace_and_put_back_is_still_heard(
    heard: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    class Copy(io.StringIO):
        def write(self, text: str) -> int:
            return before.write(text)

    before = sys.stdout
    with touchline.start_run("train", settings=heard) as run:
        with contextlib.redirect_stdout(Copy()):
            print("handed on once")
        with contextlib.redirect_stdout(io.StringIO()) as caught:
            print("caught by the program")
        print("after")
    assert console(run) == "handed on once\nafter\n"
    assert caught.getvalue() == "caught by the program\n"


def test_a_run_begun_while_output_is_redirected_hears_what_comes_after(home: Path) -> None:
    texts, done = printed(
        home,
        "run.finish()\nimport contextlib, io\n"
        "with contextlib.redirect_stdout(io.StringIO()):\n"
        "    second = touchline.start_run('train', settings=settings, run_id='r1')\n"
        "print('after')\n",
    )
    assert texts["stdout"] == done.stdout == "after\n"


def test_a_wrapper_that_puts_back_what_it_found_ends_nothing(
    heard: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    found = sys.stdout.write
    sys.stdout.write = lambda text: found(text)  # type: ignore[method-assign]
    run = touchline.start_run("train", settings=heard)
    print("wrapped")
    sys.stdout.write = found  # type: ignore[method-assign]
    heard_again = threading.Event()
    run._writer.every_round(lambda: getattr(sys.stdout.write, "tap", None) and heard_again.set())
    assert heard_again.wait(10.0)
    print("put back")
    run.finish()
    assert console(run) == "wrapped\nput back\n"
    del sys.stdout.write


def test_the_warning_of_a_run_is_heard_and_does_not_repeat_itself(home: Path) -> None:
    texts, _ = printed(home, "run.log({'bad': 'text'}, 1)\nrun.log({'bad': 'text'}, 2)\n")
    assert texts["stderr"].count("The metric 'bad'") == 1


def test_the_traceback_that_ends_a_run_is_kept(home: Path) -> None:
    texts, done = printed(home, "with run:\n    raise ValueError('boom')\n")
    assert texts["stderr"].splitlines()[-1] == "ValueError: boom"
    assert done.stderr.count("ValueError: boom") == 1


def test_the_traceback_of_a_process_without_finish_is_kept(home: Path) -> None:
    texts, _ = printed(home, "raise ValueError('boom')\n")
    assert texts["stderr"].count("ValueError: boom") == 1


def test_output_is_kept_while_the_run_goes_on(heard: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    from .conftest import until

    run = touchline.start_run("train", settings=heard)
    print("early")
    until(lambda: console(run) == "early\n")
    run.finish()


def test_output_beyond_the_bound_is_left_out_and_said_to_be(home: Path) -> None:
    texts, done = printed(home, "for i in range(3_000): print('line', i)\n", console_bytes=1_000)
    *kept, last = texts["stdout"].splitlines()
    assert kept == [f"line {i}" for i in range(len(kept))]
    assert 100 < len(kept) < 1_000
    assert "1,000 bytes of output are kept" in last
    assert done.stdout.count("\n") == 3_000


def test_a_progress_bar_leaves_its_last_state(home: Path) -> None:
    pytest.importorskip("tqdm")
    texts, done = printed(
        home, "from tqdm import tqdm\nfor i in tqdm(range(200), mininterval=0): time.sleep(0.001)\nprint('end')\n"
    )
    assert done.stderr.count("\r") > 50
    assert len(texts["stderr"].splitlines()) == 1
    assert "200/200" in texts["stderr"]
    assert texts["stdout"] == "end\n"


def test_many_threads_print_every_line_once(home: Path) -> None:
    body = (
        "import threading\n"
        "def work(n):\n    for i in range(500): sys.stdout.write(f'{n} {i}\\n')\n"
        "threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]\n"
        "[t.start() for t in threads]; [t.join() for t in threads]\n"
    )
    texts, done = printed(home, body)
    expected = sorted(f"{n} {i}" for n in range(8) for i in range(500))
    assert sorted(texts["stdout"].splitlines()) == sorted(done.stdout.splitlines()) == expected


def test_a_forked_child_prints_and_records_nothing(home: Path) -> None:
    body = "if os.fork() == 0:\n    print('child', flush=True); os._exit(0)\nos.wait(); print('parent', flush=True)\n"
    texts, done = printed(home, body)
    assert done.stdout == "child\nparent\n"
    assert texts["stdout"] == "parent\n"


def test_a_closed_pipe_is_the_programs_affair_as_before(home: Path) -> None:
    read, write = os.pipe()
    os.close(read)
    script = (
        "import sys, touchline\nfrom pathlib import Path\n"
        f"settings = touchline.Settings(home=Path({str(home)!r}), sinks=())\n"
        "run = touchline.start_run('train', settings=settings, run_id='r1')\n"
        "try:\n    print('x', flush=True)\nexcept BrokenPipeError:\n    run.finish('failed', reason='pipe')\n"
        "import os; os._exit(0)\n"
    )
    subprocess.run([sys.executable, "-c", script], stdout=write, timeout=300, check=True)
    os.close(write)
    with JournalReader(home / "runs" / "r1" / "journal.db") as journal:
        end = journal.newest("end")
    assert end is not None and end.payload["reason"] == "pipe"


def test_a_print_in_a_busy_loop_is_delayed_by_microseconds_only(heard: Settings) -> None:
    import timeit

    stream = io.StringIO()
    with contextlib.redirect_stdout(stream):
        bare = min(timeit.repeat(lambda: print("x"), number=2_000, repeat=5))
        with touchline.start_run("train", settings=heard):
            tapped = min(timeit.repeat(lambda: print("x"), number=2_000, repeat=5))
    assert (tapped - bare) / 2_000 < 50e-6


class TestLines:
    """What remains of terminal output."""

    def settle(self, *texts: str) -> list[str]:
        lines = Lines()
        for text in texts:
            lines.feed(text, 0.0)
        return [*lines.settled(0.0), *lines.rest()]

    def test_colours_and_links_go(self) -> None:
        assert self.settle("\x1b[1;31mred\x1b[0m \x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\\n") == ["red link"]

    def test_an_escape_may_be_cut_between_two_writes(self) -> None:
        assert self.settle("a\x1b[3", "1mb\x1b", "[0mc\n") == ["abc"]

    def test_a_carriage_return_overwrites_what_it_covers(self) -> None:
        assert self.settle("100%\r  5\n", "ab\x08c\r\n") == ["  5%", "ac"]

    def test_erasing_and_moving_within_the_line(self) -> None:
        assert self.settle("abcdef\x1b[3D\x1b[Kx\n", "long\r\x1b[2Kshort\x1b[10Gend\n") == ["abcx", "short    end"]

    def test_a_display_that_is_redrawn_is_kept_once(self) -> None:
        frame = "a {0}\nb {0}\nc {0}"
        texts = [frame.format(0)] + [f"\r\x1b[2K\x1b[1A\x1b[2K\x1b[1A\x1b[2K{frame.format(i)}" for i in range(1, 50)]
        assert self.settle("before\n", *texts, "\nafter\n") == ["before", "a 49", "b 49", "c 49", "after"]

    def test_a_redrawn_display_is_told_once_a_minute_and_not_at_each_look(self) -> None:
        lines, told = Lines(), []
        lines.feed("a 0\nb 0", 0.0)
        for second in range(1, 126):
            lines.feed(f"\r\x1b[1A\x1b[2Ka {second}\n\x1b[2Kb {second}", float(second))
            told.append(lines.settled(float(second)))
        assert sum(map(bool, told)) <= 120 / SNAPSHOT_SECONDS + 1
        assert lines.rest() == ["a 125", "b 125"]

    def test_plain_lines_after_a_display_wait_no_longer_than_it_could_be_redrawn(self) -> None:
        lines = Lines()
        lines.feed("bar\n\x1b[1A\x1b[2Kbar\nplain\n", 0.0)
        lines.settled(0.0)
        assert lines.settled(REDRAW_SECONDS)[-1] == "plain"

    def test_a_line_without_end_is_broken(self) -> None:
        lines = Lines()
        for _ in range(30):
            lines.feed("x" * 1_000, 0.0)
        assert sum(map(len, lines.settled(0.0))) == 30_000
