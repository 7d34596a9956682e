"""The first steps of a layered drawing (Sugiyama, Tagawa & Toda, 1981): no cycles, ranks, order within ranks.

Ranks are numbered along the flow; "above" and "below" mean the ranks before and after, whatever way the picture
is turned in the end.
"""

import bisect
from itertools import pairwise


class Spot:
    """A place in a rank: a node, or one rank that a longer edge passes.

    `breadth` is its size across the flow, `length` along it; `x` and `y` are its middle.
    """

    __slots__ = (
        "above", "below", "breadth", "index", "key", "length", "rank", "x", "y",
    )  # fmt: skip

    def __init__(self, key, breadth, length, rank):
        self.key, self.breadth, self.length, self.rank = key, breadth, length, rank
        self.above, self.below = [], []  # (Spot, port here, port there)
        self.index = 0
        self.x = self.y = 0.0

    @property
    def passing(self):
        """Is it only a place that an edge passes?"""
        return self.key is None


class Edge:
    """An edge from `source` to `target`; ports are distances from their middles, None where free to choose."""

    __slots__ = (
        "chain",
        "flipped",
        "gaps",
        "label",
        "loose",
        "source",
        "source_port",
        "target",
        "target_port",
    )

    def __init__(self, source, target, label, source_port=None, target_port=None):
        self.source, self.target, self.label = source, target, label
        self.source_port, self.target_port = source_port, target_port
        self.flipped = False
        self.loose = False  # may the lower end be moved a little along its node?
        self.chain = []  # Spots from the upper to the lower end
        self.gaps = []  # what routing found: one Crossing per gap between ranks


def break_cycles(keys, edges):
    """Turns edges around that lead back, until there is no cycle. Edges to oneself are left out of the result."""
    out = {k: [] for k in keys}
    for e in edges:
        if e.source != e.target:
            out[e.source].append(e)
    state = dict.fromkeys(keys, 0)
    for root in keys:
        if state[root]:
            continue
        state[root] = 1
        stack = [(root, iter(out[root]))]
        while stack:
            key, rest = stack[-1]
            for e in rest:
                if state[e.target] == 1:
                    e.flipped = True
                elif state[e.target] == 0:
                    state[e.target] = 1
                    stack.append((e.target, iter(out[e.target])))
                    break
            else:
                state[key] = 2
                stack.pop()
    for e in edges:
        if e.flipped:
            e.source, e.target = e.target, e.source
            e.source_port, e.target_port = e.target_port, e.source_port
    return [e for e in edges if e.source != e.target]


def rank(keys, edges, first=(), last=()):
    """A rank per key: as early as the longest way from a start, but starts as late as what they lead to.

    Keys in `first` have rank 0 and those in `last` the last rank, before and after all others.
    """
    parents, children = ({k: [] for k in keys} for _ in range(2))
    for e in edges:
        parents[e.target].append(e.source)
        children[e.source].append(e.target)
    missing = {k: len(parents[k]) for k in keys}
    ready = [k for k in keys if not missing[k]]
    order, ranks = [], {}
    for key in ready:
        order.append(key)
        floor = 0 if key in first or not first else 1
        ranks[key] = max((ranks[p] + 1 for p in parents[key]), default=floor)
        for child in children[key]:
            missing[child] -= 1
            if not missing[child]:
                ready.append(child)
    # A start moves down to just above what it feeds, so that its edge is short.
    for key in reversed(order):
        if not parents[key] and children[key] and key not in first:
            ranks[key] = max(min(ranks[c] for c in children[key]) - 1, ranks[key])
    end = max((r for k, r in ranks.items() if k not in last), default=-1) + 1
    for key in last:
        ranks[key] = max(end, ranks[key])
    return ranks


def spots_of(sizes, edges, ranks):
    """(rows, {key: Spot}): the Spots of every rank, edges that pass ranks cut into pieces."""
    rows = [[] for _ in range(max(ranks.values(), default=-1) + 1)]
    spots = {}
    for key, (breadth, length) in sizes.items():
        spots[key] = Spot(key, breadth, length, ranks[key])
        rows[ranks[key]].append(spots[key])
    for e in edges:
        a, b = spots[e.source], spots[e.target]
        passed = [Spot(None, 2.0, 0.0, r) for r in range(a.rank + 1, b.rank)]
        for spot in passed:
            rows[spot.rank].append(spot)
        e.chain = [a, *passed, b]
        for i, (u, v) in enumerate(pairwise(e.chain)):
            up = (e.source_port or 0.0) if i == 0 else 0.0
            down = (e.target_port or 0.0) if i == len(e.chain) - 2 else 0.0
            u.below.append((v, up, down))
            v.above.append((u, down, up))
    for row in rows:
        for i, spot in enumerate(row):
            spot.index = i
    return rows, spots


def order(rows, sweeps=12):
    """Orders every rank so that few edges cross: weighted means of neighbours, then swaps of neighbours."""
    _first_order(rows)
    best, fewest = _snapshot(rows), _crossings(rows)
    for sweep in range(sweeps):
        if not fewest:
            break
        downward = sweep % 2 == 0
        for row in rows[1:] if downward else rows[-2::-1]:
            _by_mean(row, downward)
        _swap(rows)
        now = _crossings(rows)
        if now < fewest:
            best, fewest = _snapshot(rows), now
    for row, kept in zip(rows, best, strict=True):
        row[:] = kept
        for i, spot in enumerate(row):
            spot.index = i
    return fewest


def _first_order(rows):
    """The order in which a walk from the top, nodes before passing edges, meets the Spots."""
    met, seen = [[] for _ in rows], set()
    for row in rows:
        for start in row:
            stack = [start]
            while stack:
                spot = stack.pop()
                if id(spot) in seen:
                    continue
                seen.add(id(spot))
                met[spot.rank].append(spot)
                # The walk takes the last first: passing edges come after nodes, nodes in the order of the model.
                for kind in (True, False):
                    stack += [v for v, _, _ in reversed(spot.below) if v.passing is kind]
    for row, kept in zip(rows, met, strict=True):
        row[:] = kept
        for i, spot in enumerate(row):
            spot.index = i


def _snapshot(rows):
    return [list(row) for row in rows]


def _place(neighbour, port):
    """Where an edge meets a neighbour, in positions of its rank."""
    return neighbour.index + (port / neighbour.breadth if neighbour.breadth else 0.0)


def _by_mean(row, downward):
    wanted = {}
    for spot in row:
        near = spot.above if downward else spot.below
        if near:
            wanted[id(spot)] = sum(_place(v, there) for v, _, there in near) / len(near)
    # Spots without neighbours keep their places; the others share the rest in their order.
    moving = iter(sorted((s for s in row if id(s) in wanted), key=lambda s: wanted[id(s)]))
    row[:] = [next(moving) if id(s) in wanted else s for s in row]
    for i, spot in enumerate(row):
        spot.index = i


def _cross(u, v, side):
    """The crossings of the edges of u with those of v if u stands before v."""
    a, b = ([_place(n, there) for n, _, there in getattr(s, side)] for s in (u, v))
    return sum(1 for p in a for q in b if p > q)


def _crossings(rows):
    total = 0
    for row in rows[:-1]:
        ends = [
            (_place(v, there), _place(u, here)) for u in row for v, here, there in u.below
        ]  # fmt: skip
        ends.sort(key=lambda e: (e[1], e[0]))
        lower = [e[0] for e in ends]
        # Inversions, by insertion into a sorted list.
        kept = []
        for p in lower:
            total += len(kept) - bisect.bisect_right(kept, p)
            bisect.insort(kept, p)
    return total


def _swap(rows):
    for _ in range(4):
        better = False
        for row in rows:
            for i in range(len(row) - 1):
                u, v = row[i], row[i + 1]
                now = _cross(u, v, "above") + _cross(u, v, "below")
                if now and now > _cross(v, u, "above") + _cross(v, u, "below"):
                    row[i], row[i + 1] = v, u
                    u.index, v.index = i + 1, i
                    better = True
        if not better:
            return
