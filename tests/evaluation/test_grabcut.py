"""GrabCut's box: a coloured thing on another ground is found whole from a few salient pixels within it."""

import sys

import numpy as np
import pytest

from mmcam import ExplainError
from mmcam.evaluation.grabcut import grabcut_box


def scene(seed=0):
    """A noisy red rectangle, columns 20–59 and rows 30–49, on noisy green; saliency in the middle of it only."""
    noise = np.random.default_rng(seed)
    picture = noise.normal((60, 150, 60), 8, (80, 96, 3))
    picture[30:50, 20:60] = noise.normal((200, 40, 40), 8, (20, 40, 3))
    saliency = noise.random((80, 96)) * 0.1
    saliency[30:50, 20:60] += 0.2
    saliency[36:44, 32:50] += 1
    return picture.clip(0, 255).astype(np.uint8), saliency


def test_the_colours_lead_from_the_salient_middle_to_the_whole_thing():
    picture, saliency = scene()
    assert grabcut_box(picture, saliency) == (20, 30, 59, 49)
    assert grabcut_box(picture, saliency) == grabcut_box(picture, saliency)


def test_the_scale_of_the_saliency_does_not_matter():
    picture, saliency = scene(1)
    assert grabcut_box(picture, saliency * 1e-6 + 3) == grabcut_box(picture, saliency)


def test_an_even_map_says_nothing_and_misfits_are_refused():
    picture, saliency = scene()
    assert grabcut_box(picture, np.ones((80, 96))) is None
    with pytest.raises(ValueError, match="pass \\(H,W,3\\) and \\(H,W\\)"):
        grabcut_box(picture, saliency.T)
    with pytest.raises(ValueError, match="do not rise"):
        grabcut_box(picture, saliency, foreground=0.2)


def test_without_opencv_one_sentence_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(ExplainError, match=r'GrabCut needs OpenCV, .* pip install "mmcam\[metrics\]"'):
        grabcut_box(*scene())


def test_a_map_that_is_zero_nearly_everywhere_still_tells():
    picture, saliency = scene()
    sparse = np.where(saliency > 0.9, saliency, 0)
    assert (sparse == 0).mean() > 0.9
    assert grabcut_box(picture, sparse) is None, "less than a twentieth of the pixels say anything"
    left, top, right, bottom = grabcut_box(picture, sparse, foreground=0.99)
    assert (20 <= left <= 32, 30 <= top <= 36) == (True, True), "all of the salient part, and nothing beside the thing"
    assert (48 <= right <= 59, 43 <= bottom <= 49) == (True, True)
