"""An offer to swap: what is given and wanted, where the maker listens, and the maker's signature under all of it.

An offer is public and binds nobody: money moves only after both sides have agreed on whole terms (`terms`). The
signature makes sure that what a taker reads is what the maker wrote, however it travelled.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from functools import cached_property
from typing import Final
from urllib.parse import urlsplit

from coincurve import PrivateKey, PublicKeyXOnly

from adapters.bitcoin.scripts import check_key
from foundation.errors import BadInput, Fatal
from foundation.quantities import Satoshi, TokenUnits
from registry.caip import AssetType, BitcoinGenesis, ChainId, bitcoin_asset, erc20, evm_coin
from settlement.quantities import tagged_hash
from settlement.swap.terms import MAX_CONFIRMATIONS, MAX_SATOSHI, MIN_SATOSHI, Mode, Role

SCHEME: Final = "causeway-swap:"
OFFER_VERSION: Final = 1
VALID_SECONDS_MAX: Final = 30 * 86_400
PLACE_BYTES_MAX: Final = 200
SALT_BYTES: Final = 16
TEXT_CHARACTERS_MAX: Final = 1_200

_SIGNATURE_BYTES: Final = 64
_SECONDS_END: Final = 1 << 40
_IS_POINT: Final = 1
_GIVES_BITCOIN: Final = 2


class OfferDamaged(Fatal):
    """What claims to be an offer is none, or is not as its maker signed it. Fields: problem; cure."""

    cure = "ask its maker for it again, over a way that changes nothing"

    def __init__(self, problem: str) -> None:
        self.problem = problem
        super().__init__(f"the offer {problem}")


class OfferExpired(Fatal):
    """The offer is not valid any more. Fields: valid_until (seconds since 1970); cure."""

    cure = "ask its maker for a new one"

    def __init__(self, valid_until: int) -> None:
        self.valid_until = valid_until
        super().__init__("the offer has expired, or is about to")


@dataclass(frozen=True)  # no slots: the cached properties live in the instance's dictionary
class Offer:
    """What a maker offers. Raises `BadInput` for fields that do not fit.

    Fields: maker (x-only key that signs, 32 bytes); letters (X25519 key that letters are sealed to, 32 bytes); place
    (URL of the mailboxes where the maker reads); mode; gives_bitcoin (else it gives the EVM asset); bitcoin_chain;
    satoshi; bitcoin_confirmations; evm_chain; escrow, asset, account (20 bytes; asset zero: the coin; account: the
    maker's); amount (base units of the asset); evm_confirmations (0: the chain's own finality); made_at, valid_until
    (seconds since 1970); salt (16 bytes).
    """

    maker: bytes
    letters: bytes
    place: str
    mode: Mode
    gives_bitcoin: bool
    bitcoin_chain: ChainId
    satoshi: Satoshi
    bitcoin_confirmations: int
    evm_chain: ChainId
    escrow: bytes
    asset: bytes
    account: bytes
    amount: TokenUnits
    evm_confirmations: int
    made_at: int
    valid_until: int
    salt: bytes

    def __post_init__(self) -> None:
        check_key("maker", self.maker)
        lengths = {"letters": 32, "escrow": 20, "asset": 20, "account": 20, "salt": SALT_BYTES}
        for field, length in lengths.items():
            if len(getattr(self, field)) != length:
                raise BadInput(field, f"{len(getattr(self, field))} bytes", f"{length} bytes")
        if not any(self.escrow) or not any(self.account):
            raise BadInput("escrow" if not any(self.escrow) else "account", "is the address zero", "an address")
        check_place(self.place)
        if self.bitcoin_chain.namespace != "bip122" or self.evm_chain.namespace != "eip155":
            raise BadInput("chain", "the two sides are no bitcoin chain and EVM chain", "one of each")
        if int(self.evm_chain.reference) >= 1 << 64:
            raise BadInput("evm_chain", f"{self.evm_chain} is beyond all chains", "a number below 2^64")
        if not MIN_SATOSHI <= self.satoshi <= MAX_SATOSHI:
            raise BadInput("satoshi", f"{self.satoshi}", f"{MIN_SATOSHI:,} to {MAX_SATOSHI:,}")
        if not 0 < self.amount < 1 << 256:
            raise BadInput("amount", f"{self.amount} base units", "1 to 2**256 - 1")
        if not 1 <= self.bitcoin_confirmations <= MAX_CONFIRMATIONS:
            raise BadInput("bitcoin_confirmations", f"{self.bitcoin_confirmations}", f"1 to {MAX_CONFIRMATIONS:,}")
        if not 0 <= self.evm_confirmations <= MAX_CONFIRMATIONS:
            raise BadInput("evm_confirmations", f"{self.evm_confirmations}", f"0 to {MAX_CONFIRMATIONS:,}")
        if not 0 < self.made_at < self.valid_until < _SECONDS_END:
            raise BadInput("valid_until", "is not after made_at", "seconds since 1970")
        if self.valid_until - self.made_at > VALID_SECONDS_MAX:
            raise BadInput("valid_until", "is too far away: prices move", f"at most {VALID_SECONDS_MAX // 86_400} days")

    @property
    def maker_role(self) -> Role:
        """Who gives bitcoin follows, who gives the EVM asset initiates."""
        return Role.FOLLOWER if self.gives_bitcoin else Role.INITIATOR

    @property
    def bitcoin_asset(self) -> AssetType:
        """Bitcoin on its chain."""
        return bitcoin_asset_on(self.bitcoin_chain)

    @property
    def evm_asset(self) -> AssetType:
        """The chain's own coin, or the token."""
        return erc20(self.evm_chain, self.asset) if any(self.asset) else evm_coin(self.evm_chain)

    @property
    def gives(self) -> AssetType:
        """What the maker gives."""
        return self.bitcoin_asset if self.gives_bitcoin else self.evm_asset

    @property
    def wants(self) -> AssetType:
        """What the maker wants."""
        return self.evm_asset if self.gives_bitcoin else self.bitcoin_asset

    @cached_property
    def encoded(self) -> bytes:
        """The one way to write it, without the signature."""
        flags = (_IS_POINT if self.mode is Mode.POINT else 0) | (_GIVES_BITCOIN if self.gives_bitcoin else 0)
        amount = self.amount.to_bytes((self.amount.bit_length() + 7) // 8, "big")
        place = self.place.encode()
        return b"".join(
            (
                bytes([OFFER_VERSION, flags]),
                self.maker,
                self.letters,
                bytes.fromhex(self.bitcoin_chain.reference),
                self.satoshi.to_bytes(8, "big"),
                self.bitcoin_confirmations.to_bytes(2, "big"),
                int(self.evm_chain.reference).to_bytes(8, "big"),
                self.escrow,
                self.asset,
                self.account,
                self.evm_confirmations.to_bytes(2, "big"),
                self.made_at.to_bytes(5, "big"),
                self.valid_until.to_bytes(5, "big"),
                self.salt,
                bytes([len(amount)]) + amount,
                bytes([len(place)]) + place,
            )
        )

    @cached_property
    def offer_id(self) -> bytes:
        """32 bytes: the tagged hash of `encoded`."""
        return tagged_hash("swap/offer", self.encoded)

    @classmethod
    def decode(cls, data: bytes) -> Offer:
        """The offer that encodes to `data`. Raises `OfferDamaged`: there is none."""
        at = _Reader(data)
        if at.number(1) != OFFER_VERSION:
            raise OfferDamaged("is of a version that is not known")
        flags = at.number(1)
        if flags & ~(_IS_POINT | _GIVES_BITCOIN):
            raise OfferDamaged("asks for what is not known")
        try:
            offer = cls(
                maker=at.take(32),
                letters=at.take(32),
                bitcoin_chain=ChainId("bip122", at.take(16).hex()),
                satoshi=Satoshi(at.number(8)),
                bitcoin_confirmations=at.number(2),
                evm_chain=ChainId("eip155", str(at.number(8))),
                escrow=at.take(20),
                asset=at.take(20),
                account=at.take(20),
                evm_confirmations=at.number(2),
                made_at=at.number(5),
                valid_until=at.number(5),
                salt=at.take(SALT_BYTES),
                amount=TokenUnits(int.from_bytes(at.take(at.number(1)), "big")),
                place=at.take(at.number(1)).decode(),
                mode=Mode.POINT if flags & _IS_POINT else Mode.HASH,
                gives_bitcoin=bool(flags & _GIVES_BITCOIN),
            )
        except (BadInput, UnicodeDecodeError) as error:
            raise OfferDamaged(f"makes no sense: {error}") from error
        if offer.encoded != data:
            raise OfferDamaged("is not written in the one way")
        return offer


@dataclass(frozen=True, slots=True)
class SignedOffer:
    """An offer and its maker's signature over it. `read` is how one comes in from outside; it verifies.

    Fields: offer; signature (BIP-340, 64 bytes).
    """

    offer: Offer
    signature: bytes

    @classmethod
    def sign(cls, offer: Offer, secret: bytes) -> SignedOffer:
        """Signed by the maker's secret (32 bytes). Raises `BadInput` where it is another one's."""
        if PublicKeyXOnly.from_secret(secret).format() != offer.maker:
            raise BadInput("secret", "is not the maker's", "the key that the offer names")
        return cls(offer, PrivateKey(secret).sign_schnorr(_signed(offer)))

    @property
    def text(self) -> str:
        """The link that people pass on: `causeway-swap:` and base32, in which case does not matter."""
        body = base64.b32encode(self.offer.encoded + self.signature).decode().rstrip("=").lower()
        return f"{SCHEME}{body}"

    @classmethod
    def read(cls, text: str) -> SignedOffer:
        """The offer in a link, as its maker signed it.

        Raises:
            OfferDamaged: no offer, changed on its way, or not signed by the key that it names.
        """
        stripped = "".join(text.split())
        if len(stripped) > TEXT_CHARACTERS_MAX:
            raise OfferDamaged("is too long for one")
        if not stripped.lower().startswith(SCHEME):
            raise OfferDamaged(f"does not begin with {SCHEME}")
        body = stripped[len(SCHEME) :].upper()
        try:
            data = base64.b32decode(body + "=" * (-len(body) % 8))
        except (binascii.Error, ValueError) as error:
            raise OfferDamaged("has characters that no offer has") from error
        if len(data) <= _SIGNATURE_BYTES:
            raise OfferDamaged("is cut off")
        signed = cls(Offer.decode(data[:-_SIGNATURE_BYTES]), data[-_SIGNATURE_BYTES:])
        # The bits that pad the last character, too, are the maker's: an offer has one text.
        if signed.text.upper() != SCHEME.upper() + body or not signed.is_authentic:
            raise OfferDamaged("is not as its maker signed it")
        return signed

    @property
    def is_authentic(self) -> bool:
        """Whether the maker signed it."""
        try:
            return bool(PublicKeyXOnly(self.offer.maker).verify(self.signature, _signed(self.offer)))
        except ValueError:
            return False

    def check_time(self, now: int) -> None:
        """Make sure that it is valid at `now` (seconds since 1970). Raises `OfferExpired`."""
        if now >= self.offer.valid_until:
            raise OfferExpired(self.offer.valid_until)


def check_place(place: str, field: str = "place") -> None:
    """Make sure that letters could be brought to `place`. Raises `BadInput` naming `field`."""
    parts = urlsplit(place)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.query or parts.fragment:
        raise BadInput(field, f"{place[:80]!r} is no address of mailboxes", "http(s)://host:port/path")
    if len(place.encode()) > PLACE_BYTES_MAX or not place.isprintable() or " " in place:
        raise BadInput(field, "is too long, or holds what no URL holds", f"at most {PLACE_BYTES_MAX} bytes")


def bitcoin_asset_on(chain: ChainId) -> AssetType:
    """Bitcoin on a chain (`bip122:`), one of a test network where it is not known as the main one."""
    known = {bitcoin_asset(genesis.value).chain: bitcoin_asset(genesis.value) for genesis in BitcoinGenesis}
    return known.get(chain, AssetType(chain, "slip44", "1"))


class _Reader:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def take(self, length: int) -> bytes:
        if self._at + length > len(self._data):
            raise OfferDamaged("is cut off")
        self._at += length
        return self._data[self._at - length : self._at]

    def number(self, length: int) -> int:
        return int.from_bytes(self.take(length), "big")


def _signed(offer: Offer) -> bytes:
    return tagged_hash("swap/offer/signature", offer.offer_id)
