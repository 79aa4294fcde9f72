"""``touchline show``: the curves of the newest attempt and everything a person asks of a run."""

from __future__ import annotations

import math
import subprocess
from pathlib import Path

import pytest

from touchline.tracking.curves import Curve, read_curves
from touchline.tracking.journal import JournalReader

from .conftest import TOUCHLINE, begin, call, environment, record


def test_a_run_is_shown_with_its_curves_and_words(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with begin(home, "r1", config={"lr": 0.1, "net": {"width": 64}}, tags={"team": "red"}) as run:
        for step in range(100):
            run.log({"train/loss": 1.0 / (step + 1)}, step * 1000)
        run.set_summary({"score": 0.75})
        run.alert("Reward is low", "for an hour")
        run.log({"broken": object()}, 1)
    assert call("show", "r1", "--width", "60") == 0
    shown = capsys.readouterr().out
    assert "100 points, last 0.01 at step 99,000, lowest 0.01, highest 1" in shown
    drawn = [line for line in shown.splitlines() if "┤" in line]
    assert len(drawn) == 7 and all(any("⠀" < dot <= "⣿" for dot in line) for line in drawn)
    assert max(map(len, drawn)) <= 60
    words = " ".join(shown.split())
    for part in ("net.width 64", "team red", "score 0.75", "Reward is low. for an hour", "problem: broken"):
        assert part in words


def test_what_is_learned_is_drawn_before_the_machine_and_long_values_are_cut(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with begin(home, "r1", config={"prompt": "x" * 5_000}) as run:
        for step in range(2):
            run.log({f"system/{number}": float(step) for number in range(10)}, step)
            run.log({"loss": 1.0 - step}, step)
    assert call("show", "r1") == 0
    shown = capsys.readouterr().out
    assert shown.index("loss") < shown.index("system/0")
    assert f"{'x' * 400}… (5,000 characters)" in shown and "x" * 401 not in shown


def test_names_in_chinese_are_aligned_by_the_width_that_they_take(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    begin(home, "r1", config={"學習率": 0.1, "場景": "足球場", "seed": 7}).finish()
    assert call("show", "r1") == 0
    assert "  學習率  0.1\n  場景    足球場\n  seed    7\n" in capsys.readouterr().out


def test_only_the_newest_attempt_is_drawn_and_the_others_are_mentioned(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with begin(home, "r1") as run:
        for step in range(10):
            run.log({"loss": 100.0}, step)
    with begin(home, "r1", resume=4) as run:
        for step in range(5, 8):
            run.log({"loss": 1.0}, step)
    assert call("show", "r1") == 0
    shown = capsys.readouterr().out
    assert "8 points, last 1 at step 7, lowest 1, highest 100" in shown
    assert "went back to an earlier step once" in shown
    assert "touchline export r1 --all-attempts" in shown


def test_named_metrics_are_drawn_patterns_too_and_the_rest_is_listed(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with begin(home, "r1") as run:
        for step in range(3):
            run.log({f"{part}/{name}": float(step) for part in ("train", "eval") for name in ("a", "b")}, step)
    assert call("show", "r1", "train/*") == 0
    titles = capsys.readouterr().out.splitlines()
    assert "train/a" in titles and "train/b" in titles and "eval/a" not in titles
    assert any(line.startswith("  eval/a: 3 points") for line in titles)
    assert call("show", "--last", "train/c") == 2
    assert "no metric 'train/c'. Did you mean 'train/" in capsys.readouterr().err


def test_values_that_are_not_finite_are_counted_and_break_nothing(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with begin(home, "r1") as run:
        for step, value in enumerate((1.0, math.nan, math.inf, -math.inf, 3.0)):
            run.log(
                {"mixed": value, "never": math.nan, "flat": 2.0, "huge": 1e308 * (-1) ** step, "tiny": 5e-324 * step},
                step,
            )
    assert call("show", "r1") == 0
    shown = capsys.readouterr().out
    assert "5 points, last 3 at step 4, lowest 1, highest 3, 3 not finite" in shown
    assert "5 points, last NaN at step 4, 5 not finite" in shown
    assert "no finite value" in shown
    assert "lowest -1e+308, highest 1e+308" in shown


def test_an_output_without_dots_gets_the_figures(home: Path) -> None:
    record(home, "r1")
    done = subprocess.run(
        [TOUCHLINE, "show", "r1"], env=environment() | {"PYTHONIOENCODING": "ascii"}, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "loss: 3 points" in done.stdout and "PYTHONIOENCODING=utf-8" in done.stdout


def test_a_curve_of_any_length_keeps_bounded_bins_and_exact_extremes() -> None:
    curve = Curve("loss")
    for step in range(100_000):
        curve.add(step * 7, float(step))
    line = curve.line()
    assert 100 < len(line) <= 512
    assert (curve.points, curve.lowest, curve.highest) == (100_000, 0.0, 99_999.0)
    assert (curve.first_step, curve.final_step) == (0, 699_993)
    assert all(abs(step / 7 - value) < 1_000 for step, value in line)


def test_a_run_without_metrics_is_shown(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    directory = record(home, "r1", points=0)
    assert call("show", "r1") == 0
    assert "r1: train, finished" in capsys.readouterr().out
    with JournalReader(directory / "journal.db") as journal:
        assert read_curves(journal) == {}
