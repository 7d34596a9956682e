"""A Python function traced once per signature and run as a compiled program; `tf.function` is made of it."""

import warnings
import weakref

import numpy as np

from rkeras import _rkeras
from rkeras._core import gradient, settings, tree
from rkeras._core.tensor import Tensor, convert_to_tensor
from rkeras._training.step import is_untraceable

PROGRAMS = 64  # per function (and object it is a method of); the oldest go first


class _Slot:
    """The place of a tensor among arguments or results."""

    __slots__ = ("index",)

    def __init__(self, index):
        self.index = index


class _Trace:
    """A program and the structure of what it returns."""

    __slots__ = ("keep", "program", "result")

    def __init__(self, program, result, keep):
        self.program = program
        self.result = result  # slots in place of tensors
        self.keep = keep  # arguments known by their id, so that the id stays theirs


class TracedFunction:
    """Runs `function` as compiled programs, one per signature.

    Tensors and arrays among the arguments are inputs of the program; every other argument is a constant, and another
    value of it is another signature. Python code runs while it is traced and not again. Variables may be read, assigned
    and made inside. Where the code looks at values of tensors, it runs op by op as it stands, with a warning.

    Args:
        function: the Python function.
        name: its name in messages and programs.
        prepare: `prepare(args, kwargs)` gives the arguments to call with; None to leave them alone.
        quiet: whether to fall back without a warning.
    """

    def __init__(self, function, name=None, prepare=None, quiet=False):
        self.python_function = function
        self.__name__ = self.name = name or getattr(function, "__name__", "function")
        self.__doc__ = getattr(function, "__doc__", None)
        self.__wrapped__ = function
        self.prepare = prepare
        self.quiet = quiet
        self.untraceable = False
        self._traces = {}
        self._of_objects = weakref.WeakKeyDictionary()
        self.traces_made = 0

    def __get__(self, instance, owner=None):
        return self if instance is None else BoundFunction(self, instance)

    def __call__(self, *args, **kwargs):
        return self.run(self._traces, None, args, kwargs)

    def run(self, traces, instance, args, kwargs):
        """Calls the program of these arguments, traced first if it is new."""
        if self.prepare is not None:
            args, kwargs = self.prepare(args, kwargs)
        first = () if instance is None else (instance,)
        # Around a trace or a tape, what the function does has to be seen from outside.
        if (
            self.untraceable
            or settings.run_eagerly_everywhere
            or _rkeras.mode() != "eager"
            or gradient.is_recording()
        ):
            return self.python_function(*first, *args, **kwargs)
        inputs, key, keep = [], [], []
        try:
            shape = _take_apart((args, kwargs), inputs, key, keep)
        except _LayerGraph:
            return self.python_function(*first, *args, **kwargs)
        key.extend(("tensor", tuple(t.shape), str(t.dtype)) for t in inputs)
        key = tuple(key)
        trace = traces.get(key)
        if trace is None:
            try:
                trace = self._trace(first, shape, inputs, keep)
            except Exception as error:
                if not is_untraceable(error):
                    raise
                self.untraceable = True
                if not self.quiet:
                    warnings.warn(
                        f"The function {self.name!r} looks at values of tensors, so it runs eagerly, which is slower. ({error})",
                        stacklevel=3,
                    )
                return self.python_function(*first, *args, **kwargs)
            while len(traces) >= PROGRAMS:
                del traces[next(iter(traces))]
            traces[key] = trace
        return _put_together(trace.result, trace.program(*inputs))

    def _trace(self, first, shape, inputs, keep):
        self.traces_made += 1
        graph = _rkeras.Graph()
        with graph:
            symbols = [graph.input(tuple(t.shape), str(t.dtype)) for t in inputs]
            args, kwargs = _put_together(shape, symbols)
            result = self.python_function(*first, *args, **kwargs)
            outputs = []
            shape = _results(result, outputs)
            program = graph.compile(outputs, name=self.name)
        return _Trace(program, shape, keep)


class BoundFunction:
    """A traced function as the method of an object."""

    def __init__(self, function, instance):
        self.function, self.instance = function, instance
        self.__name__, self.__doc__ = function.__name__, function.__doc__

    @property
    def python_function(self):
        """The method as Python wrote it."""
        return self.function.python_function.__get__(self.instance)

    def __call__(self, *args, **kwargs):
        of_objects = self.function._of_objects
        traces = of_objects.get(self.instance)
        if traces is None:
            traces = of_objects[self.instance] = {}
        return self.function.run(traces, self.instance, args, kwargs)

    def __getattr__(self, name):
        return getattr(self.function, name)


def _take_apart(value, inputs, key, keep):
    """The structure with slots in place of tensors; `key` gets what makes another signature."""
    if isinstance(value, (Tensor, np.ndarray, np.generic)):
        if isinstance(value, Tensor) or value.dtype.kind in "biuf":
            inputs.append(value if isinstance(value, Tensor) else convert_to_tensor(value))
            key.append("slot")
            return _Slot(len(inputs) - 1)
    elif isinstance(value, dict):
        key.append(("dict", tuple(value)))
        return {k: _take_apart(v, inputs, key, keep) for k, v in value.items()}
    elif isinstance(value, (list, tuple)):
        key.append((type(value), len(value)))
        return tree._rebuild(value, [_take_apart(v, inputs, key, keep) for v in value])
    elif value is None or isinstance(value, (bool, int, float, str, bytes)):
        key.append((type(value), value))
        return value
    if hasattr(value, "_keras_history"):
        raise _LayerGraph
    key.append(("object", id(value)))
    keep.append(value)
    return value


class _LayerGraph(Exception):
    """An argument is a KerasTensor: the call belongs into the layer graph, op by op."""


def _results(value, outputs):
    """The structure with slots in place of tensors and variables."""
    if isinstance(value, _rkeras.Variable):
        value = value.read()
    if isinstance(value, Tensor):
        outputs.append(value)
        return _Slot(len(outputs) - 1)
    if isinstance(value, dict):
        return {k: _results(v, outputs) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return tree._rebuild(value, [_results(v, outputs) for v in value])
    return value


def _put_together(shape, values):
    """The structure with values in place of slots."""
    if isinstance(shape, _Slot):
        return values[shape.index]
    if isinstance(shape, dict):
        return {k: _put_together(v, values) for k, v in shape.items()}
    if isinstance(shape, (list, tuple)):
        return tree._rebuild(shape, [_put_together(v, values) for v in shape])
    return shape


set_num_threads, num_threads = _rkeras.set_num_threads, _rkeras.num_threads
eager_scope = _rkeras.EagerScope
