"""Rules about layers and style. A rule takes a Source and gives back its complaints, each "path:line: why"."""
import re

from source import code_of, functions, line_of

FUNCTION_LINES_GOOD, FUNCTION_LINES_MAX, FILE_LINES_MAX = 70, 100, 700

# A seam and its drivers: none of them may name another.
SEAMS = {
    "src/engine/host_link_": ["imagined", "local", "remote"],
    "src/host/service/service_": ["commands", "process", "systemd"],
    "src/journal/journal_": ["memory", "remote", "sqlite"],
    "src/host/traffic/traffic_": ["commands", "haproxy", "nginx"],
}

# Where each library may be included; everybody else goes through the room that wraps it.
LIBRARY_HOMES = {
    r"argon2": ["src/trust/password.c"],
    r"archive": ["src/package/"],
    r"curl/": ["src/wire/"],
    r"microhttpd": ["src/wire/"],
    r"openssl/ssl": ["src/host/check/check_tls", "src/wire/"],
    r"openssl/": ["src/base/base64.c", "src/base/digest.c", "src/host/check/check_tls", "src/trust/", "src/wire/"],
    r"sqlite3": ["src/journal/"],
    r"yaml": ["src/base/node.c"],
    r"z(std|dict|std_errors)\.h": ["src/host/restore_point/", "src/package/"],
}

# All that model/ may see: headers without I/O, randomness or threads (of base/clock.h only the texts: see below).
MODEL_SYSTEM = {"assert.h", "ctype.h", "errno.h", "inttypes.h", "jansson.h", "limits.h", "regex.h", "signal.h", "stdalign.h", "stdarg.h",
                "stdbool.h", "stddef.h", "stdint.h", "stdlib.h", "string.h"}
MODEL_BASE = {"arena", "base64", "buffer", "cleanup", "clock", "digest", "error", "json", "node", "quantity", "text",
              "text_index", "text_map"}
MODEL_CALLS_FORBIDDEN = ["getenv", "time", "clock_gettime", "rand", "random", "json_load_file", "json_dump_file",
                         "json_loadfd", "json_dumpfd", "kill", "raise", "sigaction", "clock_system", "clock_sleep_ms",
                         "clock_wall_ms", "clock_steady_ms"]

FORBIDDEN = {
    "alloca": "bound it, or use an arena",
    "asctime": "clock_to_text", "ctime": "clock_to_text", "gmtime": "gmtime_r", "localtime": "localtime_r",
    "atof": "strtod, checked", "atoi": "strtoll, checked", "atol": "strtoll, checked", "atoll": "strtoll, checked",
    "gets": "fgets", "longjmp": "return an error", "setjmp": "return an error",
    "mktemp": "O_TMPFILE or O_EXCL", "tempnam": "O_TMPFILE or O_EXCL", "tmpnam": "O_TMPFILE or O_EXCL",
    "popen": "process_run", "system": "process_run",
    "rand": "random_bytes", "srand": "random_bytes",
    "sprintf": "snprintf", "vsprintf": "vsnprintf",
    "strcat": "Buffer", "strcpy": "memcpy or arena_strdup", "strncpy": "memcpy or arena_strndup",
    "strerror": "error_errno", "strtok": "strsep",
}
PRINTING = ["printf", "vprintf", "puts", "putchar", "perror", "fputs", "fprintf", "fwrite"]
PRINTERS = r"src/(cli|report)/|src/[^/]+\.c$"


def floors(source):
    """The order of the floors, highest first, as CONTRIBUTING.md draws it."""
    return re.findall(r"^    src/(\w+)/", source.text("CONTRIBUTING.md"), re.M)


def floor_of(path):
    parts = path.split("/")
    return parts[1] if len(parts) > 2 and parts[0] == "src" else None


def layers(source):
    order, complaints = floors(source), []
    for path in source.paths(r"src/.*\.[ch]$"):
        here = floor_of(path)
        if here is not None and here not in order:
            complaints.append(f"{path}:1: the floor {here} is not drawn in CONTRIBUTING.md")
            continue
        for line, name, is_system in source.includes(path):
            there = name.split("/")[0]
            if is_system:
                continue
            if there not in order:
                complaints.append(f"{path}:{line}: \"{name}\" names no floor (write \"floor/file.h\")")
            elif here is not None and order.index(there) < order.index(here):
                complaints.append(f"{path}:{line}: {here}/ may not use {there}/, which stands above it")
    return complaints


def rooms(source):
    """A room within a floor knows neither its siblings nor the hall: only itself and the floors below."""
    complaints = []
    for path in source.paths(r"src/\w+/\w+/.*\.[ch]$"):
        room = path.rsplit("/", 1)[0].removeprefix("src/")
        for line, name, is_system in source.includes(path):
            if not is_system and name.split("/")[0] == room.split("/")[0] and name.rsplit("/", 1)[0] != room:
                complaints.append(f'{path}:{line}: {room}/ may not use "{name}", which is out of its room')
    return complaints


def circles(source):
    graph = {p: ["src/" + n for _, n, system in source.includes(p) if not system] for p in source.paths(r"src/.*\.h$")}
    complaints, done = [], set()

    def visit(path, trail):
        if path in trail:
            complaints.append(f"{path}:1: includes itself: {' → '.join(trail[trail.index(path):] + [path])}")
        elif path not in done:
            for following in graph.get(path, []):
                visit(following, trail + [path])
            done.add(path)
    for path in graph:
        visit(path, [])
    return complaints


def drivers(source):
    complaints = []
    for seam, names in SEAMS.items():
        for name in names:
            others = "|".join(re.escape(seam.split("/")[-1] + other) for other in names if other != name)
            for path in source.paths(re.escape(seam + name) + r"\.[ch]$"):
                text = source.text(path)
                for match in re.finditer(rf"\b({others})\w*", code_of(text, keep_strings=True)):
                    complaints.append(f"{path}:{line_of(text, match.start())}: a driver names another ({match[0]})")
    return complaints


def libraries(source):
    complaints = []
    for path in source.paths(r"src/.*\.[ch]$"):
        for line, name, is_system in source.includes(path):
            homes = next((h for library, h in LIBRARY_HOMES.items() if re.match(library, name)), None)
            if is_system and homes and not any(path.startswith(home) for home in homes):
                complaints.append(f"{path}:{line}: <{name}> is included only in {', '.join(homes)}")
    return complaints


def pure_model(source):
    complaints = []
    for path in source.paths(r"src/model/.*\.[ch]$"):
        for line, name, is_system in source.includes(path):
            if is_system and name not in MODEL_SYSTEM:
                complaints.append(f"{path}:{line}: model/ is pure: no <{name}>")
            if not is_system and name.startswith("base/") and name[5:-2] not in MODEL_BASE:
                complaints.append(f"{path}:{line}: model/ is pure: no {name}")
        complaints += forbidden_calls(source, path, dict.fromkeys(MODEL_CALLS_FORBIDDEN, "an argument"))
    return complaints


def forbidden_calls(source, path, names):
    code, complaints = code_of(source.text(path)), []
    for match in re.finditer(rf"(?<![\w.>])({'|'.join(names)})\s*\(", code):
        complaints.append(f"{path}:{line_of(code, match.start())}: no {match[1]}(): {names[match[1]]}")
    return complaints


def calls(source):
    complaints = []
    for path in source.paths(r"(src|tests/unit)/.*\.[ch]$"):
        complaints += forbidden_calls(source, path, FORBIDDEN)
    for path in source.paths(r"src/.*\.[ch]$"):
        if not re.match(PRINTERS, path):
            complaints += forbidden_calls(source, path, dict.fromkeys(PRINTING, "only cli/ and report/ print"))
    return complaints


def long_functions(source):
    """Not a rule: what could be shorter, for the eye."""
    return [f"{path}:{line}: {name} has {count} lines" for path in source.paths(r"src/.*\.c$")
            for line, name, count in functions(source.text(path)) if count > FUNCTION_LINES_GOOD]


def sizes(source):
    complaints = []
    for path in source.paths(r"(src|tests)/.*\.[ch]$"):
        count = source.text(path).count("\n")
        if count > FILE_LINES_MAX:
            complaints.append(f"{path}:1: {count} lines are asking to be two files (at most {FILE_LINES_MAX})")
        for line, name, length in functions(source.text(path)):
            if length > FUNCTION_LINES_MAX:
                complaints.append(f"{path}:{line}: {name} has {length} lines (at most {FUNCTION_LINES_MAX})")
    return complaints


def headers(source):
    complaints = []
    for path in source.paths(r"src/.*\.h$"):
        text = source.text(path)
        if not re.match(r"/\* [A-Z][^\n]{20}", text):
            complaints.append(f"{path}:1: a header opens with its manual: /* Noun: what it is and how it is used. */")
        if "#pragma once" not in text:
            complaints.append(f"{path}:1: no #pragma once")
    return complaints


def tested(source):
    """Every module below cli/ is included by a unit test: its own header, or the one it is a part of (check.h for
    check_tls.h). cli/ is tested from outside, by the integration tests."""
    seen = {"src/" + name[:-2] for path in source.paths(r"tests/(unit|support)/.*\.[ch]$")
            for _, name, _ in source.includes(path)}
    complaints = []
    for path in source.paths(r"src/(?!cli/).*/.*\.h$"):
        words = path[:-2].split("_")
        wholes = {"_".join(words[:count]) for count in range(1, len(words) + 1)}
        if path[:-1] + "c" in source.files and not wholes & seen:
            complaints.append(f"{path}:1: no test in tests/unit includes it")
    return complaints


def unfinished(source):
    complaints = []
    for path in source.paths(r"(src|tests|docs)/|[^/]*\.md$"):
        for match in re.finditer(r"\b(TODO|FIXME|XXX|HACK|not implemented|unimplemented)\b", source.text(path)):
            complaints.append(f"{path}:{line_of(source.text(path), match.start())}: {match[1]}: finish it or leave it out")
    return complaints
