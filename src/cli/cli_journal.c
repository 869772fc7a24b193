/* journal verify, journal show, journal export: the audit. */
#include "base/cleanup.h"
#include "base/json.h"
#include "cli/cli.h"
#include "cli/session.h"
#include <inttypes.h>
#include <string.h>

static int run_verify(Cli *cli, const Arguments *arguments) {
    (void)arguments;
    JOURNAL_AUTO journal = NULL;
    int64_t count = 0, last = 0;
    Digest head;
    char text[DIGEST_TEXT_SIZE];
    Error error;
    if (session_journal_existing(cli, &journal, &error) < 0 || journal_verify(journal, &count, &error) < 0 ||
        journal_head(journal, &last, &head, &error) < 0)
        return cli_fail(cli, &error);
    digest_to_text(&head, text);
    cli_print(cli, "%" PRId64 " events, the chain is whole. Head: %s\n", count, text);
    if (cli->json) printf("{\"type\":\"journal\",\"events\":%" PRId64 ",\"head\":\"%s\"}\n", count, text);
    return cli_result(cli, NULL, "succeeded", 0, NULL);
}

static int show_event(void *context, int64_t sequence, const json_t *event, Error *error) {
    (void)error;
    const Cli *cli = context;
    if (cli->json) {
        FREE_AUTO char *line = json_text(event);
        printf("%s\n", line);
        return 0;
    }
    static const char *const shown[] = {"order", "step", "stage", "verdict", "outcome", "by", "why", "error"};
    printf("%6" PRId64 "  %.23s  %-14s %-10s %-18s", sequence, json_get_text(event, "time", ""),
           json_get_text(event, "change", ""), json_get_text(event, "host", ""),
           json_get_text(event, "type", ""));
    for (size_t i = 0; i < sizeof shown / sizeof *shown; i++) {
        const char *value = json_get_text(event, shown[i], NULL);
        if (value) printf(" %s=%s", shown[i], value);
    }
    printf("\n");
    return 0;
}

static int run_show(Cli *cli, const Arguments *arguments) {
    JOURNAL_AUTO journal = NULL;
    Error error;
    const char *change = arguments->positional_count ? arguments->positional[0] : NULL;
    if (session_journal_existing(cli, &journal, &error) < 0 ||
        journal_read(journal, 0, change, show_event, cli, &error) < 0)
        return cli_fail(cli, &error);
    return 0;
}

static int export_row(void *context, const JournalRow *row, Error *error) {
    (void)error;
    char hash[DIGEST_TEXT_SIZE];
    digest_to_text(&row->hash, hash);
    fprintf(context, "%s %.*s\n", hash, (int)row->size, row->text);
    return 0;
}

/* Everything, in the form that anybody can verify with sha256sum alone: "HASH TEXT" a line. */
static int run_export(Cli *cli, const Arguments *arguments) {
    JOURNAL_AUTO journal = NULL;
    Error error;
    const char *path = arguments_get(arguments, "output", NULL);
    if (session_journal_existing(cli, &journal, &error) < 0) return cli_fail(cli, &error);
    FILE *file = path ? fopen(path, "we") : stdout;
    int result = file ? journal_rows(journal, 0, NULL, export_row, file, &error)
                      : error_set(&error, ERROR_SYSTEM, "cannot write %s", path);
    if (file && fflush(file) != 0 && result == 0)
        result = error_set(&error, ERROR_SYSTEM, "cannot write %s", path ? path : "");
    if (file && path && fclose(file) != 0 && result == 0)
        result = error_set(&error, ERROR_SYSTEM, "cannot write %s", path);
    return result < 0 ? cli_fail(cli, &error) : 0;
}

static const Option export_options[] = {
    {"output", 'o', "FILE", TEXT("write there (default: standard output)"), false},
    {0},
};

const CliVerb cli_verbs_journal[] = {
    {"journal verify", "", TEXT("hold every event against the hash chain"),
     TEXT("Altering, removing or reordering an event is detected. Keep the head it prints somewhere else to "
          "detect that the "
          "end was cut off."),
     "upkeep journal verify", NULL, 0, 0, run_verify, true},
    {"journal show", "[CHANGE]", TEXT("show the events, of one change or of all"), "",
     "upkeep journal show CHG-2026-0001", NULL, 0, 1, run_show, true},
    {"journal export", "", TEXT("write all events with their hashes, to be verified elsewhere"), "",
     "upkeep journal export -o journal.txt", export_options, 0, 0, run_export, true},
    {0},
};
