"""Compiled functions, gradients, control flow, Python functions within them (`tf.function` and its like)."""

from rkeras import ops
from rkeras._core import gradient as _gradient
from rkeras._core import tree
from rkeras._training.function import TracedFunction
from rkeras.tf.dtypes import as_dtype
from rkeras.tf.shapes import TensorSpec


class UnconnectedGradients:
    """What a gradient is where the target does not depend on the source."""

    NONE = "none"
    ZERO = "zero"


class GradientTape(_gradient.GradientTape):
    """Remembers the ops run inside its `with` block, to differentiate them afterwards.

    Args:
        persistent: keep the memory after the first `gradient` call, so that more can follow.
        watch_accessed_variables: watch trainable variables without being asked.

    Example:
        >>> import rkeras.tf as tf
        >>> x = tf.Variable(3.0)
        >>> with tf.GradientTape() as tape:
        ...     y = x * x
        >>> float(tape.gradient(y, x))
        6.0
    """

    def jacobian(
        self, target, sources, unconnected_gradients="none", parallel_iterations=None, experimental_use_pfor=True
    ):  # fmt: skip
        """d target / d sources for every element of the target.

        Returns:
            Tensors of shape target.shape + source.shape, in the nesting of `sources`.
        """
        if self._used and not self.persistent:
            raise RuntimeError(
                "GradientTape: expected one gradient() or jacobian() call. Received: another one. Hint: "
                "GradientTape(persistent=True)"
            )
        keep, self.persistent = self.persistent, True
        try:
            shape = tuple(target.shape)
            count = 1
            for d in shape:
                count *= d
            rows = []
            for i in range(count):
                seed = ops.reshape(ops.one_hot(i, count, dtype=target.dtype), shape)
                rows.append(self.gradient(target, sources, seed, unconnected_gradients))
        finally:
            self.persistent = keep
        flat = [tree.flatten(r) for r in rows]
        out = []
        for column in zip(*flat, strict=True):
            if column[0] is None:
                out.append(None)
            else:
                out.append(ops.reshape(ops.stack(column), (*shape, *column[0].shape)))
        if not self.persistent:
            self._tape.reset()
        return tree.pack_sequence_as(sources, out) if tree.is_nested(sources) else out[0]


class _TfFunction(TracedFunction):
    """What `tf.function` returns."""

    def __init__(self, function, input_signature=None):
        self.input_signature = None if input_signature is None else tuple(input_signature)
        super().__init__(function, prepare=None if input_signature is None else self._by_signature)

    def _by_signature(self, args, kwargs):
        if kwargs or len(args) != len(self.input_signature):
            raise TypeError(
                f"tf.function {self.name!r}: expected {len(self.input_signature)} arguments, as input_signature says. "
                f"Received: {len(args)} and {sorted(kwargs)}"
            )

        def fit(spec, value):
            if isinstance(spec, (list, tuple)) and not isinstance(spec, TensorSpec):
                return type(spec)(fit(s, v) for s, v in zip(spec, value, strict=True))
            if isinstance(spec, dict):
                return {k: fit(s, value[k]) for k, s in spec.items()}
            x = (
                value
                if hasattr(value, "shape") and hasattr(value, "dtype")
                else ops.convert_to_tensor(value, str(spec.dtype))
            )
            if str(x.dtype) != spec.dtype or not spec.shape.is_compatible_with(tuple(x.shape)):
                raise TypeError(
                    f"tf.function {self.name!r}: expected {spec}. Received: shape {tuple(x.shape)}, dtype {x.dtype}"
                )
            return x

        return tuple(fit(s, v) for s, v in zip(self.input_signature, args, strict=True)), kwargs

    def get_concrete_function(self, *args, **kwargs):
        """The function for arguments of these specs; sizes of None are compiled when they are known."""
        specs = args or self.input_signature or ()
        flat = [s for s in tree.flatten(list(specs)) if isinstance(s, TensorSpec)]
        return ConcreteFunction(self, flat)

    def experimental_get_tracing_count(self):
        """How many times it has been traced."""
        return self.traces_made


class ConcreteFunction:
    """A function with the specs of its arguments."""

    def __init__(self, function, inputs):
        self.function, self.inputs = function, inputs

    @property
    def structured_input_signature(self):
        """The specs: (positional, by name)."""
        return tuple(self.inputs), {}

    def __call__(self, *args, **kwargs):
        return self.function(*args, **kwargs)


def function(
    func=None, input_signature=None, autograph=True, jit_compile=None, reduce_retracing=False, experimental_implements=None,
    experimental_autograph_options=None, experimental_attributes=None, experimental_relax_shapes=None,
    experimental_compile=None, experimental_follow_type_hints=None,
):  # fmt: skip
    """A function that is traced once per signature and runs compiled.

    Variables are read and assigned inside, and may be made at the first call. Python's `if` and `while` on values of
    tensors are not translated: a function with them runs op by op, with a warning, and gives the same numbers. Inside a
    GradientTape around the call it runs op by op too; put the tape inside for speed.

    Args:
        func: the function; None to use it as a decorator with arguments.
        input_signature: TensorSpecs of the arguments; others raise TypeError.
        Others: accepted for compatibility.

    Example:
        >>> import rkeras.tf as tf
        >>> @tf.function
        ... def f(x):
        ...     return x * 2.0 + 1.0
        >>> f(tf.constant([1.0, 2.0])).numpy().tolist()
        [3.0, 5.0]
    """

    def decorate(f):
        return f if isinstance(f, TracedFunction) else _TfFunction(f, input_signature)

    return decorate if func is None else decorate(func)


def py_function(func=None, inp=None, Tout=None, name=None):
    """`func(*tensors)` as Python; a compiled function around it falls back to running op by op.

    Args:
        func: gets tensors with values.
        inp: tensors.
        Tout: dtypes of the results.
    """
    tensors = [_with_values(t) for t in inp]
    return _typed(func(*tensors), Tout)


def numpy_function(func=None, inp=None, Tout=None, stateful=True, name=None):
    """`func(*arrays)` on NumPy arrays; a compiled function around it falls back to running op by op."""
    arrays = []
    for t in inp:
        t = _with_values(t)
        arrays.append(t.numpy() if hasattr(t, "numpy") else t)
    return _typed(func(*arrays), Tout)


def _with_values(t):
    if not hasattr(t, "numpy"):
        t = ops.convert_to_tensor(t)
    t.numpy()  # raises in a trace, which makes the function around it run as Python
    return t


def _typed(result, Tout):
    from rkeras.tf.tensors import constant

    if Tout is None or (isinstance(Tout, (list, tuple)) and not Tout):
        return result
    if isinstance(Tout, (list, tuple)):
        return [constant(r, as_dtype(t)) for r, t in zip(result, Tout, strict=True)]
    return constant(result, as_dtype(Tout))


def custom_gradient(f=None):
    """A decorator for functions with a gradient of their own; not offered.

    Raises:
        NotImplementedError: always.
    """
    raise NotImplementedError(
        "tf.custom_gradient: expected a function of ops, whose gradients are known. Hint: use tf.stop_gradient"
    )


def gradients(*args, **kwargs):
    """Not offered.

    Raises:
        NotImplementedError: always.
    """
    raise NotImplementedError("tf.gradients: expected TensorFlow 2. Hint: use tf.GradientTape")


def cond(pred, true_fn=None, false_fn=None, name=None):
    """`true_fn()` where the condition holds, else `false_fn()`."""
    return ops.cond(pred, true_fn, false_fn)


def while_loop(
    cond, body, loop_vars, shape_invariants=None, parallel_iterations=10, back_prop=True, swap_memory=False,
    maximum_iterations=None, name=None,
):  # fmt: skip
    """Runs `body(*vars)` while `cond(*vars)` holds; returns the variables."""
    return ops.while_loop(cond, body, loop_vars, maximum_iterations=maximum_iterations)


def case(pred_fn_pairs, default=None, exclusive=False, strict=False, name="case"):
    """The function of the first condition that holds, else `default`."""
    pairs = list(pred_fn_pairs.items() if isinstance(pred_fn_pairs, dict) else pred_fn_pairs)

    def branch(i):
        if i == len(pairs):
            return default()
        if i == len(pairs) - 1 and default is None:
            return pairs[i][1]()
        return ops.cond(pairs[i][0], pairs[i][1], lambda: branch(i + 1))

    return branch(0)


def switch_case(branch_index, branch_fns, default=None, name="switch_case"):
    """The function of a number."""
    functions = list(branch_fns.values() if isinstance(branch_fns, dict) else branch_fns)
    return ops.switch(branch_index, functions)


def map_fn(fn, elems, dtype=None, fn_output_signature=None, **kwargs):
    """`fn` of every slice along the first axis, stacked."""
    return ops.map(fn, elems)


def vectorized_map(fn, elems, fallback_to_while_loop=True, warn=True):
    """`fn` of every slice along the first axis, stacked."""
    return ops.vectorized_map(fn, elems)


def scan(fn, elems, initializer=None, reverse=False, **kwargs):
    """`a = fn(a, x)` over the slices along the first axis; all values of a."""
    if initializer is None:
        raise NotImplementedError("tf.scan: expected an initializer. Received: None")

    def step(a, x):
        a = fn(a, x)
        return a, a

    return ops.scan(step, initializer, elems, reverse=reverse)[1]


def foldl(fn, elems, initializer=None, **kwargs):
    """`a = fn(a, x)` over the slices along the first axis; the last value of a."""
    if initializer is None:
        initializer, elems = elems[0], elems[1:]
    return ops.scan(lambda a, x: (fn(a, x), ()), initializer, elems)[0]


def group(*inputs, **kwargs):
    """Nothing: operations run when they are called."""


def no_op(name=None):
    """Nothing."""


class control_dependencies:
    """A context that does nothing: operations run in the order in which they are written."""

    def __init__(self, control_inputs=None):
        self.control_inputs = control_inputs

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        return None


class init_scope(control_dependencies):
    """A context in which code runs at once although a function is traced around it."""

    def __init__(self):
        from rkeras._training import function as _function

        self._scope = _function.eager_scope()

    def __enter__(self):
        self._scope.__enter__()
        return self

    def __exit__(self, *exception):
        self._scope.__exit__(*exception)
