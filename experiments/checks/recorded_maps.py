"""Did a change of the code change a map? Record maps, scores and texts before it, compare bit for bit after it.

```sh
python -m experiments.checks.recorded_maps record runs/recorded-maps    # before
python -m experiments.checks.recorded_maps compare runs/recorded-maps   # after: exit code 1 and the names that differ
```

Every method on every task of every bundled model, on vignettes and, where `MMCAM_REAL_DATA` names the folder of real
data, on photographs; contrasts, counterfactuals, beams, question words, fused layers, policies and texts of units
beside them. Bits are those of one machine and one thread: a record of another machine tells nothing.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

import mmcam
from experiments.lib.small_models import Catcher, Matcher, seeded
from mmcam.datasets import vignettes
from models import dissection, load

app = typer.Typer(add_completion=False, help=__doc__)

SEEDS = (20000123, 20000059, 20000007)
PHOTOGRAPHS = ("coco/images/000000006818.jpg", "photos/jacobgil_both.png")
CAPTIONERS = ("vignette-captioner", "vignette-show-attend-tell", "vignette-transformer-captioner")
ANSWERERS = ("vignette-vqa", "vignette-san", "vignette-hiecoatt-parallel", "vignette-hiecoatt-alternating")
QUESTIONS = ["what colour is the house", "where is this", "is there a car", "how many things", "what is on the grass"]
CHEAP: dict[str, dict[str, Any]] = {  # enough of each to feel every line, in seconds
    "occlusion": {"patch": 80, "stride": 72},
    "rise": {"n": 6},
    "scorecam": {"units": [0, 5, 9, 200]},
    "ablationcam": {"units": [0, 5, 9, 200]},
    "smoothgrad": {"n": 2},
    "smooth_gradcam++": {"n": 2},
    "integrated_gradients": {"steps": 2},
    "extremal": {"steps": 2},
}
VARIANTS: dict[str, list[dict[str, Any]]] = {
    "gradcam": [{"counterfactual": True}, {"relu_rule": "guided"}, {"units": [1, 2, 3]}, {"pooling": "max"}],
    "gradcam++": [{"normalise": False}],
    "smoothgrad": [{"of": "guided_backprop", "n": 2}],
}

Results = Iterator[tuple[str, Any]]


def pictures() -> dict[str, Any]:
    """What is explained, by its name."""
    drawn: dict[str, Any] = {f"vignette {seed}": vignettes.draw(seed).image for seed in SEEDS}
    if root := os.environ.get("MMCAM_REAL_DATA"):
        drawn |= {name: Image.open(Path(root) / name).convert("RGB") for name in PHOTOGRAPHS}
    return drawn


def flat(result: Any) -> Iterator[tuple[str, mmcam.Explanation]]:
    """The explanations inside a result."""
    if isinstance(result, (list, tuple)):
        for i, part in enumerate(result):
            yield from ((f"{i}.{name}", exp) for name, exp in flat(part))
    elif isinstance(result, mmcam.CaptionExplanation):
        yield from flat([*result.words, result.whole])
    elif isinstance(result, mmcam.QuestionExplanation):
        yield from flat([*result.words, result.answer])
    else:
        yield "", result


def tried(call: Callable[[], Any]) -> Any:
    """What a call gives, or the sentence it refuses with."""
    try:
        return call()
    except mmcam.ExplainError as error:
        return str(error)


def by_methods(task: str, explain: Callable[..., Any]) -> Results:
    """One task by every method, and the variants of some."""
    for method in sorted(mmcam.METHODS):
        for options in [CHEAP.get(method, {}), *VARIANTS.get(method, [])]:
            name = " ".join([task, method, *(f"{key}={value}" for key, value in options.items())])
            yield name, tried(partial(explain, method=method, **options))


def classes(shown: dict[str, Any]) -> Results:
    """The classifier: its prediction, several classes, contrasts, fused layers, texts of units."""
    model, images = load("vignette-classifier"), list(shown.values())
    yield from by_methods("class", partial(mmcam.explain_class, model, images))
    yield "classes", mmcam.explain_class(model, images[0], ["house", "car", lambda logits: logits[:, 3].square()])
    yield "class contrast", mmcam.explain_class(model, images, "house", contrast="car", method="hirescam")
    layers = ["encoder.features.4", "encoder.features.6"]
    layers = [name for name, module in model.named_modules() if isinstance(module, nn.Conv2d)][-2:] or layers
    yield "class fused", mmcam.explain_class(model, images[0], "house", layer=layers, method="layercam")
    why = mmcam.explain_class(model, images[0], "house", contrast="car").why(dissection("vignette-classifier"))
    yield "class why", str(why)
    yield "class refused", tried(partial(mmcam.explain_class, model, images[0], "hause"))
    x = torch.rand(2, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    yield "attribute", mmcam.attribute(model, x, [0, torch.tensor([1, 2]), lambda logits: logits.sum(1)])


def captions(shown: dict[str, Any]) -> Results:
    """The captioners: every word, one word, contrasts, beams, words that owe nothing to the picture."""
    for name in CAPTIONERS:
        model, images = load(name), list(shown.values())
        said = mmcam.explain_caption(model, images[0])
        word, text = said[-1].target, f"{name} caption"
        yield from by_methods(text, partial(mmcam.explain_caption, model, images[0]))
        yield f"{text} of all", mmcam.explain_caption(model, images)
        yield f"{text} beam", mmcam.explain_caption(model, images[:2], beam=2)
        yield f"{text} word", mmcam.explain_caption(model, images[0], word, contrast="tree", method="guided_gradcam")
        yield f"{text} placed", mmcam.explain_caption(model, images[0], "tree", position=1, method="layercam")
        yield f"{text} given", mmcam.explain_caption(model, images, caption="a red car and a dog", method="c_mwp")
        yield f"{text} refused", tried(partial(mmcam.explain_caption, model, images[0], "hous"))
        yield f"{text} grounding", repr(mmcam.grounding(model, images))


def answers(shown: dict[str, Any]) -> Results:
    """The VQA models: their answers, contrasts, question words."""
    for name in ANSWERERS:
        model, images = load(name), list(shown.values())
        asked = QUESTIONS[: len(images)]
        yield from by_methods(f"{name} answer", partial(mmcam.explain_answer, model, images, asked))
        contrasted = mmcam.explain_answer(model, images[0], "where is this", "beach", contrast="sea", method="layercam")
        yield f"{name} contrast", contrasted
        for method in ("gradcam", "guided_backprop", "occlusion", "c_mwp"):
            options = CHEAP.get(method, {})
            by_word = mmcam.explain_answer(model, images[:2], asked[:2], by_word=True, method=method, **options)
            yield f"{name} by word {method}", by_word
        yield f"{name} refused", tried(partial(mmcam.explain_answer, model, images[0], "where is this", "beech"))


def others(shown: dict[str, Any]) -> Results:
    """Policies, similarities, and networks of torchvision with random weights."""
    import torchvision

    policy, matcher = seeded(Catcher), seeded(Matcher)
    frames = torch.randint(0, 255, (2, 4, 84, 84), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    scaled = frames / 255
    for score in ("action", "value"):
        yield f"policy {score}", mmcam.explain_action(policy, scaled, score=score)
    yield "policy contrast", mmcam.explain_action(policy, scaled, "left", contrast="right", method="layercam")
    image = next(iter(shown.values()))
    texts = ["a dog", "a red car"]
    yield "similarity", mmcam.explain_similarity(matcher, [image, image], texts, contrast="sea", layer="features.3")
    for name in ("resnet18", "vit_b_16", "swin_t", "squeezenet1_0"):
        network = seeded(partial(getattr(torchvision.models, name), weights=None))
        for method in ("gradcam", "layercam", "integrated_gradients"):
            options = CHEAP.get(method, {})
            how: dict[str, Any] = {"method": method, **options}
            yield f"{name} {method}", tried(partial(mmcam.explain_class, network, image, [281, 207], **how))


def recorded() -> tuple[dict[str, Tensor], dict[str, str]]:
    """All maps and weights, and all texts with their scores, by name."""
    tensors: dict[str, Tensor] = {}
    texts: dict[str, str] = {}
    shown = pictures()
    for part in (classes, captions, answers, others):
        began = time.perf_counter()
        for name, result in part(shown):
            if isinstance(result, str):
                texts[name] = result
            elif isinstance(result, Tensor):
                tensors[name] = result
            for place, exp in () if isinstance(result, (str, Tensor)) else flat(result):
                key = f"{name} {place}".strip()
                tensors[key] = exp.values.detach().clone()
                if exp.weights is not None:
                    tensors[f"{key} weights"] = exp.weights.detach().clone()
                kept = (exp.target, exp.score.hex(), exp.layer, exp.method, exp.context, exp.note, exp.claim, exp.sense)
                texts[key] = json.dumps(kept, ensure_ascii=False)
        typer.echo(f"{part.__name__}: {time.perf_counter() - began:.0f} s, {len(tensors)} maps and weights in all")
    return tensors, texts


@app.command()
def record(path: Annotated[Path, typer.Argument(help="PATH.safetensors and PATH.json are written.")]) -> None:
    """Record everything."""
    tensors, texts = recorded()
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: value.contiguous() for name, value in tensors.items()}, path.with_suffix(".safetensors"))
    path.with_suffix(".json").write_text(json.dumps(texts, indent=1, ensure_ascii=False))
    typer.echo(f"{len(tensors)} maps and weights, {len(texts)} texts")


@app.command()
def compare(path: Annotated[Path, typer.Argument(help="What `record` wrote.")]) -> None:
    """Compare with a record; exit code 1 if anything differs."""
    tensors, texts = recorded()
    before, said = load_file(path.with_suffix(".safetensors")), json.loads(path.with_suffix(".json").read_text())
    differ = [
        f"{name} is only on one side" for name in sorted((before.keys() ^ tensors.keys()) | (said.keys() ^ texts))
    ]
    for name in sorted(before.keys() & tensors.keys()):
        ours, theirs = tensors[name], before[name]
        alike = ours.shape == theirs.shape and ours.dtype == theirs.dtype
        if not alike or not torch.equal(ours.nan_to_num(nan=7e30), theirs.nan_to_num(nan=7e30)):
            off = f"by {(ours - theirs).abs().max():.2e}" if alike else f"{theirs.shape} became {ours.shape}"
            differ.append(f"map {name}: {off}")
    differ += [
        f"text {name}:\n  {said[name]}\n  {texts[name]}"
        for name in sorted(said.keys() & texts)
        if said[name] != texts[name]
    ]
    for line in differ:
        typer.echo(line)
    typer.echo(f"{len(tensors)} maps and weights, {len(texts)} texts, {len(differ)} differences")
    raise typer.Exit(int(bool(differ)))


if __name__ == "__main__":
    torch.set_num_threads(1)
    app()
