#include "model/words.h"
#include "report/retrospective.h"
#include "report/story.h"
#include "support/markup.h"
#include "support/play.h"
#include <regex.h>

typedef enum Form { FORM_MARKDOWN, FORM_HTML } Form;

/* The report of the play so far; caller frees. */
static char *report_of(const Play *play, Language language, Form form) {
    ARENA_AUTO arena = arena_new();
    STORY_AUTO story = {0};
    Buffer out = {0};
    Error error = {0};
    if (story_read(play->journal, arena, play->id, &story, &error) < 0) fail_msg("%s", error.en);
    const Document *document = retrospective_build(&story, language, play->now_ms + 60000);
    if (form == FORM_HTML)
        document_to_html(document, &out);
    else
        document_to_markdown(document, &out);
    return out.data;
}

static void assert_says(const char *report, const char *text) {
    if (!strstr(report, text)) fail_msg("does not say “%s”:\n%.6000s", text, report);
}

static void assert_silent(const char *report, const char *text) {
    if (strstr(report, text)) fail_msg("says “%s”", text);
}

/* Everything but code: what stands in backticks is meant to be English. */
static void drop_code(char *text) {
    char *to = text;
    bool code = false;
    for (const char *at = text; *at; at++) {
        if (*at == '`') code = !code;
        if (!code) *to++ = *at;
    }
    *to = '\0';
}

static void assert_all_chinese(const Play *play) {
    FREE_AUTO char *report = report_of(play, LANGUAGE_ZH, FORM_MARKDOWN);
    regex_t words;
    regmatch_t match;
    drop_code(report);
    assert_int_equal(regcomp(&words, "[A-Za-z]{3,} [a-z]{2,}", REG_EXTENDED), 0);
    if (regexec(&words, report, 1, &match, 0) == 0) fail_msg("not translated: %.80s", report + match.rm_so);
    regfree(&words);
}

static void assert_sound(const Play *play) {
    FREE_AUTO char *markdown = report_of(play, LANGUAGE_EN, FORM_MARKDOWN);
    FREE_AUTO char *html = report_of(play, LANGUAGE_EN, FORM_HTML);
    FREE_AUTO char *chinese = report_of(play, LANGUAGE_ZH, FORM_HTML);
    assert_tables_sound(markdown);
    assert_well_formed(html);
    assert_well_formed(chinese);
    assert_all_chinese(play);
}

static void test_success_is_told(void **state) {
    (void)state;
    Play play = {0};
    play_open(&play, "");
    play_run(&play, 60);
    FREE_AUTO char *report = report_of(&play, LANGUAGE_EN, FORM_MARKDOWN);
    assert_says(report, "# Upgrade retrospective: notes 2.0\n");
    assert_says(report, "✅ **Succeeded**");
    assert_says(report, "All 2 hosts run notes 2.0.");
    assert_says(report, "| **Version** | 1.0 → 2.0 |");
    assert_says(report, "| **Opened by** | ann@desk |");
    assert_says(report, "| **Carried out by** | bob@desk |");
    assert_says(report,
                "| h1 | s1 | **committed** | 1.0 | 2.0 | 800 ms |"); /* stop … probe: four steps of 200 ms */
    assert_says(report, "| `PF` | h1 | exact copy, service stopped |");
    assert_says(report, "`upkeep rollback CHG-2026-0001`");
    assert_says(report, "The journal knows of no problem.");
    assert_says(report, "| **Hash chain** | **whole** |");
    assert_sound(&play);
    play_close(&play);
}

static void test_a_failure_names_host_step_and_reason(void **state) {
    (void)state;
    Play play = {.sick = "h1", .sick_error = "status 503"};
    play_open(&play, "");
    play_run(&play, 60);
    FREE_AUTO char *report = report_of(&play, LANGUAGE_EN, FORM_MARKDOWN);
    assert_says(report, "❌ **Failed and rolled back**");
    assert_says(report, "1 of 2 hosts had been switched");
    assert_says(report, "Reason: on host h1, at the step “probe its health”: status 503");
    assert_says(report, "| h1 | s1 | **rolled back** | 1.0 | 1.0 | 1.6 s |"); /* both orders: the service was
                                                                                 down all along */
    assert_says(report, "h1: data and configuration went back to PF (files written: 1, 5 B; removed: 0).");
    assert_says(report, "`upkeep restore PA --to DIR`");
    assert_says(report, "Nothing: no host runs the new version because of this change.");
    assert_says(report, "| h1 | new version, until healthy | 0 | 20 | – | – | – | 0 |");
    assert_sound(&play);
    play_close(&play);
}

#define ONE_MAY_FAIL                                                                                         \
    "upkeep: 1\nchange: {title: Notes 2}\nservice: {name: notes, root: \"/srv/${host.name}\", "              \
    "run: {systemd: n.service}, data: [shared/data]}\npackage: {file: notes.upk, trust: [a.pub]}\n"          \
    "hosts: [{name: h1}, {name: h2}]\nhealth: [{name: p1, http: {url: \"http://127.0.0.1:1/\"}}]\n"          \
    "rollout: {max_unavailable: 2, stages: [{name: all, soak: 3s, max_failed: 1}]}\n"

static void test_hosts_that_were_left_out_are_named(void **state) {
    (void)state;
    Play play = {.sick = "h2", .sick_error = "status 503", .plan = ONE_MAY_FAIL};
    play_open(&play, "");
    play_run(&play, 60);
    assert_int_equal(play.rollout->outcome, OUTCOME_SUCCEEDED);
    FREE_AUTO char *report = report_of(&play, LANGUAGE_EN, FORM_MARKDOWN);
    assert_says(report, "⚠️ **Succeeded, without some hosts**");
    assert_says(report, "1 of 2 hosts run notes 2.0;");
    assert_says(report, "h2: left out, rolled back: status 503");
    assert_says(report, "left out; the others go on");
    assert_silent(report, "All 2 hosts run");
    assert_sound(&play);
    play_close(&play);
}

static void test_one_left_out_that_could_not_be_put_back_needs_a_person(void **state) {
    (void)state;
    Play play = {.sick = "h2", .stubborn = "h2", .plan = ONE_MAY_FAIL};
    play_open(&play, "");
    play_run(&play, 60);
    assert_int_equal(play.rollout->outcome, OUTCOME_FAILED);
    FREE_AUTO char *report = report_of(&play, LANGUAGE_EN, FORM_MARKDOWN);
    assert_says(report, "❌ **Failed: a person is needed**");
    assert_says(report, "1 of 2 hosts run notes 2.0;");
    assert_says(report, "h2: it stays dead");
    assert_sound(&play);
    play_close(&play);
}

static void test_a_held_change_is_interim(void **state) {
    (void)state;
    Play play = {.sick = "h1"};
    play_open(&play, "on_failure: hold\n");
    play_run(&play, 20);
    assert_true(play.rollout->held);
    FREE_AUTO char *report = report_of(&play, LANGUAGE_EN, FORM_MARKDOWN);
    assert_says(report, "# Interim report (change not finished): notes 2.0\n");
    assert_says(report, "⚠️ **Held: a person must decide**");
    assert_says(report, "| **End** | not ended |");
    assert_says(report, "| h1 | s1 | **failed** | 1.0 | unknown | not over |");
    assert_sound(&play);
    play_close(&play);
}

static void test_a_paused_change_is_interim_and_names_who(void **state) {
    (void)state;
    Play play = {0};
    play_open(&play, "");
    play_run(&play, 2);
    play_control(&play, "pause", "peak-hours");
    FREE_AUTO char *report = report_of(&play, LANGUAGE_EN, FORM_MARKDOWN);
    assert_says(report, "# Interim report");
    assert_says(report, "⚠️ **Paused**");
    assert_says(report, "| pause requested | – | eve@desk | peak-hours |");
    assert_sound(&play);
    play_close(&play);
}

static void test_a_rollback_after_success_is_on_request(void **state) {
    (void)state;
    Play play = {0};
    play_open(&play, "");
    play_run(&play, 60);
    play_control(&play, "rollback", "orders-fail");
    play_run(&play, 20);
    FREE_AUTO char *report = report_of(&play, LANGUAGE_EN, FORM_MARKDOWN);
    assert_says(report, "Rolled back on request of eve@desk; 2 of 2 hosts are back on the version before.");
    assert_says(report, "Reason: orders-fail");
    assert_sound(&play);
    play_close(&play);
}

static void test_a_refusal_interrupts_nothing(void **state) {
    (void)state;
    Play play = {.refusing = "h2"};
    play_open(&play, "");
    play_run(&play, 20);
    FREE_AUTO char *report = report_of(&play, LANGUAGE_EN, FORM_MARKDOWN);
    assert_says(report, "⚠️ **Refused**");
    assert_says(report, "Reason: on host h2, at the step “check the host”: no room");
    assert_says(report, "No service was interrupted for a known time.");
    assert_sound(&play);
    play_close(&play);
}

static void test_a_failed_rollback_asks_for_a_person(void **state) {
    (void)state;
    Play play = {.sick = "h1", .stubborn = "h1"};
    play_open(&play, "");
    play_run(&play, 20);
    FREE_AUTO char *report = report_of(&play, LANGUAGE_EN, FORM_MARKDOWN);
    assert_says(report, "❌ **Failed: a person is needed**");
    assert_says(report, "<br>h1: it stays dead");
    assert_says(report, "| not over |");
    assert_sound(&play);
    play_close(&play);
}

static void test_a_first_installation_interrupts_nobody(void **state) {
    (void)state;
    Play play = {.sick = "h1", .first = true};
    play_open(&play, "");
    play_run(&play, 20);
    FREE_AUTO char *report = report_of(&play, LANGUAGE_EN, FORM_MARKDOWN);
    assert_says(report, "none (first installation) → 2.0");
    assert_says(report, "| h1 | s1 | **rolled back** | none | none | none |");
    assert_sound(&play);
    play_close(&play);
}

static void test_a_step_cut_off_is_told(void **state) {
    (void)state;
    Play play = {0};
    play_open(&play, "");
    json_t *events = rollout_decide(play.rollout, play.now_ms);
    play_append(&play, json_incref(json_array_get(events, 0)));
    json_decref(events);
    events = rollout_decide(play.rollout, play.now_ms);
    play_append(&play, json_incref(json_array_get(events, 0)));
    json_decref(events);
    json_t *cut = play_event(&play, "step.started", "h1", &play.rollout->hosts[0].order);
    json_set_text(cut, "step", "check");
    play_append(&play, cut);
    play_run(&play, 60);
    FREE_AUTO char *report = report_of(&play, LANGUAGE_EN, FORM_MARKDOWN);
    assert_says(report, "cut off before its end, and done again later");
    assert_says(report, "| unknown | **cut off** |");
    play_close(&play);
}

static void test_untrusted_texts_stay_texts(void **state) {
    (void)state;
    Play play = {.sick = "h1",
                 .sick_error =
                     "<script>alert('x')</script> a|b\nc \"d\" & \033[31m \xe2\x80\xae*e* `f` [g](h)"};
    play_open(&play, "");
    play_run(&play, 60);
    FREE_AUTO char *html = report_of(&play, LANGUAGE_EN, FORM_HTML);
    FREE_AUTO char *markdown = report_of(&play, LANGUAGE_EN, FORM_MARKDOWN);
    assert_silent(html, "<script");
    assert_silent(html, "\033");
    assert_silent(html, "\xe2\x80\xae"); /* writes from right to left */
    assert_says(html, "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt; a|b<br/>c &quot;d&quot; &amp; ");
    assert_silent(markdown, "<script");
    assert_silent(markdown, "\033");
    assert_says(markdown, "&lt;script&gt;alert('x')&lt;/script&gt; a\\|b<br>c \"d\" &amp; ");
    assert_says(markdown, "\\*e\\* \\`f\\` \\[g\\](h)");
    assert_sound(&play);
    play_close(&play);
}

static void test_evidence_of_a_later_version_is_shown(void **state) {
    (void)state;
    Play play = {0};
    play_open(&play, "");
    play_append(&play, rollout_event(play.rollout, "gate.opened", play.now_ms));
    play_run(&play, 60);
    FREE_AUTO char *report = report_of(&play, LANGUAGE_EN, FORM_MARKDOWN);
    assert_says(report, "weather: \"fine\"");
    assert_says(report, "| gate.opened |");
    play_close(&play);
}

static void test_refuses_a_change_that_is_not_there(void **state) {
    (void)state;
    Play play = {0};
    Story story = {0};
    Error error = {0};
    play_open(&play, "");
    assert_int_equal(story_read(play.journal, play.arena, "CHG-1999-0001", &story, &error), -1);
    assert_int_equal(error.kind, ERROR_INVALID);
    assert_null(story.events);
    play_close(&play);
}

static void test_every_step_has_a_word(void **state) {
    (void)state;
    assert_string_not_equal(words_step("final_copy"), "final_copy");
    assert_string_equal(words_step("juggle"), "juggle");
    for (int i = HOST_PENDING; i <= HOST_LOST; i++) assert_non_null(words_host_state((HostState)i));
    for (int i = ROLLOUT_PENDING; i <= ROLLOUT_CANCELLED; i++)
        assert_non_null(words_rollout_state((RolloutState)i));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_success_is_told),
        cmocka_unit_test(test_a_failure_names_host_step_and_reason),
        cmocka_unit_test(test_hosts_that_were_left_out_are_named),
        cmocka_unit_test(test_one_left_out_that_could_not_be_put_back_needs_a_person),
        cmocka_unit_test(test_a_held_change_is_interim),
        cmocka_unit_test(test_a_paused_change_is_interim_and_names_who),
        cmocka_unit_test(test_a_rollback_after_success_is_on_request),
        cmocka_unit_test(test_a_refusal_interrupts_nothing),
        cmocka_unit_test(test_a_failed_rollback_asks_for_a_person),
        cmocka_unit_test(test_a_first_installation_interrupts_nobody),
        cmocka_unit_test(test_a_step_cut_off_is_told),
        cmocka_unit_test(test_untrusted_texts_stay_texts),
        cmocka_unit_test(test_evidence_of_a_later_version_is_shown),
        cmocka_unit_test(test_refuses_a_change_that_is_not_there),
        cmocka_unit_test(test_every_step_has_a_word),
    };
    setenv("TZ", "Asia/Shanghai", 1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
