"""The question side of a VQA model learns alone, before its encoder does: one reading of a question, many answers."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from experiments.lib.precision import autocast
from experiments.lib.training import Log, descend, learning_rate, loaded, optimiser_of
from models import VQA
from models.answerer import PAD, UNKNOWN

TOGETHER = 24  # pictures a question is put to at once while the question side learns alone
FORGET = 0.01  # share of the words replaced by UNKNOWN, so that an unknown word does no harm


def learn_alone(
    model: VQA,
    fc7: Tensor,
    tokens: np.ndarray,
    answers: np.ndarray,
    owners: np.ndarray,
    epochs: int,
    rate: float,
    decay: float,
    seed: int,
    log: Log,
) -> None:
    """Train all but the encoder on the vectors `fc7` of the pictures; question q was asked of picture `owners[q]`."""
    rest = nn.ModuleList([part for name, part in model.named_children() if name != "encoder"])
    optimiser = optimiser_of(rest, decay)
    texts, of_text = np.unique(tokens, axis=0, return_inverse=True)
    of_text, lengths = of_text.ravel(), (texts != PAD).sum(1)
    plans = []
    for epoch in range(epochs):
        rng = np.random.default_rng((seed, epoch, 2))
        shuffled = rng.permutation(len(of_text))
        order = shuffled[of_text[shuffled].argsort(kind="stable")]  # by text, in random order within
        first = np.r_[True, np.diff(of_text[order]) > 0]
        place = np.arange(len(order)) - np.flatnonzero(first)[first.cumsum() - 1]
        groups = np.split(order, np.flatnonzero(place % TOGETHER == 0)[1:])
        shuffle = rng.permutation(len(groups))
        plans += [[groups[i] for i in part] for part in np.split(shuffle, range(256, len(groups), 256))]

    def batch_of(step: int) -> tuple[Tensor, ...]:
        groups = plans[step]
        chosen = np.concatenate(groups)
        heads = of_text[[group[0] for group in groups]]
        of_group = np.repeat(np.arange(len(groups)), [len(group) for group in groups])
        rng, text = np.random.default_rng((seed, step, 3)), texts[heads].copy()
        text[(rng.random(text.shape) < FORGET) & (text != PAD)] = UNKNOWN
        tables = (text, lengths[heads], of_group, answers[chosen], owners[chosen])
        return tuple(torch.from_numpy(table.astype(np.int64)) for table in tables)

    for step, (text, length, of_group, answer, owner) in loaded(batch_of, 0, len(plans)):
        torch.manual_seed(seed + step)
        with autocast():
            (read,) = model.read(text, length)
            scores = model.answer(model.look(fc7[owner]), (read[of_group],))
        loss = F.cross_entropy(scores.float(), answer)
        descend(rest, optimiser, loss, learning_rate(step, len(plans), rate))
        log(step, alone=loss, right=(scores.argmax(1) == answer).float().mean())
