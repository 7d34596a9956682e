"""`tf.keras`: imported in every usual way, with the names and attributes of tf.keras 2."""

import importlib

import numpy as np
import pytest
import rkeras
import rkeras.tf as tf


@pytest.mark.parametrize(
    ("module", "names"),
    [
        ("layers", "Dense Input Layer ThresholdedReLU"),
        ("layers.experimental.preprocessing", "Rescaling"),
        ("models", "Model Sequential load_model"),
        ("optimizers", "Adam schedules"),
        ("optimizers.legacy", "Adam SGD"),
        ("optimizers.experimental", "Adam"),
        ("optimizers.schedules", "ExponentialDecay"),
        ("experimental", "CosineDecay"),
        ("losses", "Reduction mse MSE KLD mean_squared_error BinaryCrossentropy"),
        ("metrics", "Mean mae mse KLD"),
        ("callbacks", "EarlyStopping ModelCheckpoint"),
        ("datasets.mnist", "load_data"),
        ("datasets", "mnist cifar10"),
        ("utils", "to_categorical Sequence"),
        ("backend", "clear_session count_params set_value floatx get_uid standardize_dtype"),
        ("activations", "relu"),
        ("initializers", "GlorotUniform"),
        ("regularizers", "l2"),
        ("constraints", "MaxNorm"),
        ("mixed_precision", "set_global_policy Policy LossScaleOptimizer"),
        ("preprocessing.text", "Tokenizer"),
        ("preprocessing.sequence", "pad_sequences TimeseriesGenerator"),
        ("preprocessing.image", "load_img img_to_array"),
        ("preprocessing", "image text sequence"),
    ],
)
def test_every_import(module, names):
    found = importlib.import_module(f"rkeras.tf.keras.{module}")
    space = {}
    exec(f"from rkeras.tf.keras.{module} import {', '.join(names.split())}", space)
    for name in names.split():
        assert getattr(found, name) is space[name]
        real = getattr(rkeras, module.split(".")[0], None)
        if hasattr(real, name) and not hasattr(space[name], "__path__") and module != "backend":
            assert space[name] is getattr(real, name)


def test_top_level_is_rkeras():
    from rkeras.tf import keras
    from rkeras.tf.keras import Model, layers

    assert (
        Model is rkeras.Model
        and keras.Sequential is rkeras.Sequential
        and layers.Dense is rkeras.layers.Dense
    )
    assert keras.layers is layers and tf.keras is keras


def test_absent_names_say_what_to_use():
    with pytest.raises(AttributeError, match="Keras 3 has none either"):
        tf.keras.layers.LocallyConnected1D
    with pytest.raises(AttributeError, match="there is one device"):
        tf.distribute.TPUStrategy
    with pytest.raises(AttributeError, match="padded_batch"):
        tf.ragged
    with pytest.raises(AttributeError, match="from_generator"):
        tf.data.TFRecordDataset
    with pytest.raises(ImportError):
        importlib.import_module("rkeras.tf.keras.nonsense")
    with pytest.raises(NotImplementedError, match="GradientTape"):
        tf.gradients()


def test_shapes_of_layers_and_tensors():
    x = tf.keras.Input((4,))
    dense = tf.keras.layers.Dense(3)
    y = dense(x)
    assert dense.input_shape == (None, 4) and dense.output_shape == (None, 3)
    assert (
        y.shape.as_list() == [None, 3]
        and y.get_shape().rank == 2
        and tf.keras.backend.int_shape(y) == (None, 3)
    )
    add = tf.keras.layers.Add()
    add([y, y])
    assert add.input_shape == [(None, 3), (None, 3)] and add.output_shape == (None, 3)
    assert tf.zeros((2, 3)).shape.as_list() == [2, 3] and tf.Variable([1.0]).shape.ndims == 1
    assert tf.zeros((2, 3)).shape == [2, 3] and tf.zeros((2, 3)).shape[1:].as_list() == [3]
    with pytest.raises(AttributeError, match="never called"):
        tf.keras.layers.Dense(3).output_shape
    dense(tf.keras.Input((4,)))  # the same shapes again
    assert dense.output_shape == (None, 3)


def test_dtypes():
    x = tf.constant([1.0])
    assert x.dtype == tf.float32 and x.dtype != tf.int32 and tf.float32.is_floating
    assert tf.as_dtype(np.int64) is not None and tf.as_dtype("int64") == tf.int64
    assert tf.int8.max == 127 and tf.float16.size == 2 and tf.float32.as_numpy_dtype is np.float32
    assert tf.cast(x, tf.int32).dtype == "int32"


def test_variables():
    v = tf.Variable(np.zeros((2, 2)), dtype=tf.float32, name="v")
    assert v.dtype == tf.float32 and v.value().shape == (2, 2) and v.name == "v" and v.trainable
    v.assign(tf.ones((2, 2)), read_value=False)
    v.assign_sub([[1.0, 0.0], [0.0, 0.0]])
    assert v.numpy().tolist() == [[0.0, 1.0], [1.0, 1.0]]
    assert (v + 1.0).numpy()[0, 0] == 1.0 and tf.reduce_sum(v).numpy() == 3.0
    with pytest.raises(ValueError, match="initial_value"):
        tf.Variable()

    class Holder(tf.keras.layers.Layer):
        def __init__(self):
            super().__init__()
            self.w = tf.Variable(2.0, trainable=True)
            self.n = tf.Variable(0, trainable=False)

        def call(self, x):
            return x * self.w

    layer = Holder()
    assert len(layer.trainable_variables) == 1 and len(layer.non_trainable_variables) == 1
    assert float(layer(tf.constant([3.0]))[0]) == 6.0


def test_legacy_train_step_learns_like_fit():
    class Legacy(tf.keras.Model):
        def __init__(self, *args):
            super().__init__()
            self.dense = tf.keras.layers.Dense(3, activation="softmax")

        def call(self, x):
            return self.dense(x)

        def train_step(self, data):
            x, y = data
            with tf.GradientTape() as tape:
                y_pred = self(x, training=True)
                loss = self.compiled_loss(y, y_pred, regularization_losses=self.losses)
            grads = tape.gradient(loss, self.trainable_variables)
            self.optimizer.apply_gradients(zip(grads, self.trainable_variables, strict=True))
            self.compiled_metrics.update_state(y, y_pred)
            return {m.name: m.result() for m in self.metrics}

    class Modern(Legacy):
        train_step = tf.keras.Model.train_step

    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((50, 4)).astype("float32"), rng.integers(0, 3, 50)
    results = []
    for kind in (Legacy, Modern):
        tf.keras.utils.set_random_seed(1)
        model = kind()
        model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
        results.append(model.fit(x, y, batch_size=16, epochs=3, shuffle=False, verbose=0).history)
        assert model.metrics_names == ["loss", "accuracy"] and not model._untraceable
    for key in results[1]:
        np.testing.assert_allclose(results[0][key], results[1][key], rtol=1e-5)


def test_backend_functions_of_programs():
    K = tf.keras.backend
    model = tf.keras.Sequential([tf.keras.Input((3,)), tf.keras.layers.Dense(2, name="d")])
    model.compile("sgd", "mse")
    K.set_value(model.optimizer.learning_rate, 0.5)
    assert K.get_value(model.optimizer.learning_rate) == 0.5
    f = K.function([model.input], [model.get_layer("d").output])
    x = np.ones((1, 3), "float32")
    np.testing.assert_allclose(f([x])[0], model.predict(x, verbose=0), rtol=1e-6)
    v = K.variable([1.0])
    K.update_add(v, [2.0])
    assert K.get_value(v).tolist() == [3.0]
    K.moving_average_update(v, [1.0], 0.5)
    assert K.get_value(v).tolist() == [2.0]
    assert K.in_train_phase(1, 2, training=False) == 2
    with pytest.raises(AttributeError, match=r"rkeras\.ops"):
        K.nonsense


def test_print(capsys):
    import sys

    tf.print("loss", tf.constant([0.5, 2.0]), 3, {"a": tf.constant(1)}, output_stream=sys.stdout)
    assert capsys.readouterr().out == "loss [0.5 2] 3 {'a': 1}\n"
    tf.print(tf.constant("text"))
    assert capsys.readouterr().err == "text\n"


def test_checks_raise():
    tf.debugging.assert_equal(tf.constant([1]), [1])
    with pytest.raises(tf.errors.InvalidArgumentError, match="mine"):
        tf.debugging.assert_less(tf.constant([2.0]), 1.0, message="mine")
    with pytest.raises(tf.errors.InvalidArgumentError):
        tf.debugging.check_numerics(tf.constant([np.nan]), "loss")
    tf.debugging.assert_shapes([(tf.zeros((2, 3)), ("b", 3)), (tf.zeros((2,)), ("b",))])
    with pytest.raises(ValueError, match="assert_shapes"):
        tf.debugging.assert_shapes([(tf.zeros((2, 3)), ("b", 3)), (tf.zeros((4,)), ("b",))])
    # In the layer graph sizes are not known: the check passes.
    tf.debugging.assert_less(tf.keras.Input(()), 1.0)


def test_reshape_with_the_batch_of_a_layer_graph():
    x = tf.keras.Input((6, 8))
    y = tf.reshape(x, (tf.shape(x)[0], -1, 2, 4))
    assert y.shape == (None, 6, 2, 4)
    model = tf.keras.Model(x, tf.transpose(y, perm=[0, 2, 1, 3]))
    data = np.arange(96, dtype="float32").reshape(2, 6, 8)
    want = data.reshape(2, 6, 2, 4).transpose(0, 2, 1, 3)
    np.testing.assert_array_equal(model.predict(data, verbose=0), want)


def test_tensor_array():
    @tf.function
    def squares(n):
        array = tf.TensorArray(tf.float32, size=0, dynamic_size=True)
        for i in range(3):
            array = array.write(i, n * i)
        return array.stack()

    assert squares(tf.constant(2.0)).numpy().tolist() == [0.0, 2.0, 4.0] and not squares.untraceable
    array = tf.TensorArray(tf.int32, size=2).unstack([[1, 2], [3, 4]])
    assert (
        array.read(1).numpy().tolist() == [3, 4] and array.concat().shape == (4,) and int(array.size()) == 2
    )
    with pytest.raises(IndexError, match="dynamic_size"):
        array.write(5, [0, 0])


def test_numbers_format_as_numbers():
    assert f"{tf.constant(1.23456):.2f}" == "1.23" and f"{tf.Variable(2.0):.1f}" == "2.0"
    assert "shape=(2,)" in f"{tf.constant([1.0, 2.0])}"


def test_decompositions_are_tensorflows_or_absent():
    """The order of results is TensorFlow's: (s, u, v), not NumPy's (u, s, vh)."""
    a = tf.constant([[2.0, 1.0], [1.0, 3.0], [0.0, 1.0]])
    if hasattr(rkeras.ops, "svd"):
        s, u, v = tf.linalg.svd(a)
        assert s.shape == (2,) and u.shape == (3, 2) and v.shape == (2, 2)
        np.testing.assert_allclose((u * s) @ tf.transpose(v), a, rtol=1e-5, atol=1e-6)
    else:
        with pytest.raises(NotImplementedError, match=r"numpy\.linalg"):
            tf.linalg.svd(a)


def test_compat():
    tf.compat.v1.logging.set_verbosity(tf.compat.v1.logging.ERROR)
    assert tf.compat.as_str(b"a") == "a"
    with pytest.raises(AttributeError, match="TensorFlow 2"):
        tf.compat.v1.Session


def test_devices():
    assert tf.config.list_physical_devices("GPU") == [] and not tf.test.is_gpu_available()
    assert [d.device_type for d in tf.config.list_physical_devices()] == ["CPU"]
    with tf.device("/CPU:0"):
        pass
    with pytest.raises(ValueError):
        tf.device("/GPU:0")


def test_one_replica():
    strategy = tf.distribute.MirroredStrategy()
    assert strategy.num_replicas_in_sync == 1 and tf.distribute.get_strategy().num_replicas_in_sync == 1
    with strategy.scope():
        assert tf.distribute.get_strategy() is strategy
        model = tf.keras.Sequential([tf.keras.Input((2,)), tf.keras.layers.Dense(1)])
        model.compile("sgd", "mse")
    data = strategy.experimental_distribute_dataset(
        tf.data.Dataset.from_tensor_slices(np.ones((4, 2), "float32")).batch(2)
    )
    parts = [strategy.run(lambda x: tf.reduce_sum(x), args=(x,)) for x in data]
    assert float(strategy.reduce(tf.distribute.ReduceOp.SUM, parts[0], axis=None)) == 4.0
    rows = tf.constant([[1.0], [3.0]])
    assert strategy.reduce("MEAN", rows, axis=0).numpy().tolist() == [2.0]
    with pytest.raises(ValueError, match="CPU"):
        tf.distribute.MirroredStrategy(["GPU:0", "GPU:1"])


def test_files(tmp_path):
    path = str(tmp_path / "a" / "b.txt")
    tf.io.write_file(path, "hello")
    assert tf.io.read_file(path).numpy() == b"hello" and tf.io.gfile.exists(path)
    assert tf.io.gfile.glob(str(tmp_path / "*" / "*.txt")) == [path] and tf.io.gfile.listdir(
        str(tmp_path / "a")
    ) == ["b.txt"]
    with tf.io.gfile.GFile(path) as file:
        assert file.read() == "hello"
    with pytest.raises(tf.errors.NotFoundError):
        tf.io.read_file(str(tmp_path / "none"))
    with pytest.raises(ValueError, match="this machine"):
        tf.io.gfile.exists("gs://bucket/file")
    assert tf.io.decode_raw(tf.constant(b"\x01\x00\x02\x00"), tf.int16).numpy().tolist() == [1, 2]
