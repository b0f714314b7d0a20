"""How long the web demo takes: to answer another word, and from a click to the changed picture.

The handler is timed in this process. In Chromium the page is opened by a browser that has not seen it before, and timed
until it has drawn the first map; samples are chosen that this visitor has not asked about, and that he has. A click is
timed until the viewer has drawn what came back, and beside it one on a control whose handler does nothing: what is left
of the difference is mmcam's.

    python -m experiments.checks.app_speed
"""

from __future__ import annotations

import shutil
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import typer

from experiments.lib.stamp import stamp
from experiments.lib.tables import show
from mmcam.app.asking import answer
from mmcam.app.models import Studio
from mmcam.app.samples import samples
from mmcam.app.session import Session
from mmcam.app.settings import Settings
from mmcam.app.shown import shown

ASKED: dict[str, tuple[str, list[dict[str, str]]]] = {
    "another class": (
        "class",
        [{"target": name} for name in ("cat", "dog", "goldfish", "bus", "boat", "chair", "bird")],
    ),
    "another class instead": (
        "class",
        [{"target": "cat", "contrast": name} for name in ("dog", "bus", "boat", "bird")],
    ),
    "another word of a caption of one's own": (
        "caption",
        [{"text": "a dog runs on the grass", "target": word, "contrast": "man"} for word in ("dog", "runs", "grass")],
    ),
    "another answer": ("answer", [{"target": word} for word in ("black", "white", "red", "green", "yellow")]),
}
"""By what is told in the table: the page, and what is asked one after the other of one picture."""


def main(repeats: int = 3, browser: bool = True, out: Path = Path("experiments/results")) -> None:
    """Time the web demo and write app-speed.json and .md."""
    studio, rows = Studio(), []
    for sample, drawn in (("dog-and-cat", "photograph"), ("vignette-20000123", "vignette")):
        for told, (page, forms) in ASKED.items():
            own = forms if drawn == "photograph" else _of_vignette(page, forms)
            rows.append({"picture": drawn, "asked": told, **_handler(studio, Settings(page, sample), own, repeats)})
    clicks = _clicks(repeats) if browser and shutil.which("chromium") else []
    command = f"python -m experiments.checks.app_speed --repeats {repeats}"
    report = {**stamp(command), "rows": [*rows, *({"picture": "in Chromium", **click} for click in clicks)]}
    cells = [
        [row["asked"], row["picture"], *(f"{row[name]:.0f}" for name in ("median", "worst", "cpu")), str(row["n"])]
        for row in rows
    ]
    for row in clicks:
        times = [f"{row[name]:.0f}" for name in ("median", "worst")]
        cells.append([row["asked"], "shown in Chromium", *times, "", str(row["n"])])
    columns = ("asked", "picture", "median, ms", "worst, ms", "CPU median, ms", "n")
    show(out / "app-speed", report, columns, cells, [f"`{command}`"])


def _of_vignette(page: str, forms: list[dict[str, str]]) -> list[dict[str, str]]:
    """The same of a drawn scene, in the words its models know."""
    words = {"dog": "dog", "goldfish": "fish", "chair": "house", "runs": "cat", "grass": "meadow", "man": "car"}
    if page == "caption":
        text, contrast = "a red dog and a cat on a meadow", "car"
        return [{"text": text, "target": words.get(form["target"], "dog"), "contrast": contrast} for form in forms]
    return [{name: words.get(text, text) for name, text in form.items()} for form in forms]


def _handler(studio: Studio, start: Settings, forms: list[dict[str, str]], repeats: int) -> dict[str, Any]:
    """Milliseconds from a filled-in form to what the viewer is sent."""
    took: list[tuple[float, float]] = []
    for _ in range(repeats):
        session = Session()

        def ask(form: dict[str, str], session: Session = session) -> None:
            settings = Settings(**{**vars(start), **form})
            shown(answer(studio, session, settings, session.picture(start.sample, None)), "me")

        ask({name: text for name, text in forms[0].items() if name == "text"})  # the first look is not what is timed
        for form in forms:
            took.append(_timed(lambda form=form: ask(form)))  # type: ignore[misc]
    wall = sorted(1000 * one for one, _ in took)
    return {
        "n": len(took), "median": statistics.median(wall), "worst": wall[-1],
        "cpu": statistics.median(1000 * cpu for _, cpu in took),
    }  # fmt: skip


def _timed(do: Callable[[], None]) -> tuple[float, float]:
    """Seconds by the clock, and of the processors."""
    began, cpu = time.perf_counter(), time.process_time()
    do()
    return time.perf_counter() - began, time.process_time() - cpu


def _clicks(repeats: int) -> list[dict[str, Any]]:
    """From the opened page to its first map, from a click to the changed picture, and to an empty handler's answer."""
    with _page() as page:
        opened = [_opened(page) for _ in range(4 * repeats)]
        names = [name for name in samples() if not samples()[name].drawn][1:4]
        fresh, again = ([_chosen(page, name) for name in names] for _ in range(2))
        page.click(f'#samples button[data-sample="{next(iter(samples()))}"]')
        page.wait_for_timeout(2000)
        first = _until(page, "#target-class", ["cat", "dog", "goldfish", "bus"] * repeats)
        empty = page.evaluate(_EMPTY, 4 * repeats)
    each = {
        "the page, opened to its first map": opened,
        "a sample that is new to the visitor": fresh,
        "a sample asked about before": again,
        "another class, typed": first,
        "an empty handler": empty,
    }
    return [{"asked": told, "n": len(took), "median": statistics.median(took), "worst": max(took)}
            for told, took in each.items()]  # fmt: skip


_EMPTY = """async (n) => {
  const took = [];
  for (let i = 0; i < n; i++) {
    const field = document.querySelector('#emptied textarea, #emptied input'), before = field.value;
    const began = performance.now();
    document.querySelector('#empty').click();
    while (field.value === before) await new Promise((go) => setTimeout(go, 4));
    took.push(performance.now() - began);
  }
  return took;
}"""


def _opened(page: Any) -> float:
    """Milliseconds from the request for the page to its first map, in a browser that has kept nothing of it."""
    with page.context.browser.new_context() as context:
        fresh = context.new_page()
        fresh.goto(page.url)
        fresh.wait_for_selector(".mm-viewer[data-at]")
        fresh.wait_for_selector(".frame canvas")
        return float(fresh.get_attribute(".mm-viewer", "data-at"))


def _chosen(page: Any, sample: str) -> float:
    """Milliseconds from a click on a sample to its map."""
    before = page.get_attribute(".mm-viewer", "data-key")
    began = page.evaluate("() => performance.now()")
    page.click(f'#samples button[data-sample="{sample}"]')
    page.wait_for_function("before => document.querySelector('.mm-viewer').dataset.key !== before", arg=before)
    took = float(page.get_attribute(".mm-viewer", "data-at")) - began
    page.wait_for_timeout(1500)  # until what may be chosen has been filled in
    return took


def _until(page: Any, field: str, texts: list[str]) -> list[float]:
    """Milliseconds from Enter in a field to the picture drawn anew."""
    took = []
    for text in texts:
        page.locator(f"{field} input").click()
        page.locator(f"{field} input").fill(text)
        page.wait_for_timeout(300)  # the list of what is alike
        before = page.get_attribute(".mm-viewer", "data-key")
        began = page.evaluate("() => performance.now()")
        page.locator(f"{field} input").press("Enter")
        page.wait_for_function("before => document.querySelector('.mm-viewer').dataset.key !== before", arg=before)
        took.append(float(page.get_attribute(".mm-viewer", "data-at")) - began)
    return took


@contextmanager
def _page() -> Iterator[Any]:
    """The web demo in Chromium, with a button whose handler counts and does nothing else."""
    import gradio as gr
    from playwright.sync_api import sync_playwright

    from mmcam.app import launch, page

    build = page.build

    def with_empty(studio: Studio) -> Any:
        blocks, desk = build(studio)
        with blocks:
            count, button = gr.Textbox("0", elem_id="emptied"), gr.Button("empty", elem_id="empty")
            button.click(
                lambda text: str(int(text) + 1), count, count, show_progress="hidden", api_visibility="private"
            )
        return blocks, desk

    page.build = with_empty
    served = launch.serve(wait=False)
    try:
        with sync_playwright() as driver:
            browser = driver.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
            opened = browser.new_page()
            opened.goto(served.local_url)
            opened.wait_for_selector(".mm-viewer[data-key]")
            opened.wait_for_timeout(20_000)  # until methods and layers have been tried
            yield opened
            browser.close()
    finally:
        page.build = build
        served.close(verbose=False)


if __name__ == "__main__":
    typer.run(main)
