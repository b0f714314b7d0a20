"""The ablations' judge, against masks counted by hand."""

import numpy as np
import torch

import mmcam
from experiments.ablations import judged, main
from mmcam.datasets import vignettes
from mmcam.image import Geometry

SCENE = vignettes.draw(vignettes.seed("test", 3))


def explained(heatmap):
    values = torch.from_numpy(np.asarray(heatmap, np.float32))
    known = {"target": "", "score": 0.0, "weights": None, "layer": "", "method": "", "model": ""}
    return mmcam.Explanation(values=values, image=SCENE.image, geometry=Geometry((224, 224), (224, 224)), **known)


def test_a_map_of_the_thing_itself_is_right_and_its_opposite_wrong():
    kinds = sorted({thing.kind for thing in SCENE.truth.things})
    for kind in kinds:
        thing = next(thing for thing in SCENE.truth.things if thing.kind == kind)
        left, top, right, bottom = thing.box
        whole = np.zeros((224, 224))
        whole[top:bottom, left:right] = SCENE.kind_mask(kind)[top:bottom, left:right] + 0.5
        assert list(judged(SCENE, [kind], [explained(whole)])) == [(True, True)]
        # Scaled from its minimum to its maximum, nearly the whole map passes the threshold: its maximum stays right.
        below = whole - 9 * (whole == 0) - 400 * (np.arange(224) == 0)
        assert list(judged(SCENE, [kind], [explained(below)])) == [(False, True)]
        assert list(judged(SCENE, [kind], [explained(whole == 0)])) == [(False, False)]


def test_two_vignettes(tmp_path):
    main(2, tmp_path)
    text = (tmp_path / "ablations.md").read_text()
    assert "| no ReLU |" in text
    assert "| Grad-CAM |" in text
    assert "+0.0% ± 0.0%" in text
