/* inspect: what a package says of itself. Nothing in it is trusted, least of all to be harmless to a
 * terminal. */
#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/json.h"
#include "base/quantity.h"
#include "cli/cli.h"
#include "package/package.h"
#include "report/character.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* What would steer a terminal, or is no UTF-8, becomes U+FFFD; a newline "?". */
static const char *printable(Arena *arena, const char *text) {
    BUFFER_AUTO safe = {0};
    for (uint32_t character; (character = character_next(&text)) != 0;)
        character_put(&safe, character == '\n' ? '?' : character);
    return arena_strdup(arena, buffer_text(&safe));
}

/* "KEY  text" when there is text. */
static void print_row(Arena *arena, const Cli *cli, const char *key, const char *text) {
    if (text && *text) cli_print(cli, "%s: %s\n", cli_text(cli, key), printable(arena, text));
}

static const char *join_words(Arena *arena, const StringList *list) {
    const char *text = "";
    for (size_t i = 0; i < list->count; i++)
        text = arena_printf(arena, "%s%s%s", text, i ? " " : "", list->items[i]);
    return text;
}

static const char *ranged(Arena *arena, const char *what, const char *range) {
    return range ? arena_printf(arena, "%s %s", what, range) : what;
}

static void print_needs(Arena *arena, const Cli *cli, const ManifestCompatibility *needs) {
    for (size_t i = 0; i < needs->os.count; i++)
        print_row(arena, cli, TEXT("operating system"),
                  ranged(arena, needs->os.items[i].id, needs->os.items[i].version));
    print_row(arena, cli, TEXT("architecture"), join_words(arena, &needs->architecture));
    print_row(arena, cli, TEXT("kernel"), needs->kernel);
    for (size_t i = 0; i < needs->commands.count; i++)
        print_row(arena, cli, TEXT("needs"),
                  ranged(arena, join_words(arena, &needs->commands.items[i].run),
                         needs->commands.items[i].version));
    print_row(arena, cli, TEXT("upgrades from"), needs->from);
}

static void print_hooks(Arena *arena, const Cli *cli, const ManifestHooks *hooks) {
    const struct {
        const char *name;
        const ManifestHook *hook;
    } rows[] = {{"prepare", hooks->prepare},
                {"before_stop", hooks->before_stop},
                {"after_start", hooks->after_start},
                {"rollback", hooks->rollback}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (rows[i].hook)
            print_row(arena, cli, TEXT("hook"),
                      arena_printf(arena, "%s: %s", rows[i].name, join_words(arena, &rows[i].hook->run)));
}

static void print_text(Arena *arena, const Cli *cli, const Package *package) {
    const ManifestHead *head = &package->manifest->head;
    const Tree *tree = package->manifest->tree;
    char digest[DIGEST_TEXT_SIZE], size[QUANTITY_TEXT_SIZE], total[QUANTITY_TEXT_SIZE];
    digest_to_text(&package->digest, digest);
    cli_print(cli, "%s %s: %zu entries, %s in files, the package %s\n", head->service, head->version,
              tree->count, quantity_size_text(tree->total_size, total),
              quantity_size_text(package->size, size));
    print_row(arena, cli, TEXT("digest"), digest);
    for (size_t i = 0; i < package->signatures.count; i++)
        print_row(arena, cli, TEXT("says it is signed by"), package->signatures.items[i].key_id);
    print_row(arena, cli, TEXT("build"), head->build.number);
    print_row(arena, cli, TEXT("commit"), head->build.commit);
    print_row(arena, cli, TEXT("tag"), head->build.tag);
    print_row(arena, cli, TEXT("built"), head->build.time);
    print_needs(arena, cli, &head->compatibility);
    print_hooks(arena, cli, &head->hooks);
}

/* As ls -l writes it. */
static void print_entry(const Cli *cli, const TreeEntry *entry) {
    static const char types[] = {
        [TREE_DIRECTORY] = 'd', [TREE_FILE] = '-', [TREE_SYMLINK] = 'l', [TREE_HARDLINK] = 'h'};
    static const char *const arrows[] = {[TREE_SYMLINK] = " -> ", [TREE_HARDLINK] = " = "};
    ARENA_AUTO arena = arena_new();
    const char *target = entry->target ? printable(arena, entry->target) : "";
    if (cli->quiet) return;
    char mode[8] = "   -", owner[32] = "-"; /* a hard link has what its file has, a link no mode */
    if (entry->type == TREE_DIRECTORY || entry->type == TREE_FILE)
        snprintf(mode, sizeof mode, "%04o", entry->mode);
    if (entry->type != TREE_HARDLINK)
        snprintf(owner, sizeof owner, "%" PRIu32 ":%" PRIu32, (uint32_t)entry->uid, (uint32_t)entry->gid);
    printf("%c %s %11s %12" PRIu64 "  %s%s%s\n", types[entry->type], mode, owner, entry->size,
           printable(arena, entry->path), entry->target ? arrows[entry->type] : "", target);
}

static void print_json(const Package *package) {
    char digest[DIGEST_TEXT_SIZE];
    digest_to_text(&package->digest, digest);
    JSON_AUTO json = manifest_head_json(&package->manifest->head);
    json_t *signatures = json_array();
    for (size_t i = 0; i < package->signatures.count; i++)
        json_array_append_new(signatures, json_string(package->signatures.items[i].key_id));
    json_object_set_new(json, "signatures", signatures);
    json_set_text(json, "type", "package");
    json_set_text(json, "digest", digest);
    json_set_integer(json, "entries", (int64_t)package->manifest->tree->count);
    json_set_integer(json, "tree_size", (int64_t)package->manifest->tree->total_size);
    json_set_integer(json, "package_size", (int64_t)package->size);
    FREE_AUTO char *line = json_text(json);
    printf("%s\n", line);
}

static void print_files(const Cli *cli, const Tree *tree) {
    BUFFER_AUTO line = {0};
    for (size_t i = 0; i < tree->count; i++) {
        if (!cli->json) {
            print_entry(cli, &tree->entries[i]);
            continue;
        }
        buffer_clear(&line);
        tree_write_line(&tree->entries[i], &line);
        printf("{\"entry\":%s,\"type\":\"entry\"}\n", line.data);
    }
}

static int run_inspect(Cli *cli, const Arguments *arguments) {
    ARENA_AUTO arena = arena_new();
    PACKAGE_AUTO package = NULL;
    Error error = {0};
    if (package_open_untrusted(arguments->positional[0], &package, &error) < 0) return cli_fail(cli, &error);
    if (cli->json)
        print_json(package);
    else
        print_text(arena, cli, package);
    if (arguments_has(arguments, "files")) print_files(cli, package->manifest->tree);
    return cli_result(cli, NULL, "succeeded", 0, NULL);
}

static const Option inspect_options[] = {
    {"files", 0, NULL, TEXT("list every entry as well"), false},
    {0},
};

const CliVerb cli_verbs_inspect[] = {
    {.name = "inspect",
     .arguments = "FILE.upk",
     .summary = TEXT("show what is in a package, without trusting it"),
     .help = TEXT("Shows what the manifest says. Nobody's signature is asked for: use “upkeep "
                  "verify” to know whether to believe it."),
     .example = "upkeep inspect node-red-4.0.9.upk --files",
     .options = inspect_options,
     .positional_min = 1,
     .positional_max = 1,
     .run = run_inspect},
    {0},
};
