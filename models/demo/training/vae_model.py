"""Wan's causal video VAE, encoder and decoder, in the official layout and names; width and training precision free.

Activations are [B, T, H, W, C], so that channels lie together: every convolution over time is written as one 2-D
convolution whose input has the three frames' channels side by side, which is fast at small widths. Channels are filled
up to a multiple of 8, without which cuDNN leaves the matrix units alone.
"""

import torch
import torch.nn.functional as F
from torch import nn

LATENT = 16
MEAN = (-0.7571, -0.7089, -0.9113, 0.1075, -0.1745, 0.9653, -0.1517, 1.5508,
        0.4134, -0.0715, 0.5517, -0.3632, -0.1922, -0.9497, 0.2503, -0.2921)
STD = (2.8184, 1.4541, 2.3275, 2.6558, 1.2196, 1.7708, 2.6052, 2.0743,
       3.2687, 2.1526, 2.8652, 1.5579, 1.6382, 1.1253, 2.8251, 1.9160)


def missing(channels: int) -> int:
    """How many channels to add for a multiple of 8."""
    return -channels % 8


def conv2d(x, weight, bias, stride: int = 1, padding: int = 1):
    """x [B, T, H, W, C], where C may be filled up with zeros beyond the weight's -> the same layout, frame by frame."""
    b, t, _, _, channels = x.shape
    outputs, inputs = weight.shape[:2]
    more = missing(outputs)
    weight, bias = F.pad(weight, (0, 0, 0, 0, 0, channels - inputs, 0, more)), F.pad(bias, (0, more))
    y = F.conv2d(x.flatten(0, 1).permute(0, 3, 1, 2), weight.contiguous(memory_format=torch.channels_last), bias, stride, padding)
    return y.permute(0, 2, 3, 1)[..., :outputs].unflatten(0, (b, t))


def rms_norm(x, gamma):
    wide = x.float()
    scale = gamma.shape[0] ** 0.5
    length = wide.square().sum(-1, keepdim=True).sqrt().clamp_min(1e-12)
    return (wide / length * scale * gamma).to(x.dtype)


def stack(x):
    """x [B, T, H, W, C] -> each frame with the two before it, zeros before the first: [B, T, H, W, 3 C and filling]."""
    t, c = x.shape[1], x.shape[-1]
    padded = F.pad(x, (0, 0, 0, 0, 0, 0, 2, 0))
    parts = [padded[:, i : i + t] for i in range(3)]
    if more := missing(3 * c):
        parts.append(x.new_zeros(()).expand(*x.shape[:-1], more))
    return torch.cat(parts, dim=-1)


def norm_silu_stack(x, gamma):
    return stack(F.silu(rms_norm(x, gamma)))


# compile_elementwise replaces these by compiled ones; the plain ones are right everywhere.
fused = {"stack": stack, "norm_silu_stack": norm_silu_stack}


def compile_elementwise() -> None:
    """One kernel for each shape that there is: reductions over a known number of channels are many times faster."""
    torch._dynamo.config.recompile_limit = 64
    fused["stack"] = torch.compile(stack, dynamic=False)
    fused["norm_silu_stack"] = torch.compile(norm_silu_stack, dynamic=False)


class Norm(nn.Module):
    def __init__(self, channels: int, shape: tuple[int, ...] = (1, 1, 1)):
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(channels, *shape))

    def forward(self, x):
        return rms_norm(x, self.gamma.flatten())

    def silu_stack(self, x):
        """SiLU of the normalised x, stacked for the causal convolution that follows."""
        return fused["norm_silu_stack"](x, self.gamma.flatten())


class Conv3d(nn.Module):
    """Causal: the frames before are padded with zeros, none after."""

    def __init__(self, inputs: int, outputs: int, kernel: tuple[int, int, int]):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(outputs, inputs, *kernel))
        self.bias = nn.Parameter(torch.zeros(outputs))
        nn.init.kaiming_uniform_(self.weight, a=5**0.5)

    def stacked(self):
        """[O, I, 3, k, k] as [O, 3 I, k, k]."""
        return self.weight.permute(0, 2, 1, 3, 4).flatten(1, 2)

    def of_stacked(self, frames):
        """frames as `stack` gives them."""
        if self.weight.shape[3] == 1:
            weight = self.stacked().flatten(1)
            return F.linear(frames, F.pad(weight, (0, frames.shape[-1] - weight.shape[1])), self.bias)
        return conv2d(frames, self.stacked(), self.bias)

    def forward(self, x):
        if self.weight.shape[2:] == (1, 1, 1):
            return F.linear(x, self.weight.flatten(1), self.bias)
        return self.of_stacked(fused["stack"](x))


class Conv2d(nn.Module):
    def __init__(self, inputs: int, outputs: int, kernel: int):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(outputs, inputs, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(outputs))
        nn.init.kaiming_uniform_(self.weight, a=5**0.5)


class Residual(nn.Module):
    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        k = (3, 3, 3)
        self.residual = nn.ModuleDict({
            "0": Norm(inputs), "2": Conv3d(inputs, outputs, k), "3": Norm(outputs), "6": Conv3d(outputs, outputs, k),
        })
        self.shortcut = Conv3d(inputs, outputs, (1, 1, 1)) if inputs != outputs else None
        with torch.no_grad():
            self.residual["6"].weight.mul_(0.3)

    def forward(self, x):
        parts = self.residual
        y = parts["6"].of_stacked(parts["3"].silu_stack(parts["2"].of_stacked(parts["0"].silu_stack(x))))
        return y + (x if self.shortcut is None else self.shortcut(x))


class Attention(nn.Module):
    """One head over each frame's pixels."""

    def __init__(self, channels: int):
        super().__init__()
        self.norm = Norm(channels, (1, 1))
        self.to_qkv = Conv2d(channels, 3 * channels, 1)
        self.proj = Conv2d(channels, channels, 1)
        nn.init.zeros_(self.proj.weight)

    def forward(self, x):
        b, t, h, w, c = x.shape
        qkv = F.linear(self.norm(x), self.to_qkv.weight.flatten(1), self.to_qkv.bias)
        q, k, v = qkv.reshape(b * t, 1, h * w, 3 * c).chunk(3, dim=-1)
        y = F.scaled_dot_product_attention(q, k, v).reshape(b, t, h, w, c)
        return x + F.linear(y, self.proj.weight.flatten(1), self.proj.bias)


class Downsample(nn.Module):
    def __init__(self, channels: int, temporal: bool):
        super().__init__()
        self.resample = nn.ModuleDict({"1": Conv2d(channels, channels, 3)})
        self.time_conv = Conv3d(channels, channels, (3, 1, 1)) if temporal else None

    def forward(self, x):
        conv = self.resample["1"]
        x = conv2d(F.pad(x, (0, missing(x.shape[-1]), 0, 1, 0, 1)), conv.weight, conv.bias, stride=2, padding=0)
        if self.time_conv is None or x.shape[1] == 1:
            return x
        frames = torch.cat([x[:, 0:-2:2], x[:, 1:-1:2], x[:, 2::2]], dim=-1)
        later = F.linear(frames, self.time_conv.stacked().flatten(1), self.time_conv.bias)
        return torch.cat([x[:, :1], later], dim=1)


class Upsample(nn.Module):
    def __init__(self, channels: int, temporal: bool):
        super().__init__()
        self.resample = nn.ModuleDict({"1": Conv2d(channels, channels // 2, 3)})
        self.time_conv = Conv3d(channels, 2 * channels, (3, 1, 1)) if temporal else None

    def forward(self, x):
        if self.time_conv is not None and x.shape[1] > 1:
            b, t, h, w, c = x.shape
            pairs = self.time_conv(x[:, 1:]).reshape(b, t - 1, h, w, 2, c)
            x = torch.cat([x[:, :1], pairs.permute(0, 1, 4, 2, 3, 5).reshape(b, 2 * (t - 1), h, w, c)], dim=1)
        b, t, h, w, c = x.shape
        x = x[:, :, :, None, :, None].expand(b, t, h, 2, w, 2, c).reshape(b, t, 2 * h, 2 * w, c)
        conv = self.resample["1"]
        return conv2d(x, conv.weight, conv.bias)


def middle(channels: int) -> nn.ModuleDict:
    return nn.ModuleDict({"0": Residual(channels, channels), "1": Attention(channels), "2": Residual(channels, channels)})


def in_order(parts: nn.ModuleDict, x):
    for part in parts.values():
        x = part(x)
    return x


def head(channels: int, outputs: int) -> nn.ModuleDict:
    return nn.ModuleDict({"0": Norm(channels), "2": Conv3d(channels, outputs, (3, 3, 3))})


class Encoder(nn.Module):
    def __init__(self, d: int):
        super().__init__()
        self.conv1 = Conv3d(3, d, (3, 3, 3))
        parts: list[nn.Module] = []
        for i, (a, b) in enumerate(((d, d), (d, 2 * d), (2 * d, 4 * d), (4 * d, 4 * d))):
            parts += [Residual(a, b), Residual(b, b)]
            if i < 3:
                parts.append(Downsample(b, temporal=i > 0))
        self.downsamples = nn.ModuleDict({str(i): part for i, part in enumerate(parts)})
        self.middle = middle(4 * d)
        self.head = head(4 * d, 2 * LATENT)

    def forward(self, x):
        x = in_order(self.middle, in_order(self.downsamples, self.conv1(x)))
        return self.head["2"].of_stacked(self.head["0"].silu_stack(x))


class Decoder(nn.Module):
    def __init__(self, d: int):
        super().__init__()
        self.conv1 = Conv3d(LATENT, 4 * d, (3, 3, 3))
        self.middle = middle(4 * d)
        parts: list[nn.Module] = []
        for i, (a, b) in enumerate(((4 * d, 4 * d), (2 * d, 4 * d), (2 * d, 2 * d), (d, d))):
            parts += [Residual(a, b), Residual(b, b), Residual(b, b)]
            if i < 3:
                parts.append(Upsample(b, temporal=i < 2))
        self.upsamples = nn.ModuleDict({str(i): part for i, part in enumerate(parts)})
        self.head = head(d, 3)

    def forward(self, z):
        x = in_order(self.upsamples, in_order(self.middle, self.conv1(z)))
        return self.head["2"].of_stacked(self.head["0"].silu_stack(x))


class Vae(nn.Module):
    def __init__(self, dim: int):
        super().__init__()
        self.encoder, self.decoder = Encoder(dim), Decoder(dim)
        self.conv1 = Conv3d(2 * LATENT, 2 * LATENT, (1, 1, 1))
        self.conv2 = Conv3d(LATENT, LATENT, (1, 1, 1))
        self.register_buffer("mean", torch.tensor(MEAN), persistent=False)
        self.register_buffer("std", torch.tensor(STD), persistent=False)

    def moments(self, video):
        """video [B, T, H, W, 3] in [-1, 1] -> mean and log variance, each [B, t, h, w, 16], as the file holds them."""
        return self.conv1(self.encoder(video)).chunk(2, dim=-1)

    def encode(self, video):
        """-> the normalised latent that the transformer sees."""
        return (self.moments(video)[0].float() - self.mean) / self.std

    def decode_raw(self, z):
        return self.decoder(self.conv2(z))

    def decode(self, latent):
        return self.decode_raw(latent * self.std + self.mean)


def vae_of(tensors: dict[str, torch.Tensor]) -> Vae:
    """A VAE of the width that the tensors have."""
    model = Vae(tensors["encoder.conv1.weight"].shape[0])
    model.load_state_dict({name: value.float() for name, value in tensors.items()})
    return model
