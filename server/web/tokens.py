"""Signed tokens, read as strictly as they can be: nothing is believed before the signature holds.

Keys come from the issuer alone, each for the algorithms of its own kind, so that no header of a
token can choose how it is checked.
"""

from __future__ import annotations

import base64
import hmac
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

LARGEST = 8_192
LEEWAY_S = 60
LONGEST_S = 3_600
_LAST_S = 2**40
ALGORITHMS = frozenset({"RS256", "PS256", "ES256", "EdDSA"})
_DEEPEST = 16
_MOST_KEYS = 100
_PART = re.compile(r"[A-Za-z0-9_-]+")
_TYPES = frozenset({None, "jwt", "at+jwt", "application/at+jwt"})
_LEAST_RSA_BITS, _MOST_RSA_BITS = 2_048, 8_192
_P256_BYTES = 32
_NAME_CAP = 255  # the longest that OpenID allows a subject
# As RFC 9068, OpenID, Entra and Okta name the client.
_CLIENT = ("client_id", "azp", "appid", "cid")
# What tells a token for the client's own eyes, and one that is good only with a further proof.
_NOT_OURS = ("at_hash", "c_hash", "cnf")


class TokenError(Exception):
    """The token is not to be believed; the sentence says why, for the log alone."""


@dataclass(frozen=True, slots=True)
class Key:
    """One public key of the issuer, and the algorithms that it may be used for."""

    kid: str | None
    verify: Mapping[str, Callable[[bytes, bytes], None]] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Parsed:
    """A token whose form holds; nothing of it is proved yet."""

    alg: str
    kid: str | None
    claims: dict[str, Any] = field(repr=False)
    signed: bytes = field(repr=False)
    signature: bytes = field(repr=False)


def parse(token: str) -> Parsed:
    """Take a compact token apart.

    Raises:
        TokenError: It is none.
    """
    parts = token.split(".", 3) if len(token) <= LARGEST else []
    if len(parts) != 3:  # noqa: PLR2004 - header, claims, signature
        raise TokenError("not a signed token")
    header, claims = _object(parts[0]), _object(parts[1])
    alg, kid, kind = header.get("alg"), header.get("kid"), header.get("typ")
    if not isinstance(alg, str) or not isinstance(kid, str | None) or "crit" in header:
        raise TokenError("its header cannot be used")
    if alg not in ALGORITHMS:
        raise TokenError("it is not signed by an algorithm that counts")
    if (kind.lower() if isinstance(kind, str) else kind) not in _TYPES:
        raise TokenError("it is a token of another kind")
    signed = f"{parts[0]}.{parts[1]}".encode("ascii")
    return Parsed(alg, kid, claims, signed, _decoded(parts[2]))


def check_signature(parsed: Parsed, keys: Sequence[Key]) -> None:
    """See that the key of the issuer that it names signed it.

    One that names none must not need a choice. Public keys alone are used here, so how long it
    takes tells nobody anything.

    Raises:
        TokenError: It did not.
    """
    meant = [key for key in keys if parsed.kid in (None, key.kid) and parsed.alg in key.verify]
    if len(meant) != 1:
        raise TokenError("it names no key of the issuer")
    try:
        meant[0].verify[parsed.alg](parsed.signature, parsed.signed)
    except (InvalidSignature, ValueError):
        raise TokenError("the issuer's key did not sign it") from None


def check_claims(claims: Mapping[str, Any], *, issuer: str, audience: str, now_s: float) -> None:
    """See that it is of this issuer, for us, of somebody, and of this hour.

    Raises:
        TokenError: It is not.
    """
    if claims.get("iss") != issuer:
        raise TokenError("it is of another issuer")
    meant = claims.get("aud")
    if audience not in (meant if isinstance(meant, list) else [meant]):
        raise TokenError("it is for another service")
    if not _is_name(claims.get("sub")):
        raise TokenError("it names nobody")
    if any(name in claims for name in _NOT_OURS):
        raise TokenError("it is not for being sent as it is")
    _check_times(claims, now_s)


def check_id(
    claims: Mapping[str, Any], *, issuer: str, client: str, nonce: str, now_s: float
) -> None:
    """See that an id token is of this issuer, for this client, and answers this very question.

    Raises:
        TokenError: It is not.
    """
    if claims.get("iss") != issuer:
        raise TokenError("it is of another issuer")
    meant = claims.get("aud")
    if meant not in (client, [client]):
        raise TokenError("it is for another client")
    told = claims.get("nonce")
    if not isinstance(told, str) or not hmac.compare_digest(told.encode(), nonce.encode()):
        raise TokenError("it answers another question")
    if not _is_name(claims.get("sub")):
        raise TokenError("it names nobody")
    ends = _time(claims, "exp")
    if ends is None or now_s >= ends:
        raise TokenError("it has expired")


def _is_name(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= _NAME_CAP and value.isprintable()


def client_of(claims: Mapping[str, Any]) -> str:
    """Return through which client it was got: the first claim that tells; empty if none does.

    Raises:
        TokenError: What tells it is no name.
    """
    told = next((claims[name] for name in _CLIENT if name in claims), None)
    if told is not None and not _is_name(told):
        raise TokenError("it names its client in no way that can be used")
    return told or ""


def _check_times(claims: Mapping[str, Any], now_s: float) -> None:
    ends = _time(claims, "exp")
    if ends is None:
        raise TokenError("it has no end")
    if now_s >= ends:
        raise TokenError("it has expired")
    if ends > now_s + LONGEST_S + LEEWAY_S:
        raise TokenError("it is good for too long")
    for name in ("nbf", "iat"):
        begins = _time(claims, name)
        if begins is not None and begins > now_s + LEEWAY_S:
            raise TokenError("it is not good yet")


def scopes_of(claims: Mapping[str, Any]) -> list[str]:
    """Return what it allows: `scope` and `scp`, each as one text or a list; no other form does."""
    found = list[str]()
    for given in (claims.get("scope"), claims.get("scp")):
        listed = given.split(" ") if isinstance(given, str) else given
        if isinstance(listed, list):
            found += [scope for scope in listed if isinstance(scope, str) and scope]
    return list(dict.fromkeys(found))


def keys_of(document: Mapping[str, Any]) -> list[Key]:
    """Return the keys of a key set that can be used; one that cannot is left out."""
    listed = document.get("keys")
    if not isinstance(listed, list):
        return []
    found = (_key(one) for one in listed[:_MOST_KEYS] if isinstance(one, dict))
    return [key for key in found if key is not None]


def _key(raw: Mapping[str, Any]) -> Key | None:
    if raw.get("use", "sig") != "sig" or not isinstance(raw.get("kid"), str | None):
        return None
    uses = raw.get("key_ops", ["verify"])
    if not isinstance(uses, list) or "verify" not in uses or "d" in raw:  # a secret that is out
        return None
    make = _KINDS.get(str(raw.get("kty")))
    try:
        verify = make(raw) if make else {}
    except (TokenError, ValueError, TypeError, KeyError, UnsupportedAlgorithm):
        return None
    wanted = raw.get("alg")
    if wanted is not None:
        verify = {alg: check for alg, check in verify.items() if alg == wanted}
    return Key(raw.get("kid"), verify) if verify else None


def _rsa(raw: Mapping[str, Any]) -> dict[str, Callable[[bytes, bytes], None]]:
    n, e = (int.from_bytes(_decoded(raw[name]), "big") for name in ("n", "e"))
    if not _LEAST_RSA_BITS <= n.bit_length() <= _MOST_RSA_BITS:
        return {}
    key = rsa.RSAPublicNumbers(e, n).public_key()
    pss = padding.PSS(mgf=padding.MGF1(hashes.SHA256()), salt_length=padding.PSS.DIGEST_LENGTH)
    return {
        "RS256": lambda sig, data: key.verify(sig, data, padding.PKCS1v15(), hashes.SHA256()),
        "PS256": lambda sig, data: key.verify(sig, data, pss, hashes.SHA256()),
    }


def _ec(raw: Mapping[str, Any]) -> dict[str, Callable[[bytes, bytes], None]]:
    if raw["crv"] != "P-256":
        return {}
    x, y = (int.from_bytes(_decoded(raw[name]), "big") for name in ("x", "y"))
    key = ec.EllipticCurvePublicNumbers(x, y, ec.SECP256R1()).public_key()

    def verify(sig: bytes, data: bytes) -> None:
        if len(sig) != 2 * _P256_BYTES:
            raise InvalidSignature
        r, s = (int.from_bytes(part, "big") for part in (sig[:_P256_BYTES], sig[_P256_BYTES:]))
        key.verify(encode_dss_signature(r, s), data, ec.ECDSA(hashes.SHA256()))

    return {"ES256": verify}


def _okp(raw: Mapping[str, Any]) -> dict[str, Callable[[bytes, bytes], None]]:
    if raw["crv"] != "Ed25519":
        return {}
    key = ed25519.Ed25519PublicKey.from_public_bytes(_decoded(raw["x"]))
    return {"EdDSA": key.verify}


_KINDS = {"RSA": _rsa, "EC": _ec, "OKP": _okp}


def _time(claims: Mapping[str, Any], name: str) -> float | None:
    value = claims.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < _LAST_S:
        raise TokenError("a time in it is none")
    return float(value)


def _object(part: str) -> dict[str, Any]:
    try:
        found = json.loads(
            _decoded(part).decode("utf-8"), object_pairs_hook=_once, parse_constant=_none
        )
        _see_plain(found, _DEEPEST)
    except (ValueError, RecursionError):
        raise TokenError("a part of it is no JSON") from None
    if not isinstance(found, dict):
        raise TokenError("a part of it is no object")
    return found


def _see_plain(value: object, left: int) -> None:
    """See that it is not nested without need, and that each text in it can be written again.

    Raises:
        ValueError: It is, or one cannot: JSON has a way to spell half a character.
    """
    if isinstance(value, str):
        value.encode()
    elif isinstance(value, list | dict):
        if left == 0:
            raise ValueError("nested too deep")
        for inner in value:
            _see_plain(inner, left - 1)
        for inner in value.values() if isinstance(value, dict) else ():
            _see_plain(inner, left - 1)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object; one that names anything twice can be read in two ways."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("named twice")
    return found


def _none(_: str) -> None:
    raise ValueError("no number")


def _decoded(part: str) -> bytes:
    if not isinstance(part, str) or not _PART.fullmatch(part):
        raise TokenError("a part of it is not base64url")
    try:
        found = base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
    except ValueError:
        raise TokenError("a part of it is not base64url") from None
    # Its last bits may not be spelled in more than one way, or one token would have several.
    if base64.urlsafe_b64encode(found).rstrip(b"=") != part.encode("ascii"):
        raise TokenError("a part of it is not base64url")
    return found
