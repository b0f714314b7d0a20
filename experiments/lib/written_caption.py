"""A caption that is written and explained, and a further word of it: how often the encoder runs, in time."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor

import mmcam
from experiments.lib.contestants import WORDS, Captioner, Run, Setting, pictures, plain
from experiments.lib.settled import settle


class Writer(Captioner):
    """The same with what mmcam asks of a captioner; it writes the likeliest word each time, `WORDS` of them."""

    picture_encoder: str | None = "encoder"

    def next_words(self, picture: Tensor, tokens: Tensor) -> Tensor:
        """Log-probabilities (R, L, V) of each next word, the first one's from the picture (R, width) alone."""
        states, _ = self.lstm(torch.cat([picture[:, None], self.embedding(tokens)], 1))
        return self.output(states).log_softmax(-1)

    def see(self, x: Tensor) -> Tensor:
        """Pictures → (N, width)."""
        return self.picture(self.encoder(x).mean((2, 3)))

    def generate(self, x: Tensor) -> list[list[int]]:
        """A caption for each picture."""
        picture, tokens = self.see(x), torch.zeros(len(x), 0, dtype=torch.long, device=x.device)
        for _ in range(WORDS):
            tokens = torch.cat([tokens, self.next_words(picture, tokens)[:, -1:].argmax(-1)], 1)
        return tokens.tolist()

    def token_log_probs(self, x: Tensor, tokens: Tensor) -> Tensor:
        """Log-probabilities (R, L) of the tokens (R, L)."""
        return self.next_words(self.see(x), tokens[:, :-1]).gather(-1, tokens[..., None])[..., 0]

    def encode(self, caption: str) -> list[int]:
        """The tokens of a caption of numbers."""
        return [int(word) for word in caption.split()]

    def words(self, tokens: Sequence[int]) -> list[tuple[str, list[int]]]:
        """A number for each."""
        return [(str(token), [place]) for place, token in enumerate(tokens)]


def written_task(setting: Setting) -> dict[str, Run]:
    """A caption is written and each of its words explained; and of a picture that was looked at, one more word.

    "twice" is the same where the model does not say what its encoder is: once to write, once to explain. "The least" is
    what it could cost: the caption written, and one pass back through the decoder, of one row, or of one for each word.
    """
    torch.manual_seed(0)
    model = Writer()
    settle(model.encoder, torch.randn(4, 3, 64, 64))
    model.eval().to(setting.device)
    x, layer = pictures(1, setting), "encoder.7"
    apart = copy.copy(model)
    apart.picture_encoder = None
    seen = mmcam.look(model, x[0], layer=layer)
    with torch.no_grad():
        encoded, caption = model.encoder(x), " ".join(map(str, model.generate(x)[0]))

    def least(rows: int) -> None:
        with torch.no_grad():
            tokens = torch.tensor(model.generate(x), device=x.device).expand(rows, -1)
        features = torch.cat([encoded] * rows).requires_grad_()
        with torch.backends.cudnn.flags(enabled=False):
            words = model.next_words(model.picture(features.mean((2, 3))), tokens[:, :-1])
        torch.autograd.grad(words.gather(-1, tokens[..., None]).sum(), features)

    def maps(captioner: Writer) -> Tensor:
        return torch.stack([exp.values for exp in mmcam.explain_caption(captioner, x[0], layer=layer)])

    return {
        "forward": plain(model.encoder, x),
        "forward and a caption": plain(model.generate, x),
        "the least": lambda: least(1),
        "the least, each word": lambda: least(WORDS),
        "mmcam": lambda: maps(model),
        "twice": lambda: maps(apart),
        "mmcam, a further word": lambda: mmcam.explain_caption(model, seen, 3, caption=caption, layer=layer).values,
    }
