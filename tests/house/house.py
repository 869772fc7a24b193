#!/usr/bin/env python3
"""house.py PROJECT [LIBRARY-OF-MODEL]: hold the source against the rules of CONTRIBUTING.md. TAP.

Each rule is two tests: that it bites (on a few bad lines, and not on good ones), and that the project keeps it.
"""
import subprocess
import sys

import rules
import texts
from source import Source

HOUSE = {"CONTRIBUTING.md": "    src/cli/  x\n    src/engine/  x\n    src/host/  x\n    src/model/  x\n    src/base/  x\n"}
MANUAL = "/* Thing: what it is, in full. */\n#pragma once\n"
LONG = "int f(void) {\n" + "    g();\n" * 120 + "}\n"
PO = 'msgid "cannot open %s"\nmsgstr "无法打开 %s"\n'


def c(text, path="src/host/thing.c"):
    return {**HOUSE, path: text}


# (name, rule, files it must complain about, files it must be content with)
RULES = [
    ("includes run down the house", rules.layers,
     [c('#include "host/thing.h"\n', "src/base/file.c"), c('#include "thing.h"\n'), c("", "src/attic/a.c")],
     [c('#include "base/file.h"\n#include "host/host.h"\n'), c('#include "cli/cli.h"\n', "src/upkeep.c")]),
    ("a room of a floor sees neither its siblings nor the hall", rules.rooms,
     [c('#include "host/check/check.h"\n', "src/host/service/service.c"), c('#include "host/host.h"\n', "src/host/check/check.c")],
     [c('#include "host/check/check.h"\n#include "base/file.h"\n', "src/host/check/check_tls.c"),
      c('#include "host/check/check.h"\n', "src/host/host.c")]),
    ("no header includes itself in a circle", rules.circles,
     [{"src/a/x.h": '#include "a/y.h"\n', "src/a/y.h": '#include "a/x.h"\n'}],
     [{"src/a/x.h": '#include "a/y.h"\n', "src/a/y.h": ""}]),
    ("drivers of a seam do not see each other", rules.drivers,
     [c('#include "host/service/service_systemd.h"\n', "src/host/service/service_process.c"),
      c("int f(void) { return journal_sqlite_open(); }\n", "src/journal/journal_memory.c")],
     [c('#include "host/service/service_spawn.h"\n#include "host/service/service.h"\n', "src/host/service/service_process.c")]),
    ("each library is included in one room", rules.libraries,
     [c("#include <curl/curl.h>\n"), c("#include <sqlite3.h>\n"), c("#include <yaml.h>\n", "src/base/json.c")],
     [c("#include <curl/curl.h>\n", "src/wire/http.c"), c("#include <yaml.h>\n", "src/base/node.c")]),
    ("model/ includes no I/O and calls none", rules.pure_model,
     [c("#include <stdio.h>\n", "src/model/plan.c"), c('#include "base/file.h"\n', "src/model/plan.c"),
      c("long f(void) { return time(NULL); }\n", "src/model/plan.c")],
     [c('#include "base/json.h"\n#include <string.h>\nlong runtime(long x);\n', "src/model/plan.c")]),
    ("forbidden calls are not made", rules.calls,
     [c("void f(char *a) { strcpy(a, a); }\n"), c("int f(void) { return system (0); }\n"),
      c('void f(void) { printf("x"); }\n'), c("int f(char *a) { return atoi(a); }\n", "tests/unit/test_a.c")],
     [c('/* system() */ char *a = "popen()"; int my_system(void); void f(void) { x->system(); }\n'),
      c('void f(void) { printf("x"); }\n', "src/cli/cli.c")]),
    ("functions fit a screen, files a sitting", rules.sizes,
     [c(LONG), c("\n" * 800)],
     [c("int f(void) {\n" + "    g();\n" * 60 + "}\n\n" + "static const int t[] = {\n" + "    1,\n" * 120 + "};\n")]),
    ("headers open with their manual", rules.headers,
     [c("#pragma once\n", "src/host/thing.h"), c("/* x */\n#pragma once\n", "src/host/thing.h"),
      c("/* Thing: what it is, in full. */\n", "src/host/thing.h")],
     [c(MANUAL, "src/host/thing.h")]),
    ("modules have a unit test", rules.tested,
     [{"src/host/thing.h": MANUAL, "src/host/thing.c": ""}],
     [{"src/host/thing.h": MANUAL, "src/host/thing.c": "", "tests/unit/test_thing.c": '#include "host/thing.h"\n'},
      {"src/host/thing_part.h": MANUAL, "src/host/thing_part.c": "", "tests/unit/test_a.c": '#include "host/thing.h"'},
      {"src/base/cleanup.h": MANUAL}]),
    ("nothing is left for later", rules.unfinished,
     [c("/* TO" "DO: think */\n")], [c("/* to do is to be */\n")]),
    ("messages have a Chinese text", texts.translations,
     [c('int f(void) { return error_set(e, K, "cannot " "open %s", p); }\n'),
      c('int f(void) { return error_errno(e, K, errno, g(1, 2) ? "no " "a %" PRId64 : "no b", p); }\n'),
      c('const char *a = TEXT("make a package");\n')],
     [{**c('int f(void) { return error_set(e, K, "cannot " "open %s", p); }\n'), "po/zh.po": PO},
      c('int f(void) { return error_prefix(e, "%s: %s", a, b); }\n')]),
    ("Chinese texts take the same arguments", texts.same_arguments,
     [{"po/zh.po": 'msgid "a %s is %d"\nmsgstr "%d 是 %s"\n'}, {"po/zh.po": 'msgid "a %zu"\nmsgstr "%u"\n'},
      {"po/zh.po": 'msgid "end\\n"\nmsgstr "完"\n'}],
     [{"po/zh.po": 'msgid "a %s of %5.1f %%"\nmsgstr ""\n"%s 的 "\n"%.1f %%"\n'}]),
    ("no Chinese text is left over or there twice", texts.no_leftovers,
     [{"po/zh.po": PO}, {**c('void f(void) { error_hint(e, "cannot open %s", p); }\n'), "po/zh.po": PO + PO}],
     [{**c('void f(void) { error_hint(e, "cannot open %s", p); }\n'), "po/zh.po": PO},
      {"po/zh.po": '#. from libyaml\nmsgid "odd indent"\nmsgstr "缩进"\nmsgid "No such file or directory"\nmsgstr "无"\n'}]),
    ("tables of verbs mark their texts", texts.table_texts,
     [c('CliVerb v = {.name = "a", .summary = "does"};\n', "src/cli/cli_a.c")],
     [c('CliVerb v = {.name = "a", .summary = TEXT("does"), .help = NULL};\n', "src/cli/cli_a.c")]),
    ("documents stand in both languages", texts.both_languages,
     [{"README.md": "# A\n"}, {"README.md": "# A\n", "README.zh.md": "# 甲\n## 乙\n"},
      {"README.md": "# A\n", "README.zh.md": "# B\n"}],
     [{"README.md": "# A\n", "README.zh.md": "# 甲\n", "docs/a.md": "# A\n", "docs/zh/a.md": "# 甲\n"}]),
    ("CHANGELOG names this version", texts.changelog,
     [{"meson.build": "version: '0.1.0'", "CHANGELOG.md": "# 0.0.9\n"}],
     [{"meson.build": "version: '0.1.0'", "CHANGELOG.md": "# 0.1.0\n"}]),
]

# Symbols that only I/O, clocks, randomness, threads or the environment would need.
IMPURE_SYMBOLS = {
    "accept", "bind", "clock_gettime", "close", "connect", "creat", "execve", "fclose", "fgets", "fopen", "fopen64",
    "fork", "fputs", "fread", "fwrite", "getenv", "getpid", "getrandom", "kill", "raise", "sigaction", "signal", "gettimeofday", "json_dump_file",
    "json_load_file", "mkdir", "nanosleep", "open", "open64", "openat", "openat64", "opendir", "poll", "printf",
    "pthread_create", "pread", "pread64", "putchar", "puts", "pwrite", "pwrite64", "rand", "random", "read", "readdir",
    "recv", "rename", "secure_getenv", "select", "send", "sleep", "socket", "stat", "stdin", "stderr", "stdout",
    "syscall", "system", "time", "unlink", "usleep", "write", "__printf_chk", "__fprintf_chk", "fprintf",
}
IMPURE_BASE = ("clock_system", "clock_sleep", "file_", "parallel_", "process_", "random_")


class Tap:
    def __init__(self):
        self.count = self.failures = 0

    def case(self, name, complaints):
        self.count += 1
        self.failures += bool(complaints)
        print(f"{'not ' if complaints else ''}ok {self.count} - {name}")
        for complaint in complaints:
            print(f"#   {complaint}")

    def skip(self, name, reason):
        self.count += 1
        print(f"ok {self.count} - {name} # SKIP {reason}")


def bites(rule, bad, good):
    """Complaints about the rule itself."""
    return ([f"lets pass: {files}" for files in bad if not rule(Source(files))]
            + [f"refuses: {files}: {rule(Source(files))}" for files in good if rule(Source(files))])


def impure_symbols(library):
    listing = subprocess.run(["nm", "--undefined-only", "--format=posix", library], capture_output=True, text=True,
                             check=True).stdout
    wanted = {line.split()[0] for line in listing.splitlines() if line and not line.endswith(":")}
    return sorted(s for s in wanted if s.split("@")[0] in IMPURE_SYMBOLS or s.startswith(IMPURE_BASE))


def main():
    project, *libraries = sys.argv[1:]
    source, tap = Source.of_project(project), Tap()
    for name, rule, bad, good in RULES:
        tap.case(f"the rule bites: {name}", bites(rule, bad, good))
        tap.case(name, rule(source))
    for library in libraries:
        tap.case("the compiled model/ asks for no I/O", [f"needs {symbol}" for symbol in impure_symbols(library)])
    for remark in rules.long_functions(source):
        print(f"# could be shorter: {remark}")
    print(f"1..{tap.count}")
    return 1 if tap.failures else 0


sys.exit(main())
