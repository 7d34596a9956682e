"""Records what real TensorFlow gives for expressions of `tf.*`, for tests that run without it.

python tests/golden/record_tf.py      (needs tensorflow; writes tf.json beside it)
"""

import json
import os
from pathlib import Path

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import numpy as np
import tensorflow as tf

NAMES = """
x = np.array([[0.5, -1.25, 2.0], [3.5, 0.0, -0.75]], "float32")
p = np.array([[0.2, 0.3, 0.5], [0.7, 0.1, 0.2]], "float32")
i = np.array([[3, 1, 2], [0, 5, -4]], "int32")
m = np.array([[2.0, 1.0], [1.0, 3.0]], "float32")
v = np.array([1.0, 2.0, 3.0], "float32")
img = (np.arange(48).reshape(1, 4, 4, 3) / 48).astype("float32")
ker = (np.arange(54).reshape(3, 3, 3, 2) / 54 - 0.5).astype("float32")
K = tf.keras.backend
t, u = tf.constant(x), tf.constant(img)
D = tf.data.Dataset
"""

UNARY = """abs cos exp floor negative round sigmoid sign sin sinh cosh sqrt_ square tan tanh
    math.atan math.asinh math.ceil math.erf math.erfc math.expm1 math.is_finite math.is_inf math.is_nan math.log_sigmoid
    math.reciprocal_ math.rint math.softplus math.softsign nn.relu nn.relu6 nn.elu nn.selu nn.gelu nn.silu nn.softmax
    nn.log_softmax nn.leaky_relu"""
REDUCTIONS = """reduce_sum reduce_mean reduce_max reduce_min reduce_prod reduce_logsumexp math.reduce_std
    math.reduce_variance math.reduce_euclidean_norm"""
EXPRESSIONS = [
    *[f"tf.{n}(x)" for n in UNARY.split() if not n.endswith("_")],
    "tf.sqrt(x * x)", "tf.math.log(p)", "tf.math.log1p(p)", "tf.math.rsqrt(p)", "tf.math.reciprocal(p)", "tf.math.erfinv(x / 4)",
    "tf.acos(x / 4)", "tf.asin(x / 4)", "tf.math.ndtri(p)",
    *[f"tf.{n}(x{a})" for n in REDUCTIONS.split() for a in ("", ", axis=0", ", axis=[0, 1]", ", axis=-1, keepdims=True")],
    "tf.reduce_mean(i)", "tf.reduce_any(x > 3)", "tf.reduce_all(x > -2, axis=1)", "tf.math.count_nonzero(x)",
    "tf.math.count_nonzero(x, axis=0)", "tf.argmax(x)", "tf.argmax(x, axis=1)", "tf.argmin(x, 1, output_type=tf.int32)",
    "tf.cumsum(x, axis=1)", "tf.cumsum(x, axis=1, exclusive=True)", "tf.cumsum(x, axis=0, reverse=True)",
    "tf.cumsum(x, axis=1, exclusive=True, reverse=True)", "tf.math.cumprod(x, axis=1)", "tf.math.cumprod(x, axis=1, exclusive=True)",
    "tf.add(x, 1.0)", "tf.subtract(x, v)", "tf.multiply(x, v)", "tf.divide(x, v)", "tf.math.divide_no_nan(x, x)",
    "tf.math.floordiv(i, 2)", "tf.math.floormod(i, 3)", "tf.pow(x, 2.0)", "tf.maximum(x, 0.25)", "tf.minimum(x, 0.25)",
    "tf.equal(i, 3)", "tf.not_equal(i, 3)", "tf.less(x, 0.0)", "tf.greater_equal(x, 0.0)", "tf.logical_and(x > 0, x < 1)",
    "tf.logical_or(x > 0, x < 1)", "tf.logical_not(x > 0)", "tf.math.logical_xor(x > 0, x < 1)", "tf.atan2(x, v)",
    "tf.math.squared_difference(x, v)", "tf.math.multiply_no_nan(x, v)", "tf.math.xlogy(p, p)", "tf.add_n([x, x, x])",
    "tf.clip_by_value(x, -1.0, 1.0)", "tf.clip_by_norm(x, 2.0)", "tf.clip_by_norm(x, 2.0, axes=[1])", "tf.linalg.global_norm([x, v])",
    "tf.clip_by_global_norm([x, v], 2.0)[0][1]", "tf.clip_by_global_norm([x, v], 2.0)[1]", "tf.math.l2_normalize(x, axis=1)",
    "tf.math.top_k(x, 2).values", "tf.math.top_k(x, 2)[1]", "tf.math.bincount([1, 2, 2, 5])", "tf.math.in_top_k([0, 2], x, 1)",
    "tf.math.confusion_matrix([1, 2, 4], [2, 2, 4])", "tf.math.segment_sum(x, [0, 0])", "tf.math.unsorted_segment_sum(v, [1, 0, 1], 3)",
    "tf.constant([1, 2, 3])", "tf.constant(1.5)", "tf.constant(0, shape=[2, 2])", "tf.constant([1, 2, 3, 4], shape=[2, 2], dtype=tf.float32)",
    "tf.constant(np.float64(2))", "tf.zeros([2, 3])", "tf.ones([2], tf.int32)", "tf.fill([2, 2], 7)", "tf.zeros_like(i)", "tf.ones_like(x, dtype=tf.int64)",
    "tf.eye(2, 3)", "tf.eye(2, batch_shape=[2])", "tf.range(5)", "tf.range(1, 10, 3)", "tf.range(0.0, 1.0, 0.25)", "tf.linspace(0.0, 1.0, 5)",
    "tf.cast(x, tf.int32)", "tf.cast([0, 2], tf.bool)", "tf.saturate_cast([300.0, -5.0], tf.uint8)", "tf.shape(x)", "tf.shape(x)[1]", "tf.size(x)",
    "tf.rank(x)", "tf.reshape(x, [3, -1])", "tf.reshape(x, (-1,))", "tf.transpose(x)", "tf.transpose(img, [0, 3, 1, 2])", "tf.expand_dims(x, -1)",
    "tf.squeeze(tf.zeros([1, 2, 1]))", "tf.squeeze(tf.zeros([1, 2, 1]), axis=0)", "tf.concat([x, x], 0)", "tf.concat([x, x], axis=-1)", "tf.stack([v, v], axis=1)",
    "tf.unstack(x)[1]", "tf.split(x, 3, axis=1)[2]", "tf.split(v, [1, -1])[1]", "tf.tile(v, [2])", "tf.repeat(v, 2)", "tf.repeat(x, [1, 2], axis=0)",
    "tf.broadcast_to(v, [2, 3])", "tf.pad(x, [[1, 0], [0, 2]])", "tf.pad(x, [[1, 1], [2, 2]], 'REFLECT')", "tf.pad(x, [[1, 1], [1, 1]], 'SYMMETRIC')",
    "tf.pad(x, [[0, 1], [0, 0]], constant_values=9.0)", "tf.reverse(x, [1])", "tf.reverse(x, axis=[0, 1])", "tf.roll(v, 1, 0)", "tf.roll(x, [1, 1], [0, 1])",
    "tf.gather(x, [1, 0])", "tf.gather(x, [[0, 2]], axis=1)", "tf.gather(x, [[0, 2], [1, 1]], batch_dims=1)", "tf.gather(img, [[3, 0]], axis=2, batch_dims=1)",
    "tf.gather(x, [0, 2], axis=1, batch_dims=1)", "tf.gather_nd(x, [[0, 1], [1, 2]])", "tf.gather_nd(x, [[1]])", "tf.where(x > 0, x, 0.0)", "tf.where([True, False, True])",
    "tf.where(x > 0)", "tf.boolean_mask(v, [True, False, True])", "tf.boolean_mask(x, x > 0)", "tf.boolean_mask(x, [True, False])", "tf.one_hot([0, 2, 3], 3)",
    "tf.one_hot([1, 0], 2, on_value=5, off_value=-1, dtype=tf.int32)", "tf.one_hot([1, 0], 3, axis=0)", "tf.slice(x, [0, 1], [2, -1])", "tf.strided_slice(x, [0, 0], [2, 3], [1, 2])",
    "tf.tensor_scatter_nd_update(v, [[0], [2]], [9.0, 8.0])", "tf.tensor_scatter_nd_add(v, [[0], [0]], [1.0, 1.0])", "tf.scatter_nd([[1], [3]], [5, 6], [5])",
    "tf.meshgrid([1, 2], [3, 4, 5])[0]", "tf.searchsorted([1, 3, 5], [0, 3, 9])", "tf.searchsorted([1, 3, 5], [0, 3, 9], side='right')", "tf.sort(x)", "tf.sort(x, direction='DESCENDING')",
    "tf.argsort(v, direction='DESCENDING')", "tf.unique([5, 2, 5, 1]).y", "tf.unique([5, 2, 5, 1]).idx", "tf.sequence_mask([1, 3, 2])", "tf.sequence_mask([1, 2], 4, tf.float32)",
    "tf.nn.space_to_depth(img, 2)" if hasattr(tf.nn, "space_to_depth") else "tf.shape(v)", "tf.matmul(m, m)", "tf.matmul(x, x, transpose_b=True)", "tf.matmul(x, x, transpose_a=True)",
    "tf.linalg.matvec(m, [1.0, 2.0])", "tf.linalg.matrix_transpose(x)", "tf.norm(x)", "tf.norm(x, axis=1)", "tf.norm(x, ord=1, axis=0)", "tf.linalg.normalize(v)[0]", "tf.linalg.diag_part(m)",
    "tf.linalg.diag([1.0, 2.0])", "tf.linalg.diag(x)", "tf.linalg.trace(m)", "tf.linalg.band_part(tf.ones([3, 3]), 1, 0)", "tf.linalg.band_part(tf.ones([3, 3]), -1, 1)", "tf.tensordot(m, m, 1)", "tf.einsum('ij,kj->ik', x, x)",
    "tf.linalg.cross(v, [3.0, 1.0, 2.0])", "tf.nn.softmax(x, axis=0)", "tf.nn.bias_add(x, v)", "tf.nn.embedding_lookup(x, [1, 1, 0])", "tf.nn.moments(x, [0])[0]", "tf.nn.moments(x, [0, 1])[1]",
    "tf.nn.batch_normalization(x, v, v, v, v, 0.001)", "tf.nn.softmax_cross_entropy_with_logits(p, x)", "tf.nn.sparse_softmax_cross_entropy_with_logits([0, 2], x)",
    "tf.nn.sigmoid_cross_entropy_with_logits(p, x)", "tf.nn.l2_loss(x)", "tf.nn.conv2d(img, ker, 1, 'SAME')", "tf.nn.conv2d(img, ker, [1, 2, 2, 1], 'VALID')", "tf.nn.conv1d(img[0], ker[0], 1, 'SAME')",
    "tf.nn.convolution(img, ker, padding='SAME')", "tf.nn.depthwise_conv2d(img, ker, [1, 1, 1, 1], 'SAME')", "tf.nn.conv2d_transpose(img[..., :2], ker, [1, 8, 8, 3], 2)",
    "tf.nn.max_pool2d(img, 2, 2, 'VALID')", "tf.nn.avg_pool2d(img, [2, 2], [1, 1], 'SAME')", "tf.nn.max_pool(img, 2, 2, 'SAME')", "tf.nn.silu(x, 1.5)",
    "tf.image.flip_left_right(img)", "tf.image.flip_up_down(img)", "tf.image.rot90(img)", "tf.image.adjust_brightness(img, 0.1)", "tf.image.adjust_contrast(img, 2.0)", "tf.image.rgb_to_grayscale(img)",
    "tf.image.per_image_standardization(img)", "tf.image.central_crop(img, 0.5)", "tf.image.resize_with_crop_or_pad(img, 2, 6)", "tf.image.pad_to_bounding_box(img, 1, 2, 6, 7)", "tf.image.convert_image_dtype(img, tf.uint8)",
    "tf.image.convert_image_dtype(tf.constant([[[128]]], tf.uint8), tf.float32)", "tf.map_fn(lambda a: a * 2, x)", "tf.scan(lambda a, b: a + b, v, initializer=0.0)", "tf.foldl(lambda a, b: a + b, v, initializer=0.0)",
    "tf.while_loop(lambda n, a: n < 5, lambda n, a: (n + 1, a * 2.0), (0, 1.0))[1]", "tf.cond(tf.constant(True), lambda: v, lambda: v * 2)", "tf.switch_case(tf.constant(1), [lambda: v, lambda: v * 2])",
    "tf.case([(tf.constant(False), lambda: v)], default=lambda: v * 3)", "tf.vectorized_map(lambda a: a * 2, x)", "tf.ensure_shape(x, [2, None])", "tf.strings.length('abc')", "tf.strings.to_number(['1.5', '2'])",
    # K.*
    "K.sum(x, axis=1)", "K.mean(t)", "K.max(x, axis=0)", "K.argmax(x)", "K.std(t)", "K.clip(x, -1, 1)", "K.sqrt(p)", "K.pow(x, 2)", "K.dot(t, tf.transpose(t))", "K.dot(u, tf.transpose(t))", "K.batch_dot(x, x, axes=1)",
    "K.batch_dot(u[0], tf.transpose(u[0], [0, 2, 1]))", "K.batch_dot(u[0], u[0], axes=[1, 1])", "K.l2_normalize(x, axis=1)", "K.softmax(t)", "K.relu(x, alpha=0.1, max_value=2.0)", "K.hard_sigmoid(x)", "K.elu(x, 0.5)", "K.flatten(x)",
    "K.batch_flatten(img)", "K.concatenate([t, t])", "K.repeat(t, 2)", "K.repeat_elements(t, 2, 1)", "K.permute_dimensions(img, (0, 3, 1, 2))", "K.expand_dims(x)", "K.squeeze(K.expand_dims(x), -1)", "K.one_hot([1, 2], 3)",
    "K.temporal_padding(img[0])", "K.spatial_2d_padding(img)", "K.resize_images(u, 2, 2, 'channels_last')", "K.reverse(x, 1)", "K.gather(x, [1])", "K.switch(t > 0, t, -t)", "K.in_top_k(x, [0, 0], 1)", "K.cast_to_floatx([1, 2])",
    "K.binary_crossentropy(p, p)", "K.categorical_crossentropy(p, p)", "K.sparse_categorical_crossentropy([0, 2], p)", "K.conv2d(img, ker)", "K.pool2d(img, (2, 2))", "K.bias_add(img, v)", "K.cumsum(x)", "K.arange(4)", "K.int_shape(x)", "K.ndim(t)",
    "K.eval(K.variable(x))", "K.zeros((2,))", "K.logsumexp(x)" if hasattr(tf.keras.backend, "logsumexp") else "K.var(t)", "K.count_params(K.variable(x))", "K.foldl(lambda a, b: a + b, v)", "K.is_sparse(x)",
    # Data sets.
    "D.range(10).batch(4)", "D.range(10).batch(4, drop_remainder=True)", "D.range(2, 20, 5)", "D.range(5).map(lambda a: a * a)", "D.range(10).filter(lambda a: a % 3 == 0)", "D.range(3).repeat(2).batch(2)", "D.range(10).skip(3).take(4)",
    "D.range(10).shard(3, 1)", "D.range(3).concatenate(D.range(2))", "D.range(3).enumerate(5)", "D.zip((D.range(3), D.range(5, 9)))", "D.zip({'a': D.range(3), 'b': D.range(2)})", "D.from_tensor_slices((x, i)).batch(2)",
    "D.from_tensor_slices({'a': x, 'b': [1, 2]})", "D.from_tensors(x)", "D.range(6).batch(4).unbatch()", "D.range(4).flat_map(lambda a: D.range(a))", "D.range(1, 6).interleave(lambda a: D.from_tensors(a).repeat(6), cycle_length=2, block_length=4)",
    "D.range(3).interleave(lambda a: D.range(a + 2), cycle_length=2)", "D.range(7).window(3).flat_map(lambda w: w.batch(3))", "D.range(7).window(3, shift=1, stride=2, drop_remainder=True).flat_map(lambda w: w.batch(3))",
    "D.range(9).window(2, 4).flat_map(lambda w: w.batch(2))", "D.range(1, 4).map(lambda n: tf.fill([n], n)).padded_batch(2)", "D.range(1, 4).map(lambda n: tf.fill([n], n)).padded_batch(2, padded_shapes=[5], padding_values=np.int64(-1))",
    "D.from_generator(lambda: iter([(1, [1.0]), (2, [2.0, 3.0])]), output_signature=(tf.TensorSpec((), tf.int32), tf.TensorSpec((None,), tf.float32)))", "D.from_generator(lambda: range(3), output_types=tf.int64)",
    "D.range(10).take_while(lambda a: a < 4)", "D.range(4).scan(np.int64(0), lambda s, a: (s + a, s + a))", "D.range(5).reduce(np.int64(0), lambda s, a: s + a)", "D.from_tensor_slices([1, 2, 1, 3]).unique()", "D.range(3).cache().repeat(2)",
    "D.range(10).cardinality()", "D.range(10).batch(3).cardinality()", "D.range(10).repeat().cardinality()", "D.range(10).filter(lambda a: True).cardinality()", "D.range(10).skip(4).repeat(3).cardinality()", "D.range(10).window(3, 2).cardinality()",
    "D.from_tensor_slices(['a', 'bc']).map(lambda s: tf.strings.length(s))", "D.range(10).rebatch(4)" if hasattr(tf.data.Dataset, "rebatch_") else "D.range(2)", "D.range(8).batch(2).batch(2)",
    "D.from_tensor_slices((x, {'k': i})).map(lambda a, b: (a * 2, b['k']))",
]  # fmt: skip


def plain(value):
    """A value as data: dtype, shape and elements; elements of data sets as a list."""
    if isinstance(value, tf.data.Dataset):
        return {"elements": [plain(e) for e in value.as_numpy_iterator()]}
    if isinstance(value, dict):
        return {"dict": {k: plain(v) for k, v in value.items()}}
    if isinstance(value, tuple) and not all(isinstance(d, int) for d in value):
        return {"tuple": [plain(v) for v in value]}
    array = np.asarray(value.numpy() if hasattr(value, "numpy") else value)
    return {"dtype": str(array.dtype), "shape": list(array.shape), "values": array.reshape(-1).tolist()}


if __name__ == "__main__":
    names = {"tf": tf, "np": np}
    exec(NAMES, names)
    record = {"names": NAMES, "expressions": {}}
    for expression in dict.fromkeys(EXPRESSIONS):
        try:
            record["expressions"][expression] = plain(eval(expression, names))
        except Exception as error:
            print(f"{expression}: {type(error).__name__}: {str(error)[:200]}")
    text = json.dumps(record, separators=(",", ":"))
    (Path(__file__).parent / "tf.json").write_text(text.replace(',"', ',\n"') + "\n")
