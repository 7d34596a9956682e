"""How fast a mixed policy trains beside float32: both models in one process, epochs alternating, the best of each.

python benches/steps/policies.py                                   every workload that trains, mixed_bfloat16
python benches/steps/policies.py --workloads convnet,lstm --rounds 9
python benches/steps/policies.py --policy mixed_float16 --seconds 0.5

The losses of the last epochs are printed beside the speeds: a policy that computes something else shows there.
"""

import argparse
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

from rivals import spawn  # noqa: E402
from workloads import WORKLOADS, find  # noqa: E402


def model_of(keras, work, policy):
    """The compiled model of a workload under a policy."""
    keras.mixed_precision.set_global_policy(policy)
    keras.utils.set_random_seed(1)
    model = work.model(keras)
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def measure(workload, policy, rounds, seconds):
    """Policy -> [samples per second of every epoch, the last loss]."""
    import rkeras as keras

    work = find(workload)
    x, y = work.load(1.0)
    policies = ("float32", policy)
    fit = {"batch_size": work.batch, "epochs": 1, "shuffle": False, "verbose": 0}
    trial, few = model_of(keras, work, "float32"), 4 * work.batch
    trial.fit(x[:few], y[:few], **fit)
    begin = time.perf_counter()
    trial.fit(x[:few], y[:few], **fit)
    batches = max(1, round(4 * seconds / (time.perf_counter() - begin)))
    x, y = x[: batches * work.batch], y[: batches * work.batch]
    models = {p: model_of(keras, work, p) for p in policies}
    for model in models.values():
        model.fit(x[: work.batch], y[: work.batch], **fit)
    found = {p: [[], None] for p in policies}
    for turn in range(rounds):
        for p in policies[:: 1 if turn % 2 else -1]:
            begin = time.perf_counter()
            history = models[p].fit(x, y, **fit)
            found[p][0].append(len(x) / (time.perf_counter() - begin))
            found[p][1] = history.history["loss"][-1]
    return found


def arguments():
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--workloads", default=",".join(n for n, work in WORKLOADS.items() if work.train))
    parser.add_argument("--policy", default="mixed_bfloat16")
    parser.add_argument("--rounds", type=int, default=7, help="epochs of each policy")
    parser.add_argument("--seconds", type=float, default=0.3, help="of an epoch, about")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    return parser.parse_args()


def main():
    args = arguments()
    if args.one:
        import json

        return print(json.dumps(measure(args.one, args.policy, args.rounds, args.seconds)))
    print(f"{'samples/s (best)':16} {'float32':>11} {args.policy:>16} {'ratio':>7}   last losses")
    for workload in args.workloads.split(","):
        options = ["--policy", args.policy, "--rounds", args.rounds, "--seconds", args.seconds]
        found = spawn([sys.executable, Path(__file__), "--one", workload, *options], 600)
        if "failed" in found:
            print(f"{workload:16} failed: {found['failed']}", flush=True)
            continue
        (base, loss), (mixed, mixed_loss) = found["float32"], found[args.policy]
        print(
            f"{workload:16} {max(base):11,.0f} {max(mixed):16,.0f} {max(mixed) / max(base):7.2f}"
            f"   {loss:.4f} {mixed_loss:.4f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
