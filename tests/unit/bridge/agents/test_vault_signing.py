"""A storeman has signed what its vault waits for, once, when it is its turn; and takes what others had signed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from coincurve import PrivateKey

from adapters.evm.lockbox import events as lb
from adapters.evm.lockbox.messages import Messages
from adapters.evm.lockbox.types import NATIVE_COIN, Payment
from adapters.native.eip712 import BadSignature
from bridge.agents.vaults.signing import SignForVaults
from bridge.codec import encode
from bridge.cosigner import NotOurGroup
from bridge.messages import SharedSignature
from bridge.refusals import Insolvent, MalformedProposal, NotYet
from bridge.vault_requests import VaultRequest, cancel_request, release_request
from foundation.errors import BadInput, CausewayError
from foundation.quantities import TokenUnits
from mpc.cluster_errors import SigningTimeout
from mpc.transport import Received
from tests.support.bridge_evm import ETH, EVM_GROUP, Asked
from tests.support.bridge_office import identity
from tests.support.vault_office import PAYOUT, SECRET, VaultOffice

ONE, TWO = Asked(1), Asked(2, amount=3 * ETH, max_fee=500)


@pytest.fixture
async def office(tmp_path: Path) -> AsyncIterator[VaultOffice]:
    opened = await VaultOffice.open(tmp_path)
    yield opened
    await opened.close()


def release_of(office: VaultOffice, *asked: Asked, epoch: int = 0) -> VaultRequest:
    paid = [Payment(a.number, NATIVE_COIN, a.destination, TokenUnits(a.rest), TokenUnits(a.max_fee)) for a in asked]
    return release_request(office.side.chain.id, epoch, paid)


async def share(
    office: VaultOffice,
    request: VaultRequest,
    secret: PrivateKey = SECRET,
    sender: int = 2,
    epoch: int = 0,
    group: bytes = EVM_GROUP,
) -> bytes:
    """Another member says that the group signed this."""
    message = request.message(Messages(1, office.side.vault.lockbox, epoch))
    shared = SharedSignature(group, request.kind, request.body, secret.sign_schnorr(message), [0, 1])
    received = Received(identity(sender).host_key, "bridge.signature", encode(shared), b"")
    return await SignForVaults(office.office).on_signature(received)


async def test_a_payout_is_signed_once_kept_and_told_to_the_others(office: VaultOffice) -> None:
    """The signature is over what the Hub asks for; a second run asks for nothing; a restart neither."""
    await office.ask(ONE, TWO)
    duty = SignForVaults(office.office)
    assert await duty.run() is True
    (row,) = await office.signed()
    assert (row.kind, row.subject, row.epoch) == ("release", PAYOUT, 0)
    assert row.body == release_of(office, ONE, TWO).body
    async with office.chains.database.view() as view:
        assert len(await view.outbox.due(office.office.clock())) == 2
    assert (await office.chains.notes(office.chains.context.withdrawal_id(1)))[-1] == (
        "release signed by storeman-1, storeman-3"
    )
    assert await duty.run() is False
    await office.restart()
    assert await SignForVaults(office.office).run() is False
    assert len(office.cluster.asked) == 1


async def test_nothing_is_proposed_out_of_turn(office: VaultOffice) -> None:
    """But the duty says that something waits, so that it looks again when the turn begins."""
    await office.ask(ONE)
    office.turn = False
    assert await SignForVaults(office.office).run() is True
    assert office.cluster.asked == []


async def test_a_chain_that_is_not_followed_now_waits(office: VaultOffice) -> None:
    """Its endpoints are away, or this node does not serve it: that is no failure of the duty."""
    await office.ask(ONE)
    office.fake.outposts.clear()
    assert await SignForVaults(office.office).run() is False
    assert office.cluster.asked == []


async def test_a_failure_keeps_no_other_request_waiting(office: VaultOffice) -> None:
    """Two payouts, of which one is refused: the other is signed, and the refusal is the run's."""
    await office.ask(ONE)
    await office.ask(TWO, payout=b"q" * 32)
    signed = office.cluster.sign_together
    refused = release_of(office, ONE).body

    async def sign(group: bytes, kind: str, body: bytes, timeout_s: float) -> object:
        if body == refused:
            raise SigningTimeout(group, [1], ())
        return await signed(group, kind, body, timeout_s)

    office.fake.cluster = type("C", (), {"sign_together": staticmethod(sign)})
    with pytest.raises(SigningTimeout):
        await SignForVaults(office.office).run()
    assert [row.subject for row in await office.signed()] == [b"q" * 32]


async def test_what_this_node_would_refuse_it_has_nobody_sign(office: VaultOffice) -> None:
    """A vault that was robbed pays nothing any more, whoever waits."""
    await office.ask(ONE)
    await office.chains.evm(office.side.released(77, ETH, 0))
    with pytest.raises(Insolvent):
        await SignForVaults(office.office).run()
    assert await office.signed() == []


async def test_after_a_rotation_everything_open_is_signed_anew(office: VaultOffice) -> None:
    """Under the epoch that the vault obeys now."""
    await office.ask(ONE)
    duty = SignForVaults(office.office)
    await duty.run()
    await office.chains.evm(lb.KeyRotated(office.side.at(), 1, b"k" * 32))
    await duty.run()
    assert sorted(row.epoch for row in await office.signed()) == [0, 1]


async def test_what_another_member_had_signed_is_kept_once(office: VaultOffice) -> None:
    """And it is not signed again here."""
    await office.ask(ONE)
    request = release_of(office, ONE)
    for _ in range(2):
        assert await share(office, request) == b""
    (row,) = await office.signed()
    assert row.subject == PAYOUT
    assert await SignForVaults(office.office).run() is False
    assert office.cluster.asked == []


async def test_a_cancellation_that_the_group_has_decided_is_kept_at_once(office: VaultOffice) -> None:
    """How long the payment failed is what each signer asked itself; here the clock may be another."""
    await office.ask(ONE)
    await office.chains.evm(office.side.failed(1, ONE.rest, ONE.max_fee))
    await share(office, cancel_request(office.side.chain.id, 0, [1]))
    assert [row.kind for row in await office.signed()] == ["cancel"]


async def test_a_signature_that_comes_when_all_is_done_is_answered_and_not_kept(office: VaultOffice) -> None:
    """Whoever brings it, late or with a key that was rotated away since, need not bring it again."""
    await office.ask(ONE, TWO)
    await office.chains.evm(office.side.released(1, ONE.rest, ONE.max_fee))
    await office.chains.evm(office.side.released(2, TWO.rest, TWO.max_fee))
    assert await share(office, release_of(office, ONE, TWO)) == b""
    await office.chains.evm(lb.KeyRotated(office.side.at(), 1, b"k" * 32))
    assert await share(office, release_of(office, ONE, TWO)) == b""
    assert await office.signed() == []


@pytest.mark.parametrize(
    ("changes", "refusal"),
    [
        ({"secret": PrivateKey(b"\x09" * 32)}, BadSignature),
        ({"sender": 9}, NotOurGroup),
        ({"group": b"g" * 32}, NotOurGroup),
    ],
)
async def test_only_the_groups_own_signature_is_kept(
    office: VaultOffice, changes: dict[str, object], refusal: type[CausewayError]
) -> None:
    """By its key, from a member, for its own vault: else anyone could have this node carry rubbish at its cost."""
    await office.ask(ONE)
    with pytest.raises(refusal):
        await share(office, release_of(office, ONE), **changes)  # type: ignore[arg-type]  # one of the fields
    assert await office.signed() == []


async def test_a_signature_for_another_epoch_is_refused(office: VaultOffice) -> None:
    """The vault would not take it."""
    await office.ask(ONE)
    with pytest.raises(MalformedProposal):
        await share(office, release_of(office, ONE, epoch=1), epoch=1)
    assert await office.signed() == []


async def test_what_nobody_waits_for_is_not_kept(office: VaultOffice) -> None:
    """Not even with the group's signature: a payment to a stranger, or a part of a payout."""
    await office.ask(ONE, TWO)
    with pytest.raises(NotYet):
        await share(office, release_of(office, replace(ONE, destination=b"x" * 20)))
    with pytest.raises(NotYet):
        await share(office, release_of(office, ONE))
    assert await office.signed() == []


async def test_rubbish_is_bad_input(office: VaultOffice) -> None:
    """Whatever a peer sends."""
    for body in (b"", b"\xc0", encode(SharedSignature(EVM_GROUP, "rotate", b"", b"s" * 64))):
        with pytest.raises(BadInput):
            await SignForVaults(office.office).on_signature(Received(identity(2).host_key, "", body, b""))
