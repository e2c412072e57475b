"""Stage 5: writes the official files from the stages' results."""

import argparse
import os

import torch
from stage import load

FILES = {"dit": "TurboWan-Demo.pth", "vae": "Wan2.1_VAE.pth", "text": "models_t5_umt5-xxl-enc-bf16.pth"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", default="build/demo-training")
    parser.add_argument("--out", default="build/demo-trained", help="tokenizer.json is there already")
    parser.add_argument("--model", default="distil-final.pt", help="flow-final.pt: before distillation")
    options = parser.parse_args()
    given = load(f"{options.work}/{options.model}", "cpu")
    tensors = {**given, "vae": load(f"{options.work}/vae-final.pt", "cpu")}
    os.makedirs(options.out, exist_ok=True)
    for name, file in FILES.items():
        path = f"{options.out}/{file}"
        torch.save({key: value.contiguous() for key, value in tensors[name].items()}, path)
        print(f"{os.path.getsize(path):>10} {path}")


if __name__ == "__main__":
    main()
