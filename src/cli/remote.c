#include "cli/remote.h"
#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/json.h"
#include "journal/journal_remote.h"
#include "package/package.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>

enum {
    CONFIG_MAX = 1 << 20,
    ANSWER_MAX = 64 << 20,
    PIECE = 1 << 20,
    PUBLISH_MS = 30 * 60 * 1000,
    CALL_MS = 60000
};

#define CONFIG_FILE "servers.json"

/* ---- what is kept */

static const char *config_folder(Arena *arena) {
    const char *home = getenv("HOME"), *config = getenv("XDG_CONFIG_HOME");
    if (config && *config) return arena_printf(arena, "%s/upkeep", config);
    return arena_printf(arena, "%s/.config/upkeep", home ? home : "");
}

static int open_config(Arena *arena, int *out, Error *error) {
    const char *folder = config_folder(arena);
    if (file_open_dir(folder, out, error) < 0) return -1;
    return file_check_private(*out, folder, error);
}

static json_t *load_config(int dir) {
    BUFFER_AUTO text = {0};
    json_t *json = NULL;
    if (file_read(dir, CONFIG_FILE, CONFIG_MAX, &text, NULL) < 0 ||
        json_parse(buffer_text(&text), text.size, CONFIG_FILE, &json, NULL) < 0)
        return json_object();
    return json;
}

int remote_remember(const char *url, const char *fingerprint, const char *token, Error *error) {
    ARENA_AUTO arena = arena_new();
    FD_AUTO dir = -1;
    if (open_config(arena, &dir, error) < 0) return -1;
    JSON_AUTO config = load_config(dir);
    if (token) {
        json_t *entry = json_object();
        json_set_text(entry, "fingerprint", fingerprint);
        json_set_text(entry, "token", token);
        json_object_set_new(config, url, entry);
    } else {
        json_object_del(config, url);
    }
    FREE_AUTO char *text = json_text(config);
    int result = file_replace(dir, CONFIG_FILE, text, strlen(text), 0600, error);
    explicit_bzero(text, strlen(text));
    return result;
}

/* ---- the connection */

static int no_sign_in(const char *url, Error *error) {
    error_set(error, ERROR_INVALID, "nobody has signed in at %s from here", url);
    return error_hint(
        error, "“upkeep login %s --fingerprint …” does; the controller's “upkeepd fingerprint” shows it",
        url);
}

static int make_client(const Cli *cli, CallClient **out, Error *error) {
    ARENA_AUTO arena = arena_new();
    FD_AUTO dir = -1;
    if (open_config(arena, &dir, error) < 0) return -1;
    JSON_AUTO config = load_config(dir);
    const json_t *entry = json_object_get(config, cli->server);
    const char *token = getenv("UPKEEP_TOKEN"), *fingerprint = getenv("UPKEEP_FINGERPRINT");
    if (!token || !*token) token = json_get_text(entry, "token", NULL);
    if (!fingerprint || !*fingerprint) fingerprint = json_get_text(entry, "fingerprint", NULL);
    if (!token || !fingerprint) return no_sign_in(cli->server, error);
    CallSettings settings = {
        .base_url = cli->server, .ca_fingerprint = fingerprint, .token = token, .answer_max = ANSWER_MAX};
    return call_client_new(&settings, out, error);
}

/* One a process: it is given back with the process. */
int remote_client(const Cli *cli, CallClient **out, Error *error) {
    static CallClient *client;
    if (!client && make_client(cli, &client, error) < 0) return -1;
    *out = client;
    return 0;
}

int remote_call(const Cli *cli, const char *method, const char *path, const json_t *body, json_t **answer,
                Error *error) {
    CallClient *client;
    if (remote_client(cli, &client, error) < 0) return -1;
    return journal_remote_call(client, method, path, body, CALL_MS, answer, error);
}

/* ---- changes */

static RolloutState state_of(const char *text) {
    for (int i = ROLLOUT_PENDING; i <= ROLLOUT_CANCELLED; i++)
        if (strcmp(rollout_state_text((RolloutState)i), text) == 0) return (RolloutState)i;
    return ROLLOUT_PENDING;
}

static RolloutOutcome outcome_of(const char *text) {
    for (int i = OUTCOME_SUCCEEDED; i <= OUTCOME_ABORTED; i++)
        if (strcmp(rollout_outcome_text((RolloutOutcome)i), text) == 0) return (RolloutOutcome)i;
    return OUTCOME_NONE;
}

static ChangeSummary read_summary(Arena *arena, const json_t *row) {
    const char *state = json_get_text(row, "state", "");
    return (ChangeSummary){.id = arena_strdup(arena, json_get_text(row, "change", "")),
                           .service = arena_strdup(arena, json_get_text(row, "service", "")),
                           .version = arena_strdup(arena, json_get_text(row, "version", "")),
                           .title = arena_strdup(arena, json_get_text(row, "title", NULL)),
                           .environment = arena_strdup(arena, json_get_text(row, "environment", "")),
                           .opened = arena_strdup(arena, json_get_text(row, "opened", NULL)),
                           .ended = arena_strdup(arena, json_get_text(row, "ended", NULL)),
                           .state = state_of(state),
                           .outcome = outcome_of(json_get_text(row, "outcome", "")),
                           .host_count = (size_t)json_get_integer(row, "hosts", 0),
                           .held = strcmp(state, "held") == 0};
}

int remote_changes(const Cli *cli, Arena *arena, ChangeList *out, Error *error) {
    JSON_AUTO answer = NULL;
    size_t index;
    json_t *row;
    if (remote_call(cli, "GET", "/api/v1/changes", NULL, &answer, error) < 0) return -1;
    const json_t *rows = json_object_get(answer, "changes");
    ChangeList list = {.items = ARENA_ARRAY(arena, json_array_size(rows) + 1, ChangeSummary)};
    json_array_foreach(rows, index, row) list.items[list.count++] = read_summary(arena, row);
    *out = list;
    return 0;
}

/* ---- publishing */

static int get_offset(const Cli *cli, const char *sha256, bool *published, int64_t *offset, Error *error) {
    FREE_AUTO char *path = NULL;
    JSON_AUTO answer = NULL;
    if (asprintf(&path, "/api/v1/packages/%s/upload", sha256) < 0) abort();
    if (remote_call(cli, "GET", path, NULL, &answer, error) < 0) return -1;
    *published = json_get_bool(answer, "published", false);
    *offset = json_get_integer(answer, "offset", 0);
    return 0;
}

static int send_piece(const Cli *cli, const char *sha256, int64_t offset, const void *bytes, size_t size,
                      Error *error) {
    FREE_AUTO char *path = NULL;
    JSON_AUTO answer = NULL;
    CallClient *client;
    int status;
    if (asprintf(&path, "/api/v1/packages/%s/upload?offset=%" PRId64, sha256, offset) < 0) abort();
    if (remote_client(cli, &client, error) < 0 ||
        call_bytes(client, "PUT", path, bytes, size, CALL_MS, &status, &answer, error) < 0)
        return -1;
    if (status == 200) return 0;
    return error_set(error, ERROR_REFUSED, "the controller takes no part of it: %s",
                     json_get_text(answer, "error", "without a reason"));
}

/* From where an earlier attempt ended. */
static int send_all(const Cli *cli, const Package *package, const char *sha256, int64_t offset,
                    Error *error) {
    FREE_AUTO char *piece = malloc(PIECE);
    if (!piece) abort();
    while (offset < (int64_t)package->size) {
        ssize_t got = pread(package->fd, piece, PIECE, offset);
        if (got <= 0) return error_errno(error, ERROR_SYSTEM, errno, "cannot read %s", package->path);
        if (send_piece(cli, sha256, offset, piece, (size_t)got, error) < 0) return -1;
        offset += got;
        if (cli->terminal && !cli->quiet && package->size > 8 * (uint64_t)PIECE)
            fprintf(stderr, "\r%3d %%", (int)(offset * 100 / (int64_t)package->size));
    }
    if (cli->terminal && !cli->quiet && package->size > 8 * (uint64_t)PIECE) fprintf(stderr, "\r     \r");
    return 0;
}

static int ask_publish(const Cli *cli, const char *file, const char *sha256, Error *error) {
    FREE_AUTO char *path = NULL;
    JSON_AUTO body = json_object();
    CallClient *client;
    const char *slash = strrchr(file, '/');
    json_set_text(body, "name", slash ? slash + 1 : file);
    if (asprintf(&path, "/api/v1/packages/%s/publish", sha256) < 0) abort();
    if (remote_client(cli, &client, error) < 0) return -1;
    return journal_remote_call(client, "POST", path, body, PUBLISH_MS, NULL, error);
}

int remote_publish(const Cli *cli, const char *path, char sha256[static DIGEST_TEXT_SIZE], Error *error) {
    PACKAGE_AUTO package = NULL;
    Digest digest;
    bool published;
    int64_t offset;
    if (package_open_untrusted(path, &package, error) < 0 ||
        digest_of_fd(package->fd, &digest, NULL, error) < 0)
        return -1;
    digest_to_text(&digest, sha256);
    if (get_offset(cli, sha256, &published, &offset, error) < 0) return -1;
    if (published) return 0;
    if (send_all(cli, package, sha256, offset, error) < 0) return -1;
    return ask_publish(cli, path, sha256, error);
}
