"""Pictures of results are small files, and still show what was drawn."""

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from experiments.lib import sheets


def test_a_sheet_is_webp_no_wider_than_a_page(tmp_path):
    ramp = np.linspace(0, 255, 2000).astype(np.uint8)
    drawn = Image.fromarray(np.broadcast_to(ramp, (500, 2000)).copy())
    with Image.open(sheets.keep_sheet(tmp_path / "below" / "ramp.webp", drawn)) as kept:
        assert (kept.format, kept.size) == ("WEBP", (1600, 400))
        np.testing.assert_allclose(np.asarray(kept)[200, ::100, 0], ramp[::125], atol=6)


def test_a_sheet_of_noise_is_kept_in_a_lower_quality_or_refused(tmp_path, monkeypatch):
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 255, (400, 400, 3), dtype=np.uint8))
    best = sheets.keep_sheet(tmp_path / "best.webp", noise).stat().st_size
    monkeypatch.setattr(sheets, "LARGEST", best - 1)
    assert sheets.keep_sheet(tmp_path / "less.webp", noise).stat().st_size < best
    monkeypatch.setattr(sheets, "LARGEST", 1000)
    with pytest.raises(ValueError, match=r"none.webp takes .* bytes, over 1,000; draw fewer or smaller panels"):
        sheets.keep_sheet(tmp_path / "none.webp", noise)
    assert not (tmp_path / "none.webp").exists()


def test_a_plot_has_few_colours(tmp_path):
    plot = Figure(figsize=(4, 2))
    plot.subplots().plot([0, 1, 0], color="C3")
    plot.savefig(tmp_path / "full.png", dpi=50)
    with Image.open(tmp_path / "full.png") as full, Image.open(sheets.keep_plot(tmp_path / "few.png", plot, 50)) as few:
        assert (few.mode, few.size) == ("P", (200, 100))
        np.testing.assert_allclose(*(np.asarray(image.convert("RGB"), int) for image in (full, few)), atol=8)
