"""What became of a lock: final, minted, or sent back. From its receipt and the chains: no node of ours is asked."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from adapters.evm.errors import EndpointsDisagree, NodeUnavailable, TooFewEndpoints
from adapters.evm.hexes import address_text
from adapters.evm.lockbox.types import return_number
from adapters.evm.logs import read_logs
from adapters.native.bindings import Hub
from adapters.native.events import DepositMinted
from adapters.native.types import DepositStatus
from cli.exits import NotFound, TimedOut
from cli.output import facts
from foundation.errors import BadInput

if TYPE_CHECKING:
    from adapters.native.chain import NativeChain
    from cli.lock_chain import Origin
    from cli.lock_receipt import LockReceipt

_LOOK_SECONDS: Final = 0.5


@dataclass(frozen=True, slots=True)
class LockState:
    """Where a lock is.

    Fields: receipt; is_final (None: its chain was not asked); blocks (that are in the chain after it, None likewise);
    status (on the Hub); minted (the event); token (the mapping token); registered (whether the Registry has the asset);
    is_paid_back, waits_back (in base units: what the vault could not pay back, and its sender can claim).
    """

    receipt: LockReceipt
    is_final: bool | None
    status: DepositStatus
    minted: DepositMinted | None
    token: bytes | None
    registered: bool
    is_paid_back: bool = False
    waits_back: int = 0

    @property
    def stage(self) -> str:
        """In one word."""
        if self.status is DepositStatus.MINTED:
            return "minted"
        if self.status is DepositStatus.RETURNED:
            return "returned" if self.is_paid_back else "returning"
        return "final" if self.is_final else "locked"

    @property
    def is_over(self) -> bool:
        """Whether nothing more happens by itself."""
        return self.stage in ("minted", "returned")

    @property
    def next(self) -> str:
        """Who moves next, and how."""
        r = self.receipt
        chain = r.asset.chain
        match self.stage:
            case "minted":
                return "nothing to do"
            case "returned" if self.waits_back:
                number = return_number(r.number)
                return f"take it from the vault: causeway relay claim {number} --chain {chain} --account-key FILE"
            case "returned":
                return "nothing to do: it is back with its sender"
            case "returning":
                return f"wait: the storemen sign its return, and anyone carries it to {chain}"
            case "final" if not self.registered:
                return "wait: the vouchers introduce the asset, then more than two thirds of them attest the lock"
            case "final":
                return "wait: more than two thirds of the vouchers attest the lock, and one sends the mint"
            case _:
                return f"wait: the block {r.block:,} becomes final on {chain}"

    def as_json(self) -> dict[str, Any]:
        """For programs; amounts as text, in base units."""
        minted = self.minted
        return {
            **{key: self.receipt.as_json()[key] for key in ("asset", "number", "lock", "deposit", "amount")},
            "transaction": "0x" + self.receipt.transaction.hex(),
            "stage": self.stage,
            "final": self.is_final,
            "token": None if self.token is None else address_text(self.token),
            "recipient": address_text(self.receipt.recipient),
            "minted": None if minted is None else str(minted.minted),
            "fees": None if minted is None else str(minted.amount - minted.minted),
            "next": self.next,
        }

    def text(self) -> str:
        """For people."""
        r = self.receipt
        pairs: list[tuple[str, Any]] = [
            ("lock", f"number {r.number} on {r.asset.chain}, in 0x{r.transaction.hex()}"),
            ("deposit", r.deposit.hex()),
            ("amount", r.shown(r.amount)),
            ("recipient", address_text(r.recipient)),
            ("stage", self.stage),
        ]
        if self.minted is not None:
            fees = self.minted.amount - self.minted.minted
            pairs.append(("minted", f"{r.shown(self.minted.minted)} in tokens; the fees were {r.shown(fees)}"))
        if self.token is not None:
            pairs.append(("token", address_text(self.token)))
        if self.waits_back:
            pairs.append(("to claim", f"{r.shown(self.waits_back)}: its payment back failed"))
        return facts([*pairs, ("next", self.next)])


async def read_lock(native: NativeChain, receipt: LockReceipt, origin: Origin | None) -> LockState:
    """Where a lock is now. `origin`: its chain, None to leave it out.

    Raises:
        BadInput: the receipt is of another bridge, or of another vault.
        NotFound: its chain does not have it (any more).
        What the nodes raise.
    """
    check_bridge(native, receipt)
    status = await native.deposit_status(receipt.deposit, "latest")
    minted = await _mint(native, receipt) if status is DepositStatus.MINTED else None
    token = await native.token_of(receipt.asset.id, "latest")
    registered = await native.asset(receipt.asset.id, "latest") is not None
    if origin is None:
        return LockState(receipt, None, status, minted, token, registered)
    final = await _is_final(origin, receipt)
    number, at = return_number(receipt.number), await origin.latest()
    (paid_back,) = await origin.reader.consumed([number], at)
    waits = await origin.reader.failed_amount(number, at) if paid_back else 0
    return LockState(receipt, final, status, minted, token, registered, paid_back, waits)


def check_bridge(native: NativeChain, receipt: LockReceipt) -> None:
    """Raises `BadInput` where the receipt is of another bridge than the network file's."""
    if (receipt.hub_chain_id, receipt.hub) != (native.deployment.chain_id, native.deployment.hub):
        cure = "the network file of the bridge that the receipt is for"
        raise BadInput("--network", "is of another bridge than the receipt", cure)


async def _is_final(origin: Origin, receipt: LockReceipt) -> bool:
    if origin.vault.lockbox != receipt.lockbox:
        raise BadInput("RECEIPT", "is of another vault than the Registry names", "the receipt as it was written")
    (found,) = await origin.rpc.receipts([receipt.transaction])
    if found is None:
        problem = f"{origin.chain.caip2} does not have the transaction (any more): a reorg may have taken it away"
        raise NotFound(problem, "look again in a while; if it stays away, lock once more")
    final = await origin.endpoints.final()
    return final is not None and final.number >= found.block.number


async def _mint(native: NativeChain, receipt: LockReceipt) -> DepositMinted | None:
    topics = [[Hub.DepositMinted.topic], [receipt.deposit]]
    last = (await native.latest_block()).number
    logs = await read_logs(native.rpc, [native.deployment.hub], native.deployment.start_block, last, topics)
    return next((event for event in native.decoded(logs) if isinstance(event, DepositMinted)), None)


async def follow_lock(
    native: NativeChain, receipt: LockReceipt, origin: Origin, timeout_s: float
) -> AsyncIterator[LockState]:
    """Each new stage once, to the end. Nodes that are away are waited for. Raises `TimedOut`, and as `read_lock`."""
    deadline = asyncio.get_running_loop().time() + timeout_s
    seen = ""
    while True:
        try:
            state = await read_lock(native, receipt, origin)
        except (NodeUnavailable, EndpointsDisagree, TooFewEndpoints):
            pass  # they come back, or agree again
        else:
            if state.stage != seen:
                seen = state.stage
                yield state
            if state.is_over:
                return
        if asyncio.get_running_loop().time() > deadline:
            raise TimedOut("the lock is not minted yet", timeout_s, "it goes on: causeway lock status RECEIPT")
        await asyncio.sleep(_LOOK_SECONDS)
