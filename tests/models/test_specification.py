"""Networks from files of weights: what torchvision publishes is read as torchvision means it."""

import pytest
import torch
from torchvision import models as zoo

from mmcam import ExplainError
from mmcam.models.specification import load_model
from tests.tiny import pictures


@pytest.mark.parametrize(("name", "side"), [("googlenet", 224), ("inception_v3", 299)])
@pytest.mark.parametrize("with_heads", [True, False])
def test_networks_with_auxiliary_heads(tmp_path, name, side, with_heads):
    """Files with and without them load, and the network answers as torchvision's with published weights does."""
    torch.manual_seed(0)
    theirs = zoo.get_model(name, weights=None, init_weights=False, transform_input=True, aux_logits=with_heads).eval()
    torch.save(theirs.state_dict(), tmp_path / "w.pth")
    mine, preprocess = load_model(f"torchvision:{name}", tmp_path / "w.pth")
    assert preprocess.size == (side, side)
    assert not any(key.lower().startswith("aux") for key in mine.state_dict())
    x = pictures(1, 128)
    with torch.no_grad():
        assert torch.equal(mine(x), theirs(x))


@pytest.mark.parametrize(("file", "resize"), [("resnet50-0676ba61.pth", 256), ("resnet50-11ad3fa6.pth", 232)])
def test_a_published_file_is_known_by_its_name(tmp_path, file, resize):
    """torchvision's two ResNet-50 were trained on pictures of different sizes."""
    torch.save(zoo.resnet50(num_classes=3).state_dict(), tmp_path / file)
    _, preprocess = load_model("torchvision:resnet50", tmp_path / file)
    assert preprocess.resize == resize


def test_a_file_of_something_else(tmp_path):
    torch.save({"steps": torch.tensor(3)}, tmp_path / "w.pth")
    with pytest.raises(ExplainError, match="do not fit torchvision's resnet18"):
        load_model("torchvision:resnet18", tmp_path / "w.pth")
