"""TurboWan's transformer in the official names, with sparse-linear attention (SLA) that can be trained.

The sparse branch gathers the kept key blocks by a product with a one-hot matrix: exact, fast, and its gradient needs no
scatter. Everything that decides which blocks are kept is outside the gradient, as in the reference.
"""

import math

import torch
import torch.nn.functional as F
from torch import nn

HEAD, PATCH, TEXT_ROWS = 128, 4, 512
BQ, BK = 128, 64


def rope_table(t: int, h: int, w: int, device) -> tuple[torch.Tensor, torch.Tensor]:
    """cos and sin [L, 64]: 22 frequencies of time, then 21 of height, then 21 of width."""
    def angles(count: int, pairs: int):
        rates = 10000.0 ** (-torch.arange(pairs, device=device, dtype=torch.float64) / pairs)
        return torch.arange(count, device=device, dtype=torch.float64)[:, None] * rates

    time, rows, columns = angles(t, 22), angles(h, 21), angles(w, 21)
    table = torch.cat([
        time[:, None, None].expand(t, h, w, 22), rows[None, :, None].expand(t, h, w, 21),
        columns[None, None].expand(t, h, w, 21),
    ], dim=-1).reshape(t * h * w, 64)
    return table.cos().float(), table.sin().float()


def rotate(x, cos, sin):
    """x [B, L, H, 128]; the pairs lie side by side."""
    a, b = x.float().unflatten(-1, (64, 2)).unbind(-1)
    cos, sin = cos[None, :, None], sin[None, :, None]
    return torch.stack([a * cos - b * sin, a * sin + b * cos], dim=-1).flatten(-2)


class RmsNorm(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x):
        wide = x.float()
        return wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + 1e-6) * self.weight


def pool(x, rows: int):
    """Mean over blocks of rows; a short last block averages what it has."""
    length = x.shape[-2]
    blocks = -(-length // rows)
    sums = F.pad(x, (0, 0, 0, blocks * rows - length)).unflatten(-2, (blocks, rows)).sum(-2)
    counts = torch.full((blocks, 1), float(rows), device=x.device, dtype=x.dtype)
    counts[-1] = length - (blocks - 1) * rows
    return sums / counts


@torch.no_grad()
def kept_blocks(q, k, ratio: float):
    """q, k [B, H, L, 128] -> indices of the kept key blocks [B, H, query blocks, keep]."""
    q, k = q.float(), k.float()
    scores = pool(q, BQ) @ pool(k - k.mean(-2, keepdim=True), BK).transpose(-1, -2)
    keep = max(1, math.floor(ratio * scores.shape[-1]))
    return scores.topk(keep, dim=-1).indices


def sparse_branch(q, k, v, ratio: float):
    b, h, length, _ = q.shape
    index = kept_blocks(q, k, ratio)
    queries, keep = index.shape[-2:]
    keys = -(-length // BK)
    if length % BK:  # a short last block: plain masked attention, for odd sizes only
        kept = torch.zeros(b, h, queries, keys, dtype=torch.bool, device=q.device).scatter_(-1, index, True)
        mask = kept.repeat_interleave(BQ, -2)[..., :length, :].repeat_interleave(BK, -1)[..., :length]
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
    chosen = F.one_hot(index.flatten(-2), keys).to(q.dtype)  # [B, H, queries * keep, keys]
    gathered = [
        (chosen @ x.reshape(b, h, keys, BK * HEAD)).reshape(b, h * queries, keep * BK, HEAD) for x in (k, v)
    ]
    padded = F.pad(q, (0, 0, 0, queries * BQ - length)).reshape(b, h * queries, BQ, HEAD)
    out = F.scaled_dot_product_attention(padded, *gathered)
    return out.reshape(b, h, queries * BQ, HEAD)[:, :, :length]


def linear_branch(q, k, v):
    fq, fk = q.float().softmax(-1).to(v.dtype), k.float().softmax(-1).to(v.dtype)
    total = fk.float().sum(-2, keepdim=True)
    weight = (fq.float() * total).sum(-1, keepdim=True) + 1e-5
    return (fq @ (fk.transpose(-1, -2) @ v)).float() / weight


class SelfAttention(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.q, self.k, self.v, self.o = (nn.Linear(width, width) for _ in range(4))
        self.norm_q, self.norm_k = RmsNorm(width), RmsNorm(width)
        proj = nn.Linear(HEAD, HEAD)
        nn.init.zeros_(proj.weight)
        nn.init.zeros_(proj.bias)
        self.attn_op = nn.ModuleDict({"local_attn": nn.ModuleDict({"proj_l": proj})})

    def forward(self, x, rope, ratio: float):
        """ratio 0: full attention, without the linear branch."""
        b, length, width = x.shape
        v = self.v(x)
        q, k = (
            rotate(norm(part(x)).view(b, length, -1, HEAD), *rope).to(v.dtype)
            for part, norm in ((self.q, self.norm_q), (self.k, self.norm_k))
        )
        q, k, v = q.transpose(1, 2), k.transpose(1, 2), v.view(b, length, -1, HEAD).transpose(1, 2)
        if ratio == 0:
            out = F.scaled_dot_product_attention(q, k, v)
        else:
            proj = self.attn_op["local_attn"]["proj_l"]
            linear = linear_branch(q, k, v)
            with torch.autocast(x.device.type, enabled=False):
                linear = F.linear(linear, proj.weight, proj.bias)
            out = sparse_branch(q, k, v, ratio) + linear.to(v.dtype)
        return self.o(out.transpose(1, 2).reshape(b, length, width))


class CrossAttention(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.q, self.k, self.v, self.o = (nn.Linear(width, width) for _ in range(4))
        self.norm_q, self.norm_k = RmsNorm(width), RmsNorm(width)

    def forward(self, x, text, bias):
        b, length, width = x.shape
        v = self.v(text)
        q = self.norm_q(self.q(x)).to(v.dtype).view(b, length, -1, HEAD).transpose(1, 2)
        k = self.norm_k(self.k(text)).to(v.dtype).view(b, text.shape[1], -1, HEAD).transpose(1, 2)
        v = v.view(b, text.shape[1], -1, HEAD).transpose(1, 2)
        scores = (q @ k.transpose(-1, -2)).float() * HEAD**-0.5 + bias[:, None, None]
        out = scores.softmax(-1).to(v.dtype) @ v
        return self.o(out.transpose(1, 2).reshape(b, length, width))


def layer_norm(x):
    return F.layer_norm(x.float(), x.shape[-1:], eps=1e-6)


class Block(nn.Module):
    def __init__(self, width: int, ffn: int):
        super().__init__()
        self.modulation = nn.Parameter(torch.randn(1, 6, width) * width**-0.5)
        self.self_attn, self.cross_attn = SelfAttention(width), CrossAttention(width)
        self.norm3 = nn.LayerNorm(width, eps=1e-6)
        self.ffn = nn.Sequential(nn.Linear(width, ffn), nn.GELU(approximate="tanh"), nn.Linear(ffn, width))

    def forward(self, x, e0, text, bias, cos, sin, ratio: float):
        m = (self.modulation + e0).unsqueeze(2).unbind(1)
        x = x + self.self_attn(layer_norm(x) * (1 + m[1]) + m[0], (cos, sin), ratio).float() * m[2]
        x = x + self.cross_attn(self.norm3(x), text, bias).float()
        return x + self.ffn(layer_norm(x) * (1 + m[4]) + m[3]).float() * m[5]


class Head(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.modulation = nn.Parameter(torch.randn(1, 2, width) * width**-0.5)
        self.head = nn.Linear(width, 16 * PATCH)
        nn.init.zeros_(self.head.weight)

    def forward(self, x, e):
        m = (self.modulation + e[:, None]).unsqueeze(2).unbind(1)
        return self.head(layer_norm(x) * (1 + m[1]) + m[0])


class Dit(nn.Module):
    def __init__(self, width: int, ffn: int, layers: int, text_width: int):
        super().__init__()
        gelu = nn.GELU(approximate="tanh")
        self.patch_embedding = nn.Linear(16 * PATCH, width)
        self.text_embedding = nn.Sequential(nn.Linear(text_width, width), gelu, nn.Linear(width, width))
        self.time_embedding = nn.Sequential(nn.Linear(256, width), nn.SiLU(), nn.Linear(width, width))
        self.time_projection = nn.Sequential(nn.SiLU(), nn.Linear(width, 6 * width))
        self.blocks = nn.ModuleList(Block(width, ffn) for _ in range(layers))
        self.head = Head(width)

    def time(self, t):
        rates = 10000.0 ** (-torch.arange(128, device=t.device, dtype=torch.float64) / 128)
        angle = t.double()[:, None] * rates
        with torch.autocast(t.device.type, enabled=False):
            e = self.time_embedding(torch.cat([angle.cos(), angle.sin()], dim=-1).float())
            return e, self.time_projection(e).unflatten(-1, (6, -1))

    def text(self, rows, lengths):
        """Prompt rows [B, n, text width] -> embedded rows with the one row that stands for all padding, and biases."""
        n = rows.shape[1]
        embedded = self.text_embedding(F.pad(rows, (0, 0, 0, 1)))
        place = torch.arange(n + 1, device=rows.device)[None]
        padding = torch.log((TEXT_ROWS - lengths).clamp_min(1).float())[:, None]
        bias = torch.where(place < lengths[:, None], 0.0, torch.where(place == n, padding, -1e9))
        return embedded, bias

    def forward(self, x, t, rows, lengths, ratio: float = 0.15):
        """x [B, 16, T, H, W]; t = s * 1000 [B]; text rows [B, n, width] and their lengths -> velocity like x."""
        b, c, frames, h, w = x.shape
        h, w = h // 2, w // 2
        tokens = x.reshape(b, c, frames, h, 2, w, 2).permute(0, 2, 3, 5, 1, 4, 6).reshape(b, frames * h * w, 4 * c)
        y = self.patch_embedding(tokens).float()
        (e, e0), (text, bias) = self.time(t), self.text(rows, lengths)
        cos, sin = rope_table(frames, h, w, x.device)
        for block in self.blocks:
            y = block(y, e0, text, bias, cos, sin, ratio)
        out = self.head(y, e).float().view(b, frames, h, w, 2, 2, c)
        return out.permute(0, 6, 1, 2, 4, 3, 5).reshape(b, c, frames, 2 * h, 2 * w)


def dit_of(tensors: dict[str, torch.Tensor]) -> Dit:
    """A transformer of the sizes that the tensors have."""
    width = tensors["patch_embedding.weight"].shape[0]
    layers = 1 + max(int(name.split(".")[1]) for name in tensors if name.startswith("blocks."))
    model = Dit(width, tensors["blocks.0.ffn.0.weight"].shape[0], layers, tensors["text_embedding.0.weight"].shape[1])
    model.load_state_dict({name: value.float() for name, value in tensors.items()})
    return model
