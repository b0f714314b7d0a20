"""Models from the command line: torchvision's and timm's with a file of weights, and a folder of transformers'."""

import pytest
import timm
import torch
import torchvision
from PIL import Image

import mmcam
from mmcam.app.asking import answer
from mmcam.app.choices import layers_of, methods_of, targets_of
from mmcam.app.code import python
from mmcam.app.desk import Desk
from mmcam.app.models import Studio
from mmcam.app.session import Session
from mmcam.app.settings import Settings
from mmcam.datasets.photographs import shipped
from mmcam.models.specification import load_model

TIMM = "resnet10t"


def saved_vit(folder):
    """A folder as transformers' save_pretrained writes it, of a network with random weights."""
    transformers = pytest.importorskip("transformers")
    labels = {0: "cat", 1: "dog", 2: "<b>bus</b>"}
    config = transformers.ViTConfig(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=16, image_size=64, patch_size=8,
        id2label=labels, label2id={name: index for index, name in labels.items()},
    )  # fmt: skip
    transformers.ViTForImageClassification(config).save_pretrained(folder)
    transformers.ViTImageProcessor(size={"height": 64, "width": 64}).save_pretrained(folder)


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """Specifications and weights, as they are given on the command line."""
    folder = tmp_path_factory.mktemp("own")
    torch.manual_seed(0)
    torch.save(torchvision.models.squeezenet1_1(num_classes=5).state_dict(), folder / "squeeze.pth")
    torch.save(timm.create_model(TIMM, num_classes=7).state_dict(), folder / "tiny.pth")
    saved_vit(folder / "vit")
    specs = ["torchvision:squeezenet1_1", f"timm:{TIMM}", f"hf:{folder / 'vit'}"]
    return specs, [folder / "squeeze.pth", folder / "tiny.pth"], folder


@pytest.fixture(scope="module")
def desk(own):
    specs, weights, _ = own
    return Desk(Studio(specs, weights))


@pytest.mark.parametrize("place", [0, 1, 2])
def test_it_explains_as_the_library_does(desk, own, place):
    specs, weights, _ = own
    module, preprocess = load_model(specs[place], weights[place] if place < 2 else None)
    shown = desk.ask(Settings(model=specs[place], sample="dog-and-cat", target="1"), None, "me")
    assert "error" not in shown, shown
    kept = desk.kept("me", shown["key"])
    expected = mmcam.explain_class(module, shipped().path, 1, preprocess=preprocess)
    found = kept.panels[0].items[0]
    torch.testing.assert_close(found.values, expected.values, rtol=1e-4, atol=1e-7)
    assert found.score == pytest.approx(expected.score, rel=1e-4)
    assert shown["items"][0]["label"] == expected.target


@pytest.mark.parametrize("place", [0, 1, 2])
def test_the_python_that_is_shown_makes_the_map_that_is_shown(desk, own, place, monkeypatch):
    specs, _, folder = own
    monkeypatch.chdir(folder)
    session = Session()
    answered = answer(
        desk.studio, session, Settings(model=specs[place], sample="dog-and-cat"), session.picture("dog-and-cat", None)
    )
    known = {}
    exec(python(answered, 1), known)  # as a reader would run it, where the weights lie
    torch.testing.assert_close(known["exp"].values, answered.panels[0].items[1].values, rtol=1e-4, atol=1e-7)


def test_the_first_of_them_is_asked_where_none_is_named(desk, own):
    specs = own[0]
    assert desk.studio.usual("class", drawn=True) == specs[0]
    assert desk.studio.usual("caption", drawn=False) == "photo-captioner"
    assert desk.studio.usual("neurons", drawn=False) == "photo-classifier"  # the page has those whose units have names
    assert desk.studio.of("class")[:3] == specs
    assert "error" not in desk.start()


def test_layers_methods_and_classes_are_theirs(desk, own):
    for spec in own[0]:
        model = desk.studio[spec]
        assert layers_of(model)[0][1] == ""
        assert {"gradcam", "occlusion"} <= {name for _, name in methods_of(model)}
    assert [name for _, name in targets_of(desk.studio[own[0][2]])] == ["cat", "dog", "<b>bus</b>"]


@pytest.mark.parametrize(
    ("specs", "weights", "sentence"),
    [
        (["torchvision:resnet999"], [], "torchvision has no classifier 'resnet999'"),
        ([f"timm:{TIMM}"], [], "needs --weights FILE"),
        ([f"timm:{TIMM}"], ["squeeze.pth"], "do not fit"),
        (["torchvision:squeezenet1_1", f"timm:{TIMM}"], ["squeeze.pth"], "2 models that take weights"),
        (["hf:nowhere"], ["squeeze.pth"], "0 models that take weights"),
        ([f"timm:{TIMM}"] * 2, ["tiny.pth"] * 2, f"timm:{TIMM} is named twice"),
    ],
)
def test_what_cannot_be_loaded_is_one_sentence(own, specs, weights, sentence):
    folder = own[2]
    with pytest.raises(mmcam.ExplainError) as caught:
        Studio(specs, [folder / name for name in weights])
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.long
def test_they_are_chosen_on_the_page(own, chromium):
    pytest.importorskip("gradio", reason="needs Gradio, of the extra app")
    from mmcam.app.launch import serve

    specs, weights, _ = own
    served = serve(specs, weights, wait=False)
    page = chromium.new_page()
    try:
        page.goto(served.local_url)
        page.wait_for_selector(".mm-viewer[data-key]", timeout=60_000)
        assert page.locator("#model-class input").input_value() == specs[0]
        assert page.locator(".mm-word").count() == 5
        for spec, words in ((specs[1], 5), (specs[2], 3)):
            before = page.get_attribute(".mm-viewer", "data-key")
            page.locator("#model-class input").click()
            page.get_by_role("option", name=spec, exact=True).click()
            page.wait_for_function(
                "before => document.querySelector('.mm-viewer').dataset.key !== before", arg=before, timeout=60_000
            )
            assert page.locator(".mm-word").count() == words
            assert page.inner_text(".mm-alarm") == ""
            assert page.evaluate("() => document.querySelector('.frame canvas').width") > 0
        assert "<b>bus</b>" in page.eval_on_selector_all(
            ".mm-word", "all => all.map((one) => one.firstChild.textContent)"
        )
        assert f"load_model('{specs[2]}')" in page.inner_text(".mm-code")
    finally:
        page.context.close()
        served.close(verbose=False)


def test_a_picture_of_ones_own_is_explained_by_them(desk, own, tmp_path):
    Image.new("RGB", (50, 30), "green").save(tmp_path / "green.png")
    shown = desk.ask(Settings(model=own[0][1], sample="uploaded"), str(tmp_path / "green.png"), "me")
    assert "error" not in shown
