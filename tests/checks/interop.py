"""Runs the real programs (Keras, TensorFlow, tf_keras) on files of ours, where an interpreter that has them is named."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

PYTHON = os.environ.get("RKERAS_INTEROP_PYTHON")
if PYTHON is None and all(importlib.util.find_spec(m) for m in ("keras", "tf_keras", "tensorflow")):
    PYTHON = sys.executable
needs_real_programs = pytest.mark.skipif(
    not PYTHON, reason="RKERAS_INTEROP_PYTHON names no interpreter with TensorFlow and Keras"
)


def run_real(code, *arguments):
    """Runs code with the real programs; the zoo of models is importable, arguments are in `sys.argv`.

    Returns:
        What it printed.

    Raises:
        AssertionError: if it fails.
    """
    zoo = str(Path(__file__).parent)
    environment = {
        **os.environ, "PYTHONPATH": zoo, "TF_CPP_MIN_LOG_LEVEL": "3", "KERAS_BACKEND": "tensorflow",
        "CUDA_VISIBLE_DEVICES": "-1",
    }  # fmt: skip
    done = subprocess.run(
        [str(PYTHON), "-c", code, *map(str, arguments)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout
