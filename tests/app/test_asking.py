"""What the form gives is what the explain functions give, and is not worked out twice."""

import pytest
import torch

import mmcam
from mmcam.app.asking import answer
from mmcam.app.code import python
from mmcam.app.settings import Settings

SCENE = "vignette-20000123"


@pytest.fixture(scope="module")
def ask(studio):
    from mmcam.app.session import Session

    session = Session()

    def asked(page="class", **given):
        settings = Settings(page, SCENE, **given)
        return answer(studio, session, settings, session.picture(SCENE, None))

    asked.session, asked.studio = session, studio
    return asked


def same(one, other):
    torch.testing.assert_close(one.values, other.values, rtol=1e-4, atol=1e-5 * float(other.values.abs().max() or 1))
    assert one.target == other.target
    assert one.score == pytest.approx(other.score, rel=1e-4, abs=1e-5)


FORMS = [
    {"page": "class"},
    {"page": "class", "target": "house"},
    {"page": "class", "target": "2"},
    {"page": "class", "target": "house", "contrast": "car"},
    {"page": "class", "target": "car", "counterfactual": True},
    {"page": "class", "target": "car", "method": "layercam", "layer": "encoder.features.20"},
    {"page": "caption"},
    {"page": "caption", "text": "a large house on a beach", "target": "house"},
    {"page": "caption", "target": "blue house"},
    {"page": "caption", "text": "a large house on a beach", "target": "house", "contrast": "car"},
    {"page": "answer"},
    {"page": "answer", "text": "what colour is the house", "target": "red"},
    {"page": "answer", "text": "what colour is the house", "contrast": "red"},
    {"page": "neurons", "model": "vignette-captioner"},
    {"page": "answer", "model": "vignette-show-attend-tell"},
]


@pytest.mark.parametrize("form", FORMS[:-1], ids=lambda form: " ".join(map(str, form.values())))
def test_the_python_that_is_shown_makes_the_map_that_is_shown(ask, form):
    answered = ask(**form)
    for item in {0, answered.held, len(answered.panels[0].items) - 1}:
        known = {}
        exec(python(answered, item), known)  # as a reader would run it
        same(answered.panels[0].items[item], known["exp"])


def test_the_default_model_knows_such_pictures(ask, studio):
    assert ask().model.name == "vignette-classifier"
    assert studio.usual("class", drawn=False) == "photo-classifier"


def test_what_was_asked_for_is_shown_first(ask):
    assert ask(target="car").panels[0].items[0].target == "car"
    said = ask("caption")
    words = [exp.target for exp in said.panels[0].said.words]
    assert said.held == words.index(max(words, key=len))
    assert ask("caption", target=words[1]).held == 1
    assert ask("answer").held == len(ask("answer").panels[0].items) - 1
    rather = ask("class", target="house", contrast="car")
    assert rather.panels[0].items[rather.held].target == "house rather than car"


def test_two_methods_stand_side_by_side(ask):
    both = ask("caption", beside="layercam")
    assert [panel.method for panel in both.panels] == ["gradcam", "layercam"]
    assert [exp.target for exp in both.panels[0].items] == [exp.target for exp in both.panels[1].items]
    assert all(exp.method == "layercam" for exp in both.panels[1].items)


def test_another_word_runs_no_encoder(ask):
    ask("caption")
    first, runs = ask.studio["vignette-captioner"].module.encoder.features[0], []
    hook = first.register_forward_hook(lambda *_: runs.append(1))
    try:
        ask("caption", text="a small car on a beach", target="car")
        ask("caption", text="a small car on a beach", target="car", contrast="house")
    finally:
        hook.remove()
    assert runs == []


def test_the_same_question_is_answered_once(ask):
    assert ask("caption", target="house") is ask("caption", target="house")


@pytest.mark.parametrize(
    ("form", "sentence"),
    [
        ({"target": "hous"}, "'hous'"),
        ({"method": "gradcm"}, "did you mean 'gradcam'"),
        ({"method": "attention"}, "attention does not apply to vignette-classifier"),
        ({"method": "occlusion", "counterfactual": True}, "occlusion has no counterfactual; gradcam"),
        ({"layer": "../../etc/passwd"}, "layer"),
        ({"model": "os:system"}, "There is no model 'os:system' here"),
        ({"page": "caption", "model": "vignette-vqa"}, "vignette-vqa gives no caption"),
        ({"page": "caption", "contrast": "car"}, "A contrast belongs to one word"),
        ({"page": "caption", "text": "a <script>alert(1)</script>"}, "does not know"),
        ({"page": "answer", "text": "¿qué?"}, ""),
        ({"page": "answer", "target": "no such answer"}, "no such answer"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(ask, form, sentence):
    with pytest.raises(mmcam.ExplainError) as caught:
        ask(**form)
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "Traceback" not in str(caught.value)
