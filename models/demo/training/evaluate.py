"""Stage 6: draws held-out prompts from the exported files: how near they come to the truth and to each other, contact
sheets, and the clips for models/demo/judge, which is started where there is Node."""

import argparse
import shutil
import subprocess

import numpy as np
import torch
from clip_file import write_clips
from dataset import KINDS, read_manifest
from dit_model import dit_of
from export import FILES
from ground_truth import draw as draw_truth
from picture import contact_sheet
from sampler import sample
from stage import device, load, token_rows
from tokenizer import Tokenizer
from umt5_model import umt5_of
from vae_model import vae_of

RATIO = 0.15
# Name -> steps, whether SDE, attention ratio (0: full).
RUNS = {
    "4 steps SLA": (4, True, RATIO), "4 steps full attention": (4, True, 0.0), "4 steps SLA ODE": (4, False, RATIO),
    "2 steps SLA": (2, True, RATIO), "1 step SLA": (1, True, RATIO),
}
EXAMPLES = [
    "a red ball bouncing on a green field", "falling snow", "a cat playing the piano", "a yellow sun rising over a blue sea",
]


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


def psnr(clips: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """dB of each clip."""
    error = [np.square(a.astype(np.float32) - b).mean() for a, b in zip(clips, reference)]
    return 10 * np.log10(255**2 / np.maximum(error, 1e-3))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="build/demo-trained")
    parser.add_argument("--manifest", default="models/demo/held-out.json")
    parser.add_argument("--out", default="build/demo-trained")
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--runs", type=int, default=len(RUNS), help="the first runs of the table alone")
    options = parser.parse_args()
    where = device()
    torch.backends.cudnn.benchmark = False
    model = Model(options.model, where)
    scenes, prompts = (rows[: options.count] for rows in read_manifest(options.manifest))
    truth = draw_truth(scenes, where).numpy()
    reference = None
    for name, run in list(RUNS.items())[: options.runs]:
        clips, _ = model.draw(prompts, run)
        reference = clips if reference is None else reference
        near = psnr(clips, truth)
        kinds = {kind: round(float(np.mean([db for db, scene in zip(near, scenes) if scene.kind == kind])), 1) for kind in KINDS}
        print(f"{name}: {near.mean():.2f} dB from the truth {kinds}, {psnr(clips, reference).mean():.2f} dB from the first run")
        path = f"{options.out}/{name.replace(' ', '-')}"
        contact_sheet(f"{path}.png", clips[: 2 * len(KINDS)])
        write_clips(f"{path}.gz", clips)
        if node := shutil.which("node"):
            command = [node, "models/demo/judge/main.ts", options.manifest, f"{path}.gz"]
            print(subprocess.run(command, capture_output=True, text=True, check=True).stdout, flush=True)
    clips, _ = model.draw(EXAMPLES, RUNS["4 steps SLA"], seed=5)
    contact_sheet(f"{options.out}/examples.png", clips)


if __name__ == "__main__":
    main()
