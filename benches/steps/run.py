"""Training speed of rkeras and its rivals: fresh processes, alternating, medians with min-max, losses, peak memory.

python benches/steps/run.py                         all workloads, every framework that is installed
python benches/steps/run.py --workloads mlp_small --frameworks rkeras,keras-jax
python benches/steps/run.py --rivals /path/to/python   the interpreter that has Keras, JAX, TensorFlow
"""

import argparse
import statistics
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

import goals  # noqa: E402
import table  # noqa: E402
from rivals import FRAMEWORKS, OPTIONAL, default_python, interpreters, spawn  # noqa: E402
from workloads import WORKLOADS, find  # noqa: E402

CONTENDER = 0.5  # after the first round, rivals below this share of the best one are not measured again


def measure(workload, pythons, rounds, epochs, share, folder):
    """Framework -> rows of its processes, or of one that failed."""
    runs, model = {}, []
    if "onnxruntime" in pythons and not find(workload).train:
        model = [folder / f"{workload}.onnx"]
        made = spawn([sys.executable, HERE / "worker.py", "export", workload, *model])
        if made.get("failed"):
            print(f"  export to ONNX failed: {made['failed']}")
            model = []
    for turn in range(rounds):
        for name, python in contenders(runs, pythons) if turn else pythons.items():
            row = spawn([python, HERE / "worker.py", name, workload, epochs, share, *model])
            if row is not None:
                runs.setdefault(name, []).append(row)
    return runs


def contenders(runs, pythons):
    """rkeras and the rivals that may be the best of all rounds."""
    first = {n: max(rows[0]["speeds"]) for n, rows in runs.items() if "speeds" in rows[0]}
    best = max((v for n, v in first.items() if n != table.OURS), default=0)
    return [(n, pythons[n]) for n, v in first.items() if n == table.OURS or v >= CONTENDER * best]


def median_of(rows, key):
    """The median of what the processes of a framework measured; None if they all failed."""
    found = [v for row in rows if "failed" not in row for v in (row[key] if key == "speeds" else [row[key]])]
    return statistics.median(found) if found else None


def rows_of(workload, runs):
    """The rows of the table for one workload: speed, and peak memory where it has a goal."""
    notes = table.failures(runs)
    what = f"{find(workload).what}, {'train' if find(workload).train else 'predict'}"
    speed = {n: median_of(rows, "speeds") for n, rows in runs.items()}
    goal = goals.SPEED.get(workload)
    rows = [table.Row(workload, what, "samples/s", speed, goal=goal, notes=notes)]
    if workload in goals.MEMORY:
        peak = {n: median_of(rows, "peak_mib") for n, rows in runs.items()}
        name, what = f"{workload}_memory", f"Peak memory, {what}"
        rows.append(table.Row(name, what, "MiB", peak, False, goals.MEMORY[workload], notes))
    return rows


def own_step(rows):
    """The speed of a `train_step` of one's own as a share of the built-in one."""
    by_name = {row.name: row.values for row in rows}
    own, built_in = by_name.get("subclassed", {}), by_name.get("mlp_small", {})
    shares = {
        n: v / built_in[n] for n, v in own.items() if v and built_in.get(n) and not n.startswith("torch")
    }
    if not shares:
        return []
    what = "A train_step of one's own ÷ the built-in one"
    return [table.Row("own_step", what, "×", shares, goal=goals.OWN_STEP)]


def show(runs, rows):
    """Prints what one workload measured."""
    print(f"\n{rows[0].what}")
    head = f"{'samples/s':>11} {'min':>10} {'max':>10} {'loss of epoch 1':>15} {'ready s':>8} {'peak MiB':>9}"
    print(f"  {'':22} {head}")
    for name, processes in runs.items():
        worked = [row for row in processes if "failed" not in row]
        if not worked:
            print(f"  {name:22} failed: {processes[0]['failed']}")
            continue
        speeds = [s for row in worked for s in row["speeds"]]
        print(
            f"  {name:22} {statistics.median(speeds):11,.0f} {min(speeds):10,.0f} {max(speeds):10,.0f}"
            f" {worked[0]['losses'][0]:15.4f} {median_of(worked, 'ready'):8.2f} {median_of(worked, 'peak_mib'):9.0f}"
        )
    for row in rows:
        if row.ratio() is not None:
            end = f"goal {row.goal.words(row.unit)}: {row.verdict()}" if row.goal else "no goal"
            print(
                f"  {row.unit}: rkeras / best rival ({row.rival()[0]}): {row.ratio():.2f}; {end}", flush=True
            )


def arguments():
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--workloads", default=",".join(WORKLOADS))
    parser.add_argument("--frameworks", default=",".join(FRAMEWORKS), help=f"also {', '.join(OPTIONAL)}")
    parser.add_argument("--rivals", default=default_python())
    parser.add_argument("--rounds", type=int, default=3, help="processes per framework and workload")
    parser.add_argument("--epochs", type=int, default=3, help="timed epochs per process, at most")
    parser.add_argument("--share", type=float, default=1.0, help="of the data, per epoch")
    parser.add_argument("--quick", action="store_true", help="one short round: does it run and learn?")
    parser.add_argument("--readme", help="put the table between the marks in this Markdown file")
    parser.add_argument("--json", help="write the rows there")
    return parser.parse_args()


def main():
    args = arguments()
    rounds, epochs, share = (1, 2, 0.1) if args.quick else (args.rounds, args.epochs, args.share)
    pythons = interpreters(args.rivals, args.frameworks.split(","))
    rows, broken = [], []
    with tempfile.TemporaryDirectory() as folder:
        for workload in args.workloads.split(","):
            runs = measure(workload, pythons, rounds, epochs, share, Path(folder))
            rows += rows_of(workload, runs)
            show(runs, [row for row in rows if row.name in (workload, f"{workload}_memory")])
            ours = runs.get(table.OURS, [])
            if ours and "failed" in ours[0]:
                broken.append(f"{workload}: rkeras failed: {ours[0]['failed']}")
            elif ours and find(workload).train and len(ours[0]["losses"]) > 1:
                losses = ours[0]["losses"]
                if not losses[-1] < losses[0]:
                    broken.append(f"{workload}: expected the loss to fall. Received: {losses}")
    rows += own_step(rows)
    print("\n" + table.summary(rows))
    if args.readme:
        speeds = [row for row in rows if row.unit == "samples/s"]
        text = f"{table.markdown(speeds, FRAMEWORKS + OPTIONAL)}\n\nMeasured on {table.machine()}, each row in one run."
        table.replace_between(args.readme, "speed table", text)
    if args.json:
        table.save(args.json, rows)
    if broken:
        raise SystemExit("\n".join(broken))


if __name__ == "__main__":
    main()
