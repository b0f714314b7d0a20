"""The table of ImageNet's classes and COCO's categories, against torchvision's own names of both."""

import csv

import pytest
import torch
from torchvision.models import ResNet50_Weights
from torchvision.models.detection import FasterRCNN_ResNet50_FPN_Weights

from experiments.lib import category_outputs
from experiments.lib.category_outputs import VOC_AS_COCO, imagenet, outputs_of, score_of
from mmcam.datasets.concepts.voc import CLASSES

IMAGENET = ResNet50_Weights.IMAGENET1K_V1.meta["categories"]
COCO = [
    name for name in FasterRCNN_ResNet50_FPN_Weights.COCO_V1.meta["categories"] if name not in ("N/A", "__background__")
]


def test_every_index_has_the_name_beside_it_and_belongs_to_one_category():
    with category_outputs.TABLE.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert all(IMAGENET[int(row["index"])] == row["name"] for row in rows)
    indices = [row["index"] for row in rows]
    assert len(set(indices)) == len(indices) == 307
    assert {row["category"] for row in rows} <= set(COCO)


def test_categories_are_what_they_say():
    known = imagenet()
    assert len(known["dog"]) == 118, "ILSVRC's dogs, without wolves and foxes"
    assert [IMAGENET[i] for i in known["zebra"]] == ["zebra"]
    assert IMAGENET.index("kite") in known["bird"], "ImageNet's kite flies by itself"
    assert "kite" not in known
    assert "person" not in known
    assert set(COCO) - set(known) == {
        "person", "fire hydrant", "stop sign", "giraffe", "suitcase", "frisbee", "snowboard", "kite", "baseball bat",
        "baseball glove", "skateboard", "surfboard", "fork", "carrot", "donut", "cake", "scissors", "toothbrush",
    }  # fmt: skip


def test_vocs_names_are_cocos_or_translated_to_them():
    assert {VOC_AS_COCO.get(name, name) for name in CLASSES} <= set(COCO)
    known = outputs_of(CLASSES, 1000)
    assert set(CLASSES) - set(known) == {"person"}
    assert known["tvmonitor"] == imagenet()["tv"]


def test_a_finetuned_network_has_an_output_a_category():
    assert outputs_of(CLASSES, 20)["bicycle"] == [1]
    with pytest.raises(ValueError, match="has 21 outputs; one with 20, one a category, or ImageNet's 1000"):
        outputs_of(CLASSES, 21)


def test_a_score_is_the_log_of_the_sum_of_what_softmax_compares():
    logits = torch.tensor([[1.0, 2.0, -1.0], [0.0, 0.0, 5.0]])
    expected = logits[:, [0, 2]].exp().sum(1).log()
    assert torch.allclose(score_of([0, 2])(logits), expected)
    assert torch.equal(score_of([1])(logits), logits[:, 1])
