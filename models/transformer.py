"""`vignette-transformer-captioner`: a small transformer decoder on the map of a CNN.

Every layer reads the words so far and then the regions of the encoder's last map (Vaswani et al. 2017,
arXiv:1706.03762; normalisation first, as in Xiong et al. 2020, arXiv:2002.04745). For captions of pictures see Herdade
et al. 2019 (arXiv:1906.05963) and Cornia et al. 2020 (arXiv:1912.08226).
"""

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from .encoder import Features, features
from .speaker import LONGEST, Parts, Speaker, beside

PLACES = 40  # of words; more than `LONGEST`, for captions that people write


class Attention(nn.Module):
    """Multi-head attention of queries to keys and values that were projected before."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.out = nn.Linear(width, width), nn.Linear(width, width)
        self.key_value = nn.Linear(width, 2 * width)

    def read(self, memory: Tensor) -> Parts:
        """Keys and values (R, heads, M, width / heads) of what can be looked at (R, M, width)."""
        keys, values = self.key_value(memory).unflatten(2, (2, self.heads, -1)).permute(2, 0, 3, 1, 4).unbind(0)
        return keys, values

    def forward(self, x: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Queries from (R, L, width) → (R, L, width), and the attention (R, heads, L, M); `mask` bars where true."""
        queries = self.query(x).unflatten(2, (self.heads, -1)).transpose(1, 2)
        energy = queries @ keys.transpose(2, 3) * queries.shape[3] ** -0.5
        weights = (energy if mask is None else energy.masked_fill(mask, -torch.inf)).softmax(dim=3)
        return self.out((weights.to(values.dtype) @ values).transpose(1, 2).flatten(2)), weights


class Layer(nn.Module):
    """Attention to the words so far, attention to the picture, and two linear layers with a ReLU between."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.words, self.picture = Attention(width, heads), Attention(width, heads)
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(3))
        self.think = nn.Sequential(nn.Linear(width, 4 * width), nn.ReLU(), nn.Linear(4 * width, width))

    def forward(self, x: Tensor, keys: Tensor, values: Tensor, future: Tensor) -> tuple[Tensor, Tensor]:
        """Words (R, L, width) → the same, changed, and their attention to the picture (R, heads, L, M)."""
        normed = self.norms[0](x)
        x = x + self.words(normed, *self.words.read(normed), future)[0]
        seen, attention = self.picture(self.norms[1](x), keys, values)
        x = x + seen
        return x + self.think(self.norms[2](x)), attention


class TransformerCaptioner(Speaker):
    """Encoder's map → linear with a bias for every place → decoder layers → logits over END and the vocabulary.

    Args:
        vocabulary: the words it can say.
        width: of every vector in the decoder.
        heads: of its attentions.
        layers: of the decoder.
        dropout: on words and before the output, while training.
        encoder: from pictures to maps; default the bundled models' own.
    """

    def __init__(
        self,
        vocabulary: Sequence[str],
        *,
        width: int = 192,
        heads: int = 4,
        layers: int = 3,
        dropout: float = 0.0,
        encoder: Features | None = None,
    ) -> None:
        super().__init__(vocabulary, dropout)
        self.longest = PLACES - 1  # tokens of a caption: START has a place, too
        self.features = features() if encoder is None else encoder
        self.preprocess = self.features.preprocess
        units, self.side = self.features.units, self.features.side
        self.region = nn.Sequential(nn.Linear(units, width), nn.LayerNorm(width))
        self.place = nn.Parameter(torch.randn(self.side**2, width) * 0.02)
        self.embedding = nn.Embedding(len(self.vocabulary) + 1, width)
        self.position = nn.Parameter(torch.randn(PLACES, width) * 0.02)
        nn.init.normal_(self.embedding.weight, std=width**-0.5)
        self.layers = nn.ModuleList(Layer(width, heads) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.output = nn.Linear(width, len(self.vocabulary) + 1)

    def look(self, seen: Tensor) -> Parts:
        """The map → keys and values of its regions for each layer, (N, heads, side², width / heads) each."""
        memory = self.region(seen.flatten(2).transpose(1, 2)) + self.place
        return tuple(part for layer in self.layers for part in cast(Layer, layer).picture.read(memory))

    def read(self, looked: Parts, tokens: Tensor) -> tuple[Tensor, list[Tensor]]:
        """START and tokens (R, L) → (R, L + 1, width), and each layer's attention (R, heads, L + 1, side²)."""
        length = tokens.shape[1] + 1
        if length > PLACES:
            raise ValueError(f"This captioner reads captions of up to {PLACES} words; this one is longer: shorten it.")
        x = self.dropout(self.embedding(nn.functional.pad(tokens, (1, 0), value=0)) + self.position[:length])
        future = torch.ones(length, length, dtype=torch.bool, device=tokens.device).triu(1)
        attentions = []
        for i, layer in enumerate(self.layers):
            x, attention = layer(x, looked[2 * i], looked[2 * i + 1], future)
            attentions.append(attention)
        return self.norm(x), attentions

    def decode(self, looked: Parts, tokens: Tensor) -> Tensor:
        """All words at once; see `Speaker.decode`."""
        logits: Tensor = self.output(self.dropout(self.read(beside(looked, tokens), tokens)[0]))
        return logits

    def hidden(self, looked: Parts, tokens: Tensor, lengths: Tensor) -> Tensor:
        """All words of a caption at once, captions of about one length together; see `Speaker.hidden`."""
        found = []
        for rows in torch.arange(len(tokens), device=tokens.device).chunk(4):
            longest = int(lengths[rows[0]])
            read = self.read(tuple(part[rows] for part in looked), tokens[rows, :longest])[0]
            found.append(nn.functional.pad(read, (0, 0, 0, int(lengths[0]) - longest)))
        running = torch.arange(int(lengths[0]) + 1, device=tokens.device)[:, None] <= lengths
        return torch.cat(found).transpose(0, 1)[running]

    def begin(self, looked: Parts) -> Parts:
        """No token has been read: (R, 0)."""
        return (torch.zeros(len(looked[0]), 0, dtype=torch.long, device=looked[0].device),)

    def step(self, looked: Parts, state: Parts, words: Tensor) -> tuple[Tensor, Parts]:
        """Read all words again with one more; captions are short. The state is the tokens so far, START first."""
        tokens = torch.cat([state[0], words[:, None]], dim=1)
        return self.read(looked, tokens[:, 1:])[0][:, -1], (tokens,)

    def attention(self, x: Tensor, tokens: Tensor) -> dict[str, Tensor]:
        """Where it looked before each of the tokens (R, L): (R, L, side, side) of every layer, heads averaged."""
        looked = beside(self.look(self.see(x)), tokens)
        _, attentions = self.read(looked, tokens[:, :-1].clamp(0, len(self.vocabulary)))
        return {
            f"layer {i}": torch.unflatten(attention.mean(1), 2, (self.side, self.side))
            for i, attention in enumerate(attentions, start=1)
        }


assert PLACES > LONGEST
