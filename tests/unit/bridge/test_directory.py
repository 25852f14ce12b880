"""Who is who, as the native chain says: peers, groups, vaults and names; unchanged when it cannot be read."""

from __future__ import annotations

from typing import Any, cast

import pytest

from adapters.bitcoin.scripts import vault_script
from adapters.native.types import Voucher, VoucherSet
from bridge.directory import Directory, GroupUnknown
from foundation.errors import Retryable
from foundation.quantities import Wei
from registry.groups import Group, GroupStatus, Member
from tests.support.bridge_intake import ASSET, CHAIN, GROUP, KEY, Native


def member(number: int, endpoint: str = "tcp://127.0.0.1:1") -> Member:
    return Member(bytes([number]) * 20, b"\x02" + bytes([number]) * 32, bytes([number]) * 32, endpoint)


def group(id_: bytes, *members: Member, key: bytes | None = KEY, chain: bytes = CHAIN) -> Group:
    status = GroupStatus.PROPOSED if key is None else GroupStatus.ACTIVE
    return Group(id_, chain, len(members), members, 0, key, status)


def directory(*groups: Group, vouchers: tuple[Member, ...] = ()) -> tuple[Directory, Native]:
    committee = VoucherSet(tuple(Voucher(m, Wei(1), i) for i, m in enumerate(vouchers)), Wei(len(vouchers)))
    native = Native(groups={g.id: g for g in groups}, active=groups[0].id if groups else None, committee=committee)
    return Directory(cast(Any, native), CHAIN, ASSET), native


async def test_members_are_peers_with_names() -> None:
    """Storemen and vouchers may connect, and are called by their role and place; a stranger is neither."""
    people, _ = directory(group(GROUP, member(1)), vouchers=(member(2), member(3)))
    await people.refresh([GROUP])
    assert [people.name_of(member(n).host_key) for n in (1, 2, 3)] == ["storeman-1", "voucher-1", "voucher-2"]
    assert people.name_of(member(3).account) == "voucher-2"
    assert people.host_key_of(member(2).account) == member(2).host_key
    assert {peer.host_key for peer in people.peers()} == {member(n).host_key for n in (1, 2, 3)}
    assert people.is_registered(member(1).transport_key)
    assert not people.is_registered(member(9).transport_key)
    assert people.peer(member(9).host_key) is None
    assert people.name_of(member(9).host_key) == member(9).host_key.hex()[:12]
    assert people.voucher_peers() == (member(2).host_key, member(3).host_key)
    assert people.storeman_peers(GROUP) == (member(1).host_key,)


async def test_a_member_that_cannot_be_reached_is_named_and_is_no_peer() -> None:
    """One member's nonsense in the registry keeps nobody else from being read."""
    people, _ = directory(group(GROUP, member(1, "nonsense"), member(2)))
    await people.refresh([GROUP])
    assert people.peer(member(1).host_key) is None
    assert people.name_of(member(1).host_key) == "storeman-1"
    assert people.peer(member(2).host_key) is not None


async def test_vaults_are_those_of_groups_with_a_key_on_this_chain() -> None:
    """A proposed group has no vault yet, another chain's has no script on bitcoin, an unknown one is refused."""
    proposed, foreign = b"2" * 32, b"3" * 32
    people, _ = directory(
        group(GROUP, member(1)), group(proposed, member(1), key=None), group(foreign, member(1), chain=b"x" * 32)
    )
    await people.refresh([GROUP, proposed, foreign, b"9" * 32])
    assert people.vault_scripts == (vault_script(KEY),)
    assert people.group_of_vault(vault_script(KEY)) == GROUP
    assert people.group_of_vault(b"other") is None
    assert (await people.proposal(proposed)) is not None
    assert (await people.proposal(foreign)) is not None
    for unknown in (proposed, foreign, b"9" * 32):
        with pytest.raises(GroupUnknown):
            people.vault(unknown)
    with pytest.raises(GroupUnknown):
        people.storeman_peers(b"9" * 32)


async def test_a_read_that_fails_changes_nothing() -> None:
    """A directory is replaced whole, or stays as it was."""

    class Away(Retryable):
        """The native chain does not answer."""

    people, native = directory(group(GROUP, member(1)), vouchers=(member(2),))
    await people.refresh([GROUP])

    async def away(*_: object) -> Any:
        raise Away("asset policy")

    native.groups = {}
    native.vouchers = away  # type: ignore[method-assign]  # the last of the reads
    with pytest.raises(Away):
        await people.refresh([GROUP])
    assert people.key(GROUP) == KEY
    assert people.peer(member(2).host_key) is not None


async def test_before_the_first_reading_the_asset_is_paused() -> None:
    """What is not known yet mints nothing."""
    people, _ = directory()
    assert people.policy.paused
    assert people.active is None
