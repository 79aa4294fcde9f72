"""Arrays of NumPy, JAX and PyTorch as NumPy arrays of plain types, and back."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from touchline.errors import UsageError

PLAIN = frozenset(
    (
        "bool",
        "int8",
        "int16",
        "int32",
        "int64",
        "uint8",
        "uint16",
        "uint32",
        "uint64",
        "float16",
        "float32",
        "float64",
    )
)
"""Types that safetensors has in every library; the bits of others are kept as bytes."""
_KEY = "key:"


class Form(NamedTuple):
    """Type and shape of an array, as ``Host`` has them."""

    dtype: str
    shape: tuple[int, ...]


class Host(NamedTuple):
    """An array in host memory, with what it was before."""

    values: NDArray[Any]
    """Of a plain type; for any other type its bytes, with one axis more."""
    dtype: str
    """What the values are: ``float32``, ``bfloat16``, or ``key:threefry2x32`` for typed keys of JAX."""
    shape: tuple[int, ...]
    """The array's own shape; that of their raw data for keys."""
    library: str
    """``numpy``, ``jax`` or ``torch``."""

    def describe(self) -> dict[str, Any]:
        """Everything but the values, for JSON."""
        return {"dtype": self.dtype, "shape": list(self.shape), "library": self.library}

    @classmethod
    def of(cls, description: Mapping[str, Any], values: NDArray[Any]) -> Host:
        """Inverse of ``describe``."""
        return cls(values, description["dtype"], tuple(description["shape"]), description["library"])

    def native(self) -> Any:
        """The array in its own library, on the default device; in NumPy where that library was not imported."""
        if self.library == "torch" and "torch" in sys.modules:
            return _to_torch(self)
        return _to_jax(self) if self.library == "jax" and "jax" in sys.modules else to_numpy(self)


def host(node: Any) -> Host | None:
    """Return an array as it lies in host memory, without a copy where it lies there; None for what is no array.

    Raises UsageError for an array of objects or text, and for a JAX array of which other processes hold a part.
    """
    if isinstance(node, np.ma.MaskedArray):
        raise UsageError("it is a masked array. Save its data and its mask as two arrays.")
    if isinstance(node, np.ndarray | np.generic):
        return _from_numpy(np.asarray(node), "numpy")
    torch, jax = sys.modules.get("torch"), sys.modules.get("jax")
    if torch is not None and isinstance(node, torch.Tensor):
        return _from_torch(node)
    if jax is not None and isinstance(node, jax.Array):
        return _from_jax(node)
    return None


def form(node: Any) -> Form | None:
    """Type and shape of an array without moving it from its device; None for what is no array."""
    if is_tensor(node):
        return Form(str(node.dtype).removeprefix("torch."), tuple(node.shape))
    jax = sys.modules.get("jax")
    if jax is not None and isinstance(node, jax.Array):
        if jax.dtypes.issubdtype(node.dtype, jax.dtypes.prng_key):
            return Form(_key_name(node), tuple(jax.eval_shape(jax.random.key_data, node).shape))
        return Form(node.dtype.name, tuple(node.shape))
    return Form(node.dtype.name, node.shape) if isinstance(node, np.ndarray | np.generic) else None


def like(array: Host, other: Any) -> Any:
    """Return ``array`` as an array of the library and on the device of ``other``, itself an array."""
    if isinstance(other, np.generic):
        return to_numpy(array)[()]
    if isinstance(other, np.ndarray):
        return to_numpy(array).copy()  # a checkpoint may be restored again, after the training has changed this one
    if is_tensor(other):
        return _to_torch(array).to(other.device)
    return _to_jax(array, other)


def is_tensor(node: Any) -> bool:
    """Whether this is a tensor of PyTorch, which asks for no import of it."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(node, torch.Tensor)


def is_trained(node: Any) -> bool:
    """Whether this is a tensor that PyTorch computes gradients for."""
    return is_tensor(node) and node.requires_grad


def load(array: Host, tensor: Any) -> None:
    """Put the values into a tensor of PyTorch, in place."""
    tensor.detach().copy_(_to_torch(array))


def to_numpy(array: Host) -> NDArray[Any]:
    """The array as NumPy's, of its own type; typed keys as their raw data, types that NumPy lacks as their bytes."""
    kind = None if array.dtype in PLAIN or array.dtype.startswith(_KEY) else _numpy_type(array.dtype)
    if kind is None:
        return array.values
    values: NDArray[Any] = array.values.reshape(-1).view(kind).reshape(array.shape)
    return values


def _from_numpy(values: NDArray[Any], library: str) -> Host:
    # Files hold the bytes as they lie in memory: the order of a big-endian array would be lost.
    values, name = values.astype(values.dtype.newbyteorder("="), copy=False), values.dtype.name
    if name not in PLAIN:
        if values.dtype.hasobject or _numpy_type(name) != values.dtype:
            raise UsageError(
                f"an array of type {values.dtype} needs pickle. Save numbers and booleans as arrays, text as text."
            )
        packed = np.ascontiguousarray(values).reshape(-1).view(np.uint8)
        return Host(packed.reshape(*values.shape, values.dtype.itemsize), name, values.shape, library)
    return Host(values, name, values.shape, library)


def _numpy_type(name: str) -> np.dtype[Any] | None:
    """The type of this name; None for text and records, whose names do not say what they are."""
    try:
        return np.dtype(name)
    except TypeError:  # bfloat16 and other narrow floats, which a package that comes with JAX teaches NumPy
        try:
            import ml_dtypes
        except ImportError:
            return None
        return np.dtype(getattr(ml_dtypes, name)) if hasattr(ml_dtypes, name) else None


def _from_torch(tensor: Any) -> Host:
    import torch

    if tensor.layout is not torch.strided or tensor.is_quantized:
        raise UsageError(f"it is a tensor of layout {tensor.layout}. Convert it with to_dense() or dequantize().")
    name, shape = str(tensor.dtype).removeprefix("torch."), tuple(tensor.shape)
    values = tensor.detach().cpu().resolve_conj().resolve_neg()
    if name not in PLAIN:
        packed = values.contiguous().reshape(-1).view(torch.uint8)
        return Host(packed.numpy().reshape(*shape, tensor.element_size()), name, shape, "torch")
    return Host(values.numpy(), name, shape, "torch")


def _to_torch(array: Host) -> Any:
    import torch

    values = torch.from_numpy(np.array(array.values))  # a copy: what was loaded may be read-only or mapped
    if array.dtype in PLAIN:
        return values
    return values.reshape(-1).view(getattr(torch, array.dtype)).reshape(array.shape)


def _from_jax(array: Any) -> Host:
    import jax

    if not array.is_fully_addressable:
        raise UsageError(
            f"an array of shape {array.shape} lies on devices of other processes too ({array.sharding}). Gather it "
            "with jax.experimental.multihost_utils.process_allgather before it is saved."
        )
    if jax.dtypes.issubdtype(array.dtype, jax.dtypes.prng_key):
        data = np.asarray(jax.random.key_data(array))
        return Host(data, _key_name(array), data.shape, "jax")
    return _from_numpy(np.asarray(array), "jax")


def _key_name(key: Any) -> str:
    import jax

    return f"{_KEY}{jax.random.key_impl(key)}"


def _to_jax(array: Host, other: Any = None) -> Any:
    import jax
    import jax.numpy as jnp

    if array.dtype.startswith(_KEY):
        restored = jax.random.wrap_key_data(jnp.asarray(array.values), impl=array.dtype.removeprefix(_KEY))
    else:
        restored = jnp.asarray(to_numpy(array))
        if other is None and restored.dtype.name != array.dtype:
            return to_numpy(array)  # of 64 bits, which this process has not enabled
        if getattr(other, "weak_type", False):
            # A weakly typed array, as jnp.asarray(0.2) gives, must stay one: functions are compiled for it.
            restored = other.at[...].set(restored)
    return jax.device_put(restored, other.sharding) if getattr(other, "committed", False) else restored
