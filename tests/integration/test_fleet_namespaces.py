#!/usr/bin/env python3
"""A fleet on a network that is cut, slow, and lossy. Each host is a network namespace (fleet_network.py)."""
import functools
import hashlib
import os
import re
import time

from fleet_network import NetworkFleet, enter_network
from fleet_support import fleet_test, main, wait_for

network_test = functools.partial(fleet_test, kind=NetworkFleet)
PATIENT = [{"name": "front page", "http": {"url": "http://127.0.0.1:${vars.port}/", "timeout": "5s"}, "every": "100ms",
            "healthy_after": 2, "fail_after": 3, "deadline": "100s"}]
SOON = [{**PATIENT[0], "deadline": "8s"}]
SHORT = {"confirm_deadline": "25s", "max_unavailable": 3, "stages": [{"name": "all", "soak": "12s"}]}


@network_test(hosts=3)
def hosts_with_addresses_of_their_own_are_upgraded(fleet):
    fleet.install("1.0")
    fleet.upgrade("2.0")
    fleet.expect("2.0")
    assert [fleet.host(n)["address"] for n in fleet.names] == [fleet.host_address(i) for i in range(3)]
    fleet.check()


@network_test(hosts=3)
def a_host_cut_off_before_its_switch_is_waited_for(fleet):
    fleet.install("1.0")
    stages = [{"name": "pilot", "hosts": 1, "soak": "3s"}, {"name": "rest", "soak": "1s"}]
    change = fleet.open(fleet.document(fleet.package("2.0"), stages=stages, health=PATIENT))
    fleet.wait_event(change, "stage.soaking", stage="pilot")
    fleet.cut("web2")
    fleet.wait_event(change, "order.given", host="web2", order="switch")
    wait_for(lambda: fleet.host_of(change, "web3")["state"] == "healthy", "web3 to be switched meanwhile")
    fleet.expect("1.0", ["web2"])
    fleet.mend("web2")
    fleet.wait_end(change)
    fleet.expect("2.0")
    fleet.check()


@network_test(hosts=2)
def a_link_cut_for_a_moment_disturbs_nothing(fleet):
    fleet.install("1.0")
    change = fleet.open(fleet.document(fleet.package("2.0"), soak="2s", health=PATIENT))
    for _ in range(60):
        if fleet.look(change).get("outcome"):
            break
        fleet.cut("web1", "web2")
        time.sleep(0.5)
        fleet.mend("web1", "web2")
        time.sleep(2)
    fleet.wait_end(change)
    fleet.expect("2.0")
    fleet.check()


def is_back(fleet, name):
    return fleet.site.current(fleet.names.index(name)) == "1.0" and fleet.served(name) == "service 1.0 plain"


@network_test(hosts=3)
def hosts_cut_off_for_longer_than_the_deadline_go_back_by_themselves(fleet):
    fleet.install("1.0")
    change = fleet.open(fleet.document(fleet.package("2.0"), health=SOON, rollout=SHORT))
    fleet.wait_event(change, "stage.soaking")
    fleet.cut(*fleet.names)
    for name in fleet.names:
        wait_for(lambda name=name: is_back(fleet, name), f"{name} to put 1.0 back by itself")
    fleet.mend(*fleet.names)
    look = fleet.wait_end(change, "rolled_back")
    assert {h["state"] for h in look["hosts"]} == {"rolled_back"}, look
    fleet.expect("1.0")
    fleet.check()


@network_test(hosts=3)
def one_host_cut_off_in_the_soak_takes_all_of_them_back(fleet):
    fleet.install("1.0")
    change = fleet.open(fleet.document(fleet.package("2.0"), health=SOON, rollout=SHORT))
    fleet.wait_event(change, "stage.soaking")
    fleet.cut("web3")
    wait_for(lambda: all(is_back(fleet, name) for name in fleet.names), "all of them to be back")
    assert not fleet.look(change).get("outcome"), "web3 was not heard of yet"
    fleet.mend("web3")
    fleet.wait_end(change, "rolled_back")
    fleet.expect("1.0")
    fleet.check()


@network_test(hosts=1)
def a_download_that_was_cut_goes_on_where_it_was(fleet):
    fleet.install("1.0")
    file = fleet.package("2.0", files={"big": os.urandom(6 << 20)})
    size, sha256 = file.stat().st_size, hashlib.sha256(file.read_bytes()).hexdigest()
    part = fleet.agent_state("web1") / "packages" / f"{sha256}.part"

    def came():
        return part.stat().st_size if part.exists() else 0

    fleet.throttle("web1", "8mbit")
    before = fleet.sent_bytes("web1")
    change = fleet.open(fleet.document(file, soak="300ms", health=PATIENT))
    wait_for(lambda: came() > 1 << 20, "the first megabyte")
    fleet.cut("web1")
    had = came()
    assert had < size, "all of it had come: the link is not slow enough"
    time.sleep(35)  # longer than a download may stall
    assert came() >= had, "what had come was thrown away"
    fleet.mend("web1")
    fleet.unthrottle("web1")
    smallest = had
    for _ in range(3000):
        if fleet.look(change).get("outcome"):
            break
        smallest = min(smallest, came() or smallest)
        time.sleep(0.05)
    fleet.wait_end(change)
    fleet.expect("2.0")
    assert smallest >= had, f"it began anew: {smallest} of {had} were left"
    sent = fleet.sent_bytes("web1") - before
    assert sent < size * 1.5, f"{sent} bytes were sent of a package of {size}"
    fleet.check()


@network_test(hosts=2)
def a_lossy_link_is_slow_and_no_more(fleet):
    fleet.install("1.0")
    file = fleet.package("2.0", files={"big": os.urandom(300 << 10)})
    fleet.make_lossy("web2", "0.2")
    fleet.wait_end(fleet.open(fleet.document(file, soak="1s", health=PATIENT)))
    fleet.expect("2.0")
    fleet.check()


@network_test(hosts=2)
def a_controller_unreachable_for_a_while_is_found_again(fleet):
    fleet.install("1.0")
    fleet.cut(*fleet.names)
    for name in fleet.names:
        fleet.agents[name].kill()
        fleet.start_agent(name)
    for name in fleet.names:
        wait_for(lambda name=name: re.search("controller.trouble", fleet.agents[name].text()), f"{name} to say so")
    fleet.mend(*fleet.names)
    fleet.upgrade("2.0", health=PATIENT)
    fleet.expect("2.0")
    fleet.check()


enter_network()
main()
