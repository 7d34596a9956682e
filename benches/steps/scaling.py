"""How training speed grows with threads: samples per second and efficiency from 1 to N.

python benches/steps/scaling.py
python benches/steps/scaling.py --workloads mlp_large,vgg_bn --threads 1,2,4,8

Efficiency is the speed on n threads divided by n times the speed on one. Processes are fresh, rounds alternate.
"""

import argparse
import os
import statistics
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

from rivals import spawn  # noqa: E402
from workloads import find  # noqa: E402


def speeds(workload, threads, epochs, share):
    """Samples per second of the epochs of one process."""
    command = [sys.executable, HERE / "worker.py", "rkeras", workload, epochs, share]
    row = spawn(command, RKERAS_NUM_THREADS=str(threads))
    if "failed" in row:
        raise SystemExit(f"{workload}: rkeras failed: {row['failed']}")
    return row["speeds"]


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    counts = [n for n in (1, 2, 4, 8, 16, 32, 64, 128) if n <= cores]
    parser.add_argument("--workloads", default="mlp_small,mlp_large,convnet,vgg_bn")
    parser.add_argument("--threads", default=",".join(map(str, counts)))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--share", type=float, default=0.5, help="part of the samples of an epoch")
    args = parser.parse_args()
    counts = [int(n) for n in args.threads.split(",")]
    for workload in args.workloads.split(","):
        runs = {n: [] for n in counts}
        for _ in range(args.rounds):
            for n in counts:
                runs[n] += speeds(workload, n, args.epochs, args.share)
        middle = {n: statistics.median(r) for n, r in runs.items()}
        print(f"\n{find(workload).what}")
        print(f"  {'threads':>7} {'samples/s':>11} {'efficiency':>11}")
        for n in counts:
            share = middle[n] / middle[counts[0]] * counts[0] / n
            print(f"  {n:7} {middle[n]:11,.0f} {share:11.0%}")


if __name__ == "__main__":
    main()
