"""Stage 4: distils the flow model to the sampler's four times.

At each of the four, the student learns to reach in one go the clip that the frozen teacher reaches by an ODE of several
steps. Half of the starting points come from the student's own earlier steps, so that it learns to go on from those.
Resumable.
"""

import argparse

import torch
from dataset import TRAINING_CLIPS, TRAINING_SEED
from dit_model import dit_of
from flow import RATIO, compile_blocks, half, pick, spread
from latents import latents
from sampler import bf16, model_time, times
from stage import Average, Clock, Pool, adamw, add_options, device, load, save, set_rate
from umt5_model import umt5_of

FOUR = times(4)[:4]


@torch.no_grad()
def solve(teacher, x, s: float, rows, lengths, steps: int, ratio: float):
    """The teacher's ODE from s to 0, in steps that shrink towards the end of the noise."""
    grid = [s * (1 - i / steps) for i in range(steps + 1)]
    for now, after in zip(grid[:-1], grid[1:]):
        t = model_time(torch.full((len(x),), now, device=x.device))
        x = x - (now - after) * teacher(bf16(x), t, rows, lengths, ratio)
    return x


@torch.no_grad()
def start(student, x0, step: int, rows, lengths, ratio: float):
    """A state as the sampler has it before this step, from the data or from the student's own previous steps."""
    noise = torch.randn_like(x0)
    if step == 0:
        return bf16(noise * FOUR[0])
    if torch.rand(()).item() < 0.5:
        x = noise * FOUR[0]
        first = 0 if torch.rand(()).item() < 0.5 else step - 1
        if first > 0:  # from data, then one step of the student
            x = torch.lerp(x0, noise, FOUR[first])
        t = model_time(torch.full((len(x),), FOUR[first], device=x.device))
        x0 = x - FOUR[first] * student(bf16(x), t, rows, lengths, ratio)
        noise = torch.randn_like(x0)
    return bf16(torch.lerp(x0, noise, FOUR[step]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    add_options(parser, minutes=4, batch=64, rate=3e-4)
    parser.add_argument("--tokenizer", default="build/demo-trained/tokenizer.json")
    parser.add_argument("--clips", type=int, default=TRAINING_CLIPS)
    parser.add_argument("--dense", type=float, default=0.2)
    parser.add_argument("--teacher-steps", type=int, default=4)
    options = parser.parse_args()
    where, path = device(), f"{options.work}/distil.pt"
    torch.manual_seed(3)
    pool = Pool("train", options.clips, TRAINING_SEED, where, options.tokenizer)
    data = latents(options.work, pool, where)
    given = load(f"{options.work}/flow-final.pt", where)
    teacher, text = dit_of(given["dit"]).to(where).requires_grad_(False), umt5_of(given["text"]).to(where).requires_grad_(False)
    student = dit_of(given["dit"]).to(where)
    average, step, done = Average(student, decay=0.995), 0, 0.0
    optimiser = adamw(student.parameters(), options.rate, (0.9, 0.98), 0.01, where)
    if state := load(path, where):
        student.load_state_dict(state["dit"])
        optimiser.load_state_dict(state["optimiser"])
        average.values, average.count = state["average"], state["step"]
        step, done = state["step"], state["done"]
    torch.manual_seed(3 + step)  # what is drawn at random goes on, and does not begin again
    if options.compile and where == "cuda":
        compile_blocks(student)
        compile_blocks(teacher)
    clock = Clock(options.minutes, options.stop_after, done)
    begun = step

    def keep() -> None:
        save(path, {"dit": student.state_dict(), "optimiser": optimiser.state_dict(), "average": average.values,
                    "step": step, "done": clock.elapsed()})

    while not clock.over():
        index, ids, lengths = pick(pool, options.batch, where)
        place = int(torch.randint(0, 4, ()).item())
        s = FOUR[place]
        ratio = 0.0 if torch.rand(()).item() < options.dense else RATIO
        with torch.autocast(where, torch.bfloat16):
            rows = text(ids, lengths)
            x = start(student, data[index].float(), place, rows, lengths, ratio)
            target = solve(teacher, x, s, rows, lengths, options.teacher_steps, RATIO)
            v = student(x, model_time(torch.full((len(x),), s, device=where)), rows, lengths, ratio)
        loss = (v - (x - target) / s).square().mean()
        set_rate(optimiser, clock.rate(options.rate, step - begun, warm=50))
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(student.parameters(), 1.0)
        optimiser.step()
        average.update()
        step += 1
        if clock.every(15, "said"):
            print(f"distil step {step} {clock.elapsed():.0f}s time {s:.3f} loss {loss.item():.4f}", flush=True)
        if clock.every(100, "saved"):
            keep()
    keep()
    average.put_into(student)
    save(f"{options.work}/distil-final.pt", {"dit": half(student), "text": half(text)})
    print(f"distil: {step} steps, {clock.elapsed() / 60:.1f} min", flush=True)


if __name__ == "__main__":
    main()
