"""A wall of captions and answers: one page to look through, with a map for every word and what each is worth.

Of every picture the captioner's caption, and one question to the VQA model, all types of question in turn; sortable in
the page by score, confidence and pointing error. One file without anything outside it, opened from disk.

    python -m experiments.pages.captions_wall
"""

from __future__ import annotations

import math
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from rich.console import Console
from rich.progress import track

import mmcam
import models
from experiments.lib.cards import GUESSED, Card, cards
from mmcam.datasets import vignettes
from mmcam.files import write_whole


@dataclass(frozen=True)
class About:
    """What a page shows, and the command that made it."""

    captioner: str
    vqa: str
    method: str
    split: str
    command: str
    guessed: float = GUESSED
    version: str = mmcam.__version__


def main(
    pictures: Annotated[int, typer.Option(min=1, help="How many; each gives a caption and an answer.")] = 50,
    split: str = "test",
    captioner: Annotated[str, typer.Option(help="A bundled captioner.")] = "vignette-captioner",
    vqa: Annotated[str, typer.Option(help="A bundled VQA model.")] = "vignette-vqa",
    method: str = "gradcam",
    out: Annotated[Path, typer.Option(help="The page.")] = Path("out/captions-wall.html"),
) -> None:
    """Explain captions and answers of vignettes on one page."""
    options = {"pictures": pictures, "split": split, "captioner": captioner, "vqa": vqa, "method": method, "out": out}
    command = " ".join(f"--{name} {shlex.quote(str(value))}" for name, value in options.items())
    about = About(captioner, vqa, method, split, f"python -m experiments.pages.captions_wall {command}")
    scenes = (vignettes.draw(vignettes.seed(split, i)) for i in range(pictures))
    shown = cards(models.load(captioner), models.load(vqa), track(scenes, "explaining", total=pictures), method)
    html = page(shown, about).encode()
    write_whole(out, lambda file: file.write(html))
    Console().print(f"Wrote {out}: {len(shown)} cards, {len(html) / 1e6:.1f} MB", highlight=False, soft_wrap=True)


def page(shown: Sequence[Card], about: About) -> str:
    """The cards as one HTML page with everything in it."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"fixed": fixed, "exact": exact}
    return environment.get_template("captions_wall.html.jinja").render(cards=shown, about=about)


def fixed(value: float, digits: int = 2) -> str:
    """A number to read: rounded, with a true minus sign, a dash for none."""
    # Adding 0.0 leaves no "-0.00".
    return "—" if math.isnan(value) else f"{round(value, digits) + 0.0:.{digits}f}".replace("-", "−")


def exact(value: float) -> str:
    """A number to sort by: all its digits, nothing for none."""
    return "" if math.isnan(value) else repr(value)


if __name__ == "__main__":
    typer.run(main)
