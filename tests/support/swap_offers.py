"""Offers for tests."""

from __future__ import annotations

from coincurve import PublicKeyXOnly

from foundation.quantities import Satoshi, TokenUnits
from registry.caip import ChainId
from settlement.swap.offers import Offer, SignedOffer
from settlement.swap.terms import Mode


def an_offer(now: int, *, secret: bytes = b"\x07" * 32, salt: int = 0, gives_bitcoin: bool = True) -> SignedOffer:
    """One bitcoin against twenty ether, or the other way round, valid for half an hour."""
    offer = Offer(
        maker=bytes(PublicKeyXOnly.from_secret(secret).format()),
        letters=b"\x09" * 32,
        place="http://127.0.0.1:8123",
        mode=Mode.HASH,
        gives_bitcoin=gives_bitcoin,
        bitcoin_chain=ChainId("bip122", "0f9188f13cb7b2c71f2a335e3a4fc328"),
        satoshi=Satoshi(100_000_000),
        bitcoin_confirmations=1,
        evm_chain=ChainId("eip155", "31337"),
        escrow=b"\x11" * 20,
        asset=bytes(20),
        account=b"\x22" * 20,
        amount=TokenUnits(20 * 10**18),
        evm_confirmations=1,
        made_at=now,
        valid_until=now + 1_800,
        salt=salt.to_bytes(16, "big"),
    )
    return SignedOffer.sign(offer, secret)
