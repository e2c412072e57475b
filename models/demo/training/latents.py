"""Encodes the training clips once and keeps their latents on the device (and on disk, for the next stage)."""

import os
import time

import torch
import vae_model
from render import render
from stage import Pool, load, save


@torch.no_grad()
def encode_pool(model, pool: Pool, where: str, at_once: int = 8) -> torch.Tensor:
    """-> [N, 16, T, H, W], bf16."""
    rows = []
    for start in range(0, len(pool.scenes), at_once):
        index = torch.arange(start, min(start + at_once, len(pool.scenes)), device=where)
        with torch.autocast(where, torch.bfloat16):
            latent = model.encode(render(*pool.rows(index)) * 2 - 1)
        rows.append(latent.permute(0, 4, 1, 2, 3).to(torch.bfloat16))
    return torch.cat(rows)


def vae(work: str, where: str):
    return vae_model.vae_of(load(f"{work}/vae-final.pt", where)).to(where).eval().requires_grad_(False)


def latents(work: str, pool: Pool, where: str) -> torch.Tensor:
    path = f"{work}/latents.pt"
    newer = os.path.exists(path) and os.path.getmtime(path) > os.path.getmtime(f"{work}/vae-final.pt")
    if newer and len(found := load(path, where)) == len(pool.scenes):
        return found
    start = time.time()
    if where == "cuda":
        vae_model.compile_elementwise()
    found = encode_pool(vae(work, where), pool, where)
    print(f"encoded {len(found)} clips in {time.time() - start:.0f} s; mean {found.float().mean().item():.3f}, "
          f"std {found.float().std().item():.3f}", flush=True)
    save(path, found)
    return found
