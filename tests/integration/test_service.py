#!/usr/bin/env python3
"""Releases that do not work: stopped, put back, data exactly as before, and the reason is said."""
import json
import os
import signal
import socket

from support import contents_of, fetch, main, served, test, wait_for

SHORT = [{"name": "front page", "http": {"url": "http://127.0.0.1:${vars.port}/", "timeout": "500ms"}, "every": "50ms",
          "healthy_after": 2, "fail_after": 2, "deadline": "1500ms"}]


def is_put_back(site, plan, *texts, status=4):
    data = site.data()
    done = site.run("run", plan, status=status).says(*texts)
    site.expect("1.0", data=data)
    assert site.releases() == ["1.0"] and site.outcome() == "rolled_back", site.releases()
    return done


@test
def one_that_exits_at_once(site):
    site.install("1.0")
    is_put_back(site, site.plan(site.package("2.0", "exit")), "web1", "exit status 7",
                f"what it said: {site.roots[0]}/shared/log/service.log")


@test
def after_a_reboot_it_is_started_as_it_was_installed(site):
    site.install("1.0")
    plan = site.plan(site.package("2.0"), style="fancy")
    site.run("run", plan)
    record = json.loads((site.roots[0] / ".upkeep" / "service.pid").read_text())
    os.kill(record["pid"], signal.SIGKILL)
    record["boot"] = "another-boot"
    (site.roots[0] / ".upkeep" / "service.pid").write_text(json.dumps(record))
    site.run("run", plan, status=3).says("does not run", f"upkeep service start {site.roots[0]}")
    site.run("service start", site.roots[0], "--json").says('"running"', '"2.0"')
    wait_for(lambda: served(site.ports[0]), "the service")
    site.expect("2.0", style="fancy")
    pid = site.pid()
    site.run("service start", site.roots[0]).says("running")
    assert site.pid() == pid, "it was started twice"
    site.run("run", plan).says("nothing to do")


@test
def one_stopped_by_hand_is_stopped_and_says_so(site):
    site.install("1.0")
    site.run("service status", site.roots[0]).says("1.0", "running")
    site.run("service stop", site.roots[0]).says("stopped")
    assert served(site.ports[0]) is None
    site.run("service status", site.roots[0]).says("1.0", "stopped")


@test
def one_cannot_be_started_by_hand_in_the_middle_of_an_upgrade(site):
    site.install("1.0")
    run = site.start("run", site.plan(site.package("2.0"), soak="3s"))
    site.wait_event("step.started", step="probe")
    site.run("service stop", site.roots[0], status=3).says("another upgrade holds the lock")
    run.end(0)


@test
def one_that_cannot_be_executed(site):
    site.install("1.0")
    document = site.document(site.package("2.0"))
    document["service"]["run"]["process"]["command"] = ["./no-such-program"]
    is_put_back(site, site.write(document), "no-such-program")


@test
def one_that_hangs_on_start(site):
    site.install("1.0")
    is_put_back(site, site.plan(site.package("2.0", "mute"), health=SHORT), "front page", "did not become healthy")


@test
def one_that_finds_its_port_taken(site):
    site.install("1.0")
    document = site.document(site.package("2.0"), health=SHORT)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        document["service"]["run"]["process"]["command"][-3] = str(taken.getsockname()[1])
        is_put_back(site, site.write(document), "web1")


@test
def one_that_ignores_being_asked_to_stop_is_killed(site):
    site.install("1.0", "deaf")
    pid = site.pid()
    document = site.document(site.package("2.0"))
    site.run("run", site.write(document))
    site.expect("2.0")
    assert not os.path.exists(f"/proc/{pid}/cwd")
    stops = [e for e in site.events() if e["type"] == "step.done" and e["step"] == "stop"]
    assert stops[-1]["detail"]["killed"] is True, stops[-1]


@test
def one_that_dies_in_the_soak(site):
    site.install("1.0")
    is_put_back(site, site.plan(site.package("2.0", "frail:6"), soak="40s"), "web1")
    assert any(e["type"] == "stage.soaking" for e in site.events())


@test
def one_that_falls_sick_in_the_soak(site):
    site.install("1.0")
    plan = site.plan(site.package("2.0", "sick-when:sick"), soak="40s")
    run = site.start("run", plan)
    site.wait_event("stage.soaking")
    (site.roots[0] / "sick").touch()
    run.end(4).says("500", "rolled back")
    site.expect("1.0")


@test
def one_that_says_it_is_another_version(site):
    site.install("1.0")
    is_put_back(site, site.plan(site.package("2.0", "says:1.9.9")), "1.9.9", "not 2.0")


@test
def one_that_answers_errors(site):
    site.install("1.0")
    is_put_back(site, site.plan(site.package("2.0", "failing"), health=SHORT), "front page", "500")


@test
def one_that_answers_too_slowly(site):
    site.install("1.0")
    is_put_back(site, site.plan(site.package("2.0", "slow"), health=SHORT), "front page")


@test
def one_that_answers_half(site):
    site.install("1.0")
    is_put_back(site, site.plan(site.package("2.0", "half"), health=SHORT), "front page")


@test
def one_that_answers_garbage(site):
    site.install("1.0")
    done = is_put_back(site, site.plan(site.package("2.0", "garbage"), health=SHORT), "front page")
    assert "\x1b" not in done.out + done.err, "what a service answers reached the terminal raw"


@test
def one_without_the_text_it_should_show(site):
    site.install("1.0")
    health = json.loads(json.dumps(SHORT))
    health[0]["http"]["body"] = "Welcome"
    is_put_back(site, site.plan(site.package("2.0"), health=health), "Welcome")


@test
def one_that_migrates_its_data_and_then_fails(site):
    site.install("1.0")
    is_put_back(site, site.plan(site.package("2.0", "migrates", "exit")), "exit status 7")
    points = [e for e in site.run("restore-points", "--json").events if e.get("kind") == "aside"]
    assert len(points) == 1, points
    elsewhere = site.folder / "elsewhere"
    site.run("restore", points[0]["id"], "--to", elsewhere)
    assert (elsewhere / "shared" / "data" / "schema").read_text() == "schema of 2.0\n"
    assert not (elsewhere / "shared" / "data" / "old-only").exists()


@test
def one_that_migrates_and_falls_sick_while_users_write(site):
    site.install("1.0")
    before = site.data()
    run = site.start("run", site.plan(site.package("2.0", "migrates", "sick-when:sick"), soak="40s"))
    site.wait_event("stage.soaking")
    fetch(site.ports[0], "/write?in+between")
    written = contents_of(site.roots[0] / "shared" / "data", site.roots[0] / "shared" / "settings")
    (site.roots[0] / "sick").touch()
    run.end(4)
    site.expect("1.0", data=before)
    point = [e for e in site.run("restore-points", "--json").events if e.get("kind") == "aside"][0]
    site.run("restore", point["id"], "--to", site.folder / "elsewhere")
    shared = site.folder / "elsewhere" / "shared"
    assert contents_of(shared / "data", shared / "settings") == written


@test
def data_is_kept_when_the_plan_says_keep(site):
    site.install("1.0")
    site.run("run", site.plan(site.package("2.0", "migrates", "exit"), service__rollback_data="keep"), status=4)
    site.expect("1.0")
    assert (site.roots[0] / "shared" / "data" / "schema").exists()


@test
def a_first_installation_that_fails_leaves_nothing_running(site):
    site.run("run", site.plan(site.package("1.0", "failing"), health=SHORT), status=4).says("500")
    site.expect(None)
    assert site.releases() == []


@test
def an_old_version_that_does_not_come_back_needs_a_person(site):
    site.install("1.0", "sick-when:sick")
    plan = site.plan(site.package("2.0", "failing"), health=SHORT)
    run = site.start("run", plan)
    site.wait_event("step.started", step="probe", order="switch")
    (site.roots[0] / "sick").touch()
    run.end(5).says("web1", "1.0 does not become healthy")
    assert site.current() == "1.0" and site.outcome() == "failed"
    (site.roots[0] / "sick").unlink()
    site.run("rollback", site.change())
    site.expect("1.0")


@test
def an_old_version_that_had_died_is_up_again_after_a_rollback(site):
    site.install("1.0")
    os.kill(site.pid(), 15)
    wait_for(lambda: not served(site.ports[0]), "its end")
    site.run("run", site.plan(site.package("2.0", "exit")), status=4)
    site.expect("1.0")


@test
def one_that_dies_once_is_started_again(site):
    site.install("1.0")
    health = [{"http": {"url": "http://127.0.0.1:${vars.port}/"}, "every": "50ms", "healthy_after": 2, "fail_after": 100,
               "deadline": "10s"}]
    run = site.start("run", site.plan(site.package("2.0"), soak="3s", health=health))
    site.wait_event("stage.soaking")
    os.kill(site.pid(), 9)
    run.end(0)
    site.expect("2.0")


@test
def the_user_s_own_commands_start_and_stop_it(site):
    site.install("1.0")
    document = site.document(site.package("2.0"))
    script = site.roots[0] / "shared" / "control"
    script.write_text(f"""#!/bin/sh
case $1 in
start) setsid python3 -B current/bin/service.py --port {site.ports[0]} --style own >shared/own.log 2>&1 & echo $! >shared/own.pid ;;
stop) kill "$(cat shared/own.pid)" && while kill -0 "$(cat shared/own.pid)" 2>/dev/null; do sleep 0.02; done; rm shared/own.pid ;;
status) kill -0 "$(cat shared/own.pid)" ;;
esac
""")
    script.chmod(0o755)
    document["service"]["run"] = {"commands": {w: ["shared/control", w] for w in ("start", "stop", "status")}}
    site.run("run", site.write(document))
    site.expect("2.0", style="own")
    site.run("rollback", site.change())
    site.expect("1.0")
    assert not (site.roots[0] / "shared" / "own.pid").exists()


@test
def hooks_run_and_a_failing_one_is_put_back(site):
    site.install("1.0")
    script = b"#!/bin/sh\necho $0 >>../../shared/hooks\n"
    files = {"hooks/run": script}
    hooks = {when: {"run": ["sh", "hooks/run"]} for when in ("prepare", "before_stop", "after_start", "rollback")}
    site.run("run", site.plan(site.package("2.0", files=files, manifest={"hooks": hooks})))
    site.expect("2.0")
    assert (site.roots[0] / "shared" / "hooks").read_text().count("\n") == 3
    broken = {**hooks, "after_start": {"run": ["sh", "-c", "echo the hook is unwell >&2; exit 3"]}}
    site.run("run", site.plan(site.package("3.0", files=files, manifest={"hooks": broken})),
             status=4).says("hook", "the hook is unwell")
    site.expect("2.0")


main()
