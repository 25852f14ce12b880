"""FROST signing in one process: what the computation costs, without any network.

Each party builds its own contexts, as it would on its own machine; parties run one after the other.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

from mpc import frost
from mpc.chilldkg.vss import VSSCommitment, evaluate_secret, generate_coefficients
from mpc.errors import InvalidPartialSignature

MESSAGE = bytes(range(32))


@dataclass(frozen=True, slots=True)
class Group:
    """A group whose key was dealt, and the first t participants as signers."""

    n: int
    t: int
    secshares: list[bytes]
    pubshares: list[bytes]
    thresh_pk: bytes

    def signers(self) -> frost.SignersContext:
        return frost.SignersContext(self.n, self.t, range(self.t), self.pubshares[: self.t], self.thresh_pk)


def deal(t: int, n: int) -> Group:
    coefficients = generate_coefficients(os.urandom(32), t)
    commitment = VSSCommitment.of(coefficients)
    secshares = [evaluate_secret(coefficients, i + 1).to_bytes() for i in range(n)]
    return Group(n, t, secshares, [p.to_bytes() for p in commitment.pubshares(n)], commitment.to_secret.to_bytes())


def make_nonces(group: Group) -> tuple[list[frost.SecNonce], list[bytes]]:
    made = [
        frost.nonce_gen(group.secshares[i], group.pubshares[i], group.thresh_pk[1:], MESSAGE, None, os.urandom(32))
        for i in range(group.t)
    ]
    return [secnonce for secnonce, _ in made], [pubnonce for _, pubnonce in made]


def sign_all(group: Group, secnonces: list[frost.SecNonce], aggnonce: bytes) -> list[bytes]:
    psigs = []
    for i in range(group.t):
        session = frost.SessionContext(aggnonce, group.signers(), (), (), MESSAGE)
        psigs.append(frost.sign(secnonces[i], group.secshares[i], i, session))
    return psigs


def aggregate(group: Group, pubnonces: list[bytes], psigs: list[bytes]) -> bytes:
    """All that the coordinator computes after the last partial signature, as if it had kept nothing."""
    session = frost.SessionContext(frost.nonce_agg(pubnonces), group.signers(), (), (), MESSAGE)
    return frost.aggregate_and_verify(psigs, pubnonces, None, session)


def all_in(group: Group) -> bytes:
    secnonces, pubnonces = make_nonces(group)
    psigs = sign_all(group, secnonces, frost.nonce_agg(pubnonces))
    return aggregate(group, pubnonces, psigs)


def aggregation_alone(group: Group) -> Callable[[], bytes]:
    secnonces, pubnonces = make_nonces(group)
    psigs = sign_all(group, secnonces, frost.nonce_agg(pubnonces))
    return lambda: aggregate(group, pubnonces, psigs)


def blame_alone(group: Group) -> Callable[[], object]:
    """The same with one wrong share, so that each has to be verified."""
    secnonces, pubnonces = make_nonces(group)
    psigs = sign_all(group, secnonces, frost.nonce_agg(pubnonces))
    psigs[0] = psigs[1]

    def blame() -> object:
        try:
            return aggregate(group, pubnonces, psigs)
        except InvalidPartialSignature as error:
            return error.participant_ids

    return blame


def measure(name: str, target_ms: float | None, samples: int, call: Callable[[], object]) -> dict[str, object]:
    """The median of `samples` runs in milliseconds, after one run to warm up."""
    call()
    times = []
    for _ in range(samples):
        start = time.perf_counter()
        call()
        times.append((time.perf_counter() - start) * 1000)
    value = round(statistics.median(times), 3)
    return {"name": name, "value": value, "unit": "ms", "target": target_ms, "samples": samples}


def run() -> list[dict[str, object]]:
    """Measure all cases. A target is the most that a case may take; None: for information."""
    small, large = deal(3, 5), deal(67, 100)
    return [
        measure("FROST 3-of-5, all parties and aggregation", 5, 50, lambda: all_in(small)),
        measure("FROST 67-of-100, aggregation", 60, 20, aggregation_alone(large)),
        measure("FROST 67-of-100, aggregation with one wrong share", None, 20, blame_alone(large)),
        measure("FROST 67-of-100, all parties and aggregation", 1500, 5, lambda: all_in(large)),
    ]


def print_table(rows: list[dict[str, object]]) -> None:
    for row in rows:
        target = "" if row["target"] is None else f"target {row['target']} {row['unit']}"
        sys.stdout.write(f"{row['name']:<55} {row['value']:>10} {row['unit']}  {target}  ({row['samples']} samples)\n")


if __name__ == "__main__":
    results = run()
    if "--json" in sys.argv:
        sys.stdout.write(json.dumps(results, indent=2) + "\n")
    else:
        print_table(results)
