#include "model/version.h"
#include <string.h>

typedef struct Part {
    const char *text;
    size_t length;
} Part;

static bool digit(char c) { return c >= '0' && c <= '9'; }

static bool numeric(Part part) {
    for (size_t i = 0; i < part.length; i++)
        if (!digit(part.text[i])) return false;
    return part.length > 0;
}

/* The next dot-separated part before `end`; an empty one when there is none left. */
static Part take(const char **at, const char *end) {
    Part part = {*at, 0};
    while (*at < end && **at != '.') (*at)++;
    part.length = (size_t)(*at - part.text);
    if (*at < end) (*at)++;
    return part;
}

static int compare_numbers(Part a, Part b) {
    while (a.length && *a.text == '0') a.text++, a.length--;
    while (b.length && *b.text == '0') b.text++, b.length--;
    if (a.length != b.length) return a.length < b.length ? -1 : 1;
    return memcmp(a.text, b.text, a.length);
}

static int compare_parts(Part a, Part b) {
    bool a_number = numeric(a) || a.length == 0, b_number = numeric(b) || b.length == 0;
    if (a_number && b_number) return compare_numbers(a, b);
    if (a_number != b_number) return a_number ? -1 : 1;
    int order = memcmp(a.text, b.text, a.length < b.length ? a.length : b.length);
    if (order != 0) return order;
    return a.length == b.length ? 0 : a.length < b.length ? -1 : 1;
}

static int compare_lists(const char *a, const char *a_end, const char *b, const char *b_end) {
    while (a < a_end || b < b_end) {
        int order = compare_parts(take(&a, a_end), take(&b, b_end));
        if (order != 0) return order;
    }
    return 0;
}

int version_compare(const char *a, const char *b) {
    if (*a == 'v' && digit(a[1])) a++;
    if (*b == 'v' && digit(b[1])) b++;
    const char *a_end = a + strcspn(a, "+"), *b_end = b + strcspn(b, "+");
    const char *a_pre = memchr(a, '-', (size_t)(a_end - a)), *b_pre = memchr(b, '-', (size_t)(b_end - b));
    int order = compare_lists(a, a_pre ? a_pre : a_end, b, b_pre ? b_pre : b_end);
    if (order != 0) return order;
    if (!a_pre || !b_pre) return a_pre ? -1 : b_pre ? 1 : 0;
    const char *a_at = a_pre + 1, *b_at = b_pre + 1;
    while (a_at < a_end && b_at < b_end) {
        order = compare_parts(take(&a_at, a_end), take(&b_at, b_end));
        if (order != 0) return order;
    }
    return a_at < a_end ? 1 : b_at < b_end ? -1 : 0; /* the longer pre-release is the later one */
}

typedef enum Comparison { BELOW, BELOW_OR_EQUAL, EQUAL, NOT_EQUAL, ABOVE_OR_EQUAL, ABOVE } Comparison;

typedef struct Term {
    Comparison comparison;
    char version[64];
} Term;

static const struct {
    const char *sign;
    Comparison comparison;
} signs[] = {{"<=", BELOW_OR_EQUAL}, {">=", ABOVE_OR_EQUAL}, {"!=", NOT_EQUAL},
             {"<", BELOW},           {">", ABOVE},           {"=", EQUAL}};

/* The next comparison of a range: 1 found, 0 end, -1 not a range. */
static int next_term(const char **at, Term *term) {
    *at += strspn(*at, " ,");
    if (!**at) return 0;
    term->comparison = EQUAL;
    for (size_t i = 0; i < sizeof signs / sizeof *signs; i++) {
        size_t length = strlen(signs[i].sign);
        if (strncmp(*at, signs[i].sign, length) != 0) continue;
        term->comparison = signs[i].comparison;
        *at += length;
        break;
    }
    *at += strspn(*at, " ");
    if (**at == 'v') (*at)++;
    size_t length = strcspn(*at, " ,");
    if (length == 0 || length >= sizeof term->version || !digit(**at)) return -1;
    memcpy(term->version, *at, length);
    term->version[length] = '\0';
    *at += length;
    return 1;
}

static bool holds(Comparison comparison, int order) {
    switch (comparison) {
    case BELOW: return order < 0;
    case BELOW_OR_EQUAL: return order <= 0;
    case EQUAL: return order == 0;
    case NOT_EQUAL: return order != 0;
    case ABOVE_OR_EQUAL: return order >= 0;
    case ABOVE: return order > 0;
    }
    return false;
}

/* "<4" means before everything called 4: its pre-releases are not in it. */
static bool term_holds(const Term *term, const char *version) {
    if (term->comparison == BELOW && strchr(version, '-') && !strchr(term->version, '-')) {
        char release[128];
        size_t length = strcspn(version, "-+");
        if (length >= sizeof release) return false;
        memcpy(release, version, length);
        release[length] = '\0';
        return version_compare(release, term->version) < 0;
    }
    return holds(term->comparison, version_compare(version, term->version));
}

bool version_range_valid(const char *range) {
    Term term;
    int result, terms = 0;
    while ((result = next_term(&range, &term)) > 0) terms++;
    return result == 0 && terms > 0;
}

bool version_in_range(const char *version, const char *range) {
    if (!version_range_valid(range)) return false;
    Term term;
    while (next_term(&range, &term) > 0)
        if (!term_holds(&term, version)) return false;
    return true;
}

/* How far a version reaches from `text`, which begins with a digit. */
static size_t version_length(const char *text) {
    static const char more[] = "0123456789.-+abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ~";
    size_t length = strspn(text, more);
    while (length > 1 && strchr(".-+~", text[length - 1])) length--;
    return length;
}

bool version_find(const char *text, char *out, size_t size) {
    const char *plain = NULL;
    for (const char *at = text; *at; at++) {
        if (!digit(*at) || (at > text && (digit(at[-1]) || at[-1] == '.'))) continue;
        size_t digits = strspn(at, "0123456789");
        bool dotted = at[digits] == '.' && digit(at[digits + 1]);
        if (!plain) plain = at;
        if (!dotted) continue;
        size_t length = version_length(at);
        if (length >= size) return false;
        memcpy(out, at, length);
        out[length] = '\0';
        return true;
    }
    if (!plain) return false;
    size_t length = strspn(plain, "0123456789");
    if (length >= size) return false;
    memcpy(out, plain, length);
    out[length] = '\0';
    return true;
}
