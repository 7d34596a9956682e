"""Variables, modes, tapes, graphs, programs, loaders as Python sees them."""

import ast
import os
import signal
import threading
from pathlib import Path

import numpy as np
import pytest
import rkeras
from rkeras import _rkeras as core

P = core.primitive


def variable(value, name="w", **kwargs):
    return core.Variable(core.tensor(np.asarray(value, "float32")), name=name, **kwargs)


def train_program(rows, w, rate=0.1):
    """One step of least squares."""
    with core.Graph() as graph:
        x, y = graph.input((rows, 3), "float32"), graph.input((rows, 1), "float32")
        p = x @ w.read()
        loss = P("mean")((p - y) * (p - y))
        (slope,) = core.Tape().gradient([loss], [None], [w.read()])
        w.assign(w.read() - rate * slope)
        return graph.compile([p, loss], "train")


def data(rows=100):
    x = np.random.default_rng(0).normal(size=(rows, 3)).astype("float32")
    return x, x @ np.array([[1.0], [2.0], [3.0]], "float32")


def test_variables():
    v = variable([1, 2])
    assert (v.name, v.shape, v.dtype, v.ndim, v.trainable, v.version) == ("w", (2,), "float32", 1, True, 0)
    before = v.tensor()
    v.assign(np.array([3, 4]))
    assert v.read().tolist() == [3.0, 4.0]
    assert before.tolist() == [1.0, 2.0]
    assert v.version == 1
    v.name = "kernel"
    assert v.name == "kernel"
    with pytest.raises(ValueError, match=r'Variable "kernel": expected .*\(2,\).* Received: .*\(3,\)'):
        v.assign([1.0, 2.0, 3.0])
    assert (v.read() + v).tolist() == [6.0, 8.0]


def test_autocast_reads_floats_in_another_dtype():
    v, fixed = variable([1, 2]), variable([1, 2])
    fixed.autocast = False
    assert core.set_autocast("float16") is None
    try:
        assert (v.read().dtype, fixed.read().dtype, v.tensor().dtype) == ("float16", "float32", "float32")
    finally:
        assert core.set_autocast(None) == "float16"
    assert v.read().dtype == "float32"


def test_tape_gradients_and_their_gradients():
    x = core.tensor([1.0, 2.0, 3.0])
    outer, inner = core.Tape(), core.Tape()
    outer.start()
    outer.watch(x)
    inner.start()
    inner.watch(x)
    y = P("sum")(x * x * x)
    inner.stop()
    (first,) = inner.gradient([y], [None], [x])
    outer.stop()
    (second,) = outer.gradient([first], [None], [x])
    assert first.tolist() == [3.0, 12.0, 27.0]
    assert second.tolist() == [6.0, 12.0, 18.0]
    assert inner.gradient([y], [None], [core.tensor(1.0)]) == [None]
    with pytest.raises(ValueError, match="seed of shape"):
        inner.gradient([y], [core.tensor([1.0, 2.0])], [x])


def test_symbols_have_no_values():
    with core.Graph() as graph:
        assert core.mode() == "graph"
        x = graph.input((2, 3), "float32")
        assert x.is_symbolic
        assert (x[0] + 1).shape == (3,)
        for look in (bool, float, np.asarray, lambda t: t.numpy(), lambda t: t.item()):
            with pytest.raises(TypeError, match="symbolic.*Hint"):
                look(x)
    assert core.mode() == "eager"
    with pytest.raises(ValueError, match="known shape"):
        core.Graph().input((None, 3), "float32")


def test_scopes():
    v = variable([1, 2])
    with core.SpecScope():
        assert core.mode() == "spec"
        assert v.read().is_symbolic
        v.assign(core.spec((2,), "float32"))
        with core.EagerScope():
            assert v.read().tolist() == [1.0, 2.0]
    x = core.spec((None, 4), "int32")
    assert (x + 0.5).shape == (None, 4)
    assert (x + 0.5).dtype == "float32"
    assert x.size is None


def test_traced_functions_capture_and_pass_exceptions_on():
    outer = core.tensor([1.0, 1.0])
    with core.Graph() as graph:
        symbol = graph.input((2,), "float32")
        function, captured = core.trace_function(lambda a: [a * symbol + outer], [core.spec((2,), "float32")])
        assert function.output_specs == [((2,), "float32")]
        assert len(captured) >= 1

    class Own(Exception):
        pass

    def body(a):
        raise Own("from the body")

    with pytest.raises(Own, match="from the body"):
        core.trace_function(body, [core.spec((), "float32")])
    assert core.mode() == "eager"


def test_programs_train_in_place_and_leave_old_values_alone():
    x, y = data(8)
    w = variable(np.zeros((3, 1)))
    program = train_program(8, w)
    start = w.tensor()
    array = start.numpy()
    eager = np.zeros((3, 1), "float32")
    for _ in range(20):
        prediction, _ = program(x, y)
        np.testing.assert_allclose(prediction.numpy(), x @ eager, rtol=1e-4, atol=1e-5)
        eager = eager - 0.1 * (2 / 8) * x.T @ (x @ eager - y)
    np.testing.assert_allclose(w.tensor().numpy(), eager, rtol=1e-4, atol=1e-5)
    assert not array.any()
    assert start.tolist() == [[0.0]] * 3
    assert program.name == "train"
    assert program.stats["runs"] == 20
    assert set(program.stats) == {"instructions", "arena_bytes", "compile_ms", "nodes_traced", "runs"}
    assert "matmul" in program.dump()
    assert program.times() == []
    program.profile()
    program(x, y)
    times = program.times()
    assert [words for words, _ in times] == program.dump().splitlines()
    # What depends on constants alone was run before.
    assert sum(seconds for _, seconds in times) > 0
    program.profile(False)
    assert program.times() == []
    with pytest.raises(ValueError, match=r'program "train": expected .*\(8, 3\).* Received: .*\(7, 3\)'):
        program(x[:7], y[:7])


def test_cache_counts_and_explains():
    w = variable(np.zeros((3, 1)))
    cache = core.ProgramCache(1)
    specs = [((8, 3), "float32"), ((8, 1), "float32")]
    assert cache.get("train", specs, "") is None
    cache.put("train", specs, "", train_program(8, w))
    assert cache.get("train", specs, "").name == "train"
    assert cache.get("train", [((4, 3), "float32"), ((4, 1), "float32")], "") is None
    cache.put("train", [((4, 3), "float32"), ((4, 1), "float32")], "", train_program(4, w))
    assert cache.stats == {"hits": 1, "misses": 2, "evictions": 1, "size": 1}
    assert "shape (4, 3) instead of (8, 3)" in cache.explain()[1]
    cache.clear()
    assert cache.stats["size"] == 0


@pytest.mark.parametrize("shuffle", [False, True])
def test_loader_gives_every_row_once(shuffle):
    x, y = np.arange(40.0).reshape(20, 2), np.arange(20)
    loader = core.Loader([x, y], 8, shuffle=shuffle, seed=3)
    assert (loader.batches, loader.rows, loader.batch_rows(2)) == (3, 20, 4)
    orders = []
    for epoch in (0, 0, 1):
        loader.start(epoch)
        seen = []
        while (batch := loader.next()) is not None:
            a, b = batch
            np.testing.assert_array_equal(a.numpy()[:, 0], 2 * b.numpy())
            seen += b.tolist()
        assert sorted(seen) == list(range(20))
        orders.append(seen)
    assert orders[0] == orders[1]
    assert (orders[0] != orders[2]) is shuffle
    with pytest.raises(ValueError, match="20 rows"):
        core.Loader([x, y[:3]], 8)
    with pytest.raises(ValueError, match="batch_size"):
        core.Loader([x], 0)


def test_loader_shares_arrays():
    x = np.arange(40, dtype="float32").reshape(20, 2)
    loader = core.Loader([x], 8)
    loader.start(0)
    (batch,) = loader.next()
    assert np.shares_memory(batch.numpy(), x)


def test_run_epoch_trains_and_collects():
    x, y = data(100)
    w = variable(np.zeros((3, 1)))
    programs = {8: train_program(8, w), 4: train_program(4, w)}
    loader = core.Loader([x, y], 8, shuffle=True, seed=1)
    for epoch in range(30):
        loader.start(epoch)
        done = []
        while n := core.run_epoch(programs, loader, steps=5):
            done.append(n)
        assert done == [5, 5, 3]
    np.testing.assert_allclose(w.tensor().numpy().ravel(), [1, 2, 3], atol=1e-3)

    with core.Graph() as graph:
        double = graph.compile([graph.input((8, 3), "float32") * 2.0], "predict")
    with core.Graph() as graph:
        rest = graph.compile([graph.input((4, 3), "float32") * 2.0], "predict")
    loader = core.Loader([x], 8)
    kept = core.tensor(np.zeros((100, 3), "float32"))
    collect = [kept]
    assert core.run_epoch({8: double, 4: rest}, loader, steps=3, collect=collect) == 3
    assert core.run_epoch({8: double, 4: rest}, loader, seconds=60.0, collect=collect) == 10
    np.testing.assert_array_equal(collect[0].numpy(), 2 * x)
    assert not kept.numpy().any()
    loader.start(1)
    with pytest.raises(ValueError, match="batches of 4 rows"):
        core.run_epoch({8: double}, loader)
    with pytest.raises(ValueError, match="100 rows in collect"):
        core.run_epoch({8: double, 4: rest}, loader, collect=[core.tensor([1.0])])


def test_run_epoch_stops_for_time_and_for_signals():
    w = variable(np.zeros((3, 1)))
    program = train_program(2, w)
    x = np.zeros((6_000_000, 3), "float32")
    loader = core.Loader([x, x[:, :1].copy()], 2)
    assert 0 < core.run_epoch({2: program}, loader, seconds=0.01) < loader.batches
    timer = threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        core.run_epoch({2: program}, loader)
    timer.join()


def test_results_do_not_depend_on_threads():
    a = np.random.default_rng(0).normal(size=(300, 200)).astype("float32")
    before, results = core.num_threads(), []
    try:
        for n in (1, 2, 3):
            core.set_num_threads(n)
            t = core.tensor(a)
            results.append(P("sum")(P("tanh")(t.T @ t), axis=0).numpy().tobytes())
    finally:
        core.set_num_threads(before)
    assert len(set(results)) == 1
    assert core.isa() in ("portable", "avx2", "avx512", "neon")


def test_stub_lists_what_the_binary_has():
    tree = ast.parse((Path(rkeras.__file__).parent / "_rkeras.pyi").read_text())
    stub = {n.name: n for n in tree.body if isinstance(n, (ast.ClassDef, ast.FunctionDef))}
    assert set(stub) == {n for n in dir(core) if not n.startswith("__")}
    # What `rkeras.tf` adds to tensors is not of the binary.
    from rkeras.tf.dialect import ADDED

    for name, node in stub.items():
        if isinstance(node, ast.ClassDef):
            listed = {n.name for n in node.body if isinstance(n, ast.FunctionDef)}
            listed |= {n.target.id for n in node.body if isinstance(n, ast.AnnAssign)}
            own = {n for n in vars(getattr(core, name)) if not n.startswith("__")} - ADDED
            assert {n for n in listed if not n.startswith("__")} == own, name
            for special in listed - own:
                assert hasattr(getattr(core, name), special), f"{name}.{special}"
