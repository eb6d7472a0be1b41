"""The review page of a node: whoever signed in with a browser sees their own drafts, and decides.

A bearer token counts for nothing here: what a program holds must not approve what it drafted.
"""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import urlencode

from leyr_mcp.server.errors import LeyrMcpError
from leyr_mcp.server.users import User
from leyr_mcp.server.web.asgi import (
    Headers,
    Message,
    Receive,
    Response,
    ReviewApp,
    Send,
    StopError,
    answer,
    headers_of,
    is_own,
    respond,
)
from leyr_mcp.server.web.browser import Browser, Cookie, NotSignedInError
from leyr_mcp.server.web.deciding import Review
from leyr_mcp.server.web.issuer import AwayError
from leyr_mcp.server.web.page import CLOSED

PATH = "/review/"
_OUT = "api/sign-out"
_MOST_DRAFT = 100


class NodePage:
    """The ASGI application of the page, with the ways in and out."""

    def __init__(
        self, browser: Browser, review: Callable[[User], Review], *, host: str, origin: str
    ) -> None:
        self._browser = browser
        self._review = review
        self._origins = {host: origin}
        self._page = ReviewApp(self._of, path=PATH, origins=self._origins)

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one request."""
        name = str(scope["path"]).removeprefix(PATH)
        ways = {"sign-in": self._begin, "signed-in": self._finish, _OUT: self._leave}
        if name not in ways:
            return await self._page(scope, receive, send)
        try:
            response = await ways[name](scope, headers_of(scope))
        except StopError as stop:
            response = stop.response
        await respond(send, response, with_body=scope["method"] != "HEAD")
        return None

    def _of(self, headers: Headers) -> Review:
        user = self._browser.user(headers.get("cookie", ""))
        if user is None:
            raise StopError(401, "You are not signed in, or no longer.", "signed_out")
        if not user.may("ehr.read"):
            raise LeyrMcpError("Your sign-in lacks ehr.read.", code="scope_missing")
        return self._review(user)

    async def _begin(self, scope: Message, _headers: Headers) -> Response:
        _see_method(scope, "GET")
        draft = scope["query_string"].decode("latin-1").removeprefix("draft=")[:_MOST_DRAFT]
        try:
            address, cookie = await self._browser.begin(draft)
        except AwayError:
            return self._back("", problem="away")
        return self._sent(address, cookie)

    async def _finish(self, scope: Message, headers: Headers) -> Response:
        _see_method(scope, "GET")
        try:
            draft, cookies = await self._browser.finish(
                scope["query_string"], headers.get("cookie", "")
            )
        except NotSignedInError as exc:
            return self._back("", problem=exc.code)
        except AwayError:
            return self._back("", problem="away")
        return self._back(draft, *cookies)

    async def _leave(self, scope: Message, headers: Headers) -> Response:
        _see_method(scope, "POST")
        if not is_own(headers, self._origins.get(headers.get("host", ""), "")):
            raise StopError(403, "Only the page itself may ask this.")
        left = answer(200, {"signed_out": True})
        return Response(
            left.status, left.body, left.headers, (self._written(self._browser.leave()),)
        )

    def _back(self, draft: str, *cookies: Cookie, problem: str = "") -> Response:
        """Return the way to the page, always the same one, and what went wrong if anything did."""
        query = f"?{urlencode({'problem': problem})}" if problem else ""
        return self._sent(f"./{query}{f'#{draft}' if draft else ''}", *cookies)

    def _sent(self, address: str, *cookies: Cookie) -> Response:
        headers = {"location": address, "content-security-policy": CLOSED}
        return Response(303, b"", headers, tuple(map(self._written, cookies)))

    def _written(self, cookie: Cookie) -> str:
        secure = "; Secure" if self._browser.secure else ""
        return (
            f"{cookie.name}={cookie.value}; Path=/; Max-Age={cookie.seconds}; HttpOnly"
            f"; SameSite={cookie.same_site}{secure}"
        )


def _see_method(scope: Message, method: str) -> None:
    if scope["method"] != method:
        raise StopError(405, f"This is asked for by {method}.")
