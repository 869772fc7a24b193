/* Parking: which requests of which hosts wait, and for what.
 *
 *   poll      a host that asks for work and has none: at most one a host
 *   reports   a host that has said something and waits until it stands in the journal
 *
 * Only tickets are kept; whoever takes one out answers it. A ticket whose client has gone, or whose time is
 * over, does no harm (wire/server.h). Hosts are few and known, so their places stay. Any thread.
 */
#pragma once
#include "wire/server.h"

typedef struct Parking Parking;

enum { PARKING_REPORTS_MAX = 8 }; /* of one host; the oldest gives way */

Parking *parking_new(void);
void parking_free(Parking *parking); /* NULL is allowed */

void parking_put_poll(Parking *parking, const char *host, ServerTicket ticket);
ServerTicket parking_take_poll(Parking *parking, const char *host); /* 0: none */

void parking_put_report(Parking *parking, const char *host, const char *change, int64_t number,
                        ServerTicket ticket);
/* Those that wait for reports up to `number` of `change`: how many. */
size_t parking_take_reports(Parking *parking, const char *host, const char *change, int64_t number,
                            ServerTicket out[static PARKING_REPORTS_MAX]);
