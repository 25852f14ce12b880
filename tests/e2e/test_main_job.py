"""The bridge's main job on real chains: coins become tokens, tokens change hands, tokens become coins again."""

from __future__ import annotations

from pathlib import Path

from adapters.bitcoin.addresses import REGTEST, address_text, parse_address
from adapters.bitcoin.transactions import parse_transaction
from bridge.deposits import Stage
from bridge.payouts import WithdrawalStage
from bridge.storage import IncidentKind, TransactionPurpose
from foundation.quantities import TokenUnits
from infra.anvil import Anvil
from infra.bitcoind import Bitcoind
from infra.postgres import Postgres
from tests.support.bridge_life import Life, Paid
from tests.support.bridge_network import ASSET, DEPOSIT_FEE, BridgeNetwork, bridge_network, eventually

AMOUNT = 50_000_000
SENT = 3_000_000
P2WSH = address_text(b"\x00\x20" + b"w" * 32, REGTEST)


async def test_a_deposit_becomes_tokens_and_the_tokens_become_coins_of_every_kind(
    tmp_path: Path, bitcoind: Bitcoind, anvil: Anvil
) -> None:
    """0.5 BTC are deposited, minted, given to another account and withdrawn to five kinds of addresses in one batch."""
    async with bridge_network(tmp_path / "net", bitcoind, anvil, sweep_after_seconds=3600.0) as net:
        await _whole_life(net)


async def test_the_main_job_runs_on_postgresql(
    tmp_path: Path, bitcoind: Bitcoind, anvil: Anvil, postgres: Postgres
) -> None:
    """The same life, with every node's memory in a PostgreSQL database."""
    policy = {"storemen": 3, "threshold": 2, "vouchers": 3, "sweep_after_seconds": 3600.0}
    async with bridge_network(tmp_path / "net", bitcoind, anvil, start=False, **policy) as net:
        names = [f"{node.name}-{tmp_path.name}".replace("-", "_")[:60] for node in net.nodes]
        for node, name in zip(net.nodes, names, strict=True):
            section = node.settings.node.model_copy(update={"database": await postgres.create_database(name)})
            node.settings = node.settings.model_copy(update={"node": section})
        for node in net.nodes:
            await node.start()
        await net.active_group()
        await _whole_life(net)


async def _whole_life(net: BridgeNetwork) -> None:
    life = await Life.of(net)
    before = await life.vault_holds()
    alice, bob = await net.account("alice"), await net.account("bob")
    paid = await life.minted(alice.account, AMOUNT)
    minted = AMOUNT - DEPOSIT_FEE
    assert await net.balance(alice.account) == minted
    token = await net.native.token_of(ASSET.id)
    assert token is not None
    await alice.send(net.native.calls.transfer(token, bob.account, TokenUnits(20_000_000)), "to bob")
    assert await net.balance(bob.account) == 20_000_000

    # No coin is in the vault before the sweep is mined, so all five are paid together.
    kinds = ["legacy", "p2sh-segwit", "bech32", "bech32m"]
    addresses = [*[await life.wallet.address(kind) for kind in kinds], P2WSH]
    withdrawals = [await life.withdrawn(bob, SENT, address) for address in addresses]
    sweep = await life.in_mempool(TransactionPurpose.SWEEP)
    await life.mine()
    await life.reaches(paid, Stage.SWEPT)
    await eventually(lambda: life.payout_of(withdrawals[-1]), "the withdrawals are reserved")
    payout = await life.payout_of(withdrawals[0])
    assert payout is not None
    assert set(payout.withdrawals) == set(withdrawals), "one batch"
    signed = await life.in_mempool(TransactionPurpose.PAYOUT, payout.payout_id)
    await life.mine()
    for withdrawal in withdrawals:
        await life.settled(withdrawal)

    _check_payments(signed.raw, addresses, signed.fee)
    await _check_books(life, minted, before, sweep.fee, signed.fee)
    assert await net.balance(bob.account) == 20_000_000 - 5 * SENT
    await _check_journeys(life, paid, withdrawals)
    for node in net.nodes:
        async with node.view() as view:
            found = await view.incidents.latest()
        # Who is slower than the others may propose what they have done already: that is refused, and harmless.
        wrong = [incident for incident in found if incident.kind is not IncidentKind.REFUSAL]
        assert not wrong, f"{node.name} has seen something wrong: {wrong}"


def _check_payments(raw: bytes, addresses: list[str], fee: int) -> None:
    outputs = parse_transaction(raw).outputs
    by_script = {output.script: output.value for output in outputs}
    shares = [SENT - by_script[parse_address(address, REGTEST)] for address in addresses]
    assert sum(shares) == fee, "the payees bear the miner's fee"
    assert max(shares) - min(shares) <= 1, "evenly"
    assert len(outputs) == len(addresses) + 1, "and the change goes to the vault"


async def _check_books(life: Life, minted: int, before: int, sweep_fee: int, payout_fee: int) -> None:
    """The chain, the Hub and every node agree on what there is and what is owed."""
    supply = minted - 5 * SENT
    assert await life.net.native.supply(ASSET.id) == supply
    reserves = AMOUNT - sweep_fee - 5 * SENT
    assert await life.vault_holds() - before == reserves
    assert reserves >= supply
    for node in life.net.nodes:
        books = await life.books(node)
        assert (books.reserves, books.unsettled, books.supply) == (reserves, 0, supply), node.name
    assert payout_fee > 0


async def _check_journeys(life: Life, paid: Paid, withdrawals: list[bytes]) -> None:
    """Every step of both ways is in the journey, on storemen and vouchers, in order and once."""
    for node in (life.net.storemen[0], life.net.vouchers[0]):
        signed = node in life.net.storemen
        story = await life.stages(paid.id, node)
        assert [stage for stage, _ in story] == sorted((stage for stage, _ in story), key=list(Stage).index), (
            f"the stages come in order: {story}"
        )
        _in_order(
            story,
            ["coin seen", "final with 1 of 1", "minted", *(["sweep signed by"] if signed else []), "swept, final"],
        )
        for id_ in withdrawals:
            story = await life.stages(id_, node)
            steps = ["requested and final", "reserved, 1 coin for 5", "payout in block", "payout final", "settled"]
            _in_order(story, steps)
            if signed:
                _in_order(story, ["payout signed by storeman-"])
            found = await life.withdrawal(id_, node)
            assert found is not None
            assert found.stage is WithdrawalStage.SETTLED


def _in_order(story: list[tuple[str, str]], beginnings: list[str]) -> None:
    """Each beginning is that of exactly one note, in this order."""
    notes = [note for _, note in story]
    places = []
    for beginning in beginnings:
        found = [i for i, note in enumerate(notes) if note.startswith(beginning)]
        assert len(found) == 1, f"{beginning!r} is {len(found)} times in {notes}"
        places.append(found[0])
    assert places == sorted(places), notes
