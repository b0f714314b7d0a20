"""Names that are almost right: of methods and of their options."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import Gap, pictures, seeded

from mmcam import METHODS, ExplainError, attribute
from mmcam.methods.registry import get


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("GradCAM", "gradcam"),
        ("grad-cam", "gradcam"),
        ("Grad CAM", "gradcam"),
        ("Grad_CAM++", "gradcam++"),
        ("gradcampp", "gradcam++"),
        ("GradCAMPlusPlus", "gradcam++"),
        ("SmoothGradCAMpp", "smooth_gradcam++"),
        ("GuidedBackprop", "guided_backprop"),
        ("guided-gradcam", "guided_gradcam"),
        ("score_cam", "scorecam"),
        ("ScoreCAM", "scorecam"),
        ("HiResCAM", "hirescam"),
        ("IntegratedGradients", "integrated_gradients"),
        ("c-MWP", "c_mwp"),
        ("gradcma", "gradcam"),
    ],
)
def test_a_near_miss_of_a_method_is_refused_with_its_name(written, meant):
    with pytest.raises(ExplainError, match="There is no method") as caught:
        attribute(seeded(Gap), pictures(), [0], method=written)
    assert f"; did you mean {meant!r}? There are: " in str(caught.value)


@settings(deadline=None)
@given(st.data())
def test_case_and_marks_never_hide_which_method_is_meant(data):
    name = data.draw(st.sampled_from(sorted(METHODS)))
    letters = [data.draw(st.sampled_from([c, c.upper(), f"{c}-", f"{c} ", f"{c}_"] if c != "+" else [c])) for c in name]
    written = "".join(letters)
    if written in METHODS:
        assert get(written).name == written
    else:
        with pytest.raises(ExplainError) as caught:
            get(written)
        assert f"did you mean {name!r}?" in str(caught.value)


@pytest.mark.parametrize("odd", [None, 3, ["gradcam"], b"gradcam", {}, "", "x" * 100_000, "?\n"])
def test_what_is_no_method_is_one_sentence(odd):
    with pytest.raises(ExplainError, match="method") as caught:
        attribute(seeded(Gap), pictures(), [0], method=odd)
    assert len(str(caught.value)) < 800
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("method", "option", "meant"),
    [
        ("smoothgrad", "Sigma", "sigma"),
        ("smoothgrad", "n_samples", "n"),
        ("integrated_gradients", "step", "steps"),
        ("occlusion", "patches", "patch"),
        ("occlusion", "Stride", "stride"),
    ],
)
def test_a_near_miss_of_an_option(method, option, meant):
    with pytest.raises(ExplainError, match=f"has no option '{option}'; its options are .*; did you mean '{meant}'.$"):
        attribute(seeded(Gap), pictures(), [0], method=method, **{option: 2})


def test_an_option_of_the_method_that_smoothgrad_smooths_is_its_own_business():
    with pytest.raises(ExplainError, match="Method 'gradient' has no option 'stride'"):
        attribute(seeded(Gap), pictures(), [0], method="smoothgrad", stride=2)


def test_an_option_like_no_other_gets_no_suggestion():
    with pytest.raises(ExplainError, match=r"has no option 'quux'; its options are [a-z, ]*\.$"):
        attribute(seeded(Gap), pictures(), [0], method="occlusion", quux=2)
