#!/usr/bin/env python3
"""Disks that are too small, and disks that fill up half-way: small tmpfs mounts, in a mount namespace of our own."""
import os

from disk import Disk, enter_namespace
from support import contents_of, main, served, test


def on_disk(site, hosts=(0,)):
    """The roots are on one small disk, the restore points on another, the state on a third."""
    roots, store, state = (Disk(site.folder / name) for name in ("roots", "store", "states"))
    for host in hosts:
        site.roots[host] = roots.path / f"web{host + 1}"
    site.state = state.path / "state"
    return roots, store, state


def upgrade(site, store, version, *behaviour, size=300_000, **parts):
    package = site.package(version, *behaviour, files={f"big/{i}": os.urandom(size // 10) for i in range(10)})
    return site.plan(package, restore_point__to=str(store.path), **parts)


ROOMS = (0, 4 << 10, 16 << 10, 64 << 10, 128 << 10, 256 << 10, 400 << 10, 600 << 10)


@test
def too_little_room_for_the_release_is_refused(site):
    roots, store, _ = on_disk(site)
    site.install("1.0", restore_point__to=str(store.path))
    data = site.data()
    plan = upgrade(site, store, "2.0")
    for free in ROOMS[:5]:
        roots.leave(free)
        site.run("check", plan, status=3).says(str(roots.path), "free", "needed")
        done = site.run("run", plan, status=None).says(str(roots.path))
        assert done.status in (1, 3), done
        roots.leave()
        site.expect("1.0", data=data)
        assert site.releases() == ["1.0"]
    site.run("run", plan)
    site.expect("2.0")


@test(hosts=2)
def hosts_that_share_a_disk_need_room_together(site):
    roots, store, _ = on_disk(site, hosts=(0, 1))
    plan = upgrade(site, store, "1.0")
    roots.leave(600 << 10)
    site.run("check", plan, status=3).says("needed", "the hosts before it", "1 ")
    roots.leave(1200 << 10)
    site.run("check", plan)


@test
def too_few_inodes_are_refused(site):
    roots, store, _ = on_disk(site)
    site.install("1.0", restore_point__to=str(store.path))
    plan = upgrade(site, store, "2.0")
    roots.leave(inodes=5)
    site.run("run", plan, status=3).says("inodes")
    roots.leave()
    store.leave(inodes=5)
    site.run("run", plan, status=3).says("inodes")
    store.leave()
    site.expect("1.0")
    site.run("run", plan)
    site.expect("2.0")


@test
def too_little_room_for_the_restore_point_is_refused(site):
    roots, store, _ = on_disk(site)
    site.run("run", upgrade(site, store, "1.0"))
    plan = upgrade(site, store, "2.0")
    for free in ROOMS[:5]:
        store.leave(free)
        site.run("run", plan, status=3).says(str(store.path))
        site.expect("1.0")
    store.leave()
    site.run("run", plan)
    site.expect("2.0")


@test(hosts=3)
def a_disk_that_fills_while_hosts_are_prepared_is_refused(site):
    roots, store, _ = on_disk(site, (0, 1, 2))
    site.install("1.0", restore_point__to=str(store.path))
    before = [site.data(i) for i in range(3)]
    plan = upgrade(site, store, "2.0", size=3_000_000)
    for free in (4_000_000, 6_500_000):
        roots.leave(free)  # enough for each of them, not for all
        site.run("run", plan, status=3).says(str(roots.path) if free < 0 else "web")
        roots.leave()
        site.expect("1.0")
        assert [site.data(i) for i in range(3)] == before and site.releases(0) == ["1.0"]
    site.run("run", plan)
    site.expect("2.0")


def full_at_the_switch(site, disk, others, store, *behaviour):
    """Prepared with plenty of room; then only so much is left when the switch begins."""
    data = site.data()
    for number, free in enumerate(ROOMS):
        old = site.current()
        plan = upgrade(site, store, f"{number + 2}.0", *behaviour)
        site.run("run", plan, "--prepare-only")
        disk.leave(free)
        done = site.run("run", plan, status=None)
        serving = served(site.ports[0])
        disk.leave()
        for other in others:
            other.leave()
        assert serving == f"service {site.current()} plain", f"{free} bytes free: {serving} is served\n{done}"
        if done.status == 1:  # not even the journal could be written: it goes on when there is room
            done = site.run("run", plan, status=None)
        assert done.status in ((3, 4) if behaviour else (0, 3, 4)), f"{free} bytes free\n{done}"
        assert site.current() == (old if done.status else f"{number + 2}.0")
        site.expect(site.current(), data=data)


@test
def a_root_that_is_full_at_the_switch_keeps_serving(site):
    roots, store, state = on_disk(site)
    site.install("1.0", restore_point__to=str(store.path))
    full_at_the_switch(site, roots, (), store)


@test
def a_root_that_is_full_at_a_switch_that_fails_is_put_back(site):
    roots, store, state = on_disk(site)
    site.install("1.0", restore_point__to=str(store.path))
    full_at_the_switch(site, roots, (), store, "migrates", "exit")


@test
def a_store_that_is_full_at_the_switch_keeps_serving(site):
    roots, store, state = on_disk(site)
    site.install("1.0", restore_point__to=str(store.path))
    full_at_the_switch(site, store, (), store)


@test
def a_state_folder_that_is_full_at_the_switch_keeps_serving(site):
    roots, store, state = on_disk(site)
    site.install("1.0", restore_point__to=str(store.path))
    full_at_the_switch(site, state, (), store)


@test
def a_new_version_that_fills_the_disk_is_put_back(site):
    roots, store, _ = on_disk(site)
    site.install("1.0", restore_point__to=str(store.path))
    data = site.data()
    roots.leave(2 << 20)
    plan = upgrade(site, store, "2.0", "fills:shared/data/full")
    site.run("run", plan, status=4)
    site.expect("1.0", data=data)


@test
def a_new_version_that_fills_the_disk_outside_its_data_is_put_back(site):
    roots, store, _ = on_disk(site)
    site.install("1.0", restore_point__to=str(store.path))
    data = site.data()
    roots.leave(2 << 20)
    site.run("run", upgrade(site, store, "2.0", "migrates", "fills:full"), status=None)
    (site.roots[0] / "full").unlink()
    if site.outcome() != "rolled_back":
        site.run("rollback", site.change(), "--restore-data")
    site.expect("1.0", data=data)


@test
def everything_on_one_disk_that_a_new_version_fills_is_put_back(site):
    roots, _, _ = on_disk(site)
    site.state = roots.path / "state"
    site.install("1.0")
    data = site.data()
    roots.leave(3 << 20)
    site.run("run", site.plan(site.package("2.0", "migrates", "fills:full")), status=None)
    (site.roots[0] / "full").unlink()
    if site.outcome() != "rolled_back":
        site.run("rollback", site.change())
    site.expect("1.0", data=data)


@test
def a_service_that_filled_its_own_disk_is_not_stopped(site):
    roots, store, _ = on_disk(site)
    site.install("1.0", restore_point__to=str(store.path))
    data, pid = site.data(), site.pid()
    roots.leave(0)
    site.run("run", upgrade(site, store, "2.0"), status=None).says(str(roots.path))
    assert served(site.ports[0]) == "service 1.0 plain" and site.pid() == pid
    roots.leave()
    site.expect("1.0", data=data)


enter_namespace()
main()
