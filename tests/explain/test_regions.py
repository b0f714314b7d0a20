"""Why these pixels are of this class: planted truths, the model's own numbers, and bad input."""

from functools import partial

import numpy as np
import pytest
import segmentation_models_pytorch as smp
import torch
import transformers
from PIL import Image
from scaled import scaled
from tiny import seeded
from torch import nn
from torch.nn import functional as F
from torchvision.models import segmentation
from zoo.network import lively

import mmcam
from mmcam import ExplainError, explain_region
from mmcam.drawing.overlay import edge
from mmcam.image import Geometry, Proportional, preprocess_of

LABELS = {"id2label": {0: "road", 1: "sky", 2: "tree"}, "label2id": {"road": 0, "sky": 1, "tree": 2}}


class Afar(nn.Module):
    """Says of each place how red (class 0) or green (class 1) the picture is 32 pixels to the right of it."""

    def __init__(self):
        super().__init__()
        self.encoder = nn.Sequential(nn.AvgPool2d(4), nn.Conv2d(3, 4, 1, bias=False), nn.ReLU())
        with torch.no_grad():
            self.encoder[1].weight.copy_(torch.eye(4, 3)[:, :, None, None])

    def forward(self, x):
        return {"out": F.interpolate(self.encoder(x)[:, :2].roll(-8, 3), scale_factor=4.0)}


def patches(*at):
    """A black picture of 64×96 with red squares of 8 pixels, their corners at (x, y)."""
    x = torch.zeros(3, 64, 96)
    for left, top in at:
        x[0, top : top + 8, left : left + 8] = 1
    return x


def segformer():
    sizes = {
        "hidden_sizes": [8, 8, 16, 16],
        "depths": [1] * 4,
        "num_attention_heads": [1] * 4,
        "decoder_hidden_size": 16,
    }
    model = transformers.SegformerForSemanticSegmentation(transformers.SegformerConfig(**sizes, **LABELS))
    return model, transformers.SegformerImageProcessor(size={"height": 64, "width": 96})


def mask2former():
    backbone = transformers.SwinConfig(
        image_size=64, embed_dim=12, depths=[1] * 4, num_heads=[1] * 4, window_size=4,
        out_features=["stage1", "stage2", "stage3", "stage4"],
    )  # fmt: skip
    config = transformers.Mask2FormerConfig(
        backbone_config=backbone, feature_size=32, mask_feature_size=32, hidden_dim=32, encoder_feedforward_dim=16,
        encoder_layers=1, decoder_layers=2, num_attention_heads=2, dim_feedforward=16, num_queries=6, **LABELS,
    )  # fmt: skip
    processor = transformers.Mask2FormerImageProcessor(size={"shortest_edge": 60, "longest_edge": 100}, size_divisor=32)
    return transformers.Mask2FormerForUniversalSegmentation(config), processor


@pytest.fixture
def photo():
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (50, 70, 3), dtype=np.uint8))


@pytest.mark.parametrize("region", [(20, 24, 28, 32), (24, 28), "mask"])
def test_the_map_lies_where_the_region_was_seen_by(region):
    """The patch that decides lies 32 pixels to the right of the region; nothing else is red."""
    mask = np.zeros((64, 96), bool)
    mask[24:32, 20:28] = True
    exp = explain_region(Afar(), patches((52, 24)), mask if region == "mask" else region, 0, layer="encoder.2")
    assert exp.score == pytest.approx(1)
    x, y = exp.peak()
    assert 52 <= x < 60
    assert 24 <= y < 32


@pytest.mark.parametrize("method", ["hirescam", "xgradcam", "occlusion"])
def test_another_patch_of_the_same_look_is_left_out(method):
    """The regions of two patches have maps that do not touch."""
    x = patches((52, 24), (76, 48))
    options = {"patch": 8, "stride": 4} if method == "occlusion" else {"layer": "encoder.2"}
    if method == "xgradcam":
        options["method"] = "layercam"
    exps = explain_region(Afar(), x, [(20, 24, 28, 32), (44, 48, 52, 56)], 0, **{"method": method} | options)
    for exp, (left, top) in zip(exps, ((52, 24), (76, 48)), strict=True):
        px, py = exp.peak()
        assert left <= px < left + 8
        assert top <= py < top + 8
        inside = exp.heatmap[top - 8 : top + 16, left - 8 : left + 16]
        assert inside.clip(0).sum() == pytest.approx(exp.heatmap.clip(0).sum(), rel=1e-3)


def test_the_score_is_the_mean_of_the_enlarged_scores(photo):
    model, processor = segformer()
    model = scaled(model)
    wrapped = mmcam.wrap(model, processor)
    mask = np.random.default_rng(1).random((50, 70)) < 0.2
    with torch.no_grad():
        logits = model(**processor(photo, return_tensors="pt")).logits
    enlarged = F.interpolate(logits, (50, 70), mode="bilinear")[0]
    means = enlarged[:, torch.from_numpy(mask)].mean(1)
    votes = enlarged.argmax(0)[torch.from_numpy(mask)].bincount(minlength=3)
    exp = explain_region(wrapped, photo, mask)
    assert exp.target == ("road", "sky", "tree")[int(votes.argmax())]
    assert exp.score == pytest.approx(float(means[votes.argmax()]), rel=1e-4, abs=1e-5)
    assert explain_region(wrapped, photo, mask, "sky").score == pytest.approx(float(means[1]), rel=1e-4, abs=1e-5)
    lead = explain_region(wrapped, photo, mask, "sky", contrast="tree")
    assert lead.score == pytest.approx(float(means[1] - means[2]), rel=1e-4, abs=1e-5)
    assert lead.target == "sky rather than tree"
    assert exp.layer.startswith("model.segformer.")


def test_a_query_is_explained_where_masks_are_answers(photo):
    """Its own output, and the query by hand: the highest probability times mean mask over the region."""
    model, processor = mask2former()
    model = scaled(model)
    exp = explain_region(mmcam.wrap(model, processor), photo, (10, 5, 40, 35))
    inputs = processor(photo, return_tensors="pt")
    with torch.no_grad():
        out = model(**inputs)
    height, width = inputs["pixel_mask"][0].amax(1).sum(), inputs["pixel_mask"][0].amax(0).sum()
    full = F.interpolate(out.masks_queries_logits.sigmoid(), inputs["pixel_values"].shape[-2:], mode="bilinear")
    own = F.interpolate(full[..., :height, :width], (50, 70), mode="bilinear")[0, :, 5:35, 10:40].mean((1, 2))
    probability = out.class_queries_logits.softmax(-1)[0, :, :-1]
    query = int((own * probability.amax(1)).argmax())
    assert exp.candidate.index == query
    assert exp.candidate.overlap == pytest.approx(float(own[query]), abs=0.02)
    assert exp.score == pytest.approx(float(out.class_queries_logits[0, query, :-1].max()), rel=1e-4, abs=1e-5)
    assert f"query {query}" in exp.context
    assert exp.heatmap.shape == (50, 70)


@pytest.mark.parametrize(
    ("build", "layer"),
    [
        (partial(segmentation.lraspp_mobilenet_v3_large, num_classes=5, weights_backbone=None), "backbone.16"),
        (partial(smp.Unet, "resnet18", encoder_weights=None, classes=5), "encoder.layer4"),
    ],
)
def test_networks_of_other_libraries_at_the_end_of_their_encoder(build, layer):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = lively(build(), (3, 128, 192))
    x = torch.randn(2, 3, 128, 192, generator=torch.Generator().manual_seed(1))
    together = explain_region(model, x, [(20, 30, 60, 80), (100, 50)], [1, 3])
    alone = [
        explain_region(model, x[0], (20, 30, 60, 80), 1, preprocess=model_input()),
        explain_region(model, x[1], (100, 50), 3, preprocess=model_input()),
    ]
    with torch.no_grad():
        out = model(x)
    out = out["out"] if isinstance(out, dict) else out
    expected = [out[0, 1, 30:80, 20:60].mean(), out[1, 3, 50, 100]]
    for one, other, score in zip(together, alone, expected, strict=True):
        assert one.layer == other.layer == layer
        assert one.score == pytest.approx(float(score), rel=1e-3, abs=1e-4)
        torch.testing.assert_close(one.values, other.values, rtol=1e-3, atol=1e-5)


def dpt():
    config = transformers.DPTConfig(
        hidden_size=24, num_hidden_layers=4, num_attention_heads=2, intermediate_size=32, image_size=[64, 64],
        patch_size=8, backbone_out_indices=[0, 1, 2, 3], neck_hidden_sizes=[8] * 4, fusion_hidden_size=8,
        is_hybrid=False,
    )  # fmt: skip
    return transformers.DPTForDepthEstimation(config), transformers.DPTImageProcessor(size={"height": 64, "width": 64})


def depth_anything():
    backbone = transformers.Dinov2Config(
        hidden_size=24, num_hidden_layers=4, num_attention_heads=2, image_size=56, patch_size=14, mlp_ratio=2,
        out_features=["stage1", "stage2", "stage3", "stage4"], reshape_hidden_states=False,
    )  # fmt: skip
    config = transformers.DepthAnythingConfig(
        backbone_config=backbone, reassemble_hidden_size=24, neck_hidden_sizes=[8] * 4, fusion_hidden_size=8,
        head_hidden_size=8, patch_size=14,
    )  # fmt: skip
    processor = transformers.DPTImageProcessor(
        size={"height": 56, "width": 56}, keep_aspect_ratio=True, ensure_multiple_of=14
    )
    return transformers.DepthAnythingForDepthEstimation(config), processor


@pytest.mark.parametrize("build", [dpt, depth_anything])
def test_the_depth_of_a_region(build, photo):
    model, processor = build()
    model = scaled(model)
    with torch.no_grad():
        model.head.conv3.bias.fill_(3.0) if hasattr(model.head, "conv3") else model.head.head[4].bias.fill_(3.0)
        depth = model(**processor(photo, return_tensors="pt")).predicted_depth
    expected = F.interpolate(depth[:, None], (50, 70), mode="bilinear")[0, 0, 5:35, 10:40].mean()
    exp = explain_region(mmcam.wrap(model, processor), photo, (10, 5, 40, 35))
    assert exp.score == pytest.approx(float(expected), rel=1e-3)
    assert (exp.target, exp.scored) == ("depth", "depth")
    assert exp.claim.startswith("It says that the depth of the box (10, 5, 40, 35) is ")
    assert exp.heatmap.shape == (50, 70)
    assert not exp.empty


def model_input():
    return mmcam.Preprocess((128, 192), "squash")


def test_several_regions_in_one_pass_are_what_they_are_alone():
    model = seeded(lambda: nn.Sequential(nn.Conv2d(3, 6, 3, 2, 1), nn.ReLU(), nn.Conv2d(6, 4, 3, padding=1)))
    x = torch.randn(3, 32, 48, generator=torch.Generator().manual_seed(0))
    regions = [(3, 4), (20, 10, 40, 30), (0, 0, 48, 32)]
    for one, region in zip(explain_region(model, x, regions), regions, strict=True):
        alone = explain_region(model, x, region)
        assert one.target == alone.target
        torch.testing.assert_close(one.values, alone.values)
        assert one.region.at == tuple(map(float, region))
    nested = explain_region(model, [x, -x], [regions, (1, 1)])
    assert len(nested[0]) == 3
    assert isinstance(nested[1], mmcam.Explanation)
    assert [exp.target for exp in explain_region(model, x, (3, 4), [0, 2])] == ["class 0", "class 2"]


@pytest.mark.parametrize(
    ("geometry", "size"),
    [
        (Geometry((40, 60), (32, 32), (0.8, 32 / 60)), (7, 9)),
        (Geometry((40, 60), (32, 32), (0.8, 0.8), (0.0, -8.0)), (8, 8)),  # cut at both sides
        (Geometry((20, 20), (32, 48), (1.5, 1.5)), (4, 6)),  # padded
        (Geometry((3, 3), (64, 64), (64 / 3, 64 / 3)), (64, 64)),
    ],
)
def test_the_cells_of_a_mask_are_the_adjoint_of_the_way_back(geometry, size):
    generator = torch.Generator().manual_seed(0)
    mask = np.random.default_rng(0).random(geometry.original) < 0.5
    mask[geometry.original[0] // 2, geometry.original[1] // 2] = True
    left, top, right, bottom = geometry.shown()
    seen = np.zeros_like(mask)
    seen[top:bottom, left:right] = mask[top:bottom, left:right]
    maps = torch.randn(3, *size, generator=generator)
    weights = geometry.cells_of(mask, size)
    assert float(weights.sum()) == pytest.approx(1)
    torch.testing.assert_close(
        (maps * weights).sum((1, 2)).float(),
        geometry.to_original(maps)[:, torch.from_numpy(seen)].mean(1), rtol=1e-4, atol=1e-5,
    )  # fmt: skip
    rows, columns = (torch.from_numpy(at) for at in np.nonzero(mask))
    torch.testing.assert_close(geometry.at_pixels(maps, rows, columns), geometry.to_original(maps)[:, rows, columns])


def test_torchvisions_own_recipe_and_names():
    preset = segmentation.DeepLabV3_ResNet50_Weights.DEFAULT.transforms()
    made = preprocess_of(preset)
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (300, 403, 3), dtype=np.uint8))
    ours, geometry = made(picture)
    torch.testing.assert_close(ours, preset(picture), rtol=0, atol=0.05)
    assert geometry.input == tuple(ours.shape[1:])
    small = Proportional((32, 32), resize=64, multiple=32, enlarge=False)
    assert small(picture.resize((50, 40)))[0].shape == (3, 32, 64)
    from mmcam.adapters.segmenters import segmenter_classes, segmenter_preprocess

    net = segmentation.lraspp_mobilenet_v3_large(weights=None, weights_backbone=None)
    assert segmenter_classes(net, None).names[12] == "dog"
    assert segmenter_preprocess(net) == (made, False)
    other = segmentation.lraspp_mobilenet_v3_large(weights=None, weights_backbone=None, num_classes=4)
    assert segmenter_classes(other, None).names is None


def test_two_names_are_the_sides_of_a_single_map():
    model = seeded(lambda: nn.Conv2d(3, 1, 1))
    model = nn.Sequential(nn.Conv2d(3, 3, 1), model).eval()
    x = torch.randn(3, 16, 16, generator=torch.Generator().manual_seed(0))
    out = float(model(x[None])[0, 0, 5, 4])
    exps = explain_region(model, x, (4, 5), ["ground", "building"], names=["ground", "building"], layer="0")
    assert [exp.score for exp in exps] == pytest.approx([-out, out], rel=1e-4)
    assert explain_region(model, x, (4, 5), layer="0").score == pytest.approx(out, rel=1e-4)


def test_it_is_kept_with_its_region(tmp_path):
    model = seeded(lambda: nn.Sequential(nn.Conv2d(3, 6, 3, 2, 1), nn.ReLU(), nn.Conv2d(6, 4, 3, padding=1)))
    mask = np.zeros((32, 48), bool)
    mask[5:20, 10:30] = True
    exp = explain_region(model, torch.randn(3, 32, 48, generator=torch.Generator().manual_seed(0)), mask)
    kept = mmcam.load_explanation(exp.save(tmp_path / "it.npz"))
    assert (kept.region.pixels == mask).all()
    assert kept.summary()["region"] == exp.summary()["region"]
    green = (np.asarray(exp.overlay()) == (57, 255, 20)).all(-1)
    assert green.any()
    assert not green[~mask].any(), "the edge lies inside of the region"
    assert (np.asarray(kept.overlay()) == np.asarray(exp.overlay())).all()
    boxed = explain_region(model, exp.image, (3, 4, 20, 18), preprocess=mmcam.Preprocess((32, 48), "squash"))
    assert mmcam.load_explanation(boxed.save(tmp_path / "box.npz")).region.at == (3, 4, 20, 18)
    boxed.save(tmp_path / "box.pdf")
    assert "region" in boxed.html(tmp_path / "box.html").read_text()


def test_the_edge_of_a_region_at_any_size():
    """A box by hand; a pixel has a ring around it, also where it would be lost, and lies in the middle of it."""
    mask = np.zeros((40, 60), bool)
    mask[10:30, 20:50] = True
    drawn = np.asarray(edge(mask, (60, 40)))
    opaque = drawn[..., 3] > 0
    ring = mask.copy()
    ring[13:27, 23:47] = False
    assert (opaque == ring).all()
    assert (drawn[11, 25, :3] == (57, 255, 20)).all()
    assert (np.asarray(edge(mask, (120, 80)))[..., 3] > 0)[22, 50], "as thick at another size"
    pixel = np.zeros((400, 600), bool)
    pixel[123, 45] = True
    for size in ((600, 400), (60, 40), (1200, 800)):
        rows, columns = np.nonzero(np.asarray(edge(pixel, size))[..., 3])
        scale = size[0] / 600
        assert abs((rows.min() + rows.max()) / 2 - 123.5 * scale) <= 1
        assert columns.max() - columns.min() >= 10


@pytest.mark.parametrize(
    ("region", "target", "sentence"),
    [
        (np.ones((30, 48), bool), None, r"mask has 48×30 pixels and the picture 48×32"),
        (np.zeros((32, 48), bool), None, "mask of the region is empty"),
        ((60, 5), None, r"pixel \(60, 5\) lies outside of the picture of 48×32 pixels"),
        ((50, 5, 70, 20), None, "lies outside of the picture"),
        ((20, 5, 10, 9), None, "left < right"),
        ((1, 2, 3), None, "A region is a mask"),
        (None, None, "A region is a mask"),
        ("nowhere.png", None, "There is no picture at nowhere.png"),
        ((3, 3), 9, r"There is no class 9: the model has classes 0…3"),
        ((3, 3), "dog", "have no names"),
        ([(3, 3), (4, 4)], [0, 1, 2], "2 regions and 3 classes"),
    ],
)
def test_bad_input_is_one_sentence(region, target, sentence):
    model = seeded(lambda: nn.Sequential(nn.Conv2d(3, 6, 3, 2, 1), nn.ReLU(), nn.Conv2d(6, 4, 3, padding=1)))
    with pytest.raises((ExplainError, mmcam.PictureError), match=sentence):
        explain_region(model, torch.zeros(3, 32, 48), region, target)


def test_other_models_are_refused_in_a_sentence():
    net = nn.Sequential(nn.Conv2d(3, 6, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    with pytest.raises(ExplainError, match=r"scores of the whole picture and none of its places.*explain_class"):
        explain_region(net, torch.zeros(3, 32, 48), (3, 3))
    model = seeded(lambda: nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU(), nn.Conv2d(6, 4, 3)))
    with pytest.raises(ExplainError, match="both 'class 2'"):
        explain_region(model, torch.zeros(3, 32, 48), (3, 3), 2, contrast=2)
    cut = mmcam.Preprocess((32, 32), "crop", 32)
    with pytest.raises(ExplainError, match="in what the model is not shown"):
        explain_region(model, Image.new("RGB", (96, 32)), (3, 3), preprocess=cut)
