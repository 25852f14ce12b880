"""Who has sent a request, known before its body is read: a stamp under a key that two parties share.

Letters are sealed and signed by themselves, and stay so. But to find out that five hundred of them are nobody's costs
five hundred verifications, and anybody can send them. A stamp costs one MAC. The key follows from both parties' keys
for letters (X25519, static to static), which their cards certify; nothing has to be exchanged for it.
"""

from __future__ import annotations

import hashlib
import hmac
from collections import OrderedDict
from typing import Final

import msgspec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from foundation.errors import Fatal
from foundation.quantities import UnixMs
from settlement.connect.acceptance import SKEW_MS
from settlement.connect.envelope_keys import EnvelopeSecrets
from settlement.gateway.keys import Directory
from settlement.quantities import Clock, PartyId

HEADER: Final = "Causeway-Stamp"
LIFETIME_MS: Final = 60_000
_VERSION: Final = "1"
_PARTS: Final = 5
_CHARACTERS_MAX: Final = 256
_DIGEST_BYTES: Final = 32
_DOMAIN: Final = b"causeway/gateway/stamp/1/"
_BURST: Final = 20
_REFILL_MS: Final = 1_000
_STRANGERS_MAX: Final = 1_024


class StrangerRefused(Fatal):
    """A request that no party known here has stamped, or one that comes again. Fields: problem."""

    def __init__(self, problem: str) -> None:
        self.problem = problem
        super().__init__(f"a request was refused: {problem}")


class Stamps:
    """This party's stamps, and its check of the others'."""

    def __init__(self, secrets: EnvelopeSecrets, directory: Directory, clock: Clock) -> None:
        """`secrets`: this party's for letters. `directory`: whose keys are believed."""
        self._secrets = secrets
        self._directory = directory
        self.clock = clock
        self._keys: dict[PartyId, bytes] = {}
        self._seen: dict[bytes, UnixMs] = {}
        self._sweep_at = 0

    def stamp(self, recipient: PartyId, path: str, body: bytes) -> str:
        """The header of a request: version, sender, moment, SHA-256 of the body, MAC."""
        sent_at, digest = self.clock(), hashlib.sha256(body).digest()
        key = self._key(recipient)
        assert key is not None, "nobody writes to a party that is not in the directory"
        mac = _mac(key, self._secrets.party, recipient, path, sent_at, digest)
        return f"{_VERSION} {self._secrets.party} {sent_at} {digest.hex()} {mac.hex()}"

    def admit(self, path: str, stamp: str) -> tuple[PartyId, bytes]:
        """Who sent a request, and the SHA-256 that its body must have (32 bytes). A stamp serves once.

        Raises:
            StrangerRefused: it is no stamp of a party that we know, for this path, made in the last minute.
        """
        version, sender, moment, digest, mac = _parts(stamp)
        if version != _VERSION:
            raise StrangerRefused("its stamp is of another release")
        key = self._key(sender)
        now = self.clock()
        if key is None or not now - LIFETIME_MS - SKEW_MS < moment <= now + SKEW_MS:
            raise StrangerRefused("no party that we know has stamped it now")
        if not hmac.compare_digest(_mac(key, sender, self._secrets.party, path, moment, digest), mac):
            raise StrangerRefused("its stamp is not genuine")
        self._once(mac, moment, now)
        return sender, digest

    def _once(self, mac: bytes, moment: UnixMs, now: UnixMs) -> None:
        if now >= self._sweep_at:
            self._seen = {each: ends for each, ends in self._seen.items() if ends > now}
            self._sweep_at = now + LIFETIME_MS
        if mac in self._seen:
            raise StrangerRefused("its stamp came before")
        self._seen[mac] = UnixMs(moment + LIFETIME_MS + SKEW_MS)

    def _key(self, other: PartyId) -> bytes | None:
        """32 bytes that this party and another share; None where it is no other party that we know."""
        found = self._keys.get(other)
        if found is None:
            keys = self._directory.keys(other)
            if keys is None or other == self._secrets.party:
                return None
            own = self._secrets.sealing.public_key().public_bytes_raw()
            pair = sorted(((self._secrets.party, own), (other, keys.seal_key)))
            shared = self._secrets.sealing.exchange(keys.sealing())
            found = HKDF(SHA256(), _DIGEST_BYTES, None, _DOMAIN + msgspec.msgpack.encode(pair)).derive(shared)
            self._keys[other] = found
        return found


class Strangers:
    """How often each address may be told that it is a stranger, and be logged: after that it is turned away unheard.

    Who stamps well is never held up by it, also behind the address of a proxy that strangers share.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._left: OrderedDict[str, tuple[int, UnixMs]] = OrderedDict()

    def may_fail(self, address: str) -> bool:
        """Count a refusal; whether this address is still within its rate: 20 at once, then one a second."""
        now = self._clock()
        left, at = self._left.pop(address, (_BURST, now))
        gained = max(0, now - at) // _REFILL_MS
        left, at = min(_BURST, left + gained), UnixMs(at + gained * _REFILL_MS)
        self._left[address] = (max(0, left - 1), at)
        if len(self._left) > _STRANGERS_MAX:
            self._left.popitem(last=False)
        return left > 0


def _mac(key: bytes, sender: str, recipient: str, path: str, sent_at: int, digest: bytes) -> bytes:
    return hmac.digest(
        key, _DOMAIN + msgspec.msgpack.encode((sender, recipient, path, sent_at, digest)), hashlib.sha256
    )


def _parts(stamp: str) -> tuple[str, PartyId, UnixMs, bytes, bytes]:
    """Raises StrangerRefused."""
    parts = stamp.split(" ") if len(stamp) <= _CHARACTERS_MAX and stamp.isascii() else []
    if len(parts) != _PARTS or not parts[2].isdigit() or len(parts[2]) > 16:
        raise StrangerRefused("it has no stamp")
    try:
        digest, mac = bytes.fromhex(parts[3]), bytes.fromhex(parts[4])
    except ValueError:
        raise StrangerRefused("it has no stamp") from None
    if len(digest) != _DIGEST_BYTES or len(mac) != _DIGEST_BYTES:
        raise StrangerRefused("it has no stamp")
    return parts[0], PartyId(parts[1]), UnixMs(int(parts[2])), digest, mac
