/* Controlled: a controller on a free loopback port in a thread of this process, people of every role, and
 * hosts that join it. Its state is the folder "state" of the TestFolder. */
#pragma once
#include "agent/agent.h"
#include "server/controller_room.h"
#include "support/fleet_play.h"
#include "trust/identity.h"
#include "trust/token.h"
#include "wire/call.h"

typedef struct Controlled {
    const TestFolder *folder;
    TestFolder state; /* as one, for what wants one */
    Controller *controller;
    pthread_t thread;
    atomic_bool stop;
    int result;
    Error error;
    ControllerSpec spec;
    char port_file[SAMPLE_PATH_SIZE], url[64];
    char tokens[ROLE_COUNT][BEARER_TEXT_SIZE]; /* of a person of each role, who is named like it */
} Controlled;

static inline void *controlled_serve(void *context) {
    Controlled *controlled = context;
    controlled->result = controller_serve(controlled->controller, &controlled->stop, &controlled->error);
    return NULL;
}

static inline void controlled_begin(Controlled *controlled) {
    static const char *const names[] = {"127.0.0.1"};
    char text[16] = "";
    controlled->spec = (ControllerSpec){.state = controlled->state.path,
                                        .address = "127.0.0.1",
                                        .names = names,
                                        .name_count = 1,
                                        .host_valid_ms = INT64_C(90) * 86400000,
                                        .port_file = controlled->port_file};
    unlink(controlled->port_file);
    atomic_store(&controlled->stop, false);
    assert_done(controller_open(&controlled->spec, &controlled->controller, error));
    assert_int_equal(pthread_create(&controlled->thread, NULL, controlled_serve, controlled), 0);
    AT_LAST(access(controlled->port_file, R_OK) == 0);
    while (!strchr(text, '\n')) {
        FILE *file = fopen(controlled->port_file, "re");
        if (!file || !fgets(text, sizeof text, file)) text[0] = '\0';
        if (file) fclose(file);
    }
    snprintf(controlled->url, sizeof controlled->url, "https://127.0.0.1:%ld", strtol(text, NULL, 10));
}

static inline void controlled_stop(Controlled *controlled) {
    atomic_store(&controlled->stop, true);
    pthread_join(controlled->thread, NULL);
    controller_close(controlled->controller);
    controlled->controller = NULL;
    if (controlled->result < 0) fail_msg("%s", controlled->error.en);
}

static inline void controlled_open(Controlled *controlled, const TestFolder *folder) {
    *controlled = (Controlled){.folder = folder};
    sample_path(folder, "port", controlled->port_file);
    snprintf(controlled->state.path, sizeof controlled->state.path, "%.57s/state", folder->path);
    assert_int_equal(mkdir(controlled->state.path, 0700), 0);
    controlled->state.fd = open(controlled->state.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    controlled_begin(controlled);
    People *people = controlled->controller->people;
    int64_t now_ms = clock_wall_ms(clock_system());
    for (int role = ROLE_COUNT - 1; role >= 0; role--) {
        PeopleTokenRequest request = {.name = role_name((Role)role), .label = "test"};
        assert_done(people_add(people, request.name, (Role)role, now_ms, error));
        assert_done(people_token_make(people, &request, now_ms, controlled->tokens[role], error));
    }
}

static inline void controlled_close(Controlled *controlled) {
    controlled_stop(controlled);
    close(controlled->state.fd);
}

static inline Fleet *controlled_fleet(const Controlled *controlled) { return controlled->controller->fleet; }

/* ---- asking */

/* With the token, or (identity not NULL) the certificate, or neither. */
static inline CallClient *controlled_client(const Controlled *controlled, const char *token,
                                            const Identity *identity) {
    CallClient *client = NULL;
    CallSettings settings = {.base_url = controlled->url,
                             .ca_pem = authority_certificate(controlled->controller->authority),
                             .token = token,
                             .certificate_pem = identity ? identity_certificate_pem(identity) : NULL,
                             .key_pem = identity ? identity_key_pem(identity) : NULL};
    assert_done(call_client_new(&settings, &client, error));
    return client;
}

static inline int controlled_ask_with(CallClient *client, const char *method, const char *path,
                                      const char *body, json_t **answer) {
    int status = 0;
    JSON_AUTO json = NULL;
    JSON_AUTO got = NULL;
    if (body) assert_done(json_parse(body, strlen(body), "body", &json, error));
    assert_done(call(client, method, path, json, 30000, NULL, &status, &got, error));
    if (answer) *answer = json_incref(got);
    return status;
}

/* As the person of that role; the status. */
static inline int controlled_ask(const Controlled *controlled, Role role, const char *method,
                                 const char *path, const char *body, json_t **answer) {
    CALL_CLIENT_AUTO client = controlled_client(controlled, controlled->tokens[role], NULL);
    return controlled_ask_with(client, method, path, body, answer);
}

/* ---- hosts */

/* A join token for it. */
static inline void controlled_invite(const Controlled *controlled, const char *host,
                                     char token[static TOKEN_TEXT_SIZE]) {
    char path[128];
    JSON_AUTO answer = NULL;
    snprintf(path, sizeof path, "/api/v1/hosts/%s/invite", host);
    assert_int_equal(controlled_ask(controlled, ROLE_ADMIN, "POST", path, "{}", &answer), 201);
    snprintf(token, TOKEN_TEXT_SIZE, "%s", json_get_text(answer, "token", ""));
}

static inline Home *controlled_home(const Controlled *controlled, const char *host, bool running) {
    char path[SAMPLE_PATH_SIZE], name[64];
    Home *home = NULL;
    snprintf(name, sizeof name, "home-%s", host);
    sample_path(controlled->folder, name, path);
    assert_done(home_open(path, running, &home, error));
    return home;
}

/* It joins, with its home in "home-<host>". */
static inline void controlled_join(const Controlled *controlled, const char *host) {
    char token[TOKEN_TEXT_SIZE];
    HOME_AUTO home = controlled_home(controlled, host, false);
    ARENA_AUTO arena = arena_new();
    controlled_invite(controlled, host, token);
    assert_done(agent_join(home, controlled->url, token, true, arena, NULL, error));
}

static inline Identity *controlled_identity(const Controlled *controlled, const char *host) {
    HOME_AUTO home = controlled_home(controlled, host, false);
    ARENA_AUTO arena = arena_new();
    Identity *identity = NULL;
    assert_done(identity_load(home_path(home, arena, "identity"), &identity, error));
    return identity;
}

/* The packages 1.0 and 2.0 (sick: unhealthy), published. */
static inline void controlled_packages(const Controlled *controlled, bool second_is_healthy) {
    sample_pack_version(controlled->folder, "1.0", true);
    sample_pack_version(controlled->folder, "2.0", second_is_healthy);
    char ring[SAMPLE_PATH_SIZE], path[SAMPLE_PATH_SIZE], id[KEY_ID_SIZE];
    snprintf(ring, sizeof ring, "%s/trust", controlled->state.path);
    sample_path(controlled->folder, "k.pub", path);
    assert_done(keyring_add(ring, path, id, error));
    fleet_play_publish(controlled_fleet(controlled), controlled->folder, "1.0.upk");
    fleet_play_publish(controlled_fleet(controlled), controlled->folder, "2.0.upk");
}

static inline void controlled_trust(const Controlled *controlled, const char *host) {
    char where[64];
    snprintf(where, sizeof where, "home-%s/trust", host);
    depot_play_trust(controlled->folder, where, "k");
}

/* A change of the sample plan; its id. */
static inline void controlled_change(const Controlled *controlled, const char *version, const char *more,
                                     char id[static CHANGE_ID_SIZE]) {
    BUFFER_AUTO text = {0};
    sample_write_plan(controlled->folder, version, more, &text);
    FleetOpening opening = {.text = buffer_text(&text), .file = "p.yaml", .by = "test"};
    assert_done(fleet_open_change(controlled_fleet(controlled), &opening, id, error));
}

static inline FleetPlayView controlled_look(const Controlled *controlled, const char *change) {
    FleetPlayView view;
    assert_done(fleet_look(controlled_fleet(controlled), change, fleet_play_see, &view, error));
    return view;
}

/* ---- an agent in a thread */

typedef struct ControlledAgent {
    Home *home;
    pthread_t thread;
    atomic_bool stop;
    size_t facts_size; /* of its facts, beside the usual ones */
    int result;
    Error error;
} ControlledAgent;

static inline json_t *controlled_facts(void *context) {
    const ControlledAgent *agent = context;
    BUFFER_AUTO more = {0};
    for (size_t i = 0; i < agent->facts_size; i++) buffer_append(&more, "x", 1);
    return json_pack("{s:s, s:o}", "kind", "test", "more", json_stringn(buffer_text(&more), more.size));
}

static inline void *controlled_be_agent(void *context) {
    ControlledAgent *agent = context;
    AgentSpec spec = {.home = agent->home, .facts = controlled_facts, .context = agent, .stop = &agent->stop};
    agent->result = agent_run(&spec, &agent->error);
    return NULL;
}

static inline void controlled_agent_begin_with(ControlledAgent *agent, const Controlled *controlled,
                                               const char *host, size_t facts_size) {
    *agent = (ControlledAgent){.home = controlled_home(controlled, host, true), .facts_size = facts_size};
    assert_int_equal(pthread_create(&agent->thread, NULL, controlled_be_agent, agent), 0);
}

static inline void controlled_agent_begin(ControlledAgent *agent, const Controlled *controlled,
                                          const char *host) {
    controlled_agent_begin_with(agent, controlled, host, 0);
}

static inline void controlled_agent_end(ControlledAgent *agent) {
    atomic_store(&agent->stop, true);
    pthread_join(agent->thread, NULL);
    home_close(agent->home);
    if (agent->result < 0) fail_msg("%s", agent->error.en);
}
