"""A step traced once and compiled; eagerly where Python looks at values."""

import warnings

import numpy as np

from rkeras import _rkeras
from rkeras._core import tree
from rkeras._core.variable import Variable
from rkeras._training import data as data_module
from rkeras._training.data import pack_x_y_sample_weight

PROGRAMS = 32  # per model; the least recently used go first


class Compiled:
    """A program, the structure of what it returns, and where its logs are found."""

    __slots__ = ("logs", "outputs", "program", "structure")

    def __init__(self, program, structure=None, outputs=(), logs=None):
        self.program = program
        self.structure = structure  # of predictions, with positions in place of tensors
        self.outputs = outputs  # (shape, dtype) of each
        self.logs = (
            logs  # of an overridden step: name -> Variable that holds the last value; None: read the metrics
        )


def is_untraceable(error):
    """Did Python want to see a value while the step was traced?"""
    return isinstance(error, (TypeError, ValueError, IndexError)) and "symbolic" in str(error)


class Steps:
    """The steps of one model, by kind and by shapes."""

    def __init__(self, model):
        self.model = model
        self.cache = _rkeras.ProgramCache(PROGRAMS)
        self.compiled = {}  # id of a program -> Compiled
        self.log_slots = {}
        self.plain = {}  # (kind, shapes and dtypes of x and y) -> Compiled, for single arrays that came before
        self.results = None  # (names, program that computes the results of the metrics)

    def function(self, kind):
        """The method of that kind of step, and whether the user wrote it."""
        from rkeras._training.trainer import Trainer

        name = f"{kind}_step"
        return getattr(self.model, name), getattr(type(self.model), name) is not getattr(Trainer, name)

    def eager(self):
        """Do steps run op by op?"""
        return self.model.run_eagerly or self.model._untraceable

    def get_plain(self, kind, x, y=None):
        """The compiled step for single arrays like earlier ones, None if there is none: `get` without a look at structures."""
        if type(x) is not np.ndarray or (y is not None and type(y) is not np.ndarray) or self.eager():
            return None
        return self.plain.get((kind, x.shape, x.dtype, None if y is None else (y.shape, y.dtype)))

    def keep_plain(self, kind, x, y, arrays, compiled):
        """Remembers the step for `get_plain` if it takes x and y as they are."""
        given = [x] if y is None else [x, y]
        if len(given) == len(arrays.flat) and all(
            type(a) is np.ndarray and a is b for a, b in zip(given, arrays.flat)
        ):
            if len(self.plain) >= PROGRAMS:
                self.plain.clear()
            key = (kind, x.shape, x.dtype, None if y is None else (y.shape, y.dtype))
            self.plain[key] = compiled

    def get(self, kind, arrays, structure):
        """The compiled step for arrays of these shapes; None if it cannot be traced."""
        if self.eager():
            return None
        specs = [(tuple(a.shape), str(a.dtype)) for a in arrays]
        fixed = repr(structure)
        program = self.cache.get(kind, specs, fixed)
        if program is None:
            try:
                compiled = self.trace(kind, specs, structure)
            except Exception as error:
                if not is_untraceable(error):
                    raise
                self.model.__dict__["_untraceable"] = True
                warnings.warn(
                    f"The {kind} step of {self.model.name!r} looks at values of tensors, so it runs eagerly, which is slower. "
                    f"({error})", stacklevel=2,
                )  # fmt: skip
                return None
            self.cache.put(kind, specs, fixed, compiled.program)
            self.compiled[(kind, tuple(specs), fixed)] = compiled
            if len(self.compiled) > 4 * PROGRAMS:
                self.compiled.clear()
                self.plain.clear()
                self.cache.clear()
                self.compiled[(kind, tuple(specs), fixed)] = compiled
                self.cache.put(kind, specs, fixed, compiled.program)
            return compiled
        return self.compiled[(kind, tuple(specs), fixed)]

    def trace(self, kind, specs, structure):
        """Runs the step once on symbols and compiles what it did."""
        step, own = self.function(kind)
        graph = _rkeras.Graph()
        with graph:
            symbols = [graph.input(shape, dtype) for shape, dtype in specs]
            data = pack_x_y_sample_weight(*fill(structure, symbols))
            result = step(data)
            name = f"{self.model.name}.{kind}"
            if kind == "predict":
                flat = tree.flatten(result)
                places = iter(range(len(flat)))
                shape_of = tree.map_structure(lambda _: next(places), result)
                outputs = [(t.shape, t.dtype) for t in flat]
                return Compiled(graph.compile(flat, name=name), shape_of, outputs)
            logs = None
            if own:
                if not isinstance(result, dict):
                    raise TypeError(
                        f"{kind}_step: expected a dict of results by name. Received: {type(result).__name__}"
                    )
                logs = {}
                for key, value in result.items():
                    slot = self.log_slots.get(key)
                    value = _rkeras.tensor(float(value)) if isinstance(value, (int, float)) else value
                    if isinstance(value, _rkeras.Variable):
                        value = value.read()
                    if slot is None or slot.shape != value.shape or slot.dtype != value.dtype:
                        with _rkeras.EagerScope():
                            slot = Variable(
                                np.zeros(value.shape, "float32"),
                                dtype=value.dtype,
                                trainable=False,
                                name="log",
                            )
                        self.log_slots[key] = slot
                    slot.assign(value)
                    logs[key] = slot
            return Compiled(graph.compile([], name=name), logs=logs)

    def read_logs(self, compiled):
        """The results so far as Python numbers."""
        if compiled is not None and compiled.logs is not None:
            return {k: to_number(v.numpy()) for k, v in compiled.logs.items()}
        return {k: to_number(v) for k, v in self.model.get_metrics_result().items()}

    def call(self, kind, data):
        """One step on a batch; results as Python numbers."""
        x, y, weight = data
        if weight is None:
            compiled = self.get_plain(kind, x, y)
            if compiled is not None:
                compiled.program(x) if y is None else compiled.program(x, y)
                return self.read_logs_quickly(compiled)
        arrays = data_module.ArrayData(*data)
        compiled = self.get(kind, arrays.flat, arrays.structure())
        if compiled is None:
            return self.call_eagerly(kind, arrays)
        compiled.program(*arrays.flat)
        logs = self.read_logs(compiled)
        if weight is None:
            self.keep_plain(kind, x, y, arrays, compiled)
            self.results = None
        return logs

    def read_logs_quickly(self, compiled):
        """`read_logs` by a program of its own, traced when the metrics have seen a batch."""
        if compiled.logs is not None:
            return self.read_logs(compiled)
        if self.results is None:
            graph = _rkeras.Graph()
            with graph:
                values = self.model.get_metrics_result()
            scalar = all(isinstance(v, _rkeras.Tensor) and v.shape == () for v in values.values())
            program = graph.compile(list(values.values()), name="results") if scalar else None
            self.results = (tuple(values), program)
        names, program = self.results
        if program is None:
            return self.read_logs(compiled)
        return {name: float(value) for name, value in zip(names, program())}

    def call_eagerly(self, kind, arrays):
        """The same as Python, op by op."""
        step, own = self.function(kind)
        data = pack_x_y_sample_weight(*fill(arrays.structure(), [_rkeras.tensor(a) for a in arrays.flat]))
        result = step(data)
        return {k: to_number(v) for k, v in result.items()} if own else self.read_logs(None)

    def predict(self, x):
        """The predictions for a batch, as NumPy arrays."""
        compiled = self.get_plain("predict", x)
        if compiled is not None and compiled.structure == 0:
            return compiled.program(x)[0].numpy()
        arrays = data_module.ArrayData(x)
        compiled = self.get("predict", arrays.flat, arrays.structure())
        if compiled is not None:
            self.keep_plain("predict", x, None, arrays, compiled)
        else:
            step, _ = self.function("predict")
            data = pack_x_y_sample_weight(*fill(arrays.structure(), [_rkeras.tensor(a) for a in arrays.flat]))
            return tree.map_structure(np.asarray, step(data))
        results = compiled.program(*arrays.flat)
        return tree.map_structure(lambda i: results[i].numpy(), compiled.structure)


def fill(structure, values):
    """The structure with values in place of positions."""
    if isinstance(structure, int):
        return values[structure]
    if isinstance(structure, dict):
        return {k: fill(v, values) for k, v in structure.items()}
    if isinstance(structure, (list, tuple)):
        items = [fill(v, values) for v in structure]
        return tuple(items) if isinstance(structure, tuple) else items
    return structure


def to_number(value):
    """A result as a Python number, or an array if it has more elements."""
    if isinstance(value, (int, float)):
        return float(value)
    array = np.asarray(value.tensor() if isinstance(value, _rkeras.Variable) else value)
    return float(array) if array.ndim == 0 else array
