"""A busy machine: training while processes of the lowest priority spin on every core, and idle threads.

python benches/steps/busy.py [--frameworks rkeras,torch] [--rivals /path/to/python]
python benches/steps/busy.py --quick         rkeras alone, in seconds

Free and busy spells alternate in one process. Throughput may fall by the share of the machine that the spinning
processes took, as the kernel accounts it: kept speed ÷ (1 - share) should be 1 or more.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

import goals  # noqa: E402
import table  # noqa: E402
from rivals import default_python, interpreters, keras_of, spawn  # noqa: E402
from workloads import WORKLOADS, find  # noqa: E402

CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
SPIN = "import os; os.nice(19)\nwhile True: pass"


def trainer(framework, workload, share):
    """A function that trains an epoch."""
    if framework.startswith("torch"):
        import torch_worker

        work, model, x, y = torch_worker.prepared(framework, workload, share)
        return torch_worker.trainer(model, x, y, work.batch)
    keras, options = keras_of(framework)
    from worker import epochs_of

    work = find(workload)
    x, y = work.load(share)
    return epochs_of(keras, options, work.model(keras), x, y, work.batch, work.train)


def speed(epoch, seconds):
    """Epochs per second."""
    start, count = time.perf_counter(), 0
    while time.perf_counter() - start < seconds:
        epoch()
        count += 1
    return count / (time.perf_counter() - start)


def spell(epoch, seconds):
    """Epochs per second beside spinning processes, and the share of the machine that they took."""
    others = [subprocess.Popen([sys.executable, "-c", SPIN]) for _ in range(CORES)]
    try:
        time.sleep(0.3)  # until they spin
        before, start = spun(others), time.perf_counter()
        busy = speed(epoch, seconds)
        return busy, (spun(others) - before) / (time.perf_counter() - start) / CORES
    finally:
        for other in others:
            other.kill()
            other.wait()


def spun(processes):
    """CPU seconds that they used."""
    ticks = 0
    for process in processes:
        fields = Path(f"/proc/{process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def measure(framework, workload, share, spells, seconds):
    """What one process answers: kept speed, spinners' share, and CPU milliseconds per second of sleep."""
    epoch = trainer(framework, workload, share)
    epoch()
    time.sleep(0.2)  # until workers have gone to sleep
    before = time.process_time()
    time.sleep(1.0)
    idle = 1e3 * (time.process_time() - before)
    free, busy, shares = [], [], []
    for _ in range(spells):
        free.append(speed(epoch, seconds))
        rate, taken = spell(epoch, seconds)
        busy.append(rate)
        shares.append(taken)
    kept, taken = statistics.median(busy) / statistics.median(free), statistics.median(shares)
    return {"kept": kept, "taken": taken, "fair": kept / (1 - taken), "idle": idle}


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("framework", nargs="?", help=argparse.SUPPRESS)  # set in the measured processes
    parser.add_argument("--workloads", default="mlp_small,mlp_large,convnet,gru")
    parser.add_argument("--frameworks", default="rkeras,keras-jax,torch")
    parser.add_argument("--rivals", default=default_python())
    parser.add_argument("--share", type=float, default=0.1, help="part of the samples of an epoch")
    parser.add_argument("--spells", type=int, default=3, help="free and busy ones each")
    parser.add_argument("--seconds", type=float, default=2.0, help="of a spell")
    parser.add_argument("--quick", action="store_true")
    args = parser.parse_args()
    if args.framework:
        return print(
            json.dumps(measure(args.framework, args.workloads, args.share, args.spells, args.seconds))
        )
    if args.quick:
        args.workloads, args.frameworks, args.spells, args.seconds = "mlp_small", table.OURS, 1, 0.5
    rows = []
    for workload in args.workloads.split(","):
        found = {}
        for name, python in interpreters(args.rivals, args.frameworks.split(",")).items():
            options = ["--workloads", workload, "--share", args.share]
            options += ["--spells", args.spells, "--seconds", args.seconds]
            run = spawn([python, __file__, name, *options])
            if run is not None:
                found[name] = run
        print(f"\n{WORKLOADS[workload].what}, beside {CORES} spinning processes of the lowest priority")
        for name, run in found.items():
            words = run.get("failed") or (
                f"kept {run['kept']:.0%} of its speed, the others took {run['taken']:.0%} of the machine;"
                f" asleep it used {run['idle']:.1f} ms of CPU per second"
            )
            print(f"  {name:22} {words}", flush=True)
        worked = {n: run for n, run in found.items() if "failed" not in run}
        notes = {n: run["failed"] for n, run in found.items() if "failed" in run}
        for key, words, unit, goal in (
            ("fair", "kept speed ÷ what was left", "×", goals.BUSY),
            ("idle", "CPU while asleep after training", "ms/s", goals.IDLE),
        ):
            values = {n: run[key] for n, run in worked.items()}
            rows.append(
                table.Row(
                    f"{workload}_{key}", f"{workload}: {words}", unit, values, key == "fair", goal, notes
                )
            )
    table.finish(rows)


if __name__ == "__main__":
    main()
