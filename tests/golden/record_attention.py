"""Records what attention and the layers beside it compute in real Keras.

KERAS_BACKEND=tensorflow python tests/golden/record_attention.py  (needs keras and tensorflow; writes beside it)
"""

import json
import os
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import keras
import numpy as np

HERE = Path(__file__).parent
QV = [(2, 5, 6), (2, 5, 6)]
CROSS = [(2, 4, 6), (2, 7, 5), (2, 7, 3)]

# (class name, constructor arguments, shapes of the inputs, how it is called)
# "masks": Keras masks (query, value, key) of random truth values; "mask": an attention mask of that shape.
CASES = [
    ("MultiHeadAttention", dict(num_heads=2, key_dim=3), QV, {}),
    ("MultiHeadAttention", dict(num_heads=2, key_dim=3, value_dim=4, output_shape=7), CROSS, {}),
    ("MultiHeadAttention", dict(num_heads=3, key_dim=2, use_bias=False), QV, dict(use_causal_mask=True)),
    ("MultiHeadAttention", dict(num_heads=2, key_dim=3), CROSS, dict(use_causal_mask=True, return_attention_scores=True)),
    ("MultiHeadAttention", dict(num_heads=2, key_dim=3), QV, dict(mask=(2, 5, 5))),
    ("MultiHeadAttention", dict(num_heads=2, key_dim=3), QV, dict(mask=(5, 5), use_causal_mask=True)),
    ("MultiHeadAttention", dict(num_heads=2, key_dim=3), QV, dict(mask=(2, 2, 5, 5), return_attention_scores=True)),
    ("MultiHeadAttention", dict(num_heads=2, key_dim=3), CROSS, dict(masks=(True, True, False))),
    ("MultiHeadAttention", dict(num_heads=2, key_dim=3), CROSS, dict(masks=(True, True, True), use_causal_mask=True)),
    # Explicit masks of the query do not count in Keras, those that the tensor carries do.
    ("MultiHeadAttention", dict(num_heads=2, key_dim=3), CROSS, dict(masks=(True, True, True), on_tensors=True)),
    (
        "MultiHeadAttention",
        dict(num_heads=2, key_dim=3),
        QV,
        dict(masks=(True, True), on_tensors=True, return_attention_scores=True, use_causal_mask=True),
    ),
    ("GroupQueryAttention", dict(head_dim=3, num_query_heads=2, num_key_value_heads=1), QV, dict(masks=(True, True), on_tensors=True)),
    ("MultiHeadAttention", dict(num_heads=2, key_dim=3, sliding_window=2), QV, dict(use_causal_mask=True)),
    ("MultiHeadAttention", dict(num_heads=2, key_dim=3, use_gate=True, dropout=0.1), QV, {}),
    (
        "MultiHeadAttention",
        dict(num_heads=2, key_dim=3, attention_axes=(2,), output_shape=(2, 4), kernel_regularizer="l2"),
        [(2, 3, 4, 6), (2, 3, 5, 6)],
        dict(return_attention_scores=True),
    ),
    ("MultiHeadAttention", dict(num_heads=2, key_dim=3, attention_axes=(1, 2)), [(2, 3, 4, 6), (2, 2, 5, 6)], {}),
    ("GroupQueryAttention", dict(head_dim=3, num_query_heads=4, num_key_value_heads=2), QV, {}),
    (
        "GroupQueryAttention",
        dict(head_dim=3, num_query_heads=4, num_key_value_heads=2, use_gate=True, sliding_window=3),
        QV,
        dict(use_causal_mask=True),
    ),
    (
        "GroupQueryAttention",
        dict(head_dim=3, num_query_heads=4, num_key_value_heads=1, use_bias=False),
        QV,
        dict(masks=(False, True), return_attention_scores=True),
    ),
    ("Attention", dict(), CROSS[:1] + [(2, 7, 6), (2, 7, 6)], {}),
    ("Attention", dict(use_scale=True), QV, dict(masks=(True, True), use_causal_mask=True, return_attention_scores=True)),
    ("Attention", dict(use_scale=True, score_mode="concat"), QV, dict(masks=(False, True))),
    ("AdditiveAttention", dict(), QV, dict(masks=(True, True))),
    ("AdditiveAttention", dict(use_scale=False), QV, dict(use_causal_mask=True)),
    ("EinsumDense", dict(equation="abc,cd->abd", output_shape=(None, 4), bias_axes="d", activation="tanh"), [(2, 5, 3)], {}),
    ("EinsumDense", dict(equation="abc,cde->abde", output_shape=(None, 4, 2), bias_axes="de"), [(2, 5, 3)], {}),
    ("EinsumDense", dict(equation="abcd,cde->abe", output_shape=(None, 4), bias_axes="e"), [(2, 5, 3, 2)], {}),
    ("EinsumDense", dict(equation="...x,xy->...y", output_shape=4, bias_axes="y"), [(2, 5, 3, 2)], {}),
    ("EinsumDense", dict(equation="ab...,bc->ac...", output_shape=4, bias_axes="c"), [(2, 5, 3)], {}),
    ("EinsumDense", dict(equation="abc,cbd->acd", output_shape=(3, 4), bias_axes="c"), [(2, 5, 3)], {}),
    ("EinsumDense", dict(equation="abc,bd->adc", output_shape=(4, 3), bias_axes="dc", kernel_initializer="he_normal"), [(2, 5, 3)], {}),
    ("GroupNormalization", dict(groups=2), [(2, 5, 3, 4)], {}),
    ("GroupNormalization", dict(groups=-1, epsilon=1e-5, center=False), [(2, 5, 4)], {}),
    ("GroupNormalization", dict(groups=3, axis=1, scale=False), [(2, 6, 4)], {}),
    ("Conv1DTranspose", dict(filters=3, kernel_size=3, strides=2, padding="same", activation="relu"), [(2, 5, 4)], {}),
    ("Conv1DTranspose", dict(filters=3, kernel_size=2, strides=3), [(2, 5, 4)], {}),
    ("Conv2DTranspose", dict(filters=3, kernel_size=(3, 2), strides=(2, 1), use_bias=False), [(2, 5, 4, 2)], {}),
    ("Conv2DTranspose", dict(filters=3, kernel_size=3, strides=2, padding="same", output_padding=1), [(2, 5, 4, 2)], {}),
    ("Conv2DTranspose", dict(filters=3, kernel_size=2, dilation_rate=2, padding="same"), [(2, 5, 4, 2)], {}),
    ("Conv3DTranspose", dict(filters=2, kernel_size=2, strides=2, padding="same"), [(1, 3, 2, 4, 3)], {}),
    ("AlphaDropout", dict(rate=0.3), [(2, 5)], {}),
    ("ReversibleEmbedding", dict(input_dim=6, output_dim=3, tie_weights=False), [(2, 3)], dict(reverse=True)),
    ("ReversibleEmbedding", dict(input_dim=6, output_dim=3, logit_soft_cap=0.5), [(2, 3)], dict(reverse=True)),
    ("Softmax", dict(axis=(1, 2)), [(2, 3, 4)], dict(softmax_mask=(2, 3, 4))),
    ("Softmax", dict(), [(2, 3, 4)], dict(softmax_mask=(1, 3, 4))),
    *(
        (f"Adaptive{kind}Pooling{rank}D", dict(output_size=size), [(2, *(5, 7, 4)[:rank], 3)], {})
        for kind in ("Average", "Max")
        for rank, size in ((1, 3), (2, (5, 2)), (3, (2, 3, 4)))
    ),
]  # fmt: skip


def draw(shape, rng):
    return rng.standard_normal(shape).astype("float32")


def call(layer, inputs, how, masks):
    """One call, as the case says."""
    how = dict(how)
    name = type(layer).__name__
    for key in ("masks", "mask", "softmax_mask"):
        how.pop(key, None)
    if how.pop("on_tensors", False):
        inputs = [keras.ops.convert_to_tensor(x) for x in inputs]
        for x, mask in zip(inputs, masks, strict=True):
            x._keras_mask = keras.ops.convert_to_tensor(mask)
        masks = []
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


def main():
    arrays, cases = {}, []
    for i, (name, arguments, shapes, how) in enumerate(CASES):
        rng = np.random.default_rng(100 + i)
        keras.utils.clear_session()
        layer = getattr(keras.layers, name)(**arguments)
        inputs = [draw(s, rng) for s in shapes]
        masks = []
        if "masks" in how:
            masks = [
                (rng.uniform(size=s[:2]) > 0.4) | (np.arange(s[1]) == 0) if on else None
                for on, s in zip(how["masks"], shapes, strict=False)
            ]
        for key in ("mask", "softmax_mask"):
            if key in how:
                masks = [(rng.uniform(size=how[key]) > 0.4) | (np.arange(how[key][-1]) == 0)]
        if name == "ReversibleEmbedding":
            layer.build(None)
        call(layer, inputs, how, masks)
        layer.set_weights([draw(w.shape, rng) for w in layer.weights])
        out = call(layer, inputs, how, masks)
        outs = out if isinstance(out, (list, tuple)) else [out]
        arrays |= {f"{i}_in{j}": x for j, x in enumerate(inputs)}
        arrays |= {f"{i}_mask{j}": m for j, m in enumerate(masks) if m is not None}
        arrays |= {f"{i}_w{j}": w for j, w in enumerate(layer.get_weights())}
        arrays |= {f"{i}_out{j}": np.asarray(y) for j, y in enumerate(outs)}
        cases.append(
            {
                "class": name, "arguments": arguments, "how": how, "outputs": len(outs), "inputs": len(inputs),
                "masks": [m is not None for m in masks], "config": layer.get_config(),
                "weights": [w.path for w in layer.weights],
            }
        )  # fmt: skip
    np.savez_compressed(HERE / "attention.npz", **arrays)
    (HERE / "attention.json").write_text(json.dumps(cases) + "\n")


if __name__ == "__main__":
    main()
