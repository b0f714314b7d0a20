"""Which addresses answer: those that the page itself asks for, and no other of Gradio's.

Gradio answers more than this page needs. Some of it would have the server open a connection to wherever a visitor says
(``file=http://…``), keep what nobody asked to be kept (``deep_link``), or run a handler beside the queue and its limits
(``run``, ``call``).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from gradio.blocks import Block
from gradio_client.utils import is_http_url_like
from starlette.responses import PlainTextResponse

POLICY = (
    "default-src 'self' data: blob:; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; "
    "style-src 'self' 'unsafe-inline'; connect-src 'self' data: blob:; form-action 'self'; object-src 'none'"
)
"""What the browser may open: nothing but this server. Gradio's own scripts make functions of texts."""

OWN = re.compile(
    r"/(config|theme\.css|favicon\.ico|manifest\.json|robots\.txt)?"
    r"|/(assets|static|svelte|mmcam/take)/.+"
    r"|/gradio_api/(info|app_id|login_check|startup-events|theme\.css|upload|upload_progress|reset|cancel)"
    r"|/gradio_api/(queue/(join|data|status)|heartbeat/[^/]+|component_server)"
    r"|/gradio_api/file=(?!.*://).+"
)
"""What is answered, a slash at the end apart."""


class Addresses:
    """ASGI middleware: other addresses are not found, and every answer says what the browser may open."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer a request."""

        async def with_policy(message: Any) -> None:
            if message["type"] == "http.response.start":
                headers = ((b"content-security-policy", POLICY), (b"x-content-type-options", "nosniff"))
                message["headers"] = [*message["headers"], *((name, text.encode()) for name, text in headers)]
            await send(message)

        if scope["type"] != "http":
            await self.app(scope, receive, send)
        elif is_own(scope["path"].removeprefix(scope.get("root_path", ""))):
            await self.app(scope, receive, with_policy)
        else:
            await PlainTextResponse("There is nothing at this address.", 404)(scope, receive, with_policy)


def is_own(path: str) -> bool:
    """Whether the page itself asks for an address."""
    return OWN.fullmatch(path) is not None or OWN.fullmatch(path.removesuffix("/")) is not None


def fetch_nothing(blocks: Iterable[Block]) -> None:
    """Have no field fetch what a visitor names: Gradio downloads a file whose path is an address of the web."""
    for block in blocks:
        block.async_move_resource_to_block_cache = _local(block)  # type: ignore[method-assign]


def _local(block: Block) -> Any:
    """How a field takes a file in, addresses of the web refused."""
    taken_in = block.async_move_resource_to_block_cache

    async def local(path: Any) -> Any:
        if path is not None and is_http_url_like(str(path)):
            raise ValueError("A picture is uploaded; none is fetched from the web.")
        return await taken_in(path)

    return local
