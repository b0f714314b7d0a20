"""Commands that draw: the demo and vignettes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mmcam.cli.shared import app, complaints, console, one_sentence
from mmcam.files import write_whole


@app.command()
def demo(
    photo: Annotated[
        Path | None, typer.Option(help="A photograph of yours; default the one that comes with mmcam.")
    ] = None,
    question: Annotated[str | None, typer.Option(help="About the photograph.")] = None,
    seed: Annotated[int, typer.Option(help="Which vignette to draw; test ones begin at 20000000.")] = 20000123,
    out: Annotated[Path, typer.Option(help="Folder for the pictures.")] = Path("out"),
) -> None:
    """Explain a photograph by class, caption and answer, then a drawn scene where it is known what is where."""
    from mmcam.demo import run_demo

    with one_sentence():
        run_demo(photo, question, seed, out, console)


@app.command()
def vignettes(
    out: Annotated[Path, typer.Option(help="A new folder for pictures, masks and annotations.")],
    n: Annotated[int, typer.Option(min=1, help="How many pictures.")] = 1000,
    split: Annotated[str, typer.Option(help="train, val, test or heldout.")] = "train",
) -> None:
    """Draw vignettes: PNG pictures and masks, COCO-style captions and instances, VQA-style questions and answers."""
    from rich.progress import Progress

    from mmcam.datasets import vignettes as world
    from mmcam.datasets.vignettes.export import export
    from mmcam.datasets.vignettes.sheet import contact_sheet

    with one_sentence(), Progress(console=complaints, transient=True) as bar:
        task = bar.add_task("Drawing", total=n)
        export(out, split=split, n=n, progress=lambda done, total: bar.update(task, completed=done))
        first = [world.draw(world.seed(split, i)) for i in range(min(n, 25))]
        write_whole(out / "contact-sheet.png", lambda file: contact_sheet(first).save(file, "PNG"))
    console.print(f"{n} {split} vignettes in {out}; contact-sheet.png shows the first {len(first)}", highlight=False)
