"""Questions of eleven types, their answers, and the things they are about."""

from mmcam.datasets.vignettes.questions.asking import ask
from mmcam.datasets.vignettes.questions.types import ANSWERS, TYPES, Question
from mmcam.datasets.vignettes.questions.wording import VOCABULARY

__all__ = ["ANSWERS", "TYPES", "VOCABULARY", "Question", "ask"]
