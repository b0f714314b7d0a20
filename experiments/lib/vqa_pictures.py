"""Questions of vignettes and the maps of their answers, as one picture."""

from __future__ import annotations

from itertools import count
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

import mmcam
from experiments.lib.protocol import SQUARES
from mmcam.datasets import vignettes
from mmcam.drawing.strip import draw_strip, stack


def draw(model: Any, split: str, questions: int, side: int = 150) -> Image.Image:
    """Questions of many types that are answered rightly: the picture, what is asked about, and maps of the answer."""
    methods = ["occlusion", "gradcam", "layercam", "guided_gradcam"]
    methods += ["attention"] if hasattr(model, "attention") else []
    strips: list[Image.Image] = []
    types: set[str] = set()
    for i in count(0):
        scene = vignettes.draw(vignettes.seed(split, i))
        fresh = [q for q in scene.questions if q.things and q.type not in types]
        asks = mmcam.explain_answer(model, [scene.image] * len(fresh), [q.text for q in fresh]) if fresh else []
        right = next((q for q, exp in zip(fresh, asks, strict=True) if exp.target == q.answer), None)
        if right is None:
            continue
        types.add(right.type)
        panels = [(scene.image, ""), (spotlight(scene.image, scene.mask(right.things)), "asked about")]
        for method in methods:
            options: dict[str, Any] = SQUARES if method == "occlusion" else {}
            exp = mmcam.explain_answer(model, scene.image, right.text, method=method, **options)
            panels.append((exp.overlay(), method))
        strip = draw_strip(panels, [""] * len(panels), columns=len(panels), side=side)
        strips += [line(f"{right.text}?", right.answer, strip.width, side), strip]
        if len(types) == min(questions, len(vignettes.questions.TYPES) - 1):  # a question of one type is about no thing
            break
    return stack(strips)


def spotlight(picture: Image.Image, mask: NDArray[np.bool_]) -> Image.Image:
    """A picture, faded and grey outside of a mask."""
    faded = Image.blend(picture.convert("L").convert("RGB"), Image.new("RGB", picture.size, "white"), 0.7)
    return Image.composite(picture, faded, Image.fromarray(mask))


def line(question: str, answer: str, width: int, side: int) -> Image.Image:
    """A question and, beside it, its answer, in one line."""
    height, gap = side // 5, side // 28
    picture = Image.new("RGB", (width, height), "white")
    pen, font = ImageDraw.Draw(picture), ImageFont.load_default(height * 0.6)
    pen.text((gap, height), question, (28, 32, 38), font, anchor="ld")
    pen.text((gap + pen.textlength(question + "  ", font), height), answer, (190, 60, 20), font, anchor="ld")
    return picture
