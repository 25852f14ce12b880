# pragma version ~=0.4.3
# pragma nonreentrancy on
"""
@title Registry: assets
@license MIT
@notice The assets of the registered chains, by their CAIP-19 text, and the policy of each.
@dev Invariants:
     1. An id is the hash of its text, and a registered asset never changes but for its policy.
     2. An asset belongs to one registered chain, and its text begins with that chain's text and a slash. A contract of
        an EVM chain is written with lower-case digits alone, so that no token has two ids. Its coin has one asset, the
        first `slip44` that was registered: two would be backed by the same coin of a Lockbox.
     3. Every policy leaves something of the smallest deposit and of the smallest withdrawal (`asset_policies`).
     4. Names and symbols are printable ASCII without spaces at their ends: what looks alike is alike, and two assets of
        one name are told apart by their ids.
     5. Who is not the owner names assets through the registrar alone, and only ERC-20s of chains that the owner opened.
"""


from snekmate.auth import ownable

import asset_policies
import registry_chains

uses: ownable
uses: registry_chains


struct Asset:
    chain: bytes32
    caip19: String[160]
    name: String[25]
    symbol: String[10]
    decimals: uint8


event AssetRegistered:
    id: indexed(bytes32)
    chain: indexed(bytes32)
    caip19: String[160]
    name: String[25]
    symbol: String[10]
    decimals: uint8


event AssetPolicyChanged:
    asset: indexed(bytes32)
    policy: asset_policies.AssetPolicy


event ChainPolicyChanged:
    chain: indexed(bytes32)
    open: bool
    policy: asset_policies.AssetPolicy


event RegistrarSet:
    registrar: indexed(address)


# @dev Asset id → what never changes about it.
asset: public(HashMap[bytes32, Asset])

# @dev Asset id → policy, which the owner may change.
asset_policy: public(HashMap[bytes32, asset_policies.AssetPolicy])

# @dev How many assets are registered.
asset_count: public(uint256)

# @dev Position in the order of registration, from 0 → asset id.
asset_at: public(HashMap[uint256, bytes32])

# @dev Who introduces assets: the Hub. Zero until it is set.
registrar: public(address)

# @dev Chain id → the policy of the assets that the registrar introduces.
_introduction_policy: HashMap[bytes32, asset_policies.AssetPolicy]

# @dev EVM chain id → whether its coin is registered.
_has_coin: HashMap[bytes32, bool]

# @dev Chain id → whether the registrar may introduce assets of it.
_is_open: HashMap[bytes32, bool]


@external
def register_asset(
    caip19: String[160],
    chain_id: bytes32,
    name: String[25],
    symbol: String[10],
    decimals: uint8,
    policy: asset_policies.AssetPolicy,
) -> bytes32:
    """
    @notice Registers an asset of a registered chain. Owner only.
    @param caip19 Its CAIP-19 text, like `bip122:000000000019d6689c085ae165831e93/slip44:0`.
    @param chain_id The chain that it comes from.
    @param name Name for people, 1 to 25 bytes; the mapping token adds " (Causeway)".
    @param symbol Ticker, 1 to 10 bytes; the mapping token puts "cw" before it.
    @param decimals Decimal places of its base unit.
    @param policy Its first policy.
    @return Its id.
    """
    ownable._check_owner()
    return self._register(caip19, chain_id, name, symbol, decimals, policy)


@external
def introduce_asset(
    caip19: String[160], chain_id: bytes32, name: String[25], symbol: String[10], decimals: uint8
) -> bytes32:
    """
    @notice Registers an ERC-20 that vouchers met, with its chain's policy for such. Registrar only.
    @param caip19 Its CAIP-19 text: the chain's, then `/erc20:0x` and 40 lower-case hexadecimal digits.
    @param chain_id The EVM chain that it comes from.
    @param name Name for people, 1 to 25 bytes.
    @param symbol Ticker, 1 to 10 bytes.
    @param decimals Decimal places of its base unit.
    @return Its id.
    """
    assert msg.sender == self.registrar, "Registry: not the registrar"
    assert registry_chains.chain_info[chain_id].kind == asset_policies.KIND_EVM, "Registry: not an EVM chain"
    assert self._is_open[chain_id], "Registry: chain not open"
    text: String[64] = registry_chains.chain_info[chain_id].caip2
    assert self._is_erc20(caip19, len(text)), "Registry: not an ERC-20"
    return self._register(caip19, chain_id, name, symbol, decimals, self._introduction_policy[chain_id])


@external
def set_asset_policy(asset: bytes32, policy: asset_policies.AssetPolicy):
    """
    @notice Changes an asset's policy. Owner only.
    @param asset Its id.
    @param policy The new policy; it holds for everything that reaches the Hub from now on.
    """
    ownable._check_owner()
    assert self.asset[asset].chain != empty(bytes32), "Registry: unknown asset"
    self._set_policy(asset, policy)


@external
def set_chain_policy(chain_id: bytes32, policy: asset_policies.AssetPolicy, open: bool):
    """
    @notice Says which policy assets get that vouchers introduce, and whether they may. Owner only.
    @param chain_id An EVM chain.
    @param policy The policy of every asset introduced from now on; in base units, whatever the asset's decimals.
    @param open False: none are introduced.
    """
    ownable._check_owner()
    assert registry_chains.chain_info[chain_id].kind == asset_policies.KIND_EVM, "Registry: not an EVM chain"
    asset_policies._check(policy)
    self._introduction_policy[chain_id] = policy
    self._is_open[chain_id] = open
    log ChainPolicyChanged(chain=chain_id, open=open, policy=policy)


@external
def set_registrar(hub: address):
    """
    @notice Names who introduces assets: the Hub, which asks the vouchers. Owner only, once.
    @param hub The Hub.
    """
    ownable._check_owner()
    assert hub.is_contract, "Registry: not a contract"
    assert self.registrar == empty(address), "Registry: registrar is set"
    self.registrar = hub
    log RegistrarSet(registrar=hub)


@external
@view
def asset_by_text(caip19: String[160]) -> (bytes32, Asset, asset_policies.AssetPolicy):
    """
    @notice Finds an asset by its text.
    @param caip19 Its CAIP-19 text.
    @return Its id, the asset and its policy; all zero if it is not registered.
    """
    id: bytes32 = keccak256(caip19)
    if self.asset[id].chain == empty(bytes32):
        return empty(bytes32), empty(Asset), empty(asset_policies.AssetPolicy)
    return id, self.asset[id], self.asset_policy[id]


@external
@view
def chain_policy(chain_id: bytes32) -> (asset_policies.AssetPolicy, bool):
    """
    @notice What `set_chain_policy` said last.
    @param chain_id The chain's id.
    @return The policy, and whether assets may be introduced.
    """
    return self._introduction_policy[chain_id], self._is_open[chain_id]


@external
@view
def withdrawal_terms(asset: bytes32) -> (uint256, asset_policies.AssetPolicy):
    """
    @notice What the Hub asks at each withdrawal.
    @param asset The asset's id.
    @return The kind of its chain (0 if it is not registered) and its policy.
    """
    return registry_chains.chain_info[self.asset[asset].chain].kind, self.asset_policy[asset]


@external
@view
def token_terms(asset: bytes32) -> (String[36], String[12], uint8):
    """
    @notice What the Hub asks when it deploys an asset's mapping token. Its name and symbol are marked as mapped, so
            that no token passes for its original.
    @param asset The asset's id.
    @return `<name> (Causeway)`, `cw<symbol>` and the decimals.
    """
    return (
        concat(self.asset[asset].name, " (Causeway)"),
        concat("cw", self.asset[asset].symbol),
        self.asset[asset].decimals,
    )


@internal
def _register(
    caip19: String[160],
    chain_id: bytes32,
    name: String[25],
    symbol: String[10],
    decimals: uint8,
    policy: asset_policies.AssetPolicy,
) -> bytes32:
    """
    @notice Checks and stores an asset and its first policy.
    @param caip19 Its CAIP-19 text.
    @param chain_id The chain that it comes from.
    @param name Name for people.
    @param symbol Ticker.
    @param decimals Decimal places of its base unit.
    @param policy Its first policy.
    @return Its id.
    """
    text: String[64] = registry_chains.chain_info[chain_id].caip2
    size: uint256 = len(text)
    assert size > 0, "Registry: unknown chain"
    assert len(caip19) > size + 1, "Registry: asset not of chain"
    assert keccak256(slice(caip19, 0, size + 1)) == keccak256(concat(text, "/")), "Registry: asset not of chain"
    if registry_chains.chain_info[chain_id].kind == asset_policies.KIND_EVM:
        coin: bool = len(caip19) > size + 8 and slice(caip19, size, 8) == "/slip44:"
        assert coin or self._is_erc20(caip19, size), "Registry: not an ERC-20"
        if coin:
            assert not self._has_coin[chain_id], "Registry: asset exists"
            self._has_coin[chain_id] = True
    assert self._is_printable(convert(name, Bytes[25]), True), "Registry: bad name"
    assert self._is_printable(convert(symbol, Bytes[10]), False), "Registry: bad symbol"
    id: bytes32 = keccak256(caip19)
    assert self.asset[id].chain == empty(bytes32), "Registry: asset exists"
    self.asset[id] = Asset(chain=chain_id, caip19=caip19, name=name, symbol=symbol, decimals=decimals)
    self.asset_at[self.asset_count] = id
    self.asset_count += 1
    log AssetRegistered(id=id, chain=chain_id, caip19=caip19, name=name, symbol=symbol, decimals=decimals)
    self._set_policy(id, policy)
    return id


@internal
def _set_policy(asset: bytes32, policy: asset_policies.AssetPolicy):
    """
    @notice Checks and stores a policy.
    @param asset The asset's id.
    @param policy The policy.
    """
    asset_policies._check(policy)
    self.asset_policy[asset] = policy
    log AssetPolicyChanged(asset=asset, policy=policy)


@internal
@pure
def _is_printable(text: Bytes[25], spaces: bool) -> bool:
    """
    @notice Whether a text is one that people can tell from others: printable ASCII, no space at either end.
    @param text The text's bytes.
    @param spaces Whether there may be spaces inside.
    @return False also for an empty text.
    """
    size: uint256 = len(text)
    if size == 0:
        return False
    for place: uint256 in range(size, bound=25):
        letter: uint256 = convert(slice(text, place, 1), uint256)
        if letter < 32 or letter > 126:
            return False
        if letter == 32 and (not spaces or place == 0 or place == size - 1):
            return False
    return True


@internal
@pure
def _is_erc20(caip19: String[160], start: uint256) -> bool:
    """
    @notice Whether a text ends as that of an ERC-20 does.
    @param caip19 The CAIP-19 text.
    @param start How long its chain's text is.
    @return True for `/erc20:0x` and 40 lower-case hexadecimal digits that are not all zero: a Lockbox calls its coin zero.
    """
    if len(caip19) != start + 49:
        return False
    if slice(caip19, start, 9) != "/erc20:0x":
        return False
    digits: Bytes[40] = convert(slice(caip19, start + 9, 40), Bytes[40])
    is_zero: bool = True
    for place: uint256 in range(40):
        digit: uint256 = convert(slice(digits, place, 1), uint256)
        if not ((digit >= 48 and digit <= 57) or (digit >= 97 and digit <= 102)):
            return False
        if digit != 48:
            is_zero = False
    return not is_zero
