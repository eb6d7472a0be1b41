"""The state of the sandbox in SQLite: one connection, short transactions, no knowledge of HTTP.

A file may be shared by processes and opened again later; without one the state lives in memory.
"""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

SCHEMA = """
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS patients (
    id TEXT PRIMARY KEY, emr_id TEXT NOT NULL UNIQUE, external_id TEXT UNIQUE,
    first_name TEXT NOT NULL, last_name TEXT NOT NULL,
    phones TEXT NOT NULL, emails TEXT NOT NULL, care_unit_id TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS appointments (
    id TEXT PRIMARY KEY, care_unit_id TEXT NOT NULL,
    patient TEXT NOT NULL REFERENCES patients (id),
    resource_id TEXT NOT NULL, service_id TEXT NOT NULL,
    start_s INTEGER NOT NULL, end_s INTEGER NOT NULL,
    comment TEXT, status TEXT NOT NULL, cancels TEXT) STRICT;
CREATE INDEX IF NOT EXISTS appointments_by_time ON appointments (care_unit_id, start_s);
CREATE TABLE IF NOT EXISTS notes (
    id TEXT PRIMARY KEY, patient TEXT NOT NULL REFERENCES patients (id),
    template_id TEXT NOT NULL, title TEXT, created_by_id TEXT NOT NULL,
    content TEXT NOT NULL, created_at TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS documents (
    id TEXT PRIMARY KEY, patient TEXT NOT NULL REFERENCES patients (id),
    title TEXT NOT NULL, type TEXT, format TEXT NOT NULL, created_by_id TEXT NOT NULL,
    content BLOB NOT NULL, created_at TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS sms (
    appointment_id TEXT NOT NULL, phone TEXT NOT NULL, code TEXT NOT NULL,
    purpose TEXT NOT NULL, sent_at TEXT NOT NULL) STRICT;
"""
TABLES = ("sms", "documents", "notes", "appointments", "patients", "meta")
BUSY_MS = 5000
OCCUPYING = "status IN ('booked', 'awaiting_confirmation') AND cancels IS NULL"


@dataclass(frozen=True)
class Patient:
    """A registered person."""

    id: str
    emr_id: str
    external_id: str | None
    first_name: str
    last_name: str
    phones: tuple[str, ...]
    emails: tuple[str, ...]
    care_unit_id: str


@dataclass(frozen=True)
class Appointment:
    """A booking, or (with `cancels`) a cancellation that waits for its confirmation."""

    id: str
    care_unit_id: str
    patient: str
    resource_id: str
    service_id: str
    start_s: int
    end_s: int
    comment: str | None
    status: str
    cancels: str | None = None


@dataclass(frozen=True)
class Note:
    """A medical note."""

    id: str
    patient: str
    template_id: str
    title: str | None
    created_by_id: str
    content: dict[str, str]
    created_at: str


@dataclass(frozen=True)
class Document:
    """A stored file; `content` is empty where only the list was asked for."""

    id: str
    patient: str
    title: str
    type: str | None
    format: str
    created_by_id: str
    content: bytes
    created_at: str


@dataclass(frozen=True)
class Sms:
    """A text message with a code, as the API would have sent it."""

    appointment_id: str
    phone: str
    code: str
    purpose: str
    sent_at: str


def _patient(row: tuple[str, str, str | None, str, str, str, str, str]) -> Patient:
    first, phones, emails, unit = row[:5], row[5], row[6], row[7]
    return Patient(*first, tuple(json.loads(phones)), tuple(json.loads(emails)), unit)


def _note(row: tuple[str, str, str, str | None, str, str, str]) -> Note:
    return Note(*row[:5], json.loads(row[5]), row[6])


class Store:
    """The only place that speaks SQL."""

    def __init__(self, path: Path | None) -> None:
        if path is not None:
            path.touch(mode=0o600)
        # Whoever embeds the sandbox may build it in one thread and serve it in another.
        self._db = sqlite3.connect(
            path or ":memory:",
            isolation_level=None,
            timeout=BUSY_MS / 1000,
            check_same_thread=False,
        )
        try:
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = NORMAL")
            self._db.executescript(SCHEMA)
        except sqlite3.Error:
            self._db.close()
            raise

    def close(self) -> None:
        """Close the connection; the file keeps its data."""
        self._db.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Make the writes inside happen all or not at all, alone among processes."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    def clear(self) -> None:
        """Forget everything; call inside a transaction."""
        for table in TABLES:
            self._db.execute(f"DELETE FROM {table}")  # noqa: S608 -- names from the tuple above

    def meta(self, key: str) -> str | None:
        """Return a stored setting of the state itself."""
        row = self._db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return None if row is None else str(row[0])

    def set_meta(self, key: str, value: str) -> None:
        """Store a setting of the state itself."""
        self._db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))

    def next_number(self) -> int:
        """Return 1, 2, 3 … over the life of the state; call inside a transaction."""
        number = int(self.meta("counter") or 0) + 1
        self.set_meta("counter", str(number))
        return number

    def add_patient(self, patient: Patient) -> None:
        """Store a patient."""
        self._db.execute(
            "INSERT INTO patients VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                patient.id,
                patient.emr_id,
                patient.external_id,
                patient.first_name,
                patient.last_name,
                json.dumps(patient.phones),
                json.dumps(patient.emails),
                patient.care_unit_id,
            ),
        )

    def patients(self) -> list[Patient]:
        """Return all patients in the order of their registration."""
        return [_patient(row) for row in self._db.execute("SELECT * FROM patients ORDER BY rowid")]

    def patient(self, patient: str) -> Patient:
        """Return a patient by Leyr's id, which must exist."""
        row = self._db.execute("SELECT * FROM patients WHERE id = ?", (patient,)).fetchone()
        return _patient(row)

    def patient_by_emr_id(self, emr_id: str) -> Patient | None:
        """Return the patient with that id in the record system."""
        row = self._db.execute("SELECT * FROM patients WHERE emr_id = ?", (emr_id,)).fetchone()
        return None if row is None else _patient(row)

    def patient_by_number(self, number: str) -> Patient | None:
        """Return the patient with that national number."""
        row = self._db.execute("SELECT * FROM patients WHERE external_id = ?", (number,)).fetchone()
        return None if row is None else _patient(row)

    def put_appointment(self, appointment: Appointment) -> None:
        """Store an appointment, new or changed."""
        self._db.execute(
            "INSERT OR REPLACE INTO appointments VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                appointment.id,
                appointment.care_unit_id,
                appointment.patient,
                appointment.resource_id,
                appointment.service_id,
                appointment.start_s,
                appointment.end_s,
                appointment.comment,
                appointment.status,
                appointment.cancels,
            ),
        )

    def appointment(self, appointment_id: str) -> Appointment | None:
        """Return the appointment, or the waiting cancellation, with that id."""
        row = self._db.execute(
            "SELECT * FROM appointments WHERE id = ?", (appointment_id,)
        ).fetchone()
        return None if row is None else Appointment(*row)

    def cancellation_of(self, appointment_id: str) -> Appointment | None:
        """Return the cancellation that waits for its confirmation."""
        row = self._db.execute(
            "SELECT * FROM appointments WHERE cancels = ? AND status = 'awaiting_confirmation'",
            (appointment_id,),
        ).fetchone()
        return None if row is None else Appointment(*row)

    def appointments(self, care_unit_id: str | None = None) -> list[Appointment]:
        """Return the appointments in order of time, cancelled ones included."""
        rows = self._db.execute(
            "SELECT * FROM appointments WHERE cancels IS NULL"
            " AND (?1 IS NULL OR care_unit_id = ?1) ORDER BY start_s, rowid",
            (care_unit_id,),
        )
        return [Appointment(*row) for row in rows]

    def taken(
        self, care_unit_id: str, besides: str | None = None
    ) -> dict[str, list[tuple[int, int]]]:
        """Return the taken times per resource, but for one appointment."""
        taken: dict[str, list[tuple[int, int]]] = {}
        rows = self._db.execute(
            f"SELECT resource_id, start_s, end_s FROM appointments WHERE {OCCUPYING}"  # noqa: S608 -- a constant
            " AND care_unit_id = ? AND id IS NOT ?",
            (care_unit_id, besides),
        )
        for resource_id, start, end in rows:
            taken.setdefault(resource_id, []).append((start, end))
        return taken

    def add_note(self, note: Note) -> None:
        """Store a note."""
        content = json.dumps(note.content, ensure_ascii=False)
        self._db.execute(
            "INSERT INTO notes VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                note.id,
                note.patient,
                note.template_id,
                note.title,
                note.created_by_id,
                content,
                note.created_at,
            ),
        )

    def notes(self, patient: str) -> list[Note]:
        """Return a patient's notes, the newest first."""
        rows = self._db.execute(
            "SELECT * FROM notes WHERE patient = ? ORDER BY created_at DESC, rowid DESC", (patient,)
        )
        return [_note(row) for row in rows]

    def add_document(self, document: Document) -> None:
        """Store a document."""
        self._db.execute(
            "INSERT INTO documents VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                document.id,
                document.patient,
                document.title,
                document.type,
                document.format,
                document.created_by_id,
                document.content,
                document.created_at,
            ),
        )

    def documents(self, patient: str) -> list[Document]:
        """Return a patient's documents without their content, the newest first."""
        rows = self._db.execute(
            "SELECT id, patient, title, type, format, created_by_id, x'', created_at FROM documents"
            " WHERE patient = ? ORDER BY created_at DESC, rowid DESC",
            (patient,),
        )
        return [Document(*row) for row in rows]

    def document(self, document_id: str) -> Document | None:
        """Return one document with its content."""
        row = self._db.execute("SELECT * FROM documents WHERE id = ?", (document_id,)).fetchone()
        return None if row is None else Document(*row)

    def add_sms(self, sms: Sms) -> None:
        """Store a text message as sent."""
        self._db.execute(
            "INSERT INTO sms VALUES (?, ?, ?, ?, ?)",
            (sms.appointment_id, sms.phone, sms.code, sms.purpose, sms.sent_at),
        )

    def sms(self) -> list[Sms]:
        """Return all text messages, the oldest first."""
        return [Sms(*row) for row in self._db.execute("SELECT * FROM sms ORDER BY rowid")]
