#!/usr/bin/env python3
"""Two hosts serve, two take over from them, behind a real balancer: nobody who sends requests notices."""
import functools

from balanced_fleet import BalancedFleet, enter_network
from fleet_support import fleet_test, main, wait_for

BLUE, GREEN = ["web1", "web2"], ["web3", "web4"]
SERVES, STANDS_BY = ("UP", 100), ("MAINT", 100)


class TwoGroups(BalancedFleet):
    """Blue serves; green is out of the balancer."""

    def begin(self):
        super().begin()
        for name in GREEN:
            self.balancer.ask(f"set server web/{name} state maint")
        self.wait_sides(BLUE, GREEN)

    def wait_sides(self, live, idle):
        wanted = {**dict.fromkeys(live, SERVES), **dict.fromkeys(idle, STANDS_BY)}
        wait_for(lambda: self.balancer.servers() == wanted, f"{live} to serve, and {idle} to stand by")

    def blue_green(self, package, live="blue", soak="1s", probe=None):
        document = self.document(package, traffic=True)
        for row in document["hosts"]:
            row["labels"] = {"side": "blue" if row["name"] in BLUE else "green"}
        document["rollout"] = {"strategy": "blue-green", "live": {"side": live}, "max_unavailable": "100%",
                               "take_over_soak": soak, "stages": [{"name": "all", "soak": "500ms"}]}
        document["health"] += [probe] if probe else []
        return document


two_groups_test = functools.partial(fleet_test, hosts=4, kind=TwoGroups)


def types(fleet, change):
    """Which order was given or done where, and how the take-over went, one after the other."""
    return [(e["type"], e.get("order"), e.get("host")) for e in fleet.events(change)
            if e["type"].startswith(("order.", "take_over.", "rollout."))]


def first(events, *wanted):
    return min(i for i, event in enumerate(events) if event[:2] == wanted)


def last(events, *wanted):
    return max(i for i, event in enumerate(events) if event[:2] == wanted)


@two_groups_test
def a_group_takes_over_and_the_next_upgrade_goes_the_other_way_round(fleet):
    with fleet.under_requests("1.0", "2.0"):
        change = fleet.open(fleet.blue_green(fleet.package("2.0")))
        fleet.wait_end(change)
    fleet.expect("2.0", GREEN)
    fleet.expect("1.0", BLUE)  # stands by: it runs on
    fleet.wait_sides(GREEN, BLUE)
    events = types(fleet, change)
    assert last(events, "order.done", "admit") < first(events, "order.given", "retire"), events
    assert not [e for e in events if e[1] not in (None, "retire") and e[2] in BLUE], events
    with fleet.under_requests("2.0", "3.0"):
        fleet.wait_end(fleet.open(fleet.blue_green(fleet.package("3.0"), live="green")))
    fleet.expect("3.0", BLUE)
    fleet.expect("2.0", GREEN)
    fleet.wait_sides(BLUE, GREEN)


@two_groups_test
def a_version_that_turns_bad_after_the_take_over_is_replaced_by_what_stood_by(fleet):
    """Its health fails before its users notice: what they are answered meanwhile is the bad version's to say."""
    file = fleet.package("2.0")
    probe = {"name": "own", "command": {"run": ["/usr/bin/test", "!", "-e", "${service.root}/sick"]}, "every": "100ms",
             "healthy_after": 2, "fail_after": 3, "deadline": "20s"}
    with fleet.under_requests("1.0", "2.0"):
        change = fleet.open(fleet.blue_green(file, soak="60s", probe=probe))
        fleet.wait_event(change, "take_over.soaking")
        (fleet.root_of("web3") / "sick").touch()
        look = fleet.wait_end(change, "rolled_back")
    assert look["reason_host"] == "web3", look
    fleet.expect("1.0")
    fleet.wait_sides(BLUE, GREEN)
    events = types(fleet, change)
    assert last(events, "order.done", "admit") < first(events, "order.given", "rollback"), events


@two_groups_test
def a_rollback_after_success_brings_back_what_stood_by(fleet):
    change = fleet.open(fleet.blue_green(fleet.package("2.0")))
    fleet.wait_end(change)
    with fleet.under_requests("1.0", "2.0"):
        fleet.control(change, "rollback")
        wait_for(lambda: fleet.look(change).get("outcome") == "rolled_back", "the rollback's end")
    fleet.expect("1.0")
    fleet.wait_sides(BLUE, GREEN)


@two_groups_test
def a_group_that_gets_requests_is_not_switched(fleet):
    fleet.balancer.ask("set server web/web4 state ready")
    fleet.wait_sides([*BLUE, "web4"], ["web3"])
    with fleet.under_requests("1.0"):
        change = fleet.open(fleet.blue_green(fleet.package("2.0")))
        look = fleet.wait_end(change, "refused")
    assert "web4 gets requests: take it out, or name it under rollout.live" in str(look), look
    fleet.expect("1.0")
    fleet.wait_sides([*BLUE, "web4"], ["web3"])


@two_groups_test
def changes_are_rolled_back_one_after_the_other_whoever_has_stood_by_since(fleet):
    """A live host's own ledger stays that of the change which brought its version."""
    fleet.wait_end(fleet.open(fleet.blue_green(fleet.package("2.0"))))
    fleet.wait_end(fleet.open(fleet.blue_green(fleet.package("3.0"), live="green")))
    with fleet.under_requests("1.0", "2.0", "3.0"):
        for change in fleet.changes[:0:-1]:
            fleet.control(change, "rollback")
            wait_for(lambda c=change: fleet.look(c).get("outcome") == "rolled_back", f"the end of {change}'s rollback")
    fleet.expect("1.0")
    fleet.wait_sides(BLUE, GREEN)


@two_groups_test
def no_request_fails_while_the_controller_and_agents_are_killed_in_the_take_over(fleet):
    file = fleet.package("2.0")
    with fleet.under_requests("1.0", "2.0"):
        change = fleet.open(fleet.blue_green(file, soak="2s"))
        fleet.wait_event(change, "order.given", order="admit")
        assert fleet.controller.kill()
        fleet.start_controller()
        fleet.wait_event(change, "order.given", order="retire")
        for name in ("web1", "web3"):
            fleet.agents[name].kill()
            fleet.start_agent(name)
        fleet.wait_end(change)
    fleet.expect("2.0", GREEN)
    fleet.expect("1.0", BLUE)
    fleet.wait_sides(GREEN, BLUE)


enter_network()
main(together=3)
