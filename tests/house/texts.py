"""Rules about the texts for people: every one in both languages, with the same arguments; documents in pairs."""
import os
import re

from source import calls, code_of, line_of, strings_in, unescape

# Functions whose argument at that place is a message id: its Chinese text stands in po/zh.po.
MESSAGE_ARGUMENT = {"error_set": 2, "error_errno": 3, "error_prefix": 1, "error_hint": 1, "text_in": 1, "TEXT": 0,
                    "cli_print": 1, "cli_text": 1, "live_say": 3}
CONVERSION = re.compile(r"%[-+ #0']*(\*|\d+)?(?:\.(\*|\d+))?(hh|h|ll|l|j|z|t|L)?([a-zA-Z%])")


def conversions(text):
    """What a format takes, in order: ["d", "*s", "lu"]."""
    return ["".join(part for part in (match[1] if match[1] == "*" else "", "*" if match[2] == "*" else "",
                                      match[3] or "", match[4]))
            for match in CONVERSION.finditer(text) if match[4] != "%"]


def needs_translation(text):
    return re.search(r"[A-Za-z]{2}", CONVERSION.sub("", text)) is not None


def message_ids(source):
    """{message id: "path:line" where it first stands}."""
    found = {}
    for path in source.paths(r"src/.*\.[ch]$"):
        for name, place in MESSAGE_ARGUMENT.items():
            for line, arguments in calls(source.text(path), name):
                if len(arguments) > place:
                    for text in strings_in(arguments[place]):
                        found.setdefault(text, f"{path}:{line}")
    return found


def catalogue(source):
    """[(line, msgid, msgstr, external)]: external entries translate words of libraries ("#. from libyaml")."""
    entries, key, external, field = [], None, False, None
    for number, line in enumerate(source.text("po/zh.po").splitlines(), 1):
        if line.startswith("#. from "):
            external = True
        match = re.match(r'(msgid|msgstr)?\s*("(?:[^"\\]|\\.)*")\s*$', line)
        if not match:
            continue
        if match[1] == "msgid":
            key, field = [number, unescape(match[2]), "", external], 1
            entries.append(key)
            external = False
        elif match[1] == "msgstr":
            key[2], field = unescape(match[2]), 2
        else:
            key[field] += unescape(match[2])
    return [tuple(entry) for entry in entries if entry[1]]


def translations(source):
    known, complaints = {entry[1]: entry for entry in catalogue(source)}, []
    for text, place in message_ids(source).items():
        if needs_translation(text) and not known.get(text, ("", "", ""))[2]:
            complaints.append(f"{place}: no Chinese text in po/zh.po for {text!r}")
    return complaints


def same_arguments(source):
    complaints = []
    for line, english, chinese, _ in catalogue(source):
        if chinese and conversions(english) != conversions(chinese):
            complaints.append(f"po/zh.po:{line}: takes {conversions(chinese)}, its English text {conversions(english)}")
        if english.endswith("\n") != chinese.endswith("\n"):
            complaints.append(f"po/zh.po:{line}: one of the two ends its line, the other does not")
    return complaints


def no_leftovers(source):
    """Every entry is somebody's: a message of the source, the C library's word for an errno, or a library's."""
    used = set(message_ids(source)) | {os.strerror(number) for number in range(1, 134)}
    seen, complaints = set(), []
    for line, english, _, external in catalogue(source):
        if english not in used and not external:
            complaints.append(f"po/zh.po:{line}: nobody says {english!r}")
        if english in seen:
            complaints.append(f"po/zh.po:{line}: stands there twice: {english!r}")
        seen.add(english)
    return complaints


def table_texts(source):
    """Texts in the tables of verbs and options are marked with TEXT(), or nobody would look for them."""
    complaints = []
    for path in source.paths(r"src/cli/.*\.c$"):
        text = code_of(source.text(path), keep_strings=True)
        for match in re.finditer(r"\.(summary|help)\s*=(?!\s*(TEXT\(|NULL))", text):
            complaints.append(f"{path}:{line_of(text, match.start())}: .{match[1]} without TEXT(…)")
    return complaints


def headings(text):
    """The levels of a document's headings and its code blocks, in order: its bones."""
    return re.findall(r"^(#+|```)", text, re.M)


def both_languages(source):
    pairs = [("README.md", "README.zh.md")]
    for path in source.paths(r"docs/.*\.md$"):
        if path.startswith("docs/zh/"):
            pairs.append((path.replace("docs/zh/", "docs/", 1), path))
        else:
            pairs.append((path, path.replace("docs/", "docs/zh/", 1)))
    complaints = []
    for english, chinese in dict.fromkeys(pairs):
        missing = [path for path in (english, chinese) if path not in source.files]
        if missing:
            complaints += [f"{path}:1: is missing" for path in missing]
        elif headings(source.text(english)) != headings(source.text(chinese)):
            complaints.append(f"{chinese}:1: other headings or code blocks than {english}")
        elif not re.search(r"[\u4e00-\u9fff]", source.text(chinese)):
            complaints.append(f"{chinese}:1: is not Chinese")
    return complaints


def changelog(source):
    version = re.search(r"version:\s*'([^']+)'", source.text("meson.build"))
    if not version or version[1] not in source.text("CHANGELOG.md"):
        return [f"CHANGELOG.md:1: says nothing of version {version and version[1]}, which meson.build names"]
    return []
