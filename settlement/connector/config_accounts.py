"""How a connector's configuration describes one account: limits, transport, routing, settlement."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Final

from foundation.errors import BadInput
from settlement.connector.accounts import AccountConfig
from settlement.connector.routing.routes import PeerRules, Relation
from settlement.connector.toml import Section
from settlement.ilp.btp import Endpoint, parse_endpoint
from settlement.ilp.http.link import Outgoing
from settlement.ilp.http.messages import parse_target
from settlement.quantities import Asset, Scale

_ID: Final = re.compile(r"[A-Za-z0-9_~-]{1,64}", re.ASCII)


class HttpMode(StrEnum):
    """How a peer answers over HTTP."""

    SYNC = "sync"  # in the response, as deployed
    ASYNC = "async"  # by a request of its own, as RFC 35 draft 3 asks


@dataclass(frozen=True, slots=True)
class BtpConfig:
    """A peer over BTP. Fields: token (what it shows us; None where we connect); endpoint (where we connect)."""

    token: str | None = field(repr=False)
    endpoint: Endpoint | None


@dataclass(frozen=True, slots=True)
class HttpConfig:
    """A peer over HTTP. Fields: token (what it shows us; None: it may not send); outgoing (None: we never send)."""

    token: str | None = field(repr=False)
    outgoing: Outgoing | None


@dataclass(frozen=True, slots=True)
class SettlementConfig:
    """The account's settlement engine (RFC 38). Fields: url; token (both show it; empty: none)."""

    url: str
    token: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class PeerConfig:
    """One `[[accounts]]`: the account and how its holder is reached. Fields: account; btp; http; routes; settlement."""

    account: AccountConfig
    btp: BtpConfig | None
    http: HttpConfig | None
    routes: PeerRules | None
    settlement: SettlementConfig | None


def read_peer(section: Section, folder: Path) -> PeerConfig:
    """One of `[[accounts]]`. Raises `BadInput` naming the field."""
    name = section.text("id")
    if not _ID.fullmatch(name):
        raise BadInput(section.name("id"), f"{name[:80]!r} is no account id", "1 to 64 letters, digits, _ ~ -")
    relation = section.choice("relation", Relation)
    if relation is Relation.LOCAL:
        raise BadInput(section.name("relation"), "local accounts are made by the program", "parent, peer or child")
    asset = Asset(section.text("asset"), Scale(section.number("scale", most=255)))
    btp, http = section.optional_section("btp"), section.optional_section("http")
    settlement = section.optional_section("settlement")
    if btp is not None and http is not None:
        raise BadInput(section.name("http"), "given beside btp", "one transport an account")
    peer = PeerConfig(
        _account(section, name, asset, relation),
        None if btp is None else _btp(btp, folder),
        None if http is None else _http(http, folder),
        _rules(section.optional_section("routing"), name, relation),
        None if settlement is None else _settlement(settlement, folder),
    )
    section.end()
    if peer.settlement is not None and peer.account.settle_threshold is None:
        raise BadInput(section.name("settle_threshold"), "missing", "what we owe when the engine is asked to pay")
    return peer


def _account(section: Section, name: str, asset: Asset, relation: Relation) -> AccountConfig:
    return AccountConfig(
        id=name,
        asset=asset,
        relation=relation,
        floor=section.amount("floor", asset, 0),
        ceiling=section.amount("ceiling", asset),
        max_packet=_limit(section, "max_packet", asset),
        in_flight_max=_limit(section, "in_flight_max", asset),
        packets_per_second=section.optional_number("packets_per_second", least=1),
        burst=section.optional_number("burst", least=1),
        bandwidth_in=_limit(section, "bandwidth_in", asset),
        bandwidth_out=_limit(section, "bandwidth_out", asset),
        settle_threshold=section.amount("settle_threshold", asset),
        settle_to=section.amount("settle_to", asset, 0) or 0,
        fee=_limit(section, "fee", asset) or 0,
    )


def _limit(section: Section, name: str, asset: Asset) -> int | None:
    value = section.amount(name, asset)
    least = 0 if name == "fee" else 1
    if value is not None and value < least:
        raise BadInput(section.name(name), "too little", 'an amount, or "none" for no limit')
    return value


def _btp(section: Section, folder: Path) -> BtpConfig:
    url, token = section.optional_text("url"), section.secret("token", folder)
    username, insecure = section.text("username", ""), section.flag("insecure", False)
    section.end()
    if url is not None:
        return BtpConfig(None, parse_endpoint(url, token or "", username, insecure=insecure))
    if not token:
        raise BadInput(section.name("token"), "missing", "the secret that the peer shows, or url to connect to it")
    return BtpConfig(token, None)


def _http(section: Section, folder: Path) -> HttpConfig:
    url, token = section.optional_text("url"), section.secret("token", folder)
    outgoing_token = section.secret("outgoing_token", folder)
    insecure = section.flag("insecure", False)
    mode = section.choice("mode", HttpMode, HttpMode.SYNC)
    callback_url, reply_url = section.text("callback_url", ""), section.optional_text("reply_url")
    name = section.text("name", "")
    section.end()
    if url is None and token is None:
        raise BadInput(section.name("url"), "neither url nor token", "how we send, what the peer shows, or both")
    if url is None:
        return HttpConfig(token, None)
    target = parse_target(url, section.name("url"), insecure=insecure)
    reply = None if reply_url is None else parse_target(reply_url, section.name("reply_url"), insecure=insecure)
    outgoing = Outgoing(
        target,
        outgoing_token or "",
        "sync" if mode is HttpMode.SYNC else "async",
        callback_url=callback_url,
        reply_target=reply,
        name=name,
    )
    return HttpConfig(token, outgoing)


def _rules(section: Section | None, name: str, relation: Relation) -> PeerRules | None:
    """How routes are exchanged. Without the table: with peers and parents, not with children, who have one route."""
    if section is None:
        if relation is Relation.CHILD:
            return None
        section = Section({}, f"accounts.{name}.routing")
    rules = PeerRules(
        account=name,
        relation=relation,
        # The child's real address is set when ours is known.
        address="private.unknown" if relation is Relation.CHILD else "",
        sends=section.flag("sends", True),
        receives=section.flag("receives", True),
        allowed=section.texts("allowed"),
        denied=section.texts("denied"),
        routes_max=section.number("routes_max", 1_000),
        is_transit=section.flag("transit", False),
    )
    section.end()
    return rules if rules.sends or rules.receives else None


def _settlement(section: Section, folder: Path) -> SettlementConfig:
    url = section.text("url")
    if not url.startswith(("http://", "https://")):
        raise BadInput(section.name("url"), "no URL of an engine", "such as http://127.0.0.1:3000")
    config = SettlementConfig(url, section.secret("token", folder) or "")
    section.end()
    return config
