"""What the banks sign, as EIP-712 structures, so that a contract and a book's operator check the very same bytes.

secp256k1 and not BLS: a dispute is decided by a contract too, where one `ecrecover` costs 3,000 gas and a BLS check
more than 100,000, and only two ever sign. Signers take structures, never digests; each kind of structure is its own
type, and the domain binds it to one adjudicator. A signature is 65 bytes `r ‖ s ‖ v`, s in the lower half.
"""

from __future__ import annotations

from typing import Final, Protocol

from coincurve import PrivateKey
from eth_utils.crypto import keccak

from adapters.native.eip712 import BadSignature, Domain, account_of_secret, recover, sign_digest
from foundation.errors import BadInput
from foundation.quantities import UnixMs
from settlement.channels.errors import ForgedSheet
from settlement.channels.terms import Account, ChannelId, Lock, Sheet, Side, SignedSheet, Terms
from settlement.quantities import tagged_hash

_TERMS: Final = keccak(
    text="ChannelTerms(address a,address b,address asset,uint256 deposit_a,uint256 deposit_b,uint256 challenge_seconds,"
    "bool one_way,bytes32 salt)"
)
_LOCK: Final = keccak(text="Lock(bytes32 id,uint256 payer,uint256 amount,bytes32 condition,uint256 expires_at)")
_SHEET: Final = keccak(
    text="Sheet(bytes32 channel,uint256 sequence,uint256 held,uint256 balance_a,uint256 balance_b,bytes32 locks)"
)
_HELD: Final = keccak(text="Held(bytes32 channel,uint256 sequence)")
_CLOSE: Final = keccak(text="Close(bytes32 channel,uint256 sequence,uint256 balance_a,uint256 balance_b)")
_OPENING: Final = keccak(text="Opening(bytes32 channel)")
_REQUEST: Final = keccak(text="Request(string method,string path,uint256 at,bytes32 body)")
_BOOK_DOMAIN: Final = keccak(text="EIP712Domain(string name,string version,bytes32 salt)")


class SheetSigner(Protocol):
    """One bank's key for its channels. What it signs has been stored before the signature leaves."""

    @property
    def account(self) -> Account:
        """Whose signatures these are."""

    def sign_opening(self, ledger: bytes, channel: ChannelId) -> bytes:
        """Agree to open a channel on its terms."""

    def sign_sheet(self, ledger: bytes, sheet: Sheet) -> bytes:
        """Agree to balances."""

    def sign_held(self, ledger: bytes, channel: ChannelId, sequence: int) -> bytes:
        """Say that the sheet of this number is held with both signatures."""

    def sign_close(self, ledger: bytes, sheet: Sheet) -> bytes:
        """Agree that the channel ends at once with a sheet that has no conditional payments."""


class KeySigner:
    """A signer whose key is in this process. The secret is in no repr."""

    def __init__(self, secret: bytes) -> None:
        """`secret`: 32 bytes. Raises `BadInput` for none."""
        self._account = Account(account_of_secret(secret))
        self._key = PrivateKey(secret)

    def __repr__(self) -> str:
        return f"KeySigner({self._account.hex()})"

    @property
    def account(self) -> Account:
        """Whose signatures these are."""
        return self._account

    def sign_opening(self, ledger: bytes, channel: ChannelId) -> bytes:
        """Agree to open a channel on its terms."""
        return sign_digest(self._key.secret, opening_digest(ledger, channel))

    def sign_sheet(self, ledger: bytes, sheet: Sheet) -> bytes:
        """Agree to balances."""
        return sign_digest(self._key.secret, sheet_digest(ledger, sheet))

    def sign_held(self, ledger: bytes, channel: ChannelId, sequence: int) -> bytes:
        """Say that the sheet of this number is held with both signatures."""
        return sign_digest(self._key.secret, held_digest(ledger, channel, sequence))

    def sign_close(self, ledger: bytes, sheet: Sheet) -> bytes:
        """Agree to end with this sheet. Raises `BadInput` if it has conditional payments."""
        return sign_digest(self._key.secret, close_digest(ledger, sheet))

    def sign_request(self, ledger: bytes, method: str, path: str, body: bytes, at: UnixMs) -> bytes:
        """Sign a request to an adjudicator's service. Fields as `request_digest`."""
        return sign_digest(self._key.secret, request_digest(ledger, method, path, body, at))


def book_domain(ledger_id: str) -> bytes:
    """The domain, 32 bytes, of the adjudicator of a book: its name stands where a contract's address would."""
    salt = tagged_hash("channels/book", ledger_id.encode())
    return keccak(_BOOK_DOMAIN + keccak(text="Causeway") + keccak(text="1") + salt)


def contract_domain(chain_id: int, contract: bytes) -> bytes:
    """The domain, 32 bytes, of `Channels.vy` at this address (20 bytes) on the chain of this EIP-155 number."""
    return Domain(chain_id, contract).separator


def channel_id(terms: Terms) -> ChannelId:
    """The channel's id: its terms as an EIP-712 digest."""
    struct = keccak(
        _TERMS
        + _word(terms.a)
        + _word(terms.b)
        + _word(terms.asset)
        + _uint(terms.deposit_a)
        + _uint(terms.deposit_b)
        + _uint(terms.challenge_ms // 1000)
        + _uint(int(terms.one_way))
        + terms.salt
    )
    return ChannelId(keccak(b"\x19\x01" + terms.ledger + struct))


def locks_hash(locks: tuple[Lock, ...]) -> bytes:
    """EIP-712's encoding of a list of structures: the hash of their hashes, in order."""
    return keccak(b"".join(keccak(_LOCK + _lock_words(lock)) for lock in locks))


def sheet_digest(ledger: bytes, sheet: Sheet) -> bytes:
    """What both banks sign of a sheet, 32 bytes."""
    struct = keccak(
        _SHEET
        + sheet.channel
        + _uint(sheet.sequence)
        + _uint(sheet.held)
        + _uint(sheet.balance_a)
        + _uint(sheet.balance_b)
        + locks_hash(sheet.locks)
    )
    return keccak(b"\x19\x01" + ledger + struct)


def opening_digest(ledger: bytes, channel: ChannelId) -> bytes:
    """What both banks sign before either puts money in, 32 bytes: the channel's id stands for all its terms."""
    return keccak(b"\x19\x01" + ledger + keccak(_OPENING + channel))


def held_digest(ledger: bytes, channel: ChannelId, sequence: int) -> bytes:
    """What a bank signs to say that it holds a sheet, 32 bytes."""
    return keccak(b"\x19\x01" + ledger + keccak(_HELD + channel + _uint(sequence)))


def close_digest(ledger: bytes, sheet: Sheet) -> bytes:
    """What both banks sign to end at once, 32 bytes.

    Raises:
        BadInput: the sheet has conditional payments.
    """
    if sheet.locks:
        raise BadInput("sheet.locks", "are open", "end them first, or close without the other bank")
    words = _uint(sheet.sequence) + _uint(sheet.balance_a) + _uint(sheet.balance_b)
    return keccak(b"\x19\x01" + ledger + keccak(_CLOSE + sheet.channel + words))


def request_digest(ledger: bytes, method: str, path: str, body: bytes, at: UnixMs) -> bytes:
    """What a bank signs to show an adjudicator's service that a request is its own, 32 bytes.

    Args:
        ledger: the adjudicator's domain, 32 bytes.
        method: of HTTP, in capitals.
        path: with the query.
        body: as it is sent.
        at: when, Unix milliseconds.
    """
    struct = keccak(_REQUEST + keccak(text=method) + keccak(text=path) + _uint(at) + keccak(body))
    return keccak(b"\x19\x01" + ledger + struct)


def check_signature(account: Account, digest: bytes, signature: bytes, what: str) -> None:
    """Whether an account signed a digest.

    Raises:
        ForgedSheet: it did not.
    """
    try:
        signer = recover(digest, signature)
    except BadSignature as error:
        raise ForgedSheet(account, what, error.problem) from error
    if signer != account:
        raise ForgedSheet(account, what, "another account signed")


def check_signed(terms: Terms, signed: SignedSheet) -> None:
    """Whether both banks signed a sheet; sheet 0 needs no signature.

    Raises:
        ForgedSheet: one of them did not.
    """
    if signed.sheet.sequence == 0:
        return
    digest = sheet_digest(terms.ledger, signed.sheet)
    for side in Side:
        check_signature(terms.account(side), digest, signed.signature(side), f"sheet {signed.sheet.sequence}")


def _lock_words(lock: Lock) -> bytes:
    seconds = _uint(lock.expires_at // 1000)
    return lock.lock_id + _uint(lock.payer) + _uint(lock.amount) + lock.condition + seconds


def _uint(value: int) -> bytes:
    return value.to_bytes(32, "big")


def _word(address: bytes) -> bytes:
    return address.rjust(32, b"\0")
