"""The adapter from structure: families by one list, its cells, its guard, and what it refuses."""

import copy
import functools

import numpy as np
import pytest
import torch
from PIL import Image

import mmcam
from experiments.lib.vlm.build import build
from experiments.lib.vlm.examine import examine, own_score
from experiments.lib.vlm.families import RECIPES, WORK
from experiments.lib.vlm.parts import CAPTION, picture
from mmcam import ExplainError, PictureError
from mmcam.adapters.transformers.structure.adapter import HANDED_OVER, Structural
from mmcam.adapters.transformers.structure.cells import Cells, cells_of, measure_cells
from mmcam.adapters.transformers.structure.routes import find_routes
from mmcam.adapters.transformers.structure.tiles import Tile

QUICK = ("qwen3_vl",)  # whose language model is given the picture at later layers, too


@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=() if kind in QUICK else pytest.mark.long) for kind in sorted(WORK)]
)
def test_a_family_is_explained_as_transformers_computes_it(kind):
    if kind == "smolvlm":
        pytest.importorskip("num2words")
    row = examine(*build(kind, RECIPES[kind]), RECIPES[kind].size)
    assert row.score < 1e-5
    assert row.one_pass < 1e-3
    assert row.planted is not False


@pytest.fixture(scope="module")
def tiled():
    """A model of tiles and a thumbnail."""
    recipe = RECIPES["llava_next"]
    return build("llava_next", recipe), recipe.size


def positions(tiles, bands=16):
    """What vectors answer to bands, as they would if each saw only its own place; (bands, P) of rows and of columns."""
    each = [[], []]
    for (h, w), (top, left, bottom, right) in tiles:
        for i, j in np.ndindex(h, w):
            for axis, (start, end, n, k) in enumerate(((top, bottom, h, i), (left, right, w, j))):
                low, high = start + (end - start) * k / n, start + (end - start) * (k + 1) / n
                edges = np.arange(bands + 1) / bands
                over = np.minimum(high, edges[1:]) - np.maximum(low, edges[:-1])
                each[axis].append(np.clip(over, 0, None) / (high - low))
    rng = np.random.default_rng(0)
    return tuple(np.array(own).T + 0.01 * rng.random((bands, len(own))) for own in each)


WHOLE = (0, 0, 1, 1)
GRID = [((4, 4), (0, 0, 0.5, 0.5)), ((4, 4), (0, 0.5, 0.5, 1)), ((4, 4), (0.5, 0, 1, 0.5)), ((4, 4), (0.5, 0.5, 1, 1))]


@pytest.mark.parametrize(
    ("tiles", "shape", "levels"),
    [
        ([((6, 9), WHOLE)], (6, 9), 1),
        ([((24, 24), WHOLE)], (24, 24), 1),
        (GRID, (8, 8), 1),
        ([*GRID, ((4, 4), WHOLE)], (8, 8), 2),
        ([((4, 4), WHOLE), *GRID], (8, 8), 2),
        ([((5, 5), WHOLE), ((8, 12), WHOLE)], (8, 12), 2),
        ([((8, 8), (0, 0.25, 1, 0.75))], (8, 16), 1),  # a crop of the middle
    ],
)
def test_cells_are_read_off_the_answers(tiles, shape, levels):
    found = cells_of(*positions(tiles))
    assert isinstance(found, Cells)
    assert (found.h, found.w, len(found.levels)) == (*shape, levels)
    # Every vector is the cells whose centres lie in its box, by arithmetic of its own.
    at, p = (
        {
            int(v): set(np.nonzero(own == v)[0])
            for level in found.levels
            for own in [level.numpy()]
            for v in np.unique(own)
        },
        0,
    )
    for (h, w), (top, left, bottom, right) in tiles:
        for i, j in np.ndindex(h, w):
            ys = (np.arange(found.h) + 0.5) / found.h
            xs = (np.arange(found.w) + 0.5) / found.w
            rows = np.nonzero((ys > top + (bottom - top) * i / h) & (ys < top + (bottom - top) * (i + 1) / h))[0]
            columns = np.nonzero((xs > left + (right - left) * j / w) & (xs < left + (right - left) * (j + 1) / w))[0]
            assert at[p] == {int(y) * found.w + int(x) for y in rows for x in columns}
            p += 1


def test_vectors_that_gather_the_whole_picture_have_no_place():
    rng = np.random.default_rng(1)
    for count in (16, 32, 64):
        assert isinstance(cells_of(rng.random((16, count)) ** 2, rng.random((16, count)) ** 2), str)


def test_a_map_of_vectors_is_written_back_as_it_was_read():
    tiles = [*GRID, ((4, 4), WHOLE)]
    grid = cells_of(*positions(tiles)).grid()
    vectors = torch.rand(2, 80, 3, dtype=torch.float64)
    maps = grid.read(vectors)
    assert maps.shape == (2, 6, 8, 8)
    assert torch.allclose(grid.write(vectors[:1], maps), vectors)
    # One number of a map changed: that vector changes by its share of the cell, no other one.
    changed = maps.clone()
    changed[:, 3:, 0, 0] += 1
    apart = grid.write(vectors[:1], changed) - vectors
    assert torch.allclose(apart[:, 64], torch.tensor(0.25, dtype=torch.float64))
    assert not apart[:, :64].any()


def test_words_share_a_pass_and_contrasts_have_two(tiled):
    (model, processor), size = tiled
    wrapped, image = mmcam.wrap(model, processor), picture(size)
    assert isinstance(wrapped, Structural)
    exp = mmcam.explain_answer(wrapped, image, "what?", CAPTION, contrast="a cat in the park")
    with wrapped.asked(["what?"]):
        scores = [own_score(wrapped, processor, image, wrapped.encode(text)) for text in (CAPTION, "a cat in the park")]
    assert exp.score == pytest.approx(scores[0] - scores[1], abs=1e-4)
    assert exp.layer == HANDED_OVER
    assert exp.cells == "measured"
    assert exp.heatmap.shape == size[::-1]
    written = mmcam.explain_caption(wrapped, image)
    inputs = processor(images=[image], text=[wrapped._text(wrapped.prompt)], return_tensors="pt")
    said = model.generate(**inputs)[0, inputs["input_ids"].shape[1] :].tolist()
    assert " ".join(word.target for word in written.words) == " ".join(text for text, _ in wrapped.words(said))


def test_pictures_of_several_sizes_make_a_list(tiled):
    (model, processor), _ = tiled
    wrapped = mmcam.wrap(model, processor)
    images = [picture((64, 48)), picture((48, 64), 1)]
    both = mmcam.explain_caption(wrapped, images, "dog", caption=CAPTION)
    assert [exp.heatmap.shape for exp in both] == [(48, 64), (64, 48)]
    alone = mmcam.explain_caption(wrapped, images[1], "dog", caption=CAPTION)
    assert torch.equal(both[1].values, alone.values)


def test_the_gradient_is_that_of_the_vectors(tiled):
    """HiResCAM over all cells is the inner product of vectors and gradient, by a second way with plain autograd."""
    (model, processor), size = tiled
    wrapped, image = mmcam.wrap(model, processor), picture(size)
    exp = mmcam.explain_caption(wrapped, image, caption=CAPTION, method="hirescam", relu=False).whole
    x, _ = wrapped.preprocess(image)
    tokens = torch.tensor([wrapped.encode(CAPTION)])
    made = wrapped._inputs(x, wrapped._texts(1)[0], tokens[0])
    at = (made["input_ids"][0] == model.config.image_token_id).nonzero()[:, 0]
    found = []

    def leaf(module, args, kwargs):
        embeds = kwargs["inputs_embeds"].detach().requires_grad_()
        found.append(embeds)
        return args, {**kwargs, "inputs_embeds": embeds}

    handle = model.model.language_model.register_forward_pre_hook(leaf, with_kwargs=True)
    logits = model(**made, use_cache=False).logits[:, -tokens.shape[1] - 1 : -1]
    handle.remove()
    score = logits.log_softmax(-1).gather(2, tokens[..., None]).sum()
    (gradient,) = torch.autograd.grad(score, found)
    product = (gradient * found[0])[0, at].sum(1)
    varying = wrapped._routes[size[::-1]].each[0].at  # without the line breaks, which are the same in every picture
    assert len(varying) < len(at)
    assert float(exp.values.sum()) == pytest.approx(float(product[varying].sum()), rel=1e-4)


def test_the_model_is_left_as_found(tiled):
    (model, processor), size = tiled
    wrapped, image = mmcam.wrap(model, processor), picture(size)
    hooks = [len(m._forward_hooks) + len(m._forward_pre_hooks) + len(vars(m)) for m in model.modules()]
    state = {name: value.clone() for name, value in model.state_dict().items()}
    random = torch.get_rng_state()
    mmcam.explain_caption(wrapped, image, caption=CAPTION)
    assert torch.equal(random, torch.get_rng_state())
    assert hooks == [len(m._forward_hooks) + len(m._forward_pre_hooks) + len(vars(m)) for m in model.modules()]
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    assert all(p.grad is None for p in model.parameters())


def test_layers_of_the_encoder_and_methods_that_read_none(tiled):
    (model, processor), _ = tiled
    size = (64, 64)
    wrapped, image = mmcam.wrap(model, processor), picture(size)
    tower = mmcam.explain_caption(wrapped, image, "dog", caption=CAPTION, layer="model.model.multi_modal_projector")
    assert tower.cells == "measured"
    assert tower.values.any()
    swept = mmcam.explain_caption(wrapped, image, "dog", caption=CAPTION, method="occlusion", patch=32, stride=32)
    assert swept.heatmap.shape == size[::-1]
    pixels = mmcam.explain_caption(wrapped, image, "dog", caption=CAPTION, method="gradient")
    assert pixels.values.shape == (3, *size[::-1])
    assert pixels.values.any()


def test_half_precision(tiled):
    (model, processor), size = tiled
    half = mmcam.wrap(copy.deepcopy(model).to(torch.bfloat16), processor)
    exp = mmcam.explain_caption(half, picture(size), caption=CAPTION).whole
    full = mmcam.explain_caption(mmcam.wrap(model, processor), picture(size), caption=CAPTION).whole
    assert exp.score == pytest.approx(full.score, rel=0.05)


def test_a_picture_that_takes_another_way_is_refused(tiled):
    """A model that adds a vector of the picture behind the language model's input: no map may leave that out."""
    (model, processor), size = tiled
    model = copy.deepcopy(model)
    language, original, seen = model.model.language_model, model.model.language_model.forward, []
    features = model.model.get_image_features

    @functools.wraps(features)
    def remember(*args, **kwargs):
        out = features(*args, **kwargs)
        seen.append(torch.cat(list(out.pooler_output)).mean(0))
        return out

    def forward(*args, **kwargs):
        out = original(*args, **kwargs)
        out.last_hidden_state = out.last_hidden_state + seen[-1]
        return out

    model.model.get_image_features, language.forward = remember, forward
    with pytest.raises(ExplainError, match="way that is not known"):
        mmcam.explain_caption(mmcam.wrap(model, processor), picture(size), caption=CAPTION)


def test_a_model_that_writes_from_other_scores_is_refused(tiled):
    (model, processor), size = tiled
    model = copy.deepcopy(model)
    generate = model.generate
    model.generate = lambda pixel_values, **kwargs: generate(pixel_values=0.5 * pixel_values, **kwargs)
    with pytest.raises(ExplainError, match="not those of the model's own generate"):
        mmcam.explain_caption(mmcam.wrap(model, processor), picture(size), caption=CAPTION)


def test_prompts_answers_and_processors_that_do_not_fit(tiled):
    (model, processor), size = tiled
    image = picture(size)
    blind = copy.copy(processor)
    blind.chat_template = "{{ messages[0]['content'][1]['text'] }}"
    with pytest.raises((ExplainError, PictureError), match=r"one place for it|calls no language model|hangs on"):
        mmcam.explain_caption(mmcam.wrap(model, blind), image, caption=CAPTION)
    twice = copy.copy(processor)
    twice.chat_template = processor.chat_template.replace("<image>", "<image><image>")
    with pytest.raises(ExplainError, match="one place"):
        mmcam.explain_caption(mmcam.wrap(model, twice), image, caption=CAPTION)
    short = copy.copy(model)
    short.config = copy.deepcopy(model.config)
    short.config.text_config.max_position_embeddings = 110
    with pytest.raises(ExplainError, match="reads 110 tokens"):
        mmcam.explain_caption(mmcam.wrap(short, processor), image, caption=" ".join([CAPTION] * 20))
    with pytest.raises(ExplainError, match="needs its processor"):
        mmcam.wrap(model)


def test_a_model_that_is_given_nothing_of_the_picture():
    call = {"inputs_embeds": torch.ones(1, 3, 2)}
    with pytest.raises(ExplainError, match="Nothing"):
        find_routes(call, call, torch.arange(3))
    with pytest.raises(ExplainError, match="several ways"):
        find_routes(
            {"inputs_embeds": torch.ones(1, 3, 2), "states": torch.ones(1, 5, 2)},
            {"inputs_embeds": torch.zeros(1, 3, 2), "states": torch.zeros(1, 5, 2)},
            torch.arange(3),
        )


def test_measured_cells_of_a_known_function():
    """Means of blocks of the picture, in an order of our own: two tiles side by side, then both of them small."""

    def vectors_of(image: Image.Image) -> torch.Tensor:
        pixels = torch.from_numpy(np.array(image)).float().permute(2, 0, 1)
        fine = torch.nn.functional.adaptive_avg_pool2d(pixels**2, (4, 8))
        coarse = torch.nn.functional.adaptive_avg_pool2d(pixels**2, (4, 4))
        return torch.cat([part.flatten(1).T for part in (fine[..., :4], fine[..., 4:], coarse)])

    found = measure_cells(vectors_of, (60, 120))
    assert (found.h, found.w) == (4, 8)
    assert [level.tolist()[:8] for level in found.levels] == [
        [0, 1, 2, 3, 16, 17, 18, 19],
        [32, 32, 33, 33, 34, 34, 35, 35],
    ]
    assert all(isinstance(tile, Tile) for tile in found.tiles)
