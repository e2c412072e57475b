"""Draws the scenes of a manifest as they ought to look: what models/demo/judge is itself tested on. With --latents also
what the trained VAE makes of the first three of them, for the engine's decoder to be held against the drawing."""

import argparse

import torch
from clip_file import write_clips
from dataset import read_manifest
from latents import vae
from render import render, to_device
from scenes import pack

ENCODED = 3


def draw(scenes) -> torch.Tensor:
    """-> [N, T, H, W, 3], in [0, 1]."""
    return torch.cat([render(*to_device(pack(scenes[i : i + 10], i), "cpu")) for i in range(0, len(scenes), 10)])


@torch.no_grad()
def write_latents(path: str, clips: torch.Tensor, work: str) -> None:
    """float16 [N, 16, T', H / 8, W / 8], as the sampler would leave them."""
    model = vae(work, "cpu")
    latents = torch.cat([model.encode(clip[None] * 2 - 1).permute(0, 4, 1, 2, 3) for clip in clips])
    with open(path, "wb") as file:
        file.write(latents.half().contiguous().numpy().tobytes())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--manifest", default="models/demo/held-out.json")
    parser.add_argument("--count", type=int, default=33, help="the manifest's first rows")
    parser.add_argument("--out", required=True)
    parser.add_argument("--latents", help="where to write latents; of --work's VAE")
    parser.add_argument("--work", default="build/demo-training")
    options = parser.parse_args()
    scenes, _ = read_manifest(options.manifest)
    clips = draw(scenes[: options.count])
    write_clips(options.out, (clips * 255).round().byte().numpy())
    if options.latents:
        write_latents(options.latents, clips[:ENCODED], options.work)


if __name__ == "__main__":
    main()
