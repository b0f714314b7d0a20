"""`vignette-show-attend-tell`: a caption whose every word looks at the picture anew (Xu et al. 2015, arXiv:1502.03044).

Soft attention: before each word the LSTM's state weighs the regions of the encoder's last map (section 3.1.2 and
4.2), a gate β says how much the picture counts for this word (section 4.2.1), and the word follows from the state,
the word before and what was seen (equation 7). The published doubly stochastic penalty is left out. A region's key has
a bias of its own, so that the attention can also say where, which maps of small pictures tell badly.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from .encoder import Features, features
from .speaker import Parts, Speaker, remember


class ShowAttendTell(Speaker):
    """Encoder's map → additive attention ⇄ LSTM → logits over END and the vocabulary.

    Args:
        vocabulary: the words it can say.
        state: width of the LSTM.
        word: width of the words' embedding.
        key: width of the space in which state and regions meet.
        region: numbers that each region is first turned into, by a linear layer and a ReLU; default as it comes. The
            maps of encoders for photographs are wider than what a caption needs of them.
        dropout: on regions, words and before the output, while training.
        encoder: from pictures to maps; default the bundled models' own.
    """

    def __init__(
        self,
        vocabulary: Sequence[str],
        *,
        state: int = 384,
        word: int = 192,
        key: int = 128,
        region: int | None = None,
        dropout: float = 0.0,
        encoder: Features | None = None,
    ) -> None:
        super().__init__(vocabulary, dropout)
        self.features = features() if encoder is None else encoder
        self.preprocess = self.features.preprocess
        units, self.side = self.features.units, self.features.side
        self.region = nn.Identity() if region is None else nn.Sequential(nn.Linear(units, region), nn.ReLU())
        units = units if region is None else region
        self.key = nn.Linear(units, key)
        self.place = nn.Parameter(torch.zeros(self.side**2, key))
        self.query = nn.Linear(state, key, bias=False)
        self.energy = nn.Linear(key, 1, bias=False)
        self.start_h, self.start_c = nn.Linear(units, state), nn.Linear(units, state)
        self.gate = nn.Linear(state, units)
        self.embedding = nn.Embedding(len(self.vocabulary) + 1, word)
        self.cell = nn.LSTMCell(word + units, state)  # a cell, since cuDNN's LSTM has no backward in eval mode
        remember(self.cell)
        self.said, self.seen = nn.Linear(word, state, bias=False), nn.Linear(units, state, bias=False)
        self.output = nn.Linear(state, len(self.vocabulary) + 1)

    def look(self, seen: Tensor) -> Parts:
        """The map → its regions (N, side², units or `region`) and their keys (N, side², key)."""
        regions = self.dropout(self.region(seen.flatten(2).transpose(1, 2)))
        return regions, self.key(regions) + self.place

    def begin(self, looked: Parts) -> Parts:
        """The LSTM's h and c from the mean of the regions, and an even attention."""
        regions = looked[0]
        mean = regions.mean(1)
        even = torch.full_like(regions[:, :, 0], 1 / regions.shape[1])
        return torch.tanh(self.start_h(mean)), torch.tanh(self.start_c(mean)), even

    def step(self, looked: Parts, state: Parts, words: Tensor) -> tuple[Tensor, Parts]:
        """Look, read a word: what the next one follows from, and h, c and the attention (R, side²) of this step."""
        (regions, keys), (h, c, _) = looked, state
        attention = self.energy(torch.tanh(keys + self.query(h)[:, None]))[:, :, 0].softmax(dim=1)
        context = torch.bmm(attention[:, None].to(regions.dtype), regions)[:, 0]
        context = torch.sigmoid(self.gate(h)) * context
        embedded = self.dropout(self.embedding(words))
        h, c = self.cell(torch.cat([embedded, context], dim=1), (h, c))
        return h + self.said(embedded) + self.seen(context), (h, c, attention)

    def attention(self, x: Tensor, tokens: Tensor) -> dict[str, Tensor]:
        """Where it looked before it said each of the tokens (R, L): one map, "attention" (R, L, side, side)."""
        looked = self.look(self.see(x))
        steps = self.unroll(looked, tokens[:, :-1].clamp(0, len(self.vocabulary)))
        weights = torch.stack([state[2] for _, state in steps], dim=1)
        return {"attention": torch.unflatten(weights, 2, (self.side, self.side))}
