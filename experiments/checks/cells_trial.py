"""Is every layer's place found by `mmcam.places.probe`, and none where there is none? The truth is known from the code.

```sh
python -m experiments.checks.cells_trial              # all families; --only swin for those with it in their names
```

Random weights throughout: an order belongs to the code. A layer is *right* if its grid reads the same map as the true
one, *false* if another, *refused rightly* if it has no place, *missed* if it has one and was refused. False ones make
the exit code 1. Layers whose place attention may take away (outputs of an attention alone) are left out.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any

import torch
import typer
from torch import Tensor, nn

from experiments.lib.ordered_tokens import Own
from mmcam.engine.layer import Grid
from mmcam.places.grids import channels_last, plain, tokens
from mmcam.places.layouts import Layout, arranged
from mmcam.places.probe import probe

app = typer.Typer(add_completion=False, help=__doc__)

Truth = Grid | None
Build = Callable[[], nn.Module]


@dataclass(frozen=True)
class Subject:
    """A model, the size of its pictures, and the true grids of some layers; None: no place."""

    name: str
    build: Build
    size: tuple[int, int]
    truths: Mapping[str, Truth]


def own() -> Iterator[Subject]:
    """Small vision transformers in every order."""
    g = torch.arange(64).view(8, 8)
    large = torch.randperm(196, generator=torch.Generator().manual_seed(0))
    kinds: dict[str, dict[str, Any]] = {
        "class token": {},
        "no other": {"front": 0, "sides": (7, 9)},
        "wide": {"sides": (5, 12)},
        "class token behind": {"front": 0, "behind": 1},
        "registers in front": {"front": 5},
        "registers behind": {"behind": 4},
        "register between": {"between": 20, "behind": 2},
        "sequence first": {"first": False},
        "column by column": {"order": g.T.flatten()},
        "mirrored": {"order": g.flip(1).flatten()},
        "shuffled": {"order": large.argsort()[:64].argsort()},
        "shuffled, 14×14": {"order": large, "sides": (14, 14)},
        "windows": {"order": g.view(2, 4, 2, 4).permute(0, 2, 1, 3).flatten()},
        "mask units": {"order": g.view(2, 2, 2, 2, 2, 2).permute(2, 5, 1, 4, 0, 3).flatten()},
        "20×20": {"sides": (20, 20)},
        "3×3": {"sides": (3, 3)},
        "sharp × 3": {"sharp": 3.0},
        "sharp × 5": {"sharp": 5.0},
        "sharp × 5, registers": {"sharp": 5.0, "behind": 4},
    }
    for name, options in kinds.items():
        h, w = options.get("sides", (8, 8))
        at = options.get("order", torch.arange(h * w)).argsort()
        at = at + (at >= options.get("between", h * w)).long() + options.get("front", 1)
        grid = arranged(Layout(int(not options.get("first", True)), 2), at, h, w, "")
        truths: dict[str, Truth] = {f"blocks.{i}": grid for i in range(3)} | {"asked": None}
        yield Subject(f"own: {name}", partial(Own, **options), (8 * h, 8 * w), truths)


def of_timm() -> Iterator[Subject]:
    """Families of timm, a few layers each."""
    import timm

    def made(name: str, size: int, truths: Mapping[str, Truth], **options: Any) -> Subject:
        return Subject(
            f"timm {name}", lambda: timm.create_model(name, pretrained=False, **options), (size, size), truths
        )

    row, one = tokens(14, 14), tokens(14, 14, 1)
    yield made("vit_tiny_patch16_224", 224, {"patch_embed": row, "blocks.0": one, "blocks.5": one, "blocks.11": one})
    yield made("deit_tiny_distilled_patch16_224", 224, dict.fromkeys(("blocks.3", "norm"), tokens(14, 14, 2)))
    yield made("cait_xxs24_224", 224, {"blocks.23": row, "norm": one, "blocks_token_only.1": None})
    yield made("mixer_s16_224", 224, dict.fromkeys(("blocks.1", "blocks.4", "norm"), row))
    yield made("beit_base_patch16_224", 224, {"blocks.0": one, "blocks.2": one}, depth=3)
    yield made("xcit_nano_12_p16_224", 224, {"blocks.0": row, "blocks.11": row})
    yield made(
        "vit_base_patch16_dinov3", 256, dict.fromkeys(("blocks.0", "blocks.2", "norm"), tokens(16, 16, 5)), depth=3
    )
    yield made(
        "vit_small_patch14_reg4_dinov2",
        224,
        dict.fromkeys(("blocks.0", "norm"), tokens(16, 16, 5)),
        img_size=224,
        depth=3,
    )
    yield made(
        "swin_tiny_patch4_window7_224", 224, dict.fromkeys(("layers.1.blocks.1", "layers.2", "norm"), channels_last())
    )
    stages: dict[str, Truth] = {
        "stages.1.blocks.1": tokens(28, 28),
        "stages.2.blocks.1": row,
        "stages.3.blocks.1": tokens(7, 7),
    }
    yield made("pvt_v2_b0", 224, stages | {"stages.3": plain()})
    yield made("mvitv2_tiny", 224, {"norm": tokens(7, 7)})
    maps = {name: dict.fromkeys(layers, plain()) for name, layers in {
        "resnet18": ("layer2", "layer4"),
        "convnext_atto": ("stages.1", "stages.3"),
        "maxvit_rmlp_pico_rw_256": ("stages.2", "stages.3"),
        "coatnet_nano_rw_224": ("stages.3",),
        "efficientformerv2_s0": ("stages.2",),
        "mobilevit_xxs": ("stages.4",),
        "poolformerv2_s12": ("stages.3",),
    }.items()}  # fmt: skip
    for name, truths in maps.items():
        yield made(name, 256 if "256" in name or "mobilevit" in name else 224, truths)


def of_transformers() -> Iterator[Subject]:
    """Tiny random configurations of transformers."""
    import transformers as hf

    small: dict[str, Any] = {
        "hidden_size": 32,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "intermediate_size": 64,
    }
    sized: dict[str, Any] = {"image_size": 96, "patch_size": 8}

    def made(name: str, config: Any, truths: dict[str, Truth], model: str = "") -> Subject:
        return Subject(f"hf {name}", lambda: getattr(hf, model or f"{name}Model")(config), (96, 96), truths)

    one = tokens(12, 12, 1)
    yield made("ViT", hf.ViTConfig(**small, **sized), {"layers.0": one, "layers.2": one, "layernorm": one})
    yield made(
        "Dinov2WithRegisters",
        hf.Dinov2WithRegistersConfig(**small, **sized),
        {"encoder.layer.2": tokens(12, 12, 5), "layernorm": tokens(12, 12, 5)},
    )
    yield made("DINOv3ViT", hf.DINOv3ViTConfig(**small, **sized, num_register_tokens=4), {"norm": tokens(12, 12, 5)})
    yield made(
        "Yolos",
        hf.YolosConfig(**small, image_size=[96, 96], patch_size=8, num_detection_tokens=20),
        {"encoder.layer.0": one, "layernorm": one},
    )
    clip = hf.CLIPVisionConfig(**small, **sized)
    yield made(
        "CLIPVision",
        clip,
        {
            "encoder.layers.0": one,
            "encoder.layers.2": one,
        },
    )
    swin = hf.SwinConfig(image_size=96, patch_size=4, embed_dim=16, depths=[2, 2], num_heads=[2, 4], window_size=6)
    yield made(
        "Swin",
        swin,
        {"encoder.layers.0.blocks.1": tokens(24, 24), "encoder.layers.1": tokens(12, 12), "layernorm": tokens(12, 12)},
    )


def outcome(
    model: nn.Module, size: tuple[int, int], truths: Mapping[str, Truth]
) -> tuple[int, Iterator[tuple[str, str, str]]]:
    """Rows used, and (layer, outcome, what was said) each."""
    x = torch.rand(1, 3, *size, generator=torch.Generator().manual_seed(0))
    rows: list[int] = []

    def forward(pictures: Tensor) -> Any:
        rows.append(len(pictures))
        return model(pictures)

    places = probe(model, forward, x, [(name, 0) for name in truths])
    return sum(rows), ((name, *_judged(place, truths[name])) for (name, _), place in places.items())


def _judged(place: Any, truth: Truth) -> tuple[str, str]:
    if place.grid is None:
        return ("refused rightly" if truth is None else "missed"), place.reason
    said = f"{place.grid.form} ({place.bits:.0f} bits)"
    if truth is None:
        return "false", said
    shape = list(place.shape)
    shape.insert(place.batch, 2)
    tensor = torch.randn(shape)
    mine, true = place.grid.read(tensor), truth.read(tensor)
    return ("right" if mine.shape == true.shape and torch.equal(mine, true) else "false"), said


@app.command()
def main(only: Annotated[str, typer.Option(help="Only models with this in their name.")] = "") -> None:
    """Print a line for each layer and the sums."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    sums = dict.fromkeys(("right", "refused rightly", "missed", "false"), 0)
    for family in (own, of_timm, of_transformers):
        for subject in family():
            if only not in subject.name:
                continue
            torch.manual_seed(0)
            used, results = outcome(subject.build().eval(), subject.size, subject.truths)
            for layer, verdict, said in results:
                sums[verdict] += 1
                typer.echo(f"{subject.name:36s} {used:3d} {layer:32s} {verdict:16s} {said}")
    typer.echo(", ".join(f"{verdict} {count}" for verdict, count in sums.items()))
    raise typer.Exit(int(sums["false"] > 0))


if __name__ == "__main__":
    app()
