"""Pictures alone are enough to run a model of any task."""

import pytest
import torch
from tiny import VQA, Captioner, Gap, pictures, seeded

from mmcam.places.find import find_layer
from mmcam.tasks.anything import forward_of
from models import load


def test_a_classifier_gives_its_logits():
    model, x = seeded(Gap), pictures(3)
    assert torch.equal(forward_of(model)(x), model(x))


def test_a_captioner_writes_a_caption_for_each():
    model = seeded(Captioner)
    assert forward_of(model)(pictures(3)) == [model.said[0], model.said[1], model.said[0]]


def test_a_vqa_model_answers_a_stock_question_for_each():
    model, x = seeded(VQA), pictures(3, 32)
    asked = []
    plain = model.answer_scores
    model.answer_scores = lambda x, questions: asked.append(list(questions)) or plain(x, questions)
    assert forward_of(model)(x).shape == (3, len(model.answers))
    assert len(asked) == 1
    assert len(asked[0]) == 3
    assert len(set(asked[0])) == 1


@pytest.mark.parametrize("name", ["vignette-classifier", "vignette-captioner", "vignette-vqa", "vignette-san"])
def test_bundled_models_run_and_show_their_last_spatial_layer(name):
    model = load(name)
    x = torch.zeros(2, 3, *model.preprocess.size)
    with torch.no_grad():
        assert len(forward_of(model)(x)) == 2
    layer = find_layer(model, forward_of(model), x)
    assert layer in dict(model.named_modules())
