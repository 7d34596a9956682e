"""Arithmetic, comparison and reduction under TensorFlow's names (`tf.math`)."""

from rkeras import ops
from rkeras.tf.results import TopK
from rkeras.tf.tensors import _number, _plain


def _unary(name, function, doc):
    def f(x, name=None):
        return function(x)

    f.__name__ = f.__qualname__ = name
    f.__doc__ = doc
    return f


def _binary(name, function, doc):
    def f(x, y, name=None):
        return function(x, y)

    f.__name__ = f.__qualname__ = name
    f.__doc__ = doc
    return f


abs = _unary("abs", ops.abs, "|x|.")
acos = _unary("acos", ops.arccos, "The angle of a cosine.")
acosh = _unary("acosh", ops.arccosh, "The inverse of cosh.")
asin = _unary("asin", ops.arcsin, "The angle of a sine.")
asinh = _unary("asinh", ops.arcsinh, "The inverse of sinh.")
atan = _unary("atan", ops.arctan, "The angle of a tangent.")
atanh = _unary("atanh", ops.arctanh, "The inverse of tanh.")
ceil = _unary("ceil", ops.ceil, "The least whole number not below x.")
cos = _unary("cos", ops.cos, "The cosine.")
cosh = _unary("cosh", ops.cosh, "The hyperbolic cosine.")
erf = _unary("erf", ops.erf, "The error function.")
erfc = _unary("erfc", ops.erfc, "1 - erf(x).")
erfinv = _unary("erfinv", ops.erfinv, "The inverse of erf.")
exp = _unary("exp", ops.exp, "eˣ.")
expm1 = _unary("expm1", ops.expm1, "eˣ - 1, exact for small x.")
floor = _unary("floor", ops.floor, "The greatest whole number not above x.")
is_finite = _unary("is_finite", ops.isfinite, "Neither infinite nor NaN?")
is_inf = _unary("is_inf", ops.isinf, "Infinite?")
is_nan = _unary("is_nan", ops.isnan, "Not a number?")
log = _unary("log", ops.log, "The natural logarithm.")
log1p = _unary("log1p", ops.log1p, "log(1 + x), exact for small x.")
log_sigmoid = _unary("log_sigmoid", ops.log_sigmoid, "log σ(x).")
logical_not = _unary("logical_not", ops.logical_not, "Not.")
negative = _unary("negative", ops.negative, "-x.")
reciprocal = _unary("reciprocal", ops.reciprocal, "1 / x.")
rint = _unary("rint", ops.round, "The nearest whole number, the even one of two.")
round = _unary("round", ops.round, "The nearest whole number, the even one of two.")
rsqrt = _unary("rsqrt", ops.rsqrt, "1 / √x.")
sigmoid = _unary("sigmoid", ops.sigmoid, "1 / (1 + e⁻ˣ).")
sign = _unary("sign", ops.sign, "-1, 0 or 1.")
sin = _unary("sin", ops.sin, "The sine.")
sinh = _unary("sinh", ops.sinh, "The hyperbolic sine.")
softplus = _unary("softplus", ops.softplus, "log(1 + eˣ).")
softsign = _unary("softsign", ops.softsign, "x / (1 + |x|).")
sqrt = _unary("sqrt", ops.sqrt, "√x.")
square = _unary("square", ops.square, "x².")
tan = _unary("tan", ops.tan, "The tangent.")
tanh = _unary("tanh", ops.tanh, "The hyperbolic tangent.")
ndtri = _unary(
    "ndtri", lambda p: ops.erfinv(2.0 * ops.convert_to_tensor(p) - 1.0) * 2.0**0.5, "The normal quantile."
)

add = _binary("add", ops.add, "x + y.")
subtract = _binary("subtract", ops.subtract, "x - y.")
multiply = _binary("multiply", ops.multiply, "x y.")
divide = _binary("divide", ops.true_divide, "x / y.")
truediv = _binary("truediv", ops.true_divide, "x / y.")
divide_no_nan = _binary("divide_no_nan", ops.divide_no_nan, "x / y, 0 where y is 0.")
floordiv = _binary("floordiv", ops.floor_divide, "⌊x / y⌋.")
floormod = _binary("floormod", ops.mod, "x - y ⌊x / y⌋.")
mod = _binary("mod", ops.mod, "x - y ⌊x / y⌋.")
pow = _binary("pow", ops.power, "xʸ.")
maximum = _binary("maximum", ops.maximum, "The greater of x and y.")
minimum = _binary("minimum", ops.minimum, "The lesser of x and y.")
equal = _binary("equal", ops.equal, "x = y?")
not_equal = _binary("not_equal", ops.not_equal, "x ≠ y?")
less = _binary("less", ops.less, "x < y?")
less_equal = _binary("less_equal", ops.less_equal, "x ≤ y?")
greater = _binary("greater", ops.greater, "x > y?")
greater_equal = _binary("greater_equal", ops.greater_equal, "x ≥ y?")
logical_and = _binary("logical_and", ops.logical_and, "Both?")
logical_or = _binary("logical_or", ops.logical_or, "Either?")
logical_xor = _binary("logical_xor", ops.logical_xor, "Exactly one?")
atan2 = _binary("atan2", ops.arctan2, "The angle of the point whose ordinate is x and whose abscissa is y.")


def squared_difference(x, y, name=None):
    """(x - y)²."""
    return ops.square(ops.subtract(x, y))


def multiply_no_nan(x, y, name=None):
    """x y, 0 where y is 0 even if x is not finite."""
    product = ops.multiply(x, y)
    return ops.where(ops.equal(y, 0), ops.zeros_like(product), product)


def xlogy(x, y, name=None):
    """x log y, 0 where x is 0."""
    zero = ops.equal(x, 0)
    return ops.where(
        zero,
        ops.zeros_like(ops.multiply(x, y)),
        ops.multiply(x, ops.log(ops.where(zero, ops.ones_like(y), y))),
    )


def add_n(inputs, name=None):
    """The sum of several tensors."""
    total = ops.convert_to_tensor(inputs[0])
    for x in inputs[1:]:
        total = total + x
    return total


def scalar_mul(scalar, x, name=None):
    """A tensor times a number."""
    return ops.multiply(scalar, x)


def cumsum(x, axis=0, exclusive=False, reverse=False, name=None):
    """Running sums along an axis."""
    x = ops.convert_to_tensor(x)
    if reverse:
        x = ops.flip(x, axis=axis)
    y = ops.cumsum(x, axis=axis)
    if exclusive:
        y = y - x
    return ops.flip(y, axis=axis) if reverse else y


def cumprod(x, axis=0, exclusive=False, reverse=False, name=None):
    """Running products along an axis."""
    x = ops.convert_to_tensor(x)
    if reverse:
        x = ops.flip(x, axis=axis)
    y = ops.cumprod(x, axis=axis)
    if exclusive:
        size = y.shape[axis]
        shape = [1 if d == axis % y.ndim else n for d, n in enumerate(y.shape)]
        parts = [ops.ones(shape, dtype=y.dtype)]
        if size > 1:
            parts.append(ops.take(y, ops.arange(size - 1), axis=axis))
        y = ops.concatenate(parts, axis=axis)
    return ops.flip(y, axis=axis) if reverse else y


def _axes(axis):
    if axis is None or isinstance(axis, int):
        return axis
    if isinstance(axis, (list, tuple)):
        return tuple(int(a) for a in axis)
    value = _number(axis) if axis.ndim == 0 else None
    return value if value is not None else tuple(axis.numpy().tolist())


def _reduction(name, function, doc):
    def f(input_tensor, axis=None, keepdims=False, name=None):
        return function(input_tensor, axis=_axes(axis), keepdims=keepdims)

    f.__name__ = f.__qualname__ = name
    f.__doc__ = doc
    return f


def _integer_mean(x, axis=None, keepdims=False):
    """The mean; of integers it is rounded down towards zero, as in TensorFlow."""
    x = ops.convert_to_tensor(x) if not hasattr(x, "dtype") else x
    y = ops.mean(x, axis=axis, keepdims=keepdims)
    return ops.cast(y, str(x.dtype)) if str(x.dtype).startswith(("int", "uint")) else y


reduce_sum = _reduction("reduce_sum", ops.sum, "The sum along axes.")
reduce_mean = _reduction("reduce_mean", _integer_mean, "The mean along axes.")
reduce_max = _reduction("reduce_max", ops.max, "The greatest along axes.")
reduce_min = _reduction("reduce_min", ops.min, "The least along axes.")
reduce_prod = _reduction("reduce_prod", ops.prod, "The product along axes.")
reduce_all = _reduction("reduce_all", ops.all, "Do all along axes hold?")
reduce_any = _reduction("reduce_any", ops.any, "Does any along axes hold?")
reduce_std = _reduction("reduce_std", ops.std, "The standard deviation along axes.")
reduce_variance = _reduction("reduce_variance", ops.var, "The variance along axes.")
reduce_logsumexp = _reduction("reduce_logsumexp", ops.logsumexp, "log Σ eˣ along axes.")


def reduce_euclidean_norm(input_tensor, axis=None, keepdims=False, name=None):
    """√(Σ x²) along axes."""
    return ops.sqrt(ops.sum(ops.square(input_tensor), axis=_axes(axis), keepdims=keepdims))


def count_nonzero(input, axis=None, keepdims=None, dtype="int64", name=None):
    """How many elements along axes are not 0."""
    flags = ops.cast(ops.not_equal(input, 0), _plain(dtype))
    return ops.sum(flags, axis=_axes(axis), keepdims=bool(keepdims))


def argmax(input, axis=None, output_type="int64", name=None):
    """The position of the greatest element along an axis (the first if None).

    Example:
        >>> import rkeras.tf as tf
        >>> tf.argmax([[1.0, 5.0], [7.0, 2.0]], axis=1).numpy().tolist()
        [1, 0]
    """
    return ops.cast(ops.argmax(input, axis=0 if axis is None else int(axis)), _plain(output_type))


def argmin(input, axis=None, output_type="int64", name=None):
    """The position of the least element along an axis (the first if None)."""
    return ops.cast(ops.argmin(input, axis=0 if axis is None else int(axis)), _plain(output_type))


def top_k(input, k=1, sorted=True, index_type="int32", name=None):
    """The k greatest elements of the last axis and their positions: (values, indices)."""
    values, indices = ops.top_k(input, int(k), sorted=sorted)
    return TopK(values, ops.cast(indices, _plain(index_type)))


def in_top_k(targets, predictions, k, name=None):
    """Is each target among the k classes of the highest score?"""
    return ops.in_top_k(targets, predictions, k)


def l2_normalize(x, axis=None, epsilon=1e-12, name=None):
    """x / √max(Σ x², ε)."""
    total = ops.sum(ops.square(x), axis=_axes(axis), keepdims=True)
    return ops.multiply(x, ops.rsqrt(ops.maximum(total, epsilon)))


def bincount(
    arr,
    weights=None,
    minlength=None,
    maxlength=None,
    dtype="int32",
    name=None,
    axis=None,
    binary_output=False,
):
    """How often each number occurs."""
    if maxlength is not None or binary_output or axis not in (None, 0):
        raise NotImplementedError(
            "tf.math.bincount: expected no maxlength, axis or binary_output. Hint: use tf.one_hot and tf.reduce_sum"
        )
    y = ops.bincount(ops.reshape(arr, (-1,)), weights=weights, minlength=minlength or 0)
    return y if weights is not None else ops.cast(y, _plain(dtype))


def confusion_matrix(labels, predictions, num_classes=None, weights=None, dtype="int32", name=None):
    """How often each class (rows) was taken for each other (columns)."""
    labels, predictions = (ops.cast(ops.reshape(v, (-1,)), "int32") for v in (labels, predictions))
    if num_classes is None:
        num_classes = 1 + int(_number(ops.maximum(ops.max(labels), ops.max(predictions))))
    weights = ops.ones_like(labels) if weights is None else ops.convert_to_tensor(weights)
    counts = ops.segment_sum(weights, labels * num_classes + predictions, num_segments=num_classes**2)
    return ops.cast(ops.reshape(counts, (num_classes, num_classes)), _plain(dtype))


def segment_sum(data, segment_ids, name=None):
    """The sums of slices with the same number."""
    return ops.segment_sum(data, segment_ids)


def unsorted_segment_sum(data, segment_ids, num_segments, name=None):
    """The sums of slices with the same number."""
    return ops.segment_sum(data, segment_ids, num_segments=int(num_segments))


def unsorted_segment_max(data, segment_ids, num_segments, name=None):
    """The greatest of slices with the same number."""
    return ops.segment_max(data, segment_ids, num_segments=int(num_segments))


def clip_by_value(t, clip_value_min, clip_value_max, name=None):
    """Elements within bounds.

    Example:
        >>> import rkeras.tf as tf
        >>> tf.clip_by_value([-1.0, 0.5, 3.0], 0.0, 1.0).numpy().tolist()
        [0.0, 0.5, 1.0]
    """
    return ops.minimum(ops.maximum(t, clip_value_min), clip_value_max)


def clip_by_norm(t, clip_norm, axes=None, name=None):
    """The tensor made shorter if its norm exceeds a bound."""
    norm = ops.sqrt(ops.sum(ops.square(t), axis=_axes(axes), keepdims=True))
    return (
        ops.multiply(t, clip_norm / ops.maximum(norm, clip_norm))
        if axes is not None
        else ops.reshape(
            ops.multiply(t, clip_norm / ops.maximum(norm, clip_norm)), ops.shape(ops.convert_to_tensor(t))
        )
    )


def global_norm(t_list, name=None):
    """The norm of all tensors together; None among them is left out."""
    return ops.sqrt(add_n([ops.sum(ops.square(t)) for t in t_list if t is not None]))


def clip_by_global_norm(t_list, clip_norm, use_norm=None, name=None):
    """The tensors made shorter by one factor if their common norm exceeds a bound: (tensors, norm)."""
    norm = global_norm(t_list) if use_norm is None else use_norm
    scale = clip_norm / ops.maximum(norm, clip_norm)
    return [None if t is None else ops.multiply(t, scale) for t in t_list], norm
