"""Pools of the real jax and torch on this machine's CPU, and of stand-ins for what only a GPU has."""

import subprocess
import sys
from types import ModuleType, SimpleNamespace

import pytest

from touchline.watch.pools import JAX_SERIES, TORCH_SERIES, jax_pool, torch_allocator

GB = 1_000_000_000


def reasons(code):
    """What both sources say in a process of its own, after ``code``."""
    ask = (
        "from touchline.watch.pools import jax_pool, torch_allocator\n"
        "(values, absent), (more, missing) = jax_pool(), torch_allocator()\n"
        "assert values == more == {}\n"
        "print(*sorted({*absent.values(), *missing.values()}), sep='; ')"
    )
    environment = {"JAX_PLATFORMS": "cpu", "PATH": "", "PYTHONPATH": ":".join(sys.path)}
    done = subprocess.run([sys.executable, "-c", f"{code}\n{ask}"], env=environment, capture_output=True, text=True)
    return done.stdout.strip() or done.stderr


def test_what_is_not_imported_is_absent_and_stays_unimported():
    code = "import atexit, sys; atexit.register(lambda: print({'jax', 'torch'} & set(sys.modules)))"
    assert reasons(code) == "jax is not in use; torch is not in use\nset()"


def test_an_imported_jax_without_a_backend_is_absent_and_gets_none():
    code = (
        "import atexit, jax, jax._src.xla_bridge as bridge\n"
        "atexit.register(lambda: print(bridge.backends_are_initialized()))"
    )
    assert reasons(code) == "jax has created no backend yet; torch is not in use\nFalse"


def test_jax_on_a_cpu_is_absent_with_the_reason():
    assert reasons("import jax; jax.devices()") == "jax keeps no account of memory on cpu; torch is not in use"


def test_torch_without_cuda_is_absent_and_does_not_begin_to_use_it():
    code = "import atexit, torch; atexit.register(lambda: print(torch.cuda.is_initialized()))"
    assert reasons(code) == "jax is not in use; torch has not begun to use CUDA\nFalse"


def backend(platform, *stats):
    devices = [SimpleNamespace(memory_stats=lambda told=told: told) for told in stats]
    return SimpleNamespace(platform=platform, local_devices=lambda: devices)


@pytest.fixture
def jax_has(monkeypatch):
    def install(*backends):
        bridge = ModuleType("jax._src.xla_bridge")
        bridge._backends = {client.platform: client for client in backends}
        monkeypatch.setitem(sys.modules, "jax", ModuleType("jax"))
        monkeypatch.setitem(sys.modules, "jax._src.xla_bridge", bridge)

    return install


def test_jax_pools_of_several_gpus_add_and_the_fullest_is_told(jax_has):
    pools = ({"bytes_in_use": 3 * GB, "bytes_limit": 18 * GB}, {"bytes_in_use": 9 * GB, "bytes_limit": 18 * GB})
    jax_has(backend("cpu", None), backend("cuda", *pools))
    values, absent = jax_pool()
    assert values == {"jax/memory_used_gb": 12.0, "jax/memory_limit_gb": 36.0, "jax/memory_percent": 50.0}
    assert absent == {}


def test_a_jax_allocator_without_a_limit_tells_what_it_holds_and_why_no_more(jax_has):
    jax_has(backend("cuda", {"bytes_in_use": 3 * GB}))
    values, absent = jax_pool()
    assert values == {"jax/memory_used_gb": 3.0}
    assert set(absent) == {"jax/memory_limit_gb", "jax/memory_percent"}
    assert absent["jax/memory_percent"] == "jax's allocator has no limit of its own"


def test_a_jax_that_fails_when_asked_is_absent_with_what_it_said(jax_has):
    def refuse():
        raise RuntimeError("UNIMPLEMENTED: no stats")

    device = SimpleNamespace(memory_stats=refuse)
    jax_has(SimpleNamespace(platform="cuda", local_devices=lambda: [device]))
    values, absent = jax_pool()
    assert values == {}
    assert absent == dict.fromkeys(JAX_SERIES, "jax does not tell its memory (UNIMPLEMENTED: no stats)")


@pytest.fixture
def torch_has(monkeypatch):
    def install(*devices, size=24 * GB):
        """Devices as (allocated, reserved) in GB."""
        stats = [
            {"allocated_bytes.all.current": allocated * GB, "reserved_bytes.all.current": reserved * GB}
            for allocated, reserved in devices
        ]
        torch = ModuleType("torch")
        torch.cuda = SimpleNamespace(
            is_initialized=lambda: True,
            device_count=lambda: len(devices),
            memory_stats=lambda device: stats[device],
            get_device_properties=lambda device: SimpleNamespace(total_memory=size),
        )
        monkeypatch.setitem(sys.modules, "torch", torch)
        return torch

    return install


def test_torch_is_told_as_a_share_of_its_reserve_and_what_is_free_beside_it(torch_has):
    torch_has((6, 9))
    values, absent = torch_allocator({"gpu/memory_percent": 87.5})
    assert values == {"torch/memory_allocated_gb": 6.0, "torch/memory_reserved_gb": 9.0, "torch/memory_percent": 50.0}
    assert absent == {}


def test_a_reserve_that_fills_the_device_is_no_full_memory(torch_has):
    torch_has((6, 6))
    small = torch_allocator({"gpu/memory_percent": 25.0})[0]["torch/memory_percent"]
    torch_has((6, 24))
    assert torch_allocator({"gpu/memory_percent": 100.0})[0]["torch/memory_percent"] == small == 25.0


def test_memory_that_others_take_brings_torch_nearer_to_full(torch_has):
    torch_has((6, 6))
    alone = torch_allocator({"gpu/memory_percent": 25.0})[0]["torch/memory_percent"]
    crowded = torch_allocator({"gpu/memory_percent": 100.0})[0]["torch/memory_percent"]
    assert (alone, crowded) == (25.0, 100.0)


def test_where_nothing_is_known_of_others_the_whole_device_counts_as_torchs(torch_has):
    torch_has((6, 9))
    assert torch_allocator()[0]["torch/memory_percent"] == 25.0


def test_torch_on_several_gpus_adds_and_the_fullest_is_told(torch_has):
    torch_has((6, 6), (12, 12), (0, 0))
    gpu = {"gpu/memory_percent": 50.0, "gpu/0/memory_percent": 25.0, "gpu/1/memory_percent": 50.0}
    values, _ = torch_allocator({**gpu, "gpu/2/memory_percent": 0.0})
    assert values == {
        "torch/memory_allocated_gb": 18.0,
        "torch/memory_reserved_gb": 18.0,
        "torch/memory_percent": 50.0,
    }


def test_a_cuda_error_of_the_training_is_an_absence_with_the_reason(torch_has):
    def fail(device):
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    torch_has((6, 9)).cuda.memory_stats = fail
    values, absent = torch_allocator()
    assert values == {}
    assert set(absent) == set(TORCH_SERIES)
    assert "illegal memory access" in absent["torch/memory_percent"]


def test_a_torch_that_is_still_being_imported_is_not_in_use(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", ModuleType("torch"))
    assert torch_allocator()[1]["torch/memory_percent"] == "torch is not in use"
