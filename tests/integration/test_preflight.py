#!/usr/bin/env python3
"""What is wrong before anything begins is refused (exit 3), and nothing is touched."""
import os
import socket
import sys

from support import SERVICE, Skip, main, served, test


def is_refused(site, plan, *texts):
    """`check` and `run` both say no; the old version never noticed."""
    pid, data = site.pid(), site.data()
    site.run("check", plan, status=3).says(*texts)
    site.run("run", plan, status=3).says(*texts)
    site.expect("1.0", data=data)
    assert site.pid() == pid and site.releases() == ["1.0"]
    assert site.outcome() == "refused"


@test
def a_downgrade_is_refused_unless_asked(site):
    site.install("2.0")
    plan = site.plan(site.package("1.0"))
    site.run("run", plan, status=3).says("1.0 is lower than 2.0", "downgrade: true")
    site.expect("2.0")
    site.run("run", site.plan(site.package("1.0"), package__downgrade=True))
    site.expect("1.0")


@test
def a_version_out_of_the_from_range_is_refused(site):
    site.install("1.0")
    is_refused(site, site.plan(site.package("2.0"), package__from=">=1.5 <2"), "1.0 is installed", ">=1.5 <2")
    site.run("run", site.plan(site.package("2.0"), package__from=">=1 <2"))
    site.expect("2.0")


@test
def a_release_that_was_changed_by_hand_is_refused(site):
    site.install("1.0")
    file = site.roots[0] / "releases" / "1.0" / "version"
    os.chmod(file, 0o644)
    file.write_text("1.0 hot fix\n")
    plan = site.plan(site.package("2.0"))
    done = site.run("run", plan, status=3).says("1 differences", "version", "shared/")
    assert served(site.ports[0]) and site.releases() == ["1.0"], done
    file.write_text("1.0\n")
    (site.roots[0] / "releases" / "1.0" / "bin" / "extra").touch()
    site.run("check", plan, status=3).says("bin/extra")
    (site.roots[0] / "releases" / "1.0" / "bin" / "extra").unlink()
    (site.roots[0] / "releases" / "1.0" / "link").unlink()
    site.run("check", plan, status=3).says("link")


@test
def a_user_or_a_program_that_is_not_there_is_refused_before_anything_stops(site):
    site.install("1.0")
    plan = site.plan(site.package("2.0"), service__user="nobdy-at-all")
    site.run("check", plan, status=3).says("nobdy-at-all")
    is_refused(site, plan, "nobdy-at-all")
    for program, where in (("no-such-program", "not on this host"), ("current/bin/missing", "not in the package"),
                           ("/no/such/program", "not on this host")):
        document = site.document(site.package("2.0"))
        document["service"]["run"]["process"]["command"][0] = program
        is_refused(site, site.write(document), program, where)
    site.expect("1.0")


@test
def a_program_that_comes_with_the_package_by_another_way_is_not_missed(site):
    site.install("1.0")
    package = site.package("2.0", files={"app/run.py": SERVICE.read_bytes()})
    for program in (f"{site.roots[0]}/current/app/run.py", "current/./app/run.py", f"{sys.executable}"):
        document = site.document(package)
        document["service"]["run"]["process"]["command"][0] = program
        site.run("check", site.write(document))
    document["service"]["run"]["process"]["command"][0] = f"{site.roots[0]}/current/app/other.py"
    site.run("check", site.write(document), status=3).says("not in the package")


@test
def a_release_nobody_installed_is_refused(site):
    root = site.roots[0]
    (root / "releases" / "0.9" / "bin").mkdir(parents=True)
    (root / "current").symlink_to("releases/0.9")
    for verb in ("check", "run"):
        site.run(verb, site.plan(site.package("1.0")), status=3).says("0.9", "not installed by Upkeep")
    assert site.current() == "0.9" and site.releases() == ["0.9"]


@test
def a_current_that_is_no_link_needs_a_person(site):
    (site.roots[0] / "current").mkdir(parents=True)
    for verb in ("check", "run"):
        site.run(verb, site.plan(site.package("1.0")), status=5).says("not a link")
    assert (site.roots[0] / "current").is_dir()


@test
def each_check_of_the_plan_can_refuse(site):
    site.install("1.0")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        closed = taken.getsockname()[1]
        package = site.package("2.0")
        for check, text in (
                ({"cpu": {"cores": 60000}}, "60000"),
                ({"memory": {"free": "900TiB"}}, "900"),
                ({"disk": {"path": "/", "free": "9000TiB"}}, "8.8 PiB needed"),
                ({"os": {"id": "plan9"}}, "plan9"),
                ({"kernel": {"version": ">=99"}}, ">=99"),
                ({"command": {"run": ["false"]}}, "false"),
                ({"command": {"run": ["no-such-command"]}}, "no-such-command"),
                ({"command": {"run": ["sleep", "30"], "timeout": "100ms"}}, "sleep"),
                ({"tcp": {"address": f"127.0.0.1:{closed}", "timeout": "1s"}}, str(closed)),
                ({"http": {"url": f"http://127.0.0.1:{closed}/", "timeout": "1s"}}, str(closed)),
                ({"tls": {"address": f"127.0.0.1:{closed}", "timeout": "1s"}}, str(closed))):
            site.run("check", site.plan(package, preflight=[check]), status=3).says(text)
        is_refused(site, site.plan(package, preflight=[{"name": "enough cores", "cpu": {"cores": 60000}}]), "60000")
        site.run("check", site.plan(package, preflight=[{"cpu": {"cores": 1}}, {"memory": {"free": "1%"}},
                                                        {"kernel": {"version": ">=3"}}]))


@test
def a_taken_port_is_refused_but_not_the_service_s_own(site):
    site.install("1.0")
    package = site.package("2.0")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        is_refused(site, site.plan(package, preflight=[{"port_free": {"port": port}}]), port)
    site.run("run", site.plan(package, preflight=[{"port_free": {"port": "${vars.port}"}}]))
    site.expect("2.0")


def as_nobody(site):
    """A wrapper for the program without root's power over permissions."""
    if os.geteuid() != 0:
        return ()
    for folder in [site.folder, *site.folder.rglob("*")]:
        if not folder.is_symlink():
            os.chown(folder, 65534, 65534)
    return "setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"


@test
def a_root_that_cannot_be_written_is_refused(site):
    plan = site.plan(site.package("1.0"))
    site.roots[0].mkdir()
    site.roots[0].chmod(0o555)
    before = as_nobody(site)
    done = site.run("run", plan, status=None, before=before).says(str(site.roots[0]))
    assert done.status in (1, 3) and not list(site.roots[0].iterdir()), done


@test
def a_store_that_cannot_be_written_is_refused(site):
    plan = site.plan(site.package("1.0"))
    before = as_nobody(site)
    site.run("run", plan, before=before)
    store = site.folder / "locked"
    store.mkdir()
    plan = site.plan(site.package("2.0"), restore_point__to=str(store))
    before = as_nobody(site)
    if not before:
        raise Skip("this needs root, to be nobody")
    os.chown(store, 0, 0)
    done = site.run("run", plan, status=None, before=before).says(str(store))
    assert done.status in (1, 3), done
    assert site.current() == "1.0" and served(site.ports[0]) == "service 1.0 plain"


@test
def a_state_folder_that_cannot_be_written_is_said(site):
    plan = site.plan(site.package("1.0"))
    site.state.mkdir()
    before = as_nobody(site)
    site.state.chmod(0o555)
    if not before:
        raise Skip("this needs root, to be nobody")
    os.chown(site.state, 0, 0)
    site.run("run", plan, status=1, before=before).says(str(site.state))
    assert not site.roots[0].exists()


@test
def a_log_that_cannot_be_written_is_rolled_back(site):
    site.install("1.0")
    data = site.data()
    document = site.document(site.package("2.0"))
    (site.roots[0] / "shared" / "full").mkdir()
    document["service"]["run"]["process"]["log"] = "shared/full"  # a folder is no log
    done = site.run("run", site.write(document), status=None).says("shared/full")
    assert done.status in (3, 4), done
    site.expect("1.0", data=data)


@test
def data_behind_a_link_is_refused(site):
    site.install("1.0")
    (site.folder / "outside").mkdir()
    (site.roots[0] / "shared" / "more").symlink_to(site.folder / "outside")
    plan = site.plan(site.package("2.0"), service__data=["shared/data", "shared/more"])
    done = site.run("run", plan, status=None).says("shared/more")
    assert done.status in (3, 4) and served(site.ports[0]) == "service 1.0 plain", done
    site.expect("1.0")


main()
