#!/usr/bin/env python3
"""A clock that was set: no host is confirmed early, nothing is lost or done twice."""
import glob
import os
import signal
import time

from support import Skip, main, test, wait_for

LIBRARIES = glob.glob("/usr/lib/*/faketime/libfaketime.so.1")


def shifted(seconds):
    """An environment whose wall clock is that much off; steady clocks are the machine's."""
    if not LIBRARIES:
        raise Skip("libfaketime is missing (Debian package faketime)")
    return {"LD_PRELOAD": LIBRARIES[0], "FAKETIME": f"{seconds:+d}s", "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "FAKETIME_NO_CACHE": "1"}


def interrupted_in_the_soak(site, soak="2s"):
    site.install("1.0")
    plan = site.plan(site.package("2.0"), soak=soak)
    run = site.start("run", plan)
    site.wait_event("stage.soaking")
    run.signal(signal.SIGKILL)
    run.end()
    return plan


def watched_before_confirm(site):
    """How many health reports came between the last engine's start and the confirmation."""
    events = site.events()
    last = max(i for i, e in enumerate(events) if e["type"] == "engine.started")
    confirm = max(i for i, e in enumerate(events) if e["type"] == "order.given" and e["order"] == "confirm")
    return sum(e["type"] == "host.health" for e in events[last:confirm])


@test
def set_forward_past_the_soak_confirms_nothing_unwatched(site):
    plan = interrupted_in_the_soak(site)
    site.run("run", plan, env=shifted(300))
    site.expect("2.0")
    assert watched_before_confirm(site) > 0, "confirmed without having looked"


@test
def set_forward_past_the_deadline_rolls_back(site):
    data_plan = interrupted_in_the_soak(site)
    data = site.data()
    site.run("run", data_plan, env=shifted(86400), status=4).says("confirm")
    site.expect("1.0", data=data)


@test
def set_back_does_not_wait_for_the_clock_to_catch_up(site):
    plan = interrupted_in_the_soak(site)
    site.run("run", plan, env=shifted(-86400))
    site.expect("2.0")
    switches = [e for e in site.events() if e["type"] == "order.given" and e["order"] == "switch"]
    assert len(switches) == 2, "switched twice"


@test
def set_back_years_between_changes_keeps_ids_and_chain(site):
    site.install("1.0")
    site.run("run", site.plan(site.package("2.0")), env=shifted(-3 * 365 * 86400))
    site.run("run", site.plan(site.package("3.0")), env=shifted(+3 * 365 * 86400))
    site.expect("3.0")
    changes = [e["change"] for e in site.run("list", "--json").events if e["type"] == "change"]
    assert len(set(changes)) == 3, changes
    site.run("rollback", site.change())
    site.expect("2.0")


@test
def a_run_again_in_the_soak_watches_all_of_it(site):
    """The time in which nobody watched does not count: invariant I11."""
    plan = interrupted_in_the_soak(site, "1s")
    time.sleep(1.2)
    site.run("run", plan)
    site.expect("2.0")
    assert watched_before_confirm(site) > 0, "confirmed without having looked"


@test
def jumping_while_it_runs_confirms_as_if_it_had_not(site):
    """faketime reads its file anew at each look: the clock jumps two hours forth and back under a run."""
    site.install("1.0")
    rc = site.folder / "faketimerc"
    rc.write_text("+0s\n")
    env = shifted(0)
    del env["FAKETIME"]
    env["FAKETIME_TIMESTAMP_FILE"] = str(rc)
    run = site.start("run", site.plan(site.package("2.0"), soak="2s"), env=env)
    for jump in ("+2h", "-2h", "+0s"):
        count = len(site.events())
        wait_for(lambda: len(site.events()) > count or run.process.poll() is not None, "the next event")
        new = site.folder / "new"
        new.write_text(jump + "\n")
        os.replace(new, rc)
    run.end(0)
    site.expect("2.0")


main()
