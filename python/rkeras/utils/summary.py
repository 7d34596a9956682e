"""The table that `Model.summary` prints, as text and as HTML."""

import html
import math
import re
import shutil
import sys
import unicodedata

from rkeras._core import tree
from rkeras._core.symbolic import KerasTensor
from rkeras._core.tensor import standardize_dtype
from rkeras.models.functional import Functional
from rkeras.models.sequential import Sequential

_BYTES = {"bool": 1, "float16": 2, "bfloat16": 2, "float32": 4, "float64": 8}


def memory_size(variables):
    """The bytes that variables take, each counted once."""
    total = 0
    for v in {id(v): v for v in variables}.values():
        dtype = standardize_dtype(v.dtype)
        size = _BYTES.get(dtype) or int("".join(c for c in dtype if c.isdigit())) // 8
        total += math.prod(v.shape) * size
    return total


def readable_size(size):
    """Bytes in the largest unit that leaves a number of at least one."""
    for unit in ("B", "KB", "MB", "GB", "TB"):
        if size < 1024:
            return f"{size:.2f} {unit}"
        size /= 1024
    return f"{size:.2f} PB"


def count_params(variables):
    """The number of elements of variables, each counted once."""
    return sum(math.prod(v.shape) for v in {id(v): v for v in variables}.values())


def shape_text(layer):
    """The output shape of a layer's last call as text; "?" if it is not known."""
    nodes = layer._inbound_nodes
    if nodes:
        found = [_shape(t.shape) for t in nodes[-1].outputs if isinstance(t, KerasTensor)]
    else:
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
        found = []
        tree.map_shape_structure(lambda s: found.append(_shape(s)), out)
    return found[0] if len(found) == 1 else f"[{', '.join(found)}]" if found else "?"


def _shape(shape):
    return f"({', '.join(map(str, shape))})"


class Summary:
    """What a summary says: a heading, columns, rows of cells, and the lines below the table."""

    def __init__(self, model, expand_nested, show_trainable, layer_range):
        self.model = model
        self.chain = _is_chain(model)
        self.header, self.align = ["Layer (type)", "Output Shape", "Param #"], ["l", "l", "r"]
        if not self.chain:
            self.header, self.align = [*self.header, "Connected to"], [*self.align, "l"]
        self.show_trainable = show_trainable
        if show_trainable:
            self.header, self.align = [*self.header, "Trainable"], [*self.align, "c"]
        self.relevant = set(getattr(model, "_nodes", ())) if not self.chain else set()
        layers = model._operations if isinstance(model, Functional) else model.layers
        if layer_range is not None:
            layers = _in_range(layers, layer_range)
        self.rows = []
        for layer in layers:
            self._add(layer, 0, expand_nested)
        self.totals = self._totals()

    def _add(self, layer, depth, expand):
        prefix = "   " * depth + "└ " if depth else ""
        if not hasattr(layer, "built"):
            params = "0"
        elif not layer.built:
            params = "0 (unbuilt)"
        else:
            params = f"{layer.count_params():,}"
        row = [f"{prefix}{layer.name} ({_class_name(layer)})", shape_text(layer), params]
        if not self.chain:
            row.append(self._connections(layer))
        if self.show_trainable:
            row.append(("Y" if layer.trainable else "N") if getattr(layer, "weights", None) else "-")
        self.rows.append(row)
        if expand:
            for inner in getattr(layer, "layers", None) or ():
                self._add(inner, depth + 1, expand)

    def _connections(self, layer):
        """Which outputs of which layers a layer is called on."""
        found = []
        for node in layer._inbound_nodes:
            if id(node) not in self.relevant:
                continue
            for tensor in node.input_tensors:
                operation, index, at = tensor._keras_history
                found.append(f"{operation.name}[{index}][{at}]")
        return ", ".join(found) or "-"

    def _totals(self):
        """(caption, number, bytes) of the weights."""
        groups = [
            ("Trainable", self.model.trainable_weights),
            ("Non-trainable", self.model.non_trainable_weights),
        ]
        optimizer = getattr(self.model, "optimizer", None)
        if optimizer is not None and getattr(optimizer, "built", False):
            groups.append(("Optimizer", optimizer.variables))
        rows = [(name, count_params(v), memory_size(v)) for name, v in groups]
        total = ("Total", sum(r[1] for r in rows), sum(r[2] for r in rows))
        return [total, *rows]


def _is_chain(model):
    """Is the model a chain of layers, so that a column of connections would say nothing?"""
    if not isinstance(model, Functional) or isinstance(model, Sequential):
        return True
    kept = set()
    for nodes in model._nodes_by_depth.values():
        if len(nodes) > 1 or len(nodes[0].input_tensors) > 1:
            return False
        kept.update(id(n) for n in nodes)
    return all(sum(id(n) in kept for n in layer._inbound_nodes) <= 1 for layer in model.layers)


def _class_name(layer):
    return getattr(layer, "class_name", None) or type(layer).__name__


def _in_range(layers, layer_range):
    """The layers from the first to the last name (or pattern)."""
    if len(layer_range) != 2 or not all(isinstance(p, str) for p in layer_range):
        raise ValueError(f"summary: expected layer_range as two names. Received: {layer_range!r}")
    first = [i for i, layer in enumerate(layers) if re.match(layer_range[0], layer.name)]
    last = [i for i, layer in enumerate(layers) if re.match(layer_range[1], layer.name)]
    if not first or not last:
        raise ValueError(f"summary: expected names of layers in layer_range. Received: {layer_range!r}")
    if min(first) > max(last):
        return layers[min(last) : max(first) + 1]
    return layers[min(first) : max(last) + 1]


# Widths: Keras's parts of the line, and the rules by which its table printer (rich) fits columns into it.


def _widths(summary, line_length, positions):
    """(line length, the text width of every column)."""
    if summary.chain:
        default, parts = 88, positions or [0.45, 0.80, 1.0]
    else:
        default, parts = 108, positions or [0.3, 0.56, 0.74, 1.0]
    if summary.show_trainable:
        default, parts = default + 12, [p * 0.90 for p in parts] + [1.0]
    if len(parts) != len(summary.header):
        raise ValueError(
            f"summary: expected positions of {len(summary.header) - summary.show_trainable} columns. "
            f"Received: {positions}"
        )
    length = line_length or min(default, shutil.get_terminal_size().columns - 4)
    widths, start = [], 0
    for p in parts:
        width = int(p * length) - start
        if width < 4:
            raise ValueError(
                f"summary: expected columns of at least 4 characters. Received: line_length={length}, "
                f"positions={positions}"
            )
        widths.append(width + 2)  # a space on each side
        start += width
    room = length - len(widths) - 1  # between the frame's lines
    spare = room - sum(widths)
    if spare < 0:
        left = -spare
        for i, _ in enumerate(widths):
            less = min(widths[i], round(left / (len(widths) - i)))
            widths[i] -= less
            left -= less
    else:
        whole = sum(widths)
        for i, width in enumerate(widths):
            more = math.ceil(width * spare / whole) if whole else spare
            widths[i] += more
            whole, spare = whole - width, spare - more
    return length, [max(w - 2, 1) for w in widths]


def _cells(text):
    """How many places a text takes on a terminal."""
    return sum(
        0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text
    )


def _wrapped(text, width):
    """The text in lines of at most `width`, broken at spaces; longer words are cut."""
    lines, line = [], ""
    for word in re.findall(r"\s*\S+\s*", text) or [""]:
        if line and _cells(line) + _cells(word.rstrip()) > width:
            lines.append(line)
            line = word
        else:
            line += word
    return [_cut(line.rstrip(), width) for line in [*lines, line]]


def _cut(line, width):
    if _cells(line) <= width:
        return line
    while _cells(line) > width - 1:
        line = line[:-1]
    return line + "…"


def _fitted(text, width, align):
    spare = width - _cells(text)
    before = {"l": 0, "r": spare, "c": spare // 2}[align]
    return " " * before + text + " " * (spare - before)


def table_lines(header, rows, widths, align, paint=None):
    """A table drawn with box characters; `paint(text, column)` may add colours to the cells of rows."""

    def bar(left, fill, middle, right):
        return left + middle.join(fill * (w + 2) for w in widths) + right

    def lines(cells, edge, bold):
        wrapped = [_wrapped(c, w) for c, w in zip(cells, widths, strict=True)]
        height = max(map(len, wrapped))
        if bold:  # headings stand on the rule below them
            wrapped = [[""] * (height - len(c)) + c for c in wrapped]
        for i in range(height):
            texts = [
                _fitted(c[i] if i < len(c) else "", w, a)
                for c, w, a in zip(wrapped, widths, align, strict=True)
            ]
            if paint:
                texts = [bold(t) if bold else paint(t, k) for k, t in enumerate(texts)]
            yield f"{edge} " + f" {edge} ".join(texts) + f" {edge}"

    yield bar("┏", "━", "┳", "┓")
    yield from lines(header, "┃", _bold)
    yield bar("┡", "━", "╇", "┩")
    for i, row in enumerate(rows):
        if i:
            yield bar("├", "─", "┼", "┤")
        yield from lines(row, "│", None)
    yield bar("└", "─", "┴", "┘")


def _bold(text):
    return f"\x1b[1m{text}\x1b[0m"


def _color(text, number):
    return f"\x1b[38;5;{number}m{text}\x1b[0m"


def _paint(text, column):
    """Keras's colours: class names blue, numbers green, unknown sizes cyan."""
    if column == 0:
        return re.sub(r"\((\w+)\)", lambda m: f"({_color(m[1], 33)})", text)
    return re.sub(r"\bNone\b|\b\d[\d,]*\b", lambda m: _color(m[0], 45 if m[0] == "None" else 34), text)


def text_of(summary, line_length=None, positions=None, color=False):
    """The summary as text that ends with a line feed."""
    _, widths = _widths(summary, line_length, positions)
    bold, number = (_bold, lambda t: _color(t, 34)) if color else (str, str)
    lines = [bold(f'Model: "{summary.model.name}"')]
    lines += table_lines(summary.header, summary.rows, widths, summary.align, _paint if color else None)
    for caption, count, size in summary.totals:
        lines.append(f"{bold(f' {caption} params: ')}{number(f'{count:,}')} ({readable_size(size)})")
    return "\n".join(lines) + "\n"


def html_of(summary):
    """The summary as HTML, for notebooks."""
    cell = "padding:4px 10px;border:1px solid #8c959f;"
    sides = {"l": "left", "r": "right", "c": "center"}

    def row(cells, tag, style=""):
        fields = (
            f'<{tag} style="{cell}{style}text-align:{sides[a]};white-space:pre-wrap">{html.escape(c)}</{tag}>'
            for c, a in zip(cells, summary.align, strict=True)
        )
        return f"<tr>{''.join(fields)}</tr>"

    head = row(summary.header, "th", "background:#1b1f24;color:#fff;")
    body = "".join(row(r, "td") for r in summary.rows)
    totals = "<br>".join(
        f"{caption} params: <b>{count:,}</b> ({readable_size(size)})"
        for caption, count, size in summary.totals
    )
    return (
        f"<div><b>Model: {html.escape(summary.model.name)}</b>"
        f'<table style="border-collapse:collapse"><thead>{head}</thead><tbody>{body}</tbody></table>'
        f"<div>{totals}</div></div>"
    )


def print_summary(
    model, line_length=None, positions=None, print_fn=None, expand_nested=False, show_trainable=False,
    layer_range=None
):  # fmt: skip
    """Prints the table; see `Model.summary`."""
    summary = Summary(model, expand_nested, show_trainable, layer_range)
    if print_fn is not None:
        print_fn(text_of(summary, line_length, positions))
    elif _in_notebook():
        from IPython import display

        display.display(display.HTML(html_of(summary)))
    else:
        import os

        color = sys.stdout.isatty() and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"
        print(text_of(summary, line_length, positions, color), end="")


def _in_notebook():
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None and hasattr(ipython, "get_ipython") else None
    return type(shell).__name__ == "ZMQInteractiveShell"
