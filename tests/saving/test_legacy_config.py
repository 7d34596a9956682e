"""The dialects of old files: Keras 1 and 2 wrote the same things in other words."""

import json

import h5py
import numpy as np
import pytest
import rkeras as keras
from rkeras.saving import legacy_config


def write(path, config, layers, training=None, optimizer=(), version="2.2.4"):
    """An `.h5` file of an old Keras: a config, weights by layer, what it was compiled with."""
    with h5py.File(path, "w") as f:
        f.attrs["keras_version"] = version
        f.attrs["backend"] = b"tensorflow"
        f.attrs["model_config"] = json.dumps(config).encode()
        if training is not None:
            f.attrs["training_config"] = json.dumps(training).encode()
        group = f.create_group("model_weights")
        group.attrs["layer_names"] = [n.encode() for n in layers]
        for name, arrays in layers.items():
            sub = group.create_group(name)
            sub.attrs["weight_names"] = [f"{name}/w{i}:0".encode() for i in range(len(arrays))]
            for i, a in enumerate(arrays):
                sub[f"{name}/w{i}:0"] = np.asarray(a, "float32")
        if optimizer:
            sub = f.create_group("optimizer_weights")
            sub.attrs["weight_names"] = [n.encode() for n, _ in optimizer]
            for n, a in optimizer:
                sub[n] = np.asarray(a)
    return path


def dense(name, units, **config):
    return {"class_name": "Dense", "config": {
        "name": name, "trainable": True, "units": units, "activation": "linear", "use_bias": True,
        "kernel_initializer": {"class_name": "VarianceScaling", "config": {
            "scale": 1.0, "mode": "fan_avg", "distribution": "uniform", "seed": None}},
        "bias_initializer": {"class_name": "Zeros", "config": {"dtype": "float32"}},
        "kernel_regularizer": {"class_name": "L1L2", "config": {"l1": 0.0, "l2": 0.01}}, "bias_regularizer": None,
        "activity_regularizer": None, "kernel_constraint": {"class_name": "MaxNorm", "config": {"max_value": 2, "axis": 0}},
        "bias_constraint": None, **config}}  # fmt: skip


W = [np.arange(6).reshape(3, 2), np.ones(2)]


@pytest.mark.parametrize("as_list", [True, False])
def test_sequential_of_early_keras_2(tmp_path, as_list):
    """A list instead of a dict; the input shape on the first layer; `lr`; slots without names."""
    layers = [dense("d", 2, batch_input_shape=[None, 3], dtype="float32")]
    config = {"class_name": "Sequential", "config": layers if as_list else {"name": "s", "layers": layers}}
    training = {
        "optimizer_config": {"class_name": "Adam", "config": {
            "lr": 0.5, "beta_1": 0.9, "beta_2": 0.999, "decay": 0.0, "epsilon": None, "amsgrad": False}},
        "loss": "mean_squared_error", "metrics": ["accuracy"], "sample_weight_mode": None, "loss_weights": None,
    }  # fmt: skip
    state = [("Adam/iterations:0", np.int64(5))] + [
        (f"training/Adam/Variable{f'_{i}' if i else ''}:0", np.full(shape, i + 1, "float32"))
        for i, shape in enumerate([(3, 2), (2,), (3, 2), (2,)])
    ]
    path = write(tmp_path / "m.h5", config, {"d": W}, training, state)
    model = keras.models.load_model(path)
    np.testing.assert_allclose(model.predict(np.ones((1, 3)), verbose=0), [[7.0, 10.0]])
    assert isinstance(model.layers[0].kernel_regularizer, keras.regularizers.L1L2)
    assert model.layers[0].kernel_constraint.max_value == 2
    assert float(model.optimizer.learning_rate) == 0.5
    assert model.optimizer.epsilon == 1e-7
    iterations, _, m0, v0, m1, v1 = (v.numpy() for v in model.optimizer.variables)
    assert int(iterations) == 5
    # All first moments came first, then all second ones.
    assert [a.flat[0] for a in (m0, m1, v0, v1)] == [1, 2, 3, 4]


def test_decay_is_a_schedule():
    optimizer = legacy_config.optimizer(
        {"class_name": "SGD", "config": {"lr": 0.1, "decay": 0.5, "momentum": 0.9, "nesterov": True}}
    )
    assert isinstance(optimizer, keras.optimizers.SGD)
    optimizer.iterations.assign(4)
    np.testing.assert_allclose(float(optimizer.learning_rate), 0.1 / (1 + 0.5 * 4), rtol=1e-6)
    scheduled = legacy_config.optimizer({"class_name": "Adam", "config": {"learning_rate": {
        "class_name": "ExponentialDecay", "config": {"initial_learning_rate": 0.1, "decay_steps": 10, "decay_rate": 0.5}}}})  # fmt: skip
    assert isinstance(scheduled._learning_rate, keras.optimizers.schedules.ExponentialDecay)
    with pytest.raises(ValueError, match="Nonsense"):
        legacy_config.optimizer({"class_name": "Nonsense", "config": {}})


def test_losses_and_metrics_of_keras_2():
    arguments = legacy_config.compile_arguments({
        "optimizer_config": {"class_name": "Custom>Adam", "config": {"name": "Adam", "is_legacy_optimizer": False, "jit_compile": False}},
        "loss": {"a": {"class_name": "BinaryCrossentropy", "config": {"reduction": "auto", "name": "b", "from_logits": True, "label_smoothing": 0}},
                 "b": "cosine_proximity"},
        "metrics": [[{"class_name": "MeanMetricWrapper", "config": {"name": "a_accuracy", "dtype": "float32", "fn": "binary_accuracy"}}],
                    [{"class_name": "MeanSquaredError", "config": {"name": "b_mse", "dtype": "float32"}}, "mae"]],
        "loss_weights": [1.0, 0.5],
    }, ["a", "b"])  # fmt: skip
    assert arguments["loss"]["a"].from_logits is True
    assert arguments["loss"]["b"].__name__ == "cosine_similarity"
    assert arguments["metrics"][0] == ["accuracy"]
    assert [m.name for m in arguments["metrics"][1]] == ["mse", "mean_absolute_error"]
    assert arguments["loss_weights"] == [1.0, 0.5]


def test_functional_of_keras_2(tmp_path):
    """Calls as lists, a shared layer, a model within, arguments that are tensors; calls of models count from one."""
    inner = {"class_name": "Model", "name": "inner", "config": {
        "name": "inner", "layers": [
            {"class_name": "InputLayer", "name": "i", "inbound_nodes": [], "config": {"name": "i", "batch_input_shape": [None, 2], "dtype": "float32", "sparse": False}},
            {**dense("e", 2), "name": "e", "inbound_nodes": [[["i", 0, 0, {}]]]}],
        "input_layers": [["i", 0, 0]], "output_layers": [["e", 0, 0]]},
        "inbound_nodes": [[["d", 0, 0, {}]], [["d", 1, 0, {}]]]}  # fmt: skip
    config = {"class_name": "Model", "config": {"name": "m", "layers": [
        *({"class_name": "InputLayer", "name": n, "inbound_nodes": [], "config": {"name": n, "batch_input_shape": [None, 3], "dtype": "float32"}} for n in "xy"),
        {**dense("d", 2), "name": "d", "inbound_nodes": [[["x", 0, 0, {}]], [["y", 0, 0, {}]]]},
        inner,
        {"class_name": "Add", "name": "sum", "config": {"name": "sum"}, "inbound_nodes": [[["inner", 1, 0, {}], ["inner", 2, 0, {}]]]},
    ], "input_layers": [["x", 0, 0], ["y", 0, 0]], "output_layers": [["sum", 0, 0]]}}  # fmt: skip
    weights = {"x": [], "y": [], "d": W, "inner": [2 * np.eye(2), np.zeros(2)], "sum": []}
    model = keras.models.load_model(write(tmp_path / "m.h5", config, weights), compile=False)
    x, y = np.ones((1, 3), "float32"), np.zeros((1, 3), "float32")
    out = model.predict([x, y], verbose=0)
    np.testing.assert_allclose(out, [[2 * (7 + 1), 2 * (10 + 1)]])


def test_arguments_that_are_gone_or_renamed():
    def layer(name, **config):
        return keras.saving.deserialize_keras_object(
            legacy_config.modern_object({"class_name": name, "config": {"name": "l", **config}}, keras_2=True)
        )

    assert layer("Convolution2D", filters=2, kernel_size=[3, 3], groups=1).filters == 2
    assert layer("DepthwiseConv2D", kernel_size=[3, 3], groups=1).kernel_size == (3, 3)
    assert layer("BatchNormalizationV1", axis=[3], fused=True, virtual_batch_size=None).axis == 3
    assert layer("LeakyReLU", alpha=0.25).negative_slope == 0.25
    assert layer("Embedding", input_dim=3, output_dim=2, input_length=4).output_dim == 2
    assert (
        layer(
            "Dense", units=1, dtype={"class_name": "Policy", "config": {"name": "mixed_float16"}}
        ).compute_dtype
        == "float16"
    )
    assert layer("InputLayer", batch_input_shape=[2, 3], dtype="int32", ragged=False).batch_shape == (2, 3)
    with pytest.raises(ValueError, match="no_such"):
        layer("Dense", units=1, no_such="thing")


def test_unknown_functions_of_tensorflow_are_named():
    def config(function, arguments):
        return {"class_name": "Functional", "config": {"name": "m", "layers": [
            {"class_name": "InputLayer", "name": "x", "inbound_nodes": [], "config": {"name": "x", "batch_input_shape": [None, 3]}},
            {"class_name": "TFOpLambda", "name": "f", "config": {"name": "f", "function": function},
             "inbound_nodes": [["x", 0, 0, arguments]]},
        ], "input_layers": [["x", 0, 0]], "output_layers": [["f", 0, 0]]}}  # fmt: skip

    for function, arguments, match in [
        ("io.read_file", {}, "io.read_file"), ("nn.relu", {"secret": 1}, "secret"), ("math.add", {}, "'y'"), (None, {}, "None"),
    ]:  # fmt: skip
        with pytest.raises((TypeError, ValueError), match=match):
            legacy_config.modern_object(config(function, arguments), keras_2=True)
    assert (
        legacy_config.modern_object(config("nn.relu", {"name": None}), keras_2=True)["class_name"]
        == "Functional"
    )


def test_hard_sigmoid_of_keras_2(tmp_path):
    """0.2 x + 0.5 there, x / 6 + 0.5 in Keras 3; it stays what it was, through `.keras` as well."""
    config = {"class_name": "Sequential", "config": {"name": "s", "layers": [
        dense("d", 2, batch_input_shape=[None, 3], activation="hard_sigmoid")]}}  # fmt: skip
    weights = {"d": [np.full((3, 2), 0.5), [0.0, 9.0]]}
    old = write(tmp_path / "m.h5", config, weights)
    model = keras.models.load_model(old)
    np.testing.assert_allclose(model.predict(np.ones((1, 3)), verbose=0), [[0.8, 1.0]], rtol=1e-6)
    model.save(tmp_path / "m.keras")
    again = keras.models.load_model(tmp_path / "m.keras")
    np.testing.assert_allclose(again.predict(np.ones((1, 3)), verbose=0), [[0.8, 1.0]], rtol=1e-6)
    new = write(tmp_path / "n.h5", config, weights, version="3.4.0")
    model = keras.models.load_model(new)
    np.testing.assert_allclose(model.predict(np.ones((1, 3)), verbose=0), [[0.75, 1.0]], rtol=1e-6)


@pytest.mark.skipif(not hasattr(keras.layers, "LSTM"), reason="this build lacks LSTM")
@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
def test_weights_of_cudnn_layers(tmp_path, kind):
    """Each gate's kernel in Fortran order, the recurrent one transposed, two biases in a row."""
    rng = np.random.RandomState(0)
    gates, units = {"LSTM": 4, "GRU": 3}[kind], 2
    kernel, recurrent = rng.rand(3, gates * units), rng.rand(units, gates * units)
    biases = rng.rand(2, gates * units)
    cudnn = [
        np.hstack([k.T.reshape(k.shape) for k in np.hsplit(kernel, gates)]),
        np.hstack([k.T for k in np.hsplit(recurrent, gates)]),
        biases.reshape(-1),
    ]
    config = {"class_name": "Sequential", "config": {"name": "s", "layers": [
        {"class_name": f"CuDNN{kind}", "config": {"name": "r", "units": units, "batch_input_shape": [None, 5, 3], "return_sequences": True}}]}}  # fmt: skip
    model = keras.models.load_model(write(tmp_path / "m.h5", config, {"r": cudnn}))
    got = model.get_weights()
    np.testing.assert_allclose(got[0], kernel.astype("float32"))
    np.testing.assert_allclose(got[1], recurrent.astype("float32"))
    np.testing.assert_allclose(
        got[2], (biases.sum(0) if kind == "LSTM" else biases).astype("float32"), rtol=1e-6
    )


def test_copies_and_pickles():
    import copy
    import pickle

    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    model.compile("adam", "mse")
    model.fit(np.ones((4, 3)), np.ones((4, 2)), verbose=0)
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        for a, b in zip(other.get_weights(), model.get_weights(), strict=True):
            np.testing.assert_array_equal(a, b)
        assert int(other.optimizer.iterations.numpy()) == 1
