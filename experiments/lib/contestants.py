"""Who is timed against whom: mmcam, other libraries and plain passes, on networks with random weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import timm
import torch
import torchvision
from torch import Tensor, nn

import mmcam
from experiments.lib.peers import Maps, captum_guided, captum_maps, pgc_guided, pgc_maps, torchcam_maps
from experiments.lib.separate import separate
from experiments.lib.settled import settle
from mmcam.engine.computation import Computation
from mmcam.engine.run import run as run_engine
from mmcam.methods.cam import gradcam
from mmcam.places.survey import layer_at

WORDS, VOCABULARY = 16, 1000
LAYERS = {"resnet50": "layer4", "vgg16": "features.29", "mobilenet_v2": "features.18", "lite0": "blocks.6"}
MOST_FOR_PEERS = 16
"""Classes of a picture beyond which peers, who are called once a class, are not waited for."""

Run = Callable[[], Tensor | None]


@dataclass(frozen=True)
class Setting:
    """Picture side, batch, threads and rounds of one run."""

    side: int
    batch: int
    rounds: int
    threads: int
    device: str


class Captioner(nn.Module):
    """ResNet-50, mean-pooled into the first step of an LSTM; random weights, since only the time counts."""

    def __init__(self, width: int = 512) -> None:
        super().__init__()
        resnet = torchvision.models.resnet50(weights=None)
        self.encoder = nn.Sequential(*list(resnet.children())[:-2])
        self.picture = nn.Linear(2048, width)
        self.embedding = nn.Embedding(VOCABULARY, width)
        self.lstm = nn.LSTM(width, width, batch_first=True)
        self.output = nn.Linear(width, VOCABULARY)

    def forward(self, x: Tensor, tokens: Tensor) -> Tensor:
        """Log-probabilities (R, L) of the tokens (R, L), read beside the pictures."""
        first = self.picture(self.encoder(x).mean((2, 3)))[:, None].expand(len(tokens), -1, -1)
        with torch.backends.cudnn.flags(enabled=False):  # cuDNN has no backward of an RNN in eval mode, for anyone
            states, _ = self.lstm(torch.cat([first, self.embedding(tokens[:, :-1])], 1))
        return self.output(states).log_softmax(-1).gather(-1, tokens[:, :, None])[:, :, 0]


class Reader(nn.Module):
    """A captioner as a peer wants a classifier: pictures to the log-probabilities of the words of one caption."""

    def __init__(self, captioner: Captioner, tokens: Tensor) -> None:
        super().__init__()
        self.captioner, self.tokens = captioner, tokens

    def forward(self, x: Tensor) -> Tensor:
        """Log-probabilities (N, L)."""
        return self.captioner(x, self.tokens.expand(len(x), -1))


def network(name: str, setting: Setting) -> nn.Module:
    """A network with random weights on the setting's device: torchvision's of a name, or EfficientNet-Lite0."""
    torch.manual_seed(0)
    if name == "lite0":
        model = timm.create_model("tf_efficientnet_lite0", pretrained=False)
    else:
        sized = {"image_size": setting.side} if name.startswith("vit") else {}
        model = getattr(torchvision.models, name)(weights=None, **sized)
        if sized:
            nn.init.normal_(model.heads.head.weight, std=0.02)  # torchvision's begins at zero, which explains nothing
    if any(isinstance(module, nn.BatchNorm2d) for module in model.modules()):
        settle(model, torch.randn(4, 3, 64, 64))
    return model.eval().to(setting.device)


def pictures(n: int, setting: Setting) -> Tensor:
    """A batch of noise."""
    return torch.randn(n, 3, setting.side, setting.side, generator=torch.Generator().manual_seed(1)).to(setting.device)


def plain(model: Callable[..., object], *inputs: Tensor) -> Run:
    """The forward pass without gradients, which every figure is a multiple of."""

    def run() -> None:
        with torch.no_grad():
            model(*inputs)

    return run


def likely(model: nn.Module, x: Tensor, count: int = 1) -> list[int]:
    """The classes the model finds likeliest over a batch: their maps are not empty."""
    with torch.no_grad():
        return model(x).sum(0).topk(count).indices.tolist()


def batch_task(name: str, n: int, setting: Setting) -> dict[str, Run]:
    """One class for each picture of a batch."""
    model, x, layer = network(name, setting), pictures(n, setting), LAYERS[name]
    (target,) = likely(model, x)
    return {
        "forward": plain(model, x),
        "mmcam": lambda: mmcam.attribute(model, x, [target], layer=layer)[0],
        "torchcam": lambda: torchcam_maps(model, layer, x, target),
        "captum": lambda: captum_maps(model, layer, x, target),
        "pytorch-grad-cam": lambda: pgc_maps(model, layer, x, target),
    }


def classes_task(name: str, count: int, setting: Setting) -> dict[str, Run]:
    """Several classes of one picture; peers are called once a class."""
    model, x, layer = network(name, setting), pictures(1, setting), LAYERS[name]
    classes = likely(model, x, count)
    peers = {"torchcam": torchcam_maps, "captum": captum_maps, "pytorch-grad-cam": pgc_maps}

    def each(maps: Maps) -> Run:
        return lambda: torch.cat([maps(model, layer, x, c) for c in classes])

    return {
        "forward": plain(model, x),
        "mmcam, one class": lambda: mmcam.attribute(model, x, classes[:1], layer=layer)[:, 0],
        "mmcam": lambda: mmcam.attribute(model, x, classes, layer=layer)[:, 0],
        **({peer: each(maps) for peer, maps in peers.items()} if count <= MOST_FOR_PEERS else {}),
    }


def caption_task(setting: Setting) -> dict[str, Run]:
    """Every word of a caption of 16; peers, who know no captions, are given one word at a time as a class.

    "by hand" is what one would write: one forward pass with a hook on the layer, one backward pass a word.
    """
    torch.manual_seed(0)
    model = Captioner()
    settle(model.encoder, torch.randn(4, 3, 64, 64))
    model.eval().to(setting.device)
    x = pictures(1, setting)
    tokens = torch.randint(1, VOCABULARY, (1, WORDS), device=setting.device)
    layer = "encoder.7"

    reader = Reader(model, tokens).eval()
    targets = [lambda out, t=t: out[:, t] for t in range(WORDS)]

    def ours() -> Tensor:
        computation = Computation(model, lambda p, rows: model(p, rows.spread_tensor(tokens)), x, targets)
        return gradcam(run_engine(computation, layer_at(model, computation.alone, x, layer)))[0][:, 0]

    def by_hand() -> Tensor:
        kept: list[Tensor] = []

        def hook(module: nn.Module, inputs: object, output: Tensor) -> Tensor:
            kept.append(output.detach().requires_grad_())
            return kept[0]

        handle = model.get_submodule(layer).register_forward_hook(hook)
        scores = model(x, tokens)
        handle.remove()
        maps = []
        for t in range(WORDS):
            (gradient,) = torch.autograd.grad(scores[:, t].sum(), kept[0], retain_graph=True)
            maps.append((gradient.mean((2, 3), keepdim=True) * kept[0]).sum(1).relu())
        return torch.cat(maps).detach()

    def each(maps: Maps) -> Run:
        return lambda: torch.cat([maps(reader, f"captioner.{layer}", x, t) for t in range(WORDS)])

    return {
        "forward": plain(model.encoder, x),
        "forward with text": plain(model, x, tokens),
        "mmcam": ours,
        "by hand": by_hand,
        "torchcam": each(torchcam_maps),
        "captum": each(captum_maps),
        "pytorch-grad-cam": each(pgc_maps),
    }


def guided_task(name: str, n: int, setting: Setting) -> dict[str, Run]:
    """Guided Grad-CAM of a batch, beside the least it could cost: a forward and a backward pass to the pixels."""
    model, x, layer = network(name, setting), pictures(n, setting), LAYERS[name]
    (target,) = likely(model, x)
    modules = separate(network(name, setting))  # captum's copy
    frozen = network(name, setting).requires_grad_(False)
    swapped = network(name, setting)  # pytorch-grad-cam's copy: its ReLUs do not come back as they were

    def ideal() -> None:
        pixels = x.clone().requires_grad_()
        torch.autograd.grad(frozen(pixels)[:, target].sum(), pixels)

    runs: dict[str, Run] = {
        "forward": plain(model, x),
        "forward + backward to the pixels": ideal,
        "mmcam": lambda: mmcam.attribute(model, x, [target], layer=layer, method="guided_gradcam")[0],
        "captum": lambda: captum_guided(modules, layer, x, target),
        "pytorch-grad-cam": lambda: pgc_guided(swapped, layer, x, target),
    }
    if any(isinstance(module, nn.ReLU6) for module in model.modules()):  # the rule of the others knows no ReLU6
        del runs["captum"], runs["pytorch-grad-cam"]
    return runs
