"""The look of pictures: sizes, colours, and where text stands in boxes."""

from rkeras.utils.plot import font, layout
from rkeras.utils.plot.model import Part
from rkeras.utils.plot.scene import Group, Scene, Shape, Text, rectangle

MARGIN = 12.0
HEADING, BODY = 16.0, 14.0  # Keras's sizes
PAD_X, PAD_Y = 12.0, 8.0
RADIUS = 6.0
INK, PAPER, RULE, FADED = "#1b1f24", "#ffffff", "#1b1f24", "#57606a"
EDGE = "#424a53"
ARROW, ARROW_HALF = 9.0, 4.2
FRAME_FILLS = ("#f4f6f8", "#e9edf1")


class _Row:
    """Fields beside one another; each a list of (text, bold, colour) and a background."""

    def __init__(self, fields, size):
        self.fields, self.size = fields, size
        self.widths = [sum(font.width(t, size, b) for t, b, _ in runs) + 2 * PAD_X for runs, _ in fields]
        self.height = (font.ASCENT + font.DESCENT) * size + 2 * PAD_Y
        self.width = sum(self.widths)


def _rows(box):
    """The rows of a box: heading, activation, fields."""
    if box.name is not None:
        heading = [(box.name, True, PAPER), (f" ({box.class_name})", False, "#d0d7de")]
    else:
        heading = [(box.class_name, True, PAPER)]
    rows = [_Row([(heading, INK)], HEADING)]
    if box.activation is not None:
        rows.append(_Row([(_captioned("Activation:", box.activation), PAPER)], BODY))
    if box.cells:
        fields = [
            ([(c.value, True, PAPER)], c.background)
            if c.background
            else (_captioned(c.caption, c.value), PAPER)
            for c in box.cells
        ]
        rows.append(_Row(fields, BODY))
    return rows


def _captioned(caption, value):
    return [(caption + " ", False, FADED), (value, True, INK)]


def draw(part, rankdir="TB", splines="ortho"):
    """The Scene of a model."""
    rows = {}
    root = _frame(part, rows)
    keys = set(rows)
    edges = [(a, b) for a, b in part.all_edges() if a in keys and b in keys]
    routes = layout.lay_out(root, edges, rankdir, splines)
    left = min([0.0, *(p[0] for r in routes for c in r.commands for p in c[1:])])
    right = max([root.width, *(p[0] for r in routes for c in r.commands for p in c[1:])])
    dx, dy = MARGIN - left, MARGIN
    scene = Scene(right - left + 2 * MARGIN, root.height + 2 * MARGIN)
    _draw_frames(root, scene, dx, dy, 0)
    names = {}
    _draw_boxes(root, rows, scene, dx, dy, names)
    for r in routes:
        commands = [(c[0], *((x + dx, y + dy) for x, y in c[1:])) for c in r.commands]
        scene.groups.append(_edge(commands, f"{names[r.source]} → {names[r.target]}"))
    return scene


def _frame(part, rows):
    children = []
    for child in part.children:
        if isinstance(child, Part):
            children.append(_frame(child, rows))
        else:
            found = _rows(child)
            rows[child.key] = (child, found)
            width = max(max(r.width for r in found), 60.0)
            children.append(layout.Node(child.key, width, sum(r.height for r in found)))
    title = part.model.name
    size = (font.width(title, BODY, True), BODY * 1.2 + 6.0)
    return layout.Frame(part.key, children, title, size)


def _draw_frames(frame, scene, dx, dy, depth):
    for child in frame.children:
        if isinstance(child, layout.Frame):
            x, y = child.x - child.width / 2 + dx, child.y - child.height / 2 + dy
            path = rectangle(x, y, child.width, child.height, (RADIUS * 1.5,) * 4)
            shape = Shape(path, FRAME_FILLS[depth % 2], "#8c959f", 1.1, (5.0, 3.5))
            title = Text(x + 9.0, y + BODY + 5.0, child.title, BODY, True, FADED)
            scene.groups.append(Group("cluster", child.title, [shape, title]))
            _draw_frames(child, scene, dx, dy, depth + 1)


def _draw_boxes(frame, rows, scene, dx, dy, names):
    for child in frame.children:
        if isinstance(child, layout.Frame):
            _draw_boxes(child, rows, scene, dx, dy, names)
            continue
        box, found = rows[child.key]
        names[child.key] = box.layer.name
        x, y = child.x - child.width / 2 + dx, child.y - child.height / 2 + dy
        scene.groups.append(Group("node", box.layer.name, _box(found, x, y, child.width, child.height)))


def _box(rows, x, y, width, height):
    items = [Shape(rectangle(x, y, width, height, (RADIUS,) * 4), PAPER)]
    top = y
    for r, row in enumerate(rows):
        spare = (width - row.width) / len(row.fields)
        left = x
        last = r == len(rows) - 1
        for i, ((runs, background), field) in enumerate(zip(row.fields, row.widths, strict=True)):
            field += spare
            if background != PAPER:
                corners = [0.0] * 4
                if r == 0:
                    corners[:2] = [RADIUS, RADIUS]
                if last:
                    corners[2] = RADIUS if i == len(row.fields) - 1 else 0.0
                    corners[3] = RADIUS if i == 0 else 0.0
                items.append(Shape(rectangle(left, top, field, row.height, corners), background))
            if i:
                items.append(Shape([("M", (left, top)), ("L", (left, top + row.height))], None, RULE, 1.0))
            at = left + (field - sum(font.width(t, row.size, b) for t, b, _ in runs)) / 2
            base = top + PAD_Y + font.ASCENT * row.size
            for text, bold, color in runs:
                items.append(Text(at, base, text, row.size, bold, color))
                at += font.width(text, row.size, bold)
            left += field
        if r > 1:
            items.append(Shape([("M", (x, top)), ("L", (x + width, top))], None, RULE, 1.0))
        top += row.height
    items.append(Shape(rectangle(x, y, width, height, (RADIUS,) * 4), None, RULE, 1.3))
    return items


def _edge(commands, title):
    """The line of an edge, ended where its arrowhead begins, and the arrowhead."""
    end = commands[-1][-1]
    before = commands[-1][-2] if len(commands[-1]) > 2 else commands[-2][-1]
    dx, dy = end[0] - before[0], end[1] - before[1]
    length = (dx * dx + dy * dy) ** 0.5 or 1.0
    dx, dy = dx / length, dy / length
    base = (end[0] - dx * ARROW, end[1] - dy * ARROW)
    head = [
        ("M", end),
        ("L", (base[0] - dy * ARROW_HALF, base[1] + dx * ARROW_HALF)),
        ("L", (base[0] + dy * ARROW_HALF, base[1] - dx * ARROW_HALF)),
        ("Z",),
    ]
    line = [*commands[:-1], (*commands[-1][:-1], (base[0] + dx, base[1] + dy))]
    return Group("edge", title, [Shape(line, None, EDGE, 1.5), Shape(head, EDGE)])
