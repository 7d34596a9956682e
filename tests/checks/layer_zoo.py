"""Small models of one or two layers each, for formats that translate ops one by one."""


def models(keras):
    """Dict of name to model."""
    layers, out = keras.layers, {}

    def one(name, shape, *chain, dtype="float32"):
        if not all(hasattr(layers, c[0]) for c in chain):
            return
        x = y = keras.Input(shape, dtype=dtype)
        for kind, *args in chain:
            kwargs = args.pop() if args and isinstance(args[-1], dict) else {}
            y = getattr(layers, kind)(*args, **kwargs)(y)
        out[name] = keras.Model(x, y)

    one("conv1d_causal", (9, 3), ("Conv1D", 4, 3, {"padding": "causal", "dilation_rate": 2}))
    one("conv1d_any_length", (None, 3), ("Conv1D", 4, 3, {"padding": "same"}), ("GlobalMaxPooling1D",))
    one("conv2d_strides", (9, 8, 3), ("Conv2D", 4, 3, {"padding": "same", "strides": 2, "activation": "elu"}))
    one("conv2d_dilation", (9, 8, 3), ("Conv2D", 4, 3, {"dilation_rate": 2, "activation": "selu"}))
    one("conv2d_groups", (6, 6, 4), ("Conv2D", 6, 3, {"groups": 2, "activation": "gelu"}))
    one(
        "conv2d_any_size", (None, None, 2), ("Conv2D", 3, 3, {"padding": "same"}), ("GlobalAveragePooling2D",)
    )
    one(
        "strides_any_size", (None, None, 3), ("Conv2D", 4, 3, {"padding": "same", "strides": 2}), ("Reshape", (-1, 4)),
        ("LayerNormalization",),
    )  # fmt: skip
    one("conv3d", (5, 5, 5, 2), ("Conv3D", 3, 2, {"strides": 2}), ("MaxPooling3D", 2))
    one("conv1d_transpose", (5, 3), ("Conv1DTranspose", 4, 3, {"strides": 2, "padding": "same"}))
    one("conv2d_transpose_same", (5, 6, 3), ("Conv2DTranspose", 4, 3, {"strides": 2, "padding": "same"}))
    one("conv2d_transpose_valid", (5, 6, 3), ("Conv2DTranspose", 4, 4, {"strides": 3}))
    one(
        "depthwise1d",
        (9, 3),
        ("DepthwiseConv1D", 3, {"depth_multiplier": 2, "strides": 2, "padding": "same"}),
    )
    one(
        "depthwise2d",
        (8, 9, 3),
        ("DepthwiseConv2D", 3, {"depth_multiplier": 2, "strides": 2, "padding": "same"}),
    )
    one("separable", (8, 9, 3), ("SeparableConv2D", 4, 3, {"activation": "silu"}))
    one("pool1d", (9, 3), ("MaxPooling1D", 2), ("AveragePooling1D", 2, {"padding": "same"}))
    one(
        "pool2d", (9, 7, 3), ("AveragePooling2D", 2, {"padding": "same"}), ("MaxPooling2D", 3, {"strides": 1})
    )
    one("reshaping", (4, 6), ("Permute", (2, 1)), ("Reshape", (3, 8)), ("Flatten",), ("RepeatVector", 3))
    one("padding", (4, 5, 2), ("ZeroPadding2D", ((1, 2), (0, 1))), ("Cropping2D", ((0, 1), (1, 0))))
    one("upsampling", (4, 5, 2), ("UpSampling2D", (2, 3)))
    one("batch_norm", (6,), ("BatchNormalization",), ("Activation", "mish"))
    one("layer_norm", (5, 6), ("LayerNormalization",), ("Activation", "hard_sigmoid"))
    one("layer_norm_axes", (5, 6), ("LayerNormalization", {"axis": (1, 2)}))
    one("group_norm", (4, 4, 6), ("GroupNormalization", {"groups": 3}))
    one("unit_norm", (6,), ("UnitNormalization",))
    one("rms_norm", (5, 6), ("RMSNormalization",))
    one("softmax_axis", (4, 5), ("Softmax", {"axis": 1}), ("Activation", "softsign"))
    one("leaky", (4, 5), ("LeakyReLU", 0.3), ("PReLU",), ("ELU",), ("ReLU", {"max_value": 0.5}))
    one(
        "time_distributed",
        (None, 6),
        ("TimeDistributed", layers.Dense(3)) if hasattr(layers, "TimeDistributed") else ("Absent",),
    )
    one("dense_rank_3", (None, 6), ("Dense", 4, {"activation": "softplus"}), ("GlobalAveragePooling1D",))
    one("einsum_dense", (5, 6), ("EinsumDense", "abc,cd->abd", {"output_shape": (None, 4), "bias_axes": "d"}))
    one("embedding", (7,), ("Embedding", 10, 4, {"mask_zero": True}), ("LSTM", 5), dtype="int32")
    one("simple_rnn", (6, 3), ("SimpleRNN", 4, {"return_sequences": True}))
    one("gru_backwards", (6, 3), ("GRU", 4, {"go_backwards": True}))
    one("gru_before", (6, 3), ("GRU", 4, {"reset_after": False, "return_sequences": True}))
    one("lstm_any_length", (None, 3), ("LSTM", 4, {"return_sequences": True}), ("LSTM", 2))
    one("conv_lstm", (4, 5, 5, 2), ("ConvLSTM2D", 3, 3))
    one(
        "rescaling",
        (4, 3),
        ("Rescaling", 0.5, {"offset": 1.0}),
        ("Normalization", {"mean": 0.1, "variance": 2.0}),
    )
    if hasattr(layers, "MultiHeadAttention"):
        x = keras.Input((None, 8))
        out["attention_causal"] = keras.Model(x, layers.MultiHeadAttention(2, 4)(x, x, use_causal_mask=True))
    a, b = keras.Input((3, 4), name="a"), keras.Input((3, 4), name="b")
    merged = [
        layers.Add()([a, b]),
        layers.Multiply()([a, b]),
        layers.Maximum()([a, b]),
        layers.Dot((2, 2))([a, b]),
    ]
    out["merging"] = keras.Model(
        {"a": a, "b": b}, {"sum": layers.Concatenate()(merged[:3]), "dot": merged[3]}
    )
    ops = keras.ops

    def function(name, shape, body, dtype="float32"):
        x = keras.Input(shape, dtype=dtype)
        out[name] = keras.Model(x, body(x))

    function("sorting", (4, 7), lambda x: {
        "sorted": ops.sort(x, axis=1), "order": ops.argsort(x, axis=-1), "best": ops.top_k(x, 3)[0],
        "where": ops.argmax(x, axis=1, keepdims=True), "taken": ops.take_along_axis(x, ops.argsort(x, axis=1), axis=1),
    })  # fmt: skip
    function("reductions", (4, 5), lambda x: {
        "logsumexp": ops.logsumexp(x, axis=1), "var": ops.var(x, axis=(1, 2), keepdims=True), "any": ops.any(x > 2.0, axis=-1),
        "cumsum": ops.cumsum(x, axis=1), "norm": ops.norm(x, axis=-1), "prod": ops.prod(x, axis=1), "all": ops.min(x),
    })  # fmt: skip
    function("slices", (6, 5), lambda x: {
        "reversed": x[:, ::-1], "steps": x[:, 1:-1:2, -2:], "one": x[:, -1], "rolled": ops.roll(x, 2, axis=1),
        "padded": ops.pad(x, ((0, 0), (1, 2), (2, 0)), mode="reflect"), "flipped": ops.flip(x, axis=2),
        "updated": ops.slice_update(x[0], (1, 1), 2.0 * x[0, :2, :2]),
    })  # fmt: skip
    function("numbers", (5,), lambda x: {
        "log": ops.log2(ops.abs(x) + 1.0) + ops.log10(ops.abs(x) + 1.0), "trunc": ops.trunc(3.0 * x), "round": ops.round(3.0 * x),
        "mod": ops.mod(x, 0.7), "power": ops.power(ops.abs(x), 1.5), "logaddexp": ops.logaddexp(x, 2.0 * x),
        "where": ops.where(x > 0.0, x, -2.0), "whole": ops.floor_divide(x, 0.3), "erf": ops.erf(x), "atan": ops.arctan2(x, 2.0 * x),
        "logic": ops.logical_xor(x > 0.0, x > 1.0), "hot": ops.one_hot(ops.cast(ops.abs(x) * 2.0, "int32"), 4),
    })  # fmt: skip
    return out


def inputs(model, rng, rows=5, unknown=6):
    """Arrays for a model by the names of its inputs."""
    found = {}
    for name, x in zip(model.input_names, model.inputs, strict=True):
        shape = [rows, *(unknown if d is None else d for d in x.shape[1:])]
        integers = "int" in str(x.dtype)
        found[name] = (
            rng.integers(0, 10, shape).astype("int32")
            if integers
            else rng.normal(size=shape).astype("float32")
        )
    return found
