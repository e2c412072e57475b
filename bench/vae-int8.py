"""Would an INT8 VAE decoder stay within 40 dB of float32? Decodes clips of the demo world and prints a table.

    python3 bench/vae-int8.py [--vae FILE | --control] [--frames 33] [--clips 11] [--calibration 44] [--threads 1]

Needs PyTorch and numpy; takes a CUDA card where there is one. Clips are drawn and encoded: scales are found on clips
of the training split, and others, of models/demo/held-out.json, are judged. INT8 is played in float32: operands are
rounded to their 255 or 256 values and multiplied exactly, and all that is not a convolution (norms, SiLU, attention,
residuals) stays in float32, so a real INT8 decoder would be no better.
--vae: an official Wan2.1_VAE.pth, of any width, in place of the demo model's. --control: random weights of the official
width (384, 384, 192, 96 channels) on random latents, a small picture.
"""

import argparse
import itertools
import pathlib
import sys
import time

import torch
import torch.nn.functional as F

ROOT = pathlib.Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "models/demo/training"))

from dataset import read_manifest, scenes  # noqa: E402
from ground_truth import draw  # noqa: E402
from vae_model import LATENT, Vae, vae_of  # noqa: E402

AIM_DB = 40
BATCH = 2
LAST = "head.2"
# The last of the parts of the decoder at each size; a doubling's convolution belongs to the size that it makes.
LOWEST, FULL = "lowest", "full"
SIZES = {LOWEST: 3, "quarter": 7, "half": 11, FULL: 15}


def size_of(name: str) -> str:
    """The resolution at which a layer works, from its name in the file."""
    parts = name.split(".")
    if parts[0] == "head":
        return FULL
    if parts[0] != "upsamples":
        return LOWEST
    index = int(parts[1]) + ("resample" in name)
    return next(size for size, end in SIZES.items() if index < end or (index == end and "time_conv" in name))


def by_channel(values):
    return values[:, None, None, None]


class Decoder:
    """Wan's decoder on [B, C, T, H, W]. `product(name, x, weight)` is every convolution, without bias, over an x that
    has what the kernel looks back on in time; with `pairs`, Winograd's F(2, 3) along time where frames come in twos."""

    def __init__(self, tensors, product, pairs: bool = False):
        self.tensors, self.product, self.pairs = tensors, product, pairs

    def conv(self, name, x):
        weight, bias = self.tensors[f"decoder.{name}.weight"], self.tensors[f"decoder.{name}.bias"]
        if weight.dim() == 4:
            weight = weight[:, :, None]
        frames = weight.shape[2]
        if self.pairs and weight.shape[2:] == (3, 3, 3) and x.shape[2] > 1 and size_of(name) != LOWEST:
            y = self.in_pairs(name, x, weight)
        else:
            y = self.product(name, F.pad(x, (0, 0, 0, 0, frames - 1, 0)), weight)
        return y + by_channel(bias)

    def in_pairs(self, name, x, weight):
        """The first frame alone, the others in twos, of the planes a - c, b + c, c - b, b - d (docs/decisions/0117)."""
        first = self.product(f"{name}/first", x[:, :, :1], weight[:, :, 2:])
        frames = F.pad(x, (0, 0, 0, 0, 1, 0))
        pairs = (x.shape[2] - 1) // 2
        a, b, c, d = (frames[:, :, i : i + 2 * pairs : 2] for i in range(4))
        u, v, w = weight.split(1, 2)
        planes = ((a - c, u), (b + c, (u + v + w) / 2), (c - b, (u - v + w) / 2), (b - d, w))
        p, q, r, s = (self.product(f"{name}/{i}", *plane) for i, plane in enumerate(planes))
        return torch.cat([first, torch.stack([p + q + r, q - r - s], 3).flatten(2, 3)], 2)

    def norm(self, name, x):
        gamma = self.tensors[f"decoder.{name}.gamma"].flatten()
        return x * x.square().mean(1, keepdim=True).clamp_min(1e-24).rsqrt() * by_channel(gamma)

    def residual(self, name, x):
        y = self.conv(f"{name}.residual.2", F.silu(self.norm(f"{name}.residual.0", x)))
        y = self.conv(f"{name}.residual.6", F.silu(self.norm(f"{name}.residual.3", y)))
        return y + (self.conv(f"{name}.shortcut", x) if f"decoder.{name}.shortcut.weight" in self.tensors else x)

    def attention(self, name, x):
        """In float32 whatever the product: a hundredth of the work."""
        qkv, proj = (self.tensors[f"decoder.{name}.{part}.weight"].flatten(1) for part in ("to_qkv", "proj"))
        biases = (self.tensors[f"decoder.{name}.{part}.bias"] for part in ("to_qkv", "proj"))
        pixels = self.norm(f"{name}.norm", x).permute(0, 2, 3, 4, 1)
        q, k, v = F.linear(pixels, qkv, next(biases)).flatten(2, 3).chunk(3, -1)
        y = F.linear(F.scaled_dot_product_attention(q, k, v), proj, next(biases))
        return x + y.view_as(pixels).permute(0, 4, 1, 2, 3)

    def doubling(self, name, x):
        if f"decoder.{name}.time_conv.weight" in self.tensors and x.shape[2] > 1:
            twos = self.conv(f"{name}.time_conv", x[:, :, 1:]).unflatten(1, (2, -1))
            x = torch.cat([x[:, :, :1], twos.permute(0, 2, 3, 1, 4, 5).flatten(2, 3)], 2)
        return self.conv(f"{name}.resample.1", F.interpolate(x, scale_factor=(1, 2, 2)))

    @torch.no_grad()
    def __call__(self, z):
        """z [B, 16, T, H, W], raw, after conv2 -> RGB in [-1, 1], clamped."""
        x = self.residual("middle.0", self.conv("conv1", z))
        x = self.residual("middle.2", self.attention("middle.1", x))
        for i in range(SIZES[FULL]):
            part = self.doubling if i in SIZES.values() else self.residual
            x = part(f"upsamples.{i}", x)
        return self.conv("head.2", F.silu(self.norm("head.0", x))).clamp(-1, 1)


def exact(_name, x, weight):
    across = weight.shape[-1] // 2
    return F.conv3d(x, weight, padding=(0, across, across))


def in_halves(_name, x, weight):
    """Operands and result are halves, sums float32."""
    return exact(_name, x.half().float(), weight.half().float()).half().float()


class Coding:
    """How a layer's operands become bytes. x's channels are divided by `channels` and the weights multiplied by them:
    by none (alpha None: one scale a tensor) or by most(x)^alpha / most(weight)^(1 - alpha), where alpha = 1 is each
    channel's own scale folded into the weights. With `offset` 0 has a code of its own, so that SiLU's outputs, which
    hardly go below it, use all 256. `reach`: how much of the range is kept; what lies beyond is clipped."""

    def __init__(self, least, most, weight, alpha=None, offset=False, reach=1.0):
        widest = torch.maximum(-least, most).clamp_min(1e-6)
        heaviest = weight.abs().amax((0, 2, 3, 4)).clamp_min(1e-6)
        self.channels = torch.ones_like(widest) if alpha is None else widest**alpha / heaviest ** (1 - alpha)
        low = (least / self.channels).min().clamp_max(0) * reach
        high = (most / self.channels).max().clamp_min(0) * reach
        if offset:
            self.step = (high - low) / 255
            self.zero, self.codes = (-low / self.step).round(), (0, 255)
        else:
            self.step = torch.maximum(-low, high) / 127
            self.zero, self.codes = 0, (-127, 127)

    def inputs(self, x):
        scale = by_channel(self.channels * self.step)
        return ((x / scale + self.zero).round().clamp(*self.codes) - self.zero) * scale

    def weights(self, weight):
        folded = weight * by_channel(self.channels)
        step = folded.abs().amax((1, 2, 3, 4), keepdim=True) / 127
        return (folded / step).round() * step / by_channel(self.channels)


class Ranges:
    """Multiplies exactly and keeps of each layer its weight, each input channel's range and the work."""

    def __init__(self):
        self.weight, self.least, self.most, self.work = {}, {}, {}, {}

    def __call__(self, name, x, weight):
        least, most = x.amin((0, 2, 3, 4)), x.amax((0, 2, 3, 4))
        self.weight[name] = weight
        self.least[name] = torch.minimum(least, self.least.get(name, least))
        self.most[name] = torch.maximum(most, self.most.get(name, most))
        y = exact(name, x, weight)
        self.work[name] = self.work.get(name, 0) + y[0, 0].numel() * weight.numel()
        return y

    def coding(self, name, weight, **way) -> Coding:
        return Coding(self.least[name], self.most[name], weight, **way)

    def codings(self, **way) -> dict[str, Coding]:
        return {name: self.coding(name, weight, **way) for name, weight in self.weight.items()}


class Bytes:
    """INT8 in the layers that `codings` has, float32 in the others; `parts` leaves one of the operands as it is."""

    def __init__(self, codings, parts=("inputs", "weights")):
        self.codings, self.parts, self.kept = codings, parts, {}

    def __call__(self, name, x, weight):
        if coding := self.codings.get(name):
            if "weights" in self.parts:
                if name not in self.kept:
                    self.kept[name] = coding.weights(weight)
                weight = self.kept[name]
            if "inputs" in self.parts:
                x = coding.inputs(x)
        return exact(name, x, weight)


class Search:
    """Multiplies exactly and sums, for each layer and each of some codings, the square of what it would get wrong."""

    WAYS = [dict(alpha=alpha, reach=reach, offset=True)
            for alpha, reach in itertools.product((None, 0.25, 0.5, 0.75, 1.0), (1.25, 1.0, 0.75, 0.5))]

    def __init__(self, ranges):
        self.ranges, self.errors, self.codings = ranges, {}, {}

    def __call__(self, name, x, weight):
        if name not in self.codings:
            self.codings[name] = [self.ranges.coding(name, weight, **way) for way in self.WAYS]
            self.errors[name] = [0.0] * len(self.WAYS)
        y = exact(name, x, weight)
        for i, coding in enumerate(self.codings[name]):
            wrong = exact(name, coding.inputs(x), coding.weights(weight)) - y
            self.errors[name][i] += wrong.square().sum().item()
        return y

    def best(self):
        return {name: codings[min(range(len(codings)), key=self.errors[name].__getitem__)]
                for name, codings in self.codings.items()}


class Bench:
    """Latents to find scales on, others to judge, both in batches, and float32's pictures of the latter."""

    def __init__(self, tensors, calibration, judged):
        self.tensors, self.calibration, self.judged = tensors, calibration, judged
        self.truth = [Decoder(tensors, exact)(z) for z in judged]

    def ranges(self, pairs=False) -> Ranges:
        """Of three batches in four."""
        found = Ranges()
        for z in (z for i, z in enumerate(self.calibration) if i % 4):
            Decoder(self.tensors, found, pairs)(z)
        return found

    def searched(self, ranges, pairs=False):
        """On the middle of the first frames of the fourth batches, so that what it costs to clip them is seen."""
        found = Search(ranges)
        for z in self.calibration[::4]:
            h, w = (size // 4 for size in z.shape[3:])
            Decoder(self.tensors, found, pairs)(z[:, :, :2, h : 3 * h, w : 3 * w])
        return found.best()

    def line(self, name, product, share=1.0, pairs=False) -> float:
        """Prints a row; -> the worst clip's PSNR in dB."""
        psnr = []
        for z, truth in zip(self.judged, self.truth, strict=True):
            square = (Decoder(self.tensors, product, pairs)(z) - truth).square().mean((1, 2, 3, 4))
            psnr += (-10 * (square / 4).log10()).tolist()  # 255 is 2 here
        mean, worst = sum(psnr) / len(psnr), min(psnr)
        print(f"| {name} | {share:.0%} | {mean:.1f} | {worst:.1f} | {'yes' if worst >= AIM_DB else 'no'} |", flush=True)
        return worst

    def table(self) -> None:
        print("| convolutions | products in INT8 | mean, dB | worst clip, dB | 40 dB |\n|---|---|---|---|---|")
        self.line("f16, sums in float32", in_halves, share=0)
        self.line("f16, in pairs (Winograd)", in_halves, share=0, pairs=True)
        best = self.ways()
        self.line("best, inputs alone", Bytes(best, parts=("inputs",)))
        self.line("best, weights alone", Bytes(best, parts=("weights",)))
        self.some_layers(best)
        ranges = self.ranges(pairs=True)
        self.line("in pairs, one scale a plane, offset", Bytes(ranges.codings(offset=True)), pairs=True)
        self.line("in pairs, best of 20 for each plane", Bytes(self.searched(ranges, True)), pairs=True)

    def ways(self) -> dict[str, Coding]:
        """All layers in INT8, their scales found in several ways; -> the codings whose worst clip is best."""
        ranges = self.ranges()
        ways = {
            "INT8, one scale a tensor": ranges.codings(),
            "one scale a tensor, offset": ranges.codings(offset=True),
            "a scale each input channel, folded": ranges.codings(alpha=1.0),
            "the same, range by 1.25": ranges.codings(alpha=1.0, reach=1.25),
            "scales split evenly (0.5)": ranges.codings(alpha=0.5),
            "the same, offset, range by 1.25": ranges.codings(alpha=0.5, offset=True, reach=1.25),
            "best of 20 for each layer": self.searched(ranges),
        }
        worst = {name: self.line(name, Bytes(codings)) for name, codings in ways.items()}
        best = max(worst, key=worst.__getitem__)
        print(f"| *best from here on: {best}* | | | | |")
        return ways[best]

    def some_layers(self, best) -> None:
        counted = Ranges()
        Decoder(self.tensors, counted)(self.judged[0])
        work = counted.work
        full, half = (lambda name, size=size: size_of(name) == size for size in (FULL, "half"))
        for title, chosen in (
            ("best, all but the first and the last", lambda name: name not in ("conv1", LAST)),
            ("best, full size without the last", lambda name: full(name) and name != LAST),
            ("best, full and half size without the last", lambda name: (full(name) or half(name)) and name != LAST),
            ("best, half size", half),
            ("best, all but full size", lambda name: not full(name)),
            ("best, the last alone", lambda name: name == LAST),
        ):
            codings = {name: coding for name, coding in best.items() if chosen(name)}
            self.line(title, Bytes(codings), sum(map(work.get, codings)) / sum(work.values()))


@torch.no_grad()
def trained(options, where) -> Bench:
    model = vae_of(torch.load(options.vae, map_location=where, weights_only=True)).to(where).eval()
    judged, _ = read_manifest(str(ROOT / "models/demo/held-out.json"))

    def latents(chosen, frames):
        clips = draw(chosen)[:, :frames] * 2 - 1
        return [model.conv2(model.moments(some.to(where))[0]).permute(0, 4, 1, 2, 3) for some in clips.split(BATCH)]

    others = latents(scenes("train", options.calibration, 3), min(9, options.frames))
    bench = Bench(model.state_dict(), others, latents(judged[: options.clips], options.frames))
    again = model.decoder(bench.judged[0].permute(0, 2, 3, 4, 1)).permute(0, 4, 1, 2, 3).clamp(-1, 1)
    assert (again - bench.truth[0]).abs().max() < 1e-3, "this decoder is not training's"
    return bench


@torch.no_grad()
def control(where) -> Bench:
    torch.manual_seed(1)
    model = Vae(96).to(where).eval()
    tensors = model.state_dict()
    mean, std = by_channel(model.mean), by_channel(model.std)
    latents = [torch.randn(BATCH, LATENT, 2, 8, 8).to(where) * std + mean for _ in range(5)]
    tensors["decoder.head.2.weight"].mul_(0.4 / Decoder(tensors, exact)(latents[0]).std())  # a picture's spread
    return Bench(tensors, latents[:4], latents[4:])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=33, help="of each judged clip: 1 more than a multiple of 4")
    parser.add_argument("--clips", type=int, default=11, help="to judge; 11 are one of each kind of scene")
    parser.add_argument("--calibration", type=int, default=44, help="other clips, on which scales are found")
    parser.add_argument("--threads", type=int, default=1, help="of a CPU")
    parser.add_argument("--vae", default=ROOT / "models/demo/trained/turboclip-demo/Wan2.1_VAE.pth")
    parser.add_argument("--control", action="store_true", help="random weights of the official width")
    options = parser.parse_args()
    where = "cuda" if torch.cuda.is_available() else "cpu"
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    torch.set_num_threads(options.threads)
    start = time.time()
    bench = control(where) if options.control else trained(options, where)
    bench.table()
    machine = torch.cuda.get_device_name() if where == "cuda" else f"a CPU, {options.threads} thread(s)"
    clips, shape = sum(map(len, bench.judged)), list(bench.truth[0].shape[2:])
    print(f"\n{clips} clips of {shape}; {machine}; PyTorch {torch.__version__}; {time.time() - start:.0f} s")


if __name__ == "__main__":
    main()
