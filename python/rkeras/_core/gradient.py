"""Gradients: the tape, and functions that turn a function into its gradient."""

from rkeras import _rkeras
from rkeras._core import tree
from rkeras._core.tensor import Tensor, convert_to_tensor

_recording = []  # the tapes that remember ops now


def is_recording():
    """Does a tape remember what runs now?"""
    return bool(_recording)


class GradientTape:
    """Remembers the ops run inside its `with` block, to differentiate them afterwards.

    Args:
        persistent: keep the memory after the first `gradient` call, so that more can follow.
        watch_accessed_variables: watch trainable variables without being asked.

    Example:
        >>> x = keras.ops.convert_to_tensor([1.0, 2.0])
        >>> with keras.GradientTape() as tape:
        ...     tape.watch(x)
        ...     y = keras.ops.sum(x * x)
        >>> tape.gradient(y, x).numpy().tolist()
        [2.0, 4.0]
    """

    def __init__(self, persistent=False, watch_accessed_variables=True):
        self.persistent = persistent
        self._tape = _rkeras.Tape(watch_variables=watch_accessed_variables)
        self._used = False

    def __enter__(self):
        self._tape.start()
        _recording.append(self._tape)
        return self

    def __exit__(self, *exception):
        self._tape.stop()
        if self._tape in _recording:
            _recording.remove(self._tape)

    def watch(self, tensor):
        """Follows these tensors (nested, or one) from here on."""
        for t in tree.flatten(tensor):
            self._tape.watch(t.read() if isinstance(t, _rkeras.Variable) else t)

    def stop_recording(self):
        """A context in which ops are not remembered."""
        return _Pause(self._tape)

    def reset(self):
        """Forgets what was remembered."""
        self._tape.reset()

    def gradient(self, target, sources, output_gradients=None, unconnected_gradients="none"):
        """d target / d sources, summed over all elements of all targets.

        Args:
            target: a tensor or nested tensors.
            sources: tensors or variables, nested.
            output_gradients: a factor of the shape of each target; ones if None.
            unconnected_gradients: "none" or "zero", for sources the target does not depend on.

        Returns:
            Gradients in the nesting of `sources`.

        Raises:
            RuntimeError: when called twice on a tape that is not persistent.
        """
        if self._used and not self.persistent:
            raise RuntimeError(
                "GradientTape: expected one gradient() call. Received: another one. Hint: "
                "GradientTape(persistent=True)"
            )
        self._used = True
        targets = [t.read() if isinstance(t, _rkeras.Variable) else t for t in tree.flatten(target)]
        for t in targets:
            if not isinstance(t, Tensor):
                raise TypeError(
                    f"GradientTape.gradient: expected tensors as target. Received: {type(t).__name__}"
                )
        seeds = [None] * len(targets)
        if output_gradients is not None:
            seeds = [None if g is None else convert_to_tensor(g) for g in tree.flatten(output_gradients)]
        flat = tree.flatten(sources)
        values = [s.tensor_in_mode() if isinstance(s, _rkeras.Variable) else s for s in flat]
        grads = self._tape.gradient(targets, seeds, values)
        if str(unconnected_gradients).lower().rsplit(".", 1)[-1] == "zero":
            zeros = _rkeras.primitive("multiply")
            grads = [zeros(v, 0) if g is None else g for g, v in zip(grads, values, strict=True)]
        if not self.persistent and not any(isinstance(t, Tensor) and t.is_symbolic for t in targets):
            self._tape.reset()
        return tree.pack_sequence_as(sources, grads) if tree.is_nested(sources) else grads[0]


class _Pause:
    def __init__(self, tape):
        self._tape = tape

    def __enter__(self):
        self._tape.stop()
        self._was_recording = self._tape in _recording
        if self._was_recording:
            _recording.remove(self._tape)

    def __exit__(self, *exception):
        self._tape.start()
        if self._was_recording:
            _recording.append(self._tape)


def value_and_grad(function, argnums=0, has_aux=False):
    """The function that returns both the value of `function` and its gradient.

    Args:
        function: gives one number (a tensor of shape ()), or (number, anything) with `has_aux`.
        argnums: the argument to differentiate, or a tuple of several.
        has_aux: whether `function` returns more beside the number.

    Returns:
        A function of the same arguments that gives (value, gradient).

    Example:
        >>> value, slope = keras.value_and_grad(lambda x: x ** 3)(keras.ops.convert_to_tensor(2.0))
        >>> float(value), float(slope)
        (8.0, 12.0)
    """

    def differentiated(*args, **kwargs):
        numbers = (argnums,) if isinstance(argnums, int) else tuple(argnums)
        args = list(args)
        for i in numbers:
            args[i] = tree.map_structure(
                lambda v: v if isinstance(v, (Tensor, _rkeras.Variable)) else convert_to_tensor(v), args[i]
            )
        with GradientTape() as tape:
            tape.watch([args[i] for i in numbers])
            result = function(*args, **kwargs)
        value = result[0] if has_aux else result
        if not isinstance(value, Tensor) or value.shape != ():
            got = f"shape {value.shape}" if isinstance(value, Tensor) else type(value).__name__
            raise ValueError(f"grad: expected a function that gives one number. Received: {got}")
        grads = tape.gradient(value, [args[i] for i in numbers], unconnected_gradients="zero")
        return result, grads[0] if isinstance(argnums, int) else tuple(grads)

    return differentiated


def grad(function, argnums=0, has_aux=False):
    """The function that returns the gradient of `function`; see `value_and_grad`.

    Example:
        >>> float(keras.grad(lambda x: x * x)(3.0))
        6.0
    """

    def gradient(*args, **kwargs):
        result, slope = value_and_grad(function, argnums, has_aux)(*args, **kwargs)
        return (slope, result[1]) if has_aux else slope

    return gradient
