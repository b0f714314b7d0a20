"""Words of captions of real photographs: do their maps fall on the things they name?

A captioner trained on Flickr8k (`experiments.train.captioner --data flickr8k`) captions COCO's photographs, or reads
what people wrote of them, and every word that names a COCO category which the photograph shows is explained
(`mmcam.datasets.visual_words`); a hit if the maximum of the map lies in the masks of that category, without tolerance.
Beside the methods a text prior: the maximum of the mean mask of that category in the other photographs, which is what a
map scores that read the word and did not see the picture. Judged words go into runs/photo_words, a line a photograph,
and a run that was stopped goes on there. The sheet shows freely licensed photographs only.

    MMCAM_REAL_DATA=… python -m experiments.paper.photo_words --model runs/flickr8k-show-attend-tell
    MMCAM_REAL_DATA=… python -m experiments.paper.photo_words --model runs/flickr8k-captioner --captions reference
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import typer
from PIL import Image
from rich.progress import track

import mmcam
import models
from experiments.lib.coco_categories import elsewhere, grids_of, named, references, usual_places
from experiments.lib.judging import shares
from experiments.lib.photographs import FREE_WITH_CREDIT
from experiments.lib.records import Record, add, checksum, read
from experiments.lib.stamp import stamp
from experiments.lib.tables import show
from experiments.lib.text_prior import Tally, peak_on
from mmcam.drawing.strip import draw_strip, stack
from mmcam.evaluation.pointing import centre, chance, inside
from mmcam.files import write_whole
from models.speaker import UNKNOWN, split_words

PRIOR: Final = "(text prior)"
Captions = Literal["generated", "reference"]


def main(
    root: Annotated[Path, typer.Option(envvar="MMCAM_REAL_DATA", help="Folder of real photographs.")],
    model: Annotated[list[Path], typer.Option(help="Folder that holds a captioner's weights and card.")],
    captions: Annotated[Captions, typer.Option(help="The model's own, or those people wrote.")] = "generated",
    sheet: Annotated[int, typer.Option(help="Photographs on the sheet of generated captions.")] = 6,
    limit: Annotated[int | None, typer.Option(help="Only the first so many photographs.")] = None,
    out: Annotated[Path, typer.Option(help="Folder for the table and the sheets.")] = Path("experiments/results"),
    work: Annotated[Path, typer.Option(help="Folder for the records.")] = Path("runs/photo_words"),
) -> None:
    """Write photo-words.json and .md and a sheet for each model, or photo-words-reference.json and .md."""
    from pycocotools.coco import COCO

    coco, pictures = COCO(root / "coco" / "instances.json"), root / "coco" / "images"
    written = references(root / "coco" / "captions.json") if captions == "reference" else None
    entries = [entry for entry in coco.loadImgs(coco.getImgIds()) if written is None or entry["id"] in written][:limit]
    usual = usual_places(coco)
    rows: list[dict[str, Any]] = []
    credits: list[str] = []
    for folder in model:
        captioner = models.load(folder.name, folder=folder)
        methods = ["gradcam", "layercam", "guided_gradcam"] + (["attention"] if hasattr(captioner, "attention") else [])
        path = work / f"{folder.name}-{checksum(captioner)}-{captions}.jsonl"
        found = judged(captioner, coco, entries, pictures, methods, written, usual, path)
        rows += [row for method in (*methods, PRIOR) for row in rows_of(folder.name, method, found)]
        if written is None:
            picture, own = draw(captioner, coco, pictures, sheet)
            credits += [f"{credit}, captioned by {folder.name}" for credit in own.values()]
            file = out / f"photo-words-{folder.name}.jpg"
            write_whole(file, partial(picture.save, format="JPEG", quality=85))
    command = "MMCAM_REAL_DATA=… python -m experiments.paper.photo_words" + "".join(
        f" --model runs/{f.name}" for f in model
    )
    command += f" --captions {captions}" * (written is not None) + (f" --limit {limit}" if limit else "")
    report = {**stamp(command, pictures=len(entries)), "captions": captions, "rows": rows}
    table(
        report, model if written is None else [], credits, out / ("photo-words" + "-reference" * (written is not None))
    )


def judged(
    captioner: Any,
    coco: Any,
    entries: Sequence[dict[str, Any]],
    pictures: Path,
    methods: Sequence[str],
    written: Mapping[int, Sequence[str]] | None,
    usual: Tally,
    path: Path,
) -> list[Record]:
    """A record a photograph: every word that names a category it shows, and which methods hit it; made or read.

    Args:
        captioner: a `mmcam.Captioner`.
        coco: pycocotools' index of the instances.
        entries: of the photographs.
        pictures: their folder.
        methods: names of methods.
        written: the captions of each photograph; None: the captioner's own.
        usual: see `usual_places`.
        path: of the records.
    """
    done = {record["picture"]: record for record in read(path)}
    for entry in track(entries, "photographs"):
        if entry["id"] in done:
            continue
        image = mmcam.load_image(pictures / entry["file_name"])
        own = grids_of(coco, entry)
        captions = [None] if written is None else [readable(captioner, text) for text in written[entry["id"]]]
        words = []
        for asked in captions:
            explained = {}
            if asked is None:
                explained["gradcam"] = mmcam.explain_caption(captioner, image)
            caption = asked or explained["gradcam"].caption
            for position, category, mask in named(caption, coco, entry, image.size):
                for method in methods:
                    if method not in explained:
                        explained[method] = mmcam.explain_caption(captioner, image, caption=caption, method=method)
                hits = {method: inside(explained[method][position].peak(), mask) for method in methods}
                hits[PRIOR] = inside(peak_on(elsewhere(usual, own, category), image.size), mask)
                word = {"caption": caption, "position": position, "category": category, "hits": hits}
                words.append(word | {"centre": inside(centre(mask), mask), "chance": chance(mask)})
        record = {"picture": entry["id"], "words": words}
        add(path, [record])
        done[entry["id"]] = record
    return [done[entry["id"]] for entry in entries]


def readable(captioner: Any, caption: str) -> str:
    """A caption whose words the captioner does not know are replaced by the one that stands for such words.

    Raises:
        typer.BadParameter: it has no such word.
    """
    words = [word if word in captioner.vocabulary else UNKNOWN for word in split_words(caption)]
    if UNKNOWN in words and UNKNOWN not in captioner.vocabulary:
        raise typer.BadParameter(f"The captioner cannot read {caption!r}: it has no word for unknown ones.")
    return " ".join(words)


def rows_of(name: str, method: str, found: Sequence[Record]) -> Iterator[dict[str, Any]]:
    """A method on all words, on people and on everything else."""
    words = [(record["picture"], word) for record in found for word in record["words"]]
    groups = {
        "all": words,
        "people": [row for row in words if row[1]["category"] == "person"],
        "other": [row for row in words if row[1]["category"] != "person"],
    }
    for group, rows in groups.items():
        if rows:
            judged = ((word["hits"][method], word["centre"], word["chance"]) for _, word in rows)
            figures = shares(judged, [picture for picture, _ in rows])
            yield {"model": name, "method": method, "words": group, "n": len(rows), **figures}


def table(report: dict[str, Any], sheets: Sequence[Path], credits: Sequence[str], path: Path) -> None:
    """Print the table, and write it with the sheets of these models below."""
    head = ("model", "method", "words", "n", "pointing %", "± s.e.", "centre %", "random %")
    cells = [
        [row["model"], row["method"], row["words"], str(row["n"])]
        + [f"{100 * row[key]:.1f}" for key in ("pointing", "standard_error", "centre", "random")]
        for row in report["rows"]
    ]
    whose = "the models' own"
    if report["captions"] == "reference":
        whose = "those that people wrote, whose words that a model does not know are read as unknown and not judged"
    below = [
        "",
        f"{report['pictures']} COCO photographs, which none of the models was trained on; the captions are {whose}. "
        "Text prior: the maximum of the mean mask of the same category in the other photographs. Standard errors are "
        "clustered by photograph. Published for Show-and-Tell on 1,000 photographs of COCO, all visual words: 30.0 %.",
    ]
    if sheets:
        below += ["", "The sheets show LayerCAM.", ""]
        below += [*(f"![words](photo-words-{folder.name}.jpg)" for folder in sheets), "", "Photographs:", ""]
        below += [f"- {credit}" for credit in credits]
    show(path, report, head, cells, [f"`{report['command']}`"], below)


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
