"""The recurrent workloads as PyTorch modules: its own fused layers, batch first, logits out."""

import torch
from torch import nn


class LastState(nn.Module):
    """Embedding, a recurrent layer, and a dense layer on the state after the last step (of every direction)."""

    def __init__(self, layer, size, units, bidirectional=False):
        super().__init__()
        self.embedding = nn.Embedding(100, size)
        self.rnn = layer(size, units, batch_first=True, bidirectional=bidirectional)
        self.head = nn.Linear(units * (1 + bidirectional), 100)

    def forward(self, x):
        _, last = self.rnn(self.embedding(x))
        h = last[0] if isinstance(last, tuple) else last
        return self.head(torch.cat(tuple(h), dim=-1))


MODELS = {
    "lstm": lambda: LastState(nn.LSTM, 64, 64),
    "gru": lambda: LastState(nn.GRU, 128, 128),
    "bidirectional": lambda: LastState(nn.LSTM, 128, 128, bidirectional=True),
}
