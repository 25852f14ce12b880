"""What a sender is told through several endpoints, one of which lies; and the end of a transaction, proved."""

from __future__ import annotations

from typing import Any

import pytest

from adapters.evm.agreed_node import AgreedNode
from adapters.evm.ends import GONE, FinalEnds
from adapters.evm.errors import (
    EndpointLied,
    EndpointsDisagree,
    FalseReceipts,
    NodeUnavailable,
    Reverted,
    RpcRefused,
    TooFewEndpoints,
)
from adapters.evm.proved import Mined
from adapters.evm.transport import Json, NodeError
from adapters.evm.types import Call
from tests.support.evm_endpoint import LOCKBOX, FakeChain, FakeTransport, Log, hexed, quantity, together

ACCOUNT = b"\x77" * 20
CALL = Call(LOCKBOX, b"\x01", "Test.call")
LOG: Log = (LOCKBOX, (b"\x05" * 32,), b"six")


class Node(FakeTransport):
    """An endpoint that knows what senders ask. Fields: counts (nonces, by block or tag); sent; refusal; gas."""

    def __init__(self, chain: FakeChain, name: str, used: int = 0) -> None:
        super().__init__(chain, name)
        self.used = used
        self.sent: list[str] = []
        self.refusal = ""
        self.gas = 50_000

    def _eth_getTransactionReceipt(self, tx: str) -> Json:
        for number, block in enumerate(self.chain.receipts):
            for one in block:
                if one["transactionHash"] == tx and number <= self._top:
                    held = self.chain.blocks[number]
                    place = {"blockNumber": held["number"], "blockHash": held["hash"], "gasUsed": "0x5208"}
                    return one | place | {"effectiveGasPrice": "0x7"}
        return None

    def _eth_getTransactionCount(self, account: str, block: str) -> Json:
        return quantity(self.used)

    def _eth_getTransactionByHash(self, tx: str) -> Json:
        return {"hash": tx} if tx in self.sent else None

    def _eth_sendRawTransaction(self, raw: str) -> Json:
        if self.refusal:
            raise NodeError("eth_sendRawTransaction", -32000, self.refusal)
        self.sent.append(raw)
        return raw

    def _eth_estimateGas(self, *_: Any) -> Json:
        if self.refusal:
            raise NodeError("eth_estimateGas", 3, self.refusal, "0x")
        return quantity(self.gas)

    def _eth_getBlockByNumber(self, number: str, full: bool) -> Json:
        return super()._eth_getBlockByNumber(quantity(self._top) if number == "latest" else number, full)


@pytest.fixture
def chain() -> FakeChain:
    """Six blocks; the fourth holds two transactions, the second of which emits a log. The last two are not final."""
    made = FakeChain(final_behind=2)
    made.mine()
    made.mine()
    made.mine([], [LOG])
    made.mine()
    made.mine()
    return made


def hash_in(chain: FakeChain, number: int, index: int) -> bytes:
    """A transaction's hash."""
    return bytes.fromhex(chain.receipts[number][index]["transactionHash"][2:])


async def test_a_mined_transaction_is_proved_with_its_logs(chain: FakeChain) -> None:
    """The end of a nonce is the version that a final block holds: its outcome and its own logs, in their places."""
    version = hash_in(chain, 3, 1)
    end = await FinalEnds(together(Node(chain, "a"), Node(chain, "b"))).of(ACCOUNT, 0, [b"\x01" * 32, version])
    assert isinstance(end, Mined)
    assert (end.transaction, end.succeeded, end.block.number) == (version, True, 3)
    assert [(log.address, log.topics, log.data, log.index) for log in end.logs] == [(*LOG, 0)]


async def test_what_is_not_final_has_no_end_yet(chain: FakeChain) -> None:
    """A transaction above the final block has come to no end."""
    chain.mine([LOG])
    node = Node(chain, "a")
    assert await FinalEnds(together(node)).of(ACCOUNT, 0, [hash_in(chain, 6, 0)]) is None


async def test_one_endpoint_that_makes_up_an_end_is_refused(chain: FakeChain) -> None:
    """An endpoint that hides a receipt, invents one, or counts nonces otherwise is outvoted by nobody, and named."""
    version = hash_in(chain, 3, 1)
    hiding = Node(chain, "liar")
    hiding.lies["eth_getTransactionReceipt"] = lambda params, truth: None
    with pytest.raises(EndpointsDisagree) as refusal:
        await FinalEnds(together(Node(chain, "honest"), hiding)).of(ACCOUNT, 0, [version])
    assert refusal.value.answers["liar"] == "nowhere"
    inventing = Node(chain, "liar")
    held = chain.receipts[3][1] | {"blockNumber": "0x3", "blockHash": chain.blocks[3]["hash"], "gasUsed": "0x1"}
    told = held | {"effectiveGasPrice": "0x7", "transactionHash": hexed(b"\x01" * 32)}
    inventing.lies["eth_getTransactionReceipt"] = lambda params, truth: told
    with pytest.raises(EndpointsDisagree):
        await FinalEnds(together(Node(chain, "honest"), inventing)).of(ACCOUNT, 0, [b"\x01" * 32])
    counting = Node(chain, "liar", used=1)
    with pytest.raises(EndpointsDisagree):
        await FinalEnds(together(Node(chain, "honest"), counting)).of(ACCOUNT, 0, [b"\x01" * 32])


async def test_an_end_that_all_invent_has_no_proof(chain: FakeChain) -> None:
    """Where every endpoint calls a success a failure, the block's receipts still say what it was."""
    version, node = hash_in(chain, 3, 1), Node(chain, "liar")
    node.lies["eth_getBlockReceipts"] = lambda params, truth: [one | {"status": "0x0"} for one in truth]
    with pytest.raises(EndpointLied) as refusal:
        await FinalEnds(together(node)).of(ACCOUNT, 0, [version])
    assert isinstance(refusal.value, FalseReceipts)


async def test_a_nonce_that_all_say_is_used_up_is_gone(chain: FakeChain) -> None:
    """None of our versions is in a block, and the account is past their nonce."""
    ends = FinalEnds(together(Node(chain, "a", used=8), Node(chain, "b", used=8)))
    assert await ends.of(ACCOUNT, 7, [b"\x01" * 32]) is GONE
    assert await ends.of(ACCOUNT, 8, [b"\x01" * 32]) is None


async def test_a_receipt_counts_once_all_endpoints_have_it(chain: FakeChain) -> None:
    """One endpoint alone cannot have a sender believe that a transaction is in a block, or in which."""
    version = hash_in(chain, 3, 1)
    honest, liar = Node(chain, "honest"), Node(chain, "liar")
    node = AgreedNode(together(honest, liar))
    (receipt,) = await node.receipts([version])
    assert receipt is not None
    assert receipt.block.number == 3
    liar.lies["eth_getTransactionReceipt"] = lambda params, truth: truth and truth | {"status": "0x0"}
    assert await node.receipts([version]) == [None]


async def test_no_nonce_is_taken_for_used_up_on_one_endpoints_word(chain: FakeChain) -> None:
    """The lowest count is the newest state's, and the final one has to be the same for all."""
    honest, liar = Node(chain, "honest", used=3), Node(chain, "liar", used=9_000)
    node = AgreedNode(together(honest, liar))
    assert await node.transaction_counts(ACCOUNT, ["latest", "pending"]) == [3, 3]
    with pytest.raises(EndpointsDisagree):
        await node.transaction_counts(ACCOUNT, ["latest", "finalized"])
    liar.used = 3
    assert await node.transaction_counts(ACCOUNT, ["latest", "finalized"]) == [3, 3]


async def test_a_transaction_is_given_to_all_endpoints(chain: FakeChain) -> None:
    """One that keeps it to itself, refuses it or is down does not stop it; where none takes it, that is told."""
    one, other = Node(chain, "one"), Node(chain, "other")
    node = AgreedNode(together(one, other))
    one.refusal = "nonce too low"
    await node.send_raw(b"\x02raw")
    assert other.sent == [hexed(b"\x02raw")]
    other.is_down = True
    with pytest.raises(RpcRefused):
        await node.send_raw(b"\x02raw")
    one.is_down = True
    with pytest.raises(TooFewEndpoints):
        await node.send_raw(b"\x02raw")
    with pytest.raises(NodeUnavailable):
        await AgreedNode(together(one)).send_raw(b"\x02raw")
    one.is_down = other.is_down = False
    assert await node.known([b"\x02raw"]) == [False]


async def test_a_simulation_needs_what_the_most_careful_endpoint_says(chain: FakeChain) -> None:
    """The highest gas counts; a refusal that not all tell is a disagreement, and one that all tell stands."""
    one, other = Node(chain, "one"), Node(chain, "other")
    node = AgreedNode(together(one, other))
    one.gas = 21_000
    assert (await node.simulate(CALL, ACCOUNT)).gas == 50_000
    one.refusal = "execution reverted: no"
    with pytest.raises(EndpointsDisagree):
        await node.simulate(CALL, ACCOUNT)
    other.refusal = one.refusal
    with pytest.raises(Reverted):
        await node.simulate(CALL, ACCOUNT)


async def test_final_and_newest_blocks_are_those_of_all(chain: FakeChain) -> None:
    """The final block is the one that all hold for final."""
    behind = Node(chain, "behind")
    behind.height = 4
    latest, final = await AgreedNode(together(Node(chain, "a"), behind)).blocks(["latest", "finalized"])
    assert latest is not None
    assert final is not None
    assert final.number == 2
    assert latest.base_fee == 7
