"""Loops and branches as TensorFlow's functional ops: their bodies become functions, what they use becomes arguments."""

import numpy as np

from rkeras._core.listing import Dim
from rkeras.export.tf_graph import VARIANT, Function, Value, dtype_attribute, types
from rkeras.export.tf_ops import gathered, translate, translates


@translates("scan")
def _scan(f, node, x):
    body = node.attrs["body"]
    c, n = node.attrs["carries"], node.attrs["xs"]
    carries, xs, captured = x[:c], x[c : c + n], x[c + n :]
    ys = node.outputs[c:]
    names = sorted(f.sizes)
    lists = []
    for shape, dtype in ys:
        any_shape = (
            f.ints([-1 if isinstance(d, Dim) else d for d in shape[1:]])
            if shape[1:]
            else f.constant(np.zeros(0, np.int32))
        )
        attrs = {"element_dtype": dtype_attribute(dtype), "shape_type": dtype_attribute("int32")}
        lists.append(
            (
                Value(f.node("TensorListReserve", [any_shape, f.size(shape[0])], **attrs), (), VARIANT),
                any_shape,
            )
        )
    length = f.size(node.attrs["length"])
    loop = [f.ints(0), length, *carries, *(v for v, _ in lists), *xs, *captured, *(f.sizes[k] for k in names)]
    cond = _loop_condition(f, loop)
    inner = Function(f.library, "scan_body")
    args = [inner.argument(f"v{i}", v.dtype, v.shape) for i, v in enumerate(loop)]
    inner.sizes = dict(zip(names, args[len(args) - len(names) :], strict=True))
    at, steps = args[0], args[1]
    place = at
    if node.attrs["reverse"]:
        last = inner.op("Sub", [steps, inner.ints(1)], ())
        place = inner.op("Sub", [last, at], ())
    inner_carries, inner_lists = args[2 : 2 + c], args[2 + c : 2 + c + len(ys)]
    inner_xs = args[2 + c + len(ys) : 2 + c + len(ys) + n]
    inner_captured = args[2 + c + len(ys) + n : len(args) - len(names)]
    slices = [gathered(inner, v, place, 0, v.shape[1:]) for v in inner_xs]
    results = translate(inner, body, [*inner_carries, *slices, *inner_captured], _no_variables)
    written = []
    for value, item in zip(inner_lists, results[c:], strict=True):
        ref = inner.node("TensorListSetItem", [value, place, item], element_dtype=dtype_attribute(item.dtype))
        written.append(Value(ref, (), VARIANT))
    after = [
        inner.op("AddV2", [at, inner.ints(1)], ()),
        steps,
        *results[:c],
        *written,
        *args[2 + c + len(ys) :],
    ]
    name = inner.finish({f"r{i}": v for i, v in enumerate(after)})
    attrs = {
        "T": types([v.dtype for v in loop]),
        "cond": {"func": {"name": cond}},
        "body": {"func": {"name": name}},
    }
    ref = f.node("StatelessWhile", loop, parallel_iterations=10, **attrs).rsplit(":", 1)[0]
    found = [Value(f"{ref}:{2 + i}", s, d) for i, (s, d) in enumerate(node.outputs[:c])]
    for i, ((shape, dtype), (_, any_shape)) in enumerate(zip(ys, lists, strict=True)):
        attrs = {
            "element_dtype": dtype_attribute(dtype),
            "num_elements": -1 if isinstance(shape[0], Dim) else shape[0],
        }
        y = f.node("TensorListStack", [f"{ref}:{2 + c + i}", any_shape], **attrs)
        found.append(Value(y, shape, dtype))
    return found


def _loop_condition(f, loop):
    """The function that says whether the first loop variable is below the second."""
    inner = Function(f.library, "scan_cond")
    args = [inner.argument(f"v{i}", v.dtype, v.shape) for i, v in enumerate(loop)]
    return inner.finish({"go_on": inner.op("Less", args[:2], (), "bool")})


@translates("cond")
def _cond(f, node, x):
    names = sorted(f.sizes)
    true_count = node.attrs["true_count"]
    captured = x[1:]
    inputs = [*captured, *(f.sizes[k] for k in names)]

    def branch(what, listing, take):
        inner = Function(f.library, what)
        args = [inner.argument(f"v{i}", v.dtype, v.shape) for i, v in enumerate(inputs)]
        inner.sizes = dict(zip(names, args[len(captured) :], strict=True))
        results = translate(inner, listing, take(args[: len(captured)]), _no_variables)
        return inner.finish({f"r{i}": v for i, v in enumerate(results)})

    then = branch("cond_true", node.attrs["true_fn"], lambda a: a[:true_count])
    other = branch("cond_false", node.attrs["false_fn"], lambda a: a[true_count:])
    attrs = {
        "Tcond": dtype_attribute("bool"), "Tin": types([v.dtype for v in inputs]), "Tout": types([d for _, d in node.outputs]),
        "then_branch": {"func": {"name": then}}, "else_branch": {"func": {"name": other}},
    }  # fmt: skip
    ref = f.node("StatelessIf", [x[0], *inputs], **attrs).rsplit(":", 1)[0]
    return [Value(f"{ref}:{i}", s, d) for i, (s, d) in enumerate(node.outputs)]


def _no_variables(variable):
    raise NotImplementedError(
        f"export: expected loop bodies that get weights as values. Received: {variable.path!r}"
    )


@translates("while_loop")
def _while_loop(f, node, x):
    cond, body = node.attrs["cond"], node.attrs["body"]
    n, for_cond, most = len(node.outputs), node.attrs["cond_count"], node.attrs["maximum_iterations"]
    names = sorted(f.sizes)
    loop = [f.ints(0), *x, *(f.sizes[k] for k in names)]

    def inside(what):
        inner = Function(f.library, what)
        args = [inner.argument(f"v{i}", v.dtype, v.shape) for i, v in enumerate(loop)]
        inner.sizes = dict(zip(names, args[len(args) - len(names) :], strict=True))
        return inner, args

    test, args = inside("while_cond")
    captured = args[1 + n : 1 + len(x)]
    go_on = translate(test, cond, [*args[1 : 1 + n], *captured[:for_cond]], _no_variables)[0]
    if most >= 0:
        early = test.op("Less", [args[0], test.ints(most)], (), "bool")
        go_on = Value(test.node("LogicalAnd", [early, go_on]), (), "bool")
    step, args = inside("while_body")
    captured = args[1 + n : 1 + len(x)]
    results = translate(step, body, [*args[1 : 1 + n], *captured[for_cond:]], _no_variables)
    after = [step.op("AddV2", [args[0], step.ints(1)], ()), *results, *args[1 + n :]]
    attrs = {
        "T": types([v.dtype for v in loop]), "cond": {"func": {"name": test.finish({"go_on": go_on})}},
        "body": {"func": {"name": step.finish({f"r{i}": v for i, v in enumerate(after)})}},
    }  # fmt: skip
    ref = f.node("StatelessWhile", loop, parallel_iterations=10, **attrs).rsplit(":", 1)[0]
    return [Value(f"{ref}:{1 + i}", s, d) for i, (s, d) in enumerate(node.outputs)]
