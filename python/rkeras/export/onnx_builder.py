"""What ONNX graphs are put together with: values, nodes, constants, sizes known only at run time."""

import re

import numpy as np

from rkeras._core.listing import Dim

TYPES = {
    "float32": 1, "uint8": 2, "int8": 3, "uint16": 4, "int16": 5, "int32": 6, "int64": 7, "bool": 9,
    "float16": 10, "float64": 11, "uint32": 12, "uint64": 13, "bfloat16": 16,
}  # fmt: skip
_FLOAT, _INT, _STRING, _GRAPH, _FLOATS, _INTS = 1, 2, 3, 5, 6, 7


class Value:
    """A tensor of the graph: its name, shape (numbers and Dims), dtype, and elements if they are constant."""

    __slots__ = ("array", "dtype", "name", "shape")

    def __init__(self, name, shape, dtype, array=None):
        self.name, self.shape, self.dtype, self.array = name, tuple(shape), dtype, array

    @property
    def rank(self):
        return len(self.shape)

    @property
    def is_float(self):
        return "float" in self.dtype


class Graph:
    """Nodes in order; `build` gives the GraphProto."""

    def __init__(self):
        self.nodes = []


class Builder:
    """Adds nodes to the graph that is open; constants and sizes belong to the outermost."""

    def __init__(self, opset):
        self.opset = opset
        self.main = self.graph = Graph()
        self.sizes_of = {}  # name of an unknown size -> (name of a value, axis)
        self.early = set()  # those of inputs
        self.variables = {}  # id of a Variable -> its Value
        self.initializers = []
        self.prologue = []  # nodes that compute sizes, before all others
        self._names, self._constants, self._sizes, self._perms = set(), {}, {}, {}

    def name(self, wanted):
        """A name that no other value has."""
        base = re.sub(r"[^\w/.\-]", "_", wanted) or "value"
        name, n = base, 0
        while name in self._names:
            n += 1
            name = f"{base}_{n}"
        self._names.add(name)
        return name

    def node(self, op, inputs, count=1, into=None, **attributes):
        """Adds a node; returns the name of its output, or the list of names if there are several.

        Args:
            op: the operator.
            inputs: names; "" for one that is left out.
            count: the number of outputs.
            into: the list of nodes to add to, by default the open graph's.
            **attributes: numbers, texts, lists of numbers, GraphProtos.
        """
        outputs = [self.name(f"{op.lower()}") for _ in range(count)]
        message = {
            "input": [i.name if isinstance(i, Value) else i for i in inputs],
            "output": outputs,
            "op_type": op,
            "name": outputs[0],
        }
        if attributes:
            message["attribute"] = [_attribute(k, v) for k, v in attributes.items()]
        (self.graph.nodes if into is None else into).append(message)
        return outputs[0] if count == 1 else outputs

    def value(self, op, inputs, shape, dtype, **attributes):
        """Adds a node with one output of this shape and dtype."""
        return Value(self.node(op, inputs, **attributes), shape, dtype)

    def constant(self, array, dtype=None, name="constant"):
        """A constant; equal small ones are one."""
        array = np.asarray(array)
        dtype = dtype or array.dtype.name
        key = (dtype, array.shape, array.tobytes()) if array.nbytes <= 1024 else None
        if key is not None and key in self._constants:
            return self._constants[key]
        value = Value(self.name(name), array.shape, dtype, array)
        self.initializers.append(_tensor(value.name, array, dtype))
        if key is not None:
            self._constants[key] = value
        return value

    def scalar(self, number, dtype):
        """A number as a constant of a dtype."""
        return self.constant(np.asarray(number, _numpy(dtype)), dtype)

    def ints(self, numbers):
        """Whole numbers as a constant vector."""
        return self.constant(np.asarray(numbers, np.int64).reshape(-1))

    def size(self, dim):
        """The name of a vector of one element: a size, computed at run time if it is a Dim."""
        if not isinstance(dim, Dim):
            return self.ints([dim]).name
        if dim not in self._sizes:
            # Sizes of inputs are computed before all else; others where the value is that has them.
            of_inputs = all(n in self.early for names in dim.terms for n in names)
            self._sizes[dim] = self._compute(dim, self.prologue if of_inputs else self.main.nodes)
        return self._sizes[dim]

    def _compute(self, dim, into):
        total = None
        for names, factor in sorted(dim.terms.items()):
            product = None
            for name in names:
                one = self._read(name, into)
                product = one if product is None else self.node("Mul", [product, one], into=into)
            if product is None:
                product = self.ints([factor]).name
            elif factor != 1:
                product = self.node("Mul", [product, self.ints([factor]).name], into=into)
            total = product if total is None else self.node("Add", [total, product], into=into)
        return total or self.ints([0]).name

    def _read(self, name, into):
        key = ("size", name)
        if key not in self._sizes:
            source, axis = self.sizes_of[name]
            shape = self.node("Shape", [source], into=into)
            self._sizes[key] = self.node("Gather", [shape, self.ints([axis]).name], into=into)
        return self._sizes[key]

    def vector(self, numbers):
        """Numbers and Dims as a vector."""
        if not any(isinstance(n, Dim) for n in numbers):
            return self.ints(numbers).name
        return self.node("Concat", [self.size(n) for n in numbers], axis=0)

    def reshape(self, x, shape):
        """x under another shape."""
        shape = tuple(shape)
        if x.array is not None and not any(isinstance(n, Dim) for n in shape):
            return self.constant(x.array.reshape(shape), x.dtype)
        unknown = [i for i, n in enumerate(shape) if isinstance(n, Dim)]
        zero = {"allowzero": 1} if 0 in shape else {}
        # One size may be left to be found: the only unknown one, or one that is met here first.
        new = [i for i in unknown if not all(n in self.sizes_of for names in shape[i].terms for n in names)]
        left = unknown[0] if len(unknown) == 1 and not zero else new[0] if new else None
        target = self.vector([-1 if i == left else n for i, n in enumerate(shape)])
        return self.value("Reshape", [x.name, target], shape, x.dtype, **zero)

    def transpose(self, x, perm):
        """x with its axes in another order; what only undoes an earlier transposition is left out."""
        perm = tuple(perm)
        if perm == tuple(range(len(perm))):
            return x
        shape = tuple(x.shape[p] for p in perm)
        if x.array is not None:
            key = (x.name, perm)
            if key not in self._perms:
                self._perms[key] = self.constant(
                    np.ascontiguousarray(x.array.transpose(perm)), x.dtype, x.name
                )
            return self._perms[key]
        before = self._perms.get(x.name)
        if before is not None:
            source, first = before
            return self.transpose(source, tuple(first[p] for p in perm))
        y = self.value("Transpose", [x], shape, x.dtype, perm=list(perm))
        self._perms[y.name] = (x, perm)
        return y

    def cast(self, x, dtype):
        """x in another dtype."""
        if x.dtype == dtype:
            return x
        return self.value("Cast", [x], x.shape, dtype, to=TYPES[dtype])


def _numpy(dtype):
    if dtype == "bfloat16":
        import ml_dtypes

        return ml_dtypes.bfloat16
    return np.dtype(dtype)


def _attribute(name, value):
    if isinstance(value, dict):
        return {"name": name, "g": value, "type": _GRAPH}
    if isinstance(value, float):
        return {"name": name, "f": value, "type": _FLOAT}
    if isinstance(value, int):
        return {"name": name, "i": value, "type": _INT}
    if isinstance(value, str):
        return {"name": name, "s": value.encode(), "type": _STRING}
    if value and isinstance(value[0], float):
        return {"name": name, "floats": value, "type": _FLOATS}
    return {"name": name, "ints": [int(v) for v in value], "type": _INTS}


def _tensor(name, array, dtype):
    data = np.ascontiguousarray(array)
    if data.dtype.byteorder == ">":
        data = data.astype(data.dtype.newbyteorder("<"))
    return {"name": name, "dims": list(array.shape), "data_type": TYPES[dtype], "raw_data": data.tobytes()}


def value_info(name, shape, dtype):
    """The type of a value; sizes that are plain names keep them, other unknown ones stay open."""
    dims = []
    for n in shape:
        if isinstance(n, Dim):
            dims.append({"dim_param": n.name} if n.name else {})
        else:
            dims.append({"dim_value": int(n)})
    return {
        "name": name,
        "type": {"tensor_type": {"elem_type": TYPES[dtype], "shape": {"dim": dims}}},
    }


def inputs_of(node):
    """The names that a node and the graphs in it read."""
    yield from node["input"]
    for attribute in node.get("attribute", ()):
        if "g" in attribute:
            for inner in attribute["g"]["node"]:
                yield from inputs_of(inner)


def live(nodes, wanted):
    """The nodes that the wanted values need, in their order."""
    needed, kept = set(wanted), []
    for node in reversed(nodes):
        if needed.intersection(node["output"]):
            needed.update(inputs_of(node))
            kept.append(node)
    return kept[::-1]
