#include "package/manifest_schema.h"
#include "package/manifest.h"

#define FIELD(Type, kind, key_, member, ...)                                                                 \
    { .key = key_, .type = FIELD_##kind, .offset = offsetof(Type, member), __VA_ARGS__ }

enum { HOUR_MS = 3600 * 1000 };

static const Field build_fields[] = {
    FIELD(ManifestBuild, STRING, "number", number, .text = "of the build"),
    FIELD(ManifestBuild, STRING, "commit", commit, .text = "of the source, as Git names it"),
    FIELD(ManifestBuild, STRING, "tag", tag, .text = "of the source"),
    FIELD(ManifestBuild, STRING, "time", time, .text = "when it was built, RFC 3339"),
};
static const Schema build_schema = SCHEMA("build", ManifestBuild, build_fields, NULL);

static const Field os_fields[] = {
    FIELD(PlanOs, STRING, "id", id, .required = true, .text = "ID of /etc/os-release"),
    FIELD(PlanOs, STRING, "version", version, .text = "range of its VERSION_ID"),
};
static const Schema os_schema = SCHEMA("package_os", PlanOs, os_fields, NULL);

static const Field command_fields[] = {
    FIELD(PlanCommand, STRINGS, "run", run, .required = true,
          .text = "program and arguments; must exit with 0"),
    FIELD(PlanCommand, STRING, "version", version, .text = "range that the version in its output must be in"),
    FIELD(PlanCommand, STRING, "regex", regex,
          .text = "extended regular expression whose first group is the version"),
    FIELD(PlanCommand, DURATION, "timeout", timeout_ms, .fallback = "30s", .minimum = 1, .maximum = HOUR_MS),
};
static const Schema command_schema = SCHEMA("package_command", PlanCommand, command_fields, NULL);

static const Field compatibility_fields[] = {
    FIELD(ManifestCompatibility, OBJECTS, "os", os, .schema = &os_schema, .text = "any one of them"),
    FIELD(ManifestCompatibility, STRINGS, "architecture", architecture,
          .text = "any one of them: x86_64, aarch64, …"),
    FIELD(ManifestCompatibility, STRING, "kernel", kernel, .text = "range of its version"),
    FIELD(ManifestCompatibility, OBJECTS, "commands", commands, .schema = &command_schema,
          .text = "all must be there"),
    FIELD(ManifestCompatibility, STRING, "from", from, .text = "range of versions this one may upgrade"),
};
static const Schema compatibility_schema =
    SCHEMA("compatibility", ManifestCompatibility, compatibility_fields, NULL);

static const Field hook_fields[] = {
    FIELD(ManifestHook, STRINGS, "run", run, .required = true,
          .text = "program and arguments, run in the release"),
    FIELD(ManifestHook, DURATION, "timeout", timeout_ms, .fallback = "5m", .minimum = 1,
          .maximum = 24 * HOUR_MS),
};
static const Schema hook_schema = SCHEMA("hook", ManifestHook, hook_fields, NULL);

static const Field hooks_fields[] = {
    FIELD(ManifestHooks, OPTIONAL, "prepare", prepare, .schema = &hook_schema,
          .text = "staged; the old version runs on"),
    FIELD(ManifestHooks, OPTIONAL, "before_stop", before_stop, .schema = &hook_schema,
          .text = "before the old version is stopped"),
    FIELD(ManifestHooks, OPTIONAL, "after_start", after_start, .schema = &hook_schema,
          .text = "the new version was started and is not yet probed"),
    FIELD(ManifestHooks, OPTIONAL, "rollback", rollback, .schema = &hook_schema,
          .text = "the new version is stopped again, the old one not yet started"),
};
const Schema manifest_hooks_schema = SCHEMA("hooks", ManifestHooks, hooks_fields, NULL);

#define DETAILS                                                                                              \
    FIELD(ManifestHead, OBJECT, "build", build, .schema = &build_schema,                                     \
          .text = "where the content comes from"),                                                           \
        FIELD(ManifestHead, OBJECT, "compatibility", compatibility, .schema = &compatibility_schema,         \
              .text = "what the package needs of a host"),                                                   \
        FIELD(ManifestHead, OBJECT, "hooks", hooks, .schema = &manifest_hooks_schema,                        \
              .text = "programs of the package that take part in its upgrade")

static const Field details_fields[] = {DETAILS};
const Schema manifest_details_schema_table = SCHEMA("package", ManifestHead, details_fields, NULL);

static const Field head_fields[] = {
    DETAILS,
    FIELD(ManifestHead, INTEGER, "upkeep_package", upkeep_package, .required = true,
          .minimum = MANIFEST_FORMAT, .maximum = MANIFEST_FORMAT),
    FIELD(ManifestHead, STRING, "service", service, .required = true, .pattern = SCHEMA_NAME),
    FIELD(ManifestHead, STRING, "version", version, .required = true, .pattern = SCHEMA_NAME),
    FIELD(ManifestHead, STRINGS, "migrations", migrations),
    FIELD(ManifestHead, INTEGER, "content_size", content_size, .required = true, .minimum = 0,
          .maximum = (int64_t)TREE_TOTAL_SIZE_MAX),
};
const Schema manifest_head_schema = SCHEMA("head", ManifestHead, head_fields, NULL);
