"""What the bridge uses of the native chain: protocols, so that its tests can run without a node.

Reads take a block: a number, or `finalized` or `latest`. All raise `NodeUnavailable`, `AccessDenied`, `RpcRefused` and
`BadAnswer` of `adapters.evm.errors`. `NativeChain` and `TxSender` are the real ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from adapters.evm.flight import TxResult
from adapters.evm.types import BlockRef, BlockTag, Call
from adapters.native.events import EventBatch, NativeEvent
from adapters.native.types import DepositStatus, PayoutRecord, VoucherSet, WithdrawalRecord
from foundation.quantities import BlockHeight, TokenUnits, Wei
from registry.assets import Asset, AssetPolicy
from registry.chains import Chain, Vault
from registry.groups import Group


class NativeReads(Protocol):
    """The contracts' state, at a block."""

    async def group(self, group: bytes, at: BlockHeight | BlockTag = "finalized") -> Group | None:
        """A group with its members, None where it is unknown."""
        ...

    async def active_group(self, chain: bytes, at: BlockHeight | BlockTag = "finalized") -> bytes | None:
        """The id of the group that serves a chain, None where none does."""
        ...

    async def asset(self, asset: bytes, at: BlockHeight | BlockTag = "finalized") -> Asset | None:
        """An asset with its policy, None where it is unknown."""
        ...

    async def asset_policy(self, asset: bytes, at: BlockHeight | BlockTag = "finalized") -> AssetPolicy:
        """An asset's policy; all zero where it is unknown."""
        ...

    async def deposit_statuses(
        self, deposits: Sequence[bytes], at: BlockHeight | BlockTag = "finalized"
    ) -> list[DepositStatus]:
        """What became of deposits, in their order."""
        ...

    async def withdrawals(
        self, withdrawals: Sequence[bytes], at: BlockHeight | BlockTag = "finalized"
    ) -> list[WithdrawalRecord | None]:
        """Withdrawals, in their order; None for those that are unknown."""
        ...

    async def payout(self, payout: bytes, at: BlockHeight | BlockTag = "finalized") -> PayoutRecord | None:
        """A payout, None where it is unknown."""
        ...

    async def reserved_by(
        self, outpoints: Sequence[bytes], at: BlockHeight | BlockTag = "finalized"
    ) -> list[bytes | None]:
        """The payout that reserves or bars each outpoint id, None for the free ones."""
        ...

    async def supply(self, asset: bytes, at: BlockHeight | BlockTag = "finalized") -> TokenUnits:
        """All mapping tokens of an asset, the locked ones included."""
        ...

    async def token_of(self, asset: bytes, at: BlockHeight | BlockTag = "finalized") -> bytes | None:
        """The mapping token's address, None before the asset's first mint."""
        ...

    async def vouchers(self, at: BlockHeight | BlockTag = "finalized") -> VoucherSet:
        """The committee."""
        ...

    async def balance(self, account: bytes, at: BlockHeight | BlockTag = "latest") -> Wei:
        """What an account has for gas."""
        ...


class NativeDirectory(Protocol):
    """What the Registry knows by name, at a block."""

    async def chain_info(self, chain: bytes, at: BlockHeight | BlockTag = "finalized") -> Chain | None:
        """A registered chain, None where it is unknown."""
        ...

    async def chains(self, at: BlockHeight | BlockTag = "finalized") -> tuple[Chain, ...]:
        """All chains, in the order of their registration."""
        ...

    async def chain_by_text(self, caip2: str, at: BlockHeight | BlockTag = "finalized") -> Chain | None:
        """A registered chain by its CAIP-2 text, None where it is unknown."""
        ...

    async def chain_policy(self, chain: bytes, at: BlockHeight | BlockTag = "finalized") -> AssetPolicy | None:
        """What assets get that vouchers introduce on a chain, None where they may introduce none."""
        ...

    async def vault(self, chain: bytes, at: BlockHeight | BlockTag = "finalized") -> Vault | None:
        """The Lockbox of an EVM chain, None where none is registered."""
        ...

    async def assets(self, at: BlockHeight | BlockTag = "finalized") -> tuple[Asset, ...]:
        """All assets with their policies, in the order of their registration."""
        ...

    async def asset_by_text(self, caip19: str, at: BlockHeight | BlockTag = "finalized") -> Asset | None:
        """An asset by its CAIP-19 text, None where it is unknown."""
        ...

    async def asset_of(self, token: bytes, at: BlockHeight | BlockTag = "finalized") -> bytes | None:
        """The asset of a mapping token, None for any other address."""
        ...


class NativeBlocks(Protocol):
    """The chain's blocks and the contracts' events."""

    async def finalized_block(self) -> BlockRef:
        """The newest final block."""
        ...

    async def latest_block(self) -> BlockRef:
        """The newest block."""
        ...

    async def events(self, first: BlockHeight, last: BlockHeight) -> list[NativeEvent]:
        """The events from block `first` to block `last`, both included, in the chain's order."""
        ...

    async def next_events(self, cursor: BlockRef | None) -> EventBatch | None:
        """The next final events after `cursor`; None where there are no more yet."""
        ...


class Sender(Protocol):
    """One account's transactions; see `adapters.evm.sender.TxSender`."""

    @property
    def account(self) -> bytes:
        """Its address, 20 bytes."""
        ...

    async def send(self, call: Call, key: str, *, gas: int | None = None) -> TxResult:
        """Send once for each key, and wait until it is in a block."""
        ...
