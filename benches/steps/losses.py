"""Does rkeras compute what Keras computes: losses after the same steps, from the same weights and data.

python benches/steps/losses.py                       all workloads; Keras on JAX is what the others are compared with
python benches/steps/losses.py --workloads vgg_bn --steps 48

rkeras writes the weights as .weights.h5, everyone reads that file. Dropout is switched off (everyone draws other random
numbers). The other backends of Keras show how far apart two programs drift by rounding alone; `rkeras-precise` is
rkeras without Winograd's convolutions.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

import goals  # noqa: E402
import table  # noqa: E402
from rivals import default_python, interpreters, keras_of, spawn  # noqa: E402
from workloads import WORKLOADS, find  # noqa: E402

JUDGE = "keras-jax"
PRECISE = "rkeras-precise"
FRAMEWORKS = ["rkeras", JUDGE, "keras-tensorflow", "keras-torch"]
EPOCHS = 2


def losses(framework, workload, steps, path):
    """The loss of each epoch of so many steps; for prediction, a number that tells what was computed.

    Args:
        framework, workload: as for `worker.py`.
        steps: per epoch.
        path: of the weights; rkeras writes the file where there is none.
    """
    keras, options = keras_of(framework)
    from worker import epochs_of

    work = find(workload)
    x, y = work.load((steps + 0.5) / work.batches)
    model = work.model(keras)
    for layer in model._flatten_layers():
        if isinstance(layer, keras.layers.Dropout):
            layer.rate = 0.0
    model.load_weights(path) if Path(path).exists() else model.save_weights(path)
    epoch = epochs_of(keras, options, model, x, y, work.batch, work.train)
    return [epoch() for _ in range(EPOCHS if work.train else 1)]


def compare(workload, pythons, steps, folder):
    """Framework -> its losses, or why there are none."""
    path = folder / f"{workload}.weights.h5"
    runs = {}
    for name, python in pythons.items():
        more = {"RKERAS_PRECISE": "1"} if name == PRECISE else {}
        base = table.OURS if more else name
        command = [python, __file__, base, "--workloads", workload, "--steps", steps, "--file", path]
        runs[name] = spawn(command, 900, **more)
    return runs


def row_of(workload, runs):
    """How far the loss of the last epoch lies from the judge's, in percent."""
    notes = {n: run["failed"] for n, run in runs.items() if "failed" in run}
    last = {n: run["losses"][-1] for n, run in runs.items() if n not in notes}
    apart = {n: 100 * abs(v / last[JUDGE] - 1) for n, v in last.items() if JUDGE in last and n != JUDGE}
    what = f"{find(workload).what}: loss beside {JUDGE}'s"
    return table.Row(workload, what, "%", apart, more=False, goal=goals.LOSS, notes=notes)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "framework", nargs="?", help=argparse.SUPPRESS
    )  # set in the processes that are compared
    parser.add_argument("--file", help=argparse.SUPPRESS)
    parser.add_argument("--workloads", default=",".join(WORKLOADS))
    parser.add_argument("--frameworks", default=",".join(FRAMEWORKS))
    parser.add_argument("--rivals", default=default_python())
    parser.add_argument("--steps", type=int, default=8, help="per epoch; there are two")
    parser.add_argument("--quick", action="store_true", help="four steps of the small MLP, without rivals")
    args = parser.parse_args()
    if args.framework:
        return print(json.dumps({"losses": losses(args.framework, args.workloads, args.steps, args.file)}))
    if args.quick:
        args.workloads, args.frameworks, args.steps = "mlp_small", table.OURS, 4
    found = interpreters(args.rivals, args.frameworks.split(","))
    pythons = {table.OURS: sys.executable, PRECISE: sys.executable, **found}
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for workload in args.workloads.split(","):
            runs = compare(workload, pythons, args.steps, Path(folder))
            rows.append(row_of(workload, runs))
            print(f"\n{rows[-1].what}, {args.steps} steps per epoch")
            for name, run in runs.items():
                apart = rows[-1].values.get(name)
                words = run.get("failed") or "  ".join(f"{loss:.6f}" for loss in run["losses"])
                print(f"  {name:22} {words}" + ("" if apart is None else f"   {apart:.3f} %"), flush=True)
    table.finish(rows)


if __name__ == "__main__":
    main()
