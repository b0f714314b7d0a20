"""Commands about saved explanations, in files or of a job: a page to look through them, and a table."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from mmcam.cli.shared import app, complaints, console, one_sentence
from mmcam.errors import ExplainError
from mmcam.files import is_file, is_folder, json_text, write_whole
from mmcam.jobs.manifest import is_job

Results = Annotated[
    list[Path], typer.Argument(help="The .npz files of explanations, folders with them, or folders of `mmcam run`.")
]

PICTURES = 100
"""Of a job, on a page."""

_PAGE = b'<meta name="generator" content="mmcam page'


@app.command()
def page(
    results: Results,
    out: Annotated[Path, typer.Option(help="The page; one that is there is replaced.")] = Path("out/page.html"),
    names: Annotated[
        str | None,
        typer.Option(help="Names of the layer's units, as for `mmcam why`: what `mmcam dissect` wrote, for example."),
    ] = None,
    title: Annotated[str, typer.Option(help="Above the page.")] = "",
) -> None:
    """Show saved explanations on one page that opens from disk: words light up their maps."""
    from mmcam.cli.neurons import names_of
    from mmcam.explanation import Explanations

    with one_sentence():
        check_replaceable(out, _PAGE)
        known = None if names is None else names_of(names)
        files, loaded, failed = _loaded(results)
        at = Explanations(loaded).html(out, labels=[file.stem for file in files], names=known, title=title)
    console.print(
        f"  {escape(str(at))}: {len(loaded)} explanations, {at.stat().st_size / 1e6:.1f} MB",
        highlight=False,
        soft_wrap=True,
    )
    raise typer.Exit(1 if failed else 0)


@app.command()
def table(
    results: Results,
    out: Annotated[
        Path | None, typer.Option(help="A .csv, .json, .tex or .md file that is not there yet; default: CSV, printed.")
    ] = None,
    threshold: Annotated[float, typer.Option(help="Of the boxes, a share of the map's maximum.")] = 0.15,
) -> None:
    """Tell saved explanations as a table: target, score, peak, box, and how each was made."""
    from mmcam.export.table import records
    from mmcam.export.table import table as frame_of

    with one_sentence():
        kind = ".csv" if out is None else out.suffix.lower()
        if kind not in (".csv", ".json", ".tex", ".md"):
            raise ExplainError(f"Cannot write {str(out)!r}: a table is a .csv, .json, .tex or .md file.")
        check_replaceable(out, None)
        if len(results) == 1 and is_job(results[0]):
            frame, failed = _of_job(results[0]), 0
            count, text = len(frame), _text_of(frame, kind)
        else:
            files, loaded, failed = _loaded(results)
            count = len(loaded)
            if kind == ".json":
                rows = records(loaded, threshold=threshold)
                text = json_text([{"file": str(files[row["result"]]), **row} for row in rows], indent=2) + "\n"
            else:
                frame = frame_of(loaded, threshold=threshold)
                frame.insert(0, "file", [str(files[number]) for number in frame["result"]])
                text = _text_of(frame, kind)
        if out is None:
            typer.echo(text, nl=False)
        else:
            content = text.encode("utf-8", "backslashreplace")
            write_whole(out, lambda file: file.write(content))
            console.print(f"  {escape(str(out))}: {count} explanations", highlight=False, soft_wrap=True)
    raise typer.Exit(1 if failed else 0)


def _text_of(frame: Any, kind: str) -> str:
    """A table as the text of a file."""
    if kind == ".json":
        return json_text(frame.astype(object).where(frame.notna(), None).to_dict("records"), indent=2) + "\n"
    text: str = {
        ".csv": lambda: frame.to_csv(index=False),
        ".tex": lambda: frame.to_latex(index=False, escape=True, na_rep=""),
        ".md": lambda: frame.to_markdown(index=False) + "\n",
    }[kind]()
    return text


def check_replaceable(out: Path | None, beginning: bytes | None) -> None:
    """Nothing where there is no file, or one of ours, which its beginning tells.

    Raises:
        ExplainError: another file, which is not to be overwritten.
    """
    if out is None or not is_file(out):
        return
    with out.open("rb") as file:
        if beginning is not None and beginning in file.read(2000):
            return
    raise ExplainError(f"{out} is there already; name another place, or remove it first.")


def _loaded(results: list[Path]) -> tuple[list[Path], list[Any], int]:
    """The files that hold explanations, these, and how many could not be read; each of these costs only itself.

    Raises:
        ExplainError: none could be read.
    """
    from mmcam.explanation import load_explanation

    files: list[Path] = []
    loaded: list[Any] = []
    failed = 0
    for given in results:
        if is_job(given):
            names, own = _first_of_job(given)
            files += names
            loaded += own
    for file in _files([given for given in results if not is_job(given)]):
        try:
            loaded.append(load_explanation(file))
            files.append(file)
        except ExplainError as error:
            failed += 1
            complaints.print(f"[red]{escape(file.name)}:[/] {escape(str(error))}", highlight=False, soft_wrap=True)
    if not loaded:
        where = ", ".join(map(str, results))[:200]
        raise ExplainError(f"{where} holds no explanation that can be read; `mmcam explain` writes them as .npz files.")
    return files, loaded, failed


def _first_of_job(folder: Path) -> tuple[list[Path], list[Any]]:
    """The results of a job's first pictures, each with the picture's name; there may be millions."""
    import mmcam.jobs

    job = mmcam.jobs.open(folder)
    names: list[Path] = []
    loaded: list[Any] = []
    for name, results in islice(job.items(), PICTURES):
        names += [Path(name)] * len(results)
        loaded += results
    pictures = job.manifest["of"]["pictures"]["items"]
    if pictures > PICTURES:
        told = f"The first {PICTURES} of {pictures:,} pictures of {escape(str(folder))} are shown."
        console.print(told, highlight=False, soft_wrap=True)
    return names, loaded


def _of_job(folder: Path) -> Any:
    import mmcam.jobs

    return mmcam.jobs.open(folder).to_pandas()


def _files(results: list[Path]) -> Iterator[Path]:
    """Files as they are given, and those of folders, in the order in which people count."""
    for given in results:
        if not is_folder(given):
            yield given
            continue
        yield from sorted(given.rglob("*.npz"), key=lambda path: [_counted(part) for part in path.parts])


def _counted(name: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d{1,18})", name)]
