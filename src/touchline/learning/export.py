"""The formats in which an actor leaves for other programs; every file is read again before it is trusted.

Each takes raw observations, float32 (b, n) with any b, and returns actions in [-1, 1], (b, m), and beside them the
logits before tanh, in which two actors show their differences where tanh hides them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from touchline.learning.convert import Function, NormalisedActor
from touchline.learning.policy import Policy

OPSET, IR_VERSION = 17, 8
"""Of ONNX, from 2022: what the graph needs is older, and runtimes refuse what is newer than they."""


@dataclass(frozen=True)
class Format:
    """How to write a policy into a file, and how to get (logits, actions) of such a file."""

    write: Callable[[Policy, Path], None]
    read: Callable[[Path], tuple[Function, Function]]


class _Exported(nn.Module):
    def __init__(self, policy: Policy) -> None:
        super().__init__()
        self.actor = NormalisedActor(policy)

    def forward(self, observation: Tensor) -> tuple[Tensor, Tensor]:
        logits = self.actor.logits(observation)
        return torch.tanh(logits), logits


def write_pt2(policy: Policy, path: Path) -> None:
    """Write what ``torch.export.load(path).module()`` reads."""
    example = torch.zeros(2, policy.mean.shape[0])
    batch = torch.export.Dim("batch")
    program = torch.export.export(_Exported(policy).eval(), (example,), dynamic_shapes=({0: batch},))
    torch.export.save(program, path)


def read_pt2(path: Path) -> tuple[Function, Function]:
    """Return (logits, actions) of a file that ``write_pt2`` wrote."""
    module = torch.export.load(path).module()

    def call(index: int, observation: NDArray[np.float32]) -> NDArray[np.float32]:
        with torch.inference_mode():
            return np.asarray(module(torch.from_numpy(observation))[index].numpy())

    return lambda x: call(1, x), lambda x: call(0, x)


def write_onnx(policy: Policy, path: Path) -> None:
    """Write a graph with the input ``observation`` and the outputs ``action`` and ``logits``.

    It is put together from the canonical matrices: PyTorch's exporter makes the same nine nodes in 2.5 s of
    computing, and needs a package more.
    """
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    constants: dict[str, Any] = {
        "mean": policy.mean,
        "std": policy.std,
        "low": np.array(-policy.clip),
        "high": np.array(policy.clip),
    }
    nodes = [
        helper.make_node("Sub", ["observation", "mean"], ["centred"]),
        helper.make_node("Div", ["centred", "std"], ["scaled"]),
        helper.make_node("Clip", ["scaled", "low", "high"], ["input_0"]),
    ]
    last = len(policy.weights) - 1
    for i, (weight, bias) in enumerate(zip(policy.weights, policy.biases, strict=True)):
        constants |= {f"weight_{i}": weight, f"bias_{i}": bias}
        output = "logits" if i == last else f"output_{i}"
        nodes.append(helper.make_node("Gemm", [f"input_{i}", f"weight_{i}", f"bias_{i}"], [output], transB=1))
        if i < last:
            nodes.append(helper.make_node("Relu", [output], [f"input_{i + 1}"]))
    nodes.append(helper.make_node("Tanh", ["logits"], ["action"]))
    sizes = {"observation": policy.mean.shape[0], "action": policy.biases[-1].shape[0]}
    sizes["logits"] = sizes["action"]
    told = {name: helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", n]) for name, n in sizes.items()}
    graph = helper.make_graph(
        nodes,
        "actor",
        [told["observation"]],
        [told["action"], told["logits"]],
        [numpy_helper.from_array(np.asarray(value, np.float32), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, str(path))


def read_onnx(path: Path) -> tuple[Function, Function]:
    """Return (logits, actions) of an ONNX file with those outputs, as ONNX Runtime computes them."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])

    def call(output: str, observation: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.asarray(session.run([output], {"observation": observation})[0])

    return lambda x: call("logits", x), lambda x: call("action", x)


def write_canonical(policy: Policy, path: Path) -> None:
    """Write a directory of ``policy.safetensors`` and ``policy.json``."""
    policy.save(path)


def read_canonical(path: Path) -> tuple[Function, Function]:
    """Return (logits, actions) of such a directory, computed in NumPy."""
    policy = Policy.load(path)
    return policy.logits, policy


FORMATS: Mapping[str, Format] = {
    "policy": Format(write_canonical, read_canonical),
    "actor.pt2": Format(write_pt2, read_pt2),
    "actor.onnx": Format(write_onnx, read_onnx),
}
"""By the name of the file or directory."""
