/* report: documents for people, written from the journal. */
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"
#include "cli/cli.h"
#include "cli/session.h"
#include "report/retrospective.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>

typedef struct Form {
    const char *name;
    Document *(*build)(const Story *story, Language language, int64_t now_ms);
} Form;

static const Form forms[] = {
    {"retrospective", retrospective_build},
};

typedef struct Ending {
    const char *text; /* of the file's name */
    void (*render)(const Document *document, Buffer *out);
} Ending;

static const Ending endings[] = {
    {".md", document_to_markdown},
    {".markdown", document_to_markdown},
    {".html", document_to_html},
    {".htm", document_to_html},
};

static bool ends_with(const char *text, const char *ending) {
    size_t length = strlen(text), size = strlen(ending);
    return length > size && strcmp(text + length - size, ending) == 0;
}

static int find_form(const char *name, const Form **out, Error *error) {
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        if (strcmp(forms[i].name, name) != 0) continue;
        *out = &forms[i];
        return 0;
    }
    error_set(error, ERROR_INVALID, "there is no form of report called “%s”", name);
    return error_hint(error, "there is: %s", forms[0].name);
}

static int find_ending(const char *path, const Ending **out, Error *error) {
    for (size_t i = 0; path && i < sizeof endings / sizeof *endings; i++) {
        if (!ends_with(path, endings[i].text)) continue;
        *out = &endings[i];
        return 0;
    }
    if (!path) {
        *out = &endings[0];
        return 0;
    }
    if (ends_with(path, ".pdf")) {
        error_set(error, ERROR_INVALID, "cannot write %s: this version does not make PDF files", path);
        return error_hint(error, "write a .html file and print that one to PDF: it is laid out for A4");
    }
    error_set(error, ERROR_INVALID, "cannot tell from the name %s what to write", path);
    return error_hint(error, "end it in .md or .html");
}

/* Whole or not at all: an earlier report of that name stays until the new one is complete. */
static int write_file(const char *path, const Buffer *text, Error *error) {
    const char *slash = strrchr(path, '/');
    FREE_AUTO char *parent = slash ? strndup(path, (size_t)(slash - path) + 1) : strdup(".");
    FD_AUTO dir = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0) return error_errno(error, ERROR_SYSTEM, errno, "cannot write %s", path);
    return file_replace(dir, slash ? slash + 1 : path, buffer_text(text), text->size, 0644, error);
}

/* Standard output: the document itself, or with --json a line that holds it. */
static int write_out(const Cli *cli, const Buffer *text, Error *error) {
    FREE_AUTO char *line = NULL;
    if (cli->json) {
        JSON_AUTO row = json_object();
        json_set_text(row, "type", "report");
        json_set_text(row, "text", buffer_text(text));
        line = json_text(row);
        printf("%s\n", line);
    } else {
        fwrite(buffer_text(text), 1, text->size, stdout);
    }
    if (fflush(stdout) != 0 || ferror(stdout))
        return error_errno(error, ERROR_SYSTEM, errno, "cannot write to standard output");
    return 0;
}

static int write_report(const Cli *cli, const Arguments *arguments, Error *error) {
    ARENA_AUTO arena = arena_new();
    JOURNAL_AUTO journal = NULL;
    BUFFER_AUTO text = {0};
    STORY_AUTO story = {0};
    const Form *form = NULL;
    const Ending *ending = NULL;
    const char *path = arguments_get(arguments, "output", NULL);
    if (find_form(arguments_get(arguments, "form", "retrospective"), &form, error) < 0 ||
        find_ending(path, &ending, error) < 0 || session_journal_existing(cli, &journal, error) < 0 ||
        story_read(journal, arena, arguments->positional[0], &story, error) < 0)
        return -1;
    ending->render(form->build(&story, cli->language, clock_wall_ms(clock_system())), &text);
    if (!path) return write_out(cli, &text, error);
    if (write_file(path, &text, error) < 0) return -1;
    cli_print(cli, "%s is written.\n", path);
    return 0;
}

static int run_report(Cli *cli, const Arguments *arguments) {
    Error error = {0};
    if (write_report(cli, arguments, &error) < 0) return cli_fail(cli, &error);
    return cli_result(cli, arguments->positional[0], "succeeded", 0, NULL);
}

static const Option report_options[] = {
    {"form", 0, "NAME", TEXT("which report: retrospective (the default)"), false},
    {"output", 'o', "FILE", TEXT("write there: .md or .html (default: Markdown on standard output)"), false},
    {0},
};

const CliVerb cli_verbs_report[] = {
    {"report", "CHANGE", TEXT("write what happened in a change, as a document"),
     TEXT("The retrospective has the timeline, each step with its command, parameters, who, result and "
          "evidence, "
          "health before and after, and what was restored. A .html file is self-contained and prints well; a "
          "change that has not ended gives an interim report. Times are local, with UTC behind them."),
     "upkeep report CHG-2026-0001 --form retrospective -o report.html", report_options, 1, 1, run_report,
     true},
    {0},
};
