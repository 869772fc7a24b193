/* ControllerRoom: what the files behind the routes share. Private to server/. */
#pragma once
#include "base/throttle.h"
#include "server/controller.h"
#include "server/fleet.h"
#include "server/hub.h"
#include "trust/authority.h"
#include "trust/people.h"
#include "trust/sign_in.h"
#include <pthread.h>

struct Controller {
    ControllerSpec spec;
    Clock *clock;
    int dir, lock;
    int tokens;                      /* folder of the join tokens */
    pthread_rwlock_t authority_lock; /* for writing: revoking */
    Authority *authority;
    People *people;
    SignIns *sign_ins;
    Throttle *strangers; /* who came without a good token, by address */
    Fleet *fleet;
    Hub *hub;
    Server *server;
    _Atomic int64_t server_until_ms; /* its certificate should be another by then; wall clock */
    int64_t started_ms;              /* wall clock */
    pthread_mutex_t busy_lock;
    pthread_cond_t calm;
    bool stopping; /* no more of them may begin */
    unsigned busy; /* threads that work for a parked request */
};

/* A thread that outlives its request begins or ends; closing waits for it. False: it may not begin any more.
 */
bool controller_enter(Controller *controller);
void controller_leave(Controller *controller);
