/* An Ansible inventory in INI: sections [group], [group:children] and [group:vars], hosts before the first.
 */
#include "base/buffer.h"
#include "base/json.h"
#include "model/ansible_room.h"
#include <ctype.h>
#include <string.h>

typedef enum Section { SECTION_HOSTS, SECTION_CHILDREN, SECTION_VARS } Section;

typedef struct Ini {
    AnsibleReading reading;
    Section section;
    AnsibleGroup *group;
} Ini;

static char *trim(char *text) {
    while (isspace((unsigned char)*text)) text++;
    size_t length = strlen(text);
    while (length > 0 && isspace((unsigned char)text[length - 1])) text[--length] = '\0';
    return text;
}

static int refuse(Ini *ini, const char *line) {
    error_set(ini->reading.error, ERROR_INVALID, "“%.80s” is not understood", line);
    return ansible_refuse(&ini->reading);
}

/* ---- values */

/* What Python would take for a number or a constant: a comment behind it is none of it. */
static bool is_plain_literal(const char *text, size_t length) {
    static const char *const constants[] = {"True", "False", "None"};
    for (size_t i = 0; i < sizeof constants / sizeof *constants; i++)
        if (strlen(constants[i]) == length && strncmp(text, constants[i], length) == 0) return true;
    size_t at = length > 0 && (*text == '-' || *text == '+'), digits = 0;
    for (; at < length; at++) {
        digits += isdigit((unsigned char)text[at]) != 0;
        if (!isdigit((unsigned char)text[at]) && text[at] != '.') return false;
    }
    return digits > 0;
}

/* The end of the quoted text that begins at `text`, or NULL. */
static char *closing_quote(char *text) {
    for (char *at = text + 1; *at; at++) {
        if (*at == '\\' && at[1])
            at++;
        else if (*at == *text)
            return at;
    }
    return NULL;
}

/* Without backslashes, as Python reads a text in quotes; in place. */
static void unescape(char *text) {
    static const char from[] = "nrt", to[] = "\n\r\t";
    char *out = text;
    for (const char *at = text; *at; at++) {
        const char *known = *at == '\\' && at[1] ? strchr(from, at[1]) : NULL;
        if (*at == '\\' && at[1] && strchr("\\'\"", at[1]))
            *out++ = *++at;
        else if (known)
            *out++ = to[(at++, known - from)];
        else
            *out++ = *at;
    }
    *out = '\0';
}

static bool is_blank_or_comment(const char *text) {
    text += strspn(text, " \t");
    return !*text || *text == '#';
}

/* Ansible reads a value as Python would, and takes it as it is where that fails. NULL: a list, a map, None.
 */
static const char *value_of(char *text) {
    text = trim(text);
    size_t length = strcspn(text, "#");
    while (length > 0 && isspace((unsigned char)text[length - 1])) length--;
    if (*text == '"' || *text == '\'') {
        char *end = closing_quote(text);
        if (!end || !is_blank_or_comment(end + 1)) return text;
        *end = '\0';
        unescape(text + 1);
        return text + 1;
    }
    if (strstr(text, "{{") || strstr(text, "{%")) return text; /* a template is left out as such */
    static const char opening[] = "[{(", closing[] = "]})";
    const char *kind = length > 1 ? strchr(opening, *text) : NULL;
    if (kind && *kind && text[length - 1] == closing[kind - opening]) return NULL;
    if (is_plain_literal(text, length)) text[length] = '\0';
    return strcmp(text, "None") == 0 ? NULL : text;
}

/* ---- lines */

/* The next word of a line as a POSIX shell would see it; a comment ends the line. 1 a word, 0 the end, -1 a
 * quote is not closed. */
static int next_word(char **at, Buffer *word) {
    char *from = *at + strspn(*at, " \t"), quote = '\0';
    bool any = false;
    buffer_clear(word);
    for (; *from; from++) {
        if (!quote && (*from == ' ' || *from == '\t')) break;
        if (!quote && *from == '#') {
            from += strlen(from);
            break;
        }
        any = true;
        if (*from == quote)
            quote = '\0';
        else if (!quote && (*from == '"' || *from == '\''))
            quote = *from;
        else if (*from == '\\' && from[1] && (!quote || (quote == '"' && strchr("\\\"", from[1]))))
            buffer_append(word, ++from, 1);
        else
            buffer_append(word, from, 1);
    }
    *at = from;
    return quote ? -1 : any;
}

static int read_host(Ini *ini, char *line) {
    AnsibleReading *reading = &ini->reading;
    BUFFER_AUTO word = {0};
    AnsibleVars vars = {0};
    char *at = line;
    int found = next_word(&at, &word);
    if (found <= 0) return refuse(ini, line);
    const char *pattern = arena_strdup(reading->arena, buffer_text(&word));
    while ((found = next_word(&at, &word)) > 0) {
        char *equals = word.size ? strchr(word.data, '=') : NULL;
        if (!equals) {
            error_set(reading->error, ERROR_INVALID, "expected “key=value”, found “%.80s”",
                      buffer_text(&word));
            return ansible_refuse(reading);
        }
        *equals = '\0';
        if (ansible_set(reading, &vars, word.data, value_of(equals + 1)) < 0) return -1;
    }
    if (found < 0) {
        error_set(reading->error, ERROR_INVALID, "a quote is not closed");
        return ansible_refuse(reading);
    }
    return ansible_add_hosts(reading, ini->group, pattern, &vars);
}

static int read_var(Ini *ini, char *line) {
    char *equals = strchr(line, '=');
    if (!equals) {
        error_set(ini->reading.error, ERROR_INVALID, "expected “key=value”, found “%.80s”", line);
        return ansible_refuse(&ini->reading);
    }
    *equals = '\0';
    return ansible_set_group(&ini->reading, ini->group, trim(line), value_of(equals + 1));
}

static int read_child(Ini *ini, char *line) {
    size_t length = strcspn(line, " \t#");
    if (!is_blank_or_comment(line + length) || memchr(line, ':', length)) return refuse(ini, line);
    line[length] = '\0';
    AnsibleGroup *child = ansible_group(&ini->reading, line);
    return child ? ansible_nest(&ini->reading, ini->group, child) : -1;
}

/* "[group]", "[group:children]", "[group:vars]", and a comment. */
static int read_section(Ini *ini, char *line) {
    static const char *const kinds[] = {"hosts", "children", "vars"};
    char *end = strchr(line, ']'), *name = line + 1, *kind;
    if (!end || !is_blank_or_comment(end + 1)) return refuse(ini, line);
    *end = '\0';
    kind = strchr(name, ':');
    if (kind) *kind++ = '\0';
    if (!*name || strcspn(name, " \t") != strlen(name)) return refuse(ini, line);
    size_t section = 0, count = sizeof kinds / sizeof *kinds;
    while (kind && section < count && strcmp(kinds[section], kind) != 0) section++;
    if (section == count) {
        error_set(ini->reading.error, ERROR_INVALID, "“%s” is none of: hosts, children, vars", kind);
        return ansible_refuse(&ini->reading);
    }
    AnsibleGroup *group = ansible_group(&ini->reading, name);
    if (!group) return -1;
    ini->section = (Section)section;
    ini->group = group;
    if (ini->section != SECTION_VARS) group->defined = true;
    return 0;
}

static int read_line(Ini *ini, char *line) {
    if (!*line || *line == '#' || *line == ';') return 0;
    if (*line == '[') {
        /* A range may begin a host's name: "[a:c].example". */
        char *end = strchr(line, ']');
        bool section = !end || is_blank_or_comment(end + 1) || ini->section != SECTION_HOSTS;
        if (section) return read_section(ini, line);
    }
    if (ini->section == SECTION_VARS) return read_var(ini, line);
    if (ini->section == SECTION_CHILDREN) return read_child(ini, line);
    return read_host(ini, line);
}

/* Whatever was mentioned must be a section somewhere, or it is a slip of the pen. */
static int check_defined(AnsibleReading *reading) {
    const AnsibleGroup *first = NULL;
    void *each;
    for (size_t cursor = 0; text_map_next(reading->groups, &cursor, &each);) {
        const AnsibleGroup *group = each;
        if (!group->defined && (!first || group->line < first->line)) first = group;
    }
    if (!first) return 0;
    reading->line = first->line;
    error_set(reading->error, ERROR_INVALID, "the group %s has no section of its own", first->name);
    error_hint(reading->error, "add “[%s]”, or correct its name", first->name);
    return ansible_refuse(reading);
}

static int check_text(AnsibleReading *reading, const char *text, size_t size) {
    if (size > ANSIBLE_TEXT_MAX)
        return error_set(reading->error, ERROR_INVALID, "%s is larger than %d bytes", reading->file,
                         ANSIBLE_TEXT_MAX);
    JSON_AUTO as_text = json_stringn(text, size);
    if (!as_text || memchr(text, '\0', size))
        return error_set(reading->error, ERROR_INVALID, "%s is not text in UTF-8", reading->file);
    return 0;
}

static int read_lines(Ini *ini, const char *text, size_t size) {
    BUFFER_AUTO line = {0};
    for (const char *end = text + size; text < end; text++) {
        const char *next = memchr(text, '\n', (size_t)(end - text));
        size_t length = (size_t)((next ? next : end) - text);
        ini->reading.line++;
        if (length > ANSIBLE_LINE_MAX) {
            error_set(ini->reading.error, ERROR_INVALID, "a line of more than %d bytes", ANSIBLE_LINE_MAX);
            return ansible_refuse(&ini->reading);
        }
        buffer_clear(&line);
        buffer_append(&line, text, length);
        if (length && read_line(ini, trim(line.data)) < 0) return -1;
        text += length;
    }
    return 0;
}

int ansible_read_ini(Arena *arena, const char *file, const char *text, size_t size, Ansible *out,
                     Error *error) {
    Ini ini = {0};
    ansible_begin(&ini.reading, arena, file, error);
    ini.group = ini.reading.ungrouped;
    int result = check_text(&ini.reading, text, size);
    if (result == 0) result = read_lines(&ini, text, size);
    if (result == 0) result = check_defined(&ini.reading);
    if (result == 0) result = ansible_finish(&ini.reading, out);
    ansible_end(&ini.reading);
    return result;
}
