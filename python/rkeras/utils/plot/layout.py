"""A drawing of nested graphs: every nested model is laid out by itself and is one node of the graph around it."""

from rkeras.utils.plot import layering, placing, routing

NODE_GAP = 26.0
RANK_GAP = 34.0
ENTRY_GAP = 12.0  # between a frame and the nodes in it
FRAME = 12.0
LOOP = 22.0  # room for an edge from a node to itself


class Node:
    """A box of a size; layout gives it `x`, `y`: its middle."""

    def __init__(self, key, width, height):
        self.key, self.width, self.height = key, width, height
        self.x = self.y = 0.0


class Frame:
    """A nested model: nodes and frames in a frame with a title; layout gives it `x`, `y`, `width`, `height`."""

    def __init__(self, key, children, title="", title_size=(0.0, 0.0)):
        self.key, self.children = key, children
        self.title, self.title_size = title, title_size
        self.x = self.y = self.width = self.height = 0.0


class Route:
    """An edge and its path, from `source` to `target`."""

    def __init__(self, source, target):
        self.source, self.target = source, target
        self.commands = []


def lay_out(root, edges, rankdir="TB", style="ortho"):
    """Gives all nodes and frames below `root` their places.

    Args:
        root: a Frame; its own title and border are not drawn.
        edges: pairs (key of the source node, key of the target node).
        rankdir: "TB", "BT", "LR" or "RL".
        style: how edges run; see `routing.path`.

    Returns:
        The Routes; the picture lies between (0, 0) and (root.width, root.height).
    """
    sideways = rankdir in ("LR", "RL")
    parent = {}
    _adopt(root, parent)
    if sideways:
        _turn_sizes(root)
    routes = [Route(a, b) for a, b in edges]
    work = _Level(root, [(r, a, b) for r, (a, b) in zip(routes, edges, strict=True)], parent, rankdir)
    work.settle()
    width, height = work.size
    pieces = {id(r): [] for r in routes}
    work.collect(0.0, 0.0, pieces)
    for r in routes:
        found = sorted(pieces[id(r)], key=lambda p: p[0])
        flipped = any(p[4] for p in found)
        if flipped:  # an edge back into a frame ends at its border
            found = [p for p in found if p[4]]
        if found[0][1] == "loop":
            r.commands = found[0][2]
            continue
        stations = [s for p in found for s in p[2]]
        start, end = found[0][3][0], found[-1][3][1]
        r.commands = routing.path(stations, start, end, style)
        if flipped:
            r.commands = _reversed(r.commands)
    turn = _turn(rankdir, width, height)
    _turn_places(root, turn, sideways)
    for r in routes:
        r.commands = [(c[0], *(turn(*p) for p in c[1:])) for c in r.commands]
    root.width, root.height = (height, width) if sideways else (width, height)
    return routes


def _adopt(frame, parent):
    for child in frame.children:
        parent[child.key] = frame.key
        if isinstance(child, Frame):
            _adopt(child, parent)


def _turn_sizes(frame):
    for child in frame.children:
        if isinstance(child, Frame):
            _turn_sizes(child)
        else:
            child.width, child.height = child.height, child.width


def _turn(rankdir, width, height):
    if rankdir == "BT":
        return lambda x, y: (x, height - y)
    if rankdir == "LR":
        return lambda x, y: (y, x)
    if rankdir == "RL":
        return lambda x, y: (height - y, x)
    return lambda x, y: (x, y)


def _turn_places(frame, turn, sideways):
    for child in frame.children:
        child.x, child.y = turn(child.x, child.y)
        if sideways:
            child.width, child.height = child.height, child.width
        if isinstance(child, Frame):
            _turn_places(child, turn, sideways)


def _reversed(commands):
    """The same path walked the other way."""
    points = [commands[0][1]]
    back = []
    for c in commands[1:]:
        back.append((c[0], *reversed(c[1:-1]), points[-1]))
        points.append(c[-1])
    return [("M", points[-1]), *reversed(back)]


class _Level:
    """The layout of one frame's children.

    Edges that leave the frame end at its border: at an entry (before all ranks) or an exit (behind them), a node
    without size.
    """

    def __init__(self, frame, edges, parent, rankdir):
        self.frame, self.rankdir, self.parent = frame, rankdir, parent
        self.inner = {}
        self.entries, self.exits = [], []
        keys = {c.key for c in frame.children}

        def home(key):
            """The child of this frame that a node is or lies in; None if it lies elsewhere."""
            while key is not None and key not in keys:
                key = parent.get(key)
            return key

        self.edges = []
        below = {}
        self.loops = []
        # (route, source, target); an end that is a tuple stands for the border.
        for label, a, b in edges:
            here_a = home(a) if not isinstance(a, tuple) else None
            here_b = home(b) if not isinstance(b, tuple) else None
            if here_a is not None and here_a == here_b and here_a not in (a, b):
                below.setdefault(here_a, []).append((label, a, b))  # wholly inside a nested frame
                continue
            if here_a is None:
                here_a = ("entry", id(label), len(self.entries))
                self.entries.append(here_a)
            elif here_a != a:
                below.setdefault(here_a, []).append((label, a, ("out",)))
            if here_b is None:
                here_b = ("exit", id(label), len(self.exits))
                self.exits.append(here_b)
            elif here_b != b:
                below.setdefault(here_b, []).append((label, ("in",), b))
            if here_a == here_b:
                self.loops.append((label, here_a))
            else:
                self.edges.append(layering.Edge(here_a, here_b, label))
        for child in frame.children:
            if isinstance(child, Frame):
                self.inner[child.key] = _Level(child, below.get(child.key, []), parent, rankdir)

    def settle(self):
        """Finds sizes and places, with the frame's corner at (0, 0)."""
        sizes = {}
        looped = {key for _, key in self.loops}
        for child in self.frame.children:
            if isinstance(child, Frame):
                level = self.inner[child.key]
                level.settle()
                sizes[child.key] = level.size
            else:
                extra = 2 * LOOP if child.key in looped else 0.0
                sizes[child.key] = (child.width + extra, child.height)
        for key in (*self.entries, *self.exits):
            sizes[key] = (0.0, 0.0)
        for e in self.edges:  # frames are entered and left where their inner nodes stand
            if e.source in self.inner:
                e.source_port = self.inner[e.source].port(("exit", id(e.label)))
            elif e.source in self.entries:
                e.source_port = 0.0
            if e.target in self.inner:
                e.target_port = self.inner[e.target].port(("entry", id(e.label)))
            elif e.target in self.exits:
                e.target_port = 0.0
        keys = list(sizes)
        self.drawn = layering.break_cycles(keys, self.edges)
        ranks = layering.rank(keys, self.drawn, self.entries, self.exits)
        self.rows, self.spots = layering.spots_of(sizes, self.drawn, ranks)
        layering.order(self.rows)
        placing.place(self.rows, NODE_GAP)
        routing.choose_ports(self.drawn)
        routing.straighten(self.rows, self.drawn)
        tracks = routing.cross_gaps(self.drawn, max(len(self.rows) - 1, 0))
        self._place_ranks(tracks)
        self._frame()

    def _place_ranks(self, tracks):
        y, self.tops, self.bottoms, self.runs = 0.0, [], [], []
        for r, row in enumerate(self.rows):
            length = max((s.length for s in row), default=0.0)
            self.tops.append(y)
            self.bottoms.append(y + length)
            for s in row:
                s.y = y + length / 2
            y += length
            if r == len(self.rows) - 1:
                break
            border = (self.entries and r == 0) or (self.exits and r == len(self.rows) - 2)
            gap = ENTRY_GAP if border else RANK_GAP
            count = tracks[r]
            need = max(gap, 16.0 + count * routing.TRACK_STEP) if count else gap
            if border and count:
                need = max(need, 30.0 + (count - 1) * routing.TRACK_STEP)
            if count > 1:
                need = max(need, 30.0 + (count - 1) * routing.TRACK_STEP)
            first = (need - (count - 1) * routing.TRACK_STEP) / 2 - (3.0 if not border else 0.0)
            self.runs.append((y + first, routing.TRACK_STEP))
            y += need
        self.length = y

    def _frame(self):
        everything = [s for row in self.rows for s in row]
        left = min((s.x - s.breadth / 2 for s in everything), default=0.0)
        right = max((s.x + s.breadth / 2 for s in everything), default=0.0)
        top, bottom = 0.0, self.length
        if self.frame.title is not None and self.parent.get(self.frame.key) is not None:
            if not self.entries:
                top -= ENTRY_GAP
            if not self.exits:
                bottom += ENTRY_GAP
            left, right = left - FRAME, right + FRAME
            width, height = self.frame.title_size
            if self.rankdir in ("LR", "RL"):
                left -= height
                short = width + 2 * 8.0 - (bottom - top)
                bottom, top = bottom + max(short, 0.0) / 2, top - max(short, 0.0) / 2
            else:
                ports = self.entries if self.rankdir == "TB" else self.exits
                first = min((self.spots[k].x for k in ports), default=None)
                if self.rankdir == "TB":
                    top -= height
                else:
                    bottom += height
                if first is not None:  # the title must not lie on an edge
                    left = min(left, first - width - 16.0)
                right = max(right, left + width + 16.0)
        self.left, self.top = left, top
        self.size = (right - left, bottom - top)

    def port(self, kind):
        """Where the border is crossed, from the middle of the frame."""
        for key in (*self.entries, *self.exits):
            if key[:2] == kind:
                return self.spots[key].x - (self.left + self.size[0] / 2)
        raise AssertionError(f"no such port: {kind}")

    def collect(self, x, y, pieces):
        """Gives places with the frame's corner at (x, y); adds the pieces of edges to those of their routes."""
        dx, dy = x - self.left, y - self.top

        tops = [t + dy for t in self.tops]
        bottoms = [b + dy for b in self.bottoms]
        if self.entries:  # they stand at the border itself
            tops[0] = bottoms[0] = y
        if self.exits:
            tops[-1] = bottoms[-1] = y + self.size[1]

        def track_y(r, track):
            first, step = self.runs[r]
            return first + track * step + dy

        for child in self.frame.children:
            spot = self.spots[child.key]
            child.x, child.y = spot.x + dx, spot.y + dy
            if isinstance(child, Frame):
                level = self.inner[child.key]
                child.width, child.height = level.size
                corner = child.x - child.width / 2, child.y - child.height / 2
                level.collect(*corner, pieces)
        for e in self.drawn:
            top, bottom = e.chain[0], e.chain[-1]
            stations = [
                (xa + dx, ya, xb + dx, yb, run)
                for xa, ya, xb, yb, run in routing.stations(e, tops, bottoms, track_y)
            ]
            start = (stations[0][0], top.y + dy + top.length / 2)
            end = (stations[-1][2], bottom.y + dy - bottom.length / 2)
            if e.chain[0].key in self.entries:
                start = (start[0], y)
            if e.chain[-1].key in self.exits:
                end = (end[0], y + self.size[1])
            pieces[id(e.label)].append((start[1], "piece", stations, (start, end), e.flipped))
        for label, key in self.loops:
            spot = self.spots[key]
            side = spot.x + dx + (spot.breadth / 2 - LOOP)
            points = self._loop(side, spot.y + dy, spot.length)
            pieces[id(label)].append((spot.y, "loop", points, None, False))

    def _loop(self, side, middle, length):
        """The path of an edge from a node to itself, beside it."""
        a, b = middle + length / 4, middle - length / 4
        points = [(side, a), (side + LOOP - 6, a), (side + LOOP - 6, b), (side, b)]
        return routing._rounded(points, 6.0)
