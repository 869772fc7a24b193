#!/usr/bin/env python3
"""test_ansible.py PROBE: inventories mean the same to model/ansible as to ansible-inventory itself. TAP.

Compared are hosts, the groups of each (through all parents) and vars; PROBE prints what Upkeep reads. What Upkeep
leaves out on purpose is left out of Ansible's answer first.
"""
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

PROBE = sys.argv[1]
SECONDS = 120

GOOD = {
    "plain.ini": """\
# the smallest thing that has everything
alone
[web]
web[01:03].example http_port=80 name="two words" # comment
web2 http_port=8080
[db]
db-[a:c]
[eu:children]
web
db
[eu:vars]
region = eu
http_port=1
[web:vars]
http_port=2
tls=true
""",
    "values.ini": """\
h1 a=5 b='x y' c="it's" d=a=b e= f=v1.2 g='"quoted"' h=x\\ y i=a#b
h2:2222 ansible_host=10.0.0.2 ansible_user=root
[all:vars]
p="in quotes"   # comment
q=8080 # comment
r=some text # stays
s='single'
t="open
u=True
w=-1.5
x=a, b
""",
    "ranges.ini": """\
n[1:3]
z[008:010]
s[0:10:5]
[a:c].example
m[1:2]x[a:b]
[D:F]up
p[:2]
""",
    "siblings.ini": """\
[b]
h
[a]
h
[c]
h
[a:vars]
x=a
y=a
ansible_group_priority=10
[b:vars]
x=b
y=b
z=b
[c:vars]
z=c
""",
    "depth.ini": """\
[low]
h
[mid:children]
low
[top:children]
mid
low
[low:vars]
a=low
[mid:vars]
a=mid
b=mid
[top:vars]
a=top
b=top
c=top
[all:vars]
a=all
b=all
c=all
d=all
[ungrouped:vars]
e=ungrouped
""",
    "ungrouped.ini": """\
lonely
both
[web]
both
[ungrouped:vars]
u=1
[all:vars]
u=0
""",
    "again.ini": """\
[web]
h x=1 y=1
[db]
h x=2
[web]
other
h z=3
""",
    "tree.yml": """\
all:
  vars: {a: all, b: all}
  hosts:
    alone:
      x: 1
  children:
    eu:
      vars: {b: eu}
      children:
        web:
          hosts:
            web[1:2].example:
              port: 80
              name: "two words"
            odd: {port: 81}
          vars: {c: web}
        db:
          hosts: db1
    us:
      hosts:
        odd:
    empty:
""",
    "flat.yaml": """\
web:
  hosts:
    one:
    two: {quoted: "8080", plain: text, float: 1.5}
db:
  hosts:
    two: {x: y}
  vars:
    list: [1, 2]
    map: {a: b}
""",
}

BAD = {
    "section.ini": "[web\nh\n",
    "kind.ini": "[web:child]\nh\n",
    "assignment.ini": "h port\n",
    "var.ini": "[all:vars]\nport\n",
    "quote.ini": "h a=\"x\n",
    "undefined_vars.ini": "[web:vars]\nx=1\n",
    "undefined_child.ini": "[eu:children]\nweb\n",
    "circle.ini": "[a:children]\nb\n[b:children]\na\n",
    "range.ini": "h[01:100]\n",
    "letters.ini": "h[c:a]\n",
    "list.yml": "- a\n- b\n",
    "hosts.yml": "all:\n  hosts: [a]\n",
}


def random_inventory(seed):
    """Groups within groups, hosts in several of them, and vars everywhere."""
    chance = random.Random(seed)
    groups = [f"g{i}" for i in range(chance.randint(2, 12))]
    lines = [f"free{i} v{chance.randint(0, 5)}={i}" for i in range(2)]
    for i, group in enumerate(groups):
        lines.append(f"[{group}]")
        for _ in range(chance.randint(0, 4)):
            host = f"h{chance.randint(0, 15)}"
            lines.append(" ".join([host] + [f"v{chance.randint(0, 5)}={group}-{host}"
                                            for _ in range(chance.randint(0, 1))]))
        children = chance.sample(groups[i + 1:], min(len(groups) - i - 1, chance.randint(0, 3)))
        if children:
            lines += [f"[{group}:children]", *children]
        lines.append(f"[{group}:vars]")
        lines += [f"v{chance.randint(0, 5)}={group}" for _ in range(chance.randint(0, 3))]
        if chance.random() < 0.3:
            lines.append(f"ansible_group_priority={chance.randint(1, 20)}")
    return "\n".join(lines + ["[all:vars]", "v0=all", "v9=all"]) + "\n"


def ansible(path):
    environment = {**os.environ, "HOME": str(path.parent), "ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED": "1",
                   "ANSIBLE_INVENTORY_ENABLED": "yaml,ini", "ANSIBLE_NOCOLOR": "1", "LC_ALL": "C.UTF-8"}
    done = subprocess.run(["ansible-inventory", "-i", str(path), "--list"], capture_output=True, text=True, check=False,
                          timeout=SECONDS, env=environment, cwd=path.parent)
    return json.loads(done.stdout) if done.returncode == 0 else None


def upkeep(path):
    done = subprocess.run([PROBE, str(path)], capture_output=True, text=True, check=False, timeout=SECONDS)
    assert done.returncode in (0, 1), f"{path.name}: exit {done.returncode}: {done.stderr}"
    assert done.returncode == 0 or path.name in done.stderr, f"{path.name}: {done.stderr}"
    return json.loads(done.stdout) if done.returncode == 0 else None


def names_in(listing, group):
    part = listing.get(group, {})
    found = set(part.get("hosts", []))
    for child in part.get("children", []):
        found |= names_in(listing, child)
    return found


def by_ansible(listing):
    """{host: (groups, vars)} as Upkeep would tell it."""
    groups = [name for name in listing if name not in ("_meta", "all", "ungrouped")]
    hosts = {}
    for host in names_in(listing, "all"):
        own = dict(listing["_meta"]["hostvars"].get(host, {}))
        if "ansible_host" in own:
            own.setdefault("address", own["ansible_host"])
        hosts[host] = (sorted(group for group in groups if host in names_in(listing, group)),
                       {key: str(value) for key, value in own.items()
                        if not key.startswith("ansible_") and not isinstance(value, (list, dict, type(None)))})
    return hosts


def by_upkeep(told):
    return {host["name"]: (host["labels"].get("groups", "").split(",") if host["labels"] else [], host["vars"])
            for host in told["hosts"]}


def same(value):
    """Ansible makes a number of 1.50 and a truth of true."""
    hosts = {}
    for name, (groups, own) in value.items():
        hosts[name] = (groups, {key: text.lower() if text.lower() in ("true", "false") else text
                                for key, text in own.items()})
    return hosts


def compare(path):
    theirs, ours = ansible(path), upkeep(path)
    if theirs is None or ours is None:
        return [f"Ansible {'refuses' if theirs is None else 'takes'} it, Upkeep {'refuses' if ours is None else 'takes'} it"]
    one, other = same(by_ansible(theirs)), same(by_upkeep(ours))
    return [f"{host}: Ansible {one.get(host)}, Upkeep {other.get(host)}"
            for host in sorted({*one, *other}) if one.get(host) != other.get(host)]


def refused(path):
    theirs, ours = ansible(path), upkeep(path)
    return [f"{who} takes it" for who, told in (("Ansible", theirs), ("Upkeep", ours)) if told is not None]


def main():
    cases = [(f"{name} means the same", name, text, compare) for name, text in GOOD.items()]
    cases += [(f"random inventory {seed} means the same", f"random{seed}.ini", random_inventory(seed), compare)
              for seed in range(12)]
    cases += [(f"both refuse {name}", name, text, refused) for name, text in BAD.items()]
    if not shutil.which("ansible-inventory"):
        print("1..1\nok 1 - inventories mean the same # SKIP ansible-inventory is not there (Debian: ansible-core)")
        return 0
    failures = 0
    with tempfile.TemporaryDirectory(prefix="upkeep-test-") as folder, ThreadPoolExecutor(2) as pool:
        for _, name, text, _ in cases:
            (Path(folder) / name).write_text(text)
        results = pool.map(lambda case: case[3](Path(folder) / case[1]), cases)
        for number, (case, complaints) in enumerate(zip(cases, results), 1):
            failures += bool(complaints)
            print(f"{'not ' if complaints else ''}ok {number} - {case[0]}")
            for complaint in complaints:
                print(f"#   {complaint}")
    print(f"1..{len(cases)}")
    return 1 if failures else 0


sys.exit(main())
