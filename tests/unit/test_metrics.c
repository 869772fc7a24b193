#include "server/metrics.h"
#include "support/controlled.h"
#include <ctype.h>

/* One name: what is said of it, and its samples. */
static bool is_name(const char *text, size_t size) {
    if (size == 0 || strncmp(text, "upkeep_", 7) != 0) return false;
    for (size_t i = 0; i < size; i++)
        if (!isalnum((unsigned char)text[i]) && text[i] != '_') return false;
    return true;
}

/* {a="b",c="d"}: its length; 0: it is none. */
static size_t labels_length(const char *text) {
    const char *at = text + 1;
    for (;;) {
        size_t name = strspn(at, "abcdefghijklmnopqrstuvwxyz_");
        if (name == 0 || strncmp(at + name, "=\"", 2) != 0) return 0;
        at += name + 2;
        while (*at && *at != '"' && *at != '\n') at += *at == '\\' ? 2 : 1;
        if (*at++ != '"') return 0;
        if (*at == '}') return (size_t)(at - text) + 1;
        if (*at++ != ',') return 0;
    }
}

typedef struct Format {
    char current[128];  /* the name whose samples come */
    char seen[64][128]; /* names before it */
    size_t seen_count;
    bool help, type;
    size_t samples;
} Format;

static void begin_name(Format *format, const char *name, size_t size) {
    for (size_t i = 0; i < format->seen_count; i++)
        if (strlen(format->seen[i]) == size && strncmp(format->seen[i], name, size) == 0)
            fail_msg("%s stands in two places", format->seen[i]);
    snprintf(format->current, sizeof format->current, "%.*s", (int)size, name);
    snprintf(format->seen[format->seen_count++], 128, "%.*s", (int)size, name);
    format->help = format->type = false;
}

static void check_line(Format *format, char *line) {
    size_t size;
    if (strncmp(line, "# HELP ", 7) == 0) {
        size = strcspn(line + 7, " ");
        assert_true(is_name(line + 7, size) && line[7 + size] == ' ' && line[8 + size]);
        begin_name(format, line + 7, size);
        format->help = true;
    } else if (strncmp(line, "# TYPE ", 7) == 0) {
        size = strcspn(line + 7, " ");
        assert_true(format->help && strncmp(line + 7, format->current, size) == 0);
        const char *type = line + 8 + size;
        assert_true(strcmp(type, "gauge") == 0 || strcmp(type, "counter") == 0);
        format->type = true;
    } else {
        size = strcspn(line, "{ ");
        char *end;
        if (!format->type || strlen(format->current) != size || strncmp(line, format->current, size) != 0)
            fail_msg("not where its name is: %s", line);
        size_t labels = line[size] == '{' ? labels_length(line + size) : 0;
        assert_true(line[size] != '{' || labels);
        assert_int_equal(line[size + labels], ' ');
        strtod(line + size + labels + 1, &end);
        if (*end) fail_msg("no number: %s", line);
        format->samples++;
    }
}

static Buffer written(const Controlled *controlled) {
    Buffer text = {0};
    ServerCounts counts = server_counts(controlled->controller->server);
    assert_done(metrics_write(controlled->controller, &counts, &text, error));
    return text;
}

static void test_every_line_is_prometheus_format(void **state) {
    Controlled controlled;
    Format format = {.samples = 0};
    char id[CHANGE_ID_SIZE];
    controlled_open(&controlled, *state);
    controlled_packages(&controlled, true);
    for (int i = 0; i < 3; i++) {
        char host[8];
        BUFFER_AUTO plan = {0};
        snprintf(host, sizeof host, "n%d", i);
        fleet_play_join(controlled_fleet(&controlled), host);
        buffer_printf(
            &plan,
            "upkeep: 1\nservice: {name: sample, root: /nowhere, run: {commands: {start: [\"true\"], "
            "stop: [\"true\"], status: [\"true\"]}}}\n"
            "package: {file: 1.0.upk, trust: [/k.pub]}\nhosts: [{name: %s}]\n"
            "health:\n  - {command: {run: [\"true\"]}, every: 10ms, healthy_after: 2, deadline: 1s}\n",
            host);
        FleetOpening opening = {.text = buffer_text(&plan), .file = "p", .by = "test"};
        assert_done(fleet_open_change(controlled_fleet(&controlled), &opening, id, error));
    }
    Buffer text = written(&controlled);
    for (char *line = text.data, *end; (end = strchr(line, '\n')); line = end + 1) {
        *end = '\0';
        check_line(&format, line);
    }
    assert_true(format.samples > 40 && format.seen_count > 10);
    buffer_free(&text);
    controlled_close(&controlled);
}

static void test_hosts_and_changes_are_counted(void **state) {
    Controlled controlled;
    char id[CHANGE_ID_SIZE];
    controlled_open(&controlled, *state);
    controlled_packages(&controlled, true);
    fleet_play_join(controlled_fleet(&controlled), "h");
    controlled_change(&controlled, "1.0", "", id);
    Buffer text = written(&controlled);
    assert_non_null(strstr(text.data, "upkeep_hosts{state=\"joined\"} 1\n"));
    assert_non_null(strstr(text.data, "upkeep_hosts{state=\"revoked\"} 0\n"));
    assert_non_null(strstr(text.data, "upkeep_changes_under_way 1\n"));
    assert_non_null(strstr(text.data, "upkeep_rollout_unavailable{change=\"CHG-"));
    buffer_free(&text);
    controlled_close(&controlled);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        test_in_folder(test_every_line_is_prometheus_format),
        test_in_folder(test_hosts_and_changes_are_counted),
    };
    return cmocka_run_group_tests_name("metrics", tests, NULL, NULL);
}
