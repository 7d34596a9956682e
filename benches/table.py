"""Rows of measurements, the goals beside them, and how both are printed. Pure: nothing here measures."""

import json
import os
import platform
import statistics
from dataclasses import asdict, dataclass, field
from pathlib import Path

OURS = "rkeras"


@dataclass(frozen=True)
class Goal:
    """What rkeras should reach: a bound of its own value, or of its value divided by the best rival's.

    Args:
        kind: ">=" or "<=".
        bound: the number.
        ratio: is it about rkeras divided by the best rival?
        beside: the rival that counts, where it is not the best one.
    """

    kind: str
    bound: float
    ratio: bool = True
    beside: str = ""

    def words(self, unit):
        """The goal as text."""
        sign = {">=": "≥", "<=": "≤"}[self.kind]
        return f"{sign} {self.bound:.3g}" + (" ×" if self.ratio else f" {unit}".rstrip())

    def holds(self, value):
        """Does a value reach it?"""
        return value >= self.bound if self.kind == ">=" else value <= self.bound


@dataclass
class Row:
    """One measured quantity of every framework.

    Args:
        name: the key, for goals.
        what: what was measured, in words.
        unit: of the values.
        values: framework -> number; None where it failed.
        more: is more better?
        goal: a `Goal` or None.
        notes: framework -> why it failed, or anything else worth a line.
        spread: framework -> (minimum, maximum), where several processes were measured.
    """

    name: str
    what: str
    unit: str
    values: dict
    more: bool = True
    goal: Goal | None = None
    notes: dict = field(default_factory=dict)
    spread: dict = field(default_factory=dict)

    def rival(self):
        """(name, value) of the best rival, None without one."""
        found = {k: v for k, v in self.values.items() if k != OURS and v is not None}
        if self.goal and self.goal.beside:
            found = {k: v for k, v in found.items() if k == self.goal.beside}
        if not found:
            return None
        return (max if self.more else min)(found.items(), key=lambda item: item[1])

    def ratio(self):
        """rkeras divided by the best rival; None without both."""
        ours, rival = self.values.get(OURS), self.rival()
        return None if ours is None or rival is None or not rival[1] else ours / rival[1]

    def met(self):
        """Is the goal met? None without a goal or what it compares with."""
        value = self.ratio() if self.goal and self.goal.ratio else self.values.get(OURS)
        return None if self.goal is None or value is None else self.goal.holds(value)

    def verdict(self):
        """ "met", "not met", or a dash where nothing can be said."""
        return {True: "met", False: "not met", None: "–"}[self.met()]


def number(value):
    """Three digits or more, with separators."""
    if value is None:
        return "failed"
    size = abs(value)
    if size >= 100 or value == 0:
        return f"{value:,.0f}"
    return f"{value:.1f}" if size >= 10 else f"{value:.2f}" if size >= 0.1 else f"{value:.3g}"


def failures(runs):
    """Framework -> why a process of it failed, of framework -> answers of its processes."""
    return {n: row["failed"] for n, rows in runs.items() for row in rows if "failed" in row}


def medians(name, what, unit, samples, **more):
    """A row of medians with their minima and maxima.

    Args:
        name, what, unit: of the row.
        samples: framework -> all that was measured.
        more: of the row.
    """
    samples = {k: v for k, v in samples.items() if v}
    values = {k: statistics.median(v) for k, v in samples.items()}
    return Row(name, what, unit, values, spread={k: (min(v), max(v)) for k, v in samples.items()}, **more)


def details(row):
    """All frameworks of a row: median, minimum to maximum, and why others have none."""
    lines = [f"{row.what} ({row.unit})"]
    for name, value in row.values.items():
        low, high = row.spread.get(name, (value, value))
        lines.append(f"  {name:22} {number(value):>10}   ({number(low)} to {number(high)})")
    lines += [f"  {name:22} failed: {why}" for name, why in row.notes.items() if name not in row.values]
    return "\n".join(lines)


def frameworks_of(rows, order):
    """The frameworks that occur, in that order."""
    return [n for n in order if any(n in row.values for row in rows)]


def markdown(rows, order, what="samples/s (median)", with_units=False):
    """A table of all frameworks, the ratio, the goal and whether it is met."""
    names = frameworks_of(rows, order)
    rivals = len(names) > 1 or names != [OURS]
    head = [what, *names, *(["rkeras ÷ best rival"] if rivals else []), "goal", ""]
    lines = ["| " + " | ".join(head) + " |", "|---|" + "--:|" * (len(head) - 2) + "---|"]
    for row in rows:
        cells = [row.what + (f" ({row.unit})" if with_units else "")]
        cells += [number(row.values[n]) if n in row.values else "–" for n in names]
        if rivals:
            cells.append("–" if row.ratio() is None else f"{row.ratio():.2f}")
        cells += ["–" if row.goal is None else row.goal.words(row.unit), row.verdict()]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def summary(rows):
    """A plain table for the terminal: rkeras, the best rival, ratio, goal, verdict."""
    lines = [f"{'':58} {'rkeras':>10} {'best rival':>32} {'ratio':>7} {'goal':>12}"]
    for row in rows:
        rival, ratio = row.rival(), row.ratio()
        other = f"{number(rival[1])} {rival[0]}" if rival else "–"
        ours = number(row.values[OURS]) if OURS in row.values else "–"
        lines.append(
            f"{row.what[:48] + ' ' + row.unit:58.58} {ours:>10} {other:>32} {'–' if ratio is None else f'{ratio:.2f}':>7}"
            f" {row.goal.words(row.unit) if row.goal else '–':>12} {row.verdict()}"
        )
    judged = [row for row in rows if row.met() is not None]
    if judged:
        lines.append(f"{sum(row.met() for row in judged)} of {len(judged)} goals met")
    return "\n".join(lines)


def finish(rows, path=None):
    """Prints the summary, writes the rows if there is a path, and ends the program with an error if rkeras failed."""
    print("\n" + summary(rows))
    if path:
        save(path, rows)
    broken = [f"{row.what}: rkeras failed: {row.notes[OURS]}" for row in rows if OURS in row.notes]
    if broken:
        raise SystemExit("\n".join(broken))


def machine():
    """The processor and its cores, for the line below a table."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    model = next(
        (s.split(":", 1)[1].strip() for s in lines if s.startswith("model name")), platform.processor()
    )
    return f"{os.cpu_count()} cores of {model}"


def replace_between(path, mark, text):
    """Puts `text` between `<!-- mark -->` and `<!-- end of the mark -->` of a Markdown file."""
    path = Path(path)
    old = path.read_text()
    start, end = f"<!-- {mark} -->", f"<!-- end of the {mark} -->"
    if start not in old or end not in old:
        raise SystemExit(f"{path.name}: expected the marks {start} and {end}. Received: a file without them")
    before, rest = old.split(start, 1)
    path.write_text(f"{before}{start}\n{text}\n{end}{rest.split(end, 1)[1]}")


def save(path, rows):
    """Writes rows as JSON."""
    Path(path).write_text(json.dumps([asdict(row) for row in rows], indent=1))


def load(path):
    """Rows as `save` wrote them; none if the file is not there."""
    if not Path(path).is_file():
        return []
    rows = json.loads(Path(path).read_text())
    return [Row(**{**row, "goal": Goal(**row["goal"]) if row["goal"] else None}) for row in rows]
