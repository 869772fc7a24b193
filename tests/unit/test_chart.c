#include "report/chart.h"
#include "support/markup.h"

static size_t count_of(const char *text, const char *part) {
    size_t count = 0;
    for (const char *at = text; (at = strstr(at, part)); at += strlen(part)) count++;
    return count;
}

static void draw(const Chart *chart, Buffer *out) {
    chart_svg(chart, 7, out);
    assert_well_formed(buffer_text(out));
    assert_null(strstr(buffer_text(out), "nan"));
    assert_null(strstr(buffer_text(out), "inf"));
}

static void test_names_itself_for_those_who_cannot_see(void **state) {
    (void)state;
    BUFFER_AUTO out = {0};
    ChartBar bar = {0, 1000, CHART_WORK, false, "a <b> & \"c\""};
    ChartLane lane = {.name = "web<1>", .bars = &bar, .bar_count = 1};
    Chart chart = {
        .title = "T & U", .alternative = "words", .relative = true, .lanes = &lane, .lane_count = 1};
    draw(&chart, &out);
    assert_non_null(strstr(buffer_text(&out), "role=\"img\" aria-labelledby=\"chart7-title chart7-text\""));
    assert_non_null(strstr(buffer_text(&out), "<title id=\"chart7-title\">T &amp; U</title>"));
    assert_non_null(strstr(buffer_text(&out), "<title>a &lt;b&gt; &amp; &quot;c&quot;</title>"));
    assert_non_null(strstr(buffer_text(&out), "web&lt;1&gt;"));
}

static void test_long_silence_is_cut_out(void **state) {
    (void)state;
    enum { HOUR_MS = 3600 * 1000 };
    BUFFER_AUTO out = {0};
    ChartBar bars[] = {{0, 60000, CHART_WORK, false, NULL},
                       {10 * HOUR_MS, 10 * HOUR_MS + 60000, CHART_WORK, false, NULL}};
    ChartLane lane = {.name = "h", .bars = bars, .bar_count = 2};
    Chart chart = {.title = "T", .relative = true, .lanes = &lane, .lane_count = 1};
    draw(&chart, &out);
    assert_int_equal(count_of(buffer_text(&out), "class=\"cut\""), 1);
    buffer_clear(&out);
    bars[1] = (ChartBar){90000, 150000, CHART_WORK, false, NULL};
    draw(&chart, &out);
    assert_int_equal(count_of(buffer_text(&out), "class=\"cut\""), 0);
}

static void test_a_line_breaks_where_nothing_was_measured(void **state) {
    (void)state;
    BUFFER_AUTO out = {0};
    ChartPoint points[] = {{1000, true, 1, 2, 3, false, false},
                           {2000, true, 1, 2, 3, false, false},
                           {3000, false, 0, 0, 0, true, false},
                           {4000, true, 1, 2, 7, false, false}};
    ChartLane lane = {.name = "h", .points = points, .point_count = 4};
    Chart chart = {.title = "T", .unit = "ms", .lanes = &lane, .lane_count = 1};
    draw(&chart, &out);
    assert_int_equal(count_of(buffer_text(&out), "class=\"line\""), 2);
    assert_int_equal(count_of(buffer_text(&out), "class=\"miss\""), 1);
    assert_non_null(strstr(buffer_text(&out), ">10 ms</text>")); /* 7 rounded up to 1, 2, 5 × 10^n */
}

static void test_a_line_breaks_where_a_new_one_begins(void **state) {
    (void)state;
    BUFFER_AUTO out = {0};
    ChartPoint points[] = {{.time_ms = 1000, .known = true, .high = 3},
                           {.time_ms = 2000, .known = true, .high = 3},
                           {.time_ms = 3000, .known = true, .high = 3, .begins = true},
                           {.time_ms = 4000, .known = true, .high = 3}};
    ChartLane lane = {.name = "h", .points = points, .point_count = 4};
    Chart chart = {.title = "T", .unit = "ms", .lanes = &lane, .lane_count = 1};
    draw(&chart, &out);
    assert_int_equal(count_of(buffer_text(&out), "class=\"line\""), 2);
}

static void test_draws_an_instant_and_nothing_at_all(void **state) {
    (void)state;
    BUFFER_AUTO out = {0};
    ChartBar bar = {5000, 5000, CHART_BAD, false, NULL};
    ChartLane lane = {.name = "h", .bars = &bar, .bar_count = 1};
    Chart chart = {.title = "T", .lanes = &lane, .lane_count = 1};
    draw(&chart, &out);
    assert_non_null(strstr(buffer_text(&out), "width=\"2.0\""));
    buffer_clear(&out);
    lane.bar_count = 0;
    draw(&chart, &out);
}

static void test_ticks_stay_few_over_any_length(void **state) {
    (void)state;
    for (int64_t length_ms = 1; length_ms < INT64_C(400) * 86400 * 1000; length_ms *= 7) {
        BUFFER_AUTO out = {0};
        ChartBar bar = {1790000000000, 1790000000000 + length_ms, CHART_WORK, false, NULL};
        ChartLane lane = {.name = "h", .bars = &bar, .bar_count = 1};
        Chart chart = {.title = "T", .lanes = &lane, .lane_count = 1};
        draw(&chart, &out);
        if (count_of(buffer_text(&out), "class=\"grid\"") > 12) fail_msg("%lld ms", (long long)length_ms);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names_itself_for_those_who_cannot_see),
        cmocka_unit_test(test_long_silence_is_cut_out),
        cmocka_unit_test(test_a_line_breaks_where_nothing_was_measured),
        cmocka_unit_test(test_a_line_breaks_where_a_new_one_begins),
        cmocka_unit_test(test_draws_an_instant_and_nothing_at_all),
        cmocka_unit_test(test_ticks_stay_few_over_any_length),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
