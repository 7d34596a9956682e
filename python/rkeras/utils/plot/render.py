"""A Scene as a file of a format."""


def create(scene, format, dpi):
    """The bytes of a picture.

    Args:
        scene: what to draw.
        format: "png", "svg" or "pdf".
        dpi: dots per inch of a PNG.
    """
    if format == "png":
        from rkeras.utils.plot import png

        return png.write(scene, float(dpi))
    if format == "svg":
        from rkeras.utils.plot import svg

        return svg.write(scene)
    if format == "pdf":
        from rkeras.utils.plot import pdf

        return pdf.write(scene)
    raise ValueError(
        f"plot_model: expected a file name that ends in .png, .svg, .pdf or .dot. Received: {format!r}. Hint: with "
        "Graphviz installed (`pip install rkeras[plot]` and the system's graphviz package) its other formats work too."
    )
