"""Constants are stored once and as small as they can be without loss; mistakes in a graph are found."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from impasto.feedforward.export.graph import OPSET, Graph


def test_equal_constants_are_stored_once_and_in_float16_where_nothing_is_lost(run):
    graph = Graph()
    x = graph.input("x", [300])
    exact, inexact = np.arange(300, dtype=np.float32), np.arange(300, dtype=np.float32) / 3
    y = graph.op("Add", graph.op("Add", x, exact), graph.op("Add", exact.copy(), inexact))
    graph.output("y", y, [300])
    model = graph.model("sum", "", {"meaning": 1})
    assert sorted(tensor.data_type for tensor in model.graph.initializer) == [
        onnx.TensorProto.FLOAT,
        onnx.TensorProto.FLOAT16,
    ]
    result = run(model, x=np.ones(300, np.float32))["y"]
    np.testing.assert_array_equal(result, 1 + exact + (exact + inexact))


def test_the_model_says_what_it_is():
    graph = Graph()
    graph.output("y", graph.op("Relu", graph.input("x", ["any"])), ["any"])
    model = graph.model("rectified", "text", {"multiple": 8})
    assert [(o.domain, o.version) for o in model.opset_import] == [("", OPSET)] == [("", 17)]
    assert {p.key: p.value for p in model.metadata_props} == {"multiple": "8"}


def test_a_graph_that_does_not_fit_is_refused():
    graph = Graph()
    graph.output("y", graph.op("MatMul", graph.input("x", [2, 3]), np.ones((4, 5), np.float32)), [2, 5])
    with pytest.raises(onnx.shape_inference.InferenceError):
        graph.model("wrong", "", {})
