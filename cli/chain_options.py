"""What a person writes for `causeway chain register`, and the plan that it gives."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cli.chain_registering import ChainPlan, Coin
from cli.policy_options import PolicyTexts
from foundation.errors import BadInput
from foundation.quantities import TokenUnits
from registry.assets import AssetPolicy
from registry.caip import ChainId
from registry.chains import OWN_FINALITY, ChainKind, kind_of

if TYPE_CHECKING:
    from cli.context import NetworkFile
    from registry.groups import Member

_DEPTH: Final = re.compile(r"depth:([1-9][0-9]{0,8})", re.ASCII)
_SPAN: Final = re.compile(r"([1-9][0-9]{0,8})([smhd]?)", re.ASCII)
_SECONDS: Final = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400}
_WINDOW_MOST: Final = 30 * 86_400
_COIN_MINIMUM: Final = "0.001"


@dataclass(frozen=True)
class Asked:
    """The options as they were written; None where nothing was.

    Fields: coin (symbol), coin_name, coin_type, decimals, coin_policy; finality; is_open; token_minimum, token_limit
    (base units), token_fee (basis points), of ERC-20s that vouchers introduce: where none of the three is written, an
    open chain keeps what it has, and a closed one gets 1, 0 and no limit; members (paths, with commas); threshold;
    guardian; window.
    """

    coin: str
    coin_name: str
    coin_type: int
    decimals: int
    coin_policy: PolicyTexts
    finality: str | None = None
    is_open: bool | None = None
    token_minimum: int | None = None
    token_fee: int | None = None
    token_limit: int | None = None
    members: str | None = None
    threshold: int | None = None
    guardian: str | None = None
    window: str = "1d"

    def plan(self, chain: ChainId, owner: bytes) -> ChainPlan:
        """The plan. `owner`: the account (20 bytes) that is the guardian where nobody else is named.

        Raises:
            BadInput: naming the option that is wrong.
        """
        from adapters.evm.hexes import parse_address

        smallest = 10**self.decimals // 1000 or 1
        least = AssetPolicy(TokenUnits(smallest), TokenUnits(0), TokenUnits(smallest))
        coin_policy = self.coin_policy.policy(least, self.decimals)
        coin = Coin(self.coin_name, self.coin, self.decimals, self.coin_type, coin_policy)
        coin.asset(chain)
        minimum = TokenUnits(1 if self.token_minimum is None else self.token_minimum)
        limit, fee_bps = TokenUnits(self.token_limit or 0), self.token_fee or 0
        introduced = AssetPolicy(
            minimum, TokenUnits(0), minimum, fee_bps=fee_bps, deposit_limit=limit, withdrawal_limit=limit
        )
        introduced.check()
        members = None if self.members is None else _members(self.members, self.threshold)
        return ChainPlan(
            chain=chain,
            coin=coin,
            guardian=owner if self.guardian is None else parse_address(self.guardian, "--guardian"),
            window_seconds=window_seconds(self.window),
            introduced=introduced,
            confirmations=None if self.finality is None else confirmations_of(self.finality),
            is_open=self.is_open,
            members=members,
            threshold=self.threshold,
            keeps_introduced=(self.token_minimum, self.token_fee, self.token_limit) == (None, None, None),
        )


def evm_chain_of(text: str) -> ChainId:
    """The EVM chain that a person named. Raises `BadInput`."""
    chain = ChainId.parse(text, "CAIP2")
    if kind_of(chain) is ChainKind.BITCOIN:
        raise BadInput("CAIP2", f"{text} is a bitcoin chain", "causeway deploy registers it, when a bridge is founded")
    return chain


def confirmations_of(text: str) -> int:
    """The number that the Registry has for a rule of finality. Raises `BadInput`."""
    if text == "finalized":
        return OWN_FINALITY
    match = _DEPTH.fullmatch(text)
    if match is None:
        raise BadInput("--finality", f"{text!r} is no rule", "finalized, or depth: and a number of blocks from 1")
    return int(match[1])


def window_seconds(text: str) -> int:
    """A time span such as 3600, 90s, 30m, 12h or 1d, in seconds. Raises `BadInput`."""
    match = _SPAN.fullmatch(text)
    seconds = 0 if match is None else int(match[1]) * _SECONDS[match[2]]
    if not 1 <= seconds <= _WINDOW_MOST:
        raise BadInput("--window", f"{text!r} is not possible", "1s to 30d, such as 12h or 1d")
    return seconds


def endpoints_of(network: NetworkFile, chain: ChainId, given: Sequence[str] | None) -> tuple[str, ...]:
    """The chain's endpoints: those that were given, else those of the network file. Raises `BadInput`."""
    from bridge.settings import Settings

    if not given:
        known = next((section.urls for section in network.settings.evm if section.chain == str(chain)), ())
        if not known:
            cure = "name an endpoint with --rpc, or add an [[evm]] block to the network file"
            raise BadInput("--rpc", f"no endpoint of {chain} is known", cure)
        return known
    # Checked by the rules of the block that they will stand in.
    reader = {"role": "voucher", "name": "reader", "listen": "tcp://127.0.0.1:1"}
    settings = network.settings
    content = {"node": reader, "bitcoin": settings.bitcoin, "native": settings.native}
    try:
        checked = Settings.checked(
            {**content, "evm": [{"chain": str(chain), "urls": list(given)}]}, network.path.parent
        )
    except BadInput as error:
        raise BadInput("--rpc", error.problem, error.cure) from error
    return checked.evm[0].urls


def _members(text: str, threshold: int | None) -> tuple[Member, ...]:
    from cli.node_folder import PublicIdentity
    from registry.groups import check_threshold

    identities = [PublicIdentity.load(Path(part.strip())) for part in text.split(",") if part.strip()]
    wrong = next((i.name for i in identities if i.role != "storeman"), None)
    if wrong is not None:
        raise BadInput("--members", f"{wrong} is no storeman", "identities of storemen")
    if len({identity.member.account for identity in identities}) != len(identities):
        raise BadInput("--members", "one is named twice", "each once")
    if threshold is None:
        raise BadInput("--threshold", "is missing", "with --members, say how many of them sign")
    check_threshold(threshold, len(identities))
    return tuple(identity.member for identity in identities)
