# The demo “fleet”: sourced by ./demo.
# shellcheck shell=bash disable=SC2034,SC2154

old=3.1.15 new=4.0.9 broken=4.0.10
room=$demo/fleet
hosts=(web1 web2 web3 web4 web5)
base=18900
port_of() { echo $((base + ${1#web})); }

# Programs of this demo that run on; each leaves its process id in a file of its own.
stop_program() { # FILE
    local pid
    pid=$(cat "$1" 2>/dev/null) || return 0
    rm -f "$1"
    [ "$(readlink "/proc/$pid/cwd" 2>/dev/null)" = "$room" ] || return 0
    kill "$pid" 2>/dev/null || return 0
    timeout 40 tail -s 0.1 -f --pid="$pid" /dev/null || true
}

stop_services() {
    local host
    for host in "${hosts[@]}"; do stop_service "$room/$host/srv"; done
}

stop_all() {
    local file
    for file in "$room"/load.pid "$room"/web*/agent.pid "$room"/controller.pid "$room"/haproxy.pid; do stop_program "$file"; done
    stop_services
}

leave() {
    local status=$?
    trap '' INT TERM
    stop_all
    exit $status
}
trap leave EXIT
trap 'exit 130' INT TERM

start_controller() {
    "$here/out/upkeepd" serve --state controller --listen "127.0.0.1:$1" --port-file controller.port >>controller.log 2>&1 &
    echo $! >controller.pid
    disown # it is killed on purpose, and nothing need be said about that
    eventually 20 test -s controller.port || bad "the controller did not start; see $room/controller.log" "控制器未能启动，见 $room/controller.log"
}

start_agent() { # HOST
    "$here/out/upkeep-agent" run --state "$1/agent" >>"$1/agent.log" 2>&1 &
    echo $! >"$1/agent.pid"
}

start_balancer() {
    local host
    cat >haproxy.cfg <<CFG
global
    stats socket $room/haproxy.sock mode 600 level admin
defaults
    mode http
    timeout connect 2s
    timeout client 30s
    timeout server 30s
    retries 0
frontend front
    bind 127.0.0.1:$base
    default_backend web
backend web
    balance roundrobin
    option httpchk GET /
    default-server check inter 500ms fall 2 rise 1 weight 100
$(for host in "${hosts[@]}"; do echo "    server $host 127.0.0.1:$(port_of "$host")"; done)
CFG
    haproxy -f haproxy.cfg >haproxy.log 2>&1 &
    echo $! >haproxy.pid
    eventually 10 test -S haproxy.sock || bad "HAProxy did not start; see $room/haproxy.log" "HAProxy 未能启动，见 $room/haproxy.log"
}

plan() { # FILE PACKAGE
    cat >"$1" <<YAML
upkeep: 1
service:
  name: node-red
  root: $room/\${host.name}/srv
  data: [shared/data]
  run:
    process:
      command: [node, current/node_modules/node-red/red.js, --userDir, shared/data, --port, "\${vars.port}"]
      env: {NODE_ENV: production}
  version: {http: "http://127.0.0.1:\${vars.port}/settings", json: /version}
package:
  file: $2
  trust: [release.pub]
hosts:
  - select: {role: web}                # from the controller's inventory
traffic:
  haproxy: {sockets: ["$room/haproxy.sock"], backend: web, server: "\${host.name}"}
health:
  - name: front page
    http: {url: "http://127.0.0.1:\${vars.port}/", body: Node-RED}
    every: 500ms
    deadline: 90s
rollout:
  stages:
    - {name: pilot, hosts: 1, soak: 3s}
    - {name: rest, soak: 2s}
YAML
}

# The first installation has nothing in front of it that could be drained.
plan_first() { plan "$1" "$2" && sed -i '/^traffic:/,/^  haproxy:/d' "$1"; }

count_of() { sed -n "s/.*\"$1\": \([0-9]*\).*/\1/p" load.json; }

start_load() {
    rm -f load.json
    python3 "$here/tools/demo/load.py" "http://127.0.0.1:$base/" load.json &
    echo $! >load.pid
}

expect_no_failure() {
    stop_program load.pid
    [ "$(count_of failed)" = 0 ] || bad "$(count_of failed) requests failed: $(cat load.json)" "$(count_of failed) 个请求失败：$(cat load.json)"
    good "$(count_of good) requests through HAProxy meanwhile, and not one failed." "期间经 HAProxy 的 $(count_of good) 个请求，无一失败。"
}

expect_version() { # VERSION
    local host served
    for host in "${hosts[@]}"; do
        served=$(http "http://127.0.0.1:$(port_of "$host")/settings" | sed 's/.*"version":"\([^"]*\)".*/\1/')
        [ "$served" = "$1" ] || bad "$host serves $served, not $1" "$host 上运行的是 $served，而不是 $1"
    done
    good "All five hosts serve Node-RED $1." "五台主机都在运行 Node-RED $1。"
}

change_of() { upkeep list --json | sed -n 's/.*"change": *"\([^"]*\)".*/\1/p' | sed -n "$1p"; }

# ---------------------------------------------------------------------------------------------------------------------

printf '%s%s%s\n' "$bold" "$(t 'Upkeep: a fleet behind a load balancer' 'Upkeep：负载均衡之后的一组主机')" "$plain"
note "A controller, five hosts with an agent each, HAProxy in front, and requests all the time." \
    "一个控制器，五台各带代理的主机，前面是 HAProxy，请求始终不断。"
tools/packages build demo
./build
mkdir -p "$demo"
stop_all
choose_ports 5
rm -rf "$room" && mkdir -p "$room"
fetch $old && fetch $new
cd "$room"
export PATH=$here/out:$PATH XDG_CONFIG_HOME=$room/config

title "Three signed releases; the third starts, and then falls over" "三个签名的版本；第三个启动后会崩溃"
cp -a "$demo/npm/$new" broken
sed -i "1a setTimeout(() => { throw new Error('nobody tested this'); }, 300);" broken/node_modules/node-red/red.js
run upkeep key new release --lang $lang -q
for v in $old $new; do run upkeep pack "$demo/npm/$v" --name node-red --version $v --key release.key -o node-red-$v.upk --lang $lang -q; done
run upkeep pack broken --name node-red --version $broken --key release.key -o node-red-$broken.upk --lang $lang -q
rm -rf broken
plan_first install.yaml node-red-$old.upk
plan upgrade.yaml node-red-$new.upk
plan broken.yaml node-red-$broken.upk

title "A controller, and a person who may use it" "一个控制器，以及一个可以使用它的人"
mkdir controller
start_controller 0
export UPKEEP_SERVER=https://127.0.0.1:$(cat controller.port)
note "$ upkeepd user add alice --role admin | upkeep login $UPKEEP_SERVER --fingerprint …" \
    "$ upkeepd user add alice --role admin | upkeep login $UPKEEP_SERVER --fingerprint ……"
upkeepd user add alice --role admin --state controller |
    upkeep login "$UPKEEP_SERVER" --fingerprint "$(upkeepd fingerprint --state controller)" --lang $lang
run upkeepd trust add release.pub --state controller --lang $lang

title "Five hosts join, each with a token that is good once" "五台主机各用一次性令牌加入"
for host in "${hosts[@]}"; do
    mkdir -p "$host/srv/shared/data"
    upkeep host invite "$host" --label role=web --var port="$(port_of "$host")" |
        upkeep-agent join "$UPKEEP_SERVER" --state "$host/agent" --lang $lang -q
    upkeep-agent trust add release.pub --state "$host/agent" --lang $lang -q
    start_agent "$host"
done
run upkeep hosts --lang $lang

title "Install Node-RED $old, and put HAProxy in front" "安装 Node-RED $old，并在前面放上 HAProxy"
run upkeep run install.yaml --lang $lang --yes
start_balancer
expect_version $old

title "Upgrade to $new under load — and kill the controller in the middle" "在负载下升级到 $new，并在中途杀死控制器"
start_load
upkeep run upgrade.yaml --yes --lang $lang >upgrade.out 2>&1 &
following=$!
eventually 60 grep -q "switch the release\|切换版本" upgrade.out ||
    bad "the pilot was not switched; see $room/upgrade.out" "试点主机没有切换，见 $room/upgrade.out"
port=$(cat controller.port)
kill -9 "$(cat controller.pid)"
note "The controller was killed (kill -9) while the pilot was being switched; now it starts again." \
    "试点主机切换途中控制器被 kill -9；现在重新启动。"
rm -f controller.pid controller.port
start_controller "$port"
status=0
wait $following || status=$?
cat upgrade.out
[ $status = 0 ] || bad "upkeep ended with $status; 0 was expected" "upkeep 以 $status 结束；预期为 0"
change=$(change_of 2)
expect_no_failure
expect_version $new

title "Now a broken release, $broken, under load" "在负载下换上有错误的版本 $broken"
start_load
status=0
run upkeep run broken.yaml --lang $lang --yes || status=$?
[ $status = 4 ] || bad "upkeep ended with $status; 4 was expected" "upkeep 以 $status 结束；预期为 4"
good "Stopped at the pilot (exit status 4); the others were never touched." "在试点处停止（退出状态 4）；其余主机从未受影响。"
expect_no_failure
expect_version $new

title "What is left to read" "留下可读的内容"
run upkeep list --lang $lang
run upkeep journal verify --lang $lang
run upkeep report "$change" --form retrospective --lang $lang -o upgrade.html
printf '\n'
good "Report: $room/upgrade.html" "报告：$room/upgrade.html"
note "Everything of this demo is being stopped now. Your own fleet: docs/tutorial/fleet.md." \
    "本演示的一切现在停止。您自己的主机群：见 docs/zh/tutorial/fleet.md。"
