"""Do other libraries get the same maps? The largest difference, as a share of the largest value, on random networks.

torchvision architectures with random weights (batch-norm statistics fitted, so that no signal dies on the way), two
pictures of noise, the predicted class of each, in double precision, so that no ReLU flips with the rounding.
pytorch-grad-cam returns enlarged maps scaled to 0..1, so ours are enlarged and scaled the same way before they are
compared with its. Noise is the same on both sides where a method draws some.

    python -m experiments.checks.agreement
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Final

import pytorch_grad_cam as pgc
import torch
import torchcam.methods as torchcam
import torchvision
import typer
from captum import attr
from rich.progress import track
from torch import Tensor, nn
from torch.nn import functional as F

import mmcam
from experiments.lib.separate import separate
from experiments.lib.settled import settle
from experiments.lib.stamp import stamp
from experiments.lib.tables import show

LAYERS: Final = {
    "resnet18": "layer4",
    "vgg11_bn": "features.27",
    "mobilenet_v2": "features",
    "densenet121": "features.denseblock4",  # what follows "features" changes it in place, and the others would see that
    "googlenet": "inception5b",
}
SIDE: Final = 64
LIBRARIES: Final = ("captum", "torchcam", "grad-cam")
LARGE: Final = 1e4
NOTES: Final = {
    "gradcam++, torchcam": "the division by the denominator has no effect in torchcam 0.5.0 (it changes a copy), and "
    "the denominator sums A·g³ over the cells where the paper has ΣA times g³",
    "gradcam++, grad-cam": f"of {LARGE:g} times the logit: it adds 1e-6 to a denominator of squared gradients",
    "smooth_gradcam++, torchcam": "torchcam weighs with the last copy's gradient in place of the mean, and sums A·g³",
    "scorecam, grad-cam": "it enlarges the channels with align_corners=True, torchcam and we without",
}
"""Where a definition differs, or had to be brought into line."""
EMPTY: Final = (
    "Empty: not compared. Score-CAM and Ablation-CAM cost a pass a channel in every library; captum sees no ReLUs but "
    "`nn.ReLU` modules, so its guided maps of the other networks would not be guided."
)

Run = Callable[[], Tensor]
Row = dict[str, Any]


def main(
    out: Annotated[Path, typer.Option(help="Folder for the table.")] = Path("experiments/results"),
    networks: Annotated[list[str] | None, typer.Option(help="Default all.")] = None,
) -> None:
    """Compare, and write agreement.json and .md."""
    warnings.filterwarnings("ignore")  # captum warns of its hooks at every call
    rows: list[Row] = []
    for name in networks or LAYERS:
        model = network(name).double()
        x = torch.randn(2, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
        with torch.no_grad():
            classes = model(x).argmax(1)
        for method, options, library, theirs in track(list(peers(name, model, x, classes)), name, transient=True):
            scale = LARGE if (method, library) == ("gradcam++", "grad-cam") else 1
            target = partial(scaled_logit, classes, scale)
            ours = mmcam.attribute(model, x, [target], layer=LAYERS[name], method=method, **options)[0]
            row = {"method": method, "options": options, "network": name, "library": library}
            rows.append(row | {"error": difference(ours, theirs(), library)})
    table(rows, out / "agreement")


def scaled_logit(classes: Tensor, scale: float, logits: Tensor) -> Tensor:
    """`scale` times each picture's class, (N,)."""
    return scale * logits.gather(1, classes[:, None])[:, 0]


def network(name: str) -> nn.Module:
    """A torchvision network with random weights whose batch-norm statistics fit them."""
    torch.manual_seed(0)
    extra: dict[str, Any] = {"aux_logits": False, "init_weights": False} if name == "googlenet" else {}
    model: nn.Module = getattr(torchvision.models, name)(weights=None, **extra)
    return settle(model, torch.randn(8, 3, SIDE, SIDE))


def peers(name: str, model: nn.Module, x: Tensor, classes: Tensor) -> Iterator[tuple[str, dict[str, Any], str, Run]]:
    """(method, our options for their definition, library, how it makes its maps) of every comparison that can be."""
    layer = LAYERS[name]

    def in_torchcam(kind: Any, **extra: Any) -> Run:
        def run() -> Tensor:
            with kind(model, target_layer=layer, **extra) as extractor:
                if isinstance(extractor, torchcam.SmoothGradCAMpp):
                    extractor._distrib = SameNoise(x, sigma=0.15, seed=0)
                scores = model(x.clone())
                return extractor(classes.tolist(), scores, normalized=False)[0].detach()

        return run

    def in_pgc(kind: Any) -> Run:
        def run() -> Tensor:
            twin = copy.deepcopy(model)  # it leaves hooks and gradients behind
            with kind(model=twin, target_layers=[twin.get_submodule(layer)]) as extractor:
                # It adds 1e-6 where Grad-CAM++ divides by squared gradients, so it is asked about a large score.
                scale = LARGE if kind is pgc.GradCAMPlusPlus else 1
                targets = [lambda logits, i=i: scale * logits[i] for i in classes.tolist()]
                return torch.from_numpy(extractor(x.clone(), targets))

        return run

    def in_captum(kind: Any, *places: nn.Module, **arguments: Any) -> Run:
        return lambda: kind(separate(model), *places).attribute(x.clone(), target=classes, **arguments).detach()

    def at_layer() -> Tensor:
        twin = separate(model)
        made = attr.LayerGradCam(twin, twin.get_submodule(layer)).attribute(x, classes, relu_attributions=True)
        return made[:, 0].detach()

    def guided() -> Tensor:
        twin = separate(model)
        made = attr.GuidedGradCam(twin, twin.get_submodule(layer))
        return made.attribute(x.clone(), target=classes, interpolate_mode="bilinear").detach()

    paper = {"normalise": False}
    yield "gradcam", {}, "captum", at_layer
    yield "gradcam", {}, "torchcam", in_torchcam(torchcam.GradCAM)
    yield "gradcam", {}, "grad-cam", in_pgc(pgc.GradCAM)
    yield "gradcam++", paper, "torchcam", in_torchcam(torchcam.GradCAMpp)
    yield "gradcam++", paper, "grad-cam", in_pgc(pgc.GradCAMPlusPlus)
    yield "smooth_gradcam++", paper, "torchcam", in_torchcam(torchcam.SmoothGradCAMpp, num_samples=5)
    yield "layercam", {}, "torchcam", in_torchcam(torchcam.LayerCAM)
    yield "layercam", {}, "grad-cam", in_pgc(pgc.LayerCAM)
    yield "xgradcam", {}, "torchcam", in_torchcam(torchcam.XGradCAM)
    yield "xgradcam", {}, "grad-cam", in_pgc(pgc.XGradCAM)
    yield "hirescam", {}, "grad-cam", in_pgc(pgc.HiResCAM)
    if name in ("resnet18", "googlenet"):  # a pass a channel, in every library
        yield "scorecam", {}, "torchcam", in_torchcam(torchcam.ScoreCAM)
        yield "scorecam", {}, "grad-cam", in_pgc(pgc.ScoreCAM)
        yield "ablationcam", {}, "grad-cam", in_pgc(pgc.AblationCAM)
    yield "gradient", {}, "captum", in_captum(attr.Saliency, abs=False)
    yield "gradient_x_input", {}, "captum", in_captum(attr.InputXGradient)
    steps = {"steps": 16}
    yield (
        "integrated_gradients",
        steps,
        "captum",
        in_captum(attr.IntegratedGradients, n_steps=16, method="gausslegendre"),
    )
    if name in ("resnet18", "vgg11_bn"):  # the others have ReLUs that captum does not see: functions, ReLU6
        yield "guided_backprop", {}, "captum", in_captum(attr.GuidedBackprop)
        yield "deconvnet", {}, "captum", in_captum(attr.Deconvolution)
        yield "guided_gradcam", {}, "captum", guided
    windows: dict[str, Any] = {"sliding_window_shapes": (3, 20, 20), "strides": (3, 12, 12), "baselines": 0.0}
    yield "occlusion", {"patch": 20, "stride": 12}, "captum", in_captum(attr.Occlusion, **windows)


class SameNoise(torch.distributions.Normal):
    """Stands in for torchcam's noise: the copies' noise that mmcam draws from a seed."""

    def __init__(self, x: Tensor, sigma: float, seed: int) -> None:
        super().__init__(0, sigma)
        self.spread = sigma * (x.amax((1, 2, 3), keepdim=True) - x.amin((1, 2, 3), keepdim=True))
        self.generator = torch.Generator().manual_seed(seed)

    def sample(self, sample_shape: Any = torch.Size()) -> Tensor:  # noqa: B008 - as in torch
        """The next copy's noise."""
        return torch.randn(sample_shape, generator=self.generator).to(self.spread) * self.spread


def difference(ours: Tensor, theirs: Tensor, library: str) -> float:
    """max |ours − theirs| / max |theirs|."""
    if library == "grad-cam":
        ours = F.interpolate(ours[:, None], theirs.shape[-2:], mode="bilinear", align_corners=False)[:, 0]
        low, high = ours.amin((1, 2), keepdim=True), ours.amax((1, 2), keepdim=True)
        ours = (ours - low) / (high - low)
    if theirs.ndim == ours.ndim + 1:
        theirs = theirs[:, 0]  # captum's occlusion repeats its map for every colour
    return float((ours - theirs).abs().max() / theirs.abs().max())


def table(rows: list[Row], path: Path) -> None:
    """Print the table, methods down and networks across, and write it as JSON and Markdown."""
    networks = list(dict.fromkeys(row["network"] for row in rows))
    noted = list(NOTES)
    cells = []
    for method, library in dict.fromkeys((row["method"], row["library"]) for row in rows):
        found = {r["network"]: r["error"] for r in rows if (r["method"], r["library"]) == (method, library)}
        pair = f"{method}, {library}"
        mark = f" [{noted.index(pair) + 1}]" if pair in NOTES else ""
        cells.append([method, library + mark, *(f"{found[name]:.0e}" if name in found else "" for name in networks)])
    notes = [f"[{i}] {pair}: {note}." for i, (pair, note) in enumerate(NOTES.items(), 1)]
    command = "python -m experiments.checks.agreement"
    show(
        path,
        {**stamp(command, pictures=2, seed=0, libraries=LIBRARIES), "rows": rows},
        ("method", "library", *networks),
        cells,
        [f"`{command}`"],
        ["", EMPTY, "", *notes],
    )


if __name__ == "__main__":
    typer.run(main)
