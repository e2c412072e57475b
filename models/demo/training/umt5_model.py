"""umT5's encoder in the official names; sizes are read from the tensors or given."""

import math

import torch
import torch.nn.functional as F
from torch import nn

BUCKETS, MOST_DISTANCE = 32, 128


class Norm(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x):
        return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + 1e-6) * self.weight


def buckets(length: int, device) -> torch.Tensor:
    """T5's relative-position bucket of each (query, key) pair, bidirectional."""
    offset = torch.arange(length, device=device)[None, :] - torch.arange(length, device=device)[:, None]
    half, exact = BUCKETS // 2, BUCKETS // 4
    distance = offset.abs()
    far = exact + (torch.log(distance.clamp_min(1).float() / exact) / math.log(MOST_DISTANCE / exact) * (half - exact)).long()
    return (offset > 0).long() * half + torch.where(distance < exact, distance, far.clamp_max(half - 1))


class Attention(nn.Module):
    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.q, self.k, self.v, self.o = (nn.Linear(width, width, bias=False) for _ in range(4))
        # No scaling by the head's width follows, so the weights hold it.
        nn.init.normal_(self.q.weight, std=width**-0.5 * (width // heads) ** -0.5)

    def forward(self, x, bias):
        b, n, width = x.shape
        q, k, v = (part(x).view(b, n, self.heads, -1).transpose(1, 2) for part in (self.q, self.k, self.v))
        weights = (q @ k.transpose(-1, -2) + bias).float().softmax(-1).to(v.dtype)
        return self.o((weights @ v).transpose(1, 2).reshape(b, n, width))


class Block(nn.Module):
    def __init__(self, width: int, ffn: int, heads: int):
        super().__init__()
        self.norm1, self.norm2 = Norm(width), Norm(width)
        self.attn = Attention(width, heads)
        self.ffn = nn.ModuleDict({
            "gate": nn.ModuleDict({"0": nn.Linear(width, ffn, bias=False)}),
            "fc1": nn.Linear(width, ffn, bias=False),
            "fc2": nn.Linear(ffn, width, bias=False),
        })
        self.pos_embedding = nn.ModuleDict({"embedding": nn.Embedding(BUCKETS, heads)})
        bias = self.pos_embedding["embedding"].weight
        nn.init.normal_(bias, std=0.1)
        with torch.no_grad():  # one head begins by looking at the word before, another at the word after
            bias[1, 0] += 3
            bias[BUCKETS // 2 + 1, 1] += 3

    def forward(self, x, bucket, hidden):
        bias = self.pos_embedding["embedding"](bucket).permute(2, 0, 1)[None] + hidden
        x = x + self.attn(self.norm1(x), bias)
        y = self.norm2(x)
        return x + self.ffn["fc2"](self.ffn["fc1"](y) * F.gelu(self.ffn["gate"]["0"](y), approximate="tanh"))


class Umt5(nn.Module):
    def __init__(self, vocabulary: int, width: int, ffn: int, heads: int, layers: int):
        super().__init__()
        self.width = width
        self.token_embedding = nn.Embedding(vocabulary, width)
        self.blocks = nn.ModuleList(Block(width, ffn, heads) for _ in range(layers))
        self.norm = Norm(width)

    def forward(self, ids, lengths):
        """ids [B, n], padded with 0 -> rows [B, n, width], zero past each prompt's length."""
        n = ids.shape[1]
        real = torch.arange(n, device=ids.device)[None] < lengths[:, None]
        hidden = torch.zeros(real.shape, device=ids.device).masked_fill(~real, -1e9)[:, None, None]
        x, bucket = self.token_embedding(ids), buckets(n, ids.device)
        for block in self.blocks:
            x = block(x, bucket, hidden)
        return self.norm(x) * real[..., None]


def umt5_of(tensors: dict[str, torch.Tensor]) -> Umt5:
    vocabulary, width = tensors["token_embedding.weight"].shape
    ffn = tensors["blocks.0.ffn.fc1.weight"].shape[0]
    heads = tensors["blocks.0.pos_embedding.embedding.weight"].shape[1]
    layers = 1 + max(int(name.split(".")[1]) for name in tensors if name.startswith("blocks."))
    model = Umt5(vocabulary, width, ffn, heads, layers)
    model.load_state_dict({name: value.float() for name, value in tensors.items()})
    return model
