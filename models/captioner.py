"""`vignette-captioner`: a caption from a picture, as neuraltalk2 does it (Karpathy & Fei-Fei 2015, arXiv:1412.2306).

The picture's vector is the LSTM's first input, the START token its second, then the words. There is no attention:
whatever a word needs to know about the picture went through the one vector. Token 0 is START and END alike, token
`i + 1` is `vocabulary[i]`.
"""

import difflib
import re
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from models.encoder import PREPROCESS, Encoder

LONGEST = 18  # tokens of a generated caption
BEAM = 2  # captions kept while one is generated, as neuraltalk2 does when it is evaluated
END = 0


def remember(cell: nn.LSTMCell) -> None:
    """Let parts of the cell forget slowly at first, some hardly at all: what it read first counts to the end."""
    gates = slice(cell.hidden_size, 2 * cell.hidden_size)  # input, forget, cell, output
    with torch.no_grad():
        cell.bias_ih[gates] = torch.linspace(1.0, 6.0, cell.hidden_size)


class Captioner(nn.Module):
    """Encoder → Linear → ReLU → LSTM → logits over END and the vocabulary."""

    def __init__(self, vocabulary: Sequence[str], *, state: int = 512) -> None:
        super().__init__()
        self.preprocess = PREPROCESS
        self.vocabulary = tuple(vocabulary)
        self.encoder = Encoder()
        self.picture = nn.Sequential(nn.Linear(self.encoder.width, state), nn.ReLU())
        self.embedding = nn.Embedding(len(self.vocabulary) + 1, state)
        self.cell = nn.LSTMCell(state, state)  # a cell, since cuDNN's LSTM has no backward in eval mode
        remember(self.cell)
        self.output = nn.Linear(state, len(self.vocabulary) + 1)
        self._token = {word: token for token, word in enumerate(self.vocabulary, start=1)}

    def forward(self, x: Tensor, tokens: Tensor) -> Tensor:
        """Pictures (N, 3, 224, 224) and the tokens so far (R, L) → logits (R, L + 1, V + 1) of each next token.

        Row `[:, t]` is the distribution of token t, given the picture and the tokens before it. R is the number of
        rows the encoder gave: N, unless a caller multiplied the rows inside it.
        """
        return self.decode(self.encoder(x), tokens)

    def decode(self, picture: Tensor, tokens: Tensor) -> Tensor:
        """`forward` from the encoder's vectors (R, fc7) on; one picture serves any number of rows."""
        if len(picture) == 1:
            picture = picture.expand(len(tokens), -1)
        if len(picture) != len(tokens):
            raise ValueError(
                f"{len(tokens)} captions cannot be read beside {len(picture)} encoded pictures: give one each."
            )
        state = self.cell(self.picture(picture))
        hidden = []
        for words in (tokens.new_full((len(tokens),), END), *tokens.unbind(dim=1)):
            state = self.cell(self.embedding(words), state)
            hidden.append(state[0])
        return self.output(torch.stack(hidden, dim=1))

    def token_log_probs(self, x: Tensor, tokens: Tensor) -> Tensor:
        """Log p(token_t | picture, tokens before t), (R, L), of the captions `tokens` (R, L) read beside `x`.

        Padding may hold any number: it changes no log-probability before it, and its own column means nothing.
        """
        tokens = tokens.clamp(0, len(self.vocabulary))
        logits = self(x, tokens[:, :-1])
        return logits.log_softmax(dim=2).gather(2, tokens[:, :, None])[:, :, 0]

    @torch.no_grad()
    def generate(self, x: Tensor, beam: int = BEAM) -> list[list[int]]:
        """A caption for each of the pictures (N, 3, 224, 224): tokens, END left out, at most `LONGEST`.

        Beam search: of all captions begun, the `beam` likeliest are carried on, and the one of the highest summed
        log-probability, END included, is returned. `beam=1` takes the likeliest word each time.
        """
        return self.search(self.encoder(x), beam)

    def search(self, fc7: Tensor, beam: int = BEAM) -> list[list[int]]:
        """`generate` from the encoder's vectors (N, fc7) on, all pictures together."""
        n, words = len(fc7), len(self.vocabulary) + 1
        h, c = self.cell(self.picture(fc7))
        captions = fc7.new_zeros(n, 1, 1, dtype=torch.long)  # (N, beam, tokens so far), START first
        scores = fc7.new_zeros(n, 1)  # -inf where a caption has ended
        best: list[list[int]] = [[] for _ in range(n)]
        best_scores = fc7.new_full((n,), -torch.inf)
        for _ in range(LONGEST):
            h, c = self.cell(self.embedding(captions[:, :, -1].flatten()), (h, c))
            log_probs = self.output(h).log_softmax(dim=1).view(n, -1, words)
            totals = (scores[:, :, None] + log_probs).flatten(1)
            scores, flat = totals.topk(min(beam, totals.shape[1]))
            parents, tokens = flat // words, flat % words
            rows = (torch.arange(n, device=fc7.device)[:, None] * captions.shape[1] + parents).flatten()
            captions = torch.cat([captions.flatten(0, 1)[rows].view(n, -1, captions.shape[2]), tokens[:, :, None]], 2)
            h, c = h[rows], c[rows]
            ended = tokens == END
            finished = scores.masked_fill(~ended, -torch.inf)
            for i in (finished.amax(1) > best_scores).nonzero()[:, 0].tolist():
                place = int(finished[i].argmax())
                best[i], best_scores[i] = captions[i, place, 1:-1].tolist(), finished[i, place]
            scores = scores.masked_fill(ended, -torch.inf)
            if (scores.amax(1) <= best_scores).all():  # they only fall from here
                break
        longest = captions[:, 0, 1:].tolist()  # for a picture none of whose captions came to an end
        return [best[i] if best_scores[i] > -torch.inf else longest[i] for i in range(n)]

    def encode(self, caption: str) -> list[int]:
        """The tokens of a caption, without START and END; case and punctuation do not matter."""
        tokens = []
        for word in re.findall(r"[a-z0-9'-]+", caption.lower()):
            if word not in self._token:
                near = difflib.get_close_matches(word, self.vocabulary, n=3, cutoff=0.0)
                raise ValueError(
                    f"The captioner does not know the word {word!r}; its nearest words are {', '.join(near)}."
                )
            tokens.append(self._token[word])
        if not tokens:
            raise ValueError(f"The caption {caption!r} holds no word.")
        return tokens

    def words(self, tokens: Sequence[int]) -> list[tuple[str, list[int]]]:
        """The words that tokens spell, each with the positions of its tokens (here one a word); END is no word."""
        return [(self.vocabulary[token - 1], [i]) for i, token in enumerate(tokens) if token != END]

    def spell(self, tokens: Sequence[int]) -> str:
        """The caption as text."""
        return " ".join(word for word, _ in self.words(tokens))
