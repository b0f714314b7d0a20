"""The pictures of docs/captions-and-answers.md: attention beside Grad-CAM, and the words of a question.

python -m experiments.pages.text_pictures
"""

from __future__ import annotations

from pathlib import Path

import typer
from PIL import Image

import mmcam
import models
from experiments.lib.judging import KINDS
from experiments.lib.sheets import keep_sheet
from mmcam.datasets import vignettes
from mmcam.drawing.strip import draw_strip, stack

SHOWN = ("object", "colour", "texture", "relation", "scene")
METHODS = {"gradcam": "Grad-CAM", "layercam": "LayerCAM", "attention": "attention"}


def main(seed: int = 20_000_123, question: str = "what colour is the house", out: Path = Path("docs/images")) -> None:
    """Draw attention.webp and question-words.webp."""
    scene = vignettes.draw(seed)
    attention = stack([words(name, scene) for name in KINDS["caption"][1:]])
    keep_sheet(out / "attention.webp", attention)
    strip = mmcam.explain_answer(models.load("vignette-vqa"), scene.image, question, by_word=True).strip(columns=7)
    keep_sheet(out / "question-words.webp", strip)


def words(name: str, scene: vignettes.Vignette) -> Image.Image:
    """Six content words of a captioner's caption, a row for each method."""
    captioner = models.load(name)
    rows: list[tuple[Image.Image, str]] = []
    for method, title in METHODS.items():
        exps = mmcam.explain_caption(captioner, scene.image, method=method)
        checked = [word for word in vignettes.captions.check(exps.caption, scene.truth) if word.category in SHOWN][:6]
        rows += [(scene.image, title), *((exps[word.position].overlay(), word.word) for word in checked)]
    notes = [name.removeprefix("vignette-").removesuffix("-captioner"), *[""] * len(checked)] * len(METHODS)
    return draw_strip(rows, notes, columns=len(checked) + 1, side=170)


if __name__ == "__main__":
    typer.run(main)
