"""What a channel costs on a chain, in gas: deterministic, so that one sample says all. Pure EVM, no node.

A figure is that of a transaction, as `bench_contracts` counts them.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace

import boa
from boa.util.abi import Address

from benchmarks.bench_contracts import chain_of_its_own, figure, transaction_gas
from foundation.quantities import UnixMs
from settlement.channels.judge import Challenge, Close, CloseAgreed, Join, Settle
from settlement.channels.signing import channel_id
from settlement.channels.terms import Lock, LockId, Sheet, Side, SignedSheet, Terms
from settlement.quantities import Condition, Preimage, Units, condition_of
from tests.support.channels import CHALLENGE_MS, KEYS, START, terms
from tests.support.channels_contract import OnChain, checksum, deploy, domain, set_time

LOCKS = 16


class _Channel:
    """A channel of 1,000 and 1,000 at a contract of its own."""

    def __init__(self, *, token: bool = False) -> None:
        set_time(START)
        contract = deploy()
        self.it = OnChain(contract, replace(terms(), ledger=domain(contract)), token=token)
        self.terms: Terms = replace(self.it.terms, asset=self.it.asset_bytes)
        self.it.terms = self.terms
        self.channel = channel_id(self.terms)

    def gas(self, side: Side, call: Callable[[], object]) -> int:
        """The gas of a call whose sender is warm (EIP-2929)."""

        def run() -> None:
            boa.env.evm.vm.state.mark_address_warm(Address(checksum(self.terms.account(side))).canonical_address)
            call()

        return transaction_gas(self.it.contract, run)

    def opened(self) -> tuple[int, int]:
        """Gas of opening and of joining."""
        one = self.gas(Side.A, self.it.open)
        return one, self.gas(Side.B, lambda: self.it.act(Join(self.terms.b), self.sheet(1).sheet))

    def sheet(self, sequence: int, locks: int = 0) -> SignedSheet:
        """A sheet that both have signed, with conditional payments of 1."""
        conditions = [condition_of(Preimage(bytes([number]) * 32)) for number in range(locks)]
        expires_at = UnixMs(START + 10 * CHALLENGE_MS)
        open_locks = tuple(
            Lock(LockId(bytes([number]) * 32), Side.A, Units(1), Condition(one), expires_at)
            for number, one in enumerate(conditions)
        )
        sheet = Sheet(self.channel, sequence, 0, Units(1_000 - locks), Units(1_000), open_locks)
        return SignedSheet(sheet, *(KEYS[side].sign_sheet(self.terms.ledger, sheet) for side in Side))

    def close(self, signed: SignedSheet) -> int:
        """Gas of A's close."""
        return self.gas(Side.A, lambda: self.it.act(Close(self.terms.a, signed), signed.sheet))

    def settle(self, signed: SignedSheet, ms: int) -> int:
        """Gas of settling so much later."""
        set_time(UnixMs(START + ms))
        return self.gas(Side.B, lambda: self.it.act(Settle(), signed.sheet))


def _agreed() -> int:
    made = _Channel()
    made.opened()
    sheet = made.sheet(3).sheet
    a, b = (KEYS[side].sign_close(made.terms.ledger, sheet) for side in Side)
    return made.gas(Side.B, lambda: made.it.act(CloseAgreed(sheet, a, b), sheet))


def _disputed(locks: int) -> tuple[int, int, int, int]:
    """Close, answer with so many conditional payments and an acknowledgement, settle, collect."""
    made = _Channel()
    made.opened()
    closed = made.close(made.sheet(1))
    newer = made.sheet(2, locks)
    held = KEYS[Side.A].sign_held(made.terms.ledger, made.channel, 2) if not locks else b""
    command = Challenge(made.terms.b, newer, held)
    answered = made.gas(Side.B, lambda: made.it.act(command, newer.sheet))
    settled = made.settle(newer, 20 * CHALLENGE_MS)
    payee = checksum(made.terms.b)
    collected = made.gas(Side.B, lambda: made.it.contract.collect(made.it.asset, payee))
    return closed, answered, settled, collected


def run() -> list[dict[str, object]]:
    """Measure everything. A target is the most that a case may take; None: for information."""
    with chain_of_its_own():
        coin, token = _Channel().opened(), _Channel(token=True).opened()
        closed, answered, settled, collected = _disputed(0)
        _, answered_locks, settled_locks, _ = _disputed(LOCKS)
        made = _Channel()
        shown = made.gas(Side.B, lambda: made.it.reveal(Preimage(b"p" * 32)))
        return [
            figure("Channels: open with coin", coin[0], 55_000),
            figure("Channels: join with coin", coin[1], 35_000),
            figure("Channels: open with a token", token[0], None, "with the token's own part"),
            figure("Channels: join with a token", token[1], None, "with the token's own part"),
            figure("Channels: close together", _agreed(), 93_000, "whatever was paid before"),
            figure("Channels: close alone", closed, 150_000),
            figure("Channels: answer a stale close", answered, 152_000, "with an acknowledgement: it is punished"),
            figure("Channels: settle", settled, 84_000),
            figure(f"Channels: answer with {LOCKS} conditional payments", answered_locks, 205_000),
            figure(f"Channels: settle {LOCKS} conditional payments", settled_locks, 110_000),
            figure("Channels: register a preimage", shown, 48_000),
            figure("Channels: collect coin", collected, 34_000),
        ]


if __name__ == "__main__":
    for row in run():
        sys.stdout.write(f"{row['name']:<50} {row['value']:>10,} {row['unit']}  {row['note']}\n")
