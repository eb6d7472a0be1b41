"""The switches for what the API's documents leave open; the defaults are the likelier reading."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

TEMPLATES = (
    "leyr_unstructured",
    "leyr_acute_visit",
    "leyr_new_visit_psychology",
    "leyr_follow_up_visit_psychology",
    "leyr_care_status",
)


class Options(BaseModel):
    """What a test may change about the sandbox's manners."""

    model_config = ConfigDict(extra="forbid", validate_assignment=True)

    created_status: Literal[200, 201] = Field(
        default=201, description="Status of a created appointment, note or document."
    )
    note_list_content: bool = Field(
        default=False, description="Whether the list of notes carries their content."
    )
    mapped_templates: frozenset[str] = Field(
        default=frozenset(TEMPLATES), description="Note templates mapped in the portal."
    )
    comment_limit: int | None = Field(
        default=None, ge=0, description="Longest comment of an appointment; null is no limit."
    )
    missing: Literal["by_kind", "404", "400"] = Field(
        default="by_kind",
        description="Status for what does not exist: by kind (400 for patients and appointments, "
        "404 for notes and documents), or one status for all.",
    )
    seen_fields_only: bool = Field(
        default=False,
        description="Answer only with the fields seen in the vendor's own samples.",
    )
