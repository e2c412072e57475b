"""Draws packed scenes (scenes.py) as video on whatever device the arrays are on: anti-aliased signed distances."""

import math

import torch
from palette import HEIGHT, WIDTH
from scenes import BAR, BURST, CIRCLE, HAND, LATTICE, RING, SQUARE, STAR, TRIANGLE, WAVE

BURST_POINTS = 10


def distance(kind: int, x: torch.Tensor, y: torch.Tensor, track: torch.Tensor) -> torch.Tensor:
    """Signed distance in pixels (negative inside) of one shape; x [W], y [H, 1], track [..., T, 5]."""
    cx, cy, size, angle, extra = (track[..., i, None, None] for i in range(5))
    if kind == WAVE:  # cx is a phase, extra a wavelength: everything below the line
        return cy + size * torch.sin(2 * math.pi * x / extra + cx) - y
    dx, dy = x - cx, y - cy
    if kind == LATTICE:  # discs on a grid of `extra` pixels, every other column half a cell lower
        column = torch.floor(dx / extra + 0.5)
        dy = dy - (column % 2) * extra / 2
        dx, dy = dx - column * extra, dy - torch.floor(dy / extra + 0.5) * extra
        return torch.sqrt(dx * dx + dy * dy) - size
    if kind in (CIRCLE, RING):
        radius = torch.sqrt(dx * dx + dy * dy)
        return radius - size if kind == CIRCLE else (radius - size).abs() - extra
    cos, sin = torch.cos(angle), torch.sin(angle)
    px, py = cos * dx + sin * dy, cos * dy - sin * dx
    if kind == SQUARE:
        return torch.maximum(px.abs(), py.abs()) - size
    if kind == TRIANGLE:
        side = math.sqrt(3) / 2
        return torch.maximum(py, torch.maximum(side * px, -side * px) - py / 2) - size / 2
    if kind == BAR:
        return torch.maximum(px.abs() - size, py.abs() - extra)
    if kind == HAND:
        return torch.maximum((px - size / 2).abs() - size / 2, py.abs() - extra)
    points = 5 if kind == STAR else BURST_POINTS
    radius, sector = torch.sqrt(px * px + py * py + 1e-6), 2 * math.pi / points
    theta = torch.atan2(py, px) + (math.pi / 2 if kind == STAR else 0.0)  # one tip up
    theta = theta - sector * torch.floor(theta / sector + 0.5)
    fx, fy = radius * torch.cos(theta), radius * torch.sin(theta).abs()
    if kind == BURST:
        return torch.sqrt((fx - extra) ** 2 + fy * fy) - size
    inner = 0.45
    nx, ny = inner * math.sin(sector / 2), 1 - inner * math.cos(sector / 2)
    length = math.hypot(nx, ny)
    return ((fx - size) * nx + fy * ny) / length


@torch.no_grad()
def render(backs, kinds, colours, tracks, window=(0, 0, HEIGHT, WIDTH)) -> torch.Tensor:
    """Packed scenes as tensors -> [N, T, h, w, 3] in [0, 1]; `window` (top, left, height, width) draws a part."""
    top, left, height, width = window
    device = tracks.device
    x = torch.arange(width, device=device, dtype=torch.float32) + (left + 0.5)
    y = (torch.arange(height, device=device, dtype=torch.float32) + (top + 0.5))[:, None]
    frames = tracks.shape[2]
    video = backs[:, None, None, None, :].expand(-1, frames, height, width, 3).contiguous()
    for slot in range(kinds.shape[1]):
        for kind in torch.unique(kinds[:, slot]).tolist():
            if kind < 0:
                continue
            rows = (kinds[:, slot] == kind).nonzero()[:, 0]
            cover = (0.5 - distance(kind, x, y, tracks[rows, slot])).clamp(0, 1)[..., None]
            colour = colours[rows, slot][:, None, None, None, :]
            video[rows] = torch.lerp(video[rows], colour.expand(-1, frames, height, width, 3), cover)
    return video


def to_device(packed, device) -> list[torch.Tensor]:
    return [torch.from_numpy(array).to(device) for array in packed]
