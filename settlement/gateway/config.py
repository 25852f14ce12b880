"""A gateway's configuration: one TOML file, checked before anything starts. Paths are relative to its folder.

docs/gateway.md explains each field. Secrets are in files of their own.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from foundation.errors import BadInput
from foundation.quantities import BlockHeight
from registry.chains import Chain
from settlement.connect.vault import Retention
from settlement.connector.config import RatesConfig, read_rates
from settlement.connector.toml import Section, read_toml
from settlement.custody.margins import Margins
from settlement.gateway.config_ledgers import LedgerConfig, address_of, chain_of, read_ledger, secret_of
from settlement.gateway.pricing import Corridor
from settlement.ilp.addresses import parse_address
from settlement.ledgers.protocol import LedgerAccount, LedgerId
from settlement.quantities import MAX_UNITS, PartyId, party_id

_SECONDS: Final = 1_000


@dataclass(frozen=True, slots=True)
class ClearingConfig:
    """What makes a party a clearing bank. Fields: corridors (by source and target ledger); rates."""

    corridors: dict[tuple[str, str], Corridor]
    rates: RatesConfig


@dataclass(frozen=True, slots=True)
class AnchoringConfig:
    """Where roots of receipts are anchored. Fields: chain; urls; contract (20 bytes); secret; batch_ms (how long a
    batch is gathered)."""

    chain: Chain
    urls: tuple[str, ...]
    contract: bytes
    secret: bytes = field(repr=False)
    batch_ms: int = 60_000
    start_block: BlockHeight = BlockHeight(0)


@dataclass(frozen=True, slots=True)
class GatewayConfig:
    """The whole file.

    Fields: party; address (ILP); database (URL); listen and api (host and port of the letter box, and of the REST
    interface); url (under which the others reach the letter box); key_file; rules, policy; customers, cards
    (folders); ledgers; retention (of personal data); receiving (ledger and account where this bank is paid; None: it
    is not); margins; clearing; anchoring.
    """

    folder: Path
    party: PartyId
    address: str
    database: str
    listen: tuple[str, int]
    api: tuple[str, int]
    url: str
    key_file: Path
    rules: Path
    policy: Path
    customers: Path
    cards: Path
    ledgers: tuple[LedgerConfig, ...]
    receiving: tuple[LedgerId, LedgerAccount] | None
    margins: Margins
    clearing: ClearingConfig | None
    anchoring: AnchoringConfig | None
    retention: Retention


def load_config(path: Path) -> GatewayConfig:
    """Read and check a configuration.

    Raises:
        BadInput: names the field, what is wrong with it, and what to write instead.
    """
    folder = path.parent.absolute()
    top = Section(read_toml(path), "")
    own = top.section("gateway")
    ledgers = tuple(read_ledger(name, each, folder) for name, each in top.named_sections("ledgers"))
    listen = _endpoint(own, "listen", "127.0.0.1:8500")
    config = GatewayConfig(
        folder=folder,
        party=party_id(own.text("party"), "gateway.party"),
        address=parse_address(own.text("address"), "gateway.address"),
        database=_database(own.text("database", "sqlite:///gateway.db"), folder),
        listen=listen,
        api=_endpoint(own, "api", "127.0.0.1:8501"),
        url=own.text("url", f"http://{listen[0]}:{listen[1]}"),
        key_file=folder / own.text("key_file", "seed.key"),
        rules=folder / own.text("rules", "rules.toml"),
        policy=folder / own.text("policy", "policy.json"),
        customers=folder / own.text("customers", "customers"),
        cards=folder / own.text("cards", "cards"),
        ledgers=ledgers,
        receiving=_receiving(top.optional_section("receiving"), ledgers),
        margins=_margins(top.section("margins"), ledgers),
        clearing=_clearing(top.optional_section("clearing"), ledgers, folder),
        anchoring=_anchoring(top.optional_section("anchoring"), folder),
        retention=_retention(top.section("retention")),
    )
    own.end()
    top.end()
    if not ledgers:
        raise BadInput("ledgers", "there are none", "write [ledgers.NAME] for each ledger with an account of ours")
    return config


def _endpoint(section: Section, name: str, default: str) -> tuple[str, int]:
    host, colon, port = section.text(name, default).rpartition(":")
    if not colon or not port.isdigit() or int(port) > 65_535:
        raise BadInput(section.name(name), "no host and port", f"such as {default}")
    return host, int(port)


def _database(url: str, folder: Path) -> str:
    start = "sqlite:///"
    if url.startswith(start) and not url.startswith(start + "/"):
        return f"{start}{folder / url.removeprefix(start)}"
    return url


def _receiving(section: Section | None, ledgers: tuple[LedgerConfig, ...]) -> tuple[LedgerId, LedgerAccount] | None:
    if section is None:
        return None
    name, account = _known(section, "ledger", ledgers), section.optional_text("account")
    section.end()
    (ours,) = (ledger.account for ledger in ledgers if ledger.ledger_id == name)
    if account is not None and account.lower() != ours.lower():
        # What is held for anybody else this gateway neither sees nor can fulfil.
        raise BadInput(section.name("account"), f"{account[:80]!r} is not our account there", f"leave it out: {ours}")
    return name, ours


def _known(section: Section, name: str, ledgers: tuple[LedgerConfig, ...]) -> LedgerId:
    text = section.text(name)
    if text not in {ledger.ledger_id for ledger in ledgers}:
        raise BadInput(section.name(name), f"{text!r} is no ledger of [ledgers]", "name one of them")
    return LedgerId(text)


def _margins(section: Section, ledgers: tuple[LedgerConfig, ...]) -> Margins:
    usual = Margins()
    values = {
        f"{name}_ms": section.number(f"{name}_seconds", getattr(usual, f"{name}_ms") // _SECONDS) * _SECONDS
        for name in ("skew", "quote", "answer", "target", "downtime")
    }
    # A payment may need three times the time in which a slow chain is final: to hold, to fulfil, and to claim.
    slowest = max((4 * ledger.settle_ms for ledger in ledgers), default=0)
    longest = section.number("hold_seconds_max", max(usual.hold_ms_max, slowest) // _SECONDS) * _SECONDS
    section.end()
    return Margins(**values, hold_ms_max=longest)


def _retention(section: Section) -> Retention:
    made = Retention(section.number("days", 3_650), section.number("days_unended", 3_650))
    section.end()
    return made


def _clearing(section: Section | None, ledgers: tuple[LedgerConfig, ...], folder: Path) -> ClearingConfig | None:
    if section is None:
        return None
    rates = read_rates(section.section("rates"), folder)
    corridors: dict[tuple[str, str], Corridor] = {}
    assets = {ledger.ledger_id: ledger.asset for ledger in ledgers}
    for each in section.sections("corridors", "source"):
        source, target = _known(each, "source", ledgers), _known(each, "target", ledgers)
        corridor = Corridor(
            source,
            target,
            each.number("spread_bp", 0, most=9_999),
            each.amount("fee", assets[source], 0) or 0,
            each.amount("minimum", assets[target], 1) or 1,
            each.amount("maximum", assets[target], MAX_UNITS) or MAX_UNITS,
        )
        each.end()
        corridors[source, target] = corridor
    section.end()
    if not corridors:
        raise BadInput("clearing.corridors", "there are none", "write [[clearing.corridors]] with source and target")
    return ClearingConfig(corridors, rates)


def _anchoring(section: Section | None, folder: Path) -> AnchoringConfig | None:
    if section is None:
        return None
    made = AnchoringConfig(
        chain=chain_of(section),
        urls=section.texts("urls"),
        contract=address_of(section.text("contract"), section.name("contract")),
        secret=secret_of(section, folder),
        batch_ms=section.number("batch_seconds", 60, least=1) * _SECONDS,
        start_block=BlockHeight(section.number("start_block", 0)),
    )
    section.end()
    return made
