"""Pictures of models: `plot_model`, `model_to_dot`."""

import os

from rkeras.utils.plot import dot as own_dot
from rkeras.utils.plot import drawing
from rkeras.utils.plot import model as models


def model_to_dot(
    model,
    show_shapes=False,
    show_dtype=False,
    show_layer_names=True,
    rankdir="TB",
    expand_nested=False,
    dpi=200,
    subgraph=False,
    show_layer_activations=False,
    show_trainable=False,
    splines="ortho",
    **kwargs,
):
    """The graph of a model in the DOT language: a `pydot.Dot`, or without pydot an object with its main methods.

    Args:
        model: a built model.
        show_shapes: whether to show input and output shapes.
        show_dtype: whether to show output dtypes.
        show_layer_names: whether to show the names of layers, not only their classes.
        rankdir: which way the arrows go: "TB" down, "BT" up, "LR" to the right, "RL" to the left.
        expand_nested: whether to show the layers of models in the model.
        dpi: dots per inch of pictures of it.
        subgraph: whether to return a cluster, to be put into another graph.
        show_layer_activations: whether to show activations.
        show_trainable: whether to show which layers with weights are trained.
        splines: how edges run: "ortho", "polyline", "line", "spline" or "curved".
        **kwargs: none others are allowed.

    Returns:
        A `pydot.Dot` (`pydot.Cluster` with `subgraph`), or the like of it.

    Raises:
        ValueError: for a model that is not built, and for unknown arguments.

    Example:
        >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3), keras.layers.Dense(2)])
        >>> graph = keras.utils.model_to_dot(model)
        >>> len(graph.get_edges())
        1
    """
    options = _options(show_shapes, show_dtype, show_layer_names, show_layer_activations, show_trainable)
    _check(model, "model_to_dot", rankdir, splines, dpi, kwargs)
    part = models.describe(model, options, expand_nested)
    pydot = _pydot()
    graph = own_dot.build(pydot or own_dot, part, rankdir, dpi, splines, subgraph)
    if pydot is None:
        graph._picture = lambda: drawing.draw(part, rankdir, splines)
    return graph


def plot_model(
    model,
    to_file="model.png",
    show_shapes=False,
    show_dtype=False,
    show_layer_names=False,
    rankdir="TB",
    expand_nested=False,
    dpi=200,
    show_layer_activations=False,
    show_trainable=False,
    splines="ortho",
    **kwargs,
):
    """Draws a model as boxes and arrows into a file.

    Graphviz draws it if it is installed, together with pydot or pygraphviz (`pip install rkeras[plot]`); else
    rkeras does, with a layered layout of its own.

    Args:
        model: a built model.
        to_file: the file's name; its ending says the format: .png, .svg, .pdf, .dot (with Graphviz any of its).
        show_shapes: whether to show input and output shapes.
        show_dtype: whether to show output dtypes.
        show_layer_names: whether to show the names of layers, not only their classes.
        rankdir: which way the arrows go: "TB" down, "BT" up, "LR" to the right, "RL" to the left.
        expand_nested: whether to show the layers of models in the model.
        dpi: dots per inch of a PNG picture.
        show_layer_activations: whether to show activations.
        show_trainable: whether to show which layers with weights are trained.
        splines: how edges run: "ortho", "polyline", "line", "spline" or "curved".
        **kwargs: none others are allowed.

    Returns:
        An IPython image of the file where IPython is installed (a notebook shows it), else None.

    Raises:
        ValueError: for a model that is not built, for unknown arguments and formats.

    Example:
        >>> import pathlib, tempfile
        >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
        >>> path = pathlib.Path(tempfile.mkdtemp(), "model.svg")
        >>> _ = keras.utils.plot_model(model, path, show_shapes=True)
        >>> "(None, 4)" in path.read_text("utf-8")
        True
    """
    options = _options(show_shapes, show_dtype, show_layer_names, show_layer_activations, show_trainable)
    _check(model, "plot_model", rankdir, splines, dpi, kwargs)
    to_file = os.fspath(to_file) if isinstance(to_file, os.PathLike) else str(to_file)
    format = os.path.splitext(to_file)[1][1:].lower() or "png"
    part = models.describe(model, options, expand_nested)
    data = _with_graphviz(part, format, rankdir, dpi, splines)
    if data is None:
        if format in ("dot", "gv"):
            data = own_dot.build(own_dot, part, rankdir, dpi, splines, False).to_string().encode("utf-8")
        else:
            from rkeras.utils.plot import render

            data = render.create(drawing.draw(part, rankdir, splines), format, dpi)
    with open(to_file, "wb") as f:
        f.write(data)
    return _image(to_file, format)


def _options(shapes, dtype, names, activations, trainable):
    return {
        "show_shapes": shapes, "show_dtype": dtype, "show_layer_names": names,
        "show_layer_activations": activations, "show_trainable": trainable,
    }  # fmt: skip


def _check(model, who, rankdir, splines, dpi, rest):
    if not getattr(model, "built", False):
        raise ValueError(
            f"{who}: expected a built model. Received: {model!r}, which is not built. Hint: call build() or call "
            "the model on a batch of data first."
        )
    if rest.pop("layer_range", None) is not None:
        raise ValueError(f"{who}: expected no layer_range, which Keras no longer has. Received: one")
    if rest:
        raise ValueError(f"{who}: expected known arguments. Received: {sorted(rest)}")
    if rankdir not in ("TB", "BT", "LR", "RL"):
        raise ValueError(f'{who}: expected rankdir "TB", "BT", "LR" or "RL". Received: {rankdir!r}')
    if splines not in ("ortho", "polyline", "line", "spline", "curved", "true", "false"):
        raise ValueError(
            f'{who}: expected splines "ortho", "polyline", "line", "spline" or "curved". Received: {splines!r}'
        )
    if isinstance(dpi, bool) or not isinstance(dpi, (int, float)) or not 1 <= dpi <= 2400:
        raise ValueError(f"{who}: expected dpi from 1 to 2400. Received: {dpi!r}")


def _pydot():
    try:
        import pydot
    except ImportError:
        return None
    return pydot


def _with_graphviz(part, format, rankdir, dpi, splines):
    """The picture that Graphviz draws; None if it is not installed."""
    if format in ("dot", "gv"):
        return None  # the text needs no layout
    pydot = _pydot()
    if pydot is not None:
        try:
            return own_dot.build(pydot, part, rankdir, dpi, splines, False).create(format=format)
        except OSError:
            pass  # pydot without the program
    try:
        import pygraphviz
    except ImportError:
        return None
    text = own_dot.build(own_dot, part, rankdir, dpi, splines, False).to_string()
    try:
        return pygraphviz.AGraph(string=text).draw(format=format, prog="dot")
    except (OSError, ValueError):
        return None


def _image(path, format):
    """What a notebook shows."""
    try:
        from IPython import display
    except ImportError:
        return None
    if format == "svg":
        return display.SVG(filename=path)
    if format in ("png", "jpg", "jpeg", "gif"):
        return display.Image(filename=path)
    return None
