"""The command that explains whole data sets."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.markup import escape

from mmcam.cli.asking import names_in
from mmcam.cli.explain import options_of
from mmcam.cli.shared import (
    Answer,
    Class,
    Contrast,
    Device,
    Model,
    Question,
    SimilarTo,
    Weights,
    Word,
    app,
    console,
    index_or_name,
    one_sentence,
)
from mmcam.models import default
from mmcam.models.specification import load_model

Task = Literal["class", "caption", "answer", "similarity", "dissect", "metrics"]

IMAGES = (
    "A folder, a list.txt of paths or URLs, coco:INSTANCES.json:PICTURES, "
    "vqa:QUESTIONS.json:ANNOTATIONS.json:PICTURES, imagenet:FOLDER or webdataset:FILES.tar; "
    "of dissect, as --data of `mmcam dissect`."
)
_OF = {
    "class_": ("class", "metrics"),
    "top": ("class", "metrics"),
    "names": ("class", "metrics"),
    "word": ("caption",),
    "question": ("answer",),
    "answer": ("answer",),
    "similar_to": ("similarity",),
    "contrast": ("class", "caption", "answer", "similarity", "metrics"),
    "true": ("class", "caption", "answer", "similarity", "metrics"),
    "score": ("caption", "answer"),
}
"""Which options are of which tasks; the others are of all."""

FEW = 100
"""Pictures up to which processes that open them take longer to start than to help."""


@app.command()
def run(
    task: Annotated[Task, typer.Argument(help="What is explained; metrics is class, with each map measured.")],
    images: Annotated[str, typer.Option(help=IMAGES)],
    out: Annotated[str, typer.Option(help="Folder or URL of the job; one that was stopped goes on.")],
    model: Model = None,
    weights: Weights = None,
    method: Annotated[
        list[str] | None, typer.Option(help="How the map is made. May be repeated.", show_default="gradcam")
    ] = None,
    option: Annotated[
        list[str] | None, typer.Option(help="NAME=VALUE, an option of the method. May be repeated.")
    ] = None,
    layer: Annotated[list[str] | None, typer.Option(help="Where to read activations. Several are fused.")] = None,
    class_: Class = None,
    top: Annotated[int | None, typer.Option(min=1, help="So many of the best classes.")] = None,
    names: Annotated[Path | None, typer.Option(help="Names of the classes: one a line, or JSON.")] = None,
    word: Word = None,
    question: Question = None,
    answer: Answer = None,
    similar_to: SimilarTo = None,
    contrast: Contrast = None,
    score: Annotated[str | None, typer.Option(help="What of a word or an answer: log_prob, logit, prob.")] = None,
    true: Annotated[
        bool, typer.Option("--true", help="Explain what is true of each picture, not what the model says.")
    ] = False,
    truth: Annotated[
        str | None,
        typer.Option(help="What pictures show: a CSV (picture, class, mask), or “folders”: their folder is the class."),
    ] = None,
    unit_weights: Annotated[bool, typer.Option("--unit-weights", help="Keep the units' weights, too.")] = False,
    batch: Annotated[int | None, typer.Option(min=1, help="Pictures at a time; default by their size.")] = None,
    shard: Annotated[int, typer.Option(min=1, help="Pictures of a file of results.")] = 256,
    workers: Annotated[
        int | None, typer.Option(min=0, help="Processes that open pictures; with ray, that explain them.")
    ] = None,
    engine: Annotated[Literal["local", "ray"], typer.Option(help="This machine, or a Ray cluster.")] = "local",
    gpus: Annotated[float, typer.Option(min=0, help="With ray, GPUs of each worker.")] = 0,
    device: Device = "cpu",
) -> None:
    """Explain whole data sets into tables; goes on where it was interrupted, each picture and target once."""
    given = {
        "class_": class_, "top": top, "names": names, "word": word, "question": question, "answer": answer,
        "similar_to": similar_to, "contrast": contrast, "true": true, "score": score,
    }  # fmt: skip
    _check_options(task, given, method, model)
    if gpus and (engine != "ray" or device == "cpu"):
        raise typer.BadParameter("--gpus is of --engine ray with --device cuda")
    if task == "dissect" and engine == "ray":
        raise typer.BadParameter("dissect counts over all pictures and runs on one machine; leave --engine out")
    if task == "dissect":
        _dissect(images, out, model, weights, layer, batch, device)
        return
    from mmcam.jobs.plan import Plan
    from mmcam.jobs.run import run as work
    from mmcam.jobs.sources import read_source
    from mmcam.jobs.truths import with_truth
    from mmcam.jobs.wanted import Wanted

    with one_sentence():
        ways = {name: options_of(name, option or []) for name in method or ["gradcam"]}
        targets = {
            "class": map(index_or_name, class_ or ()), "metrics": map(index_or_name, class_ or ()),
            "caption": word or (), "answer": answer or (), "similarity": similar_to or (),
        }[task]  # fmt: skip
        how: dict[str, Any] = {"layer": layer or None}
        if contrast is not None:
            how["contrast"] = index_or_name(contrast) if task in ("class", "metrics") else contrast
        if score is not None:
            how["score"] = score
        wanted = Wanted(task, ways, tuple(targets), tuple(question or ()), top, true, names_in(names), how)
        spec = model or default("class" if task == "metrics" else task)
        plan = Plan(wanted, spec, weights, device, batch, shard, unit_weights)
        source = read_source(images)
        source = source if truth is None else with_truth(source, truth)
        if engine == "ray":
            from mmcam.jobs.cluster import run_on_ray

            done = run_on_ray(plan, source, out, workers=workers or 2, gpus=gpus, tell=_tell)
        else:
            many = len(source.items) > FEW
            count = (min(8, max(1, (os.cpu_count() or 1) // 2)) if many else 0) if workers is None else workers
            done = work(plan, source, out, workers=count, tell=_tell)
    rate = f", {done.pictures / done.seconds:,.1f} a second" if done.pictures and done.seconds else ""
    _tell(f"{done.pictures:,} pictures explained{rate}: {done.rows:,} rows, {done.errors:,} errors.")
    console.print(f"  {escape(out)}", highlight=False, soft_wrap=True)


def _check_options(task: str, given: dict[str, Any], methods: list[str] | None, model: str | None) -> None:
    """Raise typer.BadParameter for an option of another task, or a task that lacks one."""
    for name, value in given.items():
        if value not in (None, False, []) and task not in _OF[name]:
            flag = f"--{name.strip('_').replace('_', '-')}"
            raise typer.BadParameter(f"{flag} is of {' and '.join(_OF[name])}, and not of {task}")
    if task == "similarity" and model is None:
        raise typer.BadParameter("similarity needs a --model that compares pictures and texts; none is bundled")
    if task == "similarity" and not (given["similar_to"] or given["true"]):
        raise typer.BadParameter("similarity needs --similar-to, or --true where the source has captions")
    if sum(bool(given[name]) for name in ("class_", "top", "true")) > 1:
        raise typer.BadParameter("choose one of --class, --top and --true")
    if given["true"] and (given["word"] or given["answer"] or given["similar_to"]):
        raise typer.BadParameter("--true says what is explained; leave --word, --answer and --similar-to out")
    if task == "dissect" and methods:
        raise typer.BadParameter("dissect makes no maps; leave --method out")


def _dissect(
    images: str, out: str, model: str | None, weights: Path | None, layer: list[str] | None, batch: int | None,
    device: str,
) -> None:  # fmt: skip
    from mmcam.cli.neurons import concepts_of
    from mmcam.jobs.dissection import run_dissection

    if layer is not None and len(layer) > 1:
        raise typer.BadParameter("dissect takes one --layer")
    with one_sentence():
        spec = model or default("class")
        loaded, preprocess = load_model(spec, weights, device)
        found = run_dissection(
            loaded, spec, concepts_of(images), out, layer=layer[0] if layer else None, batch=batch or 32,
            preprocess=preprocess, tell=_tell,
        )  # fmt: skip
    named = len(found.names().units)
    _tell(f"{named} of {found.units} units of {found.layer} have a name ({found.pictures} pictures of {found.data}).")
    console.print(f"  {escape(out)}", highlight=False, soft_wrap=True)


def _tell(text: str) -> None:
    console.print(escape(text), highlight=False, soft_wrap=True)
