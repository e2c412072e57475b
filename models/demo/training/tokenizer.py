"""The demo model's own Unigram tokenizer: writes tokenizer.json, and tokenises as the JS and HuggingFace libraries do.

Words of the prompts are one piece each; any other word falls apart into characters.
"""

import argparse
import collections
import json
import math
import os
import random
import unicodedata

from captions import caption
from dataset import scenes

SPACE = "\u2581"
SPECIAL = ("<pad>", "</s>", "<unk>")
PAD, END, UNKNOWN = 0, 1, 2
ALWAYS = ("a", "an", "the", "of", "in", "on", "with", "and", "is", "are", "to", "it", "video", "background")


def words_of_prompts(count: int = 30000, least: int = 25) -> collections.Counter:
    rng = random.Random(7)
    counted: collections.Counter = collections.Counter()
    for scene in scenes("train", count, 7):
        counted.update(word.strip(".,") for word in caption(scene, rng).lower().split())
    return collections.Counter({word: n for word, n in counted.items() if n >= least})


def pieces() -> list[tuple[str, float]]:
    words = words_of_prompts()
    for word in ALWAYS:
        words[word] = max(words[word], 25)
    total = sum(words.values())
    ranked = sorted(words.items(), key=lambda item: (-item[1], item[0]))
    vocabulary = [(SPACE + word, round(math.log(n / total), 4)) for word, n in ranked]
    vocabulary += [(SPACE, -11.0), ("ing", -13.0), ("ed", -13.5), ("ly", -13.5)]
    characters = [chr(code) for code in range(0x21, 0x7F) if not chr(code).isupper()] + list("äöüßéèêàáçñíóúæøå")
    vocabulary += [(character, -14.0) for character in characters]
    return [(token, 0.0) for token in SPECIAL] + vocabulary


def tokenizer_json() -> dict:
    special = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    metaspace = {"type": "Metaspace", "replacement": SPACE, "prepend_scheme": "always", "split": True}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [{"id": i, "content": token, **special} for i, token in enumerate(SPECIAL)],
        "normalizer": {"type": "Sequence", "normalizers": [{"type": "NFKC"}, {"type": "Lowercase"}]},
        "pre_tokenizer": metaspace,
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [{"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": "</s>", "type_id": 0}}],
            "pair": [],
            "special_tokens": {"</s>": {"id": "</s>", "ids": [END], "tokens": ["</s>"]}},
        },
        "decoder": metaspace,
        "model": {"type": "Unigram", "unk_id": UNKNOWN, "vocab": pieces(), "byte_fallback": False},
    }


class Tokenizer:
    def __init__(self, path: str):
        with open(path, encoding="utf-8") as file:
            vocabulary = json.load(file)["model"]["vocab"]
        self.size = len(vocabulary)
        self.pieces = {token: (i, score) for i, (token, score) in enumerate(vocabulary) if i > UNKNOWN}
        self.longest = max(map(len, self.pieces))
        self.unknown_score = min(score for _, score in vocabulary) - 10
        self.known: dict[str, list[int]] = {}

    def word(self, text: str) -> list[int]:
        """The best way to cut one word (Viterbi); unknown characters side by side become one <unk>."""
        best: list[tuple[float, int, int]] = [(0.0, 0, 0)] + [(-math.inf, 0, 0)] * len(text)
        for start in range(len(text)):
            for end in range(start + 1, min(len(text), start + self.longest) + 1):
                token, score = self.pieces.get(text[start:end], (UNKNOWN, self.unknown_score if end == start + 1 else -math.inf))
                if best[start][0] + score > best[end][0]:
                    best[end] = (best[start][0] + score, start, token)
        ids: list[int] = []
        place = len(text)
        while place > 0:
            _, start, token = best[place]
            if not (token == UNKNOWN and ids and ids[-1] == UNKNOWN):
                ids.append(token)
            place = start
        return ids[::-1]

    def encode(self, prompt: str) -> list[int]:
        """Ids with </s> at the end."""
        ids: list[int] = []
        for word in unicodedata.normalize("NFKC", prompt).lower().split():
            if word not in self.known:
                self.known[word] = self.word(SPACE + word)
            ids += self.known[word]
        return [*ids, END]


def main() -> None:
    parser = argparse.ArgumentParser(description="Write tokenizer.json.")
    parser.add_argument("--out", required=True)
    options = parser.parse_args()
    os.makedirs(os.path.dirname(options.out) or ".", exist_ok=True)
    with open(options.out, "w", encoding="utf-8") as file:
        json.dump(tokenizer_json(), file, ensure_ascii=False, separators=(",", ":"))
        file.write("\n")


if __name__ == "__main__":
    main()
