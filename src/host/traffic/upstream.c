#include "host/traffic/upstream.h"
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define BLANKS " \t\r"
#define MARK   " # upkeep: weight="

enum { DIGITS_MAX = 9 };

/* One line, cut into "  server ADDRESS parameters" · ";" · the rest. */
typedef struct Line {
    const char *start, *end;
    const char *semicolon; /* NULL: it is no statement that ends here */
} Line;

static Line line_at(const char *text) {
    Line line = {.start = text, .end = text + strcspn(text, "\n")};
    size_t code = strcspn(text, "#\n"), first = strcspn(text, ";\n");
    line.semicolon = first < code ? text + first : NULL;
    return line;
}

static const char *next_line(const Line *line) { return *line->end ? line->end + 1 : NULL; }

/* A block begins or ends on that line. */
static bool is_edge(const Line *line) {
    size_t code = strcspn(line->start, "#\n");
    return strcspn(line->start, "{}") < code;
}

typedef struct Word {
    const char *start;
    size_t length;
} Word;

/* The next word before `end`; length 0: there is none. */
static Word word_at(const char *at, const char *end) {
    at += strspn(at, BLANKS);
    if (at >= end) return (Word){end, 0};
    size_t length = strcspn(at, BLANKS);
    return (Word){at, at + length > end ? (size_t)(end - at) : length};
}

static bool is(Word word, const char *text) {
    return word.length == strlen(text) && strncmp(word.start, text, word.length) == 0;
}

static bool is_weight(Word word) { return word.length > 7 && strncmp(word.start, "weight=", 7) == 0; }

static int64_t number_at(const char *text) {
    size_t digits = strspn(text, "0123456789");
    return digits > 0 && digits <= DIGITS_MAX ? strtoll(text, NULL, 10) : 0;
}

/* A statement "server ADDRESS …;" that has its line for itself: ADDRESS. Length 0: it is none. */
static Word server_of(const Line *line) {
    Word none = {line->end, 0};
    if (!line->semicolon || is_edge(line)) return none;
    Word keyword = word_at(line->start, line->semicolon);
    if (!is(keyword, "server")) return none;
    const char *rest = line->semicolon + 1;
    rest += strspn(rest, BLANKS);
    return rest >= line->end || *rest == '#' ? word_at(keyword.start + keyword.length, line->semicolon)
                                             : none;
}

static bool has_word(const Line *line, const char *text) {
    Word word = word_at(line->start, line->semicolon);
    for (; word.length; word = word_at(word.start + word.length, line->semicolon))
        if (is(word, text)) return true;
    return false;
}

static int64_t weight_of(const Line *line) {
    Word word = word_at(line->start, line->semicolon);
    for (; word.length; word = word_at(word.start + word.length, line->semicolon))
        if (is_weight(word)) return number_at(word.start + 7);
    return 1;
}

/* The whole weight that our mark says, and *rest where it ends; 0: there is none at `at`. What follows must
 * be a comment by itself. */
static int64_t mark_at(const char *at, const char *end, const char **rest) {
    const char *digits = at + strlen(MARK);
    if (strncmp(at, MARK, strlen(MARK)) != 0) return 0;
    const char *after = digits + strspn(digits, "0123456789"), *next = after + strspn(after, BLANKS);
    int64_t whole = next >= end || *next == '#' ? number_at(digits) : 0;
    if (whole > 0) *rest = after;
    return whole;
}

static size_t count_others(const char *text, size_t block, size_t start) {
    size_t others = 0, edges = 0;
    for (const char *at = text; at;) {
        Line line = line_at(at);
        edges += is_edge(&line);
        if (edges == block && (size_t)(line.start - text) != start && server_of(&line).length)
            others += !has_word(&line, "down");
        at = next_line(&line);
    }
    return others;
}

int upstream_find(const char *text, const char *server, UpstreamServer *out, Error *error) {
    size_t edges = 0, block = 0, count = 0;
    UpstreamServer found = {0};
    for (const char *at = text; at;) {
        Line line = line_at(at);
        edges += is_edge(&line);
        Word address = server_of(&line);
        if (address.length && is(address, server)) {
            assert(line.semicolon);
            const char *rest;
            int64_t weight = weight_of(&line), mark = mark_at(line.semicolon + 1, line.end, &rest);
            found = (UpstreamServer){.start = (size_t)(line.start - text),
                                     .end = (size_t)(line.end - text),
                                     .down = has_word(&line, "down"),
                                     .weight = weight > 0 ? weight : 1};
            found.whole = mark > 0 ? mark : found.weight;
            block = edges;
            count++;
        }
        at = next_line(&line);
    }
    if (count == 0)
        return error_set(error, ERROR_INVALID, "it has no line “server %s …;” with nothing else on it",
                         server);
    if (count > 1)
        return error_set(error, ERROR_INVALID,
                         "it has %zu lines “server %s …;”; only one can be told from it", count, server);
    found.others = count_others(text, block, found.start);
    *out = found;
    return 0;
}

static void write_statement(const Line *line, bool down, int64_t weight, Buffer *out) {
    const char *done = line->start;
    bool has_weight = false;
    Word word = word_at(line->start, line->semicolon);
    for (; word.length; word = word_at(done, line->semicolon)) {
        const char *blanks = done;
        done = word.start + word.length;
        if (is(word, "down")) continue; /* with the blanks before it */
        buffer_append(out, blanks, (size_t)(word.start - blanks));
        if (is_weight(word) && number_at(word.start + 7) != weight)
            buffer_printf(out, "weight=%lld", (long long)weight);
        else
            buffer_append(out, word.start, word.length);
        has_weight |= is_weight(word);
    }
    if (!has_weight && weight != 1) buffer_printf(out, " weight=%lld", (long long)weight);
    if (down) buffer_text_append(out, " down");
    buffer_append(out, done, (size_t)(line->semicolon - done));
}

void upstream_write(const char *text, const UpstreamServer *found, bool down, int64_t weight, Buffer *out) {
    Line line = line_at(text + found->start);
    assert(line.semicolon);
    const char *rest = line.semicolon + 1;
    while (mark_at(rest, line.end, &rest)) continue;
    buffer_append(out, text, found->start);
    write_statement(&line, down, weight, out);
    buffer_text_append(out, ";");
    if (weight != found->whole) buffer_printf(out, MARK "%lld", (long long)found->whole);
    buffer_text_append(out, rest);
}
