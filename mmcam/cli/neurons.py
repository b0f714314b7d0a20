"""Commands about units: what they detect, and explanations in words."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import rich.text
import typer
from rich.markup import escape
from rich.table import Table

import mmcam
from mmcam.cli.asking import Asking
from mmcam.cli.pictures import pictures_of
from mmcam.cli.shared import (
    FAILURES,
    MODELS,
    Answer,
    ByWord,
    Class,
    Contrast,
    Device,
    EveryWord,
    Json,
    Model,
    Pictures,
    Position,
    Question,
    SimilarTo,
    Text,
    Weights,
    Word,
    app,
    check_new,
    check_task,
    complain,
    console,
    one_sentence,
    sentence,
    task_of,
)
from mmcam.cli.telling import keep, slug
from mmcam.datasets.concepts import ConceptData
from mmcam.files import json_text
from mmcam.models import default, dissection
from mmcam.models.specification import load_model
from mmcam.neurons.dissection import DETECTOR, Dissection
from mmcam.neurons.names import ALPHA, Names
from mmcam.neurons.narration import Why
from mmcam.progress import with_progress

Layer = Annotated[str | None, typer.Option(help="Where to read activations; `mmcam layers` lists them.")]


@app.command()
def dissect(
    model: Annotated[str, typer.Argument(help=MODELS)],
    data: Annotated[
        str,
        typer.Option(
            help="Pictures with concepts: vignettes, vignettes:HOW_MANY, broden:FOLDER, coco:INSTANCES.json:PICTURES, "
            "voc:FOLDER, or folder:TABLE.csv. data/README.md says what goes where."
        ),
    ] = "vignettes",
    layer: Layer = None,
    out: Annotated[Path, typer.Option(help="Where to write, without suffix: .json and .safetensors.")] = Path(
        "out/dissection"
    ),
    quantile: Annotated[float, typer.Option(help="Share of all places at which a unit is active.")] = 0.005,
    threshold: Annotated[float, typer.Option(help="IoU above which a unit has a name.")] = DETECTOR,
    atlas: Annotated[Path | None, typer.Option(help="Also write an HTML page of all units.")] = None,
    tally: Annotated[Path | None, typer.Option(help="Also write NetDissect's tally.csv.")] = None,
    batch: Annotated[int, typer.Option(help="Pictures at a time.")] = 32,
    weights: Weights = None,
    device: Device = "cpu",
    as_json: Json = False,
) -> None:
    """Find what each unit of a layer detects (Network Dissection); goes on where it was interrupted."""
    with one_sentence():
        check_new(Path(f"{out}.json"), Path(f"{out}.safetensors"), tally, atlas)
        loaded, preprocess = load_model(model, weights, device)
        concepts = concepts_of(data)
        for path in (out, tally, atlas):
            if path is not None:  # now, and not after hours
                path.parent.mkdir(parents=True, exist_ok=True)
        found = mmcam.dissect(
            loaded, concepts, layer, quantile=quantile, batch=batch, preprocess=preprocess,
            resume=out.with_name(f"{out.name}.part"),
        )  # fmt: skip
        files = [*found.save(out)]
        if tally is not None:
            files.append(found.write_tally(tally))
        if atlas is not None:
            from mmcam.report.atlas import atlas as page

            files.append(page(found, loaded, concepts, atlas, threshold=threshold, preprocess=preprocess))
    names = found.names(threshold)
    if as_json:
        units = {unit: asdict(name) for unit, name in names.units.items()}
        skipped = [list(pair) for pair in found.skipped]
        report = {"layer": found.layer, "units": found.units, "data": found.data, "pictures": found.pictures,
                  "detectors": found.detectors(threshold), "names": units, "skipped": skipped,
                  "files": [str(file) for file in files]}  # fmt: skip
        typer.echo(json_text(report, indent=2))
        return
    beyond = sum(not name.doubtful(names.measure) for name in names.units.values())
    console.print(
        f"[bold]{len(names.units)} of {found.units} units[/] of {escape(found.layer)} have a name (IoU above "
        f"{threshold:g}, {found.pictures} pictures of {escape(found.data)}), {beyond} of them beyond chance (p ≤ "
        f"{ALPHA:g} of {found.shuffles} shuffles)",
        highlight=False,
    )
    table = Table("category", "units", "best")
    best = sorted(names.units.items(), key=lambda item: -(item[1].score or 0))
    for category, count in found.detectors(threshold).items():
        of = [f"{name.name} (unit {unit}, {name.score:.2f})" for unit, name in best if name.category == category]
        table.add_row(escape(category), str(count), rich.text.Text(", ".join(of[:3])))
    console.print(table)
    if found.skipped:
        console.print(f"[yellow]{len(found.skipped)} pictures left out;[/] the first: {escape(found.skipped[0][1])}")
    for file in files:
        console.print(f"  {escape(str(file))}", highlight=False, soft_wrap=True)


@app.command()
def why(
    pictures: Pictures,
    class_: Class = None,
    word: Word = None,
    caption: EveryWord = False,
    text: Text = None,
    question: Question = None,
    answer: Answer = None,
    similar_to: SimilarTo = None,
    contrast: Contrast = None,
    position: Position = None,
    by_word: ByWord = False,
    names: Annotated[
        str | None,
        typer.Option(
            help="What `mmcam dissect` wrote, or netdissect:TALLY.csv, clip-dissect:FILE.csv:LAYER, "
            "milan:FILE.csv:LAYER; default the dissection that comes with a bundled model."
        ),
    ] = None,
    k: Annotated[int, typer.Option(help="How many units on either side to look at.")] = 5,
    by: Annotated[str, typer.Option(help="contribution (in this picture) or weight (as the paper).")] = "contribution",
    threshold: Annotated[float, typer.Option(help="Names that fit better than this count.")] = DETECTOR,
    model: Model = None,
    weights: Weights = None,
    layer: Layer = None,
    out: Annotated[Path | None, typer.Option(help="Folder for a figure of each text.")] = None,
    device: Device = "cpu",
    as_json: Json = False,
) -> None:
    """Say in words why a class, a word, an answer or a similarity: which named units spoke for it, which against."""
    about_caption = bool(caption or word or text is not None)
    task = task_of(bool(class_), about_caption, bool(question), bool(answer), bool(similar_to))
    check_task(task, model, by_word)
    asking = Asking(
        task, class_ or (), word or (), question or (), answer or (), similar_to or (),
        caption=text, position=position, by_word=by_word,
    )  # fmt: skip
    with one_sentence():
        files_of = pictures_of(pictures)
        spec = default(task) if model is None else model
        loaded, preprocess = load_model(spec, weights, device)
        known = dissection(spec) if names is None else names_of(names)
    shared: dict[str, Any] = {"layer": layer, "preprocess": preprocess, "contrast": contrast}

    def all_of(exp: Any) -> Sequence[mmcam.Explanation]:
        """What there is to be told of: an answer stands before the words of its question."""
        if isinstance(exp, mmcam.QuestionExplanation):
            return [exp.answer, *exp]
        return [exp] if isinstance(exp, mmcam.Explanation) else exp

    reports, failed = [], 0
    for picture in with_progress(files_of, "Explaining"):
        try:
            asked = [exp for _, result in asking.of(loaded, picture, **shared) for exp in all_of(result)]
            told = [exp.why(known, k=k, by=by, threshold=threshold) for exp in asked]
            for place, each in enumerate(told):
                reports.append(report(each, picture, place, out))
                if not as_json:
                    tell(each)
        except FAILURES as error:
            failed += 1
            reports.append({"picture": str(picture), "error": sentence(error)})
            complain(picture, error)
    if as_json:
        typer.echo(json_text(reports, indent=2))
    raise typer.Exit(1 if failed else 0)


def report(why: Why, picture: Path, place: int, out: Path | None) -> dict[str, Any]:
    """A textual explanation for JSON; its figure is written where a folder is given."""
    files = []
    if out is not None:
        figure = io.BytesIO()
        why.figure().save(figure, "PNG")
        rest = f"-{place:02d}-{slug(why.explanation.target)}-why.png"
        files = [str(file) for file in keep(out, picture.stem, {rest: figure.getvalue()})]
    units = [asdict(reason) for reason in why.table]
    return {"picture": str(picture), "target": why.explanation.target, "text": why.text, "units": units, "files": files}


def tell(why: Why) -> None:
    """The sentence and the units behind it."""
    console.print(why.text, highlight=False, markup=False, emoji=False)
    table = Table("", "unit", "name", why.measure or "fit", "weight", "contribution")
    for reason in why.table:
        fit = "" if reason.fit is None else f"{reason.fit:.2f}"
        numbers = f"{reason.weight:.3g}", f"{reason.contribution:.3g}"
        name = rich.text.Text(reason.told) if reason.name else "[dim]no name[/]"
        table.add_row(reason.speaks, str(reason.unit), name, fit, *numbers)
    console.print(table)


def concepts_of(spec: str) -> ConceptData:
    """The data set of ``--data``.

    Raises:
        ExplainError: no such kind, or a part of it is missing.
    """
    kind, _, where = spec.partition(":")
    if kind == "vignettes" and (not where or re.fullmatch("[0-9]{1,9}", where)):
        from mmcam.datasets.concepts.vignettes import VignetteConcepts

        return VignetteConcepts("val", int(where or 1000))
    if kind == "coco" and ":" in where:
        from mmcam.datasets.concepts.coco import CocoConcepts

        instances, _, folder = where.partition(":")
        return CocoConcepts(instances, folder)
    if where and kind == "broden":
        from mmcam.datasets.concepts.broden import BrodenConcepts

        return BrodenConcepts(where)
    if where and kind == "voc":
        from mmcam.datasets.concepts.voc import VocConcepts

        return VocConcepts(where)
    if where and kind == "folder":
        from mmcam.datasets.concepts.folder import FolderConcepts

        return FolderConcepts(where)
    raise mmcam.ExplainError(
        f"There are no concepts {spec!r}; write vignettes, vignettes:500, broden:FOLDER, coco:INSTANCES.json:PICTURES, "
        "voc:FOLDER or folder:TABLE.csv."
    )


def names_of(spec: str) -> Names | Dissection:
    """The names of ``--names``.

    Raises:
        ExplainError: no such file or kind.
    """
    from mmcam.neurons import imported

    kind, _, where = spec.partition(":")
    if where and kind == "netdissect":
        return imported.read_netdissect(where)
    if where and kind in ("clip-dissect", "milan"):
        path, _, layer = where.rpartition(":")
        if not path:
            raise mmcam.ExplainError(f"Say which layer of the file: {kind}:{where}:LAYER.")
        return imported.read_clip_dissect(path, layer) if kind == "clip-dissect" else imported.read_milan(path, layer)
    return Dissection.load(spec)
