"""Serve the page: on this machine alone unless an address is named, and without a connection to any other."""

from __future__ import annotations

import os
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from mmcam.app.limits import FILE_BYTES
from mmcam.errors import ExplainError

FOLDER = Path(__file__).parent


def serve(
    models: Sequence[str] = (),
    weights: Sequence[Path] = (),
    *,
    device: str = "cpu",
    host: str = "127.0.0.1",
    port: int | None = None,
    browser: bool = False,
    wait: bool = True,
) -> Any:
    """Serve the web demo until it is stopped.

    Args:
        models: further ones, as `mmcam.models.specification.load_model` takes them.
        weights: their state dicts.
        device: where models run.
        host: whom it listens to; by default this machine alone.
        port: default the first free one from 7860.
        browser: open it there.
        wait: return when it is stopped, and not as soon as it runs.

    Returns:
        Gradio's page; ``close()`` ends it.

    Raises:
        ExplainError: Gradio is not installed; a model that cannot be loaded; a port that is taken.
    """
    if find_spec("gradio") is None:
        raise ExplainError('The web demo needs Gradio; install it with pip install "mmcam[app]".')
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    import gradio as gr
    from starlette.middleware import Middleware
    from starlette.routing import Route

    from mmcam.app.addresses import Addresses
    from mmcam.app.models import Studio
    from mmcam.app.page import build
    from mmcam.app.taken_route import take

    page, desk = build(Studio(models, weights, device))
    try:
        page.launch(
            server_name=host, server_port=port, inbrowser=browser, share=False, prevent_thread_lock=not wait,
            quiet=not wait, show_error=False, footer_links=[], run_history=False, max_file_size=FILE_BYTES,
            allowed_paths=[], enable_monitoring=False, ssr_mode=False, pwa=False, mcp_server=False,
            theme=theme(gr), css=(FOLDER / "app.css").read_text(encoding="utf-8") + _maps_css(),
            app_kwargs={
                "routes": [Route("/mmcam/take/{visitor}/{key}/{name}", take(desk))],
                "middleware": [Middleware(Addresses)],
                "docs_url": None, "redoc_url": None, "openapi_url": None,
            },
        )  # fmt: skip
    except OSError as error:
        raise ExplainError(f"The page cannot be served there ({error}); name another --port or --host.") from error
    return page


def theme(gr: Any) -> Any:
    """The page's looks: the system's own fonts, so that none is fetched."""
    sans = ["system-ui", "-apple-system", "Segoe UI", "Roboto", "Helvetica Neue", "Arial", "sans-serif"]
    mono = ["ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "monospace"]
    return gr.themes.Base(
        primary_hue=gr.themes.colors.blue, neutral_hue=gr.themes.colors.stone, radius_size="md",
        font=sans, font_mono=mono,
    ).set(
        button_primary_background_fill="#2457a6", button_primary_background_fill_hover="#1b4485",
        button_primary_background_fill_dark="#2457a6", body_text_color_subdued="#5a6067",
        body_text_color_subdued_dark="#b3b8be", input_placeholder_color="#6a7077",
        input_placeholder_color_dark="#a3a8ae",
        block_label_text_color="#4a5057", block_label_text_color_dark="#c3c8ce", block_title_text_color="#4a5057",
        block_title_text_color_dark="#c3c8ce",
    )  # fmt: skip


def _maps_css() -> str:
    """How maps lie over their picture, as on mmcam's own pages."""
    return (FOLDER.parent / "report" / "maps.css.jinja").read_text(encoding="utf-8")
