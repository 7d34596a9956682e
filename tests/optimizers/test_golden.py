"""Ten steps of every optimizer against a recording of real Keras, eagerly and compiled."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import rkeras as keras
from rkeras import _rkeras

GOLDEN = Path(__file__).parents[1] / "golden"
CASES = json.loads((GOLDEN / "optimizers.json").read_text())
G = np.load(GOLDEN / "optimizers.npz")


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("compiled", [False, True])
def test_ten_steps(name, compiled):
    case = CASES[name]
    optimizer = getattr(keras.optimizers, case["class"]).from_config(case["config"])
    variables = [keras.Variable(G[f"{name}_start{i}"]) for i in range(2)]
    optimizer.build(variables)
    if compiled:
        graph = _rkeras.Graph()
        with graph:
            grads = [graph.input(tuple(v.shape), "float32") for v in variables]
            optimizer.apply(grads, variables)
        step = graph.compile([])
    for n in range(10):
        grads = [G[f"{name}_grad{n}_{i}"] for i in range(2)]
        if compiled:
            step(*grads)
        else:
            optimizer.apply([keras.ops.convert_to_tensor(g) for g in grads], variables)
    for i, v in enumerate(variables):
        np.testing.assert_allclose(v.numpy(), G[f"{name}_end{i}"], rtol=1e-4, atol=1e-5)
    # Variables are numbered by the process; their kinds are what files rely on.
    strip = lambda name: re.sub(r"variable(_\d+)?", "variable", name)
    assert [[strip(v.name), list(v.shape)] for v in optimizer.variables] == [
        [strip(n), s] for n, s in case["slots"]
    ]
    assert optimizer.get_config() == case["config"]
    assert int(optimizer.iterations.numpy()) == case["iterations"]
