#!/usr/bin/env python3
"""Packages that are not what they should be: refused before anything is unpacked."""
import io
import json
import random
import shutil
import tarfile

from support import main, test, wait_for


def is_refused(site, package, *texts, status=2, **parts):
    """Both `check` and `run` say no, and nothing was touched."""
    plan = site.plan(package, **parts)
    changes = len(site.events())
    site.run("check", plan, status=status).says(*texts)
    site.run("run", plan, status=status).says(*texts)
    site.expect("1.0")
    assert site.releases() == ["1.0"]
    assert status != 2 or len(site.events()) == changes, "an invalid package has opened a change"


def rewrite(package, change):
    """Its members, changed: change(name, bytes) gives the new bytes, or None to leave the member out."""
    out = io.BytesIO()
    with tarfile.open(package) as old, tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as new:
        for member in old:
            data = change(member.name, old.extractfile(member).read())
            if data is not None:
                member.size = len(data)
                new.addfile(member, io.BytesIO(data))
    package.write_bytes(out.getvalue())


@test
def standard_tools_open_a_package(site):
    with tarfile.open(site.package("1.0")) as package:
        names = package.getnames()
        assert names[:2] == ["manifest.json", "signatures.json"] and len(names) == 3, names
        manifest = json.load(package.extractfile("manifest.json"))
    assert (manifest["service"], manifest["version"]) == ("service", "1.0")


@test
def the_same_folder_gives_the_same_bytes(site):
    tree = site.folder / "tree"
    tree.mkdir()
    (tree / "file").write_text("content\n")
    for name in ("a.upk", "b.upk"):
        site.run("pack", tree, "--name", "service", "--version", "1.0", "--key", "release.key", "-o", name)
    assert (site.folder / "a.upk").read_bytes() == (site.folder / "b.upk").read_bytes()


@test
def a_flipped_byte_anywhere_is_found(site):
    site.install("1.0")
    package = site.package("2.0")
    good, chance = package.read_bytes(), random.Random(2)
    spots = sorted({0, 1, 100, 257, 511, 512, len(good) // 2, *chance.sample(range(len(good)), 60)})
    passed = []
    for spot in spots:
        package.write_bytes(good[:spot] + bytes([good[spot] ^ 1 << chance.randrange(8)]) + good[spot + 1:])
        done = site.run("verify", package, "--trust", "release.pub", status=None)
        if done.status == 0:
            passed.append(spot)
        else:
            assert done.status in (2, 3) and str(package.name) in done.err, (spot, str(done))
    assert not passed, f"flipped bytes were not found at {passed}"
    package.write_bytes(good)
    site.run("verify", package, "--trust", "release.pub")


@test
def a_flipped_content_byte_is_not_installed(site):
    site.install("1.0")
    package = site.package("2.0")
    data = bytearray(package.read_bytes())
    at = data.index(b"\x28\xb5\x2f\xfd") + 40  # inside the first zstd frame
    data[at] ^= 0x10
    package.write_bytes(data)
    done = site.run("run", site.plan(package), status=None)
    assert done.status in (2, 3), done
    site.expect("1.0")
    assert site.releases() == ["1.0"]


@test
def a_truncated_package_is_refused(site):
    site.install("1.0")
    good = site.package("2.0").read_bytes()
    for size in (0, 1, 511, 512, 700, 1024, len(good) // 2, len(good) - 1500, len(good) - 10240):
        package = site.folder / f"short-{size}.upk"
        package.write_bytes(good[:max(size, 0)])
        done = site.run("check", site.plan(package), status=None)
        verified = site.run("verify", package, "--trust", "release.pub", status=None)
        assert done.status in (2, 3) and verified.status in (2, 3), (size, str(done), str(verified))
    site.expect("1.0")


@test
def an_unsigned_package_is_refused(site):
    site.install("1.0")
    package = site.package("2.0")
    rewrite(package, lambda name, data: None if name == "signatures.json" else data)
    is_refused(site, package, package.name)
    package = site.package("2.0")
    rewrite(package, lambda name, data: b'{"signatures":[]}' if name == "signatures.json" else data)
    is_refused(site, package, package.name)


@test
def a_stranger_s_package_is_refused(site):
    site.install("1.0")
    is_refused(site, site.package("2.0", keys=["stranger"]), "trust")


@test
def too_few_signatures_are_refused(site):
    site.install("1.0")
    for name in ("second", "third"):
        site.key(name)
    trust = {"package__trust": [str(site.folder / f"{n}.pub") for n in ("release", "second", "third")],
             "package__signatures": 2}
    is_refused(site, site.package("2.0"), "1", "2", **trust)
    is_refused(site, site.package("2.0", keys=["release", "stranger"]), "1", "2", **trust)
    site.run("run", site.plan(site.package("2.0", keys=["third", "release"]), **trust))
    site.expect("2.0")


@test
def one_key_twice_is_one_signature(site):
    site.install("1.0")
    site.key("second")
    package = site.package("2.0")

    def twice(name, data):
        if name != "signatures.json":
            return data
        document = json.loads(data)
        document["signatures"] *= 2
        return json.dumps(document).encode()

    rewrite(package, twice)
    is_refused(site, package, package.name, package__signatures=2,
               package__trust=[str(site.folder / "release.pub"), str(site.folder / "second.pub")])


@test
def another_service_s_package_is_refused(site):
    site.install("1.0")
    is_refused(site, site.package("2.0", name="other"), "of the service other", "service")


@test
def a_missing_package_or_key_is_named(site):
    site.install("1.0")
    is_refused(site, site.folder / "nowhere.upk", "nowhere.upk")
    is_refused(site, site.package("2.0"), "nobody.pub", package__trust=[str(site.folder / "nobody.pub")])


@test
def what_is_no_package_is_refused(site):
    site.install("1.0")
    for name, data in (("text.upk", b"hello\n" * 500), ("noise.upk", random.Random(1).randbytes(20000)),
                       ("folder.upk", None), ("zeros.upk", bytes(20480))):
        path = site.folder / name
        path.mkdir() if data is None else path.write_bytes(data)
        is_refused(site, path, name)


@test
def a_package_swapped_after_the_change_was_opened_is_refused(site):
    site.install("1.0")
    package = site.package("2.0")
    plan = site.plan(package)
    site.run("run", plan, "--prepare-only")
    first = package.read_bytes()
    shutil.copy(site.package("2.0", files={"more": b"more"}), package)
    site.run("run", plan, status=3).says(site.change(), "plan or package was another", "upkeep abort")
    site.expect("1.0")
    package.write_bytes(first)
    site.run("run", plan)
    site.expect("2.0")


@test(hosts=2)
def a_package_swapped_while_a_host_has_still_to_be_prepared_is_refused(site):
    site.install("1.0")
    package = site.package("2.0")
    gate = site.folder / "gate"
    document = site.document(package, preflight=[
        {"name": "gate", "command": {"run": ["sh", "-c", f"touch {gate}.waits; while [ ! -e {gate} ]; do sleep 0.02; done"]}}])
    run = site.start("run", site.write(document))
    wait_for(gate.with_suffix(".waits").exists, "the check of a host")
    shutil.copy(site.package("2.0", files={"more": b"more"}), package)
    gate.touch()
    run.end(3).says("not the package that this change was opened with")
    site.expect("1.0")
    assert site.releases() == ["1.0"]


@test
def what_a_package_asks_for_is_enforced(site):
    site.install("1.0")
    for compatibility, text in (({"architecture": ["s390x"]}, "s390x"),
                                ({"os": [{"id": "plan9"}]}, "plan9"),
                                ({"kernel": ">=99"}, ">=99"),
                                ({"commands": [{"run": ["python3", "--version"], "version": ">=99"}]}, ">=99"),
                                ({"from": ">=5"}, ">=5")):
        is_refused(site, site.package("2.0", manifest={"compatibility": compatibility}), text, status=3)


main()
