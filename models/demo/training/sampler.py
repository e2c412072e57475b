"""The rCM sampler, exactly as the engine runs it: 1 to 4 steps, x and the time rounded to bf16 on entry."""

import math

import torch

SIGMA_MAX = 80.0


def times(steps: int) -> list[float]:
    """Rectified-flow times from the first to 0."""
    angles = [math.atan(SIGMA_MAX), 1.5, 1.4, 1.0][:steps]
    return [math.sin(t) / (math.cos(t) + math.sin(t)) for t in angles] + [0.0]


def bf16(x: torch.Tensor) -> torch.Tensor:
    return x.to(torch.bfloat16).to(torch.float32)


def model_time(s) -> torch.Tensor:
    """s * 1000 as the model is given it."""
    return bf16(torch.as_tensor(s, dtype=torch.float32) * 1000)


def sample(velocity, noise, steps: int = 4, sde: bool = True, generator=None) -> torch.Tensor:
    """velocity(x, t) with x bf16-rounded [B, 16, T, H, W] and t [B]; noise is the start."""
    s = times(steps)
    x = noise.double() * s[0]
    for now, after in zip(s[:-1], s[1:]):
        t = model_time(now).to(noise.device).expand(len(noise))
        v = velocity(bf16(x), t).double()
        if sde:
            fresh = torch.randn(noise.shape, device=noise.device, generator=generator) if after else torch.zeros_like(noise)
            x = (1 - after) * (x - now * v) + after * fresh
        else:
            x = x - (now - after) * v
    return x.float()
