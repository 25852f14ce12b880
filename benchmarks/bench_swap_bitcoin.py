"""A swap's bitcoin leg: what each spend takes in a block, and what the signatures cost to make. No node.

Virtual bytes are those of the input: the whole transaction less what it would have with the same output and no input,
as the vault's are counted. They follow from BIP-141 and do not vary.
"""

from __future__ import annotations

import hashlib
import statistics
import time
from collections.abc import Callable

from coincurve import PrivateKey, PublicKeyXOnly

from adapters.bitcoin.primitives import Coin, OutPoint
from adapters.bitcoin.scripts import vault_script
from adapters.bitcoin.transactions import parse_transaction, vsize_of
from foundation.quantities import Satoshi, SatPerKvB
from settlement.swap.bitcoin.cosign import Asker, answer
from settlement.swap.bitcoin.output import SwapOutput
from settlement.swap.bitcoin.rungs import RungMaker, complete_rungs, offer_rungs
from settlement.swap.terms import Mode, Role

SAMPLES = 15
RATE = SatPerKvB(1_000)
INITIATOR, FOLLOWER, SECRET = (hashlib.sha256(name).digest() for name in (b"initiator", b"follower", b"secret"))
POINT = bytes(PrivateKey(SECRET).public_key.format())
FEES = (Satoshi(200), Satoshi(600), Satoshi(2_000))
COOPERATIVE_MS = 20.0
"""Both sides of a signature together: a small part of the 1.5 s that a whole swap may take."""


def key_of(secret: bytes) -> bytes:
    return bytes(PublicKeyXOnly.from_secret(secret).format())


def output(mode: Mode) -> SwapOutput:
    return SwapOutput(mode, key_of(INITIATOR), key_of(FOLLOWER), hashlib.sha256(SECRET).digest(), 1_800_000_000)


def coin(mode: Mode) -> Coin:
    return Coin(OutPoint(bytes(32), 0), Satoshi(1_000_000), output(mode).script)


TO = vault_script(key_of(hashlib.sha256(b"destination").digest()))


def cooperative(mode: Mode = Mode.HASH) -> bytes:
    """A claim that both sign, asked for and answered."""
    asker = Asker(output(mode), Role.INITIATOR, INITIATOR, output(mode).by_key(coin(mode), TO, RATE))
    return asker.finish(answer(output(mode), Role.FOLLOWER, FOLLOWER, asker.request))


def handshake() -> object:
    """Point mode's three rungs, both sides, all checks."""
    made, held = output(Mode.POINT), coin(Mode.POINT)
    maker = RungMaker(made, FOLLOWER)
    nonces = maker.nonces
    offers, partials = offer_rungs(made, INITIATOR, held, nonces, TO, FEES, POINT)
    _, answers = maker.countersign(held, offers, partials, POINT)
    return complete_rungs(made, held, POINT, offers, partials, nonces, answers)


def size(name: str, raw: bytes, target: float, note: str = "") -> dict[str, object]:
    parsed = parse_transaction(raw)
    # The fixed parts have a fraction of their own; in quarters nothing is lost.
    quarters = 4 * 41 + 1 + sum(1 + len(item) for item in parsed.witnesses[0])
    assert abs(parsed.vsize - vsize_of(0, [TO], 0) - quarters / 4) < 1, "the input is all that differs"
    return {"name": name, "value": quarters / 4, "unit": "vB", "target": target, "samples": 1, "note": note}


def timed(name: str, call: Callable[[], object], target: float | None) -> dict[str, object]:
    times = []
    for _ in range(SAMPLES):
        start = time.perf_counter()
        call()
        times.append((time.perf_counter() - start) * 1_000)
    return {"name": name, "value": round(statistics.median(times), 2), "unit": "ms", "target": target, "samples": times}


def run() -> list[dict[str, object]]:
    """Sizes of all spends, and both sides' work for a cooperative claim and for point mode's handshake."""
    hashed, pointed = output(Mode.HASH), output(Mode.POINT)
    claim = hashed.claim(coin(Mode.HASH), TO, RATE, SECRET).signed_by(INITIATOR)
    refund = hashed.refund(coin(Mode.HASH), TO, RATE).signed_by(FOLLOWER)
    private = pointed.refund(coin(Mode.POINT), TO, RATE).signed_by(FOLLOWER)
    return [
        size("swap: cooperative claim or refund, an input", cooperative(), 58, "point mode's claims are the same"),
        size("swap: claim by script, an input", claim, 102),
        size("swap: refund by script, an input", refund, 87),
        size("swap: refund by script in point mode, an input", private, 87),
        timed("swap: cooperative signature, both sides", cooperative, COOPERATIVE_MS),
        timed("swap: point mode's handshake of three rungs, both sides", handshake, None),
    ]
