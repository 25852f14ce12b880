"""A bitcoin node on regtest, with everything that the bridge's adapter expects switched on."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

from foundation.quantities import BlockHeight, Satoshi
from infra.errors import NotReady, RpcRefused
from infra.node import Node
from infra.processes import Process
from infra.programs import Program, find_bitcoind
from infra.rpc import Json, JsonRpc

_FEE_ROOM = Satoshi(1_000_000)
"""What the miner's wallet has to have besides: its payment's fee, however many coins it takes."""
_COINBASE_MATURITY = 100
"""A block's reward can be spent once this many blocks follow it (consensus rule)."""

_RPC_WALLET_EXISTS = -4
_RPC_IN_WARMUP = -28
_RPC_WALLET_ALREADY_LOADED = -35
"""Error codes of Bitcoin Core (rpc/protocol.h)."""

_FALLBACK_FEE = "0.00002"
"""BTC per 1,000 virtual bytes, for a wallet that has seen too few transactions to estimate: 2 sat/vB."""

MINER_WALLET = "miner"
"""The wallet that `mine` pays and `faucet` pays from."""


class Bitcoind(Node):
    """bitcoind on regtest: transaction index, ZeroMQ notices of blocks and transactions, RPC by password, no peers.

    Attributes:
        user, password: of the RPC interface; `url` carries neither, `url_with_credentials` both.
    """

    name: ClassVar[str] = "bitcoind"

    def __init__(
        self, folder: Path, *, rpc_port: int | None = None, peer_port: int | None = None, detached: bool = False
    ) -> None:
        """Describe the node; see `Node`.

        Args:
            folder: its data folder.
            rpc_port: for a fixed port; a free one where None.
            peer_port: listen for other nodes on this loopback port; none are accepted where None.
            detached: let it outlive this process.
        """
        super().__init__(folder, detached=detached)
        self._wanted_rpc_port = rpc_port
        self._peer_port = peer_port
        self.user = "causeway"

    @property
    def password(self) -> str:
        """The RPC password, made at first use and kept in the folder."""
        return self._setting("password", secrets.token_urlsafe(24))

    @property
    def rpc_port(self) -> int:
        """The RPC port on 127.0.0.1."""
        return self._port("rpc_port", self._wanted_rpc_port)

    @property
    def url(self) -> str:
        """Where JSON-RPC is served, without credentials."""
        return f"http://127.0.0.1:{self.rpc_port}"

    @property
    def url_with_credentials(self) -> str:
        """Where JSON-RPC is served, user and password included."""
        return f"http://{self.user}:{self.password}@127.0.0.1:{self.rpc_port}"

    @property
    def zmq_rawblock(self) -> str:
        """Publishes each connected block, serialized."""
        return self._zmq("rawblock")

    @property
    def zmq_hashblock(self) -> str:
        """Publishes the hash of each new tip, in the byte order of text."""
        return self._zmq("hashblock")

    @property
    def zmq_rawtx(self) -> str:
        """Publishes each transaction, serialized, when it enters the mempool and when it confirms."""
        return self._zmq("rawtx")

    @property
    def rpc(self) -> JsonRpc:
        """The RPC interface."""
        return JsonRpc(self.name, self.url, self.user, self.password)

    async def mine(self, blocks: int = 1, address: str | None = None) -> list[str]:
        """Mine `blocks` blocks, paid to `address` or the miner's wallet. Returns their hashes (hex, as in text)."""
        target = address or str(await self._miner("getnewaddress"))
        # In small batches: one call for hundreds of blocks would hold up every other caller.
        hashes: list[str] = []
        while len(hashes) < blocks:
            made = await self.rpc.call("generatetoaddress", min(100, blocks - len(hashes)), target)
            assert isinstance(made, list), "generatetoaddress returns a list"
            hashes += [str(block) for block in made]
        return hashes

    async def faucet(self, address: str, amount: Satoshi) -> str:
        """Pay `amount` to `address` from the miner's wallet, without mining. Returns the transaction id (hex).

        Mines what is needed for the wallet to have enough.

        Raises:
            RpcRefused: the address is not one of regtest, or the amount is dust.
        """
        while await self._miner_balance() <= amount + _FEE_ROOM:
            await self.mine(_COINBASE_MATURITY + 1 if await self.height() < _COINBASE_MATURITY else 10)
        txid = str(await self._miner("sendtoaddress", address, as_btc(amount)))
        await self._broadcast(txid)
        return txid

    async def _broadcast(self, txid: str) -> None:
        """See that the miner's payment is in the mempool or a block: its wallet says nothing if it is not.

        Raises:
            RpcRefused: the mempool does not take it; says why.
        """
        try:
            await self.rpc.call("getmempoolentry", txid)
        except RpcRefused:
            kept = await self._miner_transaction(txid)
            try:
                await self.rpc.call("sendrawtransaction", kept["hex"])
            except RpcRefused:
                # Somebody else may mine meanwhile.
                if int(str((await self._miner_transaction(txid))["confirmations"])) < 1:
                    raise

    async def _miner_transaction(self, txid: str) -> dict[str, Json]:
        kept = await self._miner("gettransaction", txid)
        assert isinstance(kept, dict), "gettransaction returns an object"
        return kept

    async def height(self) -> BlockHeight:
        """The height of the best chain."""
        count = await self.rpc.call("getblockcount")
        assert isinstance(count, int), "getblockcount returns a number"
        return BlockHeight(count)

    async def wallet(self, name: str, funds: Satoshi = Satoshi(0)) -> Wallet:
        """The wallet `name`, made where there is none, and paid `funds`, which one block confirms."""
        await self.open_wallet(name)
        wallet = Wallet(self, name)
        if funds:
            await self.faucet(await wallet.address(), funds)
            await self.mine()
        return wallet

    async def open_wallet(self, name: str) -> None:
        """Load the wallet `name`; make it where there is none."""
        try:
            await self.rpc.call("createwallet", name)
        except RpcRefused as refused:
            if refused.code != _RPC_WALLET_EXISTS:
                raise
            try:
                await self.rpc.call("loadwallet", name)
            except RpcRefused as again:
                if again.code != _RPC_WALLET_ALREADY_LOADED:
                    raise

    async def _miner(self, method: str, *params: Json) -> Json:
        path = f"/wallet/{MINER_WALLET}"
        loaded = await self.rpc.call("listwallets")
        if not isinstance(loaded, list) or MINER_WALLET not in loaded:
            await self.open_wallet(MINER_WALLET)
        return await self.rpc.call(method, *params, path=path)

    async def _miner_balance(self) -> Satoshi:
        return from_btc(await self._miner("getbalance"))

    def _zmq(self, topic: str) -> str:
        return f"tcp://127.0.0.1:{self._port(f'zmq_{topic}_port', None)}"

    def _find(self) -> Program:
        return find_bitcoind()

    async def _prepared(self, program: Program) -> Process:
        configuration = self.folder / "bitcoin.conf"
        configuration.write_text(self._configuration())
        configuration.chmod(0o600)
        arguments = [f"-datadir={self.folder}", f"-conf={configuration}"]
        return self._supervised(program, arguments)

    def _configuration(self) -> str:
        peers = ["listen=0"]
        if self._peer_port is not None:
            peers = ["listen=1", f"bind=127.0.0.1:{self._peer_port}"]
        lines = [
            "regtest=1",
            "server=1",
            "txindex=1",
            f"fallbackfee={_FALLBACK_FEE}",
            "printtoconsole=1",
            "nodebuglogfile=1",
            # Every node of the dev network polls and waits: more of each than the defaults (16 and 64).
            "rpcthreads=16",
            "rpcworkqueue=512",
            "dbcache=64",
            # A wallet begins with 8,000 keys otherwise, and to make one takes seconds. Nobody restores one of these.
            "keypool=20",
            # Knots relays nothing whose lock time is 21. A wallet sets it to a recent height: a payment is refused at
            # height 21, and at times up to height 121. Other releases ignore what they do not know.
            "rejectparasites=0",
            "[regtest]",
            *peers,
            "dnsseed=0",
            "fixedseeds=0",
            "discover=0",
            "listenonion=0",
            "rpcbind=127.0.0.1",
            "rpcallowip=127.0.0.1",
            f"rpcport={self.rpc_port}",
            f"rpcauth={rpcauth(self.user, self.password)}",
            f"zmqpubrawblock={self.zmq_rawblock}",
            f"zmqpubhashblock={self.zmq_hashblock}",
            f"zmqpubrawtx={self.zmq_rawtx}",
        ]
        return "\n".join(lines) + "\n"

    async def _probe(self, timeout_seconds: float) -> None:
        try:
            index = await replace(self.rpc, timeout_seconds=timeout_seconds).call("getindexinfo", "txindex")
        except RpcRefused as refused:
            if refused.code == _RPC_IN_WARMUP:
                raise NotReady(self.name, refused.message) from refused
            raise
        state = index.get("txindex") if isinstance(index, dict) else None
        if not isinstance(state, dict) or state.get("synced") is not True:
            raise NotReady(self.name, "its transaction index is not complete")


@dataclass(frozen=True, slots=True)
class Wallet:
    """A wallet inside a bitcoin node: a depositor's or a payee's. Fields: node; name."""

    node: Bitcoind
    name: str

    async def call(self, method: str, *params: Json) -> Json:
        """Call an RPC method of this wallet. Raises `NotReady` or `RpcRefused`."""
        return await self.node.rpc.call(method, *params, path=f"/wallet/{self.name}")

    async def address(self, kind: str = "bech32m") -> str:
        """A fresh address; `kind` as bitcoind names them (legacy, p2sh-segwit, bech32, bech32m)."""
        return str(await self.call("getnewaddress", "", kind))

    async def send(self, address: str, amount: Satoshi) -> str:
        """Pay `amount` to `address`; not mined. Returns the transaction id (hex). Raises `RpcRefused`."""
        return str(await self.call("sendtoaddress", address, as_btc(amount)))

    async def balance(self) -> Satoshi:
        """What it can spend: confirmed, or unconfirmed change of its own."""
        return from_btc(await self.call("getbalance"))


def rpcauth(user: str, password: str) -> str:
    """The value of bitcoind's setting `rpcauth`: the password itself is not in the configuration file.

    Source: Bitcoin Core, doc/JSON-RPC-interface.md and share/rpcauth: user:salt$HMAC-SHA256(key salt, password).
    """
    salt = secrets.token_hex(16)
    return f"{user}:{salt}${hmac.new(salt.encode(), password.encode(), hashlib.sha256).hexdigest()}"


def as_btc(amount: Satoshi) -> str:
    """An amount as bitcoind's RPC takes it: a decimal number of BTC in text, exact."""
    return f"{amount // 100_000_000}.{amount % 100_000_000:08d}"


def from_btc(value: Json) -> Satoshi:
    """An amount as bitcoind's RPC gives it. A binary float holds any amount of BTC to well below a satoshi."""
    assert isinstance(value, int | float), "bitcoind gives amounts as numbers"
    return Satoshi(round(value * 100_000_000))
