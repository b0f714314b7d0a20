"""Language models that read a picture: what they are made of equals what transformers computes by itself."""

import copy
import re

import numpy as np
import pytest
import torch
from tiny_generative import CAPTION, FAMILIES, QUESTION, llava, picture

import mmcam
from mmcam.adapters.transformers import wrap
from mmcam.errors import ExplainError, PictureError

pytest.importorskip("transformers")
_built = {}


def made(name):
    """A family, its model and processor, and the model wrapped; shared by the tests, which change none of them."""
    if name not in _built:
        model, processor = FAMILIES[name].build()
        _built[name] = FAMILIES[name], model, processor, wrap(model, processor)
    return _built[name]


@pytest.fixture(params=list(FAMILIES))
def family(request):
    return made(request.param)


def log_probs(known, model, inputs, tokens):
    return known.logits(model, inputs, tokens).log_softmax(-1).gather(-1, tokens[..., None])[..., 0]


def order_of(model, known):
    """Which token of the layer each cell of its map is, by transformers' own numbers."""
    cells = torch.arange(known.map[0] * known.map[1])
    if model.config.model_type != "qwen2_5_vl":
        return cells
    from transformers import vision_utils

    grid = torch.tensor([[1, 2 * known.map[0], 2 * known.map[1]]])
    windows, _ = vision_utils.get_vision_window_index(grid, spatial_merge_size=2, window_size=16, patch_size=4)
    assert not torch.equal(windows, cells)
    return torch.argsort(windows)


def plain_map(known, model, inputs, tokens, places):
    """Grad-CAM of the log-probability of some of the tokens, by autograd on the model as it is."""
    kept = []
    handle = model.get_submodule(known.layer).register_forward_hook(lambda module, args, output: kept.append(output))
    try:
        score = log_probs(known, model, inputs, tokens)[0, places].sum()
    finally:
        handle.remove()
    output = kept[0] if isinstance(kept[0], torch.Tensor) else kept[0][0]
    (gradient,) = torch.autograd.grad(score, output)
    rows, slopes = (t.reshape(-1, t.shape[-1])[known.others :][order_of(model, known)] for t in (output, gradient))
    return (rows @ slopes.mean(0)).relu().view(known.map).detach(), float(score.detach())


def test_the_prompt_and_the_pixels_are_the_processors(family):
    known, _, processor, wrapped = family
    image = picture(known.picture)
    inputs, (x, _) = known.inputs(processor, image), wrapped.preprocess(image)
    assert wrapped._prompts(x[None]) == inputs["input_ids"].tolist()
    ours = wrapped._pictures(x[None])
    assert torch.equal(ours["pixel_values"], inputs["pixel_values"])
    if "image_grid_thw" in inputs:
        assert torch.equal(ours["image_grid_thw"], inputs["image_grid_thw"])
    with wrapped.asked([QUESTION]):
        asked = known.inputs(processor, image, known.question)["input_ids"].tolist()
        assert wrapped._prompts(x[None]) == asked


def test_log_probs_are_those_of_generate(family):
    known, model, processor, wrapped = family
    image = picture(known.picture)
    inputs, x = known.inputs(processor, image), wrapped.preprocess(image)[0][None]
    settings = {"output_logits": True, "return_dict_in_generate": True, "max_new_tokens": 5}
    own = model.generate(**inputs, **settings)
    tokens = own.sequences[:, -5:]
    assert wrapped.generate(x) == tokens.tolist()
    theirs = torch.stack(own.logits, 1).log_softmax(-1).gather(-1, tokens[..., None])[..., 0]
    with torch.no_grad():
        ours = wrapped.token_log_probs(x, tokens)
        direct = log_probs(known, model, inputs, tokens)
    assert torch.allclose(ours, theirs, atol=2e-5)
    assert torch.allclose(ours, direct, atol=1e-6)


def test_all_words_in_one_pass_are_the_maps_of_each_by_itself(family):
    known, model, processor, wrapped = family
    image = picture(known.picture, seed=3)
    exp = mmcam.explain_caption(wrapped, image, caption=CAPTION)
    tokens = torch.tensor([wrapped.encode(CAPTION)])
    words = wrapped.words(tokens[0].tolist())
    assert [text for text, _ in words] == CAPTION.split()
    inputs = known.inputs(processor, image)
    for said, (_, places) in zip([*exp, exp.whole], [*words, ("", list(range(tokens.shape[1])))], strict=True):
        cam, score = plain_map(known, model, inputs, tokens, places)
        assert said.layer == f"model.{known.layer}"
        assert said.score == pytest.approx(score, abs=2e-5)
        assert cam.any() or said.empty
        assert torch.allclose(said.cam, cam, atol=1e-5 * max(1.0, float(cam.max())))
    assert sum(not said.empty for said in exp) >= 2


def test_words_share_one_pass_through_the_encoder(family):
    known, model, _, wrapped = family
    seen = []
    blocks = [module for name, module in model.named_modules() if re.search(r"(layers?|blocks)\.0$", name)]
    handle = blocks[0].register_forward_hook(lambda module, args, output: seen.append(len(args[0])))
    mmcam.explain_caption(wrapped, picture(known.picture), caption=CAPTION)
    handle.remove()
    assert len(seen) == 1


def test_a_batch_of_pictures_and_questions_of_different_lengths(family):
    known, _, _, wrapped = family
    images = [picture(known.picture, seed) for seed in (1, 2)]
    questions = [QUESTION, "is it red?"]
    both = mmcam.explain_answer(wrapped, images, questions, "yes")
    for image, asked, exp in zip(images, questions, both, strict=True):
        alone = mmcam.explain_answer(wrapped, image, asked, "yes")
        assert exp.score == pytest.approx(alone.score, abs=1e-5)
        assert torch.allclose(exp.values, alone.values, atol=1e-5 * max(1.0, float(alone.values.max())))
        assert exp.context == asked
    assert both[0].score != both[1].score
    own = mmcam.explain_answer(wrapped, images, questions)
    assert [exp.target for exp in own] == [
        mmcam.explain_answer(wrapped, *pair).target for pair in zip(images, questions, strict=True)
    ]


def test_answers_given_and_contrasted(family):
    known, model, processor, wrapped = family
    image = picture(known.picture)
    own = mmcam.explain_answer(wrapped, image, QUESTION)
    assert own.context == QUESTION
    assert own.target
    yes, no = (mmcam.explain_answer(wrapped, image, QUESTION, answer) for answer in ("a dog", "the grass"))
    rather = mmcam.explain_answer(wrapped, image, QUESTION, "a dog", contrast="the grass")
    assert rather.target == "a dog rather than the grass"
    assert rather.score == pytest.approx(yes.score - no.score, abs=1e-4)
    instead = mmcam.explain_answer(wrapped, image, QUESTION, contrast="the grass")  # of what it answers by itself
    assert instead.score == pytest.approx(own.score - no.score, abs=1e-4)
    assert instead.target == f"{own.target} rather than the grass"
    with pytest.raises(ExplainError, match="The answer and its contrast are both 'a dog'; choose two"):
        mmcam.explain_answer(wrapped, image, QUESTION, "a dog", contrast="a dog")
    with wrapped.asked([QUESTION]):
        tokens = torch.tensor([wrapped.encode("a dog")])
    with torch.no_grad():
        theirs = log_probs(known, model, known.inputs(processor, image, known.question), tokens)
    assert yes.score == pytest.approx(float(theirs.sum()), abs=2e-5)
    assert wrapped._questions is None


def test_one_word_and_one_in_its_place(family):
    known, _, _, wrapped = family
    image = picture(known.picture)
    word = mmcam.explain_caption(wrapped, image, "dogs", caption=CAPTION)
    assert word.target == "dog"
    assert word.score == pytest.approx(mmcam.explain_caption(wrapped, image, caption=CAPTION)[1].score, abs=1e-5)
    spoken = wrapped.words(wrapped.generate(wrapped.preprocess(image)[0][None])[0])
    assert mmcam.explain_caption(wrapped, image).text == " ".join(text for text, _ in spoken)
    # What stands inside a caption has the blank before it, whatever the tokenizer makes of it.
    inside, whole = wrapped.encode_inside("cat"), wrapped.encode(CAPTION.replace("dog", "cat"))
    assert any(whole[i : i + len(inside)] == inside for i in range(1, len(whole)))
    assert [text for text, _ in wrapped.words([*wrapped.encode("a"), *inside])] == ["a", "cat"]


def localise(model):
    """Every patch knows its own pixels alone: the encoder's attention says nothing."""
    for name, parameter in model.named_parameters():
        attention = r"(layers?|blocks)\.\d+\.(self_attn|attn|attention)\.(out_proj|proj|projection|projection_layer)\."
        if re.search(attention, name) and "language_model" not in name and "text_model" not in name:
            parameter.data.zero_()


def plant(known, model, processor, cell):
    """Only one of the places the picture takes tells the language model anything."""
    if known.layer.startswith("vision_model"):  # BLIP-2: the query tokens read all patches, so it is done before them
        at = known.others + cell

        def only(module, args, kwargs):
            seen = kwargs["encoder_hidden_states"]
            mask = torch.zeros(seen.shape[1]).index_fill(0, torch.tensor([at]), 1.0)
            return args, {**kwargs, "encoder_hidden_states": seen * mask[:, None]}

        return model.qformer.register_forward_pre_hook(only, with_kwargs=True)
    ids = known.inputs(processor, picture(known.picture))["input_ids"][0]
    places = (ids == model.config.image_token_id).nonzero()[:, 0]
    assert len(places) == known.cells[0] * known.cells[1]

    def only(module, args, kwargs):
        embeds = kwargs["inputs_embeds"]
        mask = torch.ones(embeds.shape[1])
        mask[places] = 0
        mask[places[cell]] = 1
        return args, {**kwargs, "inputs_embeds": embeds * mask[:, None]}

    part = model.model.language_model if hasattr(model.model, "language_model") else model.model.text_model
    return part.register_forward_pre_hook(only, with_kwargs=True)


def test_the_patch_that_decides_is_found_where_it_is(family):
    known, model, processor, _ = family
    model = copy.deepcopy(model)
    localise(model)
    wrapped = wrap(model, processor)
    image = picture(known.picture, seed=5)
    tokens = torch.tensor([wrapped.encode(CAPTION)])
    corners = {0, known.cells[1] - 1, known.cells[0] * known.cells[1] - 1}
    for cell in sorted({*corners, known.cells[1] + 2, 2 * known.cells[1] + 1}):
        handle = plant(known, model, processor, cell)
        # The truth, from pixels and the model as it is: where a change of the picture changes what is said.
        changes = np.zeros(known.cells)
        with torch.no_grad():
            before = log_probs(known, model, known.inputs(processor, image), tokens).sum()
            for row, column in np.ndindex(known.cells):
                left, top, right, bottom = known.square(row, column)
                inner = ((right - left) // 4, (bottom - top) // 4)  # not its edge, which resizing smears
                painted = image.copy()
                painted.paste((250, 5, 5), (left + inner[0], top + inner[1], right - inner[0], bottom - inner[1]))
                after = log_probs(known, model, known.inputs(processor, painted), tokens).sum()
                changes[row, column] = abs(float(after - before))
        decides = np.unravel_index(changes.argmax(), changes.shape)
        assert np.sort(changes.ravel())[-2] < 0.05 * changes.max()
        exp = mmcam.explain_caption(wrapped, image, caption=CAPTION, method="hirescam", relu=False).whole
        handle.remove()
        strength = np.abs(exp.heatmap)
        left, top, right, bottom = known.square(*decides)
        y, x = np.unravel_index(strength.argmax(), strength.shape)
        assert left <= x < right
        assert top <= y < bottom
        # At the layer's own resolution nothing else is there at all.
        fine = known.map[0] // known.cells[0]
        whole = exp.values.abs().unflatten(1, (-1, fine)).unflatten(0, (-1, fine)).sum((1, 3))
        assert whole[decides] > 0
        assert int((whole > 1e-6 * whole.max()).sum()) == 1


def test_the_model_is_left_as_found(family):
    known, model, _, wrapped = family
    image = picture(known.picture)
    mmcam.explain_caption(wrapped, image)  # its own first run sets hooks that it keeps
    state = {name: value.clone() for name, value in model.state_dict().items()}
    hooks = [len(module._forward_hooks) + len(module._forward_pre_hooks) for module in model.modules()]
    ropes = getattr(model.model, "rope_deltas", None) if hasattr(model, "model") else None
    wrapped.train()
    training = [module.training for module in model.modules()]
    random = torch.get_rng_state()
    mmcam.explain_caption(wrapped, image)
    mmcam.explain_answer(wrapped, image, QUESTION)
    with pytest.raises(ExplainError, match="has no 'zebra'"):
        mmcam.explain_caption(wrapped, image, "zebra", caption=CAPTION)
    assert training == [module.training for module in model.modules()]
    wrapped.eval()
    assert torch.equal(random, torch.get_rng_state())
    assert hooks == [len(module._forward_hooks) + len(module._forward_pre_hooks) for module in model.modules()]
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    assert all(parameter.grad is None and parameter.requires_grad for parameter in model.parameters())
    if hasattr(model, "model"):
        assert getattr(model.model, "rope_deltas", None) is ropes


def test_half_precision(family):
    known, model, processor, wrapped = family
    half = wrap(copy.deepcopy(model).to(torch.bfloat16), processor)
    image = picture(known.picture)
    exp, full = (mmcam.explain_caption(w, image, caption=CAPTION).whole for w in (half, wrapped))
    assert torch.isfinite(exp.values).all()
    assert exp.score == pytest.approx(full.score, rel=0.05)


def test_pixel_methods_and_prepared_inputs(family):
    known, _, _, wrapped = family
    image = picture(known.picture)
    exp = mmcam.explain_caption(wrapped, image, "dog", caption=CAPTION, method="gradient")
    assert exp.values.ndim == 3
    assert exp.heatmap.shape == known.picture[::-1]
    assert exp.heatmap.any()
    x, _ = wrapped.preprocess(image)
    same = mmcam.explain_caption(wrapped, x, "dog", caption=CAPTION)
    assert torch.equal(same.cam, mmcam.explain_caption(wrapped, image, "dog", caption=CAPTION).cam)


@pytest.mark.parametrize("settings", [{"vision_feature_layer": -1}, {"vision_feature_layer": 2}])
def test_llava_reads_the_block_it_says(settings):
    known, (model, processor) = FAMILIES["llava"], llava(**settings)
    wrapped = wrap(model, processor)
    image, block = picture(known.picture), 3 if settings["vision_feature_layer"] == -1 else 1
    assert wrapped.explain_layer == f"model.model.vision_tower.encoder.layers.{block}"
    tokens = torch.tensor([wrapped.encode(CAPTION)])
    inputs = known.inputs(processor, image)
    exp = mmcam.explain_caption(wrapped, image, caption=CAPTION)
    with torch.no_grad():
        assert exp.whole.score == pytest.approx(float(log_probs(known, model, inputs, tokens).sum()), abs=1e-5)
    before = mmcam.explain_caption(wrapped, image, caption=CAPTION).whole
    model.generate(**inputs)  # sets hooks of its own, before ours
    after = mmcam.explain_caption(wrapped, image, caption=CAPTION).whole
    assert torch.equal(before.values, after.values)


def test_llava_that_keeps_the_class_token_or_reads_several_blocks():
    known = FAMILIES["llava"]
    image = picture(known.picture)
    for settings in ({"vision_feature_select_strategy": "full"}, {"vision_feature_layer": [-3, -2]}):
        model, processor = llava(**settings)
        wrapped = wrap(model, processor)
        tokens = torch.tensor([wrapped.encode(CAPTION)])
        exp = mmcam.explain_caption(wrapped, image, caption=CAPTION).whole
        with torch.no_grad():
            score = float(log_probs(known, model, known.inputs(processor, image), tokens).sum())
        assert exp.score == pytest.approx(score, abs=1e-5)
    assert wrapped.explain_layer == "model.model.multi_modal_projector"
    with pytest.raises(ExplainError, match="vision_feature_layer=0"):
        wrap(*llava(vision_feature_layer=0))


def test_the_block_that_llava_does_not_read_has_no_say():
    known, _, _, wrapped = made("llava")
    with pytest.raises(ExplainError, match="does not depend"):
        mmcam.explain_caption(
            wrapped, picture(known.picture), caption=CAPTION, layer="model.model.vision_tower.encoder.layers.3"
        )


@pytest.mark.parametrize("name", ["qwen2", "qwen2.5"])
@pytest.mark.parametrize("size", [(80, 48), (48, 80), (40, 24), (37, 91)])
def test_qwen_resizes_as_its_processor(name, size):
    _, _, processor, wrapped = made(name)
    image = picture(size)
    x, geometry = wrapped.preprocess(image)
    theirs = processor.image_processor(images=image, return_tensors="pt")
    assert torch.equal(wrapped._pictures(x[None])["pixel_values"], theirs["pixel_values"])
    h, w = x.shape[1:]
    assert [1, h // 4, w // 4] == theirs["image_grid_thw"][0].tolist()
    assert geometry == wrapped.preprocess.geometry(size[1], size[0])
    assert (geometry.original, geometry.input) == ((size[1], size[0]), (h, w))
    assert mmcam.explain_caption(wrapped, image, "dog", caption=CAPTION).heatmap.shape == size[::-1]


@pytest.mark.parametrize("name", ["qwen2", "qwen2.5"])
def test_qwen_blocks_lie_where_their_patches_do(name):
    known, model, processor, _ = made(name)
    model = copy.deepcopy(model)
    localise(model)
    wrapped, image = wrap(model, processor), picture(known.picture)
    x = wrapped.preprocess(image)[0][None]
    layers = ["model.model.visual.blocks.1", "model.model.visual.merger.ln_q"]
    plain = mmcam.explain_caption(wrapped, image, "dog", caption=CAPTION, layer=layers[0])
    assert plain.cam.shape == (6, 10)
    for row, column in ((0, 0), (2, 7), (5, 9)):
        painted = x.clone()
        painted[:, :, 4 * row : 4 * row + 4, 4 * column : 4 * column + 4] += 1
        for layer in layers:
            a, b = (mmcam.explain_caption(wrapped, p[0], "dog", caption=CAPTION, layer=layer) for p in (x, painted))
            changed = (a.activations - b.activations).abs().sum(0)
            assert changed[row, column] > 0
            assert int((changed > 1e-5).sum()) == 1


def test_what_qwen_cannot_take():
    known, _, _, wrapped = made("qwen2")
    with pytest.raises(PictureError, match="one shape"):
        mmcam.explain_caption(wrapped, [picture((80, 48)), picture((48, 80))])
    with pytest.raises(ExplainError, match="8×8 pixels"):
        mmcam.explain_caption(wrapped, torch.zeros(3, 20, 24), caption=CAPTION)
    with pytest.raises(PictureError, match="a 2×900 picture"):
        mmcam.explain_caption(wrapped, picture((2, 900)))
    two = [picture(known.picture, seed) for seed in (1, 2)]
    both = mmcam.explain_caption(wrapped, two, caption=CAPTION)
    assert torch.allclose(both[1].whole.values, mmcam.explain_caption(wrapped, two[1], caption=CAPTION).whole.values)


@pytest.mark.parametrize("name", ["qwen2", "qwen2.5"])
def test_qwen_takes_prepared_inputs_larger_than_its_processor_makes(name):
    _, model, _, wrapped = made(name)
    x = torch.rand(1, 3, 48, 64, generator=torch.Generator().manual_seed(0))
    exp = mmcam.explain_caption(wrapped, x[0], caption=CAPTION)
    assert exp.whole.cam.shape == (6, 8)
    # The prompt by hand: the same text around as many places.
    (prompt,) = wrapped._prompts(x)
    place = model.config.image_token_id
    assert prompt.count(place) == 48
    (small,) = wrapped._prompts(torch.zeros(1, 3, 16, 16))
    assert [i for i in small if i != place] == [i for i in prompt if i != place]


def test_grounding_of_a_blank_picture(family):
    known, model, processor, wrapped = family
    image = picture(known.picture)
    words = mmcam.grounding(wrapped, image, CAPTION)
    tokens = torch.tensor([wrapped.encode(CAPTION)])
    with torch.no_grad():
        seen = log_probs(known, model, known.inputs(processor, image), tokens)[0]
    assert " ".join(word.word for word in words) == CAPTION
    for word, (_, at) in zip(words, wrapped.words(tokens[0].tolist()), strict=True):
        assert word.log_prob == pytest.approx(float(seen[at].sum()), abs=1e-4)
    # A blank is the mean colour, 0.
    inputs = known.inputs(processor, image)
    inputs["pixel_values"] = 0 * inputs["pixel_values"]
    with torch.no_grad():
        blind = log_probs(known, model, inputs, tokens)[0]
    for word, (_, at) in zip(words, wrapped.words(tokens[0].tolist()), strict=True):
        assert word.blind_log_prob == pytest.approx(float(blind[at].sum()), abs=1e-3)
    assert any(abs(word.drop) > 1e-2 for word in words)


def test_prompts_can_be_changed():
    known, model, processor, _ = made("llava")
    wrapped = wrap(model, processor)
    wrapped.prompt, wrapped.question = "Describe", "{} answer in a word."
    x = wrapped.preprocess(picture(known.picture))[0][None]
    assert wrapped._prompts(x) == known.inputs(processor, picture(known.picture), "Describe")["input_ids"].tolist()
    with wrapped.asked(["where?"]):
        theirs = known.inputs(processor, picture(known.picture), "where? answer in a word.")
        assert wrapped._prompts(x) == theirs["input_ids"].tolist()


def test_models_and_processors_that_do_not_fit():
    _, model, processor, _ = made("qwen2")
    bare = copy.copy(processor)
    bare.chat_template = None
    with pytest.raises(ExplainError, match="no chat template"):
        mmcam.explain_caption(wrap(model, bare), picture((40, 24)))
    _, blip2, processor, _ = made("blip2")
    blip2 = copy.copy(blip2)
    blip2.config = copy.deepcopy(blip2.config)
    blip2.config.image_token_index = None
    with pytest.raises(ExplainError, match="image_token_index"):
        wrap(blip2, processor)
    blip2.config.use_decoder_only_language_model = False
    with pytest.raises(ExplainError, match="T5"):
        wrap(blip2, processor)

    class VipLlavaForConditionalGeneration(torch.nn.Module):
        pass

    with pytest.raises(ExplainError, match="no adapter for VipLlava"):
        wrap(VipLlavaForConditionalGeneration(), processor)
