"""What NVIDIA's libraries take for the same work: cuBLAS and cuDNN through PyTorch.

Prints a table of medians of CUDA events' times after warm-up, on random operands. Run by run.sh beside our own
kernels where PyTorch is installed, so that both are of one card and one hour.
"""

import statistics

import torch
import torch.nn.functional as F

KEYS_OF_PROMPT = 512
# name, tokens, heads, feed-forward width
MODELS = [("1.3B 480p", 32760, 12, 8960), ("14B 480p", 32760, 40, 13824), ("14B 720p", 75600, 40, 13824)]
# channels, height, width of one of the VAE decoder's levels at 480p
CONVOLUTIONS = [(384, 60, 104), (384, 120, 208), (192, 240, 416), (96, 480, 832)]
FRAMES = 4  # of a latent frame; a 3x3x3 convolution looks back on 2 more


def median_ms(run, repeats=7):
    for _ in range(2):
        run()
    times = []
    for _ in range(repeats):
        begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        begin.record()
        run()
        end.record()
        end.synchronize()
        times.append(begin.elapsed_time(end))
    return statistics.median(times)


def line(name, operations, run, repeats=7):
    try:
        ms = median_ms(run, repeats)
        print(f"| {name} | {ms:.3f} | {operations / ms * 1e-9:.0f} |", flush=True)
    except RuntimeError as error:  # a shape or type that the library refuses
        print(f"| {name} | refused: {str(error).splitlines()[0][:60]} | |", flush=True)
    torch.cuda.empty_cache()


def products(model, tokens, heads, ffn):
    width = 128 * heads
    for layer, out, inputs in (("qkv", 3 * width, width), ("o", width, width), ("ffn in", ffn, width), ("ffn out", width, ffn)):
        operations = 2 * tokens * out * inputs
        x = torch.randn(tokens, inputs, device="cuda", dtype=torch.bfloat16)
        w = torch.randn(out, inputs, device="cuda", dtype=torch.bfloat16)
        line(f"{model}, {layer}, bf16", operations, lambda: x @ w.T)
        x8 = torch.randint(-127, 128, (tokens // 8 * 8, inputs), device="cuda", dtype=torch.int8)
        w8 = torch.randint(-127, 128, (out, inputs), device="cuda", dtype=torch.int8)
        line(f"{model}, {layer}, INT8, int32 out", operations, lambda: torch._int_mm(x8, w8.T))


def attention(model, tokens, heads):
    q, k, v = (torch.randn(1, heads, tokens, 128, device="cuda", dtype=torch.bfloat16) for _ in range(3))
    operations = 4 * tokens * tokens * 128 * heads
    line(f"{model}, full self-attention, bf16", operations, lambda: F.scaled_dot_product_attention(q, k, v), repeats=3)
    k, v = (torch.randn(1, heads, KEYS_OF_PROMPT, 128, device="cuda", dtype=torch.bfloat16) for _ in range(2))
    operations = 4 * tokens * KEYS_OF_PROMPT * 128 * heads
    line(f"{model}, cross-attention over {KEYS_OF_PROMPT} rows, bf16", operations, lambda: F.scaled_dot_product_attention(q, k, v))


def convolution(channels, height, width):
    for dtype, name in ((torch.bfloat16, "bf16"), (torch.float16, "f16")):
        layout = {"memory_format": torch.channels_last_3d}
        x = torch.randn(1, channels, FRAMES + 2, height + 2, width + 2, device="cuda", dtype=dtype).contiguous(**layout)
        w = torch.randn(channels, channels, 3, 3, 3, device="cuda", dtype=dtype).contiguous(**layout)
        operations = 2 * 27 * channels * channels * FRAMES * height * width
        line(f"conv3d {channels}, {FRAMES} frames of {height} x {width}, {name}", operations, lambda: F.conv3d(x, w))


@torch.inference_mode()
def main():
    torch.backends.cudnn.benchmark = True
    print(f"\nNVIDIA's libraries through PyTorch {torch.__version__}, cuDNN {torch.backends.cudnn.version()}\n")
    print("| work | ms | Tops/s |\n|---|---|---|")
    for model, tokens, heads, ffn in MODELS:
        products(model, tokens, heads, ffn)
        attention(model, tokens, heads)
    for one in CONVOLUTIONS:
        convolution(*one)


main()
