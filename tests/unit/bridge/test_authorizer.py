"""What a storeman agrees to sign, with all that it has seen itself; see also tests/e2e/test_faults.py."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from adapters.bitcoin.primitives import OutPoint
from bridge.authorizer import StoremanAuthorizer
from bridge.codec import encode
from bridge.messages import PlainOutpoint, PlainOutput, TransactionProposal
from bridge.refusals import Insolvent, MalformedProposal
from bridge.storage import BitcoinTransactionRow, TransactionPurpose
from foundation.errors import BadInput
from foundation.quantities import Satoshi
from registry.ids import outpoint_id
from tests.support.bridge_intake import GROUP, MEMBER, VAULT, Chains, pays, spends

AMOUNT = 1_000_000


@dataclass
class Case:
    """Four minted deposits of one bridge: 8,000 satoshi of fees were paid for them."""

    chains: Chains
    coins: list[OutPoint]

    def authorizer(self) -> StoremanAuthorizer:
        return StoremanAuthorizer(self.chains.database, self.chains.context, self.chains.intake, self.chains.vaults())

    async def sweep(self, authorizer: StoremanAuthorizer, *coins: int, fee: int) -> None:
        inputs = [PlainOutpoint(self.coins[n].txid, self.coins[n].vout) for n in coins]
        output = PlainOutput(AMOUNT * len(coins) - fee, VAULT)
        proposal = TransactionProposal(self.subject(coins[0]), inputs, [output])
        await authorizer.authorize(MEMBER.host_key, GROUP, "sweep", encode(proposal))

    def subject(self, number: int) -> bytes:
        return outpoint_id(self.coins[number].txid, self.coins[number].vout)


@pytest.fixture
async def case(tmp_path: Path) -> AsyncIterator[Case]:
    chains = await Chains.open(tmp_path, fee_cap=100.0)
    terms = [chains.terms(salt=n) for n in range(1, 5)]
    await chains.say(*(chains.announced(t) for t in terms))
    payment = pays(*((AMOUNT, chains.script(t)) for t in terms))
    await chains.mine(payment)
    await chains.say(*(chains.minted(payment.GetTxid(), AMOUNT, vout) for vout in range(4)))
    yield Case(chains, [OutPoint(payment.GetTxid(), vout) for vout in range(4)])
    await chains.database.close()


async def test_fees_that_are_signed_and_kept_back_cannot_eat_the_reserves(case: Case) -> None:
    """Each sweep alone is solvent, together they are not: the third is refused, also after a restart."""
    authorizer = case.authorizer()
    await case.sweep(authorizer, 0, fee=3_500)
    await case.sweep(authorizer, 1, fee=3_500)
    for again in (authorizer, case.authorizer()):
        with pytest.raises(Insolvent):
            await case.sweep(again, 2, fee=3_500)
    await case.sweep(authorizer, 2, fee=1_000)


async def test_what_a_block_has_taken_is_counted_once(case: Case) -> None:
    """When a sweep confirms, its fee has left the vault and is promised no more."""
    authorizer = case.authorizer()
    await case.sweep(authorizer, 0, fee=3_500)
    coin = case.coins[0]
    await case.chains.mine(spends([(coin.txid, coin.vout)], (AMOUNT - 3_500, VAULT)))
    await case.sweep(authorizer, 1, fee=3_500)
    with pytest.raises(Insolvent):
        await case.sweep(authorizer, 2, fee=1_500)


async def test_a_child_has_no_child(case: Case) -> None:
    """A chain of children would let one stuck transaction cost more and more."""
    coin = case.coins[0]
    child = spends([(coin.txid, coin.vout)], (AMOUNT - 500, VAULT))
    async with case.chains.database.unit() as uow:
        row = BitcoinTransactionRow(
            child.GetTxid(), TransactionPurpose.CPFP, bytes(32), child.serialize(), Satoshi(500), 111
        )
        await uow.bitcoin_transactions.add(row, [(coin.txid, coin.vout)])
        await uow.commit()
    grandchild = TransactionProposal(
        child.GetTxid(), [PlainOutpoint(child.GetTxid(), 0)], [PlainOutput(AMOUNT - 5_000, VAULT)]
    )
    with pytest.raises(MalformedProposal):
        await case.authorizer().authorize(MEMBER.host_key, GROUP, "cpfp", encode(grandchild))


async def test_garbage_is_bad_input(case: Case) -> None:
    """Whatever the bytes are, a refusal is typed."""
    dice = random.Random(7)
    for kind in [*TransactionPurpose, "", "theft"]:
        for _ in range(20):
            with pytest.raises(BadInput):
                await case.authorizer().authorize(MEMBER.host_key, GROUP, kind, dice.randbytes(dice.randrange(60)))
