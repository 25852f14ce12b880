"""Five processes over loopback make a key, sign, lose members, and name a liar."""

from mpc import bip340
from mpc.curve import tagged_hash
from mpc.frost import thresh_pubkey_and_tweak
from mpc.standing import TOLERATED_FAULTS
from tests.support.cluster import GROUP, identities, item
from tests.support.processes import ClusterProcesses

BODY = bytes(range(64))


def check(key, answer):
    for i, signature in enumerate(answer["signatures"]):
        wanted = item(BODY[32 * i : 32 * i + 32])
        tweaked = thresh_pubkey_and_tweak(key, [t.value for t in wanted.tweaks], [True])
        assert bip340.verify(wanted.message, tweaked.xonly_key, bytes.fromhex(signature))
    assert len(answer["signatures"]) == 2


async def test_a_cluster_makes_a_key_and_signs_with_two_of_five_dead(tmp_path):
    """Five processes run ChillDKG and prove the key; then every one can coordinate; with two killed the rest signs."""
    async with ClusterProcesses(tmp_path, 3, 5) as cluster:
        made = await cluster.nodes[0].call(do="create")
        key = bytes.fromhex(made["key"])
        proof_message = tagged_hash("test proof", GROUP + bytes(4) + key[1:])
        assert bip340.verify(proof_message, key[1:], bytes.fromhex(made["proof"]))
        assert (await cluster.nodes[3].call(do="create", attempt=1))["key"] == made["key"]
        for node in cluster.nodes:
            check(key, await node.call(do="sign", body=BODY.hex()))
        for i in (1, 3):
            await cluster.nodes[i].kill()
        for i in (0, 2, 4):
            check(key, await cluster.nodes[i].call(do="sign", body=BODY.hex()))


async def test_a_liar_is_named_and_left_out(tmp_path):
    """With one process that sends wrong partial signatures all sessions are signed, and it is named, only it."""
    async with ClusterProcesses(tmp_path, 3, 5, liars=(0,)) as cluster:
        made = await cluster.nodes[1].call(do="create")
        key = bytes.fromhex(made["key"])
        liar = identities(5)[0].host_key.hex()
        # Which three answer first is a matter of chance, so the liar may not be in the first sessions.
        for _ in range(50):
            check(key, await cluster.nodes[1].call(do="sign", body=BODY.hex()))
            faults = dict((await cluster.nodes[1].call(do="culprits"))["culprits"])
            if faults.get(liar) == TOLERATED_FAULTS:
                break
        assert faults == {liar: TOLERATED_FAULTS}
        for _ in range(10):
            check(key, await cluster.nodes[1].call(do="sign", body=BODY.hex()))
        assert dict((await cluster.nodes[1].call(do="culprits"))["culprits"]) == {liar: TOLERATED_FAULTS}
