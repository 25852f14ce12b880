# pragma version ~=0.4.3
# pragma nonreentrancy on
"""
@title Hub: mapping tokens
@license MIT
@notice The mapping token of each asset: deployed at its first mint, and from then on created and destroyed by the Hub.
@dev Invariants:
     1. An asset has at most one token, and a token one asset.
     2. The token's name, symbol and decimals are those that the Registry has, marked as mapped.
"""


import hub_votes

uses: hub_votes


interface Registry:
    def token_terms(asset: bytes32) -> (String[36], String[12], uint8): view


interface MappingToken:
    def mint(recipient: address, amount: uint256): nonpayable
    def burn(amount: uint256): nonpayable
    def transfer(to: address, amount: uint256) -> bool: nonpayable
    def transferFrom(owner: address, to: address, amount: uint256) -> bool: nonpayable
    def totalSupply() -> uint256: view


event TokenDeployed:
    asset: indexed(bytes32)
    token: indexed(address)


# @dev ERC-5202 blueprint of MappingToken.
token_blueprint: public(immutable(address))

# @dev Asset id → its mapping token, zero before its first mint.
token_of: public(HashMap[bytes32, address])

# @dev Mapping token → asset id, zero for any other address.
asset_of: public(HashMap[address, bytes32])


@deploy
def __init__(token_blueprint_: address):
    """
    @notice Fixes what tokens are made of.
    @param token_blueprint_ ERC-5202 blueprint of MappingToken.
    """
    assert token_blueprint_.is_contract, "Hub: not a contract"
    token_blueprint = token_blueprint_


@external
@view
def supply(asset: bytes32) -> uint256:
    """
    @notice How much of an asset's mapping token exists, the locked tokens included. Pending service fees are not in it.
    @param asset The asset's id.
    @return Base units; zero before its first mint.
    """
    token: address = self.token_of[asset]
    if token == empty(address):
        return 0
    return staticcall MappingToken(token).totalSupply()


@internal
def _mint(asset: bytes32, recipient: address, amount: uint256):
    """
    @notice Creates tokens, and the asset's token itself if there is none yet.
    @param asset The asset, which is registered.
    @param recipient Who gets them.
    @param amount In base units.
    """
    token: address = self.token_of[asset]
    if token == empty(address):
        token = self._deploy(asset)
    extcall MappingToken(token).mint(recipient, amount)


@internal
def _burn(asset: bytes32, amount: uint256):
    """
    @notice Destroys tokens that the Hub holds.
    @param asset The asset.
    @param amount In base units.
    """
    extcall MappingToken(self.token_of[asset]).burn(amount)


@internal
def _take(asset: bytes32, owner: address, amount: uint256):
    """
    @notice Locks an owner's tokens in the Hub; needs an allowance.
    @param asset The asset, which has a token.
    @param owner Whose tokens.
    @param amount In base units.
    """
    assert extcall MappingToken(self.token_of[asset]).transferFrom(owner, self, amount), "Hub: transfer failed"


@internal
def _give_back(asset: bytes32, owner: address, amount: uint256):
    """
    @notice Gives locked tokens back.
    @param asset The asset, which has a token.
    @param owner Who gets them.
    @param amount In base units.
    """
    assert extcall MappingToken(self.token_of[asset]).transfer(owner, amount), "Hub: transfer failed"


@internal
def _deploy(asset: bytes32) -> address:
    """
    @notice Deploys an asset's mapping token.
    @param asset The asset, which is registered and has no token yet.
    @return The token's address.
    """
    name: String[36] = ""
    symbol: String[12] = ""
    decimals: uint8 = 0
    name, symbol, decimals = staticcall Registry(hub_votes.registry).token_terms(asset)
    token: address = create_from_blueprint(token_blueprint, name, symbol, decimals)
    self.token_of[asset] = token
    self.asset_of[token] = asset
    log TokenDeployed(asset=asset, token=token)
    return token
