"""Writes PNG files and contact sheets with nothing but the standard library and numpy."""

import struct
import zlib

import numpy as np


def write_png(path: str, image: np.ndarray) -> None:
    """image: [height, width, 3], uint8."""
    height, width, _ = image.shape
    rows = b"".join(b"\0" + image[y].tobytes() for y in range(height))

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    with open(path, "wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)))
        file.write(chunk(b"IDAT", zlib.compress(rows, 6)) + chunk(b"IEND", b""))


def contact_sheet(path: str, clips, frames: int = 8, shrink: int = 2) -> None:
    """clips: each [T, H, W, 3] uint8; a row for each, `frames` pictures evenly spaced."""
    rows = []
    for clip in clips:
        chosen = np.linspace(0, len(clip) - 1, frames).round().astype(int)
        rows.append(np.concatenate([np.pad(clip[i][::shrink, ::shrink], ((1, 1), (1, 1), (0, 0))) for i in chosen], axis=1))
    write_png(path, np.ascontiguousarray(np.concatenate(rows, axis=0)))
