"""COCO's own reader takes the results, and its masks are the maps' segments."""

import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import mmcam
from mmcam import ExplainError, Explanation, Geometry

coco = pytest.importorskip("pycocotools.coco", reason="needs pycocotools, the extra coco")


def explanation(values, target="dog", score=1.5):
    values = torch.as_tensor(values, dtype=torch.float32)
    h, w = values.shape
    picture, geometry = Image.new("RGB", (w, h)), Geometry((h, w), (h, w))
    return Explanation(target, score, values, None, "layer", "gradcam", "Net", picture, geometry)


def test_cocos_own_reader_takes_them(tmp_path):
    first, second = np.zeros((6, 9)), np.zeros((6, 9))
    first[1:4, 2:7] = 1
    first[5, 8] = 1  # a smaller segment, which is left out
    second[0, 0] = 3
    every = [explanation(first), explanation(second, "cat", -2.0), explanation(np.zeros((6, 9)))]
    results = mmcam.coco_results(every, [7, 8, 8], {"dog": 18, "cat": 17})
    (tmp_path / "results.json").write_text(json.dumps(results, allow_nan=False))
    truth = coco.COCO()
    truth.dataset = {
        "images": [{"id": i, "width": 9, "height": 6} for i in (7, 8)],
        "categories": [{"id": 17, "name": "cat"}, {"id": 18, "name": "dog"}],
        "annotations": [],
        "info": {},
    }
    truth.createIndex()
    found = truth.loadRes(str(tmp_path / "results.json"))
    one, other = (found.loadAnns(found.getAnnIds(imgIds=[image]))[0] for image in (7, 8))
    first[5, 8] = 0
    assert np.array_equal(found.annToMask(one), first)
    assert (one["bbox"], one["category_id"], one["score"], one["area"]) == ([2, 1, 5, 3], 18, 1.5, 15)
    assert np.array_equal(found.annToMask(other), second > 0)
    assert len(results) == 2


@settings(deadline=None)
@given(st.integers(1, 12), st.integers(1, 12), st.integers(0, 2**32 - 1))
def test_the_box_is_that_of_the_segment(height, width, seed):
    from pycocotools import mask

    random = np.random.default_rng(seed)
    values = random.random((height, width)) * (random.random((height, width)) < 0.4)
    values[random.integers(height), random.integers(width)] = 1
    (result,) = mmcam.coco_results([explanation(values)], [1], {"dog": 1})
    assert mask.toBbox(result["segmentation"]).tolist() == result["bbox"]
    assert int(mask.area(result["segmentation"])) == result["area"]


def test_what_coco_cannot_hold_is_one_sentence():
    one = explanation(np.eye(4))
    with pytest.raises(ExplainError, match="1 explanations and 2 image ids"):
        mmcam.coco_results([one], [1, 2], {"dog": 1})
    with pytest.raises(ExplainError, match="No category is called 'dog'"):
        mmcam.coco_results([one], [1], {"cat": 1})
    with pytest.raises(ExplainError, match="is nan, which COCO cannot rank"):
        mmcam.coco_results([explanation(np.eye(4), score=float("nan"))], [1], {"dog": 1})
    with pytest.raises(ExplainError, match="a CaptionExplanation is none"):
        mmcam.coco_results([mmcam.CaptionExplanation("dog", (one,), one)], [1], {"dog": 1})
