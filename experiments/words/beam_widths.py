"""How wide must a beam search be to find the n best captions? How often a narrower one finds those of a far wider.

A search that keeps n captions at each word need not find the n best: what ends best may begin badly. Here the first n
of searches of growing width stand beside the first n of the widest.

    python -m experiments.words.beam_widths
    MMCAM_REAL_DATA=… python -m experiments.words.beam_widths runs/flickr8k-show-attend-tell    # photographs, too
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Final

import torch
import typer
from PIL import Image
from rich.progress import track

import mmcam
from experiments.lib.judging import KINDS
from experiments.lib.stamp import stamp
from experiments.lib.tables import binomial, show, with_error
from mmcam.datasets import captioned, vignettes

LISTED: Final = (1, 3, 5)
WIDTHS: Final = (8, 16, 32)
WIDEST: Final = 64
SEARCHES: Final = ("n wide", *(f"{width} wide" for width in WIDTHS))


def main(
    folders: Annotated[list[str] | None, typer.Argument(help="Captioners of photographs: names or folders.")] = None,
    pictures: Annotated[int, typer.Option(min=1, help="The first of each test split.")] = 25,
    root: Annotated[Path | None, typer.Option(envvar="MMCAM_REAL_DATA", help="Holds flickr8k/.")] = None,
    out: Annotated[Path, typer.Option(help="Folder for the table.")] = Path("experiments/results"),
) -> None:
    """Write beam-widths.json and .md."""
    if folders and root is None:
        raise typer.BadParameter("Captioners of photographs need MMCAM_REAL_DATA, or --root.")
    drawn = [vignettes.draw(vignettes.seed("test", i)).image for i in range(pictures)]
    rows: list[dict[str, Any]] = []
    for name in KINDS["caption"]:
        rows += rows_of(name, f"{name}, test vignettes", drawn)
    if folders and root is not None:
        photographs = [mmcam.load_image(item.path) for item in captioned.flickr8k(root / "flickr8k")["test"][:pictures]]
        for folder in folders:
            rows += rows_of(folder, f"{Path(folder).name}, Flickr8k's test photographs", photographs)
    command = f"python -m experiments.words.beam_widths {' '.join(folders or ())}".strip()
    command = f"{'MMCAM_REAL_DATA=… ' if folders else ''}{command} --pictures {pictures}"
    head = ("captioner", "n", *SEARCHES)
    cells = [
        [row["of"], str(row["n"]), *(with_error(binomial(row[width], row["pictures"]), 100) for width in SEARCHES)]
        for row in rows
    ]
    below = [
        "",
        f"Share of {pictures} pictures, in %, whose n likeliest captions of a search so wide are those of one that is "
        f"{WIDEST} wide, in the same order. ± is √(p(1−p)/n).",
    ]
    show(out / "beam-widths", {**stamp(command, pictures=pictures), "rows": rows}, head, cells, [f"`{command}`"], below)


def rows_of(name: str, label: str, images: list[Image.Image]) -> list[dict[str, Any]]:
    """A captioner's shares, a row for each number of captions that are listed."""
    model = mmcam.models.load(name)
    same = {n: dict.fromkeys(SEARCHES, 0) for n in LISTED}
    for image in track(images, label):
        with torch.no_grad():
            looked = model.look(model.see(model.preprocess(image)[0][None]))
            best = {width: first(model, looked, width) for width in {*LISTED, *WIDTHS, WIDEST}}
        for n, counts in same.items():
            for search, width in zip(SEARCHES, (n, *WIDTHS), strict=True):
                counts[search] += best[width][:n] == best[WIDEST][:n]
    return [
        {"of": label, "n": n, "pictures": len(images)} | {key: count / len(images) for key, count in counts.items()}
        for n, counts in same.items()
    ]


def first(model: Any, looked: Any, width: int) -> list[list[int]]:
    """The captions of a search so wide, the likeliest first."""
    (found,) = model.search(looked, width, min(width, max(LISTED)))
    return [tokens for tokens, _ in found]


if __name__ == "__main__":
    typer.run(main)
