"""Pictures of models: what is in them, that nothing overlaps, and that the files are what they say."""

import re
import struct
import sys
import types
import xml.etree.ElementTree as ET
import zlib
from itertools import pairwise

import numpy as np
import pytest
import rkeras as keras
from rkeras.utils import model_visualization
from rkeras.utils.plot import drawing, font, layout, raster
from rkeras.utils.plot import model as models

L = keras.layers
SVG = "{http://www.w3.org/2000/svg}"
ALL = {
    "show_shapes": True, "show_dtype": True, "show_layer_names": True,
    "show_layer_activations": True, "show_trainable": True,
}  # fmt: skip


@pytest.fixture(autouse=True)
def no_graphviz(monkeypatch):
    """These tests are about rkeras's own drawing."""
    monkeypatch.setitem(sys.modules, "pydot", None)
    monkeypatch.setitem(sys.modules, "pygraphviz", None)


def chain():
    return keras.Sequential(
        [
            keras.Input((784,)), L.Dense(64, activation="relu"), L.Dropout(0.2), L.Dense(10, activation="softmax"),
        ]
    )  # fmt: skip


def residual():
    x = inputs = keras.Input((8, 8, 3))
    for filters in (4, 8):
        y = L.Conv2D(filters, 3, padding="same")(x)
        y = L.ReLU()(L.BatchNormalization()(y))
        y = L.Conv2D(filters, 3, padding="same")(y)
        x = L.Add()([y, L.Conv2D(filters, 1)(x)])
    return keras.Model(inputs, L.Dense(10)(L.GlobalAveragePooling2D()(x)))


def two_by_two():
    a, b = keras.Input((8,), name="image"), keras.Input((3,), name="metadata")
    x = L.Concatenate()([L.Dense(4)(L.Dense(4)(a)), b])
    return keras.Model([a, b], [L.Dense(1, name="p")(x), L.Dense(2, name="q")(x)])


def nested():
    i = keras.Input((8,))
    inner = keras.Model(i, L.Dense(8)(i), name="inner")
    j, k = keras.Input((8,)), keras.Input((8,))
    middle = keras.Model([j, k], [L.Add()([inner(j), k]), L.Multiply()([j, k])], name="middle")
    tail = keras.Sequential([keras.Input((24,)), L.Dense(3), L.Dense(1)], name="tail")
    a, b = keras.Input((8,)), keras.Input((8,))
    p, q = middle([a, b])
    return keras.Model([a, b], tail(L.Concatenate()([p, q, a])))


def shared():
    d = L.Dense(4, name="twice")
    a = keras.Input((4,))
    return keras.Model(a, L.Dense(2)(d(L.ReLU()(d(d(a))))))


def dense_blocks():
    x = inputs = keras.Input((8,))
    xs = [x]
    for _ in range(5):
        x = L.Dense(8)(L.Concatenate()(xs) if len(xs) > 1 else x)
        xs.append(x)
    return keras.Model(inputs, L.Concatenate()(xs))


MODELS = [chain, residual, two_by_two, nested, shared, dense_blocks]


def scene_of(model, rankdir="TB", splines="ortho", expand=True):
    part = models.describe(model, ALL, expand)
    return part, drawing.draw(part, rankdir, splines)


def bounds(group):
    points = [p for item in group.items if hasattr(item, "commands") for c in item.commands for p in c[1:]]
    xs, ys = [p[0] for p in points], [p[1] for p in points]
    return min(xs), min(ys), max(xs), max(ys)


def overlap(a, b):
    return a[0] < b[2] - 0.01 and b[0] < a[2] - 0.01 and a[1] < b[3] - 0.01 and b[1] < a[3] - 0.01


def inside(a, b):
    return a[0] >= b[0] and a[1] >= b[1] and a[2] <= b[2] and a[3] <= b[3]


def ends(group):
    """Where an edge starts, and the point of its arrow."""
    line, head = group.items
    return line.commands[0][1], head.commands[0][1]


def at_border(p, box, slack=0.6):
    x, y = p
    across = box[0] - slack <= x <= box[2] + slack and min(abs(y - box[1]), abs(y - box[3])) < slack
    along = box[1] - slack <= y <= box[3] + slack and min(abs(x - box[0]), abs(x - box[2])) < slack
    return across or along


@pytest.mark.parametrize("rankdir", ["TB", "BT", "LR", "RL"])
@pytest.mark.parametrize("make", MODELS)
def test_boxes_do_not_overlap_and_edges_end_at_them(make, rankdir):
    part, scene = scene_of(make(), rankdir)
    nodes = {g.title: bounds(g) for g in scene.groups if g.kind == "node"}
    frames = [bounds(g) for g in scene.groups if g.kind == "cluster"]
    boxes = list(nodes.values())
    for i, a in enumerate(boxes):
        assert a[0] >= 0 and a[1] >= 0 and a[2] <= scene.width and a[3] <= scene.height
        assert not any(overlap(a, b) for b in boxes[i + 1 :])
        for frame in frames:
            assert inside(a, frame) or not overlap(a, frame)
    edges = [g for g in scene.groups if g.kind == "edge"]
    assert len(edges) == len(part.all_edges())
    for g in edges:
        source, target = g.title.split(" → ")
        start, end = ends(g)
        assert at_border(start, nodes[source], slack=0.7) and at_border(end, nodes[target], slack=0.7)
        forward = {"TB": (1, 1), "BT": (1, -1), "LR": (0, 1), "RL": (0, -1)}[rankdir]
        if make is not shared:  # nothing leads back in the others
            assert (end[forward[0]] - start[forward[0]]) * forward[1] > 0


@pytest.mark.parametrize("make", MODELS)
def test_right_angled_edges_run_around_boxes(make):
    _, scene = scene_of(make())
    nodes = {g.title: bounds(g) for g in scene.groups if g.kind == "node"}
    for g in scene.groups:
        if g.kind != "edge":
            continue
        points = [c[-1] for c in g.items[0].commands]
        for (x0, y0), (x1, y1) in pairwise(points):
            piece = (min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1))
            for name, box in nodes.items():
                if name not in g.title.split(" → "):
                    assert not overlap(piece, (box[0] + 1, box[1] + 1, box[2] - 1, box[3] - 1)), (
                        g.title,
                        name,
                    )


def test_chains_stand_straight():
    _, scene = scene_of(chain())
    for g in scene.groups:
        if g.kind == "edge":
            (x0, _), (x1, _) = ends(g)
            assert x0 == pytest.approx(x1)


def texts(svg):
    return ["".join(t.itertext()) for t in ET.fromstring(svg).iter(SVG + "text")]


@pytest.mark.parametrize("splines", ["ortho", "polyline", "line", "spline", "curved"])
def test_svg_says_everything(tmp_path, splines):
    model = two_by_two()
    model.get_layer("p").trainable = False
    path = tmp_path / "model.svg"
    keras.utils.plot_model(model, path, splines=splines, **ALL)
    found = texts(path.read_bytes())
    for layer in model.layers:
        assert layer.name in found
        assert f" ({type(layer).__name__})" in found
    assert {"(None, 3)", "[(None, 4), (None, 3)]", "(None, 7)", "float32", "linear"} <= set(found)
    assert found.count("Trainable") == 3 and found.count("Non-trainable") == 1
    assert found.count("Input shape: ") == 5 and found.count("Output shape: ") == 7


def test_what_is_not_asked_for_is_not_there(tmp_path):
    path = tmp_path / "model.svg"
    keras.utils.plot_model(chain(), path)
    assert texts(path.read_bytes()) == ["Dense", "Dropout", "Dense"]


def test_nested_models_are_boxes_or_frames(tmp_path):
    model, path = nested(), tmp_path / "model.svg"
    keras.utils.plot_model(model, path, show_layer_names=True)
    found = texts(path.read_bytes())
    assert "middle" in found and " (Functional)" in found and " (Sequential)" in found
    keras.utils.plot_model(model, path, show_layer_names=True, expand_nested=True)
    found = texts(path.read_bytes())
    assert {"middle", "inner", "tail"} <= set(found) and " (Functional)" not in found
    classes = [g.get("class") for g in ET.fromstring(path.read_bytes()).iter(SVG + "g")]
    assert classes.count("cluster") == 3 and classes.count("node") == 11


def test_svg_escapes_names(tmp_path):
    class A_(L.Layer):
        def call(self, x):
            return x

    model = keras.Sequential([keras.Input((2,)), A_(name='<a & "b">'), A_(name="größe 模型")])
    path = tmp_path / "model.svg"
    keras.utils.plot_model(model, path, show_layer_names=True)
    assert {'<a & "b">', "größe 模型"} <= set(texts(path.read_bytes()))
    for name in ("model.png", "model.pdf", "model.dot"):
        keras.utils.plot_model(model, tmp_path / name, show_layer_names=True)
    assert "&lt;a &amp; " in (tmp_path / "model.dot").read_text("utf-8")


def decode(data):
    """(dots per metre, pixels) of a PNG file; the checks of its sums with it."""
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    at, chunks = 8, {}
    while at < len(data):
        (length,), kind = struct.unpack(">I", data[at : at + 4]), data[at + 4 : at + 8]
        body = data[at + 8 : at + 8 + length]
        assert zlib.crc32(kind + body) == struct.unpack(">I", data[at + 8 + length : at + 12 + length])[0]
        chunks[kind] = body
        at += 12 + length
    width, height, depth, color, *_ = struct.unpack(">IIBBBBB", chunks[b"IHDR"])
    assert (depth, color) == (8, 2)
    rows = np.frombuffer(zlib.decompress(chunks[b"IDAT"]), np.uint8).reshape(height, 1 + 3 * width)
    assert not rows[:, 0].any()
    return struct.unpack(">I", chunks[b"pHYs"][:4])[0], rows[:, 1:].reshape(height, width, 3)


@pytest.mark.parametrize("dpi", [96, 200])
def test_png_has_the_size_and_the_ink(tmp_path, dpi):
    model, path = chain(), tmp_path / "model.png"
    keras.utils.plot_model(model, path, show_shapes=True, dpi=dpi)
    per_metre, pixels = decode(path.read_bytes())
    assert per_metre == round(dpi / 0.0254)
    part = models.describe(model, {**dict.fromkeys(ALL, False), "show_shapes": True}, False)
    scene = drawing.draw(part)
    scale = dpi / 72
    assert pixels.shape == (int(np.ceil(scene.height * scale)), int(np.ceil(scene.width * scale)), 3)
    assert (pixels[:5] == 255).all() and (pixels[:, :5] == 255).all()
    heading = (27, 31, 36)
    for g in scene.groups:
        if g.kind == "node":
            x0, y0, _, _ = bounds(g)
            assert tuple(pixels[int((y0 + 14) * scale), int((x0 + 4) * scale)]) == heading


def test_pdf_has_a_page_with_the_text(tmp_path):
    path = tmp_path / "model.pdf"
    keras.utils.plot_model(chain(), path, show_shapes=True, show_layer_names=True)
    data = path.read_bytes()
    assert data.startswith(b"%PDF-1.") and data.endswith(b"%%EOF\n")
    start = int(re.search(rb"startxref\n(\d+)", data).group(1))
    places = re.findall(rb"(\d{10}) \d{5} n", data[start:])
    for i, place in enumerate(places):
        assert data[int(place) :].startswith(b"%d 0 obj" % (i + 1))
    length = int(re.search(rb"/Length (\d+)", data).group(1))
    begin = data.index(b"stream\n") + 7
    content = zlib.decompress(data[begin : begin + length]).decode("ascii")
    shown = [bytes.fromhex(h).decode("cp1252") for h in re.findall(r"<([0-9a-f]+)> Tj", content)]
    assert {"dense", " (Dense)", "(None, 784)", "(None, 64)"} <= set(shown)


def test_dot_text(tmp_path):
    path = tmp_path / "model.dot"
    keras.utils.plot_model(
        nested(), path, show_shapes=True, show_layer_names=True, expand_nested=True, rankdir="LR"
    )
    text = path.read_text("utf-8")
    assert text.startswith("digraph G {") and "rankdir=LR;" in text and text.count("subgraph cluster_") == 3
    assert text.count(" -> ") == 13 and text.count("<table ") == 11
    assert "Input shape: <b>[(None, 8), (None, 8)]</b>" in text
    assert text.count("{") == text.count("}") and "label=middle" in text


def test_model_to_dot_is_like_pydot():
    graph = keras.utils.model_to_dot(chain(), show_shapes=True, dpi=72)
    nodes, edges = graph.get_nodes(), graph.get_edges()
    assert [len(nodes), len(edges)] == [3, 2]
    assert edges[0].get_source() == nodes[0].get_name() and edges[0].get_destination() == nodes[1].get_name()
    assert "(None, 784)" in nodes[0].get_label() and "Dense" in graph.to_string()
    assert graph.create(format="png").startswith(b"\x89PNG") and graph.create_svg().startswith(b"<?xml")
    cluster = keras.utils.model_to_dot(chain(), subgraph=True)
    assert cluster.to_string().startswith("subgraph cluster_") and cluster.get("style") == "dashed"


def test_subclassed_models_are_one_box(tmp_path):
    class Mine(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = L.Dense(2)

        def call(self, x):
            return self.dense(x)

    model = Mine()
    with pytest.raises(ValueError, match="built"):
        keras.utils.plot_model(model, tmp_path / "a.png")
    model(np.zeros((1, 3), "float32"))
    keras.utils.plot_model(model, tmp_path / "a.svg", show_shapes=True)
    assert texts((tmp_path / "a.svg").read_bytes()) == ["Mine", "Input shape: ", "?", "Output shape: ", "?"]


@pytest.mark.parametrize(
    "change", [{"rankdir": "XY"}, {"splines": "wild"}, {"dpi": 0}, {"layer_range": ["a", "b"]}, {"colour": 1}]
)
def test_wrong_arguments(tmp_path, change):
    with pytest.raises(ValueError, match="Received"):
        keras.utils.plot_model(chain(), tmp_path / "a.png", **change)


def test_unknown_formats_say_what_would_help(tmp_path):
    with pytest.raises(ValueError, match="Graphviz"):
        keras.utils.plot_model(chain(), tmp_path / "model.bmp")
    assert not (tmp_path / "model.bmp").exists()


def test_a_file_without_ending_is_png(tmp_path):
    keras.utils.plot_model(chain(), str(tmp_path / "picture"))
    assert (tmp_path / "picture").read_bytes().startswith(b"\x89PNG")


def test_graphviz_is_used_where_it_is(tmp_path, monkeypatch):
    from rkeras.utils.plot import dot

    class Dot(dot.Dot):
        def __init__(self, graph_type="digraph"):
            super().__init__()

        def create(self, prog="dot", format="png"):
            if broken:
                raise FileNotFoundError('"dot" not found in path.')
            return f"{format} by graphviz".encode()

    fake = types.ModuleType("pydot")
    fake.Dot, fake.Node, fake.Edge, fake.Cluster = Dot, dot.Node, dot.Edge, dot.Cluster
    monkeypatch.setitem(sys.modules, "pydot", fake)
    broken = False
    keras.utils.plot_model(chain(), tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes() == b"png by graphviz"
    assert type(keras.utils.model_to_dot(chain())) is Dot
    broken = True  # pydot without the program
    keras.utils.plot_model(chain(), tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


def test_pygraphviz_is_used_where_pydot_is_not(tmp_path, monkeypatch):
    class AGraph:
        def __init__(self, string):
            assert string.startswith("digraph")

        def draw(self, format, prog):
            if broken:
                raise ValueError("Program dot not found in path.")
            return f"{format} by {prog}".encode()

    fake = types.ModuleType("pygraphviz")
    fake.AGraph = AGraph
    monkeypatch.setitem(sys.modules, "pygraphviz", fake)
    broken = False
    keras.utils.plot_model(chain(), tmp_path / "a.jpg")
    assert (tmp_path / "a.jpg").read_bytes() == b"jpg by dot"
    broken = True
    keras.utils.plot_model(chain(), tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


def test_notebooks_get_an_image(tmp_path, monkeypatch):
    ipython = types.ModuleType("IPython")
    ipython.display = types.SimpleNamespace(
        Image=lambda filename: ("image", filename), SVG=lambda filename: ("svg", filename)
    )
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    path = str(tmp_path / "a.png")
    assert keras.utils.plot_model(chain(), path) == ("image", path)
    assert keras.utils.plot_model(chain(), str(tmp_path / "a.pdf")) is None
    monkeypatch.setitem(sys.modules, "IPython", None)
    assert keras.utils.plot_model(chain(), path) is None


def test_coverage_is_exact():
    def of(points, w, h):
        return raster.coverage(raster._segments([points]), w, h)

    square = of([(0.5, 0.25), (2.5, 0.25), (2.5, 1.75), (0.5, 1.75)], 4, 3)
    expected = np.outer([0.75, 0.75, 0], [0.5, 1, 0.5, 0])
    np.testing.assert_allclose(square, expected, atol=1e-6)
    triangle = of([(0, 0), (4, 0), (0, 4)], 4, 4)
    assert triangle.sum() == pytest.approx(8.0) and triangle[0, 3] == pytest.approx(0.5)
    # What sticks out is cut, what lies outside leaves no trace.
    assert of([(-5, -5), (2, -5), (2, 9), (-5, 9)], 4, 3).sum() == pytest.approx(6.0)
    assert of([(6, 0), (9, 0), (9, 2), (6, 2)], 4, 3).sum() == 0
    # A hole runs the other way.
    ring = raster._segments([[(0, 0), (4, 0), (4, 4), (0, 4)], [(1, 1), (1, 3), (3, 3), (3, 1)]])
    assert raster.coverage(ring, 4, 4).sum() == pytest.approx(12.0)


def test_strokes_have_their_width():
    polygon = raster.outline([(1.0, 1.0), (9.0, 1.0), (9.0, 9.0)], 1.0)
    area = raster.coverage(raster._segments(polygon), 12, 12).sum()
    assert area == pytest.approx(16.0, rel=0.05)
    parts = raster.dashed([(0.0, 0.0), (10.0, 0.0)], (3.0, 2.0))
    assert [(a[0], b[0]) for a, b in parts] == [(0.0, 3.0), (5.0, 8.0)]


def test_widths_are_helveticas():
    # Advance widths of Adobe's metrics, in thousandths.
    for text, bold, expected in [("Dense", False, 2890), ("(None, 28)", True, 4834), ("iW", False, 1166)]:
        assert font.width(text, 1000, bold) == pytest.approx(expected, abs=5)
    assert font.fold("é×模") == ["e", "×", None]


def test_every_node_is_drawn_where_layout_put_it():
    nodes = [layout.Node(i, 40.0, 20.0) for i in range(4)]
    root = layout.Frame("root", nodes)
    layout.lay_out(root, [(0, 1), (0, 2), (1, 3), (2, 3)])
    assert nodes[0].y < nodes[1].y == nodes[2].y < nodes[3].y
    assert nodes[0].x == pytest.approx((nodes[1].x + nodes[2].x) / 2)
    routes = layout.lay_out(root, [(0, 1), (0, 2), (1, 3), (2, 3), (3, 0)])
    assert nodes[0].y < nodes[1].y == nodes[2].y < nodes[3].y
    back = routes[-1].commands  # leads up
    assert back[0][1][1] > back[-1][-1][1]
    assert model_visualization.plot_model is keras.utils.plot_model
