"""Wrapped models say which part sees the picture: a caption or an answer and its maps take one pass through it."""

import contextlib

import pytest
import tiny_captioners
import tiny_generative
import torch
from tiny_similarity import clip, photo
from torch import nn

import mmcam
from mmcam.adapters.transformers.blip import BlipAnswerer

QUESTION = "where is the cat?"


@contextlib.contextmanager
def runs(encoder):
    """How often the first of an encoder's matrices is used."""
    first = next(m for m in encoder.modules() if isinstance(m, nn.Conv2d | nn.Conv3d | nn.Linear))
    kind, count = type(first), [0]
    original = kind.forward

    def forward(self, *args, **kwargs):
        count[0] += self is first
        return original(self, *args, **kwargs)

    kind.forward = forward
    try:
        yield count
    finally:
        kind.forward = original


def asked(wrapped, picture):
    if isinstance(wrapped, BlipAnswerer):
        return mmcam.explain_answer(wrapped, picture, QUESTION).values[None]
    return torch.stack([word.values for word in mmcam.explain_caption(wrapped, picture)])


def answered(wrapped, picture):
    return mmcam.explain_answer(wrapped, picture, QUESTION).values[None]


CASES = {name: (family, asked, (32, 32)) for name, family in tiny_captioners.FAMILIES.items()}
CASES |= {name: (family, asked, family.picture) for name, family in tiny_generative.FAMILIES.items()}
CASES |= {f"{name} answers": (family, answered, family.picture) for name, family in tiny_generative.FAMILIES.items()}


@pytest.mark.parametrize("name", CASES)
def test_one_pass_for_a_text_and_its_maps(name, monkeypatch):
    family, ask, size = CASES[name]
    wrapped, picture = mmcam.wrap(*family.build()), tiny_generative.picture(size)
    with runs(wrapped.get_submodule(wrapped.picture_encoder)) as count:
        ask(wrapped, picture)  # the first time, the layer's cells are measured
        count[0] = 0
        found = ask(wrapped, picture)
        assert count[0] == 1
        seen = mmcam.look(wrapped, picture)
        count[0] = 0
        again = ask(wrapped, seen)
        assert count[0] == 0
        monkeypatch.setattr(type(wrapped), "picture_encoder", None, raising=False)
        vars(wrapped).pop("picture_encoder", None)
        apart = ask(wrapped, picture)
        assert count[0] >= 2
    assert found.abs().max() > 0
    torch.testing.assert_close(found, apart, rtol=1e-5, atol=1e-7)
    torch.testing.assert_close(again, apart, rtol=1e-5, atol=1e-7)


def test_another_text_is_compared_without_a_pass():
    model, processor = clip()
    wrapped = mmcam.wrap(model, processor)
    mmcam.explain_similarity(wrapped, photo(32, 32), "a dog")  # the first time, the layer's cells are measured
    seen = mmcam.look(wrapped, photo(32, 32))
    with runs(model.vision_model) as count:
        found = [mmcam.explain_similarity(wrapped, seen, text) for text in ("a dog", "a cat")]
        assert count[0] == 0
    for exp, text in zip(found, ("a dog", "a cat"), strict=True):
        expected = mmcam.explain_similarity(wrapped, photo(32, 32), text)
        torch.testing.assert_close(exp.values, expected.values, rtol=1e-5, atol=1e-8)


def test_a_beam_and_the_words_of_its_captions_take_one_pass():
    wrapped = mmcam.wrap(*tiny_captioners.FAMILIES["blip"].build())
    picture = tiny_generative.picture((32, 32))
    with runs(wrapped.model.vision_model) as count:
        mmcam.explain_caption(wrapped, picture, beam=2)
        count[0] = 0
        mmcam.explain_caption(wrapped, picture, beam=2)
        assert count[0] == 1


def test_pictures_with_questions_of_other_lengths_are_seen_together():
    """Though each is answered by itself."""
    wrapped = mmcam.wrap(*tiny_generative.FAMILIES["llava"].build())
    pictures, questions = [tiny_generative.picture((32, 32), seed) for seed in (0, 1)], [QUESTION, "a dog?"]
    with runs(wrapped.get_submodule(wrapped.picture_encoder)) as count:
        mmcam.explain_answer(wrapped, pictures, questions)
        count[0] = 0
        found = mmcam.explain_answer(wrapped, pictures, questions)
        assert count[0] == 1
    for exp, picture, question in zip(found, pictures, questions, strict=True):
        alone = mmcam.explain_answer(wrapped, picture, question)
        assert exp.target == alone.target
        torch.testing.assert_close(exp.values, alone.values, rtol=1e-4, atol=1e-7)
