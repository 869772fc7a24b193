#!/usr/bin/env python3
"""A fleet in good luck and with bad packages: a controller, agents, and people at its API."""
import contextlib
import hashlib
import json
import os
import re
import shutil
import sqlite3
from pathlib import Path

from fleet_support import UPKEEPD, Fleet, fleet_test, main, served, wait_for

EVENTS = Path(__file__).resolve().parents[2] / "docs" / "reference" / "events.md"


# ---- versions, good and bad

@fleet_test
def installs_and_upgrades_every_host(fleet):
    fleet.install("1.0")
    fleet.expect("1.0")
    change = fleet.upgrade("2.0")
    fleet.expect("2.0")
    look = fleet.look(change)
    assert look["state"] == "succeeded" and [s["state"] for s in look["stages"]] == ["passed", "passed"], look
    assert {h["state"] for h in look["hosts"]} == {"committed"}, look
    fleet.check()


@fleet_test
def a_version_that_never_becomes_healthy_is_rolled_back_and_goes_no_further(fleet):
    fleet.install("1.0")
    change = fleet.upgrade("2.0", "failing", outcome="rolled_back")
    fleet.expect("1.0")
    assert {e["host"] for e in fleet.events(change) if e["type"] == "order.given" and e["order"] == "switch"} == {"web1"}
    assert fleet.look(change)["reason_host"] == "web1"
    fleet.check()


@fleet_test
def a_version_that_is_bad_on_one_host_is_rolled_back_on_all(fleet):
    fleet.install("1.0")
    (fleet.folder / "web3" / "sick").touch()
    change = fleet.upgrade("2.0", "sick-when:sick", outcome="rolled_back")
    fleet.expect("1.0")
    look = fleet.look(change)
    assert look["reason_host"] == "web3", look
    assert {h["state"] for h in look["hosts"]} == {"rolled_back"}, look
    fleet.check()


@fleet_test
def a_version_that_falls_sick_in_the_soak_is_rolled_back(fleet):
    fleet.install("1.0")
    change = fleet.open(fleet.document(fleet.package("2.0", "sick-when:sick"), soak="60s"))
    fleet.wait_event(change, "stage.soaking", stage="pilot")
    (fleet.folder / "web1" / "sick").touch()
    fleet.wait_end(change, "rolled_back")
    fleet.expect("1.0")
    fleet.check()


@fleet_test
def a_failed_first_installation_leaves_nothing(fleet):
    fleet.upgrade("1.0", "exit", outcome="rolled_back")
    fleet.expect(None)
    fleet.check()


# ---- steering

def soaking(fleet, version="2.0", *behaviour, soak="120s", last="200ms"):
    """1.0 is everywhere, and the pilot soaks with the next version."""
    fleet.install("1.0")
    stages = [{"name": "pilot", "hosts": 1, "soak": soak}, {"name": "rest", "soak": last}]
    change = fleet.open(fleet.document(fleet.package(version, *behaviour), stages=stages))
    fleet.wait_event(change, "stage.soaking", stage="pilot")
    return change


@fleet_test
def paused_it_switches_nobody_and_resumed_it_goes_on(fleet):
    change = soaking(fleet, soak="4s")
    fleet.control(change, "pause", why="peak hours")
    fleet.wait_event(change, "stage.passed", stage="pilot")
    assert fleet.look(change)["state"] == "paused" and fleet.look(change)["reason"] == "peak hours"
    assert not fleet.happened(change, "order.given", order="switch", host="web2")
    fleet.expect("2.0", ["web1"])
    fleet.expect("1.0", ["web2", "web3"])
    fleet.control(change, "resume")
    fleet.wait_end(change)
    fleet.expect("2.0")
    fleet.check()


@fleet_test
def aborted_in_the_soak_it_is_put_back(fleet):
    change = soaking(fleet)
    fleet.control(change, "abort", why="wrong package")
    look = fleet.wait_end(change, "aborted")
    assert look["reason"] == "wrong package", look
    fleet.expect("1.0")
    fleet.check()


@fleet_test
def aborted_while_paused_it_is_put_back(fleet):
    change = soaking(fleet)
    fleet.control(change, "pause")
    fleet.control(change, "abort")
    fleet.wait_end(change, "aborted")
    fleet.expect("1.0")
    fleet.check()


@fleet_test
def aborted_at_once_it_touches_nobody(fleet):
    fleet.install("1.0")
    pids = [fleet.site.pid(i) for i in range(3)]
    change = fleet.open(fleet.document(fleet.package("2.0", files={"big": os.urandom(8 << 20)})))
    fleet.control(change, "abort")
    fleet.wait_end(change, "aborted")
    fleet.expect("1.0")
    assert fleet.happened(change, "order.given", order="switch") or [fleet.site.pid(i) for i in range(3)] == pids
    fleet.check()


@fleet_test
def aborted_while_it_is_being_switched_it_is_put_back(fleet):
    fleet.install("1.0")
    change = fleet.open(fleet.document(fleet.package("2.0")))
    fleet.wait_event(change, "step.started", step="stop")
    fleet.control(change, "abort")
    fleet.wait_end(change, "aborted")
    fleet.expect("1.0")
    fleet.check()


@fleet_test
def rolled_back_in_the_soak_everybody_has_the_old_version(fleet):
    change = soaking(fleet, "2.0", "migrates")
    fleet.control(change, "rollback")
    fleet.wait_end(change, "rolled_back")
    fleet.expect("1.0")
    fleet.check()


@fleet_test
def rolled_back_after_success_everybody_has_the_old_version(fleet):
    fleet.install("1.0")
    change = fleet.upgrade("2.0")
    fleet.expect("2.0")
    fleet.control(change, "rollback", why="slower than before")
    wait_for(lambda: fleet.look(change).get("outcome") == "rolled_back", "the rollback's end")
    fleet.expect("1.0")
    fleet.control(change, "rollback", status=409).says("nothing to roll back")
    fleet.upgrade("3.0")
    fleet.expect("3.0")
    fleet.check()


@fleet_test
def what_has_ended_is_not_steered(fleet):
    change = fleet.install("1.0")
    for verb in ("pause", "resume", "abort"):
        fleet.control(change, verb, status=409).says("has ended as")
    fleet.control(change, "explode", status=400)
    fleet.control("20200101-nothing", "pause", status=404)
    fleet.expect("1.0")


@fleet_test
def prepared_only_nothing_is_switched_until_it_is_resumed(fleet):
    fleet.install("1.0")
    pids = [fleet.site.pid(i) for i in range(3)]
    change = fleet.open(fleet.document(fleet.package("2.0")), prepare_only=True)
    wait_for(lambda: fleet.look(change)["state"] == "paused", "everything to be prepared")
    assert {h["state"] for h in fleet.look(change)["hosts"]} == {"prepared"}
    assert [fleet.site.pid(i) for i in range(3)] == pids
    fleet.expect("1.0")
    fleet.control(change, "resume")
    fleet.wait_end(change)
    fleet.expect("2.0")
    fleet.check()


# ---- whose hosts

@fleet_test(hosts=4)
def a_plan_selects_hosts_by_their_labels(fleet):
    document = fleet.document(fleet.package("1.0"))
    document["hosts"] = [{"select": {"half": "even"}, "root": str(fleet.folder) + "/${host.name}"}]
    change = fleet.open(document)
    fleet.wait_end(change)
    assert [h["host"] for h in fleet.look(change)["hosts"]] == ["web2", "web4"]
    fleet.expect("1.0", ["web2", "web4"])
    fleet.expect(None, ["web1", "web3"])
    document["hosts"][0]["select"] = {"half": "neither"}
    fleet.open(document, status=400).says("half")
    fleet.check()


@fleet_test
def labels_changed_later_count_from_then_on(fleet):
    fleet.ask.post("/api/v1/hosts/web1/describe", {"labels": {"half": "even"}}, 200)
    document = fleet.document(fleet.package("1.0"))
    document["hosts"] = [{"select": {"half": "even"}, "root": str(fleet.folder) + "/${host.name}"}]
    plan = fleet.ask.post("/api/v1/plans", {"plan": json.dumps(document)}, 200).json
    assert sorted(h for s in plan["stages"] for h in s["hosts"]) == ["web1", "web2"], plan


@fleet_test
def a_host_that_has_not_joined_is_refused(fleet):
    document = fleet.document(fleet.package("1.0"))
    document["hosts"].append({"name": "web9", "root": str(fleet.folder / "web9")})
    fleet.open(document, status=400).says("web9", "has not joined")


@fleet_test
def two_services_on_the_same_hosts_at_once(fleet):
    other = fleet.document(fleet.package("1.0", name="other"), soak="1s")
    other["service"]["name"] = "other"
    other["service"]["run"]["process"]["command"][4] = "${vars.other_port}"
    other["service"]["version"]["http"] = "http://127.0.0.1:${vars.other_port}/version"
    other["health"][0]["http"]["url"] = "http://127.0.0.1:${vars.other_port}/"
    ports = []
    for row in other["hosts"]:
        ports.append(fleet.take_port())
        row.update(root=str(fleet.folder / f"other-{row['name']}"), vars={"other_port": str(ports[-1])})
    first = fleet.open(fleet.document(fleet.package("1.0"), soak="1s"))
    second = fleet.open(other)
    fleet.wait_end(first)
    fleet.wait_end(second)
    fleet.expect("1.0")
    assert [served(port) for port in ports] == ["service 1.0 plain"] * 3
    fleet.check()


@fleet_test
def a_second_change_for_a_busy_host_is_refused(fleet):
    change = soaking(fleet)
    fleet.open(fleet.document(fleet.package("3.0"), hosts=["web3"]), status=409).says(change, "not finished")
    fleet.control(change, "abort")
    fleet.wait_end(change, "aborted")
    fleet.upgrade("4.0", hosts=["web3"])
    fleet.expect("4.0", ["web3"])


@fleet_test
def the_same_plan_again_is_the_same_change(fleet):
    fleet.install("1.0")
    document = fleet.document(fleet.package("2.0"), soak="3s")
    change = fleet.open(document)
    assert fleet.open(document) == change
    fleet.wait_end(change)
    fleet.expect("2.0")
    fleet.check()


# ---- whose packages

@fleet_test(join=False)
def a_host_that_trusts_another_key_switches_nothing(fleet):
    for name in fleet.names:
        fleet.join(name, trust=("stranger",) if name == "web2" else ("release",))
        fleet.start_agent(name)
    change = fleet.upgrade("1.0", outcome="refused")
    assert not fleet.happened(change, "order.given", order="switch")
    assert fleet.look(change)["reason_host"] == "web2"
    fleet.expect(None)
    assert not (fleet.folder / "web2" / "releases" / "1.0").exists()
    fleet.check()


@fleet_test(join=False)
def a_host_that_trusts_no_key_says_what_to_do(fleet):
    for name in fleet.names:
        fleet.join(name, trust=())
        fleet.start_agent(name)
    change = fleet.upgrade("1.0", outcome="refused")
    assert "trusts no key" in fleet.look(change)["reason"], fleet.look(change)
    fleet.expect(None)


@fleet_test(hosts=1)
def a_package_that_the_controller_does_not_trust_is_not_published(fleet):
    file = fleet.site.package("1.0", keys=("stranger",))
    sha256 = fleet.upload(file)
    fleet.ask.post(f"/api/v1/packages/{sha256}/publish", {"name": file.name}, 409)
    assert fleet.ask.get("/api/v1/packages").json["packages"] == []
    fleet.open(fleet.document(file), status=400).says("no package")


@fleet_test(hosts=1)
def an_upload_goes_on_where_it_was(fleet):
    file = fleet.site.package("1.0", files={"big": os.urandom(3 << 20)})
    data = file.read_bytes()
    sha256 = hashlib.sha256(data).hexdigest()
    path = f"/api/v1/packages/{sha256}/upload"
    fleet.ask.ask("PUT", f"{path}?offset=0", data[:1 << 20], 200)
    fleet.controller.kill()
    fleet.start_controller()
    assert fleet.ask.get(path).json == {"published": False, "offset": 1 << 20}
    fleet.ask.ask("PUT", f"{path}?offset=0", data[:1 << 20], 409).says(str(1 << 20))
    fleet.ask.ask("PUT", f"{path}?offset={2 << 20}", data[2 << 20:3 << 20], 409)
    fleet.publish(file)
    assert fleet.ask.get(path).json["published"]
    fleet.wait_end(fleet.open(fleet.document(file)))
    fleet.expect("1.0")


@fleet_test(hosts=1)
def other_bytes_than_promised_are_not_published(fleet):
    data = fleet.site.package("1.0").read_bytes()
    sha256 = hashlib.sha256(data).hexdigest()
    broken = data[:-1] + bytes([data[-1] ^ 1])
    fleet.ask.ask("PUT", f"/api/v1/packages/{sha256}/upload?offset=0", broken, 200)
    fleet.ask.post(f"/api/v1/packages/{sha256}/publish", {"name": "service.upk"}, 409)
    assert fleet.ask.get(f"/api/v1/packages/{sha256}/upload").json == {"published": False, "offset": 0}


@fleet_test(hosts=1)
def packages_are_served_in_ranges_to_hosts_alone(fleet):
    file = fleet.site.package("1.0", files={"big": os.urandom(1 << 20)})
    sha256, data, host = fleet.publish(file), file.read_bytes(), fleet.as_host("web1")
    path = f"/agent/v1/packages/{sha256}"
    assert host.get(path).body == data
    part = host.get(path, 206, headers={"Range": "bytes=1000-1999"})
    assert part.body == data[1000:2000] and part.headers["Content-Range"] == f"bytes 1000-1999/{len(data)}"
    assert host.get(path, 206, headers={"Range": f"bytes={len(data) - 5}-"}).body == data[-5:]
    assert host.get(path, 206, headers={"Range": "bytes=-7"}).body == data[-7:]
    host.get(path, 416, headers={"Range": f"bytes={len(data)}-"})
    assert host.get(path, headers={"Range": "bytes=5-", "If-Range": '"another"'}).body == data
    fleet.ask.get(path, 401)
    host.get("/agent/v1/packages/" + "0" * 64, 404)


@fleet_test(hosts=1)
def what_was_fetched_and_kept_is_not_fetched_again(fleet):
    file = fleet.package("1.0", files={"big": os.urandom(1 << 20)})
    change = fleet.open(fleet.document(file), prepare_only=True)
    wait_for(lambda: fleet.look(change)["state"] == "paused", "everything to be prepared")
    sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
    kept = fleet.agent_state("web1") / "packages" / sha256
    assert kept.read_bytes() == file.read_bytes()
    shutil.rmtree(fleet.state / "packages")
    fleet.control(change, "resume")
    fleet.wait_end(change)
    fleet.expect("1.0")


# ---- whose rights

@fleet_test(hosts=1)
def each_role_may_do_its_own(fleet):
    file = fleet.package("1.0")
    viewer, operator = fleet.user("vera", "viewer"), fleet.user("olaf", "operator")
    fleet.open(fleet.document(file), status=403, client=viewer).says("viewer")
    viewer.post("/api/v1/hosts/web1/invite", {}, 403)
    operator.post("/api/v1/hosts/web1/invite", {}, 403)
    operator.post("/api/v1/hosts/web1/revoke", {}, 403)
    viewer.get("/api/v1/hosts")
    fleet.client().get("/api/v1/hosts", 401)
    change = fleet.open(fleet.document(file), client=operator)
    fleet.wait_end(change)
    viewer.get(f"/api/v1/changes/{change}")
    assert any(e["type"] == "api.called" and e.get("by") == "vera" and e.get("status") == 403 for e in fleet.events())
    assert next(e for e in fleet.events(change) if e["type"] == "change.opened")["by"] == "olaf"


@fleet_test(hosts=2)
def a_controller_is_restored_from_a_copy_and_numbers_on_beyond_what_was_lost(fleet):
    fleet.install("1.0")
    copy = fleet.folder / "copy.sqlite"
    with contextlib.closing(sqlite3.connect(fleet.state / "journal.sqlite")) as journal, \
            contextlib.closing(sqlite3.connect(copy)) as target:
        journal.backup(target)
    lost = fleet.upgrade("2.0")  # also: that somebody made a copy loses nothing of what comes after it
    fleet.run(UPKEEPD, "journal", "verify", "--state", fleet.state).says("the chain is whole")
    assert fleet.happened(lost, "change.closed", outcome="succeeded")
    fleet.controller.kill()
    for name in ("journal.sqlite", "journal.sqlite-wal", "journal.sqlite-shm"):
        (fleet.state / name).unlink(missing_ok=True)
    shutil.copy(copy, fleet.state / "journal.sqlite")
    fleet.changes.remove(lost)
    fleet.controller.words += ["--first-change", "50"]
    fleet.start_controller()
    change = fleet.upgrade("3.0")
    assert change.endswith("-0050"), change
    fleet.expect("3.0")
    fleet.check()


# ---- what daemons log

class LogsJson(Fleet):
    """All of its daemons log as JSON, every detail."""
    WORDS = ["--log", "json", "--verbose"]

    def __init__(self, site, hosts, **options):
        super().__init__(site, hosts, serve=self.WORDS, **options)

    def join(self, name, trust=("release",), **body):
        super().join(name, trust, **body)
        self.agents[name].words += self.WORDS


def described_events():
    """{event: (level, fields)}, as the reference has them."""
    table = EVENTS.read_text().split("## What daemons log")[1]
    rows = re.findall(r"^\| `([a-z.]+)` \| ([a-z]+) \|.*\|(.*)\|$", table, re.MULTILINE)
    return {event: (level, set(re.findall(r"`([a-z_]+)`", fields))) for event, level, fields in rows}


def read_log(daemon):
    """Its lines, each of them as the reference describes it."""
    rows = [json.loads(line) for line in daemon.text().splitlines() if not line.startswith("---- ")]
    described = described_events()
    for row in rows:
        level, fields = described[row["event"]]
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", row["time"]), row
        assert row["level"] == level and set(row) == fields | {"time", "level", "event"}, row
    return rows


@fleet_test(hosts=2, kind=LogsJson)
def logs_in_json_are_as_described_and_name_the_change(fleet):
    changes = [fleet.install("1.0"), fleet.upgrade("2.0")]
    for name, daemon in fleet.agents.items():
        wait_for(lambda daemon=daemon: daemon.text().count("change.over") == 2, f"{name} to be done")
        for event in ("change.begun", "change.over"):
            assert [row["change"] for row in read_log(daemon) if row["event"] == event] == changes, daemon.text()
    fleet.controller.stop()
    for name, daemon in fleet.agents.items():
        wait_for(lambda daemon=daemon: "controller.trouble" in daemon.text(), f"{name} to miss its controller")
        daemon.stop()
        rows = read_log(daemon)
        assert rows[0]["host"] == name and rows[-1]["event"] == "agent.stopped", rows
    assert [row["event"] for row in read_log(fleet.controller)] == ["controller.started", "controller.stopped"]


main()
