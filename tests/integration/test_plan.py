#!/usr/bin/env python3
"""Plans with mistakes: each is named with its line and column, nothing is touched, and the exit status is 2."""
import json

from support import main, test

PLAN = """\
upkeep: 1
service:
  name: service
  root: {root}
  run:
    process:
      command: [python3, current/bin/service.py, --port, "${{vars.port}}"]
package:
  file: {package}
  trust: [release.pub]
hosts:
  - name: web1
    vars: {{port: "{port}"}}
health:
  - http: {{url: "http://127.0.0.1:${{vars.port}}/"}}
"""


def write(site, *changes):
    """The plan above, with each (old, new) replaced; a new one that begins with "+" is put behind."""
    text = PLAN.format(root=site.roots[0], package=site.folder / "p.upk", port=site.ports[0])
    if not (site.folder / "p.upk").exists():
        site.package("1.0", file="p.upk")
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, old + new[1:] if new.startswith("+") else new, 1)
    return site.write(text)


def is_invalid(site, plan, *texts):
    for verb in ("check", "show", "run"):
        site.run(verb, plan, status=2).says(plan.name, *texts)
    assert not site.state.exists() and not site.roots[0].exists(), "something was touched"


@test
def one_place_has_one_name(site):
    (site.folder / "plans").mkdir()
    document = site.document(site.package("1.0"))
    document["hosts"] = [{"name": "a", "root": "../here/a", "vars": {"port": "1"}},
                         {"name": "b", "root": ".././here/../here/a", "vars": {"port": "2"}}]
    document["hosts"] = document["hosts"][:1]
    plan = site.write(document, "plans/p.yaml")
    site.run("show", plan).says(f"{site.folder}/here/a").is_silent_on("..")


@test
def half_a_command_names_its_whole_ones(site):
    site.run("journal", status=2).says("journal verify", "journal show", "journal export").is_silent_on("unknown")
    site.run("journal", "--help").says("journal verify")


@test
def the_smallest_plan_works(site):
    site.run("check", write(site))
    site.run("run", write(site, ("health:\n", "+  - {{every: 50ms, http: {{url: \"http://127.0.0.1:{}/\"}}, name: quick}}\n"
                                 .format(site.ports[0]).replace("{{", "{").replace("}}", "}")),
                          ("upkeep: 1\n", "+rollout: {stages: [{name: all, soak: 100ms}]}\n")))
    site.expect("1.0")


@test
def an_unknown_key_is_named_with_the_nearest(site):
    is_invalid(site, write(site, ("  trust: [release.pub]", "  trsut: [release.pub]")), ":10:3", "trsut", "trust")
    is_invalid(site, write(site, ("upkeep: 1\n", "+helth: []\n")), ":2:1", "helth", "health")
    is_invalid(site, write(site, ("      command:", "      comand:")), ":7:7", "comand", "command")
    is_invalid(site, write(site, ("health:\n", "+  - {tcp: {adress: x}}\n")), "adress", "address")


@test
def a_wrong_type_is_named(site):
    is_invalid(site, write(site, ("upkeep: 1", "upkeep: one")), ":1:9", "upkeep")
    is_invalid(site, write(site, ("trust: [release.pub]", "trust: release.pub")), ":10:10", "trust")
    is_invalid(site, write(site, ("  name: service", "  name: [service]")), ":3:9", "name")
    is_invalid(site, write(site, ("hosts:\n", "hosts: web1\nx:\n")), ":11:8", "hosts")
    is_invalid(site, write(site, ("health:\n", "+  - {every: soon, tcp: {address: \"a:1\"}}\n")), "soon", "every")
    is_invalid(site, write(site, ("upkeep: 1\n", "+on_failure: explode\n")), "explode", "rollback")
    is_invalid(site, write(site, ("upkeep: 1", "upkeep: 2")), "upkeep")


@test
def a_duplicate_key_is_refused(site):
    is_invalid(site, write(site, ("upkeep: 1\n", "+upkeep: 1\n")), ":2:1", "upkeep")
    is_invalid(site, write(site, ("  name: service\n", "+  name: other\n")), ":4:3", "name")


@test
def aliases_and_tags_are_refused(site):
    is_invalid(site, write(site, ("name: service", "name: &n service"), ("name: web1", "name: *n")), ":3:9", "anchors")
    is_invalid(site, write(site, ("name: service", "name: !!str service")), ":3", "tag")
    is_invalid(site, write(site, ("name: service", "name: !local service")), ":3", "tag")


@test
def what_is_no_yaml_is_refused(site):
    is_invalid(site, site.write("upkeep: [1\n"), ":")
    is_invalid(site, site.write(""), "")
    is_invalid(site, site.write("- a list\n"), "")
    is_invalid(site, site.write("upkeep: 1\n---\nupkeep: 1\n"), "")
    is_invalid(site, site.write("[" * 5000), "")
    is_invalid(site, site.write("a: " * 3000), "")
    path = site.folder / "bytes.yaml"
    path.write_bytes(b"upkeep: \xff\xfe1\n")
    is_invalid(site, path)
    path.write_bytes(b"upkeep: 1\n" + b"# long\n" * 200_000)
    is_invalid(site, path)


@test
def a_missing_file_is_named(site):
    site.run("run", site.folder / "nowhere.yaml", status=2).says("nowhere.yaml")
    site.run("run", site.folder, status=2).says(site.folder.name)
    site.run("run", status=2).says("PLAN", "--help")


@test
def a_missing_key_is_named(site):
    is_invalid(site, write(site, ("  name: service\n", "")), "name")
    text = write(site).read_text()
    is_invalid(site, site.write(text[:text.index("health:")]), "health")
    is_invalid(site, site.write(text[:text.index("health:")] + "health: []\n"), "health")
    is_invalid(site, write(site, ("hosts:\n  - name: web1\n", "hosts: []\nx:\n  - name: web1\n")), "hosts")
    is_invalid(site, write(site, (f"  root: {site.roots[0]}\n", "")), "web1", "root")


@test
def a_missing_variable_is_named(site):
    is_invalid(site, write(site, ("vars: {", "labels: {")), "web1", "vars.port")
    is_invalid(site, write(site, ("command: [python3", "command: [\"${host.nmae}\"")), "host.nmae")
    is_invalid(site, write(site, ("command: [python3", "command: [\"${vars.port\"")), "${")


@test
def a_host_twice_is_refused(site):
    is_invalid(site, write(site, ("hosts:\n", "+  - {name: web1, root: /srv/other, vars: {port: \"1\"}}\n")), "web1",
               "twice")


@test
def two_hosts_with_one_root_are_refused(site):
    is_invalid(site, write(site, ("hosts:\n", "+  - {name: web2, vars: {port: \"1\"}}\n")), "web1", "web2", "same root")
    is_invalid(site, write(site, ("hosts:\n", f"+  - {{name: web2, root: \"{site.roots[0]}/\", vars: {{port: \"1\"}}}}\n")),
               "same root")
    is_invalid(site, write(site, ("hosts:\n", f"+  - {{name: web2, root: {site.folder}/x/../web1, vars: {{port: \"1\"}}}}\n")),
               "root")


@test
def a_stage_that_selects_nobody_is_refused(site):
    is_invalid(site, write(site, ("upkeep: 1\n", "+rollout: {stages: [{name: east, select: {region: east}}]}\n")),
               "east", "no host")
    is_invalid(site, write(site, ("upkeep: 1\n", "+rollout: {stages: [{name: a}, {name: b}]}\n")), "b", "no host")
    is_invalid(site, write(site, ("upkeep: 1\n", "+rollout: {stages: [{name: a}, {name: a}]}\n")), "a", "twice")


@test
def hosts_that_a_controller_would_select_are_refused(site):
    is_invalid(site, write(site, ("  - name: web1\n", "  - select: {role: web}\n")), "controller's inventory", "--server")
    is_invalid(site, write(site, ("  - name: web1\n", "  - name: web1\n    select: {role: web}\n")), "name, select")


@test
def a_soak_that_reaches_the_confirm_deadline_is_refused(site):
    is_invalid(site, write(site, ("upkeep: 1\n",
                                  "+rollout: {confirm_deadline: 10m, stages: [{name: all, soak: 10m}]}\n")),
               "all", "confirm_deadline")


@test
def probes_that_cannot_pass_are_refused(site):
    is_invalid(site, write(site, ("health:\n", "+  - {tcp: {address: \"a:1\"}, every: 1s, healthy_after: 9, deadline: 5s}\n")),
               "deadline")
    is_invalid(site, write(site, ("health:\n", "+  - {tcp: {address: \"a:1\"}, http: {url: \"http://a/\"}}\n")), "tcp", "http")
    is_invalid(site, write(site, ("http://127.0.0.1", "ftp://127.0.0.1")), "http://")
    is_invalid(site, write(site, ("health:\n", "+  - {name: nothing}\n")), "http")


@test
def paths_that_leave_the_root_are_refused(site):
    for path in ("../x", "/etc", "shared/../../x", "current/data", "releases", ".upkeep/x", ""):
        is_invalid(site, write(site, ("  name: service\n", f"+  data: [\"{path}\"]\n")), "service.data")
    is_invalid(site, write(site, (str(site.roots[0]), "/")), "root")


@test
def numbers_out_of_bounds_are_refused(site):
    for key, value in (("keep_releases", "0"), ("keep_releases", "99999999999999999999"), ("keep_releases", "-1"),
                       ("keep_releases", "1.5")):
        is_invalid(site, write(site, ("  name: service\n", f"+  {key}: {value}\n")), ":4:", key)
    is_invalid(site, write(site, ("upkeep: 1\n", "+rollout: {max_unavailable: 0}\n")), "max_unavailable")
    is_invalid(site, write(site, ("upkeep: 1\n", "+rollout: {max_unavailable: 150%}\n")), "150%")


@test
def mistakes_are_told_in_chinese(site):
    plan = write(site, ("  trust: [release.pub]", "  trsut: [release.pub]"))
    done = site.run("check", plan, "--lang", "zh", status=2).says("trsut", "trust", ":10:3")
    assert any("\u4e00" <= c <= "\u9fff" for c in done.err), done


@test
def mistakes_are_told_in_json(site):
    plan = write(site, ("  trust: [release.pub]", "  trsut: [release.pub]"))
    result = site.run("check", plan, "--json", status=2).result
    assert result["outcome"] == "refused" and "trsut" in result["error"], json.dumps(result)


STAGES = ("upkeep: 1\n", "+rollout: {max_unavailable: 10%, confirm_deadline: 1h, stages: [{name: pilot, hosts: 1, soak: 10m}, "
                        "{name: rest, soak: 5m}]}\n")


def staged(site):
    """A plan of three hosts in two stages, whose package is not there."""
    plan = write(site, STAGES, ("  - name: web1\n", "+    root: /srv/web1\n"),
                 ("    vars: {port: \"%d\"}\n" % site.ports[0],
                  "+" + "".join(f"  - {{name: web{i}, root: /srv/web{i}, vars: {{port: \"{i}\"}}}}\n" for i in (2, 3))))
    (site.folder / "p.upk").unlink()
    return plan


@test
def a_plan_is_simulated_without_its_package(site):
    plan = staged(site)
    done = site.run("simulate", plan)
    done.says("10 min", "If all goes well", "stage pilot", "If the new version were bad", "stops at web1", "1 of 3")
    assert any("\u4e00" <= c <= "\u9fff" for c in site.run("simulate", plan, "--lang", "zh").out)
    assert site.run("simulate", plan).out == done.out
    assert not site.state.exists() and not site.roots[0].exists(), "something was touched"


@test
def a_simulation_is_told_in_json(site):
    done = site.run("simulate", staged(site), "--json", "--hosts", "200", "--seeds", "2", "--prepare", "1h", "--switch", "30s")
    rows = [json.loads(line) for line in done.out.splitlines()]
    good, start, later, one, result = rows
    assert [row.get("bad") for row in rows] == [None, "from_start", "later", "one_host", None], rows
    assert good["hosts"] == 200 and [stage["hosts"] for stage in good["stages"]] == [1, 199], good
    assert 48 * 60000 <= good["prepare_ms"]["least"] <= 73 * 60000, good
    assert all(stage["duration_ms"]["least"] >= stage["soak_ms"] for stage in good["stages"]), good
    assert start["host"] == "web1" and start["touched"]["most"] == 1 and start["outcome"] == "rolled_back", start
    assert later["stopped_ms"]["median"] < start["stopped_ms"]["median"] and later["touched"]["most"] == 1, later
    assert one["unnoticed"] == 0 and one["left"]["most"] == 0, one
    assert result == {"type": "result", "outcome": "succeeded", "exit": 0}, result


@test
def a_plan_that_undoes_itself_is_refused_by_its_simulation(site):
    plan = write(site, ("upkeep: 1\n", "+rollout: {confirm_deadline: 2m, stages: [{name: all, batch: 100%, soak: 30s}]}\n"))
    site.run("simulate", plan, "--hosts", "50", status=3).says("even a good version", "confirm_deadline")
    site.run("simulate", plan, "--hosts", "0", status=2).says("--hosts", "1000000")
    site.run("simulate", plan, "--switch", "soon", status=2).says("--switch", "soon")


@test
def a_simulation_tells_which_bad_hosts_would_be_left_out(site):
    plan = write(site, ("upkeep: 1\n", "+rollout: {max_unavailable: 4, stages: [{name: all, soak: 30s, max_failed: 5%}]}\n"))
    one = [json.loads(line) for line in site.run("simulate", plan, "--hosts", "20", "--json").out.splitlines()][3]
    assert one["bad"] == "one_host" and one["unnoticed"] == 0 and one["left_out"] == 5, one
    site.run("simulate", plan, "--hosts", "20").says("left out and put back in 5 of 5 rollouts", "stops")
    site.run("simulate", plan, "--hosts", "19").is_silent_on("left out")  # 5% of 19 is nobody


@test
def the_command_line_is_checked(site):
    site.run("frobnicate", status=2).says("frobnicate", "upkeep help")
    site.run("run", "a", "b", status=2).says("b")
    site.run("run", "a", "--frobnicate", status=2).says("--frobnicate")
    site.run("list", "--lang", "xx", status=2).says("zh", "en")
    site.run("list", status=2).says("no journal", "--state")


main()
