"""What the Registry and the library for signatures refuse, typed."""

from __future__ import annotations

from adapters.native.refusal import ContractRefused


class SignatureRefused(ContractRefused):
    """A signature is malformed, by nobody, out of order, or by another member than it says."""

    says = frozenset(
        {
            "eip712: invalid signature",
            "eip712: s is high",
            "eip712: signature length",
            "eip712: signers not ascending",
            "eip712: v is not 27 or 28",
            "Registry: not that member",
        }
    )
    remedy = "sign again; list signatures by ascending account"


class AlreadyRegistered(ContractRefused):
    """The chain, its vault or the asset is registered already. Whoever wanted the same is done."""

    says = frozenset({"Registry: chain exists", "Registry: asset exists", "Registry: vault exists"})
    remedy = "nothing is left to do, unless it was registered otherwise: that stays as it is"


class AlreadyBound(ContractRefused):
    """The contracts know each other already, for ever. Whoever wanted the same is done."""

    says = frozenset({"Bonds: already bound", "Registry: registrar is set"})
    remedy = "nothing is left to do"


class AlreadyActivated(ContractRefused):
    """The group has its key already. Whoever wanted the same is done."""

    says = frozenset({"Registry: already activated"})
    remedy = "nothing is left to do"


class ProposalSuperseded(ContractRefused):
    """A newer group was proposed for the chain: this one can never be activated."""

    says = frozenset({"Registry: proposal superseded"})
    remedy = "activate the newest group"


class BadKeyProof(ContractRefused):
    """The group's signature by its new key does not verify."""

    says = frozenset({"Registry: bad key proof"})
    remedy = "sign the proof again with the shares of this key"


class UnknownChain(ContractRefused):
    """The chain is not registered."""

    says = frozenset({"Registry: unknown chain"})
    remedy = "register the chain first"


class UnknownAsset(ContractRefused):
    """The asset is not registered."""

    says = frozenset({"Registry: unknown asset"})
    remedy = "register the asset first"


class ChainNotSupported(ContractRefused):
    """The bridge cannot follow a chain of this name."""

    says = frozenset({"Registry: unknown namespace", "Registry: bad chain number"})
    remedy = "name a chain of bip122: or eip155:"


class BadFinality(ContractRefused):
    """A Bitcoin-like chain has no finality of its own."""

    says = frozenset({"Registry: bad finality"})
    remedy = "ask for at least 1 confirmation"


class BadName(ContractRefused):
    """An asset's name or symbol is empty, too long, or not in plain characters."""

    says = frozenset({"Registry: bad name", "Registry: bad symbol"})
    remedy = "write printable ASCII: a name of 1 to 25 characters, a symbol of 1 to 10 without spaces"


class BadPolicy(ContractRefused):
    """Fees would leave nothing of the smallest deposit or withdrawal, or are above a tenth."""

    says = frozenset({"Registry: fee above minimum", "Registry: fee above a tenth"})
    remedy = "raise the minimum, or lower the fees"


class IntroductionsClosed(ContractRefused):
    """Vouchers may introduce no assets on this chain."""

    says = frozenset({"Registry: chain not open"})
    remedy = "the owner registers the asset, or opens the chain with a policy"


class NotAnEvmChain(ContractRefused):
    """Vaults, and assets that vouchers introduce, are of EVM chains alone."""

    says = frozenset({"Registry: not an EVM chain"})
    remedy = "name a registered chain of eip155:"


class BadAssetText(ContractRefused):
    """The asset's text is not of its chain, or names nothing that a Lockbox can hold."""

    says = frozenset({"Registry: asset not of chain", "Registry: not an ERC-20"})
    remedy = "write the chain's text, then /slip44: and a number or /erc20:0x and 40 hex digits in lower case"
