"""Whatever a node answers, the client returns what it promises or raises a typed error."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from decimal import Decimal

import httpx
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.bitcoin.answers import satoshi
from adapters.bitcoin.errors import BadAnswer, MempoolRefused, NodeUnavailable, RpcRefused
from adapters.bitcoin.primitives import OutPoint, hash_text
from adapters.bitcoin.rpc import BitcoinRpc
from foundation.quantities import BlockHeight, Satoshi
from infra.bitcoind import as_btc
from tests.support.bitcoin_chain import transaction

HASH = bytes(range(32))
TX = transaction([(OutPoint(HASH, 0), [])], [(1, b"\x51")])
RAW = TX.serialize()

READS: list[Callable[[BitcoinRpc], Awaitable[object]]] = [
    lambda rpc: rpc.tip(),
    lambda rpc: rpc.block_hash(BlockHeight(1)),
    lambda rpc: rpc.block(HASH),
    lambda rpc: rpc.header(HASH),
    lambda rpc: rpc.submit(RAW),
    lambda rpc: rpc.test_accept(RAW),
    lambda rpc: rpc.mempool_entry(HASH),
    lambda rpc: rpc.transaction(TX.GetTxid()),
    lambda rpc: rpc.unspent(OutPoint(HASH, 0)),
    lambda rpc: rpc.estimate_fee_rate(6),
    lambda rpc: rpc.relay_floor(),
    lambda rpc: rpc.incremental_relay_fee(),
    lambda rpc: rpc.call("getblockcount"),
]

FIELDS = {
    "blocks": 1,
    "bestblockhash": hash_text(HASH),
    "bestblock": hash_text(HASH),
    "hash": hash_text(HASH),
    "txid": hash_text(TX.GetTxid()),
    "height": 5,
    "time": 5,
    "confirmations": 3,
    "vsize": 100,
    "descendantsize": 100,
    "ancestorsize": 100,
    "fees": {"base": 0.5, "ancestor": 0.5},
    "value": 0.5,
    "scriptPubKey": {"hex": "51"},
    "feerate": 0.5,
    "mempoolminfee": 0.5,
    "minrelaytxfee": 0.5,
    "incrementalfee": 0.5,
    "allowed": False,
    "reject-reason": "non-final",
}
"""Every field that is read anywhere, well-formed."""

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=4) | st.just("00" * 32),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(sorted(FIELDS)), inner, max_size=2),
    max_leaves=4,
)
objects = st.dictionaries(st.sampled_from(sorted(FIELDS)), values, max_size=2).map(lambda wrong: FIELDS | wrong)


@settings(max_examples=150)
@given(st.sampled_from(READS), values | objects | objects.map(lambda one: [one]))
def test_any_answer_is_a_result_or_a_typed_error(
    read: Callable[[BitcoinRpc], Awaitable[object]], answer: object
) -> None:
    """Answers of any form end in a result or in an error that names method and field."""

    def handle(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, text=json.dumps({"id": json.loads(request.content)["id"], "result": answer}))

    async def ask() -> None:
        async with BitcoinRpc("http://node:1", "u", "p", transport=httpx.MockTransport(handle)) as rpc:
            await read(rpc)

    caught: Exception | None = None
    try:
        asyncio.run(ask())
    except (BadAnswer, MempoolRefused) as error:
        caught = error
    assert not isinstance(caught, BadAnswer) or (caught.method and caught.field)


@settings(max_examples=100)
@given(st.sampled_from(READS), st.binary(max_size=40) | values.map(lambda value: json.dumps(value).encode()))
def test_any_body_is_a_typed_error(read: Callable[[BitcoinRpc], Awaitable[object]], body: bytes) -> None:
    """Bodies that are no answer at all end in a typed error, never in a result."""

    async def ask() -> None:
        transport = httpx.MockTransport(lambda _: httpx.Response(200, content=body))
        async with BitcoinRpc("http://node:1", "u", "p", transport=transport) as rpc:
            await read(rpc)

    try:
        asyncio.run(ask())
    except (BadAnswer, RpcRefused, NodeUnavailable):
        return
    raise AssertionError("there was no answer to return")


@given(st.integers(0, 21_000_000 * 100_000_000))
def test_amounts_are_exact(amount: int) -> None:
    """Every amount that bitcoin can have is read from its decimal form digit for digit."""
    assert satoshi("m", "f", Decimal(as_btc(Satoshi(amount)))) == amount
