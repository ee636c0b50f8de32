"""``/.well-known/security.txt`` (RFC 9116): where a weakness of this server is reported.

The contact is the operator's where one is set, else the contact page, which says what is known.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from litestar import Request, Response, route
from litestar.datastructures import State
from litestar.handlers import HTTPRouteHandler

from ruxa.console.headers import Edge
from ruxa.console.page import Deps
from ruxa.console.words import LANGUAGES

PATH = "/.well-known/security.txt"
# RFC 9116 5.3: a file that nobody renews must not be believed for more than a year.
EXPIRES = timedelta(days=180)


def contact_of(deps: Deps) -> str:
    """Where the operator is reached, as an address that a browser opens."""
    if not deps.contact:
        return f"{deps.base_url}/contact"
    return deps.contact if deps.contact.startswith("https://") else f"mailto:{deps.contact}"


def text(deps: Deps, now: datetime) -> str:
    """The file; it is made anew at each request, so it never goes out of date while the server runs."""
    expires = (now + EXPIRES).replace(hour=0, minute=0, second=0, microsecond=0)
    return (
        f"Contact: {contact_of(deps)}\n"
        f"Expires: {expires:%Y-%m-%dT%H:%M:%SZ}\n"
        f"Preferred-Languages: {', '.join(LANGUAGES)}\n"
        f"Canonical: {deps.base_url}{PATH}\n"
    )


def handler(deps: Deps, edge: Edge) -> HTTPRouteHandler:
    """The route."""

    @route(PATH, http_method=["GET", "HEAD"], status_code=200, include_in_schema=False)
    async def security_txt(request: Request[object, object, State]) -> Response[bytes]:
        edge.refuse_host(request.headers)
        return Response(
            text(deps, deps.clock.now()).encode(),
            media_type="text/plain",
            headers={"cache-control": "public, max-age=86400"},
        )

    return security_txt
