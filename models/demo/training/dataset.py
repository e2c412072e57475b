"""Which scenes exist, which of them are never trained on, and a manifest of either kind.

A scene is a few words of data: what moves, in which colours, which way. Its prompt is written by captions.py and its
picture by scenes.py and render.py, so a data set is a seed, not a folder of files.
"""

import argparse
import dataclasses
import hashlib
import json
import random

from palette import COLOURS

SHAPES = ("ball", "circle", "square", "triangle", "star")
SPEEDS = ("slow", "normal", "fast")

# Kind -> the directions it knows (the first is what a prompt without one means).
DIRECTIONS = {
    "bounce": ("in place", "left", "right"),
    "slide": ("right", "left", "up", "down"),
    "rotate": ("clockwise", "counterclockwise"),
    "grow": ("grow", "shrink"),
    "sun": ("rise", "set"),
    "waves": ("right", "left"),
    "snow": ("down", "left", "right"),
    "fireworks": ("three", "one", "two"),
    "clock": ("clockwise", "counterclockwise"),
    "cross": ("horizontal", "vertical"),
    "swing": ("swing",),
}
KINDS = tuple(DIRECTIONS)

# Kind -> (object, background) where a prompt names none.
DEFAULT_COLOURS = {
    "bounce": ("red", "green"),
    "slide": ("red", "white"),
    "rotate": ("red", "white"),
    "grow": ("red", "white"),
    "sun": ("yellow", "blue"),
    "waves": ("blue", "white"),
    "snow": ("white", "blue"),
    "fireworks": ("yellow", "black"),
    "clock": ("black", "white"),
    "cross": ("red", "white"),
    "swing": ("red", "white"),
}

KIND_SHAPES = {
    "bounce": ("ball",),
    "slide": SHAPES,
    "rotate": ("square", "triangle", "star", "bar"),
    "grow": SHAPES,
    "cross": ("ball",),
}
KIND_SPEEDS = ("bounce", "slide", "rotate")
HELD_OUT_ONE_IN = 10
# The clips that flow.py and distil.py learn from.
TRAINING_CLIPS, TRAINING_SEED = 12288, 2


@dataclasses.dataclass(frozen=True)
class Scene:
    kind: str
    colour: str
    background: str
    direction: str
    second: str = ""  # the other object's colour, in "cross" alone
    shape: str = ""
    count: int = 1
    speed: str = "normal"


def default_background(kind: str, taken: tuple[str, ...]) -> str:
    """The background that a prompt without one gets: the kind's own, or a plain one that shows the object."""
    options = (DEFAULT_COLOURS[kind][1], "white", "black", "blue")
    return next(name for name in options if name not in taken)


def combination(scene: Scene) -> str:
    """What the hold-out is decided by: kind, colours and direction, whatever the shape, speed and wording."""
    return "|".join((scene.kind, scene.colour, scene.second, scene.background, scene.direction))


def held_out(scene: Scene) -> bool:
    digest = hashlib.sha256(combination(scene).encode()).digest()
    return int.from_bytes(digest[:4], "big") % HELD_OUT_ONE_IN == 0


def random_scene(rng: random.Random, kind: str) -> Scene:
    usable = [name for name in COLOURS if not (kind == "sun" and name == "black")]
    colour = DEFAULT_COLOURS[kind][0] if rng.random() < 0.08 else rng.choice(usable)
    second = rng.choice([name for name in COLOURS if name != colour]) if kind == "cross" else ""
    free = [name for name in COLOURS if name not in (colour, second)]
    plain = default_background(kind, (colour, second))
    background = plain if rng.random() < 0.08 else rng.choice(free)
    directions = DIRECTIONS[kind]
    return Scene(
        kind=kind,
        colour=colour,
        background=background,
        direction=rng.choice(directions),
        second=second,
        shape=rng.choice(KIND_SHAPES.get(kind, ("",))),
        count=rng.choice((1, 1, 2, 3)) if kind == "slide" else 1,
        speed=rng.choice(("normal", "normal", "slow", "fast")) if kind in KIND_SPEEDS else "normal",
    )


def scenes(split: str, count: int, seed: int) -> list[Scene]:
    """`count` scenes of one split ("train" or "held-out"), the kinds in turn, the same for the same seed."""
    rng = random.Random(f"{split}-{seed}")
    found: list[Scene] = []
    while len(found) < count:
        scene = random_scene(rng, KINDS[len(found) % len(KINDS)])
        if held_out(scene) == (split == "held-out"):
            found.append(scene)
    return found


def read_manifest(path: str) -> tuple[list[Scene], list[str]]:
    """-> scenes and their prompts."""
    with open(path, encoding="utf-8") as file:
        rows = json.load(file)
    names = [field.name for field in dataclasses.fields(Scene)]
    return [Scene(**{name: row[name] for name in names}) for row in rows], [row["prompt"] for row in rows]


def write_json(path: str, value) -> None:
    with open(path, "w", encoding="utf-8") as file:
        json.dump(value, file, indent=1)
        file.write("\n")


def main() -> None:
    from captions import caption

    parser = argparse.ArgumentParser(description="Write the manifests: prompts never trained on, and what is trained on.")
    parser.add_argument("--held-out", default="models/demo/held-out.json", help="scenes with a prompt each")
    parser.add_argument("--trained-on", default="models/demo/trained-on.json", help="the combinations of flow.py's clips")
    options = parser.parse_args()
    rng = random.Random(1)
    rows = [
        {**dataclasses.asdict(scene), "combination": combination(scene), "prompt": caption(scene, rng)}
        for scene in scenes("held-out", 100, 1)
    ]
    write_json(options.held_out, rows)
    write_json(options.trained_on, sorted({combination(scene) for scene in scenes("train", TRAINING_CLIPS, TRAINING_SEED)}))


if __name__ == "__main__":
    main()
