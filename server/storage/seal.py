"""Sealing of what must not stand in the clear: AES-256-GCM, bound to the place where it stands.

A sealed value opens only in the table, row and column it was sealed for, so that nothing can be
moved from one row to another. It does not hide how long the text was.
"""

from __future__ import annotations

import hmac
import secrets
from typing import Any, Literal

from leyr_mcp.server.errors import StorageError
from leyr_mcp.server.storage.keys import Keys

Label = Literal["payload", "patient", "ledger"]
_FORM = b"\x01"
_NONCE = 12
_TAG = 16
# How long a sealed nothing is: what a dropped text looks like.
EMPTY = len(_FORM) + _NONCE + _TAG


class Sealer:
    """Seals and opens values, and names patients and records by keyed digests."""

    __slots__ = ("_ciphers", "_dedupe_key", "_keys", "_patient_mac", "_remote_key")

    def __init__(self, keys: Keys) -> None:
        self._keys = keys
        self._ciphers: dict[Label, Any] = {}
        # Made once and copied for each event: a new one costs several times as much.
        self._patient_mac = hmac.new(keys.derive("patient-key"), digestmod="sha256")
        self._remote_key = keys.derive("remote-key")
        self._dedupe_key = keys.derive("dedupe-key")

    def seal(self, label: Label, value: bytes, *place: str | int) -> bytes:
        """Return the value sealed for this place: table, row, and version or column."""
        nonce = secrets.token_bytes(_NONCE)
        sealed: bytes = self._cipher(label).encrypt(nonce, value, _bound(place))
        return _FORM + nonce + sealed

    def open(self, label: Label, sealed: bytes, *place: str | int) -> bytes:
        """Return what was sealed for this place.

        Raises:
            StorageError: It was changed, moved, or sealed by another key.
        """
        from cryptography.exceptions import InvalidTag  # noqa: PLC0415 - off the server's start

        start = len(_FORM)
        nonce, text = sealed[start : start + _NONCE], sealed[start + _NONCE :]
        if sealed[:start] != _FORM or len(text) < _TAG:
            raise StorageError("A stored value is damaged and was not used.")
        try:
            value: bytes = self._cipher(label).decrypt(nonce, text, _bound(place))
        except InvalidTag:
            raise StorageError("A stored value is damaged and was not used.") from None
        return value

    def patient_key(self, patient: str) -> str:
        """Return the digest under which this patient is found; it cannot be turned back."""
        mac = self._patient_mac.copy()
        mac.update(patient.encode())
        return mac.hexdigest()

    def remote_key(self, *parts: str) -> str:
        """Return the digest under which a record's id is unique."""
        return hmac.digest(self._remote_key, "\0".join(parts).encode(), "sha256").hex()

    def dedupe_key(self, *parts: str) -> str:
        """Return the digest under which an identical repeat is found."""
        return hmac.digest(self._dedupe_key, "\0".join(parts).encode(), "sha256").hex()

    def _cipher(self, label: Label) -> Any:
        if label not in self._ciphers:
            from cryptography.hazmat.primitives.ciphers.aead import (  # noqa: PLC0415 - as above
                AESGCM,
            )

            self._ciphers[label] = AESGCM(self._keys.derive(label))
        return self._ciphers[label]

    def __repr__(self) -> str:
        return "Sealer(***)"


def patient_key(keys: Keys, patient: str) -> str:
    """Return what every store with these keys files the patient under."""
    return Sealer(keys).patient_key(patient)


def _bound(place: tuple[str | int, ...]) -> bytes:
    return "\0".join(map(str, place)).encode()
