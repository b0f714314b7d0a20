"""The command that opens the web demo."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mmcam.cli.shared import MODELS, Device, console, one_sentence
from mmcam.cli.shared import app as commands


@commands.command(name="app")
def web(
    model: Annotated[
        list[str] | None, typer.Option("--model", help=f"A further model. May be repeated. {MODELS}")
    ] = None,
    weights: Annotated[
        list[Path] | None, typer.Option(help="State dicts, in order, of those further models that take one.")
    ] = None,
    host: Annotated[str, typer.Option(help="Whom to listen to; 0.0.0.0 is everybody.")] = "127.0.0.1",
    port: Annotated[int | None, typer.Option(help="Default the first free one from 7860.")] = None,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open it in the browser.")] = True,
    device: Device = "cpu",
) -> None:
    """Open the web demo: pictures explained by class, caption and answer, and the units behind it."""
    from mmcam.app.launch import serve

    with one_sentence():
        console.print("The first sample is being explained …", highlight=False)
        serve(model or (), weights or (), device=device, host=host, port=port, browser=browser)
