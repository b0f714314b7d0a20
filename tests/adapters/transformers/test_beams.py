"""Beams of transformers' own search, with log-probabilities by a pass over each caption by hand."""

import pytest
import torch
from tiny_captioners import FAMILIES
from tiny_generative import FAMILIES as MODELS
from tiny_generative import picture

import mmcam
from mmcam import ExplainError
from tests.adapters.transformers.test_captioners import noise

SEARCHING = [name for name in FAMILIES if "vqa" not in name]


def by_hand(family, model, processor, picture, tokens):
    """log p of the tokens, one after the other, by transformers' own forward over each beginning."""
    logits = family.logits(model, processor, picture, torch.tensor([tokens]))[0].double()
    return sum(float(row.log_softmax(-1)[token]) for row, token in zip(logits.detach(), tokens, strict=True))


@pytest.mark.parametrize("name", SEARCHING)
def test_the_log_probabilities_are_exact(name):
    family = FAMILIES[name]
    wrapped, model, processor = family()
    pictures = [noise(seed=3), noise(seed=4)]
    x = torch.cat([wrapped.preprocess(picture)[0][None] for picture in pictures])
    found = wrapped.beams(x, 3)
    ends = list(wrapped.ends)
    raw = wrapped.generated(
        x, num_beams=12, num_return_sequences=3, do_sample=False, length_penalty=0.0, early_stopping=False
    )
    for n, (image, own) in enumerate(zip(pictures, found, strict=True)):
        scores = [score for _, score in own]
        assert scores == sorted(scores, reverse=True)
        assert 1 <= len(own) <= 3
        rows = {tuple(row): by_hand(family, model, processor, image, row) for row in raw[3 * n : 3 * n + 3]}
        assert scores == pytest.approx(sorted(rows.values(), reverse=True), abs=1e-4)
        told = {tuple(row[:-1]) if row[-1] in ends else row for row in rows}
        assert {tuple(tokens) for tokens, _ in own} == told
        alone = wrapped.beams(x[n : n + 1], 3)[0]
        assert [tokens for tokens, _ in alone] == [tokens for tokens, _ in own]


@pytest.mark.parametrize("name", SEARCHING)
def test_the_captions_of_a_beam_are_explained(name):
    wrapped, _, _ = FAMILIES[name]()
    made = mmcam.explain_caption(wrapped, noise(seed=3), beam=2)
    x = wrapped.preprocess(noise(seed=3))[0][None]
    spelt = [[word for word, _ in wrapped.words(tokens)] for tokens, _ in wrapped.beams(x, 2)[0]]
    assert [[exp.target for exp in one] for one in made] == [words for words in spelt if words]


@pytest.mark.parametrize("name", ["blip", "git"])
def test_a_search_is_at_least_as_good_as_one_caption(name):
    wrapped, _, _ = FAMILIES[name]()
    x = wrapped.preprocess(noise(seed=5))[0][None]
    (one,) = wrapped.generated(x)
    single = float(wrapped.token_log_probs(x, torch.tensor([one])).detach().sum())
    assert wrapped.beams(x, 3)[0][0][1] >= single - 1e-4


def test_answers_have_no_beams():
    wrapped, _, _ = FAMILIES["blip-vqa"]()
    with pytest.raises(ExplainError, match="use explain_answer"):
        mmcam.explain_caption(wrapped, noise(), beam=2)


@pytest.mark.parametrize("name", [name for name in SEARCHING if name != "pix2struct"])
def test_a_caption_longer_than_the_positions_is_a_sentence(name):
    wrapped, _, _ = FAMILIES[name]()
    fits = " ".join(["dog"] * wrapped.longest)
    while len(wrapped.encode(fits)) > wrapped.longest:  # the first word may take several tokens
        fits = fits.removesuffix(" dog")
    made = mmcam.explain_caption(wrapped, noise(), 0, caption=fits)
    assert made.target == "dog"
    for call in (mmcam.explain_caption, mmcam.grounding):
        with pytest.raises(ExplainError, match=r"reads captions of up to 40 tokens, and 'dog dog .* has 41"):
            call(wrapped, noise(), caption=f"{fits} dog")
    with pytest.raises(ExplainError, match="up to 40 tokens"):
        mmcam.explain_caption(wrapped, noise(), 0, caption=fits, contrast="a red dog")


@pytest.mark.parametrize("name", MODELS)
def test_models_that_read_pictures_among_words_search_too(name):
    known = MODELS[name]
    model, processor = known.build()
    wrapped = mmcam.wrap(model, processor)
    image = picture(known.picture)
    inputs, x = known.inputs(processor, image), wrapped.preprocess(image)[0][None]
    model.generation_config.max_new_tokens = wrapped._writer().generation_config.max_new_tokens = 4
    found = wrapped.beams(x.repeat(2, 1, 1, 1), 2)
    assert [tokens for tokens, _ in found[0]] == [tokens for tokens, _ in found[1]]
    raw = wrapped.generated(
        x, num_beams=8, num_return_sequences=2, do_sample=False, length_penalty=0.0, early_stopping=False
    )
    scores = []
    for row in {tuple(row) for row in raw}:
        logits = known.logits(model, inputs, torch.tensor([row]))[0].double().detach()
        scores.append(sum(float(step.log_softmax(-1)[token]) for step, token in zip(logits, row, strict=True)))
    assert [score for _, score in found[0]] == pytest.approx(sorted(scores, reverse=True), abs=1e-4)
    assert len(scores) == 2
