"""Questions as people put them: several ways each, British and American."""

from __future__ import annotations

from typing import Final

import numpy as np

from mmcam.datasets.visual_words import plural

from .phrases import IRREGULAR
from .rules import Question

COLOUR: Final = ("colour", "color")
ONE: Final = (
    "what {colour} is the {thing}?",
    "what {colour} is the {thing}?",
    "what is the {colour} of the {thing}?",
    "which {colour} is the {thing}?",
    "what {colour} is the {thing} in the picture?",
    "what {colour} {thing} is it?",
)
SEVERAL: Final = (
    "what {colour} are the {thing}?",
    "what {colour} are the {thing}?",
    "what is the {colour} of the {thing}?",
    "which {colour} are the {thing}?",
)
OWNED: Final = (
    "what {colour} is the {who}'s {thing}?",
    "what {colour} is the {who}'s {thing}?",
    "what is the {colour} of the {who}'s {thing}?",
    "what {colour} {thing} is the {who} wearing?",
)
OWNED_SEVERAL: Final = ("what {colour} are the {who}'s {thing}?", "what {colour} {thing} is the {who} wearing?")
TEXTS: Final = {
    "number": (
        "how many {things} are there?",
        "how many {things} are there?",
        "how many {things} are in the picture?",
        "how many {things} can you see?",
        "how many {things} do you see?",
        "what number of {things} is there?",
        "how many {things} are in the photo?",
        "how many {things} are shown?",
    ),
    "what": (
        "what is the {who} {verb}?",
        "what is the {who} {verb}?",
        "what's the {who} {verb}?",
        "what is the {who} {verb} in the picture?",
        "which thing is the {who} {verb}?",
    ),
    "mouth": (
        "what is in the dog's mouth?",
        "what does the dog have in its mouth?",
        "what is the dog carrying?",
        "what is the dog holding in its mouth?",
        "what is the dog carrying in its mouth?",
        "what has the dog got?",
    ),
    "head": (
        "what is on the {who}'s head?",
        "what is the {who} wearing on the head?",
        "what does the {who} wear on the head?",
        "what is on the head of the {who}?",
        "what headgear is the {who} wearing?",
    ),
    "wearing": ("what is the {who} wearing?", "what does the {who} wear?", "what is the {who} dressed in?"),
    "sport": (
        "what sport is this?",
        "which sport is this?",
        "what sport is being played?",
        "what sport is shown?",
        "what kind of sport is it?",
        "what sport are they doing?",
        "what game is this?",
    ),
    "animal": (
        "what animal is this?",
        "what animal is it?",
        "which animal is in the picture?",
        "what animal is there?",
        "what kind of animal is this?",
        "what animal can you see?",
        "what type of animal is shown?",
    ),
    "who": (
        "who is this?",
        "who is in the picture?",
        "who is it?",
        "who is there?",
        "who can you see?",
        "who is shown?",
        "who is in the photo?",
    ),
    "who does": ("who is {doing}?", "who is {doing} in the picture?", "who is {doing}?"),
    "where": (
        "where is this?",
        "where is it?",
        "where was this taken?",
        "where is this picture taken?",
        "what place is this?",
        "where does this take place?",
        "which place is it?",
    ),
    "where who": (
        "where is the {who}?",
        "where is the {who}?",
        "where's the {who}?",
        "where is the {who} in the picture?",
    ),
    "doing": (
        "what is the {who} doing?",
        "what is the {who} doing?",
        "what's the {who} doing?",
        "what does the {who} do?",
        "what is the {who} doing in the picture?",
        "what is happening?",
        "what action is shown?",
    ),
    "doing several": (
        "what are the {whos} doing?",
        "what are they doing?",
        "what are the {whos} doing in the picture?",
        "what do the {whos} do?",
    ),
    "exists": (
        "is there {a} {thing}?",
        "is there {a} {thing}?",
        "is there {a} {thing} in the picture?",
        "do you see {a} {thing}?",
        "can you see {a} {thing}?",
        "does the picture show {a} {thing}?",
        "is {a} {thing} there?",
        "is there {a} {thing} in the photo?",
        "{is any} {things} in the picture?",
    ),
    "is coloured": ("is the {thing} {value}?", "is the {thing} {value}?", "is it a {value} {thing}?"),
    "are coloured": ("are the {thing} {value}?",),
    "is doing": ("is the {who} {value}?", "is the {who} {value}?", "is the {who} {value} in the picture?"),
    "are doing": ("are the {whos} {value}?", "are they {value}?"),
    "are": (
        "are there {value} {things}?",
        "are there {value} {things} in the picture?",
        "can you see {value} {things}?",
    ),
    "is one": ("is there only one {thing}?", "is there just one {thing}?", "is there exactly one {thing}?"),
}
"""Ways to ask by form; a way that stands twice is chosen twice as often."""

NAMES: Final = {
    "bicycle": ("bicycle", "bike"),
    "motorcycle": ("motorcycle", "motorbike"),
    "trousers": ("trousers", "pants"),
    "airplane": ("airplane", "plane", "aeroplane"),
    "child": ("child", "kid"),
    "phone": ("phone", "mobile phone", "cell phone"),
    "couch": ("couch", "sofa"),
    "stroller": ("stroller", "pram"),
    "hat": ("hat", "cap"),
    "jacket": ("jacket", "coat"),
    "sweater": ("sweater", "jumper", "sweatshirt"),
    "swimsuit": ("swimsuit", "bathing suit"),
    "mountain": ("mountain",),
    "person": ("person",),
    "uniform": ("uniform", "jersey"),
    "sidewalk": ("sidewalk", "pavement"),
    "ski": ("skis",),
    "street": ("street", "road"),
    "sled": ("sled", "sledge"),
    "pool": ("pool", "swimming pool"),
    "shirt": ("shirt", "t-shirt"),
    "frisbee": ("frisbee",),
    "food": ("food",),
    "shoe": ("shoes",),
    "sock": ("socks",),
    "glove": ("gloves",),
}
PLURALS: Final = frozenset(
    ("skis", "sunglasses", "goggles", "trousers", "shorts", "shoes", "socks", "gloves", "stairs")
)
MASS: Final = frozenset(("water", "snow", "grass", "sand", "food", "fire", *PLURALS))
THINGS: Final = frozenset(
    ("bench", "bed", "boat", "couch", "slide", "stairs", "swing", "table", "trampoline", "puddle")
)
"""Answers that say where someone is, not where a picture was taken."""
NUMBER_WORDS: Final = ("", "one", "two", "three", "four", "five", "six")


def put(question: Question, rng: np.random.Generator) -> str:
    """The words of a question, one of its ways at random."""
    form, fill = question.form, dict(question.fill)
    thing = fill.get("word") or str(rng.choice(NAMES.get(question.about) or (question.about,)))
    who = fill.get("who", "")
    ways = TEXTS.get(form, ())
    if form == "colour":
        many = is_several(question.about, thing)
        ways = (OWNED_SEVERAL if many else OWNED) if who and rng.random() < 0.6 else (SEVERAL if many else ONE)
    elif form == "is coloured" and is_several(question.about, thing):
        ways = TEXTS["are coloured"]
    elif form == "who" and fill.get("doing") and rng.random() < 0.6:
        ways = TEXTS["who does"]
    elif form == "where" and who and (question.answer in THINGS or rng.random() < 0.5):
        ways = TEXTS["where who"]
    elif form in ("doing", "is doing") and fill.get("several"):
        ways = TEXTS["doing several" if form == "doing" else "are doing"]
    elif form == "are" and fill["value"] == "1":
        ways = TEXTS["is one"]
    way = str(rng.choice(ways))
    if form == "exists" and thing in PLURALS:
        way = way.replace("is {a} {thing} there", "is there {a} {thing}").replace("is there", "are there")
    values = {
        "colour": str(rng.choice(COLOUR)),
        "thing": thing,
        "things": thing if form == "exists" and thing in MASS else several(thing),
        "who": who,
        "whos": several(who),
        "verb": question.about,
        "doing": fill.get("doing", ""),
        "a": article(thing),
        "is any": "is there any" if thing in MASS and thing not in PLURALS else "are there any",
        "value": NUMBER_WORDS[int(fill["value"])] if form == "are" else fill.get("value", ""),
    }
    return " ".join(way.format(**values).split())


def is_several(about: str, word: str) -> bool:
    """Whether a garment's word takes "are": trousers, shoes."""
    return about in ("shorts", "trousers", "shoe", "sock", "glove", "goggles") and not word.startswith("pair")


def several(word: str) -> str:
    """The plural of a thing's name."""
    return IRREGULAR.get(word, plural(word)) if word else ""


def article(word: str) -> str:
    """What comes before a thing in "is there …": a, an, or nothing fixed."""
    if word in MASS:
        return "any"
    return "an" if word[0] in "aeio" or word.startswith("um") else "a"
