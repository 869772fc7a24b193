#!/usr/bin/env python3
"""terminal_svg.py [TITLE]: draw what a terminal shows, as `tmux capture-pane -e -p` prints it, as an SVG picture.

No fonts are embedded: each stretch of text is given its exact width, so that columns stand in any monospace font.
docs/images/run.svg is the tutorial's upgrade in a terminal of 104 columns, captured while its second host is probed:

    tmux new-session -d -x 104 -y 42 'upkeep run node-red.yaml --yes'
    tmux capture-pane -e -p | tools/terminal_svg.py "upkeep run node-red.yaml" >docs/images/run.svg
"""
import html
import re
import sys
import unicodedata

COLUMN, LINE, LEFT, TOP = 8.4, 19, 16, 46
PAPER, INK, BAR = "#1b1f27", "#d6dbe4", "#2a303b"
COLOURS = {"30": "#1b1f27", "31": "#f07178", "32": "#a5d6a7", "33": "#ffcb6b", "34": "#82aaff", "35": "#c792ea",
           "36": "#89ddff", "37": "#d6dbe4", "90": "#7d8799"}


def columns(text):
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def runs(line):
    """[(text, colour, bold)] of a line with SGR sequences."""
    colour, bold, found = INK, False, []
    for codes, text in re.findall(r"(?:\033\[([\d;]*)m)?([^\033]*)", line):
        for code in codes.split(";"):
            if code in ("0", "39"):
                colour, bold = INK, bold and code == "39"
            elif code == "1":
                bold = True
            elif code in COLOURS:
                colour = COLOURS[code]
        if text:
            found.append((text, colour, bold))
    return found


def drawn(line, row):
    column, out = 0, []
    for text, colour, bold in runs(line):
        # Words apart, so that a wide font cannot push what stands behind a gap.
        for piece in re.findall(r"\s+|\S+(?:\s\S+)*", text):
            if piece.strip():
                weight = ' font-weight="bold"' if bold else ""
                fill = "" if colour == INK else f' fill="{colour}"'
                out.append(f'<text x="{LEFT + column * COLUMN:.1f}" y="{TOP + row * LINE}"{fill}{weight} '
                           f'textLength="{columns(piece) * COLUMN:.1f}" lengthAdjust="spacingAndGlyphs">'
                           f'{html.escape(piece)}</text>')
            column += columns(piece)
    return out


def main():
    lines = sys.stdin.read().rstrip("\n").split("\n")
    plain = [re.sub(r"\033\[[\d;]*m", "", line).rstrip() for line in lines]
    width = LEFT * 2 + max(columns(line) for line in plain) * COLUMN
    height = TOP + len(lines) * LINE + 4
    title = html.escape(sys.argv[1] if len(sys.argv) > 1 else "terminal")
    print(f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height}" width="{width:.0f}" '
          f'height="{height}" role="img" aria-label="{title}">')
    print(f'<title>{title}</title>\n<rect width="100%" height="100%" rx="8" fill="{PAPER}"/>\n'
          f'<path d="M0 28V8a8 8 0 0 1 8-8H{width - 8:.0f}a8 8 0 0 1 8 8v20z" fill="{BAR}"/>')
    for i, colour in enumerate(("#f07178", "#ffcb6b", "#a5d6a7")):
        print(f'<circle cx="{18 + i * 18}" cy="14" r="5" fill="{colour}"/>')
    print('<g font-family="ui-monospace, SFMono-Regular, Menlo, Consolas, \'DejaVu Sans Mono\', monospace" '
          f'font-size="14" fill="{INK}" xml:space="preserve">')
    for row, line in enumerate(lines):
        print("\n".join(drawn(line, row)), end="\n" if plain[row] else "")
    print("</g>\n</svg>")


main()
