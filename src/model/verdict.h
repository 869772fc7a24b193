/* Verdict: what an observation says. Absence of data is never a pass (invariant I11): whoever could not look
 * says VERDICT_INCONCLUSIVE, and whoever waits turns that into a failure at the deadline. */
#pragma once

typedef enum Verdict { VERDICT_PASS, VERDICT_FAIL, VERDICT_INCONCLUSIVE } Verdict;

/* "pass", "fail", "inconclusive": as the journal writes it. */
static inline const char *verdict_text(Verdict verdict) {
    static const char *const texts[] = {"pass", "fail", "inconclusive"};
    return texts[verdict];
}
