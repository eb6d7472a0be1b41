import httpx2
import pytest

from leyr_mcp.sandbox.app import Sandbox
from leyr_mcp.sandbox.systems import SYSTEMS
from tests.sandbox.kit import TOLVAN, book, refused, sandbox_client

SWEDISH = {"webdoc", "takecare", "kaddio", "easypractice", "epic", "prorenata"}
NORWEGIAN = {"dips", "easypractice", "epic"}


def test_every_record_system_of_the_public_tables_is_known() -> None:
    assert len(SYSTEMS) == 18
    assert {
        slug for slug, row in SYSTEMS.items() if "se_personal_number" in row.patient_types
    } == SWEDISH
    assert {
        slug for slug, row in SYSTEMS.items() if "no_personal_number" in row.patient_types
    } == NORWEGIAN
    assert not [slug for slug, row in SYSTEMS.items() if "nhs_number" in row.patient_types]


def test_an_unknown_record_system_names_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"Unknown EMR 'webdok'.*takecare, webdoc"):
        Sandbox("webdok")


@pytest.mark.parametrize("slug", sorted(SYSTEMS))
async def test_each_record_system_takes_its_types_of_id_and_no_others(slug: str) -> None:
    async with sandbox_client(slug) as (box, client):
        known = box.control.patient("191212121212")
        for kind, value in (
            ("emr_id", known.emr_id),
            ("se_personal_number", "191212121212"),
            ("no_personal_number", "26258605879"),
            ("nhs_number", "9434765919"),
        ):
            answer = await client.get(f"/patients/{kind}:{value}/medical-notes")
            if kind in SYSTEMS[slug].patient_types:
                assert answer.status_code == 200
            else:
                assert refused(answer, "PATIENT_ID_LOOKUP_TYPE_NOT_SUPPORTED")


@pytest.mark.parametrize("slug", sorted(SYSTEMS))
async def test_hsa_ids_are_taken_by_webdoc_alone(slug: str) -> None:
    async with sandbox_client(slug) as (_, client):
        answer = await client.get("/resources/hsa_id:SE2321000131-E000000012345")
        if slug == "webdoc":
            assert answer.status_code == 200
        else:
            assert refused(answer, "INVALID_RESOURCE_ID")


async def test_the_switches_change_what_the_documents_leave_open(
    box: Sandbox, client: httpx2.AsyncClient
) -> None:
    options = box.control.options
    options.created_status = 200
    options.comment_limit = 5
    assert (await book(client, comment="fem å")).status_code == 200
    assert refused(await book(client, comment="sex åå"), "INVALID_COMMENT_LENGTH")
    options.missing = "404"
    for path in ("/patients/nobody", "/appointments/none", f"/patients/{TOLVAN}/documents/none"):
        assert (await client.get(path)).json()["code"] == "NOT_FOUND"
    options.missing = "400"
    for path in ("/patients/nobody", "/appointments/none", f"/patients/{TOLVAN}/documents/none"):
        assert (await client.get(path)).status_code == 400


async def test_answers_can_be_cut_down_to_the_fields_seen_in_samples(
    box: Sandbox, client: httpx2.AsyncClient
) -> None:
    box.control.options.seen_fields_only = True
    patient = (await client.get(f"/patients/{TOLVAN}")).json()
    assert set(patient) == {"id", "emr_id", "first_name", "last_name", "care_unit_id"}
    appointment = (await book(client, comment="x")).json()[0]
    assert set(appointment) == {"id", "start", "end", "comment", "status", "care_unit_id"}
    note = (await client.get(f"/patients/{TOLVAN}/medical-notes")).json()["data"][0]
    assert set(note) == {"id", "created_by_id", "created_at"}
    document = (await client.get(f"/patients/{TOLVAN}/documents")).json()["items"][0]
    assert set(document) == {"id", "title", "type", "format"}
