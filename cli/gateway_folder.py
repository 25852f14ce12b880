"""A gateway's folder: what `init` writes, and what `check` reads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from foundation.errors import BadInput
from foundation.files import write_durably
from foundation.quantities import UnixMs
from settlement.connect.policy import decode_policy
from settlement.cosign.keyfile import create_key_file
from settlement.gateway.cards import read_cards, write_card
from settlement.gateway.config import load_config
from settlement.gateway.config_ledgers import BitcoinHoldsConfig, LedgerConfig
from settlement.gateway.customers import CustomerFolder
from settlement.gateway.keys import Secrets
from settlement.gateway.process import wall_clock
from settlement.ilp.addresses import parse_address
from settlement.quantities import party_id
from settlement.rules.reload import load_rules

_BACKDATED_MS: Final = 3_600_000
"""A card counts from an hour ago: the other parties' clocks may be behind."""
_CONFIG: Final = """\
# The gateway of {party}. docs/gateway.md explains each field; `causeway gateway check` reads it.
[gateway]
party = "{party}"
address = "{address}"
database = "{database}"
listen = "{listen}"          # the letter box: the other parties' gateways write here
api = "{api}"             # the REST interface: this bank's own systems talk here
url = "{url}"

# A ledger with an account of ours. Other kinds: "evm", "bitcoin".
# [ledgers.digital-euro]
# kind = "book"
# asset = "EUR"
# scale = 2
# url = "https://ledger.example"
# account = "{party}"
# api_key_file = "digital-euro.api-key"

# Where we are paid:
# [receiving]
# ledger = "digital-euro"
# account = "{party}"
"""
_RULES: Final = """\
# What every payment is held against; docs/rules.md has all kinds of rules. Changes take effect by themselves.
format = 1
name = "{party}"
zone = "UTC"
"""
_POLICY: Final = """\
{
  "version": "1",
  "requires": [
    {"subject": "originator", "data": ["name", "address", "account"]},
    {"subject": "beneficiary", "data": ["name"]}
  ],
  "discloses": [
    {"subject": "originator", "data": ["name", "address", "national-id", "customer-id", "birth", "country", "account"]},
    {"subject": "beneficiary", "data": ["name", "country", "account"]}
  ]
}
"""


@dataclass(frozen=True, slots=True)
class NewGateway:
    """What is known of a new gateway. Fields as the options of `causeway gateway init`."""

    party: str
    address: str
    listen: str
    api: str
    url: str
    database: str


@dataclass(frozen=True, slots=True)
class Made:
    """What was written."""

    folder: Path
    config: Path
    card: Path


def make_folder(folder: Path, new: NewGateway, password: str) -> Made:
    """Write a new gateway's files.

    Raises:
        BadInput: the name or the address is none, or the folder holds a gateway already.
        KeystoreExists: it holds a key already.
    """
    party = party_id(new.party, "--party")
    parse_address(new.address, "--address")
    config = folder / "gateway.toml"
    if config.exists():
        raise BadInput("FOLDER", f"{config} is there already", "name another folder")
    for name in ("cards", "customers"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    seed = create_key_file(folder / "seed.key", party, password)
    card = folder / "cards" / f"{party}.json"
    write_card(card, Secrets.derive(party, seed).card(new.url, UnixMs(wall_clock() - _BACKDATED_MS)))
    fields = {name: getattr(new, name) for name in ("address", "listen", "api", "url", "database")}
    write_durably(folder / "rules.toml", _RULES.format(party=party).encode())
    write_durably(folder / "policy.json", _POLICY.encode())
    write_durably(config, _CONFIG.format(party=party, **fields).encode())
    return Made(folder, config, card)


def checked(path: Path) -> dict[str, Any]:
    """What a configuration says, once all its files were read.

    Raises:
        BadInput, BadRules: names the file and the field.
    """
    config = load_config(path)
    rules = load_rules(config.rules)
    try:
        policy = decode_policy(config.policy.read_bytes())
    except OSError as error:
        raise BadInput("gateway.policy", f"{config.policy} cannot be read", "name a file that is there") from error
    cards = read_cards(config.cards)
    CustomerFolder(config.customers)
    if config.party not in cards:
        raise BadInput("gateway.cards", f"no card of {config.party} itself", "keep the one that `init` made there")
    return {
        "party": config.party,
        "address": config.address,
        "ledgers": [ledger.ledger_id for ledger in config.ledgers],
        "accounts": _accounts(config.ledgers),
        "is_paid_on": None if config.receiving is None else config.receiving[0],
        "clears": [] if config.clearing is None else [f"{one} -> {other}" for one, other in config.clearing.corridors],
        "parties": sorted(name for name in cards if name != config.party),
        "rules": rules.version.hex(),
        "policy": policy.version,
    }


def _accounts(ledgers: Sequence[LedgerConfig]) -> dict[str, str]:
    """Our accounts by ledger; on bitcoin with the address that funds them."""
    found: dict[str, str] = {}
    for ledger in ledgers:
        found[ledger.ledger_id] = ledger.account
        if isinstance(ledger, BitcoinHoldsConfig):
            found[ledger.ledger_id] += f", funded at {ledger.address}"
    return found
