"""The address under which files are taken away."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from mmcam.app.desk import Desk
from mmcam.app.taking import KINDS, taken
from mmcam.errors import ExplainError


def take(desk: Desk) -> Callable[[Request], Any]:
    """Answers /mmcam/take/VISITOR/KEY/ITEM.KIND, where ITEM is a number, or "all"."""

    async def answer(request: Request) -> Response:
        at = request.path_params
        which, _, kind = at["name"].partition(".")
        try:
            if which != "all" and not (which.isascii() and which.isdigit() and len(which) < 6):
                raise ExplainError("There is no such map; ask again.")
            answered = desk.kept(at["visitor"], at["key"])
            data = await run_in_threadpool(taken, answered, kind, None if which == "all" else int(which))
        except ExplainError as error:
            return PlainTextResponse(str(error), 404)
        name = f'attachment; filename="mmcam-{answered.settings.page}-{answered.key[:8]}.{kind}"'
        return Response(data, media_type=KINDS[kind], headers={"content-disposition": name})

    return answer
