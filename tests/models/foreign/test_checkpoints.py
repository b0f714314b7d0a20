"""Other people's captioners, from files in exactly their formats, against the published equations step by step."""

import argparse
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import SMALL, pictures, reference_gradcam
from torch import Tensor, nn

import mmcam
from mmcam import ExplainError
from models.foreign import load_attend_tell, load_neuraltalk2
from tests.models.foreign.files import (
    EACH,
    KEY,
    SHAPES,
    STATE,
    UNITS,
    WORD,
    WORDS,
    features,
    infos,
    linear,
    options,
    tensors,
    written,
)


def published(kind: str, state: dict[str, Tensor], maps: Tensor, tokens: list[int]) -> Tensor:
    """Log-probabilities of the tokens of one picture, from the papers' equations and nothing of ours."""

    def apply(name: str, x: Tensor) -> Tensor:
        return state[f"{name}.weight"] @ x + state[f"{name}.bias"]

    regions = maps.flatten(1).T
    core = "_core" if kind == "newfc" else "core"
    h, c = torch.zeros(STATE), torch.zeros(STATE)

    def cell(x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        if kind == "show_tell":
            i, f, g, o = (state["core.weight_ih_l0"] @ x + state["core.weight_hh_l0"] @ h).chunk(4)
            c = f.sigmoid() * c + i.sigmoid() * g.tanh()
            return o.sigmoid() * c.tanh(), c
        i, f, o, g1, g2 = (apply(f"{core}.i2h", x) + apply(f"{core}.h2h", h)).chunk(5)
        if kind.startswith("att2in"):
            v = [apply("att_embed.0", r).relu() for r in regions] if kind == "att2in2" else list(regions)
            asked = apply("core.attention.h2att", h)
            e = torch.cat([apply("core.attention.alpha_net", torch.tanh(apply("ctx2att", r) + asked)) for r in v])
            seen = sum(a * r for a, r in zip(e.softmax(0), v, strict=True))
            more1, more2 = apply("core.a2c", seen).chunk(2)
            g1, g2 = g1 + more1, g2 + more2
        c = f.sigmoid() * c + i.sigmoid() * torch.maximum(g1, g2)
        return o.sigmoid() * c.tanh(), c

    if not kind.startswith("att2in"):
        h, c = cell(apply("fc_embed" if kind == "newfc" else "img_embed", regions.mean(0)), h, c)
    logs = []
    for last, token in zip([0, *tokens], [*tokens, 0], strict=True):
        word = state["embed.0.weight"][last].relu() if kind == "att2in2" else state["embed.weight"][last]
        h, c = cell(word, h, c)
        logs.append(apply("logit", h).log_softmax(0)[token])
    return torch.stack(logs)


@EACH
def test_the_published_log_probabilities(kind, tmp_path):
    weights, info = written(tmp_path, kind)
    eyes = features()
    model = load_neuraltalk2(weights, info, eyes)
    assert not model.training
    assert model.vocabulary == ("a", "dog", "café", "runs", "on", "unk")
    assert model.preprocess == SMALL
    x, tokens = pictures(3, 32), torch.tensor([[1, 2, 4, 0], [6, 5, 3, 2], [2, 2, 1, 3]])
    with torch.no_grad():
        found = model.token_log_probs(x, tokens)
        for n in range(3):
            maps = eyes(x[n : n + 1])[0]
            expected = published(kind, tensors(SHAPES[kind]), maps, tokens[n].tolist())
            torch.testing.assert_close(found[n], expected[:-1], rtol=1e-4, atol=1e-5)
            ending = model.token_log_probs(x, torch.cat([tokens, torch.zeros(3, 1, dtype=torch.long)], 1))[n, -1]
            torch.testing.assert_close(ending, expected[-1], rtol=1e-4, atol=1e-5)
    assert found.std(0).min() > 1e-3, "pictures and words matter"


@EACH
def test_they_are_explained_like_ours(kind, tmp_path):
    model = load_neuraltalk2(*written(tmp_path, kind), features())
    x = pictures(2, 32)
    found = mmcam.explain_caption(model, list(x), "café", caption="A dog, café runs.")
    layer = found[0].layer
    tokens = torch.tensor([[1, 2, 3, 4]] * 2)
    expected = reference_gradcam(model, layer, lambda: model.token_log_probs(x, tokens)[:, 2].sum())
    torch.testing.assert_close(torch.stack([exp.values for exp in found]), expected, rtol=1e-4, atol=1e-7)
    said = model.generate(x)
    assert all(6 not in tokens for tokens in said), "unk is never said"
    if kind.startswith("att2in"):
        maps = model.attention(x, tokens)["attention"]
        assert maps.shape == (2, 4, 8, 8)
        torch.testing.assert_close(maps.sum((2, 3)), torch.ones(2, 4))


def test_dropout_is_the_options(tmp_path):
    model = load_neuraltalk2(*written(tmp_path, "fc", opt={**options("fc"), "drop_prob_lm": 0.25}), features())
    assert model.dropout.p == 0.25


def test_an_unknown_word_names_its_nearest(tmp_path):
    model = load_neuraltalk2(*written(tmp_path, "fc"), features())
    assert model.encode("A DOG runs on: café!") == [1, 2, 4, 5, 3]
    with pytest.raises(ValueError, match="does not know the word 'dogs'; its nearest words are dog"):
        model.encode("a dogs")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"opt": argparse.Namespace(**options("topdown"))},
            "a captioner 'topdown'; those that can be read are fc, newfc",
        ),
        ({"opt": argparse.Namespace(**options("fc"), bos_idx=3)}, "START and END tokens of their own"),
        ({"opt": argparse.Namespace(**options("newfc"))}, "'img_embed.weight', which this kind of captioner has not"),
        ({"vocab": {"1": "a", "2": "b"}}, "has no word 3"),
        ({"vocab": infos(words=(*WORDS, "more"))["vocab"]}, "says 6 words and .* lists 7"),
        ({"vocab": ["a"]}, "no options `opt` or no vocabulary `vocab`"),
        ({"opt": None}, "no options `opt` or no vocabulary `vocab`"),
    ],
)
def test_files_that_do_not_fit(change, message, tmp_path):
    with pytest.raises(ExplainError, match=message):
        load_neuraltalk2(*written(tmp_path, "fc", **change), features())


@pytest.mark.parametrize(
    ("kind", "change", "message"),
    [
        ("fc", lambda s: s.pop("embed.weight"), "lacks embed"),
        ("fc", lambda s: s.update({"core.h2h.weight": torch.zeros(3, 3)}), "do not fit: size mismatch"),
        ("show_tell", lambda s: s.update({"core.weight_ih_l1": torch.zeros(3, 3)}), "several layers"),
        (
            "show_tell",
            lambda s: s.update({"core.weight_ih_l0": torch.zeros(3 * STATE, WORD)}),
            "only LSTMs can be read",
        ),
        ("att2in2", lambda s: s.update({"att_embed.1.weight": torch.zeros(3, 3)}), "normalises its regions"),
    ],
)
def test_weights_of_another_form(kind, change, message, tmp_path):
    weights, info = written(tmp_path, kind)
    state = tensors(SHAPES[kind])
    change(state)
    torch.save(state, weights)
    with pytest.raises(ExplainError, match=message):
        load_neuraltalk2(weights, info, features())


@EACH
def test_features_of_another_width(kind, tmp_path):
    with pytest.raises(ExplainError, match="reads 5 features of a picture, and the maps have 4 units"):
        load_neuraltalk2(*written(tmp_path, kind), features(4))


# --- a-PyTorch-Tutorial-to-Image-Captioning ---------------------------------------------------------------------------

MARKS = {"<pad>": 0, "a": 1, "dog": 2, "runs": 3, "<unk>": 4, "<start>": 5, "<end>": 6}
M = len(MARKS)
TUTORIAL = (
    linear("attention.encoder_att", UNITS, KEY)
    | linear("attention.decoder_att", STATE, KEY)
    | linear("attention.full_att", KEY, 1)
    | {"embedding.weight": (M, WORD)}
    | {"decode_step.weight_ih": (4 * STATE, WORD + UNITS), "decode_step.weight_hh": (4 * STATE, STATE)}
    | {"decode_step.bias_ih": (4 * STATE,), "decode_step.bias_hh": (4 * STATE,)}
    | linear("init_h", UNITS, STATE)
    | linear("init_c", UNITS, STATE)
    | linear("f_beta", STATE, UNITS)
    | linear("fc", STATE, M)
)


def tutorial(folder: Path, **changes: Tensor) -> tuple[Path, Path]:
    weights, words = folder / "decoder.pth", folder / "WORDMAP_coco_5_cap_per_img_5_min_word_freq.json"
    torch.save({**tensors(TUTORIAL), **changes}, weights)
    words.write_text(json.dumps(MARKS))
    return weights, words


def attend_and_tell(state: dict[str, Tensor], maps: Tensor, numbers: list[int]) -> tuple[Tensor, Tensor]:
    """Log-probabilities and attention of Xu et al.'s decoder, by its own word numbers, one picture."""

    def apply(name: str, x: Tensor) -> Tensor:
        return x @ state[f"{name}.weight"].T + state[f"{name}.bias"]

    regions = maps.flatten(1).T
    h, c = apply("init_h", regions.mean(0)), apply("init_c", regions.mean(0))
    logs, attention = [], []
    for last, number in zip([MARKS["<start>"], *numbers], [*numbers, MARKS["<end>"]], strict=True):
        energy = apply(
            "attention.full_att", (apply("attention.encoder_att", regions) + apply("attention.decoder_att", h)).relu()
        )
        alpha = energy[:, 0].softmax(0)
        context = apply("f_beta", h).sigmoid() * (alpha[:, None] * regions).sum(0)
        x = torch.cat([state["embedding.weight"][last], context])
        sums = state["decode_step.weight_ih"] @ x + state["decode_step.bias_ih"]
        i, f, g, o = (sums + state["decode_step.weight_hh"] @ h + state["decode_step.bias_hh"]).chunk(4)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        h = o.sigmoid() * c.tanh()
        logs.append(apply("fc", h).log_softmax(0)[number])
        attention.append(alpha)
    return torch.stack(logs), torch.stack(attention)


def test_show_attend_and_tell_word_for_word(tmp_path):
    eyes = features()
    model = load_attend_tell(*tutorial(tmp_path), eyes)
    assert not model.training
    assert model.vocabulary == ("<pad>", "a", "dog", "runs", "<unk>", "<start>")
    x = pictures(2, 32)
    sentences = [["a", "dog", "runs"], ["dog", "<unk>", "a"]]
    ours = torch.tensor([[model.vocabulary.index(word) + 1 for word in said] + [0] for said in sentences])
    with torch.no_grad():
        found, attention = model.token_log_probs(x, ours), model.attention(x, ours)["attention"]
        for n, said in enumerate(sentences):
            logs, alpha = attend_and_tell(tensors(TUTORIAL), eyes(x[n : n + 1])[0], [MARKS[word] for word in said])
            torch.testing.assert_close(found[n], logs, rtol=1e-4, atol=1e-5)
            torch.testing.assert_close(attention[n].flatten(1), alpha, rtol=1e-4, atol=1e-6)
        every = model(x, ours[:, :1]).softmax(2)
        assert every.shape == (2, 2, M)
    assert model.encode("A dog runs") == [2, 3, 4]
    assert found.std(0).min() > 1e-4


def test_show_attend_and_tell_explained(tmp_path):
    model = load_attend_tell(*tutorial(tmp_path), features())
    x = pictures(2, 32)
    found = mmcam.explain_caption(model, list(x), caption="a dog runs", method="attention")
    assert found[0].words[1].values.shape == (8, 8)
    exp = mmcam.explain_caption(model, x[0], "dog", caption="a dog runs", method="layercam")
    assert exp.values.max() > 0
    assert all(isinstance(tokens, list) for tokens in model.generate(x))


class Decoder(nn.Module):
    """Somebody's module."""

    def __init__(self, mark: Path | None = None) -> None:
        super().__init__()
        self.fc = nn.Linear(2, 2)
        self.mark = mark

    def __setstate__(self, state: dict[str, Any]) -> None:
        state["mark"].touch()
        super().__setstate__(state)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_pickle_of_whole_modules_is_refused_with_the_way_out(zipped, tmp_path):
    path, mark = tmp_path / "BEST_checkpoint_coco.pth.tar", tmp_path / "mark"
    torch.save({"epoch": 3, "decoder": Decoder(mark)}, path, _use_new_zipfile_serialization=zipped)
    _, words = tutorial(tmp_path)
    with pytest.raises(
        ExplainError, match=r"pickle of whole modules.*torch\.save\(checkpoint\[\"decoder\"\]\.state_dict"
    ):
        load_attend_tell(path, words, features())
    assert not mark.exists()
    torch.load(path, weights_only=False)
    assert mark.exists(), "it would have run"


def test_tutorial_files_that_do_not_fit(tmp_path):
    weights, words = tutorial(tmp_path)
    with pytest.raises(ExplainError, match="no weights file at"):
        load_attend_tell(tmp_path / "none.pth", words, features())
    with pytest.raises(ExplainError, match="no word map at"):
        load_attend_tell(weights, tmp_path / "none.json", features())
    with pytest.raises(ExplainError, match="the maps have 4 units"):
        load_attend_tell(weights, words, features(4))
    for content, message in (
        ("[1]", "does not map words to numbers"),
        ('{"a": "b"}', "does not map words to numbers"),
        ("{", "cannot be read as JSON"),
        ('{"a": 1, "<end>": 0}', "has no <start>"),
        ('{"a": 2, "<end>": 0, "<start>": 1}', "says 7 words and .* numbers 3"),
    ):
        words.write_text(content)
        with pytest.raises(ExplainError, match=message):
            load_attend_tell(weights, words, features())
    weights.write_bytes(b"nothing")
    with pytest.raises(ExplainError, match=r"cannot be read as weights|whole modules"):
        load_attend_tell(weights, words, features())
