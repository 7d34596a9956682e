"""What the machine can do at most, and what single kernels of rkeras do: measured by Rust, which Cargo builds."""

from rivals import ROOT, spawn

CARGO = ["cargo", "bench", "--quiet", "--profile", "fast", "--manifest-path", ROOT / "Cargo.toml"]
CARGO += ["-p", "rkeras-kernels", "--bench", "single", "--"]


def measured(cores, seconds, kernels=()):
    """Seconds of each kernel ("op,size,size"), and the limits: {"peak": GFLOP/s, "triad": GB/s}."""
    found = spawn([*CARGO, seconds, *kernels], 1800, RKERAS_NUM_THREADS=str(cores))
    if "failed" in found:
        raise SystemExit(f"the kernels of rkeras could not be measured: {found['failed']}")
    return found.pop("times"), found
