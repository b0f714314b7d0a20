"""LibraGrad as an option of gradient methods: the same methods, with its backward paths."""

from __future__ import annotations

from typing import Any

from mmcam.errors import ExplainError
from mmcam.methods import registry
from mmcam.methods.libra_mode import LibraMode
from mmcam.methods.registry import Family, Maps, Question, register

_SOURCE = "Mehri et al., LibraGrad, CVPR 2025, arXiv 2411.16760"
_COST = "about that of the method whose gradient it takes"


@register("libragrad", _SOURCE, family="pixels", cost=_COST)
def libragrad(question: Question, *, of: str = "gradient_x_input", **options: Any) -> Maps:
    """A method of gradients at the pixels with LibraGrad's backward paths, (T,N,C,H,W), signed.

    Gradient × input then adds up to the score, where a network has no biases (the paper's completeness); where it has,
    to the score less what the biases give. The rules stand in `mmcam.methods.libra_mode`; they are read from the
    paper's abstract and from public code of it, which agree, as the paper itself was not at hand: that of products of
    two branches is the one of which that code has no example.

    Args:
        question: what is asked; convolutional networks without such paths have their usual gradients.
        of: the method, any of the pixel family; further options are handed to it.

    Raises:
        ExplainError: `of` is another kind of method.
    """
    return _balanced(question, of, "pixels", ("libragrad", "smoothgrad"), options)


@register("libragrad_cam", _SOURCE, cost=_COST)
def libragrad_cam(question: Question, *, of: str = "hirescam", **options: Any) -> Maps:
    """A class activation map whose gradient takes LibraGrad's backward paths, (T,N,h,w).

    Args:
        question: what is asked.
        of: the method, any of the family of class activation maps; further options are handed to it, as `relu=False`
            to HiResCAM, whose cells then add up to the score where the network behind the layer has no biases.

    Raises:
        ExplainError: `of` is another kind of method.
    """
    return _balanced(question, of, "cam", ("libragrad_cam", "cam"), options)


def _balanced(question: Question, of: str, family: Family, left_out: tuple[str, ...], options: Any) -> Maps:
    method = registry.get(of)
    if method.family != family or of in left_out:
        names = [name for name, m in registry.METHODS.items() if m.family == family and name not in left_out]
        raise ExplainError(f"LibraGrad balances gradients, not {of!r} here; choose one of {', '.join(names)}.")
    with LibraMode():
        return method(question, **options)
