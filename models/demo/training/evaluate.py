"""Stage 5: draws held-out prompts from the exported files, judges the clips, and writes figures and contact sheets."""

import argparse
import dataclasses
import json
import multiprocessing
import random

import numpy as np
import torch
from analysis import judge
from captions import caption
from dataset import KINDS, Scene, combination, scenes
from dit_model import dit_of
from export import FILES
from picture import contact_sheet
from render import render, to_device
from sampler import sample
from scenes import pack
from stage import device, load, token_rows
from tokenizer import Tokenizer
from umt5_model import umt5_of
from vae import quality
from vae_model import vae_of

RATIO = 0.15
# Name -> steps, whether SDE, attention ratio (0: full).
RUNS = {
    "4 steps SLA": (4, True, RATIO), "4 steps full attention": (4, True, 0.0), "4 steps SLA ODE": (4, False, RATIO),
    "2 steps SLA": (2, True, RATIO), "1 step SLA": (1, True, RATIO),
}


class Model:
    def __init__(self, folder: str, where: str):
        tensors = {name: load(f"{folder}/{file}", where) for name, file in FILES.items()}
        self.dit = dit_of(tensors["dit"]).to(where).eval()
        self.vae = vae_of(tensors["vae"]).to(where).eval()
        self.text = umt5_of(tensors["text"]).to(where).eval()
        self.tokenizer, self.where = Tokenizer(f"{folder}/tokenizer.json"), where

    @torch.no_grad()
    def draw(self, prompts: list[str], run, seed: int = 0, at_once: int = 10) -> tuple[np.ndarray, torch.Tensor]:
        """-> clips [N, T, H, W, 3] uint8, and latents."""
        steps, sde, ratio = run
        generator = torch.Generator(self.where).manual_seed(seed)
        clips, latents = [], []
        for start in range(0, len(prompts), at_once):
            ids, lengths = token_rows(self.tokenizer, prompts[start : start + at_once], self.where, 512 if len(prompts) < 3 else 64)
            rows = self.text(ids, lengths)
            noise = torch.randn(len(ids), 16, 9, 24, 32, device=self.where, generator=generator)
            z = sample(lambda x, t: self.dit(x, t, rows, lengths, ratio), noise, steps, sde, generator)
            video = (self.vae.decode(z.permute(0, 2, 3, 4, 1)).clamp(-1, 1) + 1) * 127.5
            clips.append(video.round().byte().cpu().numpy())
            latents.append(z.cpu())
        return np.concatenate(clips), torch.cat(latents)


def verdicts(workers, clips, chosen: list[Scene]) -> list[dict[str, bool]]:
    pairs = list(zip(clips, chosen))
    return workers.starmap(judge, pairs) if workers else [judge(clip, scene) for clip, scene in pairs]


def count(found: list[dict[str, bool]]) -> dict[str, int]:
    return {name: sum(row[name] for row in found) for name in ("colour", "background", "motion")}


def psnr(clips: np.ndarray, reference: np.ndarray) -> float:
    error = [np.square(a.astype(np.float32) - b).mean() for a, b in zip(clips, reference)]
    return float(np.mean([10 * np.log10(255**2 / max(e, 1e-3)) for e in error]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="build/demo-trained")
    parser.add_argument("--out", default="build/demo-trained")
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help="the 4-step run alone")
    options = parser.parse_args()
    where = device()
    torch.backends.cudnn.benchmark = False
    model = Model(options.model, where)
    chosen = scenes("held-out", options.count, options.seed)
    rng = random.Random(options.seed)
    prompts = [caption(scene, rng) for scene in chosen]
    workers = multiprocessing.get_context("spawn").Pool(12) if where == "cuda" else None
    result: dict = {"prompts": options.count, "vae psnr": round(quality(model.vae, where, 32 if where == "cuda" else 4), 2), "runs": {}}
    rows = [{**dataclasses.asdict(s), "combination": combination(s), "prompt": p} for s, p in zip(chosen, prompts)]
    reference = None
    for name, run in list(RUNS.items())[: 1 if options.quick else None]:
        clips, _ = model.draw(prompts, run)
        found = verdicts(workers, clips, chosen)
        result["runs"][name] = count(found)
        for row, verdict in zip(rows, found):
            row[name] = verdict
        if name == "4 steps SLA":
            reference = clips
            shuffled = chosen[37:] + chosen[:37]
            result["shuffled prompts"] = count(verdicts(workers, clips, shuffled))
            noise = np.random.default_rng(0).integers(0, 256, (22, *clips.shape[1:]), dtype=np.uint8)
            result["noise, of 22"] = count(verdicts(workers, noise, chosen[:22]))
            result["by kind"] = {
                kind: count([v for s, v in zip(chosen, found) if s.kind == kind]) | {"of": sum(s.kind == kind for s in chosen)}
                for kind in KINDS
            }
            contact_sheet(f"{options.out}/sheet-4-steps.png", clips[: min(22, len(clips))])
        else:
            result["runs"][name]["psnr against 4 steps SLA"] = round(psnr(clips, reference), 2)
            if "1 step" in name or "2 steps" in name:
                contact_sheet(f"{options.out}/sheet-{name.split()[0]}-step.png", clips[: min(11, len(clips))])
        print(name, result["runs"][name], flush=True)
    if not options.quick:
        truth = [render(*to_device(pack(chosen[i : i + 10], i), where)) for i in range(0, len(chosen), 10)]
        truth = (torch.cat(truth) * 255).round().byte().cpu().numpy()
        result["ground truth"] = count(verdicts(workers, truth, chosen))
    print(json.dumps(result, indent=1))
    result["clips"] = rows
    with open(f"{options.out}/evaluation.json", "w", encoding="utf-8") as file:
        json.dump(result, file, indent=1)
    examples = ["a red ball bouncing on a green field", "falling snow", "a cat playing the piano", "a yellow sun rising over a blue sea"]
    clips, _ = model.draw(examples, RUNS["4 steps SLA"], seed=5)
    contact_sheet(f"{options.out}/sheet-examples.png", clips)


if __name__ == "__main__":
    main()
