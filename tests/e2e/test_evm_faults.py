"""Nobody can make the bridge do wrong on an EVM chain: members that propose theft, endpoints that lie, false chains."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Any

import pytest
from structlog.testing import capture_logs

from adapters.evm.errors import WrongChain
from adapters.evm.lockbox.types import NATIVE_COIN, Payment, return_number
from bridge.deposits import Stage
from bridge.messages import BarProposal, amount_bytes
from bridge.storage import IncidentKind
from bridge.vault_requests import VaultRequest, cancel_request, configure_request, release_request
from foundation.quantities import TokenUnits
from infra.anvil import Anvil
from infra.bitcoind import Bitcoind
from mpc.messages import Offer
from tests.support.bridge_network import ETHER, BridgeNode, eventually
from tests.support.dishonest import Dishonest
from tests.support.evm_life import EvmLife, evm_life
from tests.support.evm_network import FEE_BPS, OriginAnvil, changed, with_section
from tests.support.evm_origin import Deposited
from tests.support.evm_proxy import Lie, LyingEndpoint, forges, omits

pytestmark = pytest.mark.asyncio(loop_scope="session")
RELAY_FEE = ETHER // 1000
THIEF = b"t" * 20


@pytest.fixture(scope="module")
async def life(
    tmp_path_factory: pytest.TempPathFactory, _shared_bitcoind: Bitcoind, _shared_anvil: Anvil
) -> AsyncIterator[EvmLife]:
    """A small bridge that serves one EVM chain."""
    root = tmp_path_factory.mktemp("evm-faults")
    async with (
        OriginAnvil(root / "origin") as origin,
        evm_life(root / "net", _shared_bitcoind, _shared_anvil, [origin]) as life,
    ):
        yield life


@dataclass(frozen=True, slots=True)
class Scene:
    """What a thief finds. Fields: chain (id); minted; settled (number); payment (the right one of a live payout)."""

    chain: bytes
    minted: Deposited
    settled: int
    payment: Payment

    def thefts(self) -> dict[str, tuple[str, VaultRequest]]:
        """What a thief proposes to sign, with the right refusal."""
        p = self.payment
        mine = Payment(return_number(self.minted.locked.number), NATIVE_COIN, THIEF, TokenUnits(ETHER), TokenUnits(0))

        def release(*payments: Payment, epoch: int = 0) -> VaultRequest:
            return release_request(self.chain, epoch, payments)

        return {
            "to a stranger": ("UnaskedPayment", release(replace(p, payee=THIEF))),
            "a wrong amount": ("UnaskedPayment", release(replace(p, amount=TokenUnits(p.amount + 1)))),
            "a higher fee": (
                "UnaskedPayment",
                release(replace(p, amount=TokenUnits(p.amount - 1), fee=TokenUnits(p.fee + 1))),
            ),
            "another token": ("UnaskedPayment", release(replace(p, asset=b"\x77" * 20))),
            "a number that is paid": ("NotPayable", release(replace(p, number=self.settled))),
            "a number of nobody": ("NotYet", release(replace(p, number=10**6))),
            "one number twice": ("MalformedProposal", release(p, p)),
            "one theft beside the right one": ("NotPayable", release(p, replace(p, number=self.settled))),
            "another epoch": ("WrongEpoch", release(p, epoch=1)),
            "a return of the minted": ("UnaskedPayment", release(mine)),
            "a return of nothing": ("NotYet", release(replace(mine, number=return_number(10**6)))),
            "a cancellation of the live one": ("NotCancellable", cancel_request(self.chain, 0, [p.number])),
            "a cancellation of the paid one": ("NotCancellable", cancel_request(self.chain, 0, [self.settled])),
            "limits that nobody set": (
                "WrongConfiguration",
                configure_request(self.chain, 0, NATIVE_COIN, (0, 1, True), 1),
            ),
        }


async def test_a_dishonest_coordinator_gets_no_signature_for_the_vault(life: EvmLife) -> None:
    """Whatever a storeman proposes but the right release is refused by all others, and kept with its name."""
    chain, net = life.chain, life.net
    alice, bob = await chain.account("alice"), await net.account("bob")
    minted = await life.held(chain, alice, 6 * ETHER, bob.account)
    paid = await life.to_chain(bob, chain.asset(), ETHER, b"\x71" * 20, RELAY_FEE)
    await life.settled(paid)
    thief, honest = net.storemen[2], net.storemen[:2]
    async with with_section(net.storemen, relay=False):
        live = await life.to_chain(bob, chain.asset(), 2 * ETHER, b"\x72" * 20, RELAY_FEE)
        for node in net.storemen:

            async def reserved(node: BridgeNode = node) -> bool:
                return await life.payout_of(live, node) is not None

            await eventually(reserved, f"{node.name} knows the reservation")
        due = 2 * ETHER - 2 * ETHER * FEE_BPS // 10_000 - RELAY_FEE
        number = await life.number_of(live)
        right = Payment(number, NATIVE_COIN, b"\x72" * 20, TokenUnits(due), TokenUnits(RELAY_FEE))
        scene = Scene(chain.chain.id, minted, await life.number_of(paid), right)
        await _refused(life, scene, thief, honest)
    await life.settled(live)
    assert await chain.balance(THIEF) == 0


async def _refused(life: EvmLife, scene: Scene, thief: BridgeNode, honest: list[BridgeNode]) -> None:
    group, answers = life.chain.vault.group, {}
    async with Dishonest.instead_of(life.net, thief) as stranger:
        member = replace(stranger, group=group)
        with capture_logs() as logs:
            for what, (_, request) in scene.thefts().items():
                answers[what] = [await member.propose(node, request.kind, request.proposal) for node in honest]
            bar = BarProposal(scene.minted.id, amount_bytes(scene.minted.amount), 1)
            bars = [await member.cosign(node, bar) for node in honest]
        for node in honest:
            offer = await member.propose(node, "release", release_request(scene.chain, 0, [scene.payment]).proposal)
            assert isinstance(offer, Offer), f"the right release is not refused: {offer}"
    assert answers == {what: [refusal] * len(honest) for what, (refusal, _) in scene.thefts().items()}
    assert bars == ["DepositNotRefused"] * len(honest)
    told = {entry["proposer"] for entry in logs if entry["event"] == "a proposal is refused"}
    assert told == {thief.name}
    expected = {refusal for refusal, _ in scene.thefts().values()} - {"NotYet"} | {"DepositNotRefused"}
    for node in honest:
        async with node.view() as view:
            rows = await view.incidents.latest(kind=IncidentKind.REFUSAL, party=thief.member.host_key)
        assert expected <= {row.error for row in rows}, node.name


@pytest.mark.parametrize("kind", ["omits", "forges"])
async def test_an_endpoint_that_lies_is_not_believed_and_is_named(life: EvmLife, kind: str) -> None:
    """Who asks it alone waits and says why; who asks an honest one too goes on, and tells which one lied."""
    chain, net = life.chain, life.net
    alice, bob = await chain.account("alice"), await net.account("bob")
    asks_both, asks_liar = net.vouchers[:2]
    async with (
        LyingEndpoint.before(chain.url) as endpoint,
        with_section([asks_both], urls=[endpoint.url, chain.url]),
        with_section([asks_liar], urls=[endpoint.url]),
    ):
        amount = 3 * ETHER + len(kind)
        endpoint.lie = _lie(kind, chain.vault.lockbox, amount)
        had = await life.tokens(chain.asset(), bob.account)
        deposited = await chain.lock(alice, amount, bob.account)
        others = [node for node in life.running if node is not asks_liar]
        await life.becomes(deposited, Stage.HELD, nodes=others)
        assert await life.tokens(chain.asset(), bob.account) == had + amount - amount * FEE_BPS // 10_000
        seen = await life.lock_of(deposited, asks_liar)
        assert seen is None or seen.lock is None, "it knows at most what the Hub says"
        await _says(life, asks_liar, lambda found: bool(found["problem"]) and found["state"] == "waiting")
        await _says(life, asks_both, lambda found: [bool(p) for p in found["endpoints"].values()] == [True, False])
        endpoint.lie = None
        await life.becomes(deposited, Stage.HELD, nodes=[asks_liar])
        await _says(life, asks_liar, lambda found: not found["problem"])
    await life.no_alarm()


def _lie(kind: str, contract: bytes, amount: int) -> Lie:
    return omits(contract) if kind == "omits" else forges(contract, amount, 10 * amount)


async def _says(life: EvmLife, node: BridgeNode, wanted: Any) -> None:
    """Wait for what the node's status says of the chain."""

    async def told() -> bool:
        found = (await life.status(node)).get("evm", [])
        return bool(found) and bool(wanted(found[0]))

    await eventually(told, f"{node.name} says so")


@pytest.mark.parametrize("beside", [False, True])
async def test_a_node_refuses_a_false_chain(life: EvmLife, tmp_path_factory: Any, beside: bool) -> None:
    """The same number but another genesis block, alone or beside the true chain: the node ends, and says why."""
    chain, node = life.chain, life.net.vouchers[3]
    async with OriginAnvil(tmp_path_factory.mktemp("false")) as false:
        before = node.settings
        await node.stop()
        node.settings = changed(before, urls=[chain.url, false.url] if beside else [false.url])
        await node.start()
        assert node.task is not None
        with pytest.raises(ExceptionGroup) as ended:
            await node.task
        assert ended.group_contains(WrongChain, match="genesis")
        node.task = None
        node.settings = before
        await node.start()
    await life.held(chain, await chain.account("alice"), ETHER, b"\x73" * 20)
