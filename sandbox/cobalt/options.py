"""The switches for what Cobalt's pages leave open, and outcomes to order for jobs and webhooks."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

JobKind = Literal["note", "document", "appointment", "update", "patient", "fetch"]


class Options(BaseModel):
    """What a test may change about the sandbox's manners."""

    model_config = ConfigDict(extra="forbid", validate_assignment=True)

    job_seconds: float = Field(
        default=2.0, ge=0, le=86400, description="How long a queued write takes."
    )
    queued_status: Literal[200, 202] = Field(
        default=200, description="Status of an acknowledgement."
    )
    job_ids: Literal["number", "text", "none"] = Field(
        default="number", description="What `job_id` is in an acknowledgement."
    )
    nested: bool = Field(
        default=False, description="Whether an appointment's ids stand within `data`."
    )
    cobalt_location_ids: bool = Field(
        default=False, description="Whether a write takes Cobalt's own id of a location too."
    )
    unknown_mrn: Literal["event", "400"] = Field(
        default="event", description="How an unknown record number of a note is refused."
    )
    strict: bool = Field(default=False, description="Whether unknown fields are refused.")
    note_limit: int | None = Field(default=None, ge=0, description="Longest note; null is none.")
    deliver: bool = Field(default=True, description="Whether webhooks are delivered.")
    sign_with: Literal["new", "old"] = Field(
        default="new", description="Which secret signs while two are good."
    )
    first_limit_s: float = Field(default=5.0, gt=0, description="Wait for the first delivery.")
    retry_after_s: float = Field(default=1.0, ge=0, description="Pause before the second.")
    retry_limit_s: float = Field(default=2.0, gt=0, description="Wait for the second.")


class Outcome(BaseModel):
    """What becomes of the next jobs that fit; without `kind` and `mrn` of any."""

    model_config = ConfigDict(extra="forbid")

    result: Literal["good", "fail", "never", "silent", "differently", "older", "twice"] = Field(
        default="good",
        description="fail: nothing is stored, and the event says so; never: nothing is stored, "
        "and no event comes; silent: stored without an event; differently: something else is "
        "stored; older: the event is logged in the older shape; twice: it is logged two times.",
    )
    kind: JobKind | None = None
    mrn: str | None = None
    seconds: float | None = Field(default=None, ge=0, le=864000, description="How long it takes.")
    reason: str | None = Field(default=None, description="fail: the text of failure_reason.")
    times: int = Field(default=1, ge=1)

    def fits(self, kind: JobKind, mrn: str | None) -> bool:
        """Whether a job is one of those meant."""
        return self.kind in (None, kind) and self.mrn in (None, mrn)


class Delivery(BaseModel):
    """What becomes of the next deliveries of webhooks."""

    model_config = ConfigDict(extra="forbid")

    result: Literal["lose", "late", "twice", "swap", "wrong_signature", "older_shape"] = Field(
        description="swap: it comes after the next one."
    )
    seconds: float = Field(default=1.0, ge=0, le=3600, description="late: how much.")
    times: int = Field(default=1, ge=1)
