/* pack, sign, verify: making packages and telling whether they are what was signed. */
#include "base/cleanup.h"
#include "base/json.h"
#include "base/quantity.h"
#include "cli/cli.h"
#include "cli/meter.h"
#include "package/pack.h"
#include "package/package.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* A package's line with --json. */
static void print_package(const Cli *cli, const char *file, const ManifestHead *head, const Digest *digest) {
    if (!cli->json) return;
    char text[DIGEST_TEXT_SIZE];
    digest_to_text(digest, text);
    JSON_AUTO json = json_object();
    json_set_text(json, "type", "package");
    json_set_text(json, "file", file);
    json_set_text(json, "service", head->service);
    json_set_text(json, "version", head->version);
    json_set_text(json, "digest", text);
    FREE_AUTO char *line = json_text(json);
    printf("%s\n", line);
}

/* ---- pack ---- */

enum { KEYS_MAX = SIGNATURES_MAX };

typedef struct Keys {
    Key *items[KEYS_MAX];
    size_t count;
} Keys;

static void keys_free(Keys *keys) {
    for (size_t i = 0; i < keys->count; i++) key_free(keys->items[i]);
}
#define KEYS_AUTO __attribute__((cleanup(keys_free))) Keys

static int load_keys(const Arguments *arguments, Keys *keys, Error *error) {
    for (const char *path; (path = arguments_get_nth(arguments, "key", keys->count));) {
        if (keys->count == KEYS_MAX)
            return error_set(error, ERROR_INVALID, "there are %d signatures already", KEYS_MAX);
        if (key_load_private(path, &keys->items[keys->count], error) < 0) return -1;
        keys->count++;
    }
    if (keys->count > 0) return 0;
    return error_set(error, ERROR_INVALID, "--key NAME.key is needed; “upkeep key new NAME” makes one");
}

/* Digits alone, at most `maximum`. */
static int parse_number(const char *text, const char *option, uint64_t minimum, uint64_t maximum,
                        uint64_t *out, Error *error) {
    size_t digits = strspn(text, "0123456789");
    uint64_t value = digits > 0 && digits <= 18 && !text[digits] ? strtoull(text, NULL, 10) : UINT64_MAX;
    if (value < minimum || value > maximum)
        return error_set(error, ERROR_INVALID,
                         "--%s must be a number from %" PRIu64 " to %" PRIu64 ", not %s", option, minimum,
                         maximum, text);
    *out = value;
    return 0;
}

static int read_owner(const char *text, PackSpec *spec, Error *error) {
    const char *colon = strchr(text, ':');
    FREE_AUTO char *user = strndup(text, colon ? (size_t)(colon - text) : 0);
    uint64_t uid = 0, gid = 0;
    if (!user) abort();
    if (parse_number(user, "owner", 0, UINT32_MAX - 1, &uid, error) < 0) return -1;
    if (parse_number(colon ? colon + 1 : "", "owner", 0, UINT32_MAX - 1, &gid, error) < 0) return -1;
    spec->set_owner = true;
    spec->uid = (uid_t)uid;
    spec->gid = (gid_t)gid;
    return 0;
}

static int read_head(Arena *arena, const Arguments *arguments, ManifestHead *head, Error *error) {
    const char *manifest = arguments_get(arguments, "manifest", NULL);
    if (manifest && manifest_read_details(arena, manifest, head, error) < 0) return -1;
    head->service = arguments_get(arguments, "name", NULL);
    head->version = arguments_get(arguments, "version", NULL);
    if (!head->service || !head->version)
        return error_set(error, ERROR_INVALID, "--name and --version are needed");
    return 0;
}

static int read_spec(Arena *arena, const Arguments *arguments, PackSpec *spec, Error *error) {
    uint64_t level = FRAME_LEVEL_DEFAULT;
    const char *level_text = arguments_get(arguments, "level", NULL),
               *owner = arguments_get(arguments, "owner", NULL);
    if (level_text && parse_number(level_text, "level", FRAME_LEVEL_MIN, FRAME_LEVEL_MAX, &level, error) < 0)
        return -1;
    if (owner && read_owner(owner, spec, error) < 0) return -1;
    spec->level = (int)level;
    spec->directory = arguments->positional[0];
    spec->output = arguments_get(arguments, "output", NULL);
    if (!spec->output)
        spec->output = arena_printf(arena, "%s-%s.upk", spec->head->service, spec->head->version);
    return 0;
}

static int run_pack(Cli *cli, const Arguments *arguments) {
    ARENA_AUTO arena = arena_new();
    KEYS_AUTO keys = {.count = 0};
    ManifestHead head = {.service = NULL};
    PackSpec spec = {.head = &head};
    PackResult result;
    Error error = {0};
    if (read_head(arena, arguments, &head, &error) < 0 || read_spec(arena, arguments, &spec, &error) < 0 ||
        load_keys(arguments, &keys, &error) < 0)
        return cli_fail(cli, &error);
    spec.keys = keys.items;
    spec.key_count = keys.count;
    METER_AUTO meter;
    spec.wish = meter_begin(&meter, cli, TEXT("packing"));
    int packed = pack_write(&spec, &result, &error);
    meter_end(&meter);
    if (packed < 0) return cli_fail(cli, &error);
    char digest[DIGEST_TEXT_SIZE], tree[QUANTITY_TEXT_SIZE], size[QUANTITY_TEXT_SIZE];
    digest_to_text(&result.digest, digest);
    cli_print(cli, "%s: %s %s, %zu entries, %s packed into %s\n", spec.output, head.service, head.version,
              result.entries, quantity_size_text(result.tree_size, tree),
              quantity_size_text(result.package_size, size));
    cli_print(cli, "digest %s\n", digest);
    print_package(cli, spec.output, &head, &result.digest);
    return cli_result(cli, NULL, "succeeded", 0, NULL);
}

static const Option pack_options[] = {
    {"name", 0, "SERVICE", TEXT("the service that the package is for"), false},
    {"version", 0, "V", TEXT("its version"), false},
    {"key", 'k', "NAME.key", TEXT("sign with it; may be given several times"), true},
    {"output", 'o', "FILE", TEXT("write there (default: SERVICE-V.upk)"), false},
    {"manifest", 'm', "M.yaml", TEXT("build, compatibility and hooks to put into the manifest"), false},
    {"level", 0, "N", TEXT("zstd level, 1 to 19 (default: 9)"), false},
    {"owner", 0, "UID:GID", TEXT("owner of every entry (default: as found)"), false},
    {0},
};

/* ---- sign ---- */

static int run_sign(Cli *cli, const Arguments *arguments) {
    const char *path = arguments->positional[0];
    KEYS_AUTO keys = {.count = 0};
    Error error = {0};
    size_t count = 0;
    if (load_keys(arguments, &keys, &error) < 0) return cli_fail(cli, &error);
    for (size_t i = 0; i < keys.count; i++) {
        METER_AUTO meter;
        ProgressWish wish = meter_begin(&meter, cli, TEXT("verifying"));
        int signed_now = package_sign(path, keys.items[i], &wish, &count, &error);
        meter_end(&meter);
        if (signed_now < 0) return cli_fail(cli, &error);
        cli_print(cli, "%s: signed by the key %s, %zu signatures now\n", path, key_id(keys.items[i]), count);
    }
    return cli_result(cli, NULL, "succeeded", 0, NULL);
}

static const Option sign_options[] = {
    {"key", 'k', "NAME.key", TEXT("sign with it; may be given several times"), true},
    {0},
};

/* ---- verify ---- */

static int load_trust(const Arguments *arguments, Trust **out, Error *error) {
    const char *paths[KEYS_MAX];
    size_t count = 0;
    for (const char *path; count < KEYS_MAX && (path = arguments_get_nth(arguments, "trust", count));)
        paths[count++] = path;
    if (count == 0)
        return error_set(error, ERROR_INVALID, "--trust NAME.pub is needed: whose signature shall count?");
    uint64_t threshold = 1;
    const char *text = arguments_get(arguments, "signatures", NULL);
    if (text && parse_number(text, "signatures", 1, KEYS_MAX, &threshold, error) < 0) return -1;
    return trust_load(paths, count, (int64_t)threshold, out, error);
}

static int run_verify(Cli *cli, const Arguments *arguments) {
    const char *path = arguments->positional[0];
    TRUST_AUTO trust = NULL;
    PACKAGE_AUTO package = NULL;
    Error error = {0};
    if (load_trust(arguments, &trust, &error) < 0 || package_open(path, trust, &package, &error) < 0)
        return cli_fail(cli, &error);
    METER_AUTO meter;
    ProgressWish wish = meter_begin(&meter, cli, TEXT("verifying"));
    int verified = package_verify(package, &wish, &error);
    meter_end(&meter);
    if (verified < 0) return cli_fail(cli, &error);
    const ManifestHead *head = &package->manifest->head;
    cli_print(
        cli,
        package->report.valid_count == 1
            ? "%s: %s %s, signed by %zu trusted key; %zu entries and every byte of them are what was signed\n"
            : "%s: %s %s, signed by %zu trusted keys; %zu entries and every byte of them are what was "
              "signed\n",
        path, head->service, head->version, package->report.valid_count, package->manifest->tree->count);
    print_package(cli, path, head, &package->digest);
    return cli_result(cli, NULL, "succeeded", 0, NULL);
}

static const Option verify_options[] = {
    {"trust", 't', "NAME.pub", TEXT("a key whose signature counts; may be given several times"), true},
    {"signatures", 0, "N", TEXT("how many of them must have signed (default: 1)"), false},
    {0},
};

const CliVerb cli_verbs_package[] = {
    {.name = "pack",
     .arguments = "DIR",
     .summary = TEXT("make a signed package of a folder"),
     .help = TEXT("Everything in DIR goes in, with modes, owners, links, extended attributes and "
                  "holes. The same folder gives the same bytes. M.yaml may say build (number, commit, "
                  "tag, time), compatibility (os, architecture, kernel, commands, from) and hooks "
                  "(prepare, before_stop, after_start, rollback)."),
     .example = "upkeep pack build/ --name node-red --version 4.0.9 --key release.key -o node-red-4.0.9.upk",
     .options = pack_options,
     .positional_min = 1,
     .positional_max = 1,
     .run = run_pack},
    {.name = "sign",
     .arguments = "FILE.upk",
     .summary = TEXT("add a signature to a package"),
     .help = TEXT("Verifies every byte of the package, then adds a signature by each key given. So "
                  "several people can sign one package, and a plan can ask for more than one of them "
                  "(package.signatures)."),
     .example = "upkeep sign node-red-4.0.9.upk --key alice.key",
     .options = sign_options,
     .positional_min = 1,
     .positional_max = 1,
     .run = run_sign},
    {.name = "verify",
     .arguments = "FILE.upk",
     .summary = TEXT("check a package's signatures and every digest"),
     .help = TEXT("Succeeds only when enough of the trusted keys have signed the package and every "
                  "byte of it is what they signed."),
     .example = "upkeep verify node-red-4.0.9.upk --trust release.pub",
     .options = verify_options,
     .positional_min = 1,
     .positional_max = 1,
     .run = run_verify},
    {0},
};
