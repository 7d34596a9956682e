"""What rkeras should reach. A ratio is rkeras divided by the best rival of the same run."""

from table import Goal

# Samples per second, by workload of `steps/workloads.py`.
SPEED = {
    "mlp_small": 4,
    "mlp_large": 1.4,
    "convnet": 1.7,
    "vgg_bn": 1.4,
    "separable": 2,
    "conv1d": 1.5,
    "lstm": 2,
    "gru": 2.5,
    "bidirectional": 1.8,
    "conv_lstm": 1.5,
    "encoder": 1.8,
    "encoder_predict": 1.4,
    "chars": 1.8,
    "resnet18": 1.1,
    "resnet18_one": 1.1,
}
SPEED = {name: Goal(">=", bound) for name, bound in SPEED.items()}
# A `train_step` of one's own beside the built-in one; what lies below is the spread of two runs.
OWN_STEP = Goal(">=", 0.95, ratio=False)
# Peak memory of training, by workload.
MEMORY = dict.fromkeys(("vgg_bn", "encoder"), Goal("<=", 0.5))
# Percent between the losses of rkeras and of Keras on JAX after the same steps.
LOSS = Goal("<=", 1, ratio=False)
# Of single calls and starts, by quantity of `overhead/worker.py`; in its unit.
OVERHEAD = {
    "import": 0.1,
    "first_batch": 0.3,
    "first_encoder": 0.3,
    "compile": 0.5,
    "call_mlp": 8,
    "call_convnet": 20,
    "predict_mlp": 30,
    "predict_convnet": 50,
    "train_tiny": 25,
    "closure": 110,
}
OVERHEAD = {name: Goal("<=", bound, ratio=False) for name, bound in OVERHEAD.items()}
# Slowest divided by fastest time per sample, over sizes of batches and lengths.
LINEAR = Goal("<=", 1.1, ratio=False)
# Speed kept beside other processes, divided by what they left; what lies below 1 is the spread of two runs.
BUSY = Goal(">=", 0.95, ratio=False)
# Milliseconds of CPU per second asleep: what the interpreter itself takes to sleep.
IDLE = Goal("<=", 1, ratio=False)
# Of single kernels: shares of what the machine can do at most, and functions beside PyTorch's.
LIMITS = {"square": 0.9, "skinny": 0.75, "conv": 0.9, "stream": 0.85}
FUNCTIONS = Goal(">=", 5, beside="torch")
