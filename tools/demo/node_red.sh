# The demo “node-red”: sourced by ./demo.
# shellcheck shell=bash disable=SC2034,SC2154

old=3.1.15 new=4.0.9 broken=4.0.10
room=$demo/run
hosts=(red1 red2 red3)
base=18800
port_of() { echo $((base + ${1#red})); }

stop_services() {
    local host
    for host in "${hosts[@]}"; do stop_service "$room/$host"; done
}

# Cut off in the middle of a change, that change is undone first: else its dead man's switch would do so later.
leave() {
    local status=$? change
    trap '' INT TERM
    if [ $status != 0 ] && [ -d "$room/state" ]; then
        change=$("$upkeep" list --state "$room/state" --json 2>/dev/null |
            sed -n 's/.*"change": *"\([^"]*\)".*"state": *"\(paused\|running\|rolling_back\|pending\)".*/\1/p' | tail -1)
        if [ -n "$change" ]; then
            timeout 120 "$upkeep" abort "$change" --state "$room/state" --lang "$lang" --why "demo interrupted" -q || true
        fi
    fi
    stop_services
    exit $status
}
trap leave EXIT
trap 'exit 130' INT TERM

plan() { # FILE PACKAGE SOAK
    cat >"$1" <<YAML
upkeep: 1
service:
  name: node-red
  root: $room/\${host.name}
  data: [shared/data]                 # the flows: part of every backup, put back exactly when an upgrade fails
  run:
    process:
      command: [node, current/node_modules/node-red/red.js, --userDir, shared/data, --port, "\${vars.port}"]
      env: {NODE_ENV: production}
  version: {http: "http://127.0.0.1:\${vars.port}/settings", json: /version}
package:
  file: $2
  trust: [release.pub]
hosts:
  - {name: red1, vars: {port: "$(port_of red1)"}}
  - {name: red2, vars: {port: "$(port_of red2)"}}
  - {name: red3, vars: {port: "$(port_of red3)"}}
health:
  - name: front page
    http: {url: "http://127.0.0.1:\${vars.port}/", body: Node-RED}
    every: 500ms
    deadline: 60s
rollout:
  stages:
    - {name: pilot, hosts: 1, soak: $3}
    - {name: rest, batch: 50%, soak: $3}
YAML
}


expect_version() { # VERSION
    local host served
    for host in "${hosts[@]}"; do
        served=$(http "http://127.0.0.1:$(port_of "$host")/settings" | sed 's/.*"version":"\([^"]*\)".*/\1/')
        [ "$served" = "$1" ] || bad "$host serves $served, not $1" "$host 上运行的是 $served，而不是 $1"
    done
    good "All three hosts serve Node-RED $1." "三台主机都在运行 Node-RED $1。"
}

expect_flows() {
    local host answer
    for host in "${hosts[@]}"; do
        answer=$(http "http://127.0.0.1:$(port_of "$host")/hello")
        [ "$answer" = "hello from $host" ] || bad "the flow of $host answers “$answer”" "$host 的流程回答“$answer”"
    done
    good "$1" "$2"
}

flows_digest() { cat "${hosts[@]/%//shared/data/flows.json}" | sha256sum | cut -c1-64; }

change_of() { # NUMBER of the change in this demo
    "$upkeep" list --state state --json | sed -n 's/.*"change": *"\([^"]*\)".*/\1/p' | sed -n "$1p"
}

deploy_flows() { # through Node-RED's own admin API, as its editor does
    local host
    for host in "${hosts[@]}"; do
        http -X POST -H 'Content-Type: application/json' -o /dev/null "http://127.0.0.1:$(port_of "$host")/flows" --data @- <<JSON
[{"id":"tab1","type":"tab","label":"Orders"},
 {"id":"in1","type":"http in","z":"tab1","url":"/hello","method":"get","wires":[["tpl1"]]},
 {"id":"tpl1","type":"template","z":"tab1","field":"payload","fieldType":"msg","syntax":"plain","template":"hello from $host","output":"str","wires":[["out1"]]},
 {"id":"out1","type":"http response","z":"tab1","statusCode":"200","wires":[]}]
JSON
    done
    sleep 1
}

# ---------------------------------------------------------------------------------------------------------------------

printf '%s%s%s\n' "$bold" "$(t 'Upkeep: a real upgrade, and one that goes wrong' 'Upkeep：一次真实的升级，以及一次出错的升级')" "$plain"
note "Three hosts on this machine get Node-RED $old with a flow each; then $new, pilot first; then a broken release." \
    "在本机的三台“主机”上安装 Node-RED $old，各带一个流程；然后升级到 $new，先试点；最后来一个有错误的版本。"
note "Everything it makes stands in .demo/. Debian and npm packages that are missing are installed first." \
    "所有文件都在 .demo/ 中。缺少的 Debian 与 npm 软件包会先行安装。"
tools/packages build demo
./build
mkdir -p "$demo"
stop_services
choose_ports 3 # once the services of an earlier demo are gone
rm -rf "$room" && mkdir -p "$room"
fetch $old && fetch $new
cd "$room"
export PATH=$here/out:$PATH

title "Sign and pack three releases" "签名并打包三个版本"
note "The third is Node-RED $new with one fault: as it starts, it loses the flows, and then falls over." \
    "第三个是带有一处错误的 Node-RED $new：启动时丢失流程，随后崩溃。"
cp -a "$demo/npm/$new" broken
sed -i "1a require('fs').writeFileSync('shared/data/flows.json', '[]'); setTimeout(() => { throw new Error('nobody tested this'); }, 300);" \
    broken/node_modules/node-red/red.js
run upkeep key new release --lang $lang
run upkeep pack "$demo/npm/$old" --name node-red --version $old --key release.key -o node-red-$old.upk --lang $lang -q
run upkeep pack "$demo/npm/$new" --name node-red --version $new --key release.key -o node-red-$new.upk --lang $lang -q
run upkeep pack broken --name node-red --version $broken --key release.key -o node-red-$broken.upk --lang $lang -q
run upkeep verify node-red-$new.upk --trust release.pub --lang $lang
rm -rf broken
plan install.yaml node-red-$old.upk 1s
plan upgrade.yaml node-red-$new.upk 5s
plan broken.yaml node-red-$broken.upk 5s

title "Install Node-RED $old on three hosts" "在三台主机上安装 Node-RED $old"
for host in "${hosts[@]}"; do mkdir -p "$host/shared/data"; done
run upkeep run install.yaml --state state --lang $lang --yes
note "Now people work with it: a flow is deployed on each host, through Node-RED's own interface." \
    "现在有人使用它：通过 Node-RED 自己的接口在每台主机上部署一个流程。"
deploy_flows
expect_version $old
expect_flows "Each host has its flow: “hello from red1” …" "每台主机都有自己的流程：“hello from red1”……"
flows=$(flows_digest)

title "Upgrade to $new: the pilot first, then the rest" "升级到 $new：先试点，再其余"
run upkeep check upgrade.yaml --state state --lang $lang
run upkeep run upgrade.yaml --state state --lang $lang --yes
expect_version $new
expect_flows "The flow on each host still answers: “hello from red1” …" "每台主机上的流程仍在应答：“hello from red1”……"

title "Now a broken release, $broken" "现在是一个有错误的版本 $broken"
status=0
run upkeep run broken.yaml --state state --lang $lang --yes || status=$?
[ $status = 4 ] || bad "upkeep ended with $status; 4 was expected" "upkeep 以 $status 结束；预期为 4"
good "Stopped at the pilot (exit status 4); red2 and red3 were never touched." "在试点处停止（退出状态 4）；red2 和 red3 从未受影响。"
expect_version $new
expect_flows "The flow on each host answers as before." "每台主机上的流程应答如常。"
[ "$(flows_digest)" = "$flows" ] || bad "the flows are not what they were" "流程与之前不同"
good "The flows are the same to the byte." "流程逐字节相同。"
upgrade=$(change_of 2) failure=$(change_of 3)
upkeep journal show "$failure" --state state --json | python3 -c '
import json, sys
from datetime import datetime
events = [json.loads(line) for line in sys.stdin]
at = lambda e: datetime.fromisoformat(e["time"].replace("Z", "+00:00"))
fault = next(at(e) for e in events if e["type"] == "rollout.failing")
back = max(at(e) for e in events if e["type"] == "step.done" and e["step"] == "start" and e.get("order") == "rollback")
probed = max(at(e) for e in events if e["type"] == "step.done" and e["step"] == "probe" and e.get("order") == "rollback")
print("%.1f %.1f" % ((back - fault).total_seconds(), (probed - fault).total_seconds()))' >seconds
read -r started probed <seconds
aside=$("$upkeep" restore-points --state state --json | sed -n 's/.*"id": *"\([^"]*-aside\)".*/\1/p' | tail -1)
run upkeep restore "$aside" --to written-by-$broken --state state --lang $lang
[ "$(cat written-by-$broken/shared/data/flows.json)" = "[]" ] || bad "what it wrote is not there" "找不到它写入的内容"
good "What the broken release had made of the flows of red1 was kept too: “[]”." "错误版本对 red1 流程的改动也已另存：“[]”。"
good "The old version was started again $started s after the fault was seen, and proved healthy after $probed s." \
    "发现故障后 $started 秒旧版本已重新启动，$probed 秒后确认健康。"

title "What is left to read" "留下可读的内容"
run upkeep list --state state --lang $lang
run upkeep journal verify --state state --lang $lang
run upkeep report "$upgrade" --form retrospective --state state --lang $lang -o upgrade.html
run upkeep report "$failure" --form retrospective --state state --lang $lang -o broken.html
printf '\n'
good "Reports: $room/upgrade.html and $room/broken.html" "报告：$room/upgrade.html 和 $room/broken.html"
note "The services of this demo are being stopped now. Your own service: README.md, “Your own first plan in five minutes”." \
    "本演示的服务现在停止。升级您自己的服务：见 README.zh.md。"
