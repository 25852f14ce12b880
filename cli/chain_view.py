"""What `causeway chain` shows of a chain."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from cli.chain_registering import finality_text
from cli.output import clock, facts, short, table
from cli.policy_options import policy_document
from registry.chains import ChainKind

if TYPE_CHECKING:
    from adapters.native.chain import NativeChain
    from cli.context import NetworkFile
    from registry.chains import Chain, Vault


async def chain_document(
    native: NativeChain, network: NetworkFile, chain: Chain, urls: Sequence[str]
) -> dict[str, Any]:
    """All of one chain for `--json`. `urls`: endpoints of it, to look at its vault too; or none."""
    serving = await native.active_group(chain.id, "latest")
    group = None if serving is None else await native.group(serving, "latest")
    document: dict[str, Any] = {
        "id": chain.id.hex(),
        "caip2": chain.caip2,
        "kind": chain.kind.name.lower(),
        # Block hashes of bitcoin are written the other way round.
        "genesis": (chain.genesis[::-1] if chain.kind is ChainKind.BITCOIN else chain.genesis).hex(),
        "finality": finality_text(chain.confirmations),
        "group": None
        if group is None
        else {
            "id": group.id.hex(),
            "threshold": group.threshold,
            "members": len(group.members),
            "key": None if group.key is None else group.key.hex(),
        },
    }
    if chain.kind is ChainKind.BITCOIN:
        return {**document, "vault": _bitcoin_vault(network, chain, None if group is None else group.key)}
    policy, vault = await native.chain_policy(chain.id, "latest"), await native.vault(chain.id, "latest")
    opened = None if policy is None else policy_document(policy)
    document |= {"open": policy is not None, "introduced": opened, "vault": None}
    if vault is not None:
        document["vault"] = {
            "address": "0x" + vault.lockbox.hex(),
            "start_block": vault.start_block,
            "group": vault.group.hex(),
            **(await _looked(chain, vault, urls) if urls else {}),
        }
    return document


def _bitcoin_vault(network: NetworkFile, chain: Chain, key: bytes | None) -> dict[str, Any] | None:
    from adapters.bitcoin.addresses import address_text
    from adapters.bitcoin.scripts import vault_script

    if key is None or chain.id != network.chain:
        return None
    return {"address": address_text(vault_script(key), network.network)}


async def _looked(chain: Chain, vault: Vault, urls: Sequence[str]) -> dict[str, Any]:
    """What the vault says of itself in its chain's newest final block."""
    from adapters.evm.endpoints import Endpoints
    from adapters.evm.errors import NodeUnavailable
    from adapters.evm.lockbox.errors import typed_revert
    from adapters.evm.lockbox.vault import LockboxVault

    async with Endpoints.at(urls, chain, reverted=typed_revert) as endpoints:
        final = await endpoints.final()
        if final is None:
            raise NodeUnavailable("eth_getBlockByNumber", "no block is final yet")
        lockbox, at = LockboxVault(endpoints, vault.lockbox), final.number
        until = await lockbox.paused_until(at)
        return {
            "at_block": at,
            "key": (await lockbox.key(at)).hex(),
            "epoch": await lockbox.epoch(at),
            "locks": await lockbox.lock_count(at),
            "paused_until": until if until > final.timestamp else None,
        }


def chain_text(document: dict[str, Any]) -> str:
    """The same for people."""
    vault, group = document["vault"], document["group"]
    pairs: list[tuple[str, Any]] = [
        ("chain", document["caip2"]),
        ("id", document["id"]),
        ("kind", document["kind"]),
        ("genesis block", document["genesis"]),
        ("final", _finality(document["finality"])),
        ("group", None if group is None else f"{group['id']}, {group['threshold']} of {group['members']} sign"),
        ("vault", "none yet" if vault is None else vault["address"]),
    ]
    if "open" in document:
        pairs.append(("new ERC-20s", "vouchers introduce them" if document["open"] else "closed"))
    if vault is not None and "start_block" in vault:
        pairs.append(("since block", f"{vault['start_block']:,}"))
    if vault is not None and "at_block" in vault:
        paused = vault["paused_until"]
        pairs += [
            ("key, epoch", f"{vault['key']}, {vault['epoch']}"),
            ("locks", f"{vault['locks']:,}"),
            ("state", "works" if paused is None else f"PAUSED until {clock(paused * 1000)}"),
            ("as of block", f"{vault['at_block']:,}"),
        ]
    return facts(pairs)


def _finality(text: str) -> str:
    return "as the chain itself says (finalized)" if text == "finalized" else text.replace("depth:", "confirmations: ")


def list_text(documents: Sequence[dict[str, Any]]) -> str:
    """A table of chains."""
    rows = [
        (
            short(d["id"]),
            d["kind"],
            d["finality"],
            short(d["group"] and d["group"]["id"]),
            "open" if d.get("open") else "–",
            d["caip2"],
            d["vault"] and d["vault"]["address"],
        )
        for d in documents
    ]
    return table(("id", "kind", "final", "group", "ERC-20s", "chain", "vault"), rows)
