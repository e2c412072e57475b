"""Plain image analysis: does a clip show the object's colour, the background's colour and the kind of motion asked for?

It sees pixels only. Clips come as uint8 [T, H, W, 3] and are looked at in every second pixel.
"""

import numpy as np
from dataset import Scene
from palette import COLOURS, PALETTE
from scenes import BURSTS

STEP = 2
TABLE = np.array([PALETTE[name] for name in COLOURS], np.float32)
MOMENT = {"square": 4, "triangle": 3, "star": 5, "bar": 2}


def nearest(colours: np.ndarray) -> np.ndarray:
    return ((colours[..., None, :] - TABLE) ** 2).sum(-1).argmin(-1)


def most_common(indices: np.ndarray) -> str:
    return COLOURS[np.bincount(indices.ravel(), minlength=len(COLOURS)).argmax()]


def border(clip: np.ndarray) -> np.ndarray:
    return np.concatenate([clip[:, :4].reshape(-1, 3), clip[:, -4:].reshape(-1, 3),
                           clip[:, :, :4].reshape(-1, 3), clip[:, :, -4:].reshape(-1, 3)])


def far(clip: np.ndarray, colour: np.ndarray, distance: float = 55.0) -> np.ndarray:
    return ((clip - colour) ** 2).sum(-1) > distance**2


def split(clip: np.ndarray, kind: str):
    """-> the background's pixels, and a mask [T, H, W] of what is not background."""
    height = clip.shape[1]
    if kind == "sun":
        sea, sky = clip[:, int(height * 0.8):], clip[:, : int(height * 0.2), :8]
        mask = far(clip, np.median(sky.reshape(-1, 3), axis=0))
        mask[:, int(height * 0.645):] = False
        return sea.reshape(-1, 3), mask
    if kind == "bounce":
        back = clip[:, : int(height * 0.25), :].reshape(-1, 3)
        colour = np.median(back, axis=0)
        mask = far(clip, colour) & far(clip, colour * 0.8)
        return back, mask
    if kind == "waves":
        back = clip[:, : int(height * 0.25)].reshape(-1, 3)
    elif kind in ("snow", "fireworks"):
        back = clip.reshape(-1, 3)
    else:
        back = border(clip)
    return back, far(clip, np.median(back, axis=0))


def centres(mask: np.ndarray, least: int = 12):
    """Centroid [T, 2] (x, y) and area [T]; nan where there is nothing."""
    _, height, width = mask.shape
    area = mask.sum((1, 2)).astype(np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        x = (mask.sum(1) * np.arange(width)).sum(1) / area
        y = (mask.sum(2) * np.arange(height)).sum(1) / area
    track = np.stack([x, y], axis=1) * STEP
    track[area < least] = np.nan
    return track, area


def turned(phases: np.ndarray) -> float:
    return float(np.diff(np.unwrap(phases)).sum())


def ends(track: np.ndarray):
    """Mean of the first and of the last three known places."""
    known = track[~np.isnan(track[:, 0])]
    return (known[:3].mean(0), known[-3:].mean(0)) if len(known) >= 12 else (np.full(2, np.nan),) * 2


def falls_and_rises(y: np.ndarray, least: float) -> bool:
    """Goes down by `least` pixels and then up again by as much."""
    return any(y[i] - y[:i].min() > least and y[i] - y[i + 1:].min() > least for i in range(2, len(y) - 2))


def bounce(mask, _clip, scene: Scene) -> bool:
    track, _ = centres(mask)
    start, end = ends(track)
    y = track[~np.isnan(track[:, 1]), 1]
    if len(y) < 20 or not falls_and_rises(y, 25):
        return False
    dx = end[0] - start[0]
    return {"in place": abs(dx) < 45, "left": dx < -45, "right": dx > 45}[scene.direction]


def slide(mask, _clip, scene: Scene) -> bool:
    start, end = ends(centres(mask)[0])
    dx, dy = end - start
    along, across = {"right": (dx, dy), "left": (-dx, dy), "down": (dy, dx), "up": (-dy, dx)}[scene.direction]
    return bool(along > 22 and abs(across) < 0.5 * along)


def rotate(mask, _clip, scene: Scene) -> bool:
    track, area = centres(mask, 60)
    if np.isnan(track).any() or np.abs(track - track.mean(0)).max() > 25 or area.max() > 2.5 * area.min():
        return False
    order = MOMENT[scene.shape]
    phases = []
    for frame, place in zip(mask, track / STEP):
        y, x = frame.nonzero()
        z = (x - place[0]) + 1j * (y - place[1])
        phases.append(np.angle((np.abs(z) ** 2 * np.exp(1j * order * np.angle(z))).sum()))
    total = turned(np.array(phases)) / order
    return total > 0.6 if scene.direction == "clockwise" else total < -0.6


def grow(mask, _clip, scene: Scene) -> bool:
    _, area = centres(mask)
    first, last = area[:3].mean() + 1, area[-3:].mean() + 1
    ratio = last / first if scene.direction == "grow" else first / last
    return bool(ratio > 2 and min(first, last) > 20)


def sun(mask, _clip, scene: Scene) -> bool:
    start, end = ends(centres(mask, 20)[0])
    rise = start[1] - end[1]
    return bool(rise > 25 if scene.direction == "rise" else rise < -25)


def waves(mask, _clip, scene: Scene) -> bool:
    surface = mask.sum(1).astype(np.float64)
    wave = np.exp(-2j * np.pi * np.arange(surface.shape[1]) * STEP / 128)
    first = ((surface - surface.mean(1, keepdims=True)) * wave).sum(1)
    if np.abs(first).min() / surface.shape[1] < 0.5:
        return False
    total = turned(np.angle(first))
    return total < -2 if scene.direction == "right" else total > 2


def snow(mask, _clip, scene: Scene) -> bool:
    pictures = mask - mask.mean((1, 2), keepdims=True)
    spectrum = np.fft.fft2(pictures)
    gap = 2
    match = np.fft.ifft2((spectrum[gap:] * spectrum[:-gap].conj()).sum(0)).real
    reach = range(-8, 9)
    best = max(((match[dy, dx], dy, dx) for dy in reach for dx in reach))
    # What a picture that moves without changing would give: the best match must come near it.
    whole = (pictures**2).sum((1, 2)).mean() * (len(mask) - gap)
    if not 0.01 < mask.mean() < 0.4 or best[1] < 2 or best[0] < 0.4 * whole:
        return False
    return {"down": abs(best[2]) < 1, "left": best[2] <= -1, "right": best[2] >= 1}[scene.direction]


def fireworks(mask, _clip, scene: Scene) -> bool:
    places = np.array(BURSTS[scene.direction], np.float64) / STEP
    spread, shares = [], []
    for frame in mask:
        y, x = frame.nonzero()
        if len(x) < 20:
            return False
        gaps = np.hypot(x[:, None] - places[:, 0], y[:, None] - places[:, 1])
        spread.append(gaps.min(1).mean())
        shares.append(np.bincount(gaps.argmin(1), minlength=len(places)) / len(x))
    early = np.array(spread[:4]).mean()
    return bool(np.array(spread[-4:]).mean() - early > 8 and early < 16 and np.mean(shares, axis=0).min() > 0.4 / len(places))


def clock(mask, _clip, scene: Scene) -> bool:
    _, height, width = mask.shape
    y, x = np.mgrid[:height, :width]
    phases = []
    for frame in mask:
        ys, xs = frame.nonzero()
        if len(xs) < 100:
            return False
        cx, cy = (xs.min() + xs.max()) / 2, (ys.min() + ys.max()) / 2
        gap = np.hypot(x - cx, y - cy) * STEP
        hand = frame & (gap > 42) & (gap < 58)
        phases.append(np.angle((np.exp(1j * np.arctan2(y - cy, x - cx)) * hand).sum()))
    total = turned(np.array(phases))
    return total > 3 if scene.direction == "clockwise" else total < -3


def cross(_mask, clip, scene: Scene) -> bool:
    index = nearest(clip)
    ball, box = (centres(index == COLOURS.index(name), 60)[0] for name in (scene.colour, scene.second))
    (ball0, ball1), (box0, box1) = ends(ball), ends(box)
    axis, sign = (0, 1) if scene.direction == "horizontal" else (1, -1)
    return bool(sign * (ball1 - ball0)[axis] > 60 and sign * (box1 - box0)[axis] < -60)


def swing(mask, _clip, _scene: Scene) -> bool:
    track, _ = centres(mask)
    x = track[~np.isnan(track[:, 0]), 0]
    return len(x) >= 20 and (falls_and_rises(x, 25) or falls_and_rises(-x, 25))


MOTIONS = {
    "bounce": bounce, "slide": slide, "rotate": rotate, "grow": grow, "sun": sun, "waves": waves, "snow": snow,
    "fireworks": fireworks, "clock": clock, "cross": cross, "swing": swing,
}


def judge(clip: np.ndarray, scene: Scene) -> dict[str, bool]:
    """Whether colour, background and motion are the ones that the scene asks for."""
    small = clip[:, ::STEP, ::STEP].astype(np.float32)
    back, mask = split(small, scene.kind)
    inside = nearest(small[mask]) if mask.any() else np.zeros(0, np.int64)
    enough = mask.mean() > 0.002
    if scene.kind == "cross":
        counts = np.bincount(inside, minlength=len(COLOURS))
        top = {COLOURS[i] for i in counts.argsort()[-2:] if counts[i] > 0.15 * counts.sum()}
        colour = enough and top == {scene.colour, scene.second}
    else:
        colour = enough and most_common(inside) == scene.colour
    return {
        "colour": bool(colour),
        "background": most_common(nearest(back)) == scene.background,
        "motion": bool(enough and MOTIONS[scene.kind](mask, small, scene)),
    }
