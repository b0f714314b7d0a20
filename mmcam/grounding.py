"""Does a word depend on the picture at all? Words a captioner says as well without it are likely made up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from mmcam.engine.as_found import as_found
from mmcam.engine.kept import begun
from mmcam.engine.modules import unwrap
from mmcam.errors import ExplainError
from mmcam.looked import batch_with, with_kept
from mmcam.preparation import batch_of
from mmcam.tasks import captioning
from mmcam.tasks.asked import one_each

# fmt: off
FUNCTION_WORDS = frozenset((
    "a", "an", "the", "this", "that", "these", "those", "some", "any", "each", "both", "there", "here", "it", "its",
    "they", "them", "their", "he", "she", "his", "her", "him", "we", "us", "our", "you", "your", "i", "my", "me",
    "who", "which", "what", "and", "or", "but", "nor", "so", "as", "if", "while", "of", "in", "on", "at", "by",
    "to", "for", "from", "with", "without", "into", "onto", "over", "under", "near", "is", "are", "was", "were",
    "be", "been", "being", "has", "have", "had", "do", "does", "did", "can", "will", "would", "not", "no",
))
# fmt: on
"""English words that claim nothing of a picture, so that a flag on them would say nothing."""


@dataclass(frozen=True)
class Grounding:
    """How much a word owes to the picture.

    Attributes:
        word: of the caption.
        position: in the caption, from 0.
        log_prob: log p(word | picture, words before), summed over its tokens.
        blind_log_prob: the same with blank pictures in its place.
        flagged: `drop` is below the threshold, and the word is none of `FUNCTION_WORDS`.
    """

    word: str
    position: int
    log_prob: float
    blind_log_prob: float
    flagged: bool

    @property
    def drop(self) -> float:
        """What the log-probability loses without the picture, in nats; about 0 for a word that was guessed."""
        return self.log_prob - self.blind_log_prob


@torch.inference_mode(False)
def grounding(
    model: Any,
    images: Any,
    caption: str | Sequence[str] | None = None,
    *,
    blank: Any = None,
    threshold: float = 0.5,
    preprocess: Any = None,
) -> Any:
    """How much of each word of a caption comes from the picture, and which words look made up.

    The drop of a word's log-probability when the picture is taken away is the pointwise mutual information of word and
    picture, given the words before (as used against hallucination by e.g. Favero et al., arXiv 2403.14003, and Xiao &
    Wang, arXiv 2103.15025).

    Args:
        model: a captioner (see `mmcam.Captioner`).
        images: a picture or a list of them (see `mmcam.image.prepare`), also ones that were looked at (`mmcam.look`).
        caption: one for all pictures or one each; default the one the model generates.
        blank: pictures that stand for none; the probabilities under them are averaged. Default one even picture of the
            mean colour. Pictures of the usual kind (say 8) tell better what is said whatever is seen.
        threshold: in nats; a word whose log-probability drops by less is flagged.
        preprocess: as in `explain_class`.

    Returns:
        A list with a Grounding for each word; a list of such lists for a list of pictures.

    Raises:
        ExplainError: the model is no captioner, or cannot say the caption; blank pictures of another size.
        PictureError: a picture that cannot be used.
    """
    module: Any = unwrap(model)
    captioning.check_captioner(module)
    batch = batch_with(module, images, preprocess)
    if caption is None:
        batch = with_kept(module, batch, None, module.generate)
    given = None if caption is None else one_each(caption, batch, "caption")
    rows = captioning.caption_tokens(module, batch.x, given, batch.kept)
    if isinstance(blank, (list, tuple)) and not blank:
        raise ExplainError("blank=[] holds no picture; leave it out for an even one.")
    blanks = torch.zeros_like(batch.x[:1]) if blank is None else batch_of(module, blank, preprocess).x
    if blanks.shape[1:] != batch.x.shape[1:]:
        raise ExplainError(
            f"The blank pictures become inputs of shape {tuple(blanks.shape[1:])} and the pictures of "
            f"{tuple(batch.x.shape[1:])}; prepare them alike."
        )
    tokens = captioning.pad(rows, batch.x.device)
    with as_found(module), begun(batch.kept, module):
        seen = module.token_log_probs(batch.x, tokens)
        # Repeated, not expanded: the model may work in place on its input.
        blind = torch.stack([module.token_log_probs(one.repeat(len(rows), 1, 1, 1), tokens) for one in blanks])
    results = []
    for n, row in enumerate(rows):
        own = []
        for position, (word, places) in enumerate(module.words(row)):
            log_prob = float(seen[n, places].sum())
            blind_log_prob = _mean_log(blind[:, n, places].sum(1))
            made_up = log_prob - blind_log_prob < threshold and word.casefold() not in FUNCTION_WORDS
            own.append(Grounding(word, position, log_prob, blind_log_prob, made_up))
        results.append(own)
    return results[0] if batch.single else results


def _mean_log(log_probs: Tensor) -> float:
    """The logarithm of the mean probability."""
    return float(log_probs.double().logsumexp(0) - torch.tensor(float(len(log_probs))).log())
