"""What each record system behind the API accepts: identifier types and capabilities."""

from dataclasses import dataclass

PATIENT_ID_TYPES = frozenset({"emr_id", "se_personal_number", "no_personal_number", "nhs_number"})
RESOURCE_ID_TYPES = frozenset({"emr_id", "se_personal_number", "no_personal_number", "hsa_id"})

SE, NO, HSA = "se_personal_number", "no_personal_number", "hsa_id"

# Capabilities that a record system may lack; everything not listed is supported everywhere.
PATIENT_GET = "patient_get"
APPOINTMENT_LIST = "appointment_list"
RESCHEDULE = "reschedule"
DOCUMENTS = "documents"


@dataclass(frozen=True)
class System:
    """One record system as it shows through the API."""

    slug: str
    name: str
    patient_types: frozenset[str] = frozenset({"emr_id"})
    resource_types: frozenset[str] = frozenset({"emr_id"})
    lacks: frozenset[str] = frozenset()
    care_units: tuple[str, str] = ("L0_1", "L0_2")
    number_required: str | None = None
    number_is_emr_id: bool = False
    confirms_by_sms: bool = False


def _types(*more: str) -> frozenset[str]:
    return frozenset({"emr_id", *more})


_ROWS = (
    System("webdoc", "WebDoc", _types(SE), _types(HSA, SE)),
    System("pasientsky", "PasientSky", care_units=("L0_10", "L0_11")),
    System(
        "takecare",
        "Takecare",
        _types(SE),
        care_units=("10", "11"),
        number_required=SE,
        number_is_emr_id=True,
    ),
    System("kaddio", "Kaddio", _types(SE), lacks=frozenset({RESCHEDULE, DOCUMENTS})),
    System(
        "anitasystems",
        "Anita Systems",
        lacks=frozenset({PATIENT_GET, APPOINTMENT_LIST}),
        confirms_by_sms=True,
    ),
    System("physica", "Physica"),
    System("pridok", "Pridok"),
    System("cliniko", "Cliniko"),
    System("konfidens", "Konfidens", number_required=NO),
    System("acuityscheduling", "Acuity Scheduling"),
    System("dips", "DIPS", _types(NO)),
    System("easypractice", "EasyPractice", _types(NO, SE)),
    System("epic", "Epic", _types(NO, SE)),
    System("millenium", "Millenium"),
    System("muntra", "Muntra"),
    System("opusdental", "Opus Dental"),
    System("prorenata", "Prorenata", _types(SE)),
    System("solvit", "SolvIT"),
)

SYSTEMS = {row.slug: row for row in _ROWS}
