"""Attacks of a dishonest storeman on what the others sign: holding coins, naming fees, sharing under a false name."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from adapters.bitcoin.errors import MalformedTransaction
from adapters.bitcoin.primitives import Coin, OutPoint, TxOut
from adapters.bitcoin.transactions import UnsignedTx
from adapters.native import events as e
from adapters.native.types import Outpoint
from bridge.agents.office import Office
from bridge.agents.storeman.reservations import Reserve, _Situation
from bridge.agents.storeman.signing import Signing
from bridge.authorizer import StoremanAuthorizer
from bridge.codec import encode
from bridge.messages import PlainOutpoint, PlainOutput, SharedTransaction, TransactionProposal
from bridge.payouts import Withdrawal
from bridge.policy import VaultView
from bridge.refusals import FeeNotRaised, MalformedProposal, NotYet
from bridge.settings import PolicySection
from bridge.storage import BitcoinTransactionRow, Database, TransactionPurpose
from bridge.sweep_claims import SweepClaims
from foundation.quantities import BlockHeight, Satoshi, SatPerKvB, TokenUnits, UnixMs
from mpc.transport import Received
from registry.ids import deposit_id, outpoint_id
from tests.support.bridge_intake import ASSET, GROUP, MEMBER, VAULT, Chains, pays

PAYEE = b"\x00\x14" + b"y" * 20
WITHDRAWAL, PAYOUT = b"w" * 32, b"p" * 32
AMOUNT, PAID = 1_000_000, 900_000
HONEST, DISHONEST = b"\x02" + b"h" * 32, b"\x02" + b"d" * 32
SECOND, HOUR = 1_000, 3_600_000


def sweep(*names: int, fee: int = 500) -> UnsignedTx:
    coins = tuple(Coin(OutPoint(bytes([n]) * 32, 0), Satoshi(100_000), VAULT, BlockHeight(9)) for n in names)
    return UnsignedTx(coins, (TxOut(Satoshi(100_000 * len(coins) - fee), VAULT),))


async def test_a_proposer_cannot_hold_a_coin_again_and_again(tmp_path: Path) -> None:
    """Proposing a sweep of one coin every few seconds keeps the honest sweep away for one hold only."""
    claims = SweepClaims()
    async with await Database.open(f"sqlite:///{tmp_path / 'node.db'}") as database, database.view() as view:
        await claims.claim(view, sweep(1), UnixMs(0), DISHONEST)
        with pytest.raises(NotYet):
            await claims.claim(view, sweep(1, 2), UnixMs(19 * SECOND), HONEST)
        for at in (20, 21, 30, 39):
            await claims.claim(view, sweep(1), UnixMs(at * SECOND), DISHONEST)
        await claims.claim(view, sweep(1, 2), UnixMs(40 * SECOND), HONEST)
        with pytest.raises(NotYet):
            await claims.claim(view, sweep(1), UnixMs(41 * SECOND), DISHONEST)
        await claims.claim(view, sweep(1), UnixMs(HOUR), DISHONEST)
        with pytest.raises(NotYet):
            await claims.claim(view, sweep(1, 2), UnixMs(HOUR + SECOND), HONEST)


@dataclass
class Case:
    """A payout of one withdrawal, reserved and not signed yet; the clock is the test's."""

    chains: Chains
    coin: OutPoint
    now: int = 0

    def authorizer(self) -> StoremanAuthorizer:
        return StoremanAuthorizer(self.chains.database, self.chains.context, self.chains.intake, self.chains.vaults())

    def proposal(self, fee: int) -> TransactionProposal:
        outputs = [PlainOutput(PAID - fee, PAYEE), PlainOutput(AMOUNT - PAID, VAULT)]
        return TransactionProposal(PAYOUT, [PlainOutpoint(self.coin.txid, self.coin.vout)], outputs)

    async def propose(self, authorizer: StoremanAuthorizer, fee: int, proposer: bytes = HONEST) -> None:
        await authorizer.authorize(proposer, GROUP, "payout", encode(self.proposal(fee)))


@pytest.fixture
async def case(tmp_path: Path) -> AsyncIterator[Case]:
    chains = await Chains.open(tmp_path, input_depth=1)
    donation = pays((AMOUNT, VAULT))
    await chains.mine(donation)
    at = chains.at()
    coin = OutPoint(donation.GetTxid(), 0)
    asked = e.WithdrawalRequested(at, WITHDRAWAL, ASSET, b"o" * 20, TokenUnits(PAID), TokenUnits(50_000), PAYEE)
    reserved = e.PayoutReserved(at, PAYOUT, GROUP, ASSET, 1, (WITHDRAWAL,), (Outpoint(coin.txid, coin.vout),))
    await chains.say(asked, reserved)
    case = Case(chains, coin)
    object.__setattr__(chains.context, "clock", lambda: UnixMs(case.now))
    yield case
    await chains.database.close()


async def test_a_fee_that_was_only_proposed_does_not_bar_lower_ones_for_ever(case: Case) -> None:
    """A coordinator that names the highest fee and never finishes delays the payout, and cannot keep it from all."""
    authorizer = case.authorizer()
    await case.propose(authorizer, 20_000, DISHONEST)
    with pytest.raises(FeeNotRaised):
        await case.propose(authorizer, 500)
    case.now = 21 * SECOND
    await case.propose(authorizer, 20_000, DISHONEST)
    await case.propose(authorizer, 500)


async def test_a_fee_that_was_signed_bars_lower_ones_also_after_a_restart(case: Case) -> None:
    """Nodes would not take the cheaper version of a transaction that they have."""
    coins = (Coin(case.coin, Satoshi(AMOUNT), VAULT, BlockHeight(1)),)
    signed = UnsignedTx(coins, (TxOut(Satoshi(PAID - 2_000), PAYEE), TxOut(Satoshi(AMOUNT - PAID), VAULT)))
    row = BitcoinTransactionRow(signed.txid(), TransactionPurpose.PAYOUT, PAYOUT, b"raw", signed.fee, signed.vsize)
    async with case.chains.database.unit() as uow:
        await uow.bitcoin_transactions.add(row, [(case.coin.txid, case.coin.vout)])
        await uow.commit()
    for fee in (500, 1_999, 2_001):
        with pytest.raises(FeeNotRaised):
            await case.propose(case.authorizer(), fee)
    await case.propose(case.authorizer(), 2_000)
    await case.propose(case.authorizer(), 3_000)


async def test_a_signed_transaction_is_not_kept_under_a_false_name(case: Case) -> None:
    """Shared as another payout, as a sweep or as a return, it would replace what really pays, sweeps or returns."""
    office = SimpleNamespace(
        database=case.chains.database, directory=case.chains.context.directory, changed=case.chains.intake.changed
    )
    signing = Signing(cast(Office, office))
    true = case.proposal(500)
    first = outpoint_id(case.coin.txid, case.coin.vout)
    names = [
        ("payout", b"q" * 32, NotYet),
        ("sweep", first, MalformedProposal),
        ("sweep", PAYOUT, MalformedProposal),
        ("return", deposit_id(ASSET, case.coin.txid, case.coin.vout), MalformedProposal),
        ("return", PAYOUT, MalformedProposal),
        ("payout", PAYOUT, None),
    ]
    for purpose, subject, refusal in names:
        proposal = TransactionProposal(subject, true.inputs, true.outputs)
        shared = encode(SharedTransaction(GROUP, purpose, proposal, b"no signature"))
        received = Received(MEMBER.host_key, "bridge.transaction", shared, b"")
        # With the right name, the signatures are looked at.
        with pytest.raises(refusal or MalformedTransaction):
            await signing.on_transaction(received)


async def test_a_withdrawal_that_is_too_large_keeps_no_others_waiting(case: Case, monkeypatch: Any) -> None:
    """Whoever asks for more than the free coins hold would otherwise stop all who come later."""
    policy = PolicySection()

    async def free(ids: list[bytes], at: str) -> list[None]:
        return [None] * len(ids)

    proposed: list[bytes] = []

    async def propose(situation: _Situation, chosen: Sequence[Withdrawal], coins: Sequence[Coin]) -> None:
        proposed.extend(w.withdrawal_id for w in chosen)

    office = SimpleNamespace(policy=policy, native=SimpleNamespace(reserved_by=free))
    reserve = Reserve(cast(Office, office), cast(Any, None))
    monkeypatch.setattr(reserve, "_propose", propose)
    coin = Coin(OutPoint(b"c" * 32, 0), Satoshi(AMOUNT), VAULT, BlockHeight(1))
    view = VaultView({coin.outpoint: coin}, {}, BlockHeight(10))
    asked = [
        Withdrawal(bytes([n]) * 32, ASSET, b"o" * 20, TokenUnits(amount), Satoshi(9_000), PAYEE, b"", BlockHeight(1))
        for n, amount in enumerate((AMOUNT + 1, 60_000, 70_000))
    ]
    await reserve._reserve(_Situation(cast(Any, None), view, SatPerKvB(1_000), 0), asked)
    assert proposed == [bytes([1]) * 32, bytes([2]) * 32]
