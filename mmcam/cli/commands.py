"""Which commands there are, and in which module; each is imported when it is run."""

from __future__ import annotations

import contextlib
import gc
import sys
from collections.abc import Iterator
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

COMMANDS = {
    "explain": (
        "mmcam.cli.explain",
        "Explain a class, word, caption, answer, similarity, region or box; write PICTURE-TARGET.png and .npz.",
    ),
    "run": (
        "mmcam.cli.run",
        "Explain whole data sets into tables; goes on where it was interrupted, each picture and target once.",
    ),
    "compare": (
        "mmcam.cli.compare",
        "Put maps of one picture beside each other in a figure: of several classes, words or answers, methods, layers.",
    ),
    "why": (
        "mmcam.cli.neurons",
        "Say in words why a class, a word, an answer or a similarity: which named units spoke for it, which against.",
    ),
    "page": (
        "mmcam.cli.page",
        "Show saved explanations on one page that opens from disk: words light up their maps.",
    ),
    "table": (
        "mmcam.cli.page",
        "Tell saved explanations as a table: target, score, peak, box, and how each was made.",
    ),
    "demo": (
        "mmcam.cli.draw",
        "Explain a photograph by class, caption and answer, then a drawn scene where it is known what is where.",
    ),
    "layers": (
        "mmcam.cli.listing",
        "List the layers a map can be drawn at, with their shapes for a square picture; the default is marked.",
    ),
    "methods": ("mmcam.cli.listing", "List the methods with their options, cost, needs and source."),
    "dissect": (
        "mmcam.cli.neurons",
        "Find what each unit of a layer detects (Network Dissection); goes on where it was interrupted.",
    ),
    "failures": (
        "mmcam.cli.failures",
        "Show what a model gets wrong, with the maps of the truth and of what it said; goes on where interrupted.",
    ),
    "bias": (
        "mmcam.cli.bias",
        "Show on which concepts each class's maps lie more than those of others; goes on where interrupted.",
    ),
    "attack": (
        "mmcam.cli.attack",
        "Add noise until a model sees what is not there, and tell whether the maps still find what is.",
    ),
    "choose": (
        "mmcam.cli.choose",
        "Tell which of two models has the better maps, on pictures that both get right; goes on where interrupted.",
    ),
    "finetune": (
        "mmcam.cli.finetune",
        "Finetune a network on labelled pictures, measure it, and report what it finds, as a page and a PDF.",
    ),
    "segment": (
        "mmcam.cli.segment",
        "Learn to segment from labels alone, with maps as seeds, and write masks; goes on where interrupted.",
    ),
    "study": (
        "mmcam.cli.study",
        "Build studies with people, serve them, and analyse the answers.",
    ),
    "app": (
        "mmcam.cli.web",
        "Open the web demo: pictures explained by class, caption and answer, and the units behind it.",
    ),
    "vignettes": (
        "mmcam.cli.draw",
        "Draw vignettes: PNG pictures and masks, COCO-style captions and instances, VQA-style questions and answers.",
    ),
}
"""Of each command its module, and its first line of help."""


@contextlib.contextmanager
def _everything_is_kept() -> Iterator[None]:
    """Imports without looking for garbage: torch's million objects stay, and a look at all of them costs 0.2 s."""
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.freeze()
            gc.enable()


class Commands(TyperGroup):
    """The commands of the app; one that has not been run yet is known by its name and its help."""

    def list_commands(self, ctx: Any) -> list[str]:
        """All names."""
        return list(dict.fromkeys([*COMMANDS, *super().list_commands(ctx)]))

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """A command, or what stands for it in the list of all."""
        found = super().get_command(ctx, cmd_name)
        if found is None and cmd_name in COMMANDS:
            return TyperCommand(cmd_name, help=COMMANDS[cmd_name][1])
        return found

    def invoke(self, ctx: Any) -> Any:
        """Run a command; what the file system refuses, standard output too, is a sentence and exit code 1."""
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()
        except BrokenPipeError:  # a reader that has seen enough
            raise
        except OSError as error:
            from mmcam.cli.shared import one_sentence

            with one_sentence():
                raise error
        return result

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command that is run, imported."""
        if args and args[0] in COMMANDS and args[0] not in self.commands:
            from mmcam.cli.shared import app

            with _everything_is_kept():
                import_module(COMMANDS[args[0]][0])
            whole: Any = typer.main.get_command(app)
            self.commands.update(whole.commands)
        return super().resolve_command(ctx, args)
