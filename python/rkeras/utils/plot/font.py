"""The widths and outlines of the letters that pictures are labelled with."""

import functools
import unicodedata
from pathlib import Path

EM = 2048
ASCENT, DESCENT = 0.905, 0.212  # of the size, above and below the baseline

_SUBSTITUTES = {"‘": "'", "’": "'", "“": '"', "”": '"', "−": "-", " ": " "}


@functools.cache
def _styles():
    """{"regular" | "bold": {letter: (advance, contours as text)}}."""
    styles, glyphs = {}, {}
    for line in (Path(__file__).parent / "outlines.txt").read_text("utf-8").splitlines():
        if line.startswith("="):
            glyphs = styles.setdefault(line[1:].strip(), {})
        elif line and not line.startswith("#"):
            code, advance, *path = line.split(" ", 2)
            glyphs[chr(int(code, 16))] = (int(advance), path[0] if path else "")
    return styles


def fold(text):
    """The text in letters that there are outlines of; accents are dropped, others become None."""
    known, out = _styles()["regular"], []
    for letter in text:
        letter = _SUBSTITUTES.get(letter, letter)
        if letter not in known:
            base = unicodedata.normalize("NFKD", letter)[0]
            letter = base if base in known else None
        out.append(letter)
    return out


def width(text, size, bold=False):
    """How wide a text is."""
    glyphs = _styles()["bold" if bold else "regular"]
    return sum(glyphs[c][0] if c else EM for c in fold(text)) * size / EM


@functools.lru_cache(maxsize=512)
def contours(letter, bold=False):
    """(advance, contours): each a list of points, closed, curves cut into straight pieces; in 1/2048 em."""
    if letter is None:  # a box for a letter without outline
        m = 200
        outer = [(m, 0), (EM - m, 0), (EM - m, 1400), (m, 1400)]
        inner = [(m + 120, 120), (m + 120, 1280), (EM - m - 120, 1280), (EM - m - 120, 120)]
        return EM, [outer, inner]
    advance, path = _styles()["bold" if bold else "regular"][letter]
    found, x, y = [], 0, 0
    for piece in _pieces(path):
        kind, numbers = piece[0], [int(n) for n in piece[1:].split()]
        if kind == "m":
            x, y = x + numbers[0], y + numbers[1]
            found.append([(x, y)])
        elif kind == "l":
            x, y = x + numbers[0], y + numbers[1]
            found[-1].append((x, y))
        else:
            cx, cy, ex, ey = x + numbers[0], y + numbers[1], 0, 0
            ex, ey = x + numbers[2], y + numbers[3]
            for i in range(1, 5):
                t = i / 4
                a, b, c = (1 - t) ** 2, 2 * t * (1 - t), t * t
                found[-1].append((a * x + b * cx + c * ex, a * y + b * cy + c * ey))
            x, y = ex, ey
    return advance, found


def _pieces(path):
    start = 0
    for i in range(1, len(path) + 1):
        if i == len(path) or path[i] in "mlq":
            if path[start:i]:
                yield path[start:i]
            start = i
