"""Stage 2: teaches the text encoder what a prompt says, before any picture: which colour is the object's and which the
background's, what moves and which way. Learned together with the pictures, it came to know each combination by heart
instead, and drew a purple ball on pink ground as a pink one on purple. Resumable.
"""

import argparse
import random

import torch
import torch.nn.functional as F
from captions import caption
from dataset import scenes
from stage import Clock, add_options, adamw, device, load, save, set_rate, token_rows
from tokenizer import Tokenizer
from torch import nn
from umt5_model import Umt5

WIDTH, HEADS, BLOCKS = 128, 4, 2
QUESTIONS = ("kind", "colour", "background", "direction", "second", "shape", "count", "speed")


def encoder(tokens: int) -> Umt5:
    return Umt5(tokens, WIDTH, 2 * WIDTH, HEADS, BLOCKS)


class Reader(nn.Module):
    """One question each, asked as the transformer's cross-attention asks: a query looks through the rows. Not kept."""

    def __init__(self, answers: dict[str, list]):
        super().__init__()
        self.queries = nn.Parameter(torch.randn(len(answers), WIDTH) * WIDTH**-0.5)
        self.answers = nn.ModuleList(nn.Linear(WIDTH, len(values)) for values in answers.values())

    def forward(self, rows, lengths):
        """rows [B, n, width] -> logits, a tensor for each question."""
        real = torch.arange(rows.shape[1], device=rows.device)[None] < lengths[:, None]
        scores = (rows @ self.queries.T).masked_fill(~real[..., None], -1e9)
        found = scores.softmax(1).transpose(1, 2) @ rows
        return [head(found[:, i]) for i, head in enumerate(self.answers)]


def examples(split: str, count: int, seed: int, cutter: Tokenizer, answers: dict[str, list], where: str):
    """-> ids, lengths, and the index of every question's answer [count, questions]."""
    rng, found = random.Random(seed), scenes(split, count, seed)
    ids, lengths = token_rows(cutter, [caption(scene, rng) for scene in found], where)
    truth = [[values.index(getattr(scene, name)) for name, values in answers.items()] for scene in found]
    return ids, lengths, torch.tensor(truth, device=where)


@torch.no_grad()
def right(model, reader, ids, lengths, truth) -> list[float]:
    """The share of prompts understood, question by question, and of those understood in all."""
    said = torch.stack([logits.argmax(-1) for logits in reader(model(ids, lengths), lengths)], dim=1) == truth
    return [*said.float().mean(0).tolist(), said.all(1).float().mean().item()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    add_options(parser, minutes=2, batch=512, rate=2e-3)
    parser.add_argument("--tokenizer", default="build/demo-trained/tokenizer.json")
    parser.add_argument("--prompts", type=int, default=200_000)
    options = parser.parse_args()
    where, path = device(), f"{options.work}/text.pt"
    torch.manual_seed(4)
    cutter = Tokenizer(options.tokenizer)
    answers = {name: sorted({getattr(scene, name) for scene in scenes("train", 4000, 3)}) for name in QUESTIONS}
    model, reader = encoder(cutter.size).to(where), Reader(answers).to(where)
    optimiser = adamw([*model.parameters(), *reader.parameters()], options.rate, (0.9, 0.98), 0.05, where)
    step, done = 0, 0.0
    if state := load(path, where):
        model.load_state_dict(state["text"])
        reader.load_state_dict(state["reader"])
        optimiser.load_state_dict(state["optimiser"])
        step, done = state["step"], state["done"]
    torch.manual_seed(4 + step)  # what is drawn at random goes on, and does not begin again
    ids, lengths, truth = examples("train", options.prompts, 3 + step, cutter, answers, where)
    unseen = examples("held-out", 1000, 5, cutter, answers, where)
    clock = Clock(options.minutes, options.stop_after, done)

    def keep() -> None:
        save(path, {"text": model.state_dict(), "reader": reader.state_dict(), "optimiser": optimiser.state_dict(),
                    "step": step, "done": clock.elapsed()})

    while not clock.over():
        index = torch.randint(0, len(ids), (options.batch,), device=where)
        width = int(lengths[index].max())
        set_rate(optimiser, clock.rate(options.rate, step))
        logits = reader(model(ids[index, :width], lengths[index]), lengths[index])
        loss = sum(F.cross_entropy(each, truth[index, i]) for i, each in enumerate(logits))
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        step += 1
        if clock.every(30, "said"):
            print(f"text step {step} {clock.elapsed():.0f}s loss {loss.item():.4f} held-out {right(model, reader, *unseen)[-1]:.4f}", flush=True)
        if clock.every(100, "saved"):
            keep()
    keep()
    save(f"{options.work}/text-final.pt", {name: value.to(torch.bfloat16) for name, value in model.state_dict().items()})
    shares = zip((*answers, "all"), right(model, reader, *unseen))
    print(f"text: {step} steps, {clock.elapsed() / 60:.1f} min; held-out prompts understood:",
          ", ".join(f"{name} {share:.4f}" for name, share in shares), flush=True)


if __name__ == "__main__":
    main()
