"""What the rules read: the project's files as texts, and just enough of C to see calls, strings and functions."""
import re
from pathlib import Path

TOKEN = re.compile(r"""
    (?P<comment>/\*.*?\*/|//[^\n]*) |
    (?P<string>"(?:[^"\\\n]|\\.)*") |
    (?P<char>'(?:[^'\\\n]|\\.)+')
""", re.X | re.S)

# What <inttypes.h> puts between the pieces of a format, on the 64-bit Linux that Upkeep runs on.
FORMAT_MACRO = re.compile(r"\bPRI([diuxX])(64|32|MAX|PTR)\b")


class Source:
    """A set of files by path relative to the project's root. Rules ask it alone, so that a rule can be shown to
    bite on files that exist only in a test."""

    def __init__(self, files):
        self.files = dict(files)

    @classmethod
    def of_project(cls, root):
        root = Path(root)
        names = ["*.md", "meson.build", "src/**/*.[ch]", "tests/**/*.[ch]", "docs/**/*.md", "po/*.po"]
        paths = {p for name in names for p in root.glob(name)}
        return cls({str(p.relative_to(root)): p.read_text(encoding="utf-8") for p in sorted(paths)})

    def text(self, path):
        return self.files.get(path, "")

    def paths(self, pattern):
        """Sorted paths that match a regular expression from their beginning."""
        return [p for p in sorted(self.files) if re.match(pattern, p)]

    def includes(self, path):
        """[(line, name, is_system)] of a file's #include lines."""
        found = []
        for number, line in enumerate(self.text(path).splitlines(), 1):
            match = re.match(r'\s*#\s*include\s*([<"])([^>"]+)[>"]', line)
            if match:
                found.append((number, match[2], match[1] == "<"))
        return found


def code_of(text, keep_strings=False):
    """The text with comments and characters (and strings) blanked out; lines and columns stay where they are."""
    def blank(match):
        if keep_strings and match["string"]:
            return match[0]
        inside = re.sub(r"[^\n]", " ", match[0])
        return '"' + inside[1:-1] + '"' if match["string"] else inside
    return TOKEN.sub(blank, text)


def line_of(text, position):
    return text.count("\n", 0, position) + 1


def unescape(literal):
    """The value of a C string literal, quotes included in the argument."""
    body = literal[1:-1]
    simple = {"n": "\n", "t": "\t", "r": "\r", "0": "\0", "a": "\a", "b": "\b", "e": "\x1b"}
    def one(match):
        escape = match[1]
        if escape[0] == "x":
            return chr(int(escape[1:], 16))
        if escape.isdigit() and len(escape) > 1:
            return chr(int(escape, 8))
        return simple.get(escape, escape)
    return re.sub(r"\\(x[0-9A-Fa-f]{1,2}|[0-7]{2,3}|.)", one, body, flags=re.S)


def arguments_at(code, opening):
    """The argument texts of the call whose '(' stands at `opening`."""
    depth, start, found = 0, opening + 1, []
    for match in re.compile(r'"(?:[^"\\\n]|\\.)*"|[()\[\]{},]').finditer(code, opening):
        token = match[0]
        if token in "([{":
            depth += 1
        elif token in ")]}":
            depth -= 1
            if depth == 0:
                return found + [code[start:match.start()]]
        elif token == "," and depth == 1:
            found.append(code[start:match.start()])
            start = match.end()
    return found


def calls(text, name):
    """[(line, [argument, …])] of every call of `name` (a declaration of it counts as none)."""
    code, found = code_of(text, keep_strings=True), []
    for match in re.finditer(rf"(?<![\w.>]){name}\s*\(", code):
        found.append((line_of(code, match.start()), arguments_at(code, match.end() - 1)))
    return found


def strings_in(argument):
    """Every string value in an argument: neighbours joined as the compiler does, format macros expanded, the two
    sides of a ?: apart."""
    argument = FORMAT_MACRO.sub(lambda m: '"' + ("" if m[2] == "32" else "l") + m[1] + '"', argument)
    found, end = [], None
    for match in re.finditer(r'"(?:[^"\\\n]|\\.)*"', argument):
        if end is not None and not argument[end:match.start()].strip():
            found[-1] += unescape(match[0])
        else:
            found.append(unescape(match[0]))
        end = match.end()
    return found


def functions(text):
    """[(line, name, number of lines)] of the functions a file defines."""
    found, start, depth, head, in_macro = [], None, 0, "", False
    for number, line in enumerate(code_of(text).splitlines(), 1):
        if in_macro or line.startswith("#"):
            in_macro = line.endswith("\\")
            continue
        if start is None:
            if not line.strip():
                continue
            start, head = number, ""
        if depth == 0:
            head += " " + line.split("{")[0]
        depth += line.count("{") - line.count("}")
        if depth == 0 and line.rstrip().endswith((";", "}")):
            name = re.search(r"(\w+)\s*\(", head)
            if name and head.rstrip().endswith(")") and "=" not in head:
                found.append((start, name[1], number - start + 1))
            start = None
    return found
