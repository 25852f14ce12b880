"""What people do with a bridge, and what can be seen of it: deposits, withdrawals, blocks, journeys, reserves."""

from __future__ import annotations

import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from coincurve import PublicKeyXOnly

from adapters.bitcoin.follower import Tail
from adapters.bitcoin.primitives import parse_hash
from adapters.bitcoin.scripts import DepositTerms, deposit_script, vault_script
from adapters.evm.sender import TxSender
from adapters.native.types import WithdrawalStatus
from bridge.codec import decode_deposit, decode_payout, decode_withdrawal
from bridge.deposits import Deposit, Stage
from bridge.ledger import balance
from bridge.payouts import Payout, PayoutStage, Withdrawal, WithdrawalStage
from bridge.policy import Balance
from bridge.status import STATUS
from bridge.storage import BitcoinTransactionRow, TransactionPurpose
from foundation.quantities import Satoshi
from infra.bitcoind import Wallet
from registry.ids import deposit_id
from tests.support.bridge_network import ASSET, BridgeNetwork, BridgeNode, eventually, pay


@dataclass(frozen=True, slots=True)
class Paid:
    """A deposit as its depositor knows it."""

    terms: DepositTerms
    txid: bytes  # wire order
    vout: int
    amount: int
    reclaim_secret: bytes

    @property
    def id(self) -> bytes:
        return deposit_id(ASSET.id, self.txid, self.vout)


@dataclass
class Life:
    """One bridge, and the people around it."""

    net: BridgeNetwork
    wallet: Wallet
    _salt: int = field(default=0)

    @classmethod
    async def of(cls, net: BridgeNetwork, bitcoins: int = 20) -> Life:
        """With a depositor's wallet that holds `bitcoins`."""
        funds = Satoshi(bitcoins * 100_000_000)
        return cls(net, await net.bitcoind.wallet("depositor-" + secrets.token_hex(4), funds))

    async def deposit(self, recipient: bytes, amount: int, *, delay: int = 144) -> Paid:
        """Announce an address and pay it; nothing is mined."""
        secret = secrets.token_bytes(32)
        self._salt += 1
        salt = self._salt.to_bytes(32, "big")
        key = PublicKeyXOnly.from_secret(secret).format()
        terms, address = await self.net.deposit_address(recipient, key, delay=delay, salt=salt)
        await self.announced(deposit_script(terms).script)
        txid = await pay(self.wallet, address, amount)
        shown = await self.net.bitcoind.rpc.call("getrawtransaction", txid, True)
        (vout,) = [o["n"] for o in shown["vout"] if o["scriptPubKey"]["hex"] == deposit_script(terms).script.hex()]
        return Paid(terms, parse_hash(txid), vout, amount, secret)

    async def announced(self, script: bytes) -> None:
        """Wait until every running node watches the address."""
        for node in self.running:

            async def known(node: BridgeNode = node) -> bool:
                async with node.view() as view:
                    return await view.deposit_terms.by_script(script) is not None

            await eventually(known, f"{node.name} watches the address")

    @property
    def running(self) -> list[BridgeNode]:
        """The nodes that were not stopped."""
        return [node for node in self.net.nodes if node.runs]

    @property
    def storeman(self) -> BridgeNode:
        """A storeman that runs."""
        return next(node for node in self.net.storemen if node.runs)

    async def mine(self, blocks: int = 1, nodes: Sequence[BridgeNode] | None = None) -> int:
        """Mine, and wait until every running node has seen the new tip; its height."""
        await self.net.bitcoind.mine(blocks)
        height = await self.net.bitcoind.height()
        for node in self.running if nodes is None else nodes:

            async def there(node: BridgeNode = node) -> bool:
                async with node.view() as view:
                    stored = await view.cursors.get("bitcoin")
                return stored is not None and _height_of(stored) >= height

            await eventually(there, f"{node.name} is at block {height}")
        return int(height)

    async def deposit_of(self, paid: Paid, node: BridgeNode | None = None) -> Deposit | None:
        """A deposit as a node sees it."""
        async with (node or self.storeman).view() as view:
            row = await view.transfers.get(paid.id)
        return None if row is None else decode_deposit(row)

    async def reaches(self, paid: Paid, *stages: Stage, nodes: Sequence[BridgeNode] | None = None) -> Deposit:
        """Wait until all running nodes (or `nodes`) see the deposit in one of `stages`."""
        found: Deposit | None = None
        for node in self.running if nodes is None else nodes:

            async def reached(node: BridgeNode = node) -> Deposit | None:
                deposit = await self.deposit_of(paid, node)
                return deposit if deposit is not None and deposit.stage in stages else None

            found = await eventually(reached, f"the deposit is {stages} on {node.name}")
        assert found is not None
        return found

    async def minted(self, recipient: bytes, amount: int, **terms: Any) -> Paid:
        """A deposit of which every node knows that it is minted."""
        paid = await self.deposit(recipient, amount, **terms)
        await self.mine()
        await self.reaches(paid, Stage.MINTED)
        return paid

    async def swept(self, paid: Paid) -> None:
        """Mine the sweep of a minted deposit, and wait until every node knows that it is final."""

        async def signed() -> BitcoinTransactionRow | None:
            async with self.storeman.view() as view:
                rows = await view.bitcoin_transactions.spending([(paid.txid, paid.vout)])
            found = [row for row in rows if row.purpose is TransactionPurpose.SWEEP]
            return found[-1] if found and found[-1].first_broadcast_at_ms is not None else None

        await eventually(signed, "the sweep is broadcast")
        await self.mine()
        await self.reaches(paid, Stage.SWEPT)

    async def withdrawn(self, owner: TxSender, amount: int, address: str | None = None, max_fee: int = 5_000) -> bytes:
        """A withdrawal that every storeman knows; its id."""
        id_ = await self.net.withdraw(owner, amount, address or await self.wallet.address(), max_fee)
        for node in self.running:
            if node in self.net.storemen:

                async def known(node: BridgeNode = node) -> bool:
                    return await self.withdrawal(id_, node) is not None

                await eventually(known, f"{node.name} knows the withdrawal")
        return id_

    async def withdrawal(self, id_: bytes, node: BridgeNode | None = None) -> Withdrawal | None:
        async with (node or self.storeman).view() as view:
            row = await view.transfers.get(id_)
        return None if row is None else decode_withdrawal(row)

    async def payout_of(self, withdrawal: bytes, node: BridgeNode | None = None) -> Payout | None:
        async with (node or self.storeman).view() as view:
            rows = await view.payouts.of_withdrawal(withdrawal)
        return decode_payout(rows[-1]) if rows else None

    async def in_mempool(self, purpose: TransactionPurpose, subject: bytes | None = None) -> BitcoinTransactionRow:
        """Wait for a transaction of ours that is broadcast and in no block."""

        async def waiting() -> BitcoinTransactionRow | None:
            async with self.storeman.view() as view:
                rows = await view.bitcoin_transactions.waiting()
            found = [row for row in rows if row.purpose is purpose and row.first_broadcast_at_ms is not None]
            found = [row for row in found if subject is None or row.subject == subject]
            return found[-1] if found else None

        return await eventually(waiting, f"a {purpose} is broadcast")

    async def settled(self, withdrawal: bytes, *, nodes: Sequence[BridgeNode] | None = None) -> None:
        """Wait until the Hub has burnt, and all running nodes know it."""

        async def burnt() -> bool:
            record = await self.net.native.withdrawal(withdrawal)
            return record is not None and record.status is WithdrawalStatus.SETTLED

        await eventually(burnt, "the Hub settled the payout")
        for node in self.running if nodes is None else nodes:

            async def known(node: BridgeNode = node) -> bool:
                found = await self.withdrawal(withdrawal, node)
                payout = await self.payout_of(withdrawal, node)
                return (
                    found is not None
                    and found.stage is WithdrawalStage.SETTLED
                    and payout is not None
                    and payout.stage is PayoutStage.SETTLED
                )

            await eventually(known, f"{node.name} knows of the settlement")

    async def paid_and_settled(self, withdrawal: bytes) -> None:
        """See a withdrawal to its end: its payout is broadcast, mined, and settled."""

        async def reserved() -> Payout | None:
            return await self.payout_of(withdrawal)

        payout = await eventually(reserved, "the withdrawal is reserved")
        await self.in_mempool(TransactionPurpose.PAYOUT, payout.payout_id)
        await self.mine()
        await self.settled(withdrawal)

    async def stages(self, transfer: bytes, node: BridgeNode | None = None) -> list[tuple[str, str]]:
        """A transfer's journey: stage and note of each entry."""
        async with (node or self.storeman).view() as view:
            return [(entry.stage, entry.note) for entry in await view.journey.of(transfer)]

    async def vault_holds(self) -> int:
        """What really lies on the vault's script in the chain, in satoshi, as bitcoind counts it."""
        group = await self.net.native.group(await self.net.active_group())
        assert group is not None
        assert group.key is not None
        return await self.holds(vault_script(group.key))

    async def holds(self, script: bytes) -> int:
        """Unspent satoshi on a script in the chain, as bitcoind counts them."""
        shown = await self.net.bitcoind.rpc.call("scantxoutset", "start", [f"raw({script.hex()})"])
        return round(shown["total_amount"] * 100_000_000)

    async def books(self, node: BridgeNode | None = None) -> Balance:
        """A node's own count of reserves and supply."""
        async with (node or self.storeman).view() as view:
            return await balance(view)

    async def status(self, node: BridgeNode) -> dict[str, Any]:
        """What `node status` would show."""
        async with node.view() as view:
            body = await view.node_meta.get(STATUS)
        return {} if body is None else json.loads(body)


def _height_of(stored: bytes) -> int:
    tip = Tail.decode(stored).tip
    return -1 if tip is None else tip.height
