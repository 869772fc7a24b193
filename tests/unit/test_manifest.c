#include "base/cleanup.h"
#include "base/json.h"
#include "package/manifest.h"
#include "support/sample.h"

#define DIGEST_A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define DIGEST_B "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"

#define HEAD(size)                                                                                           \
    "{\"build\":{},\"compatibility\":{},\"content_size\":" size                                              \
    ",\"hooks\":{},\"migrations\":[],\"service\":\"s\","                                                     \
    "\"upkeep_package\":1,\"version\":\"1\",\"frames\":[\n"
#define FRAME(bytes, size) "{\"bytes\":" bytes ",\"sha256\":\"" DIGEST_A "\",\"size\":" size "}"
#define ENTRIES            "],\"entries\":[\n"
#define FILE_ENTRY(path, digest, size)                                                                       \
    "{\"mode\":\"0644\",\"owner\":\"0:0\",\"path\":\"" path "\",\"sha256\":\"" digest "\",\"size\":" size    \
    ",\"type\":\"file\"}"
#define END "]}\n"

static const char good[] =
    HEAD("4194309") FRAME("100", "4194304") ",\n" FRAME("5", "5") "\n" ENTRIES FILE_ENTRY(
        "a", DIGEST_A, "4194304") ",\n" FILE_ENTRY("b", DIGEST_B, "5") ",\n" FILE_ENTRY("c", DIGEST_A,
                                                                                        "4194304") "\n" END;

static void refuse(const char *text) {
    Manifest *none = NULL;
    Error error = {0};
    if (manifest_parse(text, strlen(text), &none, &error) == 0) fail_msg("accepts %s", text);
    assert_int_equal(error.kind, ERROR_INVALID);
}

static void test_reads_and_writes_the_same_text(void **state) {
    (void)state;
    MANIFEST_AUTO manifest = NULL;
    assert_done(manifest_parse(good, sizeof good - 1, &manifest, error));
    assert_int_equal(manifest->frame_count, 2);
    assert_int_equal(manifest->tree->count, 3);
    assert_string_equal(manifest->head.service, "s");
    BUFFER_AUTO text = {0};
    manifest_write(&manifest->head, manifest->frames, manifest->frame_count, manifest->tree, &text);
    assert_string_equal(text.data, good);
    JSON_AUTO json = NULL; /* and it is ordinary JSON */
    assert_done(json_parse(good, sizeof good - 1, "manifest", &json, error));
    assert_int_equal(json_array_size(json_object_get(json, "entries")), 3);
}

static void test_an_empty_package_is_one_too(void **state) {
    (void)state;
    static const char text[] = HEAD("0") ENTRIES END;
    MANIFEST_AUTO manifest = NULL;
    assert_done(manifest_parse(text, sizeof text - 1, &manifest, error));
    BUFFER_AUTO again = {0};
    manifest_write(&manifest->head, NULL, 0, manifest->tree, &again);
    assert_string_equal(again.data, text);
}

static void test_refuses_every_cut(void **state) {
    (void)state;
    Manifest *none = NULL;
    for (size_t size = 0; size < sizeof good - 1; size++) {
        char *cut = strndup(good, size);
        assert_int_equal(manifest_parse(cut, size, &none, NULL), -1);
        free(cut);
    }
}

static void test_refuses_another_layout(void **state) {
    (void)state;
    static const char *const texts[] = {
        HEAD("0") ENTRIES END " ",
        HEAD("0") ENTRIES END "\n",
        "\n" HEAD("0") ENTRIES END,
        HEAD("0") ENTRIES ENTRIES END,
        HEAD("0") "\n" ENTRIES END,
        HEAD("5") FRAME("5", "5") ",\n" ENTRIES FILE_ENTRY("a", DIGEST_A, "5") "\n" END,
        HEAD("5") FRAME("5", "5") "\n" ENTRIES FILE_ENTRY("a", DIGEST_A, "5") ",\n" END,
        HEAD("5") FRAME("5", "5") "\n" ENTRIES FILE_ENTRY("a", DIGEST_A, "5") "\n" FILE_ENTRY("b", DIGEST_A,
                                                                                              "5") "\n" END,
        HEAD("0") ENTRIES "{}\n" END,
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) refuse(texts[i]);
}

static void test_refuses_frames_that_lie(void **state) {
    (void)state;
#define TAIL "\n" ENTRIES FILE_ENTRY("a", DIGEST_A, "5") "\n" END
    static const char *const texts[] = {
        HEAD("5") ENTRIES FILE_ENTRY("a", DIGEST_A, "5") "\n" END, /* none */
        HEAD("5") FRAME("5", "4") TAIL,                            /* too short */
        HEAD("5") FRAME("5", "6") TAIL,                            /* too long */
        HEAD("5") FRAME("5", "4194304") TAIL,                      /* a bomb */
        HEAD("5") FRAME("5", "5") ",\n" FRAME("5", "5") TAIL,      /* one too many */
        HEAD("5") FRAME("0", "5") TAIL,                            /* of no bytes */
        HEAD("5") FRAME("-1", "5") TAIL,
        HEAD("5") FRAME("1099511627776", "5") TAIL,
        HEAD("5") FRAME("5.0", "5") TAIL,
        HEAD("4") FRAME("5", "4") TAIL, /* another size of content */
        HEAD("6") FRAME("5", "6") TAIL,
        HEAD("-1") TAIL,
        HEAD("1099511627776") FRAME("5", "4194304") TAIL,
        HEAD("9223372036854775807") FRAME("5", "4194304") TAIL,
        HEAD("5") "{\"bytes\":5,\"sha256\":\"" DIGEST_A "\",\"size\":5,\"x\":1}" TAIL,
        HEAD("5") "{\"bytes\":5,\"sha256\":\"" DIGEST_A "0\",\"size\":5}" TAIL,
        HEAD("5") "{\"bytes\":5,\"size\":5}" TAIL,
        HEAD("5") "5" TAIL,
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) refuse(texts[i]);
}

static void test_refuses_heads_that_are_none(void **state) {
    (void)state;
#define REST  ",\"frames\":[\n" ENTRIES END
#define NAMED "\"service\":\"s\",\"version\":\"1\",\"content_size\":0"
    static const char *const texts[] = {
        "{" REST,
        "{}" REST,
        "{" NAMED REST, /* no format */
        "{" NAMED ",\"upkeep_package\":0" REST,
        "{" NAMED ",\"upkeep_package\":2" REST,
        "{" NAMED ",\"upkeep_package\":\"1\"" REST,
        "{" NAMED ",\"upkeep_package\":1,\"more\":1" REST,
        "{" NAMED ",\"upkeep_package\":1,\"migrations\":[\"m\"]" REST,
        "{" NAMED ",\"upkeep_package\":1,\"upkeep_package\":1" REST,
        "{" NAMED ",\"upkeep_package\":1,\"hooks\":{\"prepare\":{}}" REST,
        "{" NAMED ",\"upkeep_package\":1,\"hooks\":{\"prepare\":{\"run\":[]}}" REST,
        "{" NAMED ",\"upkeep_package\":1,\"hooks\":{\"explode\":{\"run\":[\"x\"]}}" REST,
        "{" NAMED ",\"upkeep_package\":1,\"compatibility\":{\"from\":\"about 3\"}" REST,
        "{" NAMED ",\"upkeep_package\":1,\"compatibility\":{\"os\":[{\"version\":\"12\"}]}" REST,
        "{\"service\":\"../s\",\"version\":\"1\",\"content_size\":0,\"upkeep_package\":1" REST,
        "{\"service\":\"s\",\"version\":\"../1\",\"content_size\":0,\"upkeep_package\":1" REST,
        "{\"service\":\"s\",\"version\":\".\",\"content_size\":0,\"upkeep_package\":1" REST,
        "{\"service\":\"s\",\"version\":\"..\",\"content_size\":0,\"upkeep_package\":1" REST,
        "{\"service\":\"s\",\"version\":\"\",\"content_size\":0,\"upkeep_package\":1" REST,
        "{\"service\":\"s\",\"content_size\":0,\"upkeep_package\":1" REST,
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) refuse(texts[i]);
    static const char least[] = "{" NAMED ",\"upkeep_package\":1" REST;
    MANIFEST_AUTO manifest = NULL;
    assert_done(manifest_parse(least, sizeof least - 1, &manifest, error));
}

static void test_refuses_more_entries_than_the_limit(void **state) {
    (void)state;
    TREE_AUTO tree = tree_new();
    tree->entries = calloc(TREE_ENTRIES_MAX, sizeof *tree->entries); /* untouched, so it takes no memory */
    tree->count = tree->capacity = TREE_ENTRIES_MAX;
    tree->entries[TREE_ENTRIES_MAX - 1].path = "a";
    static const char line[] = FILE_ENTRY("b", DIGEST_A, "1");
    assert_refused(tree_parse_line(tree, line, sizeof line - 1, error), ERROR_INVALID,
                   "more than 2000000 entries");
    Manifest *none = NULL;
    assert_refused(manifest_parse(NULL, (size_t)MANIFEST_SIZE_MAX + 1, &none, error), ERROR_INVALID,
                   "larger than 512");
}

static const char details[] =
    "build: {number: 17, commit: 0123abc, tag: v4.0.9, time: 2026-11-21T20:00:00Z}\n"
    "compatibility:\n"
    "  os: [{id: debian, version: \">=12\"}, {id: ubuntu}]\n"
    "  architecture: [x86_64]\n"
    "  kernel: \">=5.10\"\n"
    "  commands: [{run: [node, --version], version: \">=18 <23\"}]\n"
    "  from: \">=3.1 <4\"\n"
    "hooks:\n"
    "  prepare: {run: [bin/prepare, --now]}\n"
    "  rollback: {run: [bin/rollback], timeout: 30s}\n";

static void test_reads_what_people_write(void **state) {
    TestFolder *folder = *state;
    char path[128];
    snprintf(path, sizeof path, "%s/m.yaml", folder->path);
    sample_text(folder->fd, "m.yaml", details);
    ARENA_AUTO arena = arena_new();
    ManifestHead head = {.service = NULL};
    assert_done(manifest_read_details(arena, path, &head, error));
    assert_string_equal(head.build.number, "17");
    assert_string_equal(head.build.commit, "0123abc");
    assert_int_equal(head.compatibility.os.count, 2);
    assert_string_equal(head.compatibility.os.items[1].id, "ubuntu");
    assert_string_equal(head.compatibility.commands.items[0].run.items[1], "--version");
    assert_int_equal(head.compatibility.commands.items[0].timeout_ms, 30000);
    assert_int_equal(head.hooks.prepare->timeout_ms, 300000);
    assert_int_equal(head.hooks.rollback->timeout_ms, 30000);
    assert_null(head.hooks.before_stop);

    head.service = "s"; /* and through a manifest it comes back the same */
    head.version = "1";
    head.upkeep_package = MANIFEST_FORMAT;
    TREE_AUTO tree = tree_new();
    BUFFER_AUTO text = {0};
    BUFFER_AUTO again = {0};
    manifest_write(&head, NULL, 0, tree, &text);
    MANIFEST_AUTO manifest = NULL;
    assert_done(manifest_parse(text.data, text.size, &manifest, error));
    manifest_write(&manifest->head, NULL, 0, tree, &again);
    assert_string_equal(text.data, again.data);
    assert_string_equal(manifest->head.hooks.prepare->run.items[0], "bin/prepare");
}

static void test_says_where_people_went_wrong(void **state) {
    TestFolder *folder = *state;
    static const struct {
        const char *text, *says;
    } cases[] = {{"build: {comit: x}\n", "m.yaml:1:9: build: unknown key “comit”; did you mean “commit”?"},
                 {"service: x\n", "unknown key “service”"},
                 {"hooks:\n  prepare: {timeout: 5s}\n", "“run” is missing"},
                 {"compatibility: {from: newest}\n", "“newest” is no range of versions"}};
    char path[128];
    snprintf(path, sizeof path, "%s/m.yaml", folder->path);
    ARENA_AUTO arena = arena_new();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        ManifestHead head = {.service = NULL};
        sample_text(folder->fd, "m.yaml", cases[i].text);
        assert_refused(manifest_read_details(arena, path, &head, error), ERROR_INVALID, cases[i].says);
    }
}

static void test_publishes_its_schema(void **state) {
    (void)state;
    JSON_AUTO schema = manifest_details_schema();
    const json_t *properties = json_object_get(schema, "properties");
    assert_non_null(json_object_get(properties, "compatibility"));
    assert_null(json_object_get(properties, "service"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reads_and_writes_the_same_text),
        cmocka_unit_test(test_an_empty_package_is_one_too),
        cmocka_unit_test(test_refuses_every_cut),
        cmocka_unit_test(test_refuses_another_layout),
        cmocka_unit_test(test_refuses_frames_that_lie),
        cmocka_unit_test(test_refuses_heads_that_are_none),
        cmocka_unit_test(test_refuses_more_entries_than_the_limit),
        test_in_folder(test_reads_what_people_write),
        test_in_folder(test_says_where_people_went_wrong),
        cmocka_unit_test(test_publishes_its_schema),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
