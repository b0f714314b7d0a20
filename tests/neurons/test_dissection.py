"""A dissection's files, names and tables, from tallies written by hand."""

import csv
import hashlib
import json
import math
import os
from dataclasses import fields, replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from mmcam import ExplainError
from mmcam.datasets.concepts import Concept
from mmcam.neurons.dissection import DETECTOR, Dissection
from mmcam.neurons.names import UnitName

TENSORS = ("thresholds", "both", "active", "truth", "exemplars", "spots", "peaks")
CONCEPTS = (
    Concept("dog", "object"),
    Concept("cat", "object"),
    Concept("ear", "part"),
    Concept("Strandkörbe", "scene"),
    Concept("cat", "part"),
)


@pytest.fixture
def dissection():
    """Units: 0 finds ears, and dogs; 1 is silent; 2 finds beaches; 3 nothing much, but parts of cats before cats."""
    return Dissection(
        concepts=CONCEPTS,
        thresholds=torch.tensor([0.5, 0.0, -1.25, 3e-8]),
        both=torch.tensor([[30, 5, 18, 10, 0], [0, 0, 0, 0, 0], [1, 1, 0, 300, 0], [1, 2, 1, 1, 2]]),
        active=torch.tensor([[60, 60, 40, 60, 40], [0, 0, 0, 0, 0], [9, 9, 9, 700, 9], [90, 90, 50, 90, 50]]),
        truth=torch.tensor([70, 100, 30, 400, 10]),
        exemplars=torch.tensor([[4, 0], [1, -1], [2, 3], [3, 1]]),
        spots=torch.rand(4, 2, 2),
        peaks=torch.tensor([[9.0, 8.0], [0.0, -torch.inf], [1.0, 0.5], [7.0, 6.0]]),
        shape=(7, 9),
        layer="features.2",
        model="Net",
        data="made up, in Łódź",
        pictures=5,
        quantile=0.005,
        sampled=0.25,
        skipped=((2, "Picture 2 is “broken”."), (5, "No.")),
        fingerprint="0123456789abcdef",
    )


def same(one, other):
    for field in fields(Dissection):
        a, b = getattr(one, field.name), getattr(other, field.name)
        if isinstance(a, torch.Tensor):
            assert a.dtype == b.dtype, field.name
            assert torch.equal(a, b), field.name
        else:
            assert a == b, field.name
            assert type(a) is type(b), field.name


# --- IoU and names ----------------------------------------------------------------------------------------------------

IOU = [
    [30 / 100, 5 / 155, 18 / 52, 10 / 450, 0],
    [0, 0, 0, 0, 0],
    [1 / 78, 1 / 108, 0, 300 / 800, 0],
    [1 / 159, 2 / 188, 1 / 79, 1 / 489, 2 / 58],
]


def test_iou_is_what_is_shared_of_the_union(dissection):
    assert dissection.iou.dtype == torch.float64
    assert dissection.iou.tolist() == IOU
    assert dissection.units == 4
    assert dissection.categories == ("object", "part", "scene")


def test_iou_is_zero_where_nothing_is_active_and_nothing_labelled(dissection):
    nothing = replace(dissection, both=dissection.both * 0, active=dissection.active * 0, truth=dissection.truth * 0)
    assert not nothing.iou.any()
    assert not nothing.names().units
    assert nothing.names(-1).count == 4


def test_iou_of_large_data_sets_is_exact(dissection):
    """2^24 + 1 pixels are not a number in single precision."""
    n = 2**24 + 1
    one = torch.tensor([[n]])
    big = replace(dissection, both=one, active=one * 3, truth=one[0] * 5, concepts=CONCEPTS[:1])
    assert big.iou.tolist() == [[n / (7 * n)]]
    big = replace(big, both=torch.tensor([[n]]), active=torch.tensor([[n]]), truth=torch.tensor([n - 1]))
    assert big.iou.tolist() == [[n / (n - 1)]]


def test_the_best_concept(dissection):
    assert dissection.best(0) == (Concept("ear", "part"), 18 / 52)
    assert dissection.best(0, "object") == (Concept("dog", "object"), 0.3)
    assert dissection.best(0, "scene") == (Concept("Strandkörbe", "scene"), 10 / 450)
    assert dissection.best(2) == (Concept("Strandkörbe", "scene"), 300 / 800)
    assert dissection.best(3, "object") == (Concept("cat", "object"), 2 / 188)
    assert dissection.best(3) == (Concept("cat", "part"), 2 / 58)
    assert dissection.best(1)[1] == 0


def test_units_and_categories_that_are_not_there(dissection):
    for unit in (-1, 4):
        with pytest.raises(ExplainError, match=rf"no unit {unit}; features.2 has units 0…3\."):
            dissection.best(unit)
    with pytest.raises(ExplainError, match="no category 'colour'; there are object, part, scene"):
        dissection.best(0, "colour")


def test_names_are_those_of_units_above_the_threshold(dissection):
    names = dissection.names()
    assert dict(names.units) == {0: UnitName("ear", "part", 18 / 52), 2: UnitName("Strandkörbe", "scene", 0.375)}
    assert (names.count, names.measure, names.layer) == (4, "IoU", "features.2")
    assert names.fingerprint == "0123456789abcdef"
    assert names.source == "Network Dissection with made up, in Łódź"
    assert DETECTOR == 0.04
    assert set(dissection.names(0.37).units) == {2}
    assert not dissection.names(0.375).units, "above, not at"
    assert set(dissection.names(0).units) == {0, 2, 3}
    assert dict(names.above(0.37).units) == dict(dissection.names(0.37).units)


def test_detectors_of_each_category_are_counted(dissection):
    assert dissection.detectors() == {"object": 0, "part": 1, "scene": 1}
    assert dissection.detectors(0) == {"object": 0, "part": 2, "scene": 1}
    assert dissection.detectors(0.9) == {"object": 0, "part": 0, "scene": 0}


def test_a_dissection_shows_itself_in_a_line(dissection):
    assert repr(dissection) == "Dissection(2 of 4 units of features.2 of Net named with made up, in Łódź)"


# --- files ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["", ".json", ".safetensors"])
def test_a_dissection_comes_back_as_it_was_saved(dissection, tmp_path, suffix):
    written = dissection.save(tmp_path / "new" / "resnet18.layer4")
    assert [path.name for path in written] == ["resnet18.layer4.safetensors", "resnet18.layer4.json"]
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == sorted(path.name for path in written)
    found = Dissection.load(tmp_path / "new" / f"resnet18.layer4{suffix}")
    same(found, dissection)
    assert repr(found) == repr(dissection)
    assert found.names() == dissection.names()


def test_counts_above_two_thousand_million_come_back(dissection, tmp_path):
    big = replace(dissection, both=dissection.both * 2**32, truth=torch.tensor([2**31, 0, 1, 2, 3]))
    big.save(tmp_path / "big")
    same(Dissection.load(tmp_path / "big"), big)
    dissection.save(tmp_path / "small")
    assert load_file(tmp_path / "small.safetensors")["both"].dtype == torch.int32


def test_a_layer_with_transposed_or_shared_tensors_can_be_saved(dissection, tmp_path):
    odd = replace(dissection, both=dissection.both.T.contiguous().T, active=dissection.both.T.contiguous().T)
    odd.save(tmp_path / "odd")
    same(Dissection.load(tmp_path / "odd"), odd)


def test_saving_again_replaces_both_files(dissection, tmp_path):
    dissection.save(tmp_path / "it")
    other = replace(dissection, both=dissection.both + 1, layer="features.4")
    other.save(tmp_path / "it")
    same(Dissection.load(tmp_path / "it"), other)
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("writes", [0, 1])
def test_a_file_appears_whole_or_not_at_all(dissection, tmp_path, monkeypatch, writes):
    """The disk is full after so many files."""
    dissection.save(tmp_path / "it")
    dissection.write_tally(tmp_path / "it.csv")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    opened, left = os.fdopen, iter([True] * writes)

    def full(*args, **kwargs):
        file = opened(*args, **kwargs)
        if not next(left, False):
            monkeypatch.setattr(file, "write", fail)
        return file

    def fail(content):
        raise OSError("No space left on device")

    monkeypatch.setattr(os, "fdopen", full)
    other = replace(dissection, both=dissection.both + 1, layer="features.4")
    with pytest.raises(OSError, match="No space"):
        other.save(tmp_path / "it")
    with pytest.raises(OSError, match="No space"):
        other.write_tally(tmp_path / "it.csv")
    after = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert after.keys() == before.keys()
    assert after == before, "the one that could be written waits for the other"


@pytest.mark.parametrize("missing", [(".json",), (".safetensors",), (".json", ".safetensors")])
def test_a_missing_file_is_one_sentence(dissection, tmp_path, missing):
    dissection.save(tmp_path / "it")
    for suffix in missing:
        (tmp_path / f"it{suffix}").unlink()
    with pytest.raises(ExplainError, match=r"no dissection at .*it: it has a \.json and a \.safetensors"):
        Dissection.load(tmp_path / "it")


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"[1, 2]", b"{}", b"null", b"3", b'"concepts"', b'{"concepts": 3}', b'{"concepts": [1]}',
     b'{"concepts": [{"name": "dog"}], "skipped": [], "shape": [1, 2]}', b"\xff\xfe\x00"],
)  # fmt: skip
def test_a_foreign_json_is_one_sentence(dissection, tmp_path, content):
    dissection.save(tmp_path / "it")
    (tmp_path / "it.json").write_bytes(content)
    with pytest.raises(ExplainError, match="it holds no dissection of mmcam"):
        Dissection.load(tmp_path / "it")


MAY_BE_MISSING = ("casts", "checksum", "shuffles")  # older files have none


def test_casts_are_kept_and_may_be_missing(dissection, tmp_path):
    _, file = replace(dissection, casts=("a", "b")).save(tmp_path / "it")
    assert Dissection.load(file).casts == Dissection.load(file).names().casts == ("a", "b")
    rest = json.loads(file.read_text(encoding="utf-8"))
    del rest["casts"]
    file.write_text(json.dumps(rest), encoding="utf-8")
    prove(tmp_path / "it")
    assert Dissection.load(file).casts == ()


def test_a_json_with_more_or_less_in_it_is_one_sentence(dissection, tmp_path):
    dissection.save(tmp_path / "it")
    whole = json.loads((tmp_path / "it.json").read_text(encoding="utf-8"))
    changed = [{**whole, "mood": "sunny"}, {**whole, "skipped": [3]}, {**whole, "shape": None}]
    changed += [
        {key: value for key, value in whole.items() if key != gone} for gone in whole if gone not in MAY_BE_MISSING
    ]
    for rest in changed:
        (tmp_path / "it.json").write_text(json.dumps(rest), encoding="utf-8")
        prove(tmp_path / "it")
        with pytest.raises(ExplainError, match="it holds no dissection of mmcam"):
            Dissection.load(tmp_path / "it")


def prove(path):
    """Give a changed pair of files the checksum of a true one."""
    rest = json.loads(Path(f"{path}.json").read_text(encoding="utf-8"))
    rest.pop("checksum", None)
    compact = json.dumps(dict(sorted(rest.items())), ensure_ascii=False)
    both = Path(f"{path}.safetensors").read_bytes() + compact.encode()
    rest["checksum"] = hashlib.sha256(both).hexdigest()
    Path(f"{path}.json").write_text(json.dumps(rest), encoding="utf-8")


def test_two_files_of_two_dissections_are_refused(dissection, tmp_path):
    """Also those that a killed process leaves, of the same sizes and kinds."""
    dissection.save(tmp_path / "one")
    replace(dissection, both=dissection.both + 1, layer="features.4").save(tmp_path / "two")
    for mine, theirs in (("one", "two"), ("two", "one")):
        for suffix, source in ((".json", mine), (".safetensors", theirs)):
            (tmp_path / f"mixed{suffix}").write_bytes((tmp_path / f"{source}{suffix}").read_bytes())
        with pytest.raises(ExplainError, match="are not of one dissection, or were changed, as the checksum says"):
            Dissection.load(tmp_path / "mixed")
    for name in ("one", "two"):
        Dissection.load(tmp_path / name)


def test_files_of_an_older_version_are_read_with_a_warning(dissection, tmp_path):
    _, file = dissection.save(tmp_path / "it")
    rest = json.loads(file.read_text(encoding="utf-8"))
    del rest["checksum"]
    file.write_text(json.dumps(rest), encoding="utf-8")
    with pytest.warns(UserWarning, match="has no checksum of .*, so nothing proves that they belong together"):
        older = Dissection.load(file)
    same(older, dissection)
    older.save(tmp_path / "new")
    same(Dissection.load(tmp_path / "new"), dissection)


WRONG = {
    "thresholds": [torch.zeros(()), torch.zeros(0), torch.zeros(3), torch.zeros(4, dtype=torch.long)],
    "both": [torch.zeros(3), torch.zeros(()), torch.zeros(3, 5, dtype=torch.long), -torch.ones(4, 5, dtype=torch.long)],
    "active": [torch.zeros(4, 5), torch.zeros(4, 4, dtype=torch.long)],
    "truth": [torch.zeros(4, dtype=torch.long), torch.full((5,), -1)],
    "exemplars": [torch.zeros(4, dtype=torch.long), torch.zeros(4, 9, dtype=torch.long), torch.zeros(4, 2)],
    "spots": [torch.zeros(4, 2, 3), torch.zeros(4, 2)],
    "peaks": [torch.zeros(4), torch.zeros(4, 2, dtype=torch.complex64)],
}


@pytest.mark.parametrize("name", WRONG)
def test_tensors_of_another_shape_or_kind_are_refused(dissection, tmp_path, name):
    file, _ = dissection.save(tmp_path / "it")
    tensors = load_file(file)
    for tensor in WRONG[name]:
        save_file({**tensors, name: tensor}, file)
        prove(tmp_path / "it")
        with pytest.raises(ExplainError, match="it holds no dissection of mmcam"):
            Dissection.load(tmp_path / "it")


ODD = [None, 3, -1, "x", {}, [3], [[1, 2]], [None], True, 1e400, math.nan]


@pytest.mark.parametrize("name", ["concepts", "shape", "layer", "model", "data", "pictures", "quantile", "sampled",
                                  "skipped", "fingerprint", "casts", "version"])  # fmt: skip
def test_what_loads_can_be_used(dissection, tmp_path, name):
    """Odd values of the other fields are refused in a sentence, or harmless."""
    _, file = dissection.save(tmp_path / "it")
    whole = json.loads(file.read_text(encoding="utf-8"))
    for value in ODD:
        file.write_text(json.dumps({**whole, name: value}), encoding="utf-8")
        with pytest.raises(ExplainError, match="or were changed, as the checksum says"):
            Dissection.load(file)
        prove(tmp_path / "it")
        try:
            found = Dissection.load(file)
        except ExplainError:
            continue
        assert isinstance(value, type(whole[name]))
        assert repr(found)
        found.detectors()
        found.write_tally(tmp_path / "tally.csv")


def test_a_folder_in_the_place_of_a_file_and_a_text_too_deep(dissection, tmp_path):
    _, file = dissection.save(tmp_path / "it")
    file.write_text("[" * 200_000, encoding="utf-8")
    with pytest.raises(ExplainError, match="it holds no dissection of mmcam"):
        Dissection.load(file)
    file.unlink()
    file.mkdir()
    with pytest.raises(ExplainError, match=r"cannot be read \(Is a directory\)"):
        Dissection.load(file)


def test_foreign_tensors_are_one_sentence(dissection, tmp_path):
    dissection.save(tmp_path / "it")
    file = tmp_path / "it.safetensors"
    whole, tensors = file.read_bytes(), load_file(file)
    for content in (b"", b"no tensors", whole[:-9], whole[:30]):
        file.write_bytes(content)
        with pytest.raises(ExplainError, match="are not of one dissection, or were changed, as the checksum says"):
            Dissection.load(tmp_path / "it")
    changed = [{"weight": torch.ones(3)}, {**tensors, "weight": torch.ones(3)}]
    changed += [{name: tensor for name, tensor in tensors.items() if name != gone} for gone in TENSORS]
    for content in changed:
        save_file(content, file)
        prove(tmp_path / "it")
        with pytest.raises(ExplainError, match="it holds no dissection of mmcam"):
            Dissection.load(tmp_path / "it")


def test_a_dissection_of_an_earlier_version_says_so(dissection, tmp_path):
    replace(dissection, version="0.0.1").save(tmp_path / "it")
    assert Dissection.load(tmp_path / "it").version == "0.0.1"


# --- NetDissect's table -----------------------------------------------------------------------------------------------


def test_the_tally_is_netdissects(dissection, tmp_path):
    path = dissection.write_tally(tmp_path / "new" / "tally.csv")
    with path.open(newline="", encoding="utf-8") as file:
        head, *rows = list(csv.reader(file))
    kinds = ("label", "truth", "activation", "intersect", "iou")
    columns = [f"{category}-{kind}" for category in ("object", "part", "scene") for kind in kinds]
    assert head == ["unit", "category", "label", "score", *columns]
    assert [row[:3] for row in rows] == [
        ["3", "scene", "Strandkörbe"],
        ["1", "part", "ear"],
        ["4", "part", "cat"],
        ["2", "object", "dog"],
    ]
    found = [dict(zip(head, row, strict=True)) for row in rows]
    assert [float(row["score"]) for row in found] == [300 / 800, 18 / 52, 2 / 58, 0]
    first = found[1]
    assert [first[f"object-{kind}"] for kind in kinds] == ["dog", "70", "60.0", "30", "0.3"]
    assert [first[f"part-{kind}"] for kind in kinds] == ["ear", "30", "40.0", "18", str(18 / 52)]
    assert [first[f"scene-{kind}"] for kind in kinds] == ["Strandkörbe", "400", "60.0", "10", str(10 / 450)]
    assert [found[2][f"part-{kind}"] for kind in kinds] == ["cat", "10", "50.0", "2", str(2 / 58)]
    for row in found:
        unit = int(row["unit"]) - 1
        for category in dissection.categories:
            concept, iou = dissection.best(unit, category)
            assert row[f"{category}-label"] == concept.name
            assert float(row[f"{category}-iou"]) == iou
            union = sum(float(row[f"{category}-{kind}"]) for kind in ("truth", "activation"))
            union -= float(row[f"{category}-intersect"])
            assert iou == float(row[f"{category}-intersect"]) / max(union, 1)


def test_units_of_equal_score_stay_in_order_and_names_may_hold_commas(dissection, tmp_path):
    concepts = [replace(concept, name=f'{concept.name}, "so" called') for concept in CONCEPTS]
    even = replace(dissection, concepts=concepts, both=dissection.both * 0)
    with even.write_tally(tmp_path / "tally.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["unit"] for row in rows] == ["1", "2", "3", "4"]
    assert {row["label"] for row in rows} == {'dog, "so" called'}
