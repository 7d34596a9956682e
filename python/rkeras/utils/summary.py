"""The table that `Model.summary` prints."""

import math

from rkeras._core import tree
from rkeras._core.symbolic import KerasTensor
from rkeras._core.tensor import standardize_dtype

_BYTES = {"bool": 1, "float16": 2, "bfloat16": 2, "float32": 4, "float64": 8}


def memory_size(variables):
    """The bytes that variables take."""
    total = 0
    for v in variables:
        dtype = standardize_dtype(v.dtype)
        size = _BYTES.get(dtype) or int("".join(c for c in dtype if c.isdigit())) // 8
        total += math.prod(v.shape) * size
    return total


def readable_size(size):
    """Bytes in the largest unit that leaves a number of at least one."""
    for unit in ("B", "KB", "MB", "GB", "TB"):
        if size < 1024 or unit == "TB":
            return f"{size:.2f} {unit}"
        size /= 1024
    return None


def count_params(variables):
    """The number of elements of variables."""
    return sum(math.prod(v.shape) for v in variables)


def shape_text(layer):
    """The output shape of a layer as text; "?" if it is not known."""
    nodes = layer._inbound_nodes
    if nodes:
        texts = []
        for node in nodes:
            outputs = [t for t in node.outputs if isinstance(t, KerasTensor)]
            texts.append(
                ", ".join(_shape(t.shape) for t in outputs) if len(outputs) != 1 else _shape(outputs[0].shape)
            )
        texts = list(dict.fromkeys(texts))
        return texts[0] if len(texts) == 1 else ", ".join(texts)
    shapes = getattr(layer, "_build_shapes_dict", None)
    if not shapes:
        return "?"
    try:
        if len(shapes) == 1:
            out = layer.compute_output_shape(next(iter(shapes.values())))
        else:
            out = layer.compute_output_shape(**shapes)
    except (NotImplementedError, ValueError, TypeError):
        return "?"
    flat = []
    tree.map_shape_structure(flat.append, out)
    return ", ".join(_shape(s) for s in flat) if flat else "?"


def _shape(shape):
    return f"({', '.join(map(str, shape))})"


def _wrapped(text, width):
    """The text in lines of at most `width`, broken at spaces."""
    lines = []
    for part in str(text).split("\n"):
        line = ""
        for word in part.split(" "):
            candidate = f"{line} {word}" if line else word
            if len(candidate) <= width or not line:
                line = candidate
            else:
                lines.append(line)
                line = word
        lines.append(line)
    return [line if len(line) <= width else line[: width - 1] + "…" for line in lines]


def _table(header, rows, widths, align):
    """A table drawn with box characters."""

    def bar(left, fill, middle, right):
        return left + middle.join(fill * (w + 2) for w in widths) + right

    def line(cells, edge, how):
        wrapped = [_wrapped(c, w) for c, w in zip(cells, widths, strict=True)]
        out = []
        for i in range(max(map(len, wrapped))):
            texts = [c[i] if i < len(c) else "" for c in wrapped]
            fitted = [
                t.rjust(w) if a == "r" else t.center(w) if a == "c" else t.ljust(w)
                for t, w, a in zip(texts, widths, how, strict=True)
            ]
            out.append(f"{edge} " + f" {edge} ".join(fitted) + f" {edge}")
        return out

    lines = [bar("┏", "━", "┳", "┓"), *line(header, "┃", align), bar("┡", "━", "╇", "┩")]
    for i, row in enumerate(rows):
        if i:
            lines.append(bar("├", "─", "┼", "┤"))
        lines += line(row, "│", align)
    return [*lines, bar("└", "─", "┴", "┘")]


def _connections(layer, relevant):
    """Which outputs of which layers a layer is called on."""
    found = []
    for node in layer._inbound_nodes:
        if relevant and id(node) not in relevant:
            continue
        for tensor in node.input_tensors:
            operation, index, at = tensor._keras_history
            found.append(f"{operation.name}[{index}][{at}]")
    return ",\n".join(found) if found else "-"


def _is_chain(model):
    """Is the model a chain of layers, so that a column of connections would say nothing?"""
    if type(model).__name__ == "Sequential" or not hasattr(model, "_nodes_by_depth"):
        return True
    if any(len(nodes) > 1 for nodes in model._nodes_by_depth.values()):
        return False
    for layer in model.layers:
        kept = [n for n in layer._inbound_nodes if id(n) in model._nodes]
        if len(kept) > 1 or any(len(n.input_tensors) > 1 for n in kept):
            return False
    return True


def print_summary(
    model, line_length=None, positions=None, print_fn=None, expand_nested=False, show_trainable=False,
    layer_range=None
):  # fmt: skip
    """Prints the table; see `Model.summary`."""
    chain = _is_chain(model)
    operations = model.layers if chain else list(getattr(model, "_operations", None) or model.layers)
    length = line_length or 76
    if chain:
        header, align = ["Layer (type)", "Output Shape", "Param #"], ["l", "l", "r"]
        parts = [0.40, 0.72, 0.89, 1.0] if show_trainable else [0.45, 0.78, 1.0]
    else:
        header, align = ["Layer (type)", "Output Shape", "Param #", "Connected to"], ["l", "l", "r", "l"]
        parts = [0.27, 0.50, 0.66, 0.89, 1.0] if show_trainable else [0.29, 0.56, 0.73, 1.0]
    if show_trainable:
        header, align = [*header, "Trainable"], [*align, "c"]
    # Where columns end; the frame takes one character on each side of every column.
    ends = [int(p * length) if p <= 1 else int(p) for p in positions or parts]
    ends[-1] -= 1
    widths = [max(b - a - 3, 2) for a, b in zip([0, *ends], ends, strict=False)]
    relevant = getattr(model, "_nodes", None)
    if layer_range is not None:
        operations = _in_range(operations, layer_range)
    rows = []

    def add(layer, depth):
        prefix = "" if depth == 0 else "   " * depth + "└ "
        if getattr(layer, "_layers", None) is not None:
            if (not layer.built and not layer._layers) or (not layer.built and not layer.weights):
                params = "0 (unbuilt)"
            else:
                params = f"{count_params(layer.weights):,}"
        else:
            params = "0"
        row = [f"{prefix}{layer.name} ({_class_name(layer)})", shape_text(layer), params]
        if not chain:
            row.append(_connections(layer, relevant))
        if show_trainable:
            has = getattr(layer, "weights", None)
            row.append(("Y" if layer.trainable else "N") if has else "-")
        rows.append(row)
        if expand_nested and hasattr(layer, "layers"):
            for inner in getattr(layer, "_operations", None) or layer.layers:
                add(inner, depth + 1)

    for layer in operations:
        add(layer, 0)
    trainable, other = count_params(model.trainable_weights), count_params(model.non_trainable_weights)
    sizes = memory_size(model.trainable_weights), memory_size(model.non_trainable_weights)
    optimizer = getattr(model, "optimizer", None)
    slots = list(optimizer.variables) if optimizer is not None and getattr(optimizer, "built", False) else []
    total = trainable + other + count_params(slots)
    lines = [f'Model: "{model.name}"', *_table(header, rows, widths, align)]
    lines.append(f" Total params: {total:,} ({readable_size(sum(sizes) + memory_size(slots))})")
    lines.append(f" Trainable params: {trainable:,} ({readable_size(sizes[0])})")
    lines.append(f" Non-trainable params: {other:,} ({readable_size(sizes[1])})")
    if slots:
        lines.append(f" Optimizer params: {count_params(slots):,} ({readable_size(memory_size(slots))})")
    text = "\n".join(lines)
    if print_fn is None:
        print(text)
    else:
        print_fn(text)


def _class_name(layer):
    return getattr(layer, "class_name", None) or type(layer).__name__


def _in_range(layers, layer_range):
    """The layers from the first to the last name (or pattern)."""
    import re

    if len(layer_range) != 2 or not all(isinstance(p, str) for p in layer_range):
        raise ValueError(f"summary: expected layer_range as two names. Received: {layer_range!r}")
    first = [i for i, layer in enumerate(layers) if re.fullmatch(layer_range[0], layer.name)]
    last = [i for i, layer in enumerate(layers) if re.fullmatch(layer_range[1], layer.name)]
    if not first or not last:
        raise ValueError(f"summary: expected names of layers in layer_range. Received: {layer_range!r}")
    return layers[min(first) : max(last) + 1]
