#!/usr/bin/env python3
"""test_documents.py PROJECT UPKEEP UPKEEPD UPKEEP_AGENT: what the documents say of the programs is what these say. TAP.

The plan's reference has one table for each map of the plan, under a heading with its path; keys and defaults must be
those of `upkeep schema`. Every command has its heading in the reference of commands, and its options stand there; it has a manual page, and bash
completes it. Events and what daemons log stand in the reference of events.
Links from one document to another lead somewhere.
"""
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

NONE, REQUIRED = "—", {"en": "required", "zh": "必填"}


def output_of(program, *words):
    return subprocess.run([program, *words], capture_output=True, text=True, check=True, timeout=30).stdout


def maps_of(schema, path="plan"):
    """{path: schema} of the plan and every map in it."""
    found = {path: schema}
    for key, value in schema["properties"].items():
        inner = value.get("items", value)
        if "properties" in inner:
            found.update(maps_of(inner, key if path == "plan" else f"{path}.{key}"))
    return found


def tables_of(text):
    """{heading: {key: default}} of a document's tables."""
    tables, heading = {}, ""
    for line in text.splitlines():
        if match := re.match(r"#+ (\S+)$", line):
            heading = match[1]
        elif match := re.match(r"\| `(\w+)` \|[^|]*\| ([^|]*) \|", line):
            tables.setdefault(heading, {})[match[1]] = match[2].strip("`")
    return tables


def default_of(schema, key, language):
    if key in schema.get("required", []):
        return REQUIRED[language]
    value = schema["properties"][key].get("default", NONE)
    return str(value).lower() if isinstance(value, bool) else str(value)


def check_plan(schema, text, language):
    tables, complaints = tables_of(text), []
    for path, part in maps_of(schema).items():
        wanted = {key: default_of(part, key, language) for key in part["properties"]}
        found = tables.pop(path, {})
        complaints += [f"{path}.{key}: {wanted.get(key, 'is no key')}, the document says {found.get(key, 'nothing')}"
                       for key in sorted({*wanted, *found}) if wanted.get(key) != found.get(key)]
    return complaints + [f"there is no map {path}" for path in tables]


def verbs_of(program):
    return [re.split(r"\s{2,}", line.strip())[0]
            for line in output_of(program, "help", "--lang", "en").splitlines() if line.startswith("  ")]


def check_commands(program, text, known=()):
    """Of a daemon the heading is “upkeepd serve”, or “trust add” where both have it. `known`: verbs of another program
    that are the same here."""
    complaints, name = [], Path(program).name
    for verb in verbs_of(program):
        if verb in known:
            continue
        part = re.search(rf"^## (?:{name} )?{re.escape(verb)}$(.*?)(?=^## |\Z)", text, re.M | re.S)
        if not part:
            complaints.append(f"{name}: there is no heading “{verb}”")
            continue
        own = output_of(program, *verb.split(), "--help", "--lang", "en").split("Every command takes:")[0]
        complaints += [f"{verb}: says nothing of {option}"
                       for option in re.findall(r"^ +(?:-\w,)? *(--[\w-]+)", own, re.M) if f"`{option}" not in part[1]]
    return complaints


# What looks like an event and is none: keys of a plan, and a file.
NO_EVENTS = {"host.name", "change.json", "package.from", "package.version"}

# Those that serve the terminal, and need no page of their own.
WITHOUT_PAGE = {"help", "version", "completion", "manual"}


def check_pages(program, build):
    listed = re.search(rf"'{Path(program).name}': \[(.*?)\]", build, re.S)[1]
    pages = set(re.findall(r"'([\w -]*)'", listed)) - {""}
    wanted = set(verbs_of(program)) - WITHOUT_PAGE
    return [f"{verb}: {'no page is made of it' if verb in wanted else 'is no command'}" for verb in sorted(wanted ^ pages)]


def check_rendered(program, language):
    """groff understands each page without a word of complaint."""
    complaints = []
    for verb in ["", *verbs_of(program)]:
        page = output_of(program, "manual", *verb.split(), "--lang", language)
        done = subprocess.run(["groff", "-man", "-Tutf8", "-Kutf8", "-ww", "-z"], input=page, capture_output=True,
                              text=True, check=False, timeout=30)
        lines = [line for line in done.stderr.splitlines() if line and "break line" not in line]
        complaints += [f"{Path(program).name} manual {verb}: {line}" for line in lines]
    return complaints


def check_completion(program):
    """bash understands it, and is offered every first word of a command."""
    name = Path(program).name
    script = output_of(program, "completion") + f'COMP_WORDS=({name} ""); COMP_CWORD=1; _{name}; echo "${{COMPREPLY[*]}}"'
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False, timeout=30)
    offered, wanted = set(done.stdout.split()), {verb.split()[0] for verb in verbs_of(program)}
    return done.stderr.splitlines() + [f"{word} is not offered" for word in sorted(wanted - offered)]


def check_events(project, text):
    """Types of events and names of steps, as they stand in the source."""
    source = "".join(path.read_text() for path in sorted((project / "src").rglob("*.c")))
    kinds = "api|batch|change|control|engine|host|order|package|person|rollout|stage|step"
    logged = re.findall(r'log_\w+\(\s*LOG_LEVEL_\w+,\s*"([a-z_.]+)"', source)
    types = {*re.findall(rf'"((?:{kinds})\.[a-z_]+)"', source), *logged}
    tables = re.findall(r"HostStep host_steps_(\w+)\[\] = \{(.*?)\};", source, re.S)
    complaints = [f"says nothing of {kind}" for kind in sorted(types - NO_EVENTS) if f"`{kind}`" not in text]
    for order, rows in tables:
        row = re.search(rf"^\| `{order}` \| (.*) \|$", text, re.M)
        steps = re.findall(r'\{"(\w+)"', rows)
        if not row or re.findall(r"`(\w+)`", row[1]) != steps:
            complaints.append(f"the steps of {order} are {', '.join(steps)}")
    return complaints


def anchors_of(path):
    """What a heading can be linked as."""
    text = re.sub(r"^```.*?^```", "", path.read_text(), flags=re.M | re.S)
    return {re.sub(r"[^\w -]", "", heading.lower()).strip().replace(" ", "-")
            for heading in re.findall(r"^#+ (.*)$", text, re.M)}


def check_links(project):
    complaints = []
    for path in [*project.glob("*.md"), *project.glob("docs/**/*.md")]:
        for target in re.findall(r"\]\(([^)\s]+)\)", path.read_text()):
            if re.match(r"[a-z]+:", target):
                continue
            name, _, anchor = target.partition("#")
            there = (path.parent / name).resolve() if name else path
            if not there.exists():
                complaints.append(f"{path.relative_to(project)}: {target} is not there")
            elif anchor and anchor not in anchors_of(there):
                complaints.append(f"{path.relative_to(project)}: {target}: no such heading")
    return complaints


def main():
    project, program, programs = Path(sys.argv[1]), sys.argv[2], sys.argv[2:]
    printed, number, failures = output_of(program, "schema"), 0, 0

    def case(name, complaints):
        nonlocal number, failures
        number, failures = number + 1, failures + bool(complaints)
        print(f"{'not ' if complaints else ''}ok {number} - {name}")
        for complaint in complaints:
            print(f"#   {complaint}")

    for language, docs in (("en", project / "docs"), ("zh", project / "docs" / "zh")):
        published = docs / "reference" / "plan.schema.json"
        if language == "en":
            case("the published schema of a plan is what the program prints",
                 [] if published.read_text() == printed else ["upkeep schema > docs/reference/plan.schema.json"])
        case(f"the reference of the plan is true ({language})",
             check_plan(json.loads(printed), (docs / "reference" / "plan.md").read_text(), language))
        case(f"the reference of commands names every command and option ({language})",
             [complaint for each in programs
              for complaint in check_commands(each, (docs / "reference" / "commands.md").read_text(),
                                              () if each == program else verbs_of(program))])
        case(f"the reference of events names every event and step ({language})",
             check_events(project, (docs / "reference" / "events.md").read_text()))
    case("links lead somewhere", check_links(project))
    pages = (project / "docs/manual/meson.build").read_text()
    case("every command has a manual page", [complaint for each in programs for complaint in check_pages(each, pages)])
    case("bash completes every command", [complaint for each in programs for complaint in check_completion(each)])
    for language in ("en", "zh"):
        name = f"manual pages are well formed ({language})"
        if shutil.which("groff"):
            case(name, [complaint for each in programs for complaint in check_rendered(each, language)])
        else:
            number += 1
            print(f"ok {number} - {name} # SKIP groff is not there")
    print(f"1..{number}")
    return 1 if failures else 0


sys.exit(main())
