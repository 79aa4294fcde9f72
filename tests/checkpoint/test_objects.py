"""JAX, PyTorch and generators: what a training holds goes on exactly as it would have without a break."""

from __future__ import annotations

import copy
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import flashbax
import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import optax
import optuna
import pytest
import torch

from touchline.checkpoint import CheckpointStore
from touchline.checkpoint.tree import Mismatch, decode, encode
from touchline.errors import UsageError

from .trees import same, through_files


@flax.struct.dataclass
class Training:
    params: Any
    optimiser: Any
    key: Any
    name: str = flax.struct.field(pytree_node=False, default="sac")


def network(width: int = 8, dtype: torch.dtype = torch.float32) -> torch.nn.Module:
    return torch.nn.Sequential(torch.nn.Linear(3, width), torch.nn.BatchNorm1d(width), torch.nn.Linear(width, 1)).to(
        dtype
    )


def train(module: torch.nn.Module, optimiser: torch.optim.Optimizer, steps: int, scheduler: Any = None) -> None:
    generator = torch.Generator().manual_seed(5)
    for _ in range(steps):
        optimiser.zero_grad()
        module(torch.randn(16, 3, generator=generator)).square().mean().backward()
        optimiser.step()
        if scheduler is not None:
            scheduler.step()


def test_a_state_of_jax_comes_back_with_its_types_and_trains_on_alike() -> None:
    optimiser = optax.chain(
        optax.clip_by_global_norm(1.0),
        optax.inject_hyperparams(optax.adam)(learning_rate=1e-3),
        optax.ema(0.9),
    )

    def begin(seed: int) -> Training:
        params = {"w": jax.random.normal(jax.random.key(seed), (3, 2)), "b": jnp.zeros(2, jnp.bfloat16)}
        return Training(params, optimiser.init(params), jax.random.key(seed))

    @jax.jit
    def update(training: Training) -> Training:
        key, noise = jax.random.split(training.key)
        gradients = jax.tree.map(lambda x: jax.random.normal(noise, x.shape, x.dtype), training.params)
        updates, state = optimiser.update(gradients, training.optimiser, training.params)
        return training.replace(params=optax.apply_updates(training.params, updates), optimiser=state, key=key)

    saved = begin(0)
    for _ in range(3):
        saved = update(saved)
    # The first update turns moments of bfloat16 into float32; only a state of the same types takes them.
    restored = through_files(saved, update(begin(1)))
    assert jax.tree.structure(restored) == jax.tree.structure(saved)
    assert all(map(same, jax.tree.leaves(restored), jax.tree.leaves(saved)))
    assert all(map(same, jax.tree.leaves(update(restored)), jax.tree.leaves(update(saved))))


@pytest.mark.parametrize("implementation", ["threefry2x32", "rbg"])
def test_typed_keys_draw_what_they_would_have_drawn(implementation: str) -> None:
    keys = jax.random.split(jax.random.key(3, impl=implementation), 4)
    restored = through_files(keys, jax.random.split(jax.random.key(0, impl=implementation), 4))
    assert restored.dtype == keys.dtype
    np.testing.assert_array_equal(jax.random.uniform(restored[2]), jax.random.uniform(keys[2]))


def test_keys_of_another_generator_are_refused() -> None:
    with pytest.raises(Mismatch, match="was key:threefry2x32.* and is key:rbg"):
        decode(encode({"key": jax.random.key(0)}), {"key": jax.random.key(0, impl="rbg")})


def test_weak_types_stay_weak_so_that_nothing_is_compiled_again() -> None:
    saved = {"scalar": jnp.asarray(0.25), "array": jnp.full((3,), 0.5), "strong": jnp.float32(1)}
    compiled = jax.jit(lambda tree: jax.tree.map(lambda x: x * 2, tree))
    compiled(saved)
    restored = through_files(saved, {**saved, "scalar": jnp.asarray(0.0)})
    assert [value.weak_type for value in restored.values()] == [value.weak_type for value in saved.values()]
    compiled(restored)
    assert compiled._cache_size() == 1
    np.testing.assert_array_equal(restored["array"], saved["array"])


def test_a_replay_buffer_of_flashbax_comes_back_and_samples_alike() -> None:
    buffer = flashbax.make_flat_buffer(max_length=32, min_length=2, sample_batch_size=4, add_batch_size=None)
    state = buffer.init({"observation": jnp.zeros(3), "reward": jnp.zeros(())})
    empty = state
    for i in range(40):
        state = buffer.add(state, {"observation": jnp.full(3, float(i)), "reward": jnp.float32(i)})
    restored = through_files(state, empty)
    first, second = (buffer.sample(one, jax.random.key(0)).experience for one in (restored, state))
    jax.tree.map(np.testing.assert_array_equal, first, second)
    assert int(restored.current_index) == int(state.current_index)


def test_arrays_go_back_to_the_device_they_are_on() -> None:
    like = jax.device_put(jnp.zeros(4), jax.devices()[0])
    assert through_files(jnp.arange(4.0), like).sharding == like.sharding


@pytest.mark.parametrize(
    "make",
    [
        lambda parameters: torch.optim.Adam(parameters, lr=1e-2),
        lambda parameters: torch.optim.AdamW(parameters, lr=1e-2, amsgrad=True),
        lambda parameters: torch.optim.SGD(parameters, lr=1e-2, momentum=0.9, nesterov=True),
        lambda parameters: torch.optim.RMSprop(parameters, lr=1e-3),
    ],
    ids=["adam", "adamw", "sgd", "rmsprop"],
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_a_module_and_its_optimiser_train_on_alike(make: Any, dtype: torch.dtype) -> None:
    def begin(seed: int) -> dict[str, Any]:
        torch.manual_seed(seed)
        module = network()
        optimiser = make(module.parameters())
        scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, 50)
        target = copy.deepcopy(module).to(dtype)
        return {"module": module, "optimiser": optimiser, "scheduler": scheduler, "target": target}

    broken, unbroken = begin(0), begin(0)
    for one in (broken, unbroken):
        train(one["module"], one["optimiser"], 5, one["scheduler"])
    other = begin(1)
    train(other["module"], other["optimiser"], 2, other["scheduler"])
    restored = through_files(broken, other)
    assert restored["module"] is other["module"]
    for one in (restored, unbroken):
        train(one["module"], one["optimiser"], 5, one["scheduler"])
    for name in ("module", "optimiser", "scheduler", "target"):
        assert same(_plain(restored[name].state_dict()), _plain(unbroken[name].state_dict())), name


def _plain(state: Any) -> Any:
    return {key: _plain(value) for key, value in state.items()} if isinstance(state, dict) else state


def test_a_tensor_that_is_trained_is_loaded_in_place_where_its_optimiser_holds_it() -> None:
    temperature = torch.zeros(1, requires_grad=True)
    optimiser = torch.optim.Adam([temperature], lr=0.1)
    saved = {"temperature": torch.full((1,), 0.5), "loss scale": torch.tensor(2.0)}
    restored = through_files(saved, {"temperature": temperature, "loss scale": torch.tensor(0.0)})
    assert restored["temperature"] is temperature
    assert temperature.item() == 0.5
    temperature.sum().backward()
    optimiser.step()
    assert restored["temperature"].item() < 0.5
    assert restored["loss scale"].item() == 2.0


@pytest.mark.parametrize(
    "tensor",
    [
        torch.arange(6.0).reshape(2, 3).T,
        torch.tensor([1 + 2j, 3 - 4j]).conj(),
        torch.tensor([1 + 2j, 3 - 4j]).conj().imag,
        torch.randn(3).to(torch.bfloat16),
        torch.randn(3).to(torch.float8_e4m3fn),
        torch.zeros(0, 3),
        torch.tensor(True),
        torch.tensor(7),
    ],
    ids=lambda tensor: f"{tensor.dtype}{list(tensor.shape)}",
)
def test_any_dense_tensor_comes_back(tensor: torch.Tensor) -> None:
    restored = through_files(tensor, torch.zeros_like(tensor))
    assert restored.dtype == tensor.dtype
    assert torch.equal(restored.to(torch.complex64), tensor.to(torch.complex64))


@pytest.mark.filterwarnings("ignore:Sparse CSR tensor support:UserWarning")
def test_a_sparse_tensor_is_refused_with_the_remedy() -> None:
    for tensor in (torch.eye(3).to_sparse(), torch.eye(3).to_sparse_csr()):
        with pytest.raises(UsageError, match=r"w cannot be saved: it is .*sparse.*to_dense\(\)"):
            encode({"w": tensor})


@pytest.mark.parametrize(
    ("like", "told"),
    [
        (lambda: network(9), r"module: 0.weight was float32\[8, 3\] and is float32\[9, 3\]"),
        (lambda: network(dtype=torch.float64), r"0.weight was float32\[8, 3\] and is float64\[8, 3\]"),
        (lambda: torch.nn.Linear(3, 8), "only the checkpoint has 0.weight"),
    ],
    ids=["wider", "double", "another"],
)
def test_another_module_is_refused_before_any_is_loaded(like: Any, told: str) -> None:
    first = network()
    before = copy.deepcopy(first.state_dict())
    saved = {"first": network(), "module": network()}
    with pytest.raises(Mismatch, match=told):
        decode(encode(saved), {"first": first, "module": like()})
    assert same(dict(first.state_dict()), dict(before))


def test_another_optimiser_is_refused() -> None:
    module = network()
    optimiser = torch.optim.Adam(module.parameters())
    train(module, optimiser, 1)
    encoded = encode({"optimiser": optimiser})
    with pytest.raises(Mismatch, match="the optimiser was Adam and is SGD"):
        decode(encoded, {"optimiser": torch.optim.SGD(module.parameters(), lr=0.1)})
    with pytest.raises(Mismatch, match=r"had \[6\] parameters by group and has \[2\]"):
        decode(encoded, {"optimiser": torch.optim.Adam(torch.nn.Linear(1, 1).parameters())})
    with pytest.raises(Mismatch, match=r"parameter 0 was \[8, 3\] and is \[9, 3\]"):
        decode(encoded, {"optimiser": torch.optim.Adam(network(9).parameters())})


@pytest.mark.parametrize(
    ("make", "draw"),
    [
        (np.random.default_rng, lambda generator: generator.normal()),
        (lambda seed: np.random.Generator(np.random.MT19937(seed)), lambda generator: generator.normal()),
        (np.random.RandomState, lambda generator: generator.normal()),
        (random.Random, lambda generator: generator.gauss(0, 1)),
        (
            lambda seed: torch.Generator().manual_seed(seed),
            lambda generator: torch.rand(1, generator=generator).item(),
        ),
    ],
    ids=["pcg64", "mt19937", "legacy", "python", "torch"],
)
def test_a_generator_goes_on_where_it_was(make: Any, draw: Any) -> None:
    generator, other = make(1), make(2)
    draw(generator)
    draw(generator)  # an odd number of gaussians leaves one in store
    draw(generator)
    restored = through_files({"rng": generator}, {"rng": other})["rng"]
    assert restored is other
    assert [draw(restored) for _ in range(3)] == [draw(generator) for _ in range(3)]


def test_another_kind_of_generator_is_refused() -> None:
    with pytest.raises(Mismatch, match="the generator was PCG64 and is MT19937"):
        decode(encode(np.random.default_rng()), np.random.Generator(np.random.MT19937()))


def test_a_trial_is_only_gone_on_with_as_itself() -> None:
    study = optuna.create_study(study_name="grid")
    first, second = study.ask(), study.ask()
    assert decode(encode({"trial": first}), {"trial": first})["trial"] is first
    with pytest.raises(Mismatch, match="it is of trial 0 of 'grid', and this is 1 of 'grid'"):
        decode(encode({"trial": first}), {"trial": second})


def test_an_object_with_a_state_of_its_own_takes_it_back() -> None:
    class Normaliser:
        def __init__(self) -> None:
            self.mean, self.count = np.zeros(2), 0

        def state_dict(self) -> dict[str, Any]:
            return {"mean": self.mean, "count": self.count}

        def load_state_dict(self, state: dict[str, Any]) -> None:
            self.mean, self.count = state["mean"], state["count"]

    one, other = Normaliser(), Normaliser()
    one.mean, one.count = np.ones(2), 3
    assert through_files({"normaliser": one}, {"normaliser": other})["normaliser"] is other
    assert (other.mean.tolist(), other.count) == ([1.0, 1.0], 3)


READING = """
import sys
from touchline.checkpoint import CheckpointStore
arrays = CheckpointStore(sys.argv[1]).latest().arrays
print(sorted(arrays), "torch" in sys.modules, "jax" in sys.modules)
"""


def test_a_checkpoint_is_read_without_the_libraries_of_its_arrays(tmp_path: Path) -> None:
    CheckpointStore(tmp_path).save(1, {"module": torch.nn.Linear(1, 1), "key": jax.random.key(0)})
    done = subprocess.run([sys.executable, "-c", READING, str(tmp_path)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['key', 'module/bias', 'module/weight'] False False"
