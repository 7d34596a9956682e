"""ONNX files: sound by an own reader, and the same numbers in ONNX Runtime where it is at hand.

With RKERAS_INTEROP_PYTHON, the interpreter of an environment with onnx and onnxruntime, they check and run the files.
"""

import os
import subprocess
import sys
from importlib.util import find_spec

import numpy as np
import pytest
import rkeras as keras
from checks import layer_zoo
from rkeras import _rkeras
from rkeras.export import onnx
from rkeras.export.graph import trace_model
from rkeras.export.onnx_builder import inputs_of
from rkeras.export.onnx_elementwise import TABLE
from rkeras.saving.protobuf import decode

L, ops = keras.layers, keras.ops
INTEROP = os.environ.get("RKERAS_INTEROP_PYTHON")


def sequential(*layers):
    return keras.Sequential(list(layers))


def functional(function, *shapes):
    inputs = [keras.Input(s) for s in shapes]
    return keras.Model(inputs, function(*inputs))


def mlp():
    return sequential(
        keras.Input((8,)), L.Dense(16, activation="gelu"), L.Dropout(0.5), L.Dense(4, activation="softmax")
    )


def convnet():
    return sequential(
        keras.Input((9, 9, 3)), L.Conv2D(4, 3, padding="same", strides=2, activation="relu"), L.BatchNormalization(),
        L.MaxPooling2D(2, padding="same"), L.SeparableConv2D(6, 2), L.AveragePooling2D(2, 1, padding="same"),
        L.GlobalMaxPooling2D(), L.Dense(3),
    )  # fmt: skip


def any_size():
    return sequential(
        keras.Input((None, None, 3)), L.Conv2D(4, 3, padding="same", strides=2), L.DepthwiseConv2D(3),
        L.MaxPooling2D(), L.Reshape((-1, 4)), L.LayerNormalization(),
    )  # fmt: skip


def conv_1d():
    return sequential(
        keras.Input((10, 4)), L.Conv1D(6, 3, padding="causal", dilation_rate=2), L.Conv1D(6, 3, groups=2),
        L.ZeroPadding1D(2), L.Cropping1D(1), L.UpSampling1D(2), L.GlobalAveragePooling1D(),
    )  # fmt: skip


def conv_3d():
    return sequential(keras.Input((5, 6, 7, 2)), L.Conv3D(3, 2), L.MaxPooling3D(2), L.Flatten())


def transposed():
    rng = np.random.default_rng(1)
    kernels = {k: rng.normal(size=(k, k, 4, 3)).astype("float32") for k in (2, 3, 4)}

    def all_ways(x):
        return [
            ops.conv_transpose(x, kernels[k], s, p)
            for s in (1, 2, 3)
            for k in kernels
            for p in ("same", "valid")
        ]

    return functional(all_ways, (None, None, 3))


def recurrent():
    return sequential(
        keras.Input((7,), dtype="int32"),
        L.Embedding(20, 5, mask_zero=True),
        L.LSTM(6, return_sequences=True),
        L.GRU(4),
    )


def both_ways():
    return sequential(
        keras.Input((7, 3)),
        L.Bidirectional(L.LSTM(4, return_sequences=True)),
        L.SimpleRNN(3, go_backwards=True),
    )


def states():
    gru = L.GRU(4, return_state=True, return_sequences=True, reset_after=False)
    return functional(gru, (7, 3))


def attention():
    def block(x):
        y = L.LayerNormalization()(x)
        q, k, v = (L.Dense(8)(y) for _ in range(3))
        weights = ops.softmax(ops.matmul(q, ops.transpose(k, (0, 2, 1))) / np.sqrt(8.0))
        z = ops.matmul(weights, v) + x
        return L.Dense(2)(z + L.Dense(8)(L.Dense(16, activation="gelu")(L.LayerNormalization()(z))))

    return functional(block, (None, 8))


def multi_head():
    def block(x):
        y = L.MultiHeadAttention(2, 4)(x, x, use_causal_mask=True)
        return L.LayerNormalization()(x + y)

    return functional(block, (None, 8))


def two_by_two():
    a, b = keras.Input((8,), name="image"), keras.Input((3,), name="metadata")
    x = L.Concatenate()([L.Dense(4)(a), b])
    return keras.Model([a, b], [L.Dense(1, name="p")(x), L.Dense(2, name="q")(x)])


def elementwise():
    def all_of(x):
        p = ops.abs(x)
        return [
            ops.expm1(x), ops.log1p(p), ops.log2(p + 1), ops.log10(p + 1), ops.floor(x), ops.ceil(x), ops.round(x), ops.sign(x),
            ops.arctan2(x, x + 1), ops.floor_divide(x, 0.7), ops.mod(x, 0.7), ops.logaddexp(x, x * 2), ops.erf(x), ops.square(x),
            ops.power(p, 1.5), ops.isnan(x), ops.isfinite(x), ops.clip(x, -1, 1), ops.rsqrt(p + 1), ops.where(x > 0, x, -x),
            ops.sigmoid(x), ops.softplus(x), ops.tanh(x), ops.sinh(x), ops.arcsinh(x), ops.logical_and(x > 0, x < 1),
            ops.cast(x * 10, "int32") % 3, ops.cast(x * 10, "int32") // 3, ops.not_equal(x, p), ops.relu6(x), ops.elu(x),
        ]  # fmt: skip

    return functional(all_of, (4, 5))


def reductions():
    def all_of(x):
        return [
            ops.sum(x, 1), ops.mean(x, (1, 2)), ops.max(x, -1, keepdims=True), ops.argmax(x, -1), ops.argmin(x, 1),
            ops.prod(x, -1), ops.logsumexp(x, -1), ops.var(x, -1), ops.any(x > 0, -1), ops.all(x > 0, -1), ops.cumsum(x, 1),
            ops.cumprod(x, -1), ops.sort(x, -1), ops.argsort(x, -1), *ops.top_k(x, 2), ops.count_nonzero(x, -1),
            ops.norm(x, axis=-1),
        ]  # fmt: skip

    return functional(all_of, (4, 5))


def shapes():
    def all_of(x):
        return [
            ops.transpose(x, (0, 2, 1)), ops.reshape(x, (-1, 20)), ops.flip(x, 1), x[:, 1:3, ::2], x[:, -1], x[..., None],
            ops.tile(x, (1, 2, 1)), ops.repeat(x, 2, 1), ops.pad(x, ((0, 0), (1, 2), (0, 0))), ops.roll(x, 1, 1),
            ops.pad(x, ((0, 0), (1, 2), (0, 0)), "reflect"), ops.pad(x, ((0, 0), (1, 2), (2, 0)), "symmetric"),
            ops.stack([x, x], 1), ops.concatenate([x, x * 2], -1), ops.split(x, 2, 1)[1], ops.swapaxes(x, 1, 2),
            ops.one_hot(ops.argmax(x, -1), 5), ops.take(x, [0, 2], 1), ops.take_along_axis(x, ops.argsort(x, -1), -1),
            ops.tril(x), ops.einsum("bij,bkj->bik", x, x), ops.squeeze(x[:, :1], 1),
        ]  # fmt: skip

    return functional(all_of, (4, 5))


class Loops(L.Layer):
    def call(self, x):
        _, y = ops.while_loop(lambda i, y: i < 5, lambda i, y: (i + 1, y * 1.1), (0, x))
        y = ops.cond(ops.sum(y) > 0, lambda: y + 1, lambda: y - 1)
        total, _ = ops.scan(lambda c, _: (c * 0.5 + 1, c), ops.zeros((3,)), None, length=4)
        return y + total[None]


def control():
    return sequential(keras.Input((3,)), Loops())


class Own(keras.Model):
    def __init__(self):
        super().__init__()
        self.hidden, self.out = L.Dense(4), L.Dense(2)

    def call(self, x, training=False):
        return {"y": self.out(ops.relu(self.hidden(x)))}


def subclassed():
    model = Own()
    model(np.zeros((2, 3), "float32"))
    return model


# The shapes of inputs without the batch.
MODELS = {
    mlp: [(8,)], convnet: [(9, 9, 3)], any_size: [(20, 17, 3)], conv_1d: [(10, 4)], conv_3d: [(5, 6, 7, 2)],
    multi_head: [(6, 8)], transposed: [(5, 6, 3)], recurrent: [(7,)], both_ways: [(7, 3)], states: [(7, 3)], attention: [(6, 8)],
    two_by_two: [(8,), (3,)], elementwise: [(4, 5)], reductions: [(4, 5)], shapes: [(4, 5)], control: [(3,)],
    subclassed: [(3,)],
}  # fmt: skip


def data_for(make, batch):
    rng = np.random.default_rng(batch)
    if make is recurrent:
        return [rng.integers(0, 20, (batch, 7)).astype("int32")]
    return [rng.normal(size=(batch, *s)).astype("float32") for s in MODELS[make]]


def predict(model, xs):
    return [np.asarray(t) for t in keras.tree.flatten(model(xs if len(xs) > 1 else xs[0], training=False))]


def read(path):
    return decode(onnx.MODEL, path.read_bytes())


def check_graph(graph, outer=()):
    """Every value is made before it is used, and once."""
    known = {
        *outer,
        *(t["name"] for t in graph.get("initializer", ())),
        *(v["name"] for v in graph.get("input", ())),
    }
    for node in graph["node"]:
        assert all(name in known for name in node["input"] if name), node
        for attribute in node.get("attribute", ()):
            assert attribute["type"] in (1, 2, 3, 5, 7)
            if "g" in attribute:
                check_graph(attribute["g"], known)
        assert not known & set(node["output"])
        known.update(node["output"])
    made = {name for node in graph["node"] for name in node["output"]}
    assert {v["name"] for v in graph["output"]} <= made


@pytest.mark.parametrize("make", MODELS, ids=lambda m: m.__name__)
def test_files_are_sound(make, tmp_path):
    model, path = make(), tmp_path / "model.onnx"
    model.export(path, format="onnx")
    message = read(path)
    assert message["producer_name"] == "rkeras" and message["opset_import"][0]["version"] == 18
    graph = message["graph"]
    check_graph(graph)
    for v in graph["input"]:
        assert v["type"]["tensor_type"]["shape"]["dim"][0] == {"dim_param": "batch"}
    used = {name for node in graph["node"] for name in inputs_of(node)}
    stored = set()
    for t in graph.get("initializer", ()):
        assert t["name"] in used
        if t["data_type"] == 1:
            stored.add(np.sort(np.frombuffer(t["raw_data"], "<f4")).tobytes())
    for w in model.weights:
        assert np.sort(w.numpy().ravel()).tobytes() in stored, w.path
    if find_spec("onnxruntime"):
        import onnxruntime

        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        names = [i.name for i in session.get_inputs()]
        for batch in (1, 4):
            xs = data_for(make, batch)
            for got, want in zip(session.run(None, dict(zip(names, xs))), predict(model, xs), strict=True):
                assert got.dtype == want.dtype and got.shape == want.shape
                np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5)


RUN = """
import sys
import numpy as np, onnx, onnxruntime
for path in sys.argv[1:]:
    onnx.checker.check_model(onnx.load(path + ".onnx"), full_check=True)
    session = onnxruntime.InferenceSession(path + ".onnx", providers=["CPUExecutionProvider"])
    data = np.load(path + ".npz")
    for batch in (1, 4):
        feed = {v.name: data[f"x{batch}_{i}"] for i, v in enumerate(session.get_inputs())}
        for i, got in enumerate(session.run(None, feed)):
            want = data[f"y{batch}_{i}"]
            assert got.dtype == want.dtype and got.shape == want.shape, (path, i, got.dtype, got.shape)
            np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5, err_msg=f"{path} {i}")
"""


@pytest.mark.skipif(not INTEROP, reason="RKERAS_INTEROP_PYTHON is not set")
def test_onnx_checks_and_onnxruntime_runs_them(tmp_path):
    paths = []
    for make in MODELS:
        model, path = make(), tmp_path / make.__name__
        model.export(f"{path}.onnx", format="onnx")
        data = {}
        for batch in (1, 4):
            xs = data_for(make, batch)
            data |= {f"x{batch}_{i}": x for i, x in enumerate(xs)}
            data |= {f"y{batch}_{i}": y for i, y in enumerate(predict(model, xs))}
        np.savez(f"{path}.npz", **data)
        paths.append(str(path))
    done = subprocess.run([INTEROP, "-c", RUN, *paths], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]


def test_layers_one_by_one(tmp_path):
    """The layers that the other formats are tested with."""
    rng, paths = np.random.default_rng(0), []
    for name, model in layer_zoo.models(keras).items():
        for w in model.weights:
            if "moving" not in w.path:
                w.assign(0.5 * rng.normal(size=w.shape))
        path = tmp_path / name
        model.export(f"{path}.onnx", format="onnx")
        graph = read(tmp_path / f"{name}.onnx")["graph"]
        check_graph(graph)
        assert [v["name"] for v in graph["input"]] == model.input_names
        data = {}
        for batch in (1, 4):
            xs = layer_zoo.inputs(model, rng, batch)
            data |= {f"x{batch}_{i}": xs[n] for i, n in enumerate(model.input_names)}
            y = model(xs if len(xs) > 1 else next(iter(xs.values())), training=False)
            data |= {f"y{batch}_{i}": np.asarray(t) for i, t in enumerate(keras.tree.flatten(y))}
        np.savez(f"{path}.npz", **data)
        paths.append(str(path))
    if INTEROP:
        done = subprocess.run([INTEROP, "-c", RUN, *paths], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-2000:]


def test_names_and_sizes_of_inputs_and_outputs(tmp_path):
    path = tmp_path / "model.onnx"
    two_by_two().export(path, format="onnx")
    graph = read(path)["graph"]
    assert [v["name"] for v in graph["input"]] == ["image", "metadata"]
    assert [v["name"] for v in graph["output"]] == ["p", "q"]
    any_size().export(path, format="onnx")
    (x,) = read(path)["graph"]["input"]
    assert [list(d) for d in x["type"]["tensor_type"]["shape"]["dim"]] == [["dim_param"]] * 3 + [
        ["dim_value"]
    ]


def test_a_signature_fixes_sizes(tmp_path):
    path = tmp_path / "model.onnx"
    mlp().export(path, format="onnx", input_signature=[keras.KerasTensor((2, 8))])
    (x,) = read(path)["graph"]["input"]
    assert x["type"]["tensor_type"]["shape"]["dim"] == [{"dim_value": 2}, {"dim_value": 8}]


def test_convolutions_in_a_row_share_one_layout(tmp_path):
    model = sequential(
        keras.Input((8, 8, 3)),
        L.Conv2D(4, 3, use_bias=False),
        L.MaxPooling2D(),
        L.Conv2D(5, 2, use_bias=False),
    )
    path = tmp_path / "model.onnx"
    model.export(path, format="onnx")
    names = [n["op_type"] for n in read(path)["graph"]["node"]]
    assert names == ["Transpose", "Conv", "MaxPool", "Conv", "Transpose", "Identity"]


def test_shared_weights_are_written_once(tmp_path):
    dense = L.Dense(50)
    x = keras.Input((50,))
    path = tmp_path / "model.onnx"
    keras.Model(x, dense(dense(x))).export(path, format="onnx")
    assert path.stat().st_size < 2 * 50 * 50 * 4


def test_fused_ops_are_written_as_what_they_stand_for():
    model = attention()
    listing = trace_model(model).listing
    fused = next(n for n in listing.nodes if n.op == "softmax")
    assert fused.reference is not None and "exp" in [n.op for n in fused.reference.nodes]
    kept = TABLE.pop("softmax")
    try:
        message = onnx.translate(trace_model(model), "model", 18)
    finally:
        TABLE["softmax"] = kept
    names = [n["op_type"] for n in message["graph"]["node"]]
    assert "Softmax" not in names and "Exp" in names
    check_graph(message["graph"])


def test_the_table_names_ops_that_exist():
    assert set(TABLE) <= set(_rkeras.primitives())


def test_what_cannot_be_written_says_why(tmp_path):
    path = tmp_path / "model.onnx"

    class Inverse(L.Layer):
        def call(self, x):
            return ops.erfinv(x)

    with pytest.raises(NotImplementedError, match="erfinv"):
        sequential(keras.Input((3, 3)), Inverse()).export(path, format="onnx")
    with pytest.raises(ValueError, match="opset_version"):
        mlp().export(path, format="onnx", opset_version=9)
    with pytest.raises(ValueError, match="settings"):
        mlp().export(path, format="onnx", colour="red")
    with pytest.raises(ValueError, match="PyTorch"):
        mlp().export(path, format="torch")
    with pytest.raises(ValueError, match="no such format"):
        mlp().export(path, format="paper")
    with pytest.raises(ValueError, match="built"):
        Own().export(path, format="onnx")
    assert not path.exists()


def test_no_package_is_needed(tmp_path, monkeypatch):
    for name in ("onnx", "onnxruntime", "google.protobuf"):
        monkeypatch.setitem(sys.modules, name, None)
    mlp().export(tmp_path / "model.onnx", format="onnx", verbose=True)
