"""The atlas of a layer: what it shows is what the units do, its texts are texts, and a browser opens it from disk."""

import base64
import io
import json
import re
import shutil
import subprocess
from collections import Counter
from dataclasses import replace
from html import unescape
from html.parser import HTMLParser

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torch.nn import functional as F

from mmcam import ExplainError, PictureError, Preprocess
from mmcam.datasets.concepts import Concept
from mmcam.image import Geometry
from mmcam.neurons.dissect import dissect
from mmcam.neurons.dissection import Dissection
from mmcam.report import atlas as room
from mmcam.report.atlas import atlas
from mmcam.report.page import short
from mmcam.report.spotlight import regions, spotlight, thumbnail

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
in_browser = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium to open the page")
SQUASH = Preprocess(size=(32, 32), mode="squash", mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))
ODD = "<b>&\"'"
CONCEPTS = (Concept(ODD, "colour"), Concept("green", "colour"), Concept("Blue", "colour"), Concept("left", "<i>half"))
SIZES = [(48, 48), (60, 40), (40, 60), (240, 160), (48, 32), (50, 50), (64, 64), (30, 90)]  # (width, height)
DEAD, FAINT = 3, 5


class Blocks:
    """Bright grey pictures with a red, a green and a blue block, which are its concepts."""

    name = "blocks <script>alert(1)</script>"
    concepts = CONCEPTS

    def __init__(self, broken=()):
        self.broken, self.read = broken, []

    def __len__(self):
        return len(SIZES)

    def draw(self, index):
        random = np.random.default_rng(index)
        width, height = SIZES[index]
        labels = np.zeros((height, width), np.int64)
        for number in (1, 2, 3):
            top, left = random.integers(0, height - height // 4), random.integers(0, width - width // 4)
            labels[top : top + height // 4, left : left + width // 4] = number
        colours = np.array([[220, 220, 220], [255, 170, 170], [170, 255, 170], [170, 170, 255]])
        pixels = colours[labels] - random.integers(0, 12, (height, width, 1))
        return Image.fromarray(pixels.astype(np.uint8)), labels

    def picture(self, index):
        self.read.append(index)
        if index in self.broken:
            raise PictureError(f"Picture {index} is broken; mend it.")
        return self.draw(index)[0]

    def labels(self, index):
        labels = self.draw(index)[1]
        return [labels, np.where(np.arange(labels.shape[1]) < labels.shape[1] // 2, 4, 0)[None].repeat(len(labels), 0)]


class Eyes(nn.Module):
    """Units that see red, green and blue, one that sees nothing, one below 0, and one of noise."""

    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(nn.AvgPool2d(4), nn.Conv2d(3, 6, 1))
        self.head = nn.Linear(6, 2)
        self.rows = 0
        with torch.no_grad():
            weight = torch.tensor([[1, -1, -1], [-1, 1, -1], [-1, -1, 1], [0, 0, 0], [-0.5, 0, 0], [0.3, 0.2, -0.7]])
            self.features[1].weight.copy_(weight[:, :, None, None])
            self.features[1].bias.copy_(torch.tensor([3.0, 3.0, 3.0, 0.0, -1.0, 0.0]))

    def forward(self, x):
        self.rows += len(x)
        return self.head(self.features(x).mean((2, 3)))


class Page(HTMLParser):
    """The cards of a page in order, their texts and pictures, and everything the page would load."""

    def __init__(self, html):
        super().__init__()
        self.cards, self.loaded, self.open, self.tags, self.text = [], [], [], Counter(), []
        self.feed(html)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.tags[tag] += 1
        self.loaded += [attrs[name] for name in ("src", "srcset", "action", "data") if name in attrs]
        if tag == "article":
            self.cards.append({**attrs, "text": [], "images": [], "peaks": []})
        if tag == "img":
            self.cards[-1]["images"].append(attrs)
        if tag not in ("meta", "link", "img", "input"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if not data.strip() or self.open[-1] in ("script", "style"):
            return
        if "article" in self.open:
            self.cards[-1]["text"].append(" ".join(data.split()))
            if self.open[-1] == "figcaption":
                self.cards[-1]["peaks"].append(data)
        else:
            self.text.append(" ".join(data.split()))


@pytest.fixture(scope="module")
def model():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Eyes().eval()


@pytest.fixture(scope="module")
def dissection(model):
    return dissect(model, Blocks(), "features", quantile=0.05, preprocess=SQUASH, exemplars=5)


@pytest.fixture(scope="module")
def path(model, dissection, tmp_path_factory):
    made = tmp_path_factory.mktemp("atlas") / "below" / "atlas.html"
    assert atlas(dissection, model, Blocks(), made, exemplars=4, preprocess=SQUASH) == made
    assert [file.name for file in made.parent.iterdir()] == ["atlas.html"]
    return made


@pytest.fixture(scope="module")
def cards(path):
    return {int(card["data-unit"]): card for card in Page(path.read_text("utf-8")).cards}


def decode(image):
    kind, content = image["src"].split(",")
    assert kind == "data:image/webp;base64"
    return Image.open(io.BytesIO(base64.b64decode(content)))


def test_every_unit_has_a_card_with_its_numbers(cards, dissection):
    assert sorted(cards) == list(range(6))
    assert list(cards) == dissection.iou.amax(1).argsort(descending=True, stable=True).tolist()
    for unit, card in cards.items():
        concept, iou = dissection.best(unit)
        named = iou > 0.04
        assert card["id"] == f"unit-{unit}"
        assert float(card["data-iou"]) == iou
        assert card["data-name"] == (concept.name if named else "")
        assert card["data-category"] == (concept.category if named else "")
        assert ("unnamed" in card["class"]) == (not named)
        assert card["text"][0] == (concept.name if named else "unnamed")
        assert f"{iou:.3f}" in card["text"]
        for category in dissection.categories if unit != DEAD else ():
            best, value = dissection.best(unit, category)
            at = card["text"].index(category, card["text"].index(f"unit {unit}"))
            assert card["text"][at + 1] == (f"{best.name} {value:.3f}" if value > 0 else "—")
    assert cards[0]["data-name"] == ODD
    assert cards[1]["data-name"] == "green"
    assert cards[DEAD]["data-name"] == ""


def test_pictures_are_the_units_strongest_with_their_peaks(cards, dissection):
    for unit, card in cards.items():
        if unit == DEAD:
            continue
        shown = [int(re.search(r"\d+", image["title"])[0]) for image in card["images"]]
        assert shown == dissection.exemplars[unit, :4].tolist()
        assert card["peaks"] == [short(peak) for peak in dissection.peaks[unit, :4].tolist()]
        for image, index in zip(card["images"], shown, strict=True):
            assert decode(image).size == (int(image["width"]), int(image["height"]))
            assert decode(image).size == ((160, 107) if SIZES[index] == (240, 160) else SIZES[index])
            assert image["loading"] == "lazy"
            assert image["alt"] == f"Picture {index}, clear where unit {unit} is active"


def test_pictures_are_clear_where_the_unit_is_active_and_dimmed_elsewhere(cards, dissection, model):
    seen = 0
    for unit, card in cards.items():
        for image in card["images"]:
            index = int(re.search(r"\d+", image["title"])[0])
            picture = Blocks().draw(index)[0]
            if max(picture.size) > 160:
                continue
            small = np.asarray(picture.resize((32, 32), Image.Resampling.BILINEAR)).transpose(2, 0, 1)
            x = (torch.from_numpy(small.copy()).float() / 255 - 0.5) / 0.25
            with torch.no_grad():
                maps = model.features(x[None])
            full = F.interpolate(maps, picture.size[::-1], mode="bilinear", align_corners=False)[0, unit]
            active = (full > dissection.thresholds[unit]).numpy()
            shown = np.asarray(decode(image).convert("L")).astype(float)
            light = np.asarray(picture.convert("L")).astype(float)
            clear = np.abs(shown - light) < np.abs(shown - 0.35 * light)
            assert (clear == active).mean() > 0.97
            assert active.any()
            seen += 1
    assert seen >= 10


def test_a_large_picture_is_cut_before_it_is_made_small():
    geometry = Geometry((320, 160), (32, 32), (32 / 320, 32 / 160))
    cam = torch.zeros(1, 8, 8)
    cam[0, 2, 3] = 1
    (active,) = regions(cam, geometry, torch.tensor([0.5]))
    full = F.interpolate(cam[None], (320, 160), mode="bilinear", align_corners=False)[0, 0] > 0.5
    np.testing.assert_array_equal(active, full.numpy())
    shown = np.asarray(spotlight(thumbnail(Image.new("RGB", (160, 320), "white")), active))[..., 0]
    share = F.avg_pool2d(full[None, None].float(), 2)[0, 0].numpy()
    assert len(np.unique(share)) > 2
    np.testing.assert_allclose(shown, 255 * (share + 0.35 * (1 - share)), atol=2)


def test_what_a_crop_hides_is_active_nowhere():
    preprocess = Preprocess(size=(32, 32), mode="crop", resize=32)
    _, geometry = preprocess(Image.new("RGB", (96, 32)))
    (active,) = regions(torch.full((1, 4, 4), -1.0), geometry, torch.tensor([-2.0]))
    expected = np.zeros((32, 96), bool)
    expected[:, 32:64] = True
    np.testing.assert_array_equal(active, expected)


def test_a_unit_that_is_never_active_is_shown_without_pictures(cards):
    assert cards[DEAD]["images"] == []
    assert cards[DEAD]["text"][-1] == "Never active: in no picture above its threshold of 0.00."


def test_pictures_in_which_a_unit_is_not_active_are_left_out(dissection, model, tmp_path):
    thresholds = dissection.thresholds.clone()
    thresholds[0] = dissection.peaks[0, 1]  # only the strongest is above
    made = atlas(replace(dissection, thresholds=thresholds), model, Blocks(), tmp_path / "a.html", preprocess=SQUASH)
    found = {int(card["data-unit"]): len(card["images"]) for card in Page(made.read_text("utf-8")).cards}
    assert found == {0: 1, 1: 5, 2: 5, DEAD: 0, 4: 5, 5: 5}


def test_fewer_pictures_than_asked_for_are_no_hindrance(model, tmp_path):
    class Two(Blocks):
        def __len__(self):
            return 2

    few = dissect(model, Two(), "features", quantile=0.05, preprocess=SQUASH, exemplars=5)
    assert (few.exemplars[:, 2:] == -1).all()
    found = Page(atlas(few, model, Two(), tmp_path / "a.html", preprocess=SQUASH).read_text("utf-8"))
    assert [len(card["images"]) for card in found.cards if int(card["data-unit"]) != DEAD] == [2] * 5


def test_every_picture_is_read_and_run_once(dissection, model, tmp_path, monkeypatch):
    data = Blocks()
    monkeypatch.setattr(model, "rows", 0)
    atlas(dissection, model, data, tmp_path / "a.html", exemplars=4, preprocess=SQUASH, batch=3)
    alive = [unit for unit in range(6) if unit != DEAD]
    wanted = set(dissection.exemplars[alive, :4].flatten().tolist())
    assert sorted(data.read) == sorted(wanted)
    assert model.rows == len(wanted)


def test_little_memory_and_small_batches_make_the_same_page(dissection, model, path, tmp_path, monkeypatch):
    sizes = []
    monkeypatch.setattr(room, "PIXELS", 2 * 50 * 50)
    monkeypatch.setattr(room, "regions", lambda maps, *rest: sizes.append(maps.shape[0]) or regions(maps, *rest))
    again = atlas(dissection, model, Blocks(), tmp_path / "a.html", exemplars=4, preprocess=SQUASH, batch=1)
    assert again.read_bytes() == path.read_bytes()
    assert max(sizes) == 2


def test_a_picture_that_cannot_be_read_any_more_is_said_to_be_so(dissection, model, tmp_path):
    broken = int(dissection.exemplars[0, 1])
    made = atlas(dissection, model, Blocks(broken=[broken]), tmp_path / "a.html", preprocess=SQUASH)
    (card,) = (card for card in Page(made.read_text("utf-8")).cards if card["data-unit"] == "0")
    assert len(card["images"]) == 4
    assert len(card["peaks"]) == 5
    assert f"picture {broken} cannot be read" in card["text"]


def test_the_page_stands_alone_and_its_texts_are_only_texts(path, dissection):
    html = path.read_text("utf-8")
    found = Page(html)
    assert html.startswith("<!doctype html>")
    assert all(address.startswith("data:") for address in found.loaded)
    assert not any(outside in html for outside in ("http:", "https:", "url(", "@import"))
    assert "repeat(4, minmax(0, 1fr))" in html  # as many pictures side by side as there are at most
    assert found.tags["script"] == found.tags["style"] == 1
    assert found.tags["b"] == 1 + 6  # of the head and of each IoU
    assert found.tags["i"] == 2 + len(
        {name.name for name in dissection.names().units.values()}
    )  # bars, of categories and concepts
    assert Blocks.name in " ".join(found.text)


def test_the_head_says_what_was_done(path, dissection):
    text = " ".join(Page(path.read_text("utf-8")).text)
    named = len(dissection.names().units)
    for said in (
        "Units of features, Eyes",
        f"{named} of 6 units",
        "one of 4 labelled concepts",
        "in the 5 % of all places",
        "Layer features, 6 maps of 8×8",
        f"Data {Blocks.name}",
        "Pictures 8",
        "Quantile 0.05",
        f"Made by mmcam {dissection.version}",
    ):
        assert said in text


@pytest.mark.parametrize("above", [0, 3])
def test_bars_count_units_and_lead_to_the_best(dissection, model, tmp_path, above):
    strongest = dissection.iou.amax(1).argsort(descending=True, stable=True).tolist()
    threshold = float(dissection.iou[strongest[above]].max()) if above else 0.04
    made = atlas(dissection, model, Blocks(), tmp_path / "a.html", threshold=threshold, preprocess=SQUASH)
    form = r'<span class="what">(.*?)</span>.*?<i style="width:([\d.]+)%">.*?<span class="count">(\d+)</span>'
    bars = re.findall(form, made.read_text("utf-8"), re.S)
    names = dissection.names(threshold).units
    detectors = dissection.detectors(threshold)
    counts = Counter((name.name, name.category) for name in names.values())
    heights = [*detectors.values(), *sorted(counts.values(), reverse=True)]
    assert [int(count) for _, _, count in bars] == heights
    most = [max(detectors.values())] * len(detectors) + [max(counts.values())] * len(counts)
    assert [float(width) for _, width, _ in bars] == pytest.approx(
        [100 * count / top for count, top in zip(heights, most, strict=True)], abs=0.05
    )
    for text, _, count in bars:
        link = re.search(r'href="#unit-(\d+)" data-category="(.*?)" data-name="(.*?)"', text)
        assert (link is None) == (count == "0")
        if link:
            unit, category, name = int(link[1]), unescape(link[2]), unescape(link[3])
            of = [u for u in strongest if u in names and names[u].category == category]
            assert unit == next(u for u in of if name in ("", names[u].name))


def test_without_a_script_the_page_lists_every_unit(path):
    html = re.sub(r"<script>.*</script>", "", path.read_text("utf-8"), flags=re.S)
    found = Page(html)
    assert len(found.cards) == 6
    assert not any("hidden" in card for card in found.cards)
    assert '<form id="controls" hidden' in html  # what needs the script is not shown without it
    targets = re.findall(r'href="#([^"]+)"', html)
    assert len(targets) > 6
    assert set(targets) <= {card["id"] for card in found.cards}


def test_a_threshold_above_all_leaves_every_unit_unnamed(dissection, model, tmp_path):
    html = atlas(dissection, model, Blocks(), tmp_path / "a.html", threshold=1.0, preprocess=SQUASH).read_text("utf-8")
    assert all("unnamed" in card["class"] for card in Page(html).cards)
    assert "0 of 6 units" in " ".join(Page(html).text)
    assert "Units per category" not in html


def test_the_model_and_its_settings_are_left_as_found(dissection, tmp_path):
    model = Eyes().train()
    state = {name: value.clone() for name, value in model.state_dict().items()}
    random = torch.get_rng_state()
    atlas(dissection, model, Blocks(), tmp_path / "a.html", preprocess=SQUASH)
    assert model.training
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    assert not model.features._forward_hooks
    assert torch.equal(random, torch.get_rng_state())


def test_within_inference_mode_too(dissection, model, path, tmp_path):
    with torch.inference_mode():
        made = atlas(dissection, model, Blocks(), tmp_path / "a.html", exemplars=4, preprocess=SQUASH)
    assert made.read_bytes() == path.read_bytes()


def test_other_weights_are_refused(dissection, tmp_path):
    other = Eyes()
    with torch.no_grad():
        other.features[1].bias += 0.01
    with pytest.raises(ExplainError, match="made with other weights than this Eyes has; pass the model"):
        atlas(dissection, other, Blocks(), tmp_path / "a.html", preprocess=SQUASH)
    assert not list(tmp_path.iterdir())


def test_other_data_are_refused(dissection, model, tmp_path):
    data = Blocks()
    data.name = "others"
    with pytest.raises(ExplainError, match="its pictures are not those of others; pass the data"):
        atlas(dissection, model, data, tmp_path / "a.html", preprocess=SQUASH)


def test_other_pictures_and_other_preprocessing_are_refused(dissection, model, tmp_path):
    class Shifted(Blocks):
        def picture(self, index):
            return super().picture((index + 1) % len(SIZES)).point(lambda value: 255 - value)

    with pytest.raises(ExplainError, match="not as strong in these pictures"):
        atlas(dissection, model, Shifted(), tmp_path / "a.html", preprocess=SQUASH)
    brighter = replace(SQUASH, mean=(0.3, 0.3, 0.3))
    with pytest.raises(ExplainError, match="not as strong in these pictures"):
        atlas(dissection, model, Blocks(), tmp_path / "a.html", preprocess=brighter)
    assert not list(tmp_path.iterdir())


def test_no_exemplars_are_refused(dissection, model, tmp_path):
    with pytest.raises(ExplainError, match="exemplars=0 leaves no picture"):
        atlas(dissection, model, Blocks(), tmp_path / "a.html", exemplars=0, preprocess=SQUASH)


@pytest.mark.parametrize(
    ("value", "text"), [(15.0, "15.0"), (123.4, "123"), (0.01234, "0.0123"), (-2.5, "−2.50"), (0.0, "0.00")]
)
def test_peaks_have_three_digits(value, text):
    assert short(value) == text


def drive(path, folder, steps, address=""):
    """Open the page from disk, do something, and hand back what `steps`, the body of a function, returns."""
    script = f"""<script>
      const shown = () => cards.length && [...units.children].filter((c) => !c.hidden).map((c) => +c.dataset.unit);
      const set = (name, value) => {{
        const field = form.elements[name];
        if (field.type === "checkbox") field.checked = value; else field.value = value;
        field.dispatchEvent(new Event("input", {{ bubbles: true }}));
        return shown();
      }};
      (async () => {{
        const said = await (async () => {{ {steps} }})();
        const out = document.createElement("pre");
        out.id = "said";
        out.textContent = JSON.stringify(said);
        document.body.append(out);
      }})();
    </script>"""
    copy = folder / "copy.html"
    copy.write_text(path.read_text("utf-8").replace("</body>", script + "</body>"), "utf-8")
    options = ("--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder / 'profile'}", "--dump-dom")
    options += ("--enable-logging=stderr", "--virtual-time-budget=5000")
    ran = subprocess.run([CHROMIUM, *options, copy.as_uri() + address], capture_output=True, timeout=120, check=True)
    assert b"CONSOLE" not in ran.stderr
    return json.loads(unescape(re.search(r'<pre id="said">(.*?)</pre>', ran.stdout.decode(), re.S)[1]))


def by_name(dissection):
    """Units by name, those without one last."""
    names = dissection.names().units
    iou = dissection.iou.amax(1).tolist()
    return sorted(range(6), key=lambda u: (u not in names, names[u].name if u in names else "", -iou[u], u))


@in_browser
def test_a_browser_searches_filters_and_sorts(path, dissection, tmp_path):
    names = dissection.names().units
    strongest = dissection.iou.amax(1).argsort(descending=True, stable=True).tolist()
    steps = f"""
      const said = {{ first: shown(), form: form.hidden, count: form.elements.count.value }};
      said.unit = set("sort", "unit");
      said.name = set("sort", "name");
      said.iou = set("sort", "iou");
      said.odd = set("find", {json.dumps(ODD.upper())});
      said.address = decodeURIComponent(location.hash);
      said.number = set("find", "3");
      said.none = set("find", "zebra");
      said.nothing = getComputedStyle(document.getElementById("nothing")).display;
      said.counted = form.elements.count.value;
      said.whole = set("find", '"gree"');
      said.exact = set("find", '"Green"');
      said.blue = set("find", "blue");
      set("find", "");
      said.named = set("named", true);
      set("named", false);
      said.colour = set("category", "colour");
      const bar = [...document.querySelectorAll(".chart a")].find((a) => a.dataset.name === {json.dumps(ODD)});
      bar.click();
      said.bar = shown();
      return said;
    """
    said = drive(path, tmp_path, steps)
    assert said["form"] is False
    assert said["count"] == "6 of 6 units"
    assert said["first"] == said["iou"] == strongest
    assert said["unit"] == list(range(6))
    assert said["name"] == by_name(dissection)
    detects = [u for u in strongest if dissection.iou[u, 0] > 0.04 and dissection.best(u, "colour")[0].name == ODD]
    assert said["odd"] == detects
    assert 0 in detects
    assert said["address"].startswith("#find=<B>&")
    assert said["number"] == [3]
    assert said["none"] == said["whole"] == []
    assert said["nothing"] == "block"
    assert said["counted"] == "0 of 6 units"
    assert said["exact"] == [u for u in strongest if u in names and names[u].name == "green"]
    assert said["blue"] == [u for u in strongest if dissection.best(u, "colour")[0].name == "Blue" and u in names]
    assert said["blue"]
    assert said["named"] == [u for u in strongest if u in names]
    assert len(said["named"]) < 6
    assert said["colour"] == [u for u in strongest if u in names and names[u].category == "colour"]
    assert said["bar"] == [u for u in strongest if u in names and names[u].name == ODD]


@in_browser
def test_a_browser_shows_every_picture(path, tmp_path):
    steps = """
      const images = [...document.images];
      for (const image of images) image.loading = "eager";
      await Promise.all(images.map((image) => image.decode()));
      return images.map((image) => [image.naturalWidth, +image.getAttribute("width")]);
    """
    widths = drive(path, tmp_path, steps)
    assert len(widths) == 20
    assert all(natural == said > 0 for natural, said in widths)


@in_browser
@pytest.mark.parametrize("address", ["#unit-4", "#sort=nonsense&category=nonsense", "#sort=unit&named=1", "#%zz"])
def test_a_browser_follows_the_address(path, dissection, tmp_path, address):
    strongest = dissection.iou.amax(1).argsort(descending=True, stable=True).tolist()
    steps = """
      await new Promise((done) => setTimeout(done, 200));
      const said = { shown: shown(), target: document.querySelector(":target")?.id ?? "" };
      set("category", "colour");
      set("find", "zebra");
      location.hash = "#unit-3";
      await new Promise((done) => setTimeout(done, 200));
      const box = document.getElementById("unit-3").getBoundingClientRect();
      return { ...said, after: shown(), inside: box.top >= 0 && box.bottom <= innerHeight };
    """
    said = drive(path, tmp_path, steps, address)
    assert said["target"] == ("unit-4" if address == "#unit-4" else "")
    named = sorted(dissection.names().units)
    assert said["shown"] == (named if "named" in address else strongest)
    assert sorted(said["after"]) == list(range(6))  # a unit that a filter hid is shown when it is asked for
    assert said["inside"]


def test_a_dissection_from_disk_makes_the_same_page(dissection, model, path, tmp_path):
    dissection.save(tmp_path / "d")
    loaded = Dissection.load(tmp_path / "d")
    again = atlas(loaded, model, Blocks(), tmp_path / "a.html", exemplars=4, preprocess=SQUASH)
    assert again.read_bytes() == path.read_bytes()
