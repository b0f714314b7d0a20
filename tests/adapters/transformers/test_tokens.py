"""What is read inside language models that see, against transformers' own states in numpy's double precision."""

import functools

import numpy as np
import pytest
import torch
from rank_filter import filtered
from scipy.ndimage import gaussian_filter
from state import State
from tiny import Captioner, seeded

import mmcam
from experiments.lib.vlm.build import build
from experiments.lib.vlm.families import RECIPES
from experiments.lib.vlm.parts import CAPTION, picture
from mmcam import ExplainError
from mmcam.adapters.transformers.structure.adapter import Structural

PROMPT = "where is the cat?"


@functools.cache
def tiny(kind):
    model, processor = build(kind, RECIPES[kind])
    return Structural(model, processor), processor


def inputs_of(wrapped, processor, image, caption=CAPTION):
    """What transformers is called with: prompt and caption; and where the prompt ends."""
    made = processor(images=[image], text=[wrapped._text(wrapped.prompt)], return_tensors="pt")
    said = torch.tensor([wrapped.encode(caption)])
    ids = torch.cat([made["input_ids"], said], 1)
    more = {name: made[name] for name in made if name in ("pixel_values", "image_grid_thw")}
    for kinds in ("mm_token_type_ids", "token_type_ids"):
        if kinds in made:
            more[kinds] = torch.cat([made[kinds], torch.zeros_like(said)], 1)
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids), **more}, made["input_ids"].shape[1]


def literal_tam(wrapped, processor, image, shape):
    """The map of each of the caption's tokens, one after the other."""
    inputs, begin = inputs_of(wrapped, processor, image)
    with torch.no_grad():
        found = wrapped.model(**inputs, output_hidden_states=True, use_cache=False)
    states = found.hidden_states[-1][0].double().numpy()
    head = wrapped.model.lm_head.weight.detach().double().numpy()
    np.testing.assert_allclose(states[-1] @ head.T, found.logits[0, -1].double().numpy(), atol=1e-4)
    ids = inputs["input_ids"][0].tolist()
    places = [p for p, i in enumerate(ids) if i == wrapped.model.config.image_token_id]
    special = set(processor.tokenizer.all_special_ids)
    text = [p for p in range(places[-1] + 1, begin) if ids[p] not in special] + list(range(begin, len(ids)))
    scores = {p: np.maximum(states @ head[ids[p]], 0) for p in text}
    maps = []
    for p in range(begin, len(ids)):
        own = scores[p][places]
        before = [q for q in text if q < p and ids[q] != ids[p]]
        r = np.array([scores[p][q if q < begin else q - 1] for q in before])
        if r.sum() > 0:
            shared = sum(w * scores[q][places] for w, q in zip(r / r.sum(), before, strict=True))
            own = np.maximum(own - (own @ shared) / (shared @ shared) * shared, 0)
        maps.append(filtered(own.reshape(shape)))
    return maps


@pytest.mark.parametrize("kind", ["qwen3_vl", pytest.param("gemma3", marks=pytest.mark.long)])
def test_tam_is_its_loop(kind):
    wrapped, processor = tiny(kind)
    image = picture(RECIPES[kind].size)
    made = mmcam.explain_caption(wrapped, image, caption=CAPTION, method="tam")
    state = State(wrapped)
    made = mmcam.explain_caption(wrapped, image, caption=CAPTION, method="tam")
    state.check()
    plain = mmcam.explain_caption(wrapped, image, caption=CAPTION)
    tokens = literal_tam(wrapped, processor, image, made[0].values.shape)
    some = 0
    for exp, (text, places), own in zip(made, wrapped.words(wrapped.encode(CAPTION)), plain, strict=True):
        expected = np.mean([tokens[p] for p in places], 0)
        np.testing.assert_allclose(exp.values.numpy(), expected, atol=1e-4 * max(expected.max(), 1e-3))
        assert (exp.target, exp.layer, exp.cells) == (text, "tokens", "")
        assert exp.score == pytest.approx(own.score, abs=1e-4)
        some += not exp.empty
    assert some >= 4
    np.testing.assert_allclose(made.whole.values.numpy(), np.mean(tokens, 0), atol=1e-4 * np.mean(tokens, 0).max())


def test_an_answers_tokens_are_read_behind_its_own_question():
    wrapped, _ = tiny("qwen3_vl")
    image = picture(RECIPES["qwen3_vl"].size)
    one = mmcam.explain_answer(wrapped, image, PROMPT, "a dog", method="tam")
    both = mmcam.explain_answer(wrapped, [image, image], ["what is it?", PROMPT], "a dog", method="tam")
    torch.testing.assert_close(both[1].values, one.values, rtol=1e-4, atol=1e-6)
    assert not torch.allclose(both[0].values, one.values)


@pytest.mark.parametrize(
    ("given", "text"),
    [({"contrast": "cat"}, "compares no two versions"), ({"minus_context": True}, "takes the words before off itself")],
)
def test_what_tam_cannot_tell_it_says(given, text):
    wrapped, _ = tiny("qwen3_vl")
    with pytest.raises(ExplainError, match=text):
        mmcam.explain_caption(wrapped, picture((64, 48)), "dog", caption=CAPTION, method="tam", **given)


def test_a_model_that_reads_no_places_says_so():
    model = seeded(Captioner)
    with pytest.raises(ExplainError, match="does not show how high tokens score"):
        mmcam.explain_caption(model, picture((64, 48)), "dog", caption="a dog runs", method="tam")


@pytest.mark.parametrize("kind", ["florence2", pytest.param("mllama", marks=pytest.mark.long)])
def test_models_without_places_among_the_words_say_so(kind):
    wrapped, _ = tiny(kind)
    with pytest.raises(ExplainError, match="does not read the picture's vectors among its words"):
        mmcam.explain_caption(wrapped, picture(RECIPES[kind].size), "dog", caption=CAPTION, method="tam")


def paid(wrapped, processor, image):
    """(layers,heads,L,P) by transformers' own eager attention: what the place that says each token pays each cell."""
    inputs, begin = inputs_of(wrapped, processor, image)
    before = wrapped.model.config._attn_implementation
    wrapped.model.set_attn_implementation("eager")
    try:
        with torch.no_grad():
            found = wrapped.model(**inputs, output_attentions=True, use_cache=False).attentions
    finally:
        wrapped.model.set_attn_implementation(before)
    ids = inputs["input_ids"][0]
    places = (ids == wrapped.model.config.image_token_id).nonzero()[:, 0]
    return torch.stack(found)[:, 0, :, begin - 1 : len(ids) - 1][..., places].double().numpy()


@pytest.mark.parametrize("kind", ["qwen3_vl", pytest.param("gemma3", marks=pytest.mark.long)])
def test_named_heads_are_transformers_own_attention(kind):
    wrapped, processor = tiny(kind)
    image = picture(RECIPES[kind].size)
    expected = paid(wrapped, processor, image)
    mmcam.explain_caption(wrapped, image, caption=CAPTION)
    state = State(wrapped)
    heads = [(0, 1), (1, 0)]
    made = mmcam.explain_caption(wrapped, image, caption=CAPTION, method="localisation_heads", at=heads)
    state.check()
    for exp, (text, places) in zip(made, wrapped.words(wrapped.encode(CAPTION)), strict=True):
        total = sum(expected[layer, head, places].mean(0).reshape(exp.values.shape) for layer, head in heads)
        own = gaussian_filter(total, 1.0)
        np.testing.assert_allclose(exp.values.numpy(), own, atol=1e-5)
        assert (exp.target, exp.layer) == (text, "attention")
        assert exp.values.max() > exp.values.min()


def test_eager_attention_is_read_as_fused_attention_is():
    wrapped, _ = tiny("qwen3_vl")
    image = picture((64, 48))
    fused = mmcam.explain_caption(wrapped, image, "dog", caption=CAPTION, method="localisation_heads")
    wrapped.model.set_attn_implementation("eager")
    try:
        eager = mmcam.explain_caption(wrapped, image, "dog", caption=CAPTION, method="localisation_heads")
    finally:
        wrapped.model.set_attn_implementation("sdpa")
    torch.testing.assert_close(eager.values, fused.values, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"at": [(9, 0)]}, r"There is no head \(9, 0\); the model shows 2 layers of 2 heads"),
        ({"at": []}, "The list of heads is empty"),
        ({"at": 3}, "names no heads"),
        ({"heads": 0}, "shows nothing"),
        ({"contrast": "cat"}, "compares no two versions"),
    ],
)
def test_what_heads_cannot_tell_they_say(given, text):
    wrapped, _ = tiny("qwen3_vl")
    with pytest.raises(ExplainError, match=text):
        mmcam.explain_caption(wrapped, picture((64, 48)), "dog", caption=CAPTION, method="localisation_heads", **given)


def test_a_model_that_shows_no_heads_says_so():
    with pytest.raises(ExplainError, match="does not show what its heads pay"):
        mmcam.explain_caption(
            seeded(Captioner), picture((64, 48)), "dog", caption="a dog runs", method="localisation_heads"
        )
