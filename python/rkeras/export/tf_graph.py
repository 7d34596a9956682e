"""TensorFlow graphs under construction: functions of nodes, and the protocol buffers that they become."""

import numpy as np

from rkeras._core.listing import Dim
from rkeras.saving.protobuf import REPEATED, map_of
from rkeras.saving.tf_bundle import NUMBERS, SHAPE

RESOURCE, VARIANT, STRING = 20, 21, 7
_TENSOR = {
    "dtype": (1, "int"), "tensor_shape": (2, SHAPE), "tensor_content": (4, "bytes"), "string_val": (8, "bytes", REPEATED),
}  # fmt: skip
_FUNCTION_NAME = {"name": (1, "string")}
_LIST = {
    "s": (2, "bytes", REPEATED), "i": (3, "int", REPEATED), "f": (4, "float", REPEATED), "b": (5, "bool", REPEATED),
    "type": (6, "int", REPEATED), "shape": (7, SHAPE, REPEATED),
}  # fmt: skip
_VALUE = {
    "list": (1, _LIST), "s": (2, "bytes"), "i": (3, "int"), "f": (4, "float"), "b": (5, "bool"), "type": (6, "int"),
    "shape": (7, SHAPE), "tensor": (8, _TENSOR), "func": (10, _FUNCTION_NAME),
}  # fmt: skip
NODE = {
    "name": (1, "string"), "op": (2, "string"), "input": (3, "string", REPEATED), "device": (4, "string"),
    "attr": (5, map_of("string", _VALUE)),
}  # fmt: skip
_HANDLE = {"dtype": (1, "int"), "shape": (2, SHAPE)}
_ARGUMENT = {"name": (1, "string"), "type": (3, "int"), "handle_data": (7, _HANDLE, REPEATED)}
_SIGNATURE = {
    "name": (1, "string"), "input_arg": (2, _ARGUMENT, REPEATED), "output_arg": (3, _ARGUMENT, REPEATED),
    "is_stateful": (17, "bool"),
}  # fmt: skip
FUNCTION = {
    "signature": (1, _SIGNATURE), "node_def": (3, NODE, REPEATED), "ret": (4, map_of("string", "string")),
    "attr": (5, map_of("string", _VALUE)),
}  # fmt: skip
GRAPH = {
    "node": (1, NODE, REPEATED), "library": (2, {"function": (1, FUNCTION, REPEATED)}),
    "versions": (4, {"producer": (1, "int"), "min_consumer": (2, "int")}),
}  # fmt: skip

# What TensorFlow calls the (first) result of an op; "z" for most of two inputs, "y" for most of one.
_RESULTS = {
    "z": "AddV2 Sub Mul RealDiv FloorDiv FloorMod Pow Maximum Minimum Atan2 Equal NotEqual Less LessEqual Greater "
    "GreaterEqual LogicalAnd LogicalOr BitwiseAnd BitwiseOr BitwiseXor LeftShift RightShift SquaredDifference",
    "y": "Neg Abs Exp Log Log1p Expm1 Sqrt Rsqrt Square Sin Cos Tan Asin Acos Atan Sinh Cosh Tanh Asinh Acosh Atanh Erf Erfc "
    "Erfinv Sigmoid Sign Floor Ceil Rint Round Reciprocal LogicalNot Cast Transpose IsNan IsInf IsFinite Invert Lgamma Digamma",
    "activations": "Relu Softplus",
    "product": "MatMul", "out": "Cumsum Cumprod", "softmax": "Softmax", "logsoftmax": "LogSoftmax", "value": "ReadVariableOp",
    "values": "TopKV2", "handle": "TensorListReserve", "item": "TensorListGetItem", "output_handle": "TensorListSetItem",
    "tensor": "TensorListStack",
}  # fmt: skip
_RESULT = {op: name for name, ops in _RESULTS.items() for op in ops.split()}


def shape_proto(shape):
    """A shape; unknown sizes are -1."""
    return {"dim": [{"size": d if isinstance(d, int) else -1} for d in shape]}


def attribute(value):
    """A Python value as an attribute: `Type` and `Shape` say what cannot be guessed."""
    if isinstance(value, dict):
        return value
    if isinstance(value, bool):
        return {"b": value}
    if isinstance(value, int):
        return {"i": value}
    if isinstance(value, float):
        return {"f": value}
    if isinstance(value, str):
        return {"s": value.encode()}
    return {"list": {"i": list(value)}}


def dtype_attribute(dtype):
    """A dtype, by name or by TensorFlow's number."""
    return {"type": NUMBERS[dtype] if isinstance(dtype, str) else dtype}


def types(dtypes):
    """A list of dtypes."""
    return {"list": {"type": [NUMBERS[d] if isinstance(d, str) else d for d in dtypes]}}


def tensor_proto(array, dtype=None):
    """A tensor with its elements."""
    array = np.asarray(array)
    if array.dtype.kind == "S" or array.dtype == object:
        return {
            "dtype": STRING,
            "tensor_shape": shape_proto(array.shape),
            "string_val": [bytes(s) for s in array.reshape(-1)],
        }
    return {
        "dtype": NUMBERS[dtype or array.dtype.name], "tensor_shape": shape_proto(array.shape),
        "tensor_content": np.ascontiguousarray(array).tobytes(),
    }  # fmt: skip


class Value:
    """A result in a function: how nodes refer to it, its shape (ints and Dims) and dtype."""

    __slots__ = ("dtype", "ref", "shape")

    def __init__(self, ref, shape, dtype):
        self.ref, self.shape, self.dtype = ref, tuple(shape), dtype

    @property
    def rank(self):
        return len(self.shape)


class Library:
    """The functions of one graph."""

    def __init__(self):
        self.functions, self._count = [], 0

    def name(self, what):
        """A name that no other function has."""
        self._count += 1
        return f"__inference_{what}_{self._count}"


class Function:
    """A function under construction.

    Args:
        library: where it, and those that it calls, go.
        what: what its name says.
        sizes: dict of the unknown sizes to int32 scalars, filled by whoever knows them.
    """

    def __init__(self, library, what):
        self.library, self.name = library, library.name(what)
        self.nodes, self.arguments, self.stateful = [], [], False
        self.sizes, self._constants, self._counts = {}, {}, {}

    def argument(self, name, dtype, shape=()):
        """A new argument as a Value."""
        name = self._unique("".join(c if c.isalnum() else "_" for c in name.lower()).strip("_") or "x")
        self.arguments.append({"name": name, "type": NUMBERS[dtype] if isinstance(dtype, str) else dtype})
        return Value(name, shape, dtype)

    def resource(self, name, variable):
        """A new argument for the handle of a variable."""
        value = self.argument(name, RESOURCE)
        handle = {"dtype": NUMBERS[variable.dtype], "shape": shape_proto(variable.shape)}
        self.arguments[-1]["handle_data"] = [handle]
        self.stateful = True
        return value

    def _unique(self, name):
        n = self._counts[name] = self._counts.get(name, -1) + 1
        return f"{name}_{n}" if n else name

    def node(self, op, inputs, result=None, index=0, **attrs):
        """A node; returns how to refer to its result.

        Args:
            op: TensorFlow's name.
            inputs: Values or references.
            result: what TensorFlow calls the result, if it is not the first.
            index: which of a list of results.
            attrs: attributes; strings are texts, see `dtype_attribute` for dtypes.
        """
        name = self._unique(op)
        self.nodes.append({
            "name": name, "op": op, "input": [i.ref if isinstance(i, Value) else i for i in inputs],
            "attr": {k: attribute(v) for k, v in attrs.items()},
        })  # fmt: skip
        return f"{name}:{result or _RESULT.get(op, 'output')}:{index}"

    def op(self, op, inputs, shape, dtype=None, **attrs):
        """A node of attribute T; returns the Value, of the first input's dtype if none is given."""
        attrs.setdefault("T", dtype_attribute(inputs[0].dtype))
        return Value(self.node(op, inputs, **attrs), shape, dtype or inputs[0].dtype)

    def constant(self, array, dtype=None):
        """A constant as a Value."""
        array = np.asarray(array, None if dtype in (None, "bfloat16") else dtype)
        if dtype == "bfloat16":
            return self.cast(self.constant(array.astype("float32")), dtype)
        key = (array.tobytes(), array.shape, array.dtype.str) if array.size <= 64 else None
        if key is None or key not in self._constants:
            name = array.dtype.name
            ref = self.node("Const", [], dtype=dtype_attribute(name), value={"tensor": tensor_proto(array)})
            value = Value(ref, array.shape, name)
            if key is None:
                return value
            self._constants[key] = value
        return self._constants[key]

    def ints(self, numbers):
        """An int32 constant."""
        return self.constant(np.array(numbers, np.int32))

    def cast(self, x, dtype):
        """The same elements in another dtype."""
        if x.dtype == dtype:
            return x
        ref = self.node("Cast", [x], SrcT=dtype_attribute(x.dtype), DstT=dtype_attribute(dtype))
        return Value(ref, x.shape, dtype)

    def size(self, dim):
        """A size as an int32 scalar."""
        if not isinstance(dim, Dim):
            return self.ints(dim)
        total = None
        for names, coefficient in sorted(dim.terms.items()):
            term = self.ints(coefficient) if coefficient != 1 or not names else None
            for name in names:
                size = self.sizes[name]
                term = size if term is None else self.op("Mul", [term, size], ())
            total = term if total is None else self.op("AddV2", [total, term], ())
        return total if total is not None else self.ints(0)

    def size_in(self, x, axis):
        """The size that an axis of a value has at run time, as an int32 scalar."""
        attrs = {"T": dtype_attribute(x.dtype), "out_type": dtype_attribute("int32")}
        shape = Value(self.node("Shape", [x], **attrs), (x.rank,), "int32")
        ends = [self.ints([axis]), self.ints([axis + 1]), self.ints([1])]
        return self.op("StridedSlice", [shape, *ends], (), Index=dtype_attribute("int32"), shrink_axis_mask=1)

    def sizes_of(self, shape):
        """A shape as an int32 vector."""
        if not any(isinstance(d, Dim) for d in shape):
            return self.ints(list(shape)) if shape else self.constant(np.zeros(0, np.int32))
        parts = [self.size(d) for d in shape]
        return Value(
            self.node("Pack", parts, N=len(parts), T=dtype_attribute("int32"), axis=0), (len(parts),), "int32"
        )

    def reshape(self, x, shape):
        """The same elements in another shape."""
        unknown = [i for i, d in enumerate(shape) if isinstance(d, Dim)]
        # One size may be left to be found: the only unknown one, or one that is met here first.
        new = [i for i in unknown if any(n not in self.sizes for names in shape[i].terms for n in names)]
        left = unknown[0] if len(unknown) == 1 else new[0] if new else None
        sizes = self.sizes_of([-1 if i == left else d for i, d in enumerate(shape)])
        return self.op("Reshape", [x, sizes], shape, Tshape=dtype_attribute("int32"))

    def transpose(self, x, axes):
        """The axes in another order."""
        if list(axes) == list(range(x.rank)):
            return x
        return self.op(
            "Transpose",
            [x, self.ints(list(axes))],
            [x.shape[a] for a in axes],
            Tperm=dtype_attribute("int32"),
        )

    def cut(self, x, axis, start, stop):
        """The part of an axis from `start` to `stop` (ints)."""
        begin, end = [0] * x.rank, [0] * x.rank
        begin[axis], end[axis] = start, stop
        free = sum(1 << a for a in range(x.rank) if a != axis)
        inputs = [x, self.ints(begin), self.ints(end), self.ints([1] * x.rank)]
        shape = [stop - start if a == axis else d for a, d in enumerate(x.shape)]
        return self.op(
            "StridedSlice", inputs, shape, Index=dtype_attribute("int32"), begin_mask=free, end_mask=free
        )

    def finish(self, outputs):
        """Puts the function, with these results by name, into the library; returns its name.

        Args:
            outputs: dict of names to Values.
        """
        results, returned = [], {}
        for name, value in outputs.items():
            is_argument = ":" not in value.ref
            ref = self.node("Identity", [value], T=dtype_attribute(value.dtype)) if is_argument else value.ref
            name = self._unique(
                "".join(c if c.isalnum() else "_" for c in name.lower()).strip("_") or "output"
            )
            results.append(
                {"name": name, "type": NUMBERS[value.dtype] if isinstance(value.dtype, str) else value.dtype}
            )
            returned[name] = ref
        signature = {
            "name": self.name,
            "input_arg": self.arguments,
            "output_arg": results,
            "is_stateful": self.stateful,
        }
        self.library.functions.append({"signature": signature, "node_def": self.nodes, "ret": returned})
        return self.name

    def call(self, function, inputs, outputs):
        """Calls another function; returns Values like `outputs`, pairs (shape, dtype)."""
        attrs = {
            "Tin": types([i.dtype for i in inputs]), "Tout": types([d for _, d in outputs]), "f": {"func": {"name": function}},
        }  # fmt: skip
        ref = self.node("StatefulPartitionedCall", inputs, **attrs)
        return [Value(f"{ref.rsplit(':', 1)[0]}:{i}", s, d) for i, (s, d) in enumerate(outputs)]
