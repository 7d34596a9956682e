"""Traces as plain data, with formulas for unknown sizes."""

import numpy as np
import pytest
import rkeras as keras
from rkeras import _rkeras
from rkeras._core.listing import Dim, list_function


def test_nodes_of_a_graph():
    v = keras.Variable([1.0, 2.0])
    graph = _rkeras.Graph()
    with graph:
        x = graph.input((3, 2), "float32")
        y = x[1:] * v
        v.assign(y[0])
    nodes = graph.nodes()
    assert [n["op"] for n in nodes[:4]] == ["input", "slice", "variable", "multiply"]
    assert nodes[0]["position"] == 0 and nodes[0]["outputs"] == [((3, 2), "float32")]
    assert nodes[1]["attrs"]["start"] == (1, 0) or nodes[1]["attrs"]["start"] == (1, None)
    assert nodes[2]["variable"] == v.uid
    assert nodes[3]["inputs"] == [(1, 0), (2, 0)]
    assert graph.ports([y]) == [(3, 0)]
    assert [uid for uid, _ in graph.assigns()] == [v.uid]


def test_functions_list_their_own_nodes():
    spec = _rkeras.spec((2,), "float32")
    function, captured = _rkeras.trace_function(lambda a, b: [a * b], [spec, spec])
    assert captured == [] and function.arity == 2
    assert [n["op"] for n in function.nodes()] == ["input", "input", "multiply"]
    assert function.outputs == [(2, 0)]


def test_sizes_are_polynomials_of_unknown_ones():
    batch, time = Dim({("batch",): 1}), Dim({("axis_0_1",): 1})

    def function(x):
        flat = keras.ops.reshape(x, (-1, 8))
        ones = keras.ops.ones((x.shape[0], x.shape[1] - 2))
        return {"flat": flat, "ones": ones * 3}

    listing = list_function(function, [((None, None, 8), "float32")])
    assert listing.sizes == {"batch": (0, 0), "axis_0_1": (0, 1)}
    flat, ones = (listing.nodes[n].outputs[o][0] for n, o in (listing.outputs[i] for i in (0, 1)))
    assert listing.structure == {"flat": 0, "ones": 1}
    assert flat == (Dim({("axis_0_1", "batch"): 1}), 8)
    assert ones == (batch, Dim({("axis_0_1",): 1, (): -2}))
    assert batch.name == "batch" and time.at({"axis_0_1": 5}) == 5 and ones[1].name is None
    constant = listing.nodes[listing.outputs[1][0]]
    assert constant.op == "constant" and constant.fill == 3


def test_a_model_and_its_variables():
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    listing = list_function(model, [((None, 4), "float32")], model.variables)
    variables = [n.value for n in listing.nodes if n.op == "variable"]
    assert variables[0] is model.layers[0].kernel and variables[1] is model.layers[0].bias
    with pytest.raises(ValueError, match="own"):
        list_function(model, [((None, 4), "float32")])


def test_what_is_no_polynomial_is_refused():
    with pytest.raises(ValueError, match="unknown sizes"):
        list_function(lambda x: x * float(np.sqrt(x.shape[0])), [((None, 4), "float32")])
    with pytest.raises(ValueError, match="changes no variables"):
        v = keras.Variable(0.0)
        list_function(lambda x: v.assign(keras.ops.sum(x)), [((None, 4), "float32")], [v])


def test_sizes_that_are_no_formula_are_named_where_they_are_met():
    model = keras.Sequential([keras.Input((None, 2)), keras.layers.Conv1D(3, 3, strides=2)])
    listing = list_function(model, [((None, None, 2), "float32")], model.variables)
    (name, (node, output, axis)) = next(iter(listing.found.items()))
    assert listing.nodes[node].op == "conv" and (output, axis) == (0, 1)
    assert listing.nodes[node].outputs[0][0] == (Dim({("batch",): 1}), Dim({(name,): 1}), 3)
    # Later results share the name.
    n, o = listing.outputs[0]
    assert listing.nodes[n].outputs[o][0][1].name == name and len(listing.found) == 1


def test_fused_ops_carry_what_they_stand_for():
    listing = list_function(keras.ops.softmax, [((None, 4), "float32")])
    (softmax,) = [n for n in listing.nodes if n.op == "softmax"]
    assert "exp" in {n.op for n in softmax.reference.nodes}
    assert softmax.reference.arity == 1 and listing.nodes[0].reference is None


def test_constants_of_unknown_sizes():
    def function(x):
        n = x.shape[1]
        line = keras.ops.arange(n)
        seen = keras.ops.expand_dims(line, 1) >= keras.ops.expand_dims(line, 0)
        return [
            seen,
            keras.ops.logical_not(seen),
            keras.ops.expand_dims(line, 0),
            keras.ops.triu(keras.ops.ones((n, n)), 1),
        ]

    listing = list_function(function, [((None, None), "float32")])
    fills = [listing.nodes[n].fill for n, _ in listing.outputs[:3]]
    assert fills == [("triangle", 0, False), ("triangle", 0, True), "range"]
    with pytest.raises(ValueError, match="unknown sizes"):
        list_function(
            lambda x: keras.ops.sin(keras.ops.arange(x.shape[1], dtype="float32")), [((None, None), "int32")]
        )
