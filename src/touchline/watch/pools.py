"""The memory pools of jax and torch: what fills up inside what the driver sees as taken.

Both are sources of the watch: they return values and, for what cannot be had, reasons; they import neither jax nor
torch, and wake neither: what the training has not begun to use is absent.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType

from touchline.watch.jax_memory import live_backends

JAX_SERIES = ("jax/memory_used_gb", "jax/memory_limit_gb", "jax/memory_percent")
TORCH_SERIES = ("torch/memory_allocated_gb", "torch/memory_reserved_gb", "torch/memory_percent")
Found = tuple[dict[str, float], dict[str, str]]
"""Series that could be had and, of the others, why not."""


def jax_pool() -> Found:
    """Read jax's pool on the devices of this process.

    Used and limit (GB, 1e9 bytes) are summed over the devices; percent is that of the fullest device, for the first
    that is full ends the run. The limit is what the pool may grow to, not what it holds from the driver.
    """
    if "jax" not in sys.modules:
        return _absent(JAX_SERIES, "jax is not in use")
    backends = live_backends()
    if not backends:
        return _absent(JAX_SERIES, "jax has created no backend yet")
    try:
        told = [device.memory_stats() for backend in backends for device in backend.local_devices()]
    except Exception as error:  # each plugin of jax raises what it likes, and the watch outlives it
        return _absent(JAX_SERIES, f"jax does not tell its memory ({error})")
    pools = [stats for stats in told if stats and "bytes_in_use" in stats]
    if not pools:
        names = ", ".join(backend.platform for backend in backends)
        return _absent(JAX_SERIES, f"jax keeps no account of memory on {names}")
    used, limit, percent = JAX_SERIES
    values = {used: _gb(stats["bytes_in_use"] for stats in pools)}
    if not all(stats.get("bytes_limit") for stats in pools):
        return values, dict.fromkeys((limit, percent), "jax's allocator has no limit of its own")
    values[limit] = _gb(stats["bytes_limit"] for stats in pools)
    values[percent] = max(100.0 * stats["bytes_in_use"] / stats["bytes_limit"] for stats in pools)
    return values, {}


def torch_allocator(gpu: Mapping[str, float] = MappingProxyType({})) -> Found:
    """Read torch's caching allocator on every CUDA device of this process.

    Allocated is what tensors hold, reserved what the allocator took from the driver for them; GB, summed over the
    devices. Percent is that of the fullest device: what is allocated, of what tensors could come to hold there, which
    is the reserve and what is free beside it. So a reserve that fills the device while the tensors in it stay as they
    are is as far from running out of memory as it was.

    Args:
        gpu: the values of the same snapshot, whose ``gpu/memory_percent`` (of several devices
            ``gpu/0/memory_percent`` …) says what is free. Without them all of the device counts as torch's: asking
            CUDA itself might break a graph that the training is capturing, and so might asking torch for the limit
            of ``set_per_process_memory_fraction``, which is left out for that.
    """
    cuda = getattr(sys.modules.get("torch"), "cuda", None)
    if cuda is None:
        return _absent(TORCH_SERIES, "torch is not in use")
    try:
        if not cuda.is_initialized():
            return _absent(TORCH_SERIES, "torch has not begun to use CUDA")
        devices = range(cuda.device_count())
        told = [cuda.memory_stats(device) for device in devices]
        sizes = [cuda.get_device_properties(device).total_memory for device in devices]
    except Exception as error:  # a CUDA error of the training comes up here too, and the watch outlives it
        return _absent(TORCH_SERIES, f"torch does not tell its memory ({error})")
    allocated = [stats.get("allocated_bytes.all.current", 0) for stats in told]
    reserved = [stats.get("reserved_bytes.all.current", 0) for stats in told]
    names = ["gpu/memory_percent"] if len(devices) == 1 else [f"gpu/{device}/memory_percent" for device in devices]
    taken = [gpu.get(name) for name in names]
    percent = max(map(_percent_of_reach, allocated, reserved, sizes, taken))
    return dict(zip(TORCH_SERIES, (_gb(allocated), _gb(reserved), percent), strict=True)), {}


def _percent_of_reach(allocated: float, reserved: float, size: float, taken_percent: float | None) -> float:
    free = size - reserved if taken_percent is None else size * (1.0 - taken_percent / 100.0)
    reach = min(reserved + free, size)
    return 100.0 * allocated / reach if reach > 0.0 else 0.0


def _gb(sizes: Iterable[float]) -> float:
    return sum(sizes) / 1e9


def _absent(series: Sequence[str], reason: str) -> Found:
    return {}, dict.fromkeys(series, reason)
