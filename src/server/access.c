#include "server/access.h"
#include <stdlib.h>
#include <string.h>

typedef struct Kept { /* beside the connection: whose certificate it was shown */
    CertificateHost host;
} Kept;

/* ---- hosts */

static const CertificateHost *certificate_of(Controller *controller, ServerRequest *request, Error *error) {
    const ServerPeer *peer = server_request_peer(request);
    Kept *kept = server_request_kept(request);
    if (kept) return &kept->host;
    if (!peer->verified) {
        error_set(error, ERROR_REFUSED, "a host's certificate is needed here (%s)", peer->problem);
        return NULL;
    }
    kept = calloc(1, sizeof *kept);
    if (!kept) abort();
    pthread_rwlock_rdlock(&controller->authority_lock);
    int result = authority_verify(controller->authority, peer->certificate, peer->certificate_size,
                                  clock_wall_ms(controller->clock), &kept->host, error);
    pthread_rwlock_unlock(&controller->authority_lock);
    if (result < 0) {
        free(kept);
        return NULL;
    }
    server_request_keep(request, kept);
    return &kept->host;
}

static bool is_revoked(Controller *controller, const char *serial) {
    pthread_rwlock_rdlock(&controller->authority_lock);
    bool revoked = authority_is_revoked(controller->authority, serial);
    pthread_rwlock_unlock(&controller->authority_lock);
    return revoked;
}

static int check_host(Controller *controller, ServerRequest *request, Access *out, Error *error) {
    out->status = 401;
    const CertificateHost *host = certificate_of(controller, request, error);
    if (!host) return -1;
    if (host->not_after_ms <= clock_wall_ms(controller->clock))
        return error_set(error, ERROR_REFUSED, "the certificate of %s has expired", host->name);
    if (is_revoked(controller, host->serial) || !fleet_is_joined(controller->fleet, host->name))
        return error_set(error, ERROR_REFUSED, "the host %s is not of this fleet any more", host->name);
    server_request_is_known(request);
    memcpy(out->host, host->name, sizeof out->host);
    memcpy(out->serial, host->serial, sizeof out->serial);
    out->not_before_ms = host->not_before_ms;
    out->not_after_ms = host->not_after_ms;
    return 0;
}

/* ---- people */

const char *access_bearer(const ServerRequest *request) {
    const char *header = server_request_header(request, "Authorization");
    return header && strncmp(header, "Bearer ", 7) == 0 ? header + 7 : NULL;
}

static int find_person(Controller *controller, const char *bearer, Person *out, Error *error) {
    if (strncmp(bearer, SIGN_IN_PREFIX, strlen(SIGN_IN_PREFIX)) == 0)
        return sign_in_check(controller->sign_ins, bearer, clock_steady_ms(controller->clock), out, NULL,
                             NULL, error);
    return people_find_token(controller->people, bearer, clock_wall_ms(controller->clock), out, NULL, NULL,
                             error);
}

bool access_may_look(Controller *controller, const char *bearer) {
    Person person;
    return find_person(controller, bearer, &person, NULL) == 0 && role_may(person.role, RIGHT_READ);
}

static int check_person(Controller *controller, ServerRequest *request, Right right, Access *out,
                        Error *error) {
    const char *bearer = access_bearer(request), *address = server_request_peer(request)->address;
    int64_t now_ms = clock_steady_ms(controller->clock);
    Error why = {0};
    if (!throttle_allow(controller->strangers, address, now_ms, &out->retry_ms)) {
        out->status = 429;
        return error_set(error, ERROR_REFUSED, "too many wrong tokens came from your address; wait a moment");
    }
    out->status = 401;
    if (!bearer) return error_set(error, ERROR_REFUSED, "sign in first: a token is needed here");
    if (find_person(controller, bearer, &out->person, &why) < 0) {
        throttle_charge(controller->strangers, address, ACCESS_WRONG_COST, now_ms);
        out->person = (Person){.name = ""};
        return error_set(error, ERROR_REFUSED, "this token is not good here (any more)");
    }
    out->status = 403;
    if (!role_may(out->person.role, right))
        return error_set(error, ERROR_REFUSED, "your role, %s, may not do that", role_name(out->person.role));
    server_request_is_known(request);
    return 0;
}

int access_check(Controller *controller, ServerRequest *request, AccessNeed need, Access *out, Error *error) {
    static const Right rights[] = {[ACCESS_READ] = RIGHT_READ,
                                   [ACCESS_OPERATE] = RIGHT_OPERATE,
                                   [ACCESS_APPROVE] = RIGHT_APPROVE,
                                   [ACCESS_ADMINISTER] = RIGHT_ADMINISTER};
    *out = (Access){.host = ""};
    if (need == ACCESS_ANYONE) return 0;
    if (need == ACCESS_HOST) return check_host(controller, request, out, error);
    return check_person(controller, request, rights[need], out, error);
}
