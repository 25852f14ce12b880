"""A node's configuration: one TOML file, checked before anything starts.

Relative paths in it are relative to the folder of the file. Amounts are written in bitcoin as text ("0.1"), fee rates
in satoshi per virtual byte, times in seconds. What is true of a chain for everybody is in the native chain's Registry;
here is only how this node reaches it.
"""

from __future__ import annotations

import re
import tomllib
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Final
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from adapters.bitcoin.addresses import Network, network_named
from bridge.policy import Limits
from bridge.tiers import Tier, Tiers
from foundation.errors import BadInput
from foundation.quantities import Satoshi, SatPerKvB, Wei
from registry.amounts import parse_amount
from registry.caip import SLIP44_BITCOIN, SLIP44_TEST, AssetType, ChainId
from registry.groups import check_endpoint

BITCOIN_DECIMALS: Final = 8
GWEI: Final = 10**9
_EVM_CHAIN: Final = "write eip155: and the chain's number, such as eip155:1"
_MOST_ENDPOINTS: Final = 8
_MOST_GWEI: Final = 10**9
"""One whole coin for a unit of gas: whoever writes more has mistaken the unit. Refuses "inf" too."""
_YEAR_SECONDS: Final = 365 * 86_400
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,31}", re.ASCII)


class Role(StrEnum):
    """What a node does."""

    STOREMAN = "storeman"
    VOUCHER = "voucher"


class _Wrong(ValueError):
    """Carries a `BadInput` through pydantic, which passes on nothing but ValueErrors. Its field may be empty."""

    def __init__(self, cause: BadInput) -> None:
        self.cause = cause
        super().__init__(str(cause))


def _name(text: str) -> str:
    if not _NAME.fullmatch(text):
        raise _Wrong(BadInput("", f"{text!r} is no name", "1 to 32 of a-z, 0-9 and -"))
    return text


def _endpoint(text: str) -> str:
    try:
        check_endpoint(text, "")
    except BadInput as error:
        raise _Wrong(error) from error
    return text


def _satoshi(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return parse_amount(value, BITCOIN_DECIMALS, "")
    except BadInput as error:
        raise _Wrong(error) from error


def _evm_chain(text: str) -> str:
    try:
        namespace = ChainId.parse(text, "").namespace
    except BadInput as error:
        raise _Wrong(BadInput("", f"{text!r} is no chain", _EVM_CHAIN)) from error
    if namespace != "eip155":
        raise _Wrong(BadInput("", f"{text!r} is no EVM chain", _EVM_CHAIN))
    return text


def _rpc_url(text: str) -> str:
    """The URL is not repeated in what is raised: providers' URLs contain the key to them."""
    cure = "write http://host:port or https://host"
    try:
        parts = urlsplit(text)
        named = bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError as error:
        raise _Wrong(BadInput("", "is no URL", cure)) from error
    if parts.scheme not in {"http", "https"} or not named:
        raise _Wrong(BadInput("", "is no URL of an HTTP endpoint", cure))
    return text


Bitcoins = Annotated[int, BeforeValidator(_satoshi), Field(gt=0)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)


class NodeSection(_Section):
    """`[node]`: role; name (for logs and people); listen (`tcp://address:port`); endpoint (how peers reach it, where
    that differs); database (URL); keystore (path); password_file (path; without it CAUSEWAY_PASSWORD is read).
    """

    role: Role
    name: Annotated[str, AfterValidator(_name)]
    listen: Annotated[str, AfterValidator(_endpoint)]
    endpoint: Annotated[str, AfterValidator(_endpoint)] | None = None
    database: str = "sqlite:///node.db"
    keystore: Path = Path("keystore")
    password_file: Path | None = None


class BitcoinSection(_Section):
    """`[bitcoin]`: network; url, user, password (of the node's RPC; or cookie_file); zmq (where it publishes
    `hashblock`, optional: blocks are then seen at once); poll_seconds.
    """

    network: str
    url: str
    user: str = ""
    password: str = Field(default="", repr=False)
    cookie_file: Path | None = None
    zmq: str | None = None
    poll_seconds: float = Field(default=1.0, gt=0, le=60)

    @model_validator(mode="after")
    def _checked(self) -> BitcoinSection:
        try:
            network_named(self.network, "network")
        except BadInput as error:
            raise _Wrong(error) from error
        if bool(self.user) == bool(self.cookie_file):
            raise _Wrong(BadInput("user", "give either user and password, or cookie_file"))
        return self


class NativeSection(_Section):
    """`[native]`: url (JSON-RPC of the native chain); deployment (path of the deployment file); poll_seconds;
    max_fee_gwei (cap on what a unit of gas may cost).
    """

    url: str
    deployment: Path = Path("deployment.json")
    poll_seconds: float = Field(default=0.2, gt=0, le=60)
    max_fee_gwei: float = Field(default=200.0, gt=0)

    @property
    def max_fee(self) -> Wei:
        """The cap in wei per gas."""
        return Wei(round(self.max_fee_gwei * GWEI))


class EvmSection(_Section):
    """`[[evm]]`, one block for each EVM chain that this node serves: chain (CAIP-2 text); urls (its JSON-RPC endpoints,
    1 to 8); quorum (how many of them must agree, all where it is not given); poll_seconds; max_fee_gwei (cap on what a
    unit of gas may cost there); relay (carry signed releases to the Lockbox); relay_at_loss (also those whose fee does
    not cover the gas); give_back_after_seconds (a payment that keeps failing is cancelled and given back after it);
    log_range (blocks that an endpoint is asked for logs of at once, at most).
    """

    chain: Annotated[str, AfterValidator(_evm_chain)]
    urls: tuple[Annotated[str, AfterValidator(_rpc_url)], ...] = Field(repr=False)
    quorum: int | None = None
    poll_seconds: float = Field(default=0.5, gt=0, le=60)
    max_fee_gwei: float = Field(default=200.0, gt=0, le=_MOST_GWEI)
    relay: bool = True
    relay_at_loss: bool = True
    give_back_after_seconds: float = Field(default=3600.0, gt=0, le=_YEAR_SECONDS)
    log_range: int = Field(default=2000, ge=1, le=1_000_000)

    @model_validator(mode="after")
    def _checked(self) -> EvmSection:
        given = len(self.urls)
        if not 1 <= given <= _MOST_ENDPOINTS:
            raise _Wrong(BadInput("urls", f"{given} endpoints", f"give 1 to {_MOST_ENDPOINTS}"))
        if len(set(self.urls)) < given:
            raise _Wrong(BadInput("urls", "the same endpoint twice", "name each once: it always agrees with itself"))
        if self.quorum is not None and not 1 <= self.quorum <= given:
            cure = f"1 to {given}, or leave it out for all"
            raise _Wrong(BadInput("quorum", f"{self.quorum} of {given} endpoints cannot agree", cure))
        return self

    @property
    def id(self) -> bytes:
        """The chain's id in contracts, 32 bytes."""
        return ChainId.parse(self.chain).id

    @property
    def max_fee(self) -> Wei:
        """The cap in wei per gas."""
        return Wei(round(self.max_fee_gwei * GWEI))


class TierSection(_Section):
    """`[[policy.tiers]]`: amounts up to `up_to` ask for `confirmations`; the last tier has no `up_to`."""

    confirmations: int = Field(ge=1)
    up_to: Bitcoins | None = None


class PolicySection(_Section):
    """`[policy]`: what this node accepts. Depths and margins in blocks; see docs/operators.md for each."""

    tiers: tuple[TierSection, ...] = (
        TierSection(up_to=10_000_000, confirmations=3),
        TierSection(up_to=1_000_000_000, confirmations=6),
        TierSection(confirmations=12),
    )
    input_depth: int = Field(default=2, ge=1)
    settled_depth: int = Field(default=6, ge=1)
    mint_margin: int = Field(default=288, ge=4)
    fee_floor: float = Field(default=1.0, gt=0)
    fee_cap: float = Field(default=200.0, gt=0)
    fee_fallback: float = Field(default=5.0, gt=0)
    fee_target_blocks: int = Field(default=6, ge=1, le=1008)
    max_inputs: int = Field(default=64, ge=1, le=64)
    max_withdrawals: int = Field(default=32, ge=1, le=32)
    slot_seconds: float = Field(default=20.0, gt=0)
    sweep_batch: int = Field(default=32, ge=1, le=64)
    sweep_after_seconds: float = Field(default=3600.0, ge=0)
    bump_after_seconds: float = Field(default=1800.0, gt=0)
    rescan_limit: int = Field(default=144, ge=0)
    alarm_after_seconds: float = Field(default=60.0, ge=0)
    distribute_after_seconds: float = Field(default=3600.0, gt=0)

    @model_validator(mode="after")
    def _checked(self) -> PolicySection:
        try:
            _ = self.confirmations
        except BadInput as error:
            raise _Wrong(BadInput("tiers", error.problem, error.cure)) from error
        if not self.fee_floor <= self.fee_fallback <= self.fee_cap:
            problem = f"{self.fee_fallback} is not between fee_floor and fee_cap"
            raise _Wrong(BadInput("fee_fallback", problem))
        return self

    @property
    def confirmations(self) -> Tiers:
        """The tiers as the state machines use them."""
        tiers = (Tier(None if t.up_to is None else Satoshi(t.up_to), t.confirmations) for t in self.tiers)
        return Tiers(tuple(tiers))

    @property
    def limits(self) -> Limits:
        """The limits as the signing policy uses them."""
        floor, cap = sat_per_kvb(self.fee_floor), sat_per_kvb(self.fee_cap)
        return Limits(floor, cap, self.input_depth, self.max_withdrawals, self.max_inputs)


class Settings(_Section):
    """A whole configuration file. `folder`: where it lies."""

    node: NodeSection
    bitcoin: BitcoinSection
    native: NativeSection
    evm: tuple[EvmSection, ...] = ()
    policy: PolicySection = PolicySection()
    folder: Path = Field(default=Path(), exclude=True)

    @model_validator(mode="after")
    def _checked(self) -> Settings:
        first: dict[str, int] = {}
        for place, section in enumerate(self.evm):
            if section.chain in first:
                problem = f"{section.chain} is in evm.{first[section.chain]} already"
                raise _Wrong(BadInput(f"evm.{place}.chain", problem, "put all its endpoints into one block"))
            first[section.chain] = place
        return self

    @classmethod
    def load(cls, path: Path) -> Settings:
        """Read a configuration file.

        Raises:
            BadInput: naming the file, or the dotted name of the value that is wrong in it.
        """
        try:
            content = tomllib.loads(path.read_text())
        except (OSError, UnicodeDecodeError) as error:
            raise BadInput(str(path), "cannot be read", "the path of a node's configuration") from error
        except tomllib.TOMLDecodeError as error:
            raise BadInput(str(path), f"is not TOML: {error}") from error
        if "folder" in content:
            raise BadInput("folder", "is not known", "remove it")
        return cls.checked(content, path.parent.absolute())

    @classmethod
    def checked(cls, content: dict[str, Any], folder: Path) -> Settings:
        """Check parsed content. Raises `BadInput` naming the first value that is wrong."""
        try:
            return cls.model_validate({**content, "folder": folder})
        except ValidationError as error:
            raise _first(error) from error

    def path(self, relative: Path) -> Path:
        """A path of the file, made absolute."""
        return self.folder / relative

    @property
    def network(self) -> Network:
        """The bitcoin network."""
        return network_named(self.bitcoin.network)

    @property
    def chain(self) -> bytes:
        """The id of the bitcoin chain, 32 bytes."""
        return ChainId.parse(self.network.caip2).id

    @property
    def asset(self) -> bytes:
        """The id of bitcoin on that chain, 32 bytes."""
        return bitcoin_asset(self.network).id

    @property
    def database_url(self) -> str:
        """The database's URL, with a relative SQLite path made absolute."""
        prefix = "sqlite:///"
        url = self.node.database
        if url.startswith(prefix) and not url.startswith(prefix + "/"):
            return prefix + str(self.folder / url.removeprefix(prefix))
        return url


_CURES: Final = {
    "bool_parsing": "write true or false",
    "bool_type": "write true or false",
    "float_parsing": "write a number, without quotes",
    "float_type": "write a number, without quotes",
    "greater_than": "write more than {gt:g}",
    "greater_than_equal": "write {ge:g} or more",
    "int_from_float": "write a whole number",
    "int_parsing": "write a whole number, without quotes",
    "int_type": "write a whole number, without quotes",
    "less_than_equal": "write {le:g} or less",
    "model_type": "write it as a table",
    "string_type": "write text in quotes",
    "tuple_type": "write a list: [ … ]",
}
"""What to write instead, by the kind of mistake that pydantic found."""


def bitcoin_asset(network: Network) -> AssetType:
    """Bitcoin itself on a network; test networks have SLIP-44's coin type for tests."""
    coin = SLIP44_BITCOIN if network.name == "main" else SLIP44_TEST
    return AssetType.parse(f"{network.caip2}/slip44:{coin}")


def sat_per_kvb(sat_per_vb: float) -> SatPerKvB:
    """A fee rate as people write it, in our unit."""
    return SatPerKvB(round(sat_per_vb * 1000))


def _first(error: ValidationError) -> BadInput:
    """The first thing that pydantic found, as our error."""
    found = error.errors()[0]
    path = [str(part) for part in found["loc"]]
    wrong = found.get("ctx", {}).get("error")
    if isinstance(wrong, _Wrong):
        cause = wrong.cause
        return BadInput(".".join([*path, cause.field] if cause.field else path), cause.problem, cause.cure)
    field = ".".join(path)
    if found["type"] == "extra_forbidden":
        return BadInput(field, "is not known", "remove it, or look for a misspelling")
    if found["type"] == "missing":
        return BadInput(field, "is missing", "add it; docs/operators.md says what it is")
    cure = _CURES.get(found["type"], "").format(**found.get("ctx", {}))
    return BadInput(field, found["msg"][:1].lower() + found["msg"][1:], cure)
