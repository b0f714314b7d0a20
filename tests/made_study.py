"""A small study without models: plain coloured stimuli, whose truth is known."""

import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

from PIL import Image, ImageDraw

from mmcam.methods import METHODS
from mmcam.studies import texts
from mmcam.studies.design import STIMULI, Design, Rules, Trial, read_key, write_key
from mmcam.studies.kinds import KINDS
from mmcam.studies.plans import plan, rows
from mmcam.studies.store import Answer, Store

ROOT = Path(__file__).parents[1]


def made(
    folder, kind="discrimination", methods=("guided_gradcam", "guided_backprop"), items=6, names=("dog", "car"), **more
):
    """The design; stimuli are named by what a test may know of them, as no real ones are."""
    what = KINDS[kind]
    images = {"trust": 2, "distinction": 4}.get(kind, 1)
    (folder / STIMULI).mkdir(parents=True)

    def stimulus(name, colour):
        image = Image.new("RGB", (224, 224), "#8a8a8a")
        ImageDraw.Draw(image).ellipse((60, 60, 160, 160), fill=colour)
        image.save(folder / STIMULI / f"{name}.webp")
        return f"{name}.webp"

    trials, number = [], 0

    def trial(role, item, method, **own):
        nonlocal number
        number += 1
        shown = tuple(
            stimulus(f"{number:03d}{i}", ("red", "blue", "green", "gold")[(item + i) % 4]) for i in range(images)
        )
        picture = stimulus(f"{number:03d}p", "black") if kind != "discrimination" else ""
        choices = what.answers or names
        truth = None if what.chance is None else item % len(choices) if kind != "agreement" else item % 2
        values = {
            "token": f"t{number:03d}", "role": role, "images": shown, "picture": picture,
            "label": names[0] if kind == "trust" else "", "choices": choices, "truth": truth, "item": item,
            "method": method, "about": {"label": names[item % len(names)]},
        }  # fmt: skip
        trials.append(Trial(**{**values, **own}))

    for item in range(items):
        for method in methods:
            trial("item", item, method)
    trial("practice", -1, "", truth=0, feedback=f"It was “{names[0]}”.")
    for check in range(2):
        wanted = trials[0].choices[check % len(trials[0].choices)]
        notice = texts.NOTICE.format(choice=wanted)
        trial("check", -1, "", truth=check % len(trials[0].choices), notice=notice)
    write_key(folder, trials)
    values = {
        "id": "0123456789abcdef", "kind": kind, "title": what.title, "question": what.question,
        "consent": texts.consent(4, "Ada Example, ada@example.org"),
        "instructions": texts.instructions(what, [METHODS[method] for method in methods]), "methods": methods,
        "models": ("one", "other")[: what.models], "accuracy": (0.9, 0.7)[: what.models], "items": items,
        "per_rater": items, "checks": 2, "seed": 0, "minutes": 4, "completion_code": "C0FFEE00", "rules": Rules(),
        "source": "made", "command": "", "version": "0",
    }  # fmt: skip
    if "rules" in more:
        more["rules"] = Rules(**more["rules"])
    design = Design(**{**values, **more})
    design.write(folder)
    return design


def answered(folder, design, raters, choose, source="link", ms=1500.0, finish=True, first=0):
    """Raters with the rows in turn; `choose` gives the number of the choice where nothing is swapped."""
    key = read_key(folder)
    store = Store(folder, design)
    for rater in range(first, first + raters):
        row = rater % rows(design)
        steps = plan(design, key, row, str(rater))
        trials = [(step.trial.token, step.swapped) for step in steps]
        session = store.begin(source, f"rater {rater}", {}, row, trials, "code")
        answers = []
        for step in steps:
            number = choose(rater, step.trial) if step.trial.role == "item" else step.trial.truth or 0
            number = len(step.trial.choices) - 1 - number if step.swapped else number
            answers.append(Answer(f"{source} {rater} {step.trial.token}", step.trial.token, number, ms))
        store.add(session.session, answers if finish else answers[:4])
        if finish:
            store.finish(session.session)
    return key, store


class Served:
    """A study's server in a process of its own, which can be killed and started again at the same port."""

    def __init__(self, folder, port=None):
        self.folder, self.port = folder, port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.process = None

    def start(self):
        command = [sys.executable, "-m", "mmcam", "study", "serve", str(self.folder), "--port", str(self.port)]
        self.process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
        until = time.monotonic() + 60
        while True:
            try:
                urllib.request.urlopen(self.url, timeout=5).close()
                return self
            except OSError:
                assert self.process.poll() is None, "the server has ended"
                assert time.monotonic() < until, "the server does not answer"
                time.sleep(0.05)

    def kill(self):
        self.process.kill()
        self.process.wait()

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.kill()


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]
