"""Maps of answers, judged as in the Grad-CAM paper: what does the model go by, and where would people look?

For every method, and for maps that saw nothing: the rank correlation with occlusion maps, and with human attention. On
vignettes the exact masks of the things a question is about stand in for human attention, and CLEVR-XAI's relevance mass
and rank accuracy and the pointing accuracy are measured on them, too; explained are right answers about things. On
photographs human attention is VQA-HAT's, where it is there, and explained is what the model answers, right or wrong.
Figures go into runs/vqa_maps, a line a picture, and a run that was stopped goes on there.

    python -m experiments.paper.vqa_maps
    python -m experiments.paper.vqa_maps --data vqa --root DIR --model runs/vqa-san --hat DIR
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from PIL import Image
from rich.progress import track

import mmcam
import models
from experiments.lib.asking import Asking, occlusions, understood
from experiments.lib.judging import KINDS
from experiments.lib.memory import keep_freed_memory
from experiments.lib.protocol import METHODS
from experiments.lib.records import add, read
from experiments.lib.sheets import keep_sheet
from experiments.lib.vqa_figures import beside, figures, grid_of
from experiments.lib.vqa_pictures import draw
from experiments.lib.vqa_subjects import Case, Subject, of_photographs, of_vignettes
from experiments.lib.vqa_tables import BESIDE, CENTRE, OCCLUSION, PEOPLE, RANDOM, TEXT, Record, tables
from models import Answerer


def main(
    data: Annotated[str, typer.Option(help="vignettes or vqa.")] = "vignettes",
    pictures: Annotated[int | None, typer.Option(help="The first so many; default 200 vignettes, all photos.")] = None,
    split: Annotated[str, typer.Option(help="Of the vignettes.")] = "test",
    only: Annotated[list[str] | None, typer.Option(help="These bundled models; default all that answer.")] = None,
    methods: Annotated[list[str] | None, typer.Option(help="Default eight, and the model's own attention.")] = None,
    root: Annotated[Path | None, typer.Option(help="Of photographs: the folder of VQA's official files.")] = None,
    model: Annotated[Path | None, typer.Option(help="Of photographs: a model's folder, as train_vqa made it.")] = None,
    hat: Annotated[Path | None, typer.Option(help="The folder with VQA-HAT's vqahat_val/; needs VQA v1.")] = None,
    sheet: Annotated[int, typer.Option(help="Questions on the picture of vignettes; 0 draws none.")] = 6,
    out: Annotated[Path, typer.Option(help="Folder for the tables.")] = Path("experiments/results"),
    work: Annotated[Path, typer.Option(help="Folder for the records.")] = Path("runs/vqa_maps"),
) -> None:
    """Measure, and write vqa-maps-DATA.* and vqa-maps-types-DATA.*, of vignettes also vqa-maps.webp."""
    keep_freed_memory()
    command = f"python -m experiments.paper.vqa_maps --data {data}"
    if data == "vignettes":
        pictures = pictures or 200
        command += f" --pictures {pictures}" + f" --split {split}" * (split != "test")
        names = KINDS["answer"] if only is None else tuple(only)
        loaded = {name: models.load(name) for name in names}
        folder = models.WEIGHTS
        subjects = of_vignettes(pictures, split)
    elif data == "vqa":
        if root is None or model is None:
            raise typer.BadParameter("--data vqa needs --root, VQA's official files, and --model, a model's folder.")
        command += f" --root … --model {model.name}" + " --hat …" * (hat is not None)
        command += f" --pictures {pictures}" * (pictures is not None)
        loaded, folder, split = {model.name: models.load(model.name, folder=model)}, model, "test"
        subjects = of_photographs(root, hat, loaded[model.name], pictures)
    else:
        raise typer.BadParameter(f"There is no data {data!r}; choose vignettes or vqa.")
    command += "".join(f" --only {name}" for name in only or ()) + "".join(f" --methods {m}" for m in methods or ())
    found = {}
    for name, answerer in loaded.items():
        if not isinstance(answerer, Answerer):
            raise typer.BadParameter(f"{name} answers no questions; choose among {', '.join(KINDS['answer'])}.")
        weights = json.loads((folder / f"{name}.json").read_text())["sha256"][:8]  # other weights, other maps
        path = work / f"{data}-{name}-{weights}-{split}{'-hat' * (hat is not None)}.jsonl"
        chosen = methods_of(answerer, methods or (*METHODS, "attention"), hat is not None, data == "vignettes")
        found[name] = examine(answerer, subjects, chosen, data == "vignettes", path), chosen
    drawn = next((name for name in loaded if hasattr(loaded[name], "attention")), next(iter(loaded)))
    drawing = data == "vignettes" and sheet > 0
    tables(data, command, loaded, found, hat is not None, drawn if drawing else "", out)
    if drawing:
        keep_sheet(out / "vqa-maps.webp", draw(loaded[drawn], split, sheet))


def methods_of(model: Answerer, wanted: Sequence[str], people: bool, things: bool) -> list[str]:
    """The rows of a model: methods, its own attention only where it has some, and what they are set beside."""
    own = [name for name in wanted if name != OCCLUSION and (name != "attention" or hasattr(model, "attention"))]
    more = people or things  # than occlusion to be compared with
    return [*own, *[OCCLUSION] * more, RANDOM, CENTRE, *[TEXT] * more, *[PEOPLE] * people]


def examine(model: Answerer, subjects: list[Subject], methods: list[str], right: bool, path: Path) -> list[Record]:
    """The records of all pictures, read or made; with `right`, of the questions that are answered rightly."""
    done = {record["picture"]: record for record in read(path)}
    records = []
    for subject in track(subjects, path.stem):
        record = done.get(subject.name)
        missing = [method for method in methods if record is None or method not in record["methods"]]
        if missing:
            image, cases = subject.open()
            if record is None:
                record = {"picture": subject.name, "asked": subject.asked, "about": len(cases), "methods": []}
                record["questions"] = answered(model, image, cases, right)
            judge(model, subject, image, cases, record, missing)
            add(path, [record])
        assert record is not None
        records.append(record)
    return records


def answered(model: Any, image: Image.Image, cases: list[Case], right: bool) -> list[Record]:
    """What is asked and answered, with the occlusion map of every answer."""
    asks = [i for i, case in enumerate(cases) if understood(model, case.question.text)]
    if not asks:
        return []
    x = model.preprocess(image)[0][None]
    with torch.no_grad():
        scores = Asking(model, [cases[i].question.text for i in asks])(x)[0]
    chosen = dict(zip(asks, scores.argmax(1).tolist(), strict=True))
    said = {i: model.answers[index] for i, index in chosen.items()}
    places = [i for i in asks if not right or cases[i].question.score(said[i]) == 1]
    maps = occlusions(model, x, [cases[i].question.text for i in places], [chosen[i] for i in places])
    return [
        {
            "place": i,
            "text": cases[i].question.text,
            "type": cases[i].question.type,
            "said": said[i],
            "score": cases[i].question.score(said[i]),
            "guessed": cases[i].question.score(cases[i].guess) if cases[i].guess else None,
            "fell back": cases[i].prior[1],
            "people": [len(cases[i].truths), sum(not truth.any() for truth in cases[i].truths)],
            "occlusion": [float(f"{value:.7g}") for value in occlusion.flat],
            "figures": {},
        }
        for i, occlusion in zip(places, maps, strict=True)
    ]


def judge(
    model: Answerer, subject: Subject, image: Image.Image, cases: list[Case], record: Record, methods: list[str]
) -> None:
    """Put the figures of methods into a record."""
    questions = record["questions"]
    for method in methods if questions else ():
        if method in BESIDE:
            seeds = [1000 * subject.number + question["place"] for question in questions]
            found = [
                beside(method, cases[question["place"]], grid_of(question), image.size, seed)
                for question, seed in zip(questions, seeds, strict=True)
            ]
        else:
            texts = [question["text"] for question in questions]
            maps = mmcam.explain_answer(model, [image] * len(texts), texts, method=method)
            # Every picture is squashed into the input as a whole, so a cam covers all that people saw.
            found = [
                figures(exp.cam, exp.heatmap, cases[question["place"]], grid_of(question))
                for question, exp in zip(questions, maps, strict=True)
            ]
        for question, own in zip(questions, found, strict=True):
            question["figures"][method] = own
    record["methods"] = [*record["methods"], *methods]


if __name__ == "__main__":
    typer.run(main)
