"""Small change, dear blocks and dishonest coordinators must not make honest work look insolvent, nor a loss solvent."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from adapters.bitcoin.fees import FeePolicy
from adapters.bitcoin.primitives import Coin, OutPoint
from adapters.native import events as e
from adapters.native.types import Outpoint
from bridge.agents.office import Office
from bridge.agents.storeman.payments import sweep_within_means
from bridge.agents.storeman.reservations import Reserve, _Situation
from bridge.authorizer import StoremanAuthorizer
from bridge.codec import encode
from bridge.ledger import balance
from bridge.messages import PlainOutpoint, PlainOutput, TransactionProposal
from bridge.policy import Balance, VaultView, check_reservation
from bridge.promised_fees import funds
from bridge.refusals import FeeAboveMaximum
from bridge.settings import PolicySection
from bridge.storage import BitcoinTransactionRow, TransactionPurpose
from foundation.quantities import BlockHeight, Satoshi, SatPerKvB, TokenUnits
from registry.ids import outpoint_id
from tests.support.bridge_intake import ASSET, GROUP, MEMBER, VAULT, Chains, pays, spends
from tests.support.policy import LIMITS, vault_coin, vault_view, withdrawal

PAYEE = b"\x00\x14" + b"y" * 20
AMOUNT = 1_000_000
FEES = FeePolicy(SatPerKvB(1_000), SatPerKvB(200_000), SatPerKvB(5_000))


@dataclass
class Case:
    """One minted deposit, whose fee of 2,000 satoshi is all that the vault has beyond what it owes."""

    chains: Chains
    coin: Coin

    @property
    def office(self) -> Office:
        return cast(Office, SimpleNamespace(database=self.chains.database, fees=SimpleNamespace(policy=FEES)))

    async def authorize(self, purpose: str, subject: bytes, coin: OutPoint, value: int) -> None:
        proposal = TransactionProposal(subject, [PlainOutpoint(coin.txid, coin.vout)], [PlainOutput(value, VAULT)])
        authorizer = StoremanAuthorizer(
            self.chains.database, self.chains.context, self.chains.intake, self.chains.vaults()
        )
        await authorizer.authorize(MEMBER.host_key, GROUP, purpose, encode(proposal))


@pytest.fixture
async def case(tmp_path: Path) -> AsyncIterator[Case]:
    chains = await Chains.open(tmp_path, input_depth=1)
    terms = chains.terms()
    await chains.say(chains.announced(terms))
    payment = pays((AMOUNT, chains.script(terms)))
    await chains.mine(payment)
    await chains.say(chains.minted(payment.GetTxid(), AMOUNT))
    coin = Coin(OutPoint(payment.GetTxid(), 0), Satoshi(AMOUNT), chains.script(terms), BlockHeight(1))
    yield Case(chains, coin)
    await chains.database.close()


async def test_dear_blocks_do_not_keep_a_minted_deposit_from_being_swept(case: Case) -> None:
    """A sweep that the surplus cannot pay is signed by nobody, and at last the depositor has coin and tokens."""
    transaction = await sweep_within_means(case.office, [case.coin], VAULT, SatPerKvB(50_000))
    assert 1_800 < transaction.fee <= 2_000
    point = case.coin.outpoint
    await case.authorize("sweep", outpoint_id(point.txid, point.vout), point, transaction.outputs[0].value)
    usual = await sweep_within_means(case.office, [case.coin], VAULT, SatPerKvB(5_000))
    assert usual.fee == 5 * usual.vsize


async def test_dust_that_several_payouts_leave_is_counted_together(tmp_path: Path) -> None:
    """Each finds the surplus there: together they would cost more than that."""
    chains = await Chains.open(tmp_path, input_depth=1)
    payment = pays((50_300, VAULT), (60_300, VAULT), (1_000, VAULT))
    await chains.mine(payment)
    at, txid = chains.at(), payment.GetTxid()
    asked, reserved = [], []
    for n, amount in enumerate((50_000, 60_000)):
        id_ = bytes([n + 1]) * 32
        units = TokenUnits(amount), TokenUnits(5_000)
        asked.append(e.WithdrawalRequested(at, id_, ASSET, b"o" * 20, *units, PAYEE))
        reserved.append(e.PayoutReserved(at, b"p" * 31 + bytes([n]), GROUP, ASSET, 1, (id_,), (Outpoint(txid, n),)))
    await chains.say(*asked, *reserved)
    async with chains.database.view() as view:
        assert (await balance(view)).reserves == 111_600 - 600
        assert (await balance(view, [OutPoint(txid, 0)])).reserves == 111_600 - 300, "its own is its cost"
    await chains.mine(spends([(txid, 0)], (49_000, PAYEE)))
    async with chains.database.view() as view:
        assert (await balance(view)).reserves == 61_300 - 300, "what a block has taken is counted once"
    await chains.database.close()


def test_the_last_withdrawal_leaves_less_than_dust_behind() -> None:
    """All tokens can be paid out, whatever the surplus is."""
    for surplus in (0, 1, 329, 330):
        last = withdrawal(1, 100_000, reserved=False)
        coin = vault_coin(11, 100_000 + surplus)
        held = Balance(Satoshi(coin.value), Satoshi(0), TokenUnits(100_000))
        check_reservation([last], [coin.outpoint], None, vault_view([coin]), LIMITS, held)


def test_a_reservation_is_payable_with_its_change() -> None:
    """A fee limit that pays for the payment alone, and not for the change that these coins need, binds for ever."""
    coin = vault_coin(11, 200_000)
    least = -(-LIMITS.fee_floor * 154 // 1000)
    held = Balance(Satoshi(200_000), Satoshi(0), TokenUnits(100_000))
    for max_fee, fits in ((least, True), (least - 1, False)):
        asked = replace(withdrawal(1, 100_000, reserved=False), max_fee=Satoshi(max_fee), destination=VAULT)
        arguments: Any = ([asked], [coin.outpoint], None, vault_view([coin]), LIMITS, held)
        if fits:
            check_reservation(*arguments)
        else:
            with pytest.raises(FeeAboveMaximum):
                check_reservation(*arguments)


def test_coins_that_leave_dust_are_chosen_only_if_the_surplus_pays_for_it() -> None:
    """Otherwise everybody would refuse the choice, again and again, although another one is there."""
    coins = [Coin(OutPoint(b"c" * 32, n), Satoshi(v), VAULT, BlockHeight(1)) for n, v in enumerate((50_200, 90_000))]
    view = VaultView({coin.outpoint: coin for coin in coins}, {}, BlockHeight(9))
    reserve = Reserve(cast(Office, SimpleNamespace(policy=PolicySection())), cast(Any, None))
    for surplus, chosen in ((200, coins[0]), (199, coins[1])):
        situation = _Situation(cast(Any, None), view, SatPerKvB(5_000), surplus)
        assert reserve._select(situation, coins, Satoshi(50_000)) == (chosen,)


async def test_a_child_whose_parent_can_never_confirm_costs_nothing(case: Case) -> None:
    """Children that are kept back, or whose parents were replaced, must not eat the surplus on paper for ever."""
    point = case.coin.outpoint
    parent = spends([(point.txid, point.vout)], (AMOUNT - 300, VAULT))
    child = spends([(parent.GetTxid(), 0)], (AMOUNT - 300 - 1_600, VAULT))
    sweep = BitcoinTransactionRow(
        parent.GetTxid(), TransactionPurpose.SWEEP, outpoint_id(point.txid, 0), parent.serialize(), Satoshi(300), 112
    )
    paying = BitcoinTransactionRow(
        child.GetTxid(), TransactionPurpose.CPFP, parent.GetTxid(), child.serialize(), Satoshi(1_600), 112
    )
    async with case.chains.database.unit() as uow:
        await uow.bitcoin_transactions.add(sweep, [(point.txid, point.vout)])
        await uow.commit()
    await case.authorize("cpfp", parent.GetTxid(), OutPoint(parent.GetTxid(), 0), AMOUNT - 300 - 1_600)
    async with case.chains.database.view() as view:
        assert (await funds(view, [])).surplus == 2_000 - 300 - 1_600, "promised, and kept back"
    async with case.chains.database.unit() as uow:
        await uow.bitcoin_transactions.add(paying, [(parent.GetTxid(), 0)])
        await uow.commit()
    async with case.chains.database.view() as view:
        assert (await funds(view, [])).surplus == 2_000 - 300 - 1_600
        assert {row.txid for row in await view.bitcoin_transactions.waiting()} == {sweep.txid, paying.txid}
    await case.chains.mine(spends([(point.txid, point.vout)], (AMOUNT - 900, VAULT)))
    async with case.chains.database.view() as view:
        assert await view.bitcoin_transactions.waiting() == ()
        assert (await funds(view, [])).surplus == 2_000 - 900
