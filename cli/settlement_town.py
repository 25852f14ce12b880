"""The settlement demo's town: a central bank's book, a native chain with the other currency, and three banks at work.

Each is a process of its own: the book's REST service, the chain's node, PostgreSQL, and a gateway for each bank.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import sys
import tomllib
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

import httpx
from eth_abi.abi import encode
from eth_utils.address import to_checksum_address

from adapters.evm.abi import function
from adapters.evm.escrow.deploy import deploy_anchors, deploy_escrow
from adapters.evm.flight import SenderPolicy
from adapters.evm.journal import VolatileJournal
from adapters.evm.rpc import EvmRpc
from adapters.evm.sender import TxSender
from adapters.evm.types import Call
from adapters.native.eip712 import account_of_secret
from api.principals import Scope
from cli.dev.origin import token_code
from cli.exits import TimedOut
from cli.gateway_folder import NewGateway, make_folder
from cli.gateway_keys import make_key
from foundation.files import write_durably
from foundation.quantities import BlockHeight, Wei
from infra.anvil import Anvil
from infra.ports import free_port
from infra.postgres import Postgres
from infra.processes import Process
from settlement.gateway.config import load_config
from settlement.ledgers.book.keys import new_key
from settlement.ledgers.book.operator import BookOperator
from settlement.ledgers.book.types import AccountKind, Payment
from settlement.ledgers.protocol import LedgerAccount, LedgerId, TransferId
from settlement.quantities import Asset, Scale, Units

EURO: Final = Asset("EUR", Scale(2))
YUAN: Final = Asset("CNY", Scale(2))
BOOK: Final = LedgerId("digital-euro")
CHAIN: Final = LedgerId("digital-yuan")
PAYER, CLEARER, PAYEE = "bank-a", "clearing", "bank-b"
FUNDS: Final = Units(5_000_000_00)
"""What the payer has in euro, and the clearing bank on both ledgers."""
RATE: Final = "2"
FEE: Final = "1.00"
CREDITOR: Final = "CN-6222-0210-0111"
DEBTOR: Final = "DE02120300000000202051"

_TRANSFER = function("ERC20", "transfer", "address, uint256", "bool")
_READY_SECONDS: Final = 60.0
_LOOK_SECONDS: Final = 0.1
_ETHER: Final = Wei(100 * 10**18)
_POLICY: Final = SenderPolicy(poll_seconds=0.05, tend_seconds=0.5)


@dataclass(frozen=True, slots=True)
class Contracts:
    """What is deployed on the native chain. Fields: token, escrow, anchors (20 bytes each); block (of the escrow);
    genesis (32 bytes)."""

    token: bytes
    escrow: bytes
    anchors: bytes
    block: int
    genesis: bytes


class Town:
    """All processes of the demo. Use as `async with`; `progress` is told what is being started."""

    def __init__(self, folder: Path, progress: Callable[[str], None]) -> None:
        self.folder = folder
        self._progress = progress
        self.postgres = Postgres(durable=True)  # in a folder of its own, which its user may enter
        self.chain = Anvil(folder / "native", block_seconds=1.0)
        self.processes: dict[str, Process] = {}
        self.apis: dict[str, str] = {}
        self.api_keys: dict[str, str] = {}
        self.rest_keys: dict[str, str] = {}
        self.databases: dict[str, str] = {}
        self.book_url = ""
        self.operator: BookOperator | None = None
        self.contracts: Contracts | None = None
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self._stop)
            self._progress("PostgreSQL and the native chain")
            await asyncio.gather(self.postgres.start(), self.chain.start())
            self._progress("the digital euro's book")
            await self._open_book(stack)
            self._progress("the digital yuan's contracts")
            await self._deploy()
            self._progress("the banks' gateways")
            await self._open_banks()
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self._stack.aclose()

    # --- The central bank's book ------------------------------------------------------------------------------------

    async def _open_book(self, stack: AsyncExitStack) -> None:
        folder = self.folder / "book"
        folder.mkdir(parents=True)
        key, digest = new_key("central-bank")
        port = free_port()
        config = {
            "book": {
                "ledger_id": BOOK,
                "database": await self._database("digital_euro"),
                "port": port,
                "operators": {"central-bank": digest.hex()},
            }
        }
        write_durably(folder / "book.toml", _toml(config).encode())
        self.book_url = f"http://127.0.0.1:{port}"
        await self._run("book", [sys.executable, "-m", "settlement.ledgers.book", folder / "book.toml"], folder)
        await self._answers(f"{self.book_url}/health", "the book")
        operator = self.operator = await stack.enter_async_context(BookOperator(BOOK, self.book_url, key))
        await operator.open_account("central-bank", EURO, "operator", AccountKind.ISSUER)
        for bank, money in ((PAYER, FUNDS), (CLEARER, FUNDS)):
            await operator.open_account(bank, EURO, bank)
            self.api_keys[bank] = await operator.make_key(f"{bank}-key", bank)
            number = TransferId(secrets.token_bytes(32))
            await operator.pay([Payment(number, LedgerAccount("central-bank"), LedgerAccount(bank), money)])

    # --- The native chain -------------------------------------------------------------------------------------------

    async def _deploy(self) -> None:
        self._keys = {name: secrets.token_bytes(32) for name in (CLEARER, PAYEE, "anchor-a", "anchor-b", "anchor-c")}
        issuer = self.chain.account_key(0)
        async with (
            EvmRpc(self.chain.url) as rpc,
            TxSender(rpc, VolatileJournal(), issuer, self.chain.chain_id, _POLICY) as sender,
        ):
            self.issuer = sender.account
            holder = to_checksum_address(sender.account)
            arguments = encode(
                ["string", "string", "uint8", "address", "uint256"], ["Digital Yuan", "CNY", 2, holder, 10**15]
            )
            token = (await sender.send(Call(None, token_code() + arguments, "deploy"), "token")).receipt.contract
            assert token is not None, "a deployment has an address"
            escrow, block = await deploy_escrow(sender)
            anchors, _ = await deploy_anchors(sender)
            for secret in self._keys.values():
                await self.chain.faucet("0x" + account_of_secret(secret).hex(), _ETHER)
            clearer = account_of_secret(self._keys[CLEARER])
            await sender.send(Call(token, _TRANSFER.encode(clearer, int(FUNDS)), "issue"), "issue")
            first = await rpc.block(BlockHeight(0))
            assert first is not None, "every chain has a first block"
            self.contracts = Contracts(token, escrow, anchors, block, first.hash)

    def account(self, bank: str) -> str:
        """A bank's account on the native chain."""
        return to_checksum_address(account_of_secret(self._keys[bank]))

    # --- The banks --------------------------------------------------------------------------------------------------

    async def _open_banks(self) -> None:
        assert self.contracts is not None, "deployed before"
        banks = {PAYER: "anchor-a", CLEARER: "anchor-c", PAYEE: "anchor-b"}
        for bank, anchor in banks.items():
            await self._make_bank(bank, anchor)
        for bank in banks:
            for other in banks:
                card = self.folder / bank / "cards" / f"{bank}.json"
                (self.folder / other / "cards" / f"{bank}.json").write_bytes(card.read_bytes())
        starts = [self._start_bank(bank) for bank in banks]
        await asyncio.gather(*starts)

    async def _make_bank(self, bank: str, anchor: str) -> None:
        folder = self.folder / bank
        letters, api = free_port(), free_port()
        database = self.databases[bank] = await self._database(bank.replace("-", "_"))
        password = secrets.token_urlsafe(16)
        new = NewGateway(
            bank, f"g.{bank}", f"127.0.0.1:{letters}", f"127.0.0.1:{api}", f"http://127.0.0.1:{letters}", database
        )
        made = await asyncio.to_thread(make_folder, folder, new, password)
        write_durably(folder / "password", password.encode())
        write_durably(folder / "rules.toml", _RULES.encode())
        config: dict[str, Any] = tomllib.loads(made.config.read_text())
        config["ledgers"] = {}
        if bank in self.api_keys:
            write_durably(folder / "book.api-key", self.api_keys[bank].encode())
            config["ledgers"][BOOK] = {
                "kind": "book",
                "asset": EURO.code,
                "scale": int(EURO.scale),
                "url": self.book_url,
                "account": bank,
                "api_key_file": "book.api-key",
            }
        if bank in self._keys:
            write_durably(folder / "chain.key", self._keys[bank].hex().encode())
            config["ledgers"][CHAIN] = self._chain_ledger()
        write_durably(folder / "anchor.key", self._keys[anchor].hex().encode())
        config["anchoring"] = self._anchoring()
        if bank == PAYEE:
            config["receiving"] = {"ledger": CHAIN, "account": self.account(PAYEE)}
        if bank == CLEARER:
            corridor = {"source": BOOK, "target": CHAIN, "fee": FEE}
            config["clearing"] = {"rates": {"prices": {"EUR": RATE, "CNY": "1"}}, "corridors": [corridor]}
        write_durably(made.config, _toml(config).encode())
        for account, country, person in _CUSTOMERS.get(bank, ()):
            document = json.dumps({"account": account, "country": country, "person": person})
            write_durably(folder / "customers" / f"{account}.json", document.encode())
        self.apis[bank] = f"http://127.0.0.1:{api}"
        self.rest_keys[bank] = await make_key(load_config(made.config), "demo", "core-banking", tuple(Scope))

    def _chain_ledger(self) -> dict[str, Any]:
        assert self.contracts is not None, "deployed before"
        return {
            "kind": "evm",
            "asset": YUAN.code,
            "scale": int(YUAN.scale),
            "urls": [self.chain.url],
            "chain": f"eip155:{self.chain.chain_id}",
            "genesis": self.contracts.genesis.hex(),
            "escrow": "0x" + self.contracts.escrow.hex(),
            "start_block": self.contracts.block,
            "token": "0x" + self.contracts.token.hex(),
            "decimals": 2,
            "settle_seconds": 10,
            "answer_seconds": 60,
            "poll_ms": 100,
            "payers": [self.account(CLEARER)],
            "key_file": "chain.key",
        }

    def _anchoring(self) -> dict[str, Any]:
        assert self.contracts is not None, "deployed before"
        return {
            "urls": [self.chain.url],
            "chain": f"eip155:{self.chain.chain_id}",
            "genesis": self.contracts.genesis.hex(),
            "contract": "0x" + self.contracts.anchors.hex(),
            "key_file": "anchor.key",
            "batch_seconds": 1,
        }

    async def _start_bank(self, bank: str) -> None:
        folder = self.folder / bank
        arguments: list[str | Path] = [
            "gateway",
            "run",
            "--config",
            folder / "gateway.toml",
            "--password-file",
            folder / "password",
        ]
        await self._run(bank, [sys.executable, "-m", "cli.main", *arguments, "--json"], folder)
        await self._answers(f"{self.apis[bank]}/health", f"the gateway of {bank}")

    # --- Processes --------------------------------------------------------------------------------------------------

    async def _database(self, name: str) -> str:
        await self.postgres.create_database(name)
        return self.postgres.url(name, "postgresql")

    async def _run(self, name: str, argv: list[str | Path], folder: Path) -> None:
        process = Process(name, argv, log=folder / f"{name}.log", cwd=folder)
        self.processes[name] = process
        await process.start()

    async def _answers(self, url: str, what: str) -> None:
        """Wait until it serves. Raises `TimedOut`."""
        deadline = asyncio.get_running_loop().time() + _READY_SECONDS
        async with httpx.AsyncClient(timeout=2.0) as client:
            while True:
                try:
                    if (await client.get(url)).is_success:
                        return
                except httpx.TransportError:
                    pass
                if asyncio.get_running_loop().time() > deadline:
                    raise TimedOut(f"{what} does not answer", _READY_SECONDS, "its log is in the demo's folder")
                await asyncio.sleep(_LOOK_SECONDS)

    async def _stop(self) -> None:
        await asyncio.gather(*(process.stop() for process in self.processes.values()))
        await asyncio.gather(self.chain.stop(), self.postgres.remove())


def _toml(content: Mapping[str, Any], path: str = "") -> str:
    """TOML of nested tables, and of lists of tables."""
    plain = {key: value for key, value in content.items() if not isinstance(value, dict) and not _is_tables(value)}
    lines = [f"{key} = {json.dumps(value)}" for key, value in plain.items()]
    for key, value in content.items():
        name = f"{path}.{key}" if path else key
        if isinstance(value, dict):
            lines += ["", f"[{name}]", _toml(value, name)]
        elif _is_tables(value):
            lines += [line for each in value for line in ("", f"[[{name}]]", _toml(each, name))]
    return "\n".join(lines)


def _is_tables(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(each, dict) for each in value)


_RULES: Final = """\
format = 1
name = "demo"
zone = "Europe/Berlin"

[assets]
EUR = 2

[[limit]]
id = "one-payment"
window = "each"
asset = "EUR"
amount_max = "1000000.00"

[pairs]
allowed = ["EUR->CNY"]

[sanctions]
near = "refer"
countries = ["KP"]
"""
_BUYER: Final = {
    "naturalPerson": {
        "name": {
            "nameIdentifier": [
                {
                    "primaryIdentifier": "Vogel",
                    "secondaryIdentifier": "Anna",
                    "naturalPersonNameIdentifierType": "LEGL",
                }
            ]
        },
        "geographicAddress": [
            {"addressType": "HOME", "townName": "Aachen", "country": "DE", "addressLine": ["Markt 1"]}
        ],
        "countryOfResidence": "DE",
    }
}
_SELLER: Final = {
    "legalPerson": {
        "name": {
            "nameIdentifier": [{"legalPersonName": "Pearl River Laptops Ltd", "legalPersonNameIdentifierType": "LEGL"}]
        },
        "geographicAddress": [
            {"addressType": "BIZZ", "townName": "Guangzhou", "country": "CN", "addressLine": ["Binjiang Lu 8"]}
        ],
        "countryOfRegistration": "CN",
    }
}
_CUSTOMERS: Final[dict[str, tuple[tuple[str, str, dict[str, Any]], ...]]] = {
    PAYER: ((DEBTOR, "DE", _BUYER),),
    PAYEE: ((CREDITOR, "CN", _SELLER),),
}
