#!/usr/bin/env python3
"""A fleet behind a real balancer: nobody who sends requests notices. Mostly five hosts on a network of their own."""
import functools

from balanced_fleet import BalancedFleet, enter_network
from balancer import CLOSING, Nginx, under_load
from fleet_support import fleet_test, main, wait_for

HOSTS = 5


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


@traffic_test
def no_request_fails_while_a_canary_has_little_weight_until_it_is_confirmed(fleet):
    stages = [{"name": "canary", "hosts": 1, "weight": "10%", "soak": "5s"}, {"name": "rest", "soak": "1s"}]
    file = fleet.package("2.0")
    with fleet.under_load("1.0", "2.0"):
        change = fleet.open(fleet.document(file, traffic=True, stages=stages, rollout__strategy="canary"))
        fleet.wait_event(change, "stage.soaking", stage="canary")
        servers = fleet.balancer.servers()
        assert servers == {**dict.fromkeys(fleet.names, ("UP", 100)), "web1": ("UP", 10)}, servers
        fleet.wait_event(change, "stage.passed", stage="canary")
        servers = fleet.balancer.servers()
        assert servers["web1"] == ("UP", 100), servers
        fleet.wait_end(change)
    fleet.expect("2.0")


@fleet_test(hosts=3)
def no_request_fails_behind_nginx_that_two_agents_tell_at_once(fleet):
    """All of them on one machine, and each host a line of one file."""
    fleet.install("1.0")
    balancer, file = Nginx(fleet.site), fleet.package("2.0")
    before = balancer.file.read_text()
    with under_load(fleet.site, balancer.port, "1.0", "2.0", words=CLOSING):
        change = fleet.open(fleet.document(file, soak="1s", rollout__max_unavailable=2, traffic=balancer.plan()))
        fleet.wait_end(change)
    fleet.expect("2.0")
    assert balancer.file.read_text() == before
    for step in ("drain", "readmit"):
        done = [e["host"] for e in fleet.events(change) if e["type"] == "step.done" and e["step"] == step]
        assert sorted(done) == fleet.names, f"{step}: {done}"
    fleet.check()


enter_network()
main(together=3)
