"""A node's answers, right and wrong, as the typed RPC sees them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Any, TypeAlias

import pytest
from aiohttp import web
from eth_abi.abi import encode

from adapters.evm.errors import (
    AccessDenied,
    BadAnswer,
    InsufficientBalance,
    NodeUnavailable,
    Reverted,
    RpcRefused,
    WrongChain,
)
from adapters.evm.rpc import EvmRpc
from adapters.evm.types import BlockRef, Call
from foundation.errors import Fatal, Retryable
from foundation.quantities import BlockHeight, Wei
from tests.support.patience import PATIENCE_S

Answer: TypeAlias = Callable[[str, list[Any]], Any]
HASH = "0x" + "ab" * 32
BLOCK = {
    "number": "0x10",
    "hash": HASH,
    "parentHash": "0x" + "cd" * 32,
    "timestamp": "0x20",
    "baseFeePerGas": "0x7",
    "gasLimit": "0x1c9c380",
}
CALL = Call(b"\x01" * 20, b"\xaa", "Test.call")


class Node:
    """A node over HTTP that answers as a test says."""

    def __init__(self) -> None:
        self.answers: dict[str, Any] = {}
        self.raw: Callable[[], web.Response] | None = None
        self.delay = asyncio.Event()
        self.delay.set()
        self.requests: list[Any] = []
        self.hang_ups = 0  # so many requests are answered by closing the connection
        self.url = ""

    def result(self, method: str, answer: Any) -> None:
        """What a method returns; an `Exception`'s single argument is an error object."""
        self.answers[method] = answer

    async def serve(self, request: web.Request) -> web.Response:
        """One exchange."""
        body = await request.json()
        self.requests.append(body)
        await self.delay.wait()
        if self.hang_ups:
            self.hang_ups -= 1
            assert request.transport is not None
            request.transport.close()
        if self.raw is not None:
            return self.raw()
        if isinstance(body, list):
            return web.json_response([self._one(single) for single in reversed(body)])
        return web.json_response(self._one(body))

    def _one(self, request: dict[str, Any]) -> dict[str, Any]:
        answer = self.answers.get(request["method"], LookupError({"code": -32601, "message": "no such method"}))
        member = {"error": answer.args[0]} if isinstance(answer, Exception) else {"result": answer}
        return {"jsonrpc": "2.0", "id": request["id"], **member}


@pytest.fixture
async def node() -> AsyncIterator[Node]:
    """A node that knows nothing yet, with its address in `url`."""
    made = Node()
    application = web.Application()
    application.router.add_post("/", made.serve)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield made
    made.delay.set()
    await runner.cleanup()


@pytest.fixture
async def rpc(node: Node) -> AsyncIterator[EvmRpc]:
    """The RPC to that node."""
    async with EvmRpc(node.url, timeout_seconds=2) as opened:
        yield opened


async def test_a_node_that_is_not_there_passes() -> None:
    """A refused connection is an error that passes, without the address, which may hold credentials."""
    async with EvmRpc("http://user:secret@127.0.0.1:1", timeout_seconds=2) as rpc:
        with pytest.raises(NodeUnavailable) as refusal:
            await rpc.chain_id()
    assert isinstance(refusal.value, Retryable)
    assert refusal.value.method == "eth_chainId"
    assert "secret" not in str(refusal.value)


async def test_a_node_that_is_too_slow_passes(node: Node) -> None:
    """No answer in time is an error that passes."""
    node.delay.clear()
    async with EvmRpc(node.url, timeout_seconds=0.05) as rpc:
        with pytest.raises(NodeUnavailable) as refusal:
            await rpc.chain_id()
    assert refusal.value.problem == "no answer in time"


@pytest.mark.parametrize("text", ["<html>Bad gateway</html>", "", "{", "[1, 2", "17", "[" * 5_000])
async def test_what_is_not_json_rpc_passes(node: Node, rpc: EvmRpc, text: str) -> None:
    """A proxy's page, half an answer, or one nested too deep is a typed error, in single calls and in batches."""
    node.raw = lambda: web.Response(text=text, content_type="application/json")
    with pytest.raises((NodeUnavailable, BadAnswer)):
        await rpc.chain_id()
    with pytest.raises((NodeUnavailable, BadAnswer)):
        await rpc.block("latest")


@pytest.mark.parametrize(
    ("status", "expected"), [(401, AccessDenied), (403, AccessDenied), (429, NodeUnavailable), (502, NodeUnavailable)]
)
async def test_http_statuses_are_typed(node: Node, rpc: EvmRpc, status: int, expected: type[Exception]) -> None:
    """Refused credentials stop us; an overloaded or broken gateway passes."""
    node.raw = lambda: web.Response(status=status)
    with pytest.raises(expected):
        await rpc.chain_id()


async def test_a_closed_connection_is_opened_again(node: Node, rpc: EvmRpc) -> None:
    """A kept connection that the node closed costs no call; a node that goes on closing them is unavailable."""
    node.result("eth_chainId", "0x1")
    assert await rpc.chain_id() == 1
    node.hang_ups = 1
    assert await rpc.chain_id() == 1
    node.hang_ups = 10
    with pytest.raises(NodeUnavailable):
        await rpc.chain_id()
    node.hang_ups = 0
    assert await rpc.chain_id() == 1


async def test_a_cancelled_call_holds_up_no_other(node: Node, rpc: EvmRpc) -> None:
    """Calls that are given up at any moment leave nothing behind that others would wait for."""
    node.result("eth_chainId", "0x1")
    for turns in range(30):
        calls = [asyncio.create_task(rpc.chain_id()) for _ in range(3)]
        for _ in range(turns):
            await asyncio.sleep(0)
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
    async with asyncio.timeout(PATIENCE_S):
        assert await rpc.chain_id() == 1


async def test_the_right_chain_is_checked(node: Node, rpc: EvmRpc) -> None:
    """Another chain id, and another genesis under the same id, are refused with both values."""
    node.result("eth_chainId", "0x7a69")
    node.result("eth_getBlockByNumber", BLOCK)
    await rpc.check_chain(31_337, b"\xab" * 32)
    with pytest.raises(WrongChain) as refusal:
        await rpc.check_chain(1)
    assert (refusal.value.expected, refusal.value.found) == ("1", "31337")
    with pytest.raises(WrongChain) as other:
        await rpc.check_chain(31_337, b"\xac" * 32)
    assert other.value.field == "genesis block"
    assert isinstance(other.value, Fatal)
    node.result("eth_getBlockByNumber", None)
    with pytest.raises(WrongChain):
        await rpc.check_chain(31_337, b"\xab" * 32)


async def test_a_block_is_read(node: Node, rpc: EvmRpc) -> None:
    """A header's fields are typed, and a block that is not there is None."""
    node.result("eth_getBlockByNumber", BLOCK)
    header = await rpc.block(BlockHeight(16))
    assert header is not None
    assert header.ref == BlockRef(BlockHeight(16), b"\xab" * 32)
    assert (header.timestamp, header.base_fee, header.gas_limit) == (32, 7, 30_000_000)
    node.result("eth_getBlockByNumber", None)
    assert await rpc.block("latest") is None


@pytest.mark.parametrize(
    "change",
    [
        {"hash": "0xab"},
        {"number": 16},
        {"number": "0xzz"},
        {"timestamp": None},
        {"hash": None},
        {"parentHash": "ab" * 32},
    ],
)
async def test_a_malformed_block_is_refused_by_field(node: Node, rpc: EvmRpc, change: dict[str, Any]) -> None:
    """A header with a field of the wrong form is refused, and the field is named."""
    node.result("eth_getBlockByNumber", {**BLOCK, **change})
    with pytest.raises(BadAnswer) as refusal:
        await rpc.block("latest")
    assert refusal.value.field == next(iter(change))


async def test_answers_of_a_batch_are_put_in_order(node: Node, rpc: EvmRpc) -> None:
    """A node may answer a batch in any order: each request gets its own answer."""
    node.result("eth_estimateGas", "0x5208")
    node.result("eth_getBalance", "0x64")
    node.result("eth_getBlockByNumber", BLOCK)
    simulation = await rpc.simulate(CALL, b"\x02" * 20)
    assert (simulation.gas, simulation.balance, simulation.block.number) == (21_000, 100, 16)


async def test_a_batch_that_is_refused_whole_is_typed(node: Node, rpc: EvmRpc) -> None:
    """One error for a whole batch, and too few answers, are typed."""
    node.raw = lambda: web.json_response(
        {"jsonrpc": "2.0", "id": None, "error": {"code": -32000, "message": "no batches"}}
    )
    with pytest.raises(RpcRefused) as refusal:
        await rpc.block("latest")
    assert refusal.value.message == "no batches"
    node.raw = lambda: web.json_response([])
    with pytest.raises((NodeUnavailable, BadAnswer)):
        await rpc.block("latest")


async def test_long_batches_are_sent_in_parts(node: Node, rpc: EvmRpc) -> None:
    """More requests than providers take at once go in several exchanges."""
    node.result("eth_getTransactionByHash", None)
    assert await rpc.known([bytes([i]) * 32 for i in range(250)]) == [False] * 250
    assert [len(body) for body in node.requests] == [100, 100, 50]


REASON = "0x08c379a0" + encode(["string"], ["Hub: asset paused"]).hex()


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        ({"code": 3, "message": "execution reverted: Hub: asset paused", "data": REASON}, "Hub: asset paused"),
        ({"code": -32015, "message": "VM execution reverted", "data": "Reverted " + REASON}, "Hub: asset paused"),
        ({"code": -32603, "message": "Error: reverted", "data": {"data": REASON}}, "Hub: asset paused"),
        ({"code": 3, "message": "execution reverted"}, ""),
        ({"code": 3, "message": "execution reverted", "data": "0x"}, ""),
        ({"code": 3, "message": "x", "data": "0x4e487b71" + f"{0x11:064x}"}, "panic 0x11"),
        ({"code": 3, "message": "x", "data": "0x12345678"}, "0x12345678"),
        ({"code": 3, "message": "x", "data": "0x08c379a0ffff"}, "0x08c379a0ffff"),
        ({"code": 3, "message": "execution reverted: insufficient funds in pot"}, ""),
    ],
)
async def test_a_refusal_by_a_contract_is_typed(node: Node, rpc: EvmRpc, error: dict[str, Any], reason: str) -> None:
    """Whatever form a node gives it, a contract's refusal is `Reverted` with the contract's words."""
    node.result("eth_call", LookupError(error))
    with pytest.raises(Reverted) as refusal:
        await rpc.call(CALL)
    assert (refusal.value.label, refusal.value.reason) == ("Test.call", reason)


@pytest.mark.parametrize(
    "words", ["insufficient funds for gas * price + value", "Out of funds", "gas required exceeds allowance (0)"]
)
async def test_a_poor_account_is_typed(node: Node, rpc: EvmRpc, words: str) -> None:
    """A node that says that the account cannot pay is understood, and the account named."""
    for method in ("eth_estimateGas", "eth_getBalance"):
        node.result(method, LookupError({"code": -32000, "message": words}))
    node.result("eth_getBlockByNumber", BLOCK)
    with pytest.raises(InsufficientBalance) as refusal:
        await rpc.simulate(CALL, b"\x02" * 20)
    assert refusal.value.account == b"\x02" * 20


@pytest.mark.parametrize(
    ("code", "words", "expected"),
    [
        (-32005, "daily request limit: too many requests", NodeUnavailable),
        (-32603, "request timed out", NodeUnavailable),
        (-32001, "header not found", NodeUnavailable),
        (-32601, "the method does not exist", RpcRefused),
        (-32000, "strange", RpcRefused),
    ],
)
async def test_errors_that_pass_are_told_apart(
    node: Node, rpc: EvmRpc, code: int, words: str, expected: type[Exception]
) -> None:
    """A busy node is an error that passes; what it will never do is one that does not."""
    node.result("eth_chainId", LookupError({"code": code, "message": words}))
    with pytest.raises(expected):
        await rpc.chain_id()


LOG = {
    "address": "0x" + "11" * 20,
    "topics": [HASH],
    "data": "0x0102",
    "blockNumber": "0x2",
    "blockHash": HASH,
    "transactionHash": HASH,
    "logIndex": "0x1",
}


async def test_logs_are_read_in_the_chains_order(node: Node, rpc: EvmRpc) -> None:
    """Logs come typed and in order, and the request names addresses, range and topics."""
    node.result("eth_getLogs", [LOG, {**LOG, "logIndex": "0x0"}, {**LOG, "blockNumber": "0x1"}])
    logs = await rpc.logs([b"\x11" * 20], BlockHeight(1), BlockHeight(2), [[], [b"\xab" * 32]])
    assert [(log.block.number, log.index) for log in logs] == [(1, 1), (2, 0), (2, 1)]
    assert logs[0].data == b"\x01\x02"
    assert node.requests[-1]["params"] == [
        {"address": ["0x" + "11" * 20], "fromBlock": "0x1", "toBlock": "0x2", "topics": [None, [HASH]]}
    ]


@pytest.mark.parametrize("answer", [None, {}, [{**LOG, "topics": "0x"}], [{**LOG, "address": "0x11"}], ["log"]])
async def test_malformed_logs_are_refused(node: Node, rpc: EvmRpc, answer: Any) -> None:
    """Logs that have not the form of logs are refused."""
    node.result("eth_getLogs", answer)
    with pytest.raises(BadAnswer):
        await rpc.logs([], BlockHeight(1), BlockHeight(2))


RECEIPT = {
    "transactionHash": HASH,
    "blockNumber": "0x2",
    "blockHash": HASH,
    "status": "0x1",
    "gasUsed": "0x5208",
    "effectiveGasPrice": "0x9",
    "contractAddress": None,
    "logs": [LOG],
}


async def test_receipts_are_read(node: Node, rpc: EvmRpc) -> None:
    """A receipt is typed; one without a block, and none at all, are None."""
    node.result("eth_getTransactionReceipt", RECEIPT)
    (receipt,) = await rpc.receipts([b"\xab" * 32])
    assert receipt is not None
    assert (receipt.succeeded, receipt.gas_used, receipt.gas_price, receipt.contract) == (True, 21_000, Wei(9), None)
    assert len(receipt.logs) == 1
    node.result("eth_getTransactionReceipt", {**RECEIPT, "blockNumber": None})
    assert await rpc.receipts([b"\xab" * 32]) == [None]
    node.result("eth_getTransactionReceipt", None)
    assert await rpc.receipts([b"\xab" * 32]) == [None]
    assert await rpc.receipts([]) == []


async def test_a_receipt_without_a_list_of_logs_is_refused(node: Node, rpc: EvmRpc) -> None:
    """A receipt whose logs are no list is refused, and the field is named."""
    node.result("eth_getTransactionReceipt", {**RECEIPT, "logs": 7})
    with pytest.raises(BadAnswer) as refusal:
        await rpc.receipts([b"\xab" * 32])
    assert refusal.value.field == "logs"


async def test_a_malformed_error_is_refused(node: Node, rpc: EvmRpc) -> None:
    """An error member that is no object is refused as what it is."""
    node.raw = lambda: web.json_response(json.loads('{"jsonrpc": "2.0", "id": 0, "error": "no"}'))
    with pytest.raises(BadAnswer):
        await rpc.chain_id()
