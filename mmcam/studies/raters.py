"""Simulated raters: small classifiers that were trained on what a participant sees, after SimEvals.

SimEvals (Chen et al., Use-Case-Grounded Simulations for Explanation Evaluation, NeurIPS 2022) asks whether a picture
holds the information that a participant would need: a classifier is trained on such pictures, with the answers, and
takes the participant's place. Here every rater has the same eyes, a network trained on photographs that is none of the
study's models, and learns from a sample of his own what visualisations of each class look like (logistic regression on
the greatest and the mean activation of each unit of its last layer). He is told neither method nor model, and, other
than there, learns from the visualisations of all methods together, as a person brings the same eyes to all of them.

* discrimination: the likelier of the two answers.
* trust: how much likelier the named class is on one side; what difference is slight or clear to him is drawn, as in
  `mmcam.diagnosis.choice.rater`.
* agreement: how likely the likeliest class is: nothing else tells him whether the program was right.
* distinction: the answer whose visualisation shows something most clearly.

He is no person: he has no habits, does not tire, and what he gets wrong people may get right, and the other way round.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

import mmcam
from mmcam.diagnosis.choice.rater import Rater, raters
from mmcam.errors import ExplainError
from mmcam.studies.texts import NOTICE

SAMPLE: Final = 0.5
"""The share of the training pictures that a rater has seen."""
DECAY: Final = 1e-2
"""Of the weights."""
STEPS: Final = 60
SURE: Final = (0.75, 0.5, 0.25)
"""From which probability of the likeliest class on the program seems surely right, probably right, probably wrong."""
CHUNK: Final = 16


def eyes(model: Any, pictures: Sequence[Image.Image]) -> Tensor:
    """What a rater sees in pictures (N, 2K): of each unit of a classifier's last layer the maximum and the mean."""
    found = []
    for start in range(0, len(pictures), CHUNK):
        for exp in mmcam.explain_class(model, list(pictures[start : start + CHUNK])):
            assert exp.activations is not None
            found.append(torch.cat([exp.activations.amax((1, 2)), exp.activations.mean((1, 2))]))
    return torch.stack(found).float().cpu()


@dataclass(frozen=True)
class Recogniser:
    """Logistic regression: what a visualisation shows.

    Attributes:
        labels: that it knows.
        mean, scale: of the features.
        weights: (labels, features).
        bias: (labels).
    """

    labels: tuple[str, ...]
    mean: Tensor
    scale: Tensor
    weights: Tensor
    bias: Tensor

    def probabilities(self, seen: Tensor) -> dict[str, float]:
        """Of every label, by features (2K)."""
        logits = self.weights @ ((seen - self.mean) / self.scale) + self.bias
        return dict(zip(self.labels, logits.softmax(0).tolist(), strict=True))


def taught(seen: Tensor, labels: Sequence[str], seed: int) -> Recogniser:
    """A recogniser that has learnt from a random half of pictures.

    Args:
        seen: features (N, 2K).
        labels: what each picture shows.
        seed: of the half.

    Raises:
        ExplainError: all pictures show the same.
    """
    known = tuple(sorted(set(labels)))
    if len(known) < 2:
        raise ExplainError("All training pictures of the study show the same class; build it with more --training.")
    rng = np.random.default_rng(seed)
    chosen = np.sort(rng.choice(len(labels), max(2, round(SAMPLE * len(labels))), replace=False))
    x = seen[torch.as_tensor(chosen)]
    mean, scale = x.mean(0), x.std(0) + 1e-3
    x = (x - mean) / scale
    truth = torch.tensor([known.index(labels[i]) for i in chosen])
    with torch.enable_grad():
        weights = torch.zeros(len(known), x.shape[1], requires_grad=True)
        bias = torch.zeros(len(known), requires_grad=True)
        optimiser = torch.optim.LBFGS([weights, bias], max_iter=STEPS, line_search_fn="strong_wolfe")

        def loss() -> Tensor:
            optimiser.zero_grad()
            value = nn.functional.cross_entropy(x @ weights.T + bias, truth) + DECAY * weights.square().sum()
            value.backward()
            return value

        optimiser.step(loss)
    return Recogniser(known, mean, scale, weights.detach(), bias.detach())


@dataclass(frozen=True)
class Simulated:
    """One simulated rater.

    Attributes:
        recogniser: what he has learnt.
        taste: what differences he notices.
    """

    recogniser: Recogniser
    taste: Rater

    def choice(self, kind: str, question: str, trial: Mapping[str, Any], seen: Mapping[str, Tensor]) -> int:
        """The number of his answer.

        Args:
            kind: of the study.
            question: of the study, with ``{label}`` where the class is named.
            trial: as the page is told of it.
            seen: features of its images, by their names.
        """
        if trial["notice"]:
            return int(trial["choices"].index(_named(NOTICE, "{choice}", trial["notice"])))
        shown = [self.recogniser.probabilities(seen[image]) for image in trial["images"]]
        if kind == "discrimination":
            return int(np.argmax([shown[0].get(choice, 0.0) for choice in trial["choices"]]))
        if kind == "trust":
            label = _named(question, "{label}", trial["question"])
            left, right = (one.get(label, 0.0) for one in shown)
            return 2 - self.taste.answer(left, right)
        clear = [max(one.values()) for one in shown]
        if kind == "distinction":
            return int(np.argmax(clear))
        return sum(clear[0] < limit for limit in SURE)


def _named(template: str, gap: str, text: str) -> str:
    """What stands in a text where its template has a gap."""
    before, _, after = template.partition(gap)
    return text.removeprefix(before).removesuffix(after)


def simulated(seen: Tensor, labels: Sequence[str], count: int, seed: int) -> list[Simulated]:
    """Raters, each with a sample and a taste of his own."""
    return [
        Simulated(taught(seen, labels, seed * 1000 + number), taste) for number, taste in enumerate(raters(count, seed))
    ]
