"""Two trainers with one id, at the same instant: one writes, the other is told; and a start killed anywhere."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import touchline
from touchline.config import Settings
from touchline.errors import TouchlineError
from touchline.tracking.journal import JournalReader

TWO = """
import os, sys, time, touchline
from pathlib import Path
settings = touchline.Settings(home=Path(sys.argv[1]), sinks=(), capture=())
print("ready", flush=True)
for turn in range(int(sys.argv[2])):
    sys.stdin.readline()
    try:
        run = touchline.start_run("train", settings=settings, run_id=f"r{turn}")
    except touchline.TouchlineError as error:
        print("refused", error, flush=True)
        sys.stdin.readline()
        continue
    for step in range(20):
        run.log({"pid": os.getpid()}, step)
    print("began", flush=True)
    sys.stdin.readline()
    run.finish(timeout=0)
"""


def test_of_trainers_that_start_one_run_at_the_same_instant_exactly_one_writes(alone: Settings) -> None:
    turns, count, previous = 15, 4, 0
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", TWO, str(alone.home), str(turns)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1,
        )
        for _ in range(count)
    ]  # fmt: skip

    def tell_all() -> None:
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("go\n")

    def hear_all() -> list[str]:
        return [process.stdout.readline() for process in processes if process.stdout is not None]

    assert hear_all() == ["ready\n"] * count
    for turn in range(turns):
        tell_all()
        answers = hear_all()
        assert sorted(answer.split()[0] for answer in answers) == ["began"] + ["refused"] * (count - 1)
        assert all("is being written by" in answer for answer in answers if answer.startswith("refused"))
        tell_all()
        (winner,) = [p.pid for p, answer in zip(processes, answers, strict=True) if answer.startswith("began")]
        if turn:  # the turn before is over for all
            with JournalReader(alone.run_directory(f"r{turn - 1}") / "journal.db") as journal:
                pids = {event.metrics["pid"] for event in journal.of_kind(["metrics"])}
                assert len(journal.of_kind(["start"])) == 1
            assert pids == {previous}
        previous = winner
    for process in processes:
        process.communicate(timeout=300)


def test_two_runs_of_one_process_cannot_share_an_id_until_the_first_ends(alone: Settings) -> None:
    run = touchline.start_run("train", settings=alone, run_id="r1")
    with pytest.raises(TouchlineError, match="is being written by process"):
        touchline.start_run("train", settings=alone, run_id="r1")
    run.log({"x": 1.0}, 1)
    run.finish()
    again = touchline.start_run("train", settings=alone, run_id="r1")
    again.finish()
    with JournalReader(run.directory / "journal.db") as journal:
        assert [event.kind for event in journal.all()] == ["start", "metrics", "end", "start", "end"]


def test_a_start_that_fails_lets_the_next_one_in(alone: Settings) -> None:
    directory = alone.run_directory("r1")
    directory.mkdir(parents=True)
    (directory / "journal.db").write_text("no journal" * 500)
    with pytest.raises(TouchlineError, match="cannot be read"):
        touchline.start_run("train", settings=alone, run_id="r1")
    (directory / "journal.db").unlink()
    assert touchline.start_run("train", settings=alone, run_id="r1").finish().complete


def test_a_trainer_that_replaces_itself_goes_on_with_its_run(alone: Settings, tmp_path: Path) -> None:
    script = tmp_path / "train.py"
    script.write_text(
        "import os, sys, touchline\nfrom pathlib import Path\n"
        f"settings = touchline.Settings(home=Path({str(alone.home)!r}), sinks=(), capture=())\n"
        "run = touchline.start_run('train', settings=settings, run_id='r1')\n"
        "run.log({'x': 1.0}, len(sys.argv)); run._writer.flush(5.0)\n"
        "if len(sys.argv) == 1: os.execv(sys.executable, [sys.executable, __file__, 'again'])\n"
    )
    subprocess.run([sys.executable, str(script)], check=True, timeout=300)
    with JournalReader(alone.run_directory("r1") / "journal.db") as journal:
        assert [event.step for event in journal.of_kind(["metrics"])] == [1, 2]


# Counts the calls inside start_run, and kills itself with SIGKILL at the one it is told; each in a forked child. What
# is imported and compiled at a first call would be nine tenths of them, and is done before.
SWEEP = """
import json, os, signal, sys, touchline
from pathlib import Path
from touchline.filesystem import filesystem_type
from touchline.tracking import start
from touchline.tracking.events import slug
filesystem_type(Path(sys.argv[1])), slug("é -")
settings = touchline.Settings(home=Path(sys.argv[1]), sinks=(), capture=())
outcomes = []
at = 1
while True:
    child = os.fork()
    if child == 0:
        seen = 0
        def count(frame, event, argument):
            global seen
            seen += 1
            if seen == at:
                os.kill(os.getpid(), signal.SIGKILL)
        sys.setprofile(count)
        import threading
        threading.setprofile(count)
        touchline.start_run("train", settings=settings, run_id=f"r{at}")
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if os.WIFEXITED(status):
        break
    outcomes.append(at)
    at += int(sys.argv[2])
print(json.dumps(outcomes))
"""


@pytest.mark.slow
def test_a_start_killed_at_any_instant_can_be_started_again(alone: Settings) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SWEEP, str(alone.home), "7"],
        capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    killed = json.loads(done.stdout)
    assert len(killed) > 50
    for place in killed:
        run = touchline.start_run("train", settings=alone, run_id=f"r{place}")
        run.log({"x": 1.0}, 1)
        assert run.finish(timeout=0).complete, place
        with JournalReader(run.directory / "journal.db") as journal:
            journal.check()
            kinds = [event.kind for event in journal.all()]
        assert kinds in (["start", "metrics", "end"], ["start", "start", "metrics", "end"]), place


RESTORES = SWEEP.replace('run_id=f"r{at}"', "resume=Path(sys.argv[3])").replace(
    "    child = os.fork()\n",
    "    settings = touchline.Settings(home=Path(sys.argv[1]) / str(at), sinks=(), capture=())\n"
    "    child = os.fork()\n",
)


@pytest.mark.slow
def test_a_restore_killed_at_any_instant_is_still_a_restore(alone: Settings, tmp_path: Path) -> None:
    checkpoint = tmp_path / "checkpoint"
    checkpoint.mkdir()
    with touchline.start_run("train", settings=alone, run_id="r1") as run:
        run.log({"x": 1.0}, 5)
        run.save_journal(checkpoint)
    homes = tmp_path / "homes"
    done = subprocess.run(
        [sys.executable, "-c", RESTORES, str(homes), "11", str(checkpoint)],
        capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    killed = json.loads(done.stdout)
    assert len(killed) > 40
    for place in killed:
        there = Settings(home=homes / str(place), sinks=(), capture=())
        again = touchline.start_run("train", settings=there, resume=checkpoint)
        again.log({"x": 2.0}, 6)
        again.finish(timeout=0)
        with JournalReader(again.directory / "journal.db") as journal:
            events = list(journal.all())
        # The lost machine may have used the sequence numbers after the copy, so none of them is used again.
        assert all(event.seq <= 3 or event.seq > 2**32 for event in events), (place, [e.seq for e in events])
        assert [event.step for event in events if event.kind == "metrics"] == [5, 6]
