"""tf.data: what recordings cannot hold: random order, seeds, files, training from data sets."""

import collections

import numpy as np
import pytest
import rkeras.tf as tf

Dataset = tf.data.Dataset


def numbers(data):
    return [int(v) for v in data.as_numpy_iterator()]


@pytest.mark.parametrize("size", [3, 100])
@pytest.mark.parametrize("rows", [True, False])
def test_shuffle(size, rows):
    base = Dataset.range(40) if rows else Dataset.range(40).map(lambda a: a)
    data = base.shuffle(size, seed=1)
    first, second = numbers(data), numbers(data)
    assert sorted(first) == sorted(second) == list(range(40))
    assert first != second and first != list(range(40))
    again = base.shuffle(size, seed=1)
    assert numbers(again) == first and numbers(again) == second
    fixed = base.shuffle(size, seed=1, reshuffle_each_iteration=False)
    assert numbers(fixed) == numbers(fixed)
    # An element cannot come earlier than the buffer allows.
    assert all(v <= place + size - 1 for place, v in enumerate(first))


def test_shuffle_follows_the_global_seed():
    def order():
        tf.random.set_seed(5)
        return numbers(Dataset.range(20).shuffle(20))

    assert order() == order()


def test_elements_are_tensors_in_structures():
    Pair = collections.namedtuple("Pair", "a b")
    data = Dataset.from_tensor_slices(Pair(np.arange(3), {"k": [[1.0], [2.0], [3.0]]}))
    element = next(iter(data))
    assert isinstance(element, Pair) and element.b["k"].shape == (1,) and element.a.dtype == tf.int64
    assert data.element_spec.b["k"] == tf.TensorSpec((1,), tf.float32)
    assert data.batch(2).element_spec.a == tf.TensorSpec((None,), tf.int64)
    assert len(data) == 3 and int(data.batch(2).cardinality()) == 2
    with pytest.raises(TypeError, match="unknown"):
        len(data.filter(lambda e: True))


def test_misuse():
    with pytest.raises(ValueError, match="equally many"):
        Dataset.from_tensor_slices(([1, 2], [1, 2, 3]))
    with pytest.raises(ValueError, match="padded_batch"):
        list(Dataset.range(1, 3).map(lambda n: tf.fill([n], n)).batch(2))
    with pytest.raises(TypeError, match="structure"):
        list(Dataset.from_generator(lambda: [1], output_signature=(tf.TensorSpec(()), tf.TensorSpec(()))))
    with pytest.raises(AttributeError, match="padded_batch"):
        Dataset.range(2).ragged_batch
    with pytest.raises(ValueError, match="buffer_size"):
        Dataset.range(2).shuffle(0)


def test_map_is_traced_and_falls_back():
    calls = []

    def double(x):
        calls.append(1)
        return x * 2

    assert numbers(Dataset.range(10).map(double)) == list(range(0, 20, 2)) and len(calls) == 1
    assert numbers(Dataset.range(4).map(lambda x: x if x > 1 else -x)) == [0, -1, 2, 3]
    layer = tf.keras.layers.Rescaling(0.5)
    assert [float(v[0]) for v in Dataset.from_tensor_slices([[2.0], [4.0]]).map(layer)] == [1.0, 2.0]


def test_cache_runs_once():
    made = []

    def generate():
        made.append(1)
        yield from range(3)

    data = Dataset.from_generator(generate, output_types=tf.int32).cache()
    assert numbers(data) == numbers(data) == [0, 1, 2] and len(made) == 1


def test_files(tmp_path):
    for name, text in (("b.txt", "3\n4\n"), ("a.txt", "1\r\n2\n")):
        (tmp_path / name).write_bytes(text.encode())
    files = Dataset.list_files(str(tmp_path / "*.txt"), shuffle=False)
    assert [f.rsplit(b"/", 1)[-1] for f in files.as_numpy_iterator()] == [b"a.txt", b"b.txt"]
    lines = files.flat_map(tf.data.TextLineDataset).map(lambda s: tf.strings.to_number(s, tf.int32))
    assert numbers(lines) == [1, 2, 3, 4]
    sizes = files.map(tf.io.read_file).map(tf.strings.length)
    assert numbers(sizes) == [5, 4]


def test_random_choice_of_data_sets():
    data = Dataset.sample_from_datasets([Dataset.range(50), Dataset.range(100, 150)], seed=1)
    found = numbers(data)
    assert sorted(found) == [*range(50), *range(100, 150)] and found != sorted(found)


def regression():
    tf.keras.utils.set_random_seed(2)
    model = tf.keras.Sequential([tf.keras.Input((4,)), tf.keras.layers.Dense(1)])
    model.compile(tf.keras.optimizers.SGD(0.1), "mse", metrics=["mae"])
    rng = np.random.default_rng(0)
    x = rng.standard_normal((50, 4)).astype("float32")
    return model, x, (x @ np.array([[1.0], [-2.0], [0.5], [3.0]], "float32"))


def test_fit_evaluate_predict_as_with_arrays():
    model, x, y = regression()
    want = model.fit(x, y, batch_size=16, epochs=3, shuffle=False, verbose=0).history
    model, x, y = regression()
    data = Dataset.from_tensor_slices((x, y)).batch(16).prefetch(tf.data.AUTOTUNE)
    got = model.fit(data, epochs=3, validation_data=data, verbose=0).history
    for key in want:
        np.testing.assert_allclose(got[key], want[key], rtol=1e-5)
    assert "val_loss" in got and not model._untraceable
    np.testing.assert_allclose(
        model.evaluate(data, verbose=0), model.evaluate(x, y, batch_size=16, verbose=0), rtol=1e-5
    )
    np.testing.assert_allclose(model.predict(data, verbose=0), model.predict(x, verbose=0), rtol=1e-5)


def test_fit_with_steps_and_weights():
    model, x, y = regression()
    endless = Dataset.from_tensor_slices((x, y)).repeat().batch(10)
    with pytest.raises(ValueError, match="steps_per_epoch"):
        model.fit(endless, verbose=0)
    model.fit(endless, steps_per_epoch=7, epochs=2, verbose=0)
    assert int(model.optimizer.iterations) == 14
    weighted = Dataset.from_tensor_slices((x, y, np.ones(50, "float32"))).batch(10)
    model.fit(weighted, verbose=0)
    labels = np.arange(50) % 2
    model = tf.keras.Sequential([tf.keras.Input((4,)), tf.keras.layers.Dense(2, activation="softmax")])
    model.compile("sgd", "sparse_categorical_crossentropy")
    start = model.get_weights()
    by_class = {0: 2.0, 1: 0.5}
    model.fit(x, labels, batch_size=25, class_weight=by_class, shuffle=False, verbose=0)
    want = model.get_weights()
    model.set_weights(start)
    model.fit(Dataset.from_tensor_slices((x, labels)).batch(25), class_weight=by_class, verbose=0)
    for a, b in zip(model.get_weights(), want, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5)


def test_progress_of_a_data_set_of_unknown_length(capsys):
    model, x, y = regression()
    data = Dataset.from_generator(
        lambda: zip(x, y, strict=True),
        output_signature=(tf.TensorSpec((4,), tf.float32), tf.TensorSpec((1,), tf.float32)),
    ).batch(10)
    model.fit(data, epochs=2, verbose=2)
    assert "5/5" in capsys.readouterr().out
