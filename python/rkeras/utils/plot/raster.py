"""Pictures as pixels: exact coverage of every pixel by polygons, then paint over paint.

A polygon's edges are cut at pixel borders; every piece adds its signed area to its pixel and its height to all
pixels on its right (the accumulation buffer of font renderers), so a sum along rows gives the coverage.
"""

import math
from itertools import pairwise

import numpy as np

from rkeras.utils.plot import font
from rkeras.utils.plot.scene import Text, lines


def coverage(segments, width, height):
    """How much of each pixel polygons cover.

    Args:
        segments: array of shape (n, 4): x0, y0, x1, y1 of all edges of closed polygons.
        width, height: of the result.

    Returns:
        float32 of shape (height, width) in [0, 1]; overlapping parts of one direction count once.
    """
    s = np.asarray(segments, np.float64).reshape(-1, 4)
    s = s[s[:, 1] != s[:, 3]]
    down = s[:, 3] > s[:, 1]
    sign = np.where(down, 1.0, -1.0)
    s = np.where(down[:, None], s, s[:, [2, 3, 0, 1]])
    s, sign = _cut(s, sign, 1, height)
    # What lies left of the picture still covers it, what lies right does not.
    s[:, [0, 2]] = np.clip(s[:, [0, 2]], 0.0, width)
    flip = s[:, 2] < s[:, 0]
    s = np.where(flip[:, None], s[:, [2, 1, 0, 3]], s)
    s, sign = _cut(s, sign, 0, width)
    dy = (s[:, 3] - s[:, 1]) * sign
    row = np.clip(np.floor((s[:, 1] + s[:, 3]) / 2), 0, height - 1).astype(np.int64)
    middle = (s[:, 0] + s[:, 2]) / 2
    column = np.minimum(np.floor(middle), width - 1).astype(np.int64)
    share = 1.0 - (middle - column)
    at = row * (width + 1) + column
    size = height * (width + 1)
    total = np.bincount(at, dy * share, size) + np.bincount(at + 1, dy * (1 - share), size + 1)[:size]
    total = np.cumsum(total.reshape(height, width + 1), axis=1)[:, :width]
    return np.minimum(np.abs(total), 1.0).astype(np.float32)


def _cut(s, sign, axis, limit):
    """Cuts segments, sorted along `axis` (0: x, 1: y), at whole coordinates; along y also to the picture."""
    a, b = s[:, axis], s[:, axis + 2]
    if axis == 1:
        inside = (b > 0) & (a < limit)
        s, sign, a, b = s[inside], sign[inside], a[inside], b[inside]
    length = b - a
    first = np.floor(a)
    count = np.maximum(np.ceil(b) - first, 1).astype(np.int64)
    of = np.repeat(np.arange(len(s)), count)
    step = np.arange(len(of)) - np.repeat(np.cumsum(count) - count, count)
    low = np.maximum(first[of] + step, a[of])
    high = np.minimum(first[of] + step + 1, b[of])
    if axis == 1:
        low, high = np.clip(low, 0.0, limit), np.clip(high, 0.0, limit)
    safe = np.where(length[of] > 0, length[of], 1.0)
    t0, t1 = (low - a[of]) / safe, (high - a[of]) / safe
    t1 = np.where(length[of] > 0, t1, 1.0)
    other = 1 - axis
    p, q = s[of, other], s[of, other + 2]
    out = np.empty((len(of), 4))
    out[:, axis], out[:, axis + 2] = low, high
    out[:, other], out[:, other + 2] = p + (q - p) * t0, p + (q - p) * t1
    keep = t1 > t0 if axis == 1 else np.ones(len(of), bool)
    return out[keep], sign[of][keep]


def _segments(polygons):
    parts = []
    for points in polygons:
        p = np.asarray(points, np.float64)
        if len(p) > 1:
            parts.append(np.concatenate([p, np.roll(p, -1, axis=0)], axis=1))
    return np.concatenate(parts) if parts else np.zeros((0, 4))


def outline(points, width, closed=False):
    """The polygons of a line of a width along points: bevelled joints, flat ends."""
    p = [points[0]]
    for q in points[1:]:
        if math.dist(q, p[-1]) > 1e-9:
            p.append(q)
    if closed and len(p) > 1 and math.dist(p[0], p[-1]) < 1e-9:
        p.pop()
    if len(p) < 2:
        return []
    p = np.array(p)
    half = width / 2
    d = (np.roll(p, -1, axis=0) - p) if closed else np.diff(p, axis=0)
    n = np.stack([-d[:, 1], d[:, 0]], axis=1) / np.linalg.norm(d, axis=1, keepdims=True)
    if closed:
        before, after = np.roll(n, 1, axis=0), n
    else:
        before, after = np.concatenate([n[:1], n]), np.concatenate([n, n[-1:]])
    middle = before + after
    scale = 2.0 / np.maximum((middle * middle).sum(axis=1, keepdims=True), 0.5)
    offset = middle * scale * half
    if closed:
        return [p + offset, (p - offset)[::-1]]
    return [np.concatenate([p + offset, (p - offset)[::-1]])]


def dashed(points, pattern):
    """The parts of a line that a pattern (on, off) draws."""
    found, on, left, at = [[points[0]]], True, pattern[0], 0
    for a, b in pairwise(points):
        length, done = math.dist(a, b), 0.0
        while length - done > left:
            done += left
            p = (a[0] + (b[0] - a[0]) * done / length, a[1] + (b[1] - a[1]) * done / length)
            if on:
                found[-1].append(p)
            else:
                found.append([p])
            on, at = not on, at + 1
            left = pattern[at % len(pattern)]
        left -= length - done
        if on:
            found[-1].append(b)
    return [f for f in found if len(f) > 1]


class Layer:
    """Polygons of one colour, in pixels, and the rows that they touch."""

    __slots__ = ("bottom", "color", "left", "right", "segments", "top")

    def __init__(self, segments, color):
        self.segments, self.color = segments, color
        xs, ys = segments[:, [0, 2]], segments[:, [1, 3]]
        self.left, self.right = math.floor(xs.min()), math.ceil(xs.max())
        self.top, self.bottom = math.floor(ys.min()), math.ceil(ys.max())


def layers(scene, scale):
    """The paint of a scene, first to last."""
    found = []

    def add(polygons, color):
        segments = _segments(polygons)
        if len(segments):
            rgb = tuple(int(color[i : i + 2], 16) for i in (1, 3, 5))
            found.append(Layer(segments, rgb))

    for group in scene.groups:
        for item in group.items:
            if isinstance(item, Text):
                add(_letters(item, scale), item.color)
                continue
            paths = [[(x * scale, y * scale) for x, y in p] for p in lines(item.commands)]
            if item.fill:
                add(paths, item.fill)
            if item.stroke:
                closed = item.commands[-1][0] == "Z"
                width = max(item.width * scale, 1.0)
                polygons = []
                for p in paths:
                    if item.dash:
                        for part in dashed(p, [d * scale for d in item.dash]):
                            polygons += outline(part, width)
                    else:
                        polygons += outline(p, width, closed)
                add(polygons, item.stroke)
    return found


def _letters(t, scale):
    polygons, x = [], t.x * scale
    size = t.size * scale / font.EM
    for letter in font.fold(t.text):
        advance, found = font.contours(letter, t.bold)
        for points in found:
            p = np.asarray(points, np.float64) * (size, -size)
            polygons.append(p + (x, t.y * scale))
        x += advance * size
    return polygons


def paint(found, width, top, bottom):
    """The rows from `top` to `bottom` of a picture, painted on white: uint8 of shape (bottom - top, width, 3)."""
    canvas = np.full((bottom - top, width, 3), 255.0, np.float32)
    for layer in found:
        y0, y1 = max(layer.top, top), min(layer.bottom, bottom)
        x0, x1 = max(layer.left, 0), min(layer.right, width)
        if y0 >= y1 or x0 >= x1:
            continue
        moved = layer.segments - (x0, y0, x0, y0)
        cover = coverage(moved, x1 - x0, y1 - y0)[..., None]
        part = canvas[y0 - top : y1 - top, x0:x1]
        part += cover * (np.asarray(layer.color, np.float32) - part)
    return np.rint(canvas).astype(np.uint8)
