"""Pictures as PDF: vectors, and text in Helvetica, which every reader has."""

import zlib

from rkeras.utils.plot.font import fold
from rkeras.utils.plot.scene import Text

_LARGEST = 14400.0  # points: more needs a larger unit


def write(scene):
    """The bytes of a PDF file of one page."""
    unit = max(1.0, scene.width / _LARGEST, scene.height / _LARGEST)
    content = [f"{1 / unit:.6f} 0 0 {-1 / unit:.6f} 0 {scene.height / unit:.4f} cm"]
    for group in scene.groups:
        for item in group.items:
            content += _text(item) if isinstance(item, Text) else _shape(item)
    stream = zlib.compress("\n".join(content).encode("ascii"), 9)
    box = f"[0 0 {scene.width / unit:.3f} {scene.height / unit:.3f}]"
    fonts = " ".join(f"/F{i} {i + 4} 0 R" for i in (1, 2))
    larger = f" /UserUnit {unit:.6f}" if unit > 1 else ""
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        f"<< /Type /Page /Parent 2 0 R /MediaBox {box}{larger} /Contents 4 0 R "
        f"/Resources << /Font << {fonts} >> >> >>".encode(),
        b"<< /Length %d /Filter /FlateDecode >>\nstream\n%s\nendstream" % (len(stream), stream),
        *(
            b"<< /Type /Font /Subtype /Type1 /BaseFont /%s /Encoding /WinAnsiEncoding >>" % name
            for name in (b"Helvetica", b"Helvetica-Bold")
        ),
    ]
    out, places = bytearray(b"%PDF-1.6\n%\xe2\xe3\xcf\xd3\n"), []
    for i, body in enumerate(objects):
        places.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (i + 1, body)
    start = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    for place in places:
        out += b"%010d 00000 n \n" % place
    out += b"trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, start)
    return bytes(out)


def _color(color):
    return " ".join(f"{int(color[i : i + 2], 16) / 255:.4f}" for i in (1, 3, 5))


def _text(t):
    raw = bytearray()
    for letter, folded in zip(t.text, fold(t.text), strict=True):
        code = letter.encode("cp1252", "replace")
        if code == b"?" and folded:
            code = folded.encode("cp1252", "replace")
        raw += code
    # The picture is upside down for text, so its matrix turns it back.
    return [
        f"BT {_color(t.color)} rg /F{2 if t.bold else 1} {t.size:.2f} Tf 1 0 0 -1 {t.x:.3f} {t.y:.3f} Tm "
        f"<{raw.hex()}> Tj ET"
    ]


def _shape(shape):
    names = {"M": "m", "L": "l", "C": "c"}
    parts = []
    for c in shape.commands:
        if c[0] == "Z":
            parts.append("h")
        else:
            parts.append(" ".join(f"{x:.3f} {y:.3f}" for x, y in c[1:]) + " " + names[c[0]])
    out = []
    if shape.fill:
        out.append(f"{_color(shape.fill)} rg")
    if shape.stroke:
        dash = " ".join(f"{d:.2f}" for d in shape.dash or ())
        out.append(f"{_color(shape.stroke)} RG {shape.width:.3f} w [{dash}] 0 d")
    out += parts
    out.append("B" if shape.fill and shape.stroke else "f" if shape.fill else "S")
    return out
