"""Every network's maps are right, as a planted patch and plain backpropagation have it, or refused in a sentence."""

from functools import lru_cache

import pytest
from zoo.judge import ALLOWED, judged
from zoo.libraries_open_clip import OPEN_CLIP
from zoo.libraries_segmentation import SEGMENTATION
from zoo.libraries_timm import TIMM
from zoo.libraries_torchvision import TORCHVISION
from zoo.libraries_transformers import TRANSFORMERS_LIBRARY
from zoo.libraries_vit_pytorch import VIT_PYTORCH
from zoo.own_answers import ANSWERS
from zoo.own_convolutions import CONVOLUTIONS
from zoo.own_transformers import TRANSFORMERS

OWN = [CONVOLUTIONS, ANSWERS, TRANSFORMERS]
LIBRARIES = [TORCHVISION, TIMM, VIT_PYTORCH, SEGMENTATION, OPEN_CLIP, TRANSFORMERS_LIBRARY]
TABLES = [*OWN, *LIBRARIES]
ZOO = {network.name: network for table in TABLES for network in table}
CASES = [(name, layer) for name, network in ZOO.items() for layer in (None, *network.layers)]

built = lru_cache(maxsize=1)(lambda name: ZOO[name].model())


def case(name, layer):
    return pytest.param(name, layer, id=f"{name} - {layer or 'default'}", marks=[pytest.mark.long] * ZOO[name].long)


@pytest.mark.parametrize(("name", "layer"), [case(*each) for each in CASES])
def test_right_or_refused(name, layer):
    network = ZOO[name]
    verdict = judged(network, built(name), layer)
    wanted = network.outcome if layer is None else network.layers[layer]
    assert verdict.kind in ALLOWED[wanted], verdict.note


def test_the_zoo_is_large_and_its_names_are_unique():
    assert len(ZOO) == sum(map(len, TABLES)) > 180
