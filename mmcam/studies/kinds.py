"""The four kinds of studies: what raters see, what they are asked, what they may answer, and what was published.

* **discrimination** (Grad-CAM, arXiv 1610.02391, section 5.1): a visualisation of one of the two things of a picture,
  and nothing else; which of the two is it?
* **trust** (the same, section 5.2): a picture that two models get right, and a visualisation of each; which model seems
  more reliable, −2 to +2?
* **agreement** (HIVE, arXiv 2112.03184, section 3): a picture and the visualisation of one prediction; is it right?
* **distinction** (the same): a picture and the visualisations of four classes, unnamed; which is the right class?
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Kind:
    """A kind of study.

    Attributes:
        name: as it is typed.
        title: that raters see.
        question: above every item; ``{label}`` is the class.
        task: what raters do, for the instructions.
        answers: the same for every item; () where each item has its own.
        chance: the share of right answers of someone who guesses; None where no answer is right.
        two_sided: whether order or sides are swapped for half of the raters.
        models: how many it takes.
        published: by method, the figure of people, in percent or of −2 to 2.
        source: of the published figures.
    """

    name: str
    title: str
    question: str
    task: tuple[str, ...]
    answers: tuple[str, ...]
    chance: float | None
    two_sided: bool
    models: int
    published: Mapping[str, float]
    source: str

    @property
    def rated(self) -> bool:
        """Answers are ratings of −2 to 2, and none is right or wrong."""
        return self.chance is None

    @property
    def figure(self) -> str:
        """What is measured."""
        return "mean rating, −2 to 2" if self.rated else "right answers, %"


_PAPER: Final = "Grad-CAM, arXiv 1610.02391, section 5"

KINDS: Final[dict[str, Kind]] = {
    kind.name: kind
    for kind in (
        Kind(
            name="discrimination",
            title="What does the picture show?",
            question="Which of the two is shown here?",
            task=(
                "You will see pictures that a computer program made of photographs or drawings. Each original shows "
                "two things, for example a dog and a car. The program tries to bring out only one of them.",
                "Tell which of the two you see. Some pictures are hard; then choose what seems likelier.",
            ),
            answers=(),
            chance=0.5,
            two_sided=True,
            models=1,
            published={
                "guided_backprop": 44.44,
                "guided_gradcam": 61.23,
                "deconvnet": 53.33,
                "deconv_gradcam": 60.37,
            },
            source=_PAPER,
        ),
        Kind(
            name="trust",
            title="Which program is more reliable?",
            question="Both programs say: “{label}”. Which of them seems more reliable?",
            task=(
                "Two computer programs looked at the same picture, and both named the same thing in it. Below the "
                "picture you see, left and right, what in it made each program say so.",
                "Tell which of the two programs seems more reliable to you, and how clearly. There are no right or "
                "wrong answers; we want your impression.",
            ),
            answers=("Left, clearly", "Left, slightly", "Both the same", "Right, slightly", "Right, clearly"),
            chance=None,
            two_sided=True,
            models=2,
            published={"guided_backprop": 1.00, "guided_gradcam": 1.27},
            source=_PAPER,
        ),
        Kind(
            name="agreement",
            title="Is the program right?",
            question="Is the program right about this picture?",
            task=(
                "A computer program looked at a picture and named one thing in it. You see the picture, and beside it "
                "what made the program say so, but not the name. About half of the time the program is wrong.",
                "Tell whether you think that the program is right, and how sure you are.",
            ),
            answers=("Surely right", "Probably right", "Probably wrong", "Surely wrong"),
            chance=0.5,
            two_sided=False,
            models=1,
            published={},
            source="HIVE, arXiv 2112.03184",
        ),
        Kind(
            name="distinction",
            title="Which answer is right?",
            question="One of the four answers is right. Which?",
            task=(
                "A computer program looked at a picture and weighed four answers to the question what is in it. For "
                "each of the four you see what in the picture speaks for it, but not the answer itself.",
                "Tell which of the four you think is the right answer.",
            ),
            answers=("Answer 1", "Answer 2", "Answer 3", "Answer 4"),
            chance=0.25,
            two_sided=True,
            models=1,
            published={},
            source="HIVE, arXiv 2112.03184",
        ),
    )
}
"""By name. Of HIVE's figures none is repeated here: its models and pictures are others, and no source was at hand to
read them from."""
