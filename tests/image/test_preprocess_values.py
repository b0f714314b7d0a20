"""A preparation that makes no picture is one sentence where it is used."""

import pytest
import torch

from mmcam import ExplainError, Preprocess
from mmcam.image import preprocess_of


@pytest.mark.parametrize("size", [(0, 0), (-1, 5), (8.5, 8.5), 8, (8,), (8, 8, 8), (True, 8), "88"])
def test_a_size_that_is_none(size):
    with pytest.raises(ExplainError, match=r"needs size=\(height, width\) and resize= in whole pixels"):
        preprocess_of(Preprocess(size=size))


def test_a_resize_or_a_mode_that_is_none():
    with pytest.raises(ExplainError, match="resize=0 are none"):
        preprocess_of(Preprocess(resize=0))
    with pytest.raises(ExplainError, match="knows mode='squash', 'crop' or 'pad'; 'stretch' is none"):
        preprocess_of(Preprocess(mode="stretch"))


@pytest.mark.parametrize("transform", [3, "crop", torch.nn.Identity(), [1]])
def test_a_transform_whose_geometry_is_not_known(transform):
    with pytest.raises(ExplainError, match="Cannot read where"):
        preprocess_of(transform)
