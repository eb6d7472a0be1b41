"""Cobalt's ways on the wire: its two shapes of refusal, paging, and forms with a file."""

import json
from typing import Any, TypeVar

from leyr_mcp.sandbox.cobalt.store import Body
from leyr_mcp.sandbox.wire import Reply, json_reply

T = TypeVar("T")
LOGIN_MESSAGE = "Please re-authenticate through Cobalt Link"


class Refused(Exception):  # noqa: N818 -- what the API does
    """A refusal: a status and the message of its body."""

    def __init__(self, message: str, status: int = 400, **more: str) -> None:
        self.message = message
        self.status = status
        self.more = more
        super().__init__(message)

    def reply(self) -> Reply:
        """Return it as an answer."""
        return json_reply({"success": False, **self.more, "message": self.message}, self.status)


def unauthorized() -> Refused:
    """Return the refusal of credentials, in the same words for every cause."""
    return Refused("Invalid or missing credentials", 401)


def login_required() -> Refused:
    """Return the refusal while the record system does not let Cobalt in."""
    return Refused(LOGIN_MESSAGE, 403, error="login_required")


def page_of(found: list[T], query: dict[str, str], sizes: tuple[int, int]) -> tuple[list[T], Body]:
    """Return one page and what is told of it; `sizes` are the usual and the largest.

    Raises:
        Refused: page or size is no number in range.
    """
    page, size = _number(query, "page", 1), _number(query, "page_size", sizes[0])
    if size > sizes[1]:
        raise Refused(f"page_size must be at most {sizes[1]}")
    told = {
        "current_page": page,
        "total_pages": -(-len(found) // size),
        "total_count": len(found),
        "page_size": size,
    }
    return found[(page - 1) * size : page * size], told


def _number(query: dict[str, str], name: str, usual: int) -> int:
    given = query.get(name, str(usual))
    if not given.isascii() or not given.isdigit() or int(given) < 1:
        raise Refused(f"{name} must be a positive integer")
    return int(given)


def read_json(body: bytes) -> Body:
    """Return an object.

    Raises:
        Refused: the body is none.
    """
    try:
        found = json.loads(body.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise Refused("Invalid JSON body") from error
    if not isinstance(found, dict):
        raise Refused("Invalid JSON body")
    return found


def read_form(body: bytes, content_type: str) -> tuple[dict[str, str], tuple[str, bytes] | None]:
    """Return the texts of a form, and its file: content type and bytes.

    Raises:
        Refused: it is no form as browsers and clients write one.
    """
    kind, _, boundary = content_type.partition("boundary=")
    if not kind.lower().startswith("multipart/form-data") or not boundary:
        raise Refused("Expected multipart/form-data")
    mark = b"--" + boundary.strip('"').encode()
    head, *parts = (b"\r\n" + body).split(b"\r\n" + mark)
    if head or not parts or parts[-1].rstrip(b"\r\n") != b"--":
        raise Refused("Malformed form")
    texts: dict[str, str] = {}
    file: tuple[str, bytes] | None = None
    for part in parts[:-1]:
        headers, separator, content = part.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        if not separator:
            raise Refused("Malformed form")
        about = dict(_header(line) for line in headers.decode("utf-8", "replace").split("\r\n"))
        names = _parameters(about.get("content-disposition", ""))
        if "filename" in names:
            file = about.get("content-type", "application/octet-stream"), content
        else:
            texts[names.get("name", "")] = content.decode("utf-8", "replace")
    return texts, file


def _header(line: str) -> tuple[str, str]:
    name, _, value = line.partition(":")
    return name.strip().lower(), value.strip()


def _parameters(value: str) -> dict[str, Any]:
    found = {}
    for part in value.split(";")[1:]:
        name, _, text = part.strip().partition("=")
        found[name] = text.strip('"')
    return found
