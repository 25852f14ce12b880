"""Where a withdrawal is, told from the native chain, and from the vault of an EVM chain where it can be asked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from adapters.evm.lockbox.bindings import Lockbox
from adapters.evm.lockbox.events import PaymentCancelled, PaymentClaimed, PaymentFailed, Released, decode_event
from adapters.evm.logs import read_logs
from adapters.native.bindings import Hub
from adapters.native.types import WithdrawalRecord, WithdrawalStatus
from cli.output import facts
from registry.chains import Chain, ChainKind

if TYPE_CHECKING:
    from adapters.native.chain import NativeChain
    from cli.context import NetworkFile
    from cli.lock_chain import Origin
    from registry.assets import Asset


@dataclass(frozen=True, slots=True)
class VaultNews:
    """What a vault did with a number. Fields: outcome (released, failed, claimed, cancelled); transaction."""

    outcome: str
    transaction: bytes


@dataclass(frozen=True, slots=True)
class WithdrawalState:
    """Fields: record (as the newest block has it); asset; chain; destination (for people); is_signed (a release is
    published; None on bitcoin); news (of the vault; None: not consumed, or not asked); asked (whether it was).
    """

    record: WithdrawalRecord
    asset: Asset
    chain: Chain
    destination: str
    is_signed: bool | None
    news: VaultNews | None
    asked: bool

    @property
    def is_release(self) -> bool:
        """Whether a vault on an EVM chain pays it."""
        return self.chain.kind is ChainKind.EVM

    @property
    def stage(self) -> str:
        """In one word."""
        status = self.record.status
        if status is not WithdrawalStatus.RESERVED:
            return status.name.lower()
        if self.news is not None:
            return self.news.outcome
        return "signed" if self.is_signed else "reserved"

    @property
    def next(self) -> str:
        """Who moves next."""
        id_, chain = self.record.id.hex()[:12], self.chain.caip2
        if self.news is not None and self.news.outcome == "failed":
            return f"its payee takes it: causeway relay claim {self.record.number} --chain {chain} --to ADDRESS"
        match self.stage:
            case "requested":
                return f"wait: the storemen reserve it; till then it can be taken back: causeway withdraw cancel {id_}"
            case "reserved":
                return "wait: the storemen sign it"
            case "signed":
                return f"anyone carries it, you too: causeway relay {id_} --chain {chain} --account-key FILE"
            case "released" | "claimed" | "cancelled" if self.record.status is WithdrawalStatus.RESERVED:
                return "wait: the vouchers attest it, and the tokens are burnt"
            case "restored":
                return "nothing to do: it could not be paid, and the tokens are back"
            case "cancelled":
                return "nothing to do: the tokens are back"
            case _:
                return "nothing to do: it is paid, and the tokens are burnt"

    def as_json(self) -> dict[str, Any]:
        """For programs; amounts as text, in base units."""
        r = self.record
        return {
            "id": r.id.hex(),
            "stage": self.stage,
            "asset": self.asset.caip19,
            "chain": self.chain.caip2,
            "owner": "0x" + r.owner.hex(),
            "destination": self.destination,
            "amount": str(r.amount),
            "service_fee": str(r.fee),
            "max_fee": str(r.max_fee),
            "number": r.number,
            "payout": None if r.payout is None else r.payout.hex(),
            "transaction": None if self.news is None else "0x" + self.news.transaction.hex(),
            "next": self.next,
        }

    def text(self) -> str:
        """For people."""
        r, show = self.record, self.asset.format
        pairs: list[tuple[str, Any]] = [
            ("withdrawal", f"{r.id.hex()}, number {r.number}"),
            ("stage", self.stage),
            ("pays to", f"{self.destination} on {self.chain.caip2}"),
            ("amount", f"{show(r.amount)}, after the service fee of {show(r.fee)}"),
            ("carrier gets" if self.is_release else "fee at most", show(r.max_fee)),
        ]
        if self.news is not None:
            pairs.append(("vault", f"{self.news.outcome} in 0x{self.news.transaction.hex()}"))
        elif self.is_release and not self.asked:
            pairs.append(("vault", "was not asked: --rpc URL"))
        return facts([*pairs, ("next", self.next)])


async def read_state(
    native: NativeChain, network: NetworkFile, record: WithdrawalRecord, origin: Origin | None
) -> WithdrawalState:
    """Where a withdrawal is. `origin`: its chain, None to leave the vault out. Raises what the nodes raise."""
    asset = await native.asset(record.asset, "latest")
    assert asset is not None, "the Hub takes registered assets alone"
    chain = await native.chain_info(asset.chain, "latest")
    assert chain is not None, "the Registry has the chain of each asset"
    shown = shown_destination(record, chain, network)
    if chain.kind is not ChainKind.EVM:
        return WithdrawalState(record, asset, chain, shown, None, None, asked=False)
    signed = record.payout is not None and await is_signed(native, record.payout)
    news = None if origin is None else await vault_news(origin, record.number)
    return WithdrawalState(record, asset, chain, shown, signed, news, asked=origin is not None)


def shown_destination(record: WithdrawalRecord, chain: Chain, network: NetworkFile) -> str:
    """Where it goes, for people."""
    from adapters.bitcoin.addresses import address_text
    from adapters.evm.hexes import address_text as account_text

    is_account = chain.kind is ChainKind.EVM
    return account_text(record.destination) if is_account else address_text(record.destination, network.network)


async def is_signed(native: NativeChain, payout: bytes) -> bool:
    """Whether somebody published a signature for a payout; `causeway relay` verifies it."""
    last = (await native.latest_block()).number
    topics = [[Hub.ReleasePublished.topic], [payout]]
    return bool(await read_logs(native.rpc, [native.deployment.hub], native.deployment.start_block, last, topics))


_OUTCOMES = {Released: "released", PaymentFailed: "failed", PaymentClaimed: "claimed", PaymentCancelled: "cancelled"}


async def vault_news(origin: Origin, number: int) -> VaultNews | None:
    """The newest that the vault did with a number; None while it is not consumed."""
    at = await origin.latest()
    wanted = (Lockbox.Released, Lockbox.PaymentFailed, Lockbox.PaymentClaimed, Lockbox.PaymentCancelled)
    topics = [[event.topic for event in wanted], [number.to_bytes(32, "big")]]
    logs = await read_logs(origin.rpc, [origin.vault.lockbox], origin.vault.start_block, at, topics)
    if not logs:
        return None
    newest = decode_event(logs[-1])
    return VaultNews(_OUTCOMES[type(newest)], newest.at.transaction)
