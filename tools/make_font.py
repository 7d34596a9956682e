"""Writes the glyph outlines that `plot_model` draws text with: python/rkeras/utils/plot/outlines.txt.

Usage: python tools/make_font.py REGULAR.ttf BOLD.ttf (needs fontTools)

The outlines in the repository are those of Liberation Sans 2.1.5, whose advance widths are Helvetica's: one layout
then suits PNG, SVG and PDF. They are under the SIL Open Font License (outlines.LICENSE); a Modified Version must not
bear the reserved name, so the file calls its styles "regular" and "bold". One line per glyph: code point, advance
width, contours with m(ove), l(ine), q(uadratic curve) and relative whole coordinates, 2048 to the em, y upwards.
"""

import sys
from pathlib import Path

from fontTools.pens.recordingPen import DecomposingRecordingPen
from fontTools.ttLib import TTFont

SIGNS = [0xB0, 0xB7, 0xD7, 0x2013, 0x2014, 0x2026, 0x2192, 0x2264, 0x2265, 0x221E]
CODES = [*range(0x20, 0x7F), *SIGNS]


def outline(glyphs, name):
    pen = DecomposingRecordingPen(glyphs)
    glyphs[name].draw(pen)
    at, parts = (0, 0), []

    def relative(points):
        nonlocal at
        out = []
        for x, y in points:
            out += [round(x) - at[0], round(y) - at[1]]
        at = (round(points[-1][0]), round(points[-1][1]))
        return " ".join(map(str, out))

    for command, points in pen.value:
        if command == "moveTo":
            parts.append("m" + relative(points))
        elif command == "lineTo":
            parts.append("l" + relative(points))
        elif command == "qCurveTo":
            # Between two control points lies an implied point of the curve.
            controls, end = points[:-1], points[-1]
            for i, control in enumerate(controls):
                nxt = controls[i + 1] if i + 1 < len(controls) else None
                stop = end if nxt is None else ((control[0] + nxt[0]) / 2, (control[1] + nxt[1]) / 2)
                parts.append("q" + relative([control, stop]))
    return "".join(parts)


def main(regular, bold):
    lines = [
        "# Glyph outlines derived from a font under the SIL Open Font License 1.1; see outlines.LICENSE.",
        "# Made by tools/make_font.py; the format is told there.",
    ]
    for style, path in (("regular", regular), ("bold", bold)):
        font = TTFont(path)
        glyphs, names = font.getGlyphSet(), font.getBestCmap()
        lines.append(f"= {style}")
        for code in CODES:
            name = names[code]
            lines.append(f"{code:x} {font['hmtx'][name][0]} {outline(glyphs, name)}".rstrip())
    folder = Path(__file__).parent.parent / "python/rkeras/utils/plot"
    (folder / "outlines.txt").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
