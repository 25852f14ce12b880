# pragma version ~=0.4.3
# pragma nonreentrancy off
# pragma evm-version cancun
"""
@title MappingToken
@license MIT
@notice The ERC-20 on the native chain that stands for an asset of another chain, one unit for one unit, with permit
        (EIP-2612). The Hub deploys one for each asset from a blueprint (EIP-5202) at the asset's first mint.
@dev Invariants:
     1. Only the Hub that deployed it creates units, and only through `mint`.
     2. Only that Hub destroys units, and only its own: those that it holds for withdrawals.
     3. The sum of all balances is `totalSupply`.
     snekmate's erc20 supplies the balances, allowances and permit. Its minters, its owner and its holders' burn are not
     exported, and neither are its name and symbol, which are too short for `<asset's name> (Causeway)` and `cw<symbol>`.
"""


from ethereum.ercs import IERC20
from ethereum.ercs import IERC20Detailed
from snekmate.auth import ownable
from snekmate.tokens import erc20

initializes: ownable
initializes: erc20[ownable := ownable]

implements: IERC20
implements: IERC20Detailed

exports: (
    erc20.IERC20,
    erc20.decimals,
    erc20.permit,
    erc20.nonces,
    erc20.DOMAIN_SEPARATOR,
    erc20.eip712Domain,
)


# @dev The Hub: the only account that may mint and burn.
hub: public(immutable(address))

# @dev The asset's name followed by " (Causeway)": at most 25 + 11 characters.
name: public(immutable(String[36]))

# @dev "cw" followed by the asset's symbol: at most 2 + 10 characters.
symbol: public(immutable(String[12]))


@deploy
def __init__(name_: String[36], symbol_: String[12], decimals_: uint8):
    """
    @notice Creates a token without any units. The Hub is whoever deploys it.
    @param name_ Name for people; also the name of the EIP-712 domain of `permit`, whose version is "1".
    @param symbol_ Ticker.
    @param decimals_ How many decimal places a wallet shows.
    """
    hub = msg.sender
    name = name_
    symbol = symbol_
    ownable.__init__()
    erc20.__init__("", "", decimals_, name_, "1")


@external
def mint(recipient: address, amount: uint256):
    """
    @notice Creates units. Hub only.
    @param recipient Receives them; not the zero address.
    @param amount In base units.
    """
    assert msg.sender == hub, "MappingToken: not the Hub"
    erc20._mint(recipient, amount)


@external
def burn(amount: uint256):
    """
    @notice Destroys units that the Hub holds. Hub only.
    @param amount In base units.
    """
    assert msg.sender == hub, "MappingToken: not the Hub"
    erc20._burn(msg.sender, amount)
