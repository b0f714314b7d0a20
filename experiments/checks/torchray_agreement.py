"""Is excitation backprop TorchRay's? The largest difference, as a share of the largest value, on random networks.

As in `agreement`: torchvision's architectures with random weights (batch-norm statistics fitted), two pictures of
noise, the predicted class of each, in double precision. Of residual sums TorchRay knows torchvision's ResNets' only.

    pip install --no-deps torchray
    python -m experiments.checks.torchray_agreement
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Annotated, Any, Final

import torch
import torchvision
import typer
from torch import Tensor, nn

import mmcam
from experiments.lib.settled import settle
from experiments.lib.stamp import stamp
from experiments.lib.tables import show

SIDE: Final = 64
PLACES: Final = (
    # network, layer, TorchRay's contrast layer: the input of the classifier
    ("resnet18", "layer4", "avgpool"),
    ("resnet18", "layer2", "avgpool"),
    ("resnet50", "layer3", "avgpool"),
    ("squeezenet1_0", "features.12", "classifier.0"),
    ("squeezenet1_0", "features.10", "classifier.0"),
    ("googlenet", "inception4e", "dropout"),
    ("densenet121", "features.denseblock3", None),  # the classifier reads a function's output
)
OPTIONS: Final[tuple[dict[str, Any], ...]] = ({"signed": True}, {}, {"signed": True, "over_cells": True})


def main(out: Annotated[Path, typer.Option(help="Folder for the table.")] = Path("experiments/results")) -> None:
    """Compare, and write agreement-torchray.json and .md."""

    rows = []
    for name, layer, contrast in PLACES:
        model = network(name)
        x = torch.randn(2, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
        with torch.no_grad():
            classes = model(x).argmax(1)
        for method in ("excitation_backprop", "c_mwp"):
            if method == "c_mwp" and contrast is None:
                continue
            found = theirs(model, x, classes, layer, contrast if method == "c_mwp" else None)
            errors = [difference(model, x, classes, found, layer, method, how) for how in OPTIONS]
            rows.append({"network": name, "layer": layer, "method": method, "errors": errors})
    table(rows, out / "agreement-torchray")


def network(name: str) -> nn.Module:
    """A torchvision network with random weights, in double precision."""
    torch.manual_seed(0)
    extra: dict[str, Any] = {"aux_logits": False, "init_weights": False} if name == "googlenet" else {}
    model: nn.Module = getattr(torchvision.models, name)(weights=None, **extra)
    return settle(model, torch.randn(8, 3, SIDE, SIDE)).double()


def theirs(model: nn.Module, x: Tensor, classes: Tensor, layer: str, contrast: str | None) -> Tensor:
    """TorchRay's maps (N,h,w); the contrastive ones if a contrast layer is given."""
    from torchray.attribution import excitation_backprop as torchray  # nothing else needs it

    maps = []
    for picture, label in zip(x, classes.tolist(), strict=True):
        twin = copy.deepcopy(model)  # it changes blocks and freezes parameters
        if isinstance(twin, torchvision.models.ResNet):
            torchray.update_resnet(twin)
        if contrast is None:
            maps.append(torchray.excitation_backprop(twin, picture[None], label, layer))
        else:
            maps.append(torchray.contrastive_excitation_backprop(twin, picture[None], label, layer, contrast))
    return torch.cat(maps)[:, 0].detach()


def difference(
    model: nn.Module, x: Tensor, classes: Tensor, found: Tensor, layer: str, method: str, how: dict[str, Any]
) -> float | None:
    """max |ours − theirs| / max |theirs|; None where ours is refused, as theirs is rounding only."""
    try:
        ours = mmcam.attribute(model, x, [classes], layer=layer, method=method, **how)[0]
    except mmcam.ExplainError:
        assert float(found.max()) < 1e-12, "there is a contrast"
        return None
    return float((ours - found).abs().max() / found.abs().max())


def table(rows: list[dict[str, Any]], path: Path) -> None:
    """Print the table and write it."""
    command = "python -m experiments.checks.torchray_agreement"
    told = [" ".join(f"{key}={value}" for key, value in how.items()) or "by default" for how in OPTIONS]
    cells = [
        [row["network"], row["layer"], row["method"]]
        + ["no contrast" if error is None else f"{error:.0e}" for error in row["errors"]]
        for row in rows
        if row["errors"][0] is not None
    ]
    refused = [row for row in rows if row["errors"][0] is None]
    below = [
        "",
        "signed=True is TorchRay's convention: residual sums, averages and layers count values with their sign. By "
        "default positive parts count, so that shares are probabilities: the same wherever nothing is below zero. "
        "over_cells=True reads a convolutional head and its pool as one layer, which TorchRay does not.",
        "",
        *(
            f"At {row['layer']} of {row['network']}, {row['method']} has no contrast: TorchRay's map is the rounding, "
            "below 1e-12, and ours is refused with a sentence."
            for row in refused
        ),
    ]
    head = ("network", "layer", "method", *told)
    show(
        path,
        {**stamp(command, pictures=2, seed=0, libraries=("torchray",)), "rows": rows},
        head,
        cells,
        [f"`{command}`"],
        below,
    )


if __name__ == "__main__":
    typer.run(main)
