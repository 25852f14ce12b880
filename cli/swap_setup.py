"""Making a trader's folder: what the nodes say of themselves, written into `swap.toml`, and a wallet of words."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from adapters.bitcoin.addresses import NETWORKS
from adapters.bitcoin.rpc import BitcoinRpc
from adapters.evm.endpoint import Endpoint
from adapters.evm.errors import BadAnswer, RpcRefused
from adapters.evm.escrow.contract import EscrowContract
from adapters.evm.escrow.deploy import deploy_escrow
from adapters.evm.escrow.provenance import check_created
from adapters.evm.journal import VolatileJournal
from adapters.evm.rpc import EvmRpc
from adapters.evm.sender import TxSender
from foundation.errors import BadInput
from foundation.files import write_durably
from foundation.quantities import BlockHeight
from registry.caip import evm_chain
from registry.chains import Chain
from settlement.swap.engine.settings import FILE_NAME, load_settings
from settlement.swap.evm.opening import views_of
from settlement.swap.evm.site import EscrowSite


@dataclass(frozen=True, slots=True)
class BitcoinNode:
    """How to reach the trader's bitcoin node. Fields: url; wallet; cookie (path; empty: user and password); zmq."""

    url: str
    wallet: str
    cookie: str = ""
    user: str = ""
    password: str = ""
    zmq: str = ""

    def rpc(self) -> BitcoinRpc:
        """A client of the node, not of the wallet."""
        if self.cookie:
            return BitcoinRpc.from_cookie(self.url, Path(self.cookie).expanduser())
        return BitcoinRpc(self.url, self.user, self.password)


@dataclass(frozen=True, slots=True)
class EvmNodes:
    """How to reach the EVM chain. Fields: urls; escrow (20 bytes); start (None: look for it); symbol; tokens (symbol,
    address, decimals)."""

    urls: Sequence[str]
    escrow: bytes
    start: int | None
    symbol: str
    tokens: Sequence[tuple[str, str, int]] = ()


async def settings_text(
    bitcoin: BitcoinNode, evm: EvmNodes, listen: str, name: str, board: str, poll_seconds: float
) -> str:
    """Ask the nodes which chains they serve, make sure that the Escrow is ours: the text of `swap.toml`.

    Raises:
        BadInput: a node serves a chain that is not known.
        NotOurEscrow: another contract is at the address, or none.
        NodeUnavailable, AccessDenied, WrongChain: a node does not serve.
    """
    with _of_option("--bitcoin-url"):
        bitcoin_node = bitcoin.rpc()
    with _of_option("--evm-url"):
        evm_node = EvmRpc(evm.urls[0])
    async with bitcoin_node as rpc:
        genesis = await rpc.block_hash(BlockHeight(0))
    network = next((one.name for one in NETWORKS.values() if one.genesis == genesis), None)
    if network is None:
        raise BadInput("--bitcoin-url", "the node serves a chain that is not known", "a node of a bitcoin network")
    async with evm_node as evm_rpc:
        number = await evm_rpc.chain_id()
        first = await evm_rpc.block(BlockHeight(0))
        if first is None:
            raise BadInput("--evm-url", "the node has no first block", "a node of an EVM chain")
        start = await _deployed_at(evm_rpc, evm.escrow) if evm.start is None else evm.start
    site = EscrowSite(Chain.named(evm_chain(number), first.hash, 1), evm.escrow, BlockHeight(start))
    await _check_escrow(evm.urls, site)
    lines = [
        "[bitcoin]",
        f"network = {_text(network)}",
        f"url = {_text(bitcoin.url)}",
        f"wallet = {_text(bitcoin.wallet)}",
        *([f"cookie = {_text(bitcoin.cookie)}"] if bitcoin.cookie else []),
        *([f"user = {_text(bitcoin.user)}", f"password = {_text(bitcoin.password)}"] if bitcoin.user else []),
        *([f"zmq = {_text(bitcoin.zmq)}"] if bitcoin.zmq else []),
        "",
        "[evm]",
        f'chain = "eip155:{number}"',
        f'genesis = "0x{first.hash.hex()}"',
        f"urls = {json.dumps(list(evm.urls))}",
        f'escrow = "0x{evm.escrow.hex()}"',
        f"start = {start}",
        f"symbol = {_text(evm.symbol)}",
        f"poll_seconds = {poll_seconds}",
        "",
        "[letters]",
        f"listen = {_text(listen)}",
        *([f"name = {_text(name)}"] if name else []),
        *([f"board = {_text(board)}"] if board else []),
    ]
    for symbol, address, decimals in evm.tokens:
        lines += ["", "[[evm.tokens]]", f"symbol = {_text(symbol)}", f"address = {_text(address)}"]
        lines += [f"decimals = {decimals}"]
    return "\n".join(lines) + "\n"


def write_settings(folder: Path, text: str) -> None:
    """Write `swap.toml` into a folder, which is made where it is missing. Raises `BadInput`: the file would not do."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = folder / FILE_NAME
    write_durably(path, text.encode())
    try:
        load_settings(folder)
    except BadInput:
        path.unlink()
        raise


async def new_escrow(url: str, secret: bytes) -> tuple[bytes, int]:
    """Deploy an Escrow from an account; its address (20 bytes) and block.

    Raises:
        InsufficientBalance: the account cannot pay for it.
        What the node raises.
    """
    async with EvmRpc(url) as rpc, TxSender(rpc, VolatileJournal(), secret, await rpc.chain_id()) as sender:
        return await deploy_escrow(sender)


@contextmanager
def _of_option(option: str) -> Iterator[None]:
    """What is wrong with an address is wrong with the option that it came by."""
    try:
        yield
    except BadInput as error:
        raise BadInput(option, error.problem, error.cure) from error


async def _check_escrow(urls: Sequence[str], site: EscrowSite) -> None:
    views = views_of([Endpoint.at(url) for url in urls], site)
    async with views.heads:
        await views.heads.check()
        head = await views.heads.final()
        assert head is not None, "it has a first block"
        await EscrowContract(views.heads, site.escrow).check(head.number)
        await check_created(views.heads, site.escrow, site.start)


async def _deployed_at(rpc: EvmRpc, escrow: bytes) -> int:
    """The block in which the contract appeared: back from the newest in doubled steps, then by halving.

    So a node that keeps few states is asked for no older ones than it has to be. Raises `BadInput`: it forgot those.
    """
    newest = await rpc.block("latest")
    low = high = 0 if newest is None else int(newest.number)
    step = 1
    try:
        while low > 0 and await rpc.code(escrow, BlockHeight(low)):
            low, high, step = max(0, low - step), low, 2 * step
        while low < high:
            middle = (low + high) // 2
            if await rpc.code(escrow, BlockHeight(middle)):
                high = middle
            else:
                low = middle + 1
    except (RpcRefused, BadAnswer):
        cure = "name the block in which it was deployed; a block explorer shows it"
        raise BadInput("--escrow-start", "is missing, and the node does not remember old states", cure) from None
    return low


def _text(value: str) -> str:
    """A TOML string: JSON's is one."""
    return json.dumps(value, ensure_ascii=True)
