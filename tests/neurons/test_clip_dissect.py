"""CLIP-Dissect: the formula against loops, planted units by name, and tiny CLIP and SigLIP models end to end."""

import json
import math
import string

import numpy as np
import pytest
import torch
import transformers
from PIL import Image
from torch import nn

import mmcam
from mmcam.neurons.clip_dissect import clip_dissect, soft_wpmi
from mmcam.neurons.fingerprint import fingerprint
from tests.tiny import SMALL, VQA, Captioner, Deep, Gap, plain_tap, seeded

WORDS = ("red", "a dog", "striped", "grass", "water", "ear", "something quite long", "owl")


def literal(similarities, pooled, top_k, a, lam):
    """Soft-WPMI in float64, one number at a time."""
    n_pictures, n_words, n_units = len(similarities), len(similarities[0]), len(pooled[0])
    p = []
    for n in range(n_pictures):
        powers = [math.exp(a * float(similarities[n][w])) for w in range(n_words)]
        p.append([power / sum(powers) for power in powers])
    given_unit = []
    for k in range(n_units):
        ranked = sorted(range(n_pictures), key=lambda n: (-float(pooled[n][k]), n))[:top_k]
        row = []
        for w in range(n_words):
            total = 0.0
            for r, n in enumerate(ranked):
                member = 0.998 - r / top_k * (0.998 - 0.97)
                total += math.log(1 + member * (p[n][w] - 1) + 1e-7)
            row.append(total)
        given_unit.append(row)
    prior = [math.log(sum(math.exp(row[w]) for row in given_unit) / n_units) for w in range(n_words)]
    return torch.tensor([[row[w] - lam * prior[w] for w in range(n_words)] for row in given_unit], dtype=torch.float64)


@pytest.mark.parametrize(
    ("top_k", "a", "lam"), [(5, 10.0, 1.0), (1, 10.0, 1.0), (12, 2.0, 0.6), (7, 100.0, 0.0), (5, 10.0, 3.0)]
)
def test_soft_wpmi_is_the_formula(top_k, a, lam):
    similarities = torch.rand(12, 6, dtype=torch.float64) * 2 - 1
    pooled = torch.randn(12, 4, dtype=torch.float64)
    found = soft_wpmi(similarities, pooled, top_k, a, lam)
    assert found.shape == (4, 6)
    torch.testing.assert_close(found, literal(similarities, pooled, top_k, a, lam), rtol=1e-10, atol=1e-10)
    single = soft_wpmi(similarities.float(), pooled.float(), top_k, a, lam)
    torch.testing.assert_close(single.double(), found, rtol=1e-4, atol=1e-4)


def test_the_defaults_are_those_of_the_official_code():
    similarities, pooled = torch.rand(120, 5, dtype=torch.float64), torch.randn(120, 3, dtype=torch.float64)
    torch.testing.assert_close(soft_wpmi(similarities, pooled), literal(similarities, pooled, 100, 10, 1))


def test_of_equal_activations_the_first_pictures_count():
    similarities = torch.rand(40, 5, dtype=torch.float64)
    pooled = torch.randint(0, 2, (40, 3)).double()
    torch.testing.assert_close(soft_wpmi(similarities, pooled, 8), literal(similarities, pooled, 8, 10, 1))


def test_a_unit_that_follows_a_word_is_named_by_it():
    similarities = torch.rand(400, 30) * 0.4
    pooled = (10 * similarities).softmax(1)[:, :20]
    assert soft_wpmi(similarities, pooled, top_k=20).argmax(1).tolist() == list(range(20))


def test_more_pictures_than_there_are_cannot_speak_for_a_unit():
    with pytest.raises(mmcam.ExplainError, match=r"There are 9 pictures and top_k is 10; pass more pictures"):
        soft_wpmi(torch.rand(9, 3), torch.rand(9, 2), top_k=10)
    with pytest.raises(mmcam.ExplainError, match=r"top_k is 0"):
        soft_wpmi(torch.rand(9, 3), torch.rand(9, 2), top_k=0)


def photos(n, seed=0):
    """Pictures of two to six blocks a side, in random colours."""
    random = np.random.default_rng(seed)
    blocks = [random.integers(0, 256, (*random.integers(2, 7, 2), 3), dtype=np.uint8) for _ in range(n)]
    return [Image.fromarray(block).resize((40, 30), Image.Resampling.NEAREST) for block in blocks]


class Colours(nn.Module):
    """Stands in for CLIP: a picture is its mean colour, a word the colour it names."""

    NAMES = ("red", "green", "blue", "grey")

    def __init__(self):
        super().__init__()
        self.table = nn.Parameter(torch.cat([torch.eye(3), torch.ones(1, 3)]))

    def get_image_features(self, pixel_values):
        return pixel_values.mean((2, 3)) @ self.table[:3]

    def get_text_features(self, input_ids):
        return self.table[input_ids[:, 0]]


def colours(text=None, images=None, **_):
    if text is not None:
        return {"input_ids": torch.tensor([[Colours.NAMES.index(word)] for word in text])}
    return {"pixel_values": torch.stack([torch.from_numpy(np.array(im)).permute(2, 0, 1) / 255.0 for im in images])}


def test_units_that_see_one_colour_are_called_so():
    network = seeded(Gap, channels=4)
    see = network.features[0]
    with torch.no_grad():
        see.weight.zero_()
        see.bias.zero_()
        for unit, colour in enumerate((2, 0, 1)):  # the fourth sees nothing
            see.weight[unit, colour, 1, 1] = 1
            see.weight[unit, :, 1, 1] -= 0.4
    network.preprocess = mmcam.Preprocess(size=(16, 16), mode="squash", mean=(0.0,) * 3, std=(1.0,) * 3)
    names = clip_dissect(network, photos(150), Colours.NAMES, Colours(), colours, layer="features.0", top_k=10)
    assert {unit: name.name for unit, name in names.units.items()} == {0: "blue", 1: "red", 2: "green"}
    assert names.count == 4, "a unit that never differs counts, and has no name"
    assert (names.measure, names.layer) == ("similarity", "features.0")
    assert names.fingerprint == fingerprint(network, "features.0") != ""
    assert names.source == "CLIP-Dissect with Colours: 4 words, 150 pictures"


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    """A CLIP tokeniser that spells every word."""
    folder = tmp_path_factory.mktemp("tokenizer")
    tokens = [
        *string.ascii_lowercase,
        *(f"{c}</w>" for c in string.ascii_lowercase),
        "<|startoftext|>",
        "<|endoftext|>",
    ]
    (folder / "vocab.json").write_text(json.dumps({token: i for i, token in enumerate(tokens)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    return transformers.CLIPTokenizer.from_pretrained(folder, model_max_length=24)


LAYERS = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
TEXT = LAYERS | {
    "vocab_size": 54, "max_position_embeddings": 24, "bos_token_id": 52, "eos_token_id": 53, "pad_token_id": 53
}  # fmt: skip
VISION = LAYERS | {"image_size": 16, "patch_size": 4}


@pytest.fixture
def clip(tokenizer):
    model = seeded(
        transformers.CLIPModel, transformers.CLIPConfig(text_config=TEXT, vision_config=VISION, projection_dim=8)
    )
    spread(model)
    pictures = transformers.CLIPImageProcessor(size={"shortest_edge": 16}, crop_size={"height": 16, "width": 16})
    return model, transformers.CLIPProcessor(pictures, tokenizer)


@pytest.fixture
def siglip(tokenizer):
    model = seeded(transformers.SiglipModel, transformers.SiglipConfig(text_config=TEXT, vision_config=VISION))
    spread(model)
    pictures = transformers.SiglipImageProcessor(size={"height": 16, "width": 16})
    return model, transformers.SiglipProcessor(pictures, tokenizer)


def spread(model):
    """Weights large enough that words and pictures differ, as they are after training."""
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.3)


def by_hand(model, network, processor, pictures, words, layer, pool, pad):
    """Names and scores with one forward a picture and a word."""
    pooled, seen, said = [], [], []
    for picture in pictures:
        x, _ = SMALL(picture)
        with torch.no_grad(), plain_tap(model, layer) as kept:
            model(x[None])
        maps = kept[0][0].detach()
        pooled.append([float(getattr(maps[k], pool)()) for k in range(len(maps))])
    with torch.no_grad():
        for picture in pictures:
            features = network.get_image_features(**processor(images=picture, return_tensors="pt")).pooler_output[0]
            seen.append(features / features.norm())
        for word in words:
            inputs = processor(text=[word], return_tensors="pt", **pad)
            features = network.get_text_features(**inputs).pooler_output[0]
            said.append(features / features.norm())
    similarities = [[float(picture @ word) for word in said] for picture in seen]
    best, index = literal(similarities, pooled, 6, 10.0, 1.0).max(1)
    return [words[i] for i in index], best.tolist()


@pytest.mark.parametrize(("pooling", "pool"), [("mean", "mean"), ("max", "amax")])
def test_clip_names_units_as_by_hand(clip, pooling, pool):
    network, processor = clip
    model = seeded(Deep, size=32)
    model.preprocess = SMALL
    pictures = photos(25)
    names = clip_dissect(model, pictures, WORDS, network, processor, pooling=pooling, top_k=6, batch=4)
    # Alone and without padding: CLIP's text sees only what comes before, so padding must make no difference.
    words, scores = by_hand(model, network, processor, pictures, WORDS, "features", pool, {})
    assert [names.units[k].name for k in range(6)] == words
    assert [names.units[k].score for k in range(6)] == pytest.approx(scores, rel=1e-3, abs=1e-3)
    assert len(set(words)) > 1
    assert names.layer == "features", "the last spatial one"
    assert names.count == 6


def test_siglip_names_units_as_by_hand(siglip):
    network, processor = siglip
    model = seeded(Deep, size=32)
    model.preprocess = SMALL
    pictures = photos(25)
    names = clip_dissect(model, pictures, WORDS, network, processor, top_k=6, batch=3)
    full = {"padding": "max_length"}  # as SigLIP was trained
    words, scores = by_hand(model, network, processor, pictures, WORDS, "features", "mean", full)
    assert [names.units[k].name for k in range(6)] == words
    assert [names.units[k].score for k in range(6)] == pytest.approx(scores, rel=1e-3, abs=1e-3)


@pytest.mark.parametrize("family", ["clip", "siglip"])
def test_batches_make_no_difference(family, request):
    network, processor = request.getfixturevalue(family)
    model = seeded(Deep, size=32)
    model.preprocess = SMALL
    each = [
        clip_dissect(model, photos(13), WORDS, network, processor, top_k=4, batch=batch) for batch in (1, 5, 13, 32, 13)
    ]
    assert each[2] == each[4], "the same again"
    for names in each:
        assert {k: n.name for k, n in names.units.items()} == {k: n.name for k, n in each[0].units.items()}
        assert [n.score for n in names.units.values()] == pytest.approx(
            [n.score for n in each[0].units.values()], rel=1e-3, abs=1e-3
        )


class Looking(Captioner):
    """Looks at the pictures before it speaks, as captioners do."""

    def generate(self, x):
        self.encoder(x)
        return super().generate(x)


@pytest.mark.parametrize("build", [Looking, VQA])
def test_every_task_has_units(clip, build):
    model = seeded(build)
    names = clip_dissect(model, photos(8), WORDS, *clip, top_k=3)
    assert (names.layer, names.count, len(names.units)) == ("encoder", 8, 8)


def state(module):
    return (
        [(m.training, len(m._forward_hooks), len(m._forward_pre_hooks)) for m in module.modules()],
        [(p.requires_grad, p.grad is None, p._version) for p in module.parameters()],
    )


def test_both_models_are_left_as_found(clip):
    network, processor = clip
    model = seeded(Deep, size=32)
    model.preprocess = SMALL
    model.head.train()
    network.train()
    network.vision_model.eval()
    next(iter(network.parameters())).requires_grad_(False)
    before, random = (state(model), state(network)), torch.get_rng_state()
    clip_dissect(model, photos(9), WORDS, network, processor, top_k=3)
    assert (state(model), state(network)) == before
    assert torch.equal(torch.get_rng_state(), random)
    with pytest.raises(mmcam.ExplainError, match=r"There is no layer .features\.9."):
        clip_dissect(model, photos(9), WORDS, network, processor, top_k=3, layer="features.9")
    assert (state(model), state(network)) == before
    assert torch.is_grad_enabled()


def test_a_clip_in_training_mode_is_asked_as_in_use(clip):
    network, processor = clip
    dropping = LAYERS | {"attention_dropout": 0.5}
    config = transformers.CLIPConfig(text_config=TEXT | dropping, vision_config=VISION | dropping, projection_dim=8)
    training = seeded(transformers.CLIPModel, config).train()
    training.load_state_dict(network.state_dict())
    model, pictures = seeded(VQA), photos(10)
    names = clip_dissect(model, pictures, WORDS, network, processor, top_k=3)
    assert clip_dissect(model, pictures, WORDS, training, processor, top_k=3) == names


class Shown:
    """A data set: pictures by number, of which one cannot be read."""

    def __init__(self, pictures, broken=()):
        self.pictures, self.broken = pictures, broken

    def __len__(self):
        return len(self.pictures)

    def picture(self, index):
        if index in self.broken:
            raise mmcam.PictureError(f"{index}.png cannot be read as a picture.")
        return self.pictures[index]


def test_a_data_set_or_files_are_pictures_too(clip, tmp_path):
    model = seeded(VQA)
    pictures = photos(10)
    for i, picture in enumerate(pictures):
        picture.save(tmp_path / f"{i}.png")
    names = clip_dissect(model, pictures, WORDS, *clip, top_k=3)
    assert clip_dissect(model, Shown(pictures), WORDS, *clip, top_k=3) == names
    assert clip_dissect(model, [tmp_path / f"{i}.png" for i in range(10)], WORDS, *clip, top_k=3) == names


def test_pictures_that_cannot_be_read_are_left_out(clip):
    model, pictures = seeded(VQA), photos(10)
    with pytest.warns(UserWarning, match=r"2 pictures are left out; the first: 3\.png cannot be read") as caught:
        names = clip_dissect(model, Shown(pictures, broken=(3, 4)), WORDS, *clip, top_k=3, batch=1)
    assert caught[0].filename == __file__
    assert names == clip_dissect(model, pictures[:3] + pictures[5:], WORDS, *clip, top_k=3, batch=1)
    with (
        pytest.warns(UserWarning, match="10 pictures are left out"),
        pytest.raises(mmcam.ExplainError, match="There are 0 pictures and top_k is 3"),
    ):
        clip_dissect(model, Shown(pictures, broken=range(10)), WORDS, *clip, top_k=3)


def test_words_come_from_a_file_each_once(clip, tmp_path):
    model, pictures = seeded(VQA), photos(10)
    names = clip_dissect(model, pictures, WORDS, *clip, top_k=3)
    file = tmp_path / "words.txt"
    file.write_text("\ufeff" + "\r\n".join([*WORDS, "", " red ", "owl"]) + "\n", encoding="utf-8")
    assert clip_dissect(model, pictures, file, *clip, top_k=3) == names
    assert clip_dissect(model, pictures, str(file), *clip, top_k=3) == names
    assert clip_dissect(model, pictures, [*WORDS, "red", " owl", ""], *clip, top_k=3) == names


def test_half_precision_clip_sees_much_the_same(clip):
    model, pictures = seeded(VQA), photos(10)
    for network, processor, words in ((*clip, WORDS), (Colours(), colours, Colours.NAMES)):
        names = clip_dissect(model, pictures, words, network, processor, top_k=3)
        half = clip_dissect(model, pictures, words, network.to(torch.bfloat16), processor, top_k=3)
        assert [n.score for n in half.units.values()] == pytest.approx([n.score for n in names.units.values()], abs=1)


def test_pictures_are_prepared_as_asked(clip):
    model, pictures = seeded(VQA), photos(10)
    names = clip_dissect(model, pictures, WORDS, *clip, top_k=3)
    wide = mmcam.Preprocess(size=(32, 32), mode="pad", mean=SMALL.mean, std=SMALL.std)
    other = clip_dissect(model, pictures, WORDS, *clip, top_k=3, preprocess=wide)
    assert other != names
    model.preprocess = wide
    assert clip_dissect(model, pictures, WORDS, *clip, top_k=3) == other


def test_what_is_wrong_is_said_before_anything_runs(clip, tmp_path):
    model, pictures = seeded(VQA), photos(4)
    with pytest.raises(mmcam.ExplainError, match=r"Gap is no CLIP model: it lacks get_text_features, get_image_"):
        clip_dissect(model, pictures, WORDS, Gap(), clip[1])
    with pytest.raises(mmcam.ExplainError, match=r"no pooling 'sum'; choose one of mean, max"):
        clip_dissect(model, pictures, WORDS, *clip, pooling="sum")
    for wrong in ("photos", tmp_path, pictures[0]):
        with pytest.raises(mmcam.ExplainError, match=r"The pictures are a list of them, or a data set"):
            clip_dissect(model, wrong, WORDS, *clip)
    with pytest.raises(mmcam.ExplainError, match=r"There are 4 pictures and top_k is 100"):
        clip_dissect(model, Shown([None] * 4), WORDS, *clip)
    with pytest.raises(mmcam.ExplainError, match=r"There are 1 different words; pass at least two"):
        clip_dissect(model, pictures, ["dog", " dog"], *clip, top_k=2)
    with pytest.raises(mmcam.ExplainError, match=r"none\.txt is no text file in UTF-8 with one word a line"):
        clip_dissect(model, pictures, tmp_path / "none.txt", *clip, top_k=2)


@pytest.mark.gpu
def test_models_may_be_on_different_devices(clip):
    model, pictures = seeded(VQA), photos(10)
    names = clip_dissect(model, pictures, WORDS, *clip, top_k=3)
    network, processor = clip
    for device, other in (("cuda", "cpu"), ("cpu", "cuda"), ("cuda", "cuda")):
        found = clip_dissect(model.to(device), pictures, WORDS, network.to(other), processor, top_k=3)
        assert {k: n.name for k, n in found.units.items()} == {k: n.name for k, n in names.units.items()}
        assert found.fingerprint == names.fingerprint
