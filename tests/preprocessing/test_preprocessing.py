"""Texts, windows and folders as data; the expected numbers are those of tf.keras 2 and Keras 3."""

import numpy as np
import pytest
import rkeras as keras
from rkeras.preprocessing import sequence, text


def test_tokenizer():
    texts = ["The cat sat on the mat.", "The dog sat; the cat ran!", "A dog"]
    t = text.Tokenizer(num_words=5, oov_token="?")
    t.fit_on_texts(texts)
    assert t.word_index == {
        "?": 1,
        "the": 2,
        "cat": 3,
        "sat": 4,
        "dog": 5,
        "on": 6,
        "mat": 7,
        "ran": 8,
        "a": 9,
    }
    assert t.texts_to_sequences(["the zebra sat on a dog"]) == [[2, 1, 4, 1, 1, 1]]
    assert t.sequences_to_texts([[2, 3, 7]]) == ["the cat ?"]
    assert t.texts_to_matrix(["the the cat"], "count").tolist() == [[0, 0, 2, 1, 0]]
    np.testing.assert_allclose(t.texts_to_matrix(["the the cat"], "freq"), [[0, 0, 2 / 3, 1 / 3, 0]])
    # (1 + log 2) log(1 + 3 / (1 + 2)) and (1 + log 1) log(1 + 3 / (1 + 2))
    np.testing.assert_allclose(
        t.texts_to_matrix(["the the cat"], "tfidf"), [[0, 0, (1 + np.log(2)) * np.log(2), np.log(2), 0]]
    )
    again = text.tokenizer_from_json(t.to_json())
    assert again.texts_to_sequences(texts) == t.texts_to_sequences(texts)
    assert again.texts_to_matrix(texts, "tfidf").tolist() == t.texts_to_matrix(texts, "tfidf").tolist()
    letters = text.Tokenizer(char_level=True)
    letters.fit_on_texts(["abA"])
    assert letters.texts_to_sequences(["ba"]) == [[2, 1]]
    assert text.hashing_trick("a b a", 10, "md5")[0] == text.hashing_trick("a", 10, "md5")[0]


def test_windows_by_generator():
    data = np.arange(20)
    g = sequence.TimeseriesGenerator(data, data * 10, length=4, sampling_rate=2, stride=3, batch_size=2)
    assert len(g) == 3
    x, y = g[1]
    assert x.tolist() == [[6, 8], [9, 11]] and y.tolist() == [100, 130]
    assert sequence.TimeseriesGenerator(data, data, 3, reverse=True)[0][0][0].tolist() == [2, 1, 0]
    with pytest.raises(ValueError, match="equally many"):
        sequence.TimeseriesGenerator(data, data[1:], 3)


def test_windows_as_data_set():
    data, targets = np.arange(20.0), np.arange(20) * 10
    found = keras.utils.timeseries_dataset_from_array(
        data, targets, sequence_length=3, sequence_stride=2, sampling_rate=4, batch_size=4
    )
    batches = list(found.as_numpy_iterator())
    assert len(batches) == int(found.cardinality()) == 2
    assert batches[0][0].tolist() == [[0, 4, 8], [2, 6, 10], [4, 8, 12], [6, 10, 14]]
    assert np.concatenate([b[1] for b in batches]).tolist() == [0, 20, 40, 60, 80, 100]
    single = keras.utils.timeseries_dataset_from_array(data, None, 18, batch_size=None)
    assert [w.shape for w in single.as_numpy_iterator()] == [(18,)] * 3
    mixed = keras.utils.timeseries_dataset_from_array(
        data, targets, 3, shuffle=True, seed=1, start_index=2, end_index=12
    )
    (x, y), *_ = mixed.as_numpy_iterator()
    assert sorted(x[:, 0].tolist()) == [2, 3, 4, 5, 6, 7, 8, 9] and x[:, 0].tolist() != sorted(
        x[:, 0].tolist()
    )
    with pytest.raises(ValueError, match="sequence_length"):
        keras.utils.timeseries_dataset_from_array(data, None, 0)


def test_parts_of_data():
    left, right = keras.utils.split_dataset((np.arange(10), np.arange(10) * 2), left_size=0.7)
    assert [int(a) for a, _ in left] == [*range(7)] and [int(b) for _, b in right] == [14, 16, 18]
    left, right = keras.utils.split_dataset(np.arange(10), right_size=3, shuffle=True, seed=0)
    assert sorted(int(v) for part in (left, right) for v in part) == [*range(10)] and len(right) == 3
    with pytest.raises(ValueError, match="add up"):
        keras.utils.split_dataset(np.arange(10), 8, 8)


def folder(tmp_path, write):
    for name, count in (("cats", 5), ("dogs", 3)):
        (tmp_path / name).mkdir()
        for i in range(count):
            write(tmp_path / name / f"{i}", i)
    return tmp_path


def test_texts_of_a_folder(tmp_path, capsys):
    folder(tmp_path, lambda path, i: path.with_suffix(".txt").write_text(f"{path.parent.name} {i}"))
    data = keras.utils.text_dataset_from_directory(tmp_path, batch_size=4, shuffle=False)
    assert "Found 8 files belonging to 2 classes." in capsys.readouterr().out and data.class_names == [
        "cats",
        "dogs",
    ]
    texts, labels = next(data.as_numpy_iterator())
    assert texts.tolist() == [b"cats 0", b"cats 1", b"cats 2", b"cats 3"] and labels.tolist() == [0] * 4
    train, held = keras.utils.text_dataset_from_directory(
        tmp_path, label_mode="binary", validation_split=0.25, subset="both", seed=1, max_length=4
    )
    seen = [
        (t, int(n[0]))
        for part in (train, held)
        for ts, ns in part.as_numpy_iterator()
        for t, n in zip(ts, ns, strict=True)
    ]
    assert sorted(seen) == [(b"cats", 0)] * 5 + [(b"dogs", 1)] * 3
    assert int(held.unbatch().reduce(0, lambda n, e: n + 1)) == 2
    for arguments, word in (
        ({"validation_split": 0.5}, "subset"), ({"validation_split": 0.5, "subset": "training"}, "seed"),
        ({"label_mode": "one"}, "label_mode"), ({"class_names": ["cows"]}, "class_names"), ({"labels": [1]}, "8 labels"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=word):
            keras.utils.text_dataset_from_directory(tmp_path, verbose=False, **arguments)


def test_pictures(tmp_path):
    pytest.importorskip("PIL")
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (6, 8, 3)).astype("uint8")
    keras.utils.save_img(tmp_path / "a.png", pixels, scale=False)
    back = keras.utils.img_to_array(keras.utils.load_img(tmp_path / "a.png"))
    assert back.dtype == np.float32 and np.array_equal(back, pixels)
    assert keras.utils.load_img(tmp_path / "a.png", "grayscale", (3, 4)).size == (4, 3)
    assert keras.utils.img_to_array(keras.utils.load_img(tmp_path / "a.png"), "channels_first").shape == (
        3,
        6,
        8,
    )
    assert np.asarray(keras.utils.array_to_img(np.array([[[0.0], [2.0]]]))).tolist() == [[0, 255]]
    with pytest.raises(ValueError, match="channels"):
        keras.utils.array_to_img(np.zeros((2, 2, 2)))


def test_pictures_of_a_folder(tmp_path):
    pytest.importorskip("PIL")
    folder(
        tmp_path, lambda path, i: keras.utils.save_img(f"{path}.png", np.full((6, 8, 3), 10 * i), scale=False)
    )
    data = keras.utils.image_dataset_from_directory(
        tmp_path, image_size=(4, 4), label_mode="categorical", shuffle=False, verbose=False
    )
    x, y = next(iter(data))
    assert x.shape == (8, 4, 4, 3) and x.dtype == "float32" and y.numpy()[5].tolist() == [0.0, 1.0]
    np.testing.assert_allclose(x.numpy()[:, 0, 0, 0], [0, 10, 20, 30, 40, 0, 10, 20])
    model = keras.Sequential(
        [keras.Input((4, 4, 3)), keras.layers.Flatten(), keras.layers.Dense(2, activation="softmax")]
    )
    model.compile("sgd", "categorical_crossentropy")
    assert np.isfinite(model.fit(data, verbose=0).history["loss"][0])


def test_smart_resize():
    x = np.arange(24.0).reshape(4, 6, 1)
    # The middle 4 x 4, then the mean of blocks of four pixels.
    want = x[:, 1:5].reshape(2, 2, 2, 2, 1).mean((1, 3))
    np.testing.assert_allclose(keras.preprocessing.image.smart_resize(x, (2, 2)), want)


def test_mixed_precision():
    try:
        keras.mixed_precision.set_global_policy("mixed_bfloat16")
        layer = keras.layers.Dense(2)
        layer.build((None, 3))
        assert layer.compute_dtype == "bfloat16" and layer.kernel.dtype == "float32"
        assert keras.mixed_precision.global_policy().name == "mixed_bfloat16"
    finally:
        keras.mixed_precision.set_global_policy("float32")
