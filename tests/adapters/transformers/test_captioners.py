"""Captioners of the transformers library, against the unwrapped models: their own logits, pixels and gradients."""

import numpy as np
import pytest
import torch
from PIL import Image
from state import State
from tiny_captioners import (
    CAPTION,
    FAMILIES,
    MEAN,
    PATCH,
    QUESTION,
    SIDE,
    STD,
    asking,
    blip,
    bytelevel,
    git,
    make_local,
    matcher,
    pix2struct,
    pixels,
    sentencepiece,
    vision_gpt2,
    wordpiece,
)

import mmcam
from mmcam import ExplainError, PictureError
from mmcam.adapters.transformers import Parts
from mmcam.adapters.transformers.blip import BlipMatcher
from mmcam.adapters.transformers.pictures import checked, preprocess_from
from mmcam.adapters.transformers.text import ends_of, said, tokens_inside, tokens_of, words_of

family = pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)


def noise(size=(90, 60), seed=0):
    return Image.fromarray(np.random.default_rng(seed).integers(0, 255, (size[1], size[0], 3), dtype=np.uint8))


def close(a, b, relative=1e-4):
    assert a.shape == b.shape
    assert (a - b).abs().max() <= relative * b.abs().max() + 1e-9


def reference(family, model, processor, picture, tokens, targets):
    """Grad-CAMs and scores by transformers' own forward and one backward a target, at the layer's whole output.

    `targets` are functions from the tokens' log-probabilities (L,) to a scalar.
    """
    caught = []

    def catch(module, args, output):
        tensor = output[0] if isinstance(output, tuple) else output
        caught.append(tensor)

    handle = model.get_submodule(family.layer).register_forward_hook(catch)
    ids = torch.tensor([tokens])
    logits = family.logits(model, processor, picture, ids)
    handle.remove()
    log_probs = logits.log_softmax(-1).gather(-1, ids[..., None])[0, :, 0]
    maps, scores = [], []
    for target in targets:
        score = target(log_probs)
        (gradient,) = torch.autograd.grad(score, caught[0], retain_graph=True)
        h, w = cells(processor, picture)
        patches = slice(family.others, family.others + h * w)
        a, g = caught[0][0, patches].detach(), gradient[0, patches]
        maps.append((a @ g.mean(0)).relu().view(h, w))
        scores.append(float(score.detach()))
    return maps, scores


def cells(processor, picture):
    """Rows and columns of the map, from what the processor made."""
    made = pixels(processor, picture)
    if "flattened_patches" in made:
        return tuple(int(side) for side in made["flattened_patches"][0, :, :2].amax(0))
    return tuple(side // PATCH for side in made["pixel_values"].shape[-2:])


# --- the maps are those of the model itself ---------------------------------------------------------------------------


@family
def test_all_words_in_one_pass_equal_separate_ones(family):
    wrapped, model, processor = family()
    picture, runs = noise(), []
    tokens = wrapped.encode(CAPTION)
    with asking(wrapped):
        mmcam.explain_caption(wrapped, picture, caption=CAPTION)  # the first call of all proves more
    handle = model.get_submodule(family.layer).register_forward_hook(lambda *args: runs.append(1))
    with asking(wrapped):
        found = mmcam.explain_caption(wrapped, picture, caption=CAPTION)
    handle.remove()
    assert len(runs) == 1, "the engine had to fall back"
    assert [exp.target for exp in found.words] == CAPTION.split()
    words = wrapped.words(tokens)
    targets = [lambda p, at=at: p[at].sum() for _, at in words]
    maps, scores = reference(family, model, processor, picture, tokens, [*targets, lambda p: p.sum()])
    for exp, cam, score in zip([*found.words, found.whole], maps, scores, strict=True):
        assert exp.score == pytest.approx(score, abs=2e-5)
        close(exp.cam, cam)
        assert exp.layer == f"model.{family.layer}"
    assert found.whole.cam.any()


@family
def test_contrast_is_the_difference_of_two_captions(family):
    wrapped, model, processor = family()
    picture = noise(seed=3)
    with asking(wrapped):
        exp = mmcam.explain_caption(wrapped, picture, "a", caption=CAPTION, contrast="the", position=0)
    one, other = (wrapped.encode(text) for text in (CAPTION, CAPTION.replace("a dog", "the dog", 1)))
    scores = []
    for tokens in (one, other):
        last = wrapped.words(tokens)[0][1][-1] + 1
        _, (score,) = reference(family, model, processor, picture, tokens, [lambda p, n=last: p[:n].sum()])
        scores.append(score)
    assert exp.score == pytest.approx(scores[0] - scores[1], abs=4e-5)


@pytest.mark.parametrize("name", FAMILIES)
def test_contrast_inside_a_caption_scores_the_word_as_it_would_stand_there(name):
    wrapped, model, processor = FAMILIES[name]()
    picture = noise(seed=3)
    with asking(wrapped):
        exp = mmcam.explain_caption(wrapped, picture, "dog", caption=CAPTION, contrast="boat")
    scores = []
    for text in (CAPTION, CAPTION.replace("dog", "boat")):
        tokens = wrapped.encode(text)
        at = wrapped.words(tokens)[1][1]
        _, (score,) = reference(FAMILIES[name], model, processor, picture, tokens, [lambda p, at=at: p[at].sum()])
        scores.append(score)
    assert exp.score == pytest.approx(scores[0] - scores[1], abs=4e-5)


@family
def test_log_probs_equal_those_of_generate(family):
    wrapped, model, processor = family()
    picture = noise(seed=1)
    x = wrapped.preprocess(picture)[0][None]
    own = family.own(model, processor, picture)
    with asking(wrapped), torch.no_grad():
        (tokens,) = wrapped.generate(x)
        assert tokens
        log_probs = wrapped.token_log_probs(x, torch.tensor([tokens]))[0]
    assert own.sequences[0, 1 : 1 + len(tokens)].tolist() == tokens
    step = torch.stack(own.logits, dim=1)[0].log_softmax(-1)[: len(tokens)]
    expected = step.gather(-1, torch.tensor(tokens)[:, None])[:, 0]
    assert (log_probs - expected).abs().max() < 2e-5


@family
def test_a_list_gives_what_each_picture_gives(family):
    wrapped, _, _ = family()
    pictures = [noise(seed=seed) for seed in (4, 5, 6)]
    captions = ["a dog", CAPTION, "the ball is blue"]
    with asking(wrapped, 3):
        together = mmcam.explain_caption(wrapped, pictures, caption=captions)
    for picture, caption, found in zip(pictures, captions, together, strict=True):
        with asking(wrapped):
            alone = mmcam.explain_caption(wrapped, picture, caption=caption)
        for a, b in zip([*found.words, found.whole], [*alone.words, alone.whole], strict=True):
            assert a.score == pytest.approx(b.score, abs=2e-5)
            close(a.cam, b.cam)


@family
def test_generated_captions_of_a_list_are_those_of_each_picture(family):
    wrapped, _, _ = family()
    x = torch.stack([wrapped.preprocess(noise(seed=seed))[0] for seed in range(3)])
    with asking(wrapped, 3):
        together = wrapped.generate(x)
    with asking(wrapped):
        assert together == [wrapped.generate(one[None])[0] for one in x]


# --- where things are -------------------------------------------------------------------------------------------------


@family
def test_the_input_is_the_processors_own(family):
    wrapped, _, processor = family()
    picture = noise((70, 101))
    x, geometry = wrapped.preprocess(picture)
    assert geometry.original == (101, 70)
    assert geometry.input == tuple(x.shape[1:])
    made = pixels(processor, picture)
    if "flattened_patches" in made:
        patches, mask = wrapped._patches(x[None])
        there = made["attention_mask"][0] > 0
        assert torch.equal(patches[0], made["flattened_patches"][0, there])
        assert mask.shape == (1, int(there.sum()))
    else:
        assert torch.equal(x, made["pixel_values"][0])


@pytest.mark.parametrize("size", [(64, 101), (103, 64), (90, 60), (32, 37), (20, 30)])
def test_positions_are_where_a_ramp_says(size):
    """Two ramps over the picture tell for every input pixel where it came from."""
    w, h = size
    across = np.broadcast_to(((np.arange(w) + 0.5) * 255 / w)[None, :], (h, w))
    down = np.broadcast_to(((np.arange(h) + 0.5) * 255 / h)[:, None], (h, w))
    picture = Image.fromarray(np.stack([across, down, down], axis=2).round().astype(np.uint8))
    for build in (git, lambda: vision_gpt2("swin"), lambda: blip("BlipForConditionalGeneration")):
        preprocess = mmcam.wrap(*build()).preprocess
        x, geometry = preprocess(picture)
        seen = x * torch.tensor(STD)[:, None, None] + torch.tensor(MEAN)[:, None, None]
        for axis, channel, side in ((0, 1, h), (1, 0, w)):
            told = seen[channel].mean(1 - axis)[4:-4].double() * side
            at = torch.arange(geometry.input[axis])[4:-4].double() + 0.5
            expected = (at - geometry.offset[axis]) / geometry.scale[axis]
            # Half a pixel of rounding in the crop would be 0.5 / scale.
            assert (told - expected).mean().abs() < 0.2


def planted(wrapped, processor, picture_size, cell):
    """A grey picture with a pattern in the middle of one cell of the map, and that cell: (left, top, right, bottom)."""
    w, h = picture_size
    pixels = np.full((h, w, 3), 128, dtype=np.uint8)
    rows, columns = cells(processor, Image.fromarray(pixels))
    geometry = wrapped.preprocess(Image.fromarray(pixels))[1]
    r, c = cell[0] % rows, cell[1] % columns
    sides = [geometry.input[0] / rows, geometry.input[1] / columns]
    top, bottom = ((i * sides[0] - geometry.offset[0]) / geometry.scale[0] for i in (r, r + 1))
    left, right = ((i * sides[1] - geometry.offset[1]) / geometry.scale[1] for i in (c, c + 1))
    # Far enough from its borders that the resizing smears nothing over to the next.
    down, across = (2.5 / scale for scale in geometry.scale)
    inner = slice(round(top + down), round(bottom - down)), slice(round(left + across), round(right - across))
    shape = pixels[inner].shape
    pixels[inner] = np.random.default_rng(7).integers(0, 2, (1, 1, 3)) * 255
    pixels[inner][:, : shape[1] // 2] = 255
    return Image.fromarray(pixels), (left, top, right, bottom)


@pytest.mark.parametrize("size", [(96, 64), (64, 112), (64, 64)])
@family
def test_a_planted_patch_is_found_at_its_place(family, size):
    """Only one patch of the picture says anything, so each word hangs on it, and no other cell can light up."""
    wrapped, model, processor = family.fresh()
    make_local(model)
    grey = Image.new("RGB", size, (128, 128, 128))
    for cell in [(0, 0), (0, -1), (2, 1), (1, 2), (-1, 0), (-1, -1)]:
        picture, (left, top, right, bottom) = planted(wrapped, processor, size, cell)
        if "flattened_patches" in pixels(processor, picture):
            # It takes the picture's own mean for zero: a bias makes zero of the grey of this one.
            embed = model.encoder.embeddings.patch_projection
            made = pixels(processor, picture)["flattened_patches"][0, :, 2:]
            index = 0 if cell != (0, 0) else int(pixels(processor, picture)["attention_mask"][0].sum()) - 1
            with torch.no_grad():
                embed.bias.copy_(-(embed.weight @ made[index]))
        with asking(wrapped):
            found = mmcam.explain_caption(wrapped, picture, caption=CAPTION)
            blank = mmcam.explain_caption(wrapped, grey, caption=CAPTION)
        highest = max(exp.heatmap.max() for exp in found.words)
        assert highest > 1e-3, "no word speaks for the patch; another seed is needed"
        for exp in found.words:
            if exp.heatmap.max() < 1e-3 * highest:  # the patch speaks against the word
                continue
            y, x = np.unravel_index(np.asarray(exp.heatmap).argmax(), exp.heatmap.shape)
            assert top <= y + 0.5 <= bottom
            assert left <= x + 0.5 <= right
            strongest = np.sort(np.asarray(exp.cam).ravel())
            assert strongest[-2] < 1e-3 * strongest[-1]
        assert any(abs(a.score - b.score) > 1e-3 for a, b in zip(found.words, blank.words, strict=True))


# --- the model is left as found ---------------------------------------------------------------------------------------


@family
def test_the_model_is_left_as_found(family):
    wrapped, model, _ = family.fresh()
    model.train()
    wrapped = mmcam.wrap(model, family()[2])
    for parameter in list(model.parameters())[::3]:
        parameter.requires_grad_(False)
    before = State(wrapped)
    with asking(wrapped):
        mmcam.explain_caption(wrapped, noise(), caption=CAPTION)
        mmcam.explain_caption(wrapped, noise())
        with pytest.raises(ExplainError, match="only 1 times"):
            mmcam.explain_caption(wrapped, noise(), "dog", caption=CAPTION, call=5)
    before.check()


@family
def test_grounding_reads_what_words_lose_without_the_picture(family):
    wrapped, model, processor = family()
    picture = noise(seed=2)
    with asking(wrapped), torch.no_grad():
        found = mmcam.grounding(wrapped, picture, CAPTION)
        blind = wrapped.token_log_probs(
            torch.zeros_like(wrapped.preprocess(picture)[0][None]), torch.tensor([wrapped.encode(CAPTION)])
        )
    tokens = wrapped.encode(CAPTION)
    targets = [lambda p, at=at: p[at].sum() for _, at in wrapped.words(tokens)]
    _, scores = reference(family, model, processor, picture, tokens, targets)
    for word, score, (_, at) in zip(found, scores, wrapped.words(tokens), strict=True):
        assert word.log_prob == pytest.approx(score, abs=2e-5)
        assert word.blind_log_prob == pytest.approx(float(blind[0, at].sum()), abs=2e-5)


@family
def test_half_precision_gives_about_the_same_map(family):
    wrapped, model, _ = family.fresh()
    with asking(wrapped):
        single = mmcam.explain_caption(wrapped, noise(), caption=CAPTION).whole
        model.to(torch.bfloat16)
        half = mmcam.explain_caption(wrapped, noise(), caption=CAPTION).whole
        assert mmcam.explain_caption(wrapped, noise()).words
    assert half.score == pytest.approx(single.score, rel=0.02)
    flat = torch.stack([exp.cam.float().flatten() for exp in (single, half)])
    assert torch.nn.functional.cosine_similarity(*flat, dim=0) > 0.9


@pytest.mark.parametrize("method", ["gradient", "scorecam", "smoothgrad"])
@family
def test_other_methods_see_a_picture_too(family, method):
    """Pixel methods, and those that run several versions of the picture or of the activations at once."""
    wrapped, _, _ = family()
    options = {"n": 3} if method == "smoothgrad" else {}
    with asking(wrapped):
        exp = mmcam.explain_caption(wrapped, noise(), "dog", caption=CAPTION, method=method, **options)
    assert torch.isfinite(exp.values).all()
    assert exp.values.any()


# --- words ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tokenizer", [wordpiece, bytelevel, sentencepiece])
@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a man in a t-shirt is playing.", ["a", "man", "in", "a", "t-shirt", "is", "playing", "."]),
        ("the dog's ball, rock-and-roll", ["the", "dog's", "ball", ",", "rock-and-roll"]),
        ("don't run", ["don't", "run"]),
        ("a ball - is red", ["a", "ball", "-", "is", "red"]),
        ("what is it? no!", ["what", "is", "it", "?", "no", "!"]),
        ("says 'stop' is", ["says", "'", "stop", "'", "is"]),
        ("dogs", ["dogs"]),
    ],
)
def test_words_from_subwords(tokenizer, text, words):
    tok = tokenizer()
    tokens = tok(text, add_special_tokens=False)["input_ids"]
    if tok.unk_token_id in tokens:
        pytest.skip("this small vocabulary cannot write it")
    found = words_of(tok, tokens)
    if tokenizer is wordpiece and " - " in text:
        words = ["a", "ball-is", "red"]  # its tokens are the same as of "ball-is"
    assert [word for word, _ in found] == words
    assert [place for _, places in found for place in places] == list(range(len(tokens)))


def test_half_characters_belong_together():
    tok = bytelevel()
    tokens = tok("a café 😀 boat")["input_ids"]
    found = words_of(tok, tokens)
    assert [word for word, _ in found] == ["a", "café", "😀", "boat"]
    assert len(found[1][1]) > 1
    assert words_of(tok, tokens[:-2])[-1][0].startswith("\ufffd")  # cut off inside


def test_special_tokens_spell_nothing():
    tok = wordpiece()
    dog, end = tok.convert_tokens_to_ids(["dog", "[SEP]"])
    assert words_of(tok, [end, dog, end]) == [("dog", [0, 1, 2])]
    assert words_of(tok, [end]) == words_of(tok, []) == []


def test_a_phrase_inside_a_text_has_its_blank():
    assert bytelevel().convert_ids_to_tokens(tokens_inside(bytelevel(), "dog")) == ["Ġdog"]
    for tok in (wordpiece(), sentencepiece()):
        assert tokens_inside(tok, "dog") == tokens_of(tok, "dog")


def test_what_the_tokenizer_cannot_write_is_named():
    with pytest.raises(ExplainError, match="cannot write 'zebra'"):
        tokens_of(wordpiece(), "a zebra")
    with pytest.raises(ExplainError, match="no token"):
        tokens_of(wordpiece(), " ")
    wrapped, _, _ = FAMILIES["blip"]()
    with pytest.raises(ExplainError, match="zebra"):
        mmcam.explain_caption(wrapped, noise(), caption="a zebra")


def test_generated_rows_end_at_the_first_end():
    rows = torch.tensor([[9, 4, 1, 5, 2, 0], [9, 4, 4, 4, 4, 4], [9, 2, 0, 0, 0, 0]])
    assert said(rows, (2,)) == [[4, 1, 5], [4] * 5, []]
    assert said(rows, (1, 2), skip=2) == [[], [4] * 4, [0] * 4]
    assert ends_of(None, 3) == (3,)
    assert ends_of([4, 5], 3) == (4, 5)
    assert ends_of(None) == ()


# --- BLIP's answers ---------------------------------------------------------------------------------------------------


def test_written_answers_of_different_questions_do_not_disturb_each_other():
    """transformers lets an answer look at the padding of a shorter question; here it does not."""
    wrapped, model, processor = FAMILIES["blip-vqa"]()
    questions = ["is it red ?", "what is on the grass in the park ? yes , no"]
    pictures = [noise(seed=8), noise(seed=9)]
    together = mmcam.explain_answer(wrapped, pictures, questions)
    for picture, question, exp in zip(pictures, questions, together, strict=True):
        own = model.generate(**processor(images=picture, text=question, return_tensors="pt"))[0, 1:]
        (tokens,) = said(own[None], (wrapped.tokenizer.sep_token_id,), 0)
        assert exp.target == " ".join(word for word, _ in wrapped.words(tokens))
        alone = mmcam.explain_answer(wrapped, picture, question)
        assert exp.score == pytest.approx(alone.score, abs=2e-5)
        close(exp.cam, alone.cam)


def test_answers_can_be_given_and_contrasted():
    wrapped, _, _ = FAMILIES["blip-vqa"]()
    picture = noise()
    dog, cat = (mmcam.explain_answer(wrapped, picture, QUESTION, answer) for answer in ("dog", "cat"))
    both = mmcam.explain_answer(wrapped, picture, QUESTION, "dog", contrast="cat")
    assert both.score == pytest.approx(dog.score - cat.score, abs=2e-5)
    assert both.context == QUESTION
    other = mmcam.explain_answer(wrapped, picture, "is the cat playing ?", "dog")
    assert abs(other.score - dog.score) > 1e-3


def test_questions_are_forgotten_after_use():
    wrapped, _, _ = FAMILIES["blip-vqa"].fresh()
    x = wrapped.preprocess(noise())[0][None]
    with wrapped.asked(["is it red ?"]):
        with pytest.raises(ExplainError, match="no layer"), wrapped.asked(["what ?"]):
            mmcam.explain_caption(wrapped, noise(), caption=CAPTION, layer="none")
        assert wrapped._questions == ("is it red ?",)
    assert wrapped._questions == ()
    with pytest.raises(ExplainError, match="explain_answer"):
        wrapped.generate(x)
    with wrapped.asked(["is it red ?"] * 2), pytest.raises(ExplainError, match="one a picture"):
        wrapped.generate(x)


# --- BLIP's matching --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def matching():
    model, processor = matcher()
    return mmcam.wrap(model, processor), model, processor


@pytest.mark.parametrize("head", [True, False])
def test_similarity_is_the_models_own(matching, head):
    wrapped, model, processor = matching
    assert isinstance(wrapped, BlipMatcher)
    wrapped.matching = head
    texts = ["a dog", "a cat in the park on the grass", "the ball", "red"]
    pictures = [noise(seed=1), noise(seed=2)]
    x = torch.stack([wrapped.preprocess(picture)[0] for picture in pictures])
    with torch.no_grad():
        scores = torch.cat([wrapped.similarity(x, texts[i : i + 2]) for i in (0, 2)])
        for r, text in enumerate(texts):
            made = processor(images=pictures[r % 2], text=text, return_tensors="pt")
            own = model(**made, use_itm_head=head).itm_score[0]
            assert float(scores[r]) == pytest.approx(float(own[1] - own[0] if head else own[0]), abs=1e-5)
    wrapped.matching = True


@pytest.mark.parametrize("head", [True, False])
def test_a_text_is_explained_at_a_layer_with_a_say(matching, head):
    wrapped, model, processor = matching
    wrapped.matching = head
    picture, (text, other) = noise(seed=5), ("a dog in the park", "red")
    exp = mmcam.explain_similarity(wrapped, picture, text, contrast=other)
    assert exp.layer == "model.vision_model.encoder.layers.1" + ("" if head else ".layer_norm1")
    caught = []
    layer = model.get_submodule(exp.layer.removeprefix("model."))
    handle = layer.register_forward_hook(lambda module, args, output: caught.append(output))
    gradients, scores = [], []
    for said_ in (text, other):
        caught.clear()
        own = model(**processor(images=picture, text=said_, return_tensors="pt"), use_itm_head=head).itm_score[0]
        score = own[1] - own[0] if head else own[0]
        scores.append(float(score.detach()))
        gradients.append(torch.autograd.grad(score, caught[0])[0][0, 1:])
    handle.remove()
    assert exp.score == pytest.approx(scores[0] - scores[1], abs=1e-5)
    expected = (caught[0][0, 1:].detach() @ (gradients[0] - gradients[1]).mean(0)).relu().view(4, 4)
    assert expected.any()
    close(exp.cam, expected)
    wrapped.matching = True


def test_a_planted_patch_decides_the_match():
    model, processor = matcher()
    wrapped = mmcam.wrap(model, processor)
    make_local(model)
    found = 0
    for cell in [(0, 3), (3, 0), (1, 2)]:
        picture, (left, top, right, bottom) = planted(wrapped, processor, (96, 64), cell)
        for text in ("a dog", "red"):
            for pair in ((text, "the"), ("the", text)):
                exp = mmcam.explain_similarity(wrapped, picture, pair[0], contrast=pair[1])
                if exp.heatmap.max() > 1e-5:
                    y, x = np.unravel_index(np.asarray(exp.heatmap).argmax(), exp.heatmap.shape)
                    assert top <= y + 0.5 <= bottom
                    assert left <= x + 0.5 <= right
                    found += 1
    assert found >= 3


# --- what cannot be explained says so ---------------------------------------------------------------------------------


def test_pictures_of_other_proportions_need_batches_of_their_own():
    wrapped, _, _ = FAMILIES["pix2struct"]()
    with pytest.raises(PictureError, match="one shape"):
        mmcam.explain_caption(wrapped, [noise((90, 60)), noise((60, 90))], caption=CAPTION)
    with pytest.raises(ExplainError, match="whole patches of 8×8"):
        mmcam.explain_caption(wrapped, torch.zeros(3, 30, 32), caption=CAPTION)


def test_half_precision_counts_rows_exactly_or_says_so():
    wrapped, _, _ = FAMILIES["pix2struct"].fresh()
    wrapped.to(torch.bfloat16)
    with pytest.raises(ExplainError, match="float32"):
        wrapped._patches(torch.zeros(1, 3, 259 * PATCH, PATCH, dtype=torch.bfloat16))


def test_models_of_other_uses_are_refused():
    import transformers as hf

    model, processor = pix2struct()
    processor.image_processor.is_vqa = True
    with pytest.raises(ExplainError, match="drawn into the picture"):
        mmcam.wrap(model, processor)
    model, processor = git()
    model.config.num_image_with_embedding = 6
    with pytest.raises(ExplainError, match="video"):
        mmcam.wrap(model, processor)
    with pytest.raises(ExplainError, match="settings do not say"):
        checked(preprocess_from(Parts(hf.DonutImageProcessor(size={"height": SIDE, "width": SIDE}))))
    model, processor = vision_gpt2("vit")
    for place in (model.generation_config, model.config, model.config.decoder):
        place.decoder_start_token_id = place.bos_token_id = None
    with pytest.raises(ExplainError, match="decoder_start_token_id"):
        mmcam.explain_caption(mmcam.wrap(model, processor), noise(), caption=CAPTION)
