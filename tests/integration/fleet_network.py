"""Fleets on a network of their own: each host is a network namespace with an address, a link and a bridge.

The whole script runs in a network and a mount namespace of its own (enter_network), in which all of that is made: the
kernel takes it away with the script, however that ends. Hosts are 10.77.N.11, .12 …, the controller is 10.77.N.1 on the
bridge. Where namespaces cannot be made, the tests are skipped and say why.
"""
import ctypes
import itertools
import json
import os
import subprocess
import sys
import threading

from fleet_support import Fleet, served
from support import Skip

INSIDE = "UPKEEP_TEST_NETWORK"  # set in the namespace: yes, or why there is none
MAKE = "mount -t tmpfs none /run && ip link set lo up && ip netns add probe && ip netns del probe"
CLONE_NEWNET = 0x40000000
libc = ctypes.CDLL(None, use_errno=True)


def enter_network():
    """Start over in namespaces of our own, or leave it and remember why."""
    if INSIDE in os.environ:
        return
    inside = ["unshare", "--net", "--mount", "--propagation", "private"]
    if os.geteuid() != 0:
        inside[1:1] = ["--user", "--map-root-user"]
    try:
        probe = subprocess.run([*inside, "sh", "-c", MAKE], capture_output=True, text=True, check=False)
        why = probe.stderr.strip() if probe.returncode else ""
    except OSError as error:
        why = str(error)
    if not why:
        script = [sys.executable, *sys.argv]
        os.execvpe("unshare", [*inside, "sh", "-c", f'{MAKE} && exec "$@"', "sh", *script], {**os.environ, INSIDE: "yes"})
    os.environ[INSIDE] = f"network namespaces cannot be made here: {why}"


def run(*words, may_fail=False):
    done = subprocess.run([str(w) for w in words], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode and not may_fail:
        raise Skip(f"{' '.join(map(str, words))}: {done.stderr.strip()}")
    return done


def inside(name, function):
    """What the function returns, called in a network namespace."""
    result = []

    def call():
        with open(f"/run/netns/{name}", "rb") as namespace:
            if libc.setns(namespace.fileno(), CLONE_NEWNET) != 0:
                result.append(OSError(ctypes.get_errno(), "setns"))
                return
        result.append(function())
    thread = threading.Thread(target=call)
    thread.start()
    thread.join()
    if isinstance(result[0], OSError):
        raise result[0]
    return result[0]


class NetworkFleet(Fleet):
    numbers = itertools.count(1)

    def __init__(self, site, hosts, **options):
        if os.environ.get(INSIDE) != "yes":
            raise Skip(os.environ.get(INSIDE, "not in a network of its own"))
        self.number = next(self.numbers)
        address = f"10.77.{self.number}.1"
        super().__init__(site, hosts, serve=["--name", address], address=address, **options)

    def begin(self):
        bridge = f"b{self.number}"
        run("ip", "link", "add", bridge, "type", "bridge")
        run("ip", "address", "add", f"{self.address}/24", "dev", bridge)
        run("ip", "link", "set", bridge, "up")
        for i, name in enumerate(self.names):
            space, link = self.space(name), self.link(name)
            run("ip", "netns", "add", space)
            run("ip", "link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", space)
            run("ip", "link", "set", link, "master", bridge, "up")
            run("ip", "-n", space, "address", "add", f"{self.host_address(i)}/24", "dev", "eth0")
            for device in ("lo", "eth0"):
                run("ip", "-n", space, "link", "set", device, "up")
        super().begin()

    def end(self):
        super().end()
        for name in self.names:
            run("ip", "link", "del", self.link(name), may_fail=True)
            run("ip", "netns", "del", self.space(name), may_fail=True)
        run("ip", "link", "del", f"b{self.number}", may_fail=True)

    def space(self, name):
        return f"f{self.number}{name}"

    def link(self, name):
        """The end of its link on our side."""
        return f"v{self.number}{name}"

    def host_address(self, i):
        return f"10.77.{self.number}.{11 + i}"

    def agent_before(self, name):
        return ("ip", "netns", "exec", self.space(name))

    def served(self, name):
        return inside(self.space(name), lambda: served(self.site.ports[self.names.index(name)]))

    # ---- the weather

    def cut(self, *names):
        for name in names:
            run("ip", "link", "set", self.link(name), "down")

    def mend(self, *names):
        for name in names:
            run("ip", "link", "set", self.link(name), "up")

    def throttle(self, name, rate):
        """What comes to the host comes no faster."""
        run("tc", "qdisc", "add", "dev", self.link(name), "root", "tbf", "rate", rate, "burst", "32kbit", "latency", "400ms")

    def unthrottle(self, name):
        run("tc", "qdisc", "del", "dev", self.link(name), "root")

    def make_lossy(self, name, share):
        run("ip", "netns", "exec", self.space(name), "iptables", "-A", "INPUT", "-i", "eth0", "-m", "statistic", "--mode",
            "random", "--probability", share, "-j", "DROP")

    def sent_bytes(self, name):
        """To the host, over its link, since that was made."""
        shown = json.loads(run("ip", "-j", "-s", "link", "show", "dev", self.link(name)).stdout)
        return shown[0]["stats64"]["tx"]["bytes"]
