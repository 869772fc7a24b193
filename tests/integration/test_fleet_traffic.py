#!/usr/bin/env python3
"""Five hosts behind a real balancer, all of them on a network of their own: nobody who sends requests notices."""
import functools
import json
import time
import urllib.request

from balancer import Client, Haproxy
from fleet_network import NetworkFleet, enter_network
from fleet_support import Ports, contextlib, fleet_test, main, wait_for

HOSTS = 5


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
        with Client(self.balancer.port) as client:
            yield client
            time.sleep(0.5)
        print(f"# {len(client.answers)} requests", flush=True)
        client.expect(*versions)
        self.wait_up()
        self.check()


traffic_test = functools.partial(fleet_test, hosts=HOSTS, kind=BalancedFleet)


@traffic_test
def no_request_fails_while_a_fleet_is_upgraded(fleet):
    file = fleet.package("2.0")
    with fleet.under_load("1.0", "2.0"):
        change = fleet.open(fleet.document(file, soak="1s", traffic=True))
        fleet.wait_end(change)
    fleet.expect("2.0")
    steps = [e["step"] for e in fleet.events(change) if e["type"] == "step.done" and e["host"] == "web4"]
    assert "drain" in steps and "readmit" in steps, steps


@traffic_test
def no_request_fails_while_a_version_that_fails_half_way_is_put_back(fleet):
    file = fleet.package("2.0", "sick-when:sick")
    (fleet.root_of("web4") / "sick").touch()
    with fleet.under_load("1.0", "2.0"):
        change = fleet.open(fleet.document(file, soak="1s", traffic=True))
        look = fleet.wait_end(change, "rolled_back")
    assert look["reason_host"] == "web4", look
    fleet.expect("1.0")


@traffic_test
def no_request_fails_while_the_controller_is_killed_twice(fleet):
    file = fleet.package("2.0")
    with fleet.under_load("1.0", "2.0"):
        change = fleet.open(fleet.document(file, soak="1s", traffic=True))
        for host in ("web1", "web3"):
            fleet.wait_event(change, "step.started", step="drain", host=host)
            assert fleet.controller.kill()
            fleet.start_controller()
        fleet.wait_end(change)
    fleet.expect("2.0")


@traffic_test
def no_request_fails_while_agents_are_killed(fleet):
    file = fleet.package("2.0")
    with fleet.under_load("1.0", "2.0"):
        change = fleet.open(fleet.document(file, soak="1s", traffic=True))
        for host in ("web1", "web2"):
            fleet.wait_event(change, "step.started", step="drain", host=host)
            fleet.agents[host].kill()
            fleet.start_agent(host)
        fleet.wait_end(change)
    fleet.expect("2.0")


@traffic_test
def no_request_fails_while_a_fleet_is_rolled_back_after_success(fleet):
    fleet.wait_end(fleet.open(fleet.document(fleet.package("2.0"), traffic=True)))
    change = fleet.changes[-1]
    with fleet.under_load("1.0", "2.0"):
        fleet.control(change, "rollback")
        wait_for(lambda: fleet.look(change).get("outcome") == "rolled_back", "the rollback's end")
    fleet.expect("1.0")


enter_network()
main(together=3)
