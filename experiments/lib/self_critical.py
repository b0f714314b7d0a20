"""Self-critical training: a captioner learns from the scores of captions that it draws itself.

Rennie et al. 2017 (arXiv:1612.00563): the gradient of the expected score is that of the captions' log-probability times
their score less a baseline. The baseline of a caption is the mean score of the others drawn for the same picture (Luo
2020, arXiv:2003.09971), so no further caption has to be searched for it.

Words are drawn from probabilities that a temperature below one has sharpened, and these are what learns. A model that
was trained on smoothed labels owes a tenth of every word to words that fit nothing: captions drawn from its plain
probabilities are rewarded for ending early, before such a word comes, and it learns to stop in mid-sentence.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from experiments.lib.cider_reward import CiderReward
from models import Speaker
from models.speaker import END, LONGEST, UNKNOWN, Parts


@torch.no_grad()
def drawn(model: Speaker, looked: Parts, temperature: float = 1.0) -> Tensor:
    """A caption for each row of `looked`, every word drawn by its probability: tokens (R, L), filled up with END."""
    rows = len(looked[0])
    words = torch.full((rows,), END, dtype=torch.long)
    state, captions, running = model.begin(looked), [], torch.ones(rows, dtype=torch.bool)
    for _ in range(LONGEST):
        hidden, state = model.step(looked, state, words)
        chances = log_chances(model, model.output(hidden), temperature).exp()
        words = torch.multinomial(chances, 1)[:, 0].masked_fill(~running, END)
        captions.append(words)
        running &= words.ne(END)
        if not running.any():
            break
    return torch.stack(captions, dim=1)


def log_chances(model: Speaker, logits: Tensor, temperature: float) -> Tensor:
    """By what log-probabilities words (last axis) are drawn: sharpened, and never UNKNOWN."""
    if UNKNOWN in model.vocabulary:
        barred = torch.zeros(logits.shape[-1], dtype=torch.bool)
        barred[model.encode(UNKNOWN)[0]] = True
        logits = logits.masked_fill(barred, -torch.inf)
    return (logits.float() / temperature).log_softmax(-1)


def self_critical(
    model: Speaker,
    seen: Tensor,
    pictures: Sequence[int],
    reward: CiderReward,
    samples: int,
    temperature: float = 1.0,
) -> tuple[Tensor, Tensor]:
    """The loss whose gradient raises the expected reward, and the mean reward of the captions drawn.

    Args:
        model: in eval mode, so that it draws from what it learns.
        seen: what its encoder made of the pictures (N, …).
        pictures: their numbers in the reward's corpus.
        reward: of a caption of a picture.
        samples: captions drawn for each, two or more.
        temperature: what logits are divided by before a word is drawn.
    """
    looked = tuple(part.repeat_interleave(samples, 0) for part in model.look(seen))
    tokens = drawn(model, tuple(part.detach() for part in looked), temperature)
    texts = [model.spell(row).split() for row in tokens.tolist()]
    scores = torch.tensor([reward(text, pictures[i // samples]) for i, text in enumerate(texts)])
    own = scores.view(-1, samples)
    baseline = (own.sum(1, keepdim=True) - own) / (samples - 1)
    gains = (own - baseline).flatten()
    counts = torch.arange(tokens.shape[1]) <= tokens.ne(END).sum(1, keepdim=True)  # the words and one END
    log_probs = log_chances(model, model.decode(looked, tokens[:, :-1]), temperature)
    log_probs = log_probs.gather(2, tokens[:, :, None])[:, :, 0]
    return -(gains * (log_probs * counts).sum(1)).mean(), scores.mean()
