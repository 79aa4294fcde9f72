"""A diagnosis names what costs most of the time, says what speaks for it, and does not guess."""

from __future__ import annotations

import dataclasses
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from touchline.watch.advice import Cause
from touchline.watch.diagnosis import Diagnosis, Evidence, diagnose, losses
from touchline.watch.sections import SECTIONS

A_MODERATE_LOAD: dict[str, float] = {
    "gpu/utilization_percent": 40.0,
    "gpu/power_watts": 55.0,
    "gpu/power_limit_watts": 100.0,
    "gpu/temperature": 60.0,
    "gpu/clock_sm_mhz": 2000.0,
    "gpu/clock_sm_max_mhz": 2000.0,
    "gpu/throttle_thermal": 0.0,
    "gpu/throttle_power": 0.0,
    "gpu/throttle_hardware": 0.0,
    "host/cpu_percent": 20.0,
    "host/memory_percent": 30.0,
}
"""A device that no scenario names: its kernels fill about half of it while they run."""
HALF_UPDATES = {"environment": 0.2, "transfer": 0.05, "update": 0.7}


def evidence(sections: dict[str, float] | None = None, without: str = "-", **changes: Any) -> Evidence:
    """Evidence of a moderate load; ``changes`` name series (``gpu_temperature``) or arguments of ``Evidence.of``."""
    series, arguments = dict(A_MODERATE_LOAD), {}
    for name, value in changes.items():
        if name.startswith(("gpu_", "host_")):
            series[name.replace("_", "/", 1)] = value
        else:
            arguments[name] = value
    series = {name: value for name, value in series.items() if without not in name}
    return Evidence.of(series, sections or {}, **arguments)


def diagnosed(*args: Any, **changes: Any) -> Diagnosis:
    diagnosis = diagnose(evidence(*args, **changes))
    assert diagnosis is not None
    return diagnosis


@pytest.mark.parametrize(
    ("section", "cause"),
    [
        ("environment", "environment_bound"),
        ("evaluation", "environment_bound"),
        ("transfer", "transfer_bound"),
        ("logging", "waiting_for_sink"),
        ("checkpoint", "waiting_for_sink"),
        ("compile", "compiling"),
    ],
)
def test_what_the_card_waits_for_longest_is_the_cause(section: str, cause: str) -> None:
    others = dict.fromkeys(set(SECTIONS) - {section, "update"}, 0.02)
    assert diagnosed({**others, "update": 0.4, section: 0.5}).cause == cause


@pytest.mark.parametrize("utilization", [80.0, 97.0])
def test_a_used_card_gets_no_diagnosis(utilization: float) -> None:
    assert diagnose(evidence({"environment": 0.9}, gpu_utilization_percent=utilization)) is None


@pytest.mark.parametrize("utilization", [None, float("nan")])
def test_a_card_of_unknown_utilization_gets_no_diagnosis(utilization: float | None) -> None:
    assert diagnose(evidence({"environment": 0.9}, gpu_utilization_percent=utilization)) is None


def test_logging_and_checkpoints_are_one_cause() -> None:
    assert (
        diagnosed({"environment": 0.3, "logging": 0.2, "checkpoint": 0.15, "update": 0.3}).cause == "waiting_for_sink"
    )


def test_a_section_through_which_the_card_works_is_no_cause() -> None:
    busy_anyway = diagnosed({"logging": 0.8, "update": 0.1}, gpu_utilization_percent=70.0, gpu_power_watts=80.0)
    assert busy_anyway.cause == "unknown"
    assert "block_until_ready" in busy_anyway.suggestion


def test_few_processors_at_work_in_most_of_the_time_are_a_batch_too_small() -> None:
    assert (
        diagnosed({"update": 0.9, "environment": 0.08}, gpu_sm_percent=4.0, batch_size=128).cause == "batch_too_small"
    )


def test_little_power_tells_of_small_kernels_where_sm_activity_is_not_offered() -> None:
    assert diagnosed({"update": 0.9, "environment": 0.08}, gpu_power_watts=37.0).cause == "batch_too_small"


def test_power_at_rest_is_taken_from_the_lowest_reading_where_that_is_lower() -> None:
    draws = evidence(gpu_power_watts=37.0)
    rests_at_ten_watts = evidence(gpu_power_watts=37.0, lowest={"gpu/power_watts": 10.0})
    assert rests_at_ten_watts.occupancy == pytest.approx((37 - 10) / (100 - 10) / 0.4)
    assert draws.occupancy == pytest.approx((37 - 34) / (100 - 34) / 0.4)


def test_small_kernels_of_short_updates_yield_to_a_slow_environment() -> None:
    assert diagnosed({"update": 0.2, "environment": 0.75}, gpu_sm_percent=2.0).cause == "environment_bound"


def test_gaps_between_large_kernels_of_large_batches_are_not_explained() -> None:
    sections = {"update": 0.9, "environment": 0.05}
    assert diagnosed(sections, gpu_power_watts=70.0, batch_size=8192).cause == "unknown"
    assert diagnosed(sections, gpu_power_watts=70.0, batch_size=64).cause == "batch_too_small"


def test_a_small_batch_is_blamed_without_power_only_where_updates_are_timed() -> None:
    assert diagnosed({"update": 0.6, "environment": 0.3}, without="power", batch_size=128).cause == "batch_too_small"
    assert diagnosed(without="power", batch_size=128).cause == "unknown"


def test_low_power_of_a_slowed_card_is_no_sign_of_small_kernels() -> None:
    slowed = {"gpu_power_watts": 44.0, "gpu_clock_sm_mhz": 800.0, "gpu_throttle_thermal": 1.0}
    assert evidence(**slowed).occupancy == 1.0
    assert evidence(without="clock", **slowed).occupancy is None


def test_a_card_that_heat_holds_at_half_of_its_clock_is_thermally_throttled() -> None:
    hot = diagnosed(
        HALF_UPDATES,
        gpu_utilization_percent=72.0,
        gpu_temperature=90.0,
        gpu_clock_sm_mhz=900.0,
        gpu_throttle_thermal=0.9,
    )
    assert hot.cause == "thermally_throttled"
    assert "It was 90 °C hot." in hot.evidence
    assert "Its clock was 900 MHz of 2000." in hot.evidence


def test_a_card_that_its_limit_holds_at_half_of_its_clock_is_power_throttled() -> None:
    limited = diagnosed(
        HALF_UPDATES,
        gpu_utilization_percent=72.0,
        gpu_power_watts=99.0,
        gpu_clock_sm_mhz=1000.0,
        gpu_throttle_power=0.9,
    )
    assert limited.cause == "power_throttled"
    assert "It drew 99 W of the 100 W it may." in limited.evidence
    assert "Raise the limit" in limited.suggestion


def test_a_brake_on_a_card_below_its_limit_points_at_the_supply() -> None:
    braked = diagnosed(
        HALF_UPDATES,
        gpu_utilization_percent=72.0,
        gpu_power_watts=50.0,
        gpu_clock_sm_mhz=1000.0,
        gpu_throttle_power=0.9,
        gpu_throttle_hardware=0.9,
    )
    assert (braked.cause, "power supplies" in braked.suggestion) == ("power_throttled", True)


@pytest.mark.parametrize(("celsius", "cause"), [(90.0, "thermally_throttled"), (50.0, "power_throttled")])
def test_hardware_that_tells_no_reason_is_judged_by_the_heat(celsius: float, cause: str) -> None:
    slowed = diagnosed(
        HALF_UPDATES,
        gpu_utilization_percent=72.0,
        gpu_temperature=celsius,
        gpu_clock_sm_mhz=900.0,
        gpu_throttle_hardware=1.0,
    )
    assert slowed.cause == cause


@pytest.mark.parametrize(
    ("celsius", "watts", "cause"),
    [(90.0, 50.0, "thermally_throttled"), (70.0, 99.0, "power_throttled"), (50.0, 50.0, "unknown")],
)
def test_without_throttle_reasons_a_low_clock_is_judged_by_heat_and_power(
    celsius: float, watts: float, cause: str
) -> None:
    slowed = diagnosed(
        HALF_UPDATES,
        without="throttle",
        gpu_utilization_percent=72.0,
        gpu_temperature=celsius,
        gpu_power_watts=watts,
        gpu_clock_sm_mhz=900.0,
    )
    assert slowed.cause == cause


def test_a_clock_that_falls_while_the_card_rests_is_no_throttling() -> None:
    assert diagnosed({"environment": 0.6, "update": 0.3}, gpu_clock_sm_mhz=600.0).cause == "environment_bound"


def test_a_clock_lowered_now_and_then_is_not_blamed_for_a_slow_environment() -> None:
    warm = diagnosed(
        {"environment": 0.6, "update": 0.35},
        gpu_temperature=84.0,
        gpu_throttle_thermal=0.15,
        gpu_clock_sm_mhz=1800.0,
    )
    assert warm.cause == "environment_bound"


def test_throttling_is_told_where_the_driver_tells_no_clock() -> None:
    hot = diagnosed(HALF_UPDATES, without="clock", gpu_utilization_percent=75.0, gpu_throttle_thermal=0.95)
    assert hot.cause == "thermally_throttled"


def test_nothing_timed_and_a_host_at_rest_is_unknown_and_asks_for_sections() -> None:
    nothing = diagnosed()
    assert nothing.cause == "unknown"
    assert "Sections" in nothing.suggestion


def test_nothing_timed_and_a_host_with_full_cores_is_the_environment() -> None:
    assert diagnosed(host_cpu_percent=95.0).cause == "environment_bound"


def test_full_cores_beside_a_short_timed_environment_explain_nothing() -> None:
    assert diagnosed({"environment": 0.05, "update": 0.1}, host_cpu_percent=95.0).cause == "unknown"


def test_more_untimed_than_timed_waiting_is_unknown() -> None:
    assert diagnosed({"environment": 0.2, "update": 0.3}).cause == "unknown"


def test_compilations_before_the_first_step_are_compiling() -> None:
    assert diagnosed(gpu_utilization_percent=3.0, compilations=2, steps_per_second=0).cause == "compiling"
    assert diagnosed(gpu_utilization_percent=3.0, compilations=2).cause == "compiling"


def test_a_first_update_that_compiles_within_its_section_is_compiling() -> None:
    first = diagnosed(
        {"update": 0.85, "environment": 0.1},
        gpu_utilization_percent=4.0,
        gpu_power_watts=34.0,
        compilations=3,
        steps_per_second=0,
    )
    assert first.cause == "compiling"


def test_a_single_compilation_among_steps_is_not_blamed() -> None:
    assert diagnosed(compilations=1, steps_per_second=500.0).cause == "unknown"


def test_compiling_again_and_again_is_told_by_the_count_alone() -> None:
    again = diagnosed(compilations=90, steps_per_second=500.0)
    assert again.cause == "compiling"
    assert "shapes" in again.suggestion


@pytest.mark.parametrize("maximum", [1.3e-259, 1.0, 1990.0])
def test_a_card_above_its_stated_maximum_has_its_full_clock(maximum: float) -> None:
    full = evidence(gpu_throttle_power=0.1)
    above = evidence(gpu_throttle_power=0.1, gpu_clock_sm_max_mhz=maximum)
    assert (above.clock_share, above.occupancy) == (1.0, full.occupancy)


@pytest.mark.parametrize("clock", [1e-200, 1e-3])
def test_a_card_that_draws_more_than_its_clock_accounts_for_is_full(clock: float) -> None:
    assert evidence(gpu_throttle_power=0.1, gpu_clock_sm_mhz=clock).occupancy == 1.0


def test_two_cards_are_two_cards_at_rest() -> None:
    series = {"gpu/utilization_percent": 50.0, "gpu/power_watts": 75.0, "gpu/power_limit_watts": 200.0}
    each = {f"gpu/{index}/utilization_percent": 50.0 for index in range(2)}
    assert Evidence.of({**series, **each}).occupancy == pytest.approx((75 - 68) / (200 - 68) / 0.5)


def test_a_section_of_another_name_counts_as_not_timed() -> None:
    assert Evidence.of({}, {"update": 0.5, "planning": 0.4}).untimed == pytest.approx(0.5)


def test_the_paragraph_names_the_cause_the_shares_and_one_thing_to_try() -> None:
    assert str(diagnosed({"environment": 0.71, "update": 0.19, "logging": 0.01})) == (
        "The GPU waits for the environment (environment_bound). A kernel ran for 40 % of the time. The loop's time: "
        "environment 71 %, update 19 %, logging 1 %, in no section 9 %. The host's cores were busy for 20 % of the "
        "time. Step more environments in parallel, in processes of their own: the host has cores to spare."
    )


def test_a_full_host_and_a_swap_and_long_evaluations_change_the_advice() -> None:
    simulation = {"environment": 0.7, "update": 0.2}
    assert "MJX" in diagnosed(simulation, host_cpu_percent=95.0).suggestion
    assert "Evaluate" in diagnosed({"evaluation": 0.7, "update": 0.2}).suggestion
    assert "swap" in diagnosed({"transfer": 0.7, "update": 0.2}, host_memory_percent=98.0).suggestion


def test_a_larger_batch_is_proposed_in_samples() -> None:
    assert "from 256 to 1,024" in diagnosed({"update": 0.9}, gpu_sm_percent=4.0, batch_size=256).suggestion


SHARES = st.floats(0.0, 1.0)
SOME = {field.name for field in dataclasses.fields(Evidence)} - {"sections", "gpus", "window_seconds"}
POSSIBLE = st.builds(
    Evidence,
    sections=st.dictionaries(st.sampled_from(SECTIONS), st.floats(0.0, 1.0 / len(SECTIONS))),
    gpus=st.integers(1, 8),
    **{name: st.none() | (SHARES if name.startswith("throttle") else st.floats(0.0, 100.0)) for name in SOME},  # type: ignore[arg-type]
)


@given(POSSIBLE)
def test_any_evidence_gets_a_known_cause_a_possible_loss_and_words(given_evidence: Evidence) -> None:
    diagnosis = diagnose(given_evidence)
    if diagnosis is None:
        return
    assert diagnosis.cause in get_args(Cause)
    assert 0.0 <= diagnosis.lost_share <= 1.0 + 1e-9
    assert all(sentence.endswith(".") for sentence in (*diagnosis.evidence, diagnosis.suggestion))
    assert diagnosis.lost_share == max(loss.share for loss in losses(given_evidence))
