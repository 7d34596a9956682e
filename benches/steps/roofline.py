"""How far a workload can go at most on this machine: its arithmetic at the peak of multiply-adds, and Adam's memory.

python benches/steps/run.py --json rows.json; python benches/steps/roofline.py --rows rows.json
python benches/steps/roofline.py --workloads encoder,chars

The least time of a step is (operations of its products, convolutions, recurrences and attention) / peak, plus the 28
bytes that Adam moves per parameter / triad where they do not stay in a cache; everything else is taken to be free.
Convolutions count by the direct formula, products by multiply-adds: Winograd's method and tiles of bfloat16 parts
(AMX) need less time than that, so a share can exceed 100 %. With `--rows` the same is said of the best rival, and what
rkeras could be at most beside it: a goal above that is out of reach of any arithmetic in float32 multiply-adds.
"""

import argparse
import math
import os
import re
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

import limits  # noqa: E402
import table  # noqa: E402
from compiled import first_batch  # noqa: E402
from workloads import WORKLOADS  # noqa: E402

CACHED = 32 << 20  # bytes of weights, gradients and moments that may stay in a cache from step to step


def places(text):
    """Where values are, in the order of the text: Arena(3), Variable(1)."""
    return re.findall(r"\w+\(\d+\)", text)


def operations(words, packed):
    """Floating-point operations of an instruction, from the shapes in its text; 0 for what only moves data.

    Kernels of convolutions that are packed on the way are kept in `packed`: place -> shape.
    """
    head, _, tail = words.partition(" -> ")
    name = head.split()[1]
    inputs, outputs = (
        [[int(d) for d in s.split(",")] for s in re.findall(r"\[([\d, ]+)\]", t)] for t in (head, tail)
    )
    size = math.prod
    if name == "matmul":
        a, b, c = inputs[0], inputs[1], outputs[0]
        batch = size(b[:-2])
        return 2 * math.sqrt(size(a) * size(b) * size(c) / batch)
    if name in ("conv", "conv_input_grad"):
        made = outputs[0] if name == "conv" else inputs[0]
        return 2 * size(made) * size(inputs[1][:-1])
    if name == "conv_pack":
        packed[places(tail)[0]] = inputs[0]
    if name == "conv_packed":
        return 2 * size(outputs[0]) * size(packed[places(head)[1]][:-1])
    if name == "conv_kernel_grad":
        return 2 * size(inputs[1]) * size(outputs[0][:-1])
    if name.startswith("attention"):
        b, length, heads, width = inputs[0]
        return (10 if name.endswith("grad") else 4) * b * heads * length * inputs[1][1] * width
    if name.startswith(("lstm", "gru", "conv_lstm")):
        kernel = next(s for s in inputs if len(s) in (2, 4) and s[-1] == s[-2] * (3 if "gru" in name else 4))
        states = size(inputs[0]) * (kernel[-1] // kernel[-2] if name.endswith("grad") else 1)
        return 2 * states * size(kernel[:-1])
    return 0


def step(workload):
    """GFLOP of a step and bytes of Adam, from the compiled program of a model."""
    import rkeras as keras

    work = WORKLOADS[workload]
    model, program, batch = first_batch(keras, work, work.train)
    program.profile()
    program(*batch)
    packed = {}
    flop = sum(operations(words, packed) for words, _ in program.times())
    count = sum(math.prod(v.shape) for v in model.trainable_variables) if work.train else 0
    return flop / 1e9, 28 * count if 16 * count > CACHED else 0


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--workloads", default=",".join(n for n, w in WORKLOADS.items() if n != "subclassed"))
    parser.add_argument("--rows", nargs="*", default=[], help="files that `run.py --json` wrote")
    args = parser.parse_args()
    rows = {row.name: row for file in args.rows for row in table.load(file)}
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    _, most = limits.measured(cores, 0.2)
    print(f"At most on {cores} cores: {most['peak']:.0f} GFLOP/s, {most['triad']:.0f} GB/s\n")
    print(
        f"{'a step of':18} {'GFLOP':>8} {'Adam MB':>8} {'least ms':>9}   share of it: rkeras  best rival   at most   goal"
    )
    for name in args.workloads.split(","):
        work = WORKLOADS[name]
        gflop, moved = step(name)
        least = gflop / most["peak"] + moved / most["triad"] / 1e9
        line = f"{name:18} {gflop:8.3f} {moved / 1e6:8.0f} {least * 1e3:9.3f}"
        row = rows.get(name)
        if row and row.ratio() is not None:
            best, speed = row.rival()
            ours, theirs = (least * v / work.batch for v in (row.values[table.OURS], speed))
            goal = row.goal.words("") if row.goal else ""
            line += f" {ours:18.0%} {theirs:12.0%} {1 / theirs:9.2f} {goal:>8}  ({best})"
        print(line, flush=True)


if __name__ == "__main__":
    main()
