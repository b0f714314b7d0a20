"""What is told as a fact, what with a "perhaps", and what as an answer to photographs of a class."""

import json
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from mmcam import ExplainError
from mmcam.datasets.concepts import Concept
from mmcam.neurons import dissection_file
from mmcam.neurons.dissection import Dissection
from mmcam.neurons.names import UnitName, of_a_layer
from mmcam.neurons.selectivity import Selectivity
from mmcam.neurons.sentence import Reason, sentence

CONCEPTS = (Concept("dog", "object"), Concept("red", "colour"))


def dissected(**changes):
    """IoUs of .5, .05, .05, 0 with a dog and .02 with red; 9 of 99 shuffles reach unit 2's IoU."""
    return replace(
        Dissection(
            concepts=CONCEPTS,
            thresholds=torch.ones(4),
            both=torch.tensor([[50, 2], [5, 2], [5, 2], [0, 2]]),
            active=torch.tensor([[50, 50], [5, 50], [5, 50], [50, 50]]),
            truth=torch.tensor([100, 52]),
            exemplars=torch.zeros(4, 1, dtype=torch.long),
            spots=torch.zeros(4, 1, 2),
            peaks=torch.ones(4, 1),
            shape=(2, 2),
            layer="features",
            model="Planted",
            data="made up",
            pictures=9,
            quantile=0.005,
            sampled=1.0,
            skipped=(),
            fingerprint="0123",
            reached=torch.tensor([[0, 9], [0, 9], [9, 9], [99, 9]]),
            shuffles=99,
        ),
        **changes,
    )


def selective(**changes):
    return replace(
        Selectivity(
            concept=torch.tensor([1, 0, 1, 1]),
            index=torch.tensor([0.9, 0.9, 0.75, 0.4]),
            p=torch.tensor([0.005, 0.005, 0.005, 0.005]),
            concepts=(Concept("bird", "class"), Concept("Great Dane", "class")),
            data="photographs",
            photographs=80,
            fingerprint="0123",
        ),
        **changes,
    )


@pytest.mark.parametrize(
    ("score", "p", "measure", "doubtful"),
    [
        (0.05, 0.05, "IoU", False), (0.9, 0.051, "IoU", True), (0.05, None, "IoU", True), (0.1, None, "IoU", True),
        (0.11, None, "IoU", False), (0.05, None, "similarity", False), (None, None, "", False), (0.7, 0.2, "", True),
    ],
)  # fmt: skip
def test_when_a_name_is_doubtful(score, p, measure, doubtful):
    assert UnitName("dog", "object", score, p).doubtful(measure) is doubtful


def test_a_dissection_knows_what_chance_gives():
    names = dissected().names()
    assert {unit: (name.name, name.p, name.doubtful("IoU")) for unit, name in names.units.items()} == {
        0: ("dog", 0.02, False), 1: ("dog", 0.02, False), 2: ("dog", 0.1, True),
    }  # fmt: skip
    untested = dissected(reached=None, shuffles=0)
    assert untested.p is None
    assert [name.doubtful("IoU") for name in untested.names().units.values()] == [False, True, True]


@given(st.lists(st.floats(0.001, 1), min_size=1, max_size=12))
def test_p_is_adjusted_for_the_number_of_units(p):
    """As the paper does: all up to the greatest rank k with p ≤ k·α/K are kept."""
    adjusted = of_a_layer(torch.tensor(p, dtype=torch.float64)).tolist()
    for alpha in (0.0303, 0.0507, 0.2013):
        ranks = [k for k, each in enumerate(sorted(p), start=1) if each <= k * alpha / len(p)]
        cut = sorted(p)[ranks[-1] - 1] if ranks else -1
        assert [each <= alpha for each in adjusted] == [each <= cut for each in p]


def test_classes_name_what_masks_do_not():
    """Unit 2 has a doubtful name, which gives way; unit 3's index is too low."""
    known = dissected(selectivity=selective()).known()
    assert {unit: (name.name, name.seen_in) for unit, name in known.units.items()} == {
        0: ("dog", "places"), 1: ("dog", "places"), 2: ("Great Dane", "photographs"),
    }  # fmt: skip
    assert known.source == "Network Dissection with made up, class selectivity with photographs"
    doubtful = selective(p=torch.full((4,), 0.06), index=torch.full((4,), 0.6))
    known = dissected(selectivity=doubtful).known()
    assert [known.units[unit].seen_in for unit in range(4)] == ["places", "places", "places", "photographs"]
    assert known.units[3].doubtful("IoU")
    assert dissected().known() == dissected().names()
    assert dissected(selectivity=selective()).names() == dissected().names()


def test_a_selectivity_of_other_weights_is_refused():
    with pytest.raises(ExplainError, match="The selectivity belongs to other weights or another layer than features"):
        dissected(selectivity=selective(fingerprint="4567"))


# --- in words ---------------------------------------------------------------------------------------------------------


def reason(unit, name, speaks="for", seen_in="places", perhaps=False, fit=0.5, amount=1.0):
    sign = 1 if speaks == "for" else -1
    return Reason(unit, name, "", fit, sign * amount, sign * amount, speaks, None, seen_in, perhaps)


def told(*reasons, claim="It says “dog”"):
    sides = ([r for r in reasons if r.speaks == side] for side in ("for", "against"))
    return sentence(claim, *sides, "IoU").removeprefix(claim + " ")


EAR, PERHAPS = reason(0, "ear"), reason(1, "tail", perhaps=True, fit=0.05)
BIRD, MAYBE = reason(2, "bird", seen_in="photographs"), reason(3, "cat", seen_in="photographs", perhaps=True)
CAR, BOAT = reason(4, "car", "against"), reason(5, "boat", "against", "photographs", fit=0.8)


@pytest.mark.parametrize(
    ("reasons", "text"),
    [
        ([EAR, PERHAPS], "because it sees ear (unit 0, IoU .50) and perhaps tail (unit 1, IoU .05)."),
        ([PERHAPS], "because it sees perhaps tail (unit 1, IoU .05)."),
        ([BIRD], "because units speak for it that answer to photographs of “bird” (unit 2, selectivity .50)."),
        (
            [BIRD, MAYBE, EAR],
            "because it sees ear (unit 0, IoU .50), and units speak for it that answer to photographs of “bird” (unit "
            "2, selectivity .50) and perhaps of “cat” (unit 3, selectivity .50).",
        ),
        (
            [EAR, CAR, BOAT],
            "because it sees ear (unit 0, IoU .50); despite car (unit 4, IoU .50), and units that answer to "
            "photographs of “boat” (unit 5, selectivity .80).",
        ),
        (
            [BOAT],
            "despite units that answer to photographs of “boat” (unit 5, selectivity .80); no unit speaks for it.",
        ),
        (
            [reason(0, "ear", perhaps=True, fit=0.05), reason(6, "ear", fit=0.3)],
            "because it sees ear (units 0 and 6, IoU .05 and .30).",
        ),
        (
            [reason(0, "bird"), BIRD],
            "because it sees bird (unit 0, IoU .50), and units speak for it that answer to photographs of “bird” (unit "
            "2, selectivity .50).",
        ),
    ],
)  # fmt: skip
def test_sentences(reasons, text):
    assert told(*reasons) == text


def test_the_model_is_named_where_it_would_be_a_word():
    claim = "The word “dog” is likely"
    assert told(EAR, claim=claim) == "because the model sees ear (unit 0, IoU .50)."


# --- files ------------------------------------------------------------------------------------------------------------


def test_the_test_and_the_classes_are_kept(tmp_path):
    made = dissected(selectivity=selective())
    made.save(tmp_path / "it")
    read = Dissection.load(tmp_path / "it")
    assert torch.equal(read.reached, made.reached)
    assert read.shuffles == 99
    for name in ("concept", "index", "p"):
        assert torch.equal(getattr(read.selectivity, name), getattr(made.selectivity, name)), name
    for name in ("concepts", "data", "photographs", "fingerprint"):
        assert getattr(read.selectivity, name) == getattr(made.selectivity, name), name
    assert read.known() == made.known()


def test_a_dissection_without_either_is_kept_as_before(tmp_path):
    arrays, rest = dissected(reached=None, shuffles=0).save(tmp_path / "it")
    assert load_file(arrays).keys() == set(dissection_file.ALWAYS)
    written = json.loads(rest.read_text())
    assert "selectivity" not in written
    del written["shuffles"], written["checksum"]  # as an older mmcam wrote it
    written["checksum"] = dissection_file.checksum(arrays.read_bytes(), written)
    rest.write_text(json.dumps(written))
    read = Dissection.load(tmp_path / "it")
    assert (read.reached, read.shuffles, read.selectivity) == (None, 0, None)


@pytest.mark.parametrize(
    ("tensors", "fields"),
    [
        ({"reached": torch.full((4, 2), 100)}, {}),
        ({"reached": torch.full((4, 2), -1)}, {}),
        ({"reached": torch.zeros(4, 3, dtype=torch.int)}, {}),
        ({"reached": None}, {}),
        ({}, {"shuffles": 0}),
        ({}, {"shuffles": -1}),
        ({}, {"shuffles": 2.5}),
        ({"selectivity.concept": torch.full((4,), 2)}, {}),
        ({"selectivity.p": torch.zeros(4)}, {}),
        ({"selectivity.index": torch.full((4,), float("nan"))}, {}),
        ({"selectivity.index": None}, {}),
        ({}, {"selectivity": 3}),
        ({}, {"selectivity": {"data": "photographs", "concepts": []}}),
        ({}, {"selectivity": {"data": 3, "photographs": 80, "concepts": [{"name": "a", "category": "b"}] * 2}}),
    ],
)
def test_broken_files_are_one_sentence(tmp_path, tensors, fields):
    arrays, rest = dissected(selectivity=selective()).save(tmp_path / "it")
    held = {name: tensor for name, tensor in {**load_file(arrays), **tensors}.items() if tensor is not None}
    save_file(held, arrays)
    written = json.loads(rest.read_text()) | fields
    del written["checksum"]
    written["checksum"] = dissection_file.checksum(arrays.read_bytes(), written)
    rest.write_text(json.dumps(written))
    with pytest.raises(ExplainError, match="it holds no dissection of mmcam; make it again with `mmcam dissect`"):
        Dissection.load(tmp_path / "it")
