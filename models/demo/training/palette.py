"""The world's colours and its picture geometry: what every other file here agrees on."""

WIDTH, HEIGHT, FRAMES, FPS = 256, 192, 33, 16

# Nine names far enough apart in RGB that the nearest one is never in doubt on a clean picture.
PALETTE = {
    "red": (220, 40, 40),
    "orange": (250, 140, 30),
    "yellow": (250, 225, 60),
    "green": (40, 165, 70),
    "blue": (45, 90, 220),
    "purple": (130, 50, 190),
    "pink": (250, 130, 190),
    "white": (245, 245, 245),
    "black": (25, 25, 28),
}
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
