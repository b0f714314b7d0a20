"""The pages' templates: what they share, and what each needs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def rendered(template: str, filters: dict[str, Callable[..., str]], /, **values: Any) -> str:
    """The HTML of a template.

    Args:
        template: its path below ``mmcam/``, as "report/atlas.html.jinja".
        filters: that it uses, by name.
        values: what it shows; all that it names has to be there.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("mmcam", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= filters
    return environment.get_template(template).render(**values)
