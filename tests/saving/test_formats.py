"""Every format, written and read by rkeras: six models, the same weights, and training goes on the same."""

import json

import numpy as np
import pytest
import rkeras as keras
from checks import zoo

NEEDS = {"lstm": ("LSTM", "GRU", "Bidirectional"), "transformer": ("MultiHeadAttention",)}
MODELS = [
    m for m in ("mlp", "convnet", "nested", "lstm", "transformer")
    if all(hasattr(keras.layers, n) for n in NEEDS.get(m, ()))
]  # fmt: skip
WHOLE = {
    "m.keras": {}, "m.h5": {}, "m.hdf5": {}, "folder": {"zipped": False}, "old.h5": {"save_format": "h5"},
}  # fmt: skip
WEIGHTS = {"w.weights.h5": {}, "w.weights.json": {"max_shard_size": 2e-6}, "w.h5": {}, "w.safetensors": {}}


@pytest.fixture(scope="module")
def trained():
    """The models, trained, and what they predict before and after another epoch."""
    found = {}

    def get(name):
        if name not in found:
            model = zoo.compiled(keras, name)
            weights, state = model.get_weights(), [v.numpy() for v in model.optimizer.variables]
            before = zoo.predict(model, name)
            zoo.train(model, name)
            after = zoo.predict(model, name)
            model.set_weights(weights)
            for v, value in zip(model.optimizer.variables, state, strict=True):
                v.assign(value)
            found[name] = model, before, after
        return found[name]

    return get


def same(ours, theirs, atol=0.0):
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, atol=atol, rtol=1e-6 if atol else 0)


@pytest.mark.parametrize("target", WHOLE)
@pytest.mark.parametrize("name", MODELS)
def test_whole_model(tmp_path, trained, name, target):
    model, before, after = trained(name)
    model.save(tmp_path / target, **WHOLE[target])
    again = keras.models.load_model(tmp_path / target)
    same(zoo.predict(again, name), before)
    zoo.train(again, name)
    same(zoo.predict(again, name), after)


@pytest.mark.parametrize("target", WEIGHTS)
@pytest.mark.parametrize("name", [*MODELS, "subclassed"])
def test_weights(tmp_path, trained, name, target):
    model, before, _ = trained(name)
    model.save_weights(tmp_path / target, **WEIGHTS[target])
    again = zoo.architecture(keras, name)
    if not again.built:
        with pytest.raises(ValueError, match="built"):
            again.load_weights(tmp_path / target)
        again(zoo.data(name)[0][:2])
    again.load_weights(tmp_path / target)
    same(again.get_weights(), model.get_weights())
    same(zoo.predict(again, name), before)


@pytest.mark.parametrize("name", MODELS)
def test_configs_and_clones(trained, name):
    model, before, _ = trained(name)
    text = model.to_json()
    again = keras.models.model_from_json(text)
    assert json.loads(again.to_json())["config"] == json.loads(text)["config"]
    clone = keras.models.clone_model(model)
    made = type(model).from_config(model.get_config())
    for other in (again, clone, made):
        assert [w.shape for w in other.get_weights()] == [w.shape for w in model.get_weights()]
        other.set_weights(model.get_weights())
        same(zoo.predict(other, name), before)
        assert other.weights[0] is not model.weights[0]


def test_shards_replace_older_ones(tmp_path, trained):
    model, _, _ = trained("convnet")
    path = tmp_path / "w.weights.json"
    for size in (1, 2e-6, 1e-6, 1):
        model.save_weights(path, max_shard_size=size)
        again = zoo.architecture(keras, "convnet")
        again.load_weights(path)
        same(again.get_weights(), model.get_weights())
        named = {
            n
            for v in json.loads(path.read_text())["weight_map"].values()
            for n in ([v] if isinstance(v, str) else v)
        }
        # Keras opens number 0 in any case.
        assert {p.name for p in tmp_path.glob("*.h5")} == named | {"w_00000.weights.h5"}
    with pytest.raises(ValueError, match="max_shard_size"):
        model.save_weights(path, max_shard_size=1e-8)


def test_shared_layers_stay_shared(tmp_path):
    """One layer in two models that lie in a third."""
    x = keras.Input((3,))
    shared = keras.layers.Dense(3, name="shared")
    left, right = (
        keras.Model(x, shared(x), name="left"),
        keras.Sequential([keras.Input((3,)), shared], name="right"),
    )
    y = keras.Input((3,))
    model = keras.Model(y, keras.layers.Add()([left(y), right(y)]))
    model.save(tmp_path / "m.keras")
    again = keras.models.load_model(tmp_path / "m.keras")
    assert again.get_layer("left").get_layer("shared") is again.get_layer("right").get_layer("shared")
    assert len(again.weights) == 2
    data = np.ones((2, 3), "float32")
    np.testing.assert_array_equal(again.predict(data, verbose=0), model.predict(data, verbose=0))


def test_lists_within_lists(tmp_path):
    class Net(keras.Model):
        def __init__(self):
            super().__init__()
            self.a_rows = [[keras.layers.Dense(2), keras.layers.Dense(2)], [keras.layers.Dense(2)]]

        def call(self, x):
            for row in self.a_rows:
                for layer in row:
                    x = layer(x)
            return x

    a, b = Net(), Net()
    x = np.ones((1, 2), "float32")
    a(x), b(x)
    a.save_weights(tmp_path / "w.weights.h5")
    b.load_weights(tmp_path / "w.weights.h5")
    same(b.get_weights(), a.get_weights())
    import h5py

    with h5py.File(tmp_path / "w.weights.h5", "a") as f:
        assert "a_rows/container_1/dense/vars/0" in f
        del f["a_rows/container_1"]
    with pytest.warns(UserWarning, match="lists within lists"):
        b.load_weights(tmp_path / "w.weights.h5")


def test_bfloat16_and_other_dtypes(tmp_path):
    for dtype in ("bfloat16", "float16", "float64"):
        model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, dtype=dtype)])
        for target in ("w.weights.h5", "w.safetensors", "w.h5"):
            again = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, dtype=dtype)])
            model.save_weights(tmp_path / target)
            again.load_weights(tmp_path / target)
            for a, b in zip(again.weights, model.weights, strict=True):
                assert a.dtype == dtype
                np.testing.assert_array_equal(
                    np.asarray(keras.ops.cast(a, "float64")), np.asarray(keras.ops.cast(b, "float64"))
                )


def test_the_content_says_the_format(tmp_path, trained):
    """Files under other names are read for what they are."""
    model, _, _ = trained("mlp")
    model.save_weights(tmp_path / "a.weights.h5")
    (tmp_path / "a.weights.h5").rename(tmp_path / "weights.h5")
    model.save_weights(tmp_path / "b.h5")
    (tmp_path / "b.h5").rename(tmp_path / "b.weights.h5")
    model.save(tmp_path / "c.keras")
    (tmp_path / "c.keras").rename(tmp_path / "c.zip")
    for name in ("weights.h5", "b.weights.h5", "c.zip"):
        again = zoo.architecture(keras, "mlp")
        again.load_weights(tmp_path / name)
        same(again.get_weights(), model.get_weights())


def test_what_does_not_fit_is_said(tmp_path, trained):
    model, _, _ = trained("mlp")
    with pytest.raises(ValueError, match="ends in"):
        model.save(tmp_path / "model.bin")
    with pytest.raises(ValueError, match="ends in"):
        model.save_weights(tmp_path / "weights.bin")
    with pytest.raises(ValueError, match=r"weights\.json"):
        model.save_weights(tmp_path / "weights.bin", max_shard_size=1)
    with pytest.raises(FileNotFoundError):
        keras.models.load_model(tmp_path / "none.keras")
    model.save_weights(tmp_path / "w.h5")
    with pytest.raises(ValueError, match="weights alone"):
        keras.models.load_model(tmp_path / "w.h5")
    model.save_weights(tmp_path / "w.weights.h5")
    with pytest.raises(ValueError, match="by_name"):
        model.load_weights(tmp_path / "w.weights.h5", by_name=True)
    with pytest.raises(FileExistsError):
        model.save_weights(tmp_path / "w.h5", overwrite=False)
    other = keras.Sequential(
        [keras.Input((6,)), keras.layers.Dense(5), keras.layers.Dropout(0.0), keras.layers.Dense(3)]
    )
    start = other.get_weights()
    for target in ("w.weights.h5", "w.h5"):
        with pytest.raises(ValueError, match="load_weights"):
            other.load_weights(tmp_path / target)
        with pytest.warns(UserWarning, match="expected"):
            other.load_weights(tmp_path / target, skip_mismatch=True)
    np.testing.assert_array_equal(other.get_weights()[0], start[0])


def test_folders_above(tmp_path, trained):
    model, _, _ = trained("mlp")
    model.save(tmp_path / "a" / "b" / "m.h5")
    model.save(tmp_path / "c" / "d" / "m", zipped=False)
    keras.models.load_model(tmp_path / "c" / "d" / "m")
    with pytest.raises(FileNotFoundError, match="makedirs"):
        model.save(tmp_path / "e" / "m.keras")


def test_without_the_optimizer(tmp_path, trained):
    model, before, _ = trained("mlp")
    for target in ("m.keras", "m.h5", "folder"):
        model.save(tmp_path / target, include_optimizer=False, zipped=False if target == "folder" else None)
        again = keras.models.load_model(tmp_path / target)
        assert again.optimizer is None
        same(zoo.predict(again, "mlp"), before)
    model.save(tmp_path / "n.keras")
    assert keras.models.load_model(tmp_path / "n.keras", compile=False).optimizer is None


def test_models_that_keras_2_has_no_words_for(tmp_path):
    x = keras.Input((3,))
    model = keras.Model(x, keras.ops.exp(x))
    model.save(tmp_path / "m.h5")
    np.testing.assert_allclose(
        keras.models.load_model(tmp_path / "m.h5").predict(np.zeros((1, 3)), verbose=0), 1.0
    )
    with pytest.raises(ValueError, match="Keras 2"):
        model.save(tmp_path / "n.h5", save_format="h5")


OPTIMIZERS = {
    "Adam": {"amsgrad": True}, "AdamW": {}, "Adamax": {}, "Nadam": {}, "SGD": {"momentum": 0.9}, "RMSprop": {"momentum": 0.5,
    "centered": True}, "Adagrad": {}, "Adadelta": {}, "Ftrl": {}, "Lion": {}, "Lamb": {}, "Adafactor": {},
}  # fmt: skip


@pytest.mark.parametrize("target", ["m.keras", "m.h5", "old.h5"])
@pytest.mark.parametrize("name", [n for n in OPTIMIZERS if hasattr(keras.optimizers, n)])
def test_states_of_optimizers(tmp_path, name, target):
    rng = np.random.RandomState(0)
    x, y = rng.rand(8, 4).astype("float32"), rng.rand(8, 2).astype("float32")
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, "tanh"), keras.layers.Dense(2)])
    model.compile(getattr(keras.optimizers, name)(0.01, **OPTIMIZERS[name]), "mse")
    model.fit(x, y, batch_size=4, epochs=2, shuffle=False, verbose=0)
    model.save(tmp_path / target, **({"save_format": "h5"} if target == "old.h5" else {}))
    again = keras.models.load_model(tmp_path / target)
    assert type(again.optimizer) is type(model.optimizer)
    for m in (model, again):
        m.fit(x, y, batch_size=4, epochs=1, shuffle=False, verbose=0)
    same(again.get_weights(), model.get_weights())


def test_schedules_and_other_arguments_of_optimizers(tmp_path):
    rate = keras.optimizers.schedules.ExponentialDecay(0.1, 2, 0.5)
    for target in ("m.keras", "m.h5", "old.h5"):
        model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
        model.compile(keras.optimizers.Adam(rate, clipnorm=1.0, beta_1=0.8), "mse")
        model.fit(np.ones((8, 4)), np.ones((8, 2)), batch_size=2, verbose=0)
        model.save(tmp_path / target, **({"save_format": "h5"} if target == "old.h5" else {}))
        again = keras.models.load_model(tmp_path / target)
        np.testing.assert_allclose(float(again.optimizer.learning_rate), 0.1 * 0.5**2, rtol=1e-6)
        assert (again.optimizer.clipnorm, again.optimizer.beta_1) == (1.0, 0.8)
