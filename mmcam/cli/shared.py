"""What the commands share: the app, its consoles, options that mean the same everywhere, and its errors."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from mmcam.cli.commands import Commands
from mmcam.errors import ExplainError, PictureError

app = typer.Typer(cls=Commands, no_args_is_help=True, pretty_exceptions_enable=False)
console = Console()
complaints = Console(stderr=True)

Pictures = Annotated[
    list[Path], typer.Argument(help="Picture files, folders, 'patterns/*.jpg', or @lists.txt of paths, one a line.")
]
Class = Annotated[
    list[str] | None,
    typer.Option("--class", help="A class, by name, by index, or by a wider word: cat. May be repeated."),
]
Word = Annotated[list[str] | None, typer.Option(help="A word or phrase of the caption. May be repeated.")]
EveryWord = Annotated[bool, typer.Option("--caption", help="Every word of the caption.")]
Text = Annotated[str | None, typer.Option(help="The caption to explain; default the model's own.")]
Question = Annotated[list[str] | None, typer.Option(help="A question about the picture. May be repeated.")]
Answer = Annotated[list[str] | None, typer.Option(help="Its answer; default the model's own. May be repeated.")]
SimilarTo = Annotated[
    list[str] | None,
    typer.Option(help="A text, for models that compare pictures and texts, such as CLIP. May be repeated."),
]
Where = Annotated[
    list[str] | None,
    typer.Option(
        "--region",
        help="Why a model that segments says a class here: X,Y, X0,Y0,X1,Y1 or a mask's file. May be repeated.",
    ),
]
Box = Annotated[
    list[str] | None,
    typer.Option("--box", help="Why a detector gave this box its class: X0,Y0,X1,Y1, or best. May be repeated."),
]
Contrast = Annotated[str | None, typer.Option(help="Rather than this class, word, answer or text.")]
Position = Annotated[int | None, typer.Option(help="Position of the word in the caption, from 0.")]
ByWord = Annotated[bool, typer.Option("--by-word", help="Every word of the question, too.")]
MODELS = "Bundled name, folder, torchvision:NAME, timm:NAME, hf:NAME or module:factory."
Model = Annotated[str | None, typer.Option("--model", help=MODELS)]
Weights = Annotated[Path | None, typer.Option(help="State dict for the model (.safetensors, .pth).")]
Device = Annotated[str, typer.Option(help="cpu or cuda.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]

FAILURES = (ExplainError, PictureError, OSError, ValueError)
"""What a person can mend, or the machine's owner: told in a sentence, without a traceback."""


@contextmanager
def one_sentence() -> Iterator[None]:
    """Turn what a person did wrong into one sentence and exit code 1, without a traceback."""
    try:
        yield
    except FAILURES as error:
        complaints.print(f"[red]Error:[/] {escape(sentence(error))}", highlight=False, soft_wrap=True)
        raise typer.Exit(1) from error


def sentence(error: Exception) -> str:
    """What is wrong; of an error of the file system, with which file."""
    if isinstance(error, OSError) and error.filename is not None and error.strerror is not None:
        return f"{error.filename} cannot be written or read ({error.strerror}); name another place, or mend this one."
    return str(error)


def complain(picture: Path, error: Exception) -> None:
    """Say on standard error what is wrong with a picture, and with which where the sentence does not begin with it."""
    said = sentence(error)
    which = "" if said.startswith(str(picture)) else f"[red]{escape(str(picture))}:[/] "
    complaints.print(f"{which}{escape(said)}", highlight=False, soft_wrap=True)


def check_new(*paths: Path | None) -> None:
    """Nothing where none of the paths is taken.

    Raises:
        ExplainError: one is; no result overwrites another.
    """
    if taken := next((path for path in paths if path is not None and os.path.lexists(path)), None):
        raise ExplainError(f"{taken} is there already; name another place, or remove it first.")


def task_of(
    of_class: bool,
    of_caption: bool,
    of_question: bool,
    of_answer: bool = False,
    of_similarity: bool = False,
    of_place: str = "",
) -> str:
    """The task that the given options are about: "class", "caption", "answer", "similarity", "region" or "box".

    Raises:
        typer.BadParameter: they are about several, or about an answer without its question.
    """
    if bool(of_class or of_place) + of_caption + of_question + of_similarity > 1:
        raise typer.BadParameter("choose one of --class, --word/--caption/--text, --question and --similar-to")
    if of_answer and not of_question:
        raise typer.BadParameter("--answer needs its --question")
    if of_place:
        return of_place
    return "caption" if of_caption else "answer" if of_question else "similarity" if of_similarity else "class"


def check_task(task: str, model: str | None, by_word: bool) -> None:
    """Raise typer.BadParameter for a task without its model, and words of a question without a question."""
    if task == "similarity" and model is None:
        raise typer.BadParameter("--similar-to needs a --model that compares pictures and texts; none is bundled")
    if task in ("region", "box") and model is None:
        kind = "segments" if task == "region" else "detects"
        raise typer.BadParameter(f"--{task} needs a --model that {kind}; none is bundled")
    if by_word and task != "answer":
        raise typer.BadParameter("--by-word needs its --question")


def index_or_name(text: str) -> int | str:
    """A class as it is typed: digits are an index."""
    return int(text) if re.fullmatch(r"-?[0-9]{1,18}", text) else text
