"""Matrices (`tf.linalg`)."""

from rkeras import ops
from rkeras.tf.math import l2_normalize as l2_normalize
from rkeras.tf.tensors import eye as eye


def matmul(
    a, b, transpose_a=False, transpose_b=False, adjoint_a=False, adjoint_b=False, a_is_sparse=False, b_is_sparse=False,
    output_type=None, grad_a=False, grad_b=False, name=None,
):  # fmt: skip
    """The product of matrices, in batches.

    Example:
        >>> import rkeras.tf as tf
        >>> tf.matmul([[1.0, 2.0]], [[3.0, 4.0]], transpose_b=True).numpy().tolist()
        [[11.0]]
    """
    a, b = (v if hasattr(v, "shape") else ops.convert_to_tensor(v) for v in (a, b))
    if transpose_a or adjoint_a:
        a = matrix_transpose(a)
    if transpose_b or adjoint_b:
        b = matrix_transpose(b)
    y = ops.matmul(a, b)
    return y if output_type is None else ops.cast(y, str(output_type))


def matvec(a, b, transpose_a=False, name=None):
    """The product of a matrix and a vector, in batches."""
    return ops.squeeze(matmul(a, ops.expand_dims(b, -1), transpose_a=transpose_a), -1)


def matrix_transpose(a, name="matrix_transpose", conjugate=False):
    """Rows and columns exchanged, in batches."""
    return ops.swapaxes(a, -1, -2)


adjoint = matrix_transpose


def norm(tensor, ord="euclidean", axis=None, keepdims=None, name=None):
    """The norm of all elements, or along axes."""
    tensor = ops.convert_to_tensor(tensor)
    if ord == "euclidean":
        return ops.sqrt(ops.sum(ops.square(tensor), axis=axis, keepdims=bool(keepdims)))
    if axis is None:
        tensor, axis = ops.reshape(tensor, (-1,)), 0
    return ops.norm(tensor, ord=ord, axis=axis, keepdims=bool(keepdims))


def normalize(tensor, ord="euclidean", axis=None, name=None):
    """The tensor divided by its norm, and the norm: (normalised, norm)."""
    n = norm(tensor, ord=ord, axis=axis, keepdims=axis is not None)
    return ops.divide(tensor, n), n


def diag_part(input, name="diag_part", k=0, padding_value=0, align="RIGHT_LEFT"):
    """The diagonal of matrices."""
    return ops.diagonal(input, offset=k, axis1=-2, axis2=-1)


def diag(diagonal, name="diag", k=0, num_rows=-1, num_cols=-1, padding_value=0, align="RIGHT_LEFT"):
    """Matrices with these diagonals."""
    diagonal = ops.convert_to_tensor(diagonal)
    if diagonal.ndim == 1:
        return ops.diag(diagonal, k=k)
    if k:
        raise NotImplementedError("tf.linalg.diag: expected k=0 for batches. Received: another")
    return ops.multiply(ops.expand_dims(diagonal, -1), ops.eye(diagonal.shape[-1], dtype=diagonal.dtype))


def trace(x, name=None):
    """The sum of the diagonal."""
    return ops.trace(x, axis1=-2, axis2=-1)


def band_part(input, num_lower, num_upper, name=None):
    """The matrix, 0 beyond so many diagonals below and above the main one (-1: all of them)."""
    x = ops.convert_to_tensor(input)
    if num_lower >= 0:
        x = ops.triu(x, k=-int(num_lower))
    return x if num_upper < 0 else ops.tril(x, k=int(num_upper))


def tensordot(a, b, axes, name=None):
    """The sum of products over axes of both."""
    return ops.tensordot(a, b, axes=axes)


def einsum(equation, *inputs, **kwargs):
    """Products and sums by index letters, as in Einstein's convention."""
    return ops.einsum(equation, *inputs)


def cross(a, b, name=None):
    """The vector product along the last axis."""
    return ops.cross(a, b)


def global_norm(t_list, name=None):
    """The norm of all tensors together."""
    from rkeras.tf import math

    return math.global_norm(t_list)


def _op(name):
    """A function of `rkeras.ops`, which has to be of this build."""
    function = getattr(ops, name, None)
    if function is None:
        raise NotImplementedError(
            f"tf.linalg: expected a function of this build of rkeras. Received: {name}. Hint: use numpy.linalg on x.numpy()"
        )
    return function


def cholesky(input, name=None):
    """The lower triangle L with L Lᵀ = A."""
    return _op("cholesky")(input)


def det(input, name=None):
    """The determinant."""
    return _op("det")(input)


def inv(input, adjoint=False, name=None):
    """The inverse."""
    return _op("inv")(matrix_transpose(input) if adjoint else input)


def solve(matrix, rhs, adjoint=False, name=None):
    """X with A X = B."""
    return _op("solve")(matrix_transpose(matrix) if adjoint else matrix, rhs)


def eigh(tensor, name=None):
    """Eigenvalues, rising, and eigenvectors of symmetric matrices."""
    return _op("eigh")(tensor)


def eigvalsh(tensor, name=None):
    """Eigenvalues, rising, of symmetric matrices."""
    return _op("eigh")(tensor)[0]


def qr(input, full_matrices=False, name=None):
    """Q with orthonormal columns and the upper triangle R with Q R = A."""
    return _op("qr")(input, mode="complete" if full_matrices else "reduced")


def svd(tensor, full_matrices=False, compute_uv=True, name=None):
    """Singular values s and matrices U, V with A = U diag(s) Vᵀ: (s, U, V), in this order; s alone without `compute_uv`."""
    if not compute_uv:
        return _op("svd")(tensor, full_matrices=False, compute_uv=False)
    u, s, vh = _op("svd")(tensor, full_matrices=full_matrices)
    return s, u, matrix_transpose(vh)


def __getattr__(name):
    from rkeras.tf.hints import absent

    raise absent("tf.linalg", name)
