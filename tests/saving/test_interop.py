"""What rkeras writes, read by the real programs: the same predictions, and training goes on the same.

Needs Keras 3 and tf-keras: `pip install rkeras[interop]`, or RKERAS_INTEROP_PYTHON=/path/to/a/python that has them.
"""

import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
import rkeras as keras
from checks import zoo
from checks.interop import PYTHON, needs_real_programs

WORKER = Path(__file__).parents[1] / "checks" / "real_program.py"
pytestmark = needs_real_programs
# On several threads TensorFlow adds up in another order from run to run, which Adam makes visible.
ONE_THREAD = {"TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1"}

NEEDS = {"lstm": ("LSTM", "GRU", "Bidirectional"), "transformer": ("MultiHeadAttention",)}
MODELS = [
    m for m in ("mlp", "convnet", "nested", "lstm", "transformer")
    if all(hasattr(keras.layers, n) for n in NEEDS.get(m, ()))
]  # fmt: skip


def _jobs():
    """Everything that is written: (id, model, kind, path, programs, goes on training there, write)."""
    for m in MODELS:
        yield f"{m}.keras", m, "model", ["keras"], True, lambda model, p: model.save(p)
        yield f"{m}-folder", m, "model", ["keras"], True, lambda model, p: model.save(p, zipped=False)
        # Keras 3 itself does not read the state of optimizers from .h5.
        yield f"{m}.h5", m, "model", ["keras"], False, lambda model, p: model.save(p)
        yield (
            f"{m}-keras2.h5",
            m,
            "model",
            ["tf_keras"],
            True,
            lambda model, p: model.save(p, save_format="h5"),
        )
        yield f"{m}-w.weights.h5", m, "weights", ["keras"], False, lambda model, p: model.save_weights(p)
        yield (
            f"{m}-w.weights.json",
            m,
            "weights",
            ["keras"],
            False,
            lambda model, p: model.save_weights(p, max_shard_size=2e-6),
        )
        yield f"{m}-w.h5", m, "weights", ["keras", "tf_keras"], False, lambda model, p: model.save_weights(p)
        yield f"{m}-json.weights.h5", m, "json", ["keras"], False, lambda model, p: model.save_weights(p)
    for end in ("weights.h5", "h5"):
        programs = ["keras"] if end == "weights.h5" else ["keras", "tf_keras"]
        yield (
            f"subclassed-w.{end}",
            "subclassed",
            "weights",
            programs,
            False,
            lambda model, p: model.save_weights(p),
        )


JOBS = [(i, programs, goes_on) for i, _, _, programs, goes_on, _ in _jobs()]


@pytest.fixture(scope="module")
def outcome(tmp_path_factory):
    """(what the real programs answered, what rkeras says itself, the folder)."""
    folder = tmp_path_factory.mktemp("interop")
    models = {m: zoo.compiled(keras, m) for m in [*MODELS, "subclassed"]}
    jobs, ours = [], {}
    for job, name, kind, programs, goes_on, write in _jobs():
        model = models[name]
        write(model, folder / job)
        entry = {
            "id": job,
            "model": name,
            "kind": kind,
            "path": job,
            "programs": programs,
            "goes_on": goes_on,
        }
        if kind == "json":
            entry["json"] = f"{name}.config.json"
            (folder / entry["json"]).write_text(model.to_json())
        jobs.append(entry)
    for name, model in models.items():
        ours[name, "before"] = zoo.predict(model, name)
        zoo.train(model, name)
        ours[name, "after"] = zoo.predict(model, name)
    (folder / "jobs.json").write_text(json.dumps(jobs))
    theirs = {}
    for program in ("keras", "tf_keras"):
        run = subprocess.run(
            [PYTHON, str(WORKER), program, str(folder)], capture_output=True, text=True,
            # Keras on TensorFlow squares the gradients of embeddings lookup by lookup in Adam; on JAX it adds them up first.
            env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "KERAS_BACKEND": "jax", **ONE_THREAD},
        )  # fmt: skip
        assert run.returncode == 0, run.stderr[-3000:]
        theirs[program] = dict(np.load(folder / f"{program}.npz"))
    return theirs, ours, folder


@pytest.mark.parametrize(
    ("job", "program", "goes_on"), [(j, p, g) for j, programs, g in JOBS for p in programs], ids=lambda v: str(v)
)  # fmt: skip
def test_written_files(outcome, job, program, goes_on):
    theirs, ours, _ = outcome
    answer = theirs[program]
    assert f"{job}/error/0" not in answer, str(answer.get(f"{job}/error/0"))
    name = job.split("-")[0].split(".")[0]
    for i, y in enumerate(ours[name, "before"]):
        np.testing.assert_allclose(answer[f"{job}/before/{i}"], y, atol=1e-5)
    if goes_on:
        for i, y in enumerate(ours[name, "after"]):
            np.testing.assert_allclose(answer[f"{job}/after/{i}"], y, atol=1e-4)


@pytest.mark.parametrize("name", MODELS)
def test_configs_are_those_of_keras(outcome, name):
    """Keras's JSON becomes a model here, which has that same JSON again."""
    text = (outcome[2] / f"keras-{name}.json").read_text()
    model = keras.models.model_from_json(text)
    assert _plain(json.loads(model.to_json())) == _plain(json.loads(text))


def _plain(value):
    """Without ids, and without the shapes that some layers were built with, which no layer of ours needs."""
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items() if k not in ("shared_object_id", "build_config")}
    return [_plain(v) for v in value] if isinstance(value, list) else value
