"""Single kernels beside NumPy, PyTorch and JAX, and beside what the machine can do at most.

python benches/kernels/run.py [--rivals /path/to/python]
python benches/kernels/run.py --quick        rkeras alone, in seconds; nothing is built

The kernels of rkeras and the limits (multiply-adds in registers; a triad of arrays beyond the caches) are measured by
`single.rs`, which Cargo builds; with `--eager`, rkeras is measured by eager ops as its rivals are, without limits.
A process keeps its fastest call; the table shows medians over processes.
"""

import argparse
import os
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

import goals  # noqa: E402
import limits  # noqa: E402
import table  # noqa: E402
from calls import kernels  # noqa: E402
from rivals import default_python, interpreters, spawn  # noqa: E402

FRAMEWORKS = ["rkeras", "numpy", "torch", "torch-channels-last", "jax"]


def kernels_of_ours(cores, seconds):
    """Kernel -> seconds, and what the machine can do at most: {"peak": GFLOP/s, "triad": GB/s}."""
    wanted = [",".join([kernel.op, *map(str, kernel.sizes)]) for kernel in kernels()]
    times, limit = limits.measured(cores, seconds, wanted)
    return dict(zip([kernel.what for kernel in kernels()], times)), limit


def goal_of(kernel, limit):
    """What rkeras should reach in one kernel."""
    if kernel.family == "function":
        return goals.FUNCTIONS
    most = limit.get("triad" if kernel.family == "stream" else "peak")
    return table.Goal(">=", goals.LIMITS[kernel.family] * most, ratio=False) if most else None


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--frameworks", default=",".join(FRAMEWORKS))
    parser.add_argument("--rivals", default=default_python())
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--eager", action="store_true", help="rkeras by eager ops; nothing is built")
    parser.add_argument("--quick", action="store_true", help="the same, rkeras alone, in seconds")
    parser.add_argument("--json", help="write the rows there")
    args = parser.parse_args()
    wanted = [table.OURS] if args.quick else args.frameworks.split(",")
    rounds, seconds = (1, 0.01) if args.quick else (args.rounds, 0.2)
    pythons = interpreters(args.rivals, wanted)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    rows = []
    for used in sorted({1, cores}):
        runs, found = {}, []
        for _ in range(rounds):
            for name, python in pythons.items():
                if name == table.OURS and not (args.eager or args.quick):
                    run, limit = kernels_of_ours(used, seconds)
                    found.append(limit)
                else:
                    run = spawn([python, HERE / "calls.py", name, used, seconds])
                if run is not None:
                    runs.setdefault(name, []).append(run)
        limit = {key: max(one[key] for one in found) for key in (found[0] if found else ())}
        suffix = f", {used} core{'s' * (used > 1)}"
        print(f"\nAt most{suffix}: {limit or 'not measured'}")
        notes = table.failures(runs)
        for kernel in kernels():
            samples = {
                n: [kernel.work / run[kernel.what] for run in found if kernel.what in run]
                for n, found in runs.items()
            }
            what = kernel.what + suffix
            goal = goal_of(kernel, limit)
            rows.append(table.medians(what, what, kernel.unit, samples, goal=goal, notes=notes))
            print(table.details(rows[-1]), flush=True)
    table.finish(rows, args.json)


if __name__ == "__main__":
    main()
