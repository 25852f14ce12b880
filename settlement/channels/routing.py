"""Routed payments of two hops: A pays B through one proxy that both have a channel with, and the network vouches for.

The payee issues an invoice with a condition; the payer offers the proxy a conditional payment that names what to offer
the payee; the proxy offers it with an earlier time-out. Whoever shows the preimage downstream lets the proxy claim
upstream: it can neither take the money nor lose it. A payment goes over two hops at most (seeds/000…, 3.2.3).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import msgspec
from eth_utils.crypto import keccak

from adapters.native.eip712 import recover, sign_digest
from foundation.errors import BadInput, Fatal
from foundation.quantities import UnixMs
from foundation.unreadable import UNREADABLE
from settlement.channels.ops import Fulfil, Offer, Op, Return
from settlement.channels.terms import Account, ChannelId, Lock, LockId, Side
from settlement.quantities import Condition, PartyId, Preimage, Units, tagged_hash

HOPS_MAX: Final = 2


class RouteRefused(Fatal):
    """A routed payment is not made, or not passed on; nothing was set aside. Fields: reason."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


@dataclass(frozen=True, slots=True)
class Credential:
    """The network's word that a party is a proxy. Fields: account (signs its sheets); valid_until; signature."""

    party: PartyId
    account: Account
    valid_until: UnixMs
    signature: bytes


@dataclass(frozen=True, slots=True)
class Invoice:
    """A payee's wish to be paid. Fields: account (signs its sheets); amount; condition; expires_at; signature."""

    payee: PartyId
    account: Account
    amount: Units
    condition: Condition
    expires_at: UnixMs
    signature: bytes


@dataclass(frozen=True, slots=True)
class Margins:
    """A proxy's terms. Fields: fee (base units, for each payment); hop_ms (by how much earlier its own offer ends: time
    enough to see a preimage on the ledger and to show it there upstream); least_ms (what the payee needs at least)."""

    fee: Units
    hop_ms: int
    least_ms: int


class Onward(msgspec.Struct, frozen=True):
    """The memo of a conditional payment for a proxy: what it is to offer to whom. Fields: hop (1)."""

    hop: int
    payee: str
    amount: int


class Last(msgspec.Struct, frozen=True):
    """The memo of a conditional payment for its payee. Fields: hop (1 from the payer itself, 2 from a proxy)."""

    hop: int


def credential(authority: bytes, party: PartyId, account: Account, valid_until: UnixMs) -> Credential:
    """Vouch for a proxy. `authority`: the network's secret key, 32 bytes."""
    digest = _credential_digest(party, account, valid_until)
    return Credential(party, account, valid_until, sign_digest(authority, digest))


def check_credential(shown: Credential, authority: Account, now: UnixMs) -> None:
    """Whether the network vouches for a proxy now.

    Raises:
        RouteRefused: it does not.
    """
    if now >= shown.valid_until:
        raise RouteRefused(f"the credential of {shown.party} has ended")
    digest = _credential_digest(shown.party, shown.account, shown.valid_until)
    _check(authority, digest, shown.signature, f"the credential of {shown.party}")


def invoice(
    secret: bytes, payee: PartyId, account: Account, amount: Units, preimage_hash: Condition, expires_at: UnixMs
) -> Invoice:
    """Ask to be paid. `secret`: the key of `account`."""
    digest = _invoice_digest(payee, account, amount, preimage_hash, expires_at)
    return Invoice(payee, account, amount, preimage_hash, expires_at, sign_digest(secret, digest))


def plan(
    asked: Invoice, proxy: Credential, authority: Account, margins: Margins, payer: Side, lock_id: LockId, now: UnixMs
) -> Offer:
    """What the payer offers the proxy. The whole path ends before the invoice does, plus one hop.

    Raises:
        RouteRefused: the invoice or the credential is not good, or there is too little time.
    """
    digest = _invoice_digest(asked.payee, asked.account, asked.amount, asked.condition, asked.expires_at)
    _check(asked.account, digest, asked.signature, f"the invoice of {asked.payee}")
    check_credential(proxy, authority, now)
    last = asked.expires_at - asked.expires_at % 1000
    if last < now + margins.least_ms:
        raise RouteRefused("the invoice ends too soon")
    memo = msgspec.msgpack.encode(Onward(1, asked.payee, asked.amount))
    amount, expires_at = Units(asked.amount + margins.fee), UnixMs(last + margins.hop_ms)
    return Offer(Lock(lock_id, payer, amount, asked.condition, expires_at), memo)


def pass_on(
    channel: ChannelId, offered: Lock, memo: bytes, margins: Margins, side: Side, now: UnixMs
) -> tuple[PartyId, Offer]:
    """What a proxy offers to whom, for what it was offered. The same each time it is asked.

    Args:
        channel: where the money was set aside for the proxy.
        side: the proxy's, in the channel with the payee.

    Raises:
        RouteRefused: give the money back upstream: the memo is none, the fee too small, the time too short, or the
            payment has come over a hop already.
    """
    try:
        wish = msgspec.msgpack.decode(memo, type=Onward)
    except UNREADABLE as error:
        raise RouteRefused("nothing is to be passed on") from error
    if wish.hop != 1:
        raise RouteRefused(f"a payment goes over {HOPS_MAX} hops at most")
    if wish.amount <= 0 or offered.amount - wish.amount < margins.fee:
        raise RouteRefused(f"the fee is {margins.fee}")
    expires_at = UnixMs((offered.expires_at - margins.hop_ms) // 1000 * 1000)
    if expires_at < now + margins.least_ms:
        raise RouteRefused("the time-out is too near")
    onward = Lock(relay_id(channel, offered.lock_id), side, Units(wish.amount), offered.condition, expires_at)
    return PartyId(wish.payee), Offer(onward, msgspec.msgpack.encode(Last(HOPS_MAX)))


def relay_id(channel: ChannelId, lock_id: LockId) -> LockId:
    """The id of what a proxy offers downstream, so that a repeat is the same offer."""
    return LockId(tagged_hash("channels/relay", channel, lock_id))


def end_upstream(lock_id: LockId, preimage: Preimage | None) -> Op:
    """What a proxy wants upstream once the downstream conditional payment has ended.

    With a preimage as soon as it is seen; without one only when that is final: both signed it, or the ledger paid out.
    """
    return Return(lock_id) if preimage is None else Fulfil(lock_id, preimage)


def accept_last(asked: Invoice, offered: Lock, memo: bytes, now: UnixMs) -> None:
    """Whether a payee may claim: the right condition and amount, from the payer itself or over one proxy.

    Raises:
        RouteRefused: give the money back.
    """
    try:
        last = msgspec.msgpack.decode(memo, type=Last)
    except UNREADABLE as error:
        raise RouteRefused("it is to be passed on") from error
    if last.hop > HOPS_MAX or offered.condition != asked.condition:
        raise RouteRefused("it is not for this invoice")
    if offered.amount < asked.amount:
        raise RouteRefused(f"{offered.amount} of {asked.amount}")
    if now >= min(asked.expires_at, offered.expires_at):
        raise RouteRefused("the time-out has passed")


def _credential_digest(party: PartyId, account: Account, valid_until: UnixMs) -> bytes:
    return keccak(tagged_hash("channels/credential", party.encode(), account, valid_until.to_bytes(8, "big")))


def _invoice_digest(payee: PartyId, account: Account, amount: Units, condition: Condition, expires_at: UnixMs) -> bytes:
    numbers = amount.to_bytes(8, "big"), expires_at.to_bytes(8, "big")
    return keccak(tagged_hash("channels/invoice", payee.encode(), account, condition, *numbers))


def _check(account: Account, digest: bytes, signature: bytes, what: str) -> None:
    try:
        signer = recover(digest, signature)
    except BadInput as error:
        raise RouteRefused(f"{what} is forged") from error
    if signer != account:
        raise RouteRefused(f"{what} is forged")
