#include "support/crowd.h"
#include "trust/people_file.h"

#include "base/buffer.h"
#include "base/cleanup.h"
#include <string.h>

#define HASH "0000000000000000000000000000000000000000000000000000000000000000"
#define PASSWORD                                                                                             \
    "$argon2id$v=19$m=65536,t=3,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
#define NAME      "\"name\":\"ada\""
#define ROLE      "\"role\":\"admin\""
#define STAMP     "\"stamp\":\"abcdefghij\""
#define CREATED   "\"created_ms\":5"
#define DISABLED  "\"disabled\":false"
#define NO_WORD   "\"password\":\"\""
#define NO_TOKENS "\"tokens\":[]"
#define TOKEN(id, label, hash, created, expires)                                                             \
    "{\"id\":\"" id "\",\"label\":\"" label "\",\"hash\":\"" hash "\",\"created_ms\":" created               \
    ",\"expires_ms\":" expires "}"
#define GOOD_TOKEN  TOKEN("abcdefghij", "x", HASH, "5", "9")
#define LIST(inner) "{\"format\":1,\"people\":[" inner "]}"
#define ADA(name, role, stamp, created, disabled, password, tokens)                                          \
    "{" name "," role "," stamp "," created "," disabled "," password "," tokens "}"
#define WITH_TOKENS(tokens)                                                                                  \
    LIST(ADA(NAME, ROLE, STAMP, CREATED, DISABLED, NO_WORD, "\"tokens\":[" tokens "]"))

static const char *const damaged[] = {
    "",
    "{",
    "[]",
    "{}",
    "null",
    "{\"format\":1}",
    "{\"people\":[]}",
    "{\"format\":2,\"people\":[]}",
    "{\"format\":\"1\",\"people\":[]}",
    "{\"format\":1,\"people\":{}}",
    "{\"format\":1,\"people\":[],\"more\":1}",
    "{\"format\":1,\"people\":[]}x",
    "{\"format\":1,\"format\":1,\"people\":[]}",
    LIST("1"),
    LIST("{}"),
    LIST("[]"),
    LIST(ADA("\"name\":\"\"", ROLE, STAMP, CREATED, DISABLED, NO_WORD, NO_TOKENS)),
    LIST(ADA("\"name\":\"a b\"", ROLE, STAMP, CREATED, DISABLED, NO_WORD, NO_TOKENS)),
    LIST(ADA("\"name\":7", ROLE, STAMP, CREATED, DISABLED, NO_WORD, NO_TOKENS)),
    LIST(ADA(NAME, "\"role\":\"root\"", STAMP, CREATED, DISABLED, NO_WORD, NO_TOKENS)),
    LIST(ADA(NAME, "\"role\":3", STAMP, CREATED, DISABLED, NO_WORD, NO_TOKENS)),
    LIST(ADA(NAME, ROLE, "\"stamp\":\"short\"", CREATED, DISABLED, NO_WORD, NO_TOKENS)),
    LIST(ADA(NAME, ROLE, STAMP, "\"created_ms\":0", DISABLED, NO_WORD, NO_TOKENS)),
    LIST(ADA(NAME, ROLE, STAMP, "\"created_ms\":5.0", DISABLED, NO_WORD, NO_TOKENS)),
    LIST(ADA(NAME, ROLE, STAMP, CREATED, "\"disabled\":0", NO_WORD, NO_TOKENS)),
    LIST(ADA(NAME, ROLE, STAMP, CREATED, "\"disabled\":null", NO_WORD, NO_TOKENS)),
    LIST(ADA(NAME, ROLE, STAMP, CREATED, DISABLED, "\"password\":\"secret\"", NO_TOKENS)),
    LIST(ADA(NAME, ROLE, STAMP, CREATED, DISABLED, "\"password\":null", NO_TOKENS)),
    LIST(ADA(NAME, ROLE, STAMP, CREATED, DISABLED, "\"password\":\"" PASSWORD "A\"", NO_TOKENS)),
    LIST(ADA(NAME, ROLE, STAMP, CREATED, DISABLED, NO_WORD, "\"tokens\":{}")),
    LIST(ADA(NAME, ROLE, STAMP, CREATED, DISABLED, NO_WORD, "\"token\":[]")),
    LIST(ADA(NAME, ROLE, STAMP, CREATED, DISABLED, NO_WORD, NO_TOKENS ",\"more\":1")),
    /* twice, or alike */
    LIST(ADA(NAME, ROLE, STAMP, CREATED, DISABLED, NO_WORD,
             NO_TOKENS) "," ADA("\"name\":\"AdA\"", ROLE, STAMP, CREATED, DISABLED, NO_WORD, NO_TOKENS)),
    WITH_TOKENS("1"),
    WITH_TOKENS("{}"),
    WITH_TOKENS(TOKEN("short", "x", HASH, "5", "9")),
    WITH_TOKENS(TOKEN("ABCDEFGHIJ", "x", HASH, "5", "9")),
    WITH_TOKENS(TOKEN("abcdefghij", "", HASH, "5", "9")),
    WITH_TOKENS(TOKEN("abcdefghij", "a\\u0007b", HASH, "5", "9")),
    WITH_TOKENS(TOKEN("abcdefghij", "x", "00", "5", "9")),
    WITH_TOKENS(TOKEN("abcdefghij", "x", HASH, "0", "9")),
    WITH_TOKENS(TOKEN("abcdefghij", "x", HASH, "5", "5")),
    WITH_TOKENS(TOKEN("abcdefghij", "x", HASH, "5", "0")), /* “never” is none of ours */
    WITH_TOKENS(TOKEN("abcdefghij", "x", HASH, "5", "9223372036854775807")),
    WITH_TOKENS(TOKEN("abcdefghij", "x", HASH, "5", "9223372036854775808")),
    WITH_TOKENS(GOOD_TOKEN "," GOOD_TOKEN),
};

static void test_a_damaged_list_is_refused(void **state) {
    TestFolder *folder = *state;
    for (size_t i = 0; i < sizeof damaged / sizeof *damaged; i++) {
        PeopleFile *file = NULL;
        Error problem = {0};
        if (people_file_parse(damaged[i], strlen(damaged[i]), &file, &problem) == 0)
            fail_msg("is taken for a list: %s", damaged[i]);
        assert_int_equal(problem.kind, ERROR_INVALID);
        assert_null(file);
        sample_text(folder->fd, "people.json", damaged[i]);
        assert_int_equal(fchmodat(folder->fd, "people.json", 0600, 0), 0);
        assert_refused(people_file_load(folder->fd, &file, error), ERROR_INVALID, "is damaged");
        assert_null(file);
    }
}

static void test_a_good_list_reads_back(void **state) {
    (void)state;
    static const char text[] = LIST(ADA(NAME, ROLE, STAMP, CREATED, DISABLED, "\"password\":\"" PASSWORD "\"",
                                        "\"tokens\":[" GOOD_TOKEN "]"));
    PEOPLE_FILE_AUTO file = NULL;
    PEOPLE_FILE_AUTO again = NULL;
    assert_done(people_file_parse(text, strlen(text), &file, error));
    assert_int_equal(file->count, 1);
    assert_true(file->records[0].person.has_password);
    assert_string_equal(file->records[0].password, PASSWORD);
    FREE_AUTO char *written = people_file_text(file);
    assert_done(people_file_parse(written, strlen(written), &again, error));
    FREE_AUTO char *written_again = people_file_text(again);
    assert_string_equal(written, written_again);
    assert_int_equal(again->records[0].tokens[0].token.expires_ms, 9);
}

static void test_nobody_is_found_under_an_odd_name(void **state) {
    (void)state;
    static const char text[] = WITH_TOKENS(GOOD_TOKEN);
    PEOPLE_FILE_AUTO file = NULL;
    PeopleRecord *owner = NULL;
    assert_done(people_file_parse(text, strlen(text), &file, error));
    assert_ptr_equal(people_file_find(file, "ada"), &file->records[0]);
    assert_ptr_equal(people_file_find_alike(file, "ADA"), &file->records[0]);
    assert_null(people_file_find(file, "ADA"));
    assert_null(people_file_find(file, ""));
    char longest[4096];
    memset(longest, 'a', sizeof longest);
    longest[sizeof longest - 1] = '\0';
    assert_null(people_file_find(file, longest));
    assert_null(people_file_find_alike(file, longest));
    assert_null(people_file_find_token(file, "abcdefghik", &owner));
    assert_non_null(people_file_find_token(file, "abcdefghij", &owner));
    assert_ptr_equal(owner, &file->records[0]);
}

static void append_people(Buffer *text, unsigned people, unsigned tokens) {
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz234567";
    char label[2 * PERSON_LABEL_SIZE] = "";
    for (size_t i = 0; i + 2 < sizeof label; i += 2) memcpy(label + i, "\\\"", 2);
    buffer_text_append(text, "{\"format\":1,\"people\":[");
    for (unsigned i = 0; i < people; i++) {
        buffer_printf(text,
                      "%s{\"name\":\"a-name-as-long-as-names-may-be-which-is-64-characters-%010u\",\"role\":"
                      "\"operator\"," STAMP ",\"created_ms\":1800000000000," DISABLED
                      ",\"password\":\"" PASSWORD "\",\"tokens\":[",
                      i ? "," : "", i);
        for (unsigned j = 0; j < tokens; j++) {
            unsigned n = i * tokens + j;
            buffer_printf(text,
                          "%s{\"id\":\"aaaaaa%c%c%c%c\",\"label\":\"%s\",\"hash\":\"" HASH
                          "\",\"created_ms\":1800000000000,\"expires_ms\":1800000000001}",
                          j ? "," : "", letters[n >> 15 & 31], letters[n >> 10 & 31], letters[n >> 5 & 31],
                          letters[n & 31], label);
        }
        buffer_text_append(text, "]}");
    }
    buffer_text_append(text, "]}");
}

static void test_the_longest_list_can_be_read(void **state) {
    TestFolder *folder = *state;
    BUFFER_AUTO text = {0};
    PEOPLE_FILE_AUTO file = NULL;
    PEOPLE_FILE_AUTO again = NULL;
    append_people(&text, PEOPLE_MAX, PERSON_TOKENS_MAX);
    assert_done(people_file_parse(text.data, text.size, &file, error));
    assert_int_equal(file->count, PEOPLE_MAX);
    assert_done(people_file_save(folder->fd, file, error));
    assert_done(people_file_load(folder->fd, &again, error));
    PeopleRecord *owner = NULL;
    PeopleToken *last = &again->records[PEOPLE_MAX - 1].tokens[PERSON_TOKENS_MAX - 1];
    assert_ptr_equal(people_file_find_token(again, last->token.id, &owner), last);
}

static void test_one_more_is_refused(void **state) {
    (void)state;
    BUFFER_AUTO text = {0};
    PeopleFile *file = NULL;
    append_people(&text, PEOPLE_MAX + 1, 0);
    assert_refused(people_file_parse(text.data, text.size, &file, error), ERROR_INVALID, "is damaged");
    buffer_clear(&text);
    append_people(&text, 1, PERSON_TOKENS_MAX + 1);
    assert_refused(people_file_parse(text.data, text.size, &file, error), ERROR_INVALID, "is damaged");
}

static void test_what_is_no_file_or_too_large_is_refused(void **state) {
    TestFolder *folder = *state;
    PeopleFile *file = NULL;
    assert_int_equal(symlinkat("elsewhere", folder->fd, "people.json"), 0);
    assert_refused(people_file_load(folder->fd, &file, error), ERROR_SYSTEM, "cannot open people.json");
    assert_int_equal(unlinkat(folder->fd, "people.json", 0), 0);
    assert_int_equal(mkfifoat(folder->fd, "people.json", 0600), 0);
    assert_refused(people_file_load(folder->fd, &file, error), ERROR_REFUSED, "by others");
    assert_int_equal(unlinkat(folder->fd, "people.json", 0), 0);
    assert_int_equal(mkdirat(folder->fd, "people.json", 0700), 0);
    assert_refused(people_file_load(folder->fd, &file, error), ERROR_REFUSED, "by others");
    assert_int_equal(unlinkat(folder->fd, "people.json", AT_REMOVEDIR), 0);
    sample_sparse(folder->fd, "people.json", 100 << 20, "}");
    assert_refused(people_file_load(folder->fd, &file, error), ERROR_INVALID, "is larger than");
    assert_null(file);
}

static void test_of_another_user_it_is_refused(void **state) {
    TestFolder *folder = *state;
    PeopleFile *file = NULL;
    if (geteuid() != 0) TEST_SKIP("needs root to give a file away");
    sample_text(folder->fd, "people.json", LIST(""));
    assert_int_equal(fchmodat(folder->fd, "people.json", 0600, 0), 0);
    assert_int_equal(fchownat(folder->fd, "people.json", 12345, 0, 0), 0);
    assert_refused(people_file_load(folder->fd, &file, error), ERROR_REFUSED, "by others");
}

static void test_sees_that_the_file_is_another_one(void **state) {
    TestFolder *folder = *state;
    PEOPLE_FILE_AUTO none = NULL;
    PEOPLE_FILE_AUTO file = NULL;
    assert_done(people_file_load(folder->fd, &none, error));
    assert_int_equal(none->count, 0);
    assert_true(people_file_is_current(folder->fd, none));
    assert_done(people_file_save(folder->fd, none, error));
    assert_false(people_file_is_current(folder->fd, none));
    assert_done(people_file_load(folder->fd, &file, error));
    assert_true(people_file_is_current(folder->fd, file));
    for (int i = 0; i < 20; i++) { /* equal bytes, at once: but no inode is used again while we hold ours */
        assert_done(people_file_save(folder->fd, none, error));
        assert_false(people_file_is_current(folder->fd, file));
    }
    assert_int_equal(unlinkat(folder->fd, "people.json", 0), 0);
    assert_false(people_file_is_current(folder->fd, file));
    assert_true(people_file_is_current(folder->fd, none));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        test_in_folder(test_a_damaged_list_is_refused),
        test_in_folder(test_a_good_list_reads_back),
        test_in_folder(test_nobody_is_found_under_an_odd_name),
        test_in_folder(test_the_longest_list_can_be_read),
        test_in_folder(test_one_more_is_refused),
        test_in_folder(test_what_is_no_file_or_too_large_is_refused),
        test_in_folder(test_of_another_user_it_is_refused),
        test_in_folder(test_sees_that_the_file_is_another_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
