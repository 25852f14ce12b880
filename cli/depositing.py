"""What `causeway deposit` and the demo do for a depositor: terms, receipts, announcements, reclaims."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cli.exits import NotFound
from foundation.errors import BadInput
from foundation.files import write_durably
from foundation.quantities import BlockHeight

if TYPE_CHECKING:
    from adapters.bitcoin.addresses import Network
    from adapters.bitcoin.rpc import BitcoinRpc
    from adapters.native.chain import NativeChain
    from adapters.native.ports import Sender
    from bridge.receipts import DepositReceipt
    from cli.context import NetworkFile
    from registry.assets import AssetPolicy

DELAY: Final = 4320
"""Blocks, about thirty days."""
DELAY_REGTEST: Final = 144
_REORG: Final = 6
"""Blocks below the tip from which coins are looked for: a reorg may bring a coin into a lower block than expected."""


@dataclass(frozen=True, slots=True)
class Offer:
    """A deposit address and what it asks for. Fields: receipt; policy (the asset's)."""

    receipt: DepositReceipt
    policy: AssetPolicy


async def make_offer(
    network: NetworkFile,
    native: NativeChain,
    bitcoin: BitcoinRpc,
    recipient: bytes,
    reclaim_key: bytes,
    delay: int | None = None,
) -> Offer:
    """Terms of a new deposit address, with a salt of its own. Nothing is written or sent.

    Args:
        network: the bridge.
        native: names the group that serves now.
        bitcoin: names the height from which coins are looked for.
        recipient: the account that gets the tokens, 20 bytes.
        reclaim_key: the depositor's, x-only, 32 bytes.
        delay: blocks after which it can spend; the network's usual number where None.

    Raises:
        NotFound: no group serves bitcoin, or its asset is not registered.
        BadInput: a value that cannot be; names the option.
    """
    from adapters.bitcoin.scripts import DepositTerms, check_key
    from bridge.receipts import DepositReceipt

    deployment = native.deployment
    if recipient in (bytes(20), deployment.hub):
        raise BadInput("--recipient", "cannot receive tokens", "an account of yours on the native chain")
    check_key("--reclaim-key", reclaim_key)
    delay = _delay(delay, network.network)
    group_id = await native.active_group(network.chain)
    group = None if group_id is None else await native.group(group_id)
    asset = await native.asset(network.asset)
    if group is None or group.key is None or asset is None:
        raise NotFound("no group of storemen serves bitcoin yet", "wait until the group has made its key")
    if asset.policy.denied:
        raise BadInput("asset", "is delisted: deposits would be sent back", "another bridge")
    if asset.policy.paused:
        raise BadInput("asset", "is paused: deposits would be sent back", "wait until the bridge's owner resumes it")
    terms = DepositTerms(
        deployment.chain_id,
        deployment.hub,
        network.asset,
        group.id,
        group.key,
        recipient,
        reclaim_key,
        delay,
        secrets.token_bytes(32),
    )
    birthday = BlockHeight(max((await bitcoin.tip()).height - _REORG, 0))
    return Offer(DepositReceipt(network.network, terms, birthday), asset.policy)


def _delay(given: int | None, network: Network) -> int:
    from adapters.bitcoin.scripts import MAX_DELAY

    if given is None:
        return DELAY_REGTEST if network.name == "regtest" else DELAY
    if not network.minimum_delay <= given <= MAX_DELAY:
        problem = f"{given} blocks are not possible on the network {network.name}"
        raise BadInput("--delay", problem, f"{network.minimum_delay} to {MAX_DELAY:,} blocks")
    return given


async def announce(native: NativeChain, sender: Sender, receipt: DepositReceipt) -> bytes | None:
    """Publish a receipt's terms, so that the bridge's nodes watch its address.

    Returns:
        The transaction, None where they were announced before.

    Raises:
        BadInput: the receipt is of another bridge.
        What `TxSender.send` raises.
    """
    check_bridge(native, receipt)
    if await is_announced(native, receipt):
        return None
    key = f"announce {receipt.announcement_id.hex()}"
    return (await sender.send(native.calls.announce_deposit(receipt.announcement), key)).transaction


async def is_announced(native: NativeChain, receipt: DepositReceipt) -> bool:
    """Whether a receipt's terms are announced, finally or not yet, with a birthday that misses no coin."""
    from adapters.native.events import DepositAnnounced

    known = await native.announcement(receipt.announcement_id)
    if known is not None and known.birthday <= receipt.birthday:
        return True
    first = BlockHeight((await native.finalized_block()).number + 1)
    last = (await native.latest_block()).number
    fresh = await native.events(first, last) if first <= last else []
    return any(
        event.id == receipt.announcement_id and event.terms.birthday <= receipt.birthday
        for event in fresh
        if isinstance(event, DepositAnnounced)
    )


def check_bridge(native: NativeChain, receipt: DepositReceipt) -> None:
    """Raises `BadInput` where the receipt is of another bridge than the network file's."""
    terms = receipt.terms
    if (terms.hub_chain_id, terms.hub_address) != (native.deployment.chain_id, native.deployment.hub):
        cure = "the network file of the bridge that the receipt is for"
        raise BadInput("--network", "is of another bridge than the receipt", cure)


def new_reclaim_key(path: Path, network: Network) -> bytes:
    """Make a reclaim key, write it to a new file that only its owner reads, and return its public half (32 bytes).

    Raises:
        BadInput: the file exists.
        OSError: it cannot be written.
    """
    from coincurve import PrivateKey, PublicKeyXOnly

    from adapters.bitcoin.reclaim import reclaim_key_text

    check_new(path, "--new-reclaim-key")
    secret = PrivateKey().secret
    write_durably(path, (reclaim_key_text(secret, network) + "\n").encode(), mode=0o600)
    return bytes(PublicKeyXOnly.from_secret(secret).format())


def parse_reclaim_key(text: str) -> bytes:
    """An x-only public key of 32 bytes. Raises `BadInput`."""
    from adapters.bitcoin.scripts import check_key

    try:
        key = bytes.fromhex(text)
    except ValueError as error:
        raise BadInput("--reclaim-key", "is not hex", "an x-only public key: 64 hex digits") from error
    check_key("--reclaim-key", key)
    return key


def check_new(path: Path, option: str) -> None:
    """Raises `BadInput` where a file is there already: neither keys nor receipts are ever overwritten."""
    if path.exists():
        raise BadInput(option, f"{path} exists", "name a new file; nothing is ever overwritten")


def write_receipt(path: Path, receipt: DepositReceipt) -> None:
    """Write a receipt to a new file. Raises `BadInput`, `OSError`."""
    check_new(path, "--receipt")
    write_durably(path, receipt.to_json().encode(), mode=0o644)


def read_receipt(path: Path) -> DepositReceipt:
    """Read a receipt. Raises `BadInput` naming the file and the member of it that is wrong."""
    from bridge.receipts import DepositReceipt
    from cli.context import read_text

    return DepositReceipt.from_json(read_text(path, "RECEIPT"), str(path))
