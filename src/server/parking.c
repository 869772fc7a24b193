#include "server/parking.h"
#include "base/text_map.h"
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { CHANGE_SIZE = 65 };

typedef struct Waiting {
    char change[CHANGE_SIZE];
    int64_t number;
    ServerTicket ticket; /* 0: the place is free */
} Waiting;

typedef struct Place {
    char *host;
    ServerTicket poll;
    Waiting reports[PARKING_REPORTS_MAX];
    size_t next; /* the place that was taken longest ago */
} Place;

struct Parking {
    pthread_mutex_t lock;
    TextMap *places;
};

Parking *parking_new(void) {
    Parking *parking = calloc(1, sizeof *parking);
    if (!parking) abort();
    pthread_mutex_init(&parking->lock, NULL);
    parking->places = text_map_new();
    return parking;
}

void parking_free(Parking *parking) {
    size_t cursor = 0;
    void *value;
    if (!parking) return;
    while (text_map_next(parking->places, &cursor, &value)) {
        free(((Place *)value)->host);
        free(value);
    }
    text_map_free(parking->places);
    pthread_mutex_destroy(&parking->lock);
    free(parking);
}

static Place *place_of(Parking *parking, const char *host) {
    Place *place = text_map_find(parking->places, host);
    if (place) return place;
    place = calloc(1, sizeof *place);
    if (!place || !(place->host = strdup(host))) abort();
    text_map_put(parking->places, place->host, place);
    return place;
}

void parking_put_poll(Parking *parking, const char *host, ServerTicket ticket) {
    pthread_mutex_lock(&parking->lock);
    place_of(parking, host)->poll = ticket;
    pthread_mutex_unlock(&parking->lock);
}

ServerTicket parking_take_poll(Parking *parking, const char *host) {
    pthread_mutex_lock(&parking->lock);
    Place *place = text_map_find(parking->places, host);
    ServerTicket ticket = place ? place->poll : 0;
    if (place) place->poll = 0;
    pthread_mutex_unlock(&parking->lock);
    return ticket;
}

void parking_put_report(Parking *parking, const char *host, const char *change, int64_t number,
                        ServerTicket ticket) {
    pthread_mutex_lock(&parking->lock);
    Place *place = place_of(parking, host);
    Waiting *waiting = &place->reports[place->next++ % PARKING_REPORTS_MAX];
    *waiting = (Waiting){.number = number, .ticket = ticket};
    strncat(waiting->change, change, CHANGE_SIZE - 1);
    pthread_mutex_unlock(&parking->lock);
}

size_t parking_take_reports(Parking *parking, const char *host, const char *change, int64_t number,
                            ServerTicket out[static PARKING_REPORTS_MAX]) {
    size_t count = 0;
    pthread_mutex_lock(&parking->lock);
    Place *place = text_map_find(parking->places, host);
    for (size_t i = 0; place && i < PARKING_REPORTS_MAX; i++) {
        Waiting *waiting = &place->reports[i];
        if (!waiting->ticket || waiting->number > number || strcmp(waiting->change, change) != 0) continue;
        out[count++] = waiting->ticket;
        waiting->ticket = 0;
    }
    pthread_mutex_unlock(&parking->lock);
    return count;
}
