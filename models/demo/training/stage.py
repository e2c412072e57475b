"""What the training stages share: time-based schedules, moving averages, checkpoints, and the pool of scenes."""

import argparse
import math
import os
import random
import time

import torch
from captions import caption
from dataset import scenes
from render import to_device
from scenes import pack
from tokenizer import Tokenizer

TOKENS = 48  # prompts of the data set are shorter; longer ones are cut in training, not when the model is used


def device() -> str:
    if not torch.cuda.is_available():
        return "cpu"
    torch.backends.cuda.matmul.allow_tf32 = True
    torch.backends.cudnn.allow_tf32 = True
    torch.backends.cudnn.benchmark = True
    return "cuda"


def add_options(parser, minutes: float, batch: int, rate: float) -> None:
    parser.add_argument("--work", default="build/demo-training", help="folder of checkpoints")
    parser.add_argument("--minutes", type=float, default=minutes, help="the whole stage's training time")
    parser.add_argument("--stop-after", type=float, default=1e9, help="minutes after which this call saves and stops")
    parser.add_argument("--batch", type=int, default=batch)
    parser.add_argument("--rate", type=float, default=rate, help="highest learning rate")
    parser.add_argument("--compile", action=argparse.BooleanOptionalAction, default=True)


class Replayed:
    """A training step as one CUDA graph: these models are so thin that launching their kernels takes longer than running
    them. Its inputs are copied into the places that the graph reads; on a CPU the step is simply called."""

    WARM_UP = 3

    def __init__(self, step, *inputs: torch.Tensor):
        self.step, self.inputs, self.graph, self.outputs = step, inputs, None, None
        if not torch.cuda.is_available():
            return
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(self.WARM_UP):
                step(*inputs)
        torch.cuda.current_stream().wait_stream(stream)
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph):
            self.outputs = step(*inputs)

    def __call__(self, *inputs: torch.Tensor):
        """-> what the step gives; the next call writes over it."""
        if self.graph is None:
            return self.step(*inputs)
        for place, value in zip(self.inputs, inputs, strict=True):
            place.copy_(value)
        self.graph.replay()
        return self.outputs


def adamw(parameters, rate: float, betas: tuple[float, float], decay: float, where: str):
    """An optimiser that a graph can hold: its rate is a tensor, set by set_rate."""
    cuda = where == "cuda"
    return torch.optim.AdamW(
        parameters, lr=torch.tensor(rate, device=where), betas=betas, weight_decay=decay, fused=cuda, capturable=cuda
    )


def set_rate(optimiser, rate: float) -> None:
    for group in optimiser.param_groups:
        group["lr"].fill_(rate)


class Average:
    """A moving average of a model's parameters, in float32."""

    def __init__(self, *models: torch.nn.Module, decay: float = 0.998):
        self.models, self.decay, self.count = models, decay, 0
        self.values = [p.detach().clone() for p in self.parameters()]

    def parameters(self):
        return [p for model in self.models for p in model.parameters()]

    @torch.no_grad()
    def update(self) -> None:
        self.count += 1
        decay = min(self.decay, (1 + self.count) / (10 + self.count))
        torch._foreach_lerp_(self.values, [p.detach() for p in self.parameters()], 1 - decay)

    @torch.no_grad()
    def put_into(self, *models: torch.nn.Module) -> None:
        targets = [p for model in models for p in model.parameters()]
        for target, value in zip(targets, self.values, strict=True):
            target.copy_(value)


class Clock:
    """Progress by time: a stage takes the minutes it is given, over as many calls as that needs."""

    def __init__(self, minutes: float, stop_after: float, done: float = 0.0):
        self.total, self.limit, self.done = minutes * 60, stop_after * 60, done
        self.start = time.time()
        self.said = self.saved = self.start

    def here(self) -> float:
        return time.time() - self.start

    def elapsed(self) -> float:
        return self.done + self.here()

    def progress(self) -> float:
        return min(1.0, self.elapsed() / self.total)

    def over(self) -> bool:
        return self.elapsed() >= self.total or self.here() >= self.limit

    def every(self, seconds: float, what: str) -> bool:
        now = time.time()
        if now - getattr(self, what) < seconds:
            return False
        setattr(self, what, now)
        return True

    def rate(self, highest: float, step: int, warm: int = 200) -> float:
        """Warm-up, a plateau that falls slowly, and a fall to nothing over the last part."""
        p = self.progress()
        return highest * min(1.0, (step + 1) / warm) * max(0.003, 0.5 + 0.5 * math.cos(math.pi * p))


def save(path: str, state: dict | torch.Tensor) -> None:
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    torch.save(state, path + ".part")
    os.replace(path + ".part", path)


def load(path: str, where: str):
    return torch.load(path, map_location=where, weights_only=True) if os.path.exists(path) else None


class Pool:
    """Packed scenes of one split on the device, with prompts when a tokenizer is given."""

    def __init__(self, split: str, count: int, seed: int, where: str, tokenizer: str | None = None, prompts: int = 6):
        self.scenes = scenes(split, count, seed)
        self.packed = to_device(pack(self.scenes, seed), where)
        if tokenizer:
            cutter, rng = Tokenizer(tokenizer), random.Random(seed)
            self.prompts = [[caption(scene, rng) for _ in range(prompts)] for scene in self.scenes]
            self.ids, self.lengths = token_rows(cutter, [text for texts in self.prompts for text in texts], where)
            self.ids = self.ids.view(count, prompts, -1)
            self.lengths = self.lengths.view(count, prompts)

    def rows(self, index: torch.Tensor, first: int = 0, frames: int = 33) -> list[torch.Tensor]:
        backs, kinds, colours, tracks = self.packed
        return [backs[index], kinds[index], colours[index], tracks[index][:, :, first : first + frames]]


def token_rows(cutter: Tokenizer, prompts: list[str], where: str, width: int = TOKENS):
    ids = torch.zeros(len(prompts), width, dtype=torch.long)
    lengths = torch.zeros(len(prompts), dtype=torch.long)
    for i, prompt in enumerate(prompts):
        row = cutter.encode(prompt)
        row = row if len(row) <= width else [*row[: width - 1], row[-1]]
        ids[i, : len(row)] = torch.tensor(row)
        lengths[i] = len(row)
    return ids.to(where), lengths.to(where)
