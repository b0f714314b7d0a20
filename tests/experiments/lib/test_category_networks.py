"""Networks of categories, given as files."""

import pytest
import torch
import typer
from torchvision import models as zoo

from experiments.lib import category_networks


def test_a_networks_weights_say_how_many_outputs_it_has(tmp_path):
    weights = tmp_path / "net.pth"
    torch.save(zoo.squeezenet1_1(weights=None, num_classes=3).state_dict(), weights)
    net = category_networks.network_of(f"squeezenet1_1={weights}", ["person", "dog", "toothbrush"])
    assert net.outputs == {"person": [0], "dog": [1], "toothbrush": [2]}
    assert net.preprocess.mode == "squash"
    with pytest.raises(typer.BadParameter, match=r"net.pth: The network has 3 outputs; one with 2, one a category"):
        category_networks.network_of(f"squeezenet1_1={weights}", ["a", "b"])
    with pytest.raises(typer.BadParameter, match="--network is NAME=FILE"):
        category_networks.network_of("squeezenet1_1", ["a", "b"])
