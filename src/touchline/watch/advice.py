"""A diagnosis in words: its title, the numbers that speak for it, and the one thing to try first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Literal

from touchline.watch.evidence import Evidence

Cause = Literal[
    "environment_bound",
    "transfer_bound",
    "batch_too_small",
    "compiling",
    "waiting_for_sink",
    "thermally_throttled",
    "power_throttled",
    "unknown",
]

TITLES: Mapping[Cause, str] = {
    "environment_bound": "The GPU waits for the environment",
    "transfer_bound": "The GPU waits for its data",
    "batch_too_small": "The GPU is given too little work at a time",
    "compiling": "Programs are being compiled",
    "waiting_for_sink": "The loop waits for what it logs and saves",
    "thermally_throttled": "Heat holds the GPU's clock down",
    "power_throttled": "A power limit holds the GPU's clock down",
    "unknown": "The evidence does not tell why the GPU has little to do",
}

_NOTEWORTHY = 0.005
_SWAPPING_PERCENT = 95.0
_IDLE_PERCENT = 70.0
_RECOMPILING = 10


def sentences(cause: Cause, evidence: Evidence) -> tuple[str, ...]:
    """Return what was measured that bears on the cause, the most general first."""
    return tuple(_sentences(cause, evidence))


def _sentences(cause: Cause, evidence: Evidence) -> Iterator[str]:
    yield f"A kernel ran for {_percent(evidence.busy)} of the time."
    yield _times(evidence)
    if cause in ("thermally_throttled", "power_throttled"):
        yield from _clock(cause, evidence)
    if cause in ("batch_too_small", "unknown") and evidence.sm_percent is not None:
        yield f"On average {evidence.sm_percent:.0f} % of its processors worked."
    if cause in ("batch_too_small", "power_throttled", "unknown") and evidence.power_watts is not None:
        limit = "" if evidence.power_limit_watts is None else f" of the {evidence.power_limit_watts:.0f} W it may"
        yield f"It drew {evidence.power_watts:.0f} W{limit}."
    if cause == "batch_too_small" and evidence.batch_size is not None:
        yield f"An update has {evidence.batch_size:,} samples."
    if cause == "compiling" and evidence.compilations is not None:
        yield f"{evidence.compilations} programs were compiled in {evidence.window_seconds:.0f} s."
    if cause in ("environment_bound", "unknown") and evidence.host_cpu_percent is not None:
        yield f"The host's cores were busy for {evidence.host_cpu_percent:.0f} % of the time."
    if cause == "transfer_bound" and evidence.host_memory_percent is not None:
        yield f"The host's memory is {evidence.host_memory_percent:.0f} % full."


def _times(evidence: Evidence) -> str:
    by_share = sorted(evidence.sections.items(), key=lambda section: -section[1])
    told = [f"{name} {_percent(share)}" for name, share in by_share if share >= _NOTEWORTHY]
    if not told:
        return "The loop's time is in no section."
    return f"The loop's time: {', '.join(told)}, in no section {_percent(evidence.untimed)}."


def _clock(cause: Cause, evidence: Evidence) -> Iterator[str]:
    if evidence.clock_sm_mhz is not None and evidence.clock_sm_max_mhz is not None:
        yield f"Its clock was {evidence.clock_sm_mhz:.0f} MHz of {evidence.clock_sm_max_mhz:.0f}."
    if evidence.throttled is not None:
        yield f"It was throttled for {_percent(evidence.throttled)} of the time."
    if cause == "thermally_throttled" and evidence.temperature is not None:
        yield f"It was {evidence.temperature:.0f} °C hot."


def _percent(share: float) -> str:
    return f"{100.0 * share:.0f} %"


def suggestion(cause: Cause, evidence: Evidence) -> str:
    """Return the one thing to try first, given the evidence; a sentence."""
    return _SUGGESTIONS[cause](evidence)


def _for_environment(evidence: Evidence) -> str:
    if evidence.spent("evaluation") > evidence.spent("environment"):
        return "Evaluate less often or with fewer episodes, or in a process of its own."
    if (evidence.host_cpu_percent or 0.0) >= _IDLE_PERCENT:
        return "Simulate on the GPU (MuJoCo MJX), or give the environments more cores: those of the host are busy."
    return "Step more environments in parallel, in processes of their own: the host has cores to spare."


def _for_transfer(evidence: Evidence) -> str:
    if (evidence.host_memory_percent or 0.0) >= _SWAPPING_PERCENT:
        return "Make the replay buffer smaller: the host's memory is full, and batches are read back from the swap."
    return "Keep the replay buffer on the GPU; where it does not fit, load the next batch while this one is learned."


def _for_small_kernels(evidence: Evidence) -> str:
    larger = "" if evidence.batch_size is None else f", from {evidence.batch_size:,} to {4 * evidence.batch_size:,}"
    return f"Make the batch, or what runs in parallel on the GPU, four times as large{larger}, in one compiled call."


def _for_compiling(evidence: Evidence) -> str:
    if (evidence.compilations or 0) >= _RECOMPILING:
        return "Keep shapes fixed (pad them), and pass changing numbers as arrays: one program then serves them all."
    return "Wait for it to end; a compile cache (jax_compilation_cache_dir) saves it at the next start."


def _for_sinks(evidence: Evidence) -> str:
    if evidence.spent("checkpoint") > evidence.spent("logging"):
        return "Write checkpoints less often, or from a thread that does not hold up the loop."
    return "Log less often or less at a time, through a queue that another thread or process sends."


def _for_heat(_: Evidence) -> str:
    return "Look after the air: fans, dust, the way in and out, the room."


def _for_power(evidence: Evidence) -> str:
    if evidence.power_watts is not None and not evidence.is_at_the_power_limit:
        return "Look at the server's power supplies: the clock is held down although the card is below its own limit."
    return "Raise the limit if supply and cooling allow it (nvidia-smi --power-limit), or compute in lower precision."


def _for_unknown(evidence: Evidence) -> str:
    if evidence.untimed < evidence.spent("logging", "evaluation", "checkpoint", "environment", "transfer"):
        return "Wait for the result at the end of each update (jax.block_until_ready), so that its time counts there."
    return "Time the sections of the loop (touchline.watch.Sections), so that the next diagnosis can tell."


_SUGGESTIONS = {
    "environment_bound": _for_environment,
    "transfer_bound": _for_transfer,
    "batch_too_small": _for_small_kernels,
    "compiling": _for_compiling,
    "waiting_for_sink": _for_sinks,
    "thermally_throttled": _for_heat,
    "power_throttled": _for_power,
    "unknown": _for_unknown,
}
