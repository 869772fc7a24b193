#include "cli/plan_show.h"
#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/quantity.h"
#include "host/service/service.h"
#include "host/traffic/traffic.h"
#include <inttypes.h>
#include <string.h>

static TrafficContext traffic_of(const Plan *own) {
    return (TrafficContext){.traffic = own->traffic,
                            .host = own->hosts.items[0].name,
                            .service = own->service.name,
                            .root = own->service.root,
                            .percent = plan_host_weight(own)};
}

static void show_drain(const Cli *cli, Arena *arena, const Plan *own) {
    char limit[QUANTITY_TEXT_SIZE];
    if (!own->traffic) return;
    TrafficContext context = traffic_of(own);
    printf(cli_text(cli, "    drain        %s; connections may take %s to end\n"),
           traffic_describe(&context, TRAFFIC_DRAIN, arena),
           quantity_duration_text(own->traffic->drain_timeout_ms, limit));
}

static void show_readmit(const Cli *cli, Arena *arena, const Plan *own) {
    if (!own->traffic) return;
    TrafficContext context = traffic_of(own);
    printf(cli_text(cli, "    readmit      %s\n"), traffic_describe(&context, TRAFFIC_READMIT, arena));
    if (context.percent)
        printf(cli_text(cli, "    confirm      %s\n"), traffic_describe(&context, TRAFFIC_WEIGHT, arena));
}

static void show_host(const Cli *cli, Arena *arena, const PlanShow *show, const Plan *own) {
    const PlanService *service = &own->service;
    const char *current = show->current(show->context, own, arena);
    ServiceContext context = {service->name, service->root, service->user, &service->run};
    printf("  %s  %s\n", own->hosts.items[0].name, service->root);
    if (*current)
        printf(cli_text(cli, "    now          %s\n"), current);
    else
        printf(cli_text(cli, "    now          nothing: this is the first installation\n"));
    printf(cli_text(cli, "    prepare      check, install %s beside it, back up and prove the backup; the "
                         "service runs on\n"),
           show->version);
    if (*current) show_drain(cli, arena, own);
    if (*current) printf(cli_text(cli, "    stop         as %s was installed to be stopped\n"), current);
    if (service->config.count + service->data.count)
        printf(
            cli_text(cli,
                     "    final copy   of %zu configuration and %zu data paths, with the service stopped\n"),
            service->config.count, service->data.count);
    printf(cli_text(cli, "    switch       current -> releases/%s\n"), show->version);
    printf(cli_text(cli, "    start        %s\n"), service_describe_start(&context, arena));
    for (size_t i = 0; i < own->health.count; i++) {
        const PlanHealth *health = &own->health.items[i];
        const char *what = health->http  ? health->http->url
                           : health->tcp ? health->tcp->address
                                         : health->command->run.items[0];
        char every[QUANTITY_TEXT_SIZE], deadline[QUANTITY_TEXT_SIZE];
        printf(cli_text(cli, "    probe        %s: %s, every %s, %" PRId64 " passes in a row within %s\n"),
               health->name, what, quantity_duration_text(health->every_ms, every), health->healthy_after,
               quantity_duration_text(health->deadline_ms, deadline));
    }
    show_readmit(cli, arena, own);
}

static void show_rollback(const Cli *cli, const Plan *plan) {
    const PlanService *service = &plan->service;
    printf("\n%s\n", cli_text(cli, "What a rollback would do"));
    if (strcmp(plan->on_failure, "hold") == 0)
        printf("  %s\n",
               cli_text(cli, "on failure: hold — everything stays as it is until a person decides"));
    if (strcmp(service->rollback_data, "restore") == 0)
        printf(
            "  %s\n",
            cli_text(cli,
                     "before a host is confirmed: data and configuration go back to the exact copy; what the "
                     "new version has written meanwhile is set aside as a restore point"));
    else
        printf("  %s\n", cli_text(cli, "before a host is confirmed: the data stays; nothing is lost"));
    if (strcmp(service->rollback_confirmed, "keep-data") == 0)
        printf("  %s\n", cli_text(cli, "after it is confirmed: the data stays; nothing is lost"));
    else if (strcmp(service->rollback_confirmed, "restore-data") == 0)
        printf(
            "  %s\n",
            cli_text(cli,
                     "after it is confirmed: data goes back to the exact copy; what users have written since "
                     "is set aside as a restore point"));
    else
        printf("  %s\n",
               cli_text(cli, "after it is confirmed: the host is left as it is for a person to decide"));
}

static void show_max_failed(const Cli *cli, size_t max_failed) {
    if (max_failed)
        printf(cli_text(cli, "  of these, hosts that may fail and be left out: %zu\n"), max_failed);
}

static void show_take_over(const Cli *cli, const Plan *plan) {
    BUFFER_AUTO names = {0};
    char soak[QUANTITY_TEXT_SIZE];
    if (!plan_is_blue_green(plan)) return;
    for (size_t i = 0; i < plan->hosts.count; i++)
        if (plan_host_is_live(plan, &plan->hosts.items[i]))
            buffer_printf(&names, "%s%s", names.size ? ", " : "", plan->hosts.items[i].name);
    cli_print(cli,
              "\nTake-over: all of them go into traffic, then %s out of it; they stand by, watched for %s\n",
              buffer_text(&names), quantity_duration_text(plan->rollout.take_over_soak_ms, soak));
}

static void show_head(const Cli *cli, const PlanShow *show) {
    const Plan *whole = show->plan;
    char digest[DIGEST_TEXT_SIZE];
    size_t hosts = whole->hosts.count, out = plan_amount_of(&whole->rollout.max_unavailable, hosts);
    printf("%s%s%s → %s\n", whole->change.title ? whole->change.title : "", whole->change.title ? ": " : "",
           whole->service.name, show->version);
    if (!show->digest) {
        printf(cli_text(cli, "environment %s, at most %zu of %zu hosts out of service\n"), whole->environment,
               out, hosts);
        return;
    }
    digest_to_text(show->digest, digest);
    printf(cli_text(cli, "plan digest %.16s…, environment %s, at most %zu of %zu hosts out of service\n"),
           digest, whole->environment, out, hosts);
}

static void show_stage(const Cli *cli, Arena *arena, const PlanShow *show, const size_t *stages,
                       size_t number) {
    const Plan *whole = show->plan;
    const PlanStage *stage = &whole->rollout.stages.items[number];
    char soak[QUANTITY_TEXT_SIZE];
    size_t members = 0;
    for (size_t i = 0; i < whole->hosts.count; i++) members += stages[i] == number;
    printf(cli_text(cli, "\nStage %zu: %s — %zu hosts, %zu at a time, each batch watched for %s\n"),
           number + 1, stage->name, members, plan_amount_of(&stage->batch, members),
           quantity_duration_text(stage->soak_ms, soak));
    show_max_failed(cli, plan_amount_at_most(&stage->max_failed, members));
    for (size_t i = 0; i < whole->hosts.count; i++) {
        Plan *own = NULL;
        if (stages[i] == number &&
            plan_for_host(arena, whole, whole->hosts.items[i].name, show->version, &own, NULL) == 0)
            show_host(cli, arena, show, own);
    }
}

void plan_show(const Cli *cli, Arena *arena, const PlanShow *show) {
    size_t *stages = ARENA_ARRAY(arena, show->plan->hosts.count, size_t);
    plan_stages(show->plan, stages, NULL);
    show_head(cli, show);
    for (size_t s = 0; s < show->plan->rollout.stages.count; s++) show_stage(cli, arena, show, stages, s);
    show_take_over(cli, show->plan);
    show_rollback(cli, show->plan);
}
