"""Noise that fools: as another library finds it, as small as told, and given up where there is none."""

import json
from copy import deepcopy

import numpy as np
import pytest
import torch
from browser import Browser, needs_chromium
from colours import Colours, mask, squares, table
from PIL import Image
from tiny import VQA, Captioner, network, seeded
from torch import nn
from typer.testing import CliRunner

import mmcam
from mmcam.cli import app
from mmcam.diagnosis.attack import run
from mmcam.diagnosis.attack.asks import in_pixels, input_of, of_class, pixels_of
from mmcam.diagnosis.attack.noise import NOISES, STEPS, Noise, add_noise, drawn_start, noise_of
from mmcam.diagnosis.attack.page import write_attack
from mmcam.diagnosis.attack.run import attack, attack_text, report_of
from mmcam.diagnosis.attack.study import noisy
from mmcam.diagnosis.attack.subjects import answer_subject, class_subject, word_subject
from mmcam.diagnosis.labelled import LabelledPicture, read_labelled
from mmcam.errors import ExplainError

PREPROCESS = mmcam.Preprocess(size=(64, 64), mode="squash")


def logits(output):
    return output


@pytest.fixture
def x():
    pixels = torch.randint(0, 256, (64, 64, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    return PREPROCESS(Image.fromarray(pixels.numpy()))[0]


def fooled(model, x, wrong, true, several=False, noise=NOISES["sign"], seed=0):
    pixels = pixels_of(x[None], PREPROCESS)
    ask = in_pixels(of_class(model, logits, wrong, true, several), PREPROCESS)
    return add_noise(ask, pixels, noise, drawn_start(pixels, noise, seed)), pixels


@pytest.mark.parametrize("name", NOISES)
def test_the_network_is_sure_of_what_is_not_there(x, name):
    model = network("resnet18", 10)
    before = int(model(x[None]).argmax())
    wrong = (before + 3) % 10
    made, pixels = fooled(model, x, wrong, [before], noise=NOISES[name])
    noise = input_of(made.pixels, PREPROCESS)
    assert model(noise).softmax(1)[0, wrong] > 0.9999
    assert 0 < int(made.steps) <= STEPS
    largest = int((made.pixels - pixels).abs().max())
    assert largest <= (int(made.steps) if name == "sign" else 8)
    # The picture survives a file of 8 bits a value, and is as far from the clean one as told.
    held, _ = PREPROCESS(PREPROCESS.denormalise(noise[0]))
    assert torch.allclose(held, noise[0], atol=1e-5)
    a, b = (np.asarray(PREPROCESS.denormalise(one), dtype=int) for one in (x, noise[0]))
    assert np.abs(a - b).max() == largest


def test_where_several_can_be_there_all_of_them_go(x):
    class Several(nn.Module):
        """Four logits, each the mean of a quarter of the picture."""

        def forward(self, pictures):
            return 40 * nn.functional.adaptive_avg_pool2d(pictures.mean(1), (2, 2)).flatten(1)

    made, _ = fooled(Several(), x, 3, [0, 1], several=True)
    p = Several()(input_of(made.pixels, PREPROCESS)).sigmoid()[0]
    assert p[3] > 0.9999
    assert p[:2].max() < 1e-4


def test_one_that_cannot_be_fooled_is_given_up(x):
    class Stubborn(nn.Module):
        def forward(self, pictures):
            return pictures.mean((1, 2, 3))[:, None] * 1e-6 + torch.tensor([[5.0, 0.0]])

    made, _ = fooled(Stubborn(), x, 1, [0])
    assert int(made.steps) == STEPS
    assert not made.said.fooled
    assert Stubborn()(input_of(made.pixels, PREPROCESS)).softmax(1)[0, 1] < 0.1


def test_each_of_a_batch_stops_by_itself(x):
    model = deepcopy(network("resnet18", 10)).double()
    both = torch.stack([x, x.flip(2)]).double()
    x = both[0]
    wrong = (int(model(x[None]).argmax()) + 3) % 10
    ask = in_pixels(of_class(model, logits, wrong, [0], False), PREPROCESS)
    together = add_noise(ask, pixels_of(both, PREPROCESS), Noise())
    for n in range(2):
        alone = add_noise(ask, pixels_of(both[n : n + 1], PREPROCESS), Noise())
        assert int(alone.steps) == int(together.steps[n])
        assert torch.equal(alone.pixels[0], together.pixels[n])


class Attacked(nn.Module):
    """A network as torchattacks wants it: of pictures from 0 to 1."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, pictures):
        return self.model(input_of(255 * pictures, PREPROCESS))


@pytest.mark.parametrize("name", ["sign", "pgd"])
def test_it_is_the_noise_that_torchattacks_finds(x, name):
    torchattacks = pytest.importorskip("torchattacks", reason="pip install --no-deps torchattacks==3.5.1")
    model = deepcopy(network("resnet18", 10)).double()  # else a sign flips where a gradient is nearly 0
    x = x.double()
    wrong = (int(model(x[None]).argmax()) + 3) % 10
    pixels = pixels_of(x[None], PREPROCESS)
    steps, start = 6, None
    if name == "sign":
        theirs = torchattacks.BIM(Attacked(model).eval(), eps=1, alpha=1 / 255, steps=steps)
        noise = Noise(steps=steps)
    else:
        theirs = torchattacks.PGD(Attacked(model).eval(), eps=8 / 255, alpha=2 / 255, steps=steps, random_start=True)
        noise = Noise(steps=steps, step=2, radius=8, random_start=True)
        with torch.random.fork_rng():
            torch.manual_seed(3)
            start = 255 * torch.empty_like(pixels).uniform_(-8 / 255, 8 / 255)
    theirs.set_mode_targeted_by_label(quiet=True)
    torch.manual_seed(3)
    expected = theirs(pixels / 255, torch.tensor([wrong]))

    def ask(pictures):
        said = in_pixels(of_class(model, logits, wrong, [0], False), PREPROCESS)(pictures)
        return said._replace(fooled=torch.zeros_like(said.fooled))  # theirs does not stop

    made = add_noise(ask, pixels, noise, start)
    torch.testing.assert_close(made.pixels / 255, expected, atol=1e-6, rtol=0)


@pytest.fixture
def photos(tmp_path):
    rows = []
    for name, colour, side in (("a", "red", 9), ("b", "green", 9), ("c", "blue", 9)):
        squares(
            tmp_path / f"{name}.png", (colour, 3, 3, side), ("red" if colour != "red" else "blue", 20, 20, 6), ground=30
        )
        mask(tmp_path / f"{name}-mask.png", 3, 3, side)
        rows.append({"picture": f"{name}.png", "class": colour, "mask": f"{name}-mask.png"})
    rows.append({"picture": "a.png", "class": "green", "mask": "a-mask.png"})
    (tmp_path / "d.png").write_bytes(b"no")
    rows.append({"picture": "d.png", "class": "red", "mask": ""})
    return table(tmp_path / "photos.csv", *rows)


def test_the_maps_of_what_is_there_before_and_after(photos, tmp_path):
    model = Colours()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    pictures = read_labelled(photos).pictures
    records, sheet = attack(
        model, photos, pictures, Noise(steps=255), tmp_path / "out", methods=["gradcam", "gradient"]
    )
    report = report_of(records, ["gradcam", "gradient"])
    assert (report.pictures, report.fooled, len(report.skipped)) == (3, 3, 1)
    assert records[0]["wrong"] == "blue", "green is said to be there, too"
    gradcam = report.rows[0]
    assert (gradcam.before.value, gradcam.centre.value) == (1, 0)
    assert report.true[0].value > 0.5 > 1e-4 > report.true[1].value
    assert sheet.width > 600
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(p.grad is None for p in model.parameters())


@needs_chromium
def test_the_page_shows_both_pictures_with_their_maps(photos, tmp_path):
    model, pictures, noise = Colours(), read_labelled(photos).pictures, Noise(steps=255)
    records, _ = attack(model, photos, pictures, noise, tmp_path / "out")
    out = write_attack(tmp_path / "page.html", "Noise", records, report_of(records, ["gradcam"]), noise, ["gradcam"])
    with Browser(tmp_path) as browser:
        browser.open(out)
        cards = "[...document.querySelectorAll('article')]"
        assert browser(f"{cards}.length") == sum(len(record.get("true", ())) for record in records)
        assert browser(f"{cards}.every((a) => a.querySelectorAll('canvas').length === 2)")
        sources = "new Set([...a.querySelectorAll('img')].map((i) => i.src)).size"
        assert browser(f"{cards}.map((a) => {sources})") == [2] * browser(f"{cards}.length"), "with noise and without"
        assert browser.errors == []


def test_a_run_that_was_stopped_goes_on(photos, tmp_path, monkeypatch):
    study, seen = run.study, []

    def stopping(model, subject, *rest):
        if len(seen) == 2:
            raise KeyboardInterrupt
        seen.append(subject.picture)
        return study(model, subject, *rest)

    pictures, told = read_labelled(photos).pictures, []
    monkeypatch.setattr(run, "study", stopping)
    with pytest.raises(KeyboardInterrupt):
        attack(Colours(), photos, pictures, NOISES["pgd"], tmp_path / "out")
    monkeypatch.setattr(run, "study", study)
    with pytest.raises(ExplainError, match=r"other work \(noise differs\)"):
        attack(Colours(), photos, pictures, NOISES["sign"], tmp_path / "out")
    records, _ = attack(Colours(), photos, pictures, NOISES["pgd"], tmp_path / "out", tell=told.append)
    assert told == ["2 of 4 are done already, 2 are left."]
    again, _ = attack(Colours(), photos, pictures, NOISES["pgd"], tmp_path / "other")
    assert json.loads(json.dumps(records)) == json.loads(json.dumps(again))


def test_a_word_and_an_answer(tmp_path):
    picture = tmp_path / "a.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)).save(picture)
    captioner, vqa = seeded(Captioner), seeded(VQA)
    word = word_subject(captioner, picture, "dog", "cat")
    answer = answer_subject(vqa, picture, "what is on the grass", "two", "red")
    for model, subject in ((captioner, word), (vqa, answer)):
        ((record,), sheet) = attack_text(model, subject, Noise(), ["gradcam"])
        assert record["p wrong"][1] > record["p wrong"][0]
        assert record["p true"][0][1] < record["p true"][0][0]
        assert sheet.width > 600
    # What the noise raises is what the captioner itself gives for the caption with the other word.
    x = input_of(noisy(captioner, word, Noise()).pixels, word.preprocess)
    logs = captioner.token_log_probs(
        x, torch.tensor([captioner.encode("a cat runs the grass".replace(" the", " on the"))])
    )
    assert float(word.ask(x).wrong.detach()) == pytest.approx(float(logs[0, 1].exp().detach()))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda p: class_subject(Colours(), LabelledPicture(p, ("red",)), "red"), "class red is true of the picture"),
        (lambda p: class_subject(Colours(), LabelledPicture(p, ("crack",))), r"labels \(crack\) are none"),
        (lambda p: class_subject(Colours(), LabelledPicture(p, ("red", "green", "blue"))), "Every class of the model"),
        (lambda p: word_subject(seeded(Captioner), p, "dog", "dog"), "word dog is true"),
        (lambda p: word_subject(seeded(Captioner), p, "dog", "zebra"), "zebra"),
        (lambda p: answer_subject(seeded(VQA), p, "what", "yes", "yes"), "answer yes is true"),
        (lambda p: answer_subject(Colours(), p, "what", "yes"), "no VQA model"),
    ],
)
def test_what_cannot_be_asked_is_a_sentence(tmp_path, make, message):
    with pytest.raises(ExplainError, match=message):
        make(squares(tmp_path / "a.png", ("red", 2, 2, 9)))


def test_pictures_in_which_the_model_finds_nothing_are_a_sentence(tmp_path):
    path = squares(tmp_path / "a.png", ("red", 2, 2, 9))
    with pytest.raises(ExplainError, match="finds nothing of what is there in any of 1"):
        attack(Colours(), tmp_path, [LabelledPicture(path, ("blue",))], NOISES["sign"], tmp_path / "out")
    with pytest.raises(ExplainError, match="no noise 'fog'"):
        noise_of("fog")


def test_the_command(tmp_path):
    picture = tmp_path / "a.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (60, 60, 3), dtype=np.uint8)).save(picture)
    call = lambda *words: CliRunner().invoke(app, ["attack", str(picture), *map(str, words)])  # noqa: E731
    done = call("--model", "vignette-vqa", "--question", "what is there", "--to", "dog", "--out", tmp_path / "out")
    assert done.exit_code == 0, done.output
    assert "rank correlation" in done.output
    told = json.loads((tmp_path / "out.json").read_text())
    assert told["pictures"][0]["wrong"] == "dog"
    assert Image.open(tmp_path / "out.png").width > 600
    html = (tmp_path / "out.html").read_text()
    assert html.count("<article") == 1
    assert "cards" not in told["pictures"][0], "what the page shows is on the page alone"
    again = call("--model", "vignette-vqa", "--question", "what is there", "--to", "dog", "--out", tmp_path / "out")
    assert "is there already" in again.output
    assert call("--model", "vignette-vqa", "--question", "what is there").exit_code == 2
