/* The controller itself: where it stands, and figures for Prometheus. */
#include "base/cleanup.h"
#include "base/json.h"
#include "server/metrics.h"
#include "server/route.h"

static int give_status(RouteCall *call, Error *error) {
    (void)error;
    FleetCounts counts = fleet_counts(call->controller->fleet);
    ServerCounts server = server_counts(server_request_server(call->request));
    char started[CLOCK_TEXT_SIZE];
    json_t *answer = json_object();
    clock_to_text(call->controller->started_ms, started);
    json_set_text(answer, "version", UPKEEP_VERSION);
    json_set_text(answer, "started", started);
    json_set_integer(answer, "hosts", (int64_t)counts.hosts);
    json_set_integer(answer, "hosts_joined", (int64_t)counts.joined);
    json_set_integer(answer, "changes_under_way", (int64_t)counts.courses);
    json_set_integer(answer, "journal_sequence", counts.sequence);
    json_set_integer(answer, "connections", server.connections);
    json_set_integer(answer, "parked", server.parked);
    route_answer(call, 200, answer);
    return 0;
}

static int give_metrics(RouteCall *call, Error *error) {
    BUFFER_AUTO text = {0};
    ServerCounts server = server_counts(server_request_server(call->request));
    if (metrics_write(call->controller, &server, &text, error) < 0) return -1;
    server_answer(call->request, 200, "text/plain; version=0.0.4; charset=utf-8", &text);
    return 0;
}

const Route route_status[] = {
    {"GET", "/api/v1/status", ACCESS_READ, give_status, "The controller itself"},
    {"GET", "/metrics", ACCESS_READ, give_metrics, "Figures for Prometheus"},
    {0},
};
