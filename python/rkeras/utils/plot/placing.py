"""Coordinates across the flow: chains stand straight, forks stand in the middle, nothing overlaps."""

from itertools import pairwise

THIN_GAP = 16.0  # the free room beside edges


class _Block:
    """Spots that stand in one line."""

    __slots__ = ("members", "pull", "x")

    def __init__(self):
        self.members, self.x, self.pull = [], 0.0, 0.0


def place(rows, gap):
    """Gives every Spot its `x`. `gap` is the free room between nodes of a rank."""
    block_of, offset = _straight(rows)
    blocks = list(dict.fromkeys(block_of.values()))
    before = {}  # (left block, right block) -> distance that they need
    for row in rows:
        for u, v in pairwise(row):
            a, b = block_of[id(u)], block_of[id(v)]
            thin = u.passing or v.passing or not (u.breadth and v.breadth)
            room = (u.breadth + v.breadth) / 2 + (min(THIN_GAP, gap) if thin else gap)
            room += offset[id(u)] - offset[id(v)]
            before[a, b] = max(before.get((a, b), room), room)
    constraints = [(a, b, room) for (a, b), room in before.items()]
    order = _topological(blocks, constraints)
    left = {id(b): [] for b in blocks}
    for a, b, room in constraints:
        left[id(b)].append((a, room))
    for block in order:  # as far left as possible
        block.x = max((a.x + room for a, room in left[id(block)]), default=0.0)
    for _ in range(150):
        moved = _settle(order, left, block_of, offset)
        if moved < 0.02:
            break
    for block in blocks:
        for spot in block.members:
            spot.x = block.x + offset[id(spot)]


def _straight(rows):
    """(block, offset in it) of every Spot: who stands straight above whom."""
    block_of, offset = {}, {}
    for row in rows:
        limit = -1  # links of a rank pair must not cross
        upper_of = _links(rows, row)
        for spot in row:
            link = upper_of.get(id(spot))
            if link is not None and link[0].index > limit:
                upper, shift = link
                limit = upper.index
                block = block_of[id(upper)]
                offset[id(spot)] = offset[id(upper)] + shift
            else:
                block = _Block()
                offset[id(spot)] = 0.0
            block_of[id(spot)] = block
            block.members.append(spot)
    return block_of, offset


def _links(rows, row):
    """{lower Spot: (upper Spot, shift)}: whom each Spot of a rank would stand straight below."""
    chosen = {}
    passing = set()
    for v in row:
        if v.passing and v.above[0][0].passing:
            u, here, there = v.above[0]
            chosen[id(v)] = (u, there - here)
            passing.add((u.index, v.index))
    taken = {id(u) for u, _ in chosen.values()}
    for v in row:
        if id(v) in chosen:
            continue
        best = _middle(v.above)
        if best is None:
            continue
        u, here, there = best
        back = _middle(u.below)
        if back is None or back[0] is not v or id(u) in taken:
            continue
        if any((u.index - a) * (v.index - b) < 0 for a, b in passing):
            continue  # it would cross an edge that stands straight
        chosen[id(v)] = (u, there - here)
        taken.add(id(u))
    return chosen


def _middle(neighbours):
    """The neighbour to stand straight with: the middle one of the nodes, else of the passing edges."""
    real = [n for n in neighbours if not n[0].passing] or neighbours
    if len(real) % 2 == 0:
        return None
    return sorted(real, key=lambda n: n[0].index)[len(real) // 2]


def _topological(blocks, constraints):
    missing = {id(b): 0 for b in blocks}
    after = {id(b): [] for b in blocks}
    for a, b, _ in constraints:
        missing[id(b)] += 1
        after[id(a)].append(b)
    ready = [b for b in blocks if not missing[id(b)]]
    for block in ready:
        for b in after[id(block)]:
            missing[id(b)] -= 1
            if not missing[id(b)]:
                ready.append(b)
    return ready


def _settle(order, left, block_of, offset):
    """One step: every block is drawn to its neighbours, as far as the others let it; returns how far they moved.

    The least squares problem under the distances is solved by joining blocks that push one another into groups
    that move together (Dwyer, Marriott & Stuckey, "Fast node overlap removal", 2005).
    """
    wish = {}
    for block in order:
        total = weight = 0.0
        for spot in block.members:
            for neighbours in (spot.above, spot.below):
                for v, here, there in neighbours:
                    other = block_of[id(v)]
                    if other is block:
                        continue
                    w = 1.0 if v.passing == spot.passing else 0.2  # long edges pull weakly
                    total += w * (other.x + offset[id(v)] + there - here - offset[id(spot)])
                    weight += w
        # Halfway only: neighbours move at the same time, and would swing past one another for ever.
        wish[id(block)] = ((total / weight + block.x) / 2, weight) if weight else (block.x, 0.01)
    group, place_in = {}, {}
    groups = {}  # group id -> [members, position, weight]
    for block in order:
        key = id(block)
        group[key], place_in[key] = key, 0.0
        groups[key] = [[block], *wish[key]]
        while True:
            worst, amount = None, 1e-9
            mine = groups[group[key]]
            for b in mine[0]:
                for a, room in left[id(b)]:
                    if group[id(a)] == group[id(b)]:
                        continue
                    x_a = groups[group[id(a)]][1] + place_in[id(a)]
                    lack = x_a + room - (mine[1] + place_in[id(b)])
                    if lack > amount:
                        worst, amount = (a, b, room), lack
            if worst is None:
                break
            a, b, room = worst
            theirs = groups[group[id(a)]]
            shift = place_in[id(a)] + room - place_in[id(b)]  # of my members within their group
            weight = theirs[2] + mine[2]
            theirs[1] = (theirs[1] * theirs[2] + (mine[1] - shift) * mine[2]) / weight
            theirs[2] = weight
            name = group[id(a)]
            del groups[group[key]]
            for member in mine[0]:
                group[id(member)] = name
                place_in[id(member)] += shift
            theirs[0] += mine[0]
    moved = 0.0
    for members, position, _ in groups.values():
        for block in members:
            x = position + place_in[id(block)]
            moved = max(moved, abs(x - block.x))
            block.x = x
    return moved
