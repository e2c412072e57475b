"""Stage 3: trains the transformer by flow matching: x = (1 - s) x0 + s noise, v = noise - x0.

At first on the beginnings of clips alone (a ninth or a third of the tokens, so many more prompts a second): what a word
looks like is learned there. Then on whole clips, where steps with full attention and with SLA alternate at random, so
that one set of weights serves both. Resumable.
"""

import argparse
from functools import partial

import torch
from dataset import TRAINING_CLIPS, TRAINING_SEED
from dit_model import Dit
from latents import latents
from sampler import bf16, model_time, times
from stage import Average, Clock, Pool, Replayed, adamw, add_options, device, load, save, set_rate
from umt5_model import umt5_of

RATIO = 0.15
# Until which part of the time, latent frames of a clip, clips a step as a multiple of --batch.
COURSE = ((0.12, 1, 4), (0.3, 3, 2), (1.0, 9, 1))
WIDTH, FFN, LAYERS = 256, 1024, 5


def compile_blocks(dit: Dit) -> None:
    # One variant for each of SLA or full attention, with or without gradients, teacher or student.
    torch._dynamo.config.cache_size_limit = 64
    for block in dit.blocks:
        block.forward = torch.compile(block.forward, dynamic=False)


def draw_times(four: torch.Tensor, count: int) -> torch.Tensor:
    """Two of three at the sampler's four times, the others everywhere, more of them where there is more noise."""
    anywhere = torch.sigmoid(torch.randn(count, device=four.device) * 1.4 + 0.9)
    chosen = four[torch.randint(0, len(four), (count,), device=four.device)]
    return torch.where(torch.rand(count, device=four.device) < 0.67, chosen, anywhere)


def spread(s: torch.Tensor) -> torch.Tensor:
    return s[:, None, None, None, None]


def pick(pool: Pool, count: int, where: str):
    """Random clips: their index, and one of their prompts' ids and lengths."""
    index = torch.randint(0, len(pool.scenes), (count,), device=where)
    which = torch.randint(0, pool.ids.shape[1], (count,), device=where)
    return index, pool.ids[index, which], pool.lengths[index, which]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    add_options(parser, minutes=8, batch=64, rate=1.2e-3)
    parser.add_argument("--tokenizer", default="build/demo-trained/tokenizer.json")
    parser.add_argument("--clips", type=int, default=TRAINING_CLIPS)
    parser.add_argument("--dense", type=float, default=0.35, help="share of steps with full attention")
    parser.add_argument("--start", help="an earlier flow-final.pt, whose transformer to begin with")
    options = parser.parse_args()
    where, path = device(), f"{options.work}/flow.pt"
    torch.manual_seed(2)
    pool = Pool("train", options.clips, TRAINING_SEED, where, options.tokenizer)
    text = umt5_of(load(f"{options.work}/text-final.pt", where)).to(where).requires_grad_(False)
    dit = Dit(WIDTH, FFN, LAYERS, text.width).to(where)
    if options.start:
        dit.load_state_dict(load(options.start, where)["dit"])
    data = latents(options.work, pool, where)
    average, step, done = Average(dit, decay=0.998), 0, 0.0
    optimiser = adamw(dit.parameters(), options.rate, (0.9, 0.98), 0.01, where)
    if state := load(path, where):
        dit.load_state_dict(state["dit"])
        optimiser.load_state_dict(state["optimiser"])
        average.values, average.count = state["average"], state["step"]
        step, done = state["step"], state["done"]
    torch.manual_seed(2 + step)  # what is drawn at random goes on, and does not begin again
    if options.compile and where == "cuda":
        compile_blocks(dit)
    clock = Clock(options.minutes, options.stop_after, done)
    start = step

    def keep() -> None:
        save(path, {"dit": dit.state_dict(), "optimiser": optimiser.state_dict(),
                    "average": average.values, "step": step, "done": clock.elapsed()})

    four = torch.tensor(times(4)[:4], device=where)

    def learn(count: int, frames: int, ratio: float):
        index, ids, lengths = pick(pool, count, where)
        x0 = data[index, :, :frames].float()
        s, noise = draw_times(four, count), torch.randn_like(x0)
        x = bf16(torch.lerp(x0, noise, spread(s)))
        with torch.autocast(where, torch.bfloat16):
            v = dit(x, model_time(s), text(ids, lengths), lengths, ratio)
        loss = (v - (noise - x0)).square().mean((1, 2, 3, 4))
        optimiser.zero_grad(set_to_none=True)
        loss.mean().backward()
        norm = torch.nn.utils.clip_grad_norm_(dit.parameters(), 1.0)
        optimiser.step()
        return loss.detach(), s, norm

    learners: dict[tuple[int, float], Replayed] = {}
    while not clock.over():
        frames, count = next((frames, times) for until, frames, times in COURSE if clock.progress() <= until)
        # The beginnings have too few key blocks for SLA to be a choice.
        dense = frames < data.shape[2] or torch.rand(()).item() < options.dense
        ratio = 0.0 if dense else RATIO
        set_rate(optimiser, clock.rate(options.rate, step - start))
        if (frames, ratio) not in learners:
            learners[frames, ratio] = Replayed(partial(learn, count * options.batch, frames, ratio))
        loss, s, norm = learners[frames, ratio]()
        average.update()
        step += 1
        if clock.every(15, "said"):
            low, high = (loss[s < 0.7].mean().item(), loss[s > 0.9].mean().item())
            print(f"flow step {step} {clock.elapsed():.0f}s frames {frames} loss {loss.mean().item():.4f} low {low:.4f} "
                  f"high {high:.4f} grad {norm.item():.2f}", flush=True)
        if clock.every(100, "saved"):
            keep()
    keep()
    average.put_into(dit)
    save(f"{options.work}/flow-final.pt", {"dit": half(dit), "text": half(text)})
    print(f"flow: {step} steps, {clock.elapsed() / 60:.1f} min", flush=True)


def half(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """bf16, but proj_l, which the official files hold in float32."""
    return {name: value.float() if "proj_l" in name else value.to(torch.bfloat16) for name, value in model.state_dict().items()}


if __name__ == "__main__":
    main()
