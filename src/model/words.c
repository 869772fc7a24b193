#include "model/words.h"
#include <string.h>

typedef struct Word {
    const char *name, *text;
} Word;

static const Word steps[] = {
    {"check", TEXT("check the host")},
    {"stage", TEXT("install the release")},
    {"back_up", TEXT("back up")},
    {"prove", TEXT("prove the backup")},
    {"prepare_hook", TEXT("hook: prepare")},
    {"before_stop", TEXT("hook: before stop")},
    {"ready", TEXT("read the restore point")},
    {"arm", TEXT("arm the dead man's switch")},
    {"drain", TEXT("take it out of traffic")},
    {"stop", TEXT("stop the service")},
    {"final_copy", TEXT("final copy of data")},
    {"activate", TEXT("switch the release")},
    {"start", TEXT("start the service")},
    {"after_start", TEXT("hook: after start")},
    {"probe", TEXT("probe its health")},
    {"readmit", TEXT("put it back into traffic")},
    {"weight", TEXT("give it its whole weight")},
    {"confirm", TEXT("confirm")},
    {"commit", TEXT("commit")},
    {"rollback_hook", TEXT("hook: rollback")},
    {"set_aside", TEXT("set new data aside")},
    {"restore", TEXT("restore data")},
    {"discard", TEXT("discard the new release")},
    {"finish", TEXT("finish")},
};

static const Word outcomes[] = {
    {"succeeded", TEXT("succeeded")}, {"rolled_back", TEXT("rolled back")}, {"failed", TEXT("failed")},
    {"refused", TEXT("refused")},     {"aborted", TEXT("aborted")},         {"paused", TEXT("paused")},
};

static const Word orders[] = {
    {"prepare", TEXT("prepare")}, {"switch", TEXT("switch")},      {"confirm", TEXT("confirm")},
    {"commit", TEXT("commit")},   {"rollback", TEXT("roll back")},
};

static const Word service_states[] = {
    {"stopped", TEXT("stopped")},
    {"running", TEXT("running")},
    {"dead", TEXT("not running: it ended by itself")},
};

static const char *find(const Word *words, size_t count, const char *name) {
    for (size_t i = 0; i < count; i++)
        if (strcmp(words[i].name, name) == 0) return words[i].text;
    return name;
}

#define FIND(words, name) find((words), sizeof(words) / sizeof *(words), (name))

const char *words_step(const char *step) { return FIND(steps, step); }
const char *words_outcome(const char *outcome) { return FIND(outcomes, outcome); }
const char *words_order(const char *order) { return FIND(orders, order); }
const char *words_service_state(const char *state) { return FIND(service_states, state); }

const char *words_host_state(HostState state) {
    static const char *const texts[] = {TEXT("waiting"),     TEXT("preparing"), TEXT("prepared"),
                                        TEXT("switching"),   TEXT("probing"),   TEXT("healthy"),
                                        TEXT("confirmed"),   TEXT("committed"), TEXT("rolling back"),
                                        TEXT("rolled back"), TEXT("failed"),    TEXT("lost")};
    return texts[state];
}

const char *words_host_part(HostPart part) {
    static const char *const texts[] = {"", TEXT("left out"), TEXT("skipped"), TEXT("tried again")};
    return texts[part];
}

const char *words_rollout_state(RolloutState state) {
    static const char *const texts[] = {TEXT("waiting"),      TEXT("running"),   TEXT("paused"),
                                        TEXT("rolling back"), TEXT("succeeded"), TEXT("rolled back"),
                                        TEXT("failed"),       TEXT("cancelled")};
    return texts[state];
}
