"""The viewer and the samples: the parts of the page that Gradio has not, in HTML and JavaScript of our own."""

from __future__ import annotations

import base64
from collections.abc import Callable
from html import escape
from typing import Any

import gradio as gr

from mmcam.app.choices import colour_maps
from mmcam.app.samples import samples
from mmcam.app.taking import KINDS
from mmcam.drawing.overlay import ALPHA
from mmcam.report.spotlight import data_uri, thumbnail
from mmcam.report.templates import rendered

_PRESSED = """
element.addEventListener('click', (event) => {
  const button = event.target.closest('button');
  if (!button) return;
  trigger('click', {sample: button.dataset.sample});
});
const press = () => {
  const chosen = element.querySelector('[data-chosen]').dataset.chosen;
  for (const button of element.querySelectorAll('button'))
    button.setAttribute('aria-pressed', button.dataset.sample === chosen);
};
watch('value', press);
press();
"""


def viewer(value: Any, units_of: Callable[[Any], Any], pictures_of: Callable[[Any], Any]) -> gr.HTML:
    """Where maps are looked at.

    Args:
        value: what it shows at first (see `mmcam.app.shown.shown`).
        units_of, pictures_of: called by the page as ``server.why`` for an item's units, and as ``server.exemplars`` for
            what a unit answers to.
    """

    def why(asked: Any) -> Any:
        return units_of(asked)

    def exemplars(asked: Any) -> Any:
        return pictures_of(asked)

    ramps = {name: base64.b64encode(colours).decode() for name, colours in colour_maps().items()}
    script = rendered("app/viewer.js.jinja", {}, alpha=ALPHA, ramps=ramps, kinds=list(KINDS))
    return gr.HTML(
        value,
        html_template="<div class='mm-viewer'></div>",
        js_on_load=f"const host = element;\n{{\n{script}\n}}",
        apply_default_css=False,
        server_functions=[why, exemplars],
        elem_id="viewer",
    )


def sample_strip(chosen: str) -> gr.HTML:
    """The pictures that ship, as buttons; its value is the name of the one that is chosen."""
    buttons = "".join(
        f'<button type="button" data-sample="{one.name}" aria-pressed="false" title="{escape(one.told)}">'
        f'<img src="{data_uri(thumbnail(one.open(), 112), 70)}" alt="{escape(one.told)}" width="56" height="56">'
        "</button>"
        for one in samples().values()
    )
    return gr.HTML(
        chosen,
        html_template=f"<div class='mm-samples' role='group' aria-label='Samples'>{buttons}"
        "<span data-chosen='${value}'></span></div>",
        js_on_load=_PRESSED,
        apply_default_css=False,
        elem_id="samples",
    )
