"""What `causeway withdraw` and the demo do for somebody who turns tokens into bitcoin."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from adapters.bitcoin.blocks import Watchlist
from adapters.bitcoin.errors import ChainMoved
from adapters.bitcoin.follower import Connected, Tail, follow
from adapters.bitcoin.primitives import OutPoint, hash_text, parse_hash
from adapters.bitcoin.transactions import parse_transaction
from adapters.evm.errors import NodeUnavailable
from adapters.native.events import PayoutReserved, PayoutSettled, WithdrawalRequested
from adapters.native.types import WithdrawalRecord, WithdrawalStatus
from bridge.journey_parts import payout_fee
from cli.exits import NotFound, TimedOut
from cli.output import btc
from foundation.errors import BadInput, Fatal
from foundation.quantities import BlockHeight, Satoshi, SatPerKvB, TokenUnits

if TYPE_CHECKING:
    from adapters.bitcoin.rpc import BitcoinRpc
    from adapters.native.chain import NativeChain
    from adapters.native.ports import Sender

MARGIN: Final = 3
"""Fees may triple before a payout is in a block, and the vault may have to spend several coins."""
_LEAST_LIMIT: Final = Satoshi(1_000)
_FALLBACK: Final = SatPerKvB(5_000)
_TARGET_BLOCKS: Final = 6
_DUST: Final = 546
"""The Hub asks that the fee limit leaves more than this."""
_ACCOUNT_BYTES: Final = 20
"""How the Hub tells an account on an EVM chain from a scriptPubKey."""
_LOOK_SECONDS: Final = 0.3


class TooLate(Fatal):
    """A withdrawal can no longer be changed like that. Fields: withdrawal (id); stage."""

    def __init__(self, withdrawal: bytes, stage: str) -> None:
        self.withdrawal = withdrawal
        self.stage = stage
        super().__init__(f"the withdrawal is {stage}: it is too late for that")


@dataclass(frozen=True, slots=True)
class FeeLimit:
    """A default for the most that a withdrawal bears of the miner's fee. Fields: limit; expected (at `rate`, alone)."""

    limit: Satoshi
    expected: Satoshi
    rate: SatPerKvB

    def text(self) -> str:
        """Why it is so, for people."""
        rate = f"{self.rate / 1000:.1f} sat/vB"
        return (
            f"the payout's miner fee is taken from the amount, at most {self.limit:,} sat; "
            f"about {self.expected:,} sat is expected at {rate}, less if others are paid along"
        )


@dataclass(frozen=True, slots=True)
class Requested:
    """Tokens are locked. Fields: id (of the withdrawal); transaction, approval (native; the latter None where the
    allowance sufficed); block (of the request); service_fee (that the Hub took of the amount).
    """

    id: bytes
    transaction: bytes
    approval: bytes | None
    block: BlockHeight
    service_fee: TokenUnits = TokenUnits(0)


@dataclass(frozen=True, slots=True)
class Progress:
    """A step of a withdrawal. Fields: stage; text; transaction (as text, None where there is none); done."""

    stage: str
    text: str
    transaction: str | None = None
    done: bool = False


async def fee_limit(bitcoin: BitcoinRpc, amount: TokenUnits) -> FeeLimit:
    """The default limit for a withdrawal. Raises `BadInput` for an amount that no fee can be taken from."""
    estimate = await bitcoin.estimate_fee_rate(_TARGET_BLOCKS)
    rate = SatPerKvB(max(_FALLBACK if estimate is None else estimate, await bitcoin.relay_floor()))
    expected = payout_fee(rate)
    most = amount - _DUST - 1
    if most < expected:
        problem = f"{btc(amount)} is too little: the miner's fee alone is about {expected:,} sat"
        raise BadInput("AMOUNT", problem, "a larger amount, or wait for lower fees")
    return FeeLimit(Satoshi(min(max(MARGIN * expected, _LEAST_LIMIT), most)), expected, rate)


async def token_of(native: NativeChain, asset: bytes) -> bytes:
    """The mapping token's address. Raises `NotFound` before the first mint."""
    token = await native.token_of(asset, "latest")
    if token is None:
        cure = "deposit first: causeway deposit address, or causeway lock"
        raise NotFound("there are no tokens yet: nothing was ever minted", cure)
    return token


async def request(
    native: NativeChain, sender: Sender, asset: bytes, amount: TokenUnits, max_fee: TokenUnits, destination: bytes
) -> Requested:
    """Lock tokens for a payment to a scriptPubKey; the Hub's allowance is raised first where it is too small.

    Raises:
        BadInput: below the minimum, more than the account has, or a limit that leaves only dust.
        NotFound: no tokens exist.
        AssetPaused, and what `TxSender.send` raises.
    """
    token = await token_of(native, asset)
    policy = await native.asset_policy(asset, "latest")
    if amount < policy.minimum_withdrawal:
        raise BadInput("AMOUNT", f"{btc(amount)} is below the minimum", f"at least {btc(policy.minimum_withdrawal)}")
    balance = await native.token_balance(token, sender.account)
    if balance < amount:
        raise BadInput("AMOUNT", f"the account has {btc(balance)} only", "a smaller amount")
    rest = amount - policy.service_fee(amount)
    if max_fee + _DUST >= rest:
        raise BadInput("--max-fee", f"{max_fee:,} sat leaves only dust of {btc(rest)}", "a lower limit")
    run = secrets.token_hex(8)  # one invocation is one withdrawal, however often it is sent
    approval = None
    if await native.token_allowance(token, sender.account) < amount:
        approval = (await sender.send(native.calls.approve(token, amount), f"approve {run}")).transaction
    sent = await sender.send(native.calls.withdraw(asset, amount, max_fee, destination), f"withdraw {run}")
    events = native.decoded(sent.receipt.logs)
    (requested,) = [event for event in events if isinstance(event, WithdrawalRequested)]
    return Requested(requested.id, sent.transaction, approval, sent.receipt.block.number, requested.fee)


async def find_withdrawal(native: NativeChain, text: str) -> WithdrawalRecord:
    """A withdrawal by its id, or by the beginning of it. Raises `BadInput`, `NotFound`."""
    digits = text.lower().removeprefix("0x")
    if not 4 <= len(digits) <= 64 or not set(digits) <= set("0123456789abcdef"):
        raise BadInput("ID", f"{text!r} is no withdrawal's id", "4 to 64 hex digits, its beginning suffices")
    ids = [bytes.fromhex(digits)] if len(digits) == 64 else await _ids(native, digits)
    if len(ids) > 1:
        raise BadInput("ID", f"{len(ids)} withdrawals begin with {text}", "give more digits")
    record = await native.withdrawal(ids[0], "latest") if ids else None
    if record is None:
        raise NotFound(f"no withdrawal begins with {text}", "causeway transfers lists them")
    return record


async def _ids(native: NativeChain, digits: str) -> list[bytes]:
    last = (await native.latest_block()).number
    events = await native.events(BlockHeight(native.deployment.start_block), last)
    return [e.id for e in events if isinstance(e, WithdrawalRequested) and e.id.hex().startswith(digits)]


class Watch:
    """Follows one withdrawal from its request to its settlement, over the Hub and a bitcoin node. For one run."""

    def __init__(self, native: NativeChain, bitcoin: BitcoinRpc, requested: Requested) -> None:
        self._native = native
        self._bitcoin = bitcoin
        self._requested = requested
        self._tail: Tail | None = None
        self._watched = Watchlist()
        self._anchor: OutPoint | None = None
        self._seen: set[str] = set()

    async def steps(self, timeout_s: float) -> AsyncIterator[Progress]:
        """Each step once, as it happens; the last one is `done`. Nodes that are away are waited for.

        Raises:
            TimedOut: it has not ended in time.
            NotFound: it was cancelled.
        """
        deadline = asyncio.get_running_loop().time() + timeout_s
        if self._tail is None:
            self._tail = Tail.start(await self._bitcoin.tip())
        while True:
            try:
                for step in await self._look():
                    if step.text not in self._seen:
                        self._seen.add(step.text)
                        yield step
                    if step.done:
                        return
            except (NodeUnavailable, ChainMoved):
                pass  # it comes back, or the next look sees the other branch
            if asyncio.get_running_loop().time() > deadline:
                id_ = self._requested.id.hex()
                raise TimedOut(
                    "the withdrawal is not paid yet", timeout_s, f"it goes on: causeway transfers show {id_}"
                )
            await asyncio.sleep(_LOOK_SECONDS)

    async def _look(self) -> list[Progress]:
        steps = []
        final = await self._native.withdrawal(self._requested.id)
        if final is not None:
            steps.append(Progress("final", "the request is final on the native chain"))
        record = await self._native.withdrawal(self._requested.id, "latest")
        if record is None or record.status is WithdrawalStatus.REQUESTED:
            return steps
        if record.status is WithdrawalStatus.CANCELLED:
            raise NotFound("the withdrawal was cancelled", "the tokens are back in the account")
        steps += await self._reserved(record)
        if record.status is WithdrawalStatus.SETTLED:
            steps.append(await self._settled(record))
        return steps

    async def _reserved(self, record: WithdrawalRecord) -> list[Progress]:
        if self._anchor is None:
            last = (await self._native.latest_block()).number
            for event in await self._native.events(self._requested.block, last):
                if isinstance(event, PayoutReserved) and event.id == record.payout:
                    self._anchor = OutPoint(*event.inputs[0])
                    break
            else:
                return []
            self._watched.add_outpoints([self._anchor])
        assert record.payout is not None, "a reserved withdrawal is in a payout"
        steps = [Progress("reserved", f"reserved on the Hub, payout {record.payout.hex()[:12]}")]
        return [*steps, *await self._broadcast(), *await self._paid()]

    async def _broadcast(self) -> list[Progress]:
        """The transaction in the mempool that spends the anchor."""
        assert self._anchor is not None, "it is reserved"
        asked = {"txid": hash_text(self._anchor.txid), "vout": self._anchor.vout}
        (found,) = await self._bitcoin.call("gettxspendingprevout", [asked])
        txid = found.get("spendingtxid")
        if txid is None:
            return []
        entry = await self._bitcoin.mempool_entry(parse_hash(txid))
        rate = "" if entry is None else f", fee {entry.fee:,} sat ({entry.fee / entry.vsize:.1f} sat/vB)"
        return [Progress("broadcast", f"the payout is broadcast{rate}", txid)]

    async def _paid(self) -> list[Progress]:
        """Read the blocks since we began, for the transaction that spends the anchor."""
        assert self._tail is not None, "`steps` sets it"
        batch = await follow(self._bitcoin, self._tail, self._watched)
        self._tail = batch.tail
        return [
            Progress("paid", f"paid in block {update.block.height:,}", hash_text(spent.spender))
            for update in batch.updates
            if isinstance(update, Connected)
            for spent in update.matches.spent
        ]

    async def _settled(self, record: WithdrawalRecord) -> Progress:
        last = (await self._native.latest_block()).number
        for event in await self._native.events(self._requested.block, last):
            if isinstance(event, PayoutSettled) and event.id == record.payout:
                received = await self._received(event.txid, record)
                text = f"settled: the tokens are burnt; {btc(received)} arrived"
                return Progress("settled", text, hash_text(event.txid), done=True)
        return Progress("settled", "settled: the tokens are burnt", done=True)

    async def _received(self, txid: bytes, record: WithdrawalRecord) -> int | None:
        """What the payment pays to the destination; None where the node does not have the transaction any more."""
        raw = await self._bitcoin.transaction(txid)
        if raw is None:
            return None
        outputs = parse_transaction(raw).outputs
        values = [o.value for o in outputs if o.script == record.destination and o.value <= record.amount]
        return max(values, default=None)
