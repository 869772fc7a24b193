#!/usr/bin/env python3
"""Turn a gettext catalogue into a sorted C table: po_to_c.py zh.po text_catalogue.c

Standard PO syntax (msgid/msgstr, continued strings, comments); no plurals, no contexts, no fuzzy entries.
"""
import ast
import sys


def entries(path):
    """Yield (msgid, msgstr) pairs of a PO file."""
    current, texts = None, {}
    with open(path, encoding="utf-8") as lines:
        for line in list(lines) + ["\n"]:
            line = line.strip()
            if line.startswith("msgid "):
                if texts.get("msgid"):
                    yield texts["msgid"], texts.get("msgstr", "")
                current, texts = "msgid", {"msgid": ast.literal_eval(line[6:])}
            elif line.startswith("msgstr "):
                current = "msgstr"
                texts["msgstr"] = ast.literal_eval(line[7:])
            elif line.startswith('"'):
                texts[current] += ast.literal_eval(line)
            elif line and not line.startswith("#"):
                sys.exit(f"{path}: cannot read: {line}")
    if texts.get("msgid"):
        yield texts["msgid"], texts.get("msgstr", "")


def c_string(text):
    out = []
    for byte in text.encode():
        if byte in (0x22, 0x5C):
            out.append("\\" + chr(byte))
        elif byte == 0x0A:
            out.append("\\n")
        elif 0x20 <= byte < 0x7F:
            out.append(chr(byte))
        else:
            out.append(f"\\{byte:03o}")
    return '"' + "".join(out) + '"'


def main():
    source, target = sys.argv[1:]
    seen = {}
    for key, value in entries(source):
        if key in seen:
            sys.exit(f"{source}: twice: {key!r}")
        seen[key] = value
    rows = sorted((k.encode(), k, v) for k, v in seen.items() if v)
    with open(target, "w", encoding="utf-8") as out:
        out.write('#include "base/text_catalogue.h"\n\n')
        out.write("const TextPair text_catalogue[] = {\n")
        for _, key, value in rows:
            out.write(f"    {{{c_string(key)}, {c_string(value)}}},\n")
        out.write('    {"", ""},\n};\n')
        out.write(f"const size_t text_catalogue_count = {len(rows)};\n")


main()
