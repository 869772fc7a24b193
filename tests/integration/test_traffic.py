#!/usr/bin/env python3
"""Hosts behind a real balancer: nobody who sends requests notices an upgrade, nor one that is put back."""
import signal
import socket
import time

from balancer import CLOSING, Haproxy, Nginx, under_load
from support import main, served, test, wait_for


def evidence(site, order, step, host="web1"):
    return [e.get("detail", {}) for e in site.events() if e["type"] == "step.done" and e["order"] == order
            and e["step"] == step and e["host"] == host]


@test(hosts=2)
def no_request_fails_while_two_hosts_are_upgraded(site):
    site.install("1.0")
    balancer = Haproxy(site)
    with under_load(site, balancer.port, "1.0", "2.0"):
        site.run("run", site.plan(site.package("2.0"), soak="1s", traffic=balancer.plan()))
    site.expect("2.0")
    assert balancer.servers() == {"web1": ("UP", 100), "web2": ("UP", 100)}
    assert site.steps("switch", "web2")[-9:] == ["ready", "arm", "drain", "stop", "final_copy", "activate", "start",
                                                 "probe", "readmit"]
    assert evidence(site, "switch", "drain")[0]["connections_left"] == 0


@test(hosts=2)
def no_request_fails_while_a_bad_version_is_put_back(site):
    site.install("1.0")
    balancer = Haproxy(site)
    plan = site.document(site.package("2.0", "failing"), traffic=balancer.plan())
    plan["health"][0]["deadline"] = "1s"
    with under_load(site, balancer.port, "1.0"):
        site.run("run", site.write(plan), status=4)
    site.expect("1.0")
    assert balancer.servers() == {"web1": ("UP", 100), "web2": ("UP", 100)}
    assert site.steps("rollback")[-1] == "finish" and "readmit" in site.steps("rollback")


@test(hosts=2)
def no_request_fails_while_an_accepted_version_is_rolled_back(site):
    site.install("1.0")
    balancer = Haproxy(site)
    site.run("run", site.plan(site.package("2.0"), traffic=balancer.plan()))
    with under_load(site, balancer.port, "1.0", "2.0"):
        site.run("rollback", site.change())
    site.expect("1.0")


@test(hosts=2)
def no_request_fails_behind_nginx(site):
    site.install("1.0")
    balancer = Nginx(site)
    before = balancer.file.read_text()
    with under_load(site, balancer.port, "1.0", "2.0", words=CLOSING):
        site.run("run", site.plan(site.package("2.0"), soak="1s", traffic=balancer.plan()))
    site.expect("2.0")
    assert balancer.file.read_text() == before


@test(hosts=2)
def no_request_fails_when_upkeep_dies_and_goes_on(site):
    """Killed while it waits for connections to end, which a client holds open."""
    site.install("1.0")
    balancer = Haproxy(site)
    plan = site.plan(site.package("2.0"), traffic=balancer.plan(drain_timeout="30s"))
    with under_load(site, balancer.port, "1.0", "2.0"):
        with held_connection(balancer):
            run = site.start("run", plan)
            site.wait_event("step.started", step="drain")
            wait_for(lambda: balancer.servers()["web1"][0] == "DRAIN", "the drain")
            run.signal(signal.SIGKILL)
            run.end()
        site.run("run", plan)
    site.expect("2.0")
    assert balancer.servers() == {"web1": ("UP", 100), "web2": ("UP", 100)}


class held_connection:
    """A request to web1 that the balancer has begun and cannot end: its body never comes."""

    def __init__(self, balancer):
        self.balancer = balancer

    def __enter__(self):
        self.balancer.ask("set server web/web2 state maint")
        self.line = socket.create_connection(("127.0.0.1", self.balancer.port))
        self.line.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nx")
        time.sleep(0.3)
        self.balancer.ask("set server web/web2 state ready")
        return self

    def __exit__(self, *_):
        self.line.close()


@test(hosts=2)
def a_drain_that_is_cut_off_and_given_up_is_undone(site):
    site.install("1.0")
    balancer = Haproxy(site)
    pid = site.pid()
    with held_connection(balancer):
        run = site.start("run", site.plan(site.package("2.0"), traffic=balancer.plan(drain_timeout="30s")))
        wait_for(lambda: balancer.servers()["web1"][0] == "DRAIN", "the drain")
        run.signal(signal.SIGKILL)
        run.end()
    site.run("abort", site.change())
    site.expect("1.0")
    assert site.pid() == pid, "the service was stopped, though nothing had happened to it"
    assert balancer.servers() == {"web1": ("UP", 100), "web2": ("UP", 100)}


@test(hosts=2)
def no_request_fails_when_a_host_rolls_back_by_itself(site):
    """Its guard knows the balancer too."""
    site.install("1.0")
    balancer = Haproxy(site)
    plan = site.document(site.package("2.0"), soak="2s", traffic=balancer.plan(drain_timeout="1s"))
    plan["rollout"]["confirm_deadline"] = "7s"
    plan["health"][0]["deadline"] = "3s"
    with under_load(site, balancer.port, "1.0", "2.0"):
        run = site.start("run", site.write(plan))
        site.wait_event("stage.soaking")
        run.signal(signal.SIGKILL)
        run.end()
        wait_for(lambda: site.current() == "1.0", "the guard")
        wait_for(lambda: balancer.servers()["web1"] == ("UP", 100), "its return")
    site.expect("1.0")


@test(hosts=2)
def a_canary_has_little_weight_until_it_is_confirmed(site):
    site.install("1.0")
    balancer = Haproxy(site)
    plan = site.document(site.package("2.0"), soak="3s", traffic=balancer.plan())
    plan["rollout"]["strategy"] = "canary"
    plan["rollout"]["stages"][0]["weight"] = "10%"
    path = site.write(plan)
    site.run("show", path).says("weight 10%", "state drain, then maint", "weight 100%")
    run = site.start("run", path)
    site.wait_event("stage.soaking")
    assert balancer.servers() == {"web1": ("UP", 10), "web2": ("UP", 100)}
    run.end(0)
    assert balancer.servers() == {"web1": ("UP", 100), "web2": ("UP", 100)}
    assert site.steps("confirm")[-2:] == ["weight", "confirm"] and "weight" not in site.steps("confirm", "web2")


@test(hosts=2)
def a_canary_that_is_put_back_has_its_whole_weight(site):
    site.install("1.0")
    balancer = Haproxy(site)
    plan = site.document(site.package("2.0"), soak="60s", traffic=balancer.plan())
    plan["rollout"]["strategy"] = "canary"
    plan["rollout"]["stages"][0]["weight"] = "10%"
    run = site.start("run", site.write(plan))
    site.wait_event("stage.soaking")
    site.run("abort", site.change())
    run.end()
    site.expect("1.0")
    assert balancer.servers() == {"web1": ("UP", 100), "web2": ("UP", 100)}


@test
def the_only_server_is_not_taken_out(site):
    site.install("1.0")
    balancer, pid = Haproxy(site), site.pid()
    package = site.package("2.0")
    site.run("check", site.plan(package, traffic=balancer.plan()), status=3).says("nobody else serves")
    site.run("run", site.plan(package, traffic=balancer.plan()), status=3).says("last_server: drain")
    assert site.pid() == pid
    site.run("run", site.plan(package, traffic=balancer.plan(last_server="drain")))
    site.expect("2.0")
    assert balancer.servers() == {"web1": ("UP", 100)}


@test(hosts=2)
def a_balancer_that_is_gone_ends_the_switch_before_the_service_stops(site):
    site.install("1.0")
    balancer, pid = Haproxy(site), site.pid()
    plan = site.plan(site.package("2.0"), traffic=balancer.plan())
    site.run("run", plan, "--prepare-only", status=None)
    balancer.end()
    site.run("run", plan, status=4).says("cannot take web1 out of traffic")
    site.expect("1.0")
    assert site.pid() == pid, "the service was stopped"


@test(hosts=2)
def a_balancer_that_is_gone_does_not_keep_the_old_version_away(site):
    site.install("1.0")
    balancer = Haproxy(site)
    run = site.start("run", site.plan(site.package("2.0"), soak="60s", traffic=balancer.plan(drain_timeout="1s")))
    site.wait_event("stage.soaking")
    run.signal(signal.SIGINT)
    run.end(130)
    balancer.end()
    site.run("abort", site.change(), status=5).says("the old version runs, but gets no traffic", "upkeep rollback")
    site.expect("1.0", host=0)
    assert "HAProxy at" in evidence(site, "rollback", "drain")[0]["warning"]
    balancer.begin()
    site.run("rollback", site.change(), "--yes")
    site.expect("1.0")
    assert balancer.servers() == {"web1": ("UP", 100), "web2": ("UP", 100)}


@test(hosts=2)
def a_first_installation_comes_into_traffic_when_it_is_healthy(site):
    other = site.ports[1]
    site.run("run", site.plan(site.package("0.9")))
    balancer = Haproxy(site)
    site.run("rollback", site.change(), "--yes", status=None)
    assert served(other) is None
    plan = site.plan(site.package("1.0"), traffic=balancer.plan())
    site.run("run", plan)
    site.expect("1.0")
    assert "drain" not in site.steps("switch") and site.steps("switch")[-1] == "readmit"
    assert balancer.servers() == {"web1": ("UP", 100), "web2": ("UP", 100)}


@test(hosts=2)
def one_machine_has_a_group_that_takes_over_as_well(site):
    site.install("1.0")
    balancer = Haproxy(site)
    balancer.ask("set server web/web2 state maint")
    document = site.document(site.package("2.0"), traffic=balancer.plan())
    document["hosts"][0]["labels"] = {"side": "blue"}
    document["rollout"] = {"strategy": "blue-green", "live": {"side": "blue"}, "take_over_soak": "500ms",
                           "stages": [{"name": "all", "soak": "500ms"}]}
    plan = site.write(document)
    site.run("check", plan)
    site.run("simulate", plan)
    site.run("show", plan).says("Take-over: all of them go into traffic, then web1 out of it")
    with under_load(site, balancer.port, "1.0", "2.0"):
        site.run("run", plan).says("take-over passed")
    assert balancer.servers() == {"web1": ("MAINT", 100), "web2": ("UP", 100)}
    assert site.current(0) == "1.0" and site.current(1) == "2.0"
    site.run("status", site.change()).says("stands by")
    with under_load(site, balancer.port, "1.0", "2.0"):
        site.run("rollback", site.change())
    site.expect("1.0")
    assert balancer.servers() == {"web1": ("UP", 100), "web2": ("MAINT", 100)}


if __name__ == "__main__":
    main(2)
