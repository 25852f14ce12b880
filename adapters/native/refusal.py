"""What every refusal by a native contract has in common.

They revert with short strings, `Contract: reason`, because Vyper 0.4.3 has no custom errors. Those that agents or
people act on have a class of their own, next to the contract's name: `hub_errors`, `bonds_errors`, `registry_errors`.
"""

from __future__ import annotations

from typing import ClassVar, Final

from adapters.evm.errors import Reverted

PLAIN_REMEDIES: Final = {
    # The owner's mistakes.
    "Bonds: bad reward": "deploy with a reward of at most 5,000 basis points",
    "Bonds: bad slash": "deploy with a slash of 1 to 10,000 basis points",
    "Bonds: bad unbonding time": "deploy with an unbonding time of 1 second to 2**32 - 1",
    "Bonds: more than the insurance": "pay at most what the insurance holds",
    "Bonds: no minimum stake": "deploy with a minimum stake above zero",
    "Bonds: zero account": "name an account that is not zero",
    "Hub: not a contract": "deploy the companions first, and name their addresses",
    "Registry: bad threshold": "choose more than half of the members, and at most all",
    "Registry: empty CAIP text": "write the chain's CAIP-2 text",
    "Registry: host key form": "name a compressed point, which begins with 02 or 03",
    "Registry: host key length": "name a compressed point of 33 bytes",
    "Registry: member twice": "name each member once",
    "Registry: no endpoint": "write the endpoint as tcp://host:port",
    "Registry: no genesis": "name the hash of the chain's first block",
    "Registry: no lockbox": "name the Lockbox's address",
    "Registry: no transport key": "name the member's transport key, 32 bytes",
    "Registry: not a contract": "deploy the Hub first, and name its address",
    "Registry: unknown group": "look at the group's id: it was never proposed",
    "Registry: zero account": "name an account that is not zero",
    # What our own calls are checked for before they are sent.
    "Bonds: bad commission": "choose 0 to 10,000 basis points",
    "Bonds: host key form": "name a compressed point, which begins with 02 or 03",
    "Bonds: host key length": "name a compressed point of 33 bytes",
    "Bonds: no endpoint": "write the endpoint as tcp://host:port",
    "Bonds: no transport key": "name the node's transport key, 32 bytes",
    "Hub: bad delay": "choose a delay of 1 to 65,535 blocks",
    "Hub: no reclaim key": "name the key that can take the deposit back",
    "Hub: no withdrawals": "name the withdrawals to pay",
    # What no node of ours does, and what cannot be on a network that was founded as a whole.
    "Bonds: no operators": "name the signers among whom fees are shared",
    "Bonds: not bound": "the owner binds Bonds to the Registry and the Hub first",
    "Bonds: not the Hub": "only the Hub credits fees: distribute them there",
    "Bonds: too much bonded": "bond less: the pool cannot count that much",
    "Bonds: transfer failed": "the token refuses the payment: report it",
    "Hub: transfer failed": "the token refuses the payment: report it",
    "MappingToken: not the Hub": "only the Hub mints and burns: deposit or withdraw there",
    "Registry: not the registrar": "only the Hub introduces assets: bring the vouchers' attestations there",
}
"""What to do about the strings that have no class of their own: nobody acts on them but a person who reads them."""


class ContractRefused(Reverted):
    """A contract of the bridge refused a call, and said why.

    Fields: contract (Hub, Registry, Bonds, MappingToken, or a library in them: eip712, erc20, ownable); reason (its
    words); label, data, transaction as `Reverted`. `cure`: what to do about it.
    """

    says: ClassVar[frozenset[str]] = frozenset()
    """The full strings that mean this class."""
    remedy: ClassVar[str] = ""
    """What to do about all of them."""

    def __init__(self, label: str, reason: str, data: bytes = b"", transaction: bytes | None = None) -> None:
        super().__init__(label, reason, data, transaction)
        contract, _, words = reason.partition(": ")
        self.contract = contract
        self.reason = words

    @property
    def cure(self) -> str:
        """What the caller can do about it, in words for people."""
        return self.remedy or PLAIN_REMEDIES.get(f"{self.contract}: {self.reason}", "")
