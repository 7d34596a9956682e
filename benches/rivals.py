"""Who is measured, by which interpreter, and how a process of theirs is started."""

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FRAMEWORKS = [
    "rkeras",
    "keras-tensorflow",
    "keras-tensorflow-xla",
    "keras-jax",
    "keras-torch",
    "torch",
    "torch-channels-last",
    "onnxruntime",
]
OPTIONAL = ["torch-compile"]  # takes half a minute to compile; runs when it is asked for
ABSENT = 3  # exit status of a process: this framework has no such model
# A limit left in the shell by something else would slow one side only.
CLEARED = (
    "KERAS_BACKEND",
    "MKL_NUM_THREADS",
    "OMP_NUM_THREADS",
    "OPENBLAS_CORETYPE",
    "OPENBLAS_NUM_THREADS",
    "PYTHONDONTWRITEBYTECODE",
    "RKERAS_ISA",
    "RKERAS_NUM_THREADS",
    "RKERAS_PRECISE",
    "XLA_FLAGS",
)


def environment(**more):
    """The environment of a measured process."""
    kept = {k: v for k, v in os.environ.items() if k not in CLEARED}
    return {**kept, "TF_CPP_MIN_LOG_LEVEL": "3", **more}


def default_python():
    """The interpreter that `./run rivals` made, else this one."""
    made = ROOT / ".venv-rivals" / "bin" / "python"
    return str(made) if made.exists() else sys.executable


def module_of(framework):
    """The package that a framework cannot do without."""
    parts = framework.split("-")
    return parts[1] if parts[0] == "keras" else parts[0]


def interpreters(rivals, wanted=None):
    """Which interpreter runs which framework; frameworks that nothing can run are left out."""
    names = wanted or FRAMEWORKS
    modules = sorted({module_of(n) for n in names if n != "rkeras"} | {"keras"})
    code = f"import importlib.util as u; print(*[m for m in {modules} if u.find_spec(m)])"
    out = subprocess.run([rivals, "-c", code], env=environment(), capture_output=True, text=True)
    there = set(out.stdout.split())
    found = {}
    for name in names:
        if name == "rkeras":
            found[name] = sys.executable
        elif module_of(name) in there and ("keras" in there or not name.startswith("keras")):
            found[name] = rivals
    return found


def keras_of(framework):
    """The Keras module of a framework in this process, and the arguments of `compile` that make it what it says."""
    if framework == "rkeras":
        import rkeras

        return rkeras, {}
    os.environ["KERAS_BACKEND"] = module_of(framework)
    import keras

    return keras, {"jit_compile": framework.endswith("-xla")} if "tensorflow" in framework else {}


def spawn(command, seconds=240, **more):
    """Runs a process that prints a line of JSON last.

    Returns:
        Its content; None if the framework has no such model; {"failed": why} if it broke or took too long.
    """
    try:
        out = subprocess.run(
            [str(c) for c in command],
            env=environment(**more),
            capture_output=True,
            text=True,
            timeout=seconds,
        )
    except subprocess.TimeoutExpired:
        return {"failed": f"took longer than {seconds} s"}
    if out.returncode == ABSENT:
        return None
    try:
        if not out.returncode:
            return json.loads(out.stdout.strip().splitlines()[-1])
    except (IndexError, ValueError):
        pass
    lines = [line for line in out.stderr.strip().splitlines() if line.strip()]
    # The line with the error; some packages print hints below it.
    lines = [line for line in lines if line.split(":")[0].split(" ")[0].endswith("Error")] or lines
    return {"failed": (lines[-1] if lines else f"exit status {out.returncode}")[:300]}
