#!/usr/bin/env python3
"""What people want: install, upgrade, go back, look."""
import json

from support import Site, contents_of, fetch, main, served, test


@test
def first_installation(site):
    site.run("run", site.plan(site.package("1.0"))).says("succeeded")
    site.expect("1.0")
    assert (site.roots[0] / "current" / "link").readlink().name == "version"
    assert (site.roots[0] / "current" / "empty").is_dir()


@test
def upgrade_keeps_data_and_the_old_release(site):
    site.install("1.0")
    before = site.data()
    site.run("run", site.plan(site.package("2.0")))
    site.expect("2.0", data=before)
    assert site.releases() == ["1.0", "2.0"]
    assert site.steps("switch")[-6:] == ["arm", "stop", "final_copy", "activate", "start", "probe"]


@test
def same_version_again_changes_nothing_and_says_so(site):
    plan = site.plan(site.package("1.0"))
    site.run("run", plan)
    pid, changes = site.pid(), site.run("list").out
    site.run("run", plan).says("service 1.0", "nothing to do")
    assert site.run("run", plan, "--json").result["outcome"] == "succeeded"
    assert site.pid() == pid and site.run("list").out == changes


@test
def same_version_of_another_package_is_refused(site):
    site.install("1.0")
    site.run("run", site.plan(site.package("1.0", files={"more": b"more"})), status=3).says("another package")
    site.expect("1.0")


@test
def rollback_later_keeps_what_users_wrote(site):
    site.install("1.0")
    site.run("run", site.plan(site.package("2.0", "migrates")))
    fetch(site.ports[0], "/write?after")
    data = site.data()
    site.run("rollback", site.change(), "--why", "orders fail").says("the data stays", "rolled back")
    site.expect("1.0", data=data)
    assert any(e.get("why") == "orders fail" for e in site.events())


@test
def rollback_later_restores_data_when_asked_and_sets_the_new_aside(site):
    site.install("1.0")
    before = site.data()
    site.run("run", site.plan(site.package("2.0", "migrates")))
    fetch(site.ports[0], "/write?after")
    after = site.data()
    site.run("rollback", site.change(), "--restore-data").says("set aside as a restore point")
    site.expect("1.0", data=before)
    restore_set_aside(site, after)
    site.expect("1.0", data=before)


def restore_set_aside(site, digest):
    """What the new version wrote is in a restore point of its own, and comes out of it whole."""
    points = [e for e in site.run("restore-points", "--json").events if e.get("kind") == "aside"]
    assert len(points) == 1, points
    elsewhere = site.folder / "elsewhere"
    site.run("restore", points[0]["id"], "--to", elsewhere)
    found = contents_of(elsewhere / "shared" / "data", elsewhere / "shared" / "settings")
    assert found == digest, sorted(elsewhere.rglob("*"))


@test
def rollback_twice_is_refused(site):
    site.install("1.0")
    site.run("run", site.plan(site.package("2.0")))
    site.run("rollback", site.change())
    site.run("rollback", site.change(), status=3).says("nothing to roll back")
    site.expect("1.0")


@test
def rollback_of_a_change_that_another_followed_is_refused(site):
    site.install("1.0")
    site.run("run", site.plan(site.package("2.0")))
    second = site.change()
    site.run("run", site.plan(site.package("3.0")))
    site.run("rollback", second, status=3).says(site.change(), "roll that one back first")
    site.expect("3.0")
    assert [e["state"] for e in site.run("list", "--json").events[:-1]] == ["succeeded"] * 3
    site.run("rollback", site.change())
    site.expect("2.0")


@test
def rollback_of_a_change_after_a_later_one_failed_and_went_back(site):
    site.install("1.0")
    before = site.data()
    site.run("run", site.plan(site.package("2.0")))
    second = site.change()
    fetch(site.ports[0], "/write?after")
    site.run("run", site.plan(site.package("3.0", "exit")), status=4)
    site.expect("2.0")
    site.run("rollback", second, "--restore-data").says("1 file (", "rolled back")
    site.expect("1.0", data=before)


@test
def rollback_of_a_change_while_a_later_one_is_prepared_is_refused(site):
    site.install("1.0")
    site.run("run", site.plan(site.package("2.0")))
    second = site.change()
    site.run("run", site.plan(site.package("3.0")), "--prepare-only")
    third = site.change()
    site.run("rollback", second, status=3).says(third, "not finished")
    site.run("abort", third)
    site.run("rollback", second)
    site.expect("1.0")


@test
def rollback_of_a_change_while_a_later_one_has_prepared_what_was_there_is_refused(site):
    site.install("1.0")
    site.run("run", site.plan(site.package("2.0")))
    second = site.change()
    third = site.package("3.0")
    site.run("run", site.plan(third))
    site.run("rollback", site.change())  # 3.0 was accepted once: its release stays
    assert "3.0" in site.releases()
    site.run("run", site.plan(third, change={"title": "again"}), "--prepare-only")
    site.run("rollback", second, status=3).says("not finished")
    site.run("abort", site.change())
    site.run("rollback", second)
    site.expect("1.0")


@test
def as_many_releases_are_kept_as_the_plan_says(site):
    for version in ("1.0", "2.0", "3.0", "4.0"):
        site.run("run", site.plan(site.package(version)))
    assert site.releases() == ["2.0", "3.0", "4.0"], site.releases()


@test
def a_report_is_written_in_both_forms_and_languages(site):
    site.install("1.0")
    site.run("run", site.plan(site.package("2.0", "exit")), status=4)
    for name, language, words in (("a.md", "en", "# Upgrade retrospective"), ("b.md", "zh", "# 升级复盘报告"),
                                  ("c.html", "en", "<html"), ("d.html", "zh", "升级复盘报告")):
        (site.folder / name).write_text("an earlier report")
        site.run("report", site.change(), "--lang", language, "-o", site.folder / name)
        text = (site.folder / name).read_text()
        assert words in text and site.change() in text and "an earlier report" not in text, text[:300]
        assert 'src="http' not in text and 'href="http' not in text and "@import" not in text, "it asks for more"
    assert not [p for p in site.folder.iterdir() if p.name.endswith("~")]
    site.run("report", site.change(), "-o", site.folder / "missing" / "a.md", status=None).says("missing")
    site.run("report", site.change(), "-o", "a.pdf", status=2).says("does not make PDF")


@test
def first_installation_rolled_back_is_removed(site):
    site.install("1.0")
    site.run("rollback", site.change())
    site.expect(None)
    assert site.releases() == []
    assert (site.roots[0] / "shared" / "data" / "old-only").exists(), "data of users was removed"
    site.run("run", site.plan(site.package("1.0")))
    site.expect("1.0")


@test
def rollback_starts_the_old_version_the_old_way(site):
    site.install("1.0", style="plain")
    document = site.document(site.package("2.0"), style="fancy")
    document["service"]["run"]["process"]["env"] = {"COLOUR": "red"}
    site.run("run", site.write(document))
    site.expect("2.0", style="fancy")
    assert b"COLOUR=red" in open(f"/proc/{site.pid()}/environ", "rb").read()
    site.run("rollback", site.change())
    site.expect("1.0", style="plain")
    assert b"COLOUR" not in open(f"/proc/{site.pid()}/environ", "rb").read()


@test
def a_failed_start_in_a_new_way_is_put_back_the_old_way(site):
    site.install("1.0", style="plain")
    document = site.document(site.package("2.0"), health=None)
    document["health"] = site.document("x")["health"]
    document["service"]["run"]["process"]["command"] = ["python3", "current/bin/service.py", "--no-such-option"]
    site.run("run", site.write(document), status=4).says("web1")
    site.expect("1.0", style="plain")
    assert site.releases() == ["1.0"]


@test(hosts=4)
def stages_and_batches_go_in_order(site):
    document = site.document(site.package("1.0"))
    for host, region in zip(document["hosts"], ["west", "east", "east", "west"]):
        host["labels"] = {"region": region}
    document["rollout"] = {"max_unavailable": 1, "stages": [
        {"name": "pilot", "hosts": 1, "soak": "100ms"},
        {"name": "east", "select": {"region": "east"}, "batch": 1, "soak": "100ms"},
        {"name": "rest", "soak": "100ms"}]}
    site.run("run", site.write(document))
    site.expect("1.0")
    events = site.events()
    switches = [e["host"] for e in events if e["type"] == "order.given" and e["order"] == "switch"]
    assert switches == ["web1", "web2", "web3", "web4"], switches
    batches = [(e["stage"], e["batch"], e["hosts"]) for e in events if e["type"] == "batch.started"]
    assert batches == [("pilot", 1, ["web1"]), ("east", 1, ["web2"]), ("east", 2, ["web3"]),
                       ("rest", 1, ["web4"])], batches
    out = 0
    for event in events:  # no more than one at a time
        if event["type"] in ("order.given", "order.done") and event["order"] == "switch":
            out += 1 if event["type"] == "order.given" else -1
            assert out <= 1


@test(hosts=3)
def a_later_stage_that_fails_takes_the_earlier_ones_back(site):
    site.install("1.0")
    before = [site.data(i) for i in range(3)]
    (site.roots[2] / "sick").touch()
    done = site.run("run", site.plan(site.package("2.0", "sick-when:sick")), status=4)
    done.says("web3", "500", "rolled back")
    site.expect("1.0")
    assert [site.data(i) for i in range(3)] == before
    back = [e["host"] for e in site.events() if e["type"] == "order.given" and e["order"] == "rollback"]
    assert back == ["web3", "web2", "web1"], back


@test
def prepare_only_then_run(site):
    site.install("1.0")
    plan, pid = site.plan(site.package("2.0")), site.pid()
    site.run("run", plan, "--prepare-only")
    site.expect("1.0")
    assert site.pid() == pid and site.releases() == ["1.0", "2.0"]
    site.run("run", plan)
    site.expect("2.0")
    assert len(site.run("list", "--json").events) == 3  # two changes and the result


@test
def prepare_only_then_abort_leaves_nothing(site):
    site.install("1.0")
    pid = site.pid()
    site.run("run", site.plan(site.package("2.0")), "--prepare-only")
    site.run("abort", site.change()).says("aborted")
    site.expect("1.0")
    assert site.releases() == ["1.0"] and site.pid() == pid


@test
def old_releases_beyond_the_kept_number_go(site):
    for version in ("1.0", "2.0", "3.0", "4.0"):
        site.run("run", site.plan(site.package(version), service__keep_releases=2))
    site.expect("4.0")
    assert site.releases() == ["3.0", "4.0"]


@test
def check_and_show_change_nothing(site):
    site.install("1.0")
    plan, before = site.plan(site.package("2.0")), contents_of(site.roots[0], site.state)
    site.run("check", plan).says("Every check passed", "1.0 → 2.0")
    site.run("show", plan).says("current -> releases/2.0", "1.0", "What a rollback would do", "final copy")
    assert site.run("check", plan, "--json").result["outcome"] == "succeeded"
    assert contents_of(site.roots[0], site.state) == before


@test
def check_before_the_first_installation_makes_nothing(site):
    site.run("check", site.plan(site.package("1.0")))
    assert not site.roots[0].exists() and not site.state.exists()


@test
def json_is_one_object_a_line_and_ends_with_the_result(site):
    done = site.run("run", site.plan(site.package("1.0")), "--json")
    assert done.result == {"type": "result", "change": site.change(), "outcome": "succeeded", "exit": 0}
    for event in done.events[:-1]:
        assert event["time"].endswith("Z") and event["change"] == site.change()
        assert not event["type"].startswith("step.") or (event["step"] and event["host"] == "web1" and event["stage"])
    failed = site.run("run", site.plan(site.package("2.0", "exit")), "--json", status=4)
    assert failed.result["outcome"] == "rolled_back" and failed.result["error"]
    refused = site.run("run", site.plan(site.package("0.1")), "--json", status=3)
    assert refused.result["outcome"] == "refused"
    invalid = site.run("run", site.write("upkeep: 2\n"), "--json", status=2)
    assert invalid.result["outcome"] == "refused"


@test
def texts_are_chinese_when_asked(site):
    plan = site.plan(site.package("1.0", "exit"))
    failed = site.run("run", plan, "--lang", "zh", status=4)
    assert any("\u4e00" <= c <= "\u9fff" for c in failed.out) and any("\u4e00" <= c <= "\u9fff" for c in failed.err)
    failed.is_silent_on("the service", "rolled back")
    by_locale = site.run("status", env={"LC_ALL": "zh_CN.UTF-8"})
    assert any("\u4e00" <= c <= "\u9fff" for c in by_locale.out), by_locale


@test
def no_terminal_means_plain_lines(site):
    for env in ({}, {"NO_COLOR": "1"}):
        done = site.run("check", site.plan(site.package("1.0")), env=env)
        done.is_silent_on("\x1b", "\r")
    site.run("run", site.plan(site.package("1.0"))).is_silent_on("\x1b", "\r")
    quiet = site.run("run", site.plan(site.package("2.0")), "-q")
    assert quiet.out == "" and quiet.err == "", quiet


@test(hosts=2)
def list_status_and_journal_tell_what_was(site):
    site.run("run", site.plan(site.package("1.0"), change__title="The first one"))
    change = site.change()
    site.run("list").says(change, "The first one", "succeeded")
    site.run("status").says(change, "web1", "web2", "committed")
    hosts = [e for e in site.run("status", change, "--json").events if e["type"] == "host"]
    assert [h["state"] for h in hosts] == ["committed", "committed"], hosts
    site.run("journal show", change).says("change.opened", "order.given", "change.closed")
    site.run("journal export", "-o", site.folder / "journal.txt")
    assert len((site.folder / "journal.txt").read_text().splitlines()) == len(site.events())
    site.run("status", "CHG-1999-0001", status=2).says("there is no change CHG-1999-0001", "upkeep list")
    site.run("watch", change).says("succeeded")


@test
def restore_points_are_listed_and_restored(site):
    site.install("1.0")
    site.run("run", site.plan(site.package("2.0", "migrates")))
    points = [e for e in site.run("restore-points", "--json").events if e.get("kind") == "final"]
    assert points, site.run("restore-points")
    site.run("restore-points").says(points[-1]["id"])
    elsewhere = site.folder / "elsewhere"
    site.run("restore", points[-1]["id"], "--only", "data", "--to", elsewhere)
    assert (elsewhere / "shared" / "data" / "old-only").read_text() == "an old file\n"
    assert not (elsewhere / "shared" / "settings").exists()
    site.run("restore", "no-such-point", status=2).says("no-such-point")


@test
def two_services_at_once_do_not_meet(site):
    (site.folder / "other").mkdir()
    other = Site(site.folder / "other")
    other.state = site.state
    document = other.document(other.package("1.0", name="second"))
    document["service"]["name"] = "second"
    document["package"]["trust"] = [str(other.folder / "release.pub")]
    plan = site.plan(site.package("1.0"))
    first, second = site.start("run", plan), site.start("run", other.write(document))
    first.end(0)
    second.end(0)
    site.expect("1.0")
    assert served(other.ports[0]) == "service 1.0 plain"
    changes = [e for e in site.run("list", "--json").events if e["type"] == "change"]
    assert sorted(c["service"] for c in changes) == ["second", "service"]
    assert len({c["change"] for c in changes}) == 2


@test
def the_schema_is_json(site):
    schema = json.loads(site.run("schema").out)
    assert schema["$schema"].endswith("2020-12/schema") and "service" in schema["properties"]


main()
