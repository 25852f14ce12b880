"""The bitcoin chain is reorganised under a working bridge: nothing is minted for what is gone, nothing paid twice."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from adapters.native.types import DepositStatus
from bridge.deposits import Stage
from bridge.payouts import Payout, PayoutStage
from bridge.storage import BitcoinTransactionRow, IncidentKind, TransactionPurpose
from infra.anvil import Anvil
from infra.bitcoind import Bitcoind
from tests.support.bridge_life import Life, Paid
from tests.support.bridge_network import ASSET, DEPOSIT_FEE, BridgeNode, bridge_network, eventually
from tests.support.reorgs import double_spend, drop_blocks, mine_only

AMOUNT = 5_000_000
SENT = 1_000_000
POLICY = {"tiers": [{"confirmations": 2}], "settled_depth": 2, "slot_seconds": 0.5}
SIZE = {"storemen": 3, "threshold": 2, "vouchers": 3}


pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest.fixture(scope="module")
async def life(tmp_path_factory: pytest.TempPathFactory, _shared_anvil: Anvil) -> AsyncIterator[Life]:
    """A bridge on a bitcoin chain of its own, to which two confirmations are final."""
    root = tmp_path_factory.mktemp("reorgs")
    async with (
        Bitcoind(root / "bitcoind") as bitcoind,
        bridge_network(root / "net", bitcoind, _shared_anvil, **SIZE, **POLICY) as net,
    ):
        yield await Life.of(net)


async def test_a_deposit_that_a_reorg_drops_is_minted_only_once_it_is_final_again(life: Life) -> None:
    """Dropped before it is final it is missing; confirmed anew, higher up, it is minted; double-spent it never is."""
    net = life.net
    alice = await net.account("alice")
    paid = await life.deposit(alice.account, AMOUNT)
    await life.mine()
    first = await life.reaches(paid, Stage.CONFIRMING)
    await drop_blocks(life, 1)
    await life.reaches(paid, Stage.MISSING)
    await life.mine()
    again = await life.reaches(paid, Stage.CONFIRMING)
    assert first.height is not None
    assert again.height == first.height + 2
    assert await net.native.deposit_status(paid.id, "latest") is DepositStatus.UNKNOWN
    await life.mine()
    await life.reaches(paid, Stage.MINTED)
    assert await net.balance(alice.account) == AMOUNT - DEPOSIT_FEE

    stolen = await life.deposit(alice.account, AMOUNT)
    await life.mine()
    await life.reaches(stolen, Stage.CONFIRMING)
    theft = await double_spend(life, stolen.txid)
    await drop_blocks(life, 1, [[theft]])
    await life.mine(4)
    await life.reaches(stolen, Stage.MISSING)
    assert await net.native.deposit_status(stolen.id, "latest") is DepositStatus.UNKNOWN
    assert await net.balance(alice.account) == AMOUNT - DEPOSIT_FEE
    notes = [note for _, note in await life.stages(stolen.id)]
    assert "a reorg took the coin's block away" in notes
    await _no_alarm(life)


async def test_a_sweep_and_a_payout_that_reorgs_drop_are_done_again_with_the_same_coins(life: Life) -> None:
    """What a reorg took out of the chain is confirmed later, also in another version, and pays once."""
    net = life.net
    bob = await net.account("bob")
    supply = await net.native.supply(ASSET.id, "latest")
    paid = await _minted(life, bob.account)
    sweep = await _sweep(life, paid)
    await mine_only(life, sweep.raw)
    await life.reaches(paid, Stage.SWEEPING)
    await drop_blocks(life, 1)
    await life.reaches(paid, Stage.MINTED)
    await mine_only(life, (await _sweep(life, paid)).raw)
    await life.mine()
    await life.reaches(paid, Stage.SWEPT)

    destination = await life.wallet.address()
    withdrawal = await life.withdrawn(bob, SENT, destination, max_fee=20_000)
    payout = await eventually(lambda: life.payout_of(withdrawal), "a reservation")
    older = await life.in_mempool(TransactionPurpose.PAYOUT, payout.payout_id)
    await mine_only(life, older.raw)
    await _payout_is(life, withdrawal, PayoutStage.CONFIRMING)
    await drop_blocks(life, 1)
    gone = await _payout_is(life, withdrawal, PayoutStage.RESERVED)
    assert gone.inputs == payout.inputs

    newer = await _bumped(life, older)
    await mine_only(life, older.raw)  # some miner has it still
    confirming = await _payout_is(life, withdrawal, PayoutStage.CONFIRMING)
    assert confirming.confirmed is not None
    assert confirming.confirmed.txid == older.txid
    await drop_blocks(life, 1, [[newer.raw]])
    await life.settled(withdrawal)
    settled = await _payout_is(life, withdrawal, PayoutStage.SETTLED)
    assert settled.settled == newer.txid
    assert await _payments(life, destination) == 1
    record = await net.native.payout(payout.payout_id)
    assert record is not None
    assert record.version == 1, "no other coins were bound"
    await _books_agree(life, supply + AMOUNT - DEPOSIT_FEE - SENT)
    await _no_alarm(life)


async def test_a_reorg_below_what_is_settled_raises_an_alarm_and_pays_nothing_twice(life: Life) -> None:
    """A mint and a settlement lose their bitcoin transactions: operators are told, the same coins pay again, once."""
    net = life.net
    carol = await net.account("carol")
    supply = await net.native.supply(ASSET.id, "latest")
    paid = await _minted(life, carol.account)
    await _sweep(life, paid)
    await drop_blocks(life, 2)
    await _alarm(life, "was minted and its coin left the chain")
    await life.mine(2)  # the deposit, and its sweep
    await life.reaches(paid, Stage.SWEPT)

    destination = await life.wallet.address()
    withdrawal = await life.withdrawn(carol, SENT, destination)
    payout = await eventually(lambda: life.payout_of(withdrawal), "a reservation")
    sent = await life.in_mempool(TransactionPurpose.PAYOUT, payout.payout_id)
    await mine_only(life, sent.raw)
    await life.mine()
    await life.settled(withdrawal)
    await drop_blocks(life, 2)
    await _alarm(life, "was settled and left the chain")
    again = await life.in_mempool(TransactionPurpose.PAYOUT, payout.payout_id)
    assert again.txid == sent.txid
    await life.mine(2)
    settled = await _payout_is(life, withdrawal, PayoutStage.SETTLED)
    assert settled.confirmed is not None
    assert settled.confirmed.txid == sent.txid
    assert await _payments(life, destination) == 1
    await _books_agree(life, supply + AMOUNT - DEPOSIT_FEE - SENT)


async def _minted(life: Life, recipient: bytes) -> Paid:
    paid = await life.deposit(recipient, AMOUNT)
    await life.mine(2)
    await life.reaches(paid, Stage.MINTED)
    return paid


async def _sweep(life: Life, paid: Paid) -> BitcoinTransactionRow:
    """The sweep of a deposit, in the mempool."""

    async def found() -> BitcoinTransactionRow | None:
        row = await life.in_mempool(TransactionPurpose.SWEEP)
        async with life.storeman.view() as view:
            spent = await view.bitcoin_transactions.inputs(row.txid)
        return row if (paid.txid, paid.vout) in spent else None

    return await eventually(found, "the deposit's sweep")


async def _payout_is(life: Life, withdrawal: bytes, stage: PayoutStage) -> Payout:
    """Wait until every node sees the payout in `stage`."""
    found: Payout | None = None
    for node in life.running:

        async def there(node: BridgeNode = node) -> Payout | None:
            payout = await life.payout_of(withdrawal, node)
            return payout if payout is not None and payout.stage is stage else None

        found = await eventually(there, f"the payout is {stage} on {node.name}")
    assert found is not None
    return found


async def _bumped(life: Life, row: BitcoinTransactionRow) -> BitcoinTransactionRow:
    """The storemen restart with a higher rate, and replace what lingers; afterwards they are as before."""
    await _restart(life, fee_fallback=8.0, bump_after_seconds=0.1)

    async def newer() -> BitcoinTransactionRow | None:
        found = await life.in_mempool(row.purpose, row.subject)
        return found if found.fee > row.fee else None

    found = await eventually(newer, "a newer version")
    await _restart(life, fee_fallback=2.0, bump_after_seconds=3600.0)
    return found


async def _restart(life: Life, **changes: float) -> None:
    for node in life.net.storemen:
        await node.stop()
        policy = node.settings.policy.model_copy(update=changes)
        node.settings = node.settings.model_copy(update={"policy": policy})
        await node.start()


async def _payments(life: Life, address: str) -> int:
    """How many coins lie on an address."""
    shown = await life.net.bitcoind.rpc.call("scantxoutset", "start", [f"addr({address})"])
    return len(shown["unspents"])


async def _books_agree(life: Life, supply: int) -> None:
    """Every node counts what the chains hold."""
    assert await life.net.native.supply(ASSET.id, "latest") == supply
    held = await life.vault_holds()
    for node in life.running:
        books = await life.books(node)
        assert (books.reserves, books.unsettled, books.supply) == (held, 0, supply), node.name


async def _alarms(node: BridgeNode) -> list[str]:
    async with node.view() as view:
        found = await view.incidents.latest()
    return [incident.fields for incident in found if incident.kind is IncidentKind.ALARM]


async def _alarm(life: Life, text: str) -> None:
    """Wait until every node has recorded it."""
    for node in life.running:

        async def told(node: BridgeNode = node) -> bool:
            return any(text in alarm for alarm in await _alarms(node))

        await eventually(told, f"{node.name} alarms: {text}")


async def _no_alarm(life: Life) -> None:
    for node in life.running:
        assert not await _alarms(node), node.name
