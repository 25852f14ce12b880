"""Letters between the banks of a channel: who is heard, how often, and that nobody waits for a peer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

import msgspec
import pytest

from foundation.errors import BadInput
from foundation.quantities import UnixMs
from settlement.channels.link import PATH, AskBudget, HttpPeerLink, PeerDoor
from settlement.channels.messages import AskTurn, GiveBack, decode, encode
from settlement.channels.terms import ChannelId, LockId
from settlement.connect.acceptance import PaymentId
from settlement.connect.envelope import Form, seal_letter, write_header
from settlement.connect.envelope_keys import EnvelopeKeys, EnvelopeSecrets
from settlement.quantities import PartyId
from tests.support.channels import START
from tests.support.patience import PATIENCE_S

ANN, BOB, EVE = (PartyId(name) for name in ("ann", "bob", "eve"))
SECRETS = {party: EnvelopeSecrets.derive(party, party.encode().ljust(32, b".")) for party in (ANN, BOB, EVE)}
CHANNEL = ChannelId(b"c" * 32)
GIVE_BACK = GiveBack(CHANNEL, LockId(b"l" * 32))
ASK = AskTurn(CHANNEL, 4)


@dataclass
class Wire:
    """Ann's link and Bob's door."""

    now: UnixMs = START
    urls: dict[str, str] = field(default_factory=dict)
    heard: list[object] = field(default_factory=list)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)

    def clock(self) -> UnixMs:
        """Everybody's."""
        return self.now

    def keys(self, party: str) -> EnvelopeKeys | None:
        """See `Peers`."""
        found = SECRETS.get(PartyId(party))
        return None if found is None else found.keys(UnixMs(0), UnixMs(2 * START))

    def url(self, party: str) -> str:
        """See `Peers`."""
        return self.urls[party]

    async def receive(self, channel: ChannelId, raw: bytes) -> None:
        """Bob's agent."""
        self.heard.append(decode(raw))
        self.arrived.set()

    def letter(self, sender: PartyId, text: bytes, channel: ChannelId = CHANNEL, recipient: PartyId = BOB) -> bytes:
        """A letter as a sender seals it, alone in a request."""
        header = write_header(Form.LETTER, sender, recipient, PaymentId(channel), self.now, UnixMs(self.now + 60_000))
        keys = self.keys(BOB)
        assert keys is not None
        return msgspec.msgpack.encode([seal_letter(SECRETS[sender], keys.seal_key, header, text).encode()])


def tagged(message: AskTurn | GiveBack) -> bytes:
    """A message as a letter's text."""
    return b"causeway/channels/letter/1/" + encode(message)


@pytest.fixture
def wire() -> Wire:
    """Nothing was sent yet."""
    return Wire()


@pytest.fixture
async def door(wire: Wire) -> AsyncIterator[PeerDoor]:
    """Bob's, who has a channel with Ann."""
    made = PeerDoor(SECRETS[BOB], wire, {CHANNEL: ANN}, wire.receive, wire.clock, AskBudget(1.0, 3))
    await made.listen("127.0.0.1", 0)
    wire.urls[BOB] = made.url
    yield made
    await made.close()


async def test_message_arrives_over_http(wire: Wire, door: PeerDoor) -> None:
    """What one bank sends the other hears, sealed and signed on its way."""
    async with HttpPeerLink(SECRETS[ANN], wire, {CHANNEL: BOB}, wire.clock) as link:
        await link.send(CHANNEL, GIVE_BACK)
        await asyncio.wait_for(wire.arrived.wait(), PATIENCE_S)
    assert wire.heard == [GIVE_BACK]


async def test_sending_waits_for_nobody(wire: Wire) -> None:
    """A peer that is away, unknown or slow raises nothing and holds nothing up; what is too much is lost."""
    wire.urls[BOB] = "http://127.0.0.1:1"
    async with AsyncExitStack() as stack:
        link = await stack.enter_async_context(HttpPeerLink(SECRETS[ANN], wire, {CHANNEL: BOB}, wire.clock))
        for _ in range(2_000):
            await link.send(CHANNEL, GIVE_BACK)
        await link.send(ChannelId(b"o" * 32), GIVE_BACK)
        assert len(link._waiting[BOB]) <= 512


async def test_letters_of_others_are_dropped(wire: Wire, door: PeerDoor) -> None:
    """Another bank, another channel, another recipient, another use and a repeat change nothing."""
    good = wire.letter(ANN, tagged(GIVE_BACK))
    for body in (
        wire.letter(EVE, tagged(GIVE_BACK)),
        wire.letter(ANN, tagged(GIVE_BACK), ChannelId(b"o" * 32)),
        wire.letter(ANN, tagged(GIVE_BACK), recipient=EVE),
        wire.letter(ANN, encode(GIVE_BACK)),
        wire.letter(ANN, tagged(GIVE_BACK).replace(b"letter", b"packet")),
        wire.letter(ANN, b"causeway/channels/letter/1/nonsense"),
    ):
        await door.take(body)
    assert wire.heard == []
    await door.take(good)
    await door.take(good)
    assert wire.heard == [GIVE_BACK]


async def test_turn_is_not_asked_for_without_end(wire: Wire, door: PeerDoor) -> None:
    """Asks above the budget are dropped, other messages are not, and with time the budget fills again."""
    for _ in range(10):
        await door.take(wire.letter(ANN, tagged(ASK)))
    assert wire.heard == [ASK] * 3
    await door.take(wire.letter(ANN, tagged(GIVE_BACK)))
    wire.now = UnixMs(wire.now + 2_000)
    for _ in range(10):
        await door.take(wire.letter(ANN, tagged(ASK)))
    assert wire.heard == [ASK] * 3 + [GIVE_BACK] + [ASK] * 2


@pytest.mark.parametrize("body", [b"", b"\xff", msgspec.msgpack.encode([]), msgspec.msgpack.encode([b""] * 65)])
async def test_request_that_holds_no_letters_is_refused(door: PeerDoor, body: bytes) -> None:
    """Neither nonsense nor too many letters are looked at."""
    with pytest.raises(BadInput):
        await door.take(body)
    assert door.url + PATH
