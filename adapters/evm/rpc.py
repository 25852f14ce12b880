"""An EVM node's RPC, typed: blocks, calls, logs, receipts, transactions. Source: Ethereum's execution-apis."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Self

from adapters.evm.errors import BadAnswer, InsufficientBalance, Reverted, WrongChain
from adapters.evm.hexes import data, quantity, read_data, read_field, read_quantity
from adapters.evm.reverts import RevertMaker, revert_data, revert_reason
from adapters.evm.transport import Json, NodeError, Request, RpcTransport, Transport
from adapters.evm.types import BlockHeader, BlockRef, BlockTag, Call, Log, Receipt, Simulation
from foundation.quantities import BlockHeight, Wei

TOO_POOR: Final = ("insufficient funds", "out of funds", "gas required exceeds allowance", "insufficient balance")
"""What nodes say of an account that cannot pay."""


class EvmRpc:
    """One node. All methods raise `NodeUnavailable`, `AccessDenied`, `RpcRefused` and `BadAnswer`; others are named.

    `number` arguments are block numbers; a `BlockTag` may stand for one.
    """

    def __init__(
        self,
        url: str,
        *,
        timeout_seconds: float = 10,
        connections: int = 16,
        reverted: RevertMaker = Reverted,
        transport: RpcTransport | None = None,
    ) -> None:
        """Describe the node; nothing is opened yet.

        Args:
            url, timeout_seconds, connections: see `Transport`.
            reverted: makes the error for what a contract refuses.
            transport: what speaks to the node, where one is there already; the arguments before are not used then.
        """
        self._transport: RpcTransport = transport or Transport(
            url, timeout_seconds=timeout_seconds, connections=connections
        )
        self._reverted = reverted

    async def close(self) -> None:
        """Close the connections."""
        await self._transport.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_exception: object) -> None:
        await self.close()

    async def chain_id(self) -> int:
        """The chain's EIP-155 number."""
        return read_quantity(await self._transport.call("eth_chainId"), "eth_chainId", "result")

    async def check_chain(self, chain_id: int, genesis: bytes | None = None) -> None:
        """Make sure that the node serves the chain that we mean; two chains may share a number, none a genesis block.

        Raises:
            WrongChain: it does not.
        """
        found = await self.chain_id()
        if found != chain_id:
            raise WrongChain("chain id", str(chain_id), str(found))
        if genesis is not None:
            block = await self.block(BlockHeight(0))
            if block is None or block.hash != genesis:
                raise WrongChain("genesis block", genesis.hex(), block.hash.hex() if block else "missing")

    async def block(self, number: BlockHeight | BlockTag) -> BlockHeader | None:
        """A block's header, None where there is no such block."""
        return (await self.blocks([number]))[0]

    async def blocks(self, numbers: Sequence[BlockHeight | BlockTag]) -> list[BlockHeader | None]:
        """Several headers in one exchange."""
        return [_header(answer) for answer in await self._transport.batch([_block_request(n) for n in numbers])]

    async def call(self, call: Call, number: BlockHeight | BlockTag = "latest", sender: bytes | None = None) -> bytes:
        """What a call returns, without sending it. Raises also `Reverted`."""
        return (await self.calls([call], number, sender))[0]

    async def calls(
        self, calls: Sequence[Call], number: BlockHeight | BlockTag = "latest", sender: bytes | None = None
    ) -> list[bytes]:
        """What several calls return, in one exchange. Raises also `Reverted`, for the first that is refused."""
        requests: list[Request] = [("eth_call", [_message(call, sender), _position(number)]) for call in calls]
        try:
            answers = await self._transport.batch(requests)
        except NodeError as error:
            raise self._explained(error, ", ".join(dict.fromkeys(call.label for call in calls)), sender) from error
        return [read_data(answer, "eth_call", "result") for answer in answers]

    async def simulate(self, call: Call, sender: bytes) -> Simulation:
        """Try a call on the newest state: what it needs, what the account has, what a block asks.

        Raises:
            Reverted: the contract would refuse it.
            InsufficientBalance: the account cannot pay its value.
        """
        requests: list[Request] = [
            ("eth_estimateGas", [_message(call, sender)]),
            ("eth_getBalance", [data(sender), "latest"]),
            _block_request("latest"),
        ]
        try:
            gas, balance, block = await self._transport.batch(requests)
        except NodeError as error:
            raise self._explained(error, call.label, sender) from error
        header = _header(block)
        if header is None:
            raise BadAnswer("eth_getBlockByNumber", "result", "there is no latest block")
        return Simulation(
            read_quantity(gas, "eth_estimateGas", "result"),
            Wei(read_quantity(balance, "eth_getBalance", "result")),
            header,
        )

    async def balance(self, account: bytes, number: BlockHeight | BlockTag = "latest") -> Wei:
        """What an account (20 bytes) has."""
        answer = await self._transport.call("eth_getBalance", data(account), _position(number))
        return Wei(read_quantity(answer, "eth_getBalance", "result"))

    async def balances(self, account: bytes) -> tuple[Wei, ...]:
        """What an account has now, as `adapters.evm.flight.SenderNode` asks: one node tells one figure."""
        return (await self.balance(account),)

    async def code(self, address: bytes, number: BlockHeight | BlockTag = "latest") -> bytes:
        """The code at an address (20 bytes); empty where no contract is."""
        answer = await self._transport.call("eth_getCode", data(address), _position(number))
        return read_data(answer, "eth_getCode", "result")

    async def logs(
        self,
        addresses: Sequence[bytes],
        first: BlockHeight,
        last: BlockHeight,
        topics: Sequence[Sequence[bytes]] = (),
    ) -> list[Log]:
        """The logs of contracts in the blocks from `first` to `last`, both included, in the chain's order.

        `topics`: for each position the values that are wanted; an empty one takes all.
        """
        wanted = {
            "address": [data(address) for address in addresses],
            "fromBlock": quantity(first),
            "toBlock": quantity(last),
            "topics": [[data(topic) for topic in position] or None for position in topics],
        }
        answer = await self._transport.call("eth_getLogs", wanted)
        if not isinstance(answer, list):
            raise BadAnswer("eth_getLogs", "result", "is no list")
        logs = [_log(entry, "eth_getLogs") for entry in answer]
        return sorted(logs, key=lambda log: (log.block.number, log.index))

    async def transaction_counts(self, account: bytes, numbers: Sequence[BlockHeight | BlockTag]) -> list[int]:
        """How many transactions of `account` each state holds, which is the next nonce there."""
        requests: list[Request] = [("eth_getTransactionCount", [data(account), _position(one)]) for one in numbers]
        answers = await self._transport.batch(requests)
        return [read_quantity(answer, "eth_getTransactionCount", "result") for answer in answers]

    async def receipts(self, hashes: Sequence[bytes]) -> list[Receipt | None]:
        """The receipts of transactions, None for those that are in no block."""
        if not hashes:
            return []
        requests: list[Request] = [("eth_getTransactionReceipt", [data(tx)]) for tx in hashes]
        return [_receipt(answer) for answer in await self._transport.batch(requests)]

    async def known(self, hashes: Sequence[bytes]) -> list[bool]:
        """Whether the node has each transaction, in its mempool or in a block."""
        if not hashes:
            return []
        requests: list[Request] = [("eth_getTransactionByHash", [data(tx)]) for tx in hashes]
        return [answer is not None for answer in await self._transport.batch(requests)]

    async def send_raw(self, raw: bytes) -> None:
        """Hand a signed transaction to the node."""
        await self._transport.call("eth_sendRawTransaction", data(raw))

    def _explained(self, error: NodeError, label: str, sender: bytes | None) -> Exception:
        # Contracts first: their words may be the same as the node's.
        found = revert_data(error)
        if found is not None:
            return self._reverted(label, revert_reason(found), found)
        if any(words in error.message.lower() for words in TOO_POOR):
            return InsufficientBalance(sender or b"", error.message)
        return error


def _position(number: BlockHeight | BlockTag) -> str:
    return number if isinstance(number, str) else quantity(number)


def _block_request(number: BlockHeight | BlockTag) -> Request:
    return "eth_getBlockByNumber", [_position(number), False]


def _message(call: Call, sender: bytes | None) -> dict[str, Json]:
    message = {"data": data(call.data)}
    if call.to is not None:
        message["to"] = data(call.to)
    if sender is not None:
        message["from"] = data(sender)
    if call.value:
        message["value"] = quantity(call.value)
    return message


def _header(answer: Json) -> BlockHeader | None:
    if answer is None:
        return None
    method = "eth_getBlockByNumber"

    def number(field: str) -> int:
        return read_quantity(read_field(answer, method, field), method, field)

    return BlockHeader(
        BlockHeight(number("number")),
        read_data(read_field(answer, method, "hash"), method, "hash", 32),
        read_data(read_field(answer, method, "parentHash"), method, "parentHash", 32),
        number("timestamp"),
        Wei(number("baseFeePerGas")) if isinstance(answer, dict) and "baseFeePerGas" in answer else Wei(0),
        number("gasLimit"),
    )


def _place(answer: Json, method: str) -> BlockRef:
    number = read_quantity(read_field(answer, method, "blockNumber"), method, "blockNumber")
    return BlockRef(BlockHeight(number), read_data(read_field(answer, method, "blockHash"), method, "blockHash", 32))


def _log(entry: Json, method: str) -> Log:
    topics = read_field(entry, method, "topics")
    if not isinstance(topics, list):
        raise BadAnswer(method, "topics", "is no list")
    return Log(
        read_data(read_field(entry, method, "address"), method, "address", 20),
        tuple(read_data(topic, method, "topics", 32) for topic in topics),
        read_data(read_field(entry, method, "data"), method, "data"),
        _place(entry, method),
        read_data(read_field(entry, method, "transactionHash"), method, "transactionHash", 32),
        read_quantity(read_field(entry, method, "logIndex"), method, "logIndex"),
    )


def _receipt(answer: Json) -> Receipt | None:
    method = "eth_getTransactionReceipt"
    # Some nodes answer with a receipt that has no block yet.
    if answer is None or read_field(answer, method, "blockNumber") is None:
        return None
    contract, logs = answer.get("contractAddress"), read_field(answer, method, "logs")
    if not isinstance(logs, list):
        raise BadAnswer(method, "logs", "is no list")
    return Receipt(
        read_data(read_field(answer, method, "transactionHash"), method, "transactionHash", 32),
        _place(answer, method),
        read_quantity(read_field(answer, method, "status"), method, "status") == 1,
        read_quantity(read_field(answer, method, "gasUsed"), method, "gasUsed"),
        Wei(read_quantity(read_field(answer, method, "effectiveGasPrice"), method, "effectiveGasPrice")),
        None if contract is None else read_data(contract, method, "contractAddress", 20),
        tuple(_log(entry, method) for entry in logs),
    )
