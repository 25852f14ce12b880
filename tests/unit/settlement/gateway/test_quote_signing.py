"""One signature for many quotes, and what cannot be made of it."""

from __future__ import annotations

import msgspec
import pytest

from foundation.errors import Fatal
from foundation.quantities import UnixMs
from settlement.books.merkle import node_hash
from settlement.cosign.batches import verify_batch
from settlement.cosign.cosignatures import CoSignature, verify
from settlement.cosign.errors import BadBatch, BadSignature, MalformedSignature
from settlement.cosign.keys import LocalSigner
from settlement.custody.terms import Leg, Quote, quote_hash
from settlement.gateway.keys import Directory, Secrets
from settlement.gateway.quote_signing import TOGETHER_MAX, quote_signature, sign_quotes
from settlement.quantities import PartyId

A, B, C = PartyId("bank-a"), PartyId("bank-b"), PartyId("c" * 32)
NOW = UnixMs(1_790_000_000_000)
SECRETS = {party: Secrets.derive(party, party[-1].encode() * 32) for party in (A, B, C)}


def directory() -> Directory:
    return Directory({party: own.card(f"http://{party}", NOW) for party, own in SECRETS.items()}, NOW)


def quote(number: int, *, expires_at: int = NOW + 60_000) -> Quote:
    source = Leg("euro", "EUR", 2, "a", "c", 101 + number, expires_at + 90_000)
    target = Leg("yuan", "CNY", 2, "c", "b", 100 + number, expires_at + 30_000)
    return Quote(number.to_bytes(32, "big"), A, C, B, source, target, 1, 1, 1, expires_at)


def signed(count: int) -> tuple[Directory, list[Quote], list[bytes]]:
    known, quotes = directory(), [quote(number) for number in range(count)]
    return known, quotes, sign_quotes(SECRETS[C].signer, known, quotes)


@pytest.mark.parametrize("count", [1, 2, 3, 5, 8, 13])
def test_each_of_many_quotes_verifies_by_itself(count: int) -> None:
    """Whoever gets one quote verifies it by its own signature, without the others."""
    known, quotes, signatures = signed(count)
    for each, signature in zip(quotes, signatures, strict=True):
        verify(*quote_signature(known, each, signature))
    assert sign_quotes(SECRETS[C].signer, known, []) == []


def test_many_quotes_carry_one_signature() -> None:
    """All quotes of a letter are signed at once, and verified as one in a batch."""
    known, quotes, signatures = signed(9)
    whole = [quote_signature(known, each, signature) for each, signature in zip(quotes, signatures, strict=True)]
    assert len({signature.signature for _, signature in whole}) == 1
    verify_batch(whole)


def test_a_quote_alone_is_signed_as_ever() -> None:
    """What was signed before quotes were signed together is read still."""
    known, (alone,), (signature,) = signed(1)
    verify(known.quote_statement(alone), CoSignature.decode(signature))


def test_a_full_tree_fits_a_quotes_signature() -> None:
    """The most quotes under one signature, of a clearing bank with the longest name, keep within 512 bytes."""
    known, quotes, signatures = signed(TOGETHER_MAX + 1)
    assert max(map(len, signatures)) <= 512
    verify(*quote_signature(known, quotes[TOGETHER_MAX - 1], signatures[TOGETHER_MAX - 1]))
    verify(*quote_signature(known, quotes[TOGETHER_MAX], signatures[TOGETHER_MAX]))


def test_no_signature_serves_another_quote() -> None:
    """A quote that was not in the tree, a better one, or one in another's place, does not pass by its signature."""
    known, quotes, signatures = signed(5)
    better = msgspec.structs.replace(quotes[0], fee=0)
    for each, signature in ((better, signatures[0]), (quote(77), signatures[3]), (quotes[0], signatures[1])):
        with pytest.raises(BadSignature):
            verify(*quote_signature(known, each, signature))


def test_no_place_size_or_path_can_be_changed() -> None:
    """A quote has one place in one tree of one size."""
    known, quotes, signatures = signed(5)
    signature, place, size, path = msgspec.msgpack.decode(signatures[2])
    forged = [
        (signature, 3, size, path),
        (signature, place, 6, path),
        (signature, place, 8, path),
        (signature, place, size, path[:-1]),
        (signature, place, size, [*path, bytes(32)]),
        (signature, place, size, [path[1], path[0], *path[2:]]),
        (signature, size, size, path),
    ]
    for each in forged:
        with pytest.raises(Fatal) as refusal:
            verify(*quote_signature(known, quotes[2], msgspec.msgpack.encode(each)))
        assert isinstance(refusal.value, BadSignature | MalformedSignature)


def test_an_inner_node_is_no_quote_and_a_tree_is_no_quote_alone() -> None:
    """The hash of a subtree passes for no quote of a smaller tree, and the root's signature for none by itself."""
    known, quotes, signatures = signed(4)
    signature, _, _, path = msgspec.msgpack.decode(signatures[0])
    with pytest.raises(BadSignature):
        verify(known.quote_statement(quotes[0]), CoSignature.decode(msgspec.msgpack.encode(signature)))
    lifted = msgspec.msgpack.encode((signature, 0, 2, [path[1]]))
    statement, _ = quote_signature(known, quotes[0], lifted)
    root = node_hash(node_hash(quote_hash(quotes[0]), path[0]), path[1])
    assert statement.text != root
    with pytest.raises(BadSignature):
        verify(*quote_signature(known, quotes[0], lifted))


def test_what_is_no_signature_is_refused() -> None:
    """Bytes of another form, a size that no tree of quotes has, or too long a path, are named as malformed."""
    known, quotes, signatures = signed(2)
    signature, place, size, path = msgspec.msgpack.decode(signatures[0])
    for raw in (b"", b"\x93", msgspec.msgpack.encode([1, 2, 3, 4])):
        with pytest.raises(MalformedSignature):
            quote_signature(known, quotes[0], raw)
    for each in (
        (signature, place, 1, []),
        (signature, place, TOGETHER_MAX + 1, path),
        (signature, -1, size, path),
        (signature, place, size, [bytes(31)]),
        (signature, place, size, path * 9),
    ):
        with pytest.raises(MalformedSignature):
            quote_signature(known, quotes[0], msgspec.msgpack.encode(each))


def test_quotes_that_end_after_a_change_of_keys_are_signed_apart() -> None:
    """The keys that are valid at a quote's end count, so what one key signs holds no quote of another's time."""
    known, change = directory(), NOW + 100_000
    newer = LocalSigner(C, b"c" * 32, 1)
    known.registry.register(newer.possession(UnixMs(change)))
    early, late = quote(1), quote(2, expires_at=change + 1)
    (signature,) = sign_quotes(SECRETS[C].signer, known, [early])
    verify(*quote_signature(known, early, signature))
    with pytest.raises(Fatal):
        sign_quotes(SECRETS[C].signer, known, [early, late])
    (signature,) = sign_quotes(newer, known, [late])
    verify(*quote_signature(known, late, signature))


def test_all_places_of_one_bad_signature_are_named() -> None:
    """A batch that verifies a signature once says of each thing on which it stands that it is bad."""
    known, quotes, signatures = signed(4)
    whole = [quote_signature(known, each, signature) for each, signature in zip(quotes, signatures, strict=True)]
    other = SECRETS[C].signer.sign(known.quote_statement(quote(9))).signature
    bad = [(statement, CoSignature(signature.signers, other)) for statement, signature in whole]
    with pytest.raises(BadBatch) as refusal:
        verify_batch([bad[0], whole[0], bad[1], whole[1]])
    assert refusal.value.bad == (0, 2)
    with pytest.raises(BadBatch):  # that others were good is remembered for them alone
        verify_batch([bad[0]])
