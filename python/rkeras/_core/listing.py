"""A traced function as a list of nodes whose unknown sizes are formulas: what exporters translate.

A function is traced with several sizes in place of each unknown one. What differs between the traces is a polynomial
in the sizes, linear in each of them: `2*batch`, `batch*time`, `time - 2`. So layers need no care for unknown sizes.
"""

import contextlib
import itertools

import numpy as np

from rkeras import _rkeras
from rkeras._core import tree

_SMALL, _LARGE, _CHECK = (7, 13, 19, 29), (11, 17, 23, 31), (12, 18, 26, 34)
_MAX_UNKNOWN = 4


class Dim:
    """A size that depends on unknown ones: sum of coefficient * product of names.

    Args:
        terms: dict of sorted tuples of names to coefficients; `()` is the constant.
    """

    __slots__ = ("terms",)

    def __init__(self, terms):
        self.terms = {k: c for k, c in terms.items() if c}

    def __eq__(self, other):
        return isinstance(other, Dim) and self.terms == other.terms

    def __hash__(self):
        return hash(frozenset(self.terms.items()))

    def at(self, sizes):
        """Its value for sizes by name."""
        return sum(c * int(np.prod([sizes[n] for n in names])) for names, c in self.terms.items())

    @property
    def name(self):
        """The name of an unknown size if it is just that, else None."""
        ((names, c),) = self.terms.items() if len(self.terms) == 1 else (((), 0),)
        return names[0] if len(names) == 1 and c == 1 else None

    def __repr__(self):
        return " + ".join("*".join([str(c), *names]) for names, c in self.terms.items())


class Listed:
    """A node: `op`, `attrs`, `inputs` as pairs (node, output), `outputs` as pairs (shape, dtype).

    `op` is the name of a primitive or one of

    * "input": `position`,
    * "constant": `value`, an array; of unknown sizes only if `fill` is a number (all elements are that), "range"
      (0, 1, 2 ... along the axis of unknown size), ("triangle", k, inverted) (ones where column <= row + k over the last
      two axes, zeros elsewhere; or the other way round) or "scalar" (the one number is a Dim, in `value`),
    * "variable": `value` is the Variable.

    Traced functions in attributes are Listings; so is `reference`, the composition that a fused op stands for (None for
    other ops): what is translated where a format lacks the op.
    """

    __slots__ = ("attrs", "fill", "inputs", "op", "outputs", "position", "reference", "value")

    def __init__(self, op, attrs, inputs, outputs, position=None, value=None, fill=None):
        self.op, self.attrs, self.inputs, self.outputs = op, attrs, inputs, outputs
        self.position, self.value, self.fill = position, value, fill
        self.reference = None

    def __repr__(self):
        return f"{self.op}{self.inputs} {self.attrs} -> {self.outputs}"


class Listing:
    """The nodes of a traced function, the ports of its results, where each unknown size stands in the inputs.

    Attributes:
        nodes: list of Listed.
        outputs: ports of the results.
        structure: the results as they were nested, positions in `outputs` in place of tensors.
        sizes: dict of name to (input, axis).
        found: dict of name to (node, output, axis): sizes that are no formula of `sizes`, such as those behind a
            convolution with strides, where they are met first.
        arity: how many arguments a function takes before the values it captured.
    """

    def __init__(self, nodes, outputs, structure=None, sizes=None, arity=None):
        self.nodes, self.outputs, self.structure = nodes, outputs, structure
        self.sizes = sizes or {}
        self.found = {}
        self.arity = arity


def list_function(function, specs, variables=()):
    """Traces `function` and lists what it did.

    Args:
        function: takes one tensor per spec and returns a structure of tensors.
        specs: pairs (shape, dtype); unknown sizes are None. The first axes are one unknown size, "batch".
        variables: the Variables that it may read.

    Returns:
        A Listing.

    Raises:
        ValueError: if it assigns to variables, or does what is no polynomial of unknown sizes.
    """
    try:
        return _list(function, specs, variables, shared=False)
    except (ValueError, TypeError):
        # Inputs whose sizes have to agree: one unknown size per axis for all of them.
        if len(_names(specs, True)[1]) == len(_names(specs, False)[1]):
            raise
        return _list(function, specs, variables, shared=True)


def _names(specs, shared):
    names, sizes = [], {}
    for i, (shape, _) in enumerate(specs):
        row = []
        for axis, size in enumerate(shape):
            name = None
            if size is None:
                name = "batch" if axis == 0 else f"axis_{axis}" if shared else f"axis_{i}_{axis}"
                sizes.setdefault(name, (i, axis))
            row.append(name)
        names.append(row)
    if len(sizes) > _MAX_UNKNOWN:
        raise ValueError(
            f"export: expected at most {_MAX_UNKNOWN} unknown sizes. Received: {len(sizes)}. Hint: give Input(batch_shape=...)."
        )
    return names, sizes


def _list(function, specs, variables, shared):
    names, sizes = _names(specs, shared)
    keys = list(sizes)
    known = {v.uid: v for v in variables}
    corners = list(itertools.product((0, 1), repeat=len(keys)))
    points = [
        {k: (_LARGE if bit else _SMALL)[i] for i, (k, bit) in enumerate(zip(keys, c, strict=True))}
        for c in corners
    ]
    points.append({k: _CHECK[i] for i, k in enumerate(keys)})
    traces, structure = [], None
    for point in points if keys else points[:1]:
        graph = _rkeras.Graph()
        with graph:
            symbols = [
                graph.input([point[n] if n else d for d, n in zip(shape, row, strict=True)], dtype)
                for (shape, dtype), row in zip(specs, names, strict=True)
            ]
            result = function(*symbols)
        flat = tree.flatten(result)
        ports = graph.ports(flat)  # first: results that are constants become nodes
        traces.append((graph.nodes(), ports))
        if graph.assigns():
            raise ValueError(
                "export: expected a model whose prediction changes no variables. Received: one that does"
            )
        structure = structure or _places(result)
    fit = _Fit(keys, corners, points)
    listing = fit.merge([t[0] for t in traces], [t[1] for t in traces], known, outermost=True)
    listing.structure, listing.sizes, listing.found = structure, sizes, fit.found
    return listing


def _places(result):
    """The structure with 0, 1, 2 ... in place of tensors."""
    places = iter(range(len(tree.flatten(result))))
    return tree.map_structure(lambda _: next(places), result)


class _Fit:
    """Finds the polynomials that traces at several sizes have in common."""

    def __init__(self, keys, corners, points):
        self.keys, self.points = keys, points
        self.subsets = [tuple(sorted(k for k, bit in zip(keys, c, strict=True) if bit)) for c in corners]
        rows = [[float(np.prod([p[n] for n in s])) for s in self.subsets] for p in points[: len(corners)]]
        self.inverse = np.linalg.inv(np.array(rows))
        self.names, self.found = {}, {}  # of sizes that are no polynomials: values -> Dim, name -> place

    def size(self, values, place):
        """The number or Dim; what is no polynomial gets a name of its own where it is met first."""
        try:
            return self.number(values)
        except ValueError:
            name = f"size_{len(self.found)}"
            self.found[name] = place
            self.names[tuple(values)] = Dim({(name,): 1})
            return self.names[tuple(values)]

    def number(self, values):
        """The number, or the Dim, that takes these values."""
        if all(v == values[0] for v in values):
            return values[0]
        if tuple(values) in self.names:
            return self.names[tuple(values)]
        if any(not isinstance(v, int) for v in values):
            raise _odd(values)
        coefficients = self.inverse @ np.array(values[:-1], float)
        whole = np.rint(coefficients)
        if not np.allclose(coefficients, whole, atol=1e-6):
            raise _odd(values)
        dim = Dim({s: int(c) for s, c in zip(self.subsets, whole, strict=True)})
        if [dim.at(p) for p in self.points] != list(values):
            raise _odd(values)
        return dim

    def attribute(self, values, known):
        first = values[0]
        if isinstance(first, _rkeras.Function):
            listing = self.merge([f.nodes() for f in values], [f.outputs for f in values], known)
            listing.arity = first.arity
            return listing
        if isinstance(first, tuple):
            if len({len(v) for v in values}) > 1:
                raise _odd(values)
            return tuple(self.number(list(column)) for column in zip(*values, strict=True))
        return self.number(values)

    def merge(self, traces, ports, known, outermost=False):
        """One list of nodes from the same function's traces."""
        if len({len(t) for t in traces}) > 1 or any(p != ports[0] for p in ports):
            raise _odd([f"{len(t)} nodes" for t in traces])
        nodes = []
        for rows in zip(*traces, strict=True):
            first = rows[0]
            if any(r["op"] != first["op"] or r["inputs"] != first["inputs"] for r in rows):
                raise _odd([r["op"] for r in rows])
            outputs = []
            for o, column in enumerate(zip(*(r["outputs"] for r in rows), strict=True)):
                shapes = [c[0] for c in column]
                if outermost and len({len(s) for s in shapes}) == 1:
                    sizes = zip(*shapes, strict=True)
                    shape = tuple(self.size(list(s), (len(nodes), o, a)) for a, s in enumerate(sizes))
                else:
                    shape = self.attribute(shapes, known)
                outputs.append((shape, column[0][1]))
            attrs = {k: self.attribute([r["attrs"][k] for r in rows], known) for k in first["attrs"]}
            node = Listed(first["op"], attrs, first["inputs"], outputs)
            if all("reference" in r for r in rows):
                with contextlib.suppress(ValueError):  # it may be another one for other sizes
                    node.reference = self.attribute([r["reference"] for r in rows], known)
            if node.op == "input":
                node.position = first["position"]
            elif node.op == "variable":
                node.value = known.get(first["variable"])
                if node.value is None:
                    raise ValueError(
                        "export: expected variables of the model. Received: one that it does not own"
                    )
            elif node.op == "constant":
                self.constant(node, [r["value"].numpy() for r in rows])
            nodes.append(node)
        return Listing(nodes, ports[0])

    def constant(self, node, values):
        first = values[0]
        node.value = first
        if all(
            v.shape == first.shape and np.array_equal(v, first, equal_nan=v.dtype.kind == "f") for v in values
        ):
            return
        if all(v.size and (v == first.flat[0]).all() for v in values):
            node.fill = first.flat[0].item()
        elif all(
            v.ndim and v.size == max(v.shape) and np.array_equal(v.ravel(), np.arange(v.size)) for v in values
        ):
            node.fill = "range"
        elif (triangle := _triangle(values)) is not None:
            node.fill = ("triangle", *triangle)
        elif all(v.ndim == 0 and v.dtype.kind in "iu" for v in values):
            node.fill, node.value = "scalar", self.number([int(v) for v in values])
        else:
            raise _odd([f"a constant of shape {v.shape}" for v in values])


def _triangle(values):
    """(k, inverted) if all values are ones where column <= row + k and zeros elsewhere, or the other way round."""
    first = values[0]
    if first.ndim < 2 or any(v.size != v.shape[-1] * v.shape[-2] for v in values):
        return None
    inverted = not first.flat[0] and bool(first[..., 0, -1].flat[0])
    k = int((first.reshape(first.shape[-2:])[0] == (not inverted)).sum()) - 1
    for v in values:
        lower = np.tri(*v.shape[-2:], k, dtype=bool)
        if not np.array_equal(v.reshape(v.shape[-2:]), (~lower if inverted else lower).astype(v.dtype)):
            return None
    return k, inverted


def _odd(values):
    return ValueError(
        "export: expected a computation that depends on unknown sizes as sums and products do. Received: one that is "
        f"{', '.join(map(str, values[:4]))} for different sizes. Hint: give the sizes with Input(batch_shape=...)."
    )
