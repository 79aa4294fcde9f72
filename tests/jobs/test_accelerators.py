"""Which devices driver, jax and torch see: each answer, and what is said when they differ."""

from __future__ import annotations

from pathlib import Path

import pytest

from touchline.config import Settings
from touchline.jobs.accelerators import Seen, accelerators, agreement, ask_driver, ask_jax, judge_driver, no_driver
from touchline.testing.nvml import build_driver, packaged_scenario, stand_in_environment, write_scenario

L4 = "NVIDIA L4"
AN_L4 = packaged_scenario("l4")


def test_a_jax_that_does_not_load_is_missing_not_a_crash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JAX_PLATFORMS", "no_such_platform")
    answer = ask_jax(Settings(home=tmp_path), 60.0)
    assert answer.check.level == "missing"
    assert "no_such_platform" in answer.check.found
    assert answer.seen is None


@pytest.fixture
def scenario(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The scenario of a stand-in driver that child processes find."""
    path = write_scenario(tmp_path / "scenario", AN_L4)
    for name, value in stand_in_environment(build_driver(tmp_path), path).items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return path


def test_the_driver_is_told_with_its_gpus_and_their_figures(scenario: Path) -> None:
    write_scenario(scenario, AN_L4 + "memory_used = 0.56e9\n")
    answer = ask_driver(60.0)
    assert answer.check.level == "ok"
    assert answer.check.found == ("570.0-stand-in with 1 x NVIDIA L4, 4 % of the memory in use, 61 °C, 56 W")
    assert answer.check.figures["gpu/temperature"] == 61
    assert answer.seen == Seen((L4,))


def test_a_gpu_whose_memory_somebody_else_holds_is_told(scenario: Path) -> None:
    check = ask_driver(60.0).check
    assert check.level == "degraded"
    assert "75 % of the memory in use" in check.found and "nvidia-smi" in check.remedy


def test_a_lost_gpu_lets_no_training_start(scenario: Path) -> None:
    write_scenario(scenario, AN_L4 + "lost = from 0s\n")
    check = ask_driver(60.0).check
    assert check.level == "missing"
    assert "lost" in check.found and "nvidia-smi --gpu-reset" in check.remedy


def test_a_gpu_that_is_lost_among_others_lets_no_training_start() -> None:
    check = judge_driver(
        {
            "version": "570",
            "names": [L4, L4],
            "figures": {"gpu/0/temperature": 61.0},
            "absent": {"gpu/0/sm_percent": "no GPM", "gpu/1/temperature": "GPU is lost"},
        }
    )
    assert (check.level, check.found) == ("missing", f"570 with 2 x {L4}; GPU is lost")


def test_a_driver_that_does_not_start_is_told_with_the_reason(scenario: Path) -> None:
    write_scenario(scenario, "[driver]\nfault nvmlInit = DRIVER_NOT_LOADED\n" + AN_L4)
    answer = ask_driver(60.0)
    assert "does not start" in answer.check.found
    assert answer.seen is not None and answer.seen.names == ()


def test_a_driver_that_hangs_lets_no_training_start_and_nothing_else_is_asked(
    scenario: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_scenario(scenario, "[driver]\nhang * = 600s from 0s\n" + AN_L4)
    monkeypatch.setattr("touchline.jobs.accelerators.DRIVER_SECONDS", 2.0)
    driver, jax, torch, same = accelerators(Settings(home=tmp_path), 60.0)
    assert (driver.level, driver.found) == ("missing", "the NVIDIA driver hangs: no answer within 2 s")
    assert "Xid in the kernel log" in driver.remedy and "restart the machine" in driver.remedy
    assert {check.found for check in (jax, torch)} == {"not asked, because the NVIDIA driver hangs"}
    assert same.level == "degraded"


def test_a_driver_that_hangs_where_its_figures_are_asked_lets_no_training_start() -> None:
    absent = {"gpu/temperature": "the NVIDIA driver has not answered for 5.0 s"}
    check = judge_driver({"version": "570", "names": [L4], "figures": {}, "absent": absent})
    assert check.level == "missing" and "restart the machine" in check.remedy


def test_a_machine_without_nvidia_is_well_and_one_that_lost_its_driver_is_not() -> None:
    assert no_driver("no NVIDIA driver on this machine", has_module=False).level == "ok"
    check = no_driver("no NVIDIA driver on this machine", has_module=True)
    assert check.level == "degraded" and "--gpus all" in check.remedy


def test_a_driver_that_gives_no_figure_is_told_why() -> None:
    check = judge_driver(
        {"version": "570", "names": [L4], "figures": {"host/cpu_percent": 3.0}, "absent": {"gpu/x": "no right"}}
    )
    assert (check.level, check.found) == ("degraded", f"570 with 1 x {L4}; no right")


ONE, TWO = Seen((L4,)), Seen((L4, L4))
BLIND = Seen(remedy="Install jax[cuda12].")
FOR_CPU = Seen(why_none="a build without CUDA", remedy="Install another.")
BOTH, H100, SLICE = Seen((L4, "NVIDIA H100")), Seen(("NVIDIA H100",)), Seen(("A100 MIG 1g",))


@pytest.mark.parametrize(
    ("driver", "jax", "torch", "said"),
    [
        pytest.param(Seen(), Seen(), Seen(), "jax and torch compute on the CPU", id="no GPU anywhere"),
        pytest.param(ONE, ONE, ONE, f"driver sees 1 x {L4}, jax sees 1 x {L4}", id="all agree"),
        pytest.param(None, ONE, ONE, f"jax sees 1 x {L4}, torch sees 1 x {L4}", id="driver silent"),
        pytest.param(Seen(), Seen(("TPU v4",) * 4), Seen(), "jax sees 4 x TPU v4", id="an accelerator for jax alone"),
        pytest.param(Seen(("NVIDIA A100",)), SLICE, SLICE, "jax sees 1 x A100 MIG 1g", id="a slice of a GPU"),
    ],
)
def test_jax_and_torch_that_see_the_same_devices_are_well(
    driver: Seen | None, jax: Seen, torch: Seen, said: str
) -> None:
    check = agreement(driver, jax, torch)
    assert (check.level, check.remedy) == ("ok", "")
    assert said in check.found


@pytest.mark.parametrize(
    ("driver", "jax", "torch", "said", "remedy"),
    [
        pytest.param(ONE, ONE, FOR_CPU, "(torch: a build without CUDA)", "Install another.", id="torch for the CPU"),
        pytest.param(ONE, BLIND, ONE, "jax sees no GPU", "Install jax[cuda12].", id="jax blind"),
        pytest.param(
            ONE, BLIND, FOR_CPU, "torch sees no GPU", "Install jax[cuda12]. Install another.", id="both blind"
        ),
        pytest.param(TWO, TWO, ONE, f"jax sees 2 x {L4}, torch sees 1 x {L4}", "CUDA_VISIBLE_DEVICES", id="counts"),
        pytest.param(BOTH, ONE, H100, "torch sees 1 x NVIDIA H100", "PCI_BUS_ID", id="different devices"),
        pytest.param(ONE, None, ONE, "jax could not be asked", "Mend", id="jax broken"),
    ],
)
def test_a_mismatch_is_told_with_the_remedy(
    driver: Seen, jax: Seen | None, torch: Seen, said: str, remedy: str
) -> None:
    check = agreement(driver, jax, torch)
    assert check.level == "degraded"
    assert said in check.found
    assert remedy in check.remedy
