"""What is timed, by name: each task with all who do it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from experiments.lib.contestants import Run, Setting, batch_task, caption_task, classes_task, guided_task
from experiments.lib.job_contests import dissection_job, job_task
from experiments.lib.many_passes import occlusion_task, rise_task, smooth_task
from experiments.lib.other_contests import dissection_task, start_task, vit_task
from experiments.lib.transformers_captioner import transformers_task
from experiments.lib.written_caption import written_task


def tasks(setting: Setting) -> dict[str, Callable[[], dict[str, Run]]]:
    """All tasks by name; each is built when its turn comes."""
    b = setting.batch
    return {
        "resnet50 B1": partial(batch_task, "resnet50", 1, setting),
        f"resnet50 B{b}": partial(batch_task, "resnet50", b, setting),
        "vgg16 B1": partial(batch_task, "vgg16", 1, setting),
        f"vgg16 B{b}": partial(batch_task, "vgg16", b, setting),
        "mobilenet_v2 B1": partial(batch_task, "mobilenet_v2", 1, setting),
        f"mobilenet_v2 B{b}": partial(batch_task, "mobilenet_v2", b, setting),
        f"mobilenet_v2 B{4 * b}": partial(batch_task, "mobilenet_v2", 4 * b, setting),
        f"lite0 B{b}": partial(batch_task, "lite0", b, setting),
        "vit_b_16 B1": partial(vit_task, setting),
        "resnet50 5 classes": partial(classes_task, "resnet50", 5, setting),
        **{f"mobilenet_v2 {n} classes": partial(classes_task, "mobilenet_v2", n, setting) for n in (5, 16, 100)},
        "resnet50+LSTM 16 words": partial(caption_task, setting),
        "resnet50+LSTM a caption": partial(written_task, setting),
        "ViT+GPT-2 a caption": partial(transformers_task, setting),
        "resnet50 B1 guided": partial(guided_task, "resnet50", 1, setting),
        f"resnet50 B{b} guided": partial(guided_task, "resnet50", b, setting),
        f"vgg16 B{b} guided": partial(guided_task, "vgg16", b, setting),
        "mobilenet_v2 B1 guided": partial(guided_task, "mobilenet_v2", 1, setting),
        "lite0 SmoothGrad": partial(smooth_task, setting),
        "squeezenet1_0 occlusion": partial(occlusion_task, "squeezenet1_0", setting),
        "lite0 occlusion": partial(occlusion_task, "lite0", setting),
        "lite0 RISE": partial(rise_task, setting),
        "mobilenet_v2 dissection": partial(dissection_task, setting),
        "job, folder of 500": partial(job_task, "class", 500, setting),
        **{f"job, {task}": partial(job_task, task, n, setting) for task, n in JOBS.items()},
        "job, dissect": partial(dissection_job, setting),
        "start-up": start_task,
    }


JOBS = {"caption": 32, "answer": 32, "similarity": 32, "metrics": 16}
"""Pictures of a job of each task; that of classes is the folder of 500."""

QUICK = (
    "mobilenet_v2 B16",
    "lite0 B16",
    "mobilenet_v2 16 classes",
    "resnet50+LSTM a caption",
    "ViT+GPT-2 a caption",
    "mobilenet_v2 B1 guided",
    "lite0 SmoothGrad",
    "lite0 occlusion",
    "job, folder of 500",
    "job, caption",
    "job, answer",
)
"""Those of the quick run, small pictures and batches of 16: one of each kind but those that take seconds at least."""
