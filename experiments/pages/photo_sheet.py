"""Twenty photographs and where the words of their captions look: a contact sheet, chosen by a seed and not by eye.

Of COCO's photographs that may be shown with credit (CC BY 2.0), twenty are drawn. Each stands beside the maps of three
words of the caption that the captioner gave it: first those that name a thing whose mask COCO has, whose maximum is
judged, then what else is more than grammar, from the end. The table beside the sheet gives
whole captions and whose the photographs are.

    MMCAM_REAL_DATA=… python -m experiments.pages.photo_sheet
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from PIL import Image
from rich.progress import track

import mmcam
from experiments.lib.coco_categories import named
from experiments.lib.photographs import FREE_WITH_CREDIT
from experiments.lib.sheets import keep_sheet
from experiments.lib.stamp import stamp
from experiments.lib.tables import show
from mmcam.demo.photograph import LAYER, METHOD
from mmcam.drawing.strip import draw_strip, stack
from mmcam.evaluation.pointing import inside
from mmcam.models import default

PHOTOGRAPHS, WORDS, SEED, SIDE = 20, 3, 0, 164
GRAMMAR: Final = (
    *("a", "an", "the", "is", "are", "in", "on", "at", "of", "with", "and", "to", "by", "from", "his", "her", "its"),
    *("their", "he", "she", "it", "they", "while", "through", "down", "up", "over", "near", "next", "front", "into"),
    *("out", "for", "that", "other"),
)


@dataclass(frozen=True)
class Word:
    """A word of a caption, its map over the photograph, and whether the maximum lies on the thing; None if unknown."""

    text: str
    overlay: Image.Image
    hit: bool | None

    @property
    def verdict(self) -> str:
        """Whether it lies there."""
        return {True: "hit", False: "missed", None: ""}[self.hit]


def main(
    root: Annotated[Path, typer.Option(envvar="MMCAM_REAL_DATA", help="Folder of real photographs.")],
    captioner: Annotated[str | None, typer.Option(help="A name or a folder; default the one for photographs.")] = None,
    method: Annotated[str, typer.Option(help="How the maps are made.")] = METHOD,
    layer: Annotated[str, typer.Option(help="Where.")] = LAYER,
    images: Annotated[Path, typer.Option(help="Folder for the sheet.")] = Path("docs/images"),
    out: Annotated[Path, typer.Option(help="Folder for the table.")] = Path("experiments/results"),
) -> None:
    """Draw photo-sheet.webp, and write photo-sheet.json and .md."""
    from pycocotools.coco import COCO

    name = captioner or default("caption")
    model, coco = mmcam.models.load(name), COCO(root / "coco" / "instances.json")
    free = [entry for entry in coco.loadImgs(sorted(coco.getImgIds())) if entry["license"] == FREE_WITH_CREDIT]
    panels: list[tuple[Image.Image, str]] = []
    notes: list[str] = []
    rows: list[dict[str, Any]] = []
    for number, entry in enumerate(track(random.Random(SEED).sample(free, PHOTOGRAPHS), "explaining"), start=1):
        image = mmcam.load_image(root / "coco" / "images" / entry["file_name"])
        caption = mmcam.explain_caption(model, image, method=method, layer=layer)
        words = list(chosen(caption, coco, entry))
        panels += [(image, str(number)), *((word.overlay, word.text) for word in words)]
        panels += [(Image.new("RGB", image.size, "white"), "")] * (WORDS - len(words))
        notes += ["", *(word.verdict for word in words), *[""] * (WORDS - len(words))]
        judged = [word.hit for word in words if word.hit is not None]
        rows.append({
            "photograph": number, "caption": caption.caption, "judged": len(judged), "hit": sum(judged),
            "COCO id": entry["id"], "source": entry["flickr_url"], "licence": "CC BY 2.0",
        })  # fmt: skip
    across = 2 * (1 + WORDS)  # two photographs beside each other
    strips = [
        draw_strip(panels[i : i + across], notes[i : i + across], columns=across, side=SIDE)
        for i in range(0, len(panels), across)
    ]
    keep_sheet(images / "photo-sheet.webp", stack(strips))
    asked = "" if captioner is None else f" --captioner {captioner}"
    command = f"MMCAM_REAL_DATA=… python -m experiments.pages.photo_sheet{asked} --method {method} --layer {layer}"
    head = ("", "caption", "words judged", "hit", "COCO id", "photograph, CC BY 2.0, made smaller")
    cells = [[*(str(value) for value in list(row.values())[:5]), row["source"]] for row in rows]
    hit, judged_words = sum(row["hit"] for row in rows), sum(row["judged"] for row in rows)
    below = [
        "",
        f"{Path(name).name}, {method} at {layer}; {PHOTOGRAPHS} of {len(free)} photographs that may be shown, drawn "
        f"with seed {SEED}. The maximum lies on the thing for {hit} of {judged_words} words whose thing COCO has "
        "marked; too few for a figure, which stands in [photo-words.md](photo-words.md).",
    ]
    show(out / "photo-sheet", {**stamp(command, seed=SEED), "rows": rows}, head, cells, [f"`{command}`"], below)


def chosen(caption: mmcam.CaptionExplanation, coco: Any, entry: dict[str, Any]) -> Iterator[Word]:
    """At most `WORDS` words in order: those that can be judged, then the last ones, since captions begin alike."""
    masks = {position: mask for position, _, mask in named(caption.caption, coco, entry, caption.whole.image.size)}
    others = [i for i, word in enumerate(caption) if i not in masks and word.target not in GRAMMAR]
    for position in sorted([*masks, *reversed(others)][:WORDS]):
        exp, mask = caption[position], masks.get(position)
        yield Word(exp.target, exp.overlay(), None if mask is None else not exp.empty and inside(exp.peak(), mask))


if __name__ == "__main__":
    typer.run(main)
