#!/usr/bin/env python3
"""Steering a change from another terminal, by Ctrl-C, and by the plan's own choice to hold."""
import os
import signal

from support import main, served, test, wait_for


def pausable(site, version="2.0", *behaviour, soak="60s"):
    """Version 1.0 is installed on both hosts; the upgrade is in the long soak of its pilot."""
    site.install("1.0")
    document = site.document(site.package(version, *behaviour))
    document["rollout"]["stages"] = [{"name": "pilot", "hosts": 1, "soak": soak}, {"name": "rest", "soak": "100ms"}]
    plan = site.write(document)
    run = site.start("run", plan)
    site.wait_event("stage.soaking", stage="pilot")
    return plan, run, site.change()


@test(hosts=2)
def pause_then_resume_from_another_process(site):
    site.install("1.0")
    document = site.document(site.package("2.0"))
    document["rollout"]["stages"] = [{"name": "pilot", "hosts": 1, "soak": "10s"}, {"name": "rest", "soak": "100ms"}]
    run = site.start("run", site.write(document))
    site.wait_event("stage.soaking", stage="pilot")
    change = site.change()
    site.run("pause", change, "--why", "peak hours").says("no further host is switched", f"upkeep resume {change}")
    site.wait_event("stage.passed", stage="pilot")
    assert not site.happened("order.given", order="switch", host="web2")
    site.expect("2.0", host=0)
    site.expect("1.0", host=1)
    resumed = site.start("resume", change)
    run.end(0)
    resumed.end(0)
    site.expect("2.0")


@test(hosts=2)
def abort_from_another_process_puts_everything_back(site):
    _, run, change = pausable(site)
    site.run("abort", change, "--why", "wrong package").says("aborted")
    run.end(4).says("wrong package")
    site.expect("1.0")
    assert site.outcome() == "aborted" and site.releases() == ["1.0"]


@test(hosts=2)
def rollback_from_another_process_puts_everything_back(site):
    _, run, change = pausable(site, "2.0", "migrates")
    data = site.data(1)
    site.run("rollback", change).says("rolled back")
    run.end(4)
    site.expect("1.0")
    assert site.outcome() == "rolled_back" and site.data(1) == data


@test(hosts=2)
def an_interrupt_pauses_and_run_goes_on(site):
    plan, run, change = pausable(site, soak="10s")
    run.signal(signal.SIGINT)
    run.end(130).says(change, "upkeep resume")
    site.expect("2.0", host=0)
    site.expect("1.0", host=1)
    site.run("status").says("paused")
    site.run("run", plan)
    site.expect("2.0")
    assert site.change() == change


@test(hosts=2)
def an_interrupted_change_can_be_aborted_by_nobody_but_us(site):
    _, run, change = pausable(site)
    run.signal(signal.SIGTERM)
    run.end(130)
    site.run("abort", change)
    site.expect("1.0")


@test(hosts=2)
def a_second_interrupt_leaves_at_once_and_run_goes_on(site):
    site.install("1.0")
    document = site.document(site.package("2.0", "slow"), health=[
        {"http": {"url": "http://127.0.0.1:${vars.port}/", "timeout": "5s"}, "healthy_after": 1, "every": "50ms",
         "deadline": "20s"}])
    del document["service"]["version"]
    plan = site.write(document)
    run = site.start("run", plan)
    site.wait_event("step.started", step="probe", host="web1")
    run.signal(signal.SIGINT)
    run.signal(signal.SIGINT)
    run.end(130)
    done = site.run("run", plan)
    assert done.status == 0
    site.expect("2.0")


@test
def an_interrupt_while_preparing_touches_nothing(site):
    site.install("1.0")
    pid = site.pid()
    files = {f"big/{i}": os.urandom(100_000) for i in range(300)}
    plan = site.plan(site.package("2.0", files=files))
    run = site.start("run", plan)
    site.wait_event("step.started", step="stage")
    run.signal(signal.SIGINT)
    ended = run.end()
    assert ended.status in (0, 130), ended
    if ended.status == 130:
        assert served(site.ports[0]) == "service 1.0 plain" and site.pid() == pid
    site.run("run", plan)
    site.expect("2.0")


def held(site, **parts):
    site.install("1.0")
    plan = site.plan(site.package("2.0", "sick-when:sick"), on_failure="hold", soak="60s", **parts)
    run = site.start("run", plan)
    site.wait_event("stage.soaking")
    change = site.change()
    (site.roots[0] / "sick").touch()
    run.end(5).says("500", f"upkeep resume {change}", f"upkeep rollback {change}", f"upkeep abort {change}")
    site.run("status").says("held for a person")
    assert served(site.ports[0]) is None or site.current() == "2.0"
    return plan, change


@test
def hold_waits_for_a_person_who_rolls_back(site):
    _, change = held(site)
    site.run("rollback", change)
    site.expect("1.0")


@test
def hold_waits_for_a_person_who_aborts(site):
    _, change = held(site)
    site.run("abort", change)
    site.expect("1.0")


@test
def hold_waits_for_a_person_who_resumes(site):
    _, change = held(site)
    (site.roots[0] / "sick").unlink()
    resumed = site.start("resume", change)
    site.wait_event("control.resume")
    wait_for(lambda: served(site.ports[0]) == "service 2.0 plain", "2.0 being served")
    resumed.signal(signal.SIGINT)
    resumed.end(130)
    site.run("abort", change)
    site.expect("1.0")


@test
def run_again_does_not_start_a_held_version_by_itself(site):
    plan, change = held(site)
    site.run("run", plan, status=5).says(f"upkeep rollback {change}")
    site.run("rollback", change)
    site.expect("1.0")


@test
def hold_at_the_start_leaves_the_failed_version_for_a_person(site):
    site.install("1.0")
    site.run("run", site.plan(site.package("2.0", "failing"), on_failure="hold", health=[
        {"http": {"url": "http://127.0.0.1:${vars.port}/"}, "every": "50ms", "healthy_after": 2, "deadline": "1s"}]),
        status=5).says("upkeep rollback")
    assert site.current() == "2.0"
    site.run("rollback", site.change())
    site.expect("1.0")


@test(hosts=2)
def confirmed_hosts_are_left_for_a_person_when_the_plan_says_hold(site):
    site.install("1.0")
    (site.roots[1] / "sick").touch()
    site.run("run", site.plan(site.package("2.0", "sick-when:sick"), service__rollback_confirmed="hold"),
             status=5).says("web1", "a person decides")
    site.expect("2.0", host=0)
    site.expect("1.0", host=1)
    site.run("rollback", site.change())
    site.expect("1.0")


def at_once(site, package, stage=None, **parts):
    """A plan that switches all hosts together."""
    document = site.document(package, **parts)
    document["rollout"] = {"stages": [{"name": "all", "soak": "200ms", **(stage or {})}], "max_unavailable": 3}
    return site.write(document)


@test(hosts=3)
def a_host_that_fails_within_the_threshold_is_left_out(site):
    site.install("1.0")
    (site.roots[1] / "sick").touch()
    data = site.data(1)
    done = site.run("run", at_once(site, site.package("2.0", "sick-when:sick"), {"max_failed": 1}, health=[
        {"http": {"url": "http://127.0.0.1:${vars.port}/"}, "every": "50ms", "healthy_after": 2, "deadline": "1s"}]))
    done.says("succeeded; 1 host was left out", "web2: left out, rolled back", "500")
    (site.roots[1] / "sick").unlink()
    for host, version in enumerate(["2.0", "1.0", "2.0"]):
        site.expect(version, host=host)
    assert site.data(1) == data and site.releases(1) == ["1.0"]
    assert site.outcome() == "succeeded"
    assert [e["left_out"] for e in site.events(site.change()) if e["type"] == "change.closed"] == [["web2"]]
    site.run("status").says("left out")
    site.run("report", site.change()).says("2 of 3 hosts run service 2.0", "web2: left out, rolled back")


@test(hosts=3)
def one_failure_more_than_the_threshold_puts_everything_back(site):
    site.install("1.0")
    for root in site.roots[1:]:
        (root / "sick").touch()
    site.run("run", at_once(site, site.package("2.0", "sick-when:sick"), {"max_failed": 1}, health=[
        {"http": {"url": "http://127.0.0.1:${vars.port}/"}, "every": "50ms", "healthy_after": 2, "deadline": "1s"}]),
        status=4)
    site.expect("1.0")


def held_by_one(site):
    """All but web2 are healthy; the rollout is held because of that one."""
    site.install("1.0")
    (site.roots[1] / "sick").touch()
    plan = at_once(site, site.package("2.0", "sick-when:sick"), on_failure="hold", health=[
        {"http": {"url": "http://127.0.0.1:${vars.port}/"}, "every": "50ms", "healthy_after": 2, "deadline": "1s"}])
    site.start("run", plan).end(5)
    change = site.change()
    site.run("status", change).says("held for a person")
    return change


@test(hosts=3)
def a_held_change_goes_on_without_a_skipped_host(site):
    change = held_by_one(site)
    site.run("skip", change, "web1", status=3).says("nothing is wrong with it")
    site.run("skip", change, "web2", "--why", "its disk is full").says("left out", f"upkeep resume {change}")
    site.run("skip", change, "web2", status=3).says("left out already")
    site.run("resume", change).says("succeeded; 1 host was left out", "web2: skipped, rolled back: its disk is full")
    for host, version in enumerate(["2.0", "1.0", "2.0"]):
        site.expect(version, host=host)


@test(hosts=3)
def a_mended_host_is_tried_again_from_the_old_version(site):
    change = held_by_one(site)
    (site.roots[1] / "sick").unlink()
    site.run("retry", change, "web2").says("begins once more", f"upkeep resume {change}")
    site.run("retry", change, "web2", status=3).says("being tried again already")
    done = site.run("resume", change).says("succeeded")
    done.is_silent_on("left out")
    site.expect("2.0")
    orders = [e["order"] for e in site.events(change) if e["type"] == "order.given" and e["host"] == "web2"]
    assert orders == ["prepare", "switch", "rollback", "prepare", "switch", "confirm", "commit"], orders
    points = [e["detail"]["restore_point"] for e in site.events(change)
              if e["type"] == "step.done" and e["step"] == "back_up" and e["host"] == "web2"]
    assert len(set(points)) == 2, points
    site.run("rollback", change)
    site.expect("1.0")


@test(hosts=2)
def skip_and_retry_refuse_what_can_have_no_effect(site):
    _, run, change = pausable(site)
    site.run("skip", change, "web1", status=3).says("nothing is wrong with it", f"upkeep abort {change}")
    site.run("retry", change, "web1", status=3).says("has not failed")
    site.run("skip", change, "web2", status=3).says("last host of the stage rest")
    site.run("skip", change, "web9", status=2).says("no host web9")
    site.run("abort", change)
    run.end(4)
    site.run("skip", change, "web2", status=3).says("has ended")
    site.run("retry", change, "web2", status=3).says("has ended")
    site.expect("1.0")


@test(hosts=2)
def watch_looks_on_until_the_end(site):
    site.install("1.0")
    run = site.start("run", site.plan(site.package("2.0"), soak="1s"))
    site.wait_event("order.given", order="switch")
    site.run("watch", site.change()).says("succeeded")
    run.end(0)
    site.expect("2.0")


@test
def an_ended_change_is_not_steered(site):
    site.install("1.0")
    change = site.change()
    site.run("pause", change, status=3).says("has ended")
    site.run("resume", change, status=3).says("has ended")
    site.run("abort", change, status=3).says("has ended", f"upkeep rollback {change}")
    site.expect("1.0")


@test(hosts=2)
def another_plan_is_refused_while_a_change_is_unfinished(site):
    _, run, change = pausable(site)
    run.signal(signal.SIGINT)
    run.end(130)
    site.run("run", site.plan(site.package("3.0")), status=3).says(change, f"upkeep resume {change}",
                                                                    f"upkeep abort {change}")
    site.run("abort", change)
    site.run("run", site.plan(site.package("3.0")))
    site.expect("3.0")


main()
