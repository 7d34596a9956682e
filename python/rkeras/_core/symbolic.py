"""The layer graph: KerasTensor, Operation, Node. It serves configs, summaries, files; ops run in the core."""

from rkeras import _rkeras
from rkeras._core import naming, tree
from rkeras._core.tensor import Tensor, standardize_dtype
from rkeras._core.variable import standardize_shape

# The functions behind the operators of KerasTensor, by name; `rkeras.ops` fills them in.
operators = {}


class KerasTensor:
    """A place in the layer graph: shape and dtype of a value that a model will compute.

    Args:
        shape: sizes, None where unknown.
        dtype: the dtype.
        sparse, ragged: accepted for compatibility; only dense tensors exist.
        record_history: False for a tensor that calls do not connect.
        name: its name.

    Example:
        >>> keras.KerasTensor((None, 3)).shape
        (None, 3)
    """

    def __init__(
        self, shape, dtype="float32", sparse=False, ragged=False, record_history=True, name=None, **kwargs
    ):  # fmt: skip
        if sparse or ragged:
            raise NotImplementedError("KerasTensor: expected a dense tensor. Received: sparse or ragged")
        self.shape = standardize_shape(shape)
        self.dtype = standardize_dtype(dtype)
        self.sparse = False
        self.ragged = False
        self.record_history = record_history
        self.name = name or naming.auto_name("keras_tensor")
        self._keras_history = None

    @property
    def ndim(self):
        """The number of axes."""
        return len(self.shape)

    @property
    def T(self):
        """Its transpose."""
        return operators["transpose"](self)

    def reshape(self, *newshape):
        """The same elements under another shape."""
        shape = newshape[0] if len(newshape) == 1 and isinstance(newshape[0], (list, tuple)) else newshape
        return operators["reshape"](self, shape)

    def squeeze(self, axis=None):
        """Without the axes of size one."""
        return operators["squeeze"](self, axis)

    def __repr__(self):
        return (
            f"<KerasTensor shape={self.shape}, dtype={self.dtype}, sparse={self.sparse}, "
            f"ragged={self.ragged}, name={self.name}>"
        )

    def _no_values(self, what):
        return TypeError(
            f"KerasTensor {self.name!r}: expected a tensor with values for {what}. Received: a symbolic "
            "KerasTensor of "
            f"shape {self.shape}. Hint: put the code into a Layer's call, or use rkeras.ops."
        )

    def __array__(self, *_, **__):
        raise self._no_values("NumPy")

    def __bool__(self):
        raise self._no_values("a truth value")

    def __int__(self):
        raise self._no_values("int()")

    def __float__(self):
        raise self._no_values("float()")

    def __index__(self):
        raise self._no_values("an index")

    def __iter__(self):
        raise self._no_values("iteration")

    def __len__(self):
        raise self._no_values("len()")

    def __getitem__(self, key):
        return operators["get_item"](self, key)

    def __hash__(self):
        return id(self)

    def __round__(self, ndigits=None):
        return operators["round"](self, ndigits or 0)


def _install_operators():
    names = {
        "add": "add", "sub": "subtract", "mul": "multiply", "truediv": "divide", "floordiv": "floor_divide",
        "mod": "mod", "pow": "power", "matmul": "matmul", "and": "logical_and", "or": "logical_or",
        "xor": "logical_xor",
    }  # fmt: skip

    def forward(op):
        return lambda self, other: operators[op](self, other)

    def backward(op):
        return lambda self, other: operators[op](other, self)

    for short, op in names.items():
        setattr(KerasTensor, f"__{short}__", forward(op))
        setattr(KerasTensor, f"__r{short}__", backward(op))
    comparisons = {"lt": "less", "le": "less_equal", "gt": "greater", "ge": "greater_equal"}
    for short, op in comparisons.items():
        setattr(KerasTensor, f"__{short}__", forward(op))
    # == and != stay identity: KerasTensors are kept in lists and dicts.
    KerasTensor.__eq__ = lambda self, other: self is other
    KerasTensor.__neg__ = lambda self: operators["negative"](self)
    KerasTensor.__abs__ = lambda self: operators["absolute"](self)
    KerasTensor.__invert__ = lambda self: operators["logical_not"](self)


_install_operators()


def is_keras_tensor(x):
    """True for a KerasTensor."""
    return isinstance(x, KerasTensor)


def any_symbolic(values):
    """Does a KerasTensor lie in these nested values?"""
    for v in values:
        kind = type(v)
        if kind is KerasTensor:
            return True
        if kind is list or kind is tuple:
            if any_symbolic(v):
                return True
        elif kind is dict:
            if any_symbolic(v.values()):
                return True
        elif isinstance(v, (KerasTensor, list, tuple, dict)) and any_symbolic(tree.flatten(v)):
            return True
    return False


def to_spec(x):
    """A KerasTensor as the core's spec tensor, its mask with it; anything else as it is."""
    if not isinstance(x, KerasTensor):
        return x
    spec = _rkeras.spec(x.shape, x.dtype)
    mask = getattr(x, "_keras_mask", None)
    if mask is not None:
        spec._keras_mask = to_spec(mask)
    return spec


def from_spec(x):
    """A result of spec mode as a KerasTensor."""
    return KerasTensor(x.shape, x.dtype) if isinstance(x, Tensor) else x


def infer(fn, args, kwargs):
    """What `fn` gives for KerasTensors, as KerasTensors: it runs on shapes and dtypes alone."""
    with _rkeras.SpecScope():
        args, kwargs = tree._map(to_spec, (list(args),)), tree._map(to_spec, (kwargs,))
        return tree._map(from_spec, (fn(*args, **kwargs),))


class History:
    """Where a KerasTensor comes from; unpacks as (operation, node_index, tensor_index)."""

    __slots__ = ("node_index", "operation", "tensor_index")

    def __init__(self, operation, node_index, tensor_index):
        self.operation = operation
        self.node_index = node_index
        self.tensor_index = tensor_index

    def __iter__(self):
        return iter((self.operation, self.node_index, self.tensor_index))

    def __getitem__(self, i):
        return (self.operation, self.node_index, self.tensor_index)[i]

    def __len__(self):
        return 3


class Arguments:
    """The arguments of a recorded call, with the KerasTensors in them."""

    __slots__ = ("args", "keras_tensors", "kwargs")

    def __init__(self, args, kwargs):
        self.args = tree._map(lambda v: v, (tuple(args),))
        self.kwargs = tree._map(lambda v: v, (dict(kwargs),))
        leaves = tree.flatten((self.args, self.kwargs))
        self.keras_tensors = [v for v in leaves if isinstance(v, KerasTensor)]

    def fill_in(self, values):
        """(args, kwargs) with values (by id of the KerasTensor) in the KerasTensors' places."""

        def switch(v):
            return values.get(id(v), v) if isinstance(v, KerasTensor) else v

        return tree._map(switch, (self.args,)), tree._map(switch, (self.kwargs,))


class Node:
    """One call of one operation in the layer graph."""

    def __init__(self, operation, call_args=(), call_kwargs=None, outputs=None):
        self.operation = operation
        self.arguments = Arguments(call_args, call_kwargs or {})
        self.outputs = tree.flatten(outputs)
        self.is_input = not self.arguments.keras_tensors
        index = len(operation._inbound_nodes)
        for i, tensor in enumerate(self.outputs):
            if isinstance(tensor, KerasTensor):
                tensor._keras_history = History(operation, index, i)
        operation._inbound_nodes.append(self)
        for tensor in self.arguments.keras_tensors:
            if tensor._keras_history is not None:
                tensor._keras_history.operation._outbound_nodes.append(self)

    @property
    def input_tensors(self):
        """The KerasTensors that went in."""
        return self.arguments.keras_tensors

    @property
    def output_tensors(self):
        """The KerasTensors that came out."""
        return self.outputs

    @property
    def parent_nodes(self):
        """The nodes that made the inputs."""
        nodes = []
        for tensor in self.arguments.keras_tensors:
            h = tensor._keras_history
            if h is not None and h.operation is not None:
                nodes.append(h.operation._inbound_nodes[h.node_index])
        return nodes


class _Recorded:
    """Remembers constructor arguments, and has places for nodes before any constructor ran."""

    def __new__(cls, *args, **kwargs):
        self = super().__new__(cls)
        # The arguments, for configs of classes that do not write get_config themselves.
        self.__dict__["_constructor_args"] = (args, kwargs)
        self.__dict__["_inbound_nodes"] = []
        self.__dict__["_outbound_nodes"] = []
        return self


class Operation(_Recorded):
    """What nodes of the layer graph are calls of: layers and ops.

    Args:
        name: a name; by default the class name in snake_case, numbered.
    """

    def __init__(self, name=None):
        if name is None:
            name = naming.auto_name(type(self).__name__)
        if not isinstance(name, str) or "/" in name:
            raise ValueError(f'{type(self).__name__}: expected a name without "/". Received: name={name!r}')
        self.name = name

    def __call__(self, *args, **kwargs):
        if any_symbolic(args) or any_symbolic((kwargs,)):
            return self.symbolic_call(*args, **kwargs)
        return self.call(*args, **kwargs)

    def call(self, *args, **kwargs):
        """Computes."""
        raise NotImplementedError(
            f"{type(self).__name__} {self.name!r}: expected a method call(). Received: none"
        )

    def compute_output_spec(self, *args, **kwargs):
        """The KerasTensors that `call` would give."""
        return infer(self.call, args, kwargs)

    def symbolic_call(self, *args, **kwargs):
        """Records a call on KerasTensors; returns KerasTensors."""
        outputs = self.compute_output_spec(*args, **kwargs)
        Node(self, args, kwargs, outputs)
        return outputs

    def get_config(self):
        """What `from_config` needs to make it again."""
        return {"name": self.name}

    @classmethod
    def from_config(cls, config):
        """The operation of that config."""
        return cls(**config)

    def _node_tensors(self, kind):
        if not self._inbound_nodes:
            raise AttributeError(
                f"{type(self).__name__} {self.name!r}: expected a layer that was called on a KerasTensor. "
                "Received: one "
                f"that was never called, so it has no {kind}. Hint: call it on keras.Input(...)."
            )
        if len(self._inbound_nodes) > 1 and kind in ("input", "output"):
            raise AttributeError(
                f"{type(self).__name__} {self.name!r}: expected one call. Received: "
                f"{len(self._inbound_nodes)} calls, so "
                f"{kind} is ambiguous. Hint: keep the tensors that the calls return."
            )
        return self._inbound_nodes[0]

    @property
    def input(self):
        """The KerasTensor (or list of them) it was called on."""
        tensors = self._node_tensors("input").input_tensors
        if not tensors:  # an InputLayer is its own input
            tensors = self._node_tensors("input").outputs
        return tensors[0] if len(tensors) == 1 else tensors

    @property
    def output(self):
        """The KerasTensor (or list of them) it returned."""
        tensors = self._node_tensors("output").outputs
        return tensors[0] if len(tensors) == 1 else tensors


# The parameters that are passed to a recorded op as inputs; the others belong to its config.
_INPUT_PARAMETERS = frozenset(
    [
        "x",
        "x1",
        "x2",
        "xs",
        "y",
        "a",
        "b",
        "inputs",
        "kernel",
        "depthwise_kernel",
        "pointwise_kernel",
        "target",
        "output",
        "target_length",
        "output_length",
        "indices",
        "values",
        "updates",
        "start_indices",
        "mean",
        "variance",
        "offset",
        "scale",
        "gamma",
        "beta",
        "condition",
        "condlist",
        "choicelist",
        "default",
        "query",
        "key",
        "value",
        "bias",
        "mask",
        "weights",
        "data",
        "segment_ids",
        "targets",
        "predictions",
        "variable",
        "fill_value",
        "f",
        "init",
        "elems",
        "index",
        "branches",
        "operands",
        "pred",
        "true_fn",
        "false_fn",
        "loop_vars",
        "init_val",
        "elements",
        "start",
        "stop",
        "step",
        "sorted_sequence",
        "images",
        "transform",
        "constant_values",
        "array",
    ]
)
_AS_CONFIG = {
    "full": ("shape", "dtype"), "slice": ("shape",), "trapezoid": ("x", "dx", "axis"),
    "bincount": ("weights", "minlength", "sparse"), "dot_product_attention": ("is_causal",),
}  # fmt: skip
_CLASS_NAMES = {"batch_normalization": "BatchNorm", "layer_normalization": "LayerNorm",
                "rms_normalization": "RMSNorm",
                "psnr": "PSNR", "searchsorted": "SearchSorted", "allclose": "AllClose", "isin": "IsIn",
                "cdist": "CDist",
                "norm": "Norm", "fft": "FFT", "fft2": "FFT2", "ifft2": "IFFT2", "rfft": "RFFT", "irfft":
                "IRFFT",
                "stft": "STFT", "istft": "ISTFT", "ctc_loss": "CTCLoss", "ctc_decode": "CTCDecode", "svd":
                "SVD",
                "jvp": "JVP"}  # fmt: skip

# Every public op that may stand in a layer graph: (module of Keras, class name) -> function.
op_classes = {}


class OpNode(Operation):
    """A call of an `rkeras.ops` function in the layer graph."""

    def __init__(self, function, static, name=None):
        super().__init__(name=name or naming.auto_name(function.__name__))
        self.function = function
        self.static = static

    def call(self, *args, **kwargs):
        """Runs the function with the stored arguments beside the given ones."""
        names, rest = self.function.parameters, self.function.rest
        if rest is not None:
            return self.function(*[self.static[n] for n in names if n in self.static], *args, **kwargs)
        free = [n for n in names if n not in self.static]
        return self.function(**dict(zip(free, args, strict=False)), **self.static, **kwargs)

    def get_config(self):
        """Name and the arguments that are not tensors."""
        return {"name": self.name, **self.static}

    @property
    def class_name(self):
        """The name of Keras's class for this op."""
        return self.function.class_name

    @property
    def module_name(self):
        """The module of Keras's class for this op."""
        return self.function.module_name


def operation(family):
    """A decorator for public ops: on KerasTensors they record a node (`family`: Keras's module)."""

    def decorate(fn):
        code = fn.__code__
        count = code.co_argcount + code.co_kwonlyargcount
        names = code.co_varnames[:count]
        rest = code.co_varnames[count] if code.co_flags & 0x04 else None

        def public(*args, **kwargs):
            for a in args:
                kind = type(a)
                if kind is KerasTensor or (
                    (kind is list or kind is tuple or kind is dict) and any_symbolic((a,))
                ):
                    return _record(public, args, kwargs)
            if kwargs and any_symbolic(kwargs.values()):
                return _record(public, args, kwargs)
            return fn(*args, **kwargs)

        for attribute in (
            "__name__",
            "__qualname__",
            "__doc__",
            "__module__",
            "__defaults__",
            "__kwdefaults__",
        ):
            if attribute not in ("__defaults__", "__kwdefaults__"):
                setattr(public, attribute, getattr(fn, attribute))
        public.__wrapped__ = fn
        public.parameters = names
        public.rest = rest
        public.class_name = _CLASS_NAMES.get(fn.__name__) or naming.camel_case(fn.__name__)
        public.module_name = f"keras.src.ops.{family}"
        op_classes[(public.module_name, public.class_name)] = public
        return public

    return decorate


def _bind(function, args, kwargs):
    """The arguments by parameter name, defaults filled in."""
    fn, names = function.__wrapped__, function.parameters
    if len(args) > len(names):
        raise TypeError(
            f"{function.__name__}: expected at most {len(names)} arguments. Received: {len(args)}"
        )
    bound = dict(zip(names, args, strict=False))
    for name, value in kwargs.items():
        if name not in names or name in bound:
            raise TypeError(
                f"{function.__name__}: expected arguments {list(names)}, each once. Received: {name}="
            )
        bound[name] = value
    for name, value in zip(reversed(names), reversed(fn.__defaults__ or ()), strict=False):
        bound.setdefault(name, value)
    for name, value in (fn.__kwdefaults__ or {}).items():
        bound.setdefault(name, value)
    return bound


def _record(function, args, kwargs):
    names = function.parameters
    if function.rest is not None:
        head, tail = args[: len(names)], args[len(names) :]
        static = dict(zip(names, head, strict=False))
        tensors = {n: v for n, v in static.items() if any_symbolic((v,))}
        if tensors:  # e.g. meshgrid(*x): everything is input
            return OpNode(function, {})(*args, **kwargs)
        return OpNode(function, static)(*tail, **kwargs)
    bound = _bind(function, args, kwargs)
    config = _AS_CONFIG.get(function.__name__)
    static, inputs = {}, []
    for name in names:
        if name not in bound:
            continue
        value = bound[name]
        is_input = name not in config if config else name in _INPUT_PARAMETERS
        if is_input or any_symbolic((value,)):
            inputs.append(value)
        else:
            static[name] = value
    while inputs and inputs[-1] is None:
        inputs.pop()
    return OpNode(function, static)(*inputs)
