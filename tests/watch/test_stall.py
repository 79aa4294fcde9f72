import math
import threading

import pytest

from touchline.errors import UsageError
from touchline.watch.alerts import AlertConfig, Alerts
from touchline.watch.snapshot import Snapshot
from touchline.watch.stall import TrainingConfig


def told(notes, until, **config):
    """Rule, time and title of what is told, of notes (at, step, metrics) and a look at every second."""
    alerts = Alerts(AlertConfig(training=TrainingConfig(**config)))
    waiting, found = list(notes), []
    for at in range(until):
        while waiting and waiting[0][0] <= at:
            noted, step, metrics = waiting.pop(0)
            alerts.training(step, metrics, float(noted))
        found += [(alert.rule, at, alert.title) for alert in alerts.observe(Snapshot(float(at), {}))]
    return found


def test_training_without_a_step_for_long_is_told_and_so_is_that_it_goes_on():
    notes = [(0, 100, {}), (10, 200, {})] + [(at, at, {}) for at in range(900, 1_100)]
    assert told(notes, 1_100) == [
        ("stalled", 610, "No step for 10 min"),
        ("stalled", 1_020, "Training makes steps again"),
    ]


def texts_of_recoveries(notes, until, **config):
    alerts = Alerts(AlertConfig(clear_seconds=2.0, training=TrainingConfig(**config)))
    waiting, found = list(notes), []
    for at in range(until):
        while waiting and waiting[0][0] <= at:
            noted, step, metrics = waiting.pop(0)
            alerts.training(step, metrics, noted)
        found += [alert.text for alert in alerts.observe(Snapshot(float(at), {})) if alert.recovered]
    return found


def test_a_silence_lasted_from_the_last_step_to_the_next():
    notes = [(0, 0, {}), (20, 1, {}), *((at, at, {}) for at in range(21, 30))]
    assert texts_of_recoveries(notes, 30, silent_seconds=4.0) == ["Training makes steps again, after 20 s."]


def test_a_loss_was_not_finite_from_its_first_such_value_to_the_first_finite_one():
    notes = [(0, 0, {"loss": 1.0}), *((at, at, {"loss": math.nan}) for at in range(1, 8))]
    notes += [(at, at, {"loss": 1.0}) for at in range(8, 20)]
    assert texts_of_recoveries(notes, 20) == ["All losses are finite again, after 7 s."]
    short = [(0.1, 0, {"loss": math.nan}), *((at + 0.2, 1 + at, {"loss": 1.0}) for at in range(20))]
    assert texts_of_recoveries(short, 20) == ["All losses are finite again, after less than a second."]


def test_a_metric_was_no_better_since_its_best_value():
    notes = [(at, at, {"return": min(at, 10.0) + (at > 40)}) for at in range(60)]
    found = texts_of_recoveries(notes, 60, progress_metric="return", progress_steps=20)
    assert found == ["return gets better again, after 31 s."]


def test_notes_of_the_same_step_are_no_steps():
    assert told([(at, 7, {}) for at in range(700)], 700) == [("stalled", 600, "No step for 10 min")]


def test_before_the_first_note_nothing_is_missed():
    assert told([], 2_000) == []


def test_a_loss_that_is_no_number_is_told_at_once_with_its_first_step():
    notes = [(at, 10 * at, {"loss/critic": math.nan if at >= 5 else 1.0}) for at in range(50)]
    assert told(notes, 50) == [("nonfinite_loss", 5, "loss/critic is nan")]


@pytest.mark.parametrize("value", [math.inf, -math.inf])
def test_a_loss_without_bounds_is_told(value):
    assert told([(1, 1, {"loss": value})], 5) == [("nonfinite_loss", 1, f"loss is {value}")]


def test_losses_that_are_finite_again_are_told_after_a_while():
    notes = [(at, at, {"loss": math.nan if at < 5 else 1.0}) for at in range(200)]
    assert told(notes, 200)[-1] == ("nonfinite_loss", 125, "All losses are finite again")


@pytest.mark.parametrize("name", ["Loss/train", "a/LOSS", "train/loss", "losses/critic"])
def test_a_loss_is_known_by_its_name_in_capitals_or_not(name):
    assert told([(1, 1, {name: math.nan})], 5) == [("nonfinite_loss", 1, f"{name} is nan")]


def test_patterns_of_ones_own_match_in_capitals_or_not_too():
    assert told([(1, 1, {"td_error": math.nan})], 5, losses=("*Error",)) == [("nonfinite_loss", 1, "td_error is nan")]


@pytest.mark.parametrize(
    ("values", "title", "words"),
    [
        ([math.nan], "loss is nan", "nan since step 100, in 1 step so far"),
        ([math.nan, 1.0], "loss was nan at step 100", "nan in 1 step (step 100), and is finite again"),
        ([math.inf] * 4 + [1.0] * 9, "loss was inf at step 100", "inf in 4 steps (step 100 to 103), and is finite"),
        ([math.nan, 1.0, math.nan], "loss is nan", "nan since step 100, in 2 steps so far"),
    ],
)
def test_a_loss_that_is_not_finite_between_two_looks_is_told_with_its_steps(values, title, words):
    alerts = Alerts()
    for step, value in enumerate([1.0, *values]):
        alerts.training(99 + step, {"loss": value}, 5.0 + 0.01 * step)
    (alert,) = alerts.observe(Snapshot(6.0, {}))
    assert (alert.rule, alert.level, alert.title) == ("nonfinite_loss", "error", title)
    assert words in alert.text


def test_a_step_that_is_noted_twice_counts_once():
    alerts = Alerts()
    for _ in range(2):
        alerts.training(7, {"loss": math.nan}, 5.0)
    (alert,) = alerts.observe(Snapshot(6.0, {}))
    assert "since step 7, in 1 step so far" in alert.text


def test_what_was_judged_is_not_judged_again():
    notes = [(3, 3, {"loss": math.nan}), (4, 4, {"loss": 1.0}), *((at, at, {"loss": 1.0}) for at in range(5, 200))]
    assert told(notes, 200) == [
        ("nonfinite_loss", 3, "loss is nan"),
        ("nonfinite_loss", 124, "All losses are finite again"),
    ]


@pytest.mark.parametrize("steps_a_second", [1, 10])
def test_a_thousand_flaps_of_a_loss_are_at_most_two_alerts(steps_a_second):
    alerts, found = Alerts(), []
    for step in range(2_000):
        at = step / steps_a_second
        alerts.training(step, {"loss": math.nan if step % 2 else 1.0}, at)
        if step % steps_a_second == 0:
            found += alerts.observe(Snapshot(at, {}))
    assert [alert.rule for alert in found] == ["nonfinite_loss"]


def test_one_loss_that_is_finite_does_not_hide_another_that_is_not():
    notes = [(at, at, {"loss/a": math.nan} if at % 2 else {"loss/b": 1.0}) for at in range(300)]
    assert [rule for rule, _, _ in told(notes, 300)] == ["nonfinite_loss"]


def test_a_metric_that_is_no_loss_may_be_no_number():
    assert told([(at, at, {"episode/return": math.nan}) for at in range(20)], 20) == []


def test_what_is_no_figure_at_all_is_passed_over():
    assert told([(1, 1, {"loss": "low"}), (2, 2, {"loss": math.nan})], 5) == [("nonfinite_loss", 2, "loss is nan")]


@pytest.mark.parametrize(("falls", "sign"), [(False, 1.0), (True, -1.0)])
def test_a_metric_that_gets_no_better_is_told_after_the_steps_given(falls, sign):
    notes = [(at, 100 * at, {"return": sign * min(at, 20)}) for at in range(100)]
    found = told(notes, 100, progress_metric="return", progress_steps=5_000, progress_falls=falls)
    assert found == [("no_progress", 70, "return is no better for 5,000 steps")]


def test_less_than_the_margin_is_no_progress():
    notes = [(at, 100 * at, {"return": 0.001 * at}) for at in range(100)]
    assert told(notes, 100, progress_metric="return", progress_steps=5_000) == []
    found = told(notes, 100, progress_metric="return", progress_steps=5_000, progress_margin=1.0)
    assert [rule for rule, _, _ in found] == ["no_progress"]


def test_a_run_that_went_back_to_a_checkpoint_makes_its_way_again():
    forth = [(at, 100 * at, {"return": at}) for at in range(60)]
    back = [(60 + at, 100 * at, {"return": at}) for at in range(60)]
    assert told(forth + back, 120, progress_metric="return", progress_steps=1_000) == []


def test_a_metric_without_its_steps_is_refused():
    with pytest.raises(UsageError, match="Give both, or neither"):
        TrainingConfig(progress_metric="return")


@pytest.mark.parametrize("metrics", ["notadict", ["loss"], 3.5, [("loss", 1.0)], {3: 1.0}])
def test_metrics_that_are_no_mapping_of_names_are_refused_with_their_words(metrics):
    alerts = Alerts()
    alerts.training(1, {"loss": 1.0}, 0.0)
    with pytest.raises(UsageError, match="mapping of names to numbers.*these are"):
        alerts.training(2, metrics, 0.0)


def test_notes_come_from_any_thread():
    alerts = Alerts()
    threads = [threading.Thread(target=alerts.training, args=(i, {"loss": math.nan}, float(i))) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [alert.rule for alert in alerts.observe(Snapshot(9.0, {}))] == ["nonfinite_loss"]
