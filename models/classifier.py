"""`vignette-classifier`: which kinds of things are in a picture and on which scene, several at once."""

from collections.abc import Sequence

from torch import Tensor, nn

from .encoder import PREPROCESS, Encoder


class Classifier(nn.Module):
    """A multi-label classifier: the encoder and one linear layer; the sigmoid of a logit is the class's probability."""

    class_probabilities = "sigmoid"

    def __init__(self, classes: Sequence[str]) -> None:
        super().__init__()
        self.preprocess = PREPROCESS
        self.classes = tuple(classes)
        self.encoder = Encoder()
        self.output = nn.Linear(self.encoder.width, len(self.classes))

    def forward(self, x: Tensor) -> Tensor:
        """Pictures (N, 3, 224, 224) → logits (N, classes)."""
        logits: Tensor = self.output(self.encoder(x))
        return logits
