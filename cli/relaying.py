"""What `causeway relay` and the demo do for whoever carries signed payments to a vault on an EVM chain.

All that a carrier needs is public: the Hub says who is to be paid, and publishes what the group signed. Nothing of it
is believed: the payments are rebuilt here, and the signature is verified for them before a transaction is paid for.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from adapters.evm.lockbox import events as lockbox_events
from adapters.evm.lockbox.bindings import Lockbox
from adapters.evm.lockbox.events import FeeOwed, LockboxEvent, PaymentDelayed, PaymentFailed, Released
from adapters.evm.lockbox.messages import Messages
from adapters.evm.lockbox.messages import proof as verified_proof
from adapters.evm.lockbox.types import NATIVE_COIN, Payment
from adapters.evm.logs import read_logs
from adapters.native.bindings import Hub
from adapters.native.events import PayoutReserved, PayoutSettled, PayoutVoided, ReleasePublished
from cli.exits import NotFound
from foundation.errors import BadInput, Retryable
from foundation.quantities import BlockHeight, TokenUnits, Wei
from registry.caip import AssetType, lockbox_asset

if TYPE_CHECKING:
    from adapters.evm.sender import TxSender
    from adapters.evm.types import Log
    from adapters.native.chain import NativeChain
    from adapters.native.proofs import Proof
    from adapters.native.types import WithdrawalRecord
    from cli.lock_chain import Origin
    from registry.assets import Asset

STRANGER: Final = b"\xca" * 20
"""In whose name a release is tried where no account is named."""
_WORD: Final = 32


class NotSigned(Retryable):
    """The group's signature for a payout is not published yet, or not for the vault's present key. Fields: payout."""

    cure = "wait: the storemen sign it, and publish the signature on the native chain"

    def __init__(self, payout: bytes, why: str) -> None:
        self.payout = payout
        super().__init__(f"payout {payout.hex()[:12]}: {why}")


@dataclass(frozen=True, slots=True)
class Release:
    """A payout that can be carried. Fields: payout (its id); asset; withdrawals (ids); payments; consumed (numbers that
    the vault is done with); proof.
    """

    payout: bytes
    asset: Asset
    withdrawals: tuple[bytes, ...]
    payments: tuple[Payment, ...]
    consumed: frozenset[int]
    proof: Proof

    @property
    def open(self) -> tuple[Payment, ...]:
        """What the vault would pay now."""
        return tuple(payment for payment in self.payments if payment.number not in self.consumed)

    @property
    def fee(self) -> TokenUnits:
        """What its carrier gets."""
        return TokenUnits(sum(payment.fee for payment in self.open))

    @property
    def pays_in_coin(self) -> bool:
        """Whether the fee is in what gas is paid with."""
        return self.payments[0].asset == NATIVE_COIN


@dataclass(frozen=True, slots=True)
class Quote:
    """What carrying costs. Fields: gas; price (a unit of it, wei); fee (earned, in base units); profit (in wei; None
    where the fee is in a token, which nobody here can compare with coin).
    """

    gas: int
    price: Wei
    fee: TokenUnits
    profit: int | None

    @property
    def cost(self) -> Wei:
        """Of the gas, in wei."""
        return Wei(self.gas * self.price)


async def payouts_of(native: NativeChain, chain: bytes, assets: Iterable[Asset]) -> dict[bytes, PayoutReserved]:
    """The live payouts of a chain, oldest first, by id."""
    ours = {asset.id for asset in assets if asset.chain == chain}
    topics = [[event.topic for event in (Hub.PayoutReserved, Hub.PayoutSettled, Hub.PayoutVoided)]]
    live: dict[bytes, PayoutReserved] = {}
    for event in native.decoded(await hub_logs(native, topics)):
        match event:
            case PayoutReserved() if event.asset in ours:
                live[event.id] = event
            case PayoutSettled() | PayoutVoided():
                live.pop(event.id, None)
    return live


async def hub_logs(native: NativeChain, topics: Sequence[Sequence[bytes]]) -> list[Log]:
    """The Hub's logs with these topics, up to the newest block."""
    last = (await native.latest_block()).number
    return await read_logs(native.rpc, [native.deployment.hub], native.deployment.start_block, last, topics)


def chosen(live: dict[bytes, PayoutReserved], text: str) -> PayoutReserved:
    """The live payout that a person names by its id, or by that of a withdrawal in it, or by the beginning of one.

    Raises:
        BadInput: no id, or several payouts.
        NotFound: none is meant.
    """
    digits = text.lower().removeprefix("0x")
    if not 4 <= len(digits) <= 64 or not set(digits) <= set("0123456789abcdef"):
        raise BadInput("ID", f"{text!r} is no payout's or withdrawal's id", "4 to 64 hex digits")
    found = [p for p in live.values() if any(i.hex().startswith(digits) for i in (p.id, *p.withdrawals))]
    if len(found) > 1:
        raise BadInput("ID", f"{len(found)} payouts are meant by {text}", "give more digits")
    if not found:
        cure = "it is paid and settled, not reserved yet, or of another chain: causeway withdraw status"
        raise NotFound(f"no live payout of this chain is meant by {text}", cure)
    return found[0]


async def release_of(native: NativeChain, origin: Origin, payout: PayoutReserved) -> Release:
    """A payout's payments, rebuilt from the Hub, with the group's signature for exactly these.

    Raises:
        NotSigned: no valid signature is published for the vault's present key.
        What the nodes raise.
    """
    records = await native.withdrawals(payout.withdrawals, "latest")
    asset = await native.asset(payout.asset, "latest")
    assert asset is not None, "the Hub reserves what the Registry knows"
    token = lockbox_asset(AssetType.parse(asset.caip19))
    payments = tuple(payment_of(record, token) for record in records if record is not None)
    at = await origin.latest()
    proof = await _signature(native, origin, payout.id, payments, at)
    numbers = [payment.number for payment in payments]
    done = await origin.reader.consumed(numbers, at)
    consumed = frozenset(number for number, gone in zip(numbers, done, strict=True) if gone)
    return Release(payout.id, asset, payout.withdrawals, payments, consumed, proof)


def payment_of(record: WithdrawalRecord, token: bytes) -> Payment:
    """How the vault pays a withdrawal: the relay fee to the carrier, all the rest to the payee."""
    rest = TokenUnits(record.amount - record.max_fee)
    return Payment(record.number, token, record.destination, rest, record.max_fee)


async def _signature(
    native: NativeChain, origin: Origin, payout: bytes, payments: Sequence[Payment], at: BlockHeight
) -> Proof:
    """Anyone may publish what he calls a signature, so the one that verifies is looked for."""
    key, epoch = await origin.reader.key(at), await origin.reader.epoch(at)
    message = Messages(origin.number, origin.vault.lockbox, epoch).release(payments)
    found = native.decoded(await hub_logs(native, [[Hub.ReleasePublished.topic], [payout]]))
    published = [event for event in found if isinstance(event, ReleasePublished)]
    for event in published:
        proof = verifies(event.proof, key, message)
        if proof is not None:
            return proof
    if any(event.epoch < epoch for event in published):
        raise NotSigned(payout, "its signature is for a key that the vault does not obey any more")
    raise NotSigned(payout, "no signature that verifies is published yet")


def verifies(said: Proof, key: bytes, message: bytes) -> Proof | None:
    """The signature with the hint that the vault needs, worked out anew; None where it does not verify."""
    try:
        return verified_proof(said.rx + said.s, key, message)
    except BadInput:
        return None


async def quote(origin: Origin, release: Release, sender: bytes) -> Quote:
    """Try a release without sending it: what it needs and earns. Raises `LockboxRefused`."""
    call = origin.calls.release(release.payments, release.proof)
    simulation = await origin.rpc.simulate(call, sender)
    price = await origin.gas_price()
    profit = release.fee - simulation.gas * price if release.pays_in_coin else None
    return Quote(simulation.gas, price, release.fee, profit)


@dataclass(frozen=True, slots=True)
class Paid:
    """What became of one payment. Fields: payment; withdrawal (id); outcome (released, failed, delayed, or consumed
    before); detail (what to do, empty where nothing is).
    """

    payment: Payment
    withdrawal: bytes
    outcome: str
    detail: str = ""


async def carry(origin: Origin, release: Release, sender: TxSender) -> tuple[bytes, int, list[Paid], TokenUnits]:
    """Send a release. Returns its transaction, the wei that it cost, each payment's outcome, and fees left to claim."""
    call = origin.calls.release(release.payments, release.proof)
    sent = await sender.send(call, f"release {release.payout.hex()}")
    logs = [log for log in sent.receipt.logs if log.address == origin.vault.lockbox]
    events = [lockbox_events.decode_event(log) for log in logs]
    owed = TokenUnits(sum(event.amount for event in events if isinstance(event, FeeOwed)))
    cost = sent.receipt.gas_used * sent.receipt.gas_price
    return sent.transaction, cost, outcomes(release, events, origin.chain.caip2), owed


def outcomes(release: Release, events: Iterable[LockboxEvent], caip2: str) -> list[Paid]:
    """What the vault did with each payment, by the events of one release."""
    told: dict[int, LockboxEvent] = {
        event.number: event for event in events if isinstance(event, Released | PaymentFailed | PaymentDelayed)
    }
    found = []
    for payment, withdrawal in zip(release.payments, release.withdrawals, strict=True):
        match told.get(payment.number):
            case Released():
                found.append(Paid(payment, withdrawal, "released"))
            case PaymentFailed():
                cure = f"its payee can claim it: causeway relay claim {payment.number} --chain {caip2} --to ADDRESS"
                found.append(Paid(payment, withdrawal, "failed", cure))
            case PaymentDelayed():
                found.append(Paid(payment, withdrawal, "delayed", "a limit of the vault: try again in its next window"))
            case _:
                found.append(
                    Paid(payment, withdrawal, "consumed before", "somebody else carried it, or it is cancelled")
                )
    return found


@dataclass(frozen=True, slots=True)
class Claim:
    """A failed payment that waits for its payee. Field: failed (the event)."""

    failed: PaymentFailed

    def shown(self, assets: Iterable[Asset], chain: bytes) -> str:
        """The amount for people."""
        for asset in assets:
            if asset.chain == chain and lockbox_asset(AssetType.parse(asset.caip19)) == self.failed.asset:
                return asset.format(self.failed.amount)
        return f"{self.failed.amount:,} units of 0x{self.failed.asset.hex()}"


async def find_claim(origin: Origin, number: int) -> Claim:
    """The failed payment with this number, if it still waits.

    Raises:
        NotFound: it never failed, or was claimed or cancelled.
    """
    at = await origin.latest()
    topics = [[Lockbox.PaymentFailed.topic], [number.to_bytes(_WORD, "big")]]
    logs = await read_logs(origin.rpc, [origin.vault.lockbox], origin.vault.start_block, at, topics)
    failed = [event for event in map(lockbox_events.decode_event, logs) if isinstance(event, PaymentFailed)]
    if not failed or not await origin.reader.failed_amount(number, at):
        what = "never failed" if not failed else "was claimed or cancelled"
        raise NotFound(f"payment {number} on {origin.chain.caip2} {what}", "causeway withdraw status tells where it is")
    return Claim(failed[-1])


async def claim(origin: Origin, sender: TxSender, waiting: Claim, to: bytes) -> bytes:
    """Take a failed payment. Returns the transaction. Raises `BadInput` where the account may not say where it goes."""
    failed = waiting.failed
    if sender.account != failed.payee and to != failed.payee:
        problem = f"only its payee, 0x{failed.payee.hex()}, may have it paid to another address"
        raise BadInput("--to", problem, "the payee's key as --account-key, or --to the payee itself")
    call = origin.calls.claim(failed.number, failed.asset, failed.amount, to)
    return (await sender.send(call, f"claim {failed.number}")).transaction
