"""What is timed, by name: each task with all who do it."""

from __future__ import annotations

from collections.abc import Callable

from experiments.lib.contestants import Run, Setting, batch_task, caption_task, classes_task, guided_task
from experiments.lib.written_caption import written_task


def tasks(setting: Setting) -> dict[str, Callable[[], dict[str, Run]]]:
    """All tasks by name; each is built when its turn comes."""
    b = setting.batch
    return {
        "resnet50 B1": lambda: batch_task("resnet50", 1, setting),
        f"resnet50 B{b}": lambda: batch_task("resnet50", b, setting),
        "vgg16 B1": lambda: batch_task("vgg16", 1, setting),
        f"vgg16 B{b}": lambda: batch_task("vgg16", b, setting),
        "resnet50 5 classes": lambda: classes_task("resnet50", setting),
        "resnet50+LSTM 16 words": lambda: caption_task(setting),
        "resnet50+LSTM a caption": lambda: written_task(setting),
        "resnet50 B1 guided": lambda: guided_task("resnet50", 1, setting),
        f"resnet50 B{b} guided": lambda: guided_task("resnet50", b, setting),
        f"vgg16 B{b} guided": lambda: guided_task("vgg16", b, setting),
    }
