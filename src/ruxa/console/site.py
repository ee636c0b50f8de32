"""The console's application: pages, the JSON API and their files, as one Litestar app behind the door.

``create(deps)`` is the way in. This file turns requests into visits, runs a page's load or action inside one unit of
work, and renders every error: a page for people, the ``/api/v1`` shape for programs. Nothing else catches RuxaError.
"""

from __future__ import annotations

import re
import traceback
from typing import Any, cast
from urllib.parse import parse_qsl, quote, urlencode

from litestar import Litestar, Request, Response, post, route
from litestar.exceptions import HTTPException
from litestar.handlers import HTTPRouteHandler
from litestar.openapi.config import OpenAPIConfig
from litestar.params import FromPath
from litestar.types import Method

from ruxa.access import authorize, sessions
from ruxa.console import content, forms, headers, hooks, visits, wellknown, wellknown_log
from ruxa.console.api import openapi
from ruxa.console.api import router as api
from ruxa.console.assets import Shelf
from ruxa.console.forms import Faults
from ruxa.console.page import Deps, Go, Page, View, Visit
from ruxa.console.pages import PAGES
from ruxa.console.render import Menu, Renderer
from ruxa.console.words import Library, Words, language
from ruxa.kernel import bounds, cards
from ruxa.kernel.errors import (
    Broken,
    CallerError,
    Forbidden,
    HouseError,
    InvalidCall,
    NotFound,
    RuxaError,
    TooLarge,
    Unauthenticated,
)

AnyRequest = Request[Any, Any, Any]
FORM_BYTES_MAX = 64 * 1024
FORM_FIELDS_MAX = 200
PREFERENCE_S = 365 * 86_400
# What the validator of bodies says that holds no value of the caller's, and the name of a field.
_NAMED = re.compile(r"Object (contains unknown|missing required) field `([\w.-]{1,80})`")
_EXPECTED = re.compile(r"Expected `([^`]{1,80})`, got `")
YEAR_CACHE = "public, max-age=31536000, immutable"


class Site:
    """The parts every request needs; one per process."""

    def __init__(self, deps: Deps) -> None:
        self.deps = deps
        self.library = Library()
        self.shelf = Shelf()
        self.renderer = Renderer(self.shelf, Menu(PAGES))
        leads_to = [origin for one in deps.processors.values() for origin in one.origins]
        self.edge = headers.Edge(deps.base_url, leads_to)
        self.published = openapi.Description(deps)

    def visit(self, request: AnyRequest, form: dict[str, list[str]] | None = None) -> Visit:
        """The request as a page sees it; who is signed in is added by ``inside``."""
        chosen = language(request.cookies.get("language"))
        theme = request.cookies.get("theme")
        return Visit(
            deps=self.deps,
            words=self.library.words(chosen or visits.language_of(request.headers)),
            language_chosen=chosen is not None,
            under_age=request.cookies.get(headers.AGE_COOKIE) == "under",
            secret=request.cookies.get(headers.cookie_name(self.deps.base_url)),
            ticket=request.cookies.get(headers.ticket_name(self.deps.base_url)),
            request_id=headers.request_id(request.scope),
            path=request.url.path,
            places={name: str(value) for name, value in request.path_params.items()},
            query={name: cards.masked(request.query_params.getall(name)[-1]) for name in request.query_params},
            form={name: values[0] for name, values in (form or {}).items()},
            choices={name: tuple(values) for name, values in (form or {}).items()},
            theme=theme if theme in ("light", "dark") else None,
            someone=None,
            description=lambda: self.published.of(request.app),
            address=visits.address_of(request.scope),
            agent=request.headers.get("user-agent", "")[:400],
        )

    async def run(self, page: Page, request: AnyRequest, form: dict[str, list[str]] | None) -> Response[bytes]:
        """Shows ``page``, or does what its form asks and says where to go."""
        self.edge.refuse_host(request.headers)
        if form is not None:
            headers.same_origin(request.headers)
        refused = forms.refuse_cards(form) if form is not None else {}
        visit = self.visit(request, form)
        do = visit.form.get(forms.DO_FIELD, "") if form is not None else None
        if do is not None and do not in page.actions and do not in page.doors:
            raise InvalidCall("The form does not say what to do.", code="unknown_action")
        try:
            if refused:
                raise Faults(refused)
            if do is not None and do in page.doors:
                if visit.secret is not None or page.area != "public":
                    await self.recognise(page, visit)
                outcome = await page.doors[do](visit)
            else:
                outcome = await self.inside(page, visit, do)
            return self.answer(page, visit, outcome)
        except (Faults, CallerError) as fault:
            if do is None or (do not in page.doors and isinstance(fault, Unauthenticated | Forbidden | NotFound)):
                raise
            return await self.again(page, visit, fault)

    async def recognise(self, page: Page, visit: Visit) -> None:
        """Who visits, and whether the form is theirs, before a door's own units of work."""
        async with self.deps.pool.work(visits.PRINCIPAL) as work:
            await visits.enter(visit, work, page, self.library)
        if visit.someone is not None:
            sessions.check_csrf(visit.someone.session, visit.form.get(forms.CSRF_FIELD))

    async def inside(self, page: Page, visit: Visit, do: str | None) -> View | Go:
        """Loads the page or does what its form asks, in one unit of work."""
        async with self.deps.pool.work(visits.PRINCIPAL) as work:
            await visits.enter(visit, work, page, self.library)
            if do is None:
                return await page.load(visit, work)
            if visit.someone is not None:
                sessions.check_csrf(visit.someone.session, visit.form.get(forms.CSRF_FIELD))
            if (needed := page.needs.get(do)) is not None:
                authorize.require(visit.person.session.principal, needed, visit.person.organisation_id)
            return await page.actions[do](visit, work)

    async def again(self, page: Page, visit: Visit, fault: Faults | CallerError) -> Response[bytes]:
        """The page once more with what was wrong beside its fields."""
        if isinstance(fault, Faults):
            fields, places, status, code = fault.fields, fault.places, 422, ""
        else:
            code = fault.code
            known = f"fault.{fault.code}"
            raw = "fault.raw" if visit.words.language == "en" else "form.invalid"
            key = known if visit.words.has(known) else raw
            fields, places, status = {fault.param or "": key}, {"text": fault.public}, fault.status
        outcome = await self.inside(page, visit, None)
        if isinstance(outcome, Go):
            return self.answer(page, visit, outcome)
        body = self.renderer.page(
            page, visit, outcome.values, template=outcome.template, faults=fields, fault_places=places, code=code
        )
        response = Response(body, status_code=status, media_type=outcome.media_type)
        if isinstance(fault, CallerError) and fault.retry_after_s is not None:
            response.set_header("retry-after", str(fault.retry_after_s))
        if code == "under_age":
            response.set_cookie(headers.age_cookie(self.deps.base_url))
        return response

    def answer(self, page: Page, visit: Visit, outcome: View | Go) -> Response[Any]:
        """A view rendered, or a redirect with its cookies."""
        if isinstance(outcome, View):
            body = outcome.body
            response: Response[Any]
            if outcome.pieces is not None:
                response = content.streamed(outcome.pieces, outcome.size, outcome.media_type)
            else:
                if body is None:
                    body = self.renderer.page(page, visit, outcome.values, template=outcome.template)
                response = Response(body, status_code=outcome.status, media_type=outcome.media_type)
            for name, value in outcome.headers.items():
                response.set_header(name, value)
            if outcome.filename is not None:
                response.set_header("content-disposition", f'attachment; filename="{outcome.filename}"')
            return response
        to = outcome.to
        if outcome.done is not None:
            to += ("&" if "?" in to else "?") + urlencode({"done": outcome.done})
        response = Response(b"", status_code=303, headers={"location": to}, media_type="text/plain")
        base = self.deps.base_url
        if outcome.session is not None:
            response.set_cookie(headers.cookie(base, headers.cookie_name(base), outcome.session, outcome.session_s))
        if outcome.ticket is not None:
            response.set_cookie(headers.cookie(base, headers.ticket_name(base), outcome.ticket, bounds.LINK_TTL_S))
        for name, value in outcome.cookies.items():
            response.set_cookie(headers.cookie(base, name, value, PREFERENCE_S))
        return response

    def fault(self, request: AnyRequest, error: Exception) -> Response[Any]:
        """Any error as the caller can read it: JSON under ``/api/``, a page elsewhere."""
        known = _known(error)
        shown = headers.request_id(request.scope)
        if isinstance(known, Broken):
            self.deps.signals.emit("broken", "error", request_id=shown, where=_where(error), error=type(error).__name__)
        elif isinstance(known, HouseError):
            self.deps.signals.emit(
                "call.refused", "warning", request_id=shown, code=known.code, status=known.status, detail=known.detail
            )
        path = request.url.path
        if path.startswith(("/api/", hooks.PATH)):
            return openapi.error(known, shown)
        if isinstance(known, Unauthenticated) and known.code == "sign_in_required":
            to = path + (f"?{request.url.query}" if request.url.query else "")
            return Response(
                b"", status_code=303, headers={"location": f"/sign-in?next={quote(to)}"}, media_type="text/plain"
            )
        visit = self.visit(request)
        title = f"error.title_{known.status}"
        words = visit.words
        body = self.renderer.error(
            visit, known.status, title if words.has(title) else "error.title", _said(known, words)
        )
        response: Response[Any] = Response(body, status_code=known.status, media_type="text/html")
        if known.retry_after_s is not None:
            response.set_header("retry-after", str(known.retry_after_s))
        return response


def _said(error: RuxaError, words: Words) -> str:
    """The error in the reader's language; our own English text where no message is nearer."""
    for key in (f"fault.{error.code}", f"error.text_{error.status}" if words.language != "en" else ""):
        if words.has(key):
            return words.plain(key, text=error.public)
    return error.public


def _where(error: Exception) -> str:
    """The innermost of our own lines: file and number, never a value."""
    place = "console"
    for frame, line in traceback.walk_tb(error.__traceback__):
        path = frame.f_code.co_filename.replace("\\", "/").rpartition("/ruxa/")
        if path[1]:
            place = f"{path[2]}:{line}"
    return place


def _known(error: Exception) -> RuxaError:
    if isinstance(error, RuxaError):
        return error
    if isinstance(error, Faults):
        return InvalidCall("The form is not complete.")
    if isinstance(error, RecursionError):  # nothing of ours calls itself so deep: the caller's JSON does
        return InvalidCall("The body is nested too deeply.", code="too_deep")
    if isinstance(error, HTTPException):
        status = error.status_code
        if status in (404, 405):
            return NotFound("There is no such page here.")
        if status == 413:
            return TooLarge("The request is too large.")
        if 400 <= status < 500:
            return _misfit(error)
    return Broken("Something went wrong on our side. Nothing was charged.")


def _misfit(error: HTTPException) -> InvalidCall:
    """The first field that did not fit and what is wanted there, never the value that was sent."""
    for one in cast("list[object]", error.extra) if isinstance(error.extra, list) else []:
        if not isinstance(one, dict):
            continue
        told = cast("dict[str, object]", one)
        key, text = str(told.get("key", "")), str(told.get("message", ""))
        if named := _NAMED.match(text):
            name = named[2] if key in ("", "data") else f"{key}.{named[2]}"
            said = (
                f"There is no field {name} here." if named[1] == "contains unknown" else f"The field {name} is needed."
            )
            return InvalidCall(said, param=name)
        if key == "data":
            return InvalidCall("The body is a JSON object.", param="body")
        wanted = _EXPECTED.match(text)
        if "RFC3339" in text:
            said = f"{key} is a time such as 2026-11-24T12:00:00Z."
        elif wanted:
            said = f"{key} does not fit: {wanted[1]} is expected."
        else:
            said = f"{key} has a value that is not taken here."
        return InvalidCall(said, param=key or None)
    return InvalidCall("The request is not well-formed.")


async def read_form(request: AnyRequest) -> dict[str, list[str]]:
    """An urlencoded form body, bounded. Raises TooLarge or InvalidCall."""
    if int(request.headers.get("content-length") or 0) > FORM_BYTES_MAX:
        raise TooLarge("The form is too large.")
    body = await request.body()
    if len(body) > FORM_BYTES_MAX:
        raise TooLarge("The form is too large.")
    if not request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        raise InvalidCall("A form is sent as application/x-www-form-urlencoded.")
    fields: dict[str, list[str]] = {}
    try:
        for name, value in parse_qsl(
            body.decode(), keep_blank_values=True, max_num_fields=FORM_FIELDS_MAX, errors="strict"
        ):
            fields.setdefault(name, []).append(value)
    except ValueError:
        raise InvalidCall("The form is not well-formed.") from None
    if any("\0" in value for values in fields.values() for value in values):
        raise InvalidCall("The form is not well-formed.")
    return fields


def _page_handler(site: Site, page: Page) -> HTTPRouteHandler:
    methods: list[Method] = ["GET", "HEAD", *(["POST"] if page.actions or page.doors else [])]

    @route(
        list(page.path) if isinstance(page.path, tuple) else page.path,
        http_method=methods,
        name=page.name,
        include_in_schema=False,
        status_code=200,
    )
    async def serve(request: AnyRequest) -> Response[bytes]:
        return await site.run(page, request, await read_form(request) if request.method == "POST" else None)

    return serve


def create(deps: Deps) -> Litestar:
    """The application. Raises FileNotFoundError when the console's assets were never built."""
    site = Site(deps)

    @route("/static/{digest:str}/{name:path}", http_method=["GET", "HEAD"], status_code=200, include_in_schema=False)
    async def static(request: AnyRequest, digest: FromPath[str], name: FromPath[str]) -> Response[bytes]:
        asset = site.shelf.find(digest, name.lstrip("/"))
        if asset is None:
            raise NotFound("There is no such file here.")
        response = Response(asset.body, media_type=asset.media_type, headers={"cache-control": YEAR_CACHE})
        if "gzip" in request.headers.get("accept-encoding", ""):
            response.content = asset.gzipped
            response.set_header("content-encoding", "gzip")
        response.set_header("vary", "accept-encoding")
        return response

    @post("/preferences", include_in_schema=False, status_code=303)
    async def preferences(request: AnyRequest) -> Response[bytes]:
        """Theme, language, and the organisation a member looks at."""
        site.edge.refuse_host(request.headers)
        headers.same_origin(request.headers)
        visit = site.visit(request, await read_form(request))
        cookies: dict[str, str] = {}
        if visit.form.get("theme") in ("light", "dark"):
            cookies["theme"] = visit.form["theme"]
        if (wanted := language(visit.form.get("language"))) is not None:
            cookies["language"] = wanted
        if visit.form.get("organisation") and visit.secret:
            async with deps.pool.work(visits.PRINCIPAL) as work:
                await visits.look_at(visit, work, visit.secret, visit.form["organisation"])
        return site.answer(PAGES[0], visit, Go(to=forms.local_path(visit.form.get("back")), cookies=cookies))

    @post("/sign-out", include_in_schema=False, status_code=303)
    async def sign_out(request: AnyRequest) -> Response[bytes]:
        site.edge.refuse_host(request.headers)
        headers.same_origin(request.headers)
        visit = site.visit(request, await read_form(request))
        if visit.secret:
            async with deps.pool.work(visits.PRINCIPAL) as work:
                await visits.leave(visit, work, visit.secret)
        return site.answer(PAGES[0], visit, Go(to="/sign-in", done="signed_out", session=""))

    def fault(request: AnyRequest, error: Exception) -> Response[Any]:
        return site.fault(request, error)

    return Litestar(
        route_handlers=[
            static,
            preferences,
            sign_out,
            wellknown.handler(deps, site.edge),
            hooks.handler(deps, site.edge),
            *wellknown_log.handlers(deps, site.edge),
            *(_page_handler(site, page) for page in PAGES),
            *api.handlers(deps, site.edge, site.published),
        ],
        before_send=[site.edge.before_send],
        exception_handlers={Exception: fault, HTTPException: fault, RuxaError: fault},
        openapi_config=OpenAPIConfig(title="Ruxa", version=deps.version, path="/api/v1/schema", render_plugins=[]),
        request_max_body_size=1024 * 1024,
        logging_config=None,
        debug=False,
    )
