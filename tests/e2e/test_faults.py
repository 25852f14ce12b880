"""Nobody can make the bridge do wrong: members that are down, that lie, and that propose theft."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

import pytest
from structlog.testing import capture_logs

from adapters.bitcoin.builders import (
    Payment,
    child_transaction,
    payout_transaction,
    return_transaction,
)
from adapters.bitcoin.primitives import Coin, OutPoint, TxOut
from adapters.bitcoin.scripts import return_script, vault_script
from adapters.bitcoin.transactions import UnsignedTx, parse_transaction
from adapters.native.types import DepositStatus
from bridge.authorizer import child_coin
from bridge.deposits import Stage
from bridge.ledger import coins_of, in_flight, withdrawals_of
from bridge.messages import (
    ATTESTATIONS,
    CONFIRM_KEY,
    COSIGN,
    TRANSACTION,
    BarProposal,
    DepositSeen,
    PlainOutpoint,
    ReserveProposal,
    SharedTransaction,
    TransactionProposal,
    amount_bytes,
    claim_digest,
)
from bridge.payouts import Payout
from bridge.storage import CoinKind, IncidentKind, TransactionPurpose
from foundation.quantities import Satoshi, SatPerKvB
from infra.anvil import Anvil
from infra.bitcoind import Bitcoind
from mpc.cluster_errors import PeerRefused
from mpc.dkg_run import PREFIX
from mpc.messages import Invite, Offer
from mpc.signer_service import SignerService
from mpc.signing_run import CLOSE, INVITE, ROUND
from registry.ids import deposit_id, outpoint_id, payout_id
from tests.support.bridge_life import Life, Paid
from tests.support.bridge_network import ASSET, DEPOSIT_FEE, BridgeNode, bridge_network, eventually
from tests.support.dishonest import Dishonest, let_lie, proposal_of
from tests.support.patience import until

THIEF = b"\x00\x14" + b"t" * 20
RATE = SatPerKvB(2_000)
pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest.fixture(scope="module")
async def life(
    tmp_path_factory: pytest.TempPathFactory, _shared_bitcoind: Bitcoind, _shared_anvil: Anvil
) -> AsyncIterator[Life]:
    """One bridge for all: its vault takes one coin a sweep, and sweeps only when a withdrawal waits."""
    root = tmp_path_factory.mktemp("faults") / "net"
    policy = {"sweep_after_seconds": 3600.0, "max_inputs": 1, "slot_seconds": 0.5}
    async with bridge_network(root, _shared_bitcoind, _shared_anvil, **policy) as net:
        yield await Life.of(net, 40)


async def test_signing_completes_with_two_of_five_storemen_dead(life: Life) -> None:
    """Three of five storemen sweep and pay; the two that come back, one without its database, learn all of it."""
    alice = await life.net.account("alice")
    dead = life.net.storemen[3:]
    await asyncio.gather(*(node.stop() for node in dead))
    paid = await life.minted(alice.account, 10_000_000)
    withdrawal = await life.withdrawn(alice, 4_000_000)
    await life.in_mempool(TransactionPurpose.SWEEP)
    await life.mine()
    await life.paid_and_settled(withdrawal)
    for file in dead[1].settings.folder.glob("node.db*"):
        file.unlink()
    await asyncio.gather(*(node.start() for node in dead))
    await life.settled(withdrawal, nodes=dead)
    await life.reaches(paid, Stage.SWEPT, nodes=dead)
    books = await life.books(life.net.storemen[0])
    assert books.reserves > 0
    for node in dead:

        async def told(node: BridgeNode = node) -> bool:
            return await life.books(node) == books

        await eventually(told, f"{node.name} knows the vault's coins")


async def test_a_storeman_that_signs_wrong_is_found_and_named(life: Life, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wrong partial signatures do not stop a signature; log, status and incidents name who made them."""
    index = 2
    liar = life.net.storemen[index]
    let_lie(monkeypatch, index)
    honestly, answered = SignerService.invite, set[bytes]()

    async def liars_first(self: SignerService, coordinator: bytes, invite: Invite) -> Offer:
        """The liar answers before the others do, so that it is asked to sign in the first round."""
        own = self._keystore.identity.host_key
        if own not in {liar.member.host_key, coordinator}:
            await until(lambda: invite.session in answered, pause_s=0.01)
            await asyncio.sleep(0.3)  # its answer is on its way
        try:
            return await honestly(self, coordinator, invite)
        finally:
            if own == liar.member.host_key:
                answered.add(invite.session)

    monkeypatch.setattr(SignerService, "invite", liars_first)
    alice = await life.net.account("alice")
    with capture_logs() as logs:
        await life.minted(alice.account, 11_000_000)
        withdrawal = await life.withdrawn(alice, 10_000_000)  # more than any coin of the vault yet
        await life.in_mempool(TransactionPurpose.SWEEP)
        await life.mine()
        await life.paid_and_settled(withdrawal)
    monkeypatch.undo()

    named = [entry for entry in logs if entry.get("kind") == "wrong-share"]
    assert named
    assert {entry["peer"] for entry in named} == {liar.member.host_key.hex()}
    coordinators = [node for node in life.net.storemen if await _faults(node)]
    assert coordinators, "who coordinated knows"
    for node in coordinators:
        assert await _faults(node) == {("WrongShare", liar.member.host_key)}

        async def shown(node: BridgeNode = node) -> bool:
            culprits = (await life.status(node))["culprits"]
            return [culprit["name"] for culprit in culprits] == ["storeman-3"]

        await eventually(shown, f"the status of {node.name} names the culprit")


async def _faults(node: BridgeNode) -> set[tuple[str, bytes]]:
    async with node.view() as view:
        rows = await view.incidents.latest(kind=IncidentKind.FAULT)
    return {(row.error, row.party) for row in rows}


async def test_lies_of_a_voucher_mint_nothing_and_its_silence_delays_nobody(life: Life) -> None:
    """A voucher that attests wrong amounts, recipients and deposits mints nothing; the honest mint completes."""
    net = life.net
    thief, alice = await net.account("thief"), await net.account("alice")
    liar, *honest = net.vouchers
    honest_balance = await net.balance(alice.account)
    async with Dishonest.instead_of(net, liar) as member:
        paid = await life.deposit(alice.account, 12_000_000)
        truth = DepositSeen(
            ASSET.id, paid.txid, paid.vout, amount_bytes(paid.amount), alice.account, paid.terms.group_id
        )
        unknown = DepositSeen(ASSET.id, secrets.token_bytes(32), 0, amount_bytes(10**9), thief.account, truth.group)
        for voucher in honest:
            assert not await member.attest(voucher, unknown), "nothing is kept about what is not known"
            assert not await member.attest(voucher, truth), "nor before the coin is seen"
        await life.mine()
        lies = [
            DepositSeen(ASSET.id, paid.txid, paid.vout, amount_bytes(paid.amount * 10), alice.account, truth.group),
            DepositSeen(ASSET.id, paid.txid, paid.vout, amount_bytes(paid.amount), thief.account, truth.group),
        ]
        with capture_logs() as logs:
            for voucher in honest:
                for lie in lies:
                    await member.attest(voucher, lie)
                await member.attest(voucher, lies[0], bytes(65))
                await member.attest(voucher, lies[0], b"\x11" * 64 + b"\x1b")
        assert [entry for entry in logs if entry["event"] == "an attestation is refused"]
        await life.reaches(paid, Stage.MINTED)
        assert await net.balance(alice.account) == honest_balance + paid.amount - DEPOSIT_FEE
        assert await net.balance(thief.account) == 0
        assert (
            await net.native.deposit_status(deposit_id(unknown.asset, unknown.txid, unknown.vout))
            is DepositStatus.UNKNOWN
        )
        for voucher in honest:
            async with voucher.view() as view:
                rows = await view.attestations.of_subject(paid.id)
            assert liar.member.account not in {
                row.signer for row in rows if row.digest == claim_digest(net.native.hub_digests, truth)
            }
    await life.reaches(paid, Stage.MINTED, nodes=[liar])


@dataclass(frozen=True, slots=True)
class Scene:
    """What a thief finds: coins, deposits and withdrawals in every state that matters."""

    life: Life
    near: Paid  # minted, its depositor's reclaim is three blocks away
    minted: Paid
    unminted: Paid  # it waits for its second confirmation
    settled: bytes  # a withdrawal that is paid
    paid_payout: Payout
    live: bytes  # a withdrawal whose payout waits in the mempool
    live_payout: Payout
    open: bytes  # a withdrawal that nobody can pay: its owner allows a fee of one satoshi
    vault: bytes
    group: bytes

    async def payment(self, rate: int = 20_000) -> UnsignedTx:
        """The right payment of the live payout, at a rate far above the one that it was signed with."""
        return await self._payment(self.live_payout, rate)

    async def _payment(self, payout: Payout, rate: int = 20_000) -> UnsignedTx:
        async with self.life.storeman.view() as view:
            coins = await coins_of(view, payout.inputs)
            withdrawals = await withdrawals_of(view, payout)
        payments = [Payment(w.destination, Satoshi(w.amount), Satoshi(10**9)) for w in withdrawals]
        return payout_transaction(coins, payments, self.vault, SatPerKvB(rate))

    async def coin(self, paid: Paid) -> Coin:
        """A deposit's coin."""
        async with self.life.storeman.view() as view:
            (coin,) = await coins_of(view, [OutPoint(paid.txid, paid.vout)])
        return coin

    async def free_coin(self) -> Coin:
        """The largest coin of the vault that is bound to nothing."""
        async with self.life.storeman.view() as view:
            rows = await view.coins.unspent(CoinKind.VAULT, script=self.vault)
        free = [row for row in rows if OutPoint(row.txid, row.vout) not in self.live_payout.inputs]
        row = max(free, key=lambda row: row.value)
        return Coin(OutPoint(row.txid, row.vout), row.value, row.script, row.height)

    async def parent(self, payout: Payout) -> tuple[bytes, int, Satoshi, Coin]:
        """A payout's transaction: txid, virtual bytes, fee, and its change."""
        async with self.life.storeman.view() as view:
            (row,) = await view.bitcoin_transactions.of_subject(TransactionPurpose.PAYOUT, payout.payout_id)
        change = child_coin(row.txid, parse_transaction(row.raw).outputs, self.vault)
        assert change is not None
        return row.txid, row.vsize, row.fee, change


@pytest.fixture(scope="module")
async def scene(life: Life) -> Scene:
    alice = await life.net.account("alice")
    near = await life.minted(alice.account, 13_000_000, delay=17)
    await life.mine(13)
    two = [await life.deposit(alice.account, amount) for amount in (20_000_000, 21_000_000)]
    await life.mine()
    for paid in two:
        await life.reaches(paid, Stage.MINTED)
    settled = await life.withdrawn(alice, 19_000_000)

    async def both_swept() -> bool:
        async with life.storeman.view() as view:
            return {OutPoint(paid.txid, paid.vout) for paid in two} <= await in_flight(view)

    await eventually(both_swept, "both deposits are in sweeps")
    await life.mine()
    await life.paid_and_settled(settled)
    minted = await life.deposit(alice.account, 22_000_000)
    await life.mine()
    await life.reaches(minted, Stage.MINTED)
    unminted = await life.deposit(alice.account, 150_000_000)  # in a block of its own: the sum of a block counts
    await life.mine()
    await life.reaches(unminted, Stage.CONFIRMING)
    live = await life.withdrawn(alice, 300_000, max_fee=100_000)
    await eventually(lambda: life.payout_of(live), "a reservation")
    live_payout, paid_payout = await life.payout_of(live), await life.payout_of(settled)
    assert live_payout is not None
    assert paid_payout is not None
    await life.in_mempool(TransactionPurpose.PAYOUT, live_payout.payout_id)
    for node in life.net.storemen:

        async def told(node: BridgeNode = node) -> bool:
            async with node.view() as view:
                subject = live_payout.payout_id
                return bool(await view.bitcoin_transactions.of_subject(TransactionPurpose.PAYOUT, subject))

        await eventually(told, f"{node.name} has the payout's transaction")
    unpayable = await life.withdrawn(alice, 1_000_000, max_fee=1)
    group = await life.net.native.group(await life.net.active_group())
    assert group is not None
    assert group.key is not None
    vault = vault_script(group.key)
    return Scene(life, near, minted, unminted, settled, paid_payout, live, live_payout, unpayable, vault, group.id)


async def thefts(s: Scene) -> dict[str, tuple[str, str, TransactionProposal]]:
    """What a thief proposes to sign: purpose and structure, by the refusal that is the right answer."""
    right, payout = await s.payment(), s.live_payout.payout_id
    payment, change = right.outputs
    steal = replace(right, outputs=(TxOut(payment.value, THIEF), change))
    less = TxOut(Satoshi(payment.value - 1000), payment.script), TxOut(Satoshi(change.value + 1000), change.script)
    minted, unminted, near = await s.coin(s.minted), await s.coin(s.unminted), await s.coin(s.near)
    free = await s.free_coin()
    again = await s._payment(s.paid_payout)
    parent, vsize, fee, its_change = await s.parent(s.live_payout)
    child = child_transaction(vsize, fee, its_change, s.vault, SatPerKvB(5_000))
    old_parent, old_vsize, old_fee, old_change = await s.parent(s.paid_payout)
    late_child = child_transaction(old_vsize, old_fee, old_change, s.vault, SatPerKvB(5_000))
    unreserved = payout_id(s.group, [s.open], outpoint_id(free.outpoint.txid, free.outpoint.vout))
    home = return_script(s.minted.terms.reclaim_key)

    def swept(coin: Coin, script: bytes = s.vault) -> TransactionProposal:
        subject = outpoint_id(coin.outpoint.txid, coin.outpoint.vout)
        return proposal_of(subject, UnsignedTx((coin,), (TxOut(Satoshi(coin.value - 1000), script),)))

    return {
        "a payout to a stranger": ("payout", "UnaskedOutput", proposal_of(payout, steal)),
        "the change to a stranger": (
            "payout",
            "UnaskedOutput",
            proposal_of(payout, replace(right, outputs=(payment, TxOut(change.value, THIEF)))),
        ),
        "a wrong amount": ("payout", "WrongAmount", proposal_of(payout, replace(right, outputs=less))),
        "a fee above the cap": ("payout", "FeeAboveCap", proposal_of(payout, await s.payment(300_000))),
        "a lower fee than before": ("payout", "FeeNotRaised", proposal_of(payout, await s.payment(1_000))),
        "other coins than reserved": ("payout", "WrongInputs", proposal_of(payout, replace(right, inputs=(free,)))),
        "a second payment": ("payout", "PayoutClosed", proposal_of(s.paid_payout.payout_id, again)),
        "no reservation": ("payout", "NotYet", proposal_of(unreserved, replace(right, inputs=(free,)))),
        "a sweep to a stranger": ("sweep", "UnaskedOutput", swept(minted, THIEF)),
        "a sweep of the unminted": ("sweep", "InputNotOurs", swept(unminted)),
        "a sweep too near the reclaim": ("sweep", "ReclaimTooNear", swept(near)),
        "a sweep of the vault": ("sweep", "InputNotOurs", swept(free)),
        "a sweep under a false name": ("sweep", "MalformedProposal", replace_subject(swept(minted), payout)),
        "a return of the minted": (
            "return",
            "InputNotOurs",
            proposal_of(s.minted.id, return_transaction(minted, home, RATE)),
        ),
        "a return of a withdrawal": (
            "return",
            "MalformedProposal",
            proposal_of(s.open, return_transaction(minted, home, RATE)),
        ),
        "a child to a stranger": (
            "cpfp",
            "UnaskedOutput",
            proposal_of(parent, replace(child, outputs=(TxOut(child.outputs[0].value, THIEF),))),
        ),
        "a child of a parent in a block": ("cpfp", "InputNotOurs", proposal_of(old_parent, late_child)),
        "a child of nothing": ("cpfp", "NotYet", proposal_of(payout, child)),
        "something unknown": ("theft", "BadInput", proposal_of(payout, right)),
    }


def replace_subject(proposal: TransactionProposal, subject: bytes) -> TransactionProposal:
    return TransactionProposal(subject, proposal.inputs, proposal.outputs)


async def false_bindings(s: Scene) -> dict[str, tuple[str, ReserveProposal | BarProposal]]:
    """What a thief proposes to co-sign, with the right refusal."""
    free, minted = await s.free_coin(), await s.coin(s.minted)
    bound = s.live_payout.anchor

    def bind(withdrawal: bytes, coin: OutPoint) -> ReserveProposal:
        return ReserveProposal(s.group, [withdrawal], [PlainOutpoint(coin.txid, coin.vout)])

    return {
        "a coin of another payout": ("InputReserved", bind(s.open, bound)),
        "a withdrawal that is paid": ("PayoutClosed", bind(s.settled, free.outpoint)),
        "a live payout without its anchor": ("WrongInputs", bind(s.live, free.outpoint)),
        "a deposit's coin": ("InputNotOurs", bind(s.open, minted.outpoint)),
        "a deposit as a withdrawal": ("MalformedProposal", bind(s.minted.id, free.outpoint)),
        "a withdrawal that allows no fee": ("FeeAboveMaximum", bind(s.open, free.outpoint)),
        "a bar of the minted": ("DepositNotRefused", BarProposal(s.minted.id, amount_bytes(s.minted.amount), 1)),
        "a bar of a good deposit": (
            "DepositNotRefused",
            BarProposal(s.unminted.id, amount_bytes(s.unminted.amount), 1),
        ),
        "a bar of a withdrawal": ("MalformedProposal", BarProposal(s.open, amount_bytes(1_000_000), 1)),
        "a bar of nothing": ("NotYet", BarProposal(bytes(32), amount_bytes(1), 1)),
    }


async def test_a_dishonest_coordinator_gets_no_signature(scene: Scene) -> None:
    """Whatever a storeman proposes but the right thing is refused by all others, logged, and kept with its name."""
    life, thief = scene.life, scene.life.net.storemen[4]
    honest = life.net.storemen[:4]
    expected, answers = {}, {}
    async with Dishonest.instead_of(life.net, thief) as member:
        with capture_logs() as logs:
            for what, (purpose, refusal, proposal) in (await thefts(scene)).items():
                expected[what] = refusal
                answers[what] = [await member.propose(node, purpose, proposal) for node in honest]
            for what, (refusal, claim) in (await false_bindings(scene)).items():
                expected[what] = refusal
                answers[what] = [await member.cosign(node, claim) for node in honest]
        right = proposal_of(scene.live_payout.payout_id, await scene.payment())
        for node in honest:
            assert isinstance(await member.propose(node, "payout", right), Offer), "the right thing is not refused"
    assert answers == {what: [refusal] * 4 for what, refusal in expected.items()}
    told = [(entry["proposer"], entry["refusal"]) for entry in logs if entry["event"] == "a proposal is refused"]
    assert sorted(told) == sorted(("storeman-5", refusal) for refusal in expected.values() for _ in honest)
    for node in honest:
        async with node.view() as view:
            rows = await view.incidents.latest(kind=IncidentKind.REFUSAL, party=thief.member.host_key)
        assert {row.error for row in rows} == set(expected.values()) - {"NotYet"}, node.name


async def test_what_the_group_did_not_sign_is_not_kept(scene: Scene) -> None:
    """A member that claims the group's signature on a theft is not believed, nor is who is no member at all."""
    life = scene.life
    right = await scene.payment()
    steal = replace(right, outputs=(TxOut(right.outputs[0].value, THIEF), right.outputs[1]))
    async with life.storeman.view() as view:
        (row,) = await view.bitcoin_transactions.of_subject(TransactionPurpose.PAYOUT, scene.live_payout.payout_id)
    shares = [
        SharedTransaction(scene.group, "payout", proposal_of(scene.live_payout.payout_id, transaction), raw)
        for transaction, raw in (
            (steal, row.raw),
            (steal, row.raw.replace(right.outputs[0].script, THIEF)),
            (right, row.raw[:-20] + bytes(20)),
            (right, b""),
        )
    ]
    for impostor in (life.net.storemen[4], life.net.vouchers[3]):
        async with Dishonest.instead_of(life.net, impostor) as member:
            for node in life.net.storemen[:2]:
                for shared in shares:
                    assert isinstance(await member.share(node, shared), str), "it is refused"
                async with node.view() as view:
                    rows = await view.bitcoin_transactions.of_subject(
                        TransactionPurpose.PAYOUT, scene.live_payout.payout_id
                    )
                assert all(THIEF not in row.raw for row in rows)
            if impostor in life.net.vouchers:
                proposal = proposal_of(scene.live_payout.payout_id, right)
                assert await member.propose(node, "payout", proposal) == "NotAMember"
                bar = BarProposal(scene.minted.id, amount_bytes(scene.minted.amount), 1)
                assert await member.cosign(node, bar) == "NotOurGroup"


async def test_garbage_from_a_peer_stops_no_node(life: Life) -> None:
    """Bodies of every kind that mean nothing are answered with typed refusals, and the bridge works on."""
    garbage = [b"", b"\x00", b"\xc1", b"\x81" * 200, b"\x91" * 5000, b"\xdd\xff\xff\xff\xff", secrets.token_bytes(3000)]
    kinds = [
        INVITE,
        ROUND,
        CLOSE,
        *(PREFIX + step for step in ("start", "second", "investigate", "finish", "adopt", "done")),
    ]
    kinds += [COSIGN, CONFIRM_KEY, TRANSACTION, "bridge.unknown", "+" + COSIGN]
    alice = await life.net.account("alice")
    async with Dishonest.instead_of(life.net, life.net.storemen[4]) as member:
        for kind in kinds:
            answers = await asyncio.gather(*(member.ask(life.net.storemen[0], kind, body) for body in garbage))
            for answer in answers:
                assert isinstance(answer, PeerRefused), f"{kind}: {answer!r}"
                assert answer.error != "InternalError", f"{kind}: a bug, not a refusal"
    async with Dishonest.instead_of(life.net, life.net.vouchers[3]) as member:
        for node in life.net.vouchers[:3]:
            answers = await asyncio.gather(*(member.ask(node, ATTESTATIONS, body) for body in garbage))
            assert {a.error if isinstance(a, PeerRefused) else a for a in answers} == {"BadInput"}
    assert all(node.task is not None and not node.task.done() for node in life.net.nodes)
    await life.minted(alice.account, 14_000_000)
