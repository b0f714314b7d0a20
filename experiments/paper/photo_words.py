"""Words of captions of real photographs: do their maps fall on the things they name?

A captioner of photographs captions COCO's photographs, or reads what people wrote of them, and every word that names a
COCO category which the photograph shows is explained (`mmcam.datasets.visual_words`); a hit if the maximum of the map
lies in the masks of that category, without tolerance. Beside the methods a text prior: the maximum of the mean mask of
that category in the other photographs, which is what a map scores that read the word and did not see the picture. All
maps of a photograph's words are made of one pass of the encoder (`experiments.lib.word_evidence`), at its last layer
and at the last one that is twice as fine. Judged words go into runs/photo_words, a line a photograph, and a run that
was stopped goes on there. The sheet shows freely licensed photographs only.

    MMCAM_REAL_DATA=… python -m experiments.paper.photo_words --model models/weights/photo-captioner
    MMCAM_REAL_DATA=… python -m experiments.paper.photo_words --model runs/flickr8k-captioner --captions reference
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
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
from experiments.lib.tables import show, with_error
from experiments.lib.text_prior import Tally, peak_on
from experiments.lib.word_evidence import Word, seen
from experiments.lib.word_maps import BLUR, Place, Reading, heatmaps, maps_of, places_of, readable, readings_of
from mmcam.drawing.strip import draw_strip, stack
from mmcam.evaluation import mean
from mmcam.evaluation.pointing import centre, chance, inside, peak
from mmcam.files import write_whole

PRIOR: Final = "(text prior)"
Captions = Literal["generated", "reference"]
GROUPS: Final[dict[str, Callable[[int, Record], bool]]] = {
    "all": lambda picture, word: True,
    "people": lambda picture, word: word["category"] == "person",
    "other": lambda picture, word: word["category"] != "person",
    "even ids": lambda picture, word: picture % 2 == 0,
    "odd ids": lambda picture, word: picture % 2 == 1,
}
"""Which words a row is of. What is best on the photographs of even ids is to be believed on those of odd ones."""

LEGEND: Final = (
    "{pictures} COCO photographs, which none of the models was trained on; the captions are {whose}. Words: {counts}. "
    "Share of words whose map has its maximum on the thing named, ± standard errors clustered by photograph. Text "
    "prior: the maximum of the mean mask of the same category in the other photographs; more than the prior: the "
    "difference on the same words, its error clustered alike. Maps are of the encoder's last layer; “finer” is the "
    "last layer with twice as many cells a side, “first finer” the first one, “finest” the last with four times as "
    "many. × is a product of maps, each divided by its maximum; guided ones are multiplied with guided gradients at "
    f"the pixels, blurred ones then with a Gaussian of σ = {BLUR:.0%} of the side. Everything of a word comes from one "
    "forward. A method that is chosen because it is best is to be chosen on the photographs of even ids and believed "
    "on those of odd ids. Published for Show-and-Tell on 1,000 photographs of COCO, all visual words: 30.0 %."
)


def main(
    root: Annotated[Path, typer.Option(envvar="MMCAM_REAL_DATA", help="Folder of real photographs.")],
    model: Annotated[list[str], typer.Option(help="A bundled captioner, or a folder with one's weights and card.")],
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
    names = [Path(each).name for each in model]
    for each, name in zip(model, names, strict=True):
        captioner = models.load(name, folder=Path(each)) if Path(each).is_dir() else models.load(name)
        readings = readings_of(captioner)
        path = work / f"{name}-{checksum(captioner)}-{captions}-{len(readings)}.jsonl"
        found = judged(captioner, coco, entries, pictures, readings, written, usual, path)
        rows += [row for method in (*readings, PRIOR) for row in rows_of(name, method, found)]
        if written is None:
            picture, own = draw(captioner, coco, pictures, sheet)
            credits += [f"{credit}, captioned by {name}" for credit in own.values()]
            write_whole(out / f"photo-words-{name}.jpg", partial(picture.save, format="JPEG", quality=85))
    command = "MMCAM_REAL_DATA=… python -m experiments.paper.photo_words" + "".join(f" --model {m}" for m in names)
    command += f" --captions {captions}" * (written is not None) + (f" --limit {limit}" if limit else "")
    report = {**stamp(command, pictures=len(entries)), "captions": captions, "rows": rows}
    table(
        report, names if written is None else [], credits, out / ("photo-words" + "-reference" * (written is not None))
    )


def judged(
    captioner: Any,
    coco: Any,
    entries: Sequence[dict[str, Any]],
    pictures: Path,
    readings: Mapping[str, Reading],
    written: Mapping[int, Sequence[str]] | None,
    usual: Tally,
    path: Path,
) -> list[Record]:
    """A record a photograph: every word that names a category it shows, and which maps hit it; made or read.

    Args:
        captioner: a `models.Speaker`.
        coco: pycocotools' index of the instances.
        entries: of the photographs.
        pictures: their folder.
        readings: what is compared, by name.
        written: the captions of each photograph; None: the captioner's own.
        usual: see `usual_places`.
        path: of the records.
    """
    done = {record["picture"]: record for record in read(path)}
    places = places_of(captioner)
    for entry in track(entries, "photographs"):
        if entry["id"] not in done:
            image = mmcam.load_image(pictures / entry["file_name"])
            texts = None if written is None else [readable(captioner, text) for text in written[entry["id"]]]
            words = list(of_photograph(captioner, coco, entry, image, readings, texts, usual, places))
            done[entry["id"]] = {"picture": entry["id"], "words": words}
            add(path, [done[entry["id"]]])
    return [done[entry["id"]] for entry in entries]


def of_photograph(
    captioner: Any,
    coco: Any,
    entry: dict[str, Any],
    image: Image.Image,
    readings: Mapping[str, Reading],
    texts: Sequence[str] | None,
    usual: Tally,
    places: Mapping[Place, str],
) -> Iterator[Record]:
    """A photograph's words that name a category it shows, judged."""
    x, geometry = captioner.preprocess(image)
    captions = captioner.generate(x[None]) if texts is None else [captioner.encode(text) for text in texts]
    spoken = [captioner.words(caption) for caption in captions]
    sentences = [" ".join(text for text, _ in words) for words in spoken]
    found = [
        (number, position, category, mask)
        for number, sentence in enumerate(sentences)
        for position, category, mask in named(sentence, coco, entry, image.size)
    ]
    if not found:
        return
    asked = [Word(number, spoken[number][position][1][0]) for number, position, _, _ in found]
    pixels = any(reading.guided for reading in readings.values())
    evidence = seen(captioner, x[None], captions, asked, list(places.values()), guided=pixels)
    peaks = {
        name: [peak(each) for each in heatmaps(maps_of(reading, evidence, list(places)), geometry)]
        for name, reading in readings.items()
    }
    own = grids_of(coco, entry)
    for word, (number, position, category, mask) in enumerate(found):
        hits = {name: inside(own_peaks[word], mask) for name, own_peaks in peaks.items()}
        hits[PRIOR] = inside(peak_on(elsewhere(usual, own, category), image.size), mask)
        record = {"caption": sentences[number], "position": position, "category": category, "hits": hits}
        yield record | {"centre": inside(centre(mask), mask), "chance": chance(mask)}


def rows_of(name: str, method: str, found: Sequence[Record]) -> Iterator[dict[str, Any]]:
    """A method on all words, on people and on everything else, and on each half of the photographs."""
    every = [(record["picture"], word) for record in found for word in record["words"]]
    for group, belongs in GROUPS.items():
        rows = [(picture, word) for picture, word in every if belongs(picture, word)]
        if rows:
            pictures = [picture for picture, _ in rows]
            judged = ((word["hits"][method], word["centre"], word["chance"]) for _, word in rows)
            more = mean([float(word["hits"][method]) - float(word["hits"][PRIOR]) for _, word in rows], pictures)
            row = {"model": name, "method": method, "words": group, "n": len(rows), **shares(judged, pictures)}
            yield row | {"more than the prior": vars(more)}


def table(report: dict[str, Any], sheets: Sequence[str], credits: Sequence[str], path: Path) -> None:
    """Print the table, and write it with the sheets of these models below."""
    head = ("model", "method", *(f"{group} %" for group in GROUPS), "all, more than the prior", "centre %", "random %")
    cells = []
    rows = report["rows"]
    for model, method in dict.fromkeys((row["model"], row["method"]) for row in rows):
        own = {row["words"]: row for row in rows if (row["model"], row["method"]) == (model, method)}
        shown = [
            f"{100 * own[g]['pointing']:.1f} ± {100 * own[g]['standard_error']:.1f}" if g in own else "" for g in GROUPS
        ]
        every = own["all"]
        more = "" if method == PRIOR else with_error(every["more than the prior"], 100, sign="+")
        cells.append([model, method, *shown, more, *(f"{100 * every[key]:.1f}" for key in ("centre", "random"))])
    counts = ", ".join(f"{row['words']} {row['n']}" for row in rows[: len(GROUPS)])
    whose = "the models' own"
    if report["captions"] == "reference":
        whose = "those that people wrote, whose words that a model does not know are read as unknown and not judged"
    below = ["", LEGEND.format(pictures=report["pictures"], whose=whose, counts=counts)]
    if sheets:
        below += ["", "The sheets show LayerCAM.", ""]
        below += [*(f"![words](photo-words-{name}.jpg)" for name in sheets), "", "Photographs:", ""]
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
