"""The error envelope of the API and the exception that carries it through the sandbox."""

from dataclasses import dataclass
from http import HTTPStatus
from uuid import uuid4

from pydantic import BaseModel, Field, JsonValue

DOCS = "https://docs.leyr.io/api/error-handling"

TITLES = {
    "BAD_REQUEST": "Request validation failed",
    "UNAUTHORIZED": "Unauthorized",
    "EMR_ERROR": "Internal EMR error",
    "UNKNOWN_ERROR": "Unknown error",
    "SERVICE_UNAVAILABLE": "Service unavailable",
    "NOT_FOUND": "Not found",
    "METHOD_NOT_ALLOWED": "Method not allowed",
    "PAYLOAD_TOO_LARGE": "Payload too large",
}


class ProblemItem(BaseModel):
    """One entry of `errors`: the detailed code, its text and where the fault lies."""

    error_code: str
    details: str
    emr_error: JsonValue = None
    path: str | None = None


class Problem(BaseModel):
    """The body of every refusal."""

    code: str
    title: str
    status: int = Field(ge=400, le=599)
    detail: str
    type: str = Field(json_schema_extra={"format": "uri"})
    instance: str = Field(json_schema_extra={"format": "uuid"})
    errors: list[ProblemItem] = Field(default_factory=list)


@dataclass(frozen=True)
class Refusal:
    """What a handler refuses with: a detailed code, a sentence, and the field concerned."""

    error_code: str
    details: str
    path: str | None = None


class ApiError(Exception):
    """A refusal of the API; becomes the envelope with one entry per refusal."""

    def __init__(
        self,
        *refusals: Refusal,
        code: str = "BAD_REQUEST",
        status: int = HTTPStatus.BAD_REQUEST,
        detail: str | None = None,
        headers: tuple[tuple[str, str], ...] = (),
        emr_error: JsonValue = None,
    ) -> None:
        self.refusals = refusals
        self.code = code
        self.status = int(status)
        self.detail = detail or "; ".join(item.details for item in refusals) or TITLES[code]
        self.headers = headers
        self.emr_error = emr_error
        super().__init__(self.detail)

    def problem(self) -> Problem:
        """Return the envelope, with a new instance id."""
        return Problem(
            code=self.code,
            title=TITLES[self.code],
            status=self.status,
            detail=self.detail,
            type=f"{DOCS}/{self.code.lower()}",
            instance=str(uuid4()),
            errors=[
                ProblemItem(
                    error_code=item.error_code,
                    details=item.details,
                    path=item.path,
                    emr_error=self.emr_error,
                )
                for item in self.refusals
            ],
        )


def bad(error_code: str, details: str, path: str | None = None) -> ApiError:
    """Return a 400 with one detailed code."""
    return ApiError(Refusal(error_code, details, path))


def not_found(what: str) -> ApiError:
    """Return a 404 in the envelope."""
    sentence = f"{what} not found"
    return ApiError(Refusal("NOT_FOUND", sentence), code="NOT_FOUND", status=HTTPStatus.NOT_FOUND)


def not_allowed(method: str, allowed: tuple[str, ...]) -> ApiError:
    """Return a 405 in the envelope, with the methods that are allowed."""
    return ApiError(
        Refusal("METHOD_NOT_ALLOWED", f"{method} is not allowed here"),
        code="METHOD_NOT_ALLOWED",
        status=HTTPStatus.METHOD_NOT_ALLOWED,
        headers=(("allow", ", ".join(sorted(allowed))),),
    )


def unauthorized(detail: str) -> ApiError:
    """Return the 401 that means the Leyr credentials themselves were refused."""
    return ApiError(code="UNAUTHORIZED", status=HTTPStatus.UNAUTHORIZED, detail=detail)


def emr_refusal(status: int = HTTPStatus.UNAUTHORIZED) -> ApiError:
    """Return a refusal by the record system behind the API, its own text forwarded."""
    text = '{"message": "The session of the integration user is no longer valid"}'
    return ApiError(
        Refusal("EMR_ERROR", text),
        code="EMR_ERROR",
        status=status,
        detail=text,
        emr_error={"message": "The session of the integration user is no longer valid"},
    )


def unknown(status: int, detail: str, headers: tuple[tuple[str, str], ...] = ()) -> ApiError:
    """Return an error for which the API publishes no code of its own."""
    return ApiError(code="UNKNOWN_ERROR", status=status, detail=detail, headers=headers)


def unavailable(detail: str, headers: tuple[tuple[str, str], ...] = ()) -> ApiError:
    """Return the 503 of maintenance and overload."""
    return ApiError(
        code="SERVICE_UNAVAILABLE",
        status=HTTPStatus.SERVICE_UNAVAILABLE,
        detail=detail,
        headers=headers,
    )
