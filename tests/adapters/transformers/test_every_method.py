"""Every method on every family of transformers: a map of the picture or a refusal, and the model as it was.

What the maps are is compared elsewhere, method by method and family by family; this is the product of the two.
"""

import functools

import pytest
import tiny_captioners
import tiny_classifiers
import tiny_generative
import tiny_similarity
import torch
from state import State

import mmcam
from mmcam import ExplainError

PICTURE = tiny_similarity.photo(64, 96)
NEEDY = {
    *("cam", "attention", "excitation_backprop", "c_mwp"),
    *("guided_backprop", "guided_gradcam", "deconvnet", "deconv_gradcam", "fullgrad", "legrad", "grad_eclip", "tam"),
    "localisation_heads",
}
"""They need what not every model has: a global pool, attention that is shown, ReLUs, operations with a rule, biases in
layers, blocks in a list, places among the words."""
CHEAP = {"occlusion": {"patch": 16, "stride": 16}, "rise": {"n": 40}, "extremal": {"steps": 2}}
"""Enough to feel every line; the other methods as they come."""


def class_of(wrapped, **options):
    return mmcam.explain_class(wrapped, PICTURE, "dog", **options)


def word_of(caption):
    def explain(wrapped, **options):
        with tiny_captioners.asking(wrapped):
            return mmcam.explain_caption(wrapped, PICTURE, "dog", caption=caption, **options)

    return explain


def answer_of(wrapped, **options):
    return mmcam.explain_answer(wrapped, PICTURE, "what colour is the dog ?", "red", **options)


def similarity_of(wrapped, **options):
    return mmcam.explain_similarity(wrapped, PICTURE, tiny_similarity.TEXTS[0], **options)


MODELS = {name: (functools.partial(tiny_classifiers.build, name), class_of) for name in tiny_classifiers.FAMILIES}
for families in (tiny_captioners, tiny_generative):
    MODELS |= {name: (family.build, word_of(families.CAPTION)) for name, family in families.FAMILIES.items()}
MODELS |= {name: (build, similarity_of) for name, build in tiny_similarity.SIMILAR.items()}
MODELS["vilt"] = tiny_similarity.vilt, answer_of


@functools.cache
def wrapped(name):
    return mmcam.wrap(*MODELS[name][0]())


@pytest.mark.long
@pytest.mark.parametrize("method", mmcam.METHODS)
@pytest.mark.parametrize("name", MODELS)
def test_a_map_or_a_refusal(name, method):
    model, explain = wrapped(name), MODELS[name][1]
    explain(model)  # what a model of transformers sets at its first run, it keeps
    state = State(model)
    try:
        exp = explain(model, method=method, **CHEAP.get(method, {}))
    except ExplainError:
        assert method in NEEDY
    else:
        assert exp.method == method
        assert torch.isfinite(exp.values).all()
        assert exp.note if exp.empty else exp.values.any()
        assert exp.heatmap.shape == (64, 96)
    state.check()
