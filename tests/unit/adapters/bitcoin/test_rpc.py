"""The RPC client against answers made up by the test: typed results, typed errors, repetition."""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest

from adapters.bitcoin.addresses import MAINNET, REGTEST
from adapters.bitcoin.errors import (
    AccessDenied,
    BadAnswer,
    MalformedTransaction,
    MempoolRefused,
    NodeUnavailable,
    Refusal,
    RpcRefused,
    WrongChain,
)
from adapters.bitcoin.primitives import BlockRef, Coin, OutPoint, hash_text
from adapters.bitcoin.rpc import BitcoinRpc, Header, MempoolEntry, refusal
from foundation.errors import BadInput
from foundation.quantities import BlockHeight, Satoshi
from tests.support.bitcoin_chain import transaction

HASH = bytes(range(32))
TX = transaction([(OutPoint(HASH, 0), [])], [(1, b"\x51")])
TXID: bytes = TX.GetTxid()
Handler = Callable[[httpx.Request], httpx.Response]


class Refused(Exception):
    """An error that the made-up node answers with."""

    def __init__(self, code: int, message: str) -> None:
        self.body = {"code": code, "message": message}


def client(handler: Handler, pauses: int = 0) -> BitcoinRpc:
    return BitcoinRpc(
        "http://node:1", "user", "secret", pauses_s=[0.0] * pauses, transport=httpx.MockTransport(handler)
    )


def node(methods: dict[str, Any]) -> BitcoinRpc:
    """A node that answers each method with a JSON text, or an error, or what a function of the parameters returns."""

    def answer(request: dict[str, Any]) -> str:
        result = methods[request["method"]]
        if callable(result):
            result = result(*request["params"])
        if isinstance(result, Refused):
            return json.dumps({"id": request["id"], "error": result.body, "result": None})
        return f'{{"id": {request["id"]}, "error": null, "result": {result}}}'

    def handle(request: httpx.Request) -> httpx.Response:
        asked = json.loads(request.content)
        if isinstance(asked, list):
            # Answers of a batch may come in any order.
            return httpx.Response(200, text=f"[{','.join(answer(each) for each in reversed(asked))}]")
        text = answer(asked)
        return httpx.Response(500 if '"code"' in text else 200, text=text)

    return client(handle)


def quoted(value: bytes) -> str:
    return f'"{hash_text(value)}"'


async def test_call_gives_json_with_exact_fractions() -> None:
    """An answer without a type keeps its form; fractions are decimals, also in parameters."""
    rpc = node({"echo": lambda amount: json.dumps({"a": [1, "x", None], "b": amount})})
    assert await rpc.call("echo", Decimal("0.00000001")) == {"a": [1, "x", None], "b": Decimal("1e-08")}


async def test_request_carries_credentials_and_path() -> None:
    """Requests go to the URL's path with basic authentication."""
    seen = []

    def handle(request: httpx.Request) -> httpx.Response:
        seen.append((request.url.path, request.headers["authorization"]))
        return httpx.Response(200, json={"id": json.loads(request.content)["id"], "result": 1})

    rpc = BitcoinRpc("http://node:1/wallet/w", "user", "secret", transport=httpx.MockTransport(handle))
    assert await rpc.call("getblockcount") == 1
    assert seen == [("/wallet/w", "Basic dXNlcjpzZWNyZXQ=")]
    await rpc.close()


async def test_batch_keeps_the_order_and_is_split() -> None:
    """Answers come in the order of the calls, whatever the node's; a hundred calls share one request."""
    sizes = []

    def handle(request: httpx.Request) -> httpx.Response:
        asked = json.loads(request.content)
        calls = asked if isinstance(asked, list) else [asked]
        sizes.append(len(calls))
        replies = [{"id": each["id"], "result": each["params"][0]} for each in reversed(calls)]
        return httpx.Response(200, json=replies if isinstance(asked, list) else replies[0])

    rpc = client(handle)
    assert await rpc.batch([("echo", [index]) for index in range(201)]) == list(range(201))
    assert sizes == [100, 100, 1]
    assert await rpc.batch([]) == []


async def test_batch_raises_the_first_error() -> None:
    """Of several errors in a batch, the first in the order of the calls is raised, naming its method."""
    rpc = node({"a": "1", "b": Refused(-8, "out of range"), "c": Refused(-5, "unknown")})
    with pytest.raises(RpcRefused) as caught:
        await rpc.batch([("a", []), ("b", []), ("c", [])])
    assert (caught.value.method, caught.value.code) == ("b", -8)


async def test_refused_batch_as_a_whole() -> None:
    """A batch that is answered with one error and no list raises that error."""
    body = {"id": None, "error": {"code": -32600, "message": "Batching is off"}, "result": None}
    with pytest.raises(RpcRefused) as caught:
        await client(lambda _: httpx.Response(400, json=body)).batch([("a", []), ("b", [])])
    assert caught.value.code == -32600


async def test_error_of_the_node_is_refused() -> None:
    """An error in the answer carries method, code and message, whatever the HTTP status."""
    with pytest.raises(RpcRefused) as caught:
        await node({"getblockhash": Refused(-8, "Block height out of range")}).block_hash(BlockHeight(9))
    assert (caught.value.method, caught.value.code) == ("getblockhash", -8)
    assert caught.value.message == "Block height out of range"


async def test_node_that_starts_is_unavailable() -> None:
    """While the node loads its index (-28), it is worth asking again."""
    with pytest.raises(NodeUnavailable) as caught:
        await node({"getblockchaininfo": Refused(-28, "Loading block index…")}).tip()
    assert caught.value.problem == "Loading block index…"


@pytest.mark.parametrize("status", [401, 403])
async def test_refused_credentials(status: int) -> None:
    """Wrong credentials, or an address that is not allowed, are an error of their own, and not repeated."""
    asked = []

    def handle(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(status)

    with pytest.raises(AccessDenied) as caught:
        await client(handle, pauses=3).tip()
    assert (caught.value.status, len(asked)) == (status, 1)


@pytest.mark.parametrize("status", [502, 503, 504])
async def test_overload_is_unavailable(status: int) -> None:
    """A full work queue, and a proxy that cannot reach the node, are worth asking again later."""
    with pytest.raises(NodeUnavailable):
        await client(lambda _: httpx.Response(status, text="Work queue depth exceeded"), pauses=2).call("stop")


def failing(times: int, error: Callable[[httpx.Request], httpx.Response]) -> tuple[Handler, list[int]]:
    """Fails so often, then answers 7; the list counts the requests."""
    requests: list[int] = []

    def handle(request: httpx.Request) -> httpx.Response:
        requests.append(1)
        if len(requests) <= times:
            return error(request)
        return httpx.Response(200, json={"id": json.loads(request.content)["id"], "result": 7})

    return handle, requests


def lost(request: httpx.Request) -> httpx.Response:
    raise httpx.RemoteProtocolError("Server disconnected", request=request)


def reset(request: httpx.Request) -> httpx.Response:
    raise httpx.ReadError("reset", request=request)


def unreachable(request: httpx.Request) -> httpx.Response:
    raise httpx.ConnectError("refused", request=request)


def overloaded(_: httpx.Request) -> httpx.Response:
    return httpx.Response(503, text="Work queue depth exceeded")


@pytest.mark.parametrize("error", [lost, reset, unreachable, overloaded])
async def test_read_is_repeated(error: Handler) -> None:
    """A read whose connection was lost is sent again, as often as there are pauses, and no more."""
    handle, requests = failing(2, error)
    assert await client(handle, pauses=2).call("getblockcount") == 7
    assert len(requests) == 3
    handle, requests = failing(3, error)
    with pytest.raises(NodeUnavailable):
        await client(handle, pauses=2).call("getblockcount")
    assert len(requests) == 3


@pytest.mark.parametrize(("error", "sent"), [(lost, 1), (reset, 1), (unreachable, 2), (overloaded, 2)])
async def test_payment_is_not_repeated_once_it_was_sent(error: Handler, sent: int) -> None:
    """What must not happen twice is sent again only where the node cannot have heard it."""
    handle, requests = failing(1, error)
    if sent == 1:
        with pytest.raises(NodeUnavailable):
            await client(handle, pauses=2).call("sendtoaddress", "x", 1)
    else:
        assert await client(handle, pauses=2).call("sendtoaddress", "x", 1) == 7
    assert len(requests) == sent


async def test_batch_with_a_payment_is_not_repeated() -> None:
    """One call in a batch that must not happen twice keeps the whole batch from being sent again."""
    handle, requests = failing(1, lost)
    with pytest.raises(NodeUnavailable):
        await client(handle, pauses=2).batch([("getblockcount", []), ("sendtoaddress", ["x", 1])])
    assert len(requests) == 1


async def test_slow_node_is_unavailable_at_once() -> None:
    """A request that timed out is not repeated: the caller has waited long enough."""

    def slow(request: httpx.Request) -> httpx.Response:
        raise httpx.ReadTimeout("", request=request)

    handle, requests = failing(1, slow)
    with pytest.raises(NodeUnavailable) as caught:
        await client(handle, pauses=2).call("getblockcount")
    assert len(requests) == 1
    assert "in time" in caught.value.problem


async def test_cookie_is_read_again_after_a_restart(tmp_path: Path) -> None:
    """A node that was started again has a new cookie; the client reads it when the old one is refused."""
    cookie = tmp_path / ".cookie"
    valid = "__cookie__:first"

    def handle(request: httpx.Request) -> httpx.Response:
        if request.headers["authorization"] != httpx.BasicAuth(*valid.split(":"))._auth_header:
            return httpx.Response(401)
        return httpx.Response(200, json={"id": json.loads(request.content)["id"], "result": 7})

    rpc = BitcoinRpc.from_cookie("http://node:1", cookie, transport=httpx.MockTransport(handle))
    with pytest.raises(NodeUnavailable):
        await rpc.call("getblockcount")
    cookie.write_text(valid)
    assert await rpc.call("getblockcount") == 7
    valid = "__cookie__:second"
    with pytest.raises(AccessDenied):
        await rpc.call("getblockcount")
    cookie.write_text(valid)
    assert await rpc.call("getblockcount") == 7


@pytest.mark.parametrize(
    "url", ["node:8332", "ftp://node", "http://", "http://user:secret@node", "http://node:port", ""]
)
def test_malformed_url_is_refused(url: str) -> None:
    """An address that is none, or carries credentials, is refused before anything is sent."""
    with pytest.raises(BadInput) as caught:
        BitcoinRpc(url, "user", "secret")
    assert caught.value.field == "url"


@pytest.mark.parametrize(
    ("response", "field"),
    [
        (httpx.Response(200, text="<html>"), "body"),
        (httpx.Response(200, content=b"\xff\xfe"), "body"),
        (httpx.Response(404, text="not here"), "status"),
        (httpx.Response(200, json={"id": 1, "result": 1, "error": {"code": "x", "message": ""}}), "error.code"),
        (httpx.Response(200, json={"id": 99, "result": 1}), "id"),
        (httpx.Response(200, json=[{"id": 1, "result": 1}, {"id": 2, "result": 1}]), "id"),
        (httpx.Response(200, json={"id": None, "result": 1}), "id"),
        (httpx.Response(200, json=[]), "id"),
        (httpx.Response(302, headers={"location": "http://other"}), "status"),
    ],
)
async def test_answer_that_is_no_json_rpc(response: httpx.Response, field: str) -> None:
    """Whatever answers that is no bitcoin node is told from a refusal, and the field that is wrong is named."""
    with pytest.raises(BadAnswer) as caught:
        await client(lambda _: response).call("getblockcount")
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("answer", "field"),
    [
        ("[]", "result"),
        ('{"bestblockhash": "' + "0" * 64 + '"}', "result"),
        ('{"blocks": -1, "bestblockhash": "' + "0" * 64 + '"}', "blocks"),
        ('{"blocks": "1", "bestblockhash": "' + "0" * 64 + '"}', "blocks"),
        ('{"blocks": 1, "bestblockhash": "' + "0" * 64 + '\\n"}', "bestblockhash"),
        ('{"blocks": 1, "bestblockhash": "00"}', "bestblockhash"),
    ],
)
async def test_malformed_tip(answer: str, field: str) -> None:
    """An answer that lacks what we rely on names the field."""
    with pytest.raises(BadAnswer) as caught:
        await node({"getblockchaininfo": answer}).tip()
    assert (caught.value.method, caught.value.field) == ("getblockchaininfo", field)


async def test_tip_and_network() -> None:
    """The tip is a height and a hash; a node of another network is refused by its genesis block."""
    info = json.dumps({"blocks": 7, "bestblockhash": hash_text(HASH), "chain": "regtest"})
    rpc = node({"getblockchaininfo": info, "getblockhash": lambda _: quoted(REGTEST.genesis)})
    assert await rpc.tip() == BlockRef(BlockHeight(7), HASH)
    await rpc.check_network(REGTEST)
    with pytest.raises(WrongChain) as caught:
        await rpc.check_network(MAINNET)
    assert (caught.value.expected, caught.value.found) == (MAINNET.genesis, REGTEST.genesis)


def header(**fields: object) -> str:
    return json.dumps({"hash": hash_text(HASH), "height": 0, "time": 5, "mediantime": 4, "confirmations": -1} | fields)


async def test_header_of_a_block_left_behind() -> None:
    """A block outside of the active chain has -1 confirmations; the genesis block has no predecessor."""
    rpc = node({"getblockheader": header()})
    assert await rpc.header(HASH) == Header(BlockRef(BlockHeight(0), HASH), bytes(32), 5, -1, 4)
    with pytest.raises(BadAnswer):
        await rpc.header(bytes(32))


async def test_block_is_bytes() -> None:
    """A raw block is asked for by its hash as text; an answer that is no hex is refused."""
    rpc = node({"getblock": lambda block, _: '"0a0b"' if block == hash_text(HASH) else '"xy"'})
    assert await rpc.block(HASH) == b"\x0a\x0b"
    with pytest.raises(BadAnswer):
        await rpc.block(bytes(32))


async def test_mempool_entry_is_exact() -> None:
    """Fees are read digit for digit: this one is not a binary fraction."""
    entry = (
        '{"vsize": 150, "time": 9, "descendantsize": 300, "ancestorsize": 200,'
        ' "fees": {"base": 0.00000003, "ancestor": 20999999.97690001, "descendant": 0.00000007}}'
    )
    found = await node({"getmempoolentry": entry}).mempool_entry(TXID)
    assert found == MempoolEntry(TXID, 150, Satoshi(3), 300, Satoshi(7), 200, Satoshi(2099999997690001), 9)
    assert await node({"getmempoolentry": Refused(-5, "Transaction not in mempool")}).mempool_entry(TXID) is None
    with pytest.raises(RpcRefused):
        await node({"getmempoolentry": Refused(-1, "internal")}).mempool_entry(TXID)


@pytest.mark.parametrize("fee", ["0.000000001", "-1", "1e999999", "21000001", "1.00000000000000000000000000000000001"])
async def test_impossible_amount_is_refused(fee: str) -> None:
    """An amount that is not in whole satoshi, or more than there can be, is refused by its dotted path."""
    fees = '{"base": %s, "ancestor": 1, "descendant": 1}'
    entry = '{"vsize": 1, "time": 1, "descendantsize": 1, "ancestorsize": 1, "fees": ' + fees + "}"
    with pytest.raises(BadAnswer) as caught:
        await node({"getmempoolentry": entry % fee}).mempool_entry(TXID)
    assert caught.value.field == "fees.base"


async def test_unspent_counts_the_height_from_its_own_block() -> None:
    """The height of a coin is counted from the block that the answer names; unconfirmed coins have none."""
    output = '{"bestblock": %s, "confirmations": %d, "value": 1.5, "scriptPubKey": {"hex": "51"}}'
    for confirmations, height in ((1, BlockHeight(9)), (3, BlockHeight(7)), (0, None)):
        answer = output % (quoted(HASH), confirmations)
        rpc = node({"gettxout": answer, "getblockheader": header(height=9, confirmations=1)})
        point = OutPoint(TXID, 2)
        assert await rpc.unspent(point) == Coin(point, Satoshi(150_000_000), b"\x51", height)
    assert await node({"gettxout": "null"}).unspent(OutPoint(TXID, 2)) is None


async def test_transaction_is_checked() -> None:
    """A transaction that the node does not know is None; another one than asked for is refused."""
    rpc = node({"getrawtransaction": f'"{TX.serialize().hex()}"'})
    assert await rpc.transaction(TXID) == TX.serialize()
    with pytest.raises(BadAnswer):
        await rpc.transaction(HASH)
    assert await node({"getrawtransaction": Refused(-5, "No such mempool transaction")}).transaction(TXID) is None


async def test_fee_rates() -> None:
    """Rates are in satoshi per 1,000 vB: the estimate if there is one, the higher of both floors, the increment."""
    mempool = '{"mempoolminfee": 0.00001001, "minrelaytxfee": 0.00001000, "incrementalrelayfee": 0.00000100}'
    rpc = node({"getmempoolinfo": mempool, "estimatesmartfee": '{"feerate": 0.00012345, "blocks": 2}'})
    assert await rpc.relay_floor() == 1001
    assert await rpc.incremental_relay_fee() == 100
    assert await rpc.estimate_fee_rate(2) == 12_345
    old = '{"mempoolminfee": 0.00001000, "minrelaytxfee": 0.00003}'
    rpc = node(
        {
            "getmempoolinfo": old,
            "getnetworkinfo": '{"incrementalfee": 0.00002}',
            "estimatesmartfee": '{"errors": ["Insufficient data"], "blocks": 0}',
        }
    )
    assert await rpc.relay_floor() == 3000
    assert await rpc.incremental_relay_fee() == 2000
    assert await rpc.estimate_fee_rate(2) is None


async def test_submit_returns_the_txid() -> None:
    """A transaction that is taken gives its id; one that is none is not sent; another id is no answer."""
    rpc = node({"sendrawtransaction": lambda raw: quoted(TXID) if raw == TX.serialize().hex() else "0"})
    assert await rpc.submit(TX.serialize()) == TXID
    with pytest.raises(MalformedTransaction):
        await rpc.submit(b"\x00")
    with pytest.raises(BadAnswer):
        await node({"sendrawtransaction": quoted(HASH)}).submit(TX.serialize())


@pytest.mark.parametrize(
    ("code", "reason", "meaning"),
    [
        (-27, "Transaction outputs already in utxo set", Refusal.ALREADY_KNOWN),
        (-26, "txn-already-in-mempool", Refusal.ALREADY_KNOWN),
        (-25, "bad-txns-inputs-missingorspent", Refusal.MISSING_INPUTS),
        (-26, "min relay fee not met, 0 < 111", Refusal.FEE_TOO_LOW),
        (-26, "insufficient fee, rejecting replacement", Refusal.FEE_TOO_LOW),
        (-26, "txn-mempool-conflict", Refusal.CONFLICT),
        (-26, "non-BIP68-final", Refusal.NOT_YET_VALID),
        (-26, "too-long-mempool-chain, too many descendants", Refusal.CHAIN_TOO_LONG),
        (-26, "dust, tx with dust output must be 0-fee", Refusal.OTHER),
        (-25, "Fee exceeds maximum configured by user", Refusal.OTHER),
    ],
)
async def test_refused_transaction_is_typed(code: int, reason: str, meaning: Refusal) -> None:
    """What the node says about a transaction that it does not take gets a meaning."""
    with pytest.raises(MempoolRefused) as caught:
        await node({"sendrawtransaction": Refused(code, reason)}).submit(TX.serialize())
    assert (caught.value.txid, caught.value.code, caught.value.reason) == (TXID, code, reason)
    assert caught.value.refusal is meaning is refusal(code, reason)


async def test_other_errors_of_a_submission() -> None:
    """An error that is not about the transaction stays a refused call."""
    with pytest.raises(RpcRefused):
        await node({"sendrawtransaction": Refused(-32601, "Method not found")}).submit(TX.serialize())


async def test_acceptance_is_asked_without_sending() -> None:
    """A transaction that would be taken gives nothing; else the reason is typed; an answer about another is refused."""
    answer = {"txid": hash_text(TXID), "allowed": True}
    await node({"testmempoolaccept": json.dumps([answer])}).test_accept(TX.serialize())
    refused = answer | {"allowed": False, "reject-reason": "missing-inputs"}
    with pytest.raises(MempoolRefused) as caught:
        await node({"testmempoolaccept": json.dumps([refused])}).test_accept(TX.serialize())
    assert caught.value.missing_inputs
    for wrong in ("[]", json.dumps([answer | {"txid": hash_text(HASH)}])):
        with pytest.raises(BadAnswer):
            await node({"testmempoolaccept": wrong}).test_accept(TX.serialize())


async def test_spenders_are_told_for_what_was_asked() -> None:
    """The mempool's spender of each outpoint, or None, in their order; an answer about others is refused."""
    one, two = OutPoint(TXID, 0), OutPoint(TXID, 1)
    shown = [
        {"txid": hash_text(TXID), "vout": 0},
        {"txid": hash_text(TXID), "vout": 1, "spendingtxid": hash_text(HASH)},
    ]
    rpc = node({"gettxspendingprevout": json.dumps(shown)})
    assert await rpc.spenders([one, two]) == (None, HASH)
    assert await rpc.spenders([]) == ()
    with pytest.raises(BadAnswer):
        await rpc.spenders([two, one])
