"""A scene's prompt, in one of several English phrasings.

What a prompt leaves out (a background, a direction) is left out only where the scene has the kind's default there, so
that a prompt always decides its clip.
"""

import random

from dataset import DEFAULT_COLOURS, DIRECTIONS, Scene, default_background

SHAPE_WORDS = {
    "ball": ("ball", "ball", "sphere"),
    "circle": ("circle", "disc", "dot"),
    "square": ("square", "box", "block"),
    "triangle": ("triangle",),
    "star": ("star",),
    "bar": ("bar", "stick", "line"),
}
WAY = {
    "left": ("to the left", "left", "from right to left", "towards the left", "leftwards"),
    "right": ("to the right", "right", "from left to right", "towards the right", "rightwards"),
    "up": ("up", "upwards", "to the top", "from bottom to top"),
    "down": ("down", "downwards", "to the bottom", "from top to bottom"),
    "clockwise": ("clockwise",),
    "counterclockwise": ("counterclockwise", "anticlockwise", "counter clockwise", "anti-clockwise"),
}
NUMBERS = {1: "one", 2: "two", 3: "three"}
OPENINGS = ("a video of", "an animation of", "a clip of", "a short film of", "show me", "draw", "please draw", "imagine")
ENDINGS = (
    "in a simple style", "flat design", "high quality", "cinematic", "minimal", "4k", "smooth motion", "2d animation",
    "on a sunny day", "for my website", "clean and bright", "detailed",
)


def article(words: str) -> str:
    return ("an " if words[0] in "aeiou" else "a ") + words


def plural(noun: str) -> str:
    return noun + ("es" if noun.endswith("x") else "s")


def thing(rng: random.Random, colour: str, noun: str, count: int = 1) -> str:
    """'a red ball', 'the red ball', 'two red balls'; without a colour where that is empty."""
    words = f"{colour} {noun}".strip()
    if count > 1:
        return f"{NUMBERS[count]} {f'{colour} {plural(noun)}'.strip()}"
    return rng.choice((article(words),) * 4 + (f"the {words}", f"one {words}"))


def backdrop(rng: random.Random, kind: str, colour: str) -> str:
    places = {
        "bounce": ("on {a} field", "on {a} field", "on {a} floor", "on {c} ground", "on {a} meadow"),
        "sun": ("over {a} sea", "over {a} sea", "over the {c} ocean", "above {a} sea", "over {c} water", "over {a} ocean"),
        "waves": ("under {a} sky", "below {a} sky", "beneath {a} sky"),
        "snow": ("in {a} sky", "from {a} sky", "against {a} sky"),
        "fireworks": ("in {a} sky", "against {a} sky", "in the {c} sky"),
    }.get(kind, ("in front of {a} wall", "on {a} wall", "on {a} screen"))
    plain = ("on {a} background", "against {a} background", "on {c}", "over {a} background", "with {a} background")
    if kind == "sun":
        plain = places
    text = rng.choice(places + plain) if kind in ("bounce", "sun", "waves", "snow", "fireworks") else rng.choice(plain + plain + places)
    return text.format(a=article(colour), c=colour)


def action(rng: random.Random, scene: Scene, colour: str) -> str:
    """The sentence without its background: who does what, which way, how fast."""
    kind, pick = scene.kind, rng.choice
    said = scene.direction != DIRECTIONS[kind][0] or rng.random() < 0.6
    way = pick(WAY.get(scene.direction, ("",))) if said else ""
    noun = pick(SHAPE_WORDS.get(scene.shape, ("",)))
    speed = {"slow": "slowly", "normal": "", "fast": pick(("quickly", "fast", "rapidly"))}[scene.speed]
    if kind == "bounce":
        way = pick(("in place", "up and down", "")) if scene.direction == "in place" else way
        verb = pick(("bouncing", "bouncing", "bounces", "that bounces", "hopping", "jumping"))
        if rng.random() < 0.2:
            return f"{article(f'bouncing {colour} {noun}')} {way} {speed}" if scene.direction == "in place" else (
                f"{article(f'bouncing {colour} {noun}')} moving {way} {speed}")
        return f"{thing(rng, colour, noun)} {verb} {way} {speed}"
    if kind == "slide":
        verbs = ("slide", "move", "glide", "travel") if scene.count > 1 else ("slides", "moves", "glides", "travels")
        verb = pick(("sliding", "sliding", "moving", "gliding", "travelling", pick(verbs)))
        return f"{thing(rng, colour, noun, scene.count)} {verb} {way} {speed}"
    if kind == "rotate":
        verb = pick(("rotating", "rotating", "spinning", "turning", "rotates", "spins", "turns"))
        return f"{thing(rng, colour, noun)} {verb} {way} {speed}"
    if kind == "grow":
        verbs = {
            "grow": ("growing", "growing", "getting bigger", "growing larger", "expanding", "grows", "becoming larger"),
            "shrink": ("shrinking", "shrinking", "getting smaller", "becoming smaller", "shrinks"),
        }[scene.direction]
        return f"{thing(rng, colour, noun)} {pick(verbs)}"
    if kind == "sun":
        verbs = {
            "rise": ("rising", "rising", "rises", "coming up", "going up"),
            "set": ("setting", "setting", "sets", "going down", "sinking"),
        }[scene.direction]
        short = {"rise": "sunrise", "set": "sunset"}[scene.direction]
        if rng.random() < 0.15:
            return article(f"{colour} {short}".strip())
        return f"{thing(rng, colour, 'sun')} {pick(verbs)}"
    if kind == "waves":
        verb = pick(("rolling", "moving", "flowing", "running", "roll", "move"))
        noun = pick(("waves", "waves", "big waves", "water waves"))
        text = f"{colour} {noun} {verb} {way}"
        return text if way else f"{colour} {pick(('waves', 'waves rolling', 'waves moving', 'rolling waves'))}"
    if kind == "snow":
        noun = pick(("snow", "snow", "snowflakes", "flakes"))
        way = pick(("", "down", "straight down")) if scene.direction == "down" else (
            f"{pick(('drifting', 'blowing', 'and drifting', 'blown'))} {way}")
        return f"{colour} {noun} falling {way}"
    if kind == "fireworks":
        verb = pick(("exploding", "exploding", "bursting", "going off", "lighting up"))
        one = f"{thing(rng, colour, pick(('firework', 'firework', 'rocket')))} {verb}"
        few = {"one": one, "two": f"two {colour} fireworks {verb}", "three": f"{pick(('', 'three '))}{colour} fireworks {pick((verb, ''))}"}
        return few[scene.direction]
    if kind == "clock":
        clock = thing(rng, colour, "clock")
        if scene.direction == "clockwise":
            return pick((
                f"{clock} with hands turning {way}", f"{clock} with turning hands", f"{clock} ticking",
                f"the hands of {clock} turning {way}", f"{clock} running", f"the hands of {clock} moving {way}",
            ))
        return pick((
            f"{clock} with hands turning {way}", f"{clock} with hands turning backwards", f"{clock} running backwards",
            f"the hands of {clock} turning {way}", f"the hands of {clock} moving {way}",
        ))
    if kind == "cross":
        ball, box = thing(rng, colour, "ball"), thing(rng, scene.second, pick(("square", "square", "box")))
        way = {"horizontal": ("", "horizontally", "sideways", "from side to side"),
               "vertical": ("vertically", "up and down")}[scene.direction]
        return f"{ball} and {box} {pick(('crossing', 'crossing', 'passing each other', 'crossing each other'))} {pick(way)}"
    verb = pick(("swinging", "swinging", "swings", "swinging back and forth", "swinging from side to side"))
    return f"{thing(rng, colour, 'pendulum')} {verb}"


def random_word(rng: random.Random) -> str:
    """A word that means nothing, so that unknown words in a prompt do no harm."""
    letters = [rng.choice("bcdfghjklmnprstvwz") + rng.choice("aeiou") for _ in range(rng.randint(1, 3))]
    return "".join(letters) + rng.choice(("", "n", "r", "s"))


def caption(scene: Scene, rng: random.Random) -> str:
    plain_colour = scene.kind not in ("cross",) and scene.colour == DEFAULT_COLOURS[scene.kind][0]
    colour = "" if plain_colour and rng.random() < 0.25 else scene.colour
    text = action(rng, scene, colour)
    is_default = scene.background == default_background(scene.kind, (scene.colour, scene.second))
    if not (is_default and rng.random() < 0.5):
        place = backdrop(rng, scene.kind, scene.background)
        noun = {"sun": "sea"}.get(scene.kind, "background")
        text = f"{scene.background} {noun}, {text}" if rng.random() < 0.07 else f"{text} {place}"
    if rng.random() < 0.12:
        text = f"{rng.choice(OPENINGS)} {text}"
    chance = rng.random()
    if chance < 0.12:
        text = f"{text}, {rng.choice(ENDINGS)}"
    elif chance < 0.18:
        text = f"{text} {random_word(rng)} {random_word(rng)}"
    elif chance < 0.22:
        text = f"{random_word(rng)} {text}"
    return " ".join(text.split()).replace(" ,", ",") + rng.choice(("", "", ""  , "."))
