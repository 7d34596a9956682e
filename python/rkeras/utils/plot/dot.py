"""Models in the DOT language, and the few classes of pydot that this needs where pydot is absent."""

from xml.sax.saxutils import escape

from rkeras.utils.plot.model import Part


class _Attributes:
    def __init__(self, **attributes):
        self.obj_dict = {"attributes": {k: v for k, v in attributes.items() if v is not None}}

    def set(self, name, value):
        """Sets an attribute."""
        self.obj_dict["attributes"][name] = value

    def get(self, name):
        """An attribute, None if it is not set."""
        return self.obj_dict["attributes"].get(name)

    def get_attributes(self):
        """All attributes."""
        return self.obj_dict["attributes"]

    def _list(self):
        return ", ".join(f"{k}={_quoted(v)}" for k, v in self.get_attributes().items())


def _quoted(value):
    text = str(value)
    if text.startswith("<") and text.endswith(">"):
        return text  # an HTML-like label
    if text.isidentifier() or text.replace(".", "", 1).lstrip("-").isdigit():
        return text
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


class Node(_Attributes):
    """A node."""

    def __init__(self, name, **attributes):
        super().__init__(**attributes)
        self._name = str(name)

    def get_name(self):
        """Its name."""
        return self._name

    def get_label(self):
        """Its label."""
        return self.get("label")

    def to_string(self):
        """Its DOT text."""
        return f"{self._name} [{self._list()}];" if self.get_attributes() else f"{self._name};"


class Edge(_Attributes):
    """An edge."""

    def __init__(self, source, target, **attributes):
        super().__init__(**attributes)
        self._ends = (str(source), str(target))

    def get_source(self):
        """The name of the node that it leaves."""
        return self._ends[0]

    def get_destination(self):
        """The name of the node that it enters."""
        return self._ends[1]

    def to_string(self):
        """Its DOT text."""
        attributes = f" [{self._list()}]" if self.get_attributes() else ""
        return f"{self._ends[0]} -> {self._ends[1]}{attributes};"


class Dot(_Attributes):
    """A graph; draws itself without Graphviz.

    `to_string` gives the DOT text, `create` and `write` pictures.
    """

    _head = "digraph"

    def __init__(self, graph_name="G", **attributes):
        super().__init__(**attributes)
        self._graph_name = graph_name
        self._nodes, self._edges, self._subgraphs = [], [], []
        self._node_defaults = {}
        self._picture = None  # () -> Scene

    def set_node_defaults(self, **attributes):
        """Attributes of all nodes."""
        self._node_defaults.update(attributes)

    def add_node(self, node):
        """Adds a node."""
        self._nodes.append(node)

    def add_edge(self, edge):
        """Adds an edge."""
        self._edges.append(edge)

    def add_subgraph(self, subgraph):
        """Adds a cluster."""
        self._subgraphs.append(subgraph)

    def get_name(self):
        """The name of the graph."""
        return self._graph_name

    def get_nodes(self):
        """The nodes, without those of clusters."""
        return list(self._nodes)

    def get_node(self, name):
        """The nodes of that name."""
        return [n for n in self._nodes if n.get_name() == str(name)]

    def get_edges(self):
        """The edges, without those of clusters."""
        return list(self._edges)

    def get_edge(self, source, target):
        """The edges between two nodes."""
        return [e for e in self._edges if e._ends == (str(source), str(target))]

    def get_subgraphs(self):
        """The clusters."""
        return list(self._subgraphs)

    get_node_list, get_edge_list, get_subgraph_list = get_nodes, get_edges, get_subgraphs

    def to_string(self, indent=""):
        """The DOT text."""
        inner = indent + "  "
        out = [f"{indent}{self._head} {_quoted(self._graph_name)} {{"]
        out += [f"{inner}{k}={_quoted(v)};" for k, v in self.get_attributes().items()]
        if self._node_defaults:
            defaults = ", ".join(f"{k}={_quoted(v)}" for k, v in self._node_defaults.items())
            out.append(f"{inner}node [{defaults}];")
        out += [s.to_string(inner).rstrip("\n") for s in self._subgraphs]
        out += [inner + n.to_string() for n in self._nodes]
        out += [inner + e.to_string() for e in self._edges]
        return "\n".join([*out, indent + "}"]) + "\n"

    __str__ = to_string

    def create(self, prog="dot", format="png"):
        """The bytes of a picture: "png", "svg", "pdf" or "dot"."""
        if format in ("dot", "raw"):
            return self.to_string().encode("utf-8")
        from rkeras.utils.plot import render

        return render.create(self._picture(), format, self.get("dpi") or 96)

    def write(self, path, prog="dot", format="raw"):
        """Writes a picture, or the DOT text, to a file."""
        data = self.create(prog, format)
        with open(path, "wb") as f:
            f.write(data)
        return True

    def create_png(self):
        """The bytes of a PNG picture."""
        return self.create(format="png")

    def create_svg(self):
        """The bytes of an SVG picture."""
        return self.create(format="svg")

    def write_png(self, path):
        """Writes a PNG picture."""
        return self.write(path, format="png")

    def write_svg(self, path):
        """Writes an SVG picture."""
        return self.write(path, format="svg")

    def write_pdf(self, path):
        """Writes a PDF picture."""
        return self.write(path, format="pdf")

    def _repr_svg_(self):
        return self.create(format="svg").decode("utf-8")


class Cluster(Dot):
    """A graph in a graph, drawn in a frame."""

    _head = "subgraph"

    def __init__(self, graph_name="subG", **attributes):
        super().__init__("cluster_" + graph_name, **attributes)


def build(kit, part, rankdir, dpi, splines, subgraph):
    """The graph of a model.

    Args:
        kit: the pydot module, or this one.
        part: see `model.describe`.
        subgraph: whether to make a Cluster.
    """
    if subgraph:
        # Names of clusters are identifiers; the title is the label.
        graph = kit.Cluster(graph_name=f"m{part.key[1]}", style="dashed")
        graph.set("label", _plain(part.model.name))
        graph.set("labeljust", "l")
    else:
        graph = kit.Dot(graph_type="digraph") if kit.__name__ == "pydot" else kit.Dot()
        for name, value in (("rankdir", rankdir), ("concentrate", True), ("dpi", dpi), ("splines", splines)):
            graph.set(name, value)
        graph.set_node_defaults(shape="record")
    for child in part.children:
        if isinstance(child, Part):
            graph.add_subgraph(build(kit, child, rankdir, dpi, splines, subgraph=True))
        else:
            node = kit.Node(str(child.key), label=_label(child))
            for name, value in (("fontname", "Helvetica"), ("border", "0"), ("margin", "0")):
                node.set(name, value)
            graph.add_node(node)
    for a, b in part.edges:
        graph.add_edge(kit.Edge(str(a), str(b), penwidth="2"))
    return graph


def _plain(text):
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"' if not text.isidentifier() else text


def _label(box):
    """The box as an HTML-like table: heading on black, fields on white."""
    span = max(len(box.cells), 1)

    def cell(body, size, background, color=None, columns=1):
        wide = f' colspan="{columns}"' if columns > 1 else ""
        ink = f' color="{color}"' if color else ""
        return f'<td{wide} bgcolor="{background}"><font point-size="{size}"{ink}>{body}</font></td>'

    heading = f"<b>{escape(box.class_name)}</b>"
    if box.name is not None:
        heading = f"<b>{escape(box.name)}</b> ({escape(box.class_name)})"
    rows = [cell(heading, 16, "black", "white", span)]
    if box.activation is not None:
        rows.append(cell(f"Activation: <b>{escape(box.activation)}</b>", 14, "white", columns=span))
    if box.cells:
        rows.append(
            "".join(
                cell(f"<b>{escape(c.value)}</b>", 14, c.background, "white")
                if c.background
                else cell(f"{escape(c.caption)} <b>{escape(c.value)}</b>", 14, "white")
                for c in box.cells
            )
        )
    body = "".join(f"<tr>{row}</tr>" for row in rows)
    return f'<<table border="0" cellborder="1" bgcolor="black" cellpadding="10">{body}</table>>'
