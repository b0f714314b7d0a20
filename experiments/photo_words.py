"""Words of captions of real photographs: do their maps fall on the things they name?

A captioner trained on Flickr8k (`experiments.train_captioner --data flickr8k`) captions COCO's photographs, and every
word that names a COCO category which the photograph shows is explained; a hit if the maximum of the map lies in the
masks of that category, without tolerance. The sheet shows freely licensed photographs only.

    MMCAM_REAL_DATA=… python -m experiments.photo_words --model runs/flickr8k-show-attend-tell
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from PIL import Image
from rich.progress import track

import mmcam
import models
from experiments.judging import shares
from experiments.real_photos import FREE_WITH_CREDIT
from experiments.tables import show
from mmcam.evaluation.pointing import centre, chance, inside
from mmcam.explanation import write_whole
from mmcam.report.strip import draw_strip, stack

PEOPLE = "person man woman boy girl child kid baby toddler lady guy people men women boys girls children kids player"
CATEGORIES = {
    **dict.fromkeys(PEOPLE.split(), "person"),
    **dict.fromkeys(("dog", "dogs", "puppy"), "dog"),
    **dict.fromkeys(("cat", "cats", "kitten"), "cat"),
    **dict.fromkeys(("horse", "horses"), "horse"),
    **dict.fromkeys(("bird", "birds", "seagull", "duck"), "bird"),
    **dict.fromkeys(("bike", "bicycle", "bikes"), "bicycle"),
    **dict.fromkeys(("motorcycle", "motorbike"), "motorcycle"),
    **dict.fromkeys(("car", "cars"), "car"),
    **dict.fromkeys(("boat", "boats", "canoe", "kayak"), "boat"),
    **dict.fromkeys(("ball", "soccer", "football", "tennis"), "sports ball"),
    **{
        word: word for word in ("bus", "train", "truck", "bench", "sheep", "cow", "elephant", "skateboard", "surfboard")
    },
    **{
        word: word for word in ("snowboard", "frisbee", "umbrella", "chair", "couch", "bed", "kite", "giraffe", "zebra")
    },
}
"""Words of Flickr8k's captions that name a COCO category."""


def main(
    root: Annotated[Path, typer.Option(envvar="MMCAM_REAL_DATA", help="Folder of real photographs.")],
    model: Annotated[list[Path], typer.Option(help="Folder that holds a captioner's weights and card.")],
    sheet: Annotated[int, typer.Option(help="Photographs on the sheet.")] = 6,
    out: Annotated[Path, typer.Option(help="Folder for the table and the sheets.")] = Path("experiments/results"),
) -> None:
    """Write photo-words.json and .md, and a sheet for each model."""
    from pycocotools.coco import COCO

    coco = COCO(root / "coco" / "instances.json")
    rows: list[dict[str, Any]] = []
    credits: list[str] = []
    for folder in model:
        captioner = models.load(folder.name, folder=folder)
        methods = ["gradcam", "layercam", "guided_gradcam"] + (["attention"] if hasattr(captioner, "attention") else [])
        found = judged(captioner, coco, root / "coco" / "images", methods)
        rows += [row for method in methods for row in rows_of(folder.name, method, found[method])]
        picture, own = draw(captioner, coco, root / "coco" / "images", sheet)
        credits += [f"{credit}, captioned by {folder.name}" for credit in own.values()]
        file = out / f"photo-words-{folder.name}.jpg"
        write_whole(file, partial(picture.save, format="JPEG", quality=85))
    command = "MMCAM_REAL_DATA=… python -m experiments.photo_words" + "".join(f" --model runs/{f.name}" for f in model)
    head = ("model", "method", "words", "n", "pointing %", "± s.e.", "centre %", "random %")
    cells = [
        [row["model"], row["method"], row["words"], str(row["n"])]
        + [f"{100 * row[key]:.1f}" for key in ("pointing", "standard_error", "centre", "random")]
        for row in rows
    ]
    below = [
        "",
        f"{len(coco.getImgIds())} COCO photographs, which none of the models was trained on. Published for Show-and-"
        "Tell on 1,000 photographs of COCO, all visual words: 30.0 %. The sheets show LayerCAM.",
        "",
        *(f"![words](photo-words-{folder.name}.jpg)" for folder in model),
        "",
        "Photographs:",
        "",
        *(f"- {credit}" for credit in credits),
    ]
    show(out / "photo-words", {"command": command, "rows": rows}, head, cells, [f"`{command}`"], below)


Judged = tuple[str, bool, bool, float]  # category, hit, hit by the centre, chance


def judged(captioner: Any, coco: Any, pictures: Path, methods: list[str]) -> dict[str, list[Judged]]:
    """Every word that names a category the photograph shows, by method."""
    found: defaultdict[str, list[Judged]] = defaultdict(list)
    for entry in track(coco.loadImgs(coco.getImgIds()), "photographs"):
        image = mmcam.load_image(pictures / entry["file_name"])
        explained = {"gradcam": mmcam.explain_caption(captioner, image)}
        caption = explained["gradcam"].caption
        masks = {position: mask for position, _, mask in named(caption, coco, entry, image.size)}
        for method in methods:
            if masks and method not in explained:
                explained[method] = mmcam.explain_caption(captioner, image, caption=caption, method=method)
            for position, mask in masks.items():
                exp = explained[method][position]
                row = (CATEGORIES[exp.target], inside(exp.peak(), mask), inside(centre(mask), mask), chance(mask))
                found[method].append(row)
    return found


def named(
    caption: str, coco: Any, entry: dict[str, Any], size: tuple[int, int]
) -> Iterator[tuple[int, str, np.ndarray]]:
    """Position, category and mask (H, W) of the words of a caption that name a category which is there."""
    for position, word in enumerate(caption.split()):
        category = CATEGORIES.get(word)
        if category is None or not (known := coco.getCatIds([category])):  # pycocotools takes no category for all
            continue
        annotations = coco.loadAnns(coco.getAnnIds(entry["id"], known))
        if annotations:
            mask = np.any([coco.annToMask(annotation).astype(bool) for annotation in annotations], axis=0)
            if mask.any() and mask.shape == size[::-1]:
                yield position, category, mask


def rows_of(name: str, method: str, found: list[Judged]) -> Iterator[dict[str, Any]]:
    """All words, people and everything else."""
    groups = {
        "all": found,
        "people": [row for row in found if row[0] == "person"],
        "other": [row for row in found if row[0] != "person"],
    }
    for group, rows in groups.items():
        if rows:
            yield {"model": name, "method": method, "words": group, "n": len(rows), **shares(row[1:] for row in rows)}


def draw(captioner: Any, coco: Any, pictures: Path, count: int) -> tuple[Image.Image, dict[int, str]]:
    """Strips of freely licensed photographs whose captions name something that is there, and a credit for each."""
    strips: list[Image.Image] = []
    credits: dict[int, str] = {}
    for entry in coco.loadImgs(coco.getImgIds()):
        if entry["license"] != FREE_WITH_CREDIT or len(strips) == count:
            continue
        image = mmcam.load_image(pictures / entry["file_name"])
        exp = mmcam.explain_caption(captioner, image, method="layercam")
        shown = [exp[position] for position, _, _ in named(exp.caption, coco, entry, image.size)][:2]
        if not shown:
            continue
        rest = [word for word in exp if len(word.target) > 3 and all(word is not other for other in shown)]
        shown += sorted(rest, key=lambda word: word.score)[: 4 - len(shown)]
        panels = [(image, ""), *((word.overlay(), word.target) for word in shown)]
        strips.append(draw_strip(panels, ["", *(f"{word.score:.1f}" for word in shown)], columns=5, side=180))
        credits[entry["id"]] = f"COCO {entry['id']}, {entry['flickr_url']}, CC BY 2.0 (“{exp.caption}”)"
    return stack(strips), credits


if __name__ == "__main__":
    typer.run(main)
