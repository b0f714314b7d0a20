"""Names of ImageNet's 1,000 classes, their synonyms and what they are kinds of, for `photo-classifier`.

```sh
python -m experiments.train.imagenet_names WORDNET/dict  # with WordNet's data.noun
```

The classes, each a synset of WordNet 3.0, are timm's, with words and definition; here they are found again in the
WordNet at hand, whatever its version, by these two. A class is shown by its first word, with what tells it apart in
brackets where that word has another meaning here ("crane (wading bird)").

A hypernym is kept by each of its words, with the classes under it, unless it tells nothing: what holds more than half
of all classes ("object", "artifact"), and the first three levels of WordNet ("entity", "abstraction", "matter"). A word
of several meanings means the classes of all of them.
"""

import difflib
import json
from collections import defaultdict
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Final

import typer

OUT: Final = Path("models/imagenet.json")
LEVELS: Final = 3


@dataclass(frozen=True)
class Synset:
    """Words with one meaning, what they are kinds of (by offset), and their definition."""

    words: tuple[str, ...]
    above: tuple[str, ...]
    definition: str


def main(wordnet: Annotated[Path, typer.Argument(help="Folder with data.noun.")], out: Path = OUT) -> None:
    """Write the names, synonyms and hypernyms of ImageNet's classes."""
    nouns = read_nouns(wordnet / "data.noun")
    classes = read_classes()
    by_word: dict[str, list[str]] = defaultdict(list)
    for offset, synset in nouns.items():
        for word in synset.words:
            by_word[word.casefold()].append(offset)
    synsets = [matching(words, definition, nouns, by_word) for _, words, definition in classes]
    if len(set(synsets)) != len(classes):
        raise typer.BadParameter("two classes were found as the same synset; this is another WordNet")
    groups = hypernyms(synsets, nouns)
    shown = unambiguous([words for _, words, _ in classes], [nouns[offset] for offset in synsets], nouns, groups)
    entries = [
        {"wnid": wnid, "name": name, "words": words} for (wnid, words, _), name in zip(classes, shown, strict=True)
    ]
    out.write_text(written(entries, groups))
    print(f"{out}: {len(entries)} classes, {len(groups)} hypernyms, {out.stat().st_size:,} bytes")


def read_nouns(path: Path) -> dict[str, Synset]:
    """The synsets of WordNet's ``data.noun`` by offset (its manual, wndb(5))."""
    nouns = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("  "):  # the licence
            continue
        data, _, gloss = line.partition(" | ")
        fields = data.split()
        count = int(fields[3], 16)
        words = tuple(word.replace("_", " ") for word in fields[4 : 4 + 2 * count : 2])
        pointers = fields[5 + 2 * count :]
        above = tuple(to for kind, to in zip(pointers[::4], pointers[1::4], strict=False) if kind in ("@", "@i"))
        nouns[fields[0]] = Synset(words, above, gloss.split('; "')[0].strip())
    return nouns


def read_classes() -> list[tuple[str, list[str], str]]:
    """(wnid, words, definition) of each class, as timm has them."""
    from timm.data.imagenet_info import ImageNetInfo

    info = ImageNetInfo("imagenet-1k")
    short, long = info.label_descriptions(), info.label_descriptions(detailed=True)
    return [
        (wnid, words.split(", "), both.removeprefix(f"{words}: "))
        for wnid, words, both in zip(info.label_names(), short, long, strict=True)
    ]


def matching(words: list[str], definition: str, nouns: dict[str, Synset], by_word: dict[str, list[str]]) -> str:
    """The synset with a class's words and definition: the offset of the one most like both."""
    own = {word.casefold() for word in words}

    def likeness(offset: str) -> float:
        theirs = {word.casefold() for word in nouns[offset].words}
        text = difflib.SequenceMatcher(None, definition, nouns[offset].definition, autojunk=False)
        return text.ratio() + len(own & theirs) / len(own | theirs)

    return max(sorted({offset for word in own for offset in by_word[word]}), key=likeness)


def hypernyms(synsets: list[str], nouns: dict[str, Synset]) -> dict[str, list[int]]:
    """The classes under each word that is no class itself and tells something."""

    @cache
    def level(offset: str) -> int:
        return 1 + min((level(above) for above in nouns[offset].above), default=0)

    def above(offset: str) -> set[str]:
        return {offset}.union(*map(above, nouns[offset].above))

    under: dict[str, set[int]] = defaultdict(set)
    for index, offset in enumerate(synsets):
        for each in above(offset) - {offset}:
            under[each].add(index)
    words: dict[str, set[int]] = defaultdict(set)
    for offset, indices in under.items():
        if 2 * len(indices) <= len(synsets) and level(offset) > LEVELS:
            for word in nouns[offset].words:
                words[word] |= indices
    return {word: sorted(words[word]) for word in sorted(words, key=lambda word: (word.casefold(), word))}


def unambiguous(
    words: list[list[str]], synsets: list[Synset], nouns: dict[str, Synset], groups: dict[str, list[int]]
) -> list[str]:
    """What each class is shown as."""
    taken: dict[str, int] = defaultdict(int)
    for own in words:
        for word in {word.casefold() for word in own}:
            taken[word] += 1
    for word in {word.casefold() for word in groups}:
        taken[word] += 1
    shown = []
    for own, synset in zip(words, synsets, strict=True):
        more = [word for word in own[1:] if taken[word.casefold()] == 1]
        rest = (more or [nouns[synset.above[0]].words[0]])[0]
        shown.append(own[0] if taken[own[0].casefold()] == 1 else f"{own[0]} ({rest})")
    return shown


def written(entries: list[dict], groups: dict[str, list[int]]) -> str:
    """JSON with an entry a line; runs of classes are written as first-last."""
    classes = ",\n".join(json.dumps(entry, ensure_ascii=False) for entry in entries)
    wider = ",\n".join(f"{json.dumps(word)}: {json.dumps(runs(indices))}" for word, indices in groups.items())
    return f'{{"classes": [\n{classes}\n],\n"hypernyms": {{\n{wider}\n}}}}\n'


def runs(indices: list[int]) -> str:
    """[1, 2, 3, 7] as "1-3 7"."""
    found: list[list[int]] = []
    for index in indices:
        if found and index == found[-1][1] + 1:
            found[-1][1] = index
        else:
            found.append([index, index])
    return " ".join(str(first) if first == last else f"{first}-{last}" for first, last in found)


if __name__ == "__main__":
    typer.run(main)
