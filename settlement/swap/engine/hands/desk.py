"""What all hands share: a swap's keys and output, its transactions in the database, and where money goes to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from adapters.bitcoin.fees import FeePolicy
from adapters.bitcoin.primitives import Coin, OutPoint
from adapters.bitcoin.rpc import BitcoinRpc
from foundation.errors import Fatal, Retryable
from foundation.quantities import Satoshi, UnixMs
from settlement.swap.bitcoin.cosign import Asker
from settlement.swap.bitcoin.desk import BitcoinDesk
from settlement.swap.bitcoin.output import SwapOutput, output_of
from settlement.swap.bitcoin.rungs import RungMaker
from settlement.swap.bitcoin.wallet import NodeWallet
from settlement.swap.engine.correspondence import Correspondence
from settlement.swap.engine.office import Office
from settlement.swap.evm.leg import EscrowLeg
from settlement.swap.letters.bodies import Body, Say
from settlement.swap.machine.changes import Change
from settlement.swap.machine.facts import Output
from settlement.swap.machine.messages import Message
from settlement.swap.store.store import KeptTransaction, SwapRow, SwapStore
from settlement.swap.terms import SwapTerms
from settlement.swap.wallet.secrets import SwapSecrets, TraderKeys

Changes: TypeAlias = Sequence[Change]


class NotNow(Retryable):
    """An order waits for something that is on its way. Fields: what; seconds (until a look is worth while)."""

    def __init__(self, what: str, seconds: float = 1.0) -> None:
        self.what = what
        self.seconds = seconds
        super().__init__(what)


class NobodyToTell(Fatal):
    """The swap was recovered from the chains: its other side cannot be written to."""

    def __init__(self) -> None:
        super().__init__("the other side is not known: this swap was recovered from the chains")


@dataclass(slots=True)
class Desk:
    """One wallet's tools. Fields: askers, makers (secret nonces of open requests and rounds, in memory alone)."""

    office: Office
    keys: TraderKeys
    letters: Correspondence
    rpc: BitcoinRpc
    wallet: NodeWallet
    bitcoin: BitcoinDesk
    policy: FeePolicy
    evm: EscrowLeg
    askers: dict[tuple[bytes, bytes], Asker] = field(default_factory=dict)
    makers: dict[tuple[bytes, int], RungMaker] = field(default_factory=dict)

    @property
    def seconds(self) -> int:
        """The time since 1970."""
        return self.office.clock() // 1000

    def secrets(self, row: SwapRow) -> SwapSecrets:
        """The swap's keys."""
        return self.keys.swap(row.index)

    def terms(self, row: SwapRow) -> SwapTerms:
        """What was agreed."""
        return row.state.terms

    def output(self, row: SwapRow) -> SwapOutput:
        """The swap's Taproot output."""
        return output_of(row.state.terms)

    def planned_coin(self, row: SwapRow, outpoint: bytes) -> Coin:
        """The swap's coin as the terms have it, which need not be there yet."""
        return Coin(OutPoint.parse(outpoint), row.state.terms.bitcoin.amount, self.output(row).script)

    def coin(self, row: SwapRow, outpoint: bytes) -> Coin | None:
        """A coin of the swap's script as it was seen; None where it is gone."""
        found = self.seen(row, outpoint)
        return None if found is None else Coin(OutPoint.parse(outpoint), Satoshi(found.value), self.output(row).script)

    def seen(self, row: SwapRow, outpoint: bytes) -> Output | None:
        """An output as it was seen."""
        return next((out for out in row.state.outputs if out.outpoint == outpoint), None)

    def blocks_until(self, confirm_by: int, interval_s: int = 600) -> int:
        """For how soon a fee is to be paid: within half of the blocks that come until then, one at least."""
        return max(1, (confirm_by - self.seconds) // interval_s // 2)

    # --- Letters ---

    async def say(self, row: SwapRow, message: Message) -> None:
        """Write to the other side's machine. Raises `NobodyToTell`."""
        await self.tell(row, Say(message))

    async def tell(self, row: SwapRow, body: Body) -> None:
        """Write to the other side. Raises `NobodyToTell`."""
        if not row.peer.is_known:
            raise NobodyToTell
        await self.letters.send(row.index, row.peer, row.swap_id, body)

    # --- What is kept ---

    async def destination(self, row: SwapRow) -> bytes:
        """The wallet's scriptPubKey that this swap's bitcoin goes to: the same at each call."""
        name = f"destination/{row.swap_id.hex()}"
        found = await self.cursor(name)
        return found or await self.set_cursor(name, await self.wallet.new_script())

    async def cursor(self, name: str) -> bytes:
        """A value that was kept; empty: none."""
        async with self.office.database.view() as view:
            return await SwapStore(view.connection).cursor(name)

    async def set_cursor(self, name: str, value: bytes) -> bytes:
        """Keep a value."""
        async with self.office.database.unit() as unit:
            await SwapStore(unit.connection).set_cursor(name, value)
            await unit.commit()
        return value

    async def kept(self, row: SwapRow, key: str) -> tuple[KeptTransaction, ...]:
        """Signed transactions of an order, the first one first."""
        async with self.office.database.view() as view:
            return await SwapStore(view.connection).kept(row.swap_id, key)

    async def keep(self, row: SwapRow, key: str, txid: bytes, raw: bytes, fee: int) -> None:
        """Keep a signed transaction as the next one of an order, before it leaves."""
        async with self.office.database.unit() as unit:
            store = SwapStore(unit.connection)
            attempt = len(await store.kept(row.swap_id, key))
            now = UnixMs(self.office.clock())
            await store.keep(KeptTransaction(row.swap_id, key, attempt, txid, raw, Satoshi(fee), now))
            await unit.commit()

    async def forget(self, row: SwapRow, key: str) -> None:
        """Drop transactions that never left, nor will."""
        async with self.office.database.unit() as unit:
            await SwapStore(unit.connection).forget(row.swap_id, key)
            await unit.commit()
