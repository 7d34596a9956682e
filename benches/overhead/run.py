"""What rkeras and its rivals cost beside the arithmetic: import, first batches, single calls, compile time, disk.

python benches/overhead/run.py [--rivals /path/to/python]
python benches/overhead/run.py --quick       rkeras alone, in seconds
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE.parent / "steps")]

import goals  # noqa: E402
import table  # noqa: E402
from rivals import FRAMEWORKS, default_python, interpreters, spawn  # noqa: E402

# Key in the worker's answer: (what, unit).
ROWS = {
    "import": ("Import in a fresh process", "s"),
    "first_batch": ("Start of the process to the first trained batch, small MLP", "s"),
    "first_encoder": ("First step of the encoder, compilation included", "s"),
    "compile": ("First step of a model of 200 layers, less its second", "s"),
    "call_mlp": ("model(x), one row, small MLP", "µs"),
    "call_convnet": ("model(x), one row, convnet", "µs"),
    "predict_mlp": ("model.predict(x), one row, small MLP", "µs"),
    "predict_convnet": ("model.predict(x), one row, convnet", "µs"),
    "train_tiny": ("train_on_batch, MLP 8-8-1, 8 rows", "µs"),
    "add": ("a + b, eager, 4x4", "µs"),
    "softmax": ("softmax, eager, 4x4", "µs"),
    "closure": ("Installed files that the import needs", "MiB"),
}
NUMPY = "import time; start = time.perf_counter(); import numpy; print(time.perf_counter() - start)"


def export(folder):
    """The models that ONNX Runtime runs, as rkeras writes them."""
    files = [folder / f"{name}.onnx" for name in ("mlp_small", "convnet")]
    for path in files:
        made = spawn([sys.executable, HERE.parent / "steps" / "worker.py", "export", path.stem, path])
        if made.get("failed"):
            raise SystemExit(f"export to ONNX failed: {made['failed']}")
    return files


def measure(pythons, rounds, seconds):
    """Framework -> what its processes answered, one per round; rounds alternate."""
    runs = {}
    with tempfile.TemporaryDirectory() as folder:
        files = export(Path(folder)) if "onnxruntime" in pythons else []
        for turn in range(rounds):
            for name, python in pythons.items():
                if turn and "failed" in runs.get(name, [{"failed": "absent"}])[0]:
                    continue
                more = files if name == "onnxruntime" else []
                row = spawn([python, HERE / "worker.py", name, time.time(), seconds, turn, *more], 480)
                if row is not None:
                    runs.setdefault(name, []).append(row)
    return runs


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--frameworks", default=",".join(FRAMEWORKS))
    parser.add_argument("--rivals", default=default_python())
    parser.add_argument("--rounds", type=int, default=5, help="processes per framework")
    parser.add_argument("--quick", action="store_true", help="rkeras alone, one short round")
    parser.add_argument("--json", help="write the rows there")
    args = parser.parse_args()
    wanted = [table.OURS] if args.quick else args.frameworks.split(",")
    rounds, seconds = (1, 0.05) if args.quick else (args.rounds, 0.5)
    numpy = [spawn([sys.executable, "-c", NUMPY]) for _ in range(rounds + 1)][
        1:
    ]  # the first writes byte code
    runs = measure(interpreters(args.rivals, wanted), rounds, seconds)
    notes = table.failures(runs)
    rows = []
    for key, (what, unit) in ROWS.items():
        samples = {n: [row[key] for row in found if key in row] for n, found in runs.items()}
        rows.append(
            table.medians(key, what, unit, samples, more=False, goal=goals.OVERHEAD.get(key), notes=notes)
        )
        print(table.details(rows[-1]))
        if key == "import":
            print(f"  {'(NumPy alone)':22} {min(numpy):10.3f}   ({min(numpy):.3f} to {max(numpy):.3f})")
    table.finish(rows, args.json)


if __name__ == "__main__":
    main()
