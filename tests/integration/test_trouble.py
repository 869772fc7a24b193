#!/usr/bin/env python3
"""Bad luck: two at once, journals and restore points damaged by hand, processes killed."""
import hashlib
import json
import os
import random
import signal
import sqlite3
import time
from pathlib import Path

from support import fetch, main, processes, served, test, wait_for


def soaking(site, version="2.0", *behaviour, soak="60s", **parts):
    """The upgrade is in its soak."""
    plan = site.plan(site.package(version, *behaviour), soak=soak, **parts)
    run = site.start("run", plan)
    site.wait_event("stage.soaking")
    return plan, run


@test
def a_second_run_of_one_service_is_refused(site):
    site.install("1.0")
    plan, run = soaking(site)
    for other in (plan, site.plan(site.package("3.0"))):
        site.run("run", other, status=3).says(site.change())
    run.signal(signal.SIGINT)
    run.end(130)
    site.run("abort", site.change())
    site.expect("1.0")


@test
def a_second_run_from_another_state_folder_is_refused_by_the_lock(site):
    site.install("1.0")
    _, run = soaking(site)
    second = site.run("run", site.plan(site.package("3.0")), "--state", site.folder / "state-2", status=3)
    second.says("another upgrade holds the lock", str(site.roots[0]))
    run.signal(signal.SIGINT)
    run.end(130)
    site.run("abort", site.change())
    site.expect("1.0")
    assert site.run("list", "--json", "--state", site.folder / "state-2").events[0]["state"] == "refused"


@test
def a_second_state_folder_is_refused_while_a_change_is_unfinished(site):
    site.install("1.0")
    plan, run = soaking(site)
    run.signal(signal.SIGINT)
    run.end(130)
    change = site.change()
    site.run("run", site.plan(site.package("3.0")), "--state", site.folder / "state-2", status=3).says(change)
    site.run("abort", change)
    site.expect("1.0")


@test
def looking_on_beside_a_run_loses_nothing(site):
    """Each look opens and closes the journal; what the run writes meanwhile is seen, and survives its death."""
    site.install("1.0")
    _, run = soaking(site)
    site.run("list")
    site.wait_event("host.health")
    seen = len(site.events())
    run.signal(signal.SIGKILL)
    run.end()
    assert len(site.events()) >= seen
    site.run("abort", site.change())
    site.expect("1.0")


def edit(site, statement, *values):
    with sqlite3.connect(site.state / "journal.sqlite") as journal:
        assert journal.execute(statement, values).rowcount


@test
def an_altered_event_is_found_and_nothing_goes_on(site):
    site.install("1.0")
    plan, run = soaking(site)
    run.signal(signal.SIGKILL)
    run.end()
    rows = site.run("journal show", "--json").events
    victim = next(i for i, e in enumerate(rows, 1) if e["type"] == "order.given" and e["order"] == "switch")
    edit(site, "update event set text = replace(text, 'web1', 'web9') where sequence = ?", victim)
    site.run("journal verify", status=5).says(str(victim))
    site.run("run", plan, status=5).says(str(victim))
    assert served(site.ports[0])


@test
def a_removed_event_is_found(site):
    site.install("1.0")
    edit(site, "delete from event where sequence = 5")
    site.run("journal verify", status=5).says("6")


@test
def swapped_events_are_found(site):
    site.install("1.0")
    edit(site, "update event set sequence = -sequence where sequence in (5, 6)")
    edit(site, "update event set sequence = 11 + sequence where sequence in (-5, -6)")
    site.run("journal verify", status=5).says("5")


@test
def a_forged_event_that_cannot_follow_is_refused(site):
    """With a right hash: the chain is whole, and still the change is not carried on."""
    site.install("1.0")
    plan, run = soaking(site)
    run.signal(signal.SIGKILL)
    run.end()
    change = site.change()
    with sqlite3.connect(site.state / "journal.sqlite") as journal:
        sequence, before = journal.execute("select sequence, hash from event order by sequence desc limit 1").fetchone()
        text = json.dumps({"change": change, "host": "web1", "order": "commit", "order_id": "forged",
                           "time": "2030-01-01T00:00:00.000Z", "type": "order.done"})
        forged = hashlib.sha256(f"{before}\n{text}".encode()).hexdigest()
        journal.execute("insert into event (sequence, change, text, hash) values (?, ?, ?, ?)",
                        (sequence + 1, change, text, forged))
    site.run("journal verify")
    for verb, argument in (("run", plan), ("resume", change), ("status", change)):
        site.run(verb, argument, status=5).says(str(sequence + 1), "order.done", "cannot follow")
    assert served(site.ports[0]) == "service 2.0 plain"


@test
def a_journal_that_is_no_database_is_said(site):
    site.state.mkdir()
    (site.state / "journal.sqlite").write_text("this is no database\n" * 100)
    for verb, words in (("list", ()), ("journal verify", ()), ("run", (site.plan(site.package("1.0")),))):
        done = site.run(verb, *words, status=None).says("journal")
        assert done.status in (1, 5), done
    assert not site.roots[0].exists()


def objects(site):
    return [p for p in (site.state / "restore-points" / "objects").rglob("*") if p.is_file()]


def damage(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.chmod(0o600)
    path.write_bytes(data)


@test
def a_restore_point_damaged_before_the_rollback_is_found_and_data_is_left_alone(site):
    site.install("1.0")
    _, run = soaking(site, "2.0", "migrates", "sick-when:sick")
    data = site.data()
    for path in objects(site):
        damage(path)
    (site.roots[0] / "sick").touch()
    done = run.end(5)
    done.says("web1", "the data was left as it is", "damaged")
    site.expect_data(data)
    assert site.outcome() == "failed"
    done.says("--keep-data")
    site.run("rollback", site.change(), "--keep-data").says("the data stays as it is")
    site.expect("1.0", data=data)


@test
def a_version_whose_rollback_failed_half_way_is_not_started_again(site):
    """It was stopped, the old data is not back yet: nobody may write now."""
    site.install("1.0")
    _, run = soaking(site, "2.0", "migrates", "sick-when:sick")
    for path in objects(site):
        damage(path)
    (site.roots[0] / "sick").touch()
    run.end(5).says("the data was left as it is")
    site.run("service start", site.roots[0], status=3).says(site.change(), "not finished")
    site.run("rollback", site.change(), "--keep-data")
    assert site.starts() == ["1.0", "2.0", "1.0"], site.starts()


@test
def a_restore_point_that_somebody_rewrote_is_not_believed(site):
    site.install("1.0")
    _, run = soaking(site, "2.0", "migrates", "sick-when:sick")
    data = site.data()
    for head in (site.state / "restore-points" / "points").glob("*final/point.json"):
        head.write_text(head.read_text().replace('"1.0"', '"9.9"'))
    (site.roots[0] / "sick").touch()
    run.end(5).says("web1", "is not the one that was taken", "the data was left as it is", "--keep-data")
    site.expect_data(data)
    site.run("rollback", site.change(), "--keep-data")
    site.expect("1.0", data=data)


@test
def a_restore_point_damaged_before_a_later_rollback_with_data_is_found(site):
    site.install("1.0")
    site.run("run", site.plan(site.package("2.0", "migrates")))
    fetch(site.ports[0], "/write?after")
    data = site.data()
    for path in objects(site):
        path.unlink()
    site.run("rollback", site.change(), "--restore-data", status=5).says("the data was left as it is")
    site.expect_data(data)
    site.run("rollback", site.change())
    site.expect("1.0", data=data)


@test
def a_store_damaged_before_the_next_upgrade_is_mended(site):
    site.install("1.0")
    site.run("run", site.plan(site.package("2.0")))
    for path in objects(site):
        damage(path)
    data = site.data()
    site.run("run", site.plan(site.package("3.0", "migrates", "exit")), status=4)
    site.expect("2.0", data=data)


@test
def a_new_release_damaged_between_prepare_and_run_is_not_started(site):
    site.install("1.0")
    plan = site.plan(site.package("2.0"))
    site.run("run", plan, "--prepare-only")
    file = site.roots[0] / "releases" / "2.0" / "version"
    file.chmod(0o644)
    file.write_text("6.6.6\n")
    done = site.run("run", plan, status=None)
    assert done.status in (3, 4), done
    site.expect("1.0")


@test
def a_new_release_removed_between_prepare_and_run_is_put_back(site):
    site.install("1.0")
    plan = site.plan(site.package("2.0"))
    site.run("run", plan, "--prepare-only")
    (site.roots[0] / "releases" / "2.0").rename(site.folder / "gone")
    done = site.run("run", plan, status=None).says("2.0")
    assert done.status in (3, 4), done
    site.expect("1.0")


@test
def killed_at_random_and_run_again_it_ends_as_it_should(site):
    site.install("1.0")
    before, chance = site.data(), random.Random(os.environ.get("UPKEEP_SEED", "7"))
    kills = 0
    for round_ in range(2, 8):
        plan = site.plan(site.package(f"{round_}.0"), soak="300ms")
        run = site.start("run", plan)
        time.sleep(chance.uniform(0.02, 1.2))
        run.signal(signal.SIGKILL)
        kills += run.end().status == -signal.SIGKILL
        assert site.current() in (f"{round_ - 1}.0", f"{round_}.0")
        site.run("journal verify", status=None if not (site.state / "journal.sqlite").exists() else 0)
        site.run("run", plan)
        site.expect(f"{round_}.0", data=before)
    assert kills, "nothing was killed"
    done = [e for e in site.events() if e["type"] == "change.closed"]
    assert [e["outcome"] for e in done] == ["succeeded"] * len(done)


@test
def killed_at_random_in_a_failing_upgrade_it_ends_rolled_back(site):
    site.install("1.0")
    before, chance = site.data(), random.Random(os.environ.get("UPKEEP_SEED", "8"))
    for round_ in range(2, 6):
        plan = site.plan(site.package(f"{round_}.0", "migrates", "exit"))
        run = site.start("run", plan)
        time.sleep(chance.uniform(0.1, 1.0))
        run.signal(signal.SIGKILL)
        if run.end().status == -signal.SIGKILL:
            done = site.run("run", plan, status=None)
            assert done.status in (3, 4), done
        site.expect("1.0", data=before)
        assert site.releases() == ["1.0"]


def guards(site):
    return [pid for pid in processes(site.folder) if b"guard" in Path(f"/proc/{pid}/cmdline").read_bytes()]


@test
def a_controller_that_died_in_the_soak_leaves_no_unwatched_version(site):
    site.install("1.0")
    before = site.data()
    _, run = soaking(site, "2.0", "migrates", soak="500ms", rollout__confirm_deadline="4s", health=[
        {"http": {"url": "http://127.0.0.1:${vars.port}/"}, "every": "50ms", "healthy_after": 2, "deadline": "3s"}])
    run.signal(signal.SIGKILL)
    run.end()
    wait_for(lambda: served(site.ports[0]) == "service 1.0 plain", "the guard to put 1.0 back")
    wait_for(lambda: site.data() == before, "the data")
    assert site.current() == "1.0"
    wait_for(lambda: not guards(site), "the guard's end")
    fetch(site.ports[0], "/write?after-the-guard")
    pid, data = site.pid(), site.data()
    site.run("resume", site.change(), status=4).says("rolled back")
    site.expect("1.0", data=data)
    assert site.pid() == pid, "the old version was interrupted once more"


@test
def a_guard_that_rolled_back_while_an_order_was_open_spoils_no_journal(site):
    site.install("1.0")
    before = site.data()
    run = site.start("run", site.plan(site.package("2.0", "mute"), soak="500ms", rollout__confirm_deadline="5s", health=[
        {"http": {"url": "http://127.0.0.1:${vars.port}/", "timeout": "200ms"}, "every": "50ms", "deadline": "4s"}]))
    site.wait_event("step.started", step="probe")
    run.signal(signal.SIGKILL)
    run.end()
    wait_for(lambda: served(site.ports[0]) == "service 1.0 plain" and not guards(site), "the guard to put 1.0 back")
    site.run("resume", site.change(), status=4).says("rolled back")
    assert site.outcome() == "rolled_back"
    site.expect("1.0", data=before)
    site.run("run", site.plan(site.package("3.0")))


@test
def what_a_guard_did_stands_in_the_journal_and_the_report(site):
    site.install("1.0")
    _, run = soaking(site, "2.0", "migrates", soak="500ms", rollout__confirm_deadline="4s", health=[
        {"http": {"url": "http://127.0.0.1:${vars.port}/"}, "every": "50ms", "healthy_after": 2, "deadline": "3s"}])
    run.signal(signal.SIGKILL)
    run.end()
    wait_for(lambda: served(site.ports[0]) == "service 1.0 plain" and not guards(site), "the guard to put 1.0 back")
    site.run("resume", site.change(), status=4)
    steps = site.steps("rollback")
    assert steps == ["ready", "stop", "set_aside", "restore", "activate", "start", "probe", "discard", "finish"], steps
    aside = next(e["detail"]["set_aside"] for e in site.events() if e["type"] == "step.done" and e["step"] == "restore")
    site.run("report", site.change(), "--form", "retrospective").says(aside, "rolled back by itself").is_silent_on("not over")


@test
def a_rollback_tried_again_sets_aside_again(site):
    site.install("1.0", "sick-when:sick", service__config=[])
    site.run("run", site.plan(site.package("2.0", "migrates"), service__config=[]))
    (site.roots[0] / "sick").touch()
    site.run("rollback", site.change(), "--restore-data", status=5).says("does not become healthy")
    (site.roots[0] / "sick").unlink()
    (site.roots[0] / "shared" / "data" / "precious").write_text("written between the two attempts\n")
    site.run("rollback", site.change(), "--restore-data")
    points = [e["id"] for e in site.run("restore-points", "--json").events if e.get("kind") == "aside"]
    assert len(points) == 2, points
    assert not (site.roots[0] / "shared" / "data" / "precious").exists()
    site.run("restore", points[-1], "--to", site.folder / "back")
    assert (site.folder / "back" / "shared" / "data" / "precious").exists(), "what was written is lost"


@test
def a_rollback_that_failed_half_way_must_be_finished_first(site):
    site.install("1.0", "sick-when:sick")
    site.run("run", site.plan(site.package("2.0", "migrates")))
    second = site.change()
    (site.roots[0] / "sick").touch()
    site.run("rollback", second, "--restore-data", status=5)
    site.run("run", site.plan(site.package("3.0")), status=3).says(second, "not finished", f"upkeep rollback {second}")
    (site.roots[0] / "sick").unlink()
    site.run("rollback", second, "--restore-data")
    site.run("run", site.plan(site.package("3.0")))
    site.expect("3.0")


main()
