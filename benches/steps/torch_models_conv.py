"""The convolutional workloads as PyTorch modules: the same layers, channels first, logits out."""

from torch import nn
from torch.nn import functional as F


def convnet():
    return nn.Sequential(
        nn.Conv2d(1, 32, 3),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(64 * 5 * 5, 10),
    )


def vgg_bn():
    stack, channels = [], 3
    for filters in (64, 128, 256):
        for _ in range(2):
            stack += [
                nn.Conv2d(channels, filters, 3, padding=1, bias=False),
                nn.BatchNorm2d(filters, eps=1e-3, momentum=0.01),
                nn.ReLU(),
            ]
            channels = filters
        stack.append(nn.MaxPool2d(2))
    return nn.Sequential(*stack, nn.Flatten(), nn.Linear(256 * 4 * 4, 10))


def separable():
    def norm(channels):
        return [nn.BatchNorm2d(channels, eps=1e-3, momentum=0.01), nn.ReLU()]

    stack, channels = [nn.Conv2d(3, 32, 3, padding=1, bias=False), *norm(32)], 32
    for filters, stride in ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1)):
        stack += [
            nn.Conv2d(channels, channels, 3, stride=stride, padding=1, groups=channels, bias=False),
            *norm(channels),
            nn.Conv2d(channels, filters, 1, bias=False),
            *norm(filters),
        ]
        channels = filters
    return nn.Sequential(*stack, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(256, 10))


def conv1d():
    stack, channels = [], 8
    for filters in (64, 64, 128):
        stack += [nn.Conv1d(channels, filters, 5, padding=2), nn.ReLU(), nn.MaxPool1d(2)]
        channels = filters
    return nn.Sequential(*stack, nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(128, 10))


class Block(nn.Module):
    """Two convolutions and a shortcut."""

    def __init__(self, channels, filters, stride):
        super().__init__()
        self.one = nn.Conv2d(channels, filters, 3, stride, 1, bias=False)
        self.norm_one = nn.BatchNorm2d(filters)
        self.two = nn.Conv2d(filters, filters, 3, 1, 1, bias=False)
        self.norm_two = nn.BatchNorm2d(filters)
        self.short = nn.Identity()
        if stride > 1:
            self.short = nn.Sequential(
                nn.Conv2d(channels, filters, 1, stride, bias=False), nn.BatchNorm2d(filters)
            )

    def forward(self, x):
        y = self.norm_two(self.two(F.relu(self.norm_one(self.one(x)))))
        return F.relu(y + self.short(x))


def resnet18():
    blocks, channels = [], 64
    for filters in (64, 128, 256, 512):
        for block in range(2):
            blocks.append(Block(channels, filters, 2 if block == 0 and filters > 64 else 1))
            channels = filters
    return nn.Sequential(
        nn.Conv2d(3, 64, 7, 2, 3, bias=False),
        nn.BatchNorm2d(64),
        nn.ReLU(),
        nn.MaxPool2d(3, 2, 1),
        *blocks,
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(512, 10),
    )


MODELS = {
    "convnet": convnet,
    "vgg_bn": vgg_bn,
    "separable": separable,
    "conv1d": conv1d,
    "resnet18": resnet18,
    "resnet18_one": resnet18,
}
CHANNELS_FIRST = set(MODELS)
