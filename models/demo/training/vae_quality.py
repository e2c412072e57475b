"""How well a VAE alone brings back the clips of a manifest, which it was never trained on: PSNR in dB of each."""

import argparse

import torch
from dataset import read_manifest
from ground_truth import draw
from stage import device, load
from vae import reconstruction
from vae_model import vae_of

AIM_DB = 30


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--vae", default="models/demo/trained/turboclip-demo/Wan2.1_VAE.pth")
    parser.add_argument("--manifest", default="models/demo/held-out.json")
    parser.add_argument("--count", type=int, default=100, help="the manifest's first rows; on a CPU a minute each")
    options = parser.parse_args()
    where = device()
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    model = vae_of(load(options.vae, where)).to(where).float().eval()
    scenes, _ = read_manifest(options.manifest)
    found = []
    for scene in scenes[: options.count]:
        found.append(reconstruction(model, draw([scene]).to(where)).item())
        print(f"{found[-1]:.2f} dB {scene.kind}", flush=True)
    quality = torch.tensor(found)
    print(f"{len(found)} held-out clips: mean {quality.mean():.2f} dB, median {quality.median():.2f}, "
          f"least {quality.min():.2f}, {(quality < AIM_DB).sum()} below {AIM_DB}")


if __name__ == "__main__":
    main()
