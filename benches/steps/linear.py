"""Is time proportional to work: time per sample over batch sizes, time per step of a sequence over lengths.

python benches/steps/linear.py [--frameworks rkeras,torch] [--rivals /path/to/python]
python benches/steps/linear.py --quick       two sizes of the smallest, rkeras alone
"""

import argparse
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

import goals  # noqa: E402
import table  # noqa: E402
from rivals import default_python, interpreters  # noqa: E402
from run import measure, median_of  # noqa: E402
from workloads import find  # noqa: E402

BATCHES = [64, 256, 1024, 4096]
LENGTHS = [128, 256, 512, 1024]
# The large MLP is not among them: its optimizer passes over ten million weights per step, whatever the batch.
SERIES = {name: [f"{name}@{n}" for n in BATCHES] for name in ("mlp_small", "convnet")}
SERIES |= {name: [f"{name}@64x{n}" for n in LENGTHS] for name in ("conv1d", "lstm", "gru")}


def size_of(name):
    """Batch size, or length where that is what changes."""
    return int(name.partition("@")[2].split("x")[-1])


def microseconds(name, speed):
    """Of a sample, or of a step of its sequence."""
    work = find(name)
    steps = work.shape[0] if "x" in name.partition("@")[2] else 1
    return 1e6 / speed / steps


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--workloads", default=",".join(SERIES))
    parser.add_argument("--frameworks", default="rkeras,keras-jax,torch")
    parser.add_argument("--rivals", default=default_python())
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true")
    args = parser.parse_args()
    rounds, epochs = (1, 1) if args.quick else (args.rounds, 3)
    wanted = args.frameworks.split(",")
    series = {name: SERIES[name] for name in args.workloads.split(",")}
    if args.quick:
        wanted, series = [table.OURS], {"mlp_small": SERIES["mlp_small"][:2]}
    pythons = interpreters(args.rivals, wanted)
    rows = []
    for workload, sizes in series.items():
        print(f"\n{workload}: microseconds per sample" + (" and step" if "x" in sizes[0] else ""))
        times, notes = {}, {}
        for name in sizes:
            # The same work for all: four batches of the largest size.
            share = (4 * size_of(sizes[-1]) / size_of(name) + 0.5) / find(name).batches
            with tempfile.TemporaryDirectory() as folder:
                runs = measure(name, pythons, rounds, epochs, share, Path(folder))
            notes |= table.failures(runs)
            for framework, processes in runs.items():
                if speed := median_of(processes, "speeds"):
                    times.setdefault(framework, {})[name] = microseconds(name, speed)
            cells = [f"{n} {table.number(t[name])}" for n, t in times.items() if name in t]
            print(f"  {name:18} " + "   ".join(cells), flush=True)
        apart = {n: max(t.values()) / min(t.values()) for n, t in times.items() if len(t) == len(sizes)}
        what = f"{workload}, {size_of(sizes[0])} to {size_of(sizes[-1])}: slowest ÷ fastest"
        rows.append(table.Row(workload, what, "×", apart, more=False, goal=goals.LINEAR, notes=notes))
    table.finish(rows)


if __name__ == "__main__":
    main()
