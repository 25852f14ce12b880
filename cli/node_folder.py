"""A node's folder: its configuration with explanations, its keystore, and the public file that others need of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from cli.context import CONFIG, IDENTITY, read_text
from foundation.errors import BadInput
from foundation.files import write_durably
from registry.groups import Member, check_endpoint

if TYPE_CHECKING:
    from bridge.settings import Settings
    from mpc.keystore import ScryptCost

KEYSTORE: Final = "keystore"
DEPLOYMENT: Final = "deployment.json"

POLICY_EXPLAINED: Final[Mapping[str, str]] = {
    "tiers": "Confirmations that a deposit needs, by amount in BTC. The last tier has no up_to.",
    "input_depth": "Confirmations that a vault coin needs before a payout may spend it.",
    "settled_depth": "Confirmations after which a payout is attested as settled, and its tokens are burnt.",
    "mint_margin": "Blocks that must be left before the depositor can reclaim; with fewer a deposit is returned.",
    "fee_floor": "The lowest fee rate that this node signs, in sat/vB.",
    "fee_cap": "The highest fee rate that this node signs, in sat/vB. Above it the vault waits.",
    "fee_fallback": "The fee rate where the bitcoin node cannot estimate, in sat/vB.",
    "fee_target_blocks": "Within how many blocks transactions should confirm: what the estimate is asked for.",
    "max_inputs": "The most coins that one payout spends (at most 64).",
    "max_withdrawals": "The most withdrawals that one payout pays (at most 32).",
    "slot_seconds": "How long a node's turn as the coordinator lasts, in seconds. All nodes need the same value.",
    "sweep_batch": "Deposits are swept into the vault at once where so many of them wait.",
    "sweep_after_seconds": "How long minted deposits wait for others to be swept with, in seconds.",
    "bump_after_seconds": "After how long without a confirmation a transaction bids more, in seconds.",
    "rescan_limit": "How many blocks back this node searches for deposits that were announced late.",
    "alarm_after_seconds": "For how long supply must exceed reserves before a voucher votes for a halt, in seconds.",
    "distribute_after_seconds": "How often a voucher has the service fees shared out that wait on the Hub, in seconds.",
}
"""What each value of `[policy]` means: the comment above it in a new configuration."""


@dataclass(frozen=True)
class NodePlan:
    """What a new node's configuration shall say.

    Fields: role (storeman or voucher); name; listen, endpoint (None: the same); database (URL); bitcoin, native (the
    sections); password_file (None: the password is given at each start); policy (values that differ from the defaults).
    """

    role: str
    name: str
    listen: str
    bitcoin: Mapping[str, Any]
    native: Mapping[str, Any]
    endpoint: str | None = None
    database: str = "sqlite:///node.db"
    password_file: str | None = None
    policy: Mapping[str, Any] = field(default_factory=dict)

    @property
    def public_endpoint(self) -> str:
        """Where its peers reach it."""
        return self.endpoint or self.listen


@dataclass(frozen=True)
class PublicIdentity:
    """What others need to know of a node. Fields: name; role; member (account, host key, transport key, endpoint)."""

    name: str
    role: str
    member: Member

    def to_json(self) -> str:
        """The text of `identity.json`."""
        content = {
            "name": self.name,
            "role": self.role,
            "account": "0x" + self.member.account.hex(),
            "host_key": self.member.host_key.hex(),
            "transport_key": self.member.transport_key.hex(),
            "endpoint": self.member.endpoint,
        }
        return json.dumps(content, indent=2) + "\n"

    @classmethod
    def load(cls, path: Path) -> PublicIdentity:
        """Read an `identity.json`, or that of a node's folder. Raises `BadInput` naming the member that is wrong."""
        file = path / IDENTITY if path.is_dir() else path
        try:
            content = json.loads(read_text(file, str(file)))
        except ValueError as error:
            raise BadInput(str(file), "is not JSON", "the identity.json that causeway node init wrote") from error
        if not isinstance(content, dict):
            raise BadInput(str(file), "is no JSON object", "the identity.json that causeway node init wrote")

        def text(name: str) -> str:
            if not isinstance(content.get(name), str):
                raise BadInput(f"{file}: {name}", "is missing", "the identity.json that causeway node init wrote")
            return str(content[name])

        def key(name: str, length: int) -> bytes:
            try:
                value = bytes.fromhex(text(name).removeprefix("0x"))
            except ValueError:
                value = b""
            if len(value) != length:
                raise BadInput(f"{file}: {name}", "is no key", f"{2 * length} hex digits")
            return value

        endpoint = text("endpoint")
        check_endpoint(endpoint, f"{file}: endpoint")
        member = Member(key("account", 20), key("host_key", 33), key("transport_key", 32), endpoint)
        return cls(text("name"), text("role"), member)


def load_settings(folder: Path) -> Settings:
    """The configuration of the node in `folder`. Raises `BadInput` naming the file and the value that is wrong."""
    from bridge.settings import Settings

    file = folder / CONFIG
    try:
        return Settings.load(file)
    except BadInput as error:
        field = error.field if error.field.startswith(str(file)) else f"{file}: {error.field}"
        raise BadInput(field, error.problem, error.cure) from error


def config_text(plan: NodePlan) -> str:
    """The configuration, each value with what it means. Reading it back gives `plan`."""
    node: dict[str, Any] = {"role": plan.role, "name": plan.name, "listen": plan.listen}
    node |= {} if plan.endpoint is None else {"endpoint": plan.endpoint}
    node |= {"database": plan.database, "keystore": KEYSTORE}
    node |= {} if plan.password_file is None else {"password_file": plan.password_file}
    lines = ["# A Causeway node; docs/operators.md explains every value. Relative paths begin in this folder.", ""]
    lines += ["[node]", *_pairs(node), "", "[bitcoin]", *_pairs(plan.bitcoin), "", "[native]", *_pairs(plan.native), ""]
    return "\n".join([*lines, *_policy(plan.policy)]) + "\n"


def toml_text(sections: Mapping[str, Mapping[str, Any]]) -> str:
    """Sections of plain values as TOML."""
    return "\n".join(line for name, pairs in sections.items() for line in (f"[{name}]", *_pairs(pairs), ""))


def create_node(folder: Path, plan: NodePlan, password: str, cost: ScryptCost | None = None) -> PublicIdentity:
    """Make a node's folder with fresh keys.

    Raises:
        BadInput: the plan is not acceptable, or the folder holds a node already.
        OSError: the folder cannot be written.
    """
    import tomllib

    from adapters.native.eip712 import account_of_secret
    from bridge.settings import Settings
    from mpc.keystore import PRODUCTION_COST, Keystore

    taken = next((name for name in (CONFIG, KEYSTORE, IDENTITY) if (folder / name).exists()), None)
    if taken is not None:
        raise BadInput("FOLDER", f"{folder / taken} exists", "choose another folder; nothing is ever overwritten")
    text = config_text(plan)
    Settings.checked(tomllib.loads(text), folder.absolute())
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    keystore = Keystore.create(folder / KEYSTORE, password, cost=cost or PRODUCTION_COST)
    identity = keystore.identity
    keystore.close()
    account = account_of_secret(identity.account_secret)
    member = Member(account, identity.host_key, identity.transport_key, plan.public_endpoint)
    public = PublicIdentity(plan.name, plan.role, member)
    write_durably(folder / IDENTITY, public.to_json().encode(), mode=0o644)
    # Last: a folder with a configuration is a whole node.
    write_durably(folder / CONFIG, text.encode())
    return public


def _pairs(values: Mapping[str, Any]) -> list[str]:
    return [f"{key} = {_value(value)}" for key, value in values.items() if value is not None and value != ""]


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return repr(value)
    # A JSON string is a TOML basic string, but for DEL, which JSON leaves as it is.
    return json.dumps(str(value)).replace("\x7f", "\\u007f")


def _policy(changed: Mapping[str, Any]) -> list[str]:
    """The section with all values: those of the plan, and the defaults of this release."""
    from bridge.settings import PolicySection

    defaults = PolicySection().model_dump()
    lines = ["# What this node accepts. It decides alone: no peer makes it sign what these values forbid.", "[policy]"]
    for name, explanation in POLICY_EXPLAINED.items():
        if name != "tiers":
            lines += [f"# {explanation}", f"{name} = {_value(changed.get(name, defaults[name]))}"]
    lines += ["", f"# {POLICY_EXPLAINED['tiers']}"]
    for tier in changed.get("tiers", defaults["tiers"]):
        lines += ["[[policy.tiers]]", *_pairs(_tier(tier))]
    return lines


def _tier(tier: Mapping[str, Any]) -> dict[str, Any]:
    from cli.output import btc

    up_to = tier.get("up_to")
    if isinstance(up_to, int):
        up_to = btc(up_to).removesuffix(" BTC")
    return {"up_to": up_to, "confirmations": tier["confirmations"]}
