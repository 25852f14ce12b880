"""The native chain as the bridge sees it: its blocks, the contracts' events, and their state at a block."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, Final, TypeVar

from adapters.evm.abi import Function
from adapters.evm.errors import BadAnswer, NodeUnavailable, Reverted
from adapters.evm.logs import LogFollower, read_logs
from adapters.evm.rpc import EvmRpc
from adapters.evm.types import BlockHeader, BlockRef, BlockTag, Call, Log
from adapters.native.bindings import Bonds, Hub, Registry, Token
from adapters.native.calls import Calls
from adapters.native.deployment import Deployment
from adapters.native.eip712 import HubDigests, RegistryDigests
from adapters.native.events import DepositAnnounced, EventBatch, NativeEvent, decode_event
from adapters.native.proofs import group_proof_message
from adapters.native.types import (
    Announcement,
    DepositStatus,
    PayoutRecord,
    PayoutStatus,
    TokenInfo,
    Voucher,
    VoucherSet,
    WithdrawalRecord,
    WithdrawalStatus,
)
from foundation.errors import BadInput
from foundation.quantities import BlockHeight, TokenUnits, Wei
from registry.assets import Asset, AssetPolicy
from registry.groups import Group, GroupStatus, Member

T = TypeVar("T")

_NOTHING: Final = bytes(32)
_NOBODY: Final = bytes(20)
_STATUSES_AT_ONCE: Final = 256
"""The length of the Hub's list in `deposit_statuses`."""


class NativeChain:
    """Typed reads of one bridge's contracts. It fulfils `NativeReads` and `NativeBlocks`, which say what raises.

    Fields: rpc; deployment; calls (builds what a sender sends); hub_digests, registry_digests (what is signed).
    """

    def __init__(self, rpc: EvmRpc, deployment: Deployment) -> None:
        """For the contracts of `deployment`, through `rpc`, made with `reverted=typed_revert`; the caller closes it."""
        self.rpc = rpc
        self.deployment = deployment
        self.calls = Calls(deployment)
        self.hub_digests = HubDigests(deployment.chain_id, deployment.hub)
        self.registry_digests = RegistryDigests(deployment.chain_id, deployment.registry)
        self._names = {deployment.registry: "Registry", deployment.bonds: "Bonds", deployment.hub: "Hub"}
        self._follower = LogFollower(rpc, list(self._names), deployment.start_block)

    async def check(self) -> None:
        """Make sure that the node serves the chain of the deployment, and that the contracts are there.

        Raises:
            WrongChain: another chain.
            BadInput: an address without a contract.
        """
        await self.rpc.check_chain(self.deployment.chain_id, self.deployment.genesis)
        for address, name in self._names.items():
            if not await self.rpc.code(address):
                raise BadInput(f"deployment.{name.lower()}", f"no contract is at 0x{address.hex()}")

    async def finalized_block(self) -> BlockRef:
        """The newest final block."""
        return await self._tagged("finalized")

    async def latest_block(self) -> BlockRef:
        """The newest block."""
        return await self._tagged("latest")

    async def block(self, at: BlockHeight | BlockTag) -> BlockHeader | None:
        """A block's header with its time, None where there is no such block."""
        return await self.rpc.block(at)

    async def events(self, first: BlockHeight, last: BlockHeight) -> list[NativeEvent]:
        """The events from block `first` to block `last`, both included, in the chain's order. Raises as `read_logs`."""
        return list(self._decoded(await read_logs(self.rpc, list(self._names), first, last)))

    async def next_events(self, cursor: BlockRef | None) -> EventBatch | None:
        """The next final events after `cursor`; None where there are no more yet. Raises as `LogFollower.read`."""
        batch = await self._follower.read(cursor)
        return None if batch is None else EventBatch(batch.first, batch.last, self._decoded(batch.logs))

    async def follow(self, cursor: BlockRef | None, poll_seconds: float = 0.2) -> AsyncIterator[EventBatch]:
        """Final events for ever; empty batches too, so that the cursor can be stored. Raises as `LogFollower.read`."""
        async for batch in self._follower.follow(cursor, poll_seconds):
            yield EventBatch(batch.first, batch.last, self._decoded(batch.logs))

    async def group(self, group: bytes, at: BlockHeight | BlockTag = "finalized") -> Group | None:
        """A group with its members, None where it is unknown."""
        calls = [self._registry(Registry.group, group), self._registry(Registry.members, group)]
        (found,), (members,) = await self._read(calls, (Registry.group, Registry.members), at)
        chain, threshold, _, epoch, key, status = found
        if status == GroupStatus.UNKNOWN:
            return None
        return _checked(
            Registry.group,
            lambda: Group(
                group,
                chain,
                threshold,
                tuple(Member(*member) for member in members),
                epoch,
                None if key == _NOTHING else key,
                GroupStatus(status),
            ),
        )

    async def members(self, group: bytes, at: BlockHeight | BlockTag = "finalized") -> tuple[Member, ...]:
        """The storemen of a group, in the order of their identifiers; none where it is unknown."""
        (members,) = await self._one(self._registry(Registry.members, group), Registry.members, at)
        return _checked(Registry.members, lambda: tuple(Member(*member) for member in members))

    async def active_group(self, chain: bytes, at: BlockHeight | BlockTag = "finalized") -> bytes | None:
        """The id of the group that serves a chain, None where none does."""
        (group,) = await self._one(self._registry(Registry.active_group, chain), Registry.active_group, at)
        return None if group == _NOTHING else group

    async def chain_info(self, chain: bytes, at: BlockHeight | BlockTag = "finalized") -> tuple[str, bytes] | None:
        """A registered chain's CAIP-2 text and genesis hash (wire byte order), None where it is unknown."""
        (found,) = await self._one(self._registry(Registry.chain_info, chain), Registry.chain_info, at)
        caip2, genesis = found
        return (caip2, genesis) if caip2 else None

    async def asset(self, asset: bytes, at: BlockHeight | BlockTag = "finalized") -> Asset | None:
        """An asset with its policy, None where it is unknown."""
        calls = [self._registry(Registry.asset, asset), self._registry(Registry.asset_policy, asset)]
        (found,), (policy,) = await self._read(calls, (Registry.asset, Registry.asset_policy), at)
        chain, caip19, name, symbol, decimals = found
        return Asset(asset, caip19, chain, name, symbol, decimals, AssetPolicy(*policy)) if caip19 else None

    async def asset_policy(self, asset: bytes, at: BlockHeight | BlockTag = "finalized") -> AssetPolicy:
        """An asset's policy; all zero where it is unknown."""
        (policy,) = await self._one(self._registry(Registry.asset_policy, asset), Registry.asset_policy, at)
        return AssetPolicy(*policy)

    async def deposit_status(self, deposit: bytes, at: BlockHeight | BlockTag = "finalized") -> DepositStatus:
        """What became of one deposit."""
        return (await self.deposit_statuses([deposit], at))[0]

    async def deposit_statuses(
        self, deposits: Sequence[bytes], at: BlockHeight | BlockTag = "finalized"
    ) -> list[DepositStatus]:
        """What became of deposits, in their order."""
        parts = [deposits[i : i + _STATUSES_AT_ONCE] for i in range(0, len(deposits), _STATUSES_AT_ONCE)]
        calls = [self._hub(Hub.deposit_statuses, tuple(part)) for part in parts]
        answers = await self._read(calls, [Hub.deposit_statuses] * len(calls), at)
        found = [status for (statuses,) in answers for status in statuses]
        return _checked(Hub.deposit_statuses, lambda: [DepositStatus(status) for status in found])

    async def withdrawal(self, withdrawal: bytes, at: BlockHeight | BlockTag = "finalized") -> WithdrawalRecord | None:
        """One withdrawal, None where it is unknown."""
        return (await self.withdrawals([withdrawal], at))[0]

    async def withdrawals(
        self, withdrawals: Sequence[bytes], at: BlockHeight | BlockTag = "finalized"
    ) -> list[WithdrawalRecord | None]:
        """Withdrawals, in their order; None for those that are unknown."""
        calls = [self._hub(Hub.withdrawal, withdrawal) for withdrawal in withdrawals]
        answers = await self._read(calls, [Hub.withdrawal] * len(calls), at)
        return [_withdrawal(found, *answer) for found, (answer,) in zip(withdrawals, answers, strict=True)]

    async def payout(self, payout: bytes, at: BlockHeight | BlockTag = "finalized") -> PayoutRecord | None:
        """A payout, None where it is unknown."""
        (found,) = await self._one(self._hub(Hub.payout, payout), Hub.payout, at)
        group, asset, anchor, version, status, withdrawals, inputs = found
        if status == PayoutStatus.UNKNOWN:
            return None
        return _checked(
            Hub.payout,
            lambda: PayoutRecord(payout, group, asset, anchor, version, PayoutStatus(status), withdrawals, inputs),
        )

    async def reserved_by(
        self, outpoints: Sequence[bytes], at: BlockHeight | BlockTag = "finalized"
    ) -> list[bytes | None]:
        """The payout that reserves or bars each outpoint id, None for the free ones."""
        calls = [self._hub(Hub.reserved_by, outpoint) for outpoint in outpoints]
        answers = await self._read(calls, [Hub.reserved_by] * len(calls), at)
        return [None if payout == _NOTHING else payout for (payout,) in answers]

    async def supply(self, asset: bytes, at: BlockHeight | BlockTag = "finalized") -> TokenUnits:
        """All mapping tokens of an asset, the locked ones included."""
        (units,) = await self._one(self._hub(Hub.supply, asset), Hub.supply, at)
        return TokenUnits(units)

    async def token_of(self, asset: bytes, at: BlockHeight | BlockTag = "finalized") -> bytes | None:
        """The mapping token's address, None before the asset's first mint."""
        (token,) = await self._one(self._hub(Hub.token_of, asset), Hub.token_of, at)
        return None if token == _NOBODY else token

    async def token_balance(self, token: bytes, account: bytes, at: BlockHeight | BlockTag = "latest") -> TokenUnits:
        """How many units of a mapping token an account has."""
        (units,) = await self._one(_token(token, Token.balance_of, account), Token.balance_of, at)
        return TokenUnits(units)

    async def token_allowance(self, token: bytes, owner: bytes, at: BlockHeight | BlockTag = "latest") -> TokenUnits:
        """How many units the Hub may take of an account's."""
        call = _token(token, Token.allowance, owner, self.deployment.hub)
        (units,) = await self._one(call, Token.allowance, at)
        return TokenUnits(units)

    async def token_nonce(self, token: bytes, owner: bytes, at: BlockHeight | BlockTag = "latest") -> int:
        """The nonce of an account's next permit."""
        (nonce,) = await self._one(_token(token, Token.nonces, owner), Token.nonces, at)
        return int(nonce)

    async def token_info(self, token: bytes, at: BlockHeight | BlockTag = "finalized") -> TokenInfo:
        """A mapping token's name, symbol and decimals. Raises `BadAnswer` where no token is."""
        functions = (Token.token_name, Token.token_symbol, Token.decimals)
        answers = await self._read([_token(token, function) for function in functions], functions, at)
        (name,), (symbol,), (decimals,) = answers
        return TokenInfo(token, name, symbol, decimals)

    async def vouchers(self, at: BlockHeight | BlockTag = "finalized") -> VoucherSet:
        """The committee: all who joined, their identities and weights, in the order of joining."""
        # One block for both reads, or somebody who joins between them would be counted in the total alone.
        number = (await self._tagged(at)).number if isinstance(at, str) else at
        calls = [self._bonds(Bonds.vouchers), self._bonds(Bonds.total_weight)]
        (accounts,), (total,) = await self._read(calls, (Bonds.vouchers, Bonds.total_weight), number)
        details = [self._bonds(Bonds.voucher, account) for account in accounts]
        found = await self._read(details, [Bonds.voucher] * len(details), number)
        pairs = list(zip(accounts, found, strict=True))
        vouchers = _checked(
            Bonds.voucher,
            lambda: tuple(Voucher(Member(account, *v[:3]), Wei(v[3])) for account, (v,) in pairs),
        )
        return VoucherSet(vouchers, Wei(total))

    async def announcement(self, announcement: bytes) -> Announcement | None:
        """The terms of a deposit address that were announced under this id, as the final blocks have them.

        The id commits to all of them but the birthday; of several announcements the lowest birthday is returned, with
        which no coin is missed.

        Raises:
            As `read_logs`.
        """
        topics = [[Hub.DepositAnnounced.topic], [announcement]]
        first, last = self.deployment.start_block, (await self.finalized_block()).number
        logs = await read_logs(self.rpc, [self.deployment.hub], first, last, topics)
        found = [event.terms for event in self._decoded(logs) if isinstance(event, DepositAnnounced)]
        return min(found, key=lambda terms: terms.birthday, default=None)

    async def minimum_stake(self, at: BlockHeight | BlockTag = "finalized") -> Wei:
        """The least that a voucher bonds when it joins."""
        (stake,) = await self._one(self._bonds(Bonds.minimum_stake), Bonds.minimum_stake, at)
        return Wei(stake)

    async def balance(self, account: bytes, at: BlockHeight | BlockTag = "latest") -> Wei:
        """What an account has for gas."""
        return await self.rpc.balance(account, at)

    def group_proof_message(self, group: bytes, epoch: int, key: bytes) -> bytes:
        """What a group's new key signs, 32 bytes, as the Registry computes it. Raises `BadInput`."""
        return group_proof_message(self.deployment.chain_id, self.deployment.registry, group, epoch, key)

    def decoded(self, logs: Sequence[Log]) -> tuple[NativeEvent, ...]:
        """The contracts' events among logs, as those of a receipt. Raises `BadAnswer`."""
        return self._decoded(logs)

    def _decoded(self, logs: Sequence[Log]) -> tuple[NativeEvent, ...]:
        events = [decode_event(self._names[log.address], log) for log in logs if log.address in self._names]
        return tuple(event for event in events if event is not None)

    async def _tagged(self, tag: BlockTag) -> BlockRef:
        header = await self.rpc.block(tag)
        if header is None:
            raise NodeUnavailable("eth_getBlockByNumber", f"the node has no {tag} block")
        return header.ref

    def _registry(self, function: Function, *arguments: Any) -> Call:
        return Call(self.deployment.registry, function.encode(*arguments), function.label)

    def _bonds(self, function: Function, *arguments: Any) -> Call:
        return Call(self.deployment.bonds, function.encode(*arguments), function.label)

    def _hub(self, function: Function, *arguments: Any) -> Call:
        return Call(self.deployment.hub, function.encode(*arguments), function.label)

    async def _one(self, call: Call, function: Function, at: BlockHeight | BlockTag) -> tuple[Any, ...]:
        return (await self._read([call], [function], at))[0]

    async def _read(
        self, calls: Sequence[Call], functions: Sequence[Function], at: BlockHeight | BlockTag
    ) -> list[tuple[Any, ...]]:
        if not calls:
            return []
        try:
            answers = await self.rpc.calls(calls, at)
        except Reverted as error:  # our views refuse nothing: another contract is there
            raise BadAnswer("eth_call", error.label, "is refused: another contract is there") from error
        return [function.decode(answer) for function, answer in zip(functions, answers, strict=True)]


def _token(token: bytes, function: Function, *arguments: Any) -> Call:
    return Call(token, function.encode(*arguments), function.label)


def _withdrawal(withdrawal: bytes, *fields: Any) -> WithdrawalRecord | None:
    asset, owner, amount, max_fee, destination, status, payout = fields
    if status == WithdrawalStatus.UNKNOWN:
        return None
    in_payout = None if payout == _NOTHING else payout
    plain = (withdrawal, asset, owner, amount, max_fee, destination)
    return _checked(Hub.withdrawal, lambda: WithdrawalRecord(*plain, WithdrawalStatus(status), in_payout))


def _checked(function: Function, make: Callable[[], T]) -> T:
    """Make a typed value of what a contract answered, which ours cannot get wrong. Raises `BadAnswer`."""
    try:
        return make()
    except (BadInput, ValueError) as error:
        raise BadAnswer("eth_call", function.label, str(error)) from error
