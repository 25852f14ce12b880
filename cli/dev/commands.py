"""`causeway dev`: put a whole network up on this machine, look at it, feed it, and take it down."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from cli.context import JsonOption, command_group, dev_folder, run
from cli.exits import ExitCode, NotFound
from cli.output import Output, coin, facts, short, table
from foundation.errors import BadInput

if TYPE_CHECKING:
    from cli.dev.network import DevNetwork
    from cli.dev.origin import DevOrigin

app = command_group("A whole development network on this machine: chains, contracts, storemen and vouchers.")

_ACCOUNT: Final = re.compile(r"0x[0-9a-fA-F]{40}")
_BITCOIN_DECIMALS: Final = 8
_COIN_DECIMALS: Final = 18
_MINE_MAX: Final = 10_000


class ChainName(StrEnum):
    """An EVM chain of the network."""

    NATIVE = "native"
    ORIGIN = "ethereum"


class DatabaseName(StrEnum):
    """Where nodes keep their memory."""

    SQLITE = "sqlite"
    POSTGRESQL = "postgresql"


@app.command("up")
def up(
    storemen: Annotated[int | None, typer.Option("--storemen", help="Nodes that share the vault's key (5).")] = None,
    threshold: Annotated[int | None, typer.Option("--threshold", help="How many of them sign (3).")] = None,
    vouchers: Annotated[int | None, typer.Option("--vouchers", help="Nodes that attest deposits (4).")] = None,
    database: Annotated[DatabaseName | None, typer.Option("--database", help="Of every node (sqlite).")] = None,
    evm_chain: Annotated[
        int | None, typer.Option("--evm-chain", help="Number of the EVM origin chain (31338); 0: none.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Put the network up, in the background. What runs already is left alone; what is down is started again.

    \b
    Example:
      causeway dev up
      causeway dev up --storemen 7 --threshold 5 --vouchers 5 --database postgresql
    """
    from dataclasses import replace

    from cli.dev.network import DevNetwork, DevPlan, kept_plan
    from cli.dev.origin import DEV_EVM_CHAIN

    output = Output(as_json)
    wanted = {
        "storemen": storemen,
        "threshold": threshold,
        "vouchers": vouchers,
        "database": database,
        "evm_chain": evm_chain,
    }
    given = {name: _plain(value) for name, value in wanted.items() if value is not None}
    folder = dev_folder()
    plan = replace(kept_plan(folder) or DevPlan(evm_chain=DEV_EVM_CHAIN), **given)
    network = DevNetwork(folder, plan, detached=True, progress=output.progress)
    run(network.start())
    document = _facts(network)
    output.result(document, lambda: facts(document.items()) + "\n\n" + _HINTS)


_HINTS: Final = """Try:
  causeway dev status
  causeway dev mine
  causeway dev down"""


def _plain(value: Any) -> Any:
    return value.value if isinstance(value, DatabaseName) else value


def _facts(network: DevNetwork) -> dict[str, Any]:
    assert network.group is not None, "start() sets it"
    key, origin = network.group.key, network.origin
    found: dict[str, Any] = {} if origin is None else {origin.anvil.name: origin.anvil.url, "evm_chain": origin.chain}
    if origin is not None and origin.registered is not None:
        found |= {"vault": "0x" + origin.registered.vault.lockbox.hex(), "people": str(origin.people)}
    return {
        "network": str(network.network_file),
        "owner_key": str(network.owner_key),
        "bitcoin": network.bitcoind.url,
        "native": network.anvil.url,
        **found,
        "group": network.group.id.hex(),
        "key": None if key is None else key.hex(),
        "nodes": len(network.nodes),
    }


@app.command("down")
def down(
    remove: Annotated[bool, typer.Option("--remove", help="Delete its folder too: chains, keys, everything.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Take the network down. Its data stays, unless --remove is given: a later `up` goes on from there.

    \b
    Example:
      causeway dev down
    """
    from cli.dev.network import DevNetwork

    output = Output(as_json)
    network = DevNetwork.at(dev_folder(), progress=output.progress)
    run(network.remove() if remove else network.stop())
    output.result({"folder": str(network.folder), "removed": remove}, "removed" if remove else "down; its data stays")


@app.command("status")
def status(as_json: JsonOption = False) -> None:
    """Tell what of the network runs. The exit status is 5 unless everything does.

    \b
    Example:
      causeway dev status
    """
    from cli.dev.network import DevNetwork

    network = DevNetwork.at(dev_folder())
    document = run(_status(network))
    Output(as_json).result(document, lambda: _status_text(document))
    if not document["up"]:
        raise typer.Exit(ExitCode.NOT_YET)


async def _status(network: DevNetwork) -> dict[str, Any]:
    chains = [
        {"name": node.name, "up": await node.healthy(), "pid": node.pid if node.is_running else None}
        for node in network.chains
    ]
    nodes = []
    databases_up = network.postgres is None or network.postgres.is_running
    for node in network.nodes:
        said = await node.status() if databases_up else None
        groups = [g for g in (said or {}).get("groups", []) if g.get("serves")]
        nodes.append(
            {
                "name": node.name,
                "up": databases_up and await node.is_up(),
                "pid": node.process.pid if node.is_running else None,
                "account": "0x" + node.public.member.account.hex() if node.exists else None,
                "folder": str(node.folder),
                "bitcoin": (said or {}).get("bitcoin"),
                "native": (said or {}).get("native"),
                "evm": (said or {}).get("evm", []),
                "group": groups[0]["id"] if groups else None,
                "account_balance_wei": (said or {}).get("account_balance_wei"),
            }
        )
    everything = all(one["up"] for one in [*chains, *nodes])
    return {"up": everything, "folder": str(network.folder), "chains": chains, "nodes": nodes}


def _status_text(document: dict[str, Any]) -> str:
    evm = sorted({chain["chain"] for n in document["nodes"] for chain in n["evm"]})
    nothing = [None] * (3 + len(evm))
    rows = [(c["name"], "up" if c["up"] else "DOWN", c["pid"], *nothing) for c in document["chains"]]
    for n in document["nodes"]:
        heights = [_place(n["bitcoin"], "height"), _place(n["native"], "block")]
        heights += [_place(next((c for c in n["evm"] if c["chain"] == name), None), "block") for name in evm]
        rows.append(
            (n["name"], "up" if n["up"] else "DOWN", n["pid"], *heights, coin(n["account_balance_wei"], places=4))
        )
    headers = ("process", "state", "pid", "bitcoin", "native", *evm, "coin for gas")
    group = next((n["group"] for n in document["nodes"] if n["group"]), None)
    lines = [
        table(headers, rows, right=("pid", "bitcoin", "native", *evm)),
        "",
        f"group {short(group)} serves" if group else "no group serves yet",
    ]
    return "\n".join([*lines, f"folder {document['folder']}"])


def _place(chain: dict[str, Any] | None, field: str) -> Any:
    if chain is None:
        return None
    return chain[field] if chain["state"] == "ok" else f"{chain[field]} (waiting)"


@app.command("mine")
def mine(
    blocks: Annotated[int, typer.Argument(metavar="[N]", help="How many bitcoin blocks.")] = 1,
    as_json: JsonOption = False,
) -> None:
    """Mine bitcoin blocks; whatever is in the mempool is confirmed.

    \b
    Example:
      causeway dev mine 6
    """
    from cli.dev.network import DevNetwork

    if not 1 <= blocks <= _MINE_MAX:
        raise BadInput("N", f"{blocks} is not possible", f"1 to {_MINE_MAX}")
    bitcoind = DevNetwork.at(dev_folder()).bitcoind

    async def work() -> dict[str, Any]:
        hashes = await bitcoind.mine(blocks)
        return {"blocks": hashes, "height": await bitcoind.height()}

    document = run(work())
    Output(as_json).result(document, f"mined {blocks} block(s); the height is {document['height']:,}")


@app.command("faucet")
def faucet(
    to: Annotated[str, typer.Argument(metavar="ADDRESS|0xACCOUNT", help="A bitcoin address, or an account.")],
    amount: Annotated[str, typer.Argument(metavar="AMOUNT", help="In bitcoin, or in an EVM chain's coin.")],
    on: Annotated[
        ChainName, typer.Option("--on", help="The chain of an account: the native one, or the EVM origin chain.")
    ] = ChainName.NATIVE,
    as_json: JsonOption = False,
) -> None:
    """Pay bitcoin, or an EVM chain's coin. To a bitcoin address (not mined yet), or to an account.

    \b
    Example:
      causeway dev faucet bcrt1q6z64a43mjgkcq0ul2znwneq3spghrlau9slefp 0.5
      causeway dev faucet 0x70997970C51812dc3A010C7d01b50e0d17dc79C8 10
      causeway dev faucet 0x70997970C51812dc3A010C7d01b50e0d17dc79C8 10 --on ethereum
    """
    from cli.dev.network import DevNetwork

    network = DevNetwork.at(dev_folder())
    document, text = run(_pay(network, to, amount, on))
    Output(as_json).result(document, text)


async def _pay(network: DevNetwork, to: str, amount: str, on: ChainName) -> tuple[dict[str, Any], str]:
    from adapters.bitcoin.addresses import REGTEST, parse_address
    from foundation.quantities import Satoshi, Wei
    from registry.amounts import parse_amount

    if to.startswith("0x"):
        if not _ACCOUNT.fullmatch(to):
            raise BadInput("ADDRESS|0xACCOUNT", f"{to!r} is no account", "0x and 40 hex digits")
        wei = Wei(_positive(parse_amount(amount, _COIN_DECIMALS, "AMOUNT")))
        anvil = network.anvil if on is ChainName.NATIVE else _origin(network).anvil
        await anvil.faucet(to, wei)
        return {"account": to, "amount_wei": str(wei), "on": on.value}, f"{to} has {coin(wei)} more"
    parse_address(to, REGTEST, "ADDRESS|0xACCOUNT")
    satoshi = Satoshi(_positive(parse_amount(amount, _BITCOIN_DECIMALS, "AMOUNT")))
    txid = await network.bitcoind.faucet(to, satoshi)
    return {"address": to, "amount_sat": satoshi, "txid": txid}, f"{txid}\nconfirm it with: causeway dev mine"


@app.command("token")
def token(
    name: Annotated[str, typer.Argument(metavar="NAME", help="For people.")],
    symbol: Annotated[str, typer.Argument(metavar="SYMBOL", help="Its ticker.")],
    to: Annotated[str, typer.Option("--to", metavar="0xACCOUNT|NAME", help="Gets all of it: an account, or alice.")],
    amount: Annotated[str, typer.Option("--amount", help="How much there is, in whole coins.")],
    decimals: Annotated[int, typer.Option("--decimals", min=0, max=77, help="Of the token.")] = 18,
    as_json: JsonOption = False,
) -> None:
    """Deploy a plain ERC-20 on the EVM origin chain. The bridge has never seen it: its first deposit introduces it.

    \b
    Example:
      causeway dev token "Trout Dollar" TRD --to alice --amount 1000
    """
    from adapters.evm.hexes import address_text
    from cli.dev.network import DevNetwork
    from cli.dev.origin import account_named
    from registry.amounts import parse_amount

    network = DevNetwork.at(dev_folder())
    origin = _origin(network)
    holder = account_named(origin, to)
    units = _positive(parse_amount(amount, decimals, "--amount"))
    made = run(origin.deploy_token(network.owner_secret, name, symbol, decimals, holder, units))
    document = {
        "token": address_text(made),
        "asset": f"{origin.chain}/erc20:0x{made.hex()}",
        "holder": address_text(holder),
        "units": str(units),
    }
    Output(as_json).result(document, lambda: facts(document.items()))


def _origin(network: DevNetwork) -> DevOrigin:
    if network.origin is None:
        cure = "begin anew with causeway dev down --remove and causeway dev up"
        raise NotFound("this development network has no EVM origin chain", cure)
    return network.origin


def _positive(amount: int) -> int:
    if amount == 0:
        raise BadInput("AMOUNT", "is zero", "more than zero")
    return amount
