"""An explanation from its file is the one that was saved; a file that is none says so in a sentence."""

import contextlib
import io
import json
import zipfile
from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from tiny import SMALL, VQA, Captioner, Deep, seeded

import mmcam
from mmcam import ExplainError, Explanation, Geometry, Preprocess, load_explanation
from mmcam.neurons.names import Names, UnitName
from mmcam.tasks.prediction import Prediction


def photograph(width=57, height=31):
    """Smooth, as photographs are, which JPEG keeps."""
    x, y = np.meshgrid(np.linspace(0, 6, width), np.linspace(0, 4, height))
    waves = np.stack([np.sin(x), np.cos(y), np.sin(x + y)], -1)
    return Image.fromarray((127 + 100 * waves).astype(np.uint8))


def same(one, other):
    """Two explanations are one, but for the pixels of the picture."""
    for field in fields(Explanation):
        a, b = getattr(one, field.name), getattr(other, field.name)
        if field.name == "origin":
            assert (a and a.fingerprint) == (b and b.fingerprint)
        elif isinstance(a, torch.Tensor):
            assert torch.equal(a, b), field.name
        elif field.name == "image":
            assert (a.size, a.mode) == (b.size, b.mode)
        else:
            assert a == b, field.name
    assert np.array_equal(one.heatmap, other.heatmap)
    assert (one.peak(), one.box(), one.summary()) == (other.peak(), other.box(), other.summary())


CROP = Preprocess(size=(24, 24), mode="crop", mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))
PAD = replace(CROP, mode="pad", size=(32, 32))


@pytest.mark.parametrize("method", ["gradcam", "layercam", "guided_backprop"])
@pytest.mark.parametrize("preprocess", [SMALL, CROP, PAD], ids=["squash", "crop", "pad"])
def test_what_is_loaded_is_what_was_saved(tmp_path, method, preprocess):
    if preprocess is CROP:
        model = seeded(Deep, 24)
    else:
        model = seeded(Deep, 32)
    exp = mmcam.explain_class(model, photograph(), 3, method=method, contrast=1, preprocess=preprocess)
    back = load_explanation(exp.save(tmp_path / "it.npz"))
    same(exp, back)
    assert np.array_equal(np.asarray(exp.image), np.asarray(back.image)), "small pictures are kept as they are"
    assert np.array_equal(np.asarray(exp.overlay()), np.asarray(back.overlay()))
    same(back, load_explanation(back.save(tmp_path / "again.npz")))


def test_a_caption_and_a_question_come_back_whole(tmp_path):
    caption = mmcam.explain_caption(seeded(Captioner), photograph())
    question = mmcam.explain_answer(seeded(VQA), photograph(), "what is on the grass", by_word=True)
    for made in (caption, question):
        back = load_explanation(made.save(tmp_path / "text.npz"))
        assert type(back) is type(made)
        assert back.text == made.text
        assert len(back) == len(made)
        for one, other in zip((*made, made.all), (*back, back.all), strict=True):
            same(one, other)


def test_shared_activations_are_kept_once(tmp_path):
    caption = mmcam.explain_caption(seeded(Captioner), photograph())
    with np.load(caption.save(tmp_path / "text.npz")) as data:
        names = sorted(data)
    assert [name for name in names if name.startswith("activations")] == ["activations.0"]
    assert len([name for name in names if name.startswith("values")]) == len(caption) + 1


@settings(deadline=None)  # files
@given(
    st.integers(1, 9), st.integers(1, 9), st.integers(1, 40), st.integers(1, 40), st.floats(0.01, 30),
    st.floats(-50, 50), st.integers(0, 2**32 - 1),
)  # fmt: skip
def test_any_map_comes_back_bit_for_bit(tmp_path_factory, h, w, height, width, scale, offset, seed):
    values = torch.randn(h, w, generator=torch.Generator().manual_seed(seed))
    geometry = Geometry((height, width), (32, 32), (scale, scale / 3), (offset, -offset))
    exp = Explanation(
        "dog", -0.1, values, None, "layer", "rise", "Net", Image.new("RGB", (width, height), "red"), geometry
    )
    same(exp, load_explanation(exp.save(tmp_path_factory.mktemp("maps") / "it.npz")))


def test_a_large_photograph_is_small(tmp_path):
    """The map is kept where it was made, the picture as a JPEG: about what the camera wrote."""
    picture = photograph(1600, 1200)
    geometry = Geometry((1200, 1600), (224, 224), (224 / 1200, 224 / 1600))
    exp = Explanation("dog", 1.0, torch.rand(7, 7), torch.rand(512), "layer4", "gradcam", "Net", picture, geometry)
    path = exp.save(tmp_path / "large.npz")
    assert path.stat().st_size < 0.1 * exp.heatmap.nbytes
    back = load_explanation(path)
    assert np.array_equal(back.heatmap, exp.heatmap)
    difference = np.abs(np.asarray(back.image, int) - np.asarray(picture, int))
    assert difference.mean() < 2


def test_a_loaded_explanation_says_why_for_its_own_weights_only(tmp_path):
    exp = mmcam.explain_class(seeded(Deep, 32), photograph(), 3, preprocess=SMALL)
    back = load_explanation(exp.save(tmp_path / "it.npz"))
    names = Names({unit: UnitName(f"thing {unit}") for unit in range(6)}, 6, fingerprint=exp.origin.fingerprint)
    assert str(back.why(names)) == str(exp.why(names))
    with pytest.raises(ExplainError, match="belong to other weights"):
        back.why(replace(names, fingerprint="0123456789abcdef"))


def test_a_prediction_comes_back(tmp_path):
    exp = mmcam.explain_class(seeded(Deep, 32), photograph(), preprocess=SMALL)
    assert isinstance(exp.prediction, Prediction)
    assert load_explanation(exp.save(tmp_path / "it.npz")).prediction == exp.prediction


# --- files that are none ----------------------------------------------------------------------------------------------


@pytest.fixture
def saved(tmp_path):
    exp = mmcam.explain_class(seeded(Deep, 32), photograph(), 3, preprocess=SMALL)
    return exp.save(tmp_path / "it.npz")


def refused(path, words):
    with pytest.raises(ExplainError) as caught:
        load_explanation(path)
    message = str(caught.value)
    assert words in message
    assert message.count("\n") == 0
    assert message.endswith(".")
    assert len(message) < 600


def test_no_file_another_file_and_half_a_file(tmp_path, saved):
    refused(tmp_path / "none.npz", "cannot be read (No such file or directory)")
    refused(tmp_path, "cannot be read (Is a directory)")
    refused("zero\0byte.npz", "cannot be read")
    refused(3, "not by a int")
    (tmp_path / "text.npz").write_text("dog")
    refused(tmp_path / "text.npz", "holds no explanation")
    np.savez(tmp_path / "other.npz", x=np.zeros(3))
    refused(tmp_path / "other.npz", "holds no explanation")
    whole = saved.read_bytes()
    for part in (0, 10, len(whole) // 2, len(whole) - 5):
        saved.write_bytes(whole[:part])
        refused(saved, "holds no explanation")


def test_a_file_of_the_first_version_says_what_to_do(tmp_path):
    meta = json.dumps({"target": "dog", "version": "0.1.0"})
    np.savez(tmp_path / "old.npz", heatmap=np.zeros((3, 4), np.float32), values=np.zeros((2, 2)), meta=np.array(meta))
    refused(tmp_path / "old.npz", "written by mmcam 0.1.0, which kept neither the picture nor where the map lies")


def test_a_file_of_a_later_version_says_so(saved):
    tampered(saved, lambda meta, arrays: meta.update(format=3))
    refused(saved, "written by another mmcam (3)")


def tampered(path, change):
    with np.load(path) as data:
        arrays = dict(data)
    meta = json.loads(str(arrays["meta"]))
    change(meta, arrays)
    arrays["meta"] = np.array(json.dumps(meta))
    np.savez(path, **arrays)


def entry(**changed):
    return lambda meta, arrays: meta["explanations"][0].update(changed)


def array(name, value):
    return lambda meta, arrays: arrays.update({name: value})


def gif():
    buffer = io.BytesIO()
    photograph().save(buffer, "GIF")
    return np.frombuffer(buffer.getvalue(), np.uint8)


CHANGES = [
    entry(values="weights"), entry(values=None), entry(values=[]), entry(values="nothing"), entry(weights=None),
    entry(sense=0), entry(sense="1"), entry(options=[]), entry(target=3), entry(context=None), entry(score="high"),
    entry(score=True), entry(geometry=None), entry(geometry={}), entry(origin=7), entry(prediction=[]),
    entry(prediction={"class": 1.5}),
    lambda meta, arrays: meta["explanations"][0]["geometry"].update(scale=[0, 1]),
    lambda meta, arrays: meta["explanations"][0]["geometry"].update(scale=[float("nan"), 1]),
    lambda meta, arrays: meta["explanations"][0]["geometry"].update(original=[10**6, 10**6]),
    lambda meta, arrays: meta["explanations"][0]["geometry"].update(original=[31.0, 57.0]),
    lambda meta, arrays: meta["explanations"][0]["geometry"].update(original=[57, 31]),
    lambda meta, arrays: meta["explanations"][0]["geometry"].update(input=[32]),
    lambda meta, arrays: meta.update(explanations=[]),
    lambda meta, arrays: meta.update(explanations={}),
    lambda meta, arrays: meta.update(kind="caption"),
    lambda meta, arrays: meta.update(kind=["caption"]),
    lambda meta, arrays: meta.pop("kind"),
    lambda meta, arrays: arrays.pop("picture"),
    array("values", np.zeros((0, 4), np.float32)), array("values", np.zeros((4, 4))),
    array("values", np.array([{"a": 1}], dtype=object)), array("weights", np.zeros(5, np.float32)),
    array("picture", np.zeros(9, np.uint8)), array("picture", np.zeros((2, 2), np.uint8)), array("picture", gif()),
]  # fmt: skip


@pytest.mark.parametrize("change", CHANGES, ids=range(len(CHANGES)))
def test_a_tampered_file_is_one_sentence(saved, change):
    tampered(saved, change)
    refused(saved, "holds no explanation of mmcam (")


def test_what_is_not_json_is_one_sentence(saved):
    with np.load(saved) as data:
        arrays = dict(data)
    for meta in ("{", "[]", "3", "[" * 100_000):
        np.savez(saved, **(arrays | {"meta": np.array(meta)}))
        refused(saved, "holds no explanation")


def test_a_file_that_claims_to_be_huge_is_not_unpacked(tmp_path, saved, monkeypatch):
    with np.load(saved) as data:
        unpacked = sum(array.nbytes for array in data.values())
    assert unpacked < 100_000
    monkeypatch.setattr("mmcam.explanation.load.LARGEST", 100_000)
    assert load_explanation(saved)
    with zipfile.ZipFile(saved, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zeros.npy", bytes(10**6))
    refused(saved, "unpacks to more than")
    header = np.lib.format.header_data_from_array_1_0(np.zeros(1, np.float32)) | {"shape": (2**40, 2**20)}
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, header)
    with zipfile.ZipFile(tmp_path / "claims.npz", "w") as archive:
        archive.writestr("values.npy", buffer.getvalue())
    refused(tmp_path / "claims.npz", "holds no explanation")


CHANGED = st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=4)


@settings(deadline=None)  # files
@given(CHANGED)
def test_no_changed_byte_raises_anything_else(tmp_path_factory, changes):
    """What is read in spite of it is an explanation all the same."""
    geometry = Geometry((7, 9), (8, 8))
    exp = Explanation(
        "dog", 1.0, torch.ones(2, 2), torch.ones(3), "layer", "gradcam", "Net", photograph(9, 7), geometry
    )
    path = exp.save(tmp_path_factory.mktemp("bytes") / "it.npz")
    whole = bytearray(path.read_bytes())
    for place, value in changes:
        whole[int(place * len(whole))] = value
    path.write_bytes(whole)
    with contextlib.suppress(ExplainError):
        assert isinstance(load_explanation(path), Explanation)
