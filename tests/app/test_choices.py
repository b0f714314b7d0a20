import re
from itertools import pairwise

import mmcam
from mmcam.app.choices import applies, colour_maps, layers_of, methods_of, targets_of
from mmcam.datasets import vignettes


def test_only_methods_that_apply_are_offered(studio):
    offered = {name for _, name in methods_of(studio["vignette-captioner"])}
    assert {"gradcam", "layercam", "occlusion"} <= offered
    assert offered.isdisjoint({"cam", "attention"})  # it has no linear head behind a pooled map, and no attention
    assert applies("attention", studio["vignette-show-attend-tell"])
    assert applies("cam", studio["photo-classifier"])


def test_layers_are_told_with_the_sizes_that_they_have(studio):
    model = studio["vignette-classifier"]
    offered = layers_of(model)
    assert offered[0][1] == ""
    assert offered[0][0].startswith("the default · ")
    names = [name for _, name in offered[1:]]
    maps = mmcam.record(model.module, model.module.preprocess(vignettes.draw(20000123).image)[0][None], names)
    for told, name in offered[1:]:
        assert told == f"{name} · {' × '.join(map(str, maps[name].shape[1:]))}"


def test_a_wider_word_stands_before_its_classes(studio):
    offered = targets_of(studio["photo-classifier"])
    assert re.fullmatch(r"cat \(the likeliest of \d+\)", next(told for told, name in offered if name == "cat"))
    names = [name for _, name in offered]
    assert names.index("cat") < names.index("Egyptian cat")
    assert targets_of(studio["vignette-captioner"]) == []
    assert ("red", "red") in targets_of(studio["vignette-vqa"])


def test_what_a_model_does_is_known_without_loading_it(studio):
    for of_task in ("class", "caption", "answer"):
        assert mmcam.models.task(mmcam.models.default(of_task)) == of_task
        for name in studio.of(of_task):
            module = studio[name].module
            kind = (
                "answer" if hasattr(module, "answer_scores") else "caption" if hasattr(module, "generate") else "class"
            )
            assert kind == of_task


def test_colour_maps_grow_in_lightness():
    for name, colours in colour_maps().items():
        levels = [colours[i : i + 3] for i in range(0, 768, 3)]
        light = [0.2126 * r + 0.7152 * g + 0.0722 * b for r, g, b in levels]
        assert all(b >= a - 1.5 for a, b in pairwise(light)), name
