"""``touchline export``: every value exactly, whole files only, in bounded memory."""

from __future__ import annotations

import csv
import json
import math
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from touchline.tracking.journal import Journal, JournalReader

from .conftest import TOUCHLINE, begin, call, environment, record

VALUES = (0.1, -0.0, 5e-324, 1.7976931348623157e308, math.nan, math.inf, -math.inf, 2**53 + 1)


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(text.splitlines()))


def same(one: float, other: float) -> bool:
    return (math.isnan(one) and math.isnan(other)) or (
        one == other and math.copysign(1, one) == math.copysign(1, other)
    )


@pytest.fixture
def odd_run(home: Path) -> Path:
    with begin(home, "r1") as run:
        for step, value in enumerate(VALUES):
            run.log({'a "quoted", name\nof two lines': value}, step)
    return run.directory


def test_csv_reads_back_as_the_same_numbers(odd_run: Path, tmp_path: Path) -> None:
    assert call("export", "r1", "--format", "csv") == 0
    with (tmp_path / "r1.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["metric", "step", "time", "value", "seq"]
    assert {row["metric"] for row in rows} == {'a "quoted", name\nof two lines'}
    assert all(same(float(row["value"]), float(value)) for row, value in zip(rows, VALUES, strict=True))
    assert [row["value"] for row in rows[4:]] == ["NaN", "Infinity", "-Infinity", "9007199254740993"]
    with JournalReader(odd_run / "journal.db") as journal:
        events = journal.of_kind(["metrics"])
    assert [(int(row["seq"]), float(row["time"]), int(row["step"])) for row in rows] == [
        (event.seq, event.time, event.step) for event in events
    ]


def test_parquet_reads_back_as_the_same_numbers(odd_run: Path, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    assert call("export", "r1", "--format", "parquet", "--output", "out.parquet") == 0
    table = parquet.read_table(tmp_path / "out.parquet")
    assert table.column_names == ["metric", "step", "time", "value", "seq"]
    got = table.column("value").to_pylist()
    assert all(same(one, float(other)) for one, other in zip(got, VALUES, strict=True))
    assert table.column("step").to_pylist() == list(range(len(VALUES)))


def test_jsonl_is_every_event_of_the_journal(odd_run: Path, tmp_path: Path) -> None:
    assert call("export", "r1", "--format", "jsonl", "-o", "all.jsonl") == 0
    lines = [
        json.loads(line, parse_constant=lambda name: pytest.fail(name))
        for line in Path("all.jsonl").read_text(encoding="utf-8").splitlines()
    ]
    with JournalReader(odd_run / "journal.db") as journal:
        events = list(journal.all())
    assert [(line["seq"], line["kind"], line["step"], line["time"], line["payload"]) for line in lines] == [
        (event.seq, event.kind, event.step, event.time, event.payload) for event in events
    ]


def test_only_the_newest_attempt_unless_all_are_wanted(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with begin(home, "r1") as run:
        for step in range(4):
            run.log({"loss": 10.0 + step}, step)
    with begin(home, "r1", resume=1) as run:
        run.log({"loss": 22.0}, 2)
    capsys.readouterr()
    assert call("export", "r1", "-o", "-") == 0
    assert [row["value"] for row in rows_of(capsys.readouterr().out)] == ["10.0", "11.0", "22.0"]
    assert call("export", "r1", "-o", "-", "--all-attempts") == 0
    rows = rows_of(capsys.readouterr().out)
    assert [(row["value"], row["attempt"]) for row in rows] == [
        ("10.0", "1"),
        ("11.0", "1"),
        ("12.0", "1"),
        ("13.0", "1"),
        ("22.0", "2"),
    ]


@pytest.mark.parametrize("form", ["csv", "parquet", "jsonl"])
def test_a_disk_that_refuses_leaves_the_old_file_and_nothing_else(home: Path, tmp_path: Path, form: str) -> None:
    record(home, "r1", points=20_000)
    target = tmp_path / "out"
    target.write_text("old")
    done = subprocess.run(
        [TOUCHLINE, "export", "r1", "--format", form, "--output", str(target)],
        env=environment(),
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000)),
    )
    assert done.returncode == 1
    assert "nothing was changed there" in done.stderr and "Traceback" not in done.stderr
    assert target.read_text() == "old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["home", "out"]


def test_a_pipe_or_a_device_is_written_to_and_stays_what_it_is(home: Path, tmp_path: Path) -> None:
    record(home, "r1")
    (tmp_path / "sink").symlink_to("/dev/null")
    assert call("export", "r1", "--output", "sink") == 0
    assert (tmp_path / "sink").is_symlink() and Path("/dev/null").is_char_device()


def test_wrong_outputs_are_refused(home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record(home, "r1")
    assert call("export", "r1", "-o", str(tmp_path)) == 2
    assert "is a directory" in capsys.readouterr().err
    assert call("export", "r1", "-o", "absent/out.csv") == 2
    assert "There is no directory" in capsys.readouterr().err
    assert call("export", "r1", "--format", "xml") == 2


def test_without_pyarrow_the_extra_is_named(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    record(home, "r1")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert call("export", "r1", "--format", "parquet") == 1
    assert "pip install 'touchline[mlflow]'" in capsys.readouterr().err
    assert not (tmp_path / "r1.parquet").exists()


@pytest.mark.slow
@pytest.mark.parametrize("form", ["csv", "parquet", "jsonl"])
def test_a_million_rows_are_streamed(home: Path, tmp_path: Path, form: str) -> None:
    directory = record(home, "r1", points=1)
    journal = Journal(directory / "journal.db")
    for chunk in range(100):
        journal.append(
            [("metrics", step, 1.5, '{"loss": 0.25}') for step in range(chunk * 10_000, chunk * 10_000 + 10_000)]
        )
    journal.close()
    script = (
        "import re, sys\nfrom pathlib import Path\nfrom touchline.cli import main\n"
        f"code = main(['export', 'r1', '--format', {form!r}, '-o', 'out'])\n"
        # getrusage() would count the tests' own memory too, from before the new program began
        "peak = re.search(r'VmHWM:\\s+(\\d+)', Path('/proc/self/status').read_text())[1]\n"
        "print(int(peak) // 1024, file=sys.stderr)\nsys.exit(code)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], env=environment(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert ("1,000,003" if form == "jsonl" else "1,000,001") in done.stdout
    assert int(done.stderr) < 400
