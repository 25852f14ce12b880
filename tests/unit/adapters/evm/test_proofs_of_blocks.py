"""Headers, receipts and transactions prove themselves, or are refused by name."""

from __future__ import annotations

from typing import Any

import pytest
from eth_utils.crypto import keccak

from adapters.evm.errors import BadAnswer, FalseHeader, FalseReceipts, FalseTransactions
from adapters.evm.headers import Header, bloom_mask, check_link, read_header
from adapters.evm.receipts import proved_logs
from adapters.evm.transactions import proved_hashes
from foundation.quantities import BlockHeight
from tests.support.evm_endpoint import LOCKBOX, FakeChain

TOPIC = keccak(b"topic")
OTHER = b"\x22" * 20


@pytest.fixture
def chain() -> FakeChain:
    """A chain whose block 1 has a transaction of each type, three of them with logs."""
    made = FakeChain()
    made.mine([(LOCKBOX, (TOPIC,), b"\x01")], [], [(OTHER, (), b""), (LOCKBOX, (TOPIC, TOPIC), b"\x02" * 99)], [], [])
    return made


def header(chain: FakeChain, number: int = 1) -> Header:
    """A block's header, read."""
    found = read_header(chain.blocks[number], "node", BlockHeight(number))
    assert found is not None
    return found


def test_headers_are_read_and_linked(chain: FakeChain) -> None:
    """A header that hashes to its hash is read, and follows its parent alone."""
    first = header(chain, 0)
    check_link(first.ref, header(chain), "node")
    with pytest.raises(FalseHeader) as lie:
        check_link(first.ref, first, "node")
    assert (lie.value.endpoint, lie.value.number) == ("node", 0)


def test_a_missing_block_has_no_header() -> None:
    """No block, no header."""
    assert read_header(None, "node") is None


@pytest.mark.parametrize(
    "name", ["parentHash", "receiptsRoot", "stateRoot", "logsBloom", "number", "extraData", "hash"]
)
def test_a_changed_field_makes_a_false_header(chain: FakeChain, name: str) -> None:
    """Whatever an endpoint changes in a header, the hash tells."""
    block = dict(chain.blocks[1])
    value = block[name]
    block[name] = value[:-1] + ("0" if value[-1] != "0" else "1") if len(value) > 3 else value + "00"
    with pytest.raises(FalseHeader):
        read_header(block, "node")


def test_a_field_more_makes_a_false_header(chain: FakeChain) -> None:
    """A field of a later fork that the block has not is noticed."""
    with pytest.raises(FalseHeader):
        read_header(chain.blocks[1] | {"withdrawalsRoot": "0x" + "00" * 32}, "node")


def test_another_block_is_no_answer(chain: FakeChain) -> None:
    """A true header of another block than was asked for is refused."""
    with pytest.raises(FalseHeader) as lie:
        read_header(chain.blocks[1], "node", BlockHeight(7))
    assert lie.value.number == 7


@pytest.mark.parametrize("broken", [17, {}, {"parentHash": None}])
def test_a_malformed_header_is_named(chain: FakeChain, broken: Any) -> None:
    """What is no header at all is a bad answer."""
    block = chain.blocks[1] | broken if isinstance(broken, dict) and broken else broken
    with pytest.raises(BadAnswer):
        read_header(block, "node")


def test_the_bloom_filter_never_forgets(chain: FakeChain) -> None:
    """A block may hold what it holds; what it says it cannot hold it does not."""
    found = header(chain)
    assert found.may_hold(bloom_mask(LOCKBOX, TOPIC))
    assert found.may_hold(bloom_mask(OTHER))
    assert not found.may_hold(bloom_mask(b"\x55" * 20))
    assert not header(chain, 0).may_hold(bloom_mask(LOCKBOX))


def test_receipts_of_all_types_make_the_root(chain: FakeChain) -> None:
    """The logs of each transaction come out of receipts whose root is the header's."""
    logs = proved_logs(chain.receipts[1], header(chain), "node")
    assert [len(each) for each in logs] == [1, 0, 2, 0, 0]
    assert logs[2][1] == (LOCKBOX, (TOPIC, TOPIC), b"\x02" * 99)


@pytest.mark.parametrize("change", ["amount", "order", "one less", "status", "type", "gas"])
def test_false_receipts_are_refused(chain: FakeChain, change: str) -> None:
    """Receipts that differ in anything from the block's are refused, with block and endpoint."""
    receipts = [dict(receipt) for receipt in chain.receipts[1]]
    match change:
        case "amount":
            receipts[0]["logs"] = [receipts[0]["logs"][0] | {"data": "0x02"}]
        case "order":
            receipts = receipts[::-1]
        case "one less":
            receipts.pop()
        case "status":
            receipts[1]["status"] = "0x0"
        case "type":
            receipts[1]["type"] = "0x2"
        case _:
            receipts[4]["cumulativeGasUsed"] = "0x1"
    with pytest.raises(FalseReceipts) as lie:
        proved_logs(receipts, header(chain), "node")
    assert (lie.value.endpoint, lie.value.number) == ("node", 1)


def test_transactions_of_all_types_make_the_root(chain: FakeChain) -> None:
    """Hashes come out of transactions whose root is the header's, for every type up to Prague's."""
    told = chain.blocks[1]["transactions"]
    assert [bytes.fromhex(tx["hash"][2:]) for tx in told] == proved_hashes(chain.blocks[1], header(chain), "node")


def test_false_transactions_are_refused(chain: FakeChain) -> None:
    """A transaction that the block does not hold is noticed."""
    block = dict(chain.blocks[1])
    block["transactions"] = [block["transactions"][0] | {"value": "0x999"}, *block["transactions"][1:]]
    with pytest.raises(FalseTransactions):
        proved_hashes(block, header(chain), "node")


def test_a_type_that_nobody_knows_is_named(chain: FakeChain) -> None:
    """A transaction whose encoding we do not know is a bad answer, not a guess."""
    block = dict(chain.blocks[1])
    block["transactions"] = [block["transactions"][0] | {"type": "0x7e"}]
    with pytest.raises(BadAnswer):
        proved_hashes(block, header(chain), "node")
