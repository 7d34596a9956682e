"""SavedModels of tf.keras 2 read; SavedModels of ours read, and run by TensorFlow 2's and 1's loaders."""

import json
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
import rkeras as keras
from checks import layer_zoo, zoo
from checks.interop import needs_real_programs, run_real
from rkeras._core.primitive import primitive
from rkeras.export.graph import trace_model
from rkeras.export.saved_model import export
from rkeras.saving.files import UnsafeFileError
from rkeras.saving.protobuf import decode, encode
from rkeras.saving.saved_model_proto import KERAS_METADATA

GOLDEN = Path(__file__).parents[1] / "golden"
MODELS = ["mlp", "convnet", "nested", "lstm"]
if hasattr(keras.layers, "MultiHeadAttention"):
    MODELS.append("transformer")


@pytest.mark.parametrize("name", MODELS)
def test_models_of_tf_keras(tmp_path, name):
    with zipfile.ZipFile(GOLDEN / f"tf-saved-{name}.zip") as archive:
        archive.extractall(tmp_path)
    expected = np.load(tmp_path / "expected.npz")
    model = keras.models.load_model(tmp_path / "model")
    for i, p in enumerate(zoo.predict(model, name)):
        np.testing.assert_allclose(p, expected[f"before_{i}"], atol=1e-5)
    zoo.train(model, name)
    for i, p in enumerate(zoo.predict(model, name)):
        np.testing.assert_allclose(p, expected[f"after_{i}"], atol=2e-4)
    assert not keras.models.load_model(tmp_path / "model", compile=False).compiled


@pytest.mark.parametrize("name", MODELS)
def test_round_trip(tmp_path, name):
    model = zoo.compiled(keras, name)
    model.save(tmp_path / "model")
    assert sorted(os.listdir(tmp_path / "model")) == [
        "assets",
        "keras_metadata.pb",
        "saved_model.pb",
        "variables",
    ]
    again = keras.models.load_model(tmp_path / "model")
    for a, b in zip(zoo.predict(model, name), zoo.predict(again, name), strict=True):
        np.testing.assert_array_equal(a, b)
    zoo.train(model, name)
    zoo.train(again, name)
    for a, b in zip(zoo.predict(model, name), zoo.predict(again, name), strict=True):
        np.testing.assert_array_equal(a, b)


def test_saving_over_an_old_folder_replaces_it(tmp_path):
    model = zoo.compiled(keras, "mlp")
    model.save(tmp_path / "model")
    (tmp_path / "model" / "stray").write_text("x")
    zoo.train(model, "mlp")
    model.save(tmp_path / "model")
    assert not (tmp_path / "model" / "stray").exists() and os.listdir(tmp_path) == ["model"]
    again = keras.models.load_model(tmp_path / "model")
    np.testing.assert_array_equal(zoo.predict(model, "mlp")[0], zoo.predict(again, "mlp")[0])
    with pytest.raises(FileExistsError):
        model.save(tmp_path / "model", overwrite=False)


def test_weights_of_a_folder_without_config(tmp_path):
    model = zoo.compiled(keras, "subclassed")
    export(model, tmp_path / "model")
    with pytest.raises(ValueError, match="no Keras|no 'keras_metadata.pb'|keras_metadata"):
        keras.models.load_model(tmp_path / "model")
    other = zoo.architecture(keras, "subclassed")
    other.load_weights(tmp_path / "model" / "variables" / "variables")
    np.testing.assert_array_equal(zoo.predict(model, "subclassed")[0], zoo.predict(other, "subclassed")[0])


def test_hostile_metadata(tmp_path):
    zoo.compiled(keras, "mlp").save(tmp_path / "model")
    file = tmp_path / "model" / "keras_metadata.pb"
    node = decode(KERAS_METADATA, file.read_bytes())["nodes"][0]

    def write(metadata):
        text = metadata if isinstance(metadata, str) else json.dumps(metadata)
        file.write_bytes(encode(KERAS_METADATA, {"nodes": [{**node, "metadata": text}]}))

    for metadata in (
        "{",
        "[]",
        {},
        {"class_name": "Sequential", "config": 3},
        {"class_name": "Net", "config": {}},
    ):
        write(metadata)
        with pytest.raises((ValueError, TypeError)):
            keras.models.load_model(tmp_path / "model")
    write({"keras_3_config": {"module": "os", "class_name": "system", "config": {"command": "false"}}})
    with pytest.raises((ValueError, TypeError)):
        keras.models.load_model(tmp_path / "model")
    huge = {"class_name": "Sequential", "config": {"name": "s", "layers": [
        {"class_name": "Dense", "config": {"units": 1 << 20, "batch_input_shape": [None, 1 << 20]}},
    ]}}  # fmt: skip
    write(huge)
    with pytest.raises(UnsafeFileError):
        keras.models.load_model(tmp_path / "model")
    file.write_bytes(os.urandom(200))
    with pytest.raises(ValueError):
        keras.models.load_model(tmp_path / "model")


def test_an_op_without_counterpart_says_so(tmp_path):
    class Eigenvalues(keras.layers.Layer):
        def call(self, x):
            return primitive("eigh")(x)[0]

    x = keras.Input((3, 3))
    model = keras.Model(x, Eigenvalues()(x))
    with pytest.raises(NotImplementedError, match="'eigh'"):
        model.save(tmp_path / "model")
    assert os.listdir(tmp_path) == []


RUN = """
import sys, numpy as np, tensorflow as tf
data = np.load(sys.argv[1] + "/data.npz")
for name in sorted({k.split("/")[0] for k in data}):
    def of(kind):
        return {k.split("/")[2]: data[k] for k in data if k.startswith(f"{name}/{kind}/")}
    path = f"{sys.argv[1]}/{name}"
    loaded = tf.saved_model.load(path)
    results = loaded.signatures["serving_default"](**{k: tf.constant(v) for k, v in of("in").items()})
    graph = tf.Graph()
    with graph.as_default(), tf.compat.v1.Session(graph=graph) as session:
        signature = tf.compat.v1.saved_model.load(session, ["serve"], path).signature_def["serving_default"]
        fed = {signature.inputs[k].name: v for k, v in of("in").items()}
        again = session.run({k: v.name for k, v in signature.outputs.items()}, fed)
    assert set(results) == set(of("out")), (name, list(results))
    for k, expected in of("out").items():
        np.testing.assert_allclose(results[k], expected, rtol=1e-5, atol=1e-5, err_msg=f"{name} {k}")
        np.testing.assert_allclose(again[k], expected, rtol=1e-5, atol=1e-5, err_msg=f"{name} {k} in a session")
    if len(of("in")) == 1:
        served = tf.nest.flatten(loaded.serve(tf.constant(*of("in").values())))
        assert len(served) == len(results)
print("done")
"""


@needs_real_programs
def test_tensorflow_runs_models(tmp_path):
    data = {}
    for name in [*MODELS, "subclassed"]:
        model = zoo.compiled(keras, name)
        if name == "subclassed":
            model.export(tmp_path / name)
        else:
            model.save(tmp_path / name)
        x = zoo.data(name)[0]
        named = getattr(model, "_functional", None) or model
        traced = [trace_model(model).inputs[0][0]] if name == "subclassed" else named.input_names
        for key, value in zip(traced, x if isinstance(x, list) else [x], strict=True):
            data[f"{name}/in/{key}"] = value.astype("int32") if value.dtype.kind == "i" else value
        outputs = ["output_0"] if name == "subclassed" else named.output_names
        for key, value in zip(outputs, zoo.predict(model, name), strict=True):
            data[f"{name}/out/{key}"] = value
    np.savez(tmp_path / "data.npz", **data)
    assert "done" in run_real(RUN, tmp_path)


class Matrices(keras.layers.Layer):
    """Ops on matrices, some of which have no public name yet."""

    def call(self, x):
        spd = keras.ops.matmul(x, keras.ops.transpose(x, (0, 2, 1))) + 3.0 * keras.ops.eye(3)
        lower = primitive("cholesky")(spd)
        return [
            primitive("inv")(spd), primitive("det")(spd), lower, primitive("solve")(spd, x),
            primitive("solve_triangular")(lower, x, lower=True),
        ]  # fmt: skip


class Loops(keras.layers.Layer):
    """Control flow that uses values from outside."""

    def call(self, x):
        ops = keras.ops
        return [
            ops.while_loop(lambda i, y: i < 4, lambda i, y: (i + 1, y * 1.5 + x), (0, x))[1],
            ops.while_loop(lambda y: ops.sum(y) < 1e9, lambda y: (y + 1.0,), (x,), maximum_iterations=3)[0],
            ops.cond(ops.sum(x) > 0.0, lambda: x + 1.0, lambda: x - 1.0),
            ops.cond(ops.sum(x) < 0.0, lambda: x + 1.0, lambda: x - 1.0),
        ]


def graphs():
    """Models of ops by name."""
    x = keras.Input((3, 3))
    found = layer_zoo.models(keras)
    for name, layer in (("matrices", Matrices()), ("loops", Loops())):
        found[name] = keras.Model(x, {f"y{i}": y for i, y in enumerate(layer(x))})
    return found


@needs_real_programs
def test_tensorflow_runs_layers_for_any_batch_and_length(tmp_path):
    rng, data = np.random.default_rng(0), {}
    for name, model in graphs().items():
        for w in model.weights:
            if "moving" not in w.path:
                w.assign(0.5 * rng.normal(size=w.shape))
        export(model, tmp_path / name)
        x = layer_zoo.inputs(model, rng)
        y = model.predict(x if len(x) > 1 else next(iter(x.values())), verbose=0)
        data.update({f"{name}/in/{k}": v for k, v in x.items()})
        data.update(
            {f"{name}/out/{k}": v for k, v in (y if isinstance(y, dict) else {"output_0": y}).items()}
        )
    np.savez(tmp_path / "data.npz", **data)
    assert "done" in run_real(RUN, tmp_path)
