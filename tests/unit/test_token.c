#include "support/sample.h"
#include "trust/token.h"

#include "base/arena.h"
#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/file.h"
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>

#define NOW_MS  ((int64_t)1800000000000)
#define HOUR_MS ((int64_t)60 * 60 * 1000)

static const Digest fingerprint = {.bytes = {0xab, 0xcd, 1, 2, 3}};

static void make(const TestFolder *folder, const char *subject, char text[static TOKEN_TEXT_SIZE]) {
    TokenRequest request = {.subject = subject, .fingerprint = &fingerprint, .valid_ms = HOUR_MS};
    assert_done(token_make(folder->fd, &request, NOW_MS, text, error));
}

/* Redeem, and fail with this verdict. */
static void assert_verdict(const TestFolder *folder, const char *text, int64_t now_ms, TokenVerdict expected,
                           const char *words) {
    Token token = {.id = "untouched"};
    TokenVerdict verdict = TOKEN_GOOD;
    Error problem = {0};
    assert_int_equal(token_redeem(folder->fd, text, now_ms, &token, &verdict, &problem), -1);
    assert_int_equal(verdict, expected);
    if (!strstr(problem.en, words)) fail_msg("%s", problem.en);
    assert_string_equal(token.id, "untouched");
}

static size_t count_of(const TestFolder *folder, Arena *arena, Token **out) {
    size_t count = 0;
    assert_done(token_list(folder->fd, arena, out, &count, error));
    return count;
}

static void read_store(const TestFolder *folder, Buffer *out) {
    assert_done(file_read(folder->fd, "tokens", 4 << 20, out, error));
}

static void test_is_good_once(void **state) {
    TestFolder *folder = *state;
    char text[TOKEN_TEXT_SIZE];
    make(folder, "web1", text);
    Token token;
    TokenVerdict verdict = TOKEN_UNDECIDED;
    assert_done(token_redeem(folder->fd, text, NOW_MS + 5, &token, &verdict, error));
    assert_int_equal(verdict, TOKEN_GOOD);
    assert_string_equal(token.subject, "web1");
    assert_int_equal(token.expires_ms, NOW_MS + HOUR_MS);
    assert_int_equal(token.used_ms, NOW_MS + 5);
    assert_verdict(folder, text, NOW_MS + 6, TOKEN_USED, "was used already");
}

static void test_tells_the_host_whom_to_trust(void **state) {
    TestFolder *folder = *state;
    char text[TOKEN_TEXT_SIZE];
    make(folder, "web1", text);
    Digest found;
    assert_done(token_parse(text, &found, error));
    assert_true(digest_equal(&found, &fingerprint));
    assert_int_equal(strlen(text), TOKEN_TEXT_SIZE - 1);
    assert_memory_equal(text, "upk1-", 5);
}

static void test_no_two_tokens_are_alike(void **state) {
    TestFolder *folder = *state;
    char texts[16][TOKEN_TEXT_SIZE];
    for (size_t i = 0; i < 16; i++) {
        make(folder, "web1", texts[i]);
        for (size_t j = 0; j < i; j++) {
            assert_memory_not_equal(texts[i] + 5, texts[j] + 5, TOKEN_ID_SIZE - 1);
            assert_memory_not_equal(texts[i] + 16, texts[j] + 16, TOKEN_SECRET_SIZE - 1);
        }
    }
}

static void test_expires(void **state) {
    TestFolder *folder = *state;
    char text[TOKEN_TEXT_SIZE];
    make(folder, "web1", text);
    assert_verdict(folder, text, NOW_MS + HOUR_MS, TOKEN_EXPIRED, "has expired");
    Token token;
    assert_done(token_redeem(folder->fd, text, NOW_MS + HOUR_MS - 1, &token, NULL, error));
}

static void test_refuses_a_wrong_secret_and_stays_good(void **state) {
    TestFolder *folder = *state;
    char text[TOKEN_TEXT_SIZE], other[TOKEN_TEXT_SIZE];
    make(folder, "web1", text);
    for (size_t i = 16; i < 16 + TOKEN_SECRET_SIZE - 1; i++) {
        memcpy(other, text, sizeof other);
        other[i] = other[i] == 'a' ? 'b' : 'a';
        assert_verdict(folder, other, NOW_MS, TOKEN_WRONG, "is wrong");
    }
    Token token;
    assert_done(token_redeem(folder->fd, text, NOW_MS, &token, NULL, error));
}

static void test_a_wrong_secret_learns_nothing_more(void **state) {
    TestFolder *folder = *state;
    char text[TOKEN_TEXT_SIZE], other[TOKEN_TEXT_SIZE];
    make(folder, "web1", text);
    memcpy(other, text, sizeof other);
    other[16] = other[16] == 'a' ? 'b' : 'a';
    assert_verdict(folder, other, NOW_MS + HOUR_MS, TOKEN_WRONG, "is wrong"); /* not: expired */
    Token token;
    assert_done(token_redeem(folder->fd, text, NOW_MS, &token, NULL, error));
    assert_verdict(folder, other, NOW_MS, TOKEN_WRONG, "is wrong"); /* not: used */
}

static void test_the_secret_of_another_token_will_not_do(void **state) {
    TestFolder *folder = *state;
    char one[TOKEN_TEXT_SIZE], two[TOKEN_TEXT_SIZE];
    make(folder, "web1", one);
    make(folder, "web2", two);
    memcpy(one + 16, two + 16, TOKEN_SECRET_SIZE - 1);
    assert_verdict(folder, one, NOW_MS, TOKEN_WRONG, "is wrong");
}

static void test_a_hash_under_another_id_will_not_do(void **state) {
    TestFolder *folder = *state;
    char text[TOKEN_TEXT_SIZE], other[TOKEN_ID_SIZE] = "bbbbbbbbbb";
    make(folder, "web1", text);
    BUFFER_AUTO store = {0};
    read_store(folder, &store);
    char *id = memmem(store.data, store.size, text + 5, TOKEN_ID_SIZE - 1);
    assert_non_null(id);
    memcpy(id, other, TOKEN_ID_SIZE - 1);
    memcpy(text + 5, other, TOKEN_ID_SIZE - 1);
    sample_write(folder->fd, "tokens", store.data, store.size);
    assert_verdict(folder, text, NOW_MS, TOKEN_WRONG, "is wrong");
}

static void test_refuses_an_unknown_token(void **state) {
    TestFolder *folder = *state;
    char text[TOKEN_TEXT_SIZE];
    make(folder, "web1", text);
    text[5] = text[5] == 'a' ? 'b' : 'a';
    assert_verdict(folder, text, NOW_MS, TOKEN_UNKNOWN, "there is no join token");
    assert_int_equal(unlinkat(folder->fd, "tokens", 0), 0);
    assert_verdict(folder, text, NOW_MS, TOKEN_UNKNOWN, "there is no join token");
}

static void test_refuses_what_is_no_token(void **state) {
    TestFolder *folder = *state;
    char text[TOKEN_TEXT_SIZE], bad[TOKEN_TEXT_SIZE + 1];
    Digest none;
    make(folder, "web1", text);
    for (size_t size = 0; size < TOKEN_TEXT_SIZE - 1; size++) {
        memcpy(bad, text, size);
        bad[size] = '\0';
        assert_verdict(folder, bad, NOW_MS, TOKEN_MALFORMED, "no join token");
        assert_int_equal(token_parse(bad, &none, NULL), -1);
    }
    snprintf(bad, sizeof bad, "%sa", text);
    assert_verdict(folder, bad, NOW_MS, TOKEN_MALFORMED, "no join token");
    static const size_t places[] = {0, 3, 4, 5, 15, 16, 47, 48, 49, TOKEN_TEXT_SIZE - 2};
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        memcpy(bad, text, sizeof text);
        bad[places[i]] = 'Z';
        assert_verdict(folder, bad, NOW_MS, TOKEN_MALFORMED, "no join token");
    }
}

static void test_keeps_no_secret_and_tells_none(void **state) {
    TestFolder *folder = *state;
    char text[TOKEN_TEXT_SIZE], secret[TOKEN_SECRET_SIZE];
    make(folder, "web1", text);
    memcpy(secret, text + 16, TOKEN_SECRET_SIZE - 1);
    secret[TOKEN_SECRET_SIZE - 1] = '\0';
    BUFFER_AUTO store = {0};
    read_store(folder, &store);
    assert_null(strstr(store.data, secret));
    struct stat status;
    assert_int_equal(fstatat(folder->fd, "tokens", &status, 0), 0);
    assert_int_equal(status.st_mode & 07777, 0600);
    Error problem = {0};
    Token token;
    text[5] = text[5] == 'a' ? 'b' : 'a';
    assert_int_equal(token_redeem(folder->fd, text, NOW_MS, &token, NULL, &problem), -1);
    assert_null(strstr(problem.en, secret));
    assert_null(strstr(problem.zh, secret));
    text[TOKEN_TEXT_SIZE - 2] = 'Z';
    assert_int_equal(token_redeem(folder->fd, text, NOW_MS, &token, NULL, &problem), -1);
    assert_null(strstr(problem.en, secret));
}

static void test_lists_and_removes(void **state) {
    TestFolder *folder = *state;
    char texts[3][TOKEN_TEXT_SIZE];
    make(folder, "web1", texts[0]);
    make(folder, "region=east \"quoted\" \\", texts[1]);
    make(folder, "web3", texts[2]);
    ARENA_AUTO arena = arena_new();
    Token *list = NULL;
    assert_int_equal(count_of(folder, arena, &list), 3);
    assert_string_equal(list[0].subject, "web1");
    assert_string_equal(list[1].subject, "region=east \"quoted\" \\");
    assert_int_equal(list[1].used_ms, 0);
    assert_memory_equal(list[1].id, texts[1] + 5, TOKEN_ID_SIZE - 1);
    assert_done(token_remove(folder->fd, list[1].id, error));
    assert_refused(token_remove(folder->fd, list[1].id, error), ERROR_INVALID, "there is no join token");
    assert_verdict(folder, texts[1], NOW_MS, TOKEN_UNKNOWN, "there is no join token");
    assert_int_equal(count_of(folder, arena, &list), 2);
    assert_string_equal(list[1].subject, "web3");
}

static void test_an_empty_folder_has_no_tokens(void **state) {
    TestFolder *folder = *state;
    ARENA_AUTO arena = arena_new();
    Token *list = NULL;
    assert_int_equal(count_of(folder, arena, &list), 0);
    assert_refused(token_remove(folder->fd, "aaaaaaaaaa", error), ERROR_INVALID, "there is no join token");
}

static void test_refuses_requests_past_all_measure(void **state) {
    TestFolder *folder = *state;
    char text[TOKEN_TEXT_SIZE] = "untouched", longest[TOKEN_SUBJECT_SIZE + 1];
    memset(longest, 'x', sizeof longest);
    longest[TOKEN_SUBJECT_SIZE] = '\0';
    const char *const subjects[] = {"", "a\nb", "\x7f", "\xe4\xb8\xbb", longest};
    TokenRequest request = {.fingerprint = &fingerprint, .valid_ms = HOUR_MS};
    for (size_t i = 0; i < sizeof subjects / sizeof *subjects; i++) {
        request.subject = subjects[i];
        assert_refused(token_make(folder->fd, &request, NOW_MS, text, error), ERROR_INVALID, "plain char");
    }
    static const int64_t validities[] = {INT64_MIN, -1, 0, 999, INT64_MAX};
    request.subject = longest + 1;
    for (size_t i = 0; i < sizeof validities / sizeof *validities; i++) {
        request.valid_ms = validities[i];
        assert_refused(token_make(folder->fd, &request, NOW_MS, text, error), ERROR_INVALID, "valid for");
    }
    request.valid_ms = HOUR_MS;
    assert_refused(token_make(folder->fd, &request, 0, text, error), ERROR_INVALID, "set the clock");
    assert_refused(token_make(folder->fd, &request, INT64_MAX, text, error), ERROR_INVALID, "set the clock");
    assert_string_equal(text, "untouched");
    assert_done(token_make(folder->fd, &request, NOW_MS, text, error));
}

/* TOKENS_MAX of them, with the longest texts there are; the first expires at `first_ms`. */
static void fill(const TestFolder *folder, int64_t first_ms) {
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz234567";
    char subject[TOKEN_SUBJECT_SIZE * 2];
    for (size_t i = 0; i < sizeof subject - 2; i += 2) memcpy(subject + i, "\\\"", 2);
    subject[sizeof subject - 2] = '\0';
    BUFFER_AUTO text = {0};
    buffer_text_append(&text, "{\"format\":1,\"tokens\":[");
    for (unsigned i = 0; i < TOKENS_MAX; i++)
        buffer_printf(&text,
                      "%s{\"expires_ms\":%lld,\"hash\":\"%064x\",\"id\":\"aaaaaaa%c%c%c\",\"subject\":\"%s\","
                      "\"used_ms\":%lld}",
                      i ? "," : "", (long long)(i ? NOW_MS + HOUR_MS : first_ms), i, letters[i >> 10 & 31],
                      letters[i >> 5 & 31], letters[i & 31], subject, (long long)NOW_MS);
    buffer_text_append(&text, "]}");
    sample_write(folder->fd, "tokens", text.data, text.size);
}

static void test_there_is_a_limit_on_their_number(void **state) {
    TestFolder *folder = *state;
    char text[TOKEN_TEXT_SIZE];
    fill(folder, NOW_MS + 1);
    TokenRequest request = {.subject = "web1", .fingerprint = &fingerprint, .valid_ms = HOUR_MS};
    assert_refused(token_make(folder->fd, &request, NOW_MS, text, error), ERROR_REFUSED, "4096 join tokens");
    assert_done(token_remove(folder->fd, "aaaaaaaaab", error));
    assert_done(token_make(folder->fd, &request, NOW_MS, text, error));
}

static void test_expired_ones_make_room(void **state) {
    TestFolder *folder = *state;
    char text[TOKEN_TEXT_SIZE];
    fill(folder, NOW_MS);
    make(folder, "web1", text);
    ARENA_AUTO arena = arena_new();
    Token *list = NULL;
    assert_int_equal(count_of(folder, arena, &list), TOKENS_MAX);
    assert_string_equal(list[0].id, "aaaaaaaaab");
    assert_string_equal(list[TOKENS_MAX - 1].subject, "web1");
}

#define GOOD_ID   "\"id\":\"aaaaaaaaaa\""
#define GOOD_HASH "\"hash\":\"0000000000000000000000000000000000000000000000000000000000000000\""
#define ENTRY(id, hash, used)                                                                                \
    "{\"format\":1,\"tokens\":[{" id "," hash ",\"subject\":\"x\",\"expires_ms\":9" used "}]}"

static void test_a_damaged_list_lets_nobody_in(void **state) {
    TestFolder *folder = *state;
    char text[TOKEN_TEXT_SIZE];
    make(folder, "web1", text);
    static const char *const bad[] = {
        "",
        "{",
        "[]",
        "{}",
        "{\"format\":2,\"tokens\":[]}",
        "{\"format\":1,\"tokens\":{}}",
        "{\"format\":1,\"tokens\":[1]}",
        ENTRY(GOOD_ID, GOOD_HASH, ""), /* used, or not? */
        ENTRY(GOOD_ID, GOOD_HASH, ",\"used_ms\":-1"),
        ENTRY(GOOD_ID, GOOD_HASH, ",\"used_ms\":\"0\""),
        ENTRY("\"id\":\"short\"", GOOD_HASH, ",\"used_ms\":0"),
        ENTRY(GOOD_ID, "\"hash\":\"00\"", ",\"used_ms\":0"),
        ENTRY(GOOD_ID "," GOOD_ID, GOOD_HASH, ",\"used_ms\":0"),
        ENTRY(GOOD_ID, GOOD_HASH,
              ",\"used_ms\":1},{" GOOD_ID "," GOOD_HASH ",\"subject\":\"x\",\"expires_ms\":9,\"used_ms\":0"),
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        sample_text(folder->fd, "tokens", bad[i]);
        assert_verdict(folder, text, NOW_MS, TOKEN_UNDECIDED, "is damaged");
        BUFFER_AUTO after = {0};
        read_store(folder, &after);
        assert_string_equal(buffer_text(&after), bad[i]);
    }
    sample_text(folder->fd, "tokens", ENTRY(GOOD_ID, GOOD_HASH, ",\"used_ms\":0"));
    ARENA_AUTO arena = arena_new();
    Token *list = NULL;
    assert_int_equal(count_of(folder, arena, &list), 1);
}

static void test_refuses_a_folder_that_others_may_write(void **state) {
    TestFolder *folder = *state;
    char text[TOKEN_TEXT_SIZE];
    make(folder, "web1", text);
    assert_int_equal(fchmod(folder->fd, 0777), 0);
    assert_verdict(folder, text, NOW_MS, TOKEN_UNDECIDED, "written by others");
}

/* ---- Crashes ---- */

static void test_used_is_on_disk_before_it_is_told(void **state) {
    TestFolder *folder = *state;
    char text[TOKEN_TEXT_SIZE];
    make(folder, "web1", text);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) { /* dies the moment that redeeming returns */
        Token token;
        if (token_redeem(folder->fd, text, NOW_MS, &token, NULL, NULL) == 0) kill(getpid(), SIGKILL);
        _exit(1);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    assert_verdict(folder, text, NOW_MS, TOKEN_USED, "was used already");
}

static void test_a_crash_before_the_switch_leaves_it_good(void **state) {
    TestFolder *folder = *state;
    char text[TOKEN_TEXT_SIZE];
    make(folder, "web1", text);
    sample_text(folder->fd, ".tokens.abcdefgh~", "{\"format\":1,\"tok"); /* killed while it was written */
    Token token;
    assert_done(token_redeem(folder->fd, text, NOW_MS, &token, NULL, error));
    assert_int_equal(faccessat(folder->fd, ".tokens.abcdefgh~", F_OK, 0), -1);
}

static void test_gets_nobody_in_when_it_cannot_be_written(void **state) {
    TestFolder *folder = *state;
    char text[TOKEN_TEXT_SIZE];
    make(folder, "web1", text);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) { /* a limit stands for a full disk */
        struct rlimit limit = {.rlim_cur = 8, .rlim_max = 8};
        signal(SIGXFSZ, SIG_IGN);
        setrlimit(RLIMIT_FSIZE, &limit);
        Token token;
        TokenVerdict verdict = TOKEN_GOOD;
        bool refused = token_redeem(folder->fd, text, NOW_MS, &token, &verdict, NULL) < 0;
        _exit(refused && verdict == TOKEN_UNDECIDED ? 0 : 1);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    Token token;
    assert_done(token_redeem(folder->fd, text, NOW_MS, &token, NULL, error));
}

enum { RACERS = 4, RACE_TOKENS = 12 };

/* Each exits with the number of tokens that it was let in with. */
static void test_of_many_at_once_one_gets_in(void **state) {
    TestFolder *folder = *state;
    char texts[RACE_TOKENS][TOKEN_TEXT_SIZE];
    pid_t children[RACERS];
    int total = 0;
    for (size_t i = 0; i < RACE_TOKENS; i++) make(folder, "web1", texts[i]);
    for (size_t i = 0; i < RACERS; i++) {
        children[i] = fork();
        assert_true(children[i] >= 0);
        if (children[i] > 0) continue;
        int won = 0;
        Token token;
        for (size_t j = 0; j < RACE_TOKENS; j++)
            won += token_redeem(folder->fd, texts[j], NOW_MS, &token, NULL, NULL) == 0;
        _exit(won);
    }
    for (size_t i = 0; i < RACERS; i++) {
        int status = 0;
        assert_int_equal(waitpid(children[i], &status, 0), children[i]);
        assert_true(WIFEXITED(status));
        total += WEXITSTATUS(status);
    }
    assert_int_equal(total, RACE_TOKENS);
}

static void test_killed_at_any_moment_nothing_told_is_forgotten(void **state) {
    TestFolder *folder = *state;
    char texts[RACE_TOKENS][TOKEN_TEXT_SIZE];
    for (int round = 0; round < 10; round++) {
        int pipes[2];
        assert_int_equal(pipe(pipes), 0);
        for (size_t i = 0; i < RACE_TOKENS; i++) make(folder, "web1", texts[i]);
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            Token token;
            for (size_t i = 0; i < RACE_TOKENS; i++)
                if (token_redeem(folder->fd, texts[i], NOW_MS, &token, NULL, NULL) < 0 ||
                    write(pipes[1], "x", 1) != 1)
                    break;
            _exit(0);
        }
        usleep((useconds_t)(round * 371)); /* any moment will do */
        assert_int_equal(kill(child, SIGKILL), 0);
        assert_int_equal(waitpid(child, NULL, 0), child);
        close(pipes[1]);
        char told[RACE_TOKENS];
        ssize_t count = read(pipes[0], told, sizeof told);
        close(pipes[0]);
        for (ssize_t i = 0; i < count; i++)
            assert_verdict(folder, texts[i], NOW_MS, TOKEN_USED, "was used already");
        Token token; /* the rest is good, but for the one that was under way */
        for (ssize_t i = count + 1; i < RACE_TOKENS; i++)
            assert_done(token_redeem(folder->fd, texts[i], NOW_MS, &token, NULL, error));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        test_in_folder(test_is_good_once),
        test_in_folder(test_tells_the_host_whom_to_trust),
        test_in_folder(test_no_two_tokens_are_alike),
        test_in_folder(test_expires),
        test_in_folder(test_refuses_a_wrong_secret_and_stays_good),
        test_in_folder(test_a_wrong_secret_learns_nothing_more),
        test_in_folder(test_the_secret_of_another_token_will_not_do),
        test_in_folder(test_a_hash_under_another_id_will_not_do),
        test_in_folder(test_refuses_an_unknown_token),
        test_in_folder(test_refuses_what_is_no_token),
        test_in_folder(test_keeps_no_secret_and_tells_none),
        test_in_folder(test_lists_and_removes),
        test_in_folder(test_an_empty_folder_has_no_tokens),
        test_in_folder(test_refuses_requests_past_all_measure),
        test_in_folder(test_there_is_a_limit_on_their_number),
        test_in_folder(test_expired_ones_make_room),
        test_in_folder(test_a_damaged_list_lets_nobody_in),
        test_in_folder(test_refuses_a_folder_that_others_may_write),
        test_in_folder(test_used_is_on_disk_before_it_is_told),
        test_in_folder(test_a_crash_before_the_switch_leaves_it_good),
        test_in_folder(test_gets_nobody_in_when_it_cannot_be_written),
        test_in_folder(test_of_many_at_once_one_gets_in),
        test_in_folder(test_killed_at_any_moment_nothing_told_is_forgotten),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
