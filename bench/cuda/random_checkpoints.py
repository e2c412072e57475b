"""Writes a model set of random weights in the official names, shapes and formats, for timing on a card where no trained
weights are: python bench/cuda/random_checkpoints.py FOLDER [--model 1.3b|14b] [--text-layers 24]. What it draws is noise."""

import argparse
import pathlib

import torch

MODELS = {
    "1.3b": ("TurboWan2.1-T2V-1.3B-480P-quant.pth", 1536, 8960, 30),
    "14b": ("TurboWan2.1-T2V-14B-720P-quant.pth", 5120, 13824, 40),
}
TEXT_WIDTH, TEXT_FFN, TEXT_HEADS, VOCABULARY = 4096, 10240, 64, 256384
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


class Draw:
    """Tensors by name, drawn on the card where there is one."""

    def __init__(self, seed):
        self.generator = torch.Generator(DEVICE).manual_seed(seed)
        self.tensors = {}

    def normal(self, name, shape, deviation, mean=0.0, dtype=torch.bfloat16):
        values = torch.empty(shape, device=DEVICE).normal_(mean, deviation, generator=self.generator)
        self.tensors[name] = values.to(dtype).cpu()

    def linear(self, name, out, inside, bias=True, gain=1.0):
        self.normal(f"{name}.weight", (out, inside), gain * inside**-0.5)
        if bias:
            self.normal(f"{name}.bias", (out,), 0.02)

    def int8(self, name, out, inside, gain=1.0):
        values = torch.randint(-127, 128, (out, inside), device=DEVICE, generator=self.generator, dtype=torch.int8)
        self.tensors[f"{name}.int8_weight"] = values.cpu()
        scale = gain * inside**-0.5 / 73.3  # the deviation of -127 to 127
        self.tensors[f"{name}.scale"] = torch.full((-(-out // 128), -(-inside // 128)), scale)
        self.normal(f"{name}.bias", (out,), 0.02)

    def conv(self, name, out, inside, *kernel, bias=True):
        count = inside
        for side in kernel:
            count *= side
        self.normal(f"{name}.weight", (out, inside, *kernel), count**-0.5, dtype=torch.float32)
        if bias:
            self.normal(f"{name}.bias", (out,), 0.02, dtype=torch.float32)


def transformer(width, ffn, layers):
    draw = Draw(1)
    draw.linear("patch_embedding", width, 64)
    draw.linear("text_embedding.0", width, TEXT_WIDTH)
    draw.linear("text_embedding.2", width, width)
    draw.linear("time_embedding.0", width, 256)
    draw.linear("time_embedding.2", width, width)
    draw.linear("time_projection.1", 6 * width, width, gain=0.3)
    for i in range(layers):
        block = f"blocks.{i}"
        draw.normal(f"{block}.modulation", (1, 6, width), 0.1)
        for attention in ("self_attn", "cross_attn"):
            for part in "qkvo":
                draw.int8(f"{block}.{attention}.{part}", width, width, gain=0.5 if part == "o" else 1.0)
            for norm in ("norm_q", "norm_k"):
                draw.normal(f"{block}.{attention}.{norm}.weight", (width,), 0.05, mean=1.0)
        proj = f"{block}.self_attn.attn_op.local_attn.proj_l"
        draw.normal(f"{proj}.weight", (128, 128), 0.02, dtype=torch.float32)
        draw.normal(f"{proj}.bias", (128,), 0.02, dtype=torch.float32)
        draw.normal(f"{block}.norm3.weight", (width,), 0.05, mean=1.0)
        draw.normal(f"{block}.norm3.bias", (width,), 0.05)
        draw.int8(f"{block}.ffn.0", ffn, width)
        draw.int8(f"{block}.ffn.2", width, ffn, gain=0.5)
    draw.normal("head.modulation", (1, 2, width), 0.1)
    draw.linear("head.head", 64, width)
    return draw.tensors


def text_encoder(layers, vocabulary):
    draw = Draw(2)
    draw.normal("token_embedding.weight", (vocabulary, TEXT_WIDTH), 1.0)
    for i in range(layers):
        block = f"blocks.{i}"
        for norm in ("norm1", "norm2"):
            draw.normal(f"{block}.{norm}.weight", (TEXT_WIDTH,), 0.05, mean=0.3)
        for part in "qkvo":
            # Without a scale on its scores, attention wants small queries.
            draw.linear(f"{block}.attn.{part}", TEXT_WIDTH, TEXT_WIDTH, bias=False, gain=0.1 if part == "q" else 1.0)
        draw.linear(f"{block}.ffn.gate.0", TEXT_FFN, TEXT_WIDTH, bias=False)
        draw.linear(f"{block}.ffn.fc1", TEXT_FFN, TEXT_WIDTH, bias=False)
        draw.linear(f"{block}.ffn.fc2", TEXT_WIDTH, TEXT_FFN, bias=False)
        draw.normal(f"{block}.pos_embedding.embedding.weight", (32, TEXT_HEADS), 1.0)
    draw.normal("norm.weight", (TEXT_WIDTH,), 0.02, mean=0.2)
    return draw.tensors


def vae():
    draw = Draw(3)

    def gamma(name, width, sides=3):
        draw.normal(name, (width,) + (1,) * sides, 0.05, mean=1.0, dtype=torch.float32)

    def residual(name, inside, out):
        gamma(f"{name}.residual.0.gamma", inside)
        draw.conv(f"{name}.residual.2", out, inside, 3, 3, 3)
        gamma(f"{name}.residual.3.gamma", out)
        draw.conv(f"{name}.residual.6", out, out, 3, 3, 3)
        if inside != out:
            draw.conv(f"{name}.shortcut", out, inside, 1, 1, 1)

    draw.conv("conv2", 16, 16, 1, 1, 1)
    draw.conv("decoder.conv1", 384, 16, 3, 3, 3)
    residual("decoder.middle.0", 384, 384)
    gamma("decoder.middle.1.norm.gamma", 384, 2)
    draw.conv("decoder.middle.1.to_qkv", 1152, 384, 1, 1)
    draw.conv("decoder.middle.1.proj", 384, 384, 1, 1)
    residual("decoder.middle.2", 384, 384)
    number = 0
    for inside, out, time in ((384, 384, True), (192, 384, True), (192, 192, False), (96, 96, None)):
        for i in range(3):
            residual(f"decoder.upsamples.{number}", inside if i == 0 else out, out)
            number += 1
        if time is None:
            continue
        draw.conv(f"decoder.upsamples.{number}.resample.1", out // 2, out, 3, 3)
        if time:
            draw.conv(f"decoder.upsamples.{number}.time_conv", 2 * out, out, 3, 1, 1)
        number += 1
    gamma("decoder.head.0.gamma", 96)
    draw.conv("decoder.head.2", 3, 96, 3, 3, 3)
    return draw.tensors


def taehv():
    draw = Draw(4)
    draw.conv("decoder.1", 256, 16, 3, 3)
    for first, width, grown, out, stride in ((3, 256, 7, 128, 1), (9, 128, 13, 64, 2), (15, 64, 19, 64, 2)):
        for i in range(first, first + 3):
            draw.conv(f"decoder.{i}.conv.0", width, 2 * width, 3, 3)
            draw.conv(f"decoder.{i}.conv.2", width, width, 3, 3)
            draw.conv(f"decoder.{i}.conv.4", width, width, 3, 3)
        draw.conv(f"decoder.{grown}.conv", stride * width, width, 1, 1, bias=False)
        draw.conv(f"decoder.{grown + 1}", out, width, 3, 3, bias=False)
    draw.conv("decoder.22", 3, 64, 3, 3)
    return draw.tensors


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--model", choices=MODELS, default="1.3b")
    parser.add_argument("--text-layers", type=int, default=24, help="of the text encoder; the official one has 24")
    parser.add_argument("--vocabulary", type=int, default=VOCABULARY, help="of the text encoder")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    name, *sizes = MODELS[arguments.model]
    files = {
        name: lambda: transformer(*sizes),
        "models_t5_umt5-xxl-enc-bf16.pth": lambda: text_encoder(arguments.text_layers, arguments.vocabulary),
        "Wan2.1_VAE.pth": vae,
        "taew2_1.pth": taehv,
    }
    for file, make in files.items():
        path = arguments.folder / file
        if not path.exists():
            torch.save(make(), path)
        print(f"{path} {path.stat().st_size} bytes", flush=True)


if __name__ == "__main__":
    main()
