"""A bitcoin node's JSON-RPC interface: typed answers, typed errors, batches, and reads that outlive a lost connection.

Source: Bitcoin Core, doc/JSON-RPC-interface.md, rpc/protocol.h (error codes), rpc/*.cpp (forms of the answers).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, Self, TypeVar

import httpx

from adapters.bitcoin import answers
from adapters.bitcoin._transport import Cookie, Password, Transport
from adapters.bitcoin.addresses import Network
from adapters.bitcoin.answers import Header, MempoolEntry
from adapters.bitcoin.errors import BadAnswer, MalformedTransaction, MempoolRefused, Refusal, RpcRefused, WrongChain
from adapters.bitcoin.primitives import BlockRef, Coin, OutPoint, hash_text, parse_hash
from adapters.bitcoin.transactions import parse_transaction
from foundation.quantities import BlockHeight, SatPerKvB

__all__ = ["BitcoinRpc", "Header", "MempoolEntry"]

_T = TypeVar("_T")

_NOT_FOUND: Final = -5
"""RPC_INVALID_ADDRESS_OR_KEY: no such block or transaction."""
_TRANSACTION_ERROR: Final = -25
_REJECTED: Final = -26
_ALREADY_IN_CHAIN: Final = -27
"""What sendrawtransaction answers: inputs missing and the like; not by the rules or policy; confirmed already."""

_REFUSALS: Final = (
    (Refusal.ALREADY_KNOWN, ("txn-already-", "txn-same-nonwitness-data-in-mempool", "already in block chain")),
    (Refusal.MISSING_INPUTS, ("missingorspent", "missing-inputs", "Missing inputs", "bad-txns-inputs-spent")),
    (
        Refusal.FEE_TOO_LOW,
        ("min relay fee not met", "mempool min fee not met", "insufficient fee", "replacement-failed", "mempool full"),
    ),
    (
        Refusal.CONFLICT,
        (
            "txn-mempool-conflict",
            "bip125-replacement-disallowed",
            "bad-txns-spends-conflicting-tx",
            "replacement-adds-unconfirmed",
            "too many potential replacements",
        ),
    ),
    (Refusal.NOT_YET_VALID, ("non-final", "non-BIP68-final")),
    (Refusal.CHAIN_TOO_LONG, ("too-long-mempool-chain", "too-large-cluster", "exceeds ancestor", "exceeds descendant")),
)
"""Parts of the node's words (validation.cpp, policy/rbf.cpp, util/transaction_error.cpp), and what they mean."""


class BitcoinRpc:
    """A client of one node.

    Every method raises `NodeUnavailable` (down, starting, overloaded, too slow), `AccessDenied`, `RpcRefused` (the
    node answers with an error) or `BadAnswer` (the answer has not the form that we rely on). Reads are repeated a few
    times where the connection was lost. Transaction ids and block hashes are in internal byte order.
    """

    def __init__(
        self,
        url: str,
        user: str,
        password: str,
        *,
        timeout_s: float = 30.0,
        pauses_s: Sequence[float] = (0.1, 0.3, 1.0),
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        """Nothing is sent yet.

        Args:
            url: of the node's RPC interface, without credentials; with the path `/wallet/<name>` to call a wallet.
            timeout_s: how long one request may wait for each part of its answer.
            pauses_s: before each repetition of a read; as many repetitions as pauses.
            transport: how HTTP is carried, httpx's own where None.

        Raises:
            BadInput: `url` is no http or https address.
        """
        self._transport = Transport(url, Password(user, password), timeout_s, pauses_s, transport)

    @classmethod
    def from_cookie(
        cls,
        url: str,
        path: Path,
        *,
        timeout_s: float = 30.0,
        pauses_s: Sequence[float] = (0.1, 0.3, 1.0),
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> Self:
        """With the password that the node writes into its cookie file at each start; read again when it is refused."""
        rpc = cls.__new__(cls)
        rpc._transport = Transport(url, Cookie(path), timeout_s, pauses_s, transport)
        return rpc

    async def close(self) -> None:
        """Close the connections."""
        await self._transport.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def call(self, method: str, *params: object) -> Any:
        """The answer as JSON has it, fractions as `Decimal`; parameters may be `Decimal` too."""
        (raw,) = await self._transport.results([(method, params)])
        return answers.decode_any(method, raw)

    async def batch(self, calls: Sequence[tuple[str, Sequence[object]]]) -> list[Any]:
        """The answers in the order of `calls`, fetched in one request for each hundred. Raises the first error."""
        raws = await self._transport.results(calls)
        return [answers.decode_any(method, raw) for (method, _), raw in zip(calls, raws, strict=True)]

    async def check_network(self, network: Network) -> None:
        """Raises `WrongChain` unless the node's chain has the genesis block of `network`."""
        found = await self.block_hash(BlockHeight(0))
        if found != network.genesis:
            raise WrongChain(network.genesis, found)

    async def tip(self) -> BlockRef:
        """The newest block of the active chain."""
        info = await self._read(answers.ChainInfo, "getblockchaininfo")
        return BlockRef(BlockHeight(info.blocks), parse_hash(info.bestblockhash))

    async def block_hash(self, height: BlockHeight) -> bytes:
        """The block of the active chain at that height. Raises `RpcRefused` (-8) beyond the tip."""
        return parse_hash(await self._read(answers.Hash, "getblockhash", height))

    async def block(self, block_hash: bytes) -> bytes:
        """A serialized block. Raises `RpcRefused`: unknown (-5), or pruned (-1)."""
        return answers.decode_hex("getblock", await self._read(str, "getblock", hash_text(block_hash), 0))

    async def header(self, block_hash: bytes) -> Header:
        """A block's header. Raises `RpcRefused` (-5) where the node does not know the block."""
        found = await self._read(answers.BlockHeader, "getblockheader", hash_text(block_hash))
        if parse_hash(found.hash) != block_hash:
            raise BadAnswer("getblockheader", "hash", "is of another block")
        block = BlockRef(BlockHeight(found.height), block_hash)
        return Header(block, parse_hash(found.previousblockhash), found.time, found.confirmations, found.mediantime)

    async def submit(self, raw: bytes) -> bytes:
        """Put a transaction into the mempool and relay it; returns its txid. One that is there already is no error.

        Raises:
            MalformedTransaction: `raw` is no transaction; nothing was sent.
            MempoolRefused: the node does not take it.
        """
        txid = parse_transaction(raw).txid
        try:
            answer = await self._read(answers.Hash, "sendrawtransaction", raw.hex())
        except RpcRefused as refused:
            if refused.code not in (_TRANSACTION_ERROR, _REJECTED, _ALREADY_IN_CHAIN):
                raise
            raise MempoolRefused(
                txid, refused.code, refused.message, refusal(refused.code, refused.message)
            ) from refused
        if parse_hash(answer) != txid:
            raise BadAnswer("sendrawtransaction", "result", "is the id of another transaction")
        return txid

    async def test_accept(self, raw: bytes) -> None:
        """Raises `MempoolRefused` where the node would not take the transaction, else nothing. Sends nothing."""
        txid = parse_transaction(raw).txid
        found = await self._read(list[answers.Acceptance], "testmempoolaccept", [raw.hex()])
        if len(found) != 1 or parse_hash(found[0].txid) != txid:
            raise BadAnswer("testmempoolaccept", "[0].txid", "is not about the one transaction that was asked for")
        if not found[0].allowed:
            reason = found[0].reason
            raise MempoolRefused(txid, _REJECTED, reason, refusal(_REJECTED, reason))

    async def mempool_entry(self, txid: bytes) -> MempoolEntry | None:
        """What the mempool knows of a transaction; None where it is not there."""
        method = "getmempoolentry"
        found = await self._unless_unknown(answers.Entry, method, hash_text(txid))
        if found is None:
            return None
        return MempoolEntry(
            txid=txid,
            vsize=found.vsize,
            fee=answers.satoshi(method, "fees.base", found.fees.base),
            descendants_vsize=found.descendantsize,
            descendants_fee=answers.satoshi(method, "fees.descendant", found.fees.descendant),
            ancestor_vsize=found.ancestorsize,
            ancestor_fee=answers.satoshi(method, "fees.ancestor", found.fees.ancestor),
            time=found.time,
        )

    async def transaction(self, txid: bytes) -> bytes | None:
        """A serialized transaction; None where the node has it neither in its mempool nor in an index (`txindex`)."""
        method = "getrawtransaction"
        found = await self._unless_unknown(str, method, hash_text(txid), 0)
        if found is None:
            return None
        raw = answers.decode_hex(method, found)
        try:
            is_asked_for = parse_transaction(raw).txid == txid
        except MalformedTransaction as error:
            raise BadAnswer(method, "result", error.problem) from error
        if not is_asked_for:
            raise BadAnswer(method, "result", "is another transaction")
        return raw

    async def unspent(self, outpoint: OutPoint, include_mempool: bool = False) -> Coin | None:
        """A coin that nobody has spent, else None.

        Args:
            include_mempool: let unconfirmed transactions make and spend coins; without it they do not count.
        """
        method = "gettxout"
        params = (hash_text(outpoint.txid), outpoint.vout, include_mempool)
        (raw,) = await self._transport.results([(method, params)])
        if bytes(raw) == b"null":
            return None
        found = answers.decode(method, raw, answers.Output)
        height = None
        if found.confirmations:
            # Counted from the block that the answer names, which need not be the tip any more.
            best = await self.header(parse_hash(found.bestblock))
            height = BlockHeight(best.block.height - found.confirmations + 1)
            if height < 0:
                raise BadAnswer(method, "confirmations", f"{found.confirmations} at height {best.block.height}")
        script = answers.decode_hex(method, found.script.hex, "scriptPubKey.hex")
        return Coin(outpoint, answers.satoshi(method, "value", found.value), script, height)

    async def spenders(self, outpoints: Sequence[OutPoint]) -> tuple[bytes | None, ...]:
        """The txid of the mempool's transaction that spends each outpoint; None where none does."""
        if not outpoints:
            return ()
        method = "gettxspendingprevout"
        asked = [{"txid": hash_text(point.txid), "vout": point.vout} for point in outpoints]
        found = await self._read(list[answers.Spender], method, asked)
        if [(one.txid, one.vout) for one in found] != [(point["txid"], point["vout"]) for point in asked]:
            raise BadAnswer(method, "result", "is not about the outpoints that were asked for")
        return tuple(None if one.spendingtxid is None else parse_hash(one.spendingtxid) for one in found)

    async def estimate_fee_rate(self, blocks: int) -> SatPerKvB | None:
        """What a transaction should pay to confirm within `blocks` (1…1,008); None where the node has no estimate."""
        found = await self._read(answers.FeeEstimate, "estimatesmartfee", blocks)
        if found.feerate is None:
            return None
        return SatPerKvB(answers.satoshi("estimatesmartfee", "feerate", found.feerate))

    async def relay_floor(self) -> SatPerKvB:
        """The least that a transaction must pay to enter the mempool, which rises while the mempool is full."""
        found = await self._read(answers.MempoolInfo, "getmempoolinfo")
        floors = (
            answers.satoshi("getmempoolinfo", "mempoolminfee", found.mempoolminfee),
            answers.satoshi("getmempoolinfo", "minrelaytxfee", found.minrelaytxfee),
        )
        return SatPerKvB(max(floors))

    async def incremental_relay_fee(self) -> SatPerKvB:
        """What a replacement must pay for its own size on top of the fees of all that it replaces (BIP-125, rule 4)."""
        found = (await self._read(answers.MempoolInfo, "getmempoolinfo")).incrementalrelayfee
        if found is not None:
            return SatPerKvB(answers.satoshi("getmempoolinfo", "incrementalrelayfee", found))
        fee = (await self._read(answers.NetworkInfo, "getnetworkinfo")).incrementalfee
        return SatPerKvB(answers.satoshi("getnetworkinfo", "incrementalfee", fee))

    async def _read(self, kind: type[_T], method: str, *params: object) -> _T:
        (raw,) = await self._transport.results([(method, params)])
        return answers.decode(method, raw, kind)

    async def _unless_unknown(self, kind: type[_T], method: str, *params: object) -> _T | None:
        try:
            return await self._read(kind, method, *params)
        except RpcRefused as refused:
            if refused.code == _NOT_FOUND:
                return None
            raise


def refusal(code: int, reason: str) -> Refusal:
    """What the code and the words of a refused transaction mean."""
    if code == _ALREADY_IN_CHAIN:
        return Refusal.ALREADY_KNOWN
    return next((kind for kind, parts in _REFUSALS if any(part in reason for part in parts)), Refusal.OTHER)
