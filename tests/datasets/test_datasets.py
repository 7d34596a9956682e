"""Data sets from files made here, in the layouts of the published ones; nothing is downloaded."""

import pickle

import numpy as np
import pytest
import rkeras as keras
from rkeras.datasets import _files

REVIEWS = [[1, 5, 9, 30], [2, 3], [7, 8, 9, 10, 11, 12], [4, 4, 4]]


@pytest.fixture
def imdb(tmp_path):
    lists = np.empty(4, dtype=object)
    lists[:] = [list(r) for r in REVIEWS]
    np.savez(tmp_path / "imdb.npz", x_train=lists, y_train=[0, 1, 1, 0], x_test=lists[:2], y_test=[1, 0])
    return tmp_path / "imdb.npz"


def test_mnist_from_a_file_of_ones_own(tmp_path):
    x = np.arange(3 * 28 * 28, dtype="uint8").reshape(3, 28, 28)
    np.savez(tmp_path / "m.npz", x_train=x, y_train=[1, 2, 3], x_test=x[:1], y_test=[1])
    (a, b), (c, d) = keras.datasets.mnist.load_data(path=tmp_path / "m.npz")
    np.testing.assert_array_equal(a, x)
    assert (b.tolist(), c.shape, d.tolist()) == ([1, 2, 3], (1, 28, 28), [1])


def test_imdb_marks_and_limits(imdb):
    (x, y), (xt, yt) = keras.datasets.imdb.load_data(path=imdb, num_words=12)
    # Reviews come in the order of seed 113; every one begins with 1, numbers are 3 higher, large ones are 2.
    expected = {
        tuple([1] + [w + 3 if w + 3 < 12 else 2 for w in r]): label for r, label in zip(REVIEWS, [0, 1, 1, 0])
    }
    assert {tuple(r): label for r, label in zip(x, y)} == expected
    assert len(xt) == 2 and xt.dtype == object
    (x, _), _ = keras.datasets.imdb.load_data(path=imdb, num_words=12, maxlen=5, oov_char=None)
    assert sorted(map(tuple, x)) == [(1, 5, 6), (1, 7, 7, 7)]


def test_tables_are_split_by_seed(tmp_path):
    np.savez(tmp_path / "t.npz", x=np.arange(20.0).reshape(10, 2), y=np.arange(10.0))
    for module in (keras.datasets.boston_housing, keras.datasets.california_housing):
        (x, y), (xt, yt) = module.load_data(path=tmp_path / "t.npz", test_split=0.3)
        assert len(x) == 7 and len(xt) == 3
        np.testing.assert_array_equal(x[:, 0], 2 * y)
        assert sorted([*y, *yt]) == list(range(10))


def test_pickled_batches_of_images():
    batch = {
        b"data": np.arange(12, dtype="uint8").reshape(2, 6),
        b"labels": [3, 4],
        b"x": np.asfortranarray(np.eye(2)[:, ::-1]),
    }
    import io

    for protocol in (2, 4):
        out = _files.plain_objects(io.BytesIO(pickle.dumps(batch, protocol=protocol)), encoding="bytes")
        np.testing.assert_array_equal(out[b"data"], batch[b"data"])
        np.testing.assert_array_equal(out[b"x"], batch[b"x"])
        assert out[b"labels"] == [3, 4]


def test_a_pickle_that_calls_something_is_refused(tmp_path):
    import io
    import os

    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "made"),)

    with pytest.raises(ValueError, match="not read"):
        _files.plain_objects(io.BytesIO(pickle.dumps([Evil()])))
    lists = np.empty(1, dtype=object)
    lists[0] = Evil()
    np.savez(tmp_path / "i.npz", x_train=lists, y_train=[0], x_test=lists, y_test=[0])
    with pytest.raises(ValueError, match="not read"):
        keras.datasets.imdb.load_data(path=tmp_path / "i.npz")
    with pytest.raises(ValueError, match="(?i)pickle"):
        keras.datasets.mnist.load_data(path=tmp_path / "i.npz")
    assert not (tmp_path / "made").exists()


def test_no_network_is_said(tmp_path, monkeypatch):
    monkeypatch.setenv("RKERAS_HOME", str(tmp_path))
    monkeypatch.setattr(_files, "HOST", "https://127.0.0.1:9/")
    with pytest.raises(OSError, match="Hint: without a network"):
        keras.utils.get_file("a.npz", origin="https://127.0.0.1:9/a.npz")
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == []
