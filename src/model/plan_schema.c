/* What a plan may hold: the tables. */
#include "model/plan_schema.h"

#define AT(Type, member) offsetof(Type, member)
#define STRING(Type, key_, member, ...)                                                                      \
    { .key = key_, .type = FIELD_STRING, .offset = AT(Type, member), __VA_ARGS__ }
#define FIELD(Type, kind, key_, member, ...)                                                                 \
    { .key = key_, .type = FIELD_##kind, .offset = AT(Type, member), __VA_ARGS__ }

enum { SECOND = 1000, MINUTE = 60 * SECOND, HOUR = 60 * MINUTE };

static const Field process_fields[] = {
    FIELD(PlanProcess, STRINGS, "command", command, .required = true,
          .text = "program and arguments, run in the service's root; never a shell"),
    FIELD(PlanProcess, PAIRS, "env", env,
          .text = "environment beside PATH, HOME, USER, LOGNAME, SHELL and LANG"),
    STRING(PlanProcess, "stop_signal", stop_signal, .fallback = "SIGTERM", .text = "what asks it to stop"),
    FIELD(PlanProcess, DURATION, "stop_timeout", stop_timeout_ms, .fallback = "30s",
          .text = "how long it may take before it is killed"),
    STRING(PlanProcess, "log", log,
           .text = "file for its output, beneath root; default: shared/log/<service>.log"),
};
static const Schema process_schema = SCHEMA("process", PlanProcess, process_fields, NULL);

static const Field commands_fields[] = {
    FIELD(PlanCommands, STRINGS, "start", start, .required = true, .text = "starts the service and returns"),
    FIELD(PlanCommands, STRINGS, "stop", stop, .required = true,
          .text = "stops it and returns when it is gone"),
    FIELD(PlanCommands, STRINGS, "status", status, .required = true, .text = "exit status 0 while it runs"),
    FIELD(PlanCommands, DURATION, "timeout", timeout_ms, .fallback = "60s", .text = "for each of them"),
};
static const Schema commands_schema = SCHEMA("commands", PlanCommands, commands_fields, NULL);

static const Field run_fields[] = {
    FIELD(PlanRun, OPTIONAL, "process", process, .schema = &process_schema, .text = "a plain process"),
    STRING(PlanRun, "systemd", systemd, .text = "a unit, such as node-red.service"),
    FIELD(PlanRun, OPTIONAL, "commands", commands, .schema = &commands_schema, .text = "your own commands"),
};
static const char *const run_kinds[] = {"process", "systemd", "commands", NULL};
static const Schema run_schema = SCHEMA("run", PlanRun, run_fields, run_kinds);

static const Field http_fields[] = {
    STRING(PlanHttp, "url", url, .required = true, .text = "http:// or https://"),
    FIELD(PlanHttp, INTEGER, "status", status, .minimum = 0, .maximum = 599,
          .text = "the one that passes; default: any 2xx or 3xx"),
    STRING(PlanHttp, "body", body, .text = "text that the answer must contain"),
    FIELD(PlanHttp, DURATION, "timeout", timeout_ms, .fallback = "5s", .minimum = 1, .maximum = HOUR),
};
static const Schema http_schema = SCHEMA("http", PlanHttp, http_fields, NULL);

static const Field tcp_fields[] = {
    STRING(PlanTcp, "address", address, .required = true, .text = "host:port that must accept a connection"),
    FIELD(PlanTcp, DURATION, "timeout", timeout_ms, .fallback = "5s", .minimum = 1, .maximum = HOUR),
};
static const Schema tcp_schema = SCHEMA("tcp", PlanTcp, tcp_fields, NULL);

static const Field command_fields[] = {
    FIELD(PlanCommand, STRINGS, "run", run, .required = true,
          .text = "program and arguments; must exit with 0"),
    STRING(PlanCommand, "version", version, .text = "range that the version in its output must be in"),
    STRING(PlanCommand, "regex", regex,
           .text = "extended regular expression whose first group is the version"),
    FIELD(PlanCommand, DURATION, "timeout", timeout_ms, .fallback = "30s", .minimum = 1, .maximum = HOUR),
};
static const Schema command_schema = SCHEMA("command", PlanCommand, command_fields, NULL);

static const Field version_fields[] = {
    STRING(PlanVersionProbe, "http", http, .text = "URL of a JSON document"),
    STRING(PlanVersionProbe, "json", json, .text = "where the version stands in it, such as /version"),
    FIELD(PlanVersionProbe, STRINGS, "command", command, .text = "program and arguments"),
    STRING(PlanVersionProbe, "regex", regex, .text = "whose first group in the output is the version"),
    FIELD(PlanVersionProbe, DURATION, "timeout", timeout_ms, .fallback = "5s", .minimum = 1, .maximum = HOUR),
};
static const char *const version_kinds[] = {"http", "command", NULL};
static const Schema version_schema = SCHEMA("version", PlanVersionProbe, version_fields, version_kinds);

static const char *const rollback_data[] = {"restore", "keep", NULL};
static const char *const rollback_confirmed[] = {"keep-data", "restore-data", "hold", NULL};
static const Field service_fields[] = {
    STRING(PlanService, "name", name, .required = true, .pattern = SCHEMA_NAME, .text = "as in the package"),
    STRING(PlanService, "root", root,
           .text = "folder with releases/, current and shared/; hosts may have their own"),
    STRING(PlanService, "user", user, .text = "run as; default: whoever runs the upgrade"),
    FIELD(PlanService, OBJECT, "run", run, .schema = &run_schema, .required = true,
          .text = "how it is started"),
    FIELD(PlanService, OPTIONAL, "version", version, .schema = &version_schema,
          .text = "how the running service says its version"),
    FIELD(PlanService, STRINGS, "config", config, .text = "files and folders beneath root"),
    FIELD(PlanService, STRINGS, "data", data, .text = "files and folders beneath root"),
    STRING(PlanService, "rollback_data", rollback_data, .fallback = "restore", .choices = rollback_data,
           .text = "before CONFIRM: put data back to the exact copy, or keep it"),
    STRING(PlanService, "rollback_confirmed", rollback_confirmed, .fallback = "keep-data",
           .choices = rollback_confirmed, .text = "after CONFIRM, when users have written"),
    FIELD(PlanService, INTEGER, "keep_releases", keep_releases, .fallback = "3", .minimum = 1,
          .maximum = 1000),
};
static const Schema service_schema = SCHEMA("service", PlanService, service_fields, NULL);

static const Field package_fields[] = {
    STRING(PlanPackage, "file", file, .required = true, .text = "the .upk"),
    FIELD(PlanPackage, STRINGS, "trust", trust, .required = true, .text = "public keys that may sign it"),
    FIELD(PlanPackage, INTEGER, "signatures", signatures, .fallback = "1", .minimum = 1, .maximum = 64,
          .text = "how many of them must have signed"),
    STRING(PlanPackage, "from", from, .text = "versions it may upgrade, such as “>=3.1 <4”"),
    FIELD(PlanPackage, BOOL, "downgrade", downgrade, .fallback = "false", .text = "allow a lower version"),
};
static const Schema package_schema = SCHEMA("package", PlanPackage, package_fields, NULL);

static const Field host_fields[] = {
    STRING(PlanHost, "name", name, .pattern = SCHEMA_NAME, .text = "one host"),
    FIELD(PlanHost, PAIRS, "select", select,
          .text = "all hosts of the controller's inventory whose labels match"),
    STRING(PlanHost, "root", root, .text = "instead of service.root"),
    FIELD(PlanHost, PAIRS, "labels", labels, .text = "what stages select by"),
    FIELD(PlanHost, PAIRS, "vars", vars, .text = "values of ${vars.NAME}"),
};
static const char *const host_kinds[] = {"name", "select", NULL};
static const Schema host_schema = SCHEMA("host", PlanHost, host_fields, host_kinds);

static const Field cpu_fields[] = {
    FIELD(PlanCpu, INTEGER, "cores", cores, .required = true, .minimum = 1, .maximum = 65536)};
static const Schema cpu_schema = SCHEMA("cpu", PlanCpu, cpu_fields, NULL);

static const Field memory_fields[] = {
    FIELD(PlanMemory, AMOUNT, "free", free, .required = true, .amounts = AMOUNT_SIZE | AMOUNT_PERCENT)};
static const Schema memory_schema = SCHEMA("memory", PlanMemory, memory_fields, NULL);

static const Field disk_fields[] = {
    STRING(PlanDisk, "path", path, .fallback = "${service.root}"),
    FIELD(PlanDisk, AMOUNT, "free", free, .amounts = AMOUNT_SIZE | AMOUNT_PERCENT),
    FIELD(PlanDisk, AMOUNT, "inodes", inodes, .amounts = AMOUNT_COUNT | AMOUNT_PERCENT),
};
static const Schema disk_schema = SCHEMA("disk", PlanDisk, disk_fields, NULL);

static const Field os_fields[] = {
    STRING(PlanOs, "id", id, .text = "ID of /etc/os-release"),
    STRING(PlanOs, "version", version, .text = "range of its VERSION_ID"),
};
static const Schema os_schema = SCHEMA("os", PlanOs, os_fields, NULL);

static const Field kernel_fields[] = {
    STRING(PlanKernel, "version", version, .required = true, .text = "range")};
static const Schema kernel_schema = SCHEMA("kernel", PlanKernel, kernel_fields, NULL);

static const Field tls_fields[] = {
    STRING(PlanTls, "address", address, .required = true, .text = "host:port"),
    FIELD(PlanTls, DURATION, "valid_for", valid_for_ms, .fallback = "14d", .text = "left of its certificate"),
    STRING(PlanTls, "ca", ca, .text = "PEM file; default: the system's authorities"),
    FIELD(PlanTls, DURATION, "timeout", timeout_ms, .fallback = "5s", .minimum = 1, .maximum = HOUR),
};
static const Schema tls_schema = SCHEMA("tls", PlanTls, tls_fields, NULL);

static const Field port_free_fields[] = {STRING(PlanPortFree, "port", port, .required = true)};
static const Schema port_free_schema = SCHEMA("port_free", PlanPortFree, port_free_fields, NULL);

static const Field clock_fields[] = {FIELD(PlanClock, DURATION, "skew", skew_ms, .required = true,
                                           .minimum = 1, .maximum = HOUR,
                                           .text = "largest error of the host's clock")};
static const Schema clock_schema = SCHEMA("clock", PlanClock, clock_fields, NULL);

static const Field check_fields[] = {
    STRING(PlanCheck, "name", name, .text = "default: the kind of the check"),
    FIELD(PlanCheck, OPTIONAL, "cpu", cpu, .schema = &cpu_schema),
    FIELD(PlanCheck, OPTIONAL, "memory", memory, .schema = &memory_schema),
    FIELD(PlanCheck, OPTIONAL, "disk", disk, .schema = &disk_schema),
    FIELD(PlanCheck, OPTIONAL, "os", os, .schema = &os_schema),
    FIELD(PlanCheck, OPTIONAL, "kernel", kernel, .schema = &kernel_schema),
    FIELD(PlanCheck, OPTIONAL, "command", command, .schema = &command_schema),
    FIELD(PlanCheck, OPTIONAL, "tcp", tcp, .schema = &tcp_schema),
    FIELD(PlanCheck, OPTIONAL, "http", http, .schema = &http_schema),
    FIELD(PlanCheck, OPTIONAL, "tls", tls, .schema = &tls_schema),
    FIELD(PlanCheck, OPTIONAL, "port_free", port_free, .schema = &port_free_schema),
    FIELD(PlanCheck, OPTIONAL, "clock", clock, .schema = &clock_schema),
};
const char *const plan_check_kinds[] = {"cpu", "memory", "disk", "os",        "kernel", "command",
                                        "tcp", "http",   "tls",  "port_free", "clock",  NULL};
static const Schema check_schema = SCHEMA("check", PlanCheck, check_fields, plan_check_kinds);

static const Field restore_point_fields[] = {
    STRING(PlanRestorePoint, "to", to,
           .text = "folder, best on other storage; default: <state>/restore-points"),
    FIELD(PlanRestorePoint, INTEGER, "keep", keep, .fallback = "3", .minimum = 1, .maximum = 10000),
};
static const Schema restore_point_schema =
    SCHEMA("restore_point", PlanRestorePoint, restore_point_fields, NULL);

static const Field haproxy_fields[] = {
    FIELD(PlanHaproxy, STRINGS, "sockets", sockets, .required = true,
          .text =
              "runtime API of each balancer, at level admin: the path of a socket, or HOST:PORT; at most 8"),
    STRING(PlanHaproxy, "backend", backend, .required = true, .text = "as in its configuration"),
    STRING(PlanHaproxy, "server", server, .required = true,
           .text = "this host in that backend, such as ${host.name}"),
};
static const Schema haproxy_schema = SCHEMA("haproxy", PlanHaproxy, haproxy_fields, NULL);

static const Field nginx_fields[] = {
    STRING(PlanNginx, "file", file, .required = true,
           .text = "configuration with the upstream's server lines"),
    STRING(PlanNginx, "server", server, .required = true,
           .text = "this host as its server line writes it, such as 10.0.0.11:8080"),
    FIELD(PlanNginx, STRINGS, "test", test, .text = "checks the configuration; default: nginx -t"),
    FIELD(PlanNginx, STRINGS, "reload", reload, .text = "takes it up; default: nginx -s reload"),
    FIELD(PlanNginx, DURATION, "timeout", timeout_ms, .fallback = "30s", .minimum = 1, .maximum = HOUR,
          .text = "for each of them, and for nginx to take its configuration up"),
};
static const Schema nginx_schema = SCHEMA("nginx", PlanNginx, nginx_fields, NULL);

static const Field traffic_commands_fields[] = {
    FIELD(PlanTrafficCommands, STRINGS, "drain", drain, .required = true,
          .text = "takes the host out of traffic; without “connections” it returns once they have ended"),
    FIELD(PlanTrafficCommands, STRINGS, "connections", connections,
          .text = "prints how many connections the host still has"),
    FIELD(PlanTrafficCommands, STRINGS, "readmit", readmit, .required = true,
          .text = "puts it back and returns once it gets traffic"),
    FIELD(PlanTrafficCommands, STRINGS, "weight", weight,
          .text = "sets its weight to UPKEEP_WEIGHT percent of the normal one"),
    FIELD(PlanTrafficCommands, DURATION, "timeout", timeout_ms, .fallback = "60s", .minimum = 1,
          .maximum = HOUR, .text = "for each of them"),
};
static const Schema traffic_commands_schema =
    SCHEMA("commands", PlanTrafficCommands, traffic_commands_fields, NULL);

static const char *const last_server[] = {"refuse", "drain", NULL};
static const Field traffic_fields[] = {
    FIELD(PlanTraffic, OPTIONAL, "haproxy", haproxy, .schema = &haproxy_schema,
          .text = "HAProxy, at run time"),
    FIELD(PlanTraffic, OPTIONAL, "nginx", nginx, .schema = &nginx_schema,
          .text = "nginx, by its upstream file and a reload"),
    FIELD(PlanTraffic, OPTIONAL, "commands", commands, .schema = &traffic_commands_schema,
          .text = "your own commands"),
    FIELD(PlanTraffic, DURATION, "drain_timeout", drain_timeout_ms, .fallback = "30s", .maximum = HOUR,
          .text = "longest wait for connections to end; those left then are cut"),
    STRING(PlanTraffic, "last_server", last_server, .fallback = "refuse", .choices = last_server,
           .text = "when nobody else serves: refuse to take this host out, or drain it all the same"),
};
static const char *const traffic_kinds[] = {"haproxy", "nginx", "commands", NULL};
static const Schema traffic_schema = SCHEMA("traffic", PlanTraffic, traffic_fields, traffic_kinds);

static const Field stage_fields[] = {
    STRING(PlanStage, "name", name, .required = true, .pattern = SCHEMA_NAME),
    FIELD(PlanStage, AMOUNT, "hosts", hosts, .amounts = AMOUNT_COUNT | AMOUNT_PERCENT, .minimum = 1,
          .maximum = 1000000, .text = "how many; default: all that are left"),
    FIELD(PlanStage, PAIRS, "select", select, .text = "labels that must all match"),
    FIELD(PlanStage, AMOUNT, "batch", batch, .fallback = "100%", .amounts = AMOUNT_COUNT | AMOUNT_PERCENT,
          .minimum = 1, .maximum = 1000000, .text = "hosts switched, watched and confirmed together"),
    FIELD(PlanStage, DURATION, "soak", soak_ms, .fallback = "10s", .maximum = INT64_C(30) * 24 * HOUR,
          .text = "how long each batch is watched before it is confirmed"),
    FIELD(PlanStage, AMOUNT, "max_failed", max_failed, .fallback = "0",
          .amounts = AMOUNT_COUNT | AMOUNT_PERCENT, .maximum = 1000000,
          .text = "hosts of this stage that may fail and be left out without stopping the rollout"),
    FIELD(PlanStage, AMOUNT, "weight", weight, .amounts = AMOUNT_PERCENT, .minimum = 1, .maximum = 100,
          .text = "with strategy canary: share of its normal weight that a host gets until it is confirmed"),
};
static const Schema stage_schema = SCHEMA("stage", PlanStage, stage_fields, NULL);

static const char *const strategies[] = {"rolling", "canary", NULL};
static const Field rollout_fields[] = {
    STRING(PlanRollout, "strategy", strategy, .fallback = "rolling", .choices = strategies,
           .text = "canary: stages may have a weight"),
    FIELD(PlanRollout, OBJECTS, "stages", stages, .schema = &stage_schema,
          .text = "default: one host first as “pilot”, then “rest”"),
    FIELD(PlanRollout, AMOUNT, "max_unavailable", max_unavailable, .fallback = "1",
          .amounts = AMOUNT_COUNT | AMOUNT_PERCENT, .minimum = 1, .maximum = 1000000,
          .text = "hosts out of service at one time"),
    FIELD(PlanRollout, DURATION, "confirm_deadline", confirm_deadline_ms, .fallback = "15m", .minimum = 1,
          .maximum = INT64_C(60) * 24 * HOUR,
          .text = "a switched host that hears no CONFIRM by then rolls back by itself"),
    FIELD(PlanRollout, DURATION, "lost_after", lost_after_ms, .fallback = "15m", .minimum = SECOND,
          .maximum = INT64_C(7) * 24 * HOUR,
          .text = "with a controller: a host that has an order and says nothing for so long is lost"),
};
static const Schema rollout_schema = SCHEMA("rollout", PlanRollout, rollout_fields, NULL);

static const Field health_fields[] = {
    STRING(PlanHealth, "name", name, .text = "default: the kind of the probe"),
    FIELD(PlanHealth, OPTIONAL, "http", http, .schema = &http_schema),
    FIELD(PlanHealth, OPTIONAL, "tcp", tcp, .schema = &tcp_schema),
    FIELD(PlanHealth, OPTIONAL, "command", command, .schema = &command_schema),
    FIELD(PlanHealth, DURATION, "every", every_ms, .fallback = "1s", .minimum = 10, .maximum = HOUR),
    FIELD(PlanHealth, INTEGER, "healthy_after", healthy_after, .fallback = "3", .minimum = 1, .maximum = 1000,
          .text = "passes in a row before the host counts as healthy"),
    FIELD(PlanHealth, DURATION, "deadline", deadline_ms, .fallback = "60s", .minimum = 10,
          .maximum = 24 * HOUR, .text = "for that to happen"),
    FIELD(PlanHealth, INTEGER, "fail_after", fail_after, .fallback = "3", .minimum = 1, .maximum = 1000,
          .text = "failures in a row, later, that make it sick"),
};
static const char *const health_kinds[] = {"http", "tcp", "command", NULL};
static const Schema health_schema = SCHEMA("health", PlanHealth, health_fields, health_kinds);

static const char *const change_kinds[] = {"normal", "emergency", NULL};
static const Field change_fields[] = {
    STRING(PlanChange, "title", title, .text = "what people call this change"),
    STRING(PlanChange, "kind", kind, .fallback = "normal", .choices = change_kinds),
};
static const Schema change_schema = SCHEMA("change", PlanChange, change_fields, NULL);

static const char *const on_failure[] = {"rollback", "hold", NULL};
static const Field plan_fields[] = {
    FIELD(Plan, INTEGER, "upkeep", upkeep, .required = true, .minimum = 1, .maximum = 1,
          .text = "format of this file: 1"),
    FIELD(Plan, OBJECT, "change", change, .schema = &change_schema),
    STRING(Plan, "environment", environment, .fallback = "production", .pattern = SCHEMA_NAME),
    FIELD(Plan, OBJECT, "service", service, .schema = &service_schema, .required = true),
    FIELD(Plan, OBJECT, "package", package, .schema = &package_schema, .required = true),
    FIELD(Plan, OBJECTS, "hosts", hosts, .schema = &host_schema, .required = true),
    FIELD(Plan, OBJECTS, "preflight", preflight, .schema = &check_schema,
          .text = "each: a name and one check"),
    FIELD(Plan, OBJECT, "restore_point", restore_point, .schema = &restore_point_schema),
    FIELD(Plan, OPTIONAL, "traffic", traffic, .schema = &traffic_schema,
          .text = "how a host is taken out of its load balancer, and put back"),
    FIELD(Plan, OBJECT, "rollout", rollout, .schema = &rollout_schema),
    FIELD(Plan, OBJECTS, "health", health, .schema = &health_schema, .required = true,
          .text = "what a healthy host answers"),
    STRING(Plan, "on_failure", on_failure, .fallback = "rollback", .choices = on_failure),
};
const Schema plan_schema = SCHEMA("plan", Plan, plan_fields, NULL);
