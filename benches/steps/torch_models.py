"""The workloads as PyTorch modules: the same layers, logits out."""

from importlib import import_module
from importlib.util import find_spec

from torch import nn


def mlp_small():
    hidden = [nn.Linear(784, 64), nn.ReLU(), nn.Dropout(0.2), nn.Linear(64, 32), nn.ReLU()]
    return nn.Sequential(*hidden, nn.Linear(32, 10))


def mlp_large():
    stack, size = [], 784
    for _ in range(3):
        stack += [nn.Linear(size, 2048), nn.ReLU()]
        size = 2048
    return nn.Sequential(*stack, nn.Linear(2048, 10))


MODELS = {"mlp_small": mlp_small, "mlp_large": mlp_large, "subclassed": mlp_small}
CHANNELS_FIRST = set()  # workloads whose data PyTorch wants with the channels in front
# Each family of workloads brings its own file.
for _name in ("torch_models_conv", "torch_models_rnn", "torch_models_attention"):
    if find_spec(_name):
        _family = import_module(_name)
        MODELS |= _family.MODELS
        CHANNELS_FIRST |= getattr(_family, "CHANNELS_FIRST", set())
