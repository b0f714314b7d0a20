"""From what people have (a model with its processor, a pipeline, a folder, a hub's name) to an explanation."""

import json

import pytest
import torch
from tiny_captioners import CAPTION, asking, blip, matcher, pix2struct, vision_gpt2
from tiny_generative import FAMILIES, idefics3, internvl
from tiny_similarity import clip, photo
from torch import nn
from typer.testing import CliRunner

import mmcam
from mmcam import ExplainError
from mmcam.cli import app
from mmcam.models.specification import load_model


def vit():
    from transformers import ViTConfig, ViTForImageClassification, ViTImageProcessor

    torch.manual_seed(0)
    config = ViTConfig(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=16, image_size=32, patch_size=8,
        id2label={0: "cat", 1: "dog"}, label2id={"cat": 0, "dog": 1},
    )  # fmt: skip
    return ViTForImageClassification(config).eval(), ViTImageProcessor(size={"height": 32, "width": 32})


def test_a_pipeline_brings_its_processor():
    from transformers import pipeline

    model, processor = vit()
    pipe = pipeline("image-classification", model=model, image_processor=processor)
    picture = photo(40, 60)
    by_pipe = mmcam.explain_class(mmcam.wrap(pipe), picture, "dog")
    by_hand = mmcam.explain_class(mmcam.wrap(model, processor), picture, "dog")
    assert torch.equal(by_pipe.values, by_hand.values)
    assert by_pipe.heatmap.shape == (40, 60)


def test_a_folder_that_save_pretrained_wrote(tmp_path):
    model, processor = vision_gpt2("vit")
    model.save_pretrained(tmp_path / "captioner")
    processor.image_processor.save_pretrained(tmp_path / "captioner")
    processor.tokenizer.save_pretrained(tmp_path / "captioner")
    picture = photo(40, 60)
    picture.save(tmp_path / "photo.png")
    loaded, preprocess = load_model(str(tmp_path / "captioner"))
    assert preprocess is None
    expected = mmcam.explain_caption(mmcam.wrap(model, processor), picture, caption="a dog")
    found = mmcam.explain_caption(loaded, picture, caption="a dog")
    assert [exp.target for exp in found] == [exp.target for exp in expected]
    assert torch.allclose(found.whole.values, expected.whole.values, atol=1e-6)
    command = ["explain", tmp_path / "photo.png", "--model", tmp_path / "captioner", "--text", "a dog", "--json"]
    result = CliRunner().invoke(app, [*map(str, command), "--out", str(tmp_path / "out")])
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout[result.stdout.index("[\n") :])
    assert [word["target"] for word in report[0]["words"]] == ["a", "dog"]


@pytest.mark.parametrize("build", [vit, lambda: blip("BlipForConditionalGeneration"), clip])
def test_folders_of_other_families(build, tmp_path):
    model, processor = build()
    model.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    loaded, _ = load_model(str(tmp_path))
    assert type(loaded) is type(mmcam.wrap(model, processor))


def test_what_cannot_be_wrapped_is_one_sentence(tmp_path):
    model, _ = vit()
    with pytest.raises(ExplainError, match="ViTForImageClassification needs its processor"):
        mmcam.wrap(model)
    with pytest.raises(ExplainError, match=r"no adapter for Linear; there are some for image classifiers, .*CLIP,"):
        mmcam.wrap(nn.Linear(2, 2), object())
    (tmp_path / "config.json").write_text('{"model_type": "bert", "architectures": ["BertNobody"]}')
    with pytest.raises(ExplainError, match="is a BertNobody, unknown to this transformers"):
        load_model(str(tmp_path))


def test_a_name_that_cannot_be_fetched_is_one_sentence(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ExplainError, match=r"nobody/nothing cannot be loaded .*save_pretrained"):
        load_model("hf:nobody/nothing")


def test_wrapping_leaves_every_parts_mode_alone():
    model, processor = vit()
    model.train()
    model.vit.embeddings.eval()
    wrapped = mmcam.wrap(model, processor)
    assert wrapped.training
    assert model.training
    assert not model.vit.embeddings.training


@pytest.mark.parametrize("around", [nn.DataParallel, lambda model: torch.compile(model, backend="eager")])
def test_compiled_and_parallel_models_are_wrapped_like_what_is_in_them(around):
    model, processor = blip("BlipForConditionalGeneration")
    expected = mmcam.explain_caption(mmcam.wrap(model, processor), photo(40, 60), 0, caption=CAPTION)
    found = mmcam.explain_caption(mmcam.wrap(around(model), processor), photo(40, 60), 0, caption=CAPTION)
    assert torch.equal(found.values, expected.values)


def test_models_without_classes_say_what_explains_them():
    similar = mmcam.wrap(*clip())
    for target in (None, 5, [0, lambda embeddings: embeddings[:, 0]]):
        with pytest.raises(ExplainError, match=r"has no classes, only the coordinates .* use mmcam.explain_similarity"):
            mmcam.explain_class(similar, photo(40, 60), target)
    assert mmcam.explain_class(similar, photo(40, 60), lambda embeddings: embeddings.square().sum(1)).score > 0
    with pytest.raises(ExplainError, match=r"has no classes; use mmcam.explain_similarity"):
        mmcam.explain_class(mmcam.wrap(*matcher()), photo(40, 60))
    with pytest.raises(ExplainError, match=r"has no classes; use mmcam.explain_caption\(model, picture\)"):
        mmcam.explain_class(mmcam.wrap(*blip("BlipForConditionalGeneration")), photo(40, 60))


def test_similarity_on_the_command_line(tmp_path):
    model, processor = clip()
    model.save_pretrained(tmp_path / "clip")
    processor.save_pretrained(tmp_path / "clip")
    photo(40, 60).save(tmp_path / "photo.png")
    texts = processor.tokenizer.convert_ids_to_tokens([5, 6])
    word = next(text for text in texts if text.isalpha())
    command = ["explain", tmp_path / "photo.png", "--similar-to", word, "--model", tmp_path / "clip"]
    result = CliRunner().invoke(app, [*map(str, command), "--out", str(tmp_path / "out")])
    assert result.exit_code == 0, result.output
    assert (tmp_path / "out" / f"photo-{word.lower()}.png").is_file()
    refused = CliRunner().invoke(app, ["explain", str(tmp_path / "photo.png"), "--similar-to", word])
    assert refused.exit_code == 2
    assert "--model" in refused.output


LISTED = {name: FAMILIES[name].build for name in ("qwen2", "qwen2.5")}
LISTED |= {"idefics3": idefics3, "internvl": internvl}
LISTED |= {"pix2struct": pix2struct, "blip-vqa": lambda: blip("BlipForQuestionAnswering"), "matcher": matcher}


def listed(build, folder):
    """What `mmcam layers` prints of a model's folder, as JSON."""
    model, processor = build()
    model.save_pretrained(folder)
    for part in [processor] if callable(processor) else [processor.image_processor, processor.tokenizer]:
        part.save_pretrained(folder)
    result = CliRunner().invoke(app, ["layers", str(folder), "--json"])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout[result.stdout.index("[\n") :])


@pytest.mark.parametrize("name", LISTED)
def test_the_layers_of_a_folder_are_those_a_picture_has(name, tmp_path):
    rows = listed(LISTED[name], tmp_path)
    (default,) = (row for row in rows if row["default"])
    wrapped, picture = mmcam.wrap(*LISTED[name]()), photo(224, 224)
    assert default["name"] == wrapped.explain_layer
    for row in (default, rows[0]):
        if hasattr(wrapped, "similarity"):
            exp = mmcam.explain_similarity(wrapped, picture, "a dog", layer=row["name"])
        else:
            with asking(wrapped):
                exp = mmcam.explain_caption(wrapped, picture, 0, caption=CAPTION, layer=row["name"])
        assert list(exp.activations.shape) == row["shape"]


def test_a_listed_name_is_whole_however_narrow_the_screen(tmp_path):
    rows = listed(FAMILIES["qwen2"].build, tmp_path)
    lines = CliRunner().invoke(app, ["layers", str(tmp_path)]).stdout.splitlines()
    column = "".join(line.split("│")[1].strip() for line in lines if line.startswith("│"))
    assert column == "".join(row["name"] for row in rows)


def test_a_users_own_class_is_explained_as_the_one_it_is_derived_from():
    model, processor = blip("BlipForConditionalGeneration")

    class Mine(type(model)):
        pass

    class Twice(Mine):
        pass

    derived = Twice(model.config).eval()
    derived.load_state_dict(model.state_dict())
    expected = mmcam.explain_caption(mmcam.wrap(model, processor), photo(40, 60), caption=CAPTION)
    found = mmcam.explain_caption(mmcam.wrap(derived, processor), photo(40, 60), caption=CAPTION)
    assert torch.equal(found.whole.values, expected.whole.values)


def test_a_class_of_the_library_is_not_taken_for_one_it_happens_to_be_derived_from():
    from transformers import BlipForConditionalGeneration

    other = type("OtherForConditionalGeneration", (BlipForConditionalGeneration,), {"__module__": "transformers.other"})
    model, processor = blip("BlipForConditionalGeneration")
    with pytest.raises(ExplainError, match="no adapter for OtherForConditionalGeneration"):
        mmcam.wrap(other(model.config), processor)


def test_peft_compiled_and_parallel_wrappers_are_seen_through():
    """LoRA's layers count: a trained adapter changes the map, and the map is that of the merged model."""
    peft = pytest.importorskip("peft")
    model, processor = vit()
    picture = photo(40, 60)
    plain = mmcam.explain_class(mmcam.wrap(model, processor), picture, "dog")
    config = peft.LoraConfig(target_modules=["q_proj", "v_proj", "query", "value"], r=2, init_lora_weights=False)
    tuned = peft.get_peft_model(model, config).eval()
    found = mmcam.explain_class(mmcam.wrap(torch.compile(nn.DataParallel(tuned)), processor), picture, "dog")
    assert not torch.allclose(found.values, plain.values, atol=1e-6)
    merged = mmcam.explain_class(mmcam.wrap(tuned.merge_and_unload(), processor), picture, "dog")
    torch.testing.assert_close(found.values, merged.values, rtol=1e-4, atol=1e-7)
    assert found.score == pytest.approx(merged.score, abs=1e-5)


def test_a_learned_prompt_is_refused():
    class Prompted(nn.Module):
        def __init__(self):
            super().__init__()
            self.peft_config = {"default": type("Config", (), {"is_prompt_learning": True})()}

        def get_base_model(self):
            raise AssertionError("the prompt would be lost")

    with pytest.raises(ExplainError, match="puts a learned prompt before its text"):
        mmcam.wrap(Prompted(), object())
