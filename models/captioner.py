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
END = 0


def remember(cell: nn.LSTMCell) -> None:
    """Let the cell forget little at first, so that what it read first still counts at the end of a sentence."""
    nn.init.constant_(cell.bias_ih[cell.hidden_size : 2 * cell.hidden_size], 2.0)  # gates: input, forget, cell, output


class Captioner(nn.Module):
    """Encoder → Linear → ReLU → LSTM → logits over END and the vocabulary."""

    def __init__(self, vocabulary: Sequence[str], *, state: int = 512, dropout: float = 0.5) -> None:
        super().__init__()
        self.preprocess = PREPROCESS
        self.vocabulary = tuple(vocabulary)
        self.encoder = Encoder()
        self.picture = nn.Sequential(nn.Linear(self.encoder.width, state), nn.ReLU())
        self.embedding = nn.Embedding(len(self.vocabulary) + 1, state)
        self.cell = nn.LSTMCell(state, state)  # a cell, since cuDNN's LSTM has no backward in eval mode
        remember(self.cell)
        self.dropout = nn.Dropout(dropout)
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
        for words in (torch.zeros_like(tokens[:, :1]), *tokens.split(1, dim=1)):
            state = self.cell(self.embedding(words[:, 0]), state)
            hidden.append(state[0])
        return self.output(self.dropout(torch.stack(hidden, dim=1)))

    def token_log_probs(self, x: Tensor, tokens: Tensor) -> Tensor:
        """Log p(token_t | picture, tokens before t), (R, L), of the captions `tokens` (R, L) read beside `x`.

        Padding may hold any number: it changes no log-probability before it, and its own column means nothing.
        """
        tokens = tokens.clamp(0, len(self.vocabulary))
        logits = self(x, tokens[:, :-1])
        return logits.log_softmax(dim=2).gather(2, tokens[:, :, None])[:, :, 0]

    @torch.no_grad()
    def generate(self, x: Tensor, beam: int = 1) -> list[list[int]]:
        """A caption for each of the pictures (N, 3, 224, 224): tokens, END left out, at most `LONGEST`.

        `beam=1` takes the likeliest word each time; a wider beam keeps that many captions and returns the likeliest.
        """
        pictures = self.picture(self.encoder(x))
        return self._greedy(pictures) if beam == 1 else [self._search(picture, beam) for picture in pictures.split(1)]

    def _greedy(self, pictures: Tensor) -> list[list[int]]:
        """The likeliest word each time, for all pictures (N, state) together."""
        state = self.cell(pictures)
        said = [torch.full((len(pictures),), END, device=pictures.device)]
        for _ in range(LONGEST):
            state = self.cell(self.embedding(said[-1]), state)
            said.append(self.output(state[0]).argmax(dim=1))
        rows = [[*row, END] for row in torch.stack(said[1:], dim=1).tolist()]
        return [row[: row.index(END)] for row in rows]

    def _search(self, picture: Tensor, beam: int) -> list[int]:
        """Beam search for one picture (1, state): the caption of the highest summed log-probability, END included."""
        h, c = self.cell(picture)
        captions: list[list[int]] = [[]]
        scores = picture.new_zeros(1)
        best, best_score = None, -float("inf")
        for _ in range(LONGEST):
            last = torch.tensor([caption[-1] if caption else END for caption in captions], device=picture.device)
            h, c = self.cell(self.embedding(last), (h, c))
            totals = scores[:, None] + self.output(h).log_softmax(dim=1)  # (captions, V + 1)
            scores, flat = totals.flatten().topk(min(beam, totals.numel()))
            rows, tokens = flat // totals.shape[1], flat % totals.shape[1]
            ended = tokens == END
            if ended.any() and scores[ended][0] > best_score:
                best, best_score = captions[int(rows[ended][0])], float(scores[ended][0])
            if ended.all() or float(scores[~ended][0]) <= best_score:  # scores only fall from here
                break
            rows, scores = rows[~ended], scores[~ended]
            captions = [
                [*captions[row], token] for row, token in zip(rows.tolist(), tokens[~ended].tolist(), strict=True)
            ]
            h, c = h[rows], c[rows]
        return captions[0] if best is None else best

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
