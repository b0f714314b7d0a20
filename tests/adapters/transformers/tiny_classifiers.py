"""Small image classifiers of transformers, one a family, random weights, and a processor that shrinks without blur."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tiny_similarity import GREY, NEAREST, TOWER, drawn, fitted
from torch import nn

LABELS = dict(enumerate(["tabby cat, tabby", "dog", "boat", "tree", "car"]))
NAMED = {"id2label": LABELS, "label2id": {name: i for i, name in LABELS.items()}}


@dataclass(frozen=True)
class Family:
    """One architecture, its processor, and where its map is found.

    Attributes:
        name: of the classes in transformers.
        config: of the model.
        layer: the default one, in the model as it is.
        cells: of its map.
        skip: tokens before the patches; None for (N,K,h,w).
        maker: class of the processor, and its settings.
        original: (H,W) of a picture that becomes blocks of the input.
        block: from a cell to the rows and columns of such a picture that decide it.
    """

    name: str
    config: dict[str, Any]
    layer: str
    cells: tuple[int, int]
    skip: int | None
    maker: tuple[str, dict[str, Any]]
    original: tuple[int, int]
    block: Callable[[int, int], tuple[slice, slice]]
    teacher: bool = False


def squashed(height: int, width: int) -> dict[str, Any]:
    return {"size": {"height": height, "width": width}}


def blocks(side: int, times: tuple[int, int], start: tuple[int, int] = (0, 0)) -> Callable[[int, int], Any]:
    """Cells of `side` input pixels, which were `times` as many of the picture, from (row, column) `start` on."""

    def block(row: int, column: int) -> tuple[slice, slice]:
        corners = (start[0] + row * side * times[0], start[1] + column * side * times[1])
        return slice(corners[0], corners[0] + side * times[0]), slice(corners[1], corners[1] + side * times[1])

    return block


VIT = TOWER | {"patch_size": 8}
# The shorter side of 64 is halved, to 40 after an eighth more, of which 32×32 are the middle.
CONVNEXT = {"size": {"shortest_edge": 32}, "crop_pct": 0.8}
NORMS = "layernorm_before"

FAMILIES = {
    "resnet": Family(
        "ResNet", {"embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 2], "layer_type": "bottleneck"},
        "resnet.encoder.stages.1", (4, 4), None, ("ConvNext", CONVNEXT), (80, 120), blocks(8, (2, 2), (8, 28)),
    ),
    "convnext": Family(
        "ConvNext", {"hidden_sizes": [8, 12], "depths": [1, 2], "num_stages": 2},
        "convnext.encoder.stages.1", (4, 4), None, ("ConvNext", CONVNEXT), (120, 80), blocks(8, (2, 2), (28, 8)),
    ),
    "regnet": Family(
        "RegNet", {"embedding_size": 8, "hidden_sizes": [8, 12], "depths": [1, 1], "groups_width": 4},
        "regnet.encoder.stages.1", (4, 6), None, ("ViT", squashed(32, 48)), (64, 144), blocks(8, (2, 3)),
    ),
    "efficientnet": Family(
        "EfficientNet",
        {"image_size": 48, "width_coefficient": 0.05, "depth_coefficient": 1.0, "kernel_sizes": [3, 5, 3],
         "in_channels": [32, 16, 16], "out_channels": [16, 16, 24], "depthwise_padding": [], "strides": [1, 2, 2],
         "num_block_repeats": [1, 1, 1], "expand_ratios": [1, 2, 2], "hidden_dim": 64},
        "efficientnet.encoder.top_activation", (4, 6), None, ("EfficientNet", squashed(32, 48)), (96, 96),
        blocks(8, (3, 2)),
    ),
    "vit": Family(
        "ViT", VIT | {"image_size": (32, 48)}, f"vit.layers.1.{NORMS}", (4, 6), 1, ("ViT", squashed(32, 48)),
        (64, 144), blocks(8, (2, 3)),
    ),
    "deit": Family(
        "DeiT", VIT | {"image_size": 32}, f"deit.layers.1.{NORMS}", (4, 4), 2,
        ("DeiT", squashed(40, 40) | {"crop_size": {"height": 32, "width": 32}}), (80, 120), blocks(8, (2, 3), (8, 12)),
    ),
    "deit_taught": Family(
        "DeiT", VIT | {"image_size": 32}, f"deit.layers.1.{NORMS}", (4, 4), 2,
        ("DeiT", squashed(40, 40) | {"crop_size": {"height": 32, "width": 32}}), (80, 120), blocks(8, (2, 3), (8, 12)),
        teacher=True,
    ),
    "beit": Family(
        "Beit", VIT | {"image_size": 32, "use_relative_position_bias": True}, "beit.layers.1", (4, 4), 1,
        ("Beit", squashed(32, 32)), (96, 64), blocks(8, (3, 2)),
    ),
    "swin": Family(
        "Swin",
        {"image_size": (32, 48), "patch_size": 4, "embed_dim": 8, "depths": [2, 2], "num_heads": [2, 2],
         "window_size": 2},
        "swin.layernorm", (4, 6), 0, ("ViT", squashed(32, 48)), (64, 144), blocks(8, (2, 3)),
    ),
}  # fmt: skip


def processor_of(family: Family) -> Any:
    import transformers as hf

    name, settings = family.maker
    mean, std = GREY
    return getattr(hf, f"{name}ImageProcessor")(resample=NEAREST, image_mean=mean, image_std=std, **settings)


def build(name: str) -> tuple[nn.Module, Any]:
    """A fresh model and its processor."""
    import transformers as hf

    family = FAMILIES[name]
    config = getattr(hf, f"{family.name}Config")(**family.config, **NAMED)
    kind = f"{family.name}ForImageClassification" + ("WithTeacher" if family.teacher else "")
    model = drawn(getattr(hf, kind)(config))
    if any(isinstance(module, nn.BatchNorm2d) for module in model.modules()):
        fitted(model, (32, 48))
    return model, processor_of(family)
