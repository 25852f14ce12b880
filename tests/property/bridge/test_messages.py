"""Whatever bytes a peer sends, parsing them gives a message or `BadInput`, and never anything else."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bridge.codec import decode, encode
from bridge.deposits import Deposit
from bridge.messages import (
    Attestations,
    ConfirmKey,
    Cosign,
    Cosignature,
    SharedTransaction,
    Taken,
    TransactionProposal,
)
from bridge.payouts import Payout, Withdrawal
from foundation.errors import BadInput

KINDS = (Attestations, Taken, Cosign, Cosignature, ConfirmKey, TransactionProposal, SharedTransaction)
STORED = (Deposit, Withdrawal, Payout)

ids = st.binary(min_size=32, max_size=32)
index = st.integers(0, 2**32 - 1)
units = st.integers(0, 2**63 - 1)
outpoints = st.lists(st.tuples(ids, index), min_size=1, max_size=3)
outputs = st.lists(st.tuples(units, st.binary(min_size=1, max_size=40)), min_size=1, max_size=3)
plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.text(max_size=8)
    | st.binary(max_size=40),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
transactions = st.fixed_dictionaries({"subject": ids, "inputs": outpoints, "outputs": outputs})
claims = st.one_of(
    st.fixed_dictionaries(
        {
            "type": st.just("deposit"),
            "asset": ids,
            "txid": ids,
            "vout": index,
            "amount": units,
            "recipient": st.binary(min_size=20, max_size=20),
            "group": ids,
        }
    ),
    st.fixed_dictionaries({"type": st.just("payout"), "payout": ids, "txid": ids, "fee": units}),
    st.fixed_dictionaries({"type": st.just("anchor"), "payout": ids, "spender": ids}),
)
signature = st.binary(min_size=65, max_size=65)
proposals = st.one_of(
    st.fixed_dictionaries(
        {
            "type": st.just("reserve"),
            "group": ids,
            "withdrawals": st.lists(ids, min_size=1, max_size=3),
            "inputs": outpoints,
        }
    ),
    st.fixed_dictionaries({"type": st.just("bar"), "deposit": ids, "amount": units, "reason": st.integers(1, 255)}),
)
VALID: dict[type[Any], st.SearchStrategy[dict[str, Any]]] = {
    Attestations: st.fixed_dictionaries(
        {"items": st.lists(st.fixed_dictionaries({"claim": claims, "signature": signature}), max_size=3)}
    ),
    Taken: st.fixed_dictionaries({"kept": st.lists(st.booleans(), max_size=5)}),
    Cosign: st.fixed_dictionaries({"proposal": proposals}),
    Cosignature: st.fixed_dictionaries({"signature": signature}),
    ConfirmKey: st.fixed_dictionaries({"group": ids, "epoch": index, "key": ids}),
    TransactionProposal: transactions,
    SharedTransaction: st.fixed_dictionaries(
        {
            "group": ids,
            "purpose": st.text(max_size=16),
            "proposal": transactions,
            "raw": st.binary(max_size=50),
            "signers": st.lists(index, max_size=3),
        }
    ),
}


def parse(body: bytes, kind: type[Any]) -> Any:
    """The message, or None where it is refused as bad input. Anything else that is raised fails the test."""
    try:
        return decode(body, kind)
    except BadInput:
        return None


@settings(max_examples=60)
@given(body=st.binary(max_size=200))
@example(b"")
@example(b"\xc1")
@example(b"\x91" * 3000)
@example(b"\xdd\xff\xff\xff\xff")
@example(b"\xa1\xff")
def test_random_bytes_are_parsed_or_refused(body: bytes) -> None:
    """No bytes make a parser raise anything but `BadInput`."""
    for kind in (*KINDS, *STORED):
        parse(body, kind)


@settings(max_examples=60)
@given(value=plain)
def test_any_msgpack_is_parsed_or_refused(value: Any) -> None:
    """Nor does well-formed msgpack of any other shape."""
    body = msgspec.msgpack.encode(value)
    for kind in (*KINDS, *STORED):
        parse(body, kind)


@settings(max_examples=60)
@given(data=st.data())
def test_valid_messages_come_back_as_they_were_and_mutated_ones_are_parsed_or_refused(data: st.DataObject) -> None:
    """A valid message survives; one with a changed, cut or added byte is refused, or is another valid message."""
    kind = data.draw(st.sampled_from(KINDS))
    body = msgspec.msgpack.encode(data.draw(VALID[kind]))
    message = parse(body, kind)
    assert message is not None
    assert parse(encode(message), kind) == message
    place = data.draw(st.integers(0, len(body) - 1))
    changed = body[:place] + bytes([body[place] ^ data.draw(st.integers(1, 255))]) + body[place + 1 :]
    for mutated in (changed, body[:place], body + b"\x00"):
        found = parse(mutated, kind)
        assert found is None or mutated == changed, "a cut or lengthened message is refused"


@settings(max_examples=40)
@given(data=st.data())
def test_a_field_too_many_or_too_few_is_refused(data: st.DataObject) -> None:
    """Messages are understood whole or not at all."""
    kind = data.draw(st.sampled_from(KINDS))
    content = data.draw(VALID[kind])
    assert parse(msgspec.msgpack.encode({**content, "more": 1}), kind) is None
    name = data.draw(st.sampled_from(sorted(set(content) - {"signers"})))
    assert parse(msgspec.msgpack.encode({key: v for key, v in content.items() if key != name}), kind) is None


def test_lengths_and_ranges_are_those_of_the_contracts() -> None:
    """An id of 31 bytes, a negative amount, a reservation of nothing or of too much are refused."""
    id_, spent = bytes(32), [bytes(32), 0]
    wrong = [
        (Cosign, {"proposal": {"type": "bar", "deposit": bytes(31), "amount": 1, "reason": 1}}),
        (Cosign, {"proposal": {"type": "bar", "deposit": id_, "amount": -1, "reason": 1}}),
        (Cosign, {"proposal": {"type": "bar", "deposit": id_, "amount": 1, "reason": 0}}),
        (Cosign, {"proposal": {"type": "theft", "deposit": id_, "amount": 1, "reason": 1}}),
        (Cosign, {"proposal": {"type": "reserve", "group": id_, "withdrawals": [], "inputs": [spent]}}),
        (Cosign, {"proposal": {"type": "reserve", "group": id_, "withdrawals": [id_] * 33, "inputs": [spent]}}),
        (Cosign, {"proposal": {"type": "reserve", "group": id_, "withdrawals": [id_], "inputs": [spent] * 65}}),
        (Taken, {"kept": [True] * 257}),
        (Cosignature, {"signature": bytes(64)}),
        (TransactionProposal, {"subject": id_, "inputs": [], "outputs": [[1, b"s"]]}),
        (TransactionProposal, {"subject": id_, "inputs": [spent], "outputs": [[1, b""]]}),
        (TransactionProposal, {"subject": id_, "inputs": [[id_, 2**32]], "outputs": [[1, b"s"]]}),
    ]
    for kind, content in wrong:
        assert parse(msgspec.msgpack.encode(content), kind) is None, content
