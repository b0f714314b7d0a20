"""`vignette-captioner`: a caption from a picture, as neuraltalk2 does it (Karpathy & Fei-Fei 2015, arXiv:1412.2306).

The picture's vector is the LSTM's first input, the START token its second, then the words. There is no attention:
whatever a word needs to know about the picture went through the one vector.
"""

from collections.abc import Sequence

from torch import Tensor, nn

from .encoder import PREPROCESS, Encoder, Features
from .photo import Pooled
from .speaker import Parts, Speaker, remember


class Captioner(Speaker):
    """Encoder → Linear → ReLU → LSTM → logits over END and the vocabulary.

    Args:
        vocabulary: the words it can say.
        state: width of the LSTM and of the words' embedding.
        dropout: on words and before the output, while training.
        encoder: from pictures to vectors of its `width`; default the bundled models' own.
    """

    def __init__(
        self,
        vocabulary: Sequence[str],
        *,
        state: int = 512,
        dropout: float = 0.0,
        encoder: Encoder | Pooled | None = None,
    ) -> None:
        super().__init__(vocabulary, dropout)
        self.encoder = Encoder() if encoder is None else encoder
        self.preprocess = getattr(self.encoder, "preprocess", PREPROCESS)
        self.picture = nn.Sequential(nn.Linear(self.encoder.width, state), nn.ReLU())
        self.embedding = nn.Embedding(len(self.vocabulary) + 1, state)
        self.cell = nn.LSTMCell(state, state)  # a cell, since cuDNN's LSTM has no backward in eval mode
        remember(self.cell)
        self.output = nn.Linear(state, len(self.vocabulary) + 1)

    @property
    def backbone(self) -> nn.Module:
        """The encoder."""
        return self.encoder

    @property
    def convolutions(self) -> Features:
        """The encoder up to its last map."""
        return self.encoder.features

    def look(self, seen: Tensor) -> Parts:
        """Fc7 (N, width) → the LSTM's first input (N, state)."""
        return (self.picture(seen),)

    def begin(self, looked: Parts) -> Parts:
        """Let the LSTM read the picture: its h and c."""
        state: Parts = self.cell(looked[0])
        return state

    def step(self, looked: Parts, state: Parts, words: Tensor) -> tuple[Tensor, Parts]:
        """Read a word: h, and h and c."""
        state = self.cell(self.dropout(self.embedding(words)), state)
        return state[0], state
