#!/usr/bin/env python3
"""A fleet in bad luck: processes killed, controllers and hosts gone for long, disks full, packages altered."""
import os
import signal
import time
from pathlib import Path

from disk import Disk, enter_namespace
from far_away import FarAway
from fleet_support import UPKEEPD, Fleet, chance, contextlib, fleet_test, main, wait_for
from support import processes

LATE = [{"name": "front page", "http": {"url": "http://127.0.0.1:${vars.port}/", "timeout": "5s"}, "every": "100ms",
         "healthy_after": 2, "fail_after": 3, "deadline": "60s"}]  # may be silent for as long


def kill_one(fleet, daemons, luck):
    daemon = luck.choice(daemons)
    killed = daemon.kill()
    if daemon is fleet.controller:
        fleet.start_controller()
    else:
        daemon.start()
    return killed


def kill_at_random(fleet, daemons, seed, change, times=8, most=1.5):
    """As long as it is not over; how often one was killed."""
    luck, kills = chance(seed), 0
    for _ in range(times):
        time.sleep(luck.uniform(0.05, most))
        kills += kill_one(fleet, daemons, luck)
        if fleet.look(change).get("outcome"):
            break
    assert kills, "nothing was killed"


def under_fire(fleet, daemons, seed, *behaviour, outcome="succeeded"):
    """An upgrade during which these are killed; it ends as it should, and nothing was done twice."""
    fleet.install("1.0")
    change = fleet.open(fleet.document(fleet.package("2.0", *behaviour), soak="1s", health=LATE))
    kill_at_random(fleet, daemons, seed, change)
    fleet.wait_end(change, outcome)
    fleet.expect("2.0" if outcome == "succeeded" else "1.0")
    fleet.check()


# ---- killed

@fleet_test
def the_controller_killed_at_random_ends_it_all_the_same(fleet):
    under_fire(fleet, [fleet.controller], 1)


@fleet_test
def the_controller_killed_at_random_rolls_a_bad_version_back(fleet):
    under_fire(fleet, [fleet.controller], 2, "exit", outcome="rolled_back")


@fleet_test
def agents_killed_at_random_end_it_all_the_same(fleet):
    under_fire(fleet, list(fleet.agents.values()), 3)


@fleet_test
def agents_killed_at_random_roll_a_bad_version_back(fleet):
    under_fire(fleet, list(fleet.agents.values()), 4, "exit", outcome="rolled_back")


@fleet_test
def all_killed_at_random_end_it_all_the_same(fleet):
    under_fire(fleet, [fleet.controller, *fleet.agents.values()], 5)


@fleet_test
def all_killed_at_random_roll_a_bad_version_back(fleet):
    under_fire(fleet, [fleet.controller, *fleet.agents.values()], 6, "exit", outcome="rolled_back")


@fleet_test
def all_killed_at_random_abort_what_was_aborted(fleet):
    fleet.install("1.0")
    change = fleet.open(fleet.document(fleet.package("2.0"), soak="60s", health=LATE))
    fleet.wait_event(change, "stage.soaking")
    fleet.control(change, "abort")
    kill_at_random(fleet, [fleet.controller, *fleet.agents.values()], 7, change, times=5, most=0.5)
    fleet.wait_end(change, "aborted")
    fleet.expect("1.0")
    fleet.check()


@fleet_test
def everything_killed_at_one_moment_goes_on(fleet):
    fleet.install("1.0")
    change = fleet.open(fleet.document(fleet.package("2.0"), soak="2s", health=LATE))
    fleet.wait_event(change, "step.started", step="stop")
    daemons = [fleet.controller, *fleet.agents.values()]
    for daemon in daemons:
        daemon.kill()
    for daemon in daemons[1:]:
        daemon.start()
    fleet.start_controller()
    fleet.wait_end(change)
    fleet.expect("2.0")
    fleet.check()


@fleet_test(hosts=1)
def stopped_politely_both_go_on_where_they_were(fleet):
    fleet.install("1.0")
    change = fleet.open(fleet.document(fleet.package("2.0"), soak="3s", health=LATE))
    fleet.wait_event(change, "stage.soaking")
    fleet.controller.stop()
    fleet.agents["web1"].stop()
    fleet.start_agent("web1")
    fleet.start_controller()
    fleet.wait_end(change)
    fleet.expect("2.0")
    fleet.check()


def guards(fleet):
    return [pid for pid in processes(fleet.folder) if b"\0guard\0" in Path(f"/proc/{pid}/cmdline").read_bytes()]


@fleet_test(hosts=1)
def an_agent_that_is_stopped_leaves_service_and_guard_alone(fleet):
    """As its unit has it: only the agent itself gets the signal, and the next one takes up what it finds."""
    fleet.install("1.0")
    change = fleet.open(fleet.document(fleet.package("2.0"), soak="3s", health=LATE))
    fleet.wait_event(change, "stage.soaking")
    pid, guard = fleet.site.pid(0), guards(fleet)
    assert len(guard) == 1, guard
    fleet.agents["web1"].stop()
    assert guards(fleet) == guard and fleet.site.pid(0) == pid
    fleet.expect("2.0")
    fleet.start_agent("web1")
    fleet.wait_end(change)
    fleet.expect("2.0")
    assert fleet.site.pid(0) == pid, "the new version was interrupted"
    wait_for(lambda: not guards(fleet), "the guard's end")
    fleet.check()


# ---- gone for long

SHORT = {"confirm_deadline": "25s", "stages": [{"name": "all", "soak": "12s"}]}
SOON = [{**LATE[0], "deadline": "8s"}]


def is_back(fleet, name):
    i = fleet.names.index(name)
    return fleet.site.current(i) == "1.0" and fleet.served(name) == "service 1.0 plain"


@fleet_test
def a_controller_gone_for_longer_than_the_deadline_finds_every_host_back(fleet):
    fleet.install("1.0")
    change = fleet.open(fleet.document(fleet.package("2.0"), health=SOON, rollout={**SHORT, "max_unavailable": 3}))
    fleet.wait_event(change, "stage.soaking")
    fleet.controller.kill()
    for name in fleet.names:
        wait_for(lambda name=name: is_back(fleet, name), f"{name} to put 1.0 back by itself")
    pids = [fleet.site.pid(i) for i in range(3)]
    fleet.start_controller()
    fleet.wait_end(change, "rolled_back")
    told = [e["host"] for e in fleet.events(change) if e["type"] == "host.rolled_back"]
    assert sorted(told) == fleet.names, told
    fleet.expect("1.0")
    assert [fleet.site.pid(i) for i in range(3)] == pids, "the old version was interrupted once more"
    fleet.check()


@fleet_test
def an_agent_killed_while_switching_leaves_no_unwatched_version(fleet):
    """Its guard puts the host back; the agent tells it when it is there again."""
    fleet.install("1.0")
    change = fleet.open(fleet.document(fleet.package("2.0", "mute"), health=[{**SOON[0], "deadline": "20s"}],
                                       rollout={"confirm_deadline": "24s", "stages": [{"name": "all", "soak": "1s"}]}))
    fleet.wait_event(change, "step.started", step="probe", host="web1")
    assert fleet.agents["web1"].kill()
    wait_for(lambda: is_back(fleet, "web1"), "the guard to put 1.0 back")
    assert not fleet.look(change).get("outcome")
    pid = fleet.site.pid(0)
    fleet.start_agent("web1")
    fleet.wait_end(change, "rolled_back")
    fleet.expect("1.0")
    assert fleet.site.pid(0) == pid, "the old version was interrupted once more"
    fleet.check()


@fleet_test
def an_agent_that_died_in_the_soak_and_stays_away_fails_the_rollout(fleet):
    """Silence is no pass. What it switched comes back by itself; the others are put back; the change waits for it."""
    fleet.install("1.0")
    change = fleet.open(fleet.document(fleet.package("2.0"), health=SOON, rollout={**SHORT, "max_unavailable": 3}))
    fleet.wait_event(change, "stage.soaking")
    fleet.agents["web2"].kill()
    fleet.wait_event(change, "rollout.failing", host="web2")
    wait_for(lambda: all(fleet.host_of(change, n)["state"] == "rolled_back" for n in ("web1", "web3")), "the others")
    wait_for(lambda: is_back(fleet, "web2"), "web2 to put 1.0 back by itself")
    look = fleet.look(change)
    assert look["state"] == "rolling_back" and "outcome" not in look, look
    assert fleet.host_of(change, "web2")["order"] == "rollback"
    fleet.expect("1.0")
    fleet.start_agent("web2")
    fleet.wait_end(change, "rolled_back")
    fleet.expect("1.0")
    fleet.check()


@fleet_test
def a_host_that_is_not_there_holds_up_the_switch_and_is_named(fleet):
    fleet.install("1.0")
    fleet.agents["web2"].kill()
    change = fleet.open(fleet.document(fleet.package("2.0")))
    wait_for(lambda: all(fleet.host_of(change, n)["state"] == "prepared" for n in ("web1", "web3")), "the others")
    row = fleet.host_of(change, "web2")
    assert row["state"] == "preparing" and row["order"] == "prepare", row
    fleet.control(change, "abort")
    wait_for(lambda: all(fleet.host_of(change, n)["state"] == "rolled_back" for n in ("web1", "web3")), "the others")
    look = fleet.look(change)
    assert look["state"] == "rolling_back" and fleet.host_of(change, "web2")["order"] == "prepare", look
    fleet.open(fleet.document(fleet.package("3.0")), status=409).says(change)
    fleet.start_agent("web2")
    fleet.wait_end(change, "aborted")
    fleet.expect("1.0")
    fleet.upgrade("4.0")
    fleet.check()


# ---- rebooted

PILOT = {"confirm_deadline": "25s", "max_unavailable": 2,
         "stages": [{"name": "pilot", "hosts": 1, "soak": "12s"}, {"name": "rest", "soak": "1s"}]}
DEADLINE_SECONDS = 25  # PILOT's


def guards_of(fleet, name):
    """Pids of what keeps guard over a host's root."""
    def words(pid):
        with contextlib.suppress(OSError):  # it has ended since
            return Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        return []
    return [pid for pid in processes(fleet.folder) if words(pid)[1:3] == [b"guard", bytes(fleet.root_of(name))]]


def crash(fleet, name):
    """What a power cut leaves of a host: no agent, no guard and no service."""
    assert fleet.agents[name].kill()
    guards = guards_of(fleet, name)
    assert len(guards) == 1, f"guards of {name}: {guards}"
    for pid in [*guards, fleet.site.pid(fleet.names.index(name))]:
        os.kill(pid, signal.SIGKILL)
    wait_for(lambda: not guards_of(fleet, name) and not processes(fleet.root_of(name)), f"the end of all on {name}")
    assert fleet.served(name) is None


def crash_in_the_soak(fleet):
    """The pilot's, after the controller is gone; the change, and when at the latest web1 should have been confirmed."""
    fleet.install("1.0")
    change = fleet.open(fleet.document(fleet.package("2.0"), health=SOON, rollout=PILOT))
    fleet.wait_event(change, "stage.soaking")
    deadline = time.monotonic() + DEADLINE_SECONDS
    assert fleet.controller.kill()
    crash(fleet, "web1")
    assert fleet.site.current(0) == "2.0"
    return change, deadline


def end_rolled_back(fleet, change):
    """The controller comes back: it is told what web1 did by itself, and says so."""
    pid = fleet.site.pid(0)
    fleet.start_controller()
    look = fleet.wait_end(change, "rolled_back")
    assert look["reason_host"] == "web1", look
    assert [e["host"] for e in fleet.events(change) if e["type"] == "host.rolled_back"] == ["web1"]
    fleet.expect("1.0")
    assert fleet.site.pid(0) == pid, "the old version was interrupted once more"
    fleet.check()


@fleet_test(hosts=2)
def a_host_that_reboots_in_the_soak_without_a_controller_is_back_by_the_deadline(fleet):
    change, deadline = crash_in_the_soak(fleet)
    fleet.start_agent("web1")
    wait_for(lambda: guards_of(fleet, "web1"), "its agent to have it guarded again")
    wait_for(lambda: is_back(fleet, "web1"), "web1 to put 1.0 back by itself", deadline + 15 - time.monotonic())
    end_rolled_back(fleet, change)


@fleet_test(hosts=2)
def a_host_that_comes_up_after_its_deadline_goes_back_at_once(fleet):
    change, deadline = crash_in_the_soak(fleet)
    time.sleep(deadline - time.monotonic())
    assert fleet.site.current(0) == "2.0" and fleet.served("web1") is None
    fleet.start_agent("web1")
    wait_for(lambda: is_back(fleet, "web1"), "web1 to put 1.0 back by itself", 20)
    end_rolled_back(fleet, change)


# ---- far away

@fleet_test(hosts=2, kind=FarAway)
def agents_that_hear_everything_late_are_upgraded(fleet):
    fleet.install("1.0")
    file, carried = fleet.package("2.0", files={"big": os.urandom(1 << 20)}), fleet.distance.carried
    fleet.wait_end(fleet.open(fleet.document(file)))
    assert fleet.distance.carried - carried > 2 << 20, "there is a shorter way"
    fleet.expect("2.0")
    fleet.check()


@fleet_test(hosts=2, kind=FarAway)
def a_bad_version_is_rolled_back_by_agents_that_hear_everything_late(fleet):
    fleet.install("1.0")
    (fleet.root_of("web2") / "sick").touch()
    look = fleet.look(fleet.upgrade("2.0", "sick-when:sick", outcome="rolled_back"))
    assert look["reason_host"] == "web2" and {h["state"] for h in look["hosts"]} == {"rolled_back"}, look
    fleet.expect("1.0")
    fleet.check()


# ---- disks

class OnDisks(Fleet):
    """Of one host: its agent's state, its root and the controller's state stand on disks of their own."""

    def begin(self):
        self.control_disk, self.agent_disk, self.root_disk = (
            Disk(self.folder / name) for name in ("disk-of-controller", "disk-of-agent", "disk-of-root"))
        self.state = self.control_disk.path / "controller"
        self.site.roots[0] = self.root_disk.path / "web1"
        super().begin()

    def agent_state(self, name):
        return self.agent_disk.path / name


@fleet_test(hosts=1, kind=OnDisks)
def a_host_without_room_for_the_package_says_so(fleet):
    fleet.install("1.0")
    file = fleet.package("2.0", files={"big": os.urandom(4 << 20)})
    fleet.agent_disk.leave(1 << 20)
    change = fleet.open(fleet.document(file))
    look = fleet.wait_end(change, "refused")
    assert "o space left" in look["reason"] and look["reason_host"] == "web1", look
    fleet.expect("1.0")
    fleet.agent_disk.leave()
    fleet.wait_end(fleet.open(fleet.document(file, soak="300ms")))
    fleet.expect("2.0")
    fleet.check()


@fleet_test(hosts=1, kind=OnDisks)
def a_root_without_room_for_the_release_says_so(fleet):
    fleet.install("1.0")
    file = fleet.package("2.0", files={"big": os.urandom(4 << 20)})
    fleet.root_disk.leave(1 << 20)
    look = fleet.wait_end(fleet.open(fleet.document(file)), "refused")
    assert "free" in look["reason"] or "o space left" in look["reason"], look
    fleet.expect("1.0")
    fleet.root_disk.leave()
    fleet.wait_end(fleet.open(fleet.document(file, soak="300ms")))
    fleet.expect("2.0")
    fleet.check()


@fleet_test(hosts=1, kind=OnDisks)
def an_agent_whose_disk_is_full_in_the_soak_goes_on_when_there_is_room(fleet):
    fleet.install("1.0")
    change = fleet.open(fleet.document(fleet.package("2.0"), soak="5s", health=LATE))
    fleet.wait_event(change, "stage.soaking")
    fleet.agent_disk.leave(0)
    wait_for(lambda: "o space left" in fleet.agents["web1"].text(), "the agent to say so")
    fleet.agent_disk.leave()
    fleet.wait_end(change)
    fleet.expect("2.0")
    fleet.check()


def fill(fleet):
    """Until nothing more can be written: its reserve is used up, and what the journal's files have room for."""
    def is_full():
        fleet.control_disk.leave(0)
        answer = fleet.ask.ask("POST", "/api/v1/hosts/web1/describe", {"vars": {"junk": os.urandom(2000).hex()}})
        if answer.status != 200:
            assert answer.status == 500 and answer.json["kind"] == "system", answer
            answer.says("journal", "full")
        return "engine.failed" in fleet.controller.text()
    wait_for(is_full, "the engine to say that the disk is full")


@fleet_test(hosts=1, kind=OnDisks)
def a_controller_whose_disk_is_full_says_so_and_goes_on_when_there_is_room(fleet):
    fleet.install("1.0")
    change = fleet.open(fleet.document(fleet.package("2.0"), soak="15s", health=LATE))
    fleet.wait_event(change, "stage.soaking")
    fill(fleet)
    assert fleet.ask.ask("POST", "/api/v1/hosts/web7/invite", {}).status == 500
    fleet.ask.get("/api/v1/hosts/web1")
    assert not fleet.look(change).get("outcome")
    fleet.control_disk.leave()
    fleet.wait_end(change)
    fleet.expect("2.0")
    fleet.invite("web7")
    fleet.check()


@fleet_test(hosts=1, kind=OnDisks)
def a_controller_killed_on_a_full_disk_goes_on_when_there_is_room(fleet):
    fleet.install("1.0")
    change = fleet.open(fleet.document(fleet.package("2.0"), soak="15s", health=LATE))
    fleet.wait_event(change, "stage.soaking")
    fill(fleet)
    fleet.controller.kill()
    fleet.controller.start()
    time.sleep(1)
    fleet.controller.kill()
    fleet.control_disk.leave()
    fleet.start_controller()
    fleet.wait_end(change)
    fleet.expect("2.0")
    fleet.check()


@fleet_test(hosts=1, kind=OnDisks)
def an_upload_to_a_full_disk_fails_whole_and_goes_on_later(fleet):
    file = fleet.site.package("1.0", files={"big": os.urandom(3 << 20)})
    data = file.read_bytes()
    fleet.control_disk.leave(1500 << 10)
    with contextlib.suppress(AssertionError):
        fleet.upload(file)
        raise RuntimeError("there was room")
    fleet.control_disk.leave()
    sha256 = fleet.upload(file)
    assert (fleet.state / "packages" / f"{sha256}.part").read_bytes() == data
    fleet.ask.post(f"/api/v1/packages/{sha256}/publish", {"name": file.name}, 201)
    fleet.wait_end(fleet.open(fleet.document(file)))
    fleet.expect("1.0")


# ---- altered

@fleet_test
def a_package_that_was_changed_on_the_controllers_disk_is_taken_by_nobody(fleet):
    fleet.install("1.0")
    file = fleet.site.package("2.0")
    stored = fleet.state / "packages" / fleet.publish(file)
    data = bytearray(stored.read_bytes())
    data[len(data) // 2] ^= 1
    stored.write_bytes(data)
    change = fleet.open(fleet.document(file))
    look = fleet.wait_end(change, "refused")
    assert "not the package" in look["reason"], look
    assert not fleet.happened(change, "order.given", order="switch")
    fleet.expect("1.0")
    for name in fleet.names:  # each tidies up once its own part is over
        wait_for(lambda: not list((fleet.agent_state(name) / "packages").glob(stored.name + "*")), f"{name} keeps nothing")
    fleet.check()


@fleet_test
def a_package_that_was_cut_off_on_the_controllers_disk_is_taken_by_nobody(fleet):
    fleet.install("1.0")
    file = fleet.site.package("2.0")
    stored = fleet.state / "packages" / fleet.publish(file)
    stored.write_bytes(stored.read_bytes()[:-100])
    change = fleet.open(fleet.document(file))
    fleet.wait_end(change, "refused")
    fleet.expect("1.0")
    fleet.check()


@fleet_test
def a_package_that_is_missing_on_the_controller_can_be_put_back_or_given_up(fleet):
    fleet.install("1.0")
    file = fleet.site.package("2.0")
    stored = fleet.state / "packages" / fleet.publish(file)
    stored.rename(fleet.folder / "away")
    change = fleet.open(fleet.document(file))
    fleet.wait_event(change, "step.started", step="fetch", host="web1")
    fleet.control(change, "abort")
    fleet.wait_end(change, "aborted")
    change = fleet.open(fleet.document(file, soak="300ms"))
    fleet.wait_event(change, "step.started", step="fetch", host="web1")
    (fleet.folder / "away").rename(stored)
    fleet.wait_end(change)
    fleet.expect("2.0")
    fleet.check()


# ---- two of a kind

@fleet_test(hosts=1)
def a_second_controller_on_the_same_folder_is_refused(fleet):
    words = fleet.serve_words(port=fleet.take_port())
    fleet.run(words[0], *words[1:], status=3).says("another controller runs on", "--state")
    fleet.install("1.0")
    fleet.controller.kill()
    fleet.start_controller()
    fleet.run(UPKEEPD, "journal", "verify", "--state", fleet.state)


@fleet_test(hosts=1)
def a_second_agent_on_the_same_folder_is_refused(fleet):
    words = fleet.agents["web1"].words
    fleet.run(words[0], *words[1:], status=3)
    fleet.install("1.0")
    fleet.expect("1.0")


enter_namespace()
main()
