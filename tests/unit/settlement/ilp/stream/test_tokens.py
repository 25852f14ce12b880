"""Connections that a server derives from their addresses."""

from __future__ import annotations

import pytest

from foundation.errors import BadInput
from settlement.ilp.addresses import Address, child_of
from settlement.ilp.errors import BadPacket
from settlement.ilp.stream.receipts import ReceiptKey
from settlement.ilp.stream.tokens import Inviter

HOME = Address("test.bank.pay")
SECRET = b"k" * 32


def test_a_server_that_remembers_nothing_knows_its_clients() -> None:
    """Tag, receipt key and shared secret come back from the address alone, in another process with the same secret."""
    key = ReceiptKey(b"n" * 16, b"s" * 32)
    given = Inviter(HOME, SECRET).invite("invoice~12", key)
    inviter = Inviter(HOME, SECRET)
    token = inviter.token_in(child_of(given.address, "anything"))
    assert token is not None
    invitation, shared_secret = inviter.read(token)
    assert (invitation.tag, invitation.receipts) == ("invoice~12", key)
    assert shared_secret == given.shared_secret
    assert given.receipts_enabled


def test_no_two_clients_share_a_secret() -> None:
    """Each invitation has an address and a secret of its own, whatever the tag, and neither secret is shown."""
    inviter = Inviter(HOME, SECRET)
    invitations = [inviter.invite("same") for _ in range(50)]
    assert len({given.address for given in invitations}) == len({given.shared_secret for given in invitations}) == 50
    assert invitations[0].shared_secret.hex() not in repr(invitations[0])
    assert not invitations[0].receipts_enabled


def test_forged_and_respelt_tokens_are_refused() -> None:
    """A client cannot make a token, alter one, or write the same one in another way."""
    inviter = Inviter(HOME, SECRET)
    token = inviter.token_in(inviter.invite("").address)
    assert token is not None
    for at in range(len(token)):
        forged = token[:at] + ("A" if token[at] != "A" else "B") + token[at + 1 :]
        with pytest.raises(BadPacket):
            inviter.read(forged)
    for other in (token + "A", token + "=", token[:-1], "", "~", "A" * 500):
        with pytest.raises(BadPacket):
            inviter.read(other)
    with pytest.raises(BadPacket):
        Inviter(HOME, b"l" * 32).read(token)


def test_other_addresses_hold_no_token() -> None:
    """The server's own address, and those of others, have none."""
    inviter = Inviter(HOME, SECRET)
    assert inviter.token_in(HOME) is None
    assert inviter.token_in(Address("test.bank.payer.x")) is None


@pytest.mark.parametrize("tag", ["x" * 65, "a b", "ä", "a/b"])
def test_tags_are_plain(tag: str) -> None:
    """A tag that is too long or holds other characters is refused."""
    with pytest.raises(BadInput):
        Inviter(HOME, SECRET).invite(tag)
