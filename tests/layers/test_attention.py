"""Attention and the layers beside it against a recording of real Keras; gradients; masks; configs."""

import json
from pathlib import Path

import numpy as np
import pytest
import rkeras as keras
from checks.check_op import check_gradient, run_compiled
from rkeras._core.tensor import set_keras_mask

GOLDEN = Path(__file__).parents[1] / "golden"
CASES = json.loads((GOLDEN / "attention.json").read_text())
ARRAYS = np.load(GOLDEN / "attention.npz")


def call(layer, inputs, how, masks):
    """One call, as the recording program makes it."""
    on_tensors = how.get("on_tensors")
    how = {k: v for k, v in how.items() if k not in ("masks", "mask", "softmax_mask", "on_tensors")}
    if on_tensors:
        for x, mask in zip(inputs, masks, strict=True):
            set_keras_mask(x, keras.ops.convert_to_tensor(mask))
        masks = []
    name = type(layer).__name__
    if name in ("Attention", "AdditiveAttention"):
        if masks:
            how["mask"] = [*masks]
        return layer(list(inputs), **how)
    if name in ("MultiHeadAttention", "GroupedQueryAttention"):
        if len(inputs) > 2:
            how["key"] = inputs[2]
        if len(masks) == 1:
            how["attention_mask"] = masks[0]
        else:
            how |= {
                f"{n}_mask": m
                for n, m in zip(("query", "value", "key"), masks, strict=False)
                if m is not None
            }
        return layer(inputs[0], inputs[1], **how)
    return layer(inputs[0], **how, **({"mask": masks[0]} if masks else {}))


def arguments(case):
    """As Python has them: tuples where JSON has lists."""
    return {k: tuple(v) if isinstance(v, list) else v for k, v in case["arguments"].items()}


def outputs(y):
    return list(y) if isinstance(y, (list, tuple)) else [y]


@pytest.mark.parametrize("i", range(len(CASES)), ids=[f"{i}-{c['class']}" for i, c in enumerate(CASES)])
def test_like_keras(i):
    case = CASES[i]
    keras.utils.clear_session()
    layer = getattr(keras.layers, case["class"])(**arguments(case))
    inputs = [ARRAYS[f"{i}_in{j}"] for j in range(case["inputs"])]
    masks = [ARRAYS[f"{i}_mask{j}"] if on else None for j, on in enumerate(case["masks"])]
    tensors = [keras.ops.convert_to_tensor(x) for x in inputs]
    if case["class"] == "ReversibleEmbedding":
        layer.build(None)
    call(layer, tensors, case["how"], masks)
    assert [w.path for w in layer.weights] == case["weights"]
    assert json.loads(json.dumps(layer.get_config())) == case["config"]
    layer.set_weights([ARRAYS[f"{i}_w{j}"] for j in range(len(case["weights"]))])
    want = [ARRAYS[f"{i}_out{j}"] for j in range(case["outputs"])]
    got = outputs(call(layer, tensors, case["how"], masks))
    compiled = run_compiled(lambda *x: outputs(call(layer, list(x), case["how"], masks)), *inputs)
    for y, c, w in zip(got, compiled, want, strict=True):
        np.testing.assert_allclose(np.asarray(y), w, rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(c, w, rtol=1e-5, atol=1e-5)
    again = type(layer).from_config(json.loads(json.dumps(layer.get_config())))
    assert json.loads(json.dumps(again.get_config())) == case["config"]


@pytest.mark.parametrize("i", range(len(CASES)), ids=[f"{i}-{c['class']}" for i, c in enumerate(CASES)])
def test_shapes_of_symbols(i):
    """A call on symbols says the shape that a call on arrays has."""
    case = CASES[i]
    if case["how"].get("reverse"):
        pytest.skip("the way back takes vectors, `Input` gives integers")
    layer = getattr(keras.layers, case["class"])(**arguments(case))
    inputs = [keras.Input(ARRAYS[f"{i}_in{j}"].shape[1:]) for j in range(case["inputs"])]
    how = {k: v for k, v in case["how"].items() if k in ("use_causal_mask", "return_attention_scores")}
    for j, y in enumerate(outputs(call(layer, inputs, how, []))):
        assert y.shape == (None, *ARRAYS[f"{i}_out{j}"].shape[1:])


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("mask", [False, True])
def test_gradients(causal, mask):
    """Of attention with respect to query, key and value, against finite differences."""
    rng = np.random.default_rng(0)
    q, k, v = (rng.standard_normal((2, n, h, 3)) for n, h in ((4, 4), (5, 2), (5, 2)))
    keep = rng.uniform(size=(2, 1, 4, 5)) > 0.3 if mask else None
    if keep is not None:
        keep[..., 0] = True

    def attend(q, k, v):
        return keras.ops.dot_product_attention(q, k, v, mask=keep, is_causal=causal)

    check_gradient(attend, [q, k, v])


def test_bias_has_a_gradient():
    rng = np.random.default_rng(0)
    q, k, v = (rng.standard_normal((2, 4, 2, 3)) for _ in range(3))
    bias = rng.standard_normal((1, 2, 4, 4))
    check_gradient(lambda q, k, v, b: keras.ops.dot_product_attention(q, k, v, bias=b), [q, k, v, bias])


def test_scores_and_fused_attention_agree():
    keras.utils.set_random_seed(0)
    x = keras.random.normal((2, 37, 16))
    layer = keras.layers.MultiHeadAttention(4, 4)
    for how in (dict(), dict(use_causal_mask=True)):
        with_scores, scores = layer(x, x, return_attention_scores=True, **how)
        np.testing.assert_allclose(layer(x, x, **how), with_scores, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(np.asarray(scores).sum(-1), 1.0, rtol=1e-5)


def test_dropout_trains_and_repeats():
    """Weights are dropped in training only; the same seed gives the same numbers; the mean stays."""
    x = np.random.default_rng(0).standard_normal((2, 33, 8)).astype("float32")

    def run(training):
        keras.utils.set_random_seed(3)
        return np.asarray(keras.layers.MultiHeadAttention(2, 4, dropout=0.5)(x, x, training=training))

    assert np.array_equal(run(True), run(True))
    assert np.array_equal(run(False), run(False))
    assert not np.allclose(run(True), run(False))


@pytest.mark.parametrize("make", [
    lambda rate: keras.layers.MultiHeadAttention(2, 4, dropout=rate, seed=1),
    lambda rate: keras.layers.GroupQueryAttention(4, 2, 1, dropout=rate, seed=1),
])  # fmt: skip
def test_dropout_keeps_the_mean_and_zeros_what_sees_nothing(make):
    rng = np.random.default_rng(0)
    x = keras.ops.convert_to_tensor(rng.standard_normal((2, 6, 8)).astype("float32"))
    mask = np.ones((2, 6, 6), bool)
    mask[1, 3:] = False
    layer = make(0.3)
    plain = np.asarray(layer(x, x, attention_mask=mask))
    mean = np.mean([layer(x, x, attention_mask=mask, training=True) for _ in range(2000)], axis=0)
    np.testing.assert_allclose(mean, plain, atol=0.08)
    scored, scores = layer(x, x, attention_mask=mask, return_attention_scores=True)
    np.testing.assert_allclose(plain, scored, rtol=1e-5, atol=1e-5)
    assert not np.asarray(scores)[1, :, 3:].any()


def test_dropout_in_a_compiled_step_equals_the_eager_one():
    x = np.random.default_rng(0).standard_normal((8, 5, 8)).astype("float32")

    def trained(eagerly):
        keras.utils.set_random_seed(2)
        inputs = keras.Input((5, 8))
        y = keras.layers.MultiHeadAttention(2, 4, dropout=0.3)(inputs, inputs, use_causal_mask=True)
        model = keras.Model(inputs, y)
        model.compile("sgd", "mse", run_eagerly=eagerly)
        model.fit(x, x, batch_size=4, epochs=2, shuffle=False, verbose=0)
        return model.get_weights()

    for a, b in zip(trained(True), trained(False), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_masks_pass_through():
    """The output has the query's mask; the query keeps it."""
    x = keras.layers.Embedding(10, 6, mask_zero=True)(keras.ops.convert_to_tensor([[1, 2, 0], [3, 0, 0]]))
    mask = np.asarray(x._keras_mask)
    y = keras.layers.MultiHeadAttention(2, 3)(x, x)
    assert np.array_equal(np.asarray(y._keras_mask), mask)
    assert np.array_equal(np.asarray(x._keras_mask), mask)


def test_transformer_block_is_saved(tmp_path):
    x = keras.Input((6, 8))
    h = keras.layers.LayerNormalization()(x)
    h = keras.layers.Add()([x, keras.layers.MultiHeadAttention(2, 4, dropout=0.1)(h, h)])
    h = keras.layers.EinsumDense("abc,cd->abd", (None, 8), bias_axes="d", activation="gelu")(h)
    model = keras.Model(x, keras.layers.GlobalAveragePooling1D()(h))
    model.save(tmp_path / "m.keras")
    data = np.random.default_rng(0).standard_normal((3, 6, 8)).astype("float32")
    again = keras.models.load_model(tmp_path / "m.keras")
    assert np.array_equal(again.predict(data, verbose=0), model.predict(data, verbose=0))


def test_spectral_normalization():
    """The largest singular value becomes one; weights stand in Keras's order; zeros stay."""
    keras.utils.set_random_seed(0)
    layer = keras.layers.SpectralNormalization(keras.layers.Dense(4), power_iterations=50)
    layer(np.ones((1, 6), "float32"), training=True)
    assert np.isclose(np.linalg.svd(layer.layer.kernel.numpy())[1][0], 1.0, atol=1e-4)
    assert [w.path.split("/", 1)[1] for w in layer.weights] == ["dense/kernel", "vector_u", "dense/bias"]
    layer.layer.kernel.assign(np.zeros((6, 4), "float32"))
    layer(np.ones((1, 6), "float32"), training=True)
    assert np.array_equal(layer.layer.kernel.numpy(), np.zeros((6, 4), "float32"))


def test_alpha_dropout_keeps_mean_and_variance():
    keras.utils.set_random_seed(0)
    x = keras.random.normal((100_000,))
    y = np.asarray(keras.layers.AlphaDropout(0.4, seed=1)(x, training=True))
    assert abs(y.mean()) < 0.02 and abs(y.std() - 1.0) < 0.02
    low = -1.6732632 * 1.050701
    a = (0.6 * (1 + 0.4 * low**2)) ** -0.5
    dropped = np.isclose(y, a * low - a * low * 0.4, atol=1e-5)
    assert abs(dropped.mean() - 0.4) < 0.01


@keras.saving.register_keras_serializable("tests")
def triple(x):
    return 3 * x


def test_lambda(tmp_path):
    """A registered function is stored by name; a lambda is refused when stored, code when loaded."""
    model = keras.Sequential([keras.Input((2,)), keras.layers.Lambda(triple)])
    model.save(tmp_path / "m.keras")
    again = keras.models.load_model(tmp_path / "m.keras")
    assert again.predict(np.ones((1, 2)), verbose=0).tolist() == [[3.0, 3.0]]
    plain = keras.layers.Lambda(lambda x, training: x + (1 if training else 0))
    assert plain(np.ones((1,), "float32"), training=True).numpy().tolist() == [2.0]
    assert keras.layers.Lambda(triple, output_shape=(5,))(keras.Input((2,))).shape == (None, 5)
    with pytest.raises(ValueError, match="custom_objects"):
        plain.get_config()
    config = {"name": "l", "function": {"class_name": "__lambda__", "config": {"code": "4w=="}}}
    for safe in (True, False, None):
        with pytest.raises(ValueError, match="custom_objects"):
            keras.layers.Lambda.from_config(config, safe_mode=safe)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: keras.layers.MultiHeadAttention(0, 3), "num_heads as a positive integer"),
        (lambda: keras.layers.MultiHeadAttention(2, 3, flash_attention=True, dropout=0.1), "dropout=0"),
        (lambda: keras.layers.GroupQueryAttention(3, 4, 3), "divides num_query_heads"),
        (lambda: keras.layers.Attention()(keras.Input((2, 3))), r"\[query, value\]"),
        (lambda: keras.layers.EinsumDense("abc->ab", (None, 3))(keras.Input((2, 3))), "equation"),
        (lambda: keras.layers.GroupNormalization(3)(keras.Input((2, 4))), "groups that divide"),
        (lambda: keras.layers.Conv2DTranspose(2, 3, output_padding=1), "output_padding below strides"),
    ],
)
def test_errors(make, message):
    with pytest.raises((ValueError, TypeError), match=message) as error:
        make()
    assert "Received:" in str(error.value)
