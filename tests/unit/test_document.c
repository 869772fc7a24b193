#include "report/character.h"
#include "report/document.h"
#include "support/markup.h"

static int arena_setup(void **state) {
    setenv("TZ", "Asia/Shanghai", 1);
    *state = arena_new();
    return 0;
}

static int arena_teardown(void **state) {
    arena_free(*state);
    return 0;
}

static const char *markdown_of(const Document *document) {
    Buffer out = {0};
    document_to_markdown(document, &out);
    const char *text = arena_strdup(document->arena, buffer_text(&out));
    buffer_free(&out);
    assert_tables_sound(text);
    return text;
}

static const char *html_of(const Document *document) {
    Buffer out = {0};
    document_to_html(document, &out);
    const char *text = arena_strdup(document->arena, buffer_text(&out));
    buffer_free(&out);
    assert_well_formed(text);
    return text;
}

static void assert_has(const char *text, const char *part) {
    if (!strstr(text, part)) fail_msg("lacks %s:\n%s", part, text);
}

static void test_every_kind_of_block_is_rendered(void **state) {
    Document *document = document_new(*state, LANGUAGE_EN, "T");
    document_callout(document, DOCUMENT_WARN, "Mind", "one\ntwo");
    document_section(document, "S");
    document_subsection(document, "U");
    document_paragraph(document, DOCUMENT_QUIET, "para");
    document_item(document, DOCUMENT_PLAIN, "first");
    document_command(document, "do it");
    document_item(document, DOCUMENT_BAD, "second");
    document_code(document, "Code", "{ ``` }");
    document->footer = "F";
    assert_string_equal(markdown_of(document),
                        "# T\n\n> ⚠️ **Mind**<br>one<br>two\n\n## S\n\n### U\n\npara\n\n- first `do it`\n"
                        "- second\n\n**Code**\n\n````\n{ ``` }\n````\n\n---\n\nF\n");
    const char *html = html_of(document);
    assert_has(
        html,
        "<ul>\n<li class=\"plain\">first <code>do it</code></li>\n<li class=\"bad\">second</li>\n</ul>");
    assert_has(html, "<div class=\"callout warn\"><strong>Mind</strong><p>one<br/>two</p></div>");
    assert_has(html, "<details><summary>Code</summary><pre><code>{ ``` }</code></pre></details>");
}

static void test_a_contents_entry_leads_to_its_section(void **state) {
    Document *document = document_new(*state, LANGUAGE_EN, "T");
    document_paragraph(document, DOCUMENT_PLAIN, "before");
    document_section(document, "One");
    document_section(document, "Two");
    const char *html = html_of(document);
    assert_has(html, "<a href=\"#s2\">One</a>");
    assert_has(html, "<h2 id=\"s2\">One</h2>");
    assert_has(html, "<a href=\"#s3\">Two</a>");
    assert_has(html, "<h2 id=\"s3\">Two</h2>");
}

static void test_cells_cannot_leave_their_table(void **state) {
    Document *document = document_new(*state, LANGUAGE_EN, "T");
    DocumentTable *table = document_table(document, NULL);
    document_column(table, "A", false);
    document_column(table, "B", true);
    document_row(table, DOCUMENT_PLAIN);
    document_cell(table, span_text("x|y\nz\\"));
    document_cell(table, span_code("a|b`c"));
    document_row(table, DOCUMENT_PLAIN); /* a cell is missing */
    document_cell(table, span_badge(DOCUMENT_GOOD, "ok"));
    document_add(table, span_text(""));
    const char *markdown = markdown_of(document);
    assert_has(markdown, "| A | B |\n| --- | ---: |\n| x\\|y<br>z\\\\ | ``a\\|b`c`` |\n| **ok** |  |\n");
    assert_has(html_of(document), "<td class=\"number\"><code>a|b`c</code></td>");
}

static void test_a_time_says_its_zone_and_utc(void **state) {
    Document *document = document_new(*state, LANGUAGE_EN, "T");
    DocumentTable *table = document_timeline(document, NULL);
    document_column(table, "Time", false);
    document_row(table, DOCUMENT_BAD);
    document_cell(table, span_time(*state, 1790000000123));
    assert_has(markdown_of(document), "| 2026-09-21 22:13:20 +08:00 | 2026-09-21T14:13:20.123Z |\n");
    assert_has(html_of(document),
               "<time datetime=\"2026-09-21T14:13:20.123Z\" title=\"2026-09-21T14:13:20.123Z\">"
               "2026-09-21 22:13:20 +08:00</time>");
    assert_string_equal(span_time_of_day(*state, 1790000000123).text, "22:13:20");
    assert_string_equal(span_time(*state, 0).text, "–");
}

static void test_markdown_does_not_begin_what_the_text_did_not_mean(void **state) {
    Document *document = document_new(*state, LANGUAGE_EN, "# *T*");
    document_paragraph(document, DOCUMENT_PLAIN, "- no list\n# no heading ~~no~~ <b>");
    document_paragraph(document, DOCUMENT_PLAIN, "12. no list either\n7) nor here");
    assert_string_equal(markdown_of(document),
                        "# \\# \\*T\\*\n\n\\- no list  \n\\# no heading \\~\\~no\\~\\~ &lt;b&gt;\n\n"
                        "12\\. no list either  \n7\\) nor here\n\n");
}

static void test_html_is_one_file_without_scripts(void **state) {
    Document *document = document_new(*state, LANGUAGE_ZH, "T");
    const char *html = html_of(document);
    assert_has(html, "<html lang=\"zh-CN\"");
    assert_has(html, "default-src 'none'");
    assert_null(strstr(html, "<script"));
    assert_null(strstr(html, "src="));
    assert_null(strstr(html, "url("));
}

static void test_characters_that_are_none_are_replaced(void **state) {
    (void)state;
    static const char *const unfit[] = {"\x1b", "\x7f",     "\xc2\x85",     "\xe2\x80\xae", "\xef\xbb\xbf",
                                        "\xff", "\xc0\x80", "\xed\xa0\x80", "\xf5",         "\t"};
    for (size_t i = 0; i < sizeof unfit / sizeof *unfit; i++) {
        const char *at = unfit[i];
        if (character_next(&at) != 0xFFFD) fail_msg("takes unfit text %zu", i);
    }
    static const uint32_t fit[] = {'a', '\n', 0xE9, 0x4E2D, 0x1F600};
    for (size_t i = 0; i < sizeof fit / sizeof *fit; i++) {
        BUFFER_AUTO out = {0};
        character_put(&out, fit[i]);
        const char *at = buffer_text(&out);
        assert_int_equal(character_next(&at), fit[i]);
        assert_int_equal(character_next(&at), 0);
    }
}

static void test_a_text_cut_within_a_character_ends(void **state) {
    (void)state;
    const char *at = "\xe4\xb8";
    assert_int_equal(character_next(&at), 0xFFFD);
    assert_int_equal(character_next(&at), 0xFFFD);
    assert_int_equal(character_next(&at), 0);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, arena_setup, arena_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_every_kind_of_block_is_rendered),
        TEST(test_a_contents_entry_leads_to_its_section),
        TEST(test_cells_cannot_leave_their_table),
        TEST(test_a_time_says_its_zone_and_utc),
        TEST(test_markdown_does_not_begin_what_the_text_did_not_mean),
        TEST(test_html_is_one_file_without_scripts),
        TEST(test_characters_that_are_none_are_replaced),
        TEST(test_a_text_cut_within_a_character_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
