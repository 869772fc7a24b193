"""A fleet behind a real balancer, all of them on a network of their own."""
import json
import urllib.request

from balancer import Haproxy, under_load
from fleet_network import NetworkFleet, enter_network
from fleet_support import Ports, contextlib, wait_for

__all__ = ["BalancedFleet", "enter_network"]


class BalancedFleet(NetworkFleet):
    """HAProxy stands beside the controller; its hosts reach its runtime API over the network."""

    def begin(self):
        super().begin()
        self.change = self.install("1.0")
        self.expect("1.0")
        self.api = Ports.take()
        self.balancer = Haproxy(
            self.site, servers=[f"{self.host_address(i)}:{port}" for i, port in enumerate(self.site.ports)],
            more=f"  stats socket ipv4@{self.address}:{self.api} level admin\n")
        self.wait_up()

    def wait_up(self):
        wait_for(lambda: set(self.balancer.servers().values()) == {("UP", 100)}, "all of them to be up")

    def served(self, name):
        i = self.names.index(name)
        with contextlib.suppress(OSError), urllib.request.urlopen(
                f"http://{self.host_address(i)}:{self.site.ports[i]}/", timeout=5) as answer:
            return answer.read().decode().strip()
        return None

    def document(self, package, hosts=None, traffic=False, **parts):
        """The service answers at its host's own address. `traffic`: the balancer is told."""
        document = super().document(package, hosts, **parts)
        document = json.loads(json.dumps(document).replace("127.0.0.1", "${vars.address}"))
        document["service"]["run"]["process"]["command"] += ["--address", "${vars.address}"]
        for row in document["hosts"]:
            row["vars"] = {"address": self.host_address(self.names.index(row["name"]))}
        document["rollout"]["max_unavailable"] = 2
        if traffic:
            document["traffic"] = {"haproxy": {"sockets": [f"{self.address}:{self.api}"], "backend": "web",
                                               "server": "${host.name}"}, "drain_timeout": "20s"}
        return document

    @contextlib.contextmanager
    def under_load(self, *versions):
        """Requests all the time; none of them fails, and these versions answered."""
        with self.under_requests(*versions):
            yield
        self.wait_up()

    @contextlib.contextmanager
    def under_requests(self, *versions):
        """The same, whoever serves at the end."""
        with under_load(self.site, self.balancer.port, *versions):
            yield
        self.check()
