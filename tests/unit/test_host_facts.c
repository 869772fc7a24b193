/* A host tells what it is, the same until something changed. */
#include "base/cleanup.h"
#include "base/file.h"
#include "base/json.h"
#include "host/check/facts.h"
#include "host/host_facts.h"
#include "host/release.h"
#include "support/test.h"
#include <string.h>

static void write_file(const TestFolder *folder, const char *name, const char *text, mode_t mode) {
    int fd = openat(folder->fd, name, O_WRONLY | O_CREAT | O_TRUNC, mode);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
}

/* A program that prints `says`. */
static void write_tool(const TestFolder *folder, const char *name, const char *says) {
    char text[400];
    snprintf(text, sizeof text, "#!/bin/sh\ncat <<'END'\n%s\nEND\n", says);
    write_file(folder, name, text, 0755);
}

static char *path_of(const TestFolder *folder) {
    char *path;
    if (asprintf(&path, "%s:/usr/bin:/bin", folder->path) < 0) abort();
    return path;
}

static json_t *read_with(const HostFactsSpec *spec, const char *part) {
    JSON_AUTO facts = host_facts(spec);
    json_t *found = json_incref(json_object_get(facts, part));
    assert_non_null(found);
    return found;
}

static void test_tells_this_machine(void **state) {
    (void)state;
    Facts known;
    facts_read(&known);
    JSON_AUTO facts = host_facts(&(HostFactsSpec){.address = "10.0.0.1"});
    assert_string_equal(json_get_text(facts, "kernel", ""), known.kernel);
    assert_string_equal(json_get_text(facts, "architecture", ""), known.architecture);
    assert_string_equal(json_get_text(facts, "address", ""), "10.0.0.1");
    assert_true(strlen(json_get_text(facts, "hostname", "")) > 0);
    assert_string_equal(json_get_text(json_object_get(facts, "os"), "id", ""), known.os_id);
    assert_int_equal(json_get_integer(json_object_get(facts, "cpu"), "cores", 0), known.cpu_count);
    assert_int_equal(json_get_integer(json_object_get(facts, "memory"), "total_bytes", 0),
                     known.memory_total);
    assert_true(json_get_integer(json_object_get(facts, "now"), "memory_available_bytes", 0) > 0);
    assert_true(json_is_array(json_object_get(facts, "disks")));
    assert_int_equal(json_array_size(json_object_get(facts, "releases")), 0);
}

static void test_is_the_same_until_something_changed(void **state) {
    const TestFolder *folder = *state;
    FREE_AUTO char *path = path_of(folder);
    HostFactsSpec spec = {.path = path};
    write_tool(folder, "openssl", "OpenSSL 3.0.17 1 Jul 2025 (Library: OpenSSL 3.0.17 1 Jul 2025)");
    JSON_AUTO one = host_facts(&spec);
    JSON_AUTO other = host_facts(&spec);
    json_set_integer(json_object_get(other, "now"), "memory_available_bytes", 1);
    Digest before = host_facts_digest(one), same = host_facts_digest(other);
    assert_true(digest_equal(&before, &same));
    assert_non_null(json_object_get(one, "now")); /* still there */
    write_tool(folder, "openssl", "OpenSSL 3.0.18 1 Oct 2025");
    JSON_AUTO changed = host_facts(&spec);
    Digest after = host_facts_digest(changed);
    assert_false(digest_equal(&before, &after));
}

static void test_tools_say_their_versions(void **state) {
    const TestFolder *folder = *state;
    static const struct {
        const char *program, *says, *name, *version;
    } tools[] = {
        {"openssl", "OpenSSL 3.0.17 1 Jul 2025 (Library: OpenSSL 3.0.17 1 Jul 2025)", "openssl", "3.0.17"},
        {"python3", "Python 3.11.2", "python3", "3.11.2"},
        {"node", "v20.19.5", "node", "20.19.5"},
        {"java", "openjdk version \"17.0.16\" 2025-07-15\nOpenJDK Runtime Environment (build 17.0.16+8)",
         "java", "17.0.16"},
        {"nginx", "nginx version: nginx/1.22.1", "nginx", "1.22.1"},
        {"haproxy", "HAProxy version 2.6.12-1+deb12u2 2025/04/16 - https://haproxy.org/", "haproxy",
         "2.6.12"},
        {"psql", "psql (PostgreSQL) 16.9 (Debian 16.9-1)", "psql", "16.9"},
        {"mariadb", "mariadb  Ver 15.1 Distrib 10.11.14-MariaDB, for debian-linux-gnu (x86_64)", "mariadb",
         "10.11.14"},
        {"mysql", "mysql  Ver 14.14 Distrib 5.7.42, for Linux (x86_64)", "mysql", "5.7.42"},
        {"redis-server", "Redis server v=7.0.15 sha=00000000:0 malloc=jemalloc-5.3.0 bits=64", "redis",
         "7.0.15"},
        {"systemctl", "systemd 252 (252.39-1~deb12u1)\n+PAM +AUDIT", "systemd", "252"},
        {"apache2", "Server version: Apache/2.4.65 (Debian)", "apache", "2.4.65"},
        {"docker", "Docker version 20.10.24+dfsg1, build 297e128", "docker", "20.10.24+dfsg1"},
        {"getconf", "glibc 2.36", "glibc", "2.36"},
        {"sqlite3", "3.40.1 2022-12-28 14:03:47 df5c253c0b3dd24916e4ec7cf77d3db5294cc9fd45ae7b9c5e82ad8197f3",
         "sqlite3", "3.40.1"},
        {"php", "PHP 8.2.29 (cli) (built: Jul  3 2025 16:16:05) (NTS)", "php", "8.2.29"},
    };
    for (size_t i = 0; i < sizeof tools / sizeof *tools; i++)
        write_tool(folder, tools[i].program, tools[i].says);
    FREE_AUTO char *path = path_of(folder);
    JSON_AUTO found = read_with(&(HostFactsSpec){.path = path}, "tools");
    for (size_t i = 0; i < sizeof tools / sizeof *tools; i++)
        assert_string_equal(json_get_text(found, tools[i].name, "nothing"), tools[i].version);
}

/* Not there is one thing, there and silent another: only the first is no tool. */
static void test_a_tool_that_says_nothing_is_unknown(void **state) {
    const TestFolder *folder = *state;
    write_tool(folder, "nginx", "what?");
    write_file(folder, "haproxy", "#!/bin/sh\necho version 2.6.12\nexit 1\n", 0755);
    JSON_AUTO found = read_with(&(HostFactsSpec){.path = folder->path}, "tools");
    assert_null(json_object_get(found, "openssl"));
    assert_true(json_is_null(json_object_get(found, "haproxy")));
    assert_true(json_is_null(json_object_get(found, "nginx")));
}

static void test_disks_are_those_of_this_machine(void **state) {
    const TestFolder *folder = *state;
    assert_int_equal(mkdirat(folder->fd, "self", 0755), 0);
    assert_int_equal(mkdirat(folder->fd, "two words", 0755), 0);
    assert_int_equal(mkdirat(folder->fd, "data", 0755), 0);
    char text[2000];
    snprintf(text, sizeof text,
             "36 35 98:0 / %s/data rw,noatime shared:1 - ext4 /dev/sda1 rw\n"
             "37 35 98:0 /x / rw - ext4 /dev/sda1 rw\n"
             "38 35 99:1 / %s/two\\040words rw master:1 shared:7 - zfs pool/data rw\n"
             "39 35 0:5 / /proc rw - proc proc rw\n"
             "40 35 0:9 / /net rw - nfs4 gone:/share rw\n"
             "41 35 0:10 / /var/lib/docker/overlay2/x/merged rw - overlay overlay rw\n"
             "damaged\n"
             "42 35 99:2 / /no-such-place-of-upkeep - \n",
             folder->path, folder->path);
    write_file(folder, "self/mountinfo", text, 0644);
    write_file(folder, "cpuinfo", "processor\t: 0\nmodel name\t: Imagined CPU @ 1 GHz\nmodel name\t: other\n",
               0644);
    JSON_AUTO facts = host_facts(&(HostFactsSpec){.proc = folder->path, .path = "/none"});
    json_t *disks = json_object_get(facts, "disks"), *first = json_array_get(disks, 0),
           *second = json_array_get(disks, 1);
    assert_int_equal(json_array_size(disks), 2);
    assert_string_equal(json_get_text(first, "path", ""), "/"); /* the shortest of its device */
    assert_string_equal(json_get_text(first, "type", ""), "ext4");
    assert_true(json_get_integer(first, "total_bytes", 0) > 0);
    char path[100];
    snprintf(path, sizeof path, "%s/two words", folder->path);
    assert_string_equal(json_get_text(second, "path", ""), path);
    assert_null(json_object_get(second, "total_bytes"));
    const json_t *now = json_object_get(json_object_get(facts, "now"), "disks");
    assert_int_equal(json_object_size(now), 2);
    assert_non_null(json_object_get(json_object_get(now, path), "free_bytes"));
    assert_string_equal(json_get_text(json_object_get(facts, "cpu"), "model", ""), "Imagined CPU @ 1 GHz");
    assert_int_equal(json_object_size(json_object_get(facts, "tools")), 0);
}

static void install(const TestFolder *folder, const char *version, int64_t installed_ms) {
    ARENA_AUTO arena = arena_new();
    TREE_AUTO tree = NULL;
    FD_AUTO dir = -1;
    Error error = {0};
    static const char text[] = "upkeep: 1\n"
                               "service: {name: shop, root: /srv/s, run: {systemd: s.service}}\n"
                               "package: {file: s.upk, trust: [a.pub]}\n"
                               "hosts: [{name: a}]\n"
                               "health: [{tcp: {address: \"h:1\"}}]\n";
    Release release = {.version = version, .installed_ms = installed_ms, .change = "CHG-1"};
    if (plan_compile(arena, "p", "/", text, strlen(text), &release.plan, &error) < 0 ||
        release_stage_begin(folder->fd, version, &dir, &error) < 0 ||
        tree_scan(dir, NULL, &tree, &error) < 0 || release_remember(folder->fd, &release, tree, &error) < 0 ||
        release_stage_end(folder->fd, version, &error) < 0)
        fail_msg("%s", error.en);
}

static void test_tells_what_is_installed(void **state) {
    const TestFolder *folder = *state;
    const char *roots[] = {"/no-such-folder/x", folder->path};
    HostFactsSpec spec = {.roots = roots, .root_count = 2, .path = "/none"};
    JSON_AUTO none = read_with(&spec, "releases");
    assert_int_equal(json_array_size(none), 0);
    install(folder, "1.0", 1000);
    install(folder, "2.0", 2000);
    assert_int_equal(release_activate(folder->fd, "2.0", NULL), 0);
    JSON_AUTO found = read_with(&spec, "releases");
    assert_int_equal(json_array_size(found), 1);
    const json_t *release = json_array_get(found, 0);
    assert_string_equal(json_get_text(release, "service", ""), "shop");
    assert_string_equal(json_get_text(release, "root", ""), folder->path);
    assert_string_equal(json_get_text(release, "version", ""), "2.0");
    assert_string_equal(json_get_text(release, "previous", ""), "1.0");
    assert_string_equal(json_get_text(release, "change", ""), "CHG-1");
    assert_string_equal(json_get_text(release, "installed", ""), "1970-01-01T00:00:02.000Z");
}

static void test_what_cannot_be_read_is_an_error_and_not_nothing(void **state) {
    const TestFolder *folder = *state;
    const char *roots[] = {folder->path};
    assert_int_equal(symlinkat("releases/9", folder->fd, "current"), 0);
    JSON_AUTO found =
        read_with(&(HostFactsSpec){.roots = roots, .root_count = 1, .path = "/none"}, "releases");
    const json_t *release = json_array_get(found, 0);
    assert_non_null(strstr(json_get_text(release, "error", ""), "not installed by Upkeep"));
    assert_true(strlen(json_get_text(release, "error_zh", "")) > 0);
    assert_string_equal(json_get_text(release, "root", ""), folder->path);
    assert_null(json_object_get(release, "version"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tells_this_machine),
        test_in_folder(test_is_the_same_until_something_changed),
        test_in_folder(test_tools_say_their_versions),
        test_in_folder(test_a_tool_that_says_nothing_is_unknown),
        test_in_folder(test_disks_are_those_of_this_machine),
        test_in_folder(test_tells_what_is_installed),
        test_in_folder(test_what_cannot_be_read_is_an_error_and_not_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
