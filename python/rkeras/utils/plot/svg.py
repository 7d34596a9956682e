"""Pictures as SVG."""

from xml.sax.saxutils import escape, quoteattr

from rkeras.utils.plot import font
from rkeras.utils.plot.scene import Text

FAMILY = "Helvetica, Arial, sans-serif"  # named at every text: simple programs do not inherit it


def write(scene):
    """The bytes of an SVG file."""
    w, h = _number(scene.width), _number(scene.height)
    out = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{w}pt" height="{h}pt" viewBox="0 0 {w} {h}">',
        f'<rect width="{w}" height="{h}" fill="#ffffff"/>',
    ]
    for i, group in enumerate(scene.groups):
        out.append(f'<g id="{group.kind}{i + 1}" class="{group.kind}"><title>{_text(group.title)}</title>')
        for item in group.items:
            out.append(_text_element(item) if isinstance(item, Text) else _path(item))
        out.append("</g>")
    out.append("</svg>\n")
    return "\n".join(out).encode("utf-8")


def _number(x):
    return f"{x:.2f}".rstrip("0").rstrip(".") if x else "0"


def _text(text):
    # What XML cannot hold at all becomes the replacement character.
    allowed = (c if c >= " " or c in "\t\n" else "\N{REPLACEMENT CHARACTER}" for c in text)
    return escape(
        "".join(c if not "\ud800" <= c <= "\udfff" else "\N{REPLACEMENT CHARACTER}" for c in allowed)
    )


def _text_element(t):
    length = font.width(t.text, t.size, t.bold)
    weight = ' font-weight="bold"' if t.bold else ""
    known = all(c is not None for c in font.fold(t.text))
    # The layout counts on these widths, whatever font the reader has.
    fitted = f' textLength="{_number(length)}" lengthAdjust="spacingAndGlyphs"' if known and t.text else ""
    return (
        f'<text font-family="{FAMILY}" x="{_number(t.x)}" y="{_number(t.y)}" font-size="{_number(t.size)}"{weight} fill="{t.color}"'
        f'{fitted} xml:space="preserve">{_text(t.text)}</text>'
    )


def _path(shape):
    d = "".join(c[0] + " ".join(f"{_number(x)},{_number(y)}" for x, y in c[1:]) for c in shape.commands)
    attributes = [f"d={quoteattr(d)}", f'fill="{shape.fill or "none"}"']
    if shape.stroke:
        attributes += [f'stroke="{shape.stroke}"', f'stroke-width="{_number(shape.width)}"']
        if shape.dash:
            attributes.append(f'stroke-dasharray="{" ".join(map(_number, shape.dash))}"')
    return f"<path {' '.join(attributes)}/>"
