"""Stage 1: trains the VAE, then scales its latent so that the official constants normalise it. Resumable."""

import argparse
import math
import random

import torch
import torch.nn.functional as F
import vae_model
from palette import HEIGHT, WIDTH
from render import render
from stage import Average, Clock, Pool, Replayed, adamw, add_options, device, load, save, set_rate

KL = 1e-4
FRAMES, WINDOW = 17, 128


def losses(model, video):
    """video [B, T, H, W, 3] in [-1, 1]."""
    mean, log_variance = model.moments(video)
    mean, log_variance = mean.float(), log_variance.float().clamp(-12, 8)
    z = mean + torch.randn_like(mean) * (0.5 * log_variance).exp()
    difference = model.decode_raw(z).float() - video
    # What is wrong is wrong at edges, few pixels by a lot: the square, which PSNR is judged by, has to weigh.
    close = difference.abs().mean() + 4 * difference.square().mean()
    edges = difference.diff(dim=2).abs().mean() + difference.diff(dim=3).abs().mean()
    motion = difference.diff(dim=1).abs().mean()
    spread = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).mean()
    return close + 0.5 * edges + 0.5 * motion + KL * spread, difference.detach().square().mean(), spread.detach()


def batch_of(pool: Pool, rng: random.Random, size: int, whole: bool):
    """Whole clips late in training; before that, five times as many small windows of 17 frames."""
    count = max(1, size // 5) if whole else size
    index = torch.tensor([rng.randrange(len(pool.scenes)) for _ in range(count)], device=pool.packed[0].device)
    if whole:
        return render(*pool.rows(index)) * 2 - 1
    window = (rng.randrange(0, HEIGHT - WINDOW + 1), rng.randrange(0, WIDTH - WINDOW + 1), WINDOW, WINDOW)
    return render(*pool.rows(index, rng.randrange(0, 34 - FRAMES), FRAMES), window) * 2 - 1


@torch.no_grad()
def normalise(model, pool: Pool, count: int = 128) -> list[float]:
    """Folds each channel's offset and scale into conv1 and conv2; gives the raw standard deviations."""
    total = []
    for start in range(0, count, 4):
        index = torch.arange(start, start + 4, device=pool.packed[0].device)
        total.append(model.moments(render(*pool.rows(index)) * 2 - 1)[0].float().flatten(0, 3))
    latent = torch.cat(total)
    mean, std = latent.mean(0), latent.std(0)
    # A channel that says almost nothing stays small instead of being blown up to noise.
    spread = torch.maximum(std, 0.4 * std.median())
    gain = model.std / spread
    weight, bias = model.conv1.weight, model.conv1.bias
    n = len(gain)
    weight[:n] *= gain[:, None, None, None, None]
    bias[:n] = (bias[:n] - mean) * gain + model.mean
    bias[n:] += 2 * gain.log()
    before = model.conv2.weight.flatten(1).clone()
    model.conv2.bias += before @ (mean - model.mean / gain)
    model.conv2.weight.copy_((before / gain).view_as(model.conv2.weight))
    return std.tolist()


@torch.no_grad()
def reconstruction(model, video: torch.Tensor) -> torch.Tensor:
    """PSNR in dB of each clip after encoding and decoding; video [N, T, H, W, 3] in [0, 1]."""
    again = (model.decode(model.encode(video * 2 - 1)).clamp(-1, 1) + 1) / 2
    return -10 * (again - video).square().mean((1, 2, 3, 4)).log10()


def quality(model, where: str, clips: int = 32) -> float:
    """The mean of held-out clips, in dB."""
    pool = Pool("held-out", clips, 11, where)
    rows = (torch.arange(start, start + 4, device=where) for start in range(0, clips, 4))
    return torch.cat([reconstruction(model, render(*pool.rows(index))) for index in rows]).mean().item()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    add_options(parser, minutes=10, batch=10, rate=2e-3)
    parser.add_argument("--dim", type=int, default=12)
    parser.add_argument("--scenes", type=int, default=20000)
    options = parser.parse_args()
    where, path = device(), f"{options.work}/vae.pt"
    torch.manual_seed(1)
    model = vae_model.Vae(options.dim).to(where)
    if options.compile and where == "cuda":
        vae_model.compile_elementwise()
    optimiser = adamw(model.parameters(), options.rate, (0.9, 0.99), 1e-3, where)
    average, step, done = Average(model), 0, 0.0
    if state := load(path, where):
        model.load_state_dict(state["model"])
        optimiser.load_state_dict(state["optimiser"])
        average.values, average.count = state["average"], state["step"]
        step, done = state["step"], state["done"]
    pool = Pool("train", options.scenes, 1, where)
    rng = random.Random(step)
    torch.manual_seed(1 + step)  # what is drawn at random goes on, and does not begin again
    clock = Clock(options.minutes, options.stop_after, done)

    def keep() -> None:
        save(path, {"model": model.state_dict(), "optimiser": optimiser.state_dict(), "average": average.values,
                    "step": step, "done": clock.elapsed()})

    def learn(video):
        with torch.autocast(where, torch.bfloat16):
            loss, square, spread = losses(model, video)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        return loss.detach(), square, spread, norm

    learners: dict[bool, Replayed] = {}
    while not clock.over():
        whole = clock.progress() > 0.75
        video = batch_of(pool, rng, options.batch, whole)
        set_rate(optimiser, clock.rate(options.rate, step))
        if whole not in learners:
            learners[whole] = Replayed(learn, video)
        found = learners[whole](video)
        average.update()
        step += 1
        if clock.every(15, "said"):
            loss, square, spread, norm = (value.item() for value in found)
            print(f"vae step {step} {clock.elapsed():.0f}s loss {loss:.4f} psnr {-10 * math.log10(square / 4):.1f} "
                  f"kl {spread:.2f} grad {norm:.2f}", flush=True)
        if clock.every(90, "saved"):
            keep()
    keep()
    average.put_into(model)
    torch.compiler.set_stance("force_eager")  # a few batches of another shape are not worth compiling for
    std = normalise(model, pool)
    print("raw latent std", [round(value, 2) for value in std])
    save(f"{options.work}/vae-final.pt", {name: value.to(torch.bfloat16) for name, value in model.state_dict().items()})
    model.load_state_dict({name: value.float() for name, value in load(f"{options.work}/vae-final.pt", where).items()})
    print(f"vae: {step} steps, {clock.elapsed() / 60:.1f} min, held-out PSNR {quality(model, where):.2f} dB", flush=True)


if __name__ == "__main__":
    main()
