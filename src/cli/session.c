#include "cli/session.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/process.h"
#include "base/reserve.h"
#include "cli/remote.h"
#include "journal/journal_remote.h"
#include "journal/journal_sqlite.h"
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PLAN_SIZE_MAX = 1024 * 1024 };

int session_journal(const Cli *cli, Journal **out, Error *error) {
    FD_AUTO dir = -1;
    if (file_open_dir(cli->state, &dir, error) < 0) return error_hint(error, "choose another with --state");
    if (fchmod(dir, 0700) != 0 && errno != EPERM)
        return error_errno(error, ERROR_SYSTEM, errno, "cannot set the mode of %s", cli->state);
    reserve_keep(dir, NULL); /* without it a full disk stops us sooner, and that is all */
    FREE_AUTO char *path = file_join(cli->state, "journal.sqlite");
    return journal_sqlite_open(path, out, error);
}

int session_journal_existing(const Cli *cli, Journal **out, Error *error) {
    FREE_AUTO char *path = file_join(cli->state, "journal.sqlite");
    CallClient *client;
    if (cli->server) {
        if (remote_client(cli, &client, error) < 0) return -1;
        *out = journal_remote_new(client);
        return 0;
    }
    if (access(path, F_OK) != 0) {
        error_set(error, ERROR_INVALID, "there is no journal in %s", cli->state);
        return error_hint(error, "choose another with --state");
    }
    return journal_sqlite_open(path, out, error);
}

static const char *folder_of(Arena *arena, const char *file) {
    FREE_AUTO char *real = realpath(file, NULL);
    if (!real) return ".";
    return arena_strdup(arena, dirname(real));
}

int session_plan_text(const char *file, Buffer *out, Error *error) {
    if (file_read(AT_FDCWD, file, PLAN_SIZE_MAX, out, error) == 0) return 0;
    if (error->number == ENOENT || error->number == EISDIR || error->number == EACCES)
        error->kind = ERROR_INVALID;
    return -1;
}

int session_plan_only(Arena *arena, const char *file, Plan **out, Error *error) {
    BUFFER_AUTO text = {0};
    if (session_plan_text(file, &text, error) < 0) return -1;
    return plan_compile(arena, file, folder_of(arena, file), buffer_text(&text), text.size, out, error);
}

int session_plan_open(Arena *arena, const char *file, Plan **out, Error *error) {
    BUFFER_AUTO text = {0};
    if (session_plan_text(file, &text, error) < 0) return -1;
    return plan_read(arena, file, folder_of(arena, file), buffer_text(&text), text.size, out, error);
}

int session_plan(Arena *arena, const char *file, SessionPlan *out, Error *error) {
    SessionPlan plan = {.file = file};
    TRUST_AUTO trust = NULL;
    if (session_plan_only(arena, file, &plan.plan, error) < 0) return -1;
    const PlanPackage *package = &plan.plan->package;
    if (trust_load(package->trust.items, package->trust.count, package->signatures, &trust, error) < 0 ||
        package_open(package->file, trust, &plan.package, error) < 0) {
        if (error->number == ENOENT) error->kind = ERROR_INVALID;
        return -1;
    }
    const ManifestHead *manifest = &plan.package->manifest->head;
    plan.version = arena_strdup(arena, manifest->version);
    plan.digest = plan_digest(plan.plan, &plan.package->digest);
    if (strcmp(manifest->service, plan.plan->service.name) != 0) {
        error_set(error, ERROR_INVALID, "%s: the package is of the service %s, the plan of %s", file,
                  manifest->service, plan.plan->service.name);
        package_close(plan.package);
        return -1;
    }
    *out = plan;
    return 0;
}

const char *session_who(Arena *arena) {
    char host[HOST_NAME_MAX + 1] = "localhost";
    ProcessUser user;
    const char *sudo = getenv("SUDO_USER");
    gethostname(host, sizeof host);
    host[sizeof host - 1] = '\0';
    if (process_user_find(NULL, &user, NULL) < 0)
        return arena_printf(arena, "uid %d@%s", (int)getuid(), host);
    if (sudo && *sudo) return arena_printf(arena, "%.64s (as %s)@%s", sudo, user.name, host);
    return arena_printf(arena, "%s@%s", user.name, host);
}

int session_changes(const Cli *cli, Journal *journal, Arena *arena, ChangeList *out, Error *error) {
    return cli->server ? remote_changes(cli, arena, out, error) : change_list(journal, arena, out, error);
}
