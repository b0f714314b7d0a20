"""`photo-classifier`: which of ImageNet's 1,000 classes a photograph shows; EfficientNet-Lite as it was published."""

from torch import Tensor, nn

from .efficientnet_lite import efficientnet_lite, preprocess_of
from .imagenet import imagenet_names


class PhotoClassifier(nn.Module):
    """timm's network, with the preparation of its pictures and the names of its classes.

    Attributes:
        classes, synonyms, hypernyms: see `models.imagenet.ClassNames`.
        class_probabilities: a softmax of the logits.
    """

    class_probabilities = "softmax"

    def __init__(self, name: str = "efficientnet_lite0") -> None:
        super().__init__()
        self.preprocess = preprocess_of(name)
        names = imagenet_names()
        self.classes, self.synonyms, self.hypernyms = names.classes, names.synonyms, names.hypernyms
        self.network = efficientnet_lite(name)

    def forward(self, x: Tensor) -> Tensor:
        """Pictures (N, 3, 224, 224) → logits (N, 1000)."""
        logits: Tensor = self.network(x)
        return logits
