"""Which of two models: one that looks at the thing against one that looks beside it; raters see the maps alone."""

import json

import numpy as np
import pytest
import torch
from browser import Browser, needs_chromium
from colours import Colours, mask, squares, table
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from mmcam.cli import app
from mmcam.diagnosis.choice import run
from mmcam.diagnosis.choice.page import write_choice
from mmcam.diagnosis.choice.rater import CLEARLY, SLIGHTLY, Rater, rate, raters, rating
from mmcam.diagnosis.choice.run import Candidate, accuracy, choose, compared, figure, verdict
from mmcam.diagnosis.labelled import read_labelled
from mmcam.errors import ExplainError

shares = st.floats(0, 1)


def test_a_raters_five_answers():
    rater = Rater(0.05, 0.2)
    answers = [rater.answer(0.5 + d, 0.5) for d in (0.3, 0.1, 0.01, 0, -0.01, -0.1, -0.3)]
    assert answers == [2, 1, 0, 0, 0, -1, -2]


@settings(deadline=None, max_examples=60)
@given(shares, shares, shares)
def test_sides_do_not_matter_and_a_better_map_is_not_rated_worse(first, second, better):
    by = raters(9)
    assert rating(first, second, by) == -rating(second, first, by)
    low, high = sorted((first, better))
    assert rating(low, second, by) <= rating(high, second, by)
    assert -2 <= rating(first, second, by) <= 2


def test_raters_differ_and_the_same_seed_draws_the_same():
    by = raters()
    assert len(by) == 54
    assert by == raters()
    assert by != raters(seed=1)
    assert all(SLIGHTLY[0] <= each.slightly <= SLIGHTLY[1] and CLEARLY[0] <= each.clearly <= CLEARLY[1] for each in by)


def test_raters_see_how_the_heat_lies_and_not_how_high_it_is():
    thing = np.zeros((8, 8), bool)
    thing[:4] = True
    on, beside = np.zeros((2, 8, 8))
    on[1, 1], beside[6, 6] = 1, 1
    by = raters()
    assert rate(on, beside, thing, by) == 2
    assert rate(1e-6 * on, 1e6 * beside, thing, by) == 2
    assert rate(on, on, thing, by) == 0


DECOY = {"red": "blue", "green": "red", "blue": "green"}
"""A dim square of another colour that stands in every picture of a colour."""


class On(Colours):
    """Sees what is bright."""

    def __init__(self):
        super().__init__()
        with torch.no_grad():
            self.features[0].bias.fill_(-0.6)


class Beside(Colours):
    """Tells a colour by its decoy."""

    def __init__(self):
        super().__init__()
        with torch.no_grad():
            self.fc.weight.copy_(40 * torch.eye(3)[[self.classes.index(DECOY[name]) for name in self.classes]])


def thing(path, colour, left):
    return squares(path, (colour, left, 2, 4), (DECOY[colour], left, 18, 12, 128))


@pytest.fixture
def photos(tmp_path):
    rows = []
    for n, (colour, left) in enumerate((("red", 2), ("green", 4), ("blue", 16), ("red", 18), ("green", 3))):
        thing(tmp_path / f"{n}.png", colour, left)
        mask(tmp_path / f"{n}-mask.png", left, 2, 4)
        rows.append({"picture": f"{n}.png", "class": colour if n < 4 else "blue", "mask": f"{n}-mask.png"})
    (tmp_path / "5.png").write_bytes(b"no")
    rows.append({"picture": "5.png", "class": "red", "mask": ""})
    return table(tmp_path / "photos.csv", *rows)


def test_the_model_that_looks_at_the_thing_is_chosen(photos, tmp_path):
    both = Candidate("on", On()), Candidate("beside", Beside())
    pictures = read_labelled(photos).pictures
    records = choose(both, photos, pictures, tmp_path / "out")
    assert [record.get("right") for record in records] == [[True, True]] * 4 + [[False, False], None]
    assert "cannot be read" in records[-1]["skipped"]
    assert accuracy(records, 0).value == pytest.approx(0.8)
    found = compared(records, "gradcam")
    assert [each.value for each in found.of["points"]] == [1, 0]
    assert (found.rating.value, found.rating.low, found.preferred) == (2, 2, (4, 0, 0))
    assert min(each.value for each in found.of["matters"]) > 0, "either map shows what its own model looks at"
    assert [verdict(found.lead[name], ("on", "beside")) for name in ("points", "mass")] == ["on"] * 2
    swapped = compared(choose(both[::-1], photos, pictures, tmp_path / "swapped"), "gradcam")
    assert swapped.rating.value == -2
    assert verdict(swapped.lead["mass"], ("beside", "on")) == "on"
    assert figure(both, pictures, records, "gradcam").width > 600


@needs_chromium
def test_the_page_has_both_maps_and_what_raters_say(photos, tmp_path):
    both = Candidate("on", On()), Candidate("beside", Beside())
    records = choose(both, photos, read_labelled(photos).pictures, tmp_path / "out")
    out = write_choice(tmp_path / "page.html", ("on", "beside"), records, [compared(records, "gradcam")], ["gradcam"])
    with Browser(tmp_path) as browser:
        browser.open(out)
        assert browser("document.querySelectorAll('article canvas').length") == 8
        assert browser("document.querySelector('.confusions button b').textContent") == "4"
        names = "[...document.querySelector('article').querySelectorAll('.what')].map((e) => e.textContent)"
        assert browser(names) == ["on", "beside"]
        assert browser.errors == []


def test_two_models_that_look_alike_are_not_told_apart(photos, tmp_path):
    both = Candidate("a", On()), Candidate("b", On())
    records = choose(both, photos, read_labelled(photos).pictures, tmp_path / "o")
    found = compared(records, "gradcam")
    assert verdict(found.lead["mass"], ("a", "b")) == "neither"
    assert found.rating.value == 0
    assert found.preferred == (0, 4, 0)


def test_without_masks_only_what_matters_is_compared(tmp_path):
    thing(tmp_path / "in" / "red" / "1.png", "red", 3)
    thing(tmp_path / "in" / "blue" / "1.png", "blue", 5)
    both = Candidate("on", On()), Candidate("beside", Beside())
    found = compared(choose(both, tmp_path, read_labelled(tmp_path / "in").pictures, tmp_path / "out"), "gradcam")
    assert found.rating is None
    assert list(found.lead) == ["matters"]


def test_a_run_that_was_stopped_goes_on(photos, tmp_path, monkeypatch):
    judged, seen = run._judged, []

    def stopping(*arguments):
        if len(seen) == 3:
            raise KeyboardInterrupt
        seen.append(1)
        return judged(*arguments)

    both, pictures, told = (Candidate("a", On()), Candidate("b", Beside())), read_labelled(photos).pictures, []
    monkeypatch.setattr(run, "_judged", stopping)
    with pytest.raises(KeyboardInterrupt):
        choose(both, photos, pictures, tmp_path / "out")
    monkeypatch.setattr(run, "_judged", judged)
    records = choose(both, photos, pictures, tmp_path / "out", tell=told.append)
    assert told == ["3 of 6 are done already, 3 are left."]
    again = choose(both, photos, pictures, tmp_path / "other")
    assert json.loads(json.dumps(records)) == json.loads(json.dumps(again))
    with pytest.raises(ExplainError, match=r"other work \(models differs\)"):
        choose(both[::-1], photos, pictures, tmp_path / "out")


def test_what_cannot_be_compared_is_a_sentence(photos, tmp_path):
    both = Candidate("a", On()), Candidate("b", Beside())
    squares(tmp_path / "wrong" / "blue" / "1.png", ("red", 2, 2, 9))
    with pytest.raises(ExplainError, match="get none of the 1 pictures right"):
        choose(both, tmp_path, read_labelled(tmp_path / "wrong").pictures, tmp_path / "o")
    squares(tmp_path / "strange" / "crack" / "1.png", ("red", 2, 2, 9))
    with pytest.raises(ExplainError, match=r"labels \(crack\) are none"):
        choose(both, tmp_path, read_labelled(tmp_path / "strange").pictures, tmp_path / "p")


def test_the_command(tmp_path):
    from mmcam.datasets import vignettes

    scene = vignettes.draw(vignettes.seed("test", 0))
    kind = scene.truth.things[0].kind
    (tmp_path / "in" / kind).mkdir(parents=True)
    scene.image.save(tmp_path / "in" / kind / "1.png")
    call = lambda *words: CliRunner().invoke(app, ["choose", str(tmp_path / "in"), *map(str, words)])  # noqa: E731
    same = ("--model", "vignette-classifier")
    assert call(*same).exit_code == 2
    assert "nothing to choose" in call(*same, *same).output
    code = "import mmcam\n\ndef other():\n    return mmcam.models.load('vignette-classifier')\n"
    (tmp_path / "two.py").write_text(code)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        done = call(*same, "--model", "two:other", "--out", tmp_path / "out")
    assert done.exit_code == 0, done.output
    told = json.loads((tmp_path / "out.json").read_text())
    assert told["models"] == ["vignette-classifier", "two:other"]
    assert (tmp_path / "out.png").exists()
    assert (tmp_path / "out.html").read_text().count("<article") == 1
    assert not (tmp_path / "out.part").exists()
