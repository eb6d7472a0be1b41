import httpx2
import pytest

from leyr_mcp.sandbox.app import Sandbox
from tests.sandbox.kit import TOLVAN, codes, refused, sandbox_client


async def test_search_returns_a_bare_list_with_both_ids(client: httpx2.AsyncClient) -> None:
    params = {"first_name": "tolvan", "last_name": "TOLVANSSON"}
    (patient,) = (await client.get("/patients", params=params)).json()
    assert patient["external_id"] == "191212121212"
    assert patient["phones"] == ["+46001234567"]
    assert patient["care_unit_id"] == "L0_1"
    assert len({patient["id"], patient["emr_id"], patient["external_id"]}) == 3


async def test_search_by_one_name_finds_both_namesakes(client: httpx2.AsyncClient) -> None:
    for name in ("Testdotter", "Provström"):
        found = (await client.get("/patients", params={"last_name": name})).json()
        assert len({(one["first_name"], one["last_name"]) for one in found}) == 1
        assert len({one["external_id"] for one in found}) == 2


async def test_search_matches_whole_names_in_any_unicode_form(client: httpx2.AsyncClient) -> None:
    decomposed = "A\u030asa"
    assert len((await client.get("/patients", params={"first_name": decomposed})).json()) == 2
    assert (await client.get("/patients", params={"last_name": "Tolvan"})).json() == []


async def test_search_without_a_name_is_refused(client: httpx2.AsyncClient) -> None:
    assert refused(await client.get("/patients"), "MISSING_REQUIRED_FIELD")


async def test_ids_of_different_kinds_cannot_be_mixed_up(
    box: Sandbox, client: httpx2.AsyncClient
) -> None:
    tolvan = box.control.patient("191212121212")
    for good in (tolvan.emr_id, f"emr_id:{tolvan.emr_id}", TOLVAN):
        assert (await client.get(f"/patients/{good}")).json()["id"] == tolvan.id
    bad = (tolvan.id, f"emr_id:{tolvan.id}", "191212121212", f"se_personal_number:{tolvan.emr_id}")
    for wrong in bad:
        assert refused(await client.get(f"/patients/{wrong}"), "INVALID_PATIENT_ID")


@pytest.mark.parametrize(
    ("typed_id", "code"),
    [
        ("personnummer:191212121212", "INVALID_PATIENT_ID_TYPE"),
        ("hsa_id:SE2321000131-E000000012345", "INVALID_PATIENT_ID_TYPE"),
        ("leyr_id:1", "INVALID_PATIENT_ID_TYPE"),
        (":191212121212", "INVALID_PATIENT_ID_TYPE"),
        ("nhs_number:9434765919", "PATIENT_ID_LOOKUP_TYPE_NOT_SUPPORTED"),
        ("no_personal_number:26258605879", "PATIENT_ID_LOOKUP_TYPE_NOT_SUPPORTED"),
        ("se_personal_number:19121212-1212", "INVALID_PATIENT_ID"),
        ("se_personal_number:", "INVALID_PATIENT_ID"),
        ("abc_12345", "INVALID_PATIENT_ID"),
        ("..%2f..%2fcare-units", "INVALID_PATIENT_ID"),
    ],
)
async def test_each_wrong_patient_id_has_its_own_code(
    client: httpx2.AsyncClient, typed_id: str, code: str
) -> None:
    for path in ("", "/medical-notes", "/documents"):
        assert refused(await client.get(f"/patients/{typed_id}{path}"), code)
    if "%" not in typed_id:
        listed = await client.get("/appointments", params={"patient_id": typed_id})
        assert refused(listed, code)


async def test_a_patient_is_created_once_per_number(client: httpx2.AsyncClient) -> None:
    body = {
        "first_name": "Nyman",
        "last_name": "Provberg",
        "external_id": "202503312387",
        "phones": ["+46700000000"],
        "emails": ["nyman@example.invalid"],
    }
    first = await client.post("/patients", json=body)
    assert first.status_code == 200
    assert first.json().items() >= {**body, "care_unit_id": "L0_1"}.items()
    again = await client.post("/patients", json={**body, "first_name": "Annan"})
    assert again.json() == first.json()
    found = await client.get(f"/patients/{first.json()['emr_id']}")
    assert found.json() == first.json()


async def test_without_a_number_every_create_is_a_new_patient(client: httpx2.AsyncClient) -> None:
    body = {"first_name": "Nyman", "last_name": "Provberg", "nickname": "ignored"}
    first, second = [(await client.post("/patients", json=body)).json() for _ in range(2)]
    assert first["id"] != second["id"]
    assert first["emr_id"] != second["emr_id"]
    assert "nickname" not in first


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"last_name": "B"}, ["MISSING_REQUIRED_FIELD"]),
        ({}, ["MISSING_REQUIRED_FIELD", "MISSING_REQUIRED_FIELD"]),
        ({"first_name": "", "last_name": "B"}, ["BAD_REQUEST"]),
        ({"first_name": "A", "last_name": 7}, ["BAD_REQUEST"]),
        ({"first_name": "A", "last_name": "B", "phones": "+46700000000"}, ["BAD_REQUEST"]),
        ([], ["BAD_REQUEST"]),
        ("text", ["BAD_REQUEST"]),
    ],
)
async def test_a_wrong_body_is_refused_with_one_code_per_field(
    client: httpx2.AsyncClient, body: object, expected: list[str]
) -> None:
    assert codes(await client.post("/patients", json=body)) == (400, expected)


async def test_takecare_knows_patients_by_number_and_demands_a_valid_one() -> None:
    async with sandbox_client("takecare") as (box, client):
        assert len(box.control.patients()) >= 40
        person = (await client.get("/patients/197110021834")).json()
        assert person["emr_id"] == person["external_id"] == "197110021834"
        assert person["id"] != person["emr_id"]
        body = {"first_name": "A", "last_name": "B"}
        assert refused(await client.post("/patients", json=body), "MISSING_REQUIRED_FIELD")
        for wrong in ("191212121213", "26258605879", "19121212-1212"):
            answer = await client.post("/patients", json={**body, "external_id": wrong})
            assert refused(answer, "BAD_INPUT")
        created = await client.post("/patients", json={**body, "external_id": "202503312387"})
        assert created.json()["emr_id"] == "202503312387"


async def test_konfidens_demands_a_valid_norwegian_number() -> None:
    async with sandbox_client("konfidens") as (_, client):
        body = {"first_name": "A", "last_name": "B"}
        assert refused(await client.post("/patients", json=body), "MISSING_REQUIRED_FIELD")
        answer = await client.post("/patients", json={**body, "external_id": "26258605878"})
        assert refused(answer, "BAD_INPUT")
        answer = await client.post("/patients", json={**body, "external_id": "50846202355"})
        assert answer.status_code == 200
        lookup = await client.get("/patients/no_personal_number:50846202355")
        assert refused(lookup, "PATIENT_ID_LOOKUP_TYPE_NOT_SUPPORTED")


async def test_anita_demands_a_phone_and_returns_no_single_patient() -> None:
    async with sandbox_client("anitasystems") as (box, client):
        body = {"first_name": "A", "last_name": "B"}
        assert refused(await client.post("/patients", json=body), "MISSING_REQUIRED_FIELD")
        answer = await client.post("/patients", json={**body, "phones": ["0700-123456"]})
        assert refused(answer, "BAD_INPUT")
        created = await client.post("/patients", json={**body, "phones": ["+46700123456"]})
        assert created.status_code == 200
        assert refused(await client.get(f"/patients/{created.json()['emr_id']}"), "NOT_SUPPORTED")
        assert box.control.patient(created.json()["id"]).phones == ("+46700123456",)
