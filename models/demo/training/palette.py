"""The world's colours and its picture geometry: what every other file here agrees on, and models/demo/judge too."""

import json
import pathlib

with open(pathlib.Path(__file__).parent.parent / "world.json", encoding="utf-8") as file:
    WORLD = json.load(file)
WIDTH, HEIGHT, FRAMES, FPS = WORLD["width"], WORLD["height"], WORLD["frames"], WORLD["framesPerSecond"]
# Nine names far enough apart in RGB that the nearest one is never in doubt on a clean picture.
PALETTE = {name: tuple(colour) for name, colour in WORLD["palette"].items()}
# Number word -> where the fireworks burst.
BURSTS = WORLD["bursts"]
COLOURS = tuple(PALETTE)


def rgb(name: str) -> tuple[float, float, float]:
    """The colour as three numbers from 0 to 1."""
    r, g, b = PALETTE[name]
    return r / 255.0, g / 255.0, b / 255.0


def shade(colour: tuple[float, float, float], factor: float) -> tuple[float, float, float]:
    """Darker by a factor below 1."""
    r, g, b = colour
    return r * factor, g * factor, b * factor


def tint(colour: tuple[float, float, float], amount: float) -> tuple[float, float, float]:
    """Mixed with white."""
    r, g, b = colour
    return r + (1 - r) * amount, g + (1 - g) * amount, b + (1 - b) * amount
