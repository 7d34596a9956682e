"""Expressions of `tf.*` give what real TensorFlow gave: values, shapes, dtypes."""

import json
from pathlib import Path

import numpy as np
import pytest
import rkeras.tf as tf

RECORD = json.loads((Path(__file__).parents[1] / "golden" / "tf.json").read_text())


@pytest.fixture(scope="module")
def names():
    found = {"tf": tf, "np": np}
    exec(RECORD["names"], found)
    return found


@pytest.mark.parametrize("expression", RECORD["expressions"])
def test_expression(expression, names):
    compare(eval(expression, names), RECORD["expressions"][expression])


def compare(ours, theirs):
    if "elements" in theirs:
        ours = list(ours.as_numpy_iterator())
        assert len(ours) == len(theirs["elements"])
        for a, b in zip(ours, theirs["elements"], strict=True):
            compare(a, b)
    elif "dict" in theirs:
        assert set(ours) == set(theirs["dict"])
        for k, v in theirs["dict"].items():
            compare(ours[k], v)
    elif "tuple" in theirs:
        assert isinstance(ours, tuple)
        for a, b in zip(ours, theirs["tuple"], strict=True):
            compare(a, b)
    else:
        ours = np.asarray(ours.numpy() if hasattr(ours, "numpy") else ours)
        assert list(ours.shape) == theirs["shape"]
        assert str(ours.dtype) == theirs["dtype"]
        want = np.array(theirs["values"], ours.dtype).reshape(ours.shape)
        if ours.dtype.kind == "f":
            np.testing.assert_allclose(ours, want, rtol=1e-5, atol=1e-6)
        else:
            np.testing.assert_array_equal(ours, want)
