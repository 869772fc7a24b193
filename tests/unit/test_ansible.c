/* Ansible's inventories mean here what they mean there. tests/integration/test_ansible.py asks Ansible. */
#include "base/cleanup.h"
#include "base/json.h"
#include "model/ansible.h"
#include "support/test.h"
#include <string.h>

static Ansible read_as(Arena *arena, const char *file, const char *text) {
    Ansible ansible = {0};
    Error error = {0};
    if (ansible_read(arena, file, text, strlen(text), &ansible, &error) < 0) fail_msg("%s", error.en);
    return ansible;
}

/* "NAME [GROUP,GROUP] KEY=VALUE …" of each host, a line each. */
static void expect(const char *file, const char *text, const char *expected) {
    ARENA_AUTO arena = arena_new();
    BUFFER_AUTO found = {0};
    Ansible ansible = read_as(arena, file, text);
    for (size_t i = 0; i < ansible.count; i++) {
        const AnsibleHost *host = &ansible.hosts[i];
        buffer_printf(&found, "%s [", host->name);
        for (size_t j = 0; j < host->groups.count; j++)
            buffer_printf(&found, "%s%s", j ? "," : "", host->groups.items[j]);
        buffer_text_append(&found, "]");
        for (size_t j = 0; j < host->vars.count; j++)
            buffer_printf(&found, " %s=%s", host->vars.items[j].key, host->vars.items[j].value);
        buffer_text_append(&found, "\n");
    }
    assert_string_equal(buffer_text(&found), expected);
}

static void refuse(const char *file, const char *text, const char *words) {
    ARENA_AUTO arena = arena_new();
    Ansible ansible = {.count = 7};
    Error error = {0};
    assert_int_equal(ansible_read(arena, file, text, strlen(text), &ansible, &error), -1);
    assert_int_equal(error.kind, ERROR_INVALID);
    assert_int_equal(ansible.count, 7);
    if (!strstr(error.en, words)) fail_msg("“%s” is not in “%s”", words, error.en);
}

/* ---- INI */

static void test_hosts_stand_in_groups(void **state) {
    (void)state;
    expect("hosts",
           "# a comment\n"
           "alone\n"
           "\n"
           "[web]\r\n"
           "web1 port=80 # the first\n"
           "  web2\n"
           "; another\n"
           "[db] # databases\n"
           "db1\n"
           "web2\n",
           "alone []\n"
           "db1 [db]\n"
           "web1 [web] port=80\n"
           "web2 [db,web]\n");
    expect("hosts", "", "");
}

static void test_ranges_name_many_hosts(void **state) {
    (void)state;
    expect("hosts", "web[08:10].example\n", "web08.example []\nweb09.example []\nweb10.example []\n");
    expect("hosts", "h[8:10:2]\n", "h10 []\nh8 []\n");
    expect("hosts", "[a:c].example x=1\n", "a.example [] x=1\nb.example [] x=1\nc.example [] x=1\n");
    expect("hosts", "r[1:2]-[a:b]\n", "r1-a []\nr1-b []\nr2-a []\nr2-b []\n");
    expect("hosts", "h[:1]:2222\n", "h0 []\nh1 []\n");
}

static void test_vars_come_from_parents_and_the_host_wins(void **state) {
    (void)state;
    expect("hosts",
           "[web]\n"
           "web1 a=host\n"
           "[eu:children]\n"
           "web\n"
           "[all:vars]\n"
           "a=all\n"
           "b=all\n"
           "c=all\n"
           "d=all\n"
           "[eu:vars]\n"
           "b=eu\n"
           "c=eu\n"
           "[web:vars]\n"
           "c = web\n",
           "web1 [eu,web] a=host b=eu c=web d=all\n");
}

/* Of groups of one depth the later name wins, unless the priority says otherwise. */
static void test_siblings_win_by_priority_then_by_name(void **state) {
    (void)state;
    expect("hosts", "[b]\nh\n[a]\nh\n[a:vars]\nx=a\n[b:vars]\nx=b\n", "h [a,b] x=b\n");
    expect("hosts", "[b]\nh\n[a]\nh\n[a:vars]\nx=a\nansible_group_priority=10\n[b:vars]\nx=b\n",
           "h [a,b] x=a\n");
}

static void test_the_ungrouped_have_vars_of_their_own(void **state) {
    (void)state;
    expect("hosts", "h\ng\n[web]\ng\n[ungrouped:vars]\nx=1\n", "g [web]\nh [] x=1\n");
}

static void test_values_are_texts_without_quotes(void **state) {
    (void)state;
    expect("hosts",
           "h a=\"two words\" b='single # no comment' c=x\"y z\" d=a\\ b e=5 f= g=\"'5'\"\n"
           "[all:vars]\n"
           "p=\"in quotes\" # comment\n"
           "q=8080 # comment\n"
           "r=some text # stays\n"
           "s=\"a\\\"b\\n\"\n"
           "t=\"open\n"
           "u=x=y\n"
           "v=True\n",
           "h [] a=two words b=single # no comment c=xy z d=a b e=5 f= g=5 p=in quotes q=8080 r=some text # "
           "stays "
           "s=a\"b\n t=\"open u=x=y v=True\n");
}

static void test_the_address_becomes_a_var(void **state) {
    (void)state;
    expect("hosts", "h ansible_host=10.0.0.1\n", "h [] address=10.0.0.1\n");
    expect("hosts", "h ansible_host=10.0.0.1 address=shop.example\n", "h [] address=shop.example\n");
}

static void test_what_is_left_out_is_counted(void **state) {
    (void)state;
    ARENA_AUTO arena = arena_new();
    Ansible ansible =
        read_as(arena, "hosts",
                "h:22 ansible_user=root list=[1,2] map=\"{'a': 1}\" db_password=x API_TOKEN=y keep=1\n"
                "[all:vars]\n"
                "url=http://{{ inventory_hostname }}/\n"
                "nothing=None\n"
                "keep=0\n"
                "list=text\n");
    assert_int_equal(ansible.left_out.settings, 2);
    assert_int_equal(ansible.left_out.not_scalar, 3);
    assert_int_equal(ansible.left_out.secrets, 2);
    assert_int_equal(ansible.left_out.templates, 1);
    assert_int_equal(ansible.left_out.too_long, 0);
    assert_int_equal(ansible.hosts[0].vars.count, 1); /* not even the parent's text for the host's list */
    assert_string_equal(pair_find(&ansible.hosts[0].vars, "keep"), "1");
}

static void test_mistakes_are_placed(void **state) {
    (void)state;
    refuse("hosts", "\n[web\nh\n", "hosts:2: “[web” is not understood");
    refuse("hosts", "[web:child]\n", "hosts:1: “child” is none of: hosts, children, vars");
    refuse("hosts", "[web]\nh port\n", "hosts:2: expected “key=value”, found “port”");
    refuse("hosts", "[all:vars]\nport\n", "hosts:2: expected “key=value”");
    refuse("hosts", "h a=\"x\n", "hosts:1: a quote is not closed");
    refuse("hosts", "h[1:\n", "hosts:1: “h[1:” has no range");
    refuse("hosts", "h[3:1]\n", "has no range");
    refuse("hosts", "h[01:100]\n", "has no range");
    refuse("hosts", "h[c:1]\n", "has no range");
    refuse("hosts", "h[1:2:0]\n", "has no range");
    refuse("hosts", "h]\n", "has no range");
    refuse("hosts", "fe80::1:2:x\n", "is not a name");
    refuse("hosts", "[a,b]\n", "cannot be a group");
    refuse("hosts", "[web:vars]\nx=1\n", "hosts:1: the group web has no section of its own");
    refuse("hosts", "[eu:children]\nweb\n", "hosts:2: the group web has no section of its own");
    refuse("hosts", "h =x\n", "a var without a name");
    refuse("hosts", "h\xff\n", "hosts is not text in UTF-8");
}

static void test_circles_and_depths_are_refused(void **state) {
    (void)state;
    refuse("hosts", "[a:children]\nb\n[b:children]\na\n", "is within itself");
    refuse("hosts", "[a:children]\na\n", "hosts:1: the group a is within itself");
    refuse("hosts", "[a:children]\nall\n", "the group all is within itself");
    BUFFER_AUTO deep = {0};
    for (int i = 0; i < ANSIBLE_DEPTH_MAX - 1; i++) buffer_printf(&deep, "[g%d:children]\ng%d\n", i, i + 1);
    buffer_printf(&deep, "[g%d]\nh\n", ANSIBLE_DEPTH_MAX - 1);
    ARENA_AUTO arena = arena_new();
    assert_int_equal(read_as(arena, "hosts", buffer_text(&deep)).hosts[0].groups.count, ANSIBLE_DEPTH_MAX);
    buffer_printf(&deep, "[top:children]\ng0\n");
    refuse("hosts", buffer_text(&deep), "nested deeper than 32");
}

static void test_limits_hold(void **state) {
    (void)state;
    refuse("hosts", "h[1:9][1:9][1:9][1:9][1:9][1:9][1:9][1:9][1:9]\n", "more than 8 ranges");
    refuse("hosts", "h[1:999999999]\n", "more than 100000 hosts");
    BUFFER_AUTO text = {0};
    buffer_text_append(&text, "h[1:100000]");
    for (int i = 0; i < 41; i++) buffer_printf(&text, " v%d=x", i);
    refuse("hosts", buffer_text(&text), "more than 4000000 together");
    buffer_clear(&text);
    for (int i = 0; i <= ANSIBLE_LINE_MAX; i++) buffer_text_append(&text, "h");
    refuse("hosts", buffer_text(&text), "hosts:1: a line of more than");
    buffer_clear(&text);
    for (int i = 0; i <= ANSIBLE_GROUPS_MAX; i++) buffer_printf(&text, "[g%d]\n", i);
    refuse("hosts", buffer_text(&text), "more than 10000 groups");
    buffer_clear(&text);
    buffer_text_append(&text, "[all:vars]\n");
    for (int i = 0; i <= ANSIBLE_VARS_MAX; i++) buffer_printf(&text, "v%d=\n", i);
    refuse("hosts", buffer_text(&text), "hosts:1002: more than 1000 vars");
}

static void test_a_long_value_is_left_out(void **state) {
    (void)state;
    ARENA_AUTO arena = arena_new();
    BUFFER_AUTO text = {0};
    buffer_text_append(&text, "h keep=1 x=");
    for (int i = 0; i < 5000; i++) buffer_text_append(&text, "x");
    Ansible ansible = read_as(arena, "hosts", buffer_text(&text));
    assert_int_equal(ansible.left_out.too_long, 1);
    assert_int_equal(ansible.hosts[0].vars.count, 1);
}

/* ---- YAML */

static void test_yaml_says_the_same(void **state) {
    (void)state;
    expect("hosts.yml",
           "all:\n"
           "  vars: {a: all, b: all, c: all, d: all}\n"
           "  hosts:\n"
           "    alone:\n"
           "  children:\n"
           "    eu:\n"
           "      vars: {b: eu, c: eu}\n"
           "      children:\n"
           "        web:\n"
           "          hosts:\n"
           "            web[1:2]:\n"
           "              a: 'host: it'\n"
           "              port: 0080\n"
           "              ansible_host: 10.0.0.1\n"
           "          vars: {c: web}\n"
           "    empty:\n",
           "alone [] a=all b=all c=all d=all\n"
           "web1 [eu,web] a=host: it address=10.0.0.1 b=eu c=web d=all port=0080\n"
           "web2 [eu,web] a=host: it address=10.0.0.1 b=eu c=web d=all port=0080\n");
    expect("hosts.yaml", "web: {hosts: one}\ndb: {hosts: {two: {}}, vars: }\n", "one [web]\ntwo [db]\n");
    expect("hosts.json", "{\"web\": {\"hosts\": {\"one\": {\"x\": \"1\"}}}}", "one [web] x=1\n");
}

static void test_yaml_leaves_out_what_is_no_text(void **state) {
    (void)state;
    ARENA_AUTO arena = arena_new();
    Ansible ansible =
        read_as(arena, "h.yml",
                "all:\n"
                "  vars: {list: [1], nothing: null, url: \"{{ x }}\", ansible_user: root, secret_key: x}\n"
                "  hosts: {h: {map: {a: 1}, keep: yes}}\n");
    assert_int_equal(ansible.left_out.not_scalar, 3);
    assert_int_equal(ansible.left_out.templates, 1);
    assert_int_equal(ansible.left_out.settings, 1);
    assert_int_equal(ansible.left_out.secrets, 1);
    assert_int_equal(ansible.hosts[0].vars.count, 1);
    assert_string_equal(pair_find(&ansible.hosts[0].vars, "keep"), "yes");
}

static void test_yaml_mistakes_are_placed(void **state) {
    (void)state;
    refuse("h.yml", "all:\n  host:\n    a:\n", "h.yml:2:3: “host” is none of: hosts, children, vars");
    refuse("h.yml", "all:\n  hosts: [a]\n", "h.yml:2:10: expected a map");
    refuse("h.yml", "all:\n  hosts:\n    a: &x {}\n    b: *x\n",
           "h.yml:3:8: anchors and tags are not allowed");
    refuse("h.yml", "all:\n  vars:\n    p: !vault |\n      x\n",
           "h.yml:3:8: anchors and tags are not allowed");
    refuse("h.yml", "plugin: aws_ec2\n", "h.yml:1:1: a dynamic inventory");
    refuse("h.yml", "a: {children: {b: {children: {a: }}}}\n", "the group a is within itself");
    refuse("h.yml", "all:\n  hosts:\n    \"h[1:\":\n", "h.yml:3:5: “h[1:” has no range");
}

static void test_is_told_as_json(void **state) {
    (void)state;
    ARENA_AUTO arena = arena_new();
    Ansible ansible = read_as(arena, "hosts", "[web]\nh port=80 ansible_user=x\n[eu:children]\nweb\n");
    JSON_AUTO json = ansible_to_json(&ansible);
    FREE_AUTO char *text = json_text(json);
    assert_string_equal(
        text, "{\"hosts\":[{\"labels\":{\"groups\":\"eu,web\"},\"name\":\"h\",\"vars\":{\"port\":\"80\"}}],"
              "\"left_out\":{\"not_scalar\":0,\"secrets\":0,\"settings\":1,\"templates\":0,\"too_long\":0}}");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hosts_stand_in_groups),
        cmocka_unit_test(test_ranges_name_many_hosts),
        cmocka_unit_test(test_vars_come_from_parents_and_the_host_wins),
        cmocka_unit_test(test_siblings_win_by_priority_then_by_name),
        cmocka_unit_test(test_the_ungrouped_have_vars_of_their_own),
        cmocka_unit_test(test_values_are_texts_without_quotes),
        cmocka_unit_test(test_the_address_becomes_a_var),
        cmocka_unit_test(test_what_is_left_out_is_counted),
        cmocka_unit_test(test_mistakes_are_placed),
        cmocka_unit_test(test_circles_and_depths_are_refused),
        cmocka_unit_test(test_limits_hold),
        cmocka_unit_test(test_a_long_value_is_left_out),
        cmocka_unit_test(test_yaml_says_the_same),
        cmocka_unit_test(test_yaml_leaves_out_what_is_no_text),
        cmocka_unit_test(test_yaml_mistakes_are_placed),
        cmocka_unit_test(test_is_told_as_json),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
