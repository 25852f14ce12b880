"""Settling in an ERC-20 token: one transfer a payment, under one nonce; what comes in counts once its block is final.

Whom a transfer is from decides whose account is credited. So a peer shows, by a signature, that it holds the key of the
account that it pays from; the proof names us too, and is worth nothing elsewhere.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from coincurve import PrivateKey, PublicKey
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak

from adapters.evm.abi import Function, function
from adapters.evm.ends import GONE, End
from adapters.evm.errors import Reverted, TransactionAbandoned
from adapters.evm.flight import TxResult
from adapters.evm.journal import TxJournal
from adapters.evm.types import Batch, BlockRef, Call
from foundation.database import Database
from foundation.errors import BadInput, Retryable
from foundation.quantities import BlockHeight
from settlement.connector.settle.engines.core import Credit, Payment
from settlement.connector.settle.engines.evm_feed import Transfer, transfer_of
from settlement.connector.settle.engines.rail import (
    Answer,
    Ask,
    PeerUnclear,
    Question,
    RailTerms,
    Verdict,
    check_asset,
)
from settlement.connector.settle.engines.store import EngineStore
from settlement.quantities import tagged_hash

TRANSFER: Final[Function] = function("ERC20", "transfer", "address, uint256", "bool")
_CURSOR: Final = "evm"
_HASTE_SECONDS: Final = 0.3
"""How long a payment may hold up the others of its round; it goes on by itself meanwhile."""


class TokenRefuses(Retryable):
    """The token does not move now: too little is there, or it is paused. Nothing was sent. Fields: problem."""

    def __init__(self, problem: str) -> None:
        self.problem = problem
        super().__init__(f"the token refuses a transfer: {problem}")


class Sender(Protocol):
    """What sending needs: `adapters.evm.sender.TxSender`."""

    @property
    def account(self) -> bytes:
        """The account's address, 20 bytes."""

    async def send(self, call: Call, key: str, *, gas: int | None = None) -> TxResult:
        """Send a call once for a key; see `TxSender.send`."""


class Ends(Protocol):
    """What counting needs: `adapters.evm.ends.FinalEnds`."""

    async def of(self, account: bytes, nonce: int, hashes: Sequence[bytes]) -> End:
        """What became of a nonce, by final blocks."""


class Feed(Protocol):
    """What watching needs: `TransferFeed`."""

    async def read(self, cursor: BlockRef | None) -> Batch[Transfer] | None:
        """The next final blocks' transfers to us."""


@dataclass(frozen=True, slots=True)
class TokenRail:
    """A token. Fields: chain (CAIP-2, such as `eip155:1`); token (20 bytes); scale (its decimals); least (units)."""

    chain: str
    token: bytes
    scale: int
    least: int = 1

    @property
    def asset(self) -> str:
        """Its CAIP-19 name."""
        return f"{self.chain}/erc20:{text_of(self.token)}"


class EvmRail:
    """Pays with an account's sender, and watches the same account. See `Rail`."""

    def __init__(
        self,
        database: Database,
        token: TokenRail,
        sender: Sender,
        journal: TxJournal,
        secret: bytes,
        feed: Feed,
        ends: Ends,
        *,
        poll_seconds: float = 1.0,
    ) -> None:
        """Describe the rail.

        Args:
            database: the engine's.
            token: what is paid.
            sender: the account's, started; nobody else sends for it.
            journal: the sender's; durable.
            secret: the account's key, 32 bytes: proves to peers that what comes from there is ours.
            feed: transfers to the account.
            ends: what became of what was sent; no node's word alone pays or repeats anything.
            poll_seconds: between two looks for final blocks.
        """
        self._database = database
        self._token = token
        self._sender = sender
        self._journal = journal
        self._secret = secret
        self._feed = feed
        self._ends = ends
        self._poll_seconds = poll_seconds
        self._sending: dict[str, asyncio.Task[TxResult]] = {}

    @property
    def terms(self) -> RailTerms:
        """See `Rail`."""
        return RailTerms(self._token.asset, self._token.scale, self._token.least)

    async def meet(self, account: str, ask: Ask) -> str:
        """Learn where to pay, and show the peer where it will come from. See `Rail`."""
        told = await ask(account, Question("payTo", self._token.asset))
        try:
            target = address_of(told.address)
        except BadInput as error:
            raise PeerUnclear(account, str(error)) from error
        proof = proof_of_payer(self._secret, self._token.asset, self._sender.account, target)
        mine = text_of(self._sender.account)
        await ask(account, Question("payFrom", self._token.asset, address=mine, proof=proof.hex()))
        return text_of(target)

    async def answer(self, account: str, question: Question) -> Answer:
        """See `Rail`."""
        check_asset(question, self.terms)
        mine = text_of(self._sender.account)
        if question.type == "payTo":
            return Answer(address=mine)
        if question.type != "payFrom":
            raise BadInput("type", f"{question.type[:40]!r} is no question here", "payTo or payFrom")
        source = address_of(question.address)
        if payer_of(question.proof, self._token.asset, source, self._sender.account) != source:
            raise BadInput("proof", "is not signed by the account that it names", "sign with the key that pays")
        async with self._database.unit() as unit:
            owner = await EngineStore(unit.connection).claim(text_of(source), account)
            await unit.commit()
        if owner != account:
            raise BadInput("address", "another account pays from there", "pay from an account of your own")
        return Answer(address=mine)

    async def pay(self, payment: Payment, ask: Ask) -> Verdict:
        """See `Rail`. One key is one nonce for ever, so it is mined once at most.

        Raises:
            TokenRefuses: found out before anything was signed.
            EndpointsDisagree, EndpointLied: a node lies; nothing is counted, and nothing sent again, meanwhile.
        """
        target = address_of(payment.target)
        call = Call(self._token.token, TRANSFER.encode(target, payment.units), TRANSFER.label)
        try:
            result = await self._sent(call, payment.key)
        except (Reverted, TransactionAbandoned) as error:
            if not await self._journal.by_key(self._sender.account, payment.key):
                raise TokenRefuses(str(error)) from error  # found out before anything was signed
        else:
            if result is None:
                return Verdict.UNDERWAY
        return await self._ended(payment, target)

    async def watch(self, changed: Callable[[], None]) -> None:
        """See `Rail`."""
        async with self._database.view() as view:
            raw = await EngineStore(view.connection).cursor(_CURSOR)
        cursor = None if raw is None else BlockRef(BlockHeight(int.from_bytes(raw[:8], "big")), raw[8:])
        while True:
            batch = await self._feed.read(cursor)
            if batch is None:
                await asyncio.sleep(self._poll_seconds)
                continue
            await self._take(batch)
            cursor = batch.last
            if batch.events:
                changed()

    async def _take(self, batch: Batch[Transfer]) -> None:
        async with self._database.unit() as unit:
            store = EngineStore(unit.connection)
            for one in batch.events:
                if not one.amount:
                    continue
                source = text_of(one.sender)
                name = tagged_hash(
                    "engine/evm", self._token.asset.encode(), one.transaction, one.index.to_bytes(8, "big")
                )
                await store.add_credit(Credit(name.hex(), await store.account_of(source), source, one.amount))
            await store.move_cursor(_CURSOR, batch.last.number.to_bytes(8, "big") + batch.last.hash)
            await unit.commit()

    async def _sent(self, call: Call, key: str) -> TxResult | None:
        """What became of the transaction; None while it is on its way."""
        task = self._sending.get(key)
        if task is None:
            task = self._sending[key] = asyncio.create_task(self._sender.send(call, key))
        await asyncio.wait({task}, timeout=_HASTE_SECONDS)
        if not task.done():
            return None
        del self._sending[key]
        return task.result()

    async def _ended(self, payment: Payment, target: bytes) -> Verdict:
        """What final blocks have of a payment, whatever a node said of it before."""
        account = self._sender.account
        versions = await self._journal.by_key(account, payment.key)
        end = await self._ends.of(account, versions[0].nonce, [version.hash for version in versions])
        if end is None:
            return Verdict.UNDERWAY  # in no block, or in one that may be dropped yet
        if end is GONE:
            return Verdict.STUCK  # somebody else uses the key, or the journal is not all that was signed
        version = next(version for version in versions if version.hash == end.transaction)
        if version.is_filler or not end.succeeded:
            return Verdict.WITHOUT_EFFECT  # its nonce is used up for good, with nothing to show for it
        moved = (transfer_of(log) for log in end.logs if log.address == self._token.token)
        wanted = (account, target, payment.units)
        # There are tokens that return false, or take a fee: a success that is none.
        is_paid = any(one and (one.sender, one.receiver, one.amount) == wanted for one in moved)
        return Verdict.PAID if is_paid else Verdict.STUCK


def text_of(address: bytes) -> str:
    """An address as EIP-55 writes it."""
    return str(to_checksum_address(address))


def address_of(text: str, field: str = "address") -> bytes:
    """The inverse, in any case. Raises `BadInput`: no 20 bytes, or the zero address."""
    try:
        address = bytes.fromhex(text.removeprefix("0x"))
    except ValueError as error:
        raise BadInput(field, f"{text[:80]!r} is no address", "0x and 40 hex digits") from error
    if len(address) != 20 or not any(address):
        raise BadInput(field, f"{text[:80]!r} is no address", "0x and 40 hex digits, not all zero")
    return address


def proof_of_payer(secret: bytes, asset: str, payer: bytes, payee: bytes) -> bytes:
    """65 bytes: a recoverable signature by the payer's key (32 bytes), which only this payee can use."""
    return PrivateKey(secret).sign_recoverable(_statement(asset, payer, payee), hasher=None)


def payer_of(proof: str, asset: str, payer: bytes, payee: bytes) -> bytes | None:
    """The address (20 bytes) of the key that signed the statement; None for what is no signature."""
    try:
        key = PublicKey.from_signature_and_message(bytes.fromhex(proof), _statement(asset, payer, payee), hasher=None)
    except Exception:  # noqa: BLE001 - what the binding raises for a signature that is none is not one class
        return None
    return bytes(keccak(key.format(compressed=False)[1:])[12:])


def _statement(asset: str, payer: bytes, payee: bytes) -> bytes:
    return tagged_hash("engine/evm-payer", asset.encode(), payer, payee)
