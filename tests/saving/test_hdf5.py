"""Small helpers for HDF5: long lists of names, dtypes."""

import h5py
import numpy as np
import pytest
import rkeras as keras
from rkeras.saving import hdf5


def test_long_lists_of_names_are_split(tmp_path):
    names = [f"layer_{i}_{'ü' * 40}" for i in range(2000)]
    with h5py.File(tmp_path / "a.h5", "w") as f:
        hdf5.write_texts(f, "names", names)
        hdf5.write_texts(f, "few", names[:3])
        hdf5.write_texts(f, "none", [])
        assert "names" not in f.attrs
        assert {"names0", "names1", "few"} <= set(f.attrs)
        with pytest.raises(ValueError, match="bytes"):
            hdf5.write_texts(f, "x", ["n" * 70_000])
    with h5py.File(tmp_path / "a.h5") as f:
        assert hdf5.read_texts(f, "names") == names
        assert hdf5.read_texts(f, "few") == names[:3]
        assert hdf5.read_texts(f, "none") == hdf5.read_texts(f, "absent") == []
        assert hdf5.read_text(f, "absent") is None


def test_bfloat16_is_stored_as_keras_does(tmp_path):
    values = keras.ops.cast(np.array([1.5, -2.0, 3.140625], "float32"), "bfloat16")
    with h5py.File(tmp_path / "a.h5", "w") as f:
        hdf5.write_dataset(f, "x", values)
        assert f["x"].dtype == np.dtype("V2")
        assert f["x"].attrs["dtype"] == "bfloat16"
        np.testing.assert_array_equal(hdf5.read_dataset(f, "x", 100), [1.5, -2.0, 3.140625])
        with pytest.raises(keras.saving.UnsafeFileError, match="at most 2 bytes"):
            hdf5.read_dataset(f, "x", 2)
        with pytest.raises(KeyError):
            hdf5.open_link(f, "nothing/here")
