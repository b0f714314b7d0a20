"""Small models and references the tests share; everything is seeded and runs in milliseconds."""

import contextlib
import functools
from collections.abc import Iterator, Sequence
from typing import Any

import torch
import torchvision
from torch import Tensor, nn
from torch.nn import functional as F

from mmcam import Preprocess
from mmcam.engine.computation import Computation
from mmcam.engine.run import run
from mmcam.places.survey import layer_at

NETWORKS = ("resnet18", "vgg11_bn", "mobilenet_v2", "densenet121", "googlenet")
LAYERS = {
    "resnet18": "layer4",
    "vgg11_bn": "features.27",
    "mobilenet_v2": "features",
    "densenet121": "features",
    "googlenet": "inception5b",
}
SMALL = Preprocess(size=(32, 32), mode="squash", mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))


@functools.cache
def network(name: str, classes: int = 1000) -> nn.Module:
    """A torchvision network with random weights whose batch-norm statistics fit them, so no signal dies on the way."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        extra = {"aux_logits": False, "init_weights": False} if name == "googlenet" else {}
        model = getattr(torchvision.models, name)(weights=None, num_classes=classes, **extra)
        norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
        for norm in norms:
            norm.momentum = None
        with torch.no_grad():
            model.train()(torch.randn(8, 3, 64, 64))
        for norm in norms:
            norm.momentum = 0.1
    return model.eval()


class Gap(nn.Module):
    """Two convolutions, a global average pool and one linear layer: the network CAM was made for."""

    def __init__(self, channels: int = 8, classes: int = 5) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, channels, 3, padding=1), nn.ReLU(), nn.Conv2d(channels, channels, 3, padding=1), nn.ReLU()
        )
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(channels, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.pool(self.features(x)).flatten(1))


class Deep(nn.Module):
    """A network whose gradient at `features` differs between cells: a small perceptron stands behind it."""

    def __init__(self, size: int = 16, channels: int = 6, classes: int = 5) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, channels, 3, padding=1), nn.ReLU(), nn.Conv2d(channels, channels, 3, 2, 1)
        )
        self.head = nn.Sequential(nn.Linear(channels * size * size // 4, 16), nn.Tanh(), nn.Linear(16, classes))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.features(x).flatten(1))


def seeded(build: Any, *args: Any, seed: int = 0, **kwargs: Any) -> Any:
    """An eval-mode module built under a seed."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return build(*args, **kwargs).eval()


def pictures(n: int = 2, side: int = 16, seed: int = 1) -> Tensor:
    return torch.randn(n, 3, side, side, generator=torch.Generator().manual_seed(seed))


@contextlib.contextmanager
def plain_tap(model: nn.Module, layer: str, call: int = 0) -> Iterator[list[Tensor]]:
    """Keep the layer's output of one call, and hand the model a copy of it."""
    kept: list[Tensor] = []
    calls = iter(range(1000))

    def hook(module: nn.Module, inputs: Any, output: Tensor) -> Tensor | None:
        if next(calls) != call:
            return None
        output = output if output.requires_grad else output.detach().requires_grad_()
        kept.append(output)
        return output.clone()

    handle = model.get_submodule(layer).register_forward_hook(hook)
    try:
        yield kept
    finally:
        handle.remove()


def reference_evidence(model: nn.Module, layer: str, run: Any, call: int = 0) -> tuple[Tensor, Tensor]:
    """Activations and gradient of ``run()``, a scalar, by ordinary backpropagation."""
    with torch.enable_grad(), plain_tap(model, layer, call) as kept:
        score = run()
        (gradient,) = torch.autograd.grad(score, kept[0])
    return kept[0].detach(), gradient


def reference_gradcam(model: nn.Module, layer: str, run: Any, call: int = 0) -> Tensor:
    """Grad-CAM of ``run()``, a scalar, by ordinary backpropagation: (N, h, w)."""
    activations, gradient = reference_evidence(model, layer, run, call)
    return (gradient.mean((2, 3), keepdim=True) * activations).sum(1).relu()


class Captioner(nn.Module):
    """A CNN and an LSTM captioner, one token a word; token 0 ends a caption and is never among the tokens."""

    VOCABULARY = ("", "a", "dog", "cat", "runs", "on", "the", "grass", "water", "big", "tree")

    def __init__(self, state: int = 12) -> None:
        super().__init__()
        self.preprocess = SMALL
        self.encoder = nn.Sequential(nn.Conv2d(3, 6, 3, 2, 1), nn.ReLU(), nn.Conv2d(6, 8, 3, 2, 1), nn.ReLU())
        self.picture = nn.Linear(8 * 8 * 8, state)
        self.embedding = nn.Embedding(len(self.VOCABULARY), state)
        self.lstm = nn.LSTM(state, state, batch_first=True)
        self.output = nn.Linear(state, len(self.VOCABULARY))
        self.encoded = 0  # pictures the encoder has seen
        self.said: list[list[int]] = [[1, 2, 4, 5, 6, 7], [6, 9, 10]]  # what generate says, in turn

    def token_log_probs(self, x: Tensor, tokens: Tensor) -> Tensor:
        self.encoded += len(x)
        first = self.picture(self.encoder(x).flatten(1))[:, None]
        steps = torch.cat([first, self.embedding(tokens[:, :-1])], dim=1)
        logits = self.output(self.lstm(steps)[0])
        return logits.log_softmax(-1).gather(-1, tokens[:, :, None])[:, :, 0]

    def generate(self, x: Tensor) -> list[list[int]]:
        return [self.said[n % len(self.said)] for n in range(len(x))]

    def encode(self, caption: str) -> list[int]:
        unknown = [word for word in caption.lower().split() if word not in self.VOCABULARY]
        if unknown:
            raise ValueError(f"The captioner does not know {unknown[0]!r}.")
        return [self.VOCABULARY.index(word) for word in caption.lower().split()]

    def words(self, tokens: Sequence[int]) -> list[tuple[str, list[int]]]:
        return [(self.VOCABULARY[token], [i]) for i, token in enumerate(tokens)]


class Stubborn(Captioner):
    """A captioner that takes its number of rows from the pictures, so no row may be added behind its encoder."""

    def token_log_probs(self, x: Tensor, tokens: Tensor) -> Tensor:
        self.encoded += len(x)
        first = self.picture(self.encoder(x).reshape(x.shape[0], 8 * 8 * 8))[:, None]
        steps = torch.cat([first, self.embedding(tokens[:, :-1])], dim=1)
        logits = self.output(self.lstm(steps)[0])
        return logits.log_softmax(-1).gather(-1, tokens[:, :, None])[:, :, 0]


class VQA(nn.Module):
    """Pictures and bags of words to scores of answers."""

    def __init__(self) -> None:
        super().__init__()
        self.preprocess = SMALL
        self.answers = ("yes", "no", "red", "green grass", "two")
        self.encoder = nn.Sequential(nn.Conv2d(3, 6, 3, 2, 1), nn.ReLU(), nn.Conv2d(6, 8, 3, 2, 1), nn.ReLU())
        self.picture = nn.Linear(8 * 8 * 8, 10)
        self.words = nn.Embedding(64, 10)
        self.output = nn.Linear(10, len(self.answers))

    def answer_scores(self, x: Tensor, questions: Sequence[str]) -> Tensor:
        asked = torch.stack([self.words(torch.tensor([len(w) for w in q.split()])).sum(0) for q in questions])
        return self.output(torch.tanh(self.picture(self.encoder(x).flatten(1))) * torch.tanh(asked))


class Multiplied:
    """Rows of a module's output repeated `copies` times, as the library does at the layer it explains."""

    def __init__(self, module: nn.Module, copies: int) -> None:
        self.handle = module.register_forward_hook(lambda _m, _i, out: out.repeat(copies, 1, 1, 1))

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        self.handle.remove()


def upsampled(cam: Tensor, size: tuple[int, int]) -> Tensor:
    return F.interpolate(cam[None, None], size, mode="bilinear", align_corners=False)[0, 0]


class Noisy(Gap):
    """With everything a forward pass may change: batch norm, dropout, and random numbers even in eval mode."""

    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm2d(8)
        self.dropout = nn.Dropout(0.5)

    def forward(self, x):
        torch.rand(3)
        return self.fc(self.dropout(self.pool(F.relu(self.norm(self.features(x)))).flatten(1)))


def mixed(model):
    """Some modules in train mode, some not, one frozen, one with a gradient of the user's own."""
    model.train()
    model.norm.eval()
    model.fc.weight.requires_grad_(False)
    model.fc.bias.grad = torch.ones_like(model.fc.bias)
    return model


class CountsRows(Deep):
    """Takes its number of rows from the pictures."""

    def forward(self, x):
        return self.head(self.features(x).view(x.shape[0], 6 * 8 * 8))


class LosesRows(Deep):
    """Silently drops the rows it did not expect."""

    def forward(self, x):
        return self.head(self.features(x).flatten(1)[: len(x)])


def evidence_at(model, forward, x, targets, layer, *, texts=1, **how):
    """The engine's evidence, with a layer's name in place of its value."""
    computation = Computation(model, forward, x, targets, texts)
    return run(computation, layer_at(model, computation.alone, x, layer), **how)
