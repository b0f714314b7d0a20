"""Why a detector gave a box its class, or nothing: planted truths, the detectors' own numbers, and bad input."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
import transformers
from PIL import Image
from scaled import scaled
from torch import nn
from torchvision.models import detection
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.ops import MultiScaleRoIAlign

import mmcam
from mmcam import ExplainError, explain_box
from mmcam.tasks.detection import iou

LABELS = {"id2label": {0: "cat", 1: "dog", 2: "car"}, "label2id": {"cat": 0, "dog": 1, "car": 2}}
PLAIN = mmcam.Preprocess((64, 96), "squash", mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))


class Colours(nn.Module):
    """Red, green and blue of cells of 4 pixels: a backbone whose maps are known."""

    out_channels = 3

    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(nn.AvgPool2d(4), nn.Conv2d(3, 3, 1, bias=False), nn.ReLU())
        with torch.no_grad():
            self.features[1].weight.copy_(torch.eye(3)[:, :, None, None])

    def forward(self, x):
        return self.features(x)


class Mean(nn.Module):
    def forward(self, x):
        return x.mean((2, 3))


def red_detector():
    """A Faster R-CNN that says of a proposal how red (class 1) and green (class 2) it is; its proposals are anchors."""
    model = detection.FasterRCNN(
        Colours(), min_size=64, max_size=96, image_mean=[0.0] * 3, image_std=[1.0] * 3,
        rpn_anchor_generator=AnchorGenerator(((16,),), ((1.0,),)), rpn_post_nms_top_n_test=2000,
        box_roi_pool=MultiScaleRoIAlign(["0"], 4, 2), box_head=Mean(),
        box_predictor=detection.faster_rcnn.FastRCNNPredictor(3, 3),
    )  # fmt: skip
    with torch.no_grad():
        for parameter in [*model.rpn.parameters(), *model.roi_heads.parameters()]:
            parameter.zero_()
        model.roi_heads.box_predictor.cls_score.weight.copy_(torch.eye(3).roll(1, 0))
    return model.eval()


def scene(*red):
    """A black picture of 64×96 with red squares of 8 pixels, their corners at (x, y)."""
    pixels = np.zeros((64, 96, 3), np.uint8)
    for left, top in red:
        pixels[top : top + 8, left : left + 8, 0] = 255
    return Image.fromarray(pixels)


class Halves(nn.Module):
    """Two queries: the redness of a half of the picture, and its box; class 1 is no thing of theirs."""

    gives_boxes, classes, preprocess = True, ["red", "green"], PLAIN

    def __init__(self, swapped=False):
        super().__init__()
        self.encoder = Colours().features
        self.swapped = swapped

    def forward(self, x):
        maps = self.encoder(x)[:, :2]
        halves = torch.stack([part.mean((2, 3)) for part in maps.chunk(2, 3)], 1)
        boxes = torch.tensor([[0.25, 0.5, 0.5, 1.0], [0.75, 0.5, 0.5, 1.0]]).expand(len(x), -1, -1)
        # A model that orders its queries by their scores, as two-stage detectors do.
        order = halves[..., 0].argsort(1, descending=True)[..., None] if self.swapped else None
        if order is not None:
            halves, boxes = halves.gather(1, order.expand(-1, -1, 2)), boxes.gather(1, order.expand(-1, -1, 4))
        return SimpleNamespace(logits=halves, pred_boxes=boxes)


def test_the_map_lies_on_what_the_box_was_scored_by():
    """Two red patches: the one outside of the box does not count."""
    model, picture = red_detector(), scene((20, 24), (70, 40))
    for box, (left, top) in (((16, 20, 32, 36), (20, 24)), ((66, 36, 82, 52), (70, 40))):
        exp = explain_box(model, picture, box, 1, method="hirescam", layer="backbone.features.2")
        x, y = exp.peak()
        assert left - 2 <= x < left + 10
        assert top - 2 <= y < top + 10
        assert exp.candidate.overlap > 0.5
        outside = exp.heatmap.copy()
        outside[top - 12 : top + 20, left - 12 : left + 20] = 0
        assert outside.max() == 0
    found = explain_box(model, picture, target=1)
    assert found.score == pytest.approx(max(every_score(model, picture)), rel=1e-4)


def every_score(model, picture):
    """The logits of class 1 of all proposals, caught in the detector's own forward."""
    caught = []
    handle = model.roi_heads.box_predictor.register_forward_hook(lambda module, x, out: caught.append(out[0]))
    with torch.no_grad():
        model([torch.from_numpy(np.array(picture)).permute(2, 0, 1) / 255])
    handle.remove()
    return caught[0][:, 1].tolist()


def test_why_nothing_was_found_here():
    exp = explain_box(red_detector(), scene((20, 24)), (60, 40, 76, 56), 2, layer="backbone.features.2", threshold=0.9)
    assert exp.claim == "It finds no “class 2” at the box (60, 40, 76, 56)"
    assert exp.sense == -1
    assert f"candidate {exp.candidate.index} with IoU {exp.candidate.overlap:.2f}" in exp.context
    assert exp.candidate.probability == pytest.approx(1 / 3, abs=0.01)
    assert explain_box(red_detector(), scene((20, 24)), target=1, threshold=0.1).claim.startswith("It finds “class 1”")


@pytest.mark.parametrize("method", ["hirescam", "occlusion"])
@pytest.mark.parametrize("swapped", [False, True])
def test_queries_of_ones_own_model(method, swapped):
    """Also where the picture decides which query comes first, and pixels are covered so that it changes."""
    picture = scene((20, 24), (70, 40), (78, 40))
    options = {"patch": 8, "stride": 4} if method == "occlusion" else {"layer": "encoder.2"}
    exp = explain_box(Halves(swapped).eval(), picture, (0, 0, 50, 64), "red", method=method, **options)
    x, y = exp.peak()
    assert 18 <= x < 30
    assert 22 <= y < 34
    assert (exp.heatmap[:, 52:] <= 1e-6).all()
    assert exp.score == pytest.approx(64 / (64 * 48), rel=1e-4)
    assert exp.candidate.index == (1 if swapped else 0)
    assert exp.candidate.overlap == pytest.approx(48 / 50, rel=1e-3)
    lead = explain_box(Halves(swapped).eval(), picture, (0, 0, 50, 64), "red", contrast="green")
    assert lead.score == pytest.approx(exp.score, rel=1e-4)


def test_no_candidate_overlaps():
    class Left(Halves):
        def forward(self, x):
            found = super().forward(x)
            return SimpleNamespace(logits=found.logits[:, :1], pred_boxes=found.pred_boxes[:, :1])

    with pytest.raises(ExplainError, match=r"None of the detector's 1 candidates overlaps the box \(60, 10, 80, 30\)"):
        explain_box(Left().eval(), scene((20, 24)), (60, 10, 80, 30))


def torchvision_detector(kind):
    sizes = {"weights": None, "weights_backbone": None, "num_classes": 4}
    if kind != "ssdlite320_mobilenet_v3_large":
        sizes |= {"min_size": 96, "max_size": 160}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = getattr(detection, kind)(**sizes)
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if parameter.ndim > 1 and not name.startswith("backbone"):
                    parameter.normal_(0, 0.5 / parameter[0].numel() ** 0.5)
    if hasattr(model, "score_thresh"):
        model.score_thresh = 0.0  # an untrained one finds little
    return model.eval()


@pytest.fixture
def photo():
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (100, 140, 3), dtype=np.uint8))


@pytest.mark.parametrize(
    "kind",
    [
        "fasterrcnn_mobilenet_v3_large_320_fpn",
        "ssdlite320_mobilenet_v3_large",
        pytest.param("retinanet_resnet50_fpn", marks=pytest.mark.long),
        pytest.param("fcos_resnet50_fpn", marks=pytest.mark.long),
        pytest.param("maskrcnn_resnet50_fpn", marks=pytest.mark.long),
    ],
)
def test_what_a_detector_of_torchvision_finds_is_a_candidate(kind, photo):
    """A box of its own output is met by a candidate, with the same probability; its logit gives that again."""
    model = torchvision_detector(kind)
    with torch.no_grad():
        (out,) = model([torch.from_numpy(np.array(photo)).permute(2, 0, 1) / 255])
    sides = out["boxes"][:, 2:] - out["boxes"][:, :2]
    best = int((sides.amin(1) > 4).nonzero()[0])
    box, label, score = out["boxes"][best].tolist(), int(out["labels"][best]), float(out["scores"][best])
    exp = explain_box(model, photo, box, label)
    assert exp.candidate.overlap > 0.999
    assert exp.candidate.probability == pytest.approx(score, rel=1e-3)
    if kind.startswith("retinanet"):
        assert 1 / (1 + np.exp(-exp.score)) == pytest.approx(score, rel=1e-3)
    if "rcnn" in kind or kind.startswith("ssd"):
        others = [explain_box(model, photo, box, label, contrast=other).score for other in {1, 2, 3} - {label}]
        assert score <= 1 / (1 + sum(np.exp(-lead) for lead in others)) + 1e-3, "the background takes the rest"
    alone = explain_box(model, photo, target=label)
    assert alone.candidate.probability >= score - 1e-5
    pair = explain_box(
        model, [photo, photo.transpose(Image.Transpose.ROTATE_180)], [[box, (20, 20, 90, 80)], box], label
    )
    torch.testing.assert_close(pair[0][0].values, exp.values, rtol=1e-3, atol=1e-6)
    together = explain_box(model, [photo, photo.transpose(Image.Transpose.ROTATE_180)], box, label, batch_size=2)
    torch.testing.assert_close(together[0].values, exp.values, rtol=1e-3, atol=1e-6)
    torch.testing.assert_close(together[1].values, pair[1].values, rtol=1e-3, atol=1e-6)


def resnet():
    sizes = {"embedding_size": 8, "hidden_sizes": [8, 16, 24, 32], "depths": [1, 1, 1, 1], "layer_type": "basic"}
    return transformers.ResNetConfig(**sizes, out_features=["stage2", "stage3", "stage4"])


SMALL = {
    "d_model": 32, "encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 2, "decoder_attention_heads": 2,
    "encoder_ffn_dim": 32, "decoder_ffn_dim": 32, "num_queries": 8,
}  # fmt: skip


def detr():
    return transformers.DetrForObjectDetection(transformers.DetrConfig(backbone_config=resnet(), **SMALL, **LABELS))


def conditional_detr():
    config = transformers.ConditionalDetrConfig(backbone_config=resnet(), **SMALL, **LABELS)
    return transformers.ConditionalDetrForObjectDetection(config)


def yolos():
    sizes = {"hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    config = transformers.YolosConfig(**sizes, image_size=[64, 96], patch_size=8, num_detection_tokens=6, **LABELS)
    return transformers.YolosForObjectDetection(config)


def rt_detr():
    config = transformers.RTDetrConfig(
        backbone_config=transformers.RTDetrResNetConfig(
            embedding_size=8, hidden_sizes=[8, 16, 24, 32], depths=[1, 1, 1, 1], layer_type="basic",
            out_features=["stage2", "stage3", "stage4"],
        ),
        encoder_hidden_dim=32, encoder_in_channels=[16, 24, 32], feat_strides=[8, 16, 32], encoder_ffn_dim=32,
        encoder_attention_heads=2, d_model=32, num_queries=8, decoder_in_channels=[32, 32, 32], decoder_ffn_dim=32,
        decoder_layers=2, decoder_attention_heads=2, num_denoising=0, anchor_image_size=None, **LABELS,
    )  # fmt: skip
    return transformers.RTDetrForObjectDetection(config)


def processor_of(build):
    if build is rt_detr:
        return transformers.RTDetrImageProcessor(size={"height": 64, "width": 96})
    kinds = {yolos: transformers.YolosImageProcessor, conditional_detr: transformers.ConditionalDetrImageProcessor}
    size = {"height": 64, "width": 96} if build is yolos else {"shortest_edge": 96, "longest_edge": 160}
    return kinds.get(build, transformers.DetrImageProcessor)(size=size)


@pytest.mark.parametrize("build", [detr, conditional_detr, yolos, rt_detr])
def test_queries_of_transformers(build, photo):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = scaled(build())
    processor = processor_of(build)
    wrapped = mmcam.wrap(model, processor)
    with torch.no_grad():
        out = model(**processor(photo, return_tensors="pt"))
    (theirs,) = processor.post_process_object_detection(out, threshold=0.0, target_sizes=[(100, 140)])
    exp = explain_box(wrapped, photo)
    q, name = exp.candidate.index, exp.target
    assert exp.score == pytest.approx(float(out.logits[0, q, LABELS["label2id"][name]]), rel=1e-4, abs=1e-5)
    assert exp.candidate.probability == pytest.approx(float(theirs["scores"].max()), rel=1e-4)
    best = theirs["boxes"][theirs["scores"].argmax()].clamp(min=0).minimum(torch.tensor([140.0, 100, 140, 100]))
    np.testing.assert_allclose(exp.candidate.box, best, atol=0.05)
    box = tuple(exp.candidate.box)
    again = explain_box(wrapped, [photo] * 2, [[box, (10, 10, 90, 90)], box], [name, None], batch_size=2)
    assert again[0][0].candidate.overlap > 0.99
    torch.testing.assert_close(again[1].values, exp.values, rtol=1e-3, atol=1e-6)
    torch.testing.assert_close(again[0][0].values, exp.values, rtol=1e-3, atol=1e-6)
    alone = explain_box(wrapped, photo, (10, 10, 90, 90), name)
    torch.testing.assert_close(again[0][1].values, alone.values, rtol=1e-3, atol=1e-6)
    assert exp.heatmap.shape == (100, 140)


def test_intersection_over_union_by_hand():
    boxes = torch.tensor([[0.0, 0, 4, 4], [2, 2, 6, 6], [5, 5, 6, 6], [3, 3, 3, 9]])
    assert iou(boxes, torch.tensor([0.0, 0, 4, 4])).tolist() == pytest.approx([1, 4 / 28, 0, 0])


@pytest.mark.parametrize(
    ("box", "target", "sentence"),
    [
        ((1, 2, 3), None, "A box is"),
        ("here", None, "A box is"),
        ((200, 10, 220, 30), None, "lies outside of the picture of 96×64"),
        ((20, 10, 10, 30), None, "left < right"),
        (None, 5, r"There is no class 5: the model has classes 0…2, of which 0 means that nothing is there"),
        (None, 0, "There is no class 0"),
        (None, "dog", "have no names"),
        ([(1, 1, 9, 9), (2, 2, 9, 9)], [1, 2, 1], "2 boxes and 3 classes"),
    ],
)
def test_bad_input_is_one_sentence(box, target, sentence):
    with pytest.raises(ExplainError, match=sentence):
        explain_box(red_detector(), scene((20, 24)), box, target)


def test_other_models_are_refused_in_a_sentence():
    net = nn.Sequential(nn.Conv2d(3, 6, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()
    with pytest.raises(ExplainError, match=r"gives no boxes that are known; pass a detector.*explain_class"):
        explain_box(net, torch.zeros(3, 32, 48))
    with pytest.raises(ExplainError, match="in training mode"):
        explain_box(red_detector().train(), scene((20, 24)))
    with pytest.raises(ExplainError, match="threshold= is a probability"):
        explain_box(red_detector(), scene((20, 24)), threshold=3)
    with pytest.raises(ExplainError, match="both 'class 1'"):
        explain_box(red_detector(), scene((20, 24)), target=1, contrast=1)
