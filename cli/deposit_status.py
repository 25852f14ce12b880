"""What became of a deposit, told from its receipt and the two chains."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from adapters.bitcoin.primitives import BlockRef, hash_text
from adapters.bitcoin.scripts import vault_script
from adapters.native.types import DepositStatus
from bridge.coin_search import FoundCoin, coins_since, taken_by
from bridge.receipts import DepositReceipt
from bridge.settings import PolicySection
from bridge.tiers import confirmations
from cli.context import NetworkFile, open_bitcoin, open_native
from cli.depositing import check_bridge, is_announced
from cli.output import btc, facts
from foundation.errors import Retryable
from registry.assets import AssetPolicy
from registry.ids import deposit_id


@dataclass(frozen=True, slots=True)
class HubState:
    """What the native chain says. Fields: announced; statuses (of the coins, in order); policy (of the asset)."""

    announced: bool
    statuses: tuple[DepositStatus, ...]
    policy: AssetPolicy


@dataclass(frozen=True, slots=True)
class DepositState:
    """Fields: receipt; tip (of bitcoin); coins (ever paid to the address); hub (None: the native chain was not
    reached); problem (why).
    """

    receipt: DepositReceipt
    tip: BlockRef
    coins: tuple[FoundCoin, ...]
    hub: HubState | None
    problem: str = ""

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        return {
            "address": self.receipt.address,
            "bitcoin_height": self.tip.height,
            "announced": None if self.hub is None else self.hub.announced,
            "native_problem": self.problem,
            "deposits": [self._coin_json(index) for index in range(len(self.coins))],
        }

    def text(self, receipt: Path) -> str:
        """For people."""
        head = [("address", self.receipt.address), ("bitcoin", f"at block {self.tip.height:,}")]
        if self.hub is None:
            head.append(("native chain", f"not reached, its part is missing: {self.problem}"))
        elif not self.hub.announced:
            head.append(("announced", f"NO: causeway deposit announce {receipt}"))
        if not self.coins:
            head.append(("deposit", "no payment is in a block yet"))
            return facts(head) + "\n\n" + self._invitation()
        parts = [facts(self._coin_facts(index, receipt)) for index in range(len(self.coins))]
        return "\n\n".join([facts(head), *parts])

    def _invitation(self) -> str:
        least = "" if self.hub is None else f" at least {btc(self.hub.policy.minimum_deposit)}"
        return f"Pay{least} to the address. A payment is shown here once it is in a block."

    def _status(self, index: int) -> DepositStatus | None:
        return None if self.hub is None else self.hub.statuses[index]

    def _coin_json(self, index: int) -> dict[str, Any]:
        found, status = self.coins[index], self._status(index)
        height = found.coin.height
        return {
            "id": _id(self.receipt, found).hex(),
            "outpoint": str(found.coin.outpoint),
            "amount_sat": found.coin.value,
            "height": height,
            "confirmations": confirmations(height, self.tip.height),
            "hub": None if status is None else status.name.lower(),
            "spent_by": None if found.spend is None else hash_text(found.spend.txid),
            "spent_as": None if found.spend is None else str(found.spend.purpose),
            "reclaim_from": self.receipt.reclaim_height(found.coin),
            "next": self._next(index, None),
        }

    def _coin_facts(self, index: int, receipt: Path) -> Iterator[tuple[str, str]]:
        found, status = self.coins[index], self._status(index)
        have = confirmations(found.coin.height, self.tip.height)
        yield "deposit", _id(self.receipt, found).hex()
        yield "coin", f"{found.coin.outpoint}"
        yield "amount", btc(found.coin.value)
        yield "confirmations", f"{have:,}, in block {found.coin.height:,}"
        if status is not None:
            yield "on the Hub", {0: "nothing yet", 1: "minted", 2: "barred: it goes back"}[int(status)]
        if found.spend is None and status is not DepositStatus.MINTED:  # then the coin backs tokens
            reclaim = self.receipt.reclaim_height(found.coin)
            yield "your reclaim", f"valid from block {reclaim:,} on, {self._left(found)}"
        if found.spend is not None:
            yield "spent", f"{taken_by(found.spend.purpose)}, in {hash_text(found.spend.txid)}"
        yield "next", self._next(index, receipt)

    def _left(self, found: FoundCoin) -> str:
        left = self._blocks_left(found)
        return f"in {left:,} block{'s' if left > 1 else ''}" if left else "now"

    def _blocks_left(self, found: FoundCoin) -> int:
        reclaim = self.receipt.reclaim_height(found.coin)
        # The next block has the height tip + 1.
        return 0 if reclaim is None else max(reclaim - (self.tip.height + 1), 0)

    def _next(self, index: int, receipt: Path | None) -> str:
        """What to do, or what will happen."""
        found, status = self.coins[index], self._status(index)
        if found.spend is not None:
            return "nothing to do"
        if status is DepositStatus.MINTED:
            return "nothing to do: the tokens are minted, and the coin goes to the vault"
        if status is DepositStatus.RETURNED:
            return "wait: the storemen send the coin back to your reclaim key"
        if not self._blocks_left(found):
            return f"take it back: causeway deposit reclaim {receipt or 'RECEIPT'} --reclaim-key-file FILE --to ADDRESS"
        if self.hub is not None and not self.hub.announced:
            return f"announce the terms: causeway deposit announce {receipt or 'RECEIPT'}"
        if self.hub is not None and found.coin.value < self.hub.policy.minimum_deposit:
            return "wait: it is below the minimum, and the storemen send it back to your reclaim key"
        asked = PolicySection().confirmations.required(found.coin.value)
        have = confirmations(found.coin.height, self.tip.height)
        return f"wait: the vouchers usually ask for {asked} confirmations of this amount; it has {have}"


async def read_state(network: NetworkFile, receipt: DepositReceipt) -> DepositState:
    """Read both chains. A native chain that is away is told, not raised.

    Raises:
        BadInput: the network file is of another bridge or network.
        ChainMoved, and what `BitcoinRpc` raises.
    """
    async with open_bitcoin(network, check=False) as bitcoin:
        await bitcoin.check_network(receipt.network)
        vault = vault_script(receipt.terms.group_key)
        coins, tip = await coins_since(bitcoin, receipt.script, receipt.birthday, vault)
    try:
        return DepositState(receipt, tip, coins, await _hub(network, receipt, coins))
    except Retryable as error:
        return DepositState(receipt, tip, coins, None, str(error))


async def _hub(network: NetworkFile, receipt: DepositReceipt, coins: Sequence[FoundCoin]) -> HubState:
    async with open_native(network) as native:
        check_bridge(native, receipt)
        announced = await is_announced(native, receipt)
        statuses = await native.deposit_statuses([_id(receipt, found) for found in coins], "latest")
        return HubState(announced, tuple(statuses), await native.asset_policy(receipt.terms.asset))


def _id(receipt: DepositReceipt, found: FoundCoin) -> bytes:
    return deposit_id(receipt.terms.asset, found.coin.outpoint.txid, found.coin.outpoint.vout)
