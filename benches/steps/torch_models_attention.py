"""The transformer workloads as PyTorch modules: one product for queries, keys and values, fused attention, logits out."""

import torch
from torch import nn
from torch.nn import functional as F


class Block(nn.Module):
    """Attention and a network of two layers, each after a layer norm and around it a shortcut."""

    def __init__(self, size, heads, inner, causal):
        super().__init__()
        self.heads, self.causal = heads, causal
        self.norm_one, self.norm_two = nn.LayerNorm(size, eps=1e-3), nn.LayerNorm(size, eps=1e-3)
        self.project, self.join = nn.Linear(size, 3 * size), nn.Linear(size, size)
        self.network = nn.Sequential(nn.Linear(size, inner), nn.GELU(), nn.Linear(inner, size))

    def forward(self, x):
        batch, length, size = x.shape
        parts = self.project(self.norm_one(x)).view(batch, length, 3, self.heads, size // self.heads)
        q, k, v = parts.permute(2, 0, 3, 1, 4).unbind(0)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=self.causal)
        x = x + self.join(y.transpose(1, 2).reshape(batch, length, size))
        return x + self.network(self.norm_two(x))


class Encoder(nn.Module):
    """Blocks over vectors, their mean, ten classes."""

    def __init__(self):
        super().__init__()
        self.blocks = nn.Sequential(
            *[Block(256, 8, 1024, False) for _ in range(4)], nn.LayerNorm(256, eps=1e-3)
        )
        self.head = nn.Linear(256, 10)

    def forward(self, x):
        return self.head(self.blocks(x).mean(1))


class Chars(nn.Module):
    """Blocks over embedded characters and places; the next character at every place, classes in front of places."""

    def __init__(self):
        super().__init__()
        self.letters, self.places = nn.Embedding(128, 128), nn.Embedding(128, 128)
        self.blocks = nn.Sequential(
            *[Block(128, 4, 512, True) for _ in range(4)], nn.LayerNorm(128, eps=1e-3)
        )
        self.head = nn.Linear(128, 128)

    def forward(self, ids):
        x = self.letters(ids) + self.places(torch.arange(ids.shape[1]))
        return self.head(self.blocks(x)).transpose(1, 2)


# Their inputs lie as they are wanted: no channels to move to the front.
Encoder.channels_last = True
MODELS = {"encoder": Encoder, "encoder_predict": Encoder, "chars": Chars}
