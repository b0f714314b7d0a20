"""Image classifiers of transformers, wrapped and as they are, against one ordinary backward pass a class."""

import functools

import numpy as np
import pytest
import torch
from PIL import Image
from state import State
from tiny_classifiers import FAMILIES, LABELS, build, squashed
from tiny_similarity import grey_but, photo, without_positions

import mmcam
from mmcam import ExplainError
from mmcam.errors import PictureError

families = pytest.mark.parametrize("family", FAMILIES)


@functools.cache
def shared(name):
    model, processor = build(name)
    return wrap(model, processor), processor


def wrap(model, processor):
    return mmcam.wrap(model, processor)


def pictures(family):
    """Two pictures of different sizes."""
    return [photo(64, 96, 1), photo(*FAMILIES[family].original, 2)]


def evidence(model, family, x, score):
    """Activations and gradient (K,h,w) of one picture at the default layer, by ordinary backpropagation."""
    kept = []
    handle = model.get_submodule(family.layer).register_forward_hook(
        lambda _m, _i, out: kept.append(out if isinstance(out, torch.Tensor) else out[0])
    )
    try:
        with torch.enable_grad():
            (gradient,) = torch.autograd.grad(score(model(pixel_values=x[None]).logits[0]), kept[0])
    finally:
        handle.remove()

    def shown(tensor):
        if family.skip is None:
            return tensor[0]
        h, w = family.cells
        return tensor[0, family.skip : family.skip + h * w].T.reshape(-1, h, w)

    return shown(kept[0].detach()), shown(gradient)


def gradcam(activations, gradient):
    return (gradient.mean((1, 2), keepdim=True) * activations).sum(0).relu()


def close(values, expected):
    torch.testing.assert_close(values, expected, rtol=1e-3, atol=1e-5 * max(float(expected.max()), 1e-6))


@families
def test_pixels_and_names_are_the_processors(family):
    wrapped, processor = shared(family)
    assert wrapped.classes == list(LABELS.values())
    for picture in pictures(family):
        x, geometry = wrapped.preprocess(picture)
        assert torch.equal(x, processor(picture, return_tensors="pt")["pixel_values"][0])
        assert geometry.input == tuple(x.shape[1:])


@families
def test_maps_of_several_classes_are_those_of_plain_backward_passes(family):
    wrapped, _ = shared(family)
    x = torch.stack([wrapped.preprocess(picture)[0] for picture in pictures(family)])
    maps = mmcam.attribute(wrapped, x, [0, 1, 2, 4])
    assert maps.shape == (4, 2, *FAMILIES[family].cells)
    for t, index in enumerate([0, 1, 2, 4]):
        for n in range(2):
            score = lambda logits, index=index: logits[index]  # noqa: E731
            close(maps[t, n], gradcam(*evidence(wrapped.model, FAMILIES[family], x[n], score)))
    assert sum(bool((maps[t] > 0).any()) for t in range(4)) >= 3


@families
def test_the_layer_is_found_in_a_model_as_it_is(family):
    wrapped, _ = shared(family)
    x = wrapped.preprocess(photo(64, 96))[0]
    exp = mmcam.explain_class(wrapped.model, x, "dog")
    close(exp.values, gradcam(*evidence(wrapped.model, FAMILIES[family], x, lambda logits: logits[1])))


@families
def test_a_model_as_it_is(family):
    """Its names, and what it predicts; the layer named."""
    wrapped, _ = shared(family)
    model = wrapped.model
    x = wrapped.preprocess(photo(64, 96))[0]
    exp = mmcam.explain_class(model, x, "tabby", layer=FAMILIES[family].layer)
    assert exp.target == LABELS[0]
    close(exp.values, gradcam(*evidence(model, FAMILIES[family], x, lambda logits: logits[0])))
    with torch.no_grad():
        index = int(model(pixel_values=x[None]).logits.argmax())
    assert mmcam.explain_class(model, x, layer=FAMILIES[family].layer).target == LABELS[index]


@families
def test_the_default_layer(family):
    wrapped, _ = shared(family)
    exp = mmcam.explain_class(wrapped, photo(64, 96), "boat")
    assert exp.layer == f"model.{FAMILIES[family].layer}"
    assert exp.weights.abs().max() > 0


@families
@pytest.mark.parametrize("where", ["first", "right", "inside", "last"])
def test_the_patch_that_decides_is_found(family, where):
    """With nothing in the model that tells places apart, only the painted block can differ from the rest."""
    known = FAMILIES[family]
    h, w = known.cells
    cell = {"first": (0, 0), "right": (0, w - 1), "inside": (2, 1), "last": (h - 1, w - 1)}[where]
    model, processor = build(family)
    without_places(model)
    rows, columns = known.block(*cell)
    if family == "resnet":  # its pooling looks a pixel of its input, 2 of the picture's times 2, back
        rows, columns = (slice(s.start, s.stop - 8) for s in (rows, columns))
    picture = grey_but(*known.original, rows, columns)
    exp = mmcam.explain_class(wrap(model, processor), picture, "dog", method="hirescam", relu=False)
    apart = (exp.values - exp.values.median()).abs()
    odd = int(apart.argmax())
    assert divmod(odd, w) == cell
    rest = torch.cat([apart.flatten()[:odd], apart.flatten()[odd + 1 :]])
    assert rest.max() < 1e-3 * apart.max(), exp.values
    difference = np.abs(exp.heatmap - np.median(exp.heatmap[exp.heatmap != 0])) * (exp.heatmap != 0)
    found = [float(axis.mean()) for axis in np.nonzero(difference > 0.9 * difference.max())]
    for position, span in zip(found, known.block(*cell), strict=True):
        assert span.start <= position <= span.stop


def without_places(model):
    """As `without_positions`, and for Swin without attention, whose windows are places, too."""
    without_positions(model)
    if "Swin" in type(model).__name__:
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if "attention" in name and ("output" in name or "o_proj" in name or ".proj" in name):
                    parameter.zero_()


@families
def test_a_contrast_is_a_difference(family):
    wrapped, _ = shared(family)
    picture = photo(64, 96)
    exp = mmcam.explain_class(wrapped, picture, "dog", contrast="boat")
    assert exp.target == "dog rather than boat"
    x = wrapped.preprocess(picture)[0]
    close(exp.values, gradcam(*evidence(wrapped.model, FAMILIES[family], x, lambda s: s[1] - s[2])))


@families
def test_lists_of_pictures(family):
    wrapped, _ = shared(family)
    names = ["boat", ["dog", "car"]]
    found = mmcam.explain_class(wrapped, pictures(family), names)
    first, second = pictures(family)
    close(found[0].values, mmcam.explain_class(wrapped, first, "boat").values)
    for exp, name in zip(found[1], names[1], strict=True):
        alone = mmcam.explain_class(wrapped, second, name)
        assert exp.heatmap.shape == second.size[::-1]
        assert exp.score == pytest.approx(alone.score, abs=1e-4)
        close(exp.values, alone.values)


@families
def test_the_model_is_left_as_found(family):
    wrapped, _ = shared(family)
    wrapped.train()
    state = State(wrapped)
    mmcam.explain_class(wrapped, photo(64, 96), ["dog", "boat"])
    state.check()
    with pytest.raises(ExplainError, match="There is no class 'zebra'"):
        mmcam.explain_class(wrapped, photo(64, 96), "zebra")
    state.check()
    wrapped.eval()


@families
@pytest.mark.parametrize(("method", "options"), [("layercam", {}), ("occlusion", {"patch": 8, "stride": 8})])
def test_other_methods(family, method, options):
    wrapped, _ = shared(family)
    exp = mmcam.explain_class(wrapped, photo(64, 96), "dog", method=method, **options)
    assert exp.values.any()
    assert exp.heatmap.shape == (64, 96)


@families
def test_half_precision(family):
    model, processor = build(family)
    full = mmcam.explain_class(wrap(model, processor), photo(64, 96), "dog")
    half = mmcam.explain_class(wrap(model.bfloat16(), processor), photo(64, 96), "dog")
    assert np.corrcoef(full.values.flatten(), half.values.float().flatten())[0, 1] > 0.9


# Processors


PROCESSORS = [
    ("ViT", squashed(32, 48), (32, 48)),
    ("DeiT", squashed(48, 40) | {"crop_size": {"height": 32, "width": 32}}, (32, 32)),
    ("ConvNext", {"size": {"shortest_edge": 64}}, (64, 64)),
    ("ConvNext", {"size": {"shortest_edge": 64}, "crop_pct": 0.6}, (64, 64)),
    ("ConvNext", {"size": {"shortest_edge": 384}}, (384, 384)),
    ("CLIP", {"size": {"shortest_edge": 50}, "crop_size": {"height": 41, "width": 32}}, (41, 32)),
    ("CLIP", {"size": {"shortest_edge": 32}, "crop_size": {"height": 40, "width": 40}}, (40, 40)),
    ("EfficientNet", squashed(60, 60) | {"do_center_crop": True, "crop_size": {"height": 41, "width": 50}}, (41, 50)),
]


@pytest.mark.parametrize(("name", "settings", "sides"), PROCESSORS)
@pytest.mark.parametrize("size", [(64, 96), (231, 140), (50, 50)])
def test_geometry_and_colours(name, settings, sides, size):
    """A ramp's level tells which pixel of the picture a pixel of the input was."""
    import transformers as hf

    from mmcam.adapters.transformers.pictures import checked, preprocess_from

    maker = getattr(hf, f"{name}ImageProcessor")(**({"crop_pct": None} if name != "ConvNext" else {}), **settings)
    preprocess = checked(preprocess_from(maker))
    h, w = size
    levels = np.zeros((h, w, 3), dtype=np.uint8)
    levels[..., 0], levels[..., 1] = (np.arange(h) * (250 / h))[:, None], np.arange(w) * (250 / w)
    x, geometry = preprocess(Image.fromarray(levels))
    assert geometry.input == sides == tuple(x.shape[1:])
    assert geometry == preprocess.geometry(h, w)
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (preprocess.mean, preprocess.std))
    found = (x * std + mean) * 255 / 250
    for axis in (0, 1):
        centres = (torch.arange(sides[axis]) + 0.5 - geometry.offset[axis]) / geometry.scale[axis]
        seen = (centres > 2) & (centres < size[axis] - 2)  # a cut larger than the picture is filled up
        level = found[axis].select(1 - axis, sides[1 - axis] // 2) * size[axis] + 0.5
        assert (centres - level)[seen].abs().max() < 1.0 + size[axis] / 250


def test_efficientnets_steps_lead_back_to_the_colours():
    import transformers as hf

    from mmcam.adapters.transformers.pictures import preprocess_from

    picture = photo(32, 32)
    size = squashed(32, 32)
    for settings in (
        {"include_top": True},
        {"rescale_factor": 1 / 127.5, "rescale_offset": True, "do_normalize": False, "include_top": False},
        {"rescale_factor": 1 / 127.5, "rescale_offset": True, "include_top": True},
        {"do_normalize": False, "include_top": False},
    ):
        preprocess = preprocess_from(hf.EfficientNetImageProcessor(**size, **settings))
        shown = np.asarray(preprocess.denormalise(preprocess(picture)[0])).astype(int)
        assert np.abs(shown - np.asarray(picture).astype(int)).max() <= 1, settings


def test_a_processor_with_a_rule_of_its_own_is_refused():
    """LeViT's enlarges by a seventh before it cuts, which no setting says."""
    import transformers as hf

    model, _ = build("vit")
    maker = hf.LevitImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    with pytest.raises(ExplainError, match="LevitImageProcessor puts a picture's pixels where its settings do not say"):
        mmcam.wrap(model, maker)


def test_a_picture_too_elongated_for_a_cut():
    wrapped, _ = shared("resnet")
    with pytest.raises(PictureError, match="300000×1 pixels is too elongated"):
        mmcam.explain_class(wrapped, Image.new("RGB", (300_000, 1)), "dog")
