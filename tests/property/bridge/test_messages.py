"""Whatever bytes a peer sends, parsing them gives a message or `BadInput`, and never anything else."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from adapters.native.eip712 import HubDigests
from bridge.codec import decode, decode_deposit, decode_payout, decode_withdrawal, encode, encode_state
from bridge.deposits import Deposit, Lock, Stage
from bridge.messages import (
    Attestations,
    CancelProposal,
    ConfigureProposal,
    ConfirmKey,
    Cosign,
    Cosignature,
    DepositSeen,
    PayoutSeen,
    ReleaseProposal,
    SharedSignature,
    SharedTransaction,
    Taken,
    TransactionProposal,
    amount_bytes,
    amount_of,
    claim_digest,
)
from bridge.payouts import Confirmed, Payout, PayoutStage, Withdrawal
from bridge.storage import PayoutRow, TransferKind, TransferRow
from foundation.errors import BadInput
from foundation.quantities import BlockHeight, TokenUnits, UnixMs

KINDS = (
    Attestations,
    Taken,
    Cosign,
    Cosignature,
    ConfirmKey,
    TransactionProposal,
    SharedTransaction,
    ReleaseProposal,
    CancelProposal,
    ConfigureProposal,
    SharedSignature,
)
STORED = (Deposit, Withdrawal, Payout)
HUGE = st.integers(0, 2**256 - 1) | st.sampled_from([2**63, 2**64 - 1, 2**64, 2**255, 2**256 - 1])

ids = st.binary(min_size=32, max_size=32)
index = st.integers(0, 2**32 - 1)
addresses = st.binary(min_size=20, max_size=20)
units = st.integers(0, 2**63 - 1)
amounts = HUGE.map(amount_bytes)
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
            "amount": amounts,
            "recipient": addresses,
            "group": ids,
        }
    ),
    st.fixed_dictionaries({"type": st.just("payout"), "payout": ids, "txid": ids, "fee": amounts}),
    st.fixed_dictionaries({"type": st.just("anchor"), "payout": ids, "spender": ids}),
    st.fixed_dictionaries(
        {
            "type": st.just("asset"),
            "chain": ids,
            "caip19": st.text(max_size=160),
            "name": st.text(max_size=30),
            "symbol": st.text(max_size=12),
            "decimals": st.integers(0, 255),
        }
    ),
    st.fixed_dictionaries({"type": st.just("cancellation"), "withdrawal": ids, "amount": amounts}),
    st.fixed_dictionaries({"type": st.sampled_from(["halt", "resume"]), "asset": ids, "until": st.integers(0, 2**40)}),
)
signature = st.binary(min_size=65, max_size=65)
proposals = st.one_of(
    st.fixed_dictionaries(
        {
            "type": st.just("reserve"),
            "group": ids,
            "withdrawals": st.lists(ids, min_size=1, max_size=3),
            "inputs": st.just([]) | outpoints,
        }
    ),
    st.fixed_dictionaries({"type": st.just("bar"), "deposit": ids, "amount": amounts, "reason": st.integers(1, 255)}),
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
    ReleaseProposal: st.fixed_dictionaries(
        {
            "chain": ids,
            "epoch": index,
            "payments": st.lists(st.tuples(ids, addresses, addresses, amounts, amounts), min_size=1, max_size=3),
        }
    ),
    CancelProposal: st.fixed_dictionaries(
        {"chain": ids, "epoch": index, "numbers": st.lists(ids, min_size=1, max_size=3)}
    ),
    ConfigureProposal: st.fixed_dictionaries(
        {
            "chain": ids,
            "epoch": index,
            "token": addresses,
            "deposit_limit": amounts,
            "withdrawal_limit": amounts,
            "denied": st.booleans(),
            "nonce": index,
        }
    ),
    SharedSignature: st.fixed_dictionaries(
        {
            "group": ids,
            "kind": st.text(max_size=16),
            "body": st.binary(max_size=50),
            "signature": st.binary(min_size=64, max_size=64),
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
    """An id of 31 bytes, an amount of 33 bytes or as a number, a reservation of nothing or of too much are refused."""
    id_, spent = bytes(32), [bytes(32), 0]
    payment = [id_, bytes(20), bytes(20), b"\x01", b""]
    wrong = [
        (Cosign, {"proposal": {"type": "bar", "deposit": bytes(31), "amount": b"\x01", "reason": 1}}),
        (Cosign, {"proposal": {"type": "bar", "deposit": id_, "amount": 1, "reason": 1}}),
        (Cosign, {"proposal": {"type": "bar", "deposit": id_, "amount": b"\x01", "reason": 0}}),
        (Cosign, {"proposal": {"type": "theft", "deposit": id_, "amount": b"\x01", "reason": 1}}),
        (Cosign, {"proposal": {"type": "reserve", "group": id_, "withdrawals": [], "inputs": [spent]}}),
        (Cosign, {"proposal": {"type": "reserve", "group": id_, "withdrawals": [id_] * 33, "inputs": [spent]}}),
        (Cosign, {"proposal": {"type": "reserve", "group": id_, "withdrawals": [id_], "inputs": [spent] * 65}}),
        (Cosign, {"proposal": {"type": "bar", "deposit": id_, "amount": b"\x01" * 33, "reason": 1}}),
        (Taken, {"kept": [True] * 257}),
        (Cosignature, {"signature": bytes(64)}),
        (TransactionProposal, {"subject": id_, "inputs": [], "outputs": [[1, b"s"]]}),
        (TransactionProposal, {"subject": id_, "inputs": [spent], "outputs": [[1, b""]]}),
        (TransactionProposal, {"subject": id_, "inputs": [[id_, 2**32]], "outputs": [[1, b"s"]]}),
        (ReleaseProposal, {"chain": id_, "epoch": 0, "payments": []}),
        (ReleaseProposal, {"chain": id_, "epoch": 0, "payments": [payment] * 65}),
        (ReleaseProposal, {"chain": id_, "epoch": 0, "payments": [[bytes(31), *payment[1:]]]}),
        (ReleaseProposal, {"chain": id_, "epoch": 0, "payments": [[*payment[:4], b"\x01" * 33]]}),
        (CancelProposal, {"chain": id_, "epoch": 0, "numbers": []}),
        (CancelProposal, {"chain": id_, "epoch": 0, "numbers": [id_] * 65}),
        (SharedSignature, {"group": id_, "kind": "release", "body": b"", "signature": bytes(65)}),
    ]
    for kind, content in wrong:
        assert parse(msgspec.msgpack.encode(content), kind) is None, content


@settings(max_examples=60)
@given(units=HUGE)
def test_an_amount_has_one_form_in_a_message(units: int) -> None:
    """Any amount of 256 bits comes back; the same amount in more bytes is refused, and so is what does not fit."""
    carried = amount_bytes(units)
    assert len(carried) <= 32
    assert amount_of(carried) == units
    with pytest.raises(BadInput):
        amount_of(b"\0" + carried)
    for outside in (-1 - units, units + 2**256):
        with pytest.raises(OverflowError):
            amount_bytes(outside)


@settings(max_examples=40)
@given(amount=HUGE, other=HUGE)
def test_what_is_signed_tells_amounts_apart(amount: int, other: int) -> None:
    """A voucher's digest is of the whole amount, however large: no bits of it are lost on the way."""
    hub = HubDigests(31337, b"h" * 20)

    def digests(units: int) -> tuple[bytes, ...]:
        carried = amount_bytes(units)
        deposit = DepositSeen(b"a" * 32, b"t" * 32, 0, carried, b"r" * 20, b"g" * 32)
        return claim_digest(hub, deposit), claim_digest(hub, PayoutSeen(b"p" * 32, b"t" * 32, carried))

    for left, right in zip(digests(amount), digests(other), strict=True):
        assert (left == right) == (amount == other)


@settings(max_examples=40)
@given(amount=HUGE, fee=HUGE, number=HUGE, minted=st.none() | HUGE)
def test_states_hold_any_amount(amount: int, fee: int, number: int, minted: int | None) -> None:
    """Amounts and numbers of 256 bits come back from a row as they were."""
    lock = Lock(number, b"s" * 20, bytes(20), b"t" * 32, "eip155:1")
    units = TokenUnits(amount)
    deposit = Deposit(
        *(b"d" * 32, b"a" * 32, b"g" * 32, b"l" * 32, 0, units, b"r" * 20, b"v" * 20, 0),
        height=BlockHeight(7),
        minted=None if minted is None else TokenUnits(minted),
        mint_transaction=None if minted is None else b"m" * 32,
        stage=Stage.CONFIRMING if minted is None else Stage.HELD,
        lock=lock,
    )
    withdrawal = Withdrawal(
        *(b"w" * 32, b"a" * 32, b"o" * 20, units, TokenUnits(fee), b"p" * 20, b"q" * 32, BlockHeight(5)),
        number=number,
        service_fee=TokenUnits(fee),
    )
    confirmed = Confirmed(b"x" * 32, BlockHeight(9), TokenUnits(fee), "a fee", "eip155:1")
    payout = Payout(b"p" * 32, b"g" * 32, b"a" * 32, (b"w" * 32,), (), 1, PayoutStage.PAID, confirmed)

    def row(state: Deposit | Withdrawal) -> TransferRow:
        kind = TransferKind.DEPOSIT if isinstance(state, Deposit) else TransferKind.WITHDRAWAL
        return TransferRow(b"i" * 32, kind, state.stage, encode_state(state), UnixMs(1), UnixMs(1))

    assert decode_deposit(row(deposit)) == deposit
    assert decode_withdrawal(row(withdrawal)) == withdrawal
    stored = PayoutRow(payout.payout_id, payout.stage, encode_state(payout), UnixMs(1), UnixMs(1))
    assert decode_payout(stored) == payout
