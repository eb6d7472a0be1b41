"""What a node serves besides MCP: the review page, uploads, and the receiver of webhooks."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from urllib.parse import urlsplit

from leyr_mcp.server.app import App
from leyr_mcp.server.filing.passphrase import Passphrase
from leyr_mcp.server.filing.timing import utc_now
from leyr_mcp.server.settings import Settings
from leyr_mcp.server.users import User, Users
from leyr_mcp.server.web.asgi import ReviewApp
from leyr_mcp.server.web.browser import Browser, Place
from leyr_mcp.server.web.deciding import Review
from leyr_mcp.server.web.issuer import Issuer
from leyr_mcp.server.web.node import Application
from leyr_mcp.server.web.nodepage import PATH, NodePage
from leyr_mcp.server.web.seats import NodeSeat, PageSeat, Seat
from leyr_mcp.server.web.signin import SignIn
from leyr_mcp.server.web.uploads import PATH as UPLOADS
from leyr_mcp.server.web.uploads import Links, Uploads
from leyr_mcp.server.web.webhooks import PATH as WEBHOOKS
from leyr_mcp.server.web.webhooks import WebhookApp


def has_page(settings: Settings) -> bool:
    """Whether a node serves the review page: where people can sign in, or where nobody has to."""
    return bool(settings.page_client_id) or not settings.auth_issuer


def parts_of(
    app: App,
    settings: Settings,
    *,
    public: str,
    hosts: Collection[str],
    signed: tuple[Issuer, SignIn, Users] | None,
) -> Mapping[str, Application]:
    """Return what is served below which path; `signed` is how people sign in, if they do."""
    found = dict[str, Application]()
    if signed is None:
        seat = PageSeat(Passphrase(settings.state_dir, clock=utc_now), sandbox=True)
        review = _review(app, settings, seat)
        origins = {host: f"http://{host}" for host in hosts}
        found[PATH] = ReviewApp(lambda _: review, path=PATH, origins=origins)
    elif settings.page_client_id:
        found[PATH] = _behind_sign_in(app, settings, public, *signed)
    links = Links(app.keys, public, clock=utc_now)
    found[UPLOADS] = Uploads(links, app.desk, app.attaching)
    if settings.cobalt_webhook_secret and settings.through_cobalt:

        async def noticed(event_id: str, jobs: Sequence[str]) -> bool:
            await app.desk().start()
            return await app.desk().noticed(event_id, jobs)

        found[WEBHOOKS] = WebhookApp(settings.cobalt_webhook_secret, noticed)
    return found


def _behind_sign_in(
    app: App, settings: Settings, public: str, issuer: Issuer, sign_in: SignIn, users: Users
) -> NodePage:
    place = Place(
        address=f"{public}{PATH}",
        resource=sign_in.audience,
        client_id=settings.page_client_id,
        client_secret=settings.page_client_secret.reveal(),
    )

    def review(user: User) -> Review:
        return _review(app, settings, NodeSeat(user, sandbox=settings.backend == "sandbox"))

    url = urlsplit(public)
    browser = Browser(place, issuer, sign_in, users, app.keys)
    return NodePage(browser, review, host=url.netloc, origin=f"{url.scheme}://{url.netloc}")


def _review(app: App, settings: Settings, seat: Seat) -> Review:
    return Review(app.desk, app.journal, seat, open_attaching=app.attaching, zone=settings.timezone)
