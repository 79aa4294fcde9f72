"""Which accelerators the driver, jax and torch see, each asked in a process of its own, and whether they agree."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

from touchline.config import Settings
from touchline.jax_guard import prepare
from touchline.jobs.setup import Check
from touchline.jobs.trying import is_silence, remedy_for, try_code

OCCUPIED_PERCENT = 20.0
"""Memory of a GPU in use before the training starts, above which somebody else is told of."""
DRIVER_SECONDS = 10.0
"""A driver that nobody keeps awake takes seconds to start; one that takes longer than this is held to hang."""
_LOST = "Reset it with nvidia-smi --gpu-reset, or restart the machine."
_HANGS = (
    "Look for Xid in the kernel log (journalctl -k | grep -i xid), and restart the machine: a program that asks the "
    "driver now may hang so that not even kill -9 ends it."
)
_DRIVER = """
import json
from touchline.watch import GpuWatch
from touchline.watch.nvml import Driver, NvmlUnavailable
try:
    driver = Driver()
except NvmlUnavailable as error:
    print(json.dumps({"none": str(error)}))
else:
    with GpuWatch(0.1) as watch:
        watch.wait_sample(10.0)
        figures, absent = dict(watch.latest.values) if watch.latest else {}, watch.absent
    version = driver.nvml.nvmlSystemGetDriverVersion()
    version = version if isinstance(version, str) else version.decode()
    names = [device.name for device in driver.devices]
    print(json.dumps({"version": version, "names": names, "figures": figures, "absent": absent}))
"""
_JAX = """
import json, jax
print(json.dumps([[d.platform, d.device_kind] for d in jax.devices()]))
"""
_TORCH = """
import json, warnings, torch
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
names = [torch.cuda.get_device_name(i) for i in range(count)]
why = " ".join(str(caught[0].message).split()) if caught else ""
print(json.dumps({"version": torch.__version__, "cuda": torch.version.cuda, "names": names, "why": why}))
"""


@dataclass(frozen=True)
class Seen:
    """What one of the three sees."""

    names: tuple[str, ...] = ()
    """The model of each GPU; empty where it sees none."""
    why_none: str = ""
    """Why it sees none, a phrase; empty where that is not known."""
    remedy: str = ""
    """What to do should it see none although there are some."""


@dataclass(frozen=True)
class Answer:
    """A check and, unless the question could not be asked, what was seen."""

    check: Check
    seen: Seen | None = field(default=None)


def accelerators(settings: Settings, seconds: float) -> tuple[Check, ...]:
    """Ask the driver for at most ``DRIVER_SECONDS``, then jax and torch for at most ``seconds``, and compare.

    Where the driver hangs the other two are not asked: they would hang with it.
    """
    driver = ask_driver(min(DRIVER_SECONDS, seconds))
    if _hangs(driver.check):
        found = "not asked, because the NVIDIA driver hangs"
        others = tuple(Check(name, "degraded", found) for name in ("accelerator", "torch devices"))
        return (driver.check, *others, agreement(None, None, None))
    with ThreadPoolExecutor(max_workers=2) as pool:
        jax = pool.submit(ask_jax, settings, seconds)
        torch = pool.submit(ask_torch, seconds)
        answers = (driver, jax.result(), torch.result())
    return (*(answer.check for answer in answers), agreement(*(answer.seen for answer in answers)))


def _hangs(check: Check) -> bool:
    """Whether the check of the driver found that it hangs."""
    return check.remedy == _HANGS


def ask_driver(seconds: float) -> Answer:
    """Ask NVIDIA's driver for its version, its GPUs and their present figures."""
    output, complaint = try_code(_DRIVER, seconds, os.environ)
    if is_silence(complaint):
        return Answer(Check("driver", "missing", f"the NVIDIA driver hangs: {complaint}", _HANGS))
    if complaint is not None:
        return Answer(Check("driver", "degraded", complaint, "See what the driver says with: nvidia-smi"))
    answer = json.loads(output.splitlines()[-1])
    if "none" in answer:
        return Answer(no_driver(answer["none"], Path("/proc/driver/nvidia").exists()), Seen(why_none=answer["none"]))
    return Answer(judge_driver(answer), Seen(tuple(answer["names"])))


def no_driver(reason: str, has_module: bool) -> Check:
    """Judge that no GPU can be asked; ``has_module``: the kernel has NVIDIA's module all the same."""
    if "lost" in reason:
        return Check("driver", "missing", reason, _LOST)
    if not has_module:
        return Check("driver", "ok", reason)
    remedy = (
        "The kernel has NVIDIA's module: look with nvidia-smi; a container gets the driver by --gpus all, "
        "and one that has lost it by a restart."
    )
    return Check("driver", "degraded", reason, remedy)


def judge_driver(answer: Mapping[str, Any]) -> Check:
    """Judge what the driver said: ``version``, ``names``, and of the watch ``figures`` and ``absent``."""
    figures = {name: value for name, value in answer["figures"].items() if name.startswith("gpu/")}
    shown = [
        form.format(figures[f"gpu/{name}"])
        for name, form in (
            ("memory_percent", "{:.0f} % of the memory in use"),
            ("temperature", "{:.0f} °C"),
            ("power_watts", "{:.0f} W"),
        )
        if f"gpu/{name}" in figures
    ]
    found = f"{answer['version']} with {', '.join([_counted(answer['names']), *shown])}"
    lost = next((reason for reason in answer["absent"].values() if "lost" in reason), None)
    if lost is not None:
        return Check("driver", "missing", f"{found}; {lost}", _LOST, figures)
    if not figures:
        reason = next(iter(answer["absent"].values()), "it gave no figure")
        if "has not answered" in reason:
            return Check("driver", "missing", f"{found}; {reason}", _HANGS)
        return Check("driver", "degraded", f"{found}; {reason}", "See what the driver says with: nvidia-smi")
    if figures.get("gpu/memory_percent", 0.0) > OCCUPIED_PERCENT:
        return Check("driver", "degraded", found, "See which process holds the memory with: nvidia-smi", figures)
    return Check("driver", "ok", found, figures=figures)


def ask_jax(settings: Settings, seconds: float) -> Answer:
    """Ask jax for its devices; the check is called *accelerator*, for pre-training computes there."""
    environment = dict(os.environ)
    prepare(environment, settings.home / "jax-cache")
    output, complaint = try_code(_JAX, seconds, environment)
    if complaint is not None:
        return Answer(Check("accelerator", "missing", complaint, remedy_for(complaint)))
    devices = json.loads(output.splitlines()[-1])
    found = ", ".join(sorted({f"{platform} ({kind})" for platform, kind in devices}))
    if all(platform == "cpu" for platform, _ in devices):
        found += ": no accelerator, pre-training steps MuJoCo natively"
    names = tuple(kind for platform, kind in devices if platform != "cpu")
    return Answer(Check("accelerator", "ok", f"{len(devices)} x {found}"), Seen(names, remedy=_jax_remedy()))


def _jax_remedy() -> str:
    if platforms := os.environ.get("JAX_PLATFORMS"):
        return f"Unset JAX_PLATFORMS, which keeps jax to {platforms!r}."
    if not any(str(found.name).startswith("jax-cuda") for found in metadata.distributions()):
        return "Install jax's part for CUDA with: pip install 'jax[cuda12]'."
    return "See why jax sees none with: python -c 'import jax; jax.devices(\"cuda\")'."


def ask_torch(seconds: float) -> Answer:
    """Ask torch for its GPUs and what it was built for."""
    output, complaint = try_code(_TORCH, seconds, os.environ)
    if complaint is not None:
        return Answer(Check("torch devices", "missing", complaint, remedy_for(complaint)))
    answer = json.loads(output.splitlines()[-1])
    names, cuda = tuple(answer["names"]), answer["cuda"]
    if cuda is None:
        seen = Seen(
            names, "a build without CUDA",
            "Install a build of torch for CUDA in place of this one: pytorch.org/get-started says how.",
        )  # fmt: skip
    else:
        seen = Seen(
            names, answer["why"] or f"a build for CUDA {cuda}",
            f"Update the NVIDIA driver to one for CUDA {cuda}, or install a build of torch for an older CUDA.",
        )  # fmt: skip
    found = _counted(names) if names else f"cpu ({seen.why_none})"
    return Answer(Check("torch devices", "ok", found), seen)


def agreement(driver: Seen | None, jax: Seen | None, torch: Seen | None) -> Check:
    """Judge whether all three see the same GPUs; None for one that could not be asked."""
    name = "same device"
    asked = {who: seen for who, seen in (("driver", driver), ("jax", jax), ("torch", torch)) if seen is not None}
    if jax is None or torch is None:
        silent = " and ".join(who for who, seen in (("jax", jax), ("torch", torch)) if seen is None)
        return Check(name, "degraded", f"not compared, because {silent} could not be asked", "Mend that first.")
    told = ", ".join(f"{who} sees {_counted(seen.names)}" for who, seen in asked.items())
    gpus = Counter(torch.names) if driver is None or not driver.names else Counter(driver.names)
    if not gpus:
        # A TPU, say, which is for jax alone.
        return Check(name, "ok", told if jax.names else "jax and torch compute on the CPU")
    blind = {who: seen for who, seen in asked.items() if not seen.names}
    # The driver names whole GPUs where CUDA names the slices that a process may use, so names are jax's and torch's.
    if not blind and len(jax.names) == len(torch.names) and Counter(jax.names) == Counter(torch.names):
        return Check(name, "ok", told)
    whys = "; ".join(f"{who}: {seen.why_none}" for who, seen in blind.items() if seen.why_none)
    remedies = " ".join(seen.remedy for seen in blind.values() if seen.remedy)
    unequal = "Give both the same GPUs with CUDA_VISIBLE_DEVICES and CUDA_DEVICE_ORDER=PCI_BUS_ID."
    return Check(name, "degraded", f"{told} ({whys})" if whys else told, remedies or unequal)


def _counted(names: tuple[str, ...] | list[str]) -> str:
    return ", ".join(f"{count} x {name}" for name, count in Counter(names).items()) or "no GPU"
