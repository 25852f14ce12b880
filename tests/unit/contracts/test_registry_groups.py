"""Registry: proposing groups, confirming their keys, and activating them."""

from __future__ import annotations

import hashlib

import boa
import pytest
from eth_abi.abi import encode
from eth_utils.crypto import keccak

from tests.support.native_contracts import (
    GENESIS,
    NOBODY,
    ZERO,
    World,
    account,
    accounts,
    digest_of,
    events,
    malleated,
    member,
    refused,
    refused_silently,
    sign,
    typed,
)

NEW = accounts("new-storeman", 3)
SECRET = hashlib.sha256(b"new group").digest()


def test_group_is_proposed_with_its_members(world: World) -> None:
    """A proposal gets an id from chain, Registry and count; members and threshold are as given, and it has no key."""
    made = world.propose(NEW, 2)
    count = world.registry.group_count()
    assert made == keccak(encode(["uint256", "address", "uint256"], (1, str(world.registry.address), count)))
    assert tuple(world.registry.group(made)) == (world.chain, 2, 3, 0, NOBODY, 1)
    assert world.registry.latest_proposal(world.chain) == made
    assert world.registry.active_group(world.chain) == world.group
    assert [tuple(one) for one in world.registry.members(made)] == [member(one, n) for n, one in enumerate(NEW)]
    assert tuple(world.registry.member(made, 2)) == member(NEW[2], 2)
    assert world.registry.is_storeman(made, NEW[0].address)
    assert not world.registry.is_storeman(made, world.storemen[0].address)


def test_proposal_is_told(world: World) -> None:
    """The event says chain, threshold and size."""
    made = world.propose(NEW, 2)
    told = {"id": made, "chain": world.chain, "threshold": 2, "size": 3}
    assert events(world.registry) == [("GroupProposed", told)]


@pytest.mark.parametrize(("threshold", "size"), [(1, 1), (2, 2), (2, 3), (3, 3), (3, 4), (3, 5)])
def test_threshold_above_half_is_accepted(world: World, threshold: int, size: int) -> None:
    """Every t with t ≤ n < 2t can be proposed."""
    world.propose(accounts("some", size), threshold)


@pytest.mark.parametrize(("threshold", "size"), [(0, 0), (0, 1), (1, 0), (1, 2), (2, 4), (2, 1), (4, 3), (2**255, 3)])
def test_threshold_out_of_bounds_is_refused(world: World, threshold: int, size: int) -> None:
    """t of n needs 1 ≤ t ≤ n < 2t, so that two quorums always share a member; doubling 2^255 does not wrap."""
    with refused("Registry: bad threshold"):
        world.propose(accounts("some", size), threshold)


def test_group_of_an_unknown_chain_is_refused(world: World) -> None:
    """A group belongs to a registered chain."""
    with refused("Registry: unknown chain"):
        world.registry.propose_group(b"\x01" * 32, 1, [member(NEW[0], 0)], sender=world.owner)


@pytest.mark.parametrize(
    ("place", "value", "reason"),
    [
        (0, ZERO, "Registry: zero account"),
        (0, NEW[0].address, "Registry: member twice"),
        (1, member(NEW[0], 0)[1], "Registry: host key twice"),
        (1, b"", "Registry: host key length"),
        (1, b"\x02" * 32, "Registry: host key length"),
        (1, b"\x04" + b"\x01" * 32, "Registry: host key form"),
        (1, bytes(33), "Registry: host key form"),
        (2, NOBODY, "Registry: no transport key"),
        (3, "", "Registry: no endpoint"),
    ],
)
def test_malformed_member_is_refused(world: World, place: int, value: object, reason: str) -> None:
    """A member has an account, a compressed host key, a transport key and an endpoint, and appears once."""
    second = list(member(NEW[1], 1))
    second[place] = value
    with refused(reason):
        world.registry.propose_group(world.chain, 2, [member(NEW[0], 0), tuple(second)], sender=world.owner)


def test_more_than_a_hundred_members_are_refused(world: World) -> None:
    """The decoder takes at most 100 members."""
    with refused_silently():
        world.registry.propose_group(world.chain, 51, [member(NEW[0], 0)] * 101, sender=world.owner)


def test_group_message_is_the_documented_tagged_hash(world: World) -> None:
    """What a new key signs is BIP-340's tagged hash of chain, Registry, group, epoch and key."""
    key = b"\x55" * 32
    tag = hashlib.sha256(b"Causeway/group-proof").digest()
    types = ["uint256", "address", "bytes32", "uint256", "bytes32"]
    body = encode(types, (1, str(world.registry.address), world.group, 0, key))
    assert world.registry.group_proof_message(world.group, key) == hashlib.sha256(tag + tag + body).digest()


def test_group_is_activated_by_anybody_who_brings_all_confirmations(world: World) -> None:
    """With every member's confirmation and the key's own proof, the group becomes the chain's active one."""
    group = world.propose(NEW, 2)
    key, proof = world.proof(group, SECRET)
    confirmations = world.confirmations(group, key, NEW)
    world.registry.activate_group(group, key, proof, confirmations, sender=account("stranger").address)
    told = {"id": group, "chain": world.chain, "epoch": 0, "key": key}
    assert events(world.registry) == [("GroupActivated", told)]
    assert tuple(world.registry.group(group)) == (world.chain, 2, 3, 0, key, 2)
    assert world.registry.active_group(world.chain) == group
    assert world.registry.is_vault_of(world.group, world.asset)  # the old group still holds what it held
    assert not world.registry.is_active_vault_of(world.group, world.asset)
    assert world.registry.is_active_vault_of(group, world.asset)


def test_group_is_activated_once(world: World) -> None:
    """A second activation is refused, whatever key it brings."""
    with refused("Registry: already activated"):
        world.activate(world.group, world.storemen, SECRET)


def test_unknown_group_is_not_activated(world: World) -> None:
    """There is nothing to activate under an id that nobody proposed."""
    with refused("Registry: unknown group"):
        world.registry.activate_group(NOBODY, b"\x01" * 32, (NOBODY,) * 3, [])


def test_superseded_proposal_cannot_be_activated(world: World) -> None:
    """Once a later group is proposed, kept confirmations of the older proposal are worth nothing."""
    older = world.propose(NEW, 2)
    key, proof = world.proof(older, SECRET)
    confirmations = world.confirmations(older, key, NEW)
    world.propose(NEW, 3)
    with refused("Registry: proposal superseded"):
        world.registry.activate_group(older, key, proof, confirmations)


def test_later_proposal_for_another_chain_supersedes_nothing(world: World) -> None:
    """Proposals of different chains do not disturb each other."""
    group = world.propose(NEW, 2)
    other = world.registry.register_chain("eip155:5", GENESIS, 0, sender=world.owner)
    world.registry.propose_group(other, 1, [member(NEW[0], 0)], sender=world.owner)
    world.activate(group, NEW, SECRET)


def test_one_member_missing_is_refused(world: World) -> None:
    """The threshold does not count here: all members have to confirm."""
    group = world.propose(NEW, 2)
    key, proof = world.proof(group, SECRET)
    for some in (NEW[:2], NEW[1:], []):
        with refused("Registry: members missing"):
            world.registry.activate_group(group, key, proof, world.confirmations(group, key, some))


def test_confirmations_are_held_to_member_and_order(world: World) -> None:
    """A stranger, a wrong index, an index beyond the group, a member twice and another order are refused."""
    group = world.propose(NEW, 2)
    key, proof = world.proof(group, SECRET)
    good = world.confirmations(group, key, NEW)
    stranger = sign([account("stranger")], typed(world.registry, "GroupKey", group, 0, key))[0]
    wrong = {
        "Registry: not that member": [
            [(1, good[0][1]), *good[1:]],
            [*good[:2], (3, good[2][1])],
            [*good[:2], (2**256 - 1, good[2][1])],
        ],
        "eip712: signers not ascending": [[good[0], good[0], good[2]], [good[0], good[2], good[1]]],
    }
    for reason, lists in wrong.items():
        for confirmations in lists:
            with refused(reason):
                world.registry.activate_group(group, key, proof, confirmations)
    for place in range(3):  # wherever its address falls in the order
        with boa.reverts():
            confirmations = [(n, stranger if n == place else one) for n, one in good]
            world.registry.activate_group(group, key, proof, confirmations)
    world.registry.activate_group(group, key, proof, good)


@pytest.mark.parametrize("change", ["group", "epoch", "key", "chain", "contract", "version"])
def test_confirmation_of_something_else_is_refused(world: World, change: str) -> None:
    """A confirmation for another group, epoch, key, chain, contract or version counts for nothing."""
    group = world.propose(NEW, 2)
    key, proof = world.proof(group, SECRET)
    values = {"group": group, "epoch": 0, "key": key}
    other: dict[str, object] = {"group": world.group, "epoch": 1, "key": b"\x07" * 32}
    fields = [other[name] if name == change else value for name, value in values.items()]
    contract = world.hub if change == "contract" else world.registry
    domain = {"chain_id": 2 if change == "chain" else 1, "version": "2" if change == "version" else "1"}
    signatures = sign(NEW, typed(contract, "GroupKey", *fields, **domain))
    with boa.reverts():
        world.registry.activate_group(group, key, proof, list(enumerate(signatures)))
    assert world.registry.group(group)[5] == 1


def test_key_that_does_not_prove_itself_is_refused(world: World) -> None:
    """The members' word is not enough: the key has to sign for this group, and all of proof counts."""
    group = world.propose(NEW, 2)
    key, proof = world.proof(group, SECRET)
    _, of_other_key = world.proof(group, b"\x22" * 32)
    _, of_other_group = world.proof(world.group, SECRET)
    rx, s, ry = proof
    confirmations = world.confirmations(group, key, NEW)
    for wrong in (of_other_key, of_other_group, (rx, s, rx), (rx, rx, ry), (s, s, ry), (NOBODY,) * 3):
        with refused("Registry: bad key proof"):
            world.registry.activate_group(group, key, wrong, confirmations)
    zero = world.confirmations(group, NOBODY, NEW)
    with refused("Registry: bad key proof"):
        world.registry.activate_group(group, NOBODY, (NOBODY,) * 3, zero)


def test_malformed_confirmations_are_refused_by_reason(world: World) -> None:
    """Signatures are 65 bytes with v 27 or 28 and a low s, and recover to somebody."""
    group = world.propose(NEW, 2)
    key, proof = world.proof(group, SECRET)
    good = world.confirmations(group, key, NEW)
    first = good[0][1]
    for wrong, reason in (
        (first[:64], "eip712: signature length"),
        (b"", "eip712: signature length"),
        (first[:64] + bytes([first[64] - 27]), "eip712: v is not 27 or 28"),
        (first[:64] + b"\xff", "eip712: v is not 27 or 28"),
        (malleated(first), "eip712: s is high"),
        (bytes(32) + first[32:], "eip712: invalid signature"),
        (first[:32] + bytes(32) + first[64:], "eip712: invalid signature"),
        (b"\xff" * 32 + first[32:], "eip712: invalid signature"),
    ):
        with refused(reason):
            world.registry.activate_group(group, key, proof, [(0, wrong), *good[1:]])


def test_quorum_needs_the_threshold_and_nobody_else(world: World) -> None:
    """t members of an activated group are a quorum; fewer, strangers among them, or a mere proposal are none."""
    people = [one.address for one in world.storemen]
    quorum = world.registry.quorum
    assert quorum(world.group, people[:3]) == (True, 0b00111)
    assert quorum(world.group, people[2:]) == (True, 0b11100)
    assert quorum(world.group, people) == (True, 0b11111)
    assert quorum(world.group, people[:2]) == (False, 0)
    assert quorum(world.group, [*people[:3], account("stranger").address]) == (False, 0)
    proposed = world.propose(NEW, 2)
    assert quorum(proposed, [one.address for one in NEW]) == (False, 0)
    assert not world.registry.is_vault_of(proposed, world.asset)


def test_bitmap_names_its_members(world: World) -> None:
    """`accounts_at` turns a quorum's bitmap back into accounts; bits that name nobody and unknown groups give none."""
    people = [one.address for one in world.storemen]
    assert [world.registry.member_place(world.group, one) for one in people] == [1, 2, 3, 4, 5]
    assert world.registry.member_place(world.group, account("stranger").address) == 0
    assert world.registry.accounts_at(world.group, 0b10101) == people[::2]
    assert world.registry.accounts_at(world.group, 2**256 - 1) == people
    assert world.registry.accounts_at(world.group, 0) == world.registry.accounts_at(b"\x09" * 32, 7) == []


def test_largest_group_fits_into_the_bitmap(world: World) -> None:
    """A hundred members have a bit each."""
    crowd = accounts("crowd", 100)
    group = world.propose(crowd, 51)
    world.activate(group, crowd)
    assert world.registry.quorum(group, [one.address for one in crowd]) == (True, 2**100 - 1)


def test_digest_follows_the_chain_id_after_a_fork(world: World) -> None:
    """On a fork with a new chain id the old confirmations are refused, and new ones count: nothing is cached."""
    group = world.propose(NEW, 2)
    key, _ = world.proof(group, SECRET)
    old = world.confirmations(group, key, NEW)
    with boa.env.anchor():
        boa.env.evm.patch.chain_id = 1337
        key, proof = world.proof(group, SECRET)
        with boa.reverts():
            world.registry.activate_group(group, key, proof, old)
        new = world.confirmations(group, key, NEW)
        assert digest_of(typed(world.registry, "GroupKey", group, 0, key)) != digest_of(
            typed(world.registry, "GroupKey", group, 0, key, chain_id=1)
        )
        world.registry.activate_group(group, key, proof, new)
