"""A scene as drawing instructions: a background and a few shapes, each with a place, size and angle in every frame.

Start phases are fixed for a kind, with a little jitter, so that a prompt decides nearly all of its clip.
"""

import math
import random

import numpy as np
from dataset import Scene
from palette import BURSTS, FRAMES, rgb, shade, tint

# Shape -> what render.py draws. A track holds x, y, size, angle and one more number ("extra") for each frame.
CIRCLE, SQUARE, TRIANGLE, STAR, BAR, HAND, RING, WAVE, BURST, LATTICE = range(10)
SHAPE_IDS = {"ball": CIRCLE, "circle": CIRCLE, "square": SQUARE, "triangle": TRIANGLE, "star": STAR, "bar": BAR}
MOST_SHAPES = 6

Primitive = tuple[int, tuple[float, float, float], np.ndarray]


def track(x, y, size, angle=0.0, extra=0.0) -> np.ndarray:
    columns = [np.broadcast_to(np.asarray(value, np.float32), (FRAMES,)) for value in (x, y, size, angle, extra)]
    return np.stack(columns, axis=1)


def time() -> np.ndarray:
    return np.linspace(0.0, 1.0, FRAMES, dtype=np.float32)


def shape(name: str, colour, x, y, size, angle=0.0) -> list[Primitive]:
    """A shape; a ball also has a small highlight."""
    extra = 9.0 if name == "bar" else 0.0
    parts: list[Primitive] = [(SHAPE_IDS[name], colour, track(x, y, size, angle, extra))]
    if name == "ball":
        size = np.asarray(size, np.float32)
        parts.append((CIRCLE, tint(colour, 0.6), track(x - 0.36 * size, y - 0.36 * size, 0.2 * size)))
    return parts


def bounce(scene: Scene, rng: random.Random, colour, back) -> list[Primitive]:
    t, floor, radius = time(), 158.0, 26 * rng.uniform(0.94, 1.06)
    times = {"slow": 1.0, "normal": 2.0, "fast": 3.0}[scene.speed]
    height = rng.uniform(88, 98)
    y = floor + 8 - radius - height * np.abs(np.cos(math.pi * (times * t + rng.uniform(-0.05, 0.05))))
    shift = rng.uniform(-10, 10)
    x = {"in place": 128 + 0 * t, "left": 200 - 144 * t, "right": 56 + 144 * t}[scene.direction] + shift
    return [(WAVE, shade(back, 0.8), track(0, floor, 0, 0, 1)), *shape("ball", colour, x, y, radius)]


def slide(scene: Scene, rng: random.Random, colour, _back) -> list[Primitive]:
    t, upright = time(), scene.direction in ("up", "down")
    reach = {"slow": 0.5, "normal": 1.0, "fast": 1.6}[scene.speed] * (92 if upright else 124)
    sign = 1 if scene.direction in ("right", "down") else -1
    along = sign * reach * (t - 0.5) + rng.uniform(-6, 6)
    size = (28 if scene.count == 1 else 22) * rng.uniform(0.95, 1.05)
    parts: list[Primitive] = []
    across_shift = rng.uniform(-8, 8)
    for i in range(scene.count):
        across = (i - (scene.count - 1) / 2) * (72 if upright else 58) + across_shift
        x, y = (128 + across + 0 * t, 96 + along) if upright else (128 + along, 96 + across + 0 * t)
        parts += shape(scene.shape, colour, x, y, size)
    return parts


def rotate(scene: Scene, rng: random.Random, colour, _back) -> list[Primitive]:
    turn = {"slow": 0.5, "normal": 1.0, "fast": 2.0}[scene.speed] * math.pi
    sign = 1 if scene.direction == "clockwise" else -1
    angle = sign * turn * time() + rng.uniform(-0.12, 0.12)
    size = {"square": 46, "triangle": 62, "star": 66, "bar": 68}[scene.shape] * rng.uniform(0.95, 1.05)
    return shape(scene.shape, colour, 128 + rng.uniform(-6, 6), 96 + rng.uniform(-5, 5), size, angle)


def grow(scene: Scene, rng: random.Random, colour, _back) -> list[Primitive]:
    t = time() if scene.direction == "grow" else 1 - time()
    size = (16 + 52 * t) * rng.uniform(0.95, 1.05)
    return shape(scene.shape, colour, 128 + rng.uniform(-6, 6), 96 + rng.uniform(-5, 5), size)


def sun(scene: Scene, rng: random.Random, colour, back) -> list[Primitive]:
    t = time() if scene.direction == "rise" else 1 - time()
    circle = (CIRCLE, colour, track(128 + rng.uniform(-16, 16), 146 - 92 * t, 30 * rng.uniform(0.95, 1.05)))
    sea = (WAVE, back, track(2 * math.pi * time(), 130, 3, 0, 64))
    return [circle, sea]


def waves(scene: Scene, rng: random.Random, colour, _back) -> list[Primitive]:
    sign = -1 if scene.direction == "right" else 1
    phase = sign * 2 * math.pi * 1.2 * time() + rng.uniform(-0.4, 0.4)
    behind = (WAVE, shade(colour, 0.72), track(phase * 0.7 + 1.3, 82, 13, 0, 128))
    front = (WAVE, colour, track(phase, 116, 20, 0, 128))
    return [behind, front]


def snow(scene: Scene, rng: random.Random, colour, _back) -> list[Primitive]:
    t = time()
    drift = {"down": 0.0, "left": -72.0, "right": 72.0}[scene.direction]
    x0, y0 = rng.uniform(-6, 6), rng.uniform(-6, 6)
    large = (LATTICE, colour, track(32 + x0 + drift * t, 24 + y0 + 100 * t, 9, 0, 64))
    small = (LATTICE, colour, track(10 + x0 + drift * t, 58 + y0 + 100 * t, 6, 0, 64))
    return [large, small]


def fireworks(scene: Scene, rng: random.Random, colour, _back) -> list[Primitive]:
    places = BURSTS[scene.direction]
    reach = {1: 72, 2: 56, 3: 44}[len(places)]
    opening = 1 - (1 - time()) ** 2
    parts: list[Primitive] = []
    for x, y in places:
        x, y, angle = x + rng.uniform(-5, 5), y + rng.uniform(-5, 5), rng.uniform(-0.1, 0.1)
        parts.append((BURST, colour, track(x, y, 9 - 3 * opening, angle, 8 + reach * opening)))
        parts.append((BURST, tint(colour, 0.25), track(x, y, 6 - 2 * opening, angle + 0.3, 4 + 0.5 * reach * opening)))
    return parts


def clock(scene: Scene, rng: random.Random, colour, _back) -> list[Primitive]:
    sign = 1 if scene.direction == "clockwise" else -1
    minute = sign * 2 * math.pi * time() - math.pi / 2 + rng.uniform(-0.12, 0.12)
    hour = sign * math.pi / 4 * time() + rng.uniform(-0.1, 0.1)
    x, y = 128 + rng.uniform(-5, 5), 96 + rng.uniform(-4, 4)
    return [
        (RING, colour, track(x, y, 76, 0, 6)),
        (HAND, colour, track(x, y, 60, minute, 5)),
        (HAND, colour, track(x, y, 36, hour, 6)),
    ]


def cross(scene: Scene, rng: random.Random, colour, _back) -> list[Primitive]:
    t, j, k = time(), rng.uniform(-6, 6), rng.uniform(-6, 6)
    if scene.direction == "horizontal":
        ball, box = (44 + 168 * t + j, 72 + k), (212 - 168 * t + j, 120 + k)
    else:
        ball, box = (96 + k, 160 - 128 * t + j), (160 + k, 32 + 128 * t + j)
    return shape("square", rgb(scene.second), *box, 25) + shape("ball", colour, *ball, 27)


def swing(_scene: Scene, rng: random.Random, colour, _back) -> list[Primitive]:
    angle = math.pi / 2 + 0.75 * np.cos(2 * math.pi * 1.25 * time() + rng.uniform(-0.15, 0.15))
    length, x, y = 112.0, 128 + rng.uniform(-6, 6), 18.0
    rod = (HAND, colour, track(x, y, length, angle, 3))
    return [rod, *shape("ball", colour, x + length * np.cos(angle), y + length * np.sin(angle), 26)]


KIND_TRACKS = {
    "bounce": bounce, "slide": slide, "rotate": rotate, "grow": grow, "sun": sun, "waves": waves, "snow": snow,
    "fireworks": fireworks, "clock": clock, "cross": cross, "swing": swing,
}


def drawing(scene: Scene, rng: random.Random) -> tuple[tuple[float, float, float], list[Primitive]]:
    """The background colour and the shapes, the furthest first."""
    back = rgb(scene.background)
    parts = KIND_TRACKS[scene.kind](scene, rng, rgb(scene.colour), back)
    # Above the sea stands a dark sky of the sea's hue; elsewhere the background is the whole picture's.
    return (shade(back, 0.4) if scene.kind == "sun" else back), parts


def pack(scene_list: list[Scene], seed: int):
    """Arrays for render.py: backgrounds [N, 3], kinds [N, M] (-1: none), colours [N, M, 3], tracks [N, M, T, 5]."""
    n = len(scene_list)
    backs = np.zeros((n, 3), np.float32)
    kinds = np.full((n, MOST_SHAPES), -1, np.int64)
    colours = np.zeros((n, MOST_SHAPES, 3), np.float32)
    tracks = np.zeros((n, MOST_SHAPES, FRAMES, 5), np.float32)
    for i, scene in enumerate(scene_list):
        backs[i], parts = drawing(scene, random.Random(f"{seed}-{i}"))
        for j, (kind, colour, values) in enumerate(parts):
            kinds[i, j], colours[i, j], tracks[i, j] = kind, colour, values
    return backs, kinds, colours, tracks
