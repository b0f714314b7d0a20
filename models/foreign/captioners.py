"""The captioners of others as networks: what they compute, under the names of ours."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..encoder import Features
from ..photo import Pooled
from ..speaker import Parts, Speaker


class Maxout(nn.Module):
    """An LSTM cell whose candidate is the greater of two; gates in the order input, forget, output."""

    def __init__(self, inputs: int, state: int) -> None:
        super().__init__()
        self.input, self.hidden = nn.Linear(inputs, 5 * state), nn.Linear(state, 5 * state)

    def forward(self, x: Tensor, state: Parts, more: Tensor | float = 0.0) -> Parts:
        """Input (R, inputs), h and c (R, state), and what is added to both candidates (R, 2·state) → h and c."""
        h, c = state
        sums = self.input(x) + self.hidden(h)
        gates, candidates = sums.split([3 * h.shape[1], 2 * h.shape[1]], dim=1)
        read, keep, show = gates.sigmoid().chunk(3, dim=1)
        first, second = (candidates + more).chunk(2, dim=1)
        c = keep * c + read * torch.maximum(first, second)
        return show * torch.tanh(c), c


class Foreign(Speaker):
    """What these captioners have in common: they know words that are not spelt in ASCII."""

    def encode(self, caption: str) -> list[int]:
        """The tokens of a caption, as in `Speaker.encode`; words are what stands between spaces and punctuation.

        Raises:
            ValueError: a word the captioner does not know, or no word at all.
        """
        words = re.findall(r"[^\s.,;:!?\"()]+", caption.lower())
        if words and all(word in self._token for word in words):
            return [self._token[word] for word in words]
        return super().encode(caption)


class ShowTell(Foreign):
    """Mean of the map → Linear → an LSTM's first input, then START and the words (ruotianluo's fc, newfc, show_tell).

    Args:
        vocabulary: the words it can say.
        features: from pictures to maps.
        word: width of the words' embedding and of the picture's.
        state: width of the LSTM.
        maxout: its candidate is the greater of two (fc, newfc), and it has biases.
        dropout: before the output, while training.
    """

    def __init__(
        self,
        vocabulary: Sequence[str],
        features: Features,
        *,
        word: int,
        state: int,
        maxout: bool,
        dropout: float = 0.5,
    ) -> None:
        super().__init__(vocabulary, dropout)
        self.encoder, self.preprocess = Pooled(features), features.preprocess
        self.picture = nn.Linear(self.encoder.width, word)
        self.embedding = nn.Embedding(len(self.vocabulary) + 1, word)
        self.cell: nn.Module = Maxout(word, state) if maxout else nn.LSTMCell(word, state, bias=False)
        self.output = nn.Linear(state, len(self.vocabulary) + 1)
        self.state = state

    @property
    def backbone(self) -> nn.Module:
        """The encoder."""
        return self.encoder

    @property
    def convolutions(self) -> Features:
        """The encoder up to its last map."""
        return self.encoder.features

    def look(self, seen: Tensor) -> Parts:
        """Mean of the map (N, units) → the LSTM's first input (N, word)."""
        return (self.picture(seen),)

    def begin(self, looked: Parts) -> Parts:
        """Let the LSTM read the picture: its h and c."""
        nothing = looked[0].new_zeros(len(looked[0]), self.state)
        state: Parts = self.cell(looked[0], (nothing, nothing))
        return state

    def step(self, looked: Parts, state: Parts, words: Tensor) -> tuple[Tensor, Parts]:
        """Read a word: h, and h and c."""
        state = self.cell(self.embedding(words), state)
        return state[0], state


@dataclass(frozen=True)
class Widths:
    """Of the words' embedding, the LSTM, and the space in which its state and the regions meet."""

    word: int
    state: int
    key: int


class Attending(Foreign):
    """A captioner with soft attention, whose step's state ends with that attention."""

    features: Features

    def even(self, regions: Tensor) -> Tensor:
        """The attention before anything is said (R, side²)."""
        return torch.full_like(regions[:, :, 0], 1 / regions.shape[1])

    def attention(self, x: Tensor, tokens: Tensor) -> dict[str, Tensor]:
        """Where it looked before it said each of the tokens (R, L): one map, "attention" (R, L, side, side)."""
        looked, side = self.look(self.see(x)), self.features.side
        steps = self.unroll(looked, tokens[:, :-1].clamp(0, len(self.vocabulary)))
        weights = torch.stack([state[-1] for _, state in steps], dim=1)
        return {"attention": torch.unflatten(weights, 2, (side, side))}


class AttendTell(Attending):
    """Show, Attend and Tell as sgrvinod built it: attention by ReLU, the next word from the LSTM's state alone.

    The attention follows Bahdanau et al. (arXiv:1409.0473) with a ReLU for the tanh; the gate β is section 4.2.1 of Xu
    et al.; h and c start from linear layers of the regions' mean.

    Args:
        vocabulary: the words it can say, marks such as "<pad>" included.
        features: from pictures to maps.
        widths: of embedding, LSTM and keys.
        dropout: before the output, while training.
    """

    def __init__(self, vocabulary: Sequence[str], features: Features, widths: Widths, *, dropout: float = 0.5) -> None:
        super().__init__(vocabulary, dropout)
        self.features, self.preprocess = features, features.preprocess
        units, word, state, key = features.units, widths.word, widths.state, widths.key
        self.key, self.query, self.energy = nn.Linear(units, key), nn.Linear(state, key), nn.Linear(key, 1)
        self.start_h, self.start_c = nn.Linear(units, state), nn.Linear(units, state)
        self.gate = nn.Linear(state, units)
        self.embedding = nn.Embedding(len(self.vocabulary) + 1, word)
        self.cell = nn.LSTMCell(word + units, state)
        self.output = nn.Linear(state, len(self.vocabulary) + 1)

    def look(self, seen: Tensor) -> Parts:
        """The map → its regions (N, side², units) and their keys (N, side², key)."""
        regions = seen.flatten(2).transpose(1, 2)
        return regions, self.key(regions)

    def begin(self, looked: Parts) -> Parts:
        """The LSTM's h and c from the mean of the regions, and an even attention."""
        mean = looked[0].mean(1)
        return self.start_h(mean), self.start_c(mean), self.even(looked[0])

    def step(self, looked: Parts, state: Parts, words: Tensor) -> tuple[Tensor, Parts]:
        """Look, read a word: h, and h, c and the attention (R, side²) of this step."""
        (regions, keys), (h, c, _) = looked, state
        attention = self.energy(torch.relu(keys + self.query(h)[:, None]))[:, :, 0].softmax(dim=1)
        context = torch.sigmoid(self.gate(h)) * torch.bmm(attention[:, None], regions)[:, 0]
        h, c = self.cell(torch.cat([self.embedding(words), context], dim=1), (h, c))
        return h, (h, c, attention)


class AttIn(Attending):
    """What is attended to enters the maxout LSTM's candidate alone (ruotianluo's att2in and att2in2).

    Args:
        vocabulary: the words it can say.
        features: from pictures to maps.
        widths: of embedding, LSTM and keys.
        embedded: words and regions pass a ReLU first, regions through a linear layer as wide as the state (att2in2).
        dropout: before the output, while training.
    """

    def __init__(
        self,
        vocabulary: Sequence[str],
        features: Features,
        widths: Widths,
        *,
        embedded: bool,
        dropout: float = 0.5,
    ) -> None:
        super().__init__(vocabulary, dropout)
        self.features, self.preprocess = features, features.preprocess
        word, state, key = widths.word, widths.state, widths.key
        units = state if embedded else features.units
        self.region: nn.Module = nn.Linear(features.units, units) if embedded else nn.Identity()
        self.read: nn.Module = nn.ReLU() if embedded else nn.Identity()
        self.key, self.query, self.energy = nn.Linear(units, key), nn.Linear(state, key), nn.Linear(key, 1)
        self.embedding = nn.Embedding(len(self.vocabulary) + 1, word)
        self.cell, self.context = Maxout(word, state), nn.Linear(units, 2 * state)
        self.output = nn.Linear(state, len(self.vocabulary) + 1)
        self.state = state

    def look(self, seen: Tensor) -> Parts:
        """The map → its regions (N, side², units or state) and their keys (N, side², key)."""
        regions = self.read(self.region(seen.flatten(2).transpose(1, 2)))
        return regions, self.key(regions)

    def begin(self, looked: Parts) -> Parts:
        """The LSTM's h and c, both zero, and an even attention."""
        nothing = looked[0].new_zeros(len(looked[0]), self.state)
        return nothing, nothing, self.even(looked[0])

    def step(self, looked: Parts, state: Parts, words: Tensor) -> tuple[Tensor, Parts]:
        """Look, read a word: h, and h, c and the attention (R, side²) of this step."""
        (regions, keys), (h, c, _) = looked, state
        attention = self.energy(torch.tanh(keys + self.query(h)[:, None]))[:, :, 0].softmax(dim=1)
        context = torch.bmm(attention[:, None], regions)[:, 0]
        h, c = self.cell(self.read(self.embedding(words)), (h, c), self.context(context))
        return h, (h, c, attention)
