#!/usr/bin/env python3
"""The command line at a controller: each verb with --server, as a person elsewhere types it."""
import json
import re
import shutil
import subprocess
import time

from fleet_support import AGENT, UPKEEPD, Fleet, fleet_test, main, served, wait_for
from support import PROGRAM, Result, contents_of


class Desk(Fleet):
    """A fleet, and a person's desk with a folder of its own: nothing of the controller's is there."""

    def begin(self):
        super().begin()
        self.desk = self.folder / "desk"
        self.desk.mkdir()
        self.token = self.run(UPKEEPD, "user", "add", "olga", "--role", "admin", "--state", self.state).out.split()[0]
        self.fingerprint = self.run(UPKEEPD, "fingerprint", "--state", self.state).out.split()[0]
        self.url = f"https://{self.address}:{self.port}"

    def environment(self, **more):
        return {**self.site.environment(), "HOME": str(self.desk), "UPKEEP_SERVER": self.url,
                "UPKEEP_TOKEN": self.token, "UPKEEP_FINGERPRINT": self.fingerprint, **more}

    def upkeep(self, verb, *words, status=0, stdin="", **environment):
        words = [*verb.split(), *map(str, words), "--state", str(self.desk / "state")]
        done = subprocess.run([PROGRAM, *words], cwd=self.desk, env=self.environment(**environment), input=stdin,
                              text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=120, check=False)
        result = Result(words, done.returncode, done.stdout, done.stderr)
        assert status is None or result.status == status, f"exit {status} wanted\n{result}"
        return result

    def begin_upkeep(self, verb, *words):
        """The same, that goes on beside the test."""
        return subprocess.Popen([PROGRAM, *verb.split(), *map(str, words)], cwd=self.desk, env=self.environment(),
                                text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    def write(self, document):
        path = self.desk / "plan.yaml"
        path.write_text(json.dumps(document))
        return path

    def final_point(self, host="web1"):
        points = self.upkeep("restore-points", "--host", host, "--json").events
        return [p for p in points if p.get("kind") == "final"][-1]["id"]


def desk_test(function=None, **options):
    mark = fleet_test(kind=Desk, **{"hosts": 2, **options})
    return mark(function) if function else mark


def tell_facts(desk, version, *names):
    """These hosts say that they run it: facts are told when an agent starts, and every ten minutes."""
    for name in names:
        desk.agents[name].stop()
        desk.start_agent(name)
    for name in names:
        wait_for(lambda: [r["version"] for r in (desk.host(name).get("facts") or {}).get("releases", [])] == [version],
                 f"{name} to say that it runs {version}")


# ---- a change, from its plan to its report

@desk_test
def a_plan_is_checked_shown_simulated_run_and_reported(desk):
    file = desk.site.package("1.0")
    shutil.move(file, desk.desk)
    plan = desk.write(desk.document(desk.desk / file.name))
    desk.upkeep("check", plan).says("service → 1.0, hosts: 2", "nobody has verified it", "its hosts are of this fleet")
    desk.upkeep("show", plan).says("Stage 1: pilot", "web2", "this is the first installation", "current -> releases/1.0",
                                   "What a rollback would do")
    desk.upkeep("simulate", plan).says("pilot", "rest")
    done = desk.upkeep("run", plan, "--yes").says("succeeded")
    change = re.search(r"CHG-\d+-\d+", done.out)[0]
    desk.expect("1.0")
    desk.upkeep("list").says(change, "succeeded")
    desk.upkeep("status", change).says("web1", "web2")
    desk.upkeep("watch", change).says("succeeded")
    desk.upkeep("report", change, "--form", "retrospective", "-o", "report.html")
    assert "web2" in (desk.desk / "report.html").read_text()
    desk.upkeep("journal verify").says("the chain is whole")
    desk.upkeep("journal show", change).says("change.opened")
    desk.upkeep("journal export", "-o", "journal.txt")
    assert change in (desk.desk / "journal.txt").read_text()
    assert not (desk.desk / "state").exists(), "something was kept at the desk"


@desk_test
def a_package_that_somebody_else_signed_passes_no_check(desk):
    plan = desk.write(desk.document(desk.site.package("1.0", keys=("stranger",))))
    document = json.loads(plan.read_text())
    document["package"]["file"] = str(next(desk.folder.glob("service-1.0*.upk")))
    desk.write(document)
    shutil.copy(desk.folder / "release.pub", desk.desk)
    desk.upkeep("check", plan, status=None).says("sign")
    assert desk.upkeep("check", plan, status=None).status != 0


@desk_test
def show_knows_what_a_host_runs_now(desk):
    desk.install("1.0")
    tell_facts(desk, "1.0", "web1", "web2")
    plan = desk.write(desk.document(desk.package("2.0")))
    desk.upkeep("show", plan).says("now          1.0", "as 1.0 was installed to be stopped")


@desk_test
def a_plan_that_selects_hosts_is_simulated_with_the_hosts_of_the_inventory(desk):
    document = desk.document("nowhere-yet.upk")
    document["hosts"] = [{"select": {"fleet": "main"}, "root": str(desk.folder) + "/${host.name}"}]
    desk.upkeep("simulate", desk.write(document)).says("pilot")


@desk_test(hosts=3)
def a_change_is_steered(desk):
    desk.install("1.0")
    change = desk.open(desk.document(desk.package("2.0"), soak="60s"))
    desk.wait_event(change, "stage.soaking", stage="pilot")
    desk.upkeep("pause", change, "--why", "peak hours").says("no further host is switched")
    desk.upkeep("skip", change, "web3", "--why", "disk").says("web3")
    desk.upkeep("abort", change, "--why", "wrong package", status=None).says("web1")
    assert desk.look(change)["outcome"] == "aborted"
    desk.expect("1.0")
    desk.upkeep("resume", change, status=3).says("has ended")
    desk.upkeep("retry", change, "web2", status=3).says("has ended")


@desk_test
def what_was_only_prepared_is_resumed(desk):
    plan = desk.write(desk.document(desk.package("1.0")))
    done = desk.upkeep("run", plan, "--prepare-only", "--yes")
    change = re.search(r"CHG-\d+-\d+", done.out)[0]
    desk.expect(None)
    desk.upkeep("resume", change).says("succeeded")
    desk.expect("1.0")


def held_by_one(desk):
    """All but web2 are healthy; the rollout is held because of that one."""
    desk.install("1.0")
    (desk.root_of("web2") / "sick").touch()
    document = desk.document(desk.package("2.0", "sick-when:sick"), stages=[{"name": "all", "soak": "200ms"}],
                             on_failure="hold")
    document["health"][0]["deadline"] = "2s"
    change = desk.open(document)
    wait_for(lambda: desk.look(change)["held"], "a person to be wanted")
    desk.upkeep("status", change).says("held for a person")
    return change


@desk_test(hosts=3)
def a_held_change_goes_on_without_a_skipped_host(desk):
    change = held_by_one(desk)
    desk.upkeep("skip", change, "web1", status=3).says("nothing is wrong with it")
    desk.upkeep("skip", change, "web2", "--why", "its disk is full").says("left out", f"upkeep resume {change}")
    desk.upkeep("resume", change).says("succeeded; 1 host was left out", "web2")
    desk.expect("2.0", ["web1", "web3"])
    desk.expect("1.0", ["web2"])


@desk_test(hosts=3)
def a_mended_host_is_tried_again(desk):
    change = held_by_one(desk)
    (desk.root_of("web2") / "sick").unlink()
    desk.upkeep("retry", change, "web2").says("begins once more", f"upkeep resume {change}")
    desk.upkeep("resume", change).says("succeeded").is_silent_on("left out")
    desk.expect("2.0")
    orders = [e["order"] for e in desk.events(change) if e["type"] == "order.given" and e["host"] == "web2"]
    assert orders == ["prepare", "switch", "rollback", "prepare", "switch", "confirm", "commit"], orders


# ---- what only hosts know

@desk_test
def a_rollback_says_what_would_be_lost_on_each_host(desk):
    desk.install("1.0")
    change = desk.upgrade("2.0")
    for port in desk.site.ports:
        served(port)
    (desk.root_of("web1") / "shared" / "data" / "order-7").write_text("written since\n")
    desk.upkeep("rollback", change, "--yes").says("web1", "the data stays as it is", "1 file", "web2", "0 files")
    desk.expect("1.0")


@desk_test
def a_rollback_does_not_wait_for_a_host_that_says_nothing(desk):
    desk.install("1.0")
    change = desk.upgrade("2.0", hosts=["web1"])
    desk.agents["web1"].kill()
    began = time.monotonic()
    process = desk.begin_upkeep("rollback", change, "--yes")
    wait_for(lambda: desk.happened(change, "order.given", order="rollback"), "the rollback's order")
    assert 10 < time.monotonic() - began < 60
    desk.start_agent("web1")
    assert "what would be lost is not known" in process.communicate(timeout=120)[0]
    desk.expect("1.0", ["web1"])


@desk_test
def restore_points_of_a_host_are_listed_proved_checked_and_restored(desk):
    desk.install("1.0")
    data = desk.root_of("web1") / "shared" / "data"
    (data / "orders").write_text("seven\n")
    before = contents_of(data)
    desk.upgrade("2.0")
    (data / "orders").write_text("eight\n")
    (data / "kept").write_text("this is lost\n")
    point = desk.final_point()
    desk.upkeep("restore-points", "--host", "web1", "--service", "service").says(point, "proved")
    desk.upkeep("restore-points", "--host", "web1", "--prove", point).says("is proved")
    desk.upkeep("restore-points", "--host", "web1", "--fsck").says("0 problems")
    desk.upkeep("service stop", desk.root_of("web1"), "--host", "web1").says("stopped")
    desk.upkeep("restore", point, "--host", "web1", "--only", "data", "--yes").says("1 files to write", "1 entries to remove", point)
    assert contents_of(data) == before
    desk.upkeep("service start", desk.root_of("web1"), "--host", "web1").says("running")
    desk.upkeep("service status", desk.root_of("web1"), "--host", "web1", "--json").result
    asked = [e for e in desk.events() if e["type"] == "task.asked"]
    ended = {e["task"]: e for e in desk.events() if e["type"] == "task.ended"}
    assert [e["asked"]["kind"] for e in asked] == ["service", "restore", "service"], asked
    assert all(e["by"] == "olga" and "error" not in ended[e["task"]] for e in asked), ended
    desk.check()


@desk_test
def a_damaged_restore_point_is_found_from_afar(desk):
    desk.install("1.0")
    (desk.root_of("web1") / "shared" / "data" / "orders").write_text("seven\n" * 100)
    desk.upgrade("2.0")
    point = desk.final_point()
    for path in (desk.agent_state("web1") / "restore-points" / "objects").rglob("*"):
        if path.is_file():
            path.chmod(0o600)
            path.write_bytes(b"damaged" + path.read_bytes()[7:])
    desk.upkeep("restore-points", "--host", "web1", "--fsck", status=5).says("damaged")
    desk.upkeep("restore-points", "--host", "web1", "--prove", point, status=3).says("damaged")


@desk_test
def a_restore_on_a_host_that_is_being_upgraded_is_refused(desk):
    desk.install("1.0")
    desk.upgrade("2.0")
    point = desk.final_point()
    change = desk.open(desk.document(desk.package("3.0"), soak="60s"))
    desk.wait_event(change, "stage.soaking", stage="pilot")
    desk.upkeep("restore", point, "--host", "web1", "--yes", status=3).says("holds the lock")
    desk.upkeep("service stop", desk.root_of("web1"), "--host", "web1", status=3).says("holds the lock")
    desk.expect("3.0", ["web1"])


@desk_test
def a_host_does_nothing_where_no_change_of_its_controller_was(desk):
    desk.install("1.0")
    desk.upgrade("2.0")
    desk.upkeep("service stop", "/srv/other", "--host", "web1", status=3).says("knows of no service in /srv/other")
    desk.upkeep("restore", desk.final_point(), "--host", "web1", "--to", "/tmp/x", "--yes",
                status=3).says("on the host itself")
    desk.upkeep("restore-points", status=2).says("--host NAME")
    desk.upkeep("restore-points", "--host", "web9", status=2).says("there is no host web9")


@desk_test
def viewers_and_approvers_may_ask_nothing_of_a_host(desk):
    desk.install("1.0")
    for role in ("viewer", "approver"):
        token = desk.run(UPKEEPD, "user", "add", role, "--role", role, "--state", desk.state).out.split()[0]
        desk.upkeep("restore-points", "--host", "web1", status=None, UPKEEP_TOKEN=token).says("may not")
    assert not desk.happened(None, "task.asked")


def asked_while_the_agent_is_away(desk):
    desk.agents["web1"].kill()
    process = desk.begin_upkeep("service stop", desk.root_of("web1"), "--host", "web1")
    wait_for(lambda: desk.happened(None, "task.asked"), "the task")
    return process


@desk_test
def a_task_is_done_although_its_agent_was_killed_and_started_again(desk):
    desk.install("1.0")
    process = asked_while_the_agent_is_away(desk)
    desk.start_agent("web1")
    assert "stopped" in process.communicate(timeout=120)[0] and process.returncode == 0
    assert served(desk.site.ports[0]) is None


@desk_test
def a_controller_that_was_started_again_says_that_it_has_forgotten_a_task(desk):
    desk.install("1.0")
    process = asked_while_the_agent_is_away(desk)
    desk.controller.kill()
    desk.start_controller()
    out = process.communicate(timeout=120)[0]
    assert process.returncode == 2 and "forgotten" in out and "ask once more" in out, out
    desk.start_agent("web1")
    desk.wait_agents()
    desk.expect("1.0")


# ---- the fleet

@desk_test
def packages_and_hosts_are_kept(desk):
    file = desk.site.package("1.0")
    desk.upkeep("publish", file).says("service", "1.0")
    desk.upkeep("packages").says("service", "1.0")
    desk.upkeep("hosts").says("web1", "web2", "joined")
    desk.upkeep("host show", "web1").says("\"name\": \"web1\"", "\"joined\"")
    desk.upkeep("host invite", "db1", "--label", "role=db").says("upk1-")
    desk.upkeep("host describe", "db1", "--label", "region=east")
    desk.upkeep("hosts", "--select", "role=db").says("db1", "invited")
    desk.upkeep("host revoke", "db1", "--why", "sold")
    desk.upkeep("host remove", "db1")
    desk.upkeep("hosts").is_silent_on("db1")
    (desk.desk / "inventory.ini").write_text("[web]\nweb8 region=west\n")
    desk.upkeep("import", "inventory.ini").says("1 hosts read")
    desk.upkeep("hosts").says("web8", "described")


@desk_test
def two_environments_differ_until_they_have_the_same(desk):
    for name, environment in (("web1", "test"), ("web2", "production")):
        desk.upkeep("host describe", name, "--label", f"environment={environment}")
    desk.upgrade("1.0", hosts=["web1"])
    tell_facts(desk, "1.0", "web1")
    desk.upkeep("drift", "test", "production", status=3).says("service", "1.0")
    desk.upgrade("1.0", hosts=["web2"])
    tell_facts(desk, "1.0", "web2")
    desk.upkeep("drift", "test", "production").says("agree in everything")


@desk_test(hosts=1)
def what_is_done_on_a_host_is_done_there_whatever_the_environment_names(desk):
    desk.install("1.0")
    done = subprocess.run([AGENT, "service", "status", desk.root_of("web1"), "--state", desk.agent_state("web1")],
                          env=desk.environment(), text=True, capture_output=True, timeout=60, check=True)
    assert "1.0, running" in done.stdout, done


@desk_test(hosts=1)
def who_signs_in_needs_no_token_afterwards_until_signing_out(desk):
    nothing = {"UPKEEP_TOKEN": "", "UPKEEP_FINGERPRINT": ""}
    desk.upkeep("hosts", status=2, **nothing).says("upkeep login")
    desk.upkeep("login", desk.url, "--fingerprint", desk.fingerprint, stdin=desk.token + "\n", UPKEEP_SERVER="", **nothing)
    desk.upkeep("hosts", **nothing).says("web1")
    desk.upkeep("logout", desk.url, UPKEEP_SERVER="", **nothing)
    desk.upkeep("hosts", status=2, **nothing).says("upkeep login")


main()
