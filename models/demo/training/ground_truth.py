"""Draws the scenes of a manifest as they ought to look: what models/demo/judge is itself tested on."""

import argparse

import torch
from clip_file import write_clips
from dataset import read_manifest
from render import render, to_device
from scenes import pack


def draw(scenes, where: str) -> torch.Tensor:
    """-> [N, T, H, W, 3] uint8."""
    clips = [render(*to_device(pack(scenes[i : i + 10], i), where)) for i in range(0, len(scenes), 10)]
    return (torch.cat(clips) * 255).round().byte().cpu()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--manifest", default="models/demo/held-out.json")
    parser.add_argument("--count", type=int, default=33, help="the manifest's first rows")
    parser.add_argument("--out", required=True)
    options = parser.parse_args()
    scenes, _ = read_manifest(options.manifest)
    write_clips(options.out, draw(scenes[: options.count], "cpu").numpy())


if __name__ == "__main__":
    main()
