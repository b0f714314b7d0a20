"""Make a VQA set of captioned photographs: questions by rules, in VQA's official format.

    python -m experiments.train.photo_questions --root FLICKR8K                     # runs/flickr8k-questions
    python -m experiments.train.photo_questions --data karpathy --root dataset_coco.json --pictures COCO

`mmcam.datasets.caption_questions` has the rules. The splits are those of the captions, by photograph.
"""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Annotated, Literal

import typer

from mmcam.datasets import captioned
from mmcam.datasets.caption_questions import TYPES, make, shares, write


def main(
    root: Annotated[Path, typer.Option(help="Flickr8k's folder, or one of Karpathy's files.")],
    data: Annotated[Literal["flickr8k", "karpathy"], typer.Option(help="Whose captions.")] = "flickr8k",
    pictures: Annotated[Path | None, typer.Option(help="Of Karpathy's file: the folder of the pictures.")] = None,
    out: Annotated[Path, typer.Option(help="Folder for the files.")] = Path("runs/flickr8k-questions"),
    seed: int = 0,
) -> None:
    """Write the questions and annotations of every split, and print how many there are."""
    splits = captioned.flickr8k(root) if data == "flickr8k" else captioned.karpathy(root, pictures or root.parent)
    made = make({split: [item.captions for item in items] for split, items in splits.items()}, seed)
    for split, items in splits.items():
        names = [item.path.name for item in items]
        write(out, split, made[split], names, [number_of(name) for name in names])
        counts = Counter(pair.type for pair in made[split])
        answers = len({pair.answer for pair in made[split]})
        best = shares(made[split])
        print(f"{split}: {len(made[split]):,} questions of {len(items):,} photographs, {answers} answers;", end=" ")
        print(", ".join(f"{kind} {counts[kind]:,} (best guess {best[kind]:.0%})" for kind in TYPES if counts[kind]))


def number_of(name: str) -> int:
    """The number that a photograph's file is named by: Flickr's begins with it, COCO's ends with it."""
    found = re.findall(r"\d+", name)
    if not found:
        raise typer.BadParameter(f"{name} holds no number to name the photograph by.")
    return int(found[-1] if name.startswith("COCO") else found[0])


if __name__ == "__main__":
    typer.run(main)
