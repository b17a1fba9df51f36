"""Builds an ONNX graph node by node.

Differs from ``torch.onnx.export``, whose new form cannot write opset 17 and takes half a minute for this
network, and whose old form is deprecated and leaves thousands of nodes of shape arithmetic (LOG.md,
2026-11-26).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from impasto import __version__

__all__ = ["OPSET", "Constant", "Graph", "Shape", "Value"]

OPSET = 17
#: The version of the file format that belongs to opset 17, so that older runtimes read it.
IR_VERSION = 8
#: Defaults of a convolution, written out because onnxruntime-web on WebGPU does not know them.
CONVOLUTION: dict[str, Any] = {"dilations": [1, 1], "strides": [1, 1], "pads": [0, 0, 0, 0], "group": 1}
#: Arrays of at least this many values are stored in float16 if nothing is lost, as trained weights are.
LARGE = 256

#: The name of a tensor in a graph.
Value: TypeAlias = str
#: What becomes a constant; numbers of Python in float32.
Constant: TypeAlias = "float | NDArray[Any] | np.generic"
#: Sides of an input or output; a name stands for a side that is free.
Shape: TypeAlias = Sequence["int | str"]

_TYPES = {"float32": TensorProto.FLOAT, "int64": TensorProto.INT64}


class Graph:
    """Collects nodes, constants, inputs and outputs; :meth:`model` checks them and makes the model."""

    def __init__(self) -> None:
        self._nodes: list[onnx.NodeProto] = []
        self._constants: dict[tuple[str, tuple[int, ...], bytes], Value] = {}
        self._tensors: list[onnx.TensorProto] = []
        self._inputs: list[onnx.ValueInfoProto] = []
        self._outputs: list[onnx.ValueInfoProto] = []

    def op(self, kind: str, *inputs: Value | Constant, **attributes: Any) -> Value:
        """Add a node with one output, and return the output's name.

        Args:
            kind: name of the operator.
            inputs: names of tensors; numbers and arrays become constants, numbers in float32.
            attributes: of the operator.
        """
        return self.ops(kind, *inputs, outputs=1, **attributes)[0]

    def ops(self, kind: str, *inputs: Value | Constant, outputs: int, **attributes: Any) -> list[Value]:
        """Add a node with several outputs; arguments as :meth:`op`."""
        names = [value if isinstance(value, str) else self.constant(value) for value in inputs]
        if kind == "Conv":
            attributes = CONVOLUTION | attributes
        results = [f"{kind.lower()}_{len(self._nodes)}_{k}" for k in range(outputs)]
        self._nodes.append(helper.make_node(kind, names, results, **attributes))
        return results

    def constant(self, value: Constant) -> Value:
        """A constant; equal ones are stored once."""
        array = np.asarray(np.float32(value) if type(value) is float else value)
        key = (str(array.dtype), array.shape, array.tobytes())
        if key not in self._constants:
            name = f"constant_{len(self._constants)}"
            small = array.astype(np.float16) if array.dtype == np.float32 and array.size >= LARGE else array
            lossless = np.array_equal(small.astype(array.dtype), array)
            stored = small if lossless else array
            self._tensors.append(numpy_helper.from_array(stored, name))
            self._constants[key] = (
                name if stored.dtype == array.dtype else self.op("Cast", name, to=TensorProto.FLOAT)
            )
        return self._constants[key]

    def input(self, name: str, shape: Shape, dtype: str = "float32") -> Value:
        """Declare an input."""
        self._inputs.append(helper.make_tensor_value_info(name, _TYPES[dtype], list(shape)))
        return name

    def output(self, name: str, value: Value, shape: Shape) -> None:
        """Give a tensor as an output."""
        self._nodes.append(helper.make_node("Identity", [value], [name]))
        self._outputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, list(shape)))

    def model(self, name: str, description: str, facts: Mapping[str, object]) -> onnx.ModelProto:
        """The finished model.

        Args:
            name: of the graph.
            description: for people.
            facts: what a program needs to know, stored as the model's metadata.
        """
        graph = helper.make_graph(self._nodes, name, self._inputs, self._outputs, self._tensors)
        model = helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", OPSET)],
            ir_version=IR_VERSION,
            producer_name="impasto",
            producer_version=__version__,
            doc_string=description,
        )
        helper.set_model_props(model, {key: str(value) for key, value in facts.items()})
        onnx.checker.check_model(model, full_check=True)
        return model
