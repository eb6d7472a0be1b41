"""An issuer for tests: keys of every kind, tokens right and wrong, its documents."""

from __future__ import annotations

import base64
import json
import time
from functools import cache
from typing import Any

from cryptography.hazmat.primitives import hashes, hmac
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from leyr_mcp.server.fetching import FetchError

ISSUER = "https://id.example.org/clinic"
AUDIENCE = "https://mcp.example.org/mcp"
NOW = 1_780_000_000.0


def b64(raw: bytes) -> str:
    """Return base64url without its padding."""
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _number(value: int, size: int | None = None) -> str:
    return b64(value.to_bytes(size or (value.bit_length() + 7) // 8, "big"))


@cache
def rsa_key(name: str, bits: int) -> rsa.RSAPrivateKey:
    """Return a key, made once for each name."""
    return rsa.generate_private_key(65_537, bits)


@cache
def ec_key() -> ec.EllipticCurvePrivateKey:
    """Return one."""
    return ec.generate_private_key(ec.SECP256R1())


@cache
def ed_key() -> ed25519.Ed25519PrivateKey:
    """Return one."""
    return ed25519.Ed25519PrivateKey.generate()


def jwk(kid: str = "k1", **more: Any) -> dict[str, Any]:
    """Return a public key as the issuer publishes it."""
    kind = more.pop("kind", "RSA")
    if kind == "EC":
        point = ec_key().public_key().public_numbers()
        found = {"kty": "EC", "crv": "P-256", "x": _number(point.x, 32), "y": _number(point.y, 32)}
    elif kind == "OKP":
        raw = ed_key().public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        found = {"kty": "OKP", "crv": "Ed25519", "x": b64(raw)}
    else:
        public = rsa_key(kid, more.pop("bits", 2048)).public_key().public_numbers()
        found = {"kty": "RSA", "n": _number(public.n), "e": _number(public.e)}
    return {**found, "kid": kid, "use": "sig", **more}


def claims(**changes: Any) -> dict[str, Any]:
    """Return what a good token says, with changes; one that is None is left out."""
    good = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": "dr-ek",
        "exp": int(NOW) + 600,
        "iat": int(NOW),
        "client_id": "scribe",
        "scope": "ehr.read ehr.draft ehr.file",
    }
    return {name: value for name, value in {**good, **changes}.items() if value is not None}


def token(
    told: dict[str, Any] | str | None = None,
    *,
    alg: str = "RS256",
    kid: str | None = "k1",
    **header: Any,
) -> str:
    """Return a token signed as its header says."""
    head: dict[str, Any] = {"alg": alg, "typ": "at+jwt", "kid": kid, **header}
    head = {name: value for name, value in head.items() if value is not None}
    body = told if isinstance(told, str) else json.dumps(claims() if told is None else told)
    signed = f"{b64(json.dumps(head).encode())}.{b64(body.encode())}"
    return f"{signed}.{b64(_sign(alg, kid or 'k1', signed.encode()))}"


def _sign(alg: str, kid: str, data: bytes) -> bytes:
    if alg == "RS256":
        return rsa_key(kid, 2048).sign(data, padding.PKCS1v15(), hashes.SHA256())
    if alg == "PS256":
        pss = padding.PSS(padding.MGF1(hashes.SHA256()), padding.PSS.DIGEST_LENGTH)
        return rsa_key(kid, 2048).sign(data, pss, hashes.SHA256())
    if alg == "ES256":
        r, s = decode_dss_signature(ec_key().sign(data, ec.ECDSA(hashes.SHA256())))
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")
    if alg == "EdDSA":
        return ed_key().sign(data)
    if alg == "HS256":  # with the public key as the secret, which a confused verifier takes
        public = rsa_key(kid, 2048).public_key()
        pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        mac = hmac.HMAC(pem, hashes.SHA256())
        mac.update(data)
        return mac.finalize()
    return b"x"


class Documents:
    """What the issuer answers, by address; away when told so."""

    def __init__(self, *keys: dict[str, Any], **more: Any) -> None:
        self.keys = list(keys) or [jwk()]
        self.asked: list[str] = []
        self.away = False
        self.document = {"issuer": ISSUER, "jwks_uri": f"{ISSUER}/keys", **more}
        self.place = "https://id.example.org/.well-known/oauth-authorization-server/clinic"

    async def __call__(self, url: str) -> dict[str, Any]:
        self.asked.append(url)
        if self.away:
            raise FetchError("no answer in time", away=True)
        if url == self.place:
            return self.document
        if url == self.document["jwks_uri"]:
            return {"keys": self.keys}
        raise FetchError("status 404")


def lasting(**more: Any) -> str:
    """Return a token that is good by the real clock."""
    now = int(time.time())
    return token(claims(exp=now + 600, iat=now, **more))
