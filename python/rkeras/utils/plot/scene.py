"""What a picture consists of, in points (1/72 inch), y downwards; the writers draw it."""

import math
from dataclasses import dataclass, field


@dataclass
class Shape:
    """A path [("M" | "L" | "C", points...), ("Z",)], filled or stroked or both."""

    commands: list
    fill: str | None = None
    stroke: str | None = None
    width: float = 1.0
    dash: tuple | None = None


@dataclass
class Text:
    """A line of text; `x` is its left end and `y` its baseline."""

    x: float
    y: float
    text: str
    size: float
    bold: bool = False
    color: str = "#000000"


@dataclass
class Group:
    """Shapes and texts that are one thing: a node, an edge, a cluster."""

    kind: str
    title: str
    items: list = field(default_factory=list)


@dataclass
class Scene:
    """A picture: a size and groups, drawn in order on white."""

    width: float
    height: float
    groups: list = field(default_factory=list)


K = 0.4477  # 1 - 4/3 tan(pi/8): a quarter of a circle as a cubic curve


def rectangle(x, y, width, height, corners=(0, 0, 0, 0)):
    """The path of a rectangle with rounded corners: top left, top right, bottom right, bottom left."""
    x1, y1 = x + width, y + height
    a, b, c, d = corners
    return [
        ("M", (x + a, y)),
        ("L", (x1 - b, y)),
        *([("C", (x1 - b * K, y), (x1, y + b * K), (x1, y + b))] if b else []),
        ("L", (x1, y1 - c)),
        *([("C", (x1, y1 - c * K), (x1 - c * K, y1), (x1 - c, y1))] if c else []),
        ("L", (x + d, y1)),
        *([("C", (x + d * K, y1), (x, y1 - d * K), (x, y1 - d))] if d else []),
        ("L", (x, y + a)),
        *([("C", (x, y + a * K), (x + a * K, y), (x + a, y))] if a else []),
        ("Z",),
    ]


def lines(commands):
    """The path as lists of points, curves cut into short straight pieces; closed ones end where they start."""
    found, at = [], None
    for c in commands:
        if c[0] == "M":
            found.append([c[1]])
        elif c[0] == "L":
            found[-1].append(c[1])
        elif c[0] == "C":
            (ax, ay), (bx, by), (ex, ey) = c[1:]
            steps = int(min(max(6, math.dist(at, (ex, ey)) / 2), 64))
            for i in range(1, steps + 1):
                t = i / steps
                p, q, r, s = (1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t * t * (1 - t), t**3
                found[-1].append((p * at[0] + q * ax + r * bx + s * ex, p * at[1] + q * ay + r * by + s * ey))
        else:
            found[-1].append(found[-1][0])
        at = found[-1][-1]
    return found
