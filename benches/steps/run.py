"""Training speed of rkeras and its rivals: fresh processes, alternating, medians with min-max, final losses.

python benches/steps/run.py                         all workloads, every framework that is installed
python benches/steps/run.py --workloads mlp_small --frameworks rkeras,keras-jax
python benches/steps/run.py --rivals /path/to/python   the interpreter that has Keras, JAX, TensorFlow
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(HERE))

from workloads import PREDICTED, WORKLOADS  # noqa: E402

FRAMEWORKS = [
    "rkeras",
    "keras-tensorflow",
    "keras-tensorflow-xla",
    "keras-jax",
    "keras-torch",
    "torch",
    "torch-channels-last",
]
# torch-compile takes half a minute to compile; it runs when it is asked for.
# A limit left in the shell by something else would slow one side only.
CLEARED = (
    "OPENBLAS_CORETYPE",
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "RKERAS_NUM_THREADS",
    "XLA_FLAGS",
)


def environment():
    return {k: v for k, v in os.environ.items() if k not in CLEARED}


def has(python, module):
    return (
        subprocess.run(
            [python, "-c", f"import importlib.util as u, sys; sys.exit(u.find_spec('{module}') is None)"],
            env=environment(),
        ).returncode
        == 0
    )


def interpreters(rivals):
    """Which interpreter runs which framework; frameworks that nothing can run are left out."""
    found = {}
    for name in [*FRAMEWORKS, "torch-compile"]:
        python = sys.executable if name == "rkeras" else rivals
        parts = name.split("-")
        backend = parts[1] if parts[0] == "keras" else parts[0]
        if python and has(python, backend):
            found[name] = python
    return found


def measure(python, framework, workload, epochs, share):
    out = subprocess.run(
        [python, str(HERE / "worker.py"), framework, workload, str(epochs), str(share)],
        env=environment(), capture_output=True, text=True,
    )  # fmt: skip
    if out.returncode == 3:
        return None  # it has no such model
    if out.returncode:
        raise SystemExit(f"{framework} failed on {workload}:\n{out.stderr[-3000:]}")
    return json.loads(out.stdout.strip().splitlines()[-1])


def write_table(path, results):
    """Replaces what stands between the marks of `path` by the medians of this run."""
    import platform

    names = [n for n in FRAMEWORKS if any(n in runs for runs in results.values())]
    lines = [
        "| samples/s (median) | " + " | ".join(names) + " | rkeras ÷ best rival |",
        "|---|" + "--:|" * (len(names) + 1),
    ]
    for workload, runs in results.items():
        middle = {n: statistics.median(s for row in rows for s in row["speeds"]) for n, rows in runs.items()}
        rivals = [v for n, v in middle.items() if n != "rkeras"]
        cells = [f"{middle[n]:,.0f}" if n in middle else "–" for n in names]
        cells.append(f"{middle['rkeras'] / max(rivals):.2f}" if rivals else "–")
        kind = "predict" if workload in PREDICTED else "train"
        lines.append(f"| {WORKLOADS[workload][0]}, {kind} | " + " | ".join(cells) + " |")
    cpu = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").is_file() else []
    model = next(
        (line.split(":", 1)[1].strip() for line in cpu if line.startswith("model name")),
        platform.processor(),
    )
    lines.append(f"\nMeasured on {os.cpu_count()} cores of {model}, each row in one run.")
    text = path.read_text()
    start, end = "<!-- speed table -->", "<!-- end of the speed table -->"
    before, rest = text.split(start, 1)
    after = rest.split(end, 1)[1] if end in rest else rest
    path.write_text(f"{before}{start}\n" + "\n".join(lines) + f"\n{end}{after}")


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--workloads", default=",".join(WORKLOADS))
    parser.add_argument("--frameworks", default=",".join(FRAMEWORKS))
    default = ROOT / ".venv-rivals" / "bin" / "python"
    parser.add_argument("--rivals", default=str(default) if default.exists() else sys.executable)
    parser.add_argument("--rounds", type=int, default=3, help="processes per framework and workload")
    parser.add_argument("--epochs", type=int, default=3, help="timed epochs per process")
    parser.add_argument("--quick", action="store_true", help="one short round: does it run and learn?")
    parser.add_argument("--readme", help="put the table between the marks in this Markdown file")
    parser.add_argument("--json", help="write all measurements there")
    args = parser.parse_args()
    rounds, epochs, share = (1, 2, 0.1) if args.quick else (args.rounds, args.epochs, 1.0)
    pythons = {k: v for k, v in interpreters(args.rivals).items() if k in args.frameworks.split(",")}
    if "rkeras" not in pythons:
        raise SystemExit(
            "benches/steps: expected rkeras to be installed in this interpreter. Hint: ./run develop"
        )

    results = {}
    for workload in args.workloads.split(","):
        runs = {name: [] for name in pythons}
        for _ in range(rounds):
            for name, python in pythons.items():
                row = measure(python, name, workload, epochs, share)
                if row is not None:
                    runs[name].append(row)
        runs = results[workload] = {name: rows for name, rows in runs.items() if rows}
        print(f"\n{WORKLOADS[workload][0]}")
        print(
            f"  {'':22} {'samples/s':>11} {'min':>10} {'max':>10} {'last loss':>10} {'ready s':>8} {'peak MiB':>9}"
        )
        middle = {}
        for name, rows in runs.items():
            speeds = [s for row in rows for s in row["speeds"]]
            middle[name] = statistics.median(speeds)
            print(
                f"  {name:22} {middle[name]:11,.0f} {min(speeds):10,.0f} {max(speeds):10,.0f} {rows[0]['losses'][-1]:10.4f}"
                f" {statistics.median(r['ready'] for r in rows):8.2f} {statistics.median(r['peak_mib'] for r in rows):9.0f}"
            )
        rivals = {k: v for k, v in middle.items() if k != "rkeras"}
        if rivals:
            best = max(rivals, key=rivals.get)
            print(f"  rkeras / best rival ({best}): {middle['rkeras'] / rivals[best]:.2f}")
        losses = runs["rkeras"][0]["losses"]
        if workload not in PREDICTED and not (losses[-1] < losses[0]):
            raise SystemExit(f"{workload}: expected the loss to fall. Received: {losses}")
    if args.readme:
        write_table(Path(args.readme), results)
    if args.json:
        Path(args.json).write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
