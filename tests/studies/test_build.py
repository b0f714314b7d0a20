"""Studies of a small network that answers by colour: what fits, what is written, and what nobody can see."""

import json
from collections import Counter

import pytest
import torch
from PIL import Image
from torch import nn

from mmcam.errors import ExplainError
from mmcam.studies.build import CHECKS, Order, build, training_of
from mmcam.studies.design import read_design, read_key

NAMES = ("red", "green", "blue", "grey")


class ByColour(nn.Module):
    """Logits of four colours; the second network is biased towards grey, and so wrong more often."""

    classes = NAMES
    class_probabilities = "softmax"

    def __init__(self, grey=0.0):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        with torch.no_grad():
            self.conv.weight.zero_()
            self.conv.weight[:3, :, 1, 1] = 2 * torch.eye(3) - 0.5
            self.conv.bias.copy_(torch.tensor([0.1, 0.1, 0.1, 0.3 + grey]))

    def forward(self, x):
        return nn.functional.softplus(8 * self.conv(x)).mean((2, 3))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Single colours in folders, and a table of pairs."""
    root = tmp_path_factory.mktemp("pictures")
    fills = {"red": "#e01010", "green": "#10e010", "blue": "#1010e0", "grey": "#707070"}
    lines = ["picture,class"]
    for name in NAMES[:3]:
        (root / "one" / name).mkdir(parents=True)
        for number in range(10):
            image = Image.new("RGB", (32, 32), "#707070")
            image.paste(fills[name], (number, number, number + 4 + 2 * number, number + 16))
            image.save(root / "one" / name / f"{name}{number}.png")
    for number in range(20):
        pair = [NAMES[number % 3], NAMES[(number + 1) % 3]]
        image = Image.new("RGB", (32, 32), "#707070")
        for side, name in enumerate(pair):
            image.paste(fills[name], (2 + 16 * side, number % 8, 14 + 16 * side, 20))
        image.save(root / f"secret-{number}.png")
        lines += [f"secret-{number}.png,{name}" for name in pair]
    (root / "two.csv").write_text("\n".join(lines) + "\n")
    return root


METHODS = ("gradcam", "gradient")


def built(folder, kind, out, **more):
    source = folder / ("two.csv" if kind == "discrimination" else "one")
    both = [("worse", ByColour(0.25).eval(), None), ("better", ByColour().eval(), None)]
    given = both if kind == "trust" else both[1:] if kind == "discrimination" else both[:1]
    return build(Order(kind, given, str(source), METHODS, **{"items": 6, **more}), out)


@pytest.mark.parametrize("kind", ["discrimination", "trust", "agreement", "distinction"])
def test_a_study_is_whole_and_balanced(folder, tmp_path, kind):
    design = built(folder, kind, tmp_path / "s", training=3)
    key = read_key(tmp_path / "s")
    assert read_design(tmp_path / "s") == design
    roles = Counter(trial.role for trial in key.values())
    assert roles == {"item": 6 * len(METHODS), "practice": 1, "check": CHECKS}
    images = [name for trial in key.values() for name in (*trial.images, trial.picture) if name]
    assert {path.name for path in (tmp_path / "s" / "stimuli").iterdir()} == set(images)
    items = [trial for trial in key.values() if trial.role == "item" and trial.method == "gradcam"]
    if kind in ("discrimination", "agreement"):
        assert Counter(trial.truth for trial in items) == {0: 3, 1: 3}
    for trial in items:
        if kind == "discrimination":
            assert trial.choices[trial.truth] == trial.about["label"]
            assert NAMES[trial.about["targets"][0][1]] == trial.about["label"]
        if kind == "distinction":
            assert NAMES[trial.about["targets"][trial.truth][1]] == trial.about["label"]
        if kind == "agreement":
            said = NAMES[trial.about["targets"][0][1]]
            assert trial.about["picture"].startswith(said) == (trial.truth == 0)
    assert {label for _, label in training_of(tmp_path / "s")} <= set(NAMES)


def test_the_more_accurate_model_is_the_first(folder, tmp_path):
    design = built(folder, "trust", tmp_path / "s")
    assert design.models == ("better", "worse")
    assert design.accuracy[0] > design.accuracy[1]


def test_people_read_names_where_labels_are_indices(folder, tmp_path):
    lines = [f"one/{NAMES[i]}/{NAMES[i]}{n}.png,{i}" for i in range(3) for n in range(10)]
    table = folder / "indices.csv"
    table.write_text("\n".join(["picture,class", *lines]) + "\n")
    both = [("better", ByColour().eval(), None), ("worse", ByColour(0.1).eval(), None)]
    build(Order("trust", both, str(table), ("gradcam",), 3), tmp_path / "s")
    assert {trial.label for trial in read_key(tmp_path / "s").values()} <= set(NAMES[:3])


def test_stimuli_give_nothing_away(folder, tmp_path):
    """Neither by their names, nor by when they were written, nor by what is in the files."""
    built(folder, "discrimination", tmp_path / "s")
    paths = sorted((tmp_path / "s" / "stimuli").iterdir())
    assert {path.stat().st_mtime for path in paths} == {0}
    for path in paths:
        assert len(path.stem) == 16
        int(path.stem, 16)
        with Image.open(path) as image:
            assert not {"exif", "xmp", "icc_profile", "comment"} & set(image.info)
    key = json.loads((tmp_path / "s" / "key.json").read_text())["trials"]
    methods = [
        trial["method"] for trial in sorted(key, key=lambda trial: trial["images"][0]) if trial["role"] == "item"
    ]
    assert methods not in (sorted(methods), sorted(methods, reverse=True)), "the order of names follows the methods"
    assert [trial["token"] for trial in key] == sorted(trial["token"] for trial in key)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"kind": "taste"}, "no kind of study 'taste'"),
        ({"kind": "trust"}, "about two models, and 1 are given"),
        ({"methods": ("gradcam", "gradcam")}, "none twice"),
        ({"methods": ("gradcan",)}, "did you mean 'gradcam'"),
        ({"items": 30}, "pictures that fit, and 31 are needed, with exactly two labels"),
        ({"items": 1}, "at least two items"),
        ({"per_rater": 7}, "one to all of them"),
    ],
)
def test_what_cannot_be_built_is_told_in_a_sentence_and_leaves_nothing(folder, tmp_path, change, says):
    order = {
        "kind": "discrimination", "models": [("one", ByColour().eval(), None)], "source": str(folder / "two.csv"),
        "methods": ("gradcam",), "items": 6,
    }  # fmt: skip
    with pytest.raises(ExplainError, match=says):
        build(Order(**{**order, **change}), tmp_path / "s")
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_overwritten(folder, tmp_path):
    (tmp_path / "s").mkdir()
    with pytest.raises(FileExistsError):
        built(folder, "discrimination", tmp_path / "s")


def test_without_training_no_simulated_rater_can_learn(folder, tmp_path):
    built(folder, "discrimination", tmp_path / "s")
    with pytest.raises(ExplainError, match="--training"):
        training_of(tmp_path / "s")
