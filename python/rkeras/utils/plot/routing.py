"""Where edges run: ports at nodes, one track per edge between ranks, and the path in the style asked for."""

from itertools import pairwise

PORT_STEP = 16.0
TRACK_STEP = 13.0


class Crossing:
    """An edge between two ranks: from `upper` to `lower` (across the flow), on track number `track`."""

    __slots__ = ("lower", "track", "upper")

    def __init__(self, upper, lower):
        self.upper, self.lower, self.track = upper, lower, 0

    @property
    def straight(self):
        return abs(self.upper - self.lower) < 0.6


def choose_ports(edges):
    """Spreads the ends of edges along the sides of nodes; the edge straight ahead keeps the middle."""
    sides = {}
    for e in edges:
        top, bottom = e.chain[0], e.chain[-1]
        if e.source_port is None:
            sides.setdefault((id(top), "below"), (top, []))[1].append((e, "source_port", e.chain[1]))
        e.loose = e.target_port is None
        if e.loose:
            sides.setdefault((id(bottom), "above"), (bottom, []))[1].append((e, "target_port", e.chain[-2]))
    for spot, ends in sides.values():
        far = []
        for e, name, other in ends:
            x = other.x
            if not other.passing:  # a fixed port over there
                x += (e.target_port if name == "source_port" else e.source_port) or 0.0
            far.append((x - spot.x, e, name))
        far.sort(key=lambda f: f[0])
        straight = [f for f in far if abs(f[0]) < 0.6]
        if len(straight) == 1:
            before, after = [f for f in far if f[0] <= -0.6], [f for f in far if f[0] >= 0.6]
            step = _step(spot, max(len(before), len(after)))
            setattr(straight[0][1], straight[0][2], 0.0)
            for i, (_, e, name) in enumerate(reversed(before)):
                setattr(e, name, -(i + 1) * step)
            for i, (_, e, name) in enumerate(after):
                setattr(e, name, (i + 1) * step)
        else:
            step = _step(spot, (len(far) - 1) / 2)
            for i, (_, e, name) in enumerate(far):
                setattr(e, name, (i - (len(far) - 1) / 2) * step)


def _step(spot, count):
    room = spot.breadth / 2 - min(12.0, spot.breadth * 0.15)
    return min(PORT_STEP, room / count) if count > 0 else 0.0


def straighten(rows, edges, reach=24.0, room=9.0):
    """Moves long edges a little sideways where that saves them a small bend at one of their ends."""
    for e in edges:
        passed = e.chain[1:-1]
        if not passed or any(abs(s.x - passed[0].x) > 0.1 for s in passed):
            continue
        ends = (e.chain[0].x + e.source_port, e.chain[-1].x + e.target_port)
        for x in sorted(ends, key=lambda x, at=passed[0].x: abs(x - at)):
            if 0.6 <= abs(x - passed[0].x) <= reach and all(_free(rows[s.rank], s, x, room) for s in passed):
                for s in passed:
                    s.x = x
                break
            if abs(x - passed[0].x) < 0.6:
                break


def _free(row, spot, x, room):
    """May a Spot stand at x, between its neighbours?"""
    i = spot.index
    left, right = row[i - 1] if i else None, row[i + 1] if i + 1 < len(row) else None
    return (left is None or left.x + left.breadth / 2 + room <= x) and (
        right is None or x <= right.x - right.breadth / 2 - room
    )


def cross_gaps(edges, gaps):
    """Gives every edge its Crossings and every Crossing its track; returns the tracks that each gap needs."""
    by_gap = [[] for _ in range(gaps)]
    for e in edges:
        e.gaps = []
        for i, (u, v) in enumerate(pairwise(e.chain)):
            upper = u.x + (e.source_port if i == 0 else 0.0)
            lower = v.x + (e.target_port if i == len(e.chain) - 2 else 0.0)
            last = i == len(e.chain) - 2
            if abs(upper - lower) < (3.5 if last and e.loose else 0.6):
                lower = upper
            crossing = Crossing(upper, lower)
            e.gaps.append(crossing)
            if not crossing.straight:
                by_gap[u.rank].append(crossing)
    return [_tracks(crossings) for crossings in by_gap]


def _bad(a, b):
    """The crossings of two edges if the horizontal run of `a` lies above that of `b`."""
    count = 0
    low, high = sorted((a.upper, a.lower))
    if low < b.upper < high:  # b comes down through a's run
        count += 1
    low, high = sorted((b.upper, b.lower))
    if low < a.lower < high:  # a goes on down through b's run
        count += 1
    # Vertical parts on one another are worse than crossings.
    if abs(a.lower - b.upper) < 5.0:
        count += 4
    return count


def _tracks(crossings):
    # The run that is best above all others goes first, and so on.
    rest = sorted(crossings, key=lambda c: (min(c.upper, c.lower), max(c.upper, c.lower)))
    cost = {id(a): sum(_bad(a, b) - _bad(b, a) for b in rest) for a in rest}
    order = []
    while rest:
        best = min(rest, key=lambda c: cost[id(c)])
        rest.remove(best)
        order.append(best)
        for c in rest:
            cost[id(c)] -= _bad(c, best) - _bad(best, c)
    for i, c in enumerate(order):
        low, high = sorted((c.upper, c.lower))
        c.track = 0
        for other in order[:i]:
            l2, h2 = sorted((other.upper, other.lower))
            overlapping = l2 - 6 < high and low - 6 < h2
            if overlapping:
                c.track = max(c.track, other.track + 1)
    return max((c.track + 1 for c in order), default=0)


def stations(edge, tops, bottoms, track_y):
    """The edge as crossings with coordinates: [(upper x, y, lower x, y, y of the run)], upper end first."""
    found = []
    for i, c in enumerate(edge.gaps):
        r = edge.chain[i].rank
        found.append((c.upper, bottoms[r], c.lower, tops[r + 1], track_y(r, c.track)))
    return found


def path(pieces, start, end, style):
    """The path [("M" | "L" | "C", points...)] through stations, from point to point.

    Args:
        pieces: the stations of all parts of the edge, in order.
        start, end: the ends at the nodes.
        style: "ortho", "polyline", "line", "spline" or "curved".
    """
    if style in ("line", "false"):
        return [("M", start), ("L", end)]
    if style in ("spline", "curved", "true"):
        out, at = [("M", start)], start
        for xa, ya, xb, yb, _ in pieces:
            if (xa, ya) != at:
                out.append(("L", (xa, ya)))
            if abs(xa - xb) < 0.6:
                out.append(("L", (xb, yb)))
            else:
                middle = (ya + yb) / 2
                out.append(("C", (xa, middle), (xb, middle), (xb, yb)))
            at = (xb, yb)
        if at != end:
            out.append(("L", end))
        return _joined(out)
    points = [start]
    for xa, ya, xb, yb, run in pieces:
        if style == "polyline" or abs(xa - xb) < 0.6:
            points += [(xa, ya), (xb, yb)]
        else:
            points += [(xa, ya), (xa, run), (xb, run), (xb, yb)]
    points = _without_middles([*points, end])
    if style == "polyline":
        return [("M", points[0]), *(("L", p) for p in points[1:])]
    return _rounded(points, 7.0)


def _joined(commands):
    """Straight pieces after one another as one."""
    out = []
    for c in commands:
        if c[0] == "L" and len(out) > 1 and out[-1][0] == "L":
            before = out[-2][-1]
            if _in_line(before, out[-1][1], c[1]):
                out[-1] = c
                continue
        out.append(c)
    return out


def _in_line(a, b, c):
    return abs((b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])) < 1e-6


def _without_middles(points):
    out = []
    for p in points:
        if out and abs(out[-1][0] - p[0]) + abs(out[-1][1] - p[1]) < 1e-6:
            continue
        if len(out) > 1 and _in_line(out[-2], out[-1], p):
            out[-1] = p
        else:
            out.append(p)
    return out


def _rounded(points, radius):
    """Right-angled lines with rounded corners."""
    out = [("M", points[0])]
    for before, corner, after in zip(points, points[1:], points[2:], strict=False):
        a = abs(before[0] - corner[0]) + abs(before[1] - corner[1])
        b = abs(after[0] - corner[0]) + abs(after[1] - corner[1])
        r = min(radius, a / 2, b / 2)

        def toward(p, length, r=r, corner=corner):
            return (
                corner[0] + (p[0] - corner[0]) * r / length,
                corner[1] + (p[1] - corner[1]) * r / length,
            )

        first, second = toward(before, a), toward(after, b)
        k = 0.4477  # 1 - 4/3 tan(pi/8): a quarter of a circle as a cubic curve
        one = (corner[0] + (first[0] - corner[0]) * k, corner[1] + (first[1] - corner[1]) * k)
        two = (corner[0] + (second[0] - corner[0]) * k, corner[1] + (second[1] - corner[1]) * k)
        out += [("L", first), ("C", one, two, second)]
    out.append(("L", points[-1]))
    return out
