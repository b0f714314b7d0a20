"""Explanations in words, on models whose weights are planted, so every sentence and number is known beforehand.

Channel k of a picture is unit k of the layer, and a score is w · mean(A) + b over its Z cells: α = w/Z, and the
contributions of all units sum to (score - b)/Z.
"""

import copy
import gc
import io
import pickle
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from tiny import SMALL, VQA, Captioner, Deep, Gap, Stubborn, pictures, seeded, upsampled
from torch import nn

import mmcam
from mmcam import METHODS, ExplainError, Explanation, Geometry, explain_answer, explain_caption, explain_class
from mmcam.datasets.concepts import Concept
from mmcam.drawing.overlay import draw_overlay
from mmcam.errors import PictureError
from mmcam.neurons import why as why_module
from mmcam.neurons.dissection import Dissection
from mmcam.neurons.fingerprint import fingerprint
from mmcam.neurons.names import Names, UnitName
from mmcam.neurons.narration import Reason, Why, narrate, sentence

K, Z = 8, 16
MEANS = (1, 2, 0.75, 1, 0, 3, 1, 1)  # of each unit in the picture; unit 4 sees nothing
DOG = (4, 1, 6, -2, 9, -1, 0.5, 0)
CAT = (1, -3, 0, 2, 0, 1, 0, 0)
UNITS = {
    0: UnitName("ear", "part", 0.31),
    1: UnitName("fur", "object", 0.0625),
    2: UnitName("ear", "part", 0.22),
    3: UnitName("beach", "scene", 0.5),
    4: UnitName("wheel", "part", 0.4),
    5: UnitName("red", "colour", 0.12),
    7: UnitName("striped", "texture", 0.25),
}
NAMES = Names(UNITS, K, "IoU")

EAR = "ear (units 2 and 0, IoU .22 and .31)"
FUR, WHEEL, STRIPED = "perhaps fur (unit 1, IoU .06)", "wheel (unit 4, IoU .40)", "a striped pattern (unit 7, IoU .25)"
BEACH, RED = "a beach scene (unit 3, IoU .50)", "the colour red (unit 5, IoU .12)"
WHY_DOG = f"because it sees {EAR} and {FUR}; despite {RED} and {BEACH}."  # 4.5, 4, 2; -3, -2
WHY_NOT_CAT = f"because it sees {FUR} and {EAR}; despite {RED} and {BEACH}."  # 8, 4.5, 3; -6, -4
WHY_THE_MODEL = WHY_DOG.replace("it sees", "the model sees")  # where "it" would be a word or a score
NOTHING = "; none of the units that matter most to it has a name."


def scene(*means):
    """A picture (K,4,4): channel k has this mean, all of it in cell k."""
    x = torch.zeros(len(means), 4, 4)
    for k, mean in enumerate(means):
        x[k].view(-1)[k] = Z * mean
    return x


class Seeing(nn.Module):
    """Its layer `features` shows the picture's channels as they are: A = ReLU(x)."""

    def __init__(self, units=K):
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(units, units, 1, bias=False), nn.ReLU())
        nn.init.dirac_(self.features[0].weight)


class Planted(Seeing):
    """A classifier: global average pool and one linear layer."""

    def __init__(self, weights=(DOG, CAT), bias=None, classes=("dog", "cat")):
        super().__init__(len(weights[0]))
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(len(weights[0]), len(weights))
        self.fc.weight.data = torch.tensor(weights, dtype=torch.float32)
        self.fc.bias.data = torch.zeros(len(weights)) if bias is None else torch.tensor(bias)
        self.classes = classes

    def forward(self, x):
        return self.fc(self.pool(self.features(x)).flatten(1))


def unit(k, weight=1):
    return [weight * (i == k) for i in range(K)]


class Teller(Seeing):
    """A captioner whose words' scores are linear in the pooled features."""

    WORDS = {"": unit(6), "a": unit(7), "dog": DOG, "cat": CAT, "runs": unit(6, 2), "big": unit(4, 2)}  # noqa: RUF012

    def __init__(self):
        super().__init__()
        self.table = nn.Parameter(torch.tensor(list(self.WORDS.values()), dtype=torch.float32))

    def token_log_probs(self, x, tokens):
        pooled = self.features(x).mean((2, 3))
        return (self.table[tokens] * pooled[:, None]).sum(-1)

    def generate(self, x):
        return [self.encode("a big dog runs") for _ in x]

    def encode(self, caption):
        return [list(self.WORDS).index(word) for word in caption.split()]

    def words(self, tokens):
        return [(list(self.WORDS)[token], [i]) for i, token in enumerate(tokens)]

    def attention(self, x, tokens):
        return {"only": torch.ones(*tokens.shape, 4, 4) / Z}


class Answering(Seeing):
    """A VQA model: a question's words add up, each with a factor of its own, so "thing" turns every score round."""

    FACTORS = {"what": 1.0, "thing": -0.5, "now": 0.25, "and": 0.0}  # noqa: RUF012
    answers = ("dog", "cat")

    def __init__(self):
        super().__init__()
        self.table = nn.Parameter(torch.tensor([DOG, CAT], dtype=torch.float32))

    def answer_scores(self, x, questions):
        factors = torch.tensor([sum(self.FACTORS[word] for word in question.split()) for question in questions])
        return factors[:, None] * (self.features(x).mean((2, 3)) @ self.table.T)


@pytest.fixture
def model():
    return Planted().eval()


@pytest.fixture
def dog(model):
    """The model stays alive as long as the fixture."""
    return explain_class(model, scene(*MEANS), "dog", layer="features")


@pytest.fixture
def teller():
    return Teller().eval()


@pytest.fixture
def answering():
    return Answering().eval()


def refused(ask):
    """The message of the ExplainError that `ask()` raises: one sentence."""
    with pytest.raises(ExplainError) as error:
        ask()
    message = str(error.value)
    assert message.endswith(".")
    assert ". " not in message
    return message


# --- what was said ----------------------------------------------------------------------------------------------------


def test_a_class(dog):
    why = dog.why(NAMES)
    assert str(why) == why.text == f"It says “dog” {WHY_DOG}"
    assert why.explanation is dog
    assert (why.measure, why.dissection) == ("IoU", None)


def test_the_predicted_class_and_one_without_a_name(model):
    assert explain_class(model, scene(*MEANS)).why(NAMES).text == f"It says “dog” {WHY_DOG}"
    model.classes = None
    assert explain_class(model, scene(*MEANS), 0).why(NAMES).text == f"It says “class 0” {WHY_DOG}"


def test_a_contrast_of_classes(model):
    exp = explain_class(model, scene(*MEANS), "dog", contrast="cat")
    assert exp.why(NAMES).text == f"It says “dog” rather than “cat” {WHY_NOT_CAT}"


def test_a_function(model):
    def brightness(out):
        return out[:, 0]

    assert explain_class(model, scene(*MEANS), brightness).why(NAMES).text == (
        f"“brightness” is as high as it is {WHY_THE_MODEL}"
    )
    unnamed = explain_class(model, scene(*MEANS), lambda out: out[:, 0])
    assert unnamed.why(NAMES).text == f"“score” is as high as it is {WHY_THE_MODEL}"


def test_a_word_of_a_caption(teller):
    exp = explain_caption(teller, scene(*MEANS), "dog")
    assert exp.why(NAMES).text == f"It says “dog” in “a big dog runs” {WHY_DOG}"
    put = explain_caption(teller, scene(*MEANS), "dog", caption="a cat runs", position=1)
    assert put.why(NAMES).text == f"It says “dog” in “a dog runs” {WHY_DOG}"


def test_a_phrase(teller):
    exp = explain_caption(teller, scene(*MEANS), "dog runs")
    assert exp.why(NAMES).text == f"It says “dog runs” in “a big dog runs” {WHY_DOG}"
    assert [reason.unit for reason in exp.why(NAMES).table] == [2, 0, 6, 1, 5, 3], "unnamed 6 is told by no text"


def test_a_word_rather_than_another(teller):
    exp = explain_caption(teller, scene(*MEANS), "dog", contrast="cat")
    assert exp.why(NAMES).text == f"It says “dog” rather than “cat” in “a big dog runs” {WHY_NOT_CAT}"


def test_a_whole_caption(teller):
    whole = explain_caption(teller, scene(*MEANS)).whole
    assert whole.why(NAMES).text == (
        f"It says “a big dog runs” because it sees {EAR}, {FUR} and {STRIPED}; despite {RED} and {BEACH}."
    )
    every = explain_caption(teller, scene(*MEANS), "a big dog runs")
    assert every.why(NAMES).text == whole.why(NAMES).text, "a phrase that is all of the caption"
    one = explain_caption(teller, scene(*MEANS), "dog", caption="dog", contrast="cat")
    assert one.why(NAMES).text == f"It says “dog” rather than “cat” {WHY_NOT_CAT}"


def test_every_word_of_a_caption(teller):
    made = explain_caption(teller, scene(*MEANS)).why(NAMES, k=4)
    told = [why.text for why in made]
    assert told[0] == f"It says “a” in “a big dog runs” because it sees {STRIPED}."
    assert told[2] == f"It says “dog” in “a big dog runs” {WHY_DOG}"
    assert told[3] == f"It says “runs” in “a big dog runs”{NOTHING}"
    assert len(told) == 4
    assert made[1].table == (), "the only unit that weighs for “big” sees nothing"
    by_weight = explain_caption(teller, scene(*MEANS)).why(NAMES, by="weight")[1]
    assert by_weight.text == f"It says “big” in “a big dog runs” because it sees {WHEEL}."


def test_an_answer(answering):
    exp = explain_answer(answering, scene(*MEANS), "what now")
    assert exp.why(NAMES).text == f"It answers “dog” to “what now” {WHY_DOG}"
    other = explain_answer(answering, scene(*MEANS), "what now", "dog", contrast="cat")
    assert other.why(NAMES).text == f"It answers “dog” rather than “cat” to “what now” {WHY_NOT_CAT}"


def test_a_word_of_a_question_speaks_for_or_against(answering):
    asked = explain_answer(answering, scene(*MEANS), "what thing and", "dog", by_word=True)
    assert [word.score for word in asked] == pytest.approx([6, -3, 0])
    what, thing, and_ = asked.why(NAMES)
    assert what.text == f"The word “what” of “what thing and” speaks for “dog” {WHY_THE_MODEL}"
    assert thing.text == f"The word “thing” of “what thing and” speaks against “dog” {WHY_THE_MODEL}"
    assert and_.text.startswith("The word “and” of “what thing and” speaks for “dog”")
    assert asked.answer.why(NAMES).text == f"It answers “dog” to “what thing and” {WHY_DOG}"
    # What weighs for "against" is what lowers the answer's score: the weights are turned, and so is the text.
    assert float(asked[1].weights[2]) == pytest.approx(-0.5 * 6 / Z)
    assert thing.table[0].weight == pytest.approx(0.5 * 6 / Z)
    assert thing.table[0].contribution == pytest.approx(0.5 * 4.5 / Z)
    both = explain_answer(answering, scene(*MEANS), "what thing", "dog", contrast="cat", by_word=True)
    assert both.why(NAMES)[1].text == (
        f"The word “thing” of “what thing” speaks against “dog” rather than “cat” "
        f"{WHY_NOT_CAT.replace('it sees', 'the model sees')}"
    )


def test_a_similarity_and_a_policys_choice():
    """What is told of the picture, or of the state, is seen by the model."""

    class Fitting(Planted):
        def similarity(self, x, texts):
            logits = self(x)
            return torch.stack([row[("dog", "cat").index(text)] for row, text in zip(logits, texts, strict=True)])

    fits = mmcam.explain_similarity(Fitting().eval(), scene(*MEANS), "dog")
    assert fits.why(NAMES).text == f"The picture fits “dog” {WHY_THE_MODEL}"
    policy, state = Planted().eval(), scene(*MEANS)
    policy.actions = ("dog", "cat")
    assert mmcam.explain_action(policy, state).why(NAMES).text == f"It chooses “dog” {WHY_DOG}"
    rated = mmcam.explain_action(policy, state, score="q")
    assert rated.why(NAMES).text == f"It rates “dog” as it does {WHY_DOG}"


def test_several_pictures_and_targets(model):
    dim = (0, 0, 0, 1, 1, 0, 0, 2)
    made = explain_class(model, [scene(*MEANS), scene(*dim)], [["dog", "cat"], ["dog"]])
    told = [[exp.why(NAMES).text for exp in row] for row in made]
    for row, means, wanted in zip(told, (MEANS, dim), (("dog", "cat"), ("dog",)), strict=True):
        assert row == [explain_class(model, scene(*means), target).why(NAMES).text for target in wanted]
    assert told[0][0] == f"It says “dog” {WHY_DOG}"
    assert told[1] == [f"It says “dog” because it sees {WHEEL}; despite {BEACH}."]


def test_captions_of_several_pictures(teller):
    dim = (0, 0, 0, 1, 1, 0, 0, 2)
    made = explain_caption(teller, [scene(*MEANS), scene(*dim)], caption=["a dog runs", "dog"])
    assert made[0].why(NAMES)[1].text == f"It says “dog” in “a dog runs” {WHY_DOG}"
    (alone,) = made[1].why(NAMES)
    assert alone.text == f"It says “dog” because it sees {WHEEL}; despite {BEACH}."


# --- numbers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bias", [(0.0, 0.0), (0.75, -2.5)])
def test_weights_are_the_classifiers_and_contributions_sum_to_the_score(bias):
    model = Planted(bias=bias).eval()
    for index, weights in enumerate((DOG, CAT)):
        exp = explain_class(model, scene(*MEANS), index)
        why = exp.why(NAMES, k=K)
        for reason in why.table:
            assert reason.weight == pytest.approx(weights[reason.unit] / Z)
            assert reason.contribution == pytest.approx(weights[reason.unit] * MEANS[reason.unit] / Z)
            assert reason.speaks == ("for" if reason.contribution > 0 else "against")
        assert sum(reason.contribution for reason in why.table) * Z + bias[index] == pytest.approx(exp.score)
        assert {reason.unit for reason in why.table} == {k for k in range(K) if weights[k] * MEANS[k]}


def test_contributions_are_the_mean_of_the_map_before_its_relu():
    model = seeded(Deep)
    exp = explain_class(model, pictures(1)[0], 2, relu=False)
    why = exp.why(Names({}, 6), k=6)
    assert sum(reason.contribution for reason in why.table) == pytest.approx(float(exp.values.mean()), rel=1e-4)


def test_the_table_holds_names_and_unnamed_units(dog):
    table = dog.why(NAMES).table
    assert table[0] == Reason(2, "ear", "part", 0.22, 6 / Z, 4.5 / Z, "for")
    assert table[3] == Reason(6, "", "", None, 0.5 / Z, 0.5 / Z, "for")
    assert table[4] == Reason(5, "red", "colour", 0.12, -1 / Z, -3 / Z, "against")
    assert [reason.unit for reason in table] == [2, 0, 1, 6, 5, 3]


def test_by_weight_finds_units_that_see_nothing(dog):
    why = dog.why(NAMES, by="weight")
    assert why.text == f"It says “dog” because it sees {WHEEL}, {EAR} and {FUR}; despite {BEACH} and {RED}."
    assert why.table[0] == Reason(4, "wheel", "part", 0.4, 9 / Z, 0.0, "for")
    assert [reason.unit for reason in why.table] == [4, 2, 0, 1, 6, 3, 5]
    assert 4 not in {reason.unit for reason in dog.why(NAMES, by="contribution", k=K).table}


@pytest.mark.parametrize(
    ("k", "by", "told"),
    [
        (1, "contribution", f"because it sees ear (unit 2, IoU .22); despite {RED}."),
        (2, "contribution", f"because it sees {EAR}; despite {RED} and {BEACH}."),
        (3, "contribution", WHY_DOG),
        (100, "contribution", WHY_DOG),
        (1, "weight", f"because it sees {WHEEL}; despite {BEACH}."),
    ],
)
def test_k_units_on_either_side(dog, k, by, told):
    why = dog.why(NAMES, k=k, by=by)
    assert why.text == f"It says “dog” {told}"
    assert max(sum(reason.speaks == side for reason in why.table) for side in ("for", "against")) <= k


def test_an_unnamed_unit_takes_a_place_among_the_k(model):
    """As in the paper: the names of the top 5, not the top 5 names."""
    bare = Names({k: name for k, name in UNITS.items() if k != 2}, K, "IoU")
    why = explain_class(model, scene(*MEANS), "dog").why(bare, k=1)
    assert why.text == f"It says “dog” despite {RED}; the units that speak most for it have no name."


def test_threshold(dog):
    assert dog.why(NAMES, threshold=0.0625).text == (f"It says “dog” because it sees {EAR}; despite {RED} and {BEACH}.")
    assert dog.why(NAMES, threshold=0.3).text == (
        f"It says “dog” because it sees ear (unit 0, IoU .31); despite {BEACH}."
    )
    assert dog.why(NAMES, threshold=0.9).text == f"It says “dog”{NOTHING}"
    low = Names(UNITS | {1: UnitName("fur", "object", 0.04), 0: UnitName("ear", "part", 0.0401)}, K, "IoU")
    assert "fur" not in dog.why(low).text, "not at Network Dissection's threshold, above it"
    assert "ear (units 2 and 0, IoU .22 and .04)" in dog.why(low).text
    assert dog.why(NAMES, threshold=0.3).table[0].name == "", "a name that does not count stands nowhere"


def test_names_without_scores_always_count(dog):
    bare = Names({k: UnitName(name.name) for k, name in UNITS.items()}, K)
    assert dog.why(bare, threshold=0.9).text == (
        "It says “dog” because it sees ear (units 2 and 0) and fur (unit 1); despite red (unit 5) and beach (unit 3)."
    )


def test_names_by_similarity(dog):
    names = Names({2: UnitName("a dog's ear", "", 4.75), 0: UnitName("fur, brown", "", 0.875)}, K, "similarity")
    why = dog.why(names)
    assert why.text == (
        "It says “dog” because it sees a dog's ear (unit 2, similarity 4.75) and fur, brown (unit 0, similarity .88)."
    )
    assert why.measure == "similarity"


def test_a_black_picture(model):
    """Every contribution is 0, so no unit did anything."""
    exp = explain_class(model, torch.zeros(K, 4, 4), "dog")
    assert exp.why(NAMES).table == ()
    assert not re.search("because|despite", exp.why(NAMES).text)
    assert len(exp.why(NAMES, k=K, by="weight").table) == 7


# --- grammar ----------------------------------------------------------------------------------------------------------


def reasons(*given, speaks="for"):
    """Units 0, 1, … of (name, category, fit), some left out."""
    full = [(*each, *("", "object", 0.5)[len(each) :]) for each in given]
    return [Reason(i, name, category, fit, 1.0, 1.0, speaks) for i, (name, category, fit) in enumerate(full)]


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ([("ear",)], "ear (unit 0, IoU .50)"),
        ([("ear",), ("fur",)], "ear (unit 0, IoU .50) and fur (unit 1, IoU .50)"),
        ([("a",), ("b",), ("c",)], "a (unit 0, IoU .50), b (unit 1, IoU .50) and c (unit 2, IoU .50)"),
        ([("a",), ("",), ("c",)], "a (unit 0, IoU .50) and c (unit 2, IoU .50)"),
        ([("ear", "part", 0.31), ("ear", "part", 0.22)], "ear (units 0 and 1, IoU .31 and .22)"),
        ([("ear",), ("fur",), ("ear",)], "ear (units 0 and 2, IoU .50 and .50) and fur (unit 1, IoU .50)"),
        ([("ear", "", x) for x in (0.1, 0.2, 0.3)], "ear (units 0, 1 and 2, IoU .10, .20 and .30)"),
        (
            [("orange", "object", 0.3), ("orange", "colour", 0.2)],
            "orange (unit 0, IoU .30) and the colour orange (unit 1, IoU .20)",
        ),
        ([("red", "color")], "the colour red (unit 0, IoU .50)"),
        ([("striped", "texture")], "a striped pattern (unit 0, IoU .50)"),
        ([("interlaced", "texture")], "an interlaced pattern (unit 0, IoU .50)"),
        ([("street", "scene")], "a street scene (unit 0, IoU .50)"),
        ([("Alley", "scene")], "an Alley scene (unit 0, IoU .50)"),
        ([("urban", "scene")], "an urban scene (unit 0, IoU .50)"),
        ([("wood", "material")], "wood (unit 0, IoU .50)"),
        ([("ear", "part", None)], "ear (unit 0)"),
        ([("ear", "part", 0.25), ("ear", "part", None)], "ear (units 0 and 1)"),
        ([("ear", "part", 1.0)], "ear (unit 0, IoU 1.00)"),
        ([("ear", "part", 0.999)], "ear (unit 0, IoU 1.00)"),
        ([("ear", "part", 0.0)], "ear (unit 0, IoU .00)"),
        ([("ear", "part", -0.125)], "ear (unit 0, IoU -0.12)"),
        ([("ear", "part", 10.05)], "ear (unit 0, IoU 10.05)"),
    ],
)
def test_what_is_seen(given, told):
    assert sentence("It says", reasons(*given), [], "IoU") == f"It says because it sees {told}."
    against = reasons(*given, speaks="against")
    assert sentence("It says", reasons(("x",)), against, "IoU") == (
        f"It says because it sees x (unit 0, IoU .50); despite {told}."
    )


def weighing(*given):
    """Units 0, 1, … of (name, category, contribution, weight); the two sides."""
    every = [
        Reason(i, name, category, 0.5, weight, share, "for" if share > 0 else "against")
        for i, (name, category, share, weight) in enumerate(given)
    ]
    return [reason for reason in every if reason.speaks == "for"], [r for r in every if r.speaks == "against"]


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ([("ear", "part", 3, 1), ("ear", "part", -1, -1)], "because it sees ear (unit 0)."),
        ([("ear", "part", 3, 1), ("fur", "", 1, 1), ("ear", "part", -4, -1)],
         "because it sees fur (unit 1); despite ear (unit 2)."),
        ([("ear", "part", 3, 1), ("ear", "part", 2, 1), ("ear", "part", -4, -1), ("sky", "", -1, -1)],
         "because it sees ear (units 0 and 1); despite sky (unit 3)."),
        ([("ear", "part", 3, 1), ("ear", "object", -4, -1)],
         "despite ear (unit 1); what speaks for it speaks more against it."),
        ([("ear", "part", 2, 1), ("ear", "part", -2, -1)], "because it sees ear (unit 0)."),
        ([("orange", "colour", 2, 1), ("orange", "object", -3, -1)],
         "because it sees the colour orange (unit 0); despite orange (unit 1)."),
        ([("", "", 3, 1), ("sky", "", 1, 1), ("", "", -9, -1)], "because it sees sky (unit 1)."),
    ],
)  # fmt: skip
def test_a_name_stands_on_one_side(given, told):
    """Where the sum of its units lies."""
    assert sentence("It says", *weighing(*given), "") == f"It says {told}"


def test_a_name_stands_where_its_weights_lie_if_they_are_what_is_sorted():
    sides = weighing(("ear", "part", 3, 1), ("ear", "part", -1, -2))
    assert sentence("It says", *sides, "") == "It says because it sees ear (unit 0)."
    assert sentence("It says", *sides, "", "weight") == (
        "It says despite ear (unit 1); what speaks for it speaks more against it."
    )


def test_what_fits_is_told_only_if_it_is_known_what_that_is():
    assert sentence("It says", reasons(("ear",)), [], "") == "It says because it sees ear (unit 0)."


def test_one_side_or_none():
    nameless, named = reasons(("",)), reasons(("sky",))
    assert sentence("It says", named, nameless, "IoU") == "It says because it sees sky (unit 0, IoU .50)."
    assert sentence("It says", named, [], "IoU") == "It says because it sees sky (unit 0, IoU .50)."
    assert sentence("It says", nameless, named, "IoU") == (
        "It says despite sky (unit 0, IoU .50); the units that speak most for it have no name."
    )
    assert sentence("It says", [], named, "IoU") == "It says despite sky (unit 0, IoU .50); no unit speaks for it."
    assert sentence("It says", nameless, nameless, "IoU") == f"It says{NOTHING}"


# --- any units, any names ---------------------------------------------------------------------------------------------


def synthetic(weights, activations, sense=1, **fields):
    """An Explanation with these weights (K) and activations (K,h,w), made by nobody."""
    h, w = activations.shape[1:]
    cam = torch.einsum("k,khw->hw", weights, activations)
    size = Geometry((h, w), (h, w))
    given = {"target": "it", "layer": "features", "method": "gradcam", "model": "Net", "claim": "It is so"} | fields
    image = Image.new("RGB", (w, h), "grey")
    return Explanation(
        score=1.0, values=cam.relu(), weights=weights, image=image, geometry=size, sense=sense,
        activations=activations, **given,
    )  # fmt: skip


NAMED = st.builds(
    UnitName,
    st.sampled_from(["ear", "fur", "sky", "red"]),
    st.sampled_from(["object", "part", "colour", "texture", "scene", ""]),
    st.none() | st.floats(0, 1),
)


@st.composite
def situations(draw):
    """(weights, activations, names): any signs, ties and zeros among them."""
    units = draw(st.integers(1, 12))
    values = st.sampled_from([-2.0, -1.0, -0.5, 0.0, 0.25, 1.0, 3.0])
    weights = torch.tensor(draw(st.lists(values, min_size=units, max_size=units)))
    seen = torch.tensor(draw(st.lists(values, min_size=4 * units, max_size=4 * units))).view(units, 2, 2)
    names = draw(st.dictionaries(st.integers(0, units - 1), NAMED))
    return weights, seen, Names(names, units, draw(st.sampled_from(["IoU", "similarity", ""])))


def called(name):
    """Parts and objects are told alike."""
    return name.name, name.category if name.category in ("colour", "texture", "scene") else ""


def units_told(text):
    """The units that a text names, in its order, repeated if it repeats itself."""
    lists = re.findall(r"\(units? (\d+(?:, \d+)*(?: and \d+)?)", text)
    return [int(number) for each in lists for number in re.findall(r"\d+", each)]


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    situations(),
    st.integers(1, 6),
    st.sampled_from(["contribution", "weight"]),
    st.sampled_from([0.04, 0.5]),
    st.sampled_from([1, -1]),
)
def test_text_and_table_agree_whatever_comes(situation, k, by, threshold, sense):
    weights, seen, names = situation
    why = narrate(synthetic(weights, seen, sense), names, k=k, by=by, threshold=threshold)
    known = {u: name for u, name in names.units.items() if name.score is None or name.score > threshold}
    alpha = sense * weights.double()
    share = alpha * seen.double().mean((1, 2))
    value = share if by == "contribution" else alpha
    listed = [reason.unit for reason in why.table]
    assert len(set(listed)) == len(listed)
    for reason in why.table:
        name = known.get(reason.unit, UnitName(""))
        assert (reason.name, reason.category, reason.fit) == (name.name, name.category, name.score)
        assert reason.weight == pytest.approx(float(alpha[reason.unit]))
        assert reason.contribution == pytest.approx(float(share[reason.unit]))
    sides = {side: [reason.unit for reason in why.table if reason.speaks == side] for side in ("for", "against")}
    assert listed == sides["for"] + sides["against"]
    for side, sign in (("for", 1), ("against", -1)):
        strengths = [sign * float(value[u]) for u in sides[side]]
        assert strengths == sorted(strengths, reverse=True)
        every = sorted((sign * float(v) for v in value if sign * v > 0), reverse=True)
        assert strengths == pytest.approx(every[:k])
    assert why.text.startswith("It is so")
    assert why.text.endswith(".")
    strengths = share if by == "contribution" else alpha
    sums = {}
    for unit in (u for u in listed if u in known):
        sums[called(known[unit])] = sums.get(called(known[unit]), 0) + float(strengths[unit])
    names_of = {side: {called(known[u]) for u in sides[side] if u in known} for side in sides}
    both = names_of["for"] & names_of["against"]
    lost = {"for": {n for n in both if sums[n] < 0}, "against": {n for n in both if sums[n] >= 0}}
    because, _, despite = why.text.partition("despite ")
    for part, side in ((because, "for"), (despite, "against")):
        told = units_told(part)
        grouped = [n for n in dict.fromkeys(called(known[u]) for u in sides[side] if u in known) if n not in lost[side]]
        assert told == [u for name in grouped for u in sides[side] if u in known and called(known[u]) == name]
        assert len(re.findall(r"\(units? ", part)) == len(grouped), "each name once"
    if lost["for"] == names_of["for"] != set():
        assert "because" not in why.text
        assert why.text.endswith("; what speaks for it speaks more against it.")


# --- turned signs -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["gradcam", "xgradcam", "cam"])
@pytest.mark.parametrize("by", ["contribution", "weight"])
def test_a_counterfactual_map_has_the_same_reasons(model, method, by):
    plain, turned = (
        explain_class(model, scene(*MEANS), "dog", method=method, counterfactual=turn) for turn in (False, True)
    )
    assert plain.values.max() > 0
    assert not torch.equal(plain.values, turned.values)
    torch.testing.assert_close(turned.weights, -plain.weights)
    assert turned.why(NAMES, by=by).text == plain.why(NAMES, by=by).text
    assert turned.why(NAMES, by=by).table == plain.why(NAMES, by=by).table


def test_counterfactual_maps_of_words(teller, answering):
    for contrast in (None, "cat"):
        words, questions = [], []
        for turn in (False, True):
            options = {"contrast": contrast, "counterfactual": turn}
            words.append(explain_caption(teller, scene(*MEANS), "dog", **options).why(NAMES))
            asked = explain_answer(answering, scene(*MEANS), "what thing now", "dog", by_word=True, **options)
            questions.append([asked.answer.why(NAMES), *asked.why(NAMES)])
        assert words[0].text == words[1].text
        for plain, turned in zip(*questions, strict=True):
            assert plain.text == turned.text
            assert plain.table == turned.table


# --- what cannot be told ----------------------------------------------------------------------------------------------


def test_absolute_gradients_have_no_sign(model):
    exp = explain_class(model, scene(*MEANS), "dog", absolute=True)
    assert refused(lambda: exp.why(NAMES)) == (
        "With absolute=True no weight tells for from against; leave it out to ask why."
    )
    signed = explain_class(model, scene(*MEANS), "dog", absolute=False, relu=False)
    assert signed.why(NAMES).text == f"It says “dog” {WHY_DOG}"


@pytest.mark.parametrize("names", [None, "models/dissections/vignette-classifier", {0: "ear"}])
def test_names_that_are_none(dog, names):
    assert refused(lambda: dog.why(names)) == (
        f"The names of units are a Dissection or Names, and {names!r} is neither; pass for example "
        "mmcam.Dissection.load(path)."
    )


@pytest.mark.parametrize("options", [{"k": 0}, {"k": -2}, {"by": "activation"}])
def test_senseless_options(dog, options):
    message = refused(lambda: dog.why(NAMES, **options))
    assert message in {
        "k=0 units tell nothing; it is at least 1.",
        "k=-2 units tell nothing; it is at least 1.",
        "There is no by='activation'; choose 'contribution' or 'weight'.",
    }


INSIDE = ("attention", "tokens")  # they ask for models with attention or words of their own
SMALL_RUNS = {
    "smoothgrad": {"n": 2},
    "smooth_gradcam++": {"n": 2},
    "rise": {"n": 4, "cells": 2},
    "occlusion": {"patch": 2, "stride": 2},
    "integrated_gradients": {"steps": 2},
    "extremal": {"steps": 2, "step": 2},
    "gscorecam": {"share": 1.0},  # of few channels a tenth is one
}
WEIGHING = {
    "gradcam", "gradcam++", "xgradcam", "scorecam", "gscorecam", "ablationcam", "cam", "smooth_gradcam++",
    "guided_gradcam", "deconv_gradcam",
}  # fmt: skip


@pytest.mark.parametrize(
    "method", [name for name, method in METHODS.items() if method.family not in ("attention", "tokens")]
)
def test_a_method_says_why_or_that_it_cannot(model, method):
    exp = explain_class(model, scene(*MEANS), "dog", method=method, **SMALL_RUNS.get(method, {}))
    assert exp.claim == "It says “dog”"
    if method in WEIGHING:
        assert exp.weights.shape == (K,)
        torch.testing.assert_close(exp.activations, scene(*MEANS))
        assert exp.why(NAMES).table
        return
    assert exp.weights is None
    assert exp.activations is None
    assert exp.origin is None
    message = refused(lambda: exp.why(NAMES))
    assert message == (
        f"The map was made by {method} at {exp.layer}, which gives no weight to each unit of one layer; explain with "
        "method='gradcam' and one layer to ask why."
    )


def test_a_method_of_ones_own_that_keeps_its_activations_to_itself(model):
    @mmcam.register("mean_gradient", "Nobody, Nowhere")
    def compute(question):
        maps = METHODS["gradcam"](question)
        return replace(maps, activations=None)

    try:
        exp = explain_class(model, scene(*MEANS), "dog", method="mean_gradient")
    finally:
        del METHODS["mean_gradient"]
    assert exp.weights.shape == (K,)
    assert "made by mean_gradient at features, which gives no weight" in refused(lambda: exp.why(NAMES))


def test_fused_layers_weigh_no_units(model):
    exp = explain_class(model, scene(*MEANS), "dog", layer=["features.0", "features"])
    assert "made by gradcam at features.0 + features, which gives no weight" in refused(lambda: exp.why(NAMES))
    alone = explain_class(model, scene(*MEANS), "dog", layer=["features"])
    assert alone.why(NAMES).text == f"It says “dog” {WHY_DOG}"


def test_attention_weighs_no_units(teller):
    exp = explain_caption(teller, scene(*MEANS), method="attention")
    assert "made by attention at attention, which" in refused(lambda: exp.why(NAMES))


# --- every method that weighs units also gives them -------------------------------------------------------------------

MASK = torch.zeros(8, 8, dtype=torch.bool)
MASK[2:6, 1:7] = True


@pytest.mark.parametrize("method", sorted(WEIGHING - {"guided_gradcam", "deconv_gradcam"}))
@pytest.mark.parametrize("chosen", [{}, {"units": [1, 3]}, {"mask": MASK}, {"units": [0, 1, 3], "mask": MASK}])
def test_weights_and_activations_make_the_map(method, chosen):
    model = seeded(Gap if method == "cam" else Deep)
    x = pictures(2, 8 if method == "cam" else 16)
    options = chosen | SMALL_RUNS.get(method, {})
    made = explain_class(model, list(x), [[0, 3]] * 2, layer="features", method=method, **options)
    with torch.no_grad():
        features = model.features(x)
    units = torch.zeros(features.shape[1])
    units[chosen.get("units", slice(None))] = 1
    features = features * units[:, None, None] * chosen.get("mask", torch.ones(8, 8))
    largest = 0.0
    for n, row in enumerate(made):
        for exp in row:
            torch.testing.assert_close(exp.activations, features[n])
            summed = torch.einsum("k,khw->hw", exp.weights, exp.activations)
            expected = summed if method == "cam" else summed.relu()
            torch.testing.assert_close(exp.values, expected, rtol=1e-4, atol=1e-6)
            assert exp.weights[units == 0].eq(0).all()
            largest = max(largest, float(exp.values.max()))
    assert largest > 0, "empty maps agree with anything"


@pytest.mark.parametrize("options", [{"counterfactual": True}, {"absolute": True}, {"pooling": "max"}, {"relu": False}])
def test_gradcams_own_options(options):
    exp = explain_class(seeded(Deep), pictures(1)[0], 1, **options)
    summed = torch.einsum("k,khw->hw", exp.weights, exp.activations)
    torch.testing.assert_close(exp.values, summed if "relu" in options else summed.relu(), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("build", [Captioner, Stubborn])
@pytest.mark.parametrize("method", ["gradcam", "ablationcam", "smooth_gradcam++"])
def test_activations_of_a_captioner_are_each_pictures_own(build, method):
    """Also where the rows of a contrast stand behind those of the pictures."""
    model, images = seeded(build), pictures(2, 32)
    with torch.no_grad():
        features = model.encoder(images)
    for contrast in (None, "cat"):
        made = explain_caption(model, list(images), "a", caption="a dog runs", contrast=contrast, method=method)
        for exp, own in zip(made, features, strict=True):
            torch.testing.assert_close(exp.activations, own)
    words = explain_caption(model, list(images), method=method)[1]
    for exp in words:
        torch.testing.assert_close(exp.activations, features[1])


def test_activations_of_a_question_are_each_pictures_own():
    model, images = seeded(VQA), pictures(2, 32)
    with torch.no_grad():
        features = model.encoder(images)
    for made, own in zip(explain_answer(model, list(images), "is it red", by_word=True), features, strict=True):
        for exp in (made.answer, *made):
            torch.testing.assert_close(exp.activations, own)


def test_a_chosen_unit_is_all_that_is_told(model):
    exp = explain_class(model, scene(*MEANS), "dog", units=[2, 5])
    assert exp.why(NAMES).text == f"It says “dog” because it sees ear (unit 2, IoU .22); despite {RED}."
    assert [reason.unit for reason in exp.why(NAMES).table] == [2, 5]
    cells = torch.ones(4, 4)
    cells[0, 2] = 0  # where unit 2 is active
    masked = explain_class(model, scene(*MEANS), "dog", mask=cells)
    assert "ear (unit 0, IoU .31)" in masked.why(NAMES).text


# --- whose names ------------------------------------------------------------------------------------------------------


def own(model, layer="features", **fields):
    return Names(**{"units": UNITS, "count": K, "measure": "IoU", "fingerprint": fingerprint(model, layer)} | fields)


def test_names_of_these_weights(model, dog):
    assert dog.why(own(model)).text == f"It says “dog” {WHY_DOG}"
    with torch.no_grad():
        model.fc.weight.mul_(2)  # behind the layer: its units are what they were
    assert dog.why(own(model)).text == f"It says “dog” {WHY_DOG}"
    assert explain_class(model, scene(*MEANS), "dog").why(own(Planted())).text == f"It says “dog” {WHY_DOG}"


def test_names_of_changed_weights_are_refused(model):
    names = own(model)
    with torch.no_grad():
        model.features[0].weight[0, 0] += 1e-3
    changed = explain_class(model, scene(*MEANS), "dog", layer="features")
    assert refused(lambda: changed.why(names)) == (
        "These names belong to other weights or another layer; dissect this Planted at features."
    )
    told = replace(names, layer="features")
    assert "another layer (made at features); dissect" in refused(lambda: changed.why(told))
    assert changed.why(own(model)).text == f"It says “dog” {WHY_DOG}"


def test_names_of_another_layer_or_model_are_refused(model, dog):
    assert "belong to other weights" in refused(lambda: dog.why(own(model, "features.0")))
    assert "belong to other weights" in refused(lambda: dog.why(own(seeded(Gap, 8))))
    before = explain_class(model, scene(*MEANS), "dog", layer="features.0")
    assert "belong to other weights" in refused(lambda: before.why(own(model)))
    assert before.why(own(model, "features.0")).text == f"It says “dog” {WHY_DOG}"
    found = dissected(seeded(Gap, 8))
    assert "belong to other weights" in refused(lambda: dog.why(found))


def test_names_of_nobody_in_particular(dog):
    """Imported ones know no weights: they are taken at their word, unless they name units the layer does not have."""
    few = Names({2: UnitName("ear")}, 3)
    assert dog.why(few).text == "It says “dog” because it sees ear (unit 2)."
    for units, count, fit in (({8: "x"}, 9, None), ({0: "x", 4: "y"}, 2048, None), ({0: "x", 8: "y"}, 9, 0.01)):
        names = Names({k: UnitName(name, "", fit) for k, name in units.items()}, count, "IoU")
        assert refused(lambda names=names: dog.why(names)) == (
            f"The names are those of {count} units, and features has 8: they belong to another layer or model."
        )
    beyond = Names({0: UnitName("x"), 8: UnitName("y")}, 2)  # says less than it names
    assert refused(lambda: dog.why(beyond)).startswith("The names are those of 9 units, and features has 8")
    assert dog.why(Names({}, 0)).text == f"It says “dog”{NOTHING}"


def test_names_of_all_units_of_a_smaller_layer_are_refused(dog):
    """A source that lists every unit of its layer proves that a layer with more is another one."""
    every = Names({k: UnitName("ear") for k in range(3)}, 3, complete=True)
    assert refused(lambda: dog.why(every)) == (
        "The names are those of 3 units, and features has 8: they belong to another layer or model."
    )
    assert dog.why(replace(every, complete=False)).text == "It says “dog” because it sees ear (units 2, 0 and 1)."
    assert dog.why(replace(NAMES, complete=True)).text == f"It says “dog” {WHY_DOG}"


def test_the_model_may_be_out_of_sight():
    names = own(Planted().eval())
    exp = explain_class(Planted().eval(), scene(*MEANS), "dog", layer="features")
    gc.collect()
    assert b"Conv2d" in pickle.dumps(Planted())
    assert b"Conv2d" not in pickle.dumps(exp), "the model stays at home"
    assert exp.why(names).text == f"It says “dog” {WHY_DOG}"
    again = pickle.loads(pickle.dumps(exp))
    assert again.why(names).text == f"It says “dog” {WHY_DOG}"
    assert again.why(names).table == exp.why(NAMES).table
    assert "other weights" in refused(lambda: again.why(own(Planted(), "features.0")))
    twice = pickle.loads(pickle.dumps(again))
    assert twice.why(names).text == again.why(names).text


def test_copies_know_whose_they_are(model, dog):
    assert copy.deepcopy(dog).why(own(model)).text == f"It says “dog” {WHY_DOG}"
    assert "other weights" in refused(lambda: copy.copy(dog).why(own(model, "features.0")))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_other_precisions(model, dtype):
    """All these weights are exact in half precision, so the names of the full model still belong to it."""
    names = own(model)
    exp = explain_class(model.to(dtype), scene(*MEANS), "dog", layer="features")
    assert exp.activations.dtype == dtype
    assert exp.why(names).text == f"It says “dog” {WHY_DOG}"
    assert exp.why(names).table[0] == Reason(2, "ear", "part", 0.22, 6 / Z, 4.5 / Z, "for")
    assert exp.why(names).figure().mode == "RGB"


def test_callers_without_gradients(model):
    for mode in (torch.no_grad, torch.inference_mode):
        with mode():
            exp = explain_class(model, scene(*MEANS), "dog", layer="features")
            assert exp.why(own(model)).text == f"It says “dog” {WHY_DOG}"


# --- with a dissection ------------------------------------------------------------------------------------------------

CONCEPTS = (
    Concept("ear", "part"), Concept("fur", "object"), Concept("beach-s", "scene"), Concept("wheel", "part"),
    Concept("red-c", "color"), Concept("striped", "texture"),
)  # fmt: skip
BEST = {0: (0, 31), 1: (1, 6), 2: (0, 22), 3: (2, 50), 4: (3, 40), 5: (4, 12), 6: (1, 3), 7: (5, 25)}
COLOURS = ["red", "green", "blue", "yellow", "purple", "orange", "white", "black"]


def dissected(model, layer="features", **fields):
    """Unit k detects the concept BEST[k] with an IoU of so many hundredths, and is strongest in pictures k, k+1, …"""
    both = torch.zeros(K, len(CONCEPTS), dtype=torch.long)
    for k, (concept, hundredths) in BEST.items():
        both[k, concept] = hundredths
    exemplars = (torch.arange(K)[:, None] + torch.arange(4)) % K
    peaks = torch.full((K, 4), 3.0)
    peaks[0, 1:] = 0.5  # unit 0 is active in one picture only
    exemplars[1, 2:] = -1  # unit 1 in two
    given = {
        "concepts": CONCEPTS, "thresholds": torch.ones(K), "both": both, "active": both.clone(),
        "truth": torch.full((len(CONCEPTS),), 100), "exemplars": exemplars, "spots": torch.full((K, 4, 2), 0.5),
        "peaks": peaks, "shape": (4, 4), "layer": layer, "model": type(model).__name__, "data": "plain colours",
        "pictures": K, "quantile": 0.005, "sampled": 1.0, "skipped": (), "fingerprint": fingerprint(model, layer),
    }  # fmt: skip
    return Dissection(**given | fields)


class Colours:
    """Picture i is one colour all over; those in `broken` cannot be read."""

    def __init__(self, name="plain colours", broken=()):
        self.name, self.concepts, self.broken = name, CONCEPTS, broken

    def __len__(self):
        return len(COLOURS)

    def picture(self, index):
        if index in self.broken:
            raise PictureError(f"Picture {index} is broken.")
        return Image.new("RGB", (50, 40), COLOURS[index])

    def labels(self, index):
        return []


def test_a_dissection_gives_the_names(model, dog):
    found = dissected(model)
    why = dog.why(found)
    assert why.text == f"It says “dog” {WHY_DOG}"
    assert why.dissection is found
    assert dog.why(found, threshold=0.01).table[3].name == "fur", "unit 6 has an IoU of .03"
    assert dog.why(found, threshold=0.02).text == dog.why(found.names(0.0), threshold=0.02).text
    assert "perhaps fur (units 1 and 6, IoU .06 and .03)" in dog.why(found, threshold=0.02).text
    assert dog.why(found, threshold=0.9).text == f"It says “dog”{NOTHING}"
    assert dog.why(found.names()).dissection is None
    assert found.names().complete


# --- figures ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def drawn(monkeypatch):
    """What is handed to draw_strip: a list of (panels' titles, notes) a row."""
    rows, real = [], why_module.draw_strip

    def spy(panels, notes, **options):
        rows.append(([title for _, title in panels], list(notes)))
        return real(panels, notes, **options)

    monkeypatch.setattr(why_module, "draw_strip", spy)
    return rows


def photographed():
    """A Gap network, an explanation of a photograph 40×30 by it, and names for its units that speak."""
    model = seeded(Gap)
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8))
    exp = explain_class(model, image, 1, layer="features", preprocess=SMALL)
    return model, exp


def panel(figure, row, column, size=(224, 168)):
    """The picture in a panel: rows of pictures 224×168 are 216 high, those of patches 80."""
    left, top = 8 + column * 232, row + 8
    return np.asarray(figure.crop((left, top, left + size[0], top + size[1])), int)


def fitted(picture):
    return np.asarray(picture.resize((224, 168), Image.Resampling.LANCZOS), int)


ROW = 168 + 32 + 8 + 8


def test_the_figure_shows_each_named_units_own_map(drawn):
    model, exp = photographed()
    everything = Names({k: UnitName(f"thing {k}", "", 0.2 + k / 100) for k in range(8)}, 8, "IoU")
    why = exp.why(everything, k=3)
    sides = [[reason for reason in why.table if reason.speaks == side] for side in ("for", "against")]
    assert len(sides[0]) == 3
    assert len(sides[1]) >= 1
    figure = why.figure()
    assert figure.size == (5 * 232 + 8, 2 * ROW)
    np.testing.assert_array_equal(panel(figure, 0, 0), fitted(exp.image))
    np.testing.assert_array_equal(panel(figure, 0, 1), fitted(exp.overlay()))
    assert (panel(figure, ROW, 0) == 255).all()
    assert (panel(figure, ROW, 1) == 255).all()
    with torch.no_grad():
        seen = model.features(SMALL(exp.image)[0][None])[0]
    shown = set()
    for row, side in enumerate(sides):
        for column, reason in enumerate(side, start=2):
            own_map = upsampled(seen[reason.unit], (30, 40)).numpy()
            expected = fitted(draw_overlay(exp.image, own_map))
            got = panel(figure, row * ROW, column)
            assert np.abs(got - expected).max() <= 2
            shown.add(got.tobytes())
        for column in range(2 + len(side), 5):
            assert (panel(figure, row * ROW, column) == 255).all()
    assert len(shown) >= 3, "the units' maps differ"
    for (titles, notes), side, sign in zip(drawn, sides, "+-", strict=True):
        assert titles[2 : 2 + len(side)] == [f"{sign} thing {reason.unit}" for reason in side]
        assert notes[2 : 2 + len(side)] == [f"unit {reason.unit}, IoU .2{reason.unit}" for reason in side]
    assert drawn[0][0][:2] == ["", exp.target]
    assert drawn[0][1][:2] == ["", f"{exp.score:.2f}"]
    assert drawn[1][0][:2] == ["", ""]


def test_unnamed_units_are_not_shown(dog, drawn):
    figure = dog.why(NAMES).figure()
    assert drawn == [
        (
            ["", "dog", "+ ear", "+ ear", "+ fur?"],
            ["", "6.00", "unit 2, IoU .22", "unit 0, IoU .31", "unit 1, IoU .06"],
        ),
        (["", "", "- red", "- beach", ""], ["", "", "unit 5, IoU .12", "unit 3, IoU .50", ""]),
    ]
    assert figure.size == (5 * 232 + 8, 2 * (224 + 32 + 8 + 8))


def test_a_figure_of_names_without_scores(dog, drawn):
    dog.why(Names({2: UnitName("ear"), 0: UnitName("fur", "", 0.5)}, K)).figure()
    assert drawn == [(["", "dog", "+ ear", "+ fur"], ["", "6.00", "unit 2", "unit 0"])]


def test_a_figure_of_one_side_or_none(dog, drawn):
    against = dog.why(Names({5: UnitName("red")}, K)).figure()
    assert [titles for titles, _ in drawn] == [["", "dog", ""], ["", "", "- red"]]
    assert against.width == 3 * 232 + 8
    drawn.clear()
    alone = dog.why(Names({}, K)).figure()
    assert [titles for titles, _ in drawn] == [["", "dog"]]
    assert alone.width == 2 * 232 + 8


def test_patches_stand_below_their_unit(model, dog):
    why = dog.why(dissected(model))
    plain, figure = why.figure(), why.figure(Colours())
    row = 224 + 32 + 8 + 8
    assert figure.size == (plain.width, plain.height + 2 * 80)
    for top, below, units in ((0, 0, (2, 0, 1)), (row + 80, row, (5, 3))):
        np.testing.assert_array_equal(
            np.asarray(figure.crop((0, top, figure.width, top + row))),
            np.asarray(plain.crop((0, below, plain.width, below + row))),
        )
        for column, unit_ in enumerate(units, start=2):
            lit = {0: 1, 1: 2}.get(unit_, 3)
            for j in range(3):
                left = 8 + column * 232 + j * 76
                patch = np.asarray(figure.crop((left, top + row, left + 72, top + row + 72)))
                colour = COLOURS[(unit_ + j) % K] if j < lit else "white"
                assert (patch == np.asarray(Image.new("RGB", (1, 1), colour))).all(), (unit_, j)
        assert (np.asarray(figure.crop((0, top + row, 8 + 2 * 232, top + row + 80))) == 255).all()


def test_a_broken_picture_gives_way_to_the_next(model, dog):
    figure = dog.why(dissected(model), k=1).figure(Colours(broken=(3,)))
    colours = [figure.getpixel((8 + 2 * 232 + j * 76 + 36, 272 + 36)) for j in range(3)]
    assert colours == [Image.new("RGB", (1, 1), COLOURS[i]).getpixel((0, 0)) for i in (2, 4, 5)]


def test_another_data_set_shows_nothing_of_the_units(model, dog):
    found = dissected(model)
    assert refused(lambda: dog.why(found).figure(Colours("other pictures"))) == (
        "The names were made from plain colours, so other pictures shows none of its units; leave data= out."
    )
    assert refused(lambda: dog.why(NAMES).figure(Colours())) == (
        "The names were made by no dissection, so plain colours shows none of its units; leave data= out."
    )


def test_a_figure_of_guided_gradcam(model):
    exp = explain_class(model, scene(*MEANS), "dog", method="guided_gradcam")
    assert exp.why(NAMES).text == f"It says “dog” {WHY_DOG}"
    assert exp.why(NAMES).figure().width == 5 * 232 + 8


def test_a_figure_survives_a_png(dog):
    file = io.BytesIO()
    figure = dog.why(NAMES).figure()
    figure.save(file, "PNG")
    with Image.open(file) as again:
        np.testing.assert_array_equal(np.asarray(again), np.asarray(figure))


# --- as a table -------------------------------------------------------------------------------------------------------


def test_markdown(dog):
    assert dog.why(NAMES)._repr_markdown_().splitlines() == [
        f"It says “dog” {WHY_DOG}",
        "",
        "| | unit | name | IoU | weight | contribution |",
        "|---|---|---|---|---|---|",
        "| for | 2 | ear | 0.22 | 0.375 | 0.281 |",
        "| for | 0 | ear | 0.31 | 0.25 | 0.25 |",
        "| for | 1 | perhaps fur | 0.06 | 0.0625 | 0.125 |",
        "| for | 6 | — |  | 0.0312 | 0.0312 |",
        "| against | 5 | red | 0.12 | -0.0625 | -0.188 |",
        "| against | 3 | beach | 0.50 | -0.125 | -0.125 |",
    ]


def test_markdown_without_scores(dog):
    assert dog.why(Names({2: UnitName("ear")}, K), k=1)._repr_markdown_().splitlines()[2:] == [
        "| | unit | name | weight | contribution |",
        "|---|---|---|---|---|",
        "| for | 2 | ear | 0.375 | 0.281 |",
        "| against | 5 | — | -0.0625 | -0.188 |",
    ]


def test_every_row_of_a_table_has_as_many_cells(dog):
    for names in (NAMES, Names({}, K), Names({2: UnitName("ear")}, K, "similarity")):
        lines = dog.why(names)._repr_markdown_().splitlines()[2:]
        assert len({line.count("|") for line in lines}) == 1


def test_the_public_way():
    """As the README says it, and a list of texts for a caption."""
    model = Teller().eval()
    exp = mmcam.explain_caption(model, scene(*MEANS), "dog")
    assert isinstance(exp.why(NAMES), Why)
    assert f"{exp.why(NAMES)}" == exp.why(NAMES).text
    every = mmcam.explain_caption(model, scene(*MEANS))
    assert all(isinstance(why, Why) for why in every.why(NAMES))
