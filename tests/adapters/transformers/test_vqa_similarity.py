"""ViLT's answers and the similarities of CLIP, Chinese-CLIP, SigLIP and ALIGN, against transformers' own forward."""

import functools

import numpy as np
import pytest
import torch
from PIL import Image
from state import State
from tiny_similarity import SIMILAR, TEXTS, drawn, grey_but, photo, vilt, without_positions

import mmcam
from mmcam import ExplainError
from mmcam.engine.computation import Computation
from mmcam.errors import PictureError
from mmcam.methods.registry import Question
from mmcam.methods.variants import activation_scores
from mmcam.places.survey import layer_at
from mmcam.tasks import vqa

QUESTION = "what colour is the dog ?"
OTHER = "is it green"


@pytest.fixture(scope="module")
def answerer():
    model, processor = vilt()
    return mmcam.wrap(model, processor), processor


@functools.cache
def similar(family):
    model, processor = SIMILAR[family]()
    return mmcam.wrap(model, processor), processor


def evidence(module, layer, score):
    """Output of a layer and the gradient of ``score()``, a scalar, there, by ordinary backpropagation."""
    kept = []

    def keep(_module, _inputs, output):
        kept.append(output if isinstance(output, torch.Tensor) else output[0])

    handle = module.get_submodule(layer).register_forward_hook(keep)
    try:
        with torch.enable_grad():
            (gradient,) = torch.autograd.grad(score(), kept[0])
    finally:
        handle.remove()
    return kept[0].detach(), gradient


def gradcam(activations, gradient):
    """Of maps (K,h,w)."""
    return (gradient.mean((1, 2), keepdim=True) * activations).sum(0).relu()


def close(values, expected):
    assert expected.max() > 0, "two empty maps agree"
    torch.testing.assert_close(values, expected, rtol=1e-4, atol=1e-5 * float(expected.max()))


def odd_cell(values):
    """The one cell that differs from all others, which are equal."""
    apart = (values - values.median()).abs()
    odd = int(apart.argmax())
    rest = torch.cat([apart.flatten()[:odd], apart.flatten()[odd + 1 :]])
    assert rest.max() < 1e-3 * apart.max(), values
    return divmod(odd, values.shape[1])


def brightest(heatmap):
    """The middle of where a heatmap is furthest from what it mostly is; zeros were cut off."""
    apart = np.abs(heatmap - np.median(heatmap[heatmap != 0])) * (heatmap != 0)
    rows, columns = np.nonzero(apart > 0.9 * apart.max())
    return float(rows.mean()), float(columns.mean())


# ViLT


class Shuffled:
    """Runs ViLT as transformers does, and keeps the order in which its patches stood: (R, patches, 2)."""

    def __init__(self, monkeypatch, model):
        self.model, inner = model, model.vilt.embeddings
        look = inner.visual_embed

        def kept(*args, **kwargs):
            found = look(*args, **kwargs)
            self.places, self.sides = found[2]
            return found

        monkeypatch.setattr(inner, "visual_embed", kept)

    def evidence(self, processor, picture, question, score):
        """Activations and gradient at the default layer, (K,h,w) each, in the picture's order."""
        inputs = processor(picture, question, return_tensors="pt")
        layer = f"vilt.encoder.layer.{len(self.model.vilt.encoder.layer) - 1}.layernorm_before"
        found = evidence(self.model, layer, lambda: score(self.model(**inputs).logits[0]))
        words = inputs["input_ids"].shape[1]
        rows, columns = self.places[0].T
        maps = []
        for tensor in found:
            patches = tensor[0, words + 1 :]
            ordered = torch.zeros(*self.sides, patches.shape[1])
            ordered[rows, columns] = patches
            maps.append(ordered.permute(2, 0, 1))
        return maps


@pytest.mark.parametrize("seed", range(3))
def test_vilt_scores_are_its_own(answerer, seed):
    wrapped, processor = answerer
    torch.manual_seed(seed)
    pictures, questions = [photo(64, 112, 1), photo(64, 112, 2)], [QUESTION, OTHER]
    x = torch.stack([wrapped.preprocess(picture)[0] for picture in pictures])
    inputs = processor(pictures, questions, padding=True, return_tensors="pt")
    assert torch.equal(inputs["pixel_values"], x)
    with torch.no_grad():
        own = wrapped.model(**inputs).logits
        torch.testing.assert_close(wrapped.answer_scores(x, questions), own, rtol=1e-4, atol=1e-5)
        alone = torch.cat([wrapped.answer_scores(x[i : i + 1], [questions[i]]) for i in range(2)])
    torch.testing.assert_close(alone, own, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("size", [(64, 112), (90, 50), (40, 40)])
def test_vilt_maps_are_those_of_a_plain_backward_pass(answerer, monkeypatch, size):
    wrapped, processor = answerer
    plain = Shuffled(monkeypatch, wrapped.model)
    picture = photo(*size)
    for answer, score in [("yes", lambda s: s[0]), ("green", lambda s: s[3])]:
        exp = mmcam.explain_answer(wrapped, picture, QUESTION, answer)
        close(exp.values, gradcam(*plain.evidence(processor, picture, QUESTION, score)))
    exp = mmcam.explain_answer(wrapped, picture, OTHER, "red", contrast="two")
    close(exp.values, gradcam(*plain.evidence(processor, picture, OTHER, lambda s: s[2] - s[4])))


def test_vilt_by_word(answerer, monkeypatch):
    """The score a word makes is what a mask in its place takes away, and its map that difference's."""
    wrapped, processor = answerer
    plain = Shuffled(monkeypatch, wrapped.model)
    picture, words = photo(64, 112), QUESTION.split()
    found = mmcam.explain_answer(wrapped, picture, QUESTION, "red", by_word=True)
    activations, gradient = plain.evidence(processor, picture, QUESTION, lambda s: s[2])
    close(found.answer.values, gradcam(activations, gradient))
    assert [exp.target for exp in found.words] == words
    for i, exp in enumerate(found.words):
        blanked = " ".join([*words[:i], "[MASK]", *words[i + 1 :]])
        _, other = plain.evidence(processor, picture, blanked, lambda s: s[2])
        torch.testing.assert_close(
            exp.values, gradcam(activations, gradient - other), rtol=1e-3, atol=1e-5 * float(found.answer.values.max())
        )
        with torch.no_grad():
            scores = [
                wrapped.model(**processor(picture, q, return_tensors="pt")).logits[0, 2] for q in (QUESTION, blanked)
            ]
        assert exp.score == pytest.approx(float(scores[0] - scores[1]), abs=1e-5)
    assert sum(bool((exp.values > 0).any()) for exp in found.words) > 3


def test_vilt_by_word_of_several_pictures(answerer):
    wrapped, _ = answerer
    pictures, questions = [photo(64, 112, 1), photo(64, 112, 2)], [QUESTION, OTHER]
    both = mmcam.explain_answer(wrapped, pictures, questions, "red", by_word=True)
    for found, picture, question in zip(both, pictures, questions, strict=True):
        alone = mmcam.explain_answer(wrapped, picture, question, "red", by_word=True)
        for exp, other in zip([found.answer, *found.words], [alone.answer, *alone.words], strict=True):
            assert exp.score == pytest.approx(other.score, abs=1e-5)
            torch.testing.assert_close(
                exp.values, other.values, rtol=1e-3, atol=1e-5 * float(alone.answer.values.max())
            )


@pytest.mark.parametrize("cell", [(0, 0), (0, 6), (1, 4), (2, 1), (3, 6)])
@pytest.mark.parametrize("layer", [None, "model.vilt.encoder.layer.0", "model.vilt.embeddings"])
def test_vilt_finds_the_patch_that_decides(cell, layer):
    """Without positions, equal patches are equal tokens wherever they stand, so only the painted one differs."""
    torch.manual_seed(sum(cell))
    model, processor = vilt()
    wrapped = mmcam.wrap(without_positions(model), processor)
    block = [slice(16 * i, 16 * i + 16) for i in cell]
    picture = grey_but(64, 112, *block)
    exp = mmcam.explain_answer(wrapped, picture, QUESTION, "red", layer=layer, method="hirescam", relu=False)
    assert exp.values.shape == (4, 7)
    assert odd_cell(exp.values) == cell
    row, column = brightest(exp.heatmap)
    assert abs(row - 16 * cell[0] - 8) < 5
    assert abs(column - 16 * cell[1] - 8) < 5


@pytest.mark.parametrize("size", [(70, 130), (123, 64), (35, 35), (120, 60)])
def test_vilt_geometry(answerer, size):
    """A ramp's level tells which pixel of the picture a pixel of the input was."""
    wrapped, processor = answerer
    h, w = size
    levels = np.zeros((h, w, 3), dtype=np.uint8)
    levels[..., 0] = (np.arange(h) * (250 / h))[:, None]
    levels[..., 1] = np.arange(w) * (250 / w)
    picture = Image.fromarray(levels)
    x, geometry = wrapped.preprocess(picture)
    own = processor.image_processor(picture, return_tensors="pt")
    assert torch.equal(x, own["pixel_values"][0])
    assert own["pixel_mask"].all()
    assert geometry == wrapped.preprocess.geometry(h, w)
    assert geometry.input == tuple(x.shape[1:])
    assert min(geometry.input) >= 24
    found = (x * 0.25 + 128 / 255) * 255 / 250
    for axis, channel in ((0, found[0, :, 0] * h), (1, found[1, 0] * w)):
        centres = (torch.arange(len(channel)) + 0.5 - geometry.offset[axis]) / geometry.scale[axis]
        assert (centres - channel).abs().max() < 1.2 + size[axis] / 250


def test_vilt_lists_of_pictures(answerer):
    wrapped, _ = answerer
    pictures, questions = [photo(64, 112, i) for i in range(3)], [QUESTION, OTHER, "what is on the grass"]
    for exp, picture, question in zip(
        mmcam.explain_answer(wrapped, pictures, questions), pictures, questions, strict=True
    ):
        alone = mmcam.explain_answer(wrapped, picture, question)
        assert exp.target == alone.target
        close(exp.values, alone.values)


def test_vilt_pictures_of_several_sizes_need_one_preprocess(answerer):
    wrapped, _ = answerer
    pictures = [photo(64, 112), photo(112, 64)]
    with pytest.raises(PictureError, match=r"one batch need one shape; these are \[\(3, 32, 56\), \(3, 56, 32\)\]"):
        mmcam.explain_answer(wrapped, pictures, QUESTION)
    alike = mmcam.Preprocess(size=(32, 40), mode="squash")
    found = mmcam.explain_answer(wrapped, pictures, QUESTION, preprocess=alike)
    assert [exp.heatmap.shape for exp in found] == [(64, 112), (112, 64)]
    assert found[0].values.shape == (4, 5)


def test_vilt_does_not_depend_on_the_random_state(answerer):
    wrapped, _ = answerer
    maps = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        maps.append(mmcam.explain_answer(wrapped, photo(64, 112), QUESTION, "red").values)
    assert torch.equal(*maps)


def test_vilt_is_left_as_found(answerer):
    wrapped, _ = answerer
    wrapped.train()
    state = State(wrapped)
    mmcam.explain_answer(wrapped, photo(64, 112), QUESTION, "red", by_word=True)
    mmcam.explain_answer(wrapped, photo(64, 112), QUESTION, method="gradient")
    state.check()
    with pytest.raises(ExplainError):
        mmcam.explain_answer(wrapped, photo(64, 112), " ".join(["dog"] * 20), by_word=True)
    state.check()
    wrapped.eval()


def test_vilt_layers(answerer):
    """Nothing but the first word leaves the last block, which is said, not shown as an empty map."""
    wrapped, _ = answerer
    picture = photo(64, 112)
    assert mmcam.explain_answer(wrapped, picture, QUESTION).layer == "model.vilt.encoder.layer.1.layernorm_before"
    with pytest.raises(ExplainError, match=r"does not depend on layer 'model.vilt.encoder.layer.1'"):
        mmcam.explain_answer(wrapped, picture, QUESTION, layer="model.vilt.encoder.layer.1")
    maps = mmcam.explain_answer(
        wrapped, picture, QUESTION, by_word=True, layer="model.vilt.embeddings.patch_embeddings"
    )
    assert maps.answer.values.shape == (4, 7)


@pytest.mark.parametrize(
    ("method", "options"),
    [("layercam", {}), ("occlusion", {"patch": 8, "stride": 8}), ("gradient", {}), ("ablationcam", {})],
)
def test_vilt_with_other_methods(answerer, method, options):
    wrapped, _ = answerer
    exp = mmcam.explain_answer(wrapped, photo(64, 112), QUESTION, "red", method=method, **options)
    assert exp.values.any()
    assert exp.heatmap.shape == (64, 112)


def test_vilt_occlusion_finds_the_patch_that_decides():
    model, processor = vilt()
    wrapped = mmcam.wrap(without_positions(model), processor)
    picture = grey_but(64, 112, slice(32, 48), slice(80, 96))
    exp = mmcam.explain_answer(wrapped, picture, QUESTION, "red", method="occlusion", patch=8, stride=8)
    row, column = brightest(exp.heatmap)
    assert abs(row - 40) < 5
    assert abs(column - 88) < 5


def test_vilt_in_half_precision():
    model, processor = vilt()
    full = mmcam.explain_answer(mmcam.wrap(model, processor), photo(64, 112), QUESTION, "red")
    half = mmcam.explain_answer(mmcam.wrap(model.bfloat16(), processor), photo(64, 112), QUESTION, "red")
    assert half.values.dtype == torch.float32 or half.values.dtype == torch.bfloat16
    assert np.corrcoef(full.values.flatten(), half.values.float().flatten())[0, 1] > 0.9


def test_vilt_sentences(answerer):
    wrapped, processor = answerer
    with pytest.raises(ExplainError, match=r"questions of up to 16 tokens; 'dog dog .*' has 22"):
        mmcam.explain_answer(wrapped, photo(64, 112), " ".join(["dog"] * 20))
    with pytest.raises(PictureError, match="200×4 pixels is too elongated for a ViLT"):
        mmcam.explain_answer(wrapped, photo(4, 200), QUESTION)
    with pytest.raises(ExplainError, match=r"whole patches of 8; this one is \(32, 50\)"):
        mmcam.explain_answer(wrapped, torch.zeros(3, 32, 50), QUESTION)
    with pytest.raises(ValueError, match="2 pictures for 1"):
        wrapped.answer_scores(torch.zeros(2, 3, 32, 32), [QUESTION])
    with pytest.raises(ExplainError, match="has no tokenizer"):
        mmcam.wrap(wrapped.model, processor.image_processor)


def test_a_limit_on_vilts_patches_draws_none_at_random():
    model, processor = vilt(max_image_length=5)
    unlimited, _ = vilt()
    limited = mmcam.wrap(model, processor)
    picture = photo(64, 112)
    exp = mmcam.explain_answer(limited, picture, QUESTION, "red")
    close(exp.values, mmcam.explain_answer(mmcam.wrap(unlimited, processor), picture, QUESTION, "red").values)


# CLIP and its kin

CELLS = {"clip": (4, 4), "chinese_clip": (4, 4), "siglip": (4, 4), "align": (4, 8)}
SKIP = {"clip": 1, "chinese_clip": 1, "siglip": 0}
LAYERS = {
    "clip": "model.vision_model.encoder.layers.1.layer_norm1",
    "chinese_clip": "model.vision_model.encoder.layers.1.layer_norm1",
    "siglip": "model.vision_model.encoder.layers.1",
    "align": "model.vision_model.encoder.blocks.2",
}
families = pytest.mark.parametrize("family", SIMILAR)


def read(processor, family, texts, pictures):
    padding = {"padding": "max_length", "max_length": 16} if family in ("siglip", "align") else {"padding": True}
    return processor(text=texts, images=pictures, return_tensors="pt", **padding)


@families
def test_similarities_are_the_models_own(family):
    wrapped, processor = similar(family)
    pictures = [photo(64, 96, 1), photo(50, 80, 2)]
    x = torch.stack([wrapped.preprocess(picture)[0] for picture in pictures])
    inputs = read(processor, family, TEXTS, pictures)
    assert torch.equal(inputs["pixel_values"], x)
    with torch.no_grad():
        own = wrapped.model(**inputs).logits_per_image
        texts = [text for text in TEXTS for _ in pictures]
        found = wrapped.similarity(x, texts)
    torch.testing.assert_close(found, own.T.flatten(), rtol=1e-4, atol=1e-5)
    assert own.std() > 1e-3


@families
def test_similarity_maps_are_those_of_a_plain_backward_pass(family):
    wrapped, processor = similar(family)
    picture = photo(64, 96)
    inputs = read(processor, family, TEXTS[:2], [picture])
    layer = LAYERS[family].removeprefix("model.")

    def maps(score):
        pair = evidence(wrapped.model, layer, lambda: score(wrapped.model(**inputs).logits_per_image[0]))
        if family == "align":
            return [tensor[0] for tensor in pair]
        h, w = CELLS[family]
        return [tensor[0, SKIP[family] :].T.reshape(-1, h, w) for tensor in pair]

    exp = mmcam.explain_similarity(wrapped, picture, TEXTS[0])
    assert exp.layer == LAYERS[family]
    assert exp.values.shape == CELLS[family]
    close(exp.values, gradcam(*maps(lambda s: s[0])))
    exp = mmcam.explain_similarity(wrapped, picture, TEXTS[1], contrast=TEXTS[0])
    close(exp.values, gradcam(*maps(lambda s: s[1] - s[0])))


@families
def test_a_contrast_that_is_the_text_itself(family):
    wrapped, _ = similar(family)
    for texts, contrast in ((TEXTS[0], TEXTS[0]), (list(TEXTS[:2]), [TEXTS[1], f" {TEXTS[1]}"])):
        images = photo(64, 96) if isinstance(texts, str) else [photo(64, 96)] * 2
        said = texts if isinstance(texts, str) else texts[1]
        with pytest.raises(ExplainError) as error:
            mmcam.explain_similarity(wrapped, images, texts, contrast=contrast)
        assert str(error.value) == f"The text and its contrast are both {said!r}; choose two."


def original(family, cell):
    """The block of a picture of 64×96, or 96×160, that becomes one cell, its size, and what of it is painted."""
    if family == "align":  # squashed to 48×80 from twice that, 8 cut on each side, cells of 8
        return (96, 160), [slice(2 * (8 * i + 8), 2 * (8 * i + 16)) for i in cell]
    if family == "siglip":  # squashed by 2 and 3
        return (64, 96), [slice(16 * cell[0], 16 * cell[0] + 16), slice(24 * cell[1], 24 * cell[1] + 24)]
    # halved to 32×48, 8 columns cut on each side, cells of 8
    return (64, 96), [slice(16 * cell[0], 16 * cell[0] + 16), slice(2 * (8 * cell[1] + 8), 2 * (8 * cell[1] + 16))]


@families
@pytest.mark.parametrize("where", ["first", "right", "inside", "last"])
def test_similarity_finds_the_patch_that_decides(family, where):
    h, w = CELLS[family]
    cell = {"first": (0, 0), "right": (0, w - 1), "inside": (2, 1), "last": (h - 1, w - 1)}[where]
    model, processor = SIMILAR[family]()
    wrapped = mmcam.wrap(without_positions(model), processor)
    size, block = original(family, cell)
    picture = grey_but(*size, *block)
    exp = mmcam.explain_similarity(wrapped, picture, TEXTS[0], method="hirescam", relu=False)
    assert odd_cell(exp.values) == cell
    row, column = brightest(exp.heatmap)
    assert block[0].start <= row <= block[0].stop
    assert block[1].start <= column <= block[1].stop


@families
def test_similarity_of_lists(family):
    wrapped, _ = similar(family)
    pictures = [photo(64, 96, 1), photo(80, 50, 2), photo(40, 40, 3)]
    others = TEXTS[1:] + TEXTS[:1]
    found = mmcam.explain_similarity(wrapped, pictures, TEXTS, contrast=others)
    for exp, picture, text, other in zip(found, pictures, TEXTS, others, strict=True):
        alone = mmcam.explain_similarity(wrapped, picture, text, contrast=other)
        assert exp.score == pytest.approx(alone.score, abs=1e-4)
        close(exp.values, alone.values)
        assert exp.heatmap.shape == picture.size[::-1]


@families
def test_similarity_leaves_the_model_as_found(family):
    wrapped, _ = similar(family)
    wrapped.train()
    state = State(wrapped)
    mmcam.explain_similarity(wrapped, photo(64, 96), TEXTS[0], contrast=TEXTS[1])
    state.check()
    wrapped.eval()


@families
@pytest.mark.parametrize(("method", "options"), [("layercam", {}), ("occlusion", {"patch": 8, "stride": 8})])
def test_similarity_with_other_methods(family, method, options):
    wrapped, _ = similar(family)
    exp = mmcam.explain_similarity(wrapped, photo(64, 96), TEXTS[0], contrast=TEXTS[1], method=method, **options)
    assert exp.values.any()
    assert exp.heatmap.shape == (64, 96)


@families
def test_similarity_in_half_precision(family):
    model, processor = SIMILAR[family]()
    full = mmcam.explain_similarity(mmcam.wrap(model, processor), photo(64, 96), TEXTS[0])
    half = mmcam.explain_similarity(mmcam.wrap(model.bfloat16(), processor), photo(64, 96), TEXTS[0])
    assert np.corrcoef(full.values.flatten(), half.values.float().flatten())[0, 1] > 0.9


@pytest.mark.parametrize("family", ["clip", "chinese_clip"])
def test_clips_last_block_has_no_say(family):
    wrapped, _ = similar(family)
    with pytest.raises(ExplainError, match=r"does not depend on layer 'model.vision_model.encoder.layers.1'"):
        mmcam.explain_similarity(wrapped, photo(64, 96), TEXTS[0], layer="model.vision_model.encoder.layers.1")


@families
def test_a_text_too_long(family):
    wrapped, _ = similar(family)
    most = wrapped.model.config.text_config.max_position_embeddings
    with pytest.raises(ExplainError, match=rf"reads texts of up to {most} tokens, fewer than 'dog dog"):
        mmcam.explain_similarity(wrapped, photo(64, 96), " ".join(["dog"] * 20))


def test_features_may_be_tensors(monkeypatch):
    """As in the first versions of transformers 5."""
    wrapped, _ = similar("clip")
    whole = mmcam.explain_similarity(wrapped, photo(64, 96), TEXTS[0])
    for name in ("get_image_features", "get_text_features"):
        get = getattr(wrapped.model, name)
        monkeypatch.setattr(wrapped.model, name, lambda get=get, **inputs: get(**inputs).pooler_output)
    assert torch.equal(mmcam.explain_similarity(wrapped, photo(64, 96), TEXTS[0]).values, whole.values)


def test_pictures_alone_give_embeddings():
    wrapped, _ = similar("clip")
    with torch.no_grad():
        assert wrapped(torch.zeros(2, 3, 32, 32)).shape == (2, 8)


def test_siglip2_of_free_proportions_is_refused():
    import transformers as hf

    small = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1}
    text = small | {"vocab_size": 30, "max_position_embeddings": 8, "projection_size": 8}
    model = drawn(hf.Siglip2Model(hf.Siglip2Config(text_config=text, vision_config=small | {"num_patches": 16})))
    with pytest.raises(ExplainError, match="Siglip2Model takes a picture of any proportions"):
        mmcam.wrap(model, similar("siglip")[1])


def test_changed_activations_of_each_version_of_a_question(answerer):
    """Ablation-CAM of words: nothing changed is the score itself, in a model that reads text and picture together."""
    wrapped = answerer[0] if isinstance(answerer, tuple) else answerer
    x = wrapped.preprocess(photo(64, 96))[0][None]
    asked = ["what is it", "what is"]
    own = wrapped.answer_scores(torch.cat([x, x]), asked)[:, 0]
    targets = [lambda out: out[:1, 0], vqa.difference_target(lambda out: out[:, 0], 1, 1)]

    def forward(pixels, rows):
        return wrapped.answer_scores(pixels, rows.spread(asked))

    def where():
        alone = Computation(wrapped, forward, x, targets, 2).alone
        return layer_at(wrapped, alone, x, wrapped.explain_layer)

    question = Question(wrapped, forward, x, targets, texts=2, where=where, language=True)
    scores = activation_scores(question, lambda a: a[None].expand(3, *a.shape), 3)
    assert torch.allclose(scores[0, :, 0], own[0].expand(3), atol=1e-5)
    assert torch.allclose(scores[1, :, 0], (own[0] - own[1]).expand(3), atol=1e-5)
