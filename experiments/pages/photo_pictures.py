"""The pictures with which the pages begin: what the demo writes, and one that fails.

MMCAM_REAL_DATA=… python -m experiments.pages.photo_pictures    # docs/images/photo-*.webp and the vignette's
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated

import typer
from PIL import Image
from rich.console import Console

import mmcam
from experiments.lib.sheets import keep_sheet
from mmcam.demo import run_demo
from mmcam.demo.photograph import LAYER, METHOD
from mmcam.models import default

SEED = 20_000_123
FAILS = "000000403385.jpg"  # of COCO, CC BY 2.0


def main(
    root: Annotated[Path, typer.Option(envvar="MMCAM_REAL_DATA", help="Folder of real photographs.")],
    out: Annotated[Path, typer.Option(help="Folder for the pictures.")] = Path("docs/images"),
) -> None:
    """Run the demo and keep its pictures as WebP; draw photo-fails.webp."""
    with tempfile.TemporaryDirectory() as folder:
        run_demo(None, None, SEED, Path(folder), Console())
        for name in ("photo-class", "photo-caption", "photo-answer", "caption", "why"):
            with Image.open(Path(folder) / f"{name}.png") as picture:
                print(keep_sheet(out / f"{name}.webp", picture))
    captioner = mmcam.models.load(default("caption"))
    caption = mmcam.explain_caption(captioner, root / "coco" / "images" / FAILS, method=METHOD, layer=LAYER)
    print(caption.caption, keep_sheet(out / "photo-fails.webp", caption.strip()))


if __name__ == "__main__":
    typer.run(main)
