"""Memory shared with NumPy, buffers and DLPack: no copies, nobody writes, everything lives long enough."""

import gc

import numpy as np
import pytest
from rkeras import _rkeras as core

DTYPES = [
    "bool",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
    "int8",
    "int16",
    "int32",
    "int64",
    "float16",
    "float32",
    "float64",
]


def address(a):
    return a.__array_interface__["data"][0]


@pytest.mark.parametrize("dtype", DTYPES)
def test_numpy_both_ways(dtype):
    a = np.arange(6).reshape(2, 3).astype(dtype)
    t = core.tensor(a)
    b = t.numpy()
    assert (t.dtype, b.dtype, b.shape) == (dtype, a.dtype, a.shape)
    np.testing.assert_array_equal(a, b)
    assert address(t.numpy()) == address(b)
    assert not b.flags.writeable
    assert np.array(t).flags.writeable
    a[...] = 0
    assert t.numpy().any()


def test_views_are_shared_with_their_strides():
    a = np.arange(24.0).reshape(2, 3, 4)
    t = core.tensor(a)
    for index in [(slice(None), 1), (0, slice(None, None, -1)), (..., slice(1, 3))]:
        b = t[index].numpy()
        np.testing.assert_array_equal(b, a[index])
        assert np.shares_memory(b, t.numpy())
    assert t.T.numpy().strides == a.T.strides


def test_arrays_outlive_their_tensors():
    b = (core.tensor(np.arange(1000.0)) + 1.0).numpy()
    gc.collect()
    core.tensor(np.zeros(1000)) * 2.0
    np.testing.assert_array_equal(b, np.arange(1000.0) + 1)


def test_array_protocol():
    t = core.tensor([1.5, 2.5])
    assert np.asarray(t, "int32").tolist() == [1, 2]
    assert np.array(t, copy=True).flags.writeable
    with pytest.raises(ValueError, match="copy"):
        t.__array__("int32", copy=False)
    np.testing.assert_allclose(np.sin(t), np.sin([1.5, 2.5]), rtol=1e-6)


def test_bfloat16_needs_a_package_for_numpy():
    ml_dtypes = pytest.importorskip("ml_dtypes")
    t = core.tensor([1.0, 2.5], "bfloat16")
    assert t.numpy().dtype == ml_dtypes.bfloat16
    assert core.tensor(t.numpy()).dtype == "bfloat16"
    assert core.tensor(t.numpy()).tolist() == [1.0, 2.5]


@pytest.mark.parametrize("dtype", DTYPES)
def test_buffers(dtype):
    a = np.arange(6).reshape(2, 3).astype(dtype)
    t = core.tensor(a)
    view = memoryview(t)
    assert (view.shape, view.readonly) == (a.shape, True)
    np.testing.assert_array_equal(np.asarray(view), a)
    assert address(np.asarray(view)) == address(t.numpy())
    np.testing.assert_array_equal(np.asarray(memoryview(t.T)), a.T)
    assert bytes(t) == a.tobytes()


def test_buffers_refuse_what_they_cannot_give():
    with pytest.raises(BufferError, match="bfloat16"):
        memoryview(core.tensor([1.0], "bfloat16"))
    with pytest.raises(TypeError, match="symbolic|spec"):
        memoryview(core.spec((2,), "float32"))
    with pytest.raises((BufferError, TypeError)):
        np.frombuffer(core.tensor([[1.0, 2.0], [3.0, 4.0]]).T, "float32")


@pytest.mark.parametrize("dtype", DTYPES)
def test_dlpack_round_trip_copies_nothing(dtype):
    a = np.arange(6).reshape(2, 3).astype(dtype)
    t = core.from_dlpack(a)
    assert (t.dtype, t.shape) == (dtype, a.shape)
    assert address(t.numpy()) == address(a)
    b = np.from_dlpack(t)
    assert address(b) == address(a)
    assert not b.flags.writeable
    again = core.from_dlpack(t)
    assert address(again.numpy()) == address(a)
    np.testing.assert_array_equal((again + again).numpy(), a + a)


def test_dlpack_with_strides():
    a = np.arange(24.0).reshape(4, 6)
    for view in (a.T, a[::2, ::-1], a[::-1], a[1:, 2:4]):
        t = core.from_dlpack(view)
        assert address(t.numpy()) == address(view)
        np.testing.assert_array_equal(t.numpy(), view)
        np.testing.assert_array_equal(np.from_dlpack(t), view)
        np.testing.assert_array_equal((t * 2.0).numpy(), view * 2)
    assert core.from_dlpack(np.zeros((0, 3))).shape == (0, 3)


def test_dlpack_keeps_memory_alive_and_frees_it():
    class Watched(np.ndarray):
        pass

    import weakref

    a = np.arange(1000.0).view(Watched)
    gone = weakref.ref(a)
    t = core.from_dlpack(a)
    del a
    gc.collect()
    assert gone() is not None
    assert t.numpy()[999] == 999
    del t
    gc.collect()
    assert gone() is None


def test_readers_of_the_old_dlpack_get_a_copy():
    t = core.tensor([1.0, 2.0])
    assert core.from_dlpack(t.__dlpack__()).tolist() == [1.0, 2.0]
    assert address(core.from_dlpack(t.__dlpack__()).numpy()) != address(t.numpy())
    assert address(core.from_dlpack(t.__dlpack__(max_version=(1, 0))).numpy()) == address(t.numpy())
    with pytest.raises(BufferError, match="max_version"):
        t.__dlpack__(copy=False)
    del_me = t.__dlpack__(max_version=(1, 0))  # a capsule nobody takes frees what it holds
    del del_me
    used = t.__dlpack__()
    core.from_dlpack(used)
    with pytest.raises(BufferError, match="not used yet"):
        core.from_dlpack(used)
    with pytest.raises(TypeError, match="from_dlpack"):
        core.from_dlpack(object())
    assert t.__dlpack_device__() == (1, 0)
