"""A comparison calls the explain functions as often as it must, and lays their answers out by what varies."""

import pytest
import torch
from PIL import Image
from tiny import SMALL, Captioner, Deep, seeded

import mmcam
from mmcam import ExplainError, Explanation
from mmcam.explanation import Explanations

PICTURE = Image.linear_gradient("L").convert("RGB").resize((40, 32))


def facts(exps):
    return [[(exp.target, exp.method, exp.layer) for exp in row] for row in exps]


@pytest.fixture(scope="module")
def model():
    return seeded(Deep, 32)


def compare(model, *args, **options):
    return mmcam.compare(model, PICTURE, *args, preprocess=SMALL, **options)


def test_one_thing_that_varies_is_a_list(model):
    for options in (
        {"targets": [0, 1]}, {"targets": 0, "methods": ["gradcam", "layercam"]},
        {"targets": [1], "layers": ["features.0", "features.2"]}, {},
    ):  # fmt: skip
        made = compare(model, **options)
        assert isinstance(made, Explanations)
        assert all(isinstance(exp, Explanation) for exp in made)
        assert len(made) == (2 if options else 1)


def test_rows_and_columns(model):
    two = {"methods": ["gradcam", "layercam"], "layers": ["features.0", "features.2"]}
    table = compare(model, [0, 1], methods=two["methods"])
    layer = table[0][0].layer
    assert facts(table) == [[(f"class {c}", m, layer) for m in two["methods"]] for c in (0, 1)]
    table = compare(model, 0, **two)
    assert facts(table) == [[("class 0", m, at) for at in two["layers"]] for m in two["methods"]]
    table = compare(model, [0, 1], **two)
    assert facts(table) == [[(f"class {c}", m, at) for at in two["layers"]] for c in (0, 1) for m in two["methods"]]


def test_each_map_is_the_explain_functions(model):
    table = compare(model, [0, 1], methods=["gradcam", "layercam"])
    for target, row in enumerate(table):
        for exp in row:
            alone = mmcam.explain_class(model, PICTURE, target, method=exp.method, preprocess=SMALL)
            torch.testing.assert_close(exp.values, alone.values)
            assert exp.score == pytest.approx(alone.score)


def test_targets_share_the_encoder(model):
    """A table of three targets runs the network as often as one of one."""
    counted = []
    handle = model.features[0].register_forward_hook(lambda *_: counted.append(1))
    try:
        compare(model, [0], layers="features.2")
        once = len(counted)
        counted.clear()
        compare(model, [0, 1, 2], layers="features.2")
    finally:
        handle.remove()
    assert len(counted) == once


def test_a_method_without_a_layer_is_asked_once(model):
    table = compare(model, 0, methods=["gradcam", "gradient"], layers=["features.0", "features.2"])
    assert [len(row) for row in table] == [2, 1]
    assert table.figure(dpi=60).axes


def test_words_of_a_caption():
    captioner = seeded(Captioner)
    made = mmcam.compare(captioner, PICTURE)
    assert [exp.target for exp in made] == ["a", "dog", "runs", "on", "the", "grass"]
    table = mmcam.compare(captioner, PICTURE, ["dog", "grass"], methods=["gradcam", "layercam"])
    assert [[exp.target for exp in row] for row in table] == [["dog", "dog"], ["grass", "grass"]]


def test_a_file_is_opened_once(model, tmp_path):
    PICTURE.save(tmp_path / "one.png")
    table = mmcam.compare(model, tmp_path / "one.png", [0, 1], methods=["gradcam", "layercam"], preprocess=SMALL)
    assert len({id(exp.image) for row in table for exp in row}) == 1


@pytest.mark.parametrize("name", ["targets", "methods", "layers"])
def test_nothing_to_compare(model, name):
    with pytest.raises(ExplainError, match=f"{name}= is empty"):
        compare(model, **{name: []})


def test_what_the_explain_function_refuses(model):
    with pytest.raises(ExplainError, match="nonsense"):
        compare(model, methods=["gradcam", "nonsense"])
    with pytest.raises(ExplainError):
        compare(model, 10_000)
