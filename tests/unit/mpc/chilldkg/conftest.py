"""A key generation session whose messages a test can change on the way."""

import pytest

from mpc import chilldkg
from mpc.curve import tagged_hash


class Session:
    """All parties of one session, with deterministic secrets. Each step reads and leaves its messages in fields."""

    def __init__(self, t, n, label=b"session"):
        self.t, self.n = t, n
        self.hostseckeys = [tagged_hash("test host key", bytes([i])) for i in range(n)]
        self.params = chilldkg.SessionParams([chilldkg.hostpubkey_gen(key) for key in self.hostseckeys], t)
        self.randoms = [tagged_hash("test random", label + bytes([i])) for i in range(n)]
        self.states1, self.pmsgs1 = [], []
        for key, random in zip(self.hostseckeys, self.randoms, strict=True):
            state, pmsg = chilldkg.participant_step1(key, self.params, random)
            self.states1.append(state)
            self.pmsgs1.append(pmsg)

    def coordinator_step1(self):
        self.coordinator, self.cmsg1 = chilldkg.coordinator_step1(self.pmsgs1, self.params)
        return self.cmsg1

    def step2(self, i, cmsg1=None):
        """Participant i's second step, on another message if one is given."""
        message = self.cmsg1 if cmsg1 is None else cmsg1
        return chilldkg.participant_step2(self.hostseckeys[i], self.states1[i], message, self.randoms[i])

    def all_step2(self):
        results = [self.step2(i) for i in range(self.n)]
        self.states2 = [state for state, _ in results]
        self.pmsgs2 = [pmsg for _, pmsg in results]

    def finish(self):
        """Run the rest without faults: outputs of the participants, of the coordinator, and the recovery data."""
        self.coordinator_step1()
        self.all_step2()
        cmsg2, output, recovery_data = chilldkg.coordinator_finalize(self.coordinator, self.pmsgs2)
        finals = [chilldkg.participant_finalize(state, cmsg2) for state in self.states2]
        assert all(data == recovery_data for _, data in finals)
        return [own for own, _ in finals], output, recovery_data


@pytest.fixture
def start():
    """Start a session: start(t, n, label)."""
    return Session
