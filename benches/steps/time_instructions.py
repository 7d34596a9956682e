"""Where the time of a training step goes: milliseconds per instruction of the compiled program.

python benches/steps/time_instructions.py convnet
python benches/steps/time_instructions.py convnet --steps 50 --top 30
python benches/steps/time_instructions.py convnet --policy mixed_bfloat16
"""

import argparse

from compiled import first_batch
from workloads import WORKLOADS


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("workload", choices=WORKLOADS)
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--top", type=int, default=40)
    parser.add_argument("--policy", default="float32")
    args = parser.parse_args()
    import rkeras as keras

    keras.mixed_precision.set_global_policy(args.policy)
    work = WORKLOADS[args.workload]
    batch = work.batch
    _, program, (x, y) = first_batch(keras, work, train=True)
    for _ in range(3):
        program(x, y)
    program.profile()
    for _ in range(args.steps):
        program(x, y)
    times = [(seconds / args.steps * 1e3, words) for words, seconds in program.times()]
    total = sum(t for t, _ in times)
    print(f"{total:.2f} ms per step of {batch}, {batch / total * 1e3:,.0f} samples/s")
    by_op = {}
    for t, words in times:
        name = words.split()[1]
        by_op[name] = by_op.get(name, 0) + t
    for name, t in sorted(by_op.items(), key=lambda item: -item[1]):
        print(f"{t:9.3f} {t / total:6.1%}  {name}")
    print()
    for t, words in sorted(times, reverse=True)[: args.top]:
        print(f"{t:9.3f}  {words}")


if __name__ == "__main__":
    main()
