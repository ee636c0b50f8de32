"""``POST /webhooks/{processor}``: what a processor tells us, verified on the raw body, kept as a hint, forgotten.

Of the body only ids of a known form are kept, and only as where to look: the worker reads the object by the
processor's API. The answer comes as soon as the hint is written down; while the database is away it is 503, so that
the processor tells it again.
"""

from __future__ import annotations

from typing import Any, Final

from litestar import Request, Response, post
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath

from ruxa.console.headers import Edge
from ruxa.console.page import Deps
from ruxa.egress.processor import WebhookRefused
from ruxa.egress.processors.hints import BODY_BYTES_MAX
from ruxa.kernel.errors import NotFound, TooLarge, Unavailable, UpstreamError
from ruxa.ledger.payments import inbox

PATH: Final = "/webhooks/"
PRINCIPAL: Final = "webhook"
_TAKEN: Final = b'{"received":true}\n'


def handler(deps: Deps, edge: Edge) -> HTTPRouteHandler:
    """The route."""

    @post(PATH + "{name:str}", include_in_schema=False, status_code=200)
    async def webhook(request: Request[Any, Any, Any], name: FromPath[str]) -> Response[bytes]:
        edge.refuse_host(request.headers)
        processor = deps.processors.get(name)
        if processor is None:
            raise NotFound("There is no such payment processor here.")
        if int(request.headers.get("content-length") or 0) > BODY_BYTES_MAX:
            raise TooLarge("The webhook is too large.")
        raw = await request.body()
        if len(raw) > BODY_BYTES_MAX:
            raise TooLarge("The webhook is too large.")
        try:
            hint = await processor.verify(request.headers, raw, deps.clock.now())
        except WebhookRefused as refusal:
            deps.signals.emit("webhook.refused", "warning", provider=name, code=refusal.code, reason=refusal.detail)
            raise
        except UpstreamError as error:
            # The certificate of its signer could not be had: nobody knows whether it is genuine; it is told again.
            raise Unavailable(
                "This webhook can not be verified now.", code="webhook_unverified", detail=error.code
            ) from None
        async with deps.pool.work(PRINCIPAL) as work:
            new = await inbox.put(work, name, hint)
        if not new:
            deps.signals.emit("webhook.repeated", "info", provider=name, kind=hint.kind)
        return Response(_TAKEN, media_type="application/json")

    return webhook
